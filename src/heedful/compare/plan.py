"""The plan of a comparison: configurations of the contenders, seeds, fractions of the data, budget."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from heedful.answers.base import Answer, Metric
from heedful.compare.baselines import BASELINES, check_baseline
from heedful.compare.budget import Budget, parse_budget
from heedful.config import Values, build
from heedful.errors import OptionError, unknown_choice
from heedful.models.config import Section
from heedful.models.encoders import ENCODERS
from heedful.tasks.base import Task
from heedful.tasks.table import TASKS


class CompareSection(Section):
    """The section `compare` of a configuration."""

    task: str = Field("tag", description="The task of all contenders.")
    encoders: tuple[str, ...] = Field(
        (), description="Contenders that differ only in this encoder."
    )
    baselines: tuple[str, ...] = Field(
        (),
        description="Contenders without a network: mean; for molecules neighbour, forest, boosting and "
        "kernel; for nodes linear and propagation.",
    )
    seeds: int = Field(
        3, ge=1, description="Number of seeds, one training of each contender for each."
    )
    budget: str = Field(
        "", description="epochs=N, steps=N, tokens=N or seconds=N; empty: training.epochs."
    )
    fractions: tuple[float, ...] = Field(
        (1.0,), description="Fractions of the training data to train on; always includes 1."
    )
    lengths: tuple[int, ...] = Field(
        (8, 32, 128, 512),
        description="Input lengths at which the latency of a prediction is measured.",
    )
    quality: float = Field(
        0.0,
        ge=0,
        description="Target of the time to quality; 0: the best that all contenders reach.",
    )


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training: a contender with a seed and a fraction of the data."""

    contender: str
    seed: int
    fraction: float
    config: Any
    """The complete configuration of the task."""
    baseline: str = ""
    """The baseline that is fitted; empty: a network is trained."""

    @property
    def name(self) -> str:
        """The name of the job's folder.

        >>> Job(contender="lstm", seed=1, fraction=0.1, config=None).name
        'lstm-seed-1-of-0.1'
        """
        part = "" if self.fraction == 1 else f"-of-{self.fraction:g}"
        return f"{self.contender}-seed-{self.seed}{part}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A validated comparison."""

    task: Task
    contenders: Mapping[str, Any]
    """Name -> complete configuration of the task."""
    settings: Mapping[str, Values]
    """Name -> settings that override the base, for display."""
    seeds: tuple[int, ...]
    fractions: tuple[float, ...]
    """Ascending; the last is 1."""
    lengths: tuple[int, ...]
    budget: Budget
    target: float = 0.0
    baselines: frozenset[str] = frozenset()
    """The contenders that are baselines."""

    @property
    def answer(self) -> type[Answer[Any]]:
        """The answer type, which computes the metric of the comparison."""
        return self.task.answer

    @property
    def metric(self) -> Metric:
        """Title and format of that metric."""
        return self.answer.metrics[self.answer.primary_metric]

    @property
    def jobs(self) -> list[Job]:
        """All trainings: descending fractions of the data, then seeds, then contenders."""
        return [
            Job(
                contender=name,
                seed=seed,
                fraction=fraction,
                config=_with_training(config, {"seed": config.training.seed + seed}),
                baseline=name if name in self.baselines else "",
            )
            for fraction in sorted(self.fractions, reverse=True)
            for seed in self.seeds
            for name, config in self.contenders.items()
        ]


Where = Callable[[Sequence[str]], str]
"""Key path in a configuration -> its location, such as "compare.toml, line 3: ", the prefix of a message."""


def make_plan(
    section: CompareSection,
    base: Values,
    contenders: Mapping[str, Values],
    where: Where = lambda keys: "",
) -> Plan:
    """Merge the settings of each contender into the base and validate everything.

    Args:
        section: the section `compare` of the configuration.
        base: the task's settings shared by all contenders.
        contenders: name -> settings that override the base; `section.encoders` adds more.
        where: returns the location of a key path in a file.

    Raises: OptionError for an unknown task, encoder or setting, an invalid budget, length or fraction, or fewer
        than two contenders.
    """
    if section.task not in TASKS:
        raise unknown_choice("task", section.task, TASKS)
    task = TASKS[section.task]
    kind = task.configuration
    baselines = _baselines(section, task, contenders)
    named = {**_by_encoder(section, kind.model_fields), **contenders, **baselines}
    if len(named) < 2:
        raise OptionError(
            f"a comparison needs at least two contenders, got {', '.join(named) or 'none'}; give --encoders A,B, "
            "--baselines A,B or sections [contenders.NAME]"
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
        settings={**named, **{name: {"baseline": BASELINES[name].title} for name in baselines}},
        seeds=tuple(range(section.seeds)),
        fractions=_fractions(section.fractions),
        lengths=_lengths(section.lengths),
        budget=budget,
        target=section.quality,
        baselines=frozenset(baselines),
    )


def merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> Values:
    """Merge nested settings; a section of another `kind` replaces the base instead.

    >>> merge({"encoder": {"kind": "lstm", "hidden": 8}}, {"encoder": {"hidden": 9}})
    {'encoder': {'kind': 'lstm', 'hidden': 9}}
    >>> merge({"encoder": {"kind": "lstm", "hidden": 8}}, {"encoder": {"kind": "none"}})
    {'encoder': {'kind': 'none'}}
    """
    if "kind" in overrides and overrides["kind"] != base.get("kind"):
        return dict(overrides)
    merged = dict(base)
    for key, value in overrides.items():
        current = merged.get(key)
        nested = isinstance(value, Mapping)
        merged[key] = (
            merge(current if isinstance(current, Mapping) else {}, value) if nested else value
        )
    return merged


def _by_encoder(section: CompareSection, sections: Mapping[str, Any]) -> dict[str, Values]:
    if section.encoders and "encoder" not in sections:
        raise OptionError(
            f"{section.task} has no section `encoder`, so --encoders does not apply; name the contenders "
            "in a file, as [contenders.NAME.model]"
        )
    for name in section.encoders:
        if name not in ENCODERS:
            raise unknown_choice("encoder", name, ENCODERS)
    return {name: {"encoder": {"kind": name}} for name in section.encoders}


def _baselines(
    section: CompareSection, task: Task, contenders: Mapping[str, Values]
) -> dict[str, Values]:
    """Return the baselines as contenders, which share the settings of the base."""
    for name in section.baselines:
        check_baseline(name, task)
        if name in contenders:
            raise OptionError(f"contender {name!r} has the name of a baseline; rename one of them")
    return {name: {} for name in section.baselines}


def _contender(kind: Any, name: str, values: Values, in_file: bool, where: Where) -> Any:
    """Build one configuration; errors name the contender and, if known, the line."""
    if not re.fullmatch(r"[\w+][\w+.-]*", name):
        raise OptionError(
            f"contender {name!r}: a name must consist of letters, digits, _, +, - and ., as it names a folder"
        )

    def place(keys: Sequence[str]) -> str:
        location = where(["contenders", name, *keys]) if in_file else ""
        return f"{location or where(keys)}contender {name!r}: "

    return build(kind, values, where=place)


def _with_training(config: Any, changes: Mapping[str, Any]) -> Any:
    values = config.model_dump()
    values["training"] |= changes
    return type(config).model_validate(values)


def _fractions(values: Sequence[float]) -> tuple[float, ...]:
    for fraction in values:
        if not 0 < fraction <= 1:
            raise OptionError(
                f"fraction {fraction:g}: expected a fraction of the training data above 0 and at most 1"
            )
    return tuple(sorted({*values, 1.0}))


def _lengths(values: Sequence[int]) -> tuple[int, ...]:
    for length in values:
        if length < 1:
            raise OptionError(f"length {length}: expected at least 1")
    return tuple(sorted(set(values)))
