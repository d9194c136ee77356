"""What a live page asks for while it is open: texts explained, and layers one at a time."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from heedful.errors import HeedfulError
from heedful.explore.explanation import Explanation
from heedful.explore.html import embedded_json, page
from heedful.explore.page_data import PageData, page_data
from heedful.explore.side_by_side import comparison_maps
from heedful.explore.tokens import html_text

MAX_CHARACTERS: Final = 10_000
"""Of a text that is typed in."""
KEPT: Final = 8
"""So many answers whose layers can still be asked for."""

Explain = Callable[[str], Explanation]


class Answer(NamedTuple):
    """What is answered to a request."""

    status: int
    """As in HTTP: 200, or 404 for what there is not."""
    kind: str
    """The media type."""
    content: bytes


class Shown(NamedTuple):
    """One figure of a page."""

    caption: str
    """Empty: none."""
    data: PageData
    picture: str = ""
    """HTML above it, of this library."""


class LiveSession:
    """Answers one live page, over HTTP or in a notebook.

    Args:
        explain: text -> explanation; called once at a time. None: nothing can be typed in.
        title: of the page.
        figures: what is shown at first.
        frame: whether the page is in a frame, whose requests come as messages.
    """

    def __init__(
        self,
        explain: Explain | None,
        *,
        title: str,
        figures: Sequence[Shown] = (),
        frame: bool = False,
    ) -> None:
        self._explain, self._title, self._frame = explain, title, frame
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._figures = list(figures)
        self._fixed = {name: text for each in figures for name, text in each.data.parts.items()}
        self._kept: dict[int, dict[str, str]] = {}

    def answer(self, path: str) -> Answer:
        """Return what a path of the page is, relative to it: the page, `explain?text=…&other=…` or `part/NAME`."""
        parts = urlsplit(path)
        query = {name: each[-1] for name, each in parse_qs(parts.query).items()}
        if parts.path == "":
            return Answer(
                200, "text/html; charset=utf-8", self.page(query).encode("utf-8", "replace")
            )
        if parts.path == "explain" and self._explain is not None:
            content = json.dumps(self._explained(query), allow_nan=False)
            return Answer(200, "application/json", content.encode())
        if parts.path.startswith("part/"):
            text = self._part(parts.path.removeprefix("part/"))
            if text is not None:
                return Answer(200, "application/octet-stream", base64.b64decode(text))
        return Answer(404, "text/plain; charset=utf-8", b"there is nothing of this address")

    def page(self, query: dict[str, str] | None = None) -> str:
        """Return the page, with what a query of texts asks for if there is one."""
        query = query or {}
        title, message, figures = self._title, "", self._figures
        if self._explain is not None and query.get("text", "").strip():
            title, message, figures = self._found(query)
        form = "" if self._explain is None else _form(query)
        drawn = "".join(_figure(number, each) for number, each in enumerate(figures, start=1))
        alert = f'<p role="alert" id="live-message">{html_text(message)}</p>\n'
        return page(
            title,
            f'{form}{alert}<div id="live">\n{drawn}</div>\n',
            live="frame" if self._frame else "server",
        )

    def _explained(self, query: dict[str, str]) -> dict[str, Any]:
        if not query.get("text", "").strip():
            return {"title": self._title, "message": "", "figures": []}
        title, message, figures = self._found(query)
        values = [
            {"caption": each.caption, "data": dict(each.data.description)} for each in figures
        ]
        return {"title": title, "message": message, "figures": values}

    def _found(self, query: dict[str, str]) -> tuple[str, str, list[Shown]]:
        """Return the title, what went wrong, and the figures of one text or of two and their difference."""
        texts = [text for name in ("text", "other") if (text := query.get(name, "")).strip()]
        for text in texts:
            if len(text) > MAX_CHARACTERS:
                message = (
                    f"the text has {len(text):,} characters; up to {MAX_CHARACTERS:,} are read"
                )
                return self._title, message, []
        try:
            with self._lock:
                assert self._explain is not None
                found = [self._explain(text) for text in texts]
                figures = self._shown(found)
        except HeedfulError as error:
            return self._title, str(error), []
        return found[0].title if len(found) == 1 else "Two texts", "", figures

    def _shown(self, found: Sequence[Explanation]) -> list[Shown]:
        number = next(self._numbers)
        if len(found) == 1:
            [one] = found
            data = page_data(
                [*one.records, *one.measures],
                name=f"live-{number}-1",
                gold=one.gold,
                steps=one.steps,
                drawing=one.drawing,
            )
            figures = [Shown("", data, one.picture)]
        else:
            maps = comparison_maps((found[0].title, found[0]), (found[1].title, found[1]))
            figures = [
                Shown(
                    caption, page_data(records, name=f"live-{number}-{n}", drawing=drawing), picture
                )
                for n, ((caption, records), picture, drawing) in enumerate(
                    zip(maps.examples, maps.pictures, maps.drawings, strict=True), start=1
                )
            ]
        self._kept[number] = {
            name: text for each in figures for name, text in each.data.parts.items()
        }
        for old in list(self._kept)[:-KEPT]:
            del self._kept[old]
        return figures

    def _part(self, name: str) -> str | None:
        for parts in (self._fixed, *self._kept.values()):
            if name in parts:
                return parts[name]
        return None


def _figure(number: int, shown: Shown) -> str:
    """Return a figure without its layers, which the page asks for."""
    name = f"records-{number}"
    caption = f"<h3>{html_text(shown.caption)}</h3>\n" if shown.caption else ""
    return (
        f'{caption}{shown.picture}<div class="figure" data-records="{name}"></div>\n'
        f'<script type="application/json" id="{name}">{embedded_json(shown.data.description)}</script>\n'
    )


def _form(query: dict[str, str]) -> str:
    """Return the fields; without a script they are sent by the button."""

    def field(name: str, label: str) -> str:
        return (
            f'<div><label for="{name}">{label}</label>\n<textarea id="{name}" name="{name}" rows="2" '
            f'maxlength="{MAX_CHARACTERS}">{html_text(query.get(name, ""))}</textarea></div>\n'
        )

    return (
        f'<form method="get" class="ask" data-live>{field("text", "A text to explain")}'
        f"{field('other', 'Another, to compare with it (may stay empty)')}"
        '<button type="submit">Explain</button></form>\n'
    )
