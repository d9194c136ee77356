"""Configuration files: TOML in, a frozen pydantic value out, and complete commented TOML back.

Nothing here knows a task: every function takes the class of the configuration.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from heedful.errors import OptionError, nearest
from heedful.models.config import choices_of

Configuration = TypeVar("Configuration", bound=BaseModel)
Values = dict[str, Any]


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
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise OptionError(f"configuration file {str(path)!r} does not exist") from None
    except OSError as error:
        raise OptionError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise OptionError(f"{path}, line {line}: not valid UTF-8; save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise OptionError(_syntax_message(path, str(error))) from None


def read_configuration(
    kind: type[Configuration], path: str | Path, overrides: Iterable[str] = ()
) -> Configuration:
    r"""Read `path`, lay the `section.key=value` overrides over it and validate the whole.

    Raises: OptionError naming the file and line, or the override, and the nearest valid name.

    >>> import tempfile
    >>> from heedful.tasks.translate import DecodingConfig
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "decoding.toml")
    ...     characters = path.write_text("beam = 2\nchunk = 64")
    ...     found = read_configuration(DecodingConfig, path, ["beam=8"])
    >>> found.beam, found.chunk, found.length_penalty
    (8, 64, 1.0)
    """
    values = read_toml(path)
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    overridden = apply_overrides(kind, values, overrides)
    return build(kind, overridden, where=lambda keys: place(path, lines, keys))


def apply_overrides(
    kind: type[BaseModel], values: Mapping[str, Any], overrides: Iterable[str]
) -> Values:
    """Return `values` with every `section.key=value` laid over it.

    The value is read as TOML (`3`, `0.1`, `true`, `["a", "b"]`); what is not TOML is taken as text.

    Raises: OptionError for another form, or a name that `kind` has not, with the nearest one.

    >>> from heedful.tasks.translate import TranslationConfig
    >>> apply_overrides(TranslationConfig, {"model": {"kind": "gru"}}, ["model.hidden=64", "vocabulary.kind=char"])
    {'model': {'kind': 'gru', 'hidden': 64}, 'vocabulary': {'kind': 'char'}}
    """
    result = _copy(values)
    for override in overrides:
        name, equals, text = override.partition("=")
        keys = [part.strip() for part in name.split(".")]
        if not equals or not all(keys):
            raise OptionError(f"override {override!r} has not the form section.key=value")
        _check_names(kind, keys)
        place = result
        for key in keys[:-1]:
            place = place.setdefault(key, {})
            if not isinstance(place, dict):
                raise OptionError(f"override {override!r}: {key!r} is a value, not a section")
        place[keys[-1]] = _read_value(text.strip())
    return result


def build(kind: type[Configuration], values: Mapping[str, Any], where: Any = None) -> Configuration:
    """Validate `values` as a `kind`, with errors that name the key and the nearest valid one.

    `where` turns a key path into a text such as "run.toml, line 3: " that starts the message.

    >>> from heedful.tasks.translate import TranslationConfig
    >>> build(TranslationConfig, {"model": {"kind": "lstm", "hidden": 64}}).model.hidden
    64
    >>> build(TranslationConfig, {"decoding": {"bean": 4}})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    heedful.errors.OptionError: unknown key 'decoding.bean'; did you mean 'decoding.beam'? ...
    """
    try:
        return kind.model_validate(_with_tags(kind, values))
    except ValidationError as error:
        messages = [_explain(kind, detail, where) for detail in error.errors()]
        raise OptionError("\n".join(dict.fromkeys(messages))) from None


def _with_tags(kind: type[BaseModel], values: Mapping[str, Any]) -> Values:
    """Say which member of a union a section means when it leaves that out: the default one."""
    tagged = dict(values)
    for name, field in kind.model_fields.items():
        if isinstance(field.discriminator, str) and isinstance(tagged.get(name), Mapping):
            default = getattr(field.get_default(call_default_factory=True), field.discriminator)
            tagged[name] = {field.discriminator: default, **tagged[name]}
    return tagged


def write_toml(configuration: BaseModel) -> str:
    r"""Write a complete TOML file: every section, every key, each under its description.

    >>> from heedful.tasks.translate import DecodingConfig
    >>> print(*write_toml(DecodingConfig(beam=2)).splitlines()[2:4], sep="\n")
    # Hypotheses kept at each step; 1 is greedy search.
    beam = 2
    """
    lines = [f"# {line}" for line in _paragraph(type(configuration).__doc__)]
    return "\n".join(lines + _section(configuration, "")) + "\n"


def _section(configuration: BaseModel, prefix: str) -> list[str]:
    """Write the keys of one section, then its sub-sections: TOML wants them in that order."""
    keys: list[str] = []
    sections: list[str] = []
    for name, field in type(configuration).model_fields.items():
        value = getattr(configuration, name)
        comment = [f"# {line}" for line in _paragraph(_described(field))]
        if isinstance(value, BaseModel):
            body = _section(value, f"{prefix}{name}.")
            sections += ["", *comment, f"[{prefix}{name}]", *body]
        elif value is None:
            keys += ["", *comment, f"# {name} is not set"]
        else:
            keys += ["", *comment, f"{name} = {_literal(value)}"]
    return keys[1:] + sections if prefix else keys + sections


def _described(field: FieldInfo) -> str:
    """The description of a field, with its choices unless it names them all."""
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
    # a JSON string is a TOML string once DEL, which JSON leaves bare, is escaped
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _paragraph(text: str | None, width: int = 96) -> list[str]:
    """Wrap the first paragraph of `text`; a comment needs no more."""
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
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _classes(annotation: Any) -> list[type[BaseModel]]:
    """List the configuration classes that a field's annotation allows (several for a union)."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _classes(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [found for part in get_args(annotation) for found in _classes(part)]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return []


def _check_names(kind: type[BaseModel], keys: list[str]) -> None:
    """Raise for the first name of the path `keys` that no configuration of `kind` has."""
    classes, sections = [kind], ""
    for position, key in enumerate(keys):
        fields = {n: f.annotation for each in classes for n, f in each.model_fields.items()}
        if key not in fields:
            raise OptionError(_unknown(sections, key, kind, list(fields)))
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


def _unknown(sections: str, key: str, kind: type[BaseModel], choices: list[str]) -> str:
    """Say that `key` is unknown; the nearest name may lie in this section or in another one."""
    near = nearest(key, choices)
    homes = {
        f"{name}.{key}": _tags(each)
        for name, field in kind.model_fields.items()
        for each in _classes(field.annotation)
        if key in each.model_fields
    }
    if tags := homes.get(f"{sections}{key}"):
        hint = f"; it is a setting of {sections}kind = {' or '.join(tags)} alone."
    else:
        meant = f"{sections}{near}" if near else next(iter(homes), None)
        hint = f"; did you mean '{meant}'?" if meant else "."
    what = "section or key" if not sections else "key"
    return f"unknown {what} '{sections}{key}'{hint} The choices are: {', '.join(choices)}."


def _explain(kind: type[BaseModel], detail: Any, where: Any) -> str:
    """Turn one pydantic error into a sentence."""
    keys: list[str | int] = []
    classes, names = [kind], list(kind.model_fields)
    for part in detail["loc"]:
        if keys and isinstance(part, str) and part not in names and len(classes) > 1:
            # pydantic puts the tag of a union between the section and the key
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
    start = where([str(key) for key in keys]) if where else ""
    name = ".".join(str(key) for key in keys)
    if detail["type"] == "extra_forbidden":
        section = "".join(f"{key}." for key in keys[:-1])
        return start + _unknown(section, str(keys[-1]), kind, names)
    got = detail.get("input")
    message = detail["msg"].removeprefix("Value error, ")
    is_shown = isinstance(got, (dict, BaseModel)) or repr(got) in message
    shown = "" if is_shown else f" (got {got!r})"
    return f"{start}{name}: {message}{shown}" if name else f"{start}{message}"


def _tags(kind: type[BaseModel]) -> tuple[Any, ...]:
    field = kind.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()


def _syntax_message(path: Path, message: str) -> str:
    found = re.search(r"\(at line (\d+), column \d+\)", message)
    if not found:
        return f"{path}: {message}"
    return f"{path}, line {found[1]}: {message.replace(found[0], '').strip()}"


def place(path: str | Path, lines: list[str], keys: list[str]) -> str:
    """Find the line on which the key path `keys` is set; without one, only the file is named."""
    section, wanted = "", ".".join(keys[:-1])
    # an error of the whole, such as two keys that do not go together, has no keys
    for number, line in enumerate(lines if keys else (), start=1):
        header = re.match(r"\s*\[([^\[\]]+)\]", line)
        if header:
            section = header[1].strip()
            if section == ".".join(keys):
                return f"{path}, line {number}: "
        elif section == wanted and re.match(rf"\s*{re.escape(keys[-1])}\s*=", line):
            return f"{path}, line {number}: "
    return f"{path}: "
