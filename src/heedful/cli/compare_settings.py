"""Build the plan of a comparison from a file and command-line options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heedful.cli.option_values import parse_numbers, split_commas
from heedful.compare.plan import CompareSection, Plan, Where, make_plan
from heedful.config import Values, apply_overrides, build, locate_key, read_toml_lines
from heedful.errors import OptionError, unknown_choice
from heedful.tasks.options import GivenOptions, train_files, valid_files
from heedful.tasks.table import TASKS, data_options

COMPARE, CONTENDERS = "compare", "contenders"
"""Sections of the file that do not belong to the task's configuration."""


class CompareSource:
    """The argument `TASK|FILE.toml`: the name of a task, or a configuration file.

    >>> CompareSource("tag").task, CompareSource("ours.toml").file
    ('tag', PosixPath('ours.toml'))
    """

    def __init__(self, argument: str):
        self.file: Path | None = None
        self.task: str | None = None
        if argument in TASKS:
            self.task = argument
        elif argument.lower().endswith(".toml"):
            self.file = Path(argument)
        else:
            raise unknown_choice("task", argument, [*TASKS, "FILE.toml"])


@dataclass(frozen=True, kw_only=True)
class CompareArguments:
    """The options of `heedful compare`; None or empty if not given."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """Name of an option of `heedful train` -> its value, for the options given."""
    encoders: str | None = None
    baselines: str | None = None
    seeds: int | None = None
    budget: str | None = None
    fractions: str | None = None
    lengths: str | None = None
    quality: float | None = None
    sets: Sequence[str] = ()

    def section(self) -> Values:
        """Return the settings given for the section `compare`."""
        settings: Values = {"seeds": self.seeds, "budget": self.budget, "quality": self.quality}
        for name, text in (("encoders", self.encoders), ("baselines", self.baselines)):
            if text is not None:
                settings[name] = split_commas(text)
        for name, text in (("fractions", self.fractions), ("lengths", self.lengths)):
            if text is not None:
                settings[name] = parse_numbers(f"--{name}", text)
        return {name: value for name, value in settings.items() if value is not None}

    def overrides(self) -> list[str]:
        """Return the settings given for the task as `section.key=value`, `--set` last."""
        options = {each.name: each for each in (train_files(""), valid_files(""), *data_options())}
        given = GivenOptions(self.values, {}, self.sets, "")
        nested = [options[name].overrides(value, given) for name, value in self.values.items()]
        return [*(override for overrides in nested for override in overrides), *self.sets]


def build_plan(source: CompareSource, arguments: CompareArguments) -> Plan:
    """Apply the options to the file or the defaults, and validate the plan.

    Raises: OptionError naming file and line, or the option, and the nearest valid name.
    """
    values: Values
    values, lines = ({}, []) if source.file is None else read_toml_lines(source.file)

    def where(keys: Sequence[str]) -> str:
        return "" if source.file is None else locate_key(source.file, lines, list(keys))

    section, contenders = values.pop(COMPARE, {}), values.pop(CONTENDERS, {})
    _check_sections({COMPARE: section, CONTENDERS: contenders}, [], where)
    _check_sections(contenders, [CONTENDERS], where)
    settings: dict[str, Any] = {**section, **arguments.section()}
    if source.task is not None:
        settings["task"] = source.task
    compare = build(CompareSection, settings, where=lambda keys: where([COMPARE, *keys]))
    if compare.task not in TASKS:
        raise unknown_choice("task", compare.task, TASKS)
    config_type = TASKS[compare.task].configuration
    base = apply_overrides(config_type, values, arguments.overrides())
    return make_plan(compare, base, contenders, where)


def _check_sections(values: Values, parents: list[str], where: Where) -> None:
    for name, each in values.items():
        if not isinstance(each, dict):
            keys = [*parents, name]
            full = ".".join(keys)
            raise OptionError(f"{where(keys)}{full} is a section, [{full}], not a value")
