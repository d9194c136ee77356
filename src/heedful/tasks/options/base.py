"""What an option of a task is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


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


def files_of(setting: str) -> Callable[[str | Sequence[str], GivenOptions], list[str]]:
    """Convert names of files; in Python one of them may be given alone."""

    def convert(value: str | Sequence[str], given: GivenOptions) -> list[str]:
        names = [value] if isinstance(value, str) else [str(each) for each in value]
        return [f"{setting}={json.dumps(names, ensure_ascii=False)}"]

    return convert


def section_of(given: GivenOptions, name: str) -> Mapping[str, Any]:
    """Return a section of the configuration file; empty where it has none."""
    section = given.in_file.get(name, {})
    return section if isinstance(section, dict) else {}
