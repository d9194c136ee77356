"""A live page in a notebook: texts are typed in and explained, by messages of a widget."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from heedful.errors import OptionError
from heedful.explore.html import asset
from heedful.explore.live_session import Explain, LiveSession

INSTALL: Final = 'a live page in a notebook needs anywidget: pip install "heedful[notebook]"'


def live_widget(explain: Explain, *, title: str) -> Any:
    """Return a widget that explains what is typed into it, in a sandboxed frame.

    The frame is a document of its own. What it asks for, explanations and layers one at a time, comes as messages of
    the widget and is answered by the kernel.

    Args:
        explain: text -> explanation.
        title: of the page.

    Raises:
        OptionError: anywidget is not installed.
    """
    try:
        import anywidget
    except ImportError as error:
        raise OptionError(INSTALL) from error

    class LiveWidget(anywidget.AnyWidget):
        _esm = asset("widget.js")

    widget = LiveWidget()
    widget.on_msg(partial(reply, LiveSession(explain, title=title, frame=True)))
    return widget


def reply(session: LiveSession, widget: Any, content: Any, buffers: Any) -> None:
    """Answer a message `{"id": number, "path": text}` by one of the same id, with a status and the bytes."""
    if not isinstance(content, dict):
        return
    number, path = content.get("id"), content.get("path")
    if isinstance(number, int) and isinstance(path, str):
        answer = session.answer(path)
        widget.send({"id": number, "status": answer.status}, buffers=[answer.content])
