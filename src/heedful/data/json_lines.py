"""One JSON object a line, checked to be text."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from heedful.data.words import has_surrogate
from heedful.errors import DataError
from heedful.stored_files import JsonError, parse_json

_SURROGATE: Final = re.compile(r"\\u[dD][89a-fA-F]")


def parse_object(path: Path, number: int, line: str) -> dict[str, Any]:
    r"""Parse the JSON object of a line.

    Raises: DataError naming file and line, for what is no JSON object, or holds half a surrogate pair.

    >>> parse_object(Path("a.jsonl"), 1, r'{"text": "\ud83d\ude00"}')
    {'text': '😀'}
    """
    try:
        row = parse_json(line)
    except JsonError as error:
        raise DataError(
            f"not valid JSON ({error}); each line must be one JSON object.", path=path, line=number
        ) from None
    if not isinstance(row, dict):
        raise DataError(
            f"got a JSON {type(row).__name__}; each line must be one JSON object.",
            path=path,
            line=number,
        )
    if _SURROGATE.search(line) and has_surrogate(json.dumps(row, ensure_ascii=False)):
        key = next(key for key, value in row.items() if _is_broken(key) or _is_broken(value))
        raise DataError(
            f"column {json.dumps(key)} holds half a surrogate pair (\\ud800 to \\udfff), which is not a character; "
            "remove it.",
            path=path,
            line=number,
        )
    return row


def _is_broken(value: object) -> bool:
    return has_surrogate(json.dumps(value, ensure_ascii=False))
