"""What a page embeds, read back as its script reads it."""

from __future__ import annotations

import base64
import json
import zlib
from html.parser import HTMLParser
from typing import Any

import numpy as np

from heedful.explore import AttentionRecord
from heedful.explore.weight_codes import CodedWeights

DATA = "application/json"
PART = "application/octet-stream"


class Page(HTMLParser):
    """Elements, comments and text of a page, and its scripts by their type and name."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.comments: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._in_raw = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_raw = tag in ("script", "style")
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._in_raw = False

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)

    def handle_data(self, data: str) -> None:
        if self._in_raw and self.elements[-1][0] == "script":
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        elif not self._in_raw:
            self.text += data

    def names(self) -> list[str]:
        return [name for name, _ in self.elements]

    def program(self) -> str:
        """The one script that runs."""
        [found] = [text for kind, text in self.scripts if kind.get("type") == "module"]
        return found

    def data(self) -> dict[str, Any]:
        [found] = [text for kind, text in self.scripts if kind.get("type") == DATA]
        content: dict[str, Any] = json.loads(found)
        return content

    def part(self, name: str | None) -> bytes:
        [found] = [text for kind, text in self.scripts if kind.get("id") == name]
        return zlib.decompress(base64.b64decode(found))

    def records(self) -> list[AttentionRecord]:
        """The records of a page of one figure, as far as it holds them."""
        data = self.data()
        return [self._record(data, values) for values in data["records"]]

    def _record(self, data: dict[str, Any], values: dict[str, Any]) -> AttentionRecord:
        queries, keys = (data["tokens"][values[axis]] for axis in ("queries", "keys"))
        shape = (values["heads"], len(queries), len(keys))
        raw = self.part(values["weights"])
        if values["exact"]:
            weights = (
                np.frombuffer(raw, np.uint8).reshape(4, -1).T.copy().view("<f4").reshape(shape)
            )
        else:
            codes = np.frombuffer(raw, np.uint8).reshape(shape)
            weights = CodedWeights(codes, values["top"], values["signed"]).decoded()
        mask = None
        if values["mask"] is not None:
            bits = np.unpackbits(np.frombuffer(self.part(values["mask"]), np.uint8))
            size = values["mask_heads"] * shape[1] * shape[2]
            mask = bits[:size].reshape(values["mask_heads"], *shape[1:])
        names = ("module_path", "kind", "layer", "backend", "merged", "measure", "note")
        return AttentionRecord(
            **{name: values[name] for name in names},
            query_tokens=queries,
            key_tokens=keys,
            weights=weights,
            mask=mask,
        )
