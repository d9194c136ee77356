"""What the commands ask of a task, and the options that they hand on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.cli.output import Output
    from heedful.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """The options of `heedful evaluate`; those of which a task knows nothing keep their defaults."""

    test: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    beam: int | None = None
    by_length: bool = False


@dataclass(frozen=True, kw_only=True)
class PredictOptions:
    """The options of `heedful predict`."""

    file: str = "-"
    beam: int | None = None
    length_penalty: float | None = None
    nbest: int = 1
    alignments: Path | None = None
    column: str | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """The options of `heedful explain`. Layers and heads are counted from 1; None is all."""

    texts: Sequence[str] = ()
    reference: Sequence[str] | None = None
    out: Path | None = None
    kind: str | None = None
    layer: int | None = None
    head: int | None = None
    beam: int | None = None
    overwrite: bool = False


Options = EvaluateOptions | PredictOptions | ExplainOptions


@dataclass(frozen=True)
class TaskCommands:
    """What the commands do for one task."""

    task: Task[Any, Any, Any]
    read_training: Callable[[Any], tuple[Any, Any]]
    """The configuration's section `data` -> training and validation data."""
    write_report: Callable[[Any, Path, Any], Path]
    """(predictor, run, validation data) -> where the report is."""
    next_commands: Callable[[Path, Any, Any], list[tuple[str, str]]]
    """(run, validation data, section `data`) -> commands to type and what they do."""
    evaluate: Callable[[Path, EvaluateOptions, Output], None]
    predict: Callable[[Path, PredictOptions, Output], None]
    explain: Callable[[Path, ExplainOptions, Output], None]


def refuse_others(options: Options, task: str, known: Collection[str]) -> None:
    """Raise OptionError for an option that was given and that the task knows nothing of.

    >>> refuse_others(EvaluateOptions(beam=3), "tag", ["test"])
    Traceback (most recent call last):
    heedful.errors.OptionError: --beam means nothing to a run of 'tag'; leave it out
    """
    for field in fields(options):
        if field.name not in known and getattr(options, field.name) != field.default:
            name = field.name.replace("_", "-")
            raise OptionError(f"--{name} means nothing to a run of {task!r}; leave it out")
