"""Reads the figures of a page, or the records of a JSON file, that was written before."""

from __future__ import annotations

import base64
import binascii
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

from heedful.errors import DataError
from heedful.explore.live_session import Shown
from heedful.explore.page_data import PAGE_SCHEMA, PageData, page_data
from heedful.explore.schema import records_from_json
from heedful.stored_files import JsonError, parse_json

SUFFIXES: Final = (".html", ".htm", ".json")
"""Of the files that can be viewed."""
MAX_BYTES: Final = 2**30
"""Of a file."""


def read_figures(path: Path) -> tuple[str, list[Shown]]:
    """Return the title and the figures of a page of the explorer, or of a file of `records_to_json`.

    Of a page only the data of its figures are read: nothing of its own HTML or script is shown again.

    Raises:
        DataError: the file cannot be read, or is neither.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(
                f"{path} has more than {MAX_BYTES:,} bytes; write a page of fewer layers"
            )
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if path.suffix.lower() == ".json":
        try:
            records = records_from_json(text)
        except DataError as error:
            raise DataError(f"{path} holds no attention records: {error}") from None
        if not records:
            raise DataError(f"{path} holds no attention records")
        return path.stem, [Shown("", page_data(records, name="stored-1"))]
    found = _Scripts(text)
    figures = [
        Shown(found.captions.get(name, ""), PageData(values, _parts(values, found.parts, path)))
        for name, values in found.figures(path).items()
    ]
    if not figures:
        raise DataError(f"{path} is no page of the explorer: it holds no figure of {PAGE_SCHEMA}")
    return found.title or path.stem, figures


class _Scripts(HTMLParser):
    """The title, the data scripts, and the heading before each."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.title = ""
        self.json: dict[str, str] = {}
        self.parts: dict[str, str] = {}
        self.captions: dict[str, str] = {}
        self._heading = ""
        self._into: tuple[str, str] = ("", "")
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._into = (tag, values.get("id", "") if tag == "script" else "")
        if tag == "script":
            kinds = {"application/json": self.json, "application/octet-stream": self.parts}
            kinds.get(values.get("type", ""), {})[values.get("id", "")] = ""
        if tag in ("h3", "summary"):
            self._heading = ""
        if "data-records" in values:
            self.captions[values["data-records"]], self._heading = self._heading, ""

    def handle_endtag(self, tag: str) -> None:
        self._into = ("", "")

    def handle_data(self, data: str) -> None:
        tag, name = self._into
        if tag == "title":
            self.title += data
        elif tag in ("h3", "summary"):
            self._heading += data
        elif tag == "script":
            for kept in (self.json, self.parts):
                if name in kept:
                    kept[name] += data

    def figures(self, path: Path) -> dict[str, dict[str, Any]]:
        """Return name -> description of each figure."""
        found = {}
        for name, text in self.json.items():
            try:
                values = parse_json(text)
            except JsonError as error:
                raise DataError(f"{path}: the figure {name!r} is damaged: {error}") from error
            if isinstance(values, dict) and values.get("schema") == PAGE_SCHEMA:
                found[name] = values
        return found


def _parts(values: dict[str, Any], parts: dict[str, str], path: Path) -> dict[str, str]:
    """Return the packed arrays that a figure refers to.

    Raises:
        DataError: one is missing or damaged.
    """
    sections = [each for name in ("records", "steps") for each in values.get(name, [])]
    names = {
        value
        for section in sections
        for value in section.values()
        if isinstance(value, str) and value in parts
    }
    for section in values["records"]:
        for field in ("weights", "rows"):
            if section.get(field) not in parts:
                raise DataError(f"{path} lacks the part {section.get(field)!r} of its figure")
    for name in names:
        try:
            zlib.decompressobj().decompress(base64.b64decode(parts[name], validate=False), 1)
        except (binascii.Error, zlib.error) as error:
            raise DataError(f"{path}: the part {name!r} is damaged: {error}") from error
    return {name: parts[name] for name in sorted(names)}
