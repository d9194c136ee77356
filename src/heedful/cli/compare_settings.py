"""The plan of a comparison, put together from a file and from options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heedful.cli.lists import numbers, parts
from heedful.compare.plan import CompareSection, Plan, Where, make_plan
from heedful.config import Values, apply_overrides, build, locate_key, read_toml
from heedful.errors import OptionError, unknown_choice
from heedful.tasks.options import GivenOptions, train_files, valid_files
from heedful.tasks.table import TASKS, data_options

COMPARE, CONTENDERS = "compare", "contenders"
"""The sections of a file that are not the task's."""


class ComparePlace:
    """What is compared: the name of a task, or a file.

    >>> ComparePlace("tag").task, ComparePlace("ours.toml").file
    ('tag', PosixPath('ours.toml'))
    """

    def __init__(self, what: str):
        self.file: Path | None = None
        self.task: str | None = None
        if what in TASKS:
            self.task = what
        elif what.lower().endswith(".toml"):
            self.file = Path(what)
        else:
            raise unknown_choice("task", what, [*TASKS, "FILE.toml"])


@dataclass(frozen=True, kw_only=True)
class CompareChoices:
    """What a person chose on the command line; None or empty where nothing was said."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Name of an option of `heedful train` -> its value, of those that were given."""
    encoders: str | None = None
    seeds: int | None = None
    budget: str | None = None
    fractions: str | None = None
    lengths: str | None = None
    quality: float | None = None
    sets: Sequence[str] = ()

    def section(self) -> Values:
        """Return the settings of the section `compare` that were chosen."""
        found: Values = {"seeds": self.seeds, "budget": self.budget, "quality": self.quality}
        if self.encoders is not None:
            found["encoders"] = parts(self.encoders)
        for name, text in (("fractions", self.fractions), ("lengths", self.lengths)):
            if text is not None:
                found[name] = numbers(f"--{name}", text)
        return {name: value for name, value in found.items() if value is not None}

    def overrides(self) -> list[str]:
        """Return the settings of the task that were chosen, `--set` last."""
        options = {each.name: each for each in (train_files(""), valid_files(""), *data_options())}
        chosen = GivenOptions(self.values, {}, self.sets, "")
        found = [options[name].overrides(value, chosen) for name, value in self.values.items()]
        return [*(override for each in found for override in each), *self.sets]


def plan_from(what: ComparePlace, choices: CompareChoices) -> Plan:
    """Lay the choices over the file, or over the defaults, and check all of it.

    Raises: OptionError naming file and line, or the option, and the nearest valid name.
    """
    values: Values = {} if what.file is None else read_toml(what.file)
    lines = [] if what.file is None else what.file.read_text(encoding="utf-8").splitlines()

    def where(keys: Sequence[str]) -> str:
        return "" if what.file is None else locate_key(what.file, lines, list(keys))

    section, contenders = values.pop(COMPARE, {}), values.pop(CONTENDERS, {})
    _check_sections({COMPARE: section, CONTENDERS: contenders}, [], where)
    _check_sections(contenders, [CONTENDERS], where)
    asked: dict[str, Any] = {**section, **choices.section()}
    if what.task is not None:
        asked["task"] = what.task
    found = build(CompareSection, asked, where=lambda keys: where([COMPARE, *keys]))
    if found.task not in TASKS:
        raise unknown_choice("task", found.task, TASKS)
    kind = TASKS[found.task].configuration
    base = apply_overrides(kind, values, choices.overrides())
    return make_plan(found, base, contenders, where)


def _check_sections(values: Values, above: list[str], where: Where) -> None:
    for name, each in values.items():
        if not isinstance(each, dict):
            keys = [*above, name]
            full = ".".join(keys)
            raise OptionError(f"{where(keys)}{full} is a section, [{full}], not a value")
