"""The table of tasks: command-line options, help texts and defining module of each.

Imports no task, so that `heedful --help` does not wait for PyTorch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from heedful.tasks import options
from heedful.tasks.options import TaskOption, train_files, valid_files

if TYPE_CHECKING:
    from heedful.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """A task as shown by the command line."""

    module: str
    """Module that defines the task."""
    attribute: str = "TASK"
    """Name of the task in that module."""
    options: Sequence[TaskOption]
    """Options of `heedful train` specific to the task. The first two must be --train and --valid, made by `train_files`
    and `valid_files`: help, Python and `compare` treat them apart from the others."""
    summary: str
    """First line of the help of `heedful train TASK`."""
    description: str
    """What the task is used for."""
    train_examples: Sequence[str]
    """Arguments of `heedful train TASK`, one example each; a test runs them. The first must end with `--out FOLDER`:
    the help repeats that folder in an example of --resume."""
    config_example: tuple[str, str]
    """The two parts of the example in the help of `heedful config TASK`: arguments of that command, such as
    `--encoder gru`, and the options that name the data when its output is trained, such as `--train train.tsv`."""
    test: str = "FILE"
    """Placeholder for the value of `heedful evaluate --test` in suggested commands."""
    prediction_file: str = "predicted"
    """Output file of `heedful predict` in suggested commands."""
    predict_summary: str = "Predict a file"
    """What `heedful predict` does, in suggested commands."""
    can_chat: bool = False
    """Whether `heedful chat` talks with its runs."""

    @property
    def all_options(self) -> Sequence[TaskOption]:
        """The task's options, then those of every task; where both have one of a name, it is the task's."""
        own = {option.name for option in self.options}
        return (*self.options, *(each for each in options.COMMON if each.name not in own))

    def train_help(self, name: str) -> str:
        """Return the help of `heedful train TASK`."""
        resumed = self.train_examples[0].split()[-1]
        lines = [*self.train_examples, f"--resume --out {resumed}"]
        examples = "".join(f"\n    heedful train {name} {line}" for line in lines)
        return f"{self.summary}\n\n{self.description} {_RUN_FOLDER}\n\nExample:{examples}\n"

    def config_help(self, name: str) -> str:
        """Return the help of `heedful config TASK`."""
        options, data = self.config_example
        return (
            f"Print all settings of {name} as TOML.\n\n"
            f"Save the output, edit it, and pass it to `heedful train {name} --config`. Settings missing from the file "
            "take their defaults.\n\n"
            f"Example:\n    heedful config {name} {options} > {name}.toml"
            f"\n    heedful train {name} --config {name}.toml {data} --out runs/{name}\n"
        )


_RUN_FOLDER: Final = (
    "Data and options are checked before anything is written. The run folder --out holds the best weights and all "
    "else needed to predict, config.toml, metrics.jsonl and report.html."
)

ENTRIES: Final[dict[str, TaskEntry]] = {
    "translate": TaskEntry(
        module="heedful.tasks.translate",
        options=(
            train_files(
                "Training data: two line-aligned text files; a .tsv, .csv or .jsonl table with --columns; or "
                "builtin:dates or builtin:numbers. Files may be gzipped.",
                "SRC TGT",
            ),
            valid_files(
                "Validation data to select the best checkpoint, in the same format; built-in corpora include it.",
                "SRC TGT",
            ),
            options.COLUMNS,
            options.ALIGNMENTS,
            options.ENCODING,
            options.MAX_LINE,
            options.MODEL,
            options.ATTENTION,
        ),
        summary="Train an encoder–decoder to translate text.",
        description="For languages, spellings, notations: any mapping from one line of text to another. The vocabulary "
        "is built from the training data.",
        train_examples=(
            "--train train.en train.de --valid valid.en valid.de --out runs/en-de",
            "--train train.tsv --valid valid.tsv --columns en,de --out runs/table",
            "--train builtin:dates --model gru --attention additive --out runs/dates",
        ),
        config_example=("--model gru --set training.epochs=20", "--train builtin:dates"),
        test="TEST.SRC TEST.TGT",
        prediction_file="translated.txt",
        predict_summary="Translate a file line by line",
    ),
    "tag": TaskEntry(
        module="heedful.tasks.tag",
        options=(
            train_files(
                "Labelled sentences: .conllu, .conll (a token and its label per line), .jsonl or builtin:saw. "
                "May be gzipped; repeatable."
            ),
            valid_files("Validation sentences to select the best checkpoint, in the same format."),
            options.LABEL_COLUMN,
            options.ENCODING,
            options.MAX_LINE,
            options.TOKEN_COLUMN,
            options.ENCODER,
        ),
        summary="Train a tagger: one label per token.",
        description="For parts of speech, morphological features, named entities. Labels are read from a column of "
        'CoNLL-U, the last column of CoNLL, or "tags" in JSON lines.',
        train_examples=(
            "--train train.conllu --valid dev.conllu --out runs/pos",
            "--train train.conllu --valid dev.conllu --column Number --encoder window --out runs/number",
            "--train train.conll --valid dev.conll --set labels.chain=true --out runs/entities",
        ),
        config_example=(
            "--encoder transformer --set training.epochs=10",
            "--train train.conllu --valid dev.conllu",
        ),
        prediction_file="labelled",
        predict_summary="Tag a file, in its own format",
    ),
    "classify": TaskEntry(
        module="heedful.tasks.classify",
        options=(
            *options.TABLES,
            options.TEXT,
            options.LABEL,
            *options.ROWS,
            options.ENCODER,
            options.CLASS_WEIGHTS,
        ),
        summary="Train a text classifier: one label per text.",
        description="For topics, sentiment, languages, intents. With 0/1 columns (--label A,B,C) or the setting "
        "data.separator a text may have any number of labels.",
        train_examples=(
            "--train train.tsv --valid dev.tsv --text sentence --out runs/mood",
            "--train questions.csv --label topic --encoder transformer --out runs/topics",
            "--train tagged.jsonl --label tags --set data.separator=, --out runs/tags",
            "--train rare.csv --class-weights balanced --set training.metric=macro_f1 --out runs/rare",
        ),
        config_example=("--encoder transformer --set pooling.kind=mean", "--train train.tsv"),
        predict_summary="Classify a table, in its own format",
    ),
    "regress": TaskEntry(
        module="heedful.tasks.regress",
        options=(*options.TABLES, options.TEXT, options.TARGET, *options.ROWS, options.ENCODER),
        summary="Train a text regressor: one number per text.",
        description="For ratings, prices, solubilities. Errors are reported in the units of the target.",
        train_examples=(
            "--train train.csv --valid dev.csv --text review --target stars --out runs/stars",
            "--train new.csv --text smiles --target logS --set vocabulary.kind=char --out runs/logS",
        ),
        config_example=("--encoder gru", "--train train.csv"),
        predict_summary="Predict the targets of a table, in its own format",
    ),
    "classify-series": TaskEntry(
        module="heedful.tasks.series",
        attribute="CLASSIFY",
        options=(
            *options.SERIES,
            options.ENCODING,
            options.MAX_LINE,
            options.LABEL,
            options.ENCODER,
            options.CLASS_WEIGHTS,
        ),
        summary="Train a time-series classifier: one label per series.",
        description="For gestures, faults, heart beats: univariate or multivariate series.",
        train_examples=(
            "--train builtin:waves --out runs/waves",
            "--train long.csv --series id --time t --label kind --encoder gru --out runs/kinds",
        ),
        config_example=("--encoder convolution", "--train builtin:waves"),
        prediction_file="predicted.tsv",
        predict_summary="Classify the series of a file",
    ),
    "regress-series": TaskEntry(
        module="heedful.tasks.series",
        attribute="REGRESS",
        options=(
            *options.SERIES,
            options.ENCODING,
            options.MAX_LINE,
            options.TARGET,
            options.ENCODER,
        ),
        summary="Train a time-series regressor: one number per series.",
        description="For a temperature, a duration, a load: any number that depends on a whole series.",
        train_examples=("--train builtin:waves --encoder convolution --out runs/delays",),
        config_example=("--encoder gru", "--train builtin:waves"),
        prediction_file="predicted.tsv",
        predict_summary="Predict the targets of the series of a file",
    ),
    "tag-series": TaskEntry(
        module="heedful.tasks.series",
        attribute="TAG",
        options=(
            *options.SERIES,
            options.ENCODING,
            options.MAX_LINE,
            options.LABEL,
            options.ENCODER,
        ),
        summary="Train a time-series tagger: one label per step.",
        description="For sleep stages, activities, faults: any state that changes from step to step.",
        train_examples=("--train builtin:waves --encoder gru --out runs/states",),
        config_example=("--encoder window", "--train builtin:waves"),
        prediction_file="labelled.tsv",
        predict_summary="Label each step of the series of a file",
    ),
    "classify-audio": TaskEntry(
        module="heedful.tasks.audio",
        attribute="CLASSIFY",
        options=(
            *options.AUDIO,
            options.ENCODING,
            options.LABEL,
            options.ENCODER,
            options.CLASS_WEIGHTS,
        ),
        summary="Train a classifier of recordings: one label per recording.",
        description="For words, speakers, emotions, sounds: which word, who speaks. Log-mel features are computed once "
        "and kept beside the run.",
        train_examples=(
            "--train builtin:tones --out runs/tones",
            "--train builtin:tones --encoder convolution --rate 8000 --out runs/narrow",
        ),
        config_example=("--encoder gru", "--train builtin:tones"),
        test="FOLDER",
        prediction_file="predicted.tsv",
        predict_summary="Classify a recording, or those that a table or folder lists",
    ),
    "regress-audio": TaskEntry(
        module="heedful.tasks.audio",
        attribute="REGRESS",
        options=(*options.AUDIO, options.ENCODING, options.TARGET, options.ENCODER),
        summary="Train a regressor of recordings: one number per recording.",
        description="For an age, a loudness, a quality score: any number that depends on a whole recording.",
        train_examples=("--train builtin:tones --out runs/seconds",),
        config_example=("--encoder gru", "--train builtin:tones"),
        test="FILE.csv",
        prediction_file="predicted.tsv",
        predict_summary="Predict the targets of a recording, or of those that a table or folder lists",
    ),
    "tag-audio": TaskEntry(
        module="heedful.tasks.audio",
        attribute="TAG",
        options=(*options.AUDIO, options.ENCODING, options.LABEL, options.ENCODER),
        summary="Train a tagger of recordings: one label per frame.",
        description="For who speaks when, bird calls, speech or silence. Each row of a table is a segment: a "
        "recording, its start and end in seconds, and its label.",
        train_examples=("--train builtin:tones --encoder gru --out runs/marks",),
        config_example=("--encoder window", "--train builtin:tones"),
        test="FILE.csv",
        prediction_file="segments.tsv",
        predict_summary="Mark the segments of a recording, or of those that a table or folder lists",
    ),
    "transcribe": TaskEntry(
        module="heedful.tasks.transcribe",
        options=(
            *options.AUDIO,
            options.ENCODING,
            options.TRANSCRIPT,
            options.ENCODER,
            options.DECODER,
        ),
        summary="Train a speech recognizer: the text of each recording.",
        description="Writes characters, subwords or words (the setting vocabulary.kind) by CTC and a decoder with "
        "attention together, or by one of them (--decoder none, --set ctc.weight=0).",
        train_examples=(
            "--train builtin:tones --rate 8000 --out runs/melody",
            "--train builtin:tones --decoder none --set vocabulary.kind=word --out runs/names",
            "--train builtin:tones --encoder transformer --decoder transformer --out runs/speech",
        ),
        config_example=("--decoder transformer", "--train builtin:tones"),
        test="FILE.csv",
        prediction_file="transcripts.tsv",
        predict_summary="Transcribe a recording, or those that a table or folder lists",
    ),
    "forecast": TaskEntry(
        module="heedful.tasks.series",
        attribute="FORECAST",
        options=(
            *options.SERIES,
            options.ENCODING,
            options.MAX_LINE,
            options.HORIZON,
            options.ENCODER,
        ),
        summary="Train a time-series forecaster.",
        description="Predicts the next --horizon steps. Without --valid, the last steps of each series are held out "
        "for validation. Errors are compared with a persistence forecast (the last value) and, with the setting "
        "data.season, a seasonal one (the value one season before).",
        train_examples=("--train builtin:waves --horizon 4 --out runs/forecast",),
        config_example=("--encoder gru --set data.horizon=4", "--train builtin:waves"),
        prediction_file="forecast.tsv",
        predict_summary="Forecast the series of a file",
    ),
    "classify-images": TaskEntry(
        module="heedful.tasks.images",
        attribute="CLASSIFY",
        options=(
            *options.IMAGES,
            options.ENCODING,
            options.LABEL,
            options.ENCODER,
            options.CLASS_WEIGHTS,
        ),
        summary="Train an image classifier: one label per image.",
        description="For photographs, drawings, scans, and videos with --frames.",
        train_examples=(
            "--train animals --out runs/animals",
            "--train pictures.csv --image path --label kind --size 32 --encoder convolution --out runs/kinds",
        ),
        config_example=("--encoder transformer --set inputs.stem=convolution", "--train animals"),
        test="FOLDER",
        prediction_file="predicted.tsv",
        predict_summary="Classify the images of a folder",
    ),
    "regress-images": TaskEntry(
        module="heedful.tasks.images",
        attribute="REGRESS",
        options=(*options.IMAGES, options.ENCODING, options.TARGET, options.ENCODER),
        summary="Train an image regressor: one number per image.",
        description="For an age, an angle, a number of things: any number that a picture shows.",
        train_examples=("--train pictures.csv --image path --target width --out runs/widths",),
        config_example=(
            "--encoder convolution --set data.image=path --set data.target=width",
            "--train pictures.csv",
        ),
        test="FOLDER",
        prediction_file="predicted.tsv",
        predict_summary="Predict the targets of the images of a folder",
    ),
    "tag-images": TaskEntry(
        module="heedful.tasks.images",
        attribute="TAG",
        options=(*options.IMAGES, options.ENCODING, options.LABEL, options.ENCODER),
        summary="Train a labeller of image cells: one label per cell of --patch × --patch pixels.",
        description="For coarse segmentation: the label of a cell is that of most of its pixels in a map of labels.",
        train_examples=("--train pictures.csv --image path --label map --patch 2 --out runs/maps",),
        config_example=(
            "--encoder convolution --set data.image=path --set data.label=map",
            "--train pictures.csv",
        ),
        test="FOLDER",
        prediction_file="labelled.tsv",
        predict_summary="Label the cells of the images of a folder",
    ),
    "detect": TaskEntry(
        module="heedful.tasks.detect",
        options=(*options.OBJECTS, options.ENCODER),
        summary="Train an object detector: labelled boxes in each image.",
        description="For counting, cropping, looking things up: what is where. Object queries look at the cells of an "
        "image, and each finds an object or nothing (DETR).",
        train_examples=(
            "--train builtin:scenes --out runs/scenes",
            "--train street --size 64 --patch 8 --out runs/street",
            "--train street/instances.json --queries 20 --set augmentation.flip=true --out runs/more",
        ),
        config_example=("--encoder transformer --set objects.queries=20", "--train street"),
        test="FOLDER",
        prediction_file="results.json",
        predict_summary="Find the objects in the images of a folder, as results in COCO's format",
    ),
    "classify-molecules": TaskEntry(
        module="heedful.tasks.molecules",
        attribute="CLASSIFY",
        options=(
            *options.MOLECULES,
            options.LABEL,
            options.encoder("gatv2"),
            options.CLASS_WEIGHTS,
        ),
        summary="Train a classifier of molecules: one or several labels per SMILES.",
        description="For toxicity, activity, odour. Atoms are nodes and bonds edges of a graph; the encoders gat, "
        "gatv2 and graph-transformer attend along the bonds, all others to any atom.",
        train_examples=(
            "--train toxic.csv --label toxic --split scaffold_balanced --out runs/toxic",
            "--train toxic.csv --smiles-columns smiles --target-columns NR-AR SR-p53 --out runs/tox21",
        ),
        config_example=("--encoder gat", "--train toxic.csv --label toxic"),
        predict_summary="Classify the molecules of a table, in its own format",
    ),
    "regress-molecules": TaskEntry(
        module="heedful.tasks.molecules",
        attribute="REGRESS",
        options=(*options.MOLECULES, options.TARGET, options.encoder("gatv2")),
        summary="Train a regressor of molecules: one or several numbers per SMILES.",
        description="For solubility, binding, boiling points. With several columns (--target A,B) a molecule may lack "
        "some of the numbers.",
        train_examples=(
            "--train measured.csv --target logS --split random --out runs/solubility",
            "--train measured.csv --target logS --view both --out runs/views",
        ),
        config_example=("--encoder graph-transformer", "--train measured.csv --target logS"),
        predict_summary="Predict the targets of the molecules of a table, in its own format",
    ),
    "classify-nodes": TaskEntry(
        module="heedful.tasks.nodes",
        attribute="CLASSIFY",
        options=(*options.NODES, options.LABEL, options.encoder("gat"), options.CLASS_WEIGHTS),
        summary="Train a classifier of the nodes of a graph: one label per node.",
        description="For subjects of papers, fraud, interests of people: what is known of some nodes is learned from "
        "their features and neighbours and predicted for the others. The encoders gat, gatv2 and graph-transformer "
        "attend along the edges, gcn takes a fixed mean of them; all others see each node alone.",
        train_examples=(
            "--train people.csv --edges friends.csv --label team --out runs/teams",
            "--train builtin:papers --encoder gatv2 --out runs/papers",
        ),
        config_example=("--encoder gatv2", "--train people.csv --edges friends.csv --label team"),
        predict_summary="Classify the nodes of a table, in its own format",
    ),
    "links": TaskEntry(
        module="heedful.tasks.links",
        options=(*options.LINKS, options.encoder("gat")),
        summary="Train a model of links between nodes: who is linked to whom, or who would like what.",
        description="For recommendations, citations, contacts. A tenth of the links each is for validation and test, "
        "the latest where --time names a column; no message passes along them. Each is ranked among others.",
        train_examples=("--train friends.csv --nodes people.csv --out runs/links",),
        config_example=("--encoder gatv2", "--train friends.csv"),
        predict_summary="Score the links of a table, in its own format",
    ),
    "regress-nodes": TaskEntry(
        module="heedful.tasks.nodes",
        attribute="REGRESS",
        options=(*options.NODES, options.TARGET, options.encoder("gat")),
        summary="Train a regressor of the nodes of a graph: one number per node.",
        description="For a load, a price, a time: any number that depends on a node and its neighbours.",
        train_examples=("--train people.csv --edges friends.csv --target age --out runs/ages",),
        config_example=("--encoder gat", "--train people.csv --edges friends.csv --target age"),
        predict_summary="Predict the targets of the nodes of a table, in its own format",
    ),
    "classify-graphs": TaskEntry(
        module="heedful.tasks.graphs",
        attribute="CLASSIFY",
        options=(*options.GRAPHS, options.LABEL, options.encoder("gatv2"), options.CLASS_WEIGHTS),
        summary="Train a classifier of whole graphs: one or several labels per graph.",
        description="For circuits, call graphs, proteins, groups of people: a table of graphs and tables of all their "
        "nodes and edges, with a column that names the graph.",
        train_examples=(
            "--train groups.csv --nodes members.csv --edges ties.csv --label kind --out runs/groups",
        ),
        config_example=(
            "--encoder gat",
            "--train groups.csv --nodes members.csv --edges ties.csv --label kind",
        ),
        predict_summary="Classify the graphs of a table, in its own format",
    ),
    "regress-graphs": TaskEntry(
        module="heedful.tasks.graphs",
        attribute="REGRESS",
        options=(*options.GRAPHS, options.TARGET, options.encoder("gatv2")),
        summary="Train a regressor of whole graphs: one or several numbers per graph.",
        description="For a cost, a run time, an energy: any number that depends on all nodes and edges.",
        train_examples=(
            "--train groups.csv --nodes members.csv --edges ties.csv --target size --out runs/sizes",
        ),
        config_example=(
            "--encoder gcn",
            "--train groups.csv --nodes members.csv --edges ties.csv --target size",
        ),
        predict_summary="Predict the targets of the graphs of a table, in its own format",
    ),
    "reply": TaskEntry(
        module="heedful.tasks.reply",
        options=(*options.DIALOGUES, options.MODEL, options.ATTENTION),
        summary="Train a generator of replies: dialogues to what is said next.",
        description="Learns the replies of one speaker from the turns before them. Of a few thousand dialogues a "
        "ranker (rank-replies) makes better replies.",
        train_examples=(
            "--train builtin:answers --model gru --out runs/answers",
            "--train chats.jsonl --out runs/chat",
            "--train faq.csv --prompt question --reply answer --max-turns 1 --out runs/faq",
        ),
        config_example=("--model gru --set training.epochs=20", "--train builtin:answers"),
        test="FILE.jsonl",
        prediction_file="replies.txt",
        predict_summary="Reply to the histories of a file",
        can_chat=True,
    ),
    "rank-replies": TaskEntry(
        module="heedful.tasks.rank_replies",
        options=(*options.DIALOGUES, options.ENCODER),
        summary="Train a ranker of replies: the one that suits a dialogue best.",
        description="Learns two towers, which map histories and replies into one space, and chooses among the replies "
        "of the training.",
        train_examples=(
            "--train chats.jsonl --out runs/choose",
            "--train turns.tsv --group service --encoder gru --out runs/services",
        ),
        config_example=("--encoder gru --set training.epochs=10", "--train chats.jsonl"),
        test="FILE.jsonl",
        prediction_file="replies.txt",
        predict_summary="Choose replies to the histories of a file",
        can_chat=True,
    ),
}
"""Task name, as in `heedful train NAME` -> its entry."""


class _Tasks(Mapping[str, "Task"]):
    """The tasks of `ENTRIES`, each imported on first access."""

    def __getitem__(self, name: str) -> Task:
        entry = ENTRIES[name]
        task: Task = getattr(importlib.import_module(entry.module), entry.attribute)
        return task

    def __iter__(self) -> Iterator[str]:
        return iter(ENTRIES)

    def __len__(self) -> int:
        return len(ENTRIES)

    def __contains__(self, name: object) -> bool:
        return name in ENTRIES


TASKS: Final[Mapping[str, Task]] = _Tasks()
"""Task name -> task."""


def data_options() -> list[TaskOption]:
    """Return the data options of all tasks, without --train and --valid; the help names the tasks of each."""
    options_by_name: dict[str, TaskOption] = {}
    tasks: dict[str, dict[str, list[str]]] = {}
    for task, entry in ENTRIES.items():
        for option in entry.options[2:]:
            if option.setting.startswith("data."):
                options_by_name.setdefault(option.name, option)
                tasks.setdefault(option.name, {}).setdefault(option.help, []).append(task)
    return [
        replace(
            option,
            help=" ".join(f"{', '.join(names)}: {help}" for help, names in tasks[name].items()),
        )
        for name, option in options_by_name.items()
    ]
