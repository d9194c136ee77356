"""Every task by its name: how the command shows it, and the module that defines it.

Only names, options and help texts are here, so that `heedful --help` need not import PyTorch.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heedful.tasks import options
from heedful.tasks.options import TaskOption, train_files, valid_files

if TYPE_CHECKING:
    from heedful.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """A task as the command shows it."""

    module: str
    """Defines the task."""
    attribute: str = "TASK"
    """The name of the task in that module."""
    options: Sequence[TaskOption]
    """Of `heedful train`, beside those that every task has; --train and --valid come first."""
    summary: str
    """What `heedful train` does, on one line."""
    text: str
    """What it is for."""
    examples: Sequence[str]
    """What follows `heedful train TASK`, in examples that run; the last word of the first is a run that is resumed."""
    config_example: tuple[str, str]
    """What follows `heedful config TASK`, and what is trained on with the file that it prints."""
    test: str = "FILE"
    """What `heedful evaluate --test` takes, for advice."""
    predicted: str = "predicted"
    """A name for the output of `heedful predict`, for advice."""
    predicts: str = "Predict a file"
    """What `heedful predict` does, for advice."""

    def train_help(self, name: str) -> str:
        """Return the help of `heedful train` of this task."""
        resumed = self.examples[0].split()[-1]
        lines = [*self.examples, f"--resume --out {resumed}"]
        examples = "".join(f"\n    heedful train {name} {line}" for line in lines)
        return f"{self.summary}\n\n{self.text} {_CHECKED}\n\nExample:{examples}\n"

    def config_help(self, name: str) -> str:
        """Return the help of `heedful config` of this task."""
        chosen, trained = self.config_example
        return (
            f"Print every setting of `heedful train {name}`, its meaning and default.\n\n"
            "Save it, change it, and train with it. What is not in a file has its default.\n\n"
            f"Example:\n    heedful config {name} {chosen} > {name}.toml"
            f"\n    heedful train {name} --config {name}.toml {trained} --out runs/{name}\n"
        )


_CHECKED: Final = (
    "Everything is checked before --out is touched. The run's folder holds the configuration, what was learned "
    "of the data, the best weights, metrics.jsonl and report.html."
)

ENTRIES: Final[dict[str, TaskEntry]] = {
    "translate": TaskEntry(
        module="heedful.tasks.translate",
        options=(
            train_files(
                "Two line-aligned files (.gz too); or one .tsv, .csv or .jsonl table with --columns; "
                "or builtin:dates, builtin:numbers.",
                "SRC TGT",
            ),
            valid_files(
                "Pairs to choose the best weights by, given likewise; built-in corpora bring their own.",
                "SRC TGT",
            ),
            options.COLUMNS,
            options.MODEL,
            options.ATTENTION,
        ),
        summary="Train a translator on pairs of texts.",
        text="Languages, spellings, notations: whatever turns one line into another. Two files with a text a line are "
        "enough; the vocabulary is made from them.",
        examples=(
            "--train train.en train.de --valid valid.en valid.de --out runs/en-de",
            "--train train.tsv --valid valid.tsv --columns en,de --out runs/table",
            "--train builtin:dates --model gru --attention additive --out runs/dates",
        ),
        config_example=("--model gru --set training.epochs=20", "--train builtin:dates"),
        test="TEST.SRC TEST.TGT",
        predicted="translated.txt",
        predicts="Translate a file, a text a line",
    ),
    "tag": TaskEntry(
        module="heedful.tasks.tag",
        options=(
            train_files(
                "Labelled sentences: .conllu, .conll (a token and its label a line) or .jsonl, .gz too; "
                "can be given again."
            ),
            valid_files("Sentences to choose the best weights by, given likewise."),
            options.LABEL_COLUMN,
            options.TOKEN_COLUMN,
            options.ENCODER,
        ),
        summary="Train a tagger: a label for each token.",
        text="Parts of speech, features, named entities: whatever stands in a column of CoNLL-U, in the last column "
        'of a CoNLL file, or under "tags" in JSON lines.',
        examples=(
            "--train train.conllu --valid dev.conllu --out runs/pos",
            "--train train.conllu --valid dev.conllu --column Number --encoder window --out runs/number",
            "--train train.conll --valid dev.conll --set labels.chain=true --out runs/entities",
        ),
        config_example=(
            "--encoder transformer --set training.epochs=10",
            "--train train.conllu --valid dev.conllu",
        ),
        predicted="labelled",
        predicts="Label a file, written in its own format",
    ),
    "classify": TaskEntry(
        module="heedful.tasks.classify",
        options=(*options.TABLES, options.TEXT, options.LABEL, options.ENCODER),
        summary="Train a classifier: a label for each text.",
        text="Topics, sentiment, languages, intents: whatever stands beside the texts of a table. With "
        "data.separator a text has any number of labels.",
        examples=(
            "--train train.tsv --valid dev.tsv --text sentence --out runs/mood",
            "--train questions.csv --label topic --encoder transformer --out runs/topics",
            "--train tagged.jsonl --label tags --set data.separator=, --out runs/tags",
        ),
        config_example=("--encoder transformer --set pooling.kind=mean", "--train train.tsv"),
        predicted="answered",
        predicts="Answer a table, written in its own format",
    ),
    "regress": TaskEntry(
        module="heedful.tasks.regress",
        options=(*options.TABLES, options.TEXT, options.TARGET, options.ENCODER),
        summary="Train a regressor: a number for each text.",
        text="Ratings, prices, solubilities: whatever number stands beside the texts of a table. Errors are in the "
        "target's own units.",
        examples=(
            "--train train.csv --valid dev.csv --text review --target stars --out runs/stars",
            "--train new.csv --text smiles --target logS --set vocabulary.kind=char --out runs/logS",
        ),
        config_example=("--encoder gru", "--train train.csv"),
        predicted="answered",
        predicts="Answer a table, written in its own format",
    ),
    "classify-series": TaskEntry(
        module="heedful.tasks.series",
        attribute="CLASSIFY",
        options=(*options.SERIES, options.LABEL, options.ENCODER),
        summary="Train a classifier: a label for each series of numbers.",
        text="Gestures, faults, heart beats: whatever is measured step by step, one number or several at once.",
        examples=(
            "--train builtin:waves --out runs/waves",
            "--train long.csv --series id --time t --label kind --encoder gru --out runs/kinds",
        ),
        config_example=("--encoder convolution", "--train builtin:waves"),
        predicted="answered.tsv",
        predicts="Label the series of a file",
    ),
    "regress-series": TaskEntry(
        module="heedful.tasks.series",
        attribute="REGRESS",
        options=(*options.SERIES, options.TARGET, options.ENCODER),
        summary="Train a regressor: a number for each series of numbers.",
        text="A temperature, a duration, a load: whatever number follows from a whole series.",
        examples=("--train builtin:waves --encoder convolution --out runs/delays",),
        config_example=("--encoder gru", "--train builtin:waves"),
        predicted="answered.tsv",
        predicts="Give the series of a file their numbers",
    ),
    "tag-series": TaskEntry(
        module="heedful.tasks.series",
        attribute="TAG",
        options=(*options.SERIES, options.LABEL, options.ENCODER),
        summary="Train a tagger: a label for each step of a series of numbers.",
        text="Sleep stages, activities, faults: whatever state changes from step to step.",
        examples=("--train builtin:waves --encoder gru --out runs/states",),
        config_example=("--encoder window", "--train builtin:waves"),
        predicted="labelled.tsv",
        predicts="Label each step of the series of a file",
    ),
    "forecast": TaskEntry(
        module="heedful.tasks.series",
        attribute="FORECAST",
        options=(*options.SERIES, options.HORIZON, options.ENCODER),
        summary="Train a forecaster: the next steps of a series of numbers.",
        text="The last steps of each series are for validation. Errors are shown beside those of the last value again, "
        "and with data.season beside those of the value one season before.",
        examples=("--train builtin:waves --horizon 4 --out runs/forecast",),
        config_example=("--encoder gru --set data.horizon=4", "--train builtin:waves"),
        predicted="forecast.tsv",
        predicts="Forecast the series of a file",
    ),
}
"""The word after `heedful train` -> how the command shows the task."""


class _Tasks(Mapping[str, "Task"]):
    """The tasks of `ENTRIES`, each imported when it is asked for."""

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
"""The word after `heedful train` -> the task."""


def data_options() -> list[TaskOption]:
    """Return the options of `heedful train` that name columns, of all tasks."""
    found = {
        option.name: option
        for entry in ENTRIES.values()
        for option in entry.options[2:]
        if option.setting.startswith("data.")
    }
    return list(found.values())
