"""A page on this machine that explains what is typed into it: a server for the loopback address alone."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import parse_qs, urlsplit

from heedful.errors import HeedfulError
from heedful.explore.explanation import Explanation
from heedful.explore.html import figure, introduction, page
from heedful.explore.tokens import html_text

HOST: Final = "127.0.0.1"
MAX_CHARACTERS: Final = 10_000
"""Of a text that is typed in."""
_HEADERS: Final = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

Explain = Callable[[str], Explanation]


class LiveServer:
    """Serves a page with a field; what is typed in is explained on the same page.

    Only who knows the address, with its random token, gets an answer, and only under the number of the loopback
    address, so that no page of the web can ask for anything.

    Args:
        explain: text -> explanation; called once at a time.
        title: of the page.
        port: of the server; 0: any that is free.
    """

    def __init__(self, explain: Explain, *, title: str, port: int = 0) -> None:
        self._explain, self._title = explain, title
        self._token = secrets.token_urlsafe(16)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer((HOST, port), self._handler())
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        """Where the page is, with the token."""
        return f"http://{self._name}/{self._token}/"

    @property
    def _name(self) -> str:
        return f"{HOST}:{self._server.server_address[1]}"

    def serve(self) -> None:
        """Answer until `close` is called from another thread, or an exception such as KeyboardInterrupt."""
        self._server.serve_forever(poll_interval=0.1)

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str, host: str) -> tuple[int, str]:
        """Return the status and the page of a request."""
        parts = urlsplit(path)
        known = secrets.compare_digest(parts.path.encode(), f"/{self._token}/".encode())
        if not known or host != self._name:
            return 404, page("Not found", "<p>There is no page of this address.</p>\n")
        [text] = parse_qs(parts.query, keep_blank_values=True).get("text", [""])[-1:]
        return 200, self._page(text)

    def _page(self, text: str) -> str:
        body = _form(text)
        if len(text) > MAX_CHARACTERS:
            message = f"the text has {len(text):,} characters; up to {MAX_CHARACTERS:,} are read"
            return page(self._title, body + _alert(message))
        if not text.strip():
            return page(self._title, body)
        try:
            with self._lock:
                found = self._explain(text)
        except HeedfulError as error:
            return page(self._title, body + _alert(str(error)))
        records = [*found.records, *found.measures]
        drawn = figure(
            records,
            name="records-1",
            gold=found.gold,
            steps=found.steps,
            drawing=found.drawing,
        )
        lead = f"<p>{html_text(introduction(records))}</p>\n"
        return page(found.title, f"{body}{found.picture}{drawn}{lead}")

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, text = server.answer(self.path, self.headers.get("Host", ""))
                data = text.encode("utf-8", "replace")
                self.send_response(status)
                for name, value in _HEADERS.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet: addresses hold the token."""

        return Handler


def _form(text: str) -> str:
    return (
        '<form method="get" class="ask"><label for="text">A text to explain</label>\n'
        f'<textarea id="text" name="text" rows="2" maxlength="{MAX_CHARACTERS}">{html_text(text)}</textarea>\n'
        '<button type="submit">Explain</button></form>\n'
    )


def _alert(message: str) -> str:
    return f'<p role="alert">{html_text(message)}</p>\n'
