"""Options of `heedful train`: how each is described, and the settings that it makes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from heedful.errors import OptionError, unknown_choice

TRANSFORMER: Final = "transformer"


class GivenOptions(NamedTuple):
    """What was given on the command line, and in a configuration file."""

    values: Mapping[str, Any]
    """Option -> value, of the options that were given."""
    in_file: Mapping[str, Any]
    """The settings of the file."""
    sets: Sequence[str]
    """Of `--set`."""
    task: str


@dataclass(frozen=True, kw_only=True)
class TaskOption:
    """An option `--name` of `heedful train` of a task."""

    name: str
    setting: str
    """The setting that it changes, such as `data.column`."""
    metavar: str
    help: str
    """May hold `{encoders}`, `{models}` and `{scores}`, for the names in these tables."""
    default: str = ""
    """What it is unless given, for the help."""
    many: bool = False
    """Whether it takes several values."""
    convert: Callable[[Any, GivenOptions], list[str]] | None = None
    """(value, all that was given) -> `section.key=value`, for an option that has to be checked first."""

    def overrides(self, value: Any, chosen: GivenOptions) -> list[str]:
        """Return the settings that a value makes, as `section.key=value`.

        Raises: OptionError for a value that does not exist, or does not go with the file.
        """
        if self.convert is not None:
            return self.convert(value, chosen)
        written = json.dumps(list(value) if self.many else value, ensure_ascii=False)
        return [f"{self.setting}={written}"]


def split_columns(columns: Sequence[str] | None) -> tuple[str, ...]:
    """Read `--columns A,B` (or `--columns A B`).

    Raises: OptionError unless there are two names.

    >>> split_columns(["en,de"])
    ('en', 'de')
    """
    names = tuple(name.strip() for each in columns or () for name in each.split(","))
    if names and (len(names) != 2 or not all(names)):
        raise OptionError(
            f"--columns wants the names of two columns, source and target, as in --columns en,de; "
            f"got {', '.join(columns or ())!r}"
        )
    return names


def _columns(value: Sequence[str], chosen: GivenOptions) -> list[str]:
    return [f"data.columns={json.dumps(split_columns(value), ensure_ascii=False)}"]


def _encoder(name: str, chosen: GivenOptions) -> list[str]:
    """Turn --encoder into a setting; a file's settings of another encoder cannot be kept."""
    from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS

    if name not in ENCODERS:
        raise unknown_choice("--encoder", name, ENCODERS)
    settings = set(_section(chosen, "encoder")) - {"kind"}
    if unknown := settings - set(ENCODER_CONFIGS[name].model_fields):
        raise OptionError(
            f"--encoder {name}, but the configuration file sets encoder.{min(unknown)}, which it does not "
            f"have; leave that out of the file, or start from `heedful config {chosen.task} --encoder {name}`"
        )
    return [f'encoder.kind="{name}"']


def _model(kind: str, chosen: GivenOptions) -> list[str]:
    """Turn --model into a setting; a file's settings of another kind of model cannot be kept."""
    from heedful.models import MODELS

    if kind not in MODELS:
        raise unknown_choice("--model", kind, MODELS)
    in_file = _section(chosen, "model")
    file_kind = str(in_file.get("kind", TRANSFORMER))
    if len(in_file) > 1 and (kind == TRANSFORMER) != (file_kind == TRANSFORMER):
        raise OptionError(
            f"--model {kind}, but the configuration file describes a {file_kind}, whose settings a "
            f"{kind} does not have; start from `heedful config translate --model {kind}`"
        )
    return [f'model.kind="{kind}"']


def _attention(name: str, chosen: GivenOptions) -> list[str]:
    """Turn --attention into the setting of the model's kind."""
    from heedful.models import MODELS
    from heedful.nn.scores import SCORE_MODULES

    kind = chosen.values.get("model") or str(_section(chosen, "model").get("kind", TRANSFORMER))
    for setting in chosen.sets:
        key, _, value = setting.partition("=")
        if key.strip() == "model.kind":
            kind = value.strip().strip("\"'")
    if kind == TRANSFORMER and name == "none":
        others = " or ".join(other for other in MODELS if other != TRANSFORMER)
        raise OptionError(
            f"a transformer is made of attention; --attention none goes with --model {others}"
        )
    names = [*SCORE_MODULES] if kind == TRANSFORMER else ["none", *SCORE_MODULES]
    if name not in names:
        raise unknown_choice("--attention", name, names)
    return [f'model.{"score" if kind == TRANSFORMER else "attention"}="{name}"']


def _section(chosen: GivenOptions, name: str) -> Mapping[str, Any]:
    found = chosen.in_file.get(name, {})
    return found if isinstance(found, dict) else {}


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
    help="Source and target column of a table, by name, or by number (1,2) where it has no header.",
    many=True,
    convert=_columns,
)
MODEL: Final = TaskOption(
    name="model",
    setting="model.kind",
    metavar="NAME",
    help="{models}.",
    default="transformer",
    convert=_model,
)
ATTENTION: Final = TaskOption(
    name="attention",
    setting="model.attention",
    metavar="NAME",
    help="How a query and a key are scored: {scores}; or none: no attention.",
    default="scaled_dot for a transformer, else additive",
    convert=_attention,
)
ENCODER: Final = TaskOption(
    name="encoder",
    setting="encoder.kind",
    metavar="NAME",
    help="What a token knows of its context: {encoders}.",
    default="lstm",
    convert=_encoder,
)
LABEL_COLUMN: Final = TaskOption(
    name="column",
    setting="data.column",
    metavar="NAME",
    help="Which column holds the labels: upos, xpos, feats, deprel, … or a feature such as Number; in "
    "columns a number, or last; in JSON lines a key.",
    default="upos, last or tags",
)
TOKEN_COLUMN: Final = TaskOption(
    name="tokens",
    setting="data.tokens",
    metavar="NAME",
    help="Which column holds the tokens: form, lemma, …; in columns a number; in JSON lines a key.",
    default="form, 1 or tokens",
)
TEXT: Final = TaskOption(
    name="text",
    setting="data.text",
    metavar="NAME",
    help="Column of the texts; a number, from 1, where the table has no header.",
    default="text",
)
LABEL: Final = TaskOption(
    name="label",
    setting="data.label",
    metavar="NAME",
    help="Column of the labels.",
    default="label",
)
TARGET: Final = TaskOption(
    name="target",
    setting="data.target",
    metavar="NAME",
    help="Column of the numbers.",
    default="target",
)
TABLES: Final = (
    train_files(
        "A table with a text and an answer a row: .tsv, .csv or .jsonl, .gz too; can be given again."
    ),
    valid_files(
        "Texts to choose the best weights by, given likewise.",
        default="a tenth of --train, cut off",
    ),
)
SERIES: Final = (
    train_files(
        "Series: .ts, .npy, or a table (.csv, .tsv, .jsonl) in long form (--series names the column of the series) or "
        "a file a series; or builtin:waves."
    ),
    valid_files(
        "Series to choose the best weights by, given likewise.",
        default="a fifth of --train, cut off",
    ),
    TaskOption(
        name="series",
        setting="data.series",
        metavar="NAME",
        help="Column that names the series of a row.",
        default="each file is one series",
    ),
    TaskOption(
        name="time",
        setting="data.time",
        metavar="NAME",
        help="Column that sorts the rows of a series.",
    ),
    TaskOption(
        name="file",
        setting="data.file",
        metavar="NAME",
        help="Column that names a file for each series.",
    ),
)
HORIZON: Final = TaskOption(
    name="horizon",
    setting="data.horizon",
    metavar="N",
    help="Steps to forecast.",
    default="1",
    convert=lambda value, chosen: [f"data.horizon={value}"],
)
