"""What is to be compared: contenders laid over a common base, seeds, parts of the data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from heedful.answers.base import Answer, Metric
from heedful.compare.budget import Budget, parse_budget
from heedful.config import Values, build
from heedful.errors import OptionError, unknown_choice
from heedful.models.config import Section
from heedful.models.encoders import ENCODERS
from heedful.tasks.base import Task
from heedful.tasks.table import TASKS


class CompareSection(Section):
    """The section `compare` of a configuration."""

    task: str = Field("tag", description="Which task the contenders learn.")
    encoders: tuple[str, ...] = Field(
        (), description="Contenders that differ in nothing but this encoder."
    )
    seeds: int = Field(3, ge=1, description="Trainings of each contender, from different seeds.")
    budget: str = Field(
        "", description="epochs=N, steps=N, tokens=N or seconds=N; empty: training.epochs."
    )
    fractions: tuple[float, ...] = Field(
        (1.0,), description="Parts of the training data to learn from; 1, all of it, is always one."
    )
    lengths: tuple[int, ...] = Field(
        (8, 32, 128, 512), description="Lengths at which the time of one answer is measured."
    )
    quality: float = Field(
        0.0, ge=0, description="Time to this quality is reported; 0: what all contenders reach."
    )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training."""

    contender: str
    seed: int
    fraction: float
    config: Any
    """The task's whole configuration."""

    @property
    def name(self) -> str:
        """Of its folder.

        >>> Job(contender="lstm", seed=1, fraction=0.1, config=None).name
        'lstm-seed-1-of-0.1'
        """
        part = "" if self.fraction == 1 else f"-of-{self.fraction:g}"
        return f"{self.contender}-seed-{self.seed}{part}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A whole comparison."""

    task: Task
    contenders: Mapping[str, Any]
    """Name -> the task's whole configuration."""
    settings: Mapping[str, Values]
    """Name -> what it lays over the base, for people."""
    seeds: tuple[int, ...]
    fractions: tuple[float, ...]
    """From the smallest to 1."""
    lengths: tuple[int, ...]
    budget: Budget
    target: float = 0.0

    @property
    def answer(self) -> type[Answer[Any]]:
        """Computes the metric by which the contenders are compared."""
        return self.task.answer

    @property
    def metric(self) -> Metric:
        """How that metric is shown."""
        return self.answer.metrics[self.answer.primary_metric]

    @property
    def jobs(self) -> list[Job]:
        """List every training: whole data first, one seed of every contender before the next."""
        return [
            Job(
                contender=name,
                seed=seed,
                fraction=fraction,
                config=_with_training(config, {"seed": config.training.seed + seed}),
            )
            for fraction in sorted(self.fractions, reverse=True)
            for seed in self.seeds
            for name, config in self.contenders.items()
        ]


Where = Callable[[Sequence[str]], str]
"""A key path within a configuration -> a text such as "compare.toml, line 3: " that starts a message."""


def make_plan(
    section: CompareSection,
    base: Values,
    contenders: Mapping[str, Values],
    where: Where = lambda keys: "",
) -> Plan:
    """Lay the contenders over the base and check all of it.

    Args:
        section: what is compared and how.
        base: the task's settings that all contenders share.
        contenders: name -> settings laid over the base; `section.encoders` adds more.
        where: tells where in a file a key path stands.

    Raises: OptionError for whatever does not go: an unknown task, encoder, setting or budget, fewer
        than two contenders, parts of the data that are none.
    """
    if section.task not in TASKS:
        raise unknown_choice("task", section.task, TASKS)
    task = TASKS[section.task]
    kind = task.configuration
    named = {**_by_encoder(section, kind.model_fields), **contenders}
    if len(named) < 2:
        raise OptionError(
            f"a comparison wants two contenders or more, got {', '.join(named) or 'none'}; give --encoders A,B "
            "or sections [contenders.NAME]"
        )
    built = {
        name: _contender(kind, name, merge(base, settings), name in contenders, where)
        for name, settings in named.items()
    }
    first = next(iter(built.values()))
    epochs = f"epochs={first.training.epochs}"
    budget = parse_budget(section.budget or epochs)
    return Plan(
        task=task,
        contenders={name: _with_training(each, budget.settings()) for name, each in built.items()},
        settings=named,
        seeds=tuple(range(section.seeds)),
        fractions=_fractions(section.fractions),
        lengths=_lengths(section.lengths),
        budget=budget,
        target=section.quality,
    )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> Values:
    """Lay nested settings over others; a section of another `kind` starts afresh.

    >>> merge({"encoder": {"kind": "lstm", "hidden": 8}}, {"encoder": {"hidden": 9}})
    {'encoder': {'kind': 'lstm', 'hidden': 9}}
    >>> merge({"encoder": {"kind": "lstm", "hidden": 8}}, {"encoder": {"kind": "none"}})
    {'encoder': {'kind': 'none'}}
    """
    if "kind" in over and over["kind"] != base.get("kind"):
        return dict(over)
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        inner = isinstance(value, Mapping)
        merged[key] = merge(below if isinstance(below, Mapping) else {}, value) if inner else value
    return merged


def _by_encoder(section: CompareSection, sections: Mapping[str, Any]) -> dict[str, Values]:
    if section.encoders and "encoder" not in sections:
        raise OptionError(
            f"{section.task} has no section `encoder`, so --encoders cannot be laid over it; name the contenders "
            "in a file, as [contenders.NAME.model]"
        )
    for name in section.encoders:
        if name not in ENCODERS:
            raise unknown_choice("encoder", name, ENCODERS)
    return {name: {"encoder": {"kind": name}} for name in section.encoders}


def _contender(kind: Any, name: str, values: Values, in_file: bool, where: Where) -> Any:
    """Build one configuration; an error names the contender and, where it can, the line."""
    if not re.fullmatch(r"[\w+][\w+.-]*", name):
        raise OptionError(
            f"contender {name!r}: a name is of letters, digits, _, +, - and . alone, for it names a folder"
        )

    def place(keys: Sequence[str]) -> str:
        found = where(["contenders", name, *keys]) if in_file else ""
        return f"{found or where(keys)}contender {name!r}: "

    return build(kind, values, where=place)


def _with_training(config: Any, changes: Mapping[str, Any]) -> Any:
    values = config.model_dump()
    values["training"] |= changes
    return type(config).model_validate(values)


def _fractions(given: Sequence[float]) -> tuple[float, ...]:
    for fraction in given:
        if not 0 < fraction <= 1:
            raise OptionError(
                f"fraction {fraction:g}: a part of the training data lies above 0 and is at most 1"
            )
    return tuple(sorted({*given, 1.0}))


def _lengths(given: Sequence[int]) -> tuple[int, ...]:
    for length in given:
        if length < 1:
            raise OptionError(f"length {length}: at least 1 is wanted")
    return tuple(sorted(set(given)))
