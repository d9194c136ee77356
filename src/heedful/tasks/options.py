"""Task options of `heedful train`: help texts, and the settings that they change."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from heedful.data.decoding import canonical_name
from heedful.errors import OptionError, shown, unknown_choice

TRANSFORMER: Final = "transformer"


class GivenOptions(NamedTuple):
    """Everything given on the command line and in the configuration file."""

    values: Mapping[str, Any]
    """Option -> value, for the options given."""
    in_file: Mapping[str, Any]
    """Settings of the configuration file."""
    sets: Sequence[str]
    """Values of `--set`."""
    task: str


@dataclass(frozen=True, kw_only=True)
class TaskOption:
    """An option of `heedful train TASK`: `--name`, with hyphens for underscores."""

    name: str
    """Also the name of the keyword of `heedful.train`."""
    setting: str
    """The setting that it changes, such as `data.column`; `compare` has the options of the section data."""
    metavar: str
    """Placeholder for its value in the help, such as NAME."""
    help: str
    """May contain `{encoders}`, `{models}`, `{decoders}` and `{scores}`, placeholders for the names in these tables."""
    default: str = ""
    """Default value, as shown in the help."""
    many: bool = False
    """Whether it takes several values."""
    is_number: bool = False
    """Whether the value is written as a number instead of a string."""
    flag: bool = False
    """Whether it takes no value."""
    convert: Callable[[Any, GivenOptions], list[str]] | None = None
    """(value, all options) -> `section.key=value`, for an option that needs validation."""

    def overrides(self, value: Any, given: GivenOptions) -> list[str]:
        """Return a value of the option as settings, `section.key=value`.

        Raises: OptionError for an invalid value, or one that conflicts with the file.
        """
        if self.is_number:
            return [f"{self.setting}={value}"]
        if self.convert is not None:
            return self.convert(value, given)
        text = json.dumps(list(value) if self.many else value, ensure_ascii=False)
        return [f"{self.setting}={text}"]


def split_columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """Parse `--columns A,B` (or `--columns A B`).

    Raises: OptionError unless there are two names.

    >>> split_columns(["en,de"])
    ('en', 'de')
    """
    names = tuple(name.strip() for each in columns or () for name in each.split(","))
    if names and (len(names) != 2 or not all(names)):
        raise OptionError(
            f"--columns takes the names of two columns, source and target, as in --columns en,de; "
            f"got {', '.join(columns or ())!r}"
        )
    return names


def read_otherwise(
    data: Any,
    *,
    columns: Sequence[str] | None = None,
    column: str | None = None,
    tokens: str | None = None,
    encoding: str | None = None,
    max_line: int | None = None,
    skip_bad: bool = False,
    edges: Sequence[str] | None = None,
    nodes: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
) -> Any:
    """Return the section `data` of a run with the options given for another file.

    Raises: OptionError for an unknown encoding, columns that are not two, and an option that says nothing about these
        data.
    """
    chosen = {
        "columns": split_columns(columns),
        "column": column,
        "tokens": tokens,
        "encoding": encoding and canonical_name(encoding),
        "max_line": max_line,
        "skip_bad": skip_bad,
        "edges": tuple(edges or ()),
        "nodes": tuple(nodes or ()),
        "labels": tuple(labels or ()),
    }
    # Imported here: it imports PyTorch, for which `--help` should not wait.
    from heedful.config import build

    changes = {name: value for name, value in chosen.items() if value}
    for name in changes:
        if name not in type(data).model_fields:
            option = f"--{name.replace('_', '-')}"
            raise OptionError(
                f"{option} says nothing about the data of this run, which have no setting data.{name}; leave it out"
            )
    return build(type(data), {**dict(data), **changes})


def _columns(value: Sequence[str], given: GivenOptions) -> list[str]:
    return [f"data.columns={json.dumps(split_columns(value), ensure_ascii=False)}"]


_SEVERAL_LABELS: Final = ("classify", "classify-molecules", "classify-graphs", "")
"""Tasks whose labels may be columns of 0 and 1; empty: `compare`."""


def _label(value: str | Sequence[str], given: GivenOptions) -> list[str]:
    """Convert --label NAME, or --label A,B,C for the 0/1 columns of several labels of a text."""
    names = value.split(",") if isinstance(value, str) else value
    if isinstance(value, str) and (len(names) == 1 or given.task not in _SEVERAL_LABELS):
        others = ["data.label_columns=[]"] if _section(given, "data").get("label_columns") else []
        return [f"data.label={json.dumps(value, ensure_ascii=False)}", *others]
    columns = [name.strip() for name in names]
    return [f"data.label_columns={json.dumps(columns, ensure_ascii=False)}"]


def _encoder(name: str, given: GivenOptions) -> list[str]:
    """Convert --encoder to a setting; refuse settings in the file that this encoder does not have."""
    from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS

    if name not in ENCODERS:
        raise unknown_choice("--encoder", name, ENCODERS)
    settings = set(_section(given, "encoder")) - {"kind"}
    if unknown := settings - set(ENCODER_CONFIGS[name].model_fields):
        raise OptionError(
            f"--encoder {name}, but the configuration file sets encoder.{min(unknown)}, which it does not "
            f"have; remove that from the file, or start from `heedful config {given.task} --encoder {name}`"
        )
    return [f'encoder.kind="{name}"']


def _model(kind: str, given: GivenOptions) -> list[str]:
    """Convert --model to a setting; refuse settings in the file that this kind of model does not have."""
    from heedful.models import MODELS

    if kind not in MODELS:
        raise unknown_choice("--model", kind, MODELS)
    in_file = _section(given, "model")
    file_kind = str(in_file.get("kind", TRANSFORMER))
    if len(in_file) > 1 and (kind == TRANSFORMER) != (file_kind == TRANSFORMER):
        raise OptionError(
            f"--model {kind}, but the configuration file describes a {file_kind}, whose settings a "
            f"{kind} does not have; start from `heedful config translate --model {kind}`"
        )
    return [f'model.kind="{kind}"']


def _attention(name: str, given: GivenOptions) -> list[str]:
    """Convert --attention to the setting of the model kind."""
    from heedful.models import MODELS
    from heedful.nn.scores import SCORE_MODULES

    kind = given.values.get("model") or str(_section(given, "model").get("kind", TRANSFORMER))
    for setting in given.sets:
        key, _, value = setting.partition("=")
        if key.strip() == "model.kind":
            kind = value.strip().strip("\"'")
    if kind == TRANSFORMER and name == "none":
        others = " or ".join(other for other in MODELS if other != TRANSFORMER)
        raise OptionError(
            f"a transformer cannot go without attention; use --attention none with --model {others}"
        )
    names = [*SCORE_MODULES] if kind == TRANSFORMER else ["none", *SCORE_MODULES]
    if name not in names:
        raise unknown_choice("--attention", name, names)
    return [f'model.{"score" if kind == TRANSFORMER else "attention"}="{name}"']


def _decoder(kind: str, given: GivenOptions) -> list[str]:
    """Convert --decoder to a setting; refuse settings in the file that this kind of decoder does not have."""
    from heedful.models.transcriber import TEXT_DECODERS

    if kind not in ("none", *TEXT_DECODERS):
        raise unknown_choice("--decoder", kind, ("none", *TEXT_DECODERS))
    in_file = _section(given, "decoder")
    file_kind = str(in_file.get("kind", "gru"))
    recurrent = ("gru", "lstm", "rnn")
    if len(in_file) > 1 and kind != file_kind and not {kind, file_kind} <= {*recurrent}:
        raise OptionError(
            f"--decoder {kind}, but the configuration file describes a decoder of kind {file_kind}, whose settings "
            f"{kind} does not have; start from `heedful config {given.task} --decoder {kind}`"
        )
    return [f'decoder.kind="{kind}"']


def _files(setting: str) -> Callable[[str | Sequence[str], GivenOptions], list[str]]:
    """Convert names of files; in Python one of them may be given alone."""

    def convert(value: str | Sequence[str], given: GivenOptions) -> list[str]:
        names = [value] if isinstance(value, str) else [str(each) for each in value]
        return [f"{setting}={json.dumps(names, ensure_ascii=False)}"]

    return convert


def _counts(value: str | Sequence[int], given: GivenOptions) -> list[str]:
    """Convert --neighbours 10,5.

    Raises: OptionError for what is no list of whole numbers.
    """
    parts = value.split(",") if isinstance(value, str) else [str(each) for each in value]
    if not all(part.strip().isdecimal() and len(part.strip()) < 10 for part in parts):
        raise OptionError(f"--neighbours takes whole numbers, as in 10,5; got {value!r:.40}")
    return [f"data.neighbours=[{', '.join(str(int(part)) for part in parts)}]"]


def _section(given: GivenOptions, name: str) -> Mapping[str, Any]:
    section = given.in_file.get(name, {})
    return section if isinstance(section, dict) else {}


def train_files(help: str, metavar: str = "FILE") -> TaskOption:
    """Return the option --train."""
    return TaskOption(name="train", setting="data.train", metavar=metavar, help=help, many=True)


def valid_files(help: str, metavar: str = "FILE", default: str = "") -> TaskOption:
    """Return the option --valid."""
    return TaskOption(
        name="valid", setting="data.valid", metavar=metavar, help=help, default=default, many=True
    )


COLUMNS: Final = TaskOption(
    name="columns",
    setting="data.columns",
    metavar="A,B",
    help="Source and target columns of a table: names, or numbers (1,2) if it has no header.",
    many=True,
    convert=_columns,
)
ALIGNMENTS: Final = TaskOption(
    name="alignments",
    setting="data.alignments",
    metavar="FILE",
    help="Word alignments of the training pairs in Pharaoh format (0-0 1-2), which the attention learns.",
)
MODEL: Final = TaskOption(
    name="model",
    setting="model.kind",
    metavar="NAME",
    help="Kind of model: {models}.",
    default="transformer",
    convert=_model,
)
ATTENTION: Final = TaskOption(
    name="attention",
    setting="model.attention",
    metavar="NAME",
    help="Attention score: {scores}; or none for no attention.",
    default="scaled_dot for a transformer, else additive",
    convert=_attention,
)
ENCODER: Final = TaskOption(
    name="encoder",
    setting="encoder.kind",
    metavar="NAME",
    help="Kind of encoder: {encoders}.",
    default="lstm",
    convert=_encoder,
)


def encoder(default: str) -> TaskOption:
    """Return the option of the encoder for a task with another default."""
    return replace(ENCODER, default=default)


LABEL_COLUMN: Final = TaskOption(
    name="column",
    setting="data.column",
    metavar="NAME",
    help="Labels: a CoNLL-U column (upos, xpos, feats, deprel, …) or a feature such as Number; a column number or "
    '"last" of CoNLL; a key of JSON lines.',
    default="upos, last or tags",
)
TOKEN_COLUMN: Final = TaskOption(
    name="tokens",
    setting="data.tokens",
    metavar="NAME",
    help="Tokens: a CoNLL-U column (form, lemma, …), a column number of CoNLL, or a key of JSON lines.",
    default="form, 1 or tokens",
)
TEXT: Final = TaskOption(
    name="text",
    setting="data.text",
    metavar="NAME",
    help="Column of the texts; a number, from 1, if the table has no header.",
    default="text",
)
TRANSCRIPT: Final = TaskOption(
    name="text",
    setting="data.text",
    metavar="NAME",
    help="Column of the transcripts.",
    default="text, sentence, transcript, transcription or normalized_text",
)
DECODER: Final = TaskOption(
    name="decoder",
    setting="decoder.kind",
    metavar="NAME",
    help="Kind of decoder with attention: {decoders}; or none for CTC alone.",
    default="gru",
    convert=_decoder,
)
LABEL: Final = TaskOption(
    name="label",
    setting="data.label",
    metavar="NAME",
    help="Column of the labels. For texts with several labels A,B,C names 0/1 columns, one per label.",
    default="label",
    convert=_label,
)
CLASS_WEIGHTS: Final = TaskOption(
    name="class_weights",
    setting="training.class_weights",
    metavar="NAME",
    help="Weights of the labels in the training loss, for labels that are unevenly frequent: none, balanced or "
    "effective.",
    default="none",
)
TARGET: Final = TaskOption(
    name="target",
    setting="data.target",
    metavar="NAME",
    help="Column of the numbers to predict; several, separated by commas, are learned together.",
    default="target",
)
TABLES: Final = (
    train_files(
        "Training table, one text and its target per row: .tsv, .csv or .jsonl. May be gzipped; repeatable."
    ),
    valid_files(
        "Validation table to select the best checkpoint, in the same format.",
        default="10% of --train",
    ),
)
ENCODING: Final = TaskOption(
    name="encoding",
    setting="data.encoding",
    metavar="NAME",
    help="Encoding of the files, such as utf-16, cp1252 (Windows), gb18030 or shift_jis.",
    default="utf-8",
)
MAX_LINE: Final = TaskOption(
    name="max_line",
    setting="data.max_line",
    metavar="BYTES",
    help="Maximum length of a line of a text file; a longer one is an error.",
    default="10000000",
    is_number=True,
)
SKIP_BAD: Final = TaskOption(
    name="skip_bad",
    setting="data.skip_bad",
    metavar="",
    help="Leave out rows without a text or an answer; the run lists them in skipped.txt.",
    flag=True,
)
ROWS: Final = (ENCODING, MAX_LINE, SKIP_BAD)
SERIES: Final = (
    train_files(
        "Training series: .ts; .npy; a .csv, .tsv or .jsonl table in long form (with --series) or per series; or "
        "builtin:waves."
    ),
    valid_files(
        "Validation series to select the best checkpoint, in the same format.",
        default="20% of --train",
    ),
    TaskOption(
        name="series",
        setting="data.series",
        metavar="NAME",
        help="Column that identifies the series of a row.",
        default="each file is one series",
    ),
    TaskOption(
        name="time",
        setting="data.time",
        metavar="NAME",
        help="Column to sort the rows of a series by.",
    ),
    TaskOption(
        name="file",
        setting="data.file",
        metavar="NAME",
        help="Column that names the file of each series.",
    ),
)
SIZE: Final = TaskOption(
    name="size",
    setting="data.size",
    metavar="N",
    help="Height and width of all images in pixels.",
    default="that of the training images, if it is the same for all and at most 128; else 64",
    is_number=True,
)
IMAGES: Final = (
    train_files(
        "Training images: a folder with a folder for each class, or with metadata.csv; a .csv, .tsv or .jsonl table "
        "that names files (with --image); or an IDX file. A folder may be divided into train, valid and test.",
        "PATH",
    ),
    valid_files(
        "Validation images to select the best checkpoint, in the same format.",
        "PATH",
        default="the part valid of the folder, or 10% of --train",
    ),
    TaskOption(
        name="image",
        setting="data.image",
        metavar="NAME",
        help="Column of a table that names the file of each image.",
        default="file_name",
    ),
    SIZE,
    TaskOption(
        name="patch",
        setting="data.patch",
        metavar="N",
        help="Height and width in pixels of a cell, which is one position of the model.",
        default="4",
        is_number=True,
    ),
    TaskOption(
        name="frames",
        setting="data.frames",
        metavar="N",
        help="Frames to read of each video, which is a folder of frames or a .npy file.",
        default="0: the data are images",
        is_number=True,
    ),
    TaskOption(
        name="skip_bad",
        setting="data.skip_bad",
        metavar="",
        help="Leave out images that cannot be decoded, and rows without an answer; the run lists them in skipped.txt.",
        flag=True,
    ),
)
OBJECTS: Final = (
    train_files(
        "Training images with objects: a JSON file in COCO's format, or a folder that holds it as instances.json; or "
        "builtin:scenes. A folder may be divided into train, valid and test.",
        "PATH",
    ),
    valid_files(
        "Validation images to select the best checkpoint, in the same format.",
        "PATH",
        default="the part valid of the folder, or 10% of --train",
    ),
    TaskOption(
        name="images",
        setting="data.images",
        metavar="FOLDER",
        help="Folder of the images.",
        default="that of the JSON file, or the folder images beside it",
    ),
    SIZE,
    TaskOption(
        name="patch",
        setting="data.patch",
        metavar="N",
        help="Height and width in pixels of a cell, which is one position of the model.",
        default="8",
        is_number=True,
    ),
    TaskOption(
        name="queries",
        setting="objects.queries",
        metavar="N",
        help="Object queries: the most objects that an image can have.",
        default="12",
        is_number=True,
    ),
    TaskOption(
        name="skip_bad",
        setting="data.skip_bad",
        metavar="",
        help="Leave out images that cannot be decoded and annotations that cannot be used; the run lists them in "
        "skipped.txt.",
        flag=True,
    ),
)
MOLECULES: Final = (
    train_files(
        "Training table, one SMILES and its target per row: .csv, .tsv or .jsonl. May be gzipped; repeatable."
    ),
    valid_files(
        "Validation table to select the best checkpoint, in the same format.",
        default="10% of --train, or the part that --split chooses",
    ),
    TaskOption(
        name="smiles",
        setting="data.text",
        metavar="NAME",
        help="SMILES column.",
        default="smiles",
    ),
    TaskOption(
        name="view",
        setting="inputs.view",
        metavar="NAME",
        help="What is read of a molecule: atoms; characters, of its SMILES; or both, by an ensemble.",
        default="atoms",
    ),
    TaskOption(
        name="split",
        setting="data.split",
        metavar="NAME",
        help="Divide --train into training, validation and test parts: random, scaffold or scaffold_balanced.",
        default="none: a share is split off for validation",
    ),
    TaskOption(
        name="splits_file",
        setting="data.splits_file",
        metavar="FILE",
        help="Divide --train as a JSON file says, with the rows of train, val and test.",
    ),
    TaskOption(
        name="splits_column",
        setting="data.splits_column",
        metavar="NAME",
        help="Divide --train as a column says: train, val or test.",
    ),
    ENCODING,
    TaskOption(
        name="skip_bad",
        setting="data.skip_bad",
        metavar="",
        help="Leave out rows whose SMILES cannot be read, or without an answer; the run lists them in skipped.txt.",
        flag=True,
    ),
)
_EDGES: Final = (
    TaskOption(
        name="directed",
        setting="data.directed",
        metavar="",
        help="Follow edges from source to target alone.",
        flag=True,
    ),
    TaskOption(
        name="neighbours",
        setting="data.neighbours",
        metavar="N,N",
        help="Most neighbours of a node to read at each hop, for graphs too large to be read whole.",
        default="all",
        convert=_counts,
    ),
)
"""How the edges of a graph are followed."""
NODES: Final = (
    train_files(
        "Table of the nodes of a graph: .csv, .tsv or .jsonl with an id, features and the answer of each node that has "
        "one; a .graphml; or builtin:papers. May be gzipped."
    ),
    valid_files(
        "Table of the nodes of another graph to select the best checkpoint.",
        default="the nodes that the column split says, or 10% of those with an answer",
    ),
    TaskOption(
        name="edges",
        setting="data.edges",
        metavar="FILE",
        help="Table of the edges: source and target of each, and features.",
        many=True,
        convert=_files("data.edges"),
    ),
    TaskOption(
        name="labels",
        setting="data.labels",
        metavar="FILE",
        help="Table of the answers: an id and its answer per row, and its part if there is a column for it.",
        default="they are in the table of nodes",
        many=True,
        convert=_files("data.labels"),
    ),
    TaskOption(
        name="valid_edges",
        setting="data.valid_edges",
        metavar="FILE",
        help="Table of the edges of the graph of --valid.",
        default="--edges",
        many=True,
        convert=_files("data.valid_edges"),
    ),
    *_EDGES,
    ENCODING,
)
GRAPHS: Final = (
    train_files(
        "Table of graphs, the name of one and its answer per row: .csv, .tsv or .jsonl. May be gzipped; repeatable."
    ),
    valid_files(
        "Validation table to select the best checkpoint, in the same format.",
        default="10% of --train, or the part that --splits-column says",
    ),
    TaskOption(
        name="nodes",
        setting="data.nodes",
        metavar="FILE",
        help="Table of the nodes of all graphs: its graph, an id and features of each.",
        default="the nodes are those of the edges",
        many=True,
        convert=_files("data.nodes"),
    ),
    TaskOption(
        name="edges",
        setting="data.edges",
        metavar="FILE",
        help="Table of the edges of all graphs: its graph, source and target of each, and features.",
        many=True,
        convert=_files("data.edges"),
    ),
    TaskOption(
        name="graph",
        setting="data.text",
        metavar="NAME",
        help="Column that names the graph, in all tables.",
        default="graph",
    ),
    TaskOption(
        name="splits_column",
        setting="data.splits_column",
        metavar="NAME",
        help="Divide --train as a column says: train, val or test.",
    ),
    _EDGES[0],
    ENCODING,
    SKIP_BAD,
)
LINKS: Final = (
    train_files(
        "Table of links, a source and a target per row: .csv, .tsv or .jsonl. May be gzipped; repeatable."
    ),
    valid_files("None: validation links are a part of --train.", default="10% of --train"),
    TaskOption(
        name="nodes",
        setting="data.nodes",
        metavar="FILE",
        help="Table of the nodes and their features.",
        default="the nodes are known by their ids alone",
        many=True,
        convert=_files("data.nodes"),
    ),
    TaskOption(
        name="time",
        setting="data.time",
        metavar="NAME",
        help="Column of the times of links: the latest are for validation and test.",
        default="they are drawn at random",
    ),
    *_EDGES,
    ENCODING,
)
AUDIO: Final = (
    train_files(
        "Training recordings: a folder with a folder per label; a table (.csv, .tsv, .jsonl), manifest (.json) or "
        "Kaldi folder that lists files; or builtin:tones."
    ),
    valid_files(
        "Validation recordings to select the best checkpoint, given in the same way.",
        default="10% of --train",
    ),
    TaskOption(
        name="audio",
        setting="data.audio",
        metavar="NAME",
        help="Column of the paths, relative to the table.",
        default="audio, audio_filepath, file_name, path or file",
    ),
    TaskOption(
        name="rate",
        setting="data.rate",
        metavar="HZ",
        help="Samples per second; recordings of other rates are resampled.",
        default="16000",
        is_number=True,
    ),
    SKIP_BAD,
)
HORIZON: Final = TaskOption(
    name="horizon",
    setting="data.horizon",
    metavar="N",
    help="Number of steps to forecast.",
    default="1",
    is_number=True,
)

DIALOGUES: Final = (
    train_files(
        "Training dialogues: .jsonl with messages or conversations, a table (.tsv, .csv, .jsonl) of prompts and "
        "replies or of turns, ParlAI's .txt, or builtin:answers. May be gzipped; repeatable."
    ),
    valid_files(
        "Validation dialogues to select the best checkpoint, in the same forms.",
        default="10% of the dialogues of --train",
    ),
    TaskOption(
        name="speaker",
        setting="data.speaker",
        metavar="NAME",
        help="Whose turns are learned, as the files name them.",
        default="the assistant's, or those of all but the first speaker",
    ),
    TaskOption(
        name="dialogue",
        setting="data.dialogue",
        metavar="NAME",
        help="Table of turns: column that identifies a dialogue.",
        default="dialogue, conversation, thread, …",
    ),
    TaskOption(
        name="by",
        setting="data.by",
        metavar="NAME",
        help="Table of turns: column of the speakers.",
        default="speaker, role, author or from",
    ),
    TaskOption(
        name="text",
        setting="data.text",
        metavar="NAME",
        help="Table of turns: column of the texts.",
        default="text, utterance, content or message",
    ),
    TaskOption(
        name="prompt",
        setting="data.prompt",
        metavar="NAME",
        help="Table of prompts and replies: column of prompts; a number, from 1, if it has no header.",
        default="prompt, question, input, …",
    ),
    TaskOption(
        name="reply",
        setting="data.reply",
        metavar="NAME",
        help="Table of prompts and replies: column of replies.",
        default="reply, response, answer, …",
    ),
    TaskOption(
        name="group",
        setting="data.group",
        metavar="NAME",
        help="Column or key of the group of a dialogue, such as its topic.",
        default="none",
    ),
    TaskOption(
        name="max_turns",
        setting="data.max_turns",
        metavar="N",
        help="Turns before a reply that are read; 0: none.",
        default="8",
        is_number=True,
    ),
    ENCODING,
    MAX_LINE,
    SKIP_BAD,
)


def _devices(value: Any, given: GivenOptions) -> list[str]:
    word = str(value)
    if word == "auto":
        return ['training.devices="auto"']
    if not word.isdecimal() or int(word) < 1:
        raise OptionError(f"--devices takes a number from 1 on, or auto; got {shown(value)}")
    return [f"training.devices={int(word)}"]


COMMON: Final = (
    TaskOption(
        name="epochs",
        setting="training.epochs",
        metavar="N",
        help="Maximum passes over the training data.",
        is_number=True,
    ),
    TaskOption(
        name="batch",
        setting="training.batch_tokens",
        metavar="N",
        help="Maximum tokens (steps of series, frames of recordings) in a batch, padding included.",
        is_number=True,
    ),
    TaskOption(
        name="lr",
        setting="training.learning_rate",
        metavar="X",
        help="Peak learning rate.",
        is_number=True,
    ),
    TaskOption(
        name="seed",
        setting="training.seed",
        metavar="N",
        help="Seed of weights, dropout and batch order.",
        is_number=True,
    ),
    TaskOption(
        name="threads",
        setting="training.threads",
        metavar="N",
        help="CPU threads; 0: PyTorch's choice.",
        is_number=True,
    ),
    TaskOption(
        name="checkpoint_minutes",
        setting="training.checkpoint_minutes",
        metavar="N",
        help="Minutes between checkpoints, what a killed training loses at most; 0: only at the end of each epoch.",
        default="5",
        is_number=True,
    ),
    TaskOption(
        name="device",
        setting="training.accelerator",
        metavar="NAME",
        help="cpu, cuda, mps or auto.",
        default="cpu",
    ),
    TaskOption(
        name="devices",
        setting="training.devices",
        metavar="N",
        help="Processes on this machine that train the model together, or auto.",
        default="1",
        convert=_devices,
    ),
    TaskOption(
        name="nodes",
        setting="training.nodes",
        metavar="M",
        help="Machines that train the model together; start the command on each.",
        default="1",
        is_number=True,
    ),
    TaskOption(
        name="strategy",
        setting="training.strategy",
        metavar="NAME",
        help="ddp: each process holds the whole training state; fsdp: a part of it.",
        default="ddp",
    ),
    TaskOption(
        name="precision",
        setting="training.precision",
        metavar="NAME",
        help="32-true, bf16-mixed, 16-mixed or 64-true.",
        default="32-true",
    ),
)
"""Options of every task."""
