"""Files of run folders and configurations, which may come from strangers: opened and parsed within stated limits.

A file is a regular one that does not lie outside its folder, of a limited size; JSON and TOML are nested to a limited
depth, with numbers of a limited length. Everything else is one message.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from heedful.errors import RunError, unquoted

JSON_BYTES: Final = 256 * 2**20
"""Maximum size of a JSON file; a vocabulary of a million words has 20 MB."""
TOML_BYTES: Final = 2**20
"""Maximum size of a configuration file."""
DEPTH: Final = 64
"""Maximum levels of nested lists and objects."""
DIGITS: Final = 300
"""Maximum digits of a whole number in JSON, so that it has a value as a floating-point number."""

POINTER: Final = b"version https://git-lfs.github.com/spec/"
"""What a file begins with that Git LFS has put in the place of a large one."""
POINTER_BYTES: Final = 1024
"""Maximum size of such a file."""
_DOTTED_KEY: Final = re.compile(
    rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\\\n]*+"|'[^'\n]*+')[ \t]*\.[ \t]*){{{DEPTH}}}"""
)
"""A key of so many parts: the time to parse it is quadratic in their number."""


def check_stored(path: Path) -> None:
    """Check that a path is a file that may be opened: a regular one, and no link out of its folder.

    Files of a snapshot of the Hugging Face hub may be links into its folder of blobs.

    Raises: RunError for a pipe, device or folder, for a link out of the folder, and for a pointer of Git LFS in the
        place of a file; FileNotFoundError.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise RunError(f"{unquoted(path)} is not a regular file; copy the folder again")
    if path.is_symlink() and not any(
        path.resolve().is_relative_to(folder) for folder in (path.parent.resolve(), *_blobs(path))
    ):
        raise RunError(
            f"{unquoted(path)} is a link out of its folder; put a copy of the file in its place"
        )
    if status.st_size <= POINTER_BYTES:
        with path.open("rb") as file:
            if file.read(len(POINTER)) == POINTER:
                raise RunError(
                    f"{unquoted(path)} is a Git LFS pointer, which stands for the file; run `git lfs pull` in its "
                    "folder, or download it by huggingface_hub"
                )


def _blobs(path: Path) -> list[Path]:
    """Return the folder that the files of a snapshot of the Hugging Face hub are links into.

    REPOSITORY/snapshots/REVISION/FILE is a link to REPOSITORY/blobs/DIGEST.
    """
    above = path.absolute().parents
    found = [each.parent.resolve() / "blobs" for each in above if each.name == "snapshots"]
    return found[:1]


def lacks(path: Path) -> str:
    """Say that a file is missing, or what it was to be a link to; the end of a message says what to do."""
    if path.is_symlink():
        return f"{unquoted(path)} is missing: it is a link to a file that is not there; download it again"
    return f"{unquoted(path)} is missing"


def open_stored(path: Path) -> BinaryIO:
    """Open a file of a folder.

    Raises: RunError as `check_stored`; OSError.
    """
    check_stored(path)
    return path.open("rb")


def read_stored(path: Path, limit: int = JSON_BYTES) -> str:
    """Read a text file of a folder.

    Raises: RunError as `check_stored`, and for a file of more than `limit` bytes or not in UTF-8; OSError.
    """
    with open_stored(path) as file:
        return decode_stored(file.read(limit + 1), path, limit)


def decode_stored(content: bytes, path: Path, limit: int) -> str:
    """Decode what was read of a file.

    Raises: RunError for more than `limit` bytes, or bytes that are not UTF-8.
    """
    if len(content) > limit:
        raise RunError(f"{unquoted(path)} is larger than {limit:,} bytes, the limit of such a file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise RunError(
            f"{unquoted(path)}, line {line}: not valid UTF-8; save the file as UTF-8"
        ) from None


def read_json(path: Path, limit: int = JSON_BYTES) -> Any:
    """Read a JSON file of a folder.

    Raises: RunError for a file that is missing, cannot be read, is refused (`read_stored`), or is not JSON.
    """
    try:
        return parse_json(read_stored(path, limit))
    except FileNotFoundError:
        raise RunError(f"{lacks(path)}; copy the run folder again or retrain") from None
    except OSError as error:
        raise RunError(f"{unquoted(path)} cannot be read: {error.strerror}") from None
    except JsonError as error:
        raise RunError(
            f"{unquoted(path)} is damaged or truncated ({error}); copy the run folder again or retrain"
        ) from None


def read_json_lines(path: Path, limit: int = JSON_BYTES) -> Iterator[dict[str, Any]]:
    """Lazily yield the objects of a file of JSON lines; what follows a line that was cut is not read.

    Raises: RunError as `read_json`, naming the line, for a file that is refused or whose line is no JSON object.
    """
    try:
        lines = read_stored(path, limit).split("\n")
    except FileNotFoundError:
        raise RunError(f"{lacks(path)}; copy the run folder again or retrain") from None
    except OSError as error:
        raise RunError(f"{unquoted(path)} cannot be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            found = parse_json(line)
        except JsonError as error:
            raise RunError(
                f"{unquoted(path)}, line {number}: damaged or truncated ({error})"
            ) from None
        if not isinstance(found, dict):
            raise RunError(f"{unquoted(path)}, line {number}: expected a JSON object")
        yield found


class JsonError(ValueError):
    """A text that is not JSON, or exceeds a limit; the message says why in a few words."""


def parse_json(text: str) -> Any:
    """Parse JSON, nested at most `DEPTH` levels, whose whole numbers have at most `DIGITS` digits.

    Raises: JsonError.

    >>> parse_json('{"a": [1]}')
    {'a': [1]}
    >>> parse_json("[" * 100_000)
    Traceback (most recent call last):
    heedful.stored_files.JsonError: nested more than 64 levels deep
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise JsonError(f"nested more than {DEPTH} levels deep") from None
    except ValueError as error:
        raise JsonError(str(error)) from None
    if text.count("[") + text.count("{") > DEPTH and _is_deep(value):
        raise JsonError(f"nested more than {DEPTH} levels deep")
    return value


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML, nested at most `DEPTH` levels.

    Raises: TOMLDecodeError.

    >>> parse_toml("a.b = 1")
    {'a': {'b': 1}}
    """
    deep = tomllib.TOMLDecodeError(f"nested more than {DEPTH} levels deep")
    if _DOTTED_KEY.search(text):
        raise deep
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise deep from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError as error:  # a number of thousands of digits, a date that does not exist
        raise tomllib.TOMLDecodeError(str(error).partition(":")[0]) from None
    if _is_deep(values):
        raise deep
    return values


def _integer(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


_DECODER: Final = json.JSONDecoder(parse_int=_integer)


def _is_deep(value: object) -> bool:
    """Return whether lists and dictionaries are nested more than `DEPTH` levels."""
    level = [value]
    for _ in range(DEPTH + 1):
        level = [
            inner
            for each in level
            if isinstance(each, list | dict)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return False
    return True


def is_regular(path: str | Path) -> bool:
    """Return whether a path is a regular file, which can be read twice; a pipe or a device is not."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False
