"""Configuration files: read TOML into frozen pydantic models, and write complete, commented TOML.

Independent of tasks: every function takes the configuration class.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from heedful.errors import (
    OptionError,
    RunError,
    count,
    listed,
    nearest,
    shown,
    unknown_choice,
    unquoted,
)
from heedful.models.config import choices_of
from heedful.stored_files import TOML_BYTES, decode_stored, parse_toml

Configuration = TypeVar("Configuration", bound=BaseModel)
Values = dict[str, Any]

MISTAKES: Final = 10
"""Mistakes of a configuration that one message lists."""


def read_toml(path: str | Path) -> Values:
    r"""Read a TOML file into nested dictionaries.

    Raises: OptionError for a missing file, invalid UTF-8 or a syntax error, naming file and line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "run.toml")
    ...     characters = path.write_text("[decoding]\nbeam = 2")
    ...     read_toml(path)
    {'decoding': {'beam': 2}}
    """
    return read_toml_lines(path)[0]


def read_toml_lines(path: str | Path) -> tuple[Values, list[str]]:
    """Read a TOML file, once: its values as `read_toml`, and its lines for `locate_key`.

    Raises: OptionError as `read_toml`.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = decode_stored(file.read(TOML_BYTES + 1), path, TOML_BYTES)
        return parse_toml(text), text.splitlines()
    except FileNotFoundError:
        raise OptionError(f"configuration file {shown(str(path))} does not exist") from None
    except OSError as error:
        raise OptionError(f"{unquoted(path)}: cannot be read ({error.strerror})") from None
    except RunError as error:
        raise OptionError(str(error)) from None
    except tomllib.TOMLDecodeError as error:
        raise OptionError(_syntax_message(path, str(error))) from None


def read_configuration(
    kind: type[Configuration], path: str | Path, overrides: Iterable[str] = ()
) -> Configuration:
    r"""Read a TOML file, apply the `section.key=value` overrides and validate the result.

    Raises: OptionError naming the file and line, or the override, and the nearest valid name.

    >>> import tempfile
    >>> from heedful.answers.text import DecodingConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "decoding.toml")
    ...     characters = path.write_text("beam = 2\nchunk = 64")
    ...     config = read_configuration(DecodingConfig, path, ["beam=8"])
    >>> config.beam, config.chunk, config.length_penalty
    (8, 64, 1.0)
    """
    values, lines = read_toml_lines(path)
    overridden = apply_overrides(kind, values, overrides)
    return build(kind, overridden, where=lambda keys: locate_key(path, lines, keys))


def apply_overrides(
    kind: type[BaseModel], values: Mapping[str, Any], overrides: Iterable[str]
) -> Values:
    """Return `values` with every `section.key=value` override applied.

    Values are parsed as TOML (`3`, `0.1`, `true`, `["a", "b"]`), or else taken as strings.

    Raises: OptionError for a malformed override, or an unknown name, with the nearest known one.

    >>> from heedful.tasks.translate import TranslationConfig
    >>> apply_overrides(TranslationConfig, {"model": {"kind": "gru"}}, ["model.hidden=64", "vocabulary.kind=char"])
    {'model': {'kind': 'gru', 'hidden': 64}, 'vocabulary': {'kind': 'char'}}
    """
    result = _copy(values)
    for override in overrides:
        name, equals, text = override.partition("=")
        keys = [part.strip() for part in name.split(".")]
        if not equals or not all(keys):
            raise OptionError(f"override {shown(override)} is malformed; write section.key=value")
        _check_names(kind, keys)
        section = result
        for key in keys[:-1]:
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                raise OptionError(
                    f"override {shown(override)}: {shown(key)} is a value, not a section"
                )
        section[keys[-1]] = _read_value(text.strip())
    return result


def build(kind: type[Configuration], values: Mapping[str, Any], where: Any = None) -> Configuration:
    """Build a configuration of class `kind`, with errors that name the key and the nearest valid one.

    `where` maps a key path to a prefix of the message, such as "run.toml, line 3: ".

    >>> from heedful.tasks.translate import TranslationConfig
    >>> build(TranslationConfig, {"model": {"kind": "lstm", "hidden": 64}}).model.hidden
    64
    >>> build(TranslationConfig, {"decoding": {"bean": 4}})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    heedful.errors.OptionError: unknown key 'decoding.bean'; did you mean 'decoding.beam'? ...
    >>> build(TranslationConfig, {"model": {"kind": "lsmt"}})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    heedful.errors.OptionError: unknown model.kind 'lsmt'; did you mean 'lstm'? The choices are: transformer, ...
    """
    try:
        return kind.model_validate(_with_tags(kind, values))
    except ValidationError as error:
        details = error.errors()
        messages = [_error_message(kind, detail, where) for detail in details[:MISTAKES]]
        if len(details) > MISTAKES:
            messages.append(f"and {count(len(details) - MISTAKES, 'more mistake')}")
        raise OptionError("\n".join(dict.fromkeys(messages))) from None


def _with_tags(kind: type[BaseModel], values: Mapping[str, Any]) -> Values:
    """Add the discriminator of the default union member to sections that lack one."""
    tagged = dict(values)
    for name, field in kind.model_fields.items():
        if isinstance(field.discriminator, str) and isinstance(tagged.get(name), Mapping):
            default = getattr(field.get_default(call_default_factory=True), field.discriminator)
            tagged[name] = {field.discriminator: default, **tagged[name]}
    return tagged


def write_toml(configuration: BaseModel) -> str:
    r"""Return a complete TOML file: all sections and keys, each preceded by its description as a comment.

    >>> from heedful.answers.text import DecodingConfig
    >>> print(*write_toml(DecodingConfig(beam=2)).splitlines()[2:4], sep="\n")
    # Beam size; 1: greedy search.
    beam = 2
    """
    lines = [f"# {line}" for line in _paragraph(type(configuration).__doc__)]
    return "\n".join(lines + _section(configuration, "")) + "\n"


def _section(configuration: BaseModel, prefix: str) -> list[str]:
    """Return the lines of one section: its keys, then its subsections, as TOML requires."""
    keys: list[str] = []
    sections: list[str] = []
    for name, field in type(configuration).model_fields.items():
        value = getattr(configuration, name)
        comment = [f"# {line}" for line in _paragraph(_description(field))]
        if isinstance(value, BaseModel):
            body = _section(value, f"{prefix}{name}.")
            sections += ["", *comment, f"[{prefix}{name}]", *body]
        elif value is None:
            keys += ["", *comment, f"# {name} is not set"]
        else:
            keys += ["", *comment, f"{name} = {_literal(value)}"]
    return keys[1:] + sections if prefix else keys + sections


def _description(field: FieldInfo) -> str:
    """Return the description of a field, plus its choices unless the text names them all."""
    text, names = field.description or "", choices_of(field)
    missing = [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]
    return f"{text} One of: {', '.join(names)}." if missing and len(names) > 1 else text


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_literal(each) for each in value) + "]"
    # JSON strings are valid TOML strings once DEL is escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _paragraph(text: str | None, width: int = 96) -> list[str]:
    """Return the first paragraph of `text` as wrapped lines."""
    words = (text or "").split("\n\n")[0].split()
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += " " + word
        else:
            lines.append(word)
    return lines


def _copy(values: Mapping[str, Any]) -> Values:
    return {key: _copy(v) if isinstance(v, Mapping) else v for key, v in values.items()}


def _read_value(text: str) -> Any:
    try:
        return parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _classes(annotation: Any) -> list[type[BaseModel]]:
    """Return the configuration classes that an annotation allows; several for a union."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _classes(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [kind for part in get_args(annotation) for kind in _classes(part)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return []


def _check_names(kind: type[BaseModel], keys: list[str]) -> None:
    """Raise OptionError for the first unknown name in the key path `keys`."""
    classes, sections = [kind], ""
    for position, key in enumerate(keys):
        fields = {n: f.annotation for each in classes for n, f in each.model_fields.items()}
        if key not in fields:
            raise OptionError(_unknown_key(sections, key, kind, list(fields)))
        inner = [
            f
            for e in classes
            if key in e.model_fields
            for f in _classes(e.model_fields[key].annotation)
        ]
        last = position == len(keys) - 1
        if last and inner:
            choices = ", ".join(dict.fromkeys(n for each in inner for n in each.model_fields))
            raise OptionError(f"{sections}{key} is a section; give one of its keys: {choices}.")
        if not last and not inner:
            raise OptionError(f"{sections}{key} is a value, not a section; write {sections}{key}=…")
        classes, sections = inner, f"{sections}{key}."


def _unknown_key(sections: str, key: str, kind: type[BaseModel], choices: list[str]) -> str:
    """Return the message for an unknown key, suggesting the nearest one in this or another section."""
    near, elsewhere = nearest(key, choices), settings_of_key(kind, key)
    if tags := elsewhere.get(f"{sections}{key}"):
        hint = f"; it is a setting of {sections}kind = {' or '.join(tags)} only."
    else:
        suggestion = f"{sections}{near}" if near else next(iter(elsewhere), None)
        hint = f"; did you mean '{suggestion}'?" if suggestion else "."
    noun = "section or key" if not sections else "key"
    return f"unknown {noun} {shown(f'{sections}{key}')}{hint} The choices are: {listed(choices)}."


def settings_of_key(kind: type[BaseModel], key: str) -> dict[str, tuple[Any, ...]]:
    """Return the settings `section.key` of a key -> the kinds of their section that have it; none: every kind.

    >>> from heedful.tasks.translate import TranslationConfig
    >>> list(settings_of_key(TranslationConfig, "beam"))
    ['decoding.beam']
    """
    return {
        f"{name}.{key}": _tags(each)
        for name, field in kind.model_fields.items()
        for each in _classes(field.annotation)
        if key in each.model_fields
    }


def _error_message(kind: type[BaseModel], detail: Any, where: Any) -> str:
    """Return the message for one pydantic error."""
    keys: list[str | int] = []
    classes, names = [kind], list(kind.model_fields)
    for part in detail["loc"]:
        if keys and isinstance(part, str) and part not in names and len(classes) > 1:
            # Pydantic inserts the discriminator of a union between section and key.
            chosen = [each for each in classes if part in _tags(each)]
            classes = chosen or classes
            names = [n for each in classes for n in each.model_fields]
            continue
        keys.append(part)
        classes = [
            f
            for e in classes
            if part in e.model_fields
            for f in _classes(e.model_fields[part].annotation)
        ] or classes
        if detail["type"] != "extra_forbidden" or len(keys) < len(detail["loc"]):
            names = [n for each in classes for n in each.model_fields]
    if detail["type"] == "union_tag_invalid":
        keys.append(detail["ctx"]["discriminator"].strip("'"))
    start = where([str(key) for key in keys]) if where else ""
    name = ".".join(str(key) for key in keys)
    if detail["type"] == "union_tag_invalid":
        tags = [tag for each in classes for tag in _tags(each)]
        return f"{start}{unknown_choice(name, detail['ctx']['tag'], tags)}"
    if detail["type"] == "extra_forbidden":
        section = "".join(f"{key}." for key in keys[:-1])
        return start + _unknown_key(section, str(keys[-1]), kind, names)
    got = detail.get("input")
    message = detail["msg"].removeprefix("Value error, ")
    quoted = shown(got)
    is_shown = isinstance(got, (dict, BaseModel)) or quoted in message
    ending = "" if is_shown else f" (got {quoted})"
    return f"{start}{unquoted(name)}: {message}{ending}" if name else f"{start}{message}"


def _tags(kind: type[BaseModel]) -> tuple[Any, ...]:
    field = kind.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()


def _syntax_message(path: Path, message: str) -> str:
    location = re.search(r"\(at line (\d+), column \d+\)", message)
    if not location:
        return f"{path}: {message}"
    return f"{path}, line {location[1]}: {message.replace(location[0], '').strip()}"


def locate_key(path: str | Path, lines: list[str], keys: list[str]) -> str:
    """Return "path, line n: " for the line that sets the key path `keys`, or "path: " if there is none."""
    section, target = "", ".".join(keys[:-1])
    # Errors about several keys, such as incompatible options, have no key path.
    for number, line in enumerate(lines if keys else (), start=1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            section = header[1].strip()
            if section == ".".join(keys):
                return f"{path}, line {number}: "
        elif section == target and re.match(rf"\s*{re.escape(keys[-1])}\s*=", line):
            return f"{path}, line {number}: "
    return f"{path}: "
