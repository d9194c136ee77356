"""A page on this machine that explains what is typed into it: a server for the loopback address alone."""

from __future__ import annotations

import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from heedful.explore.html import page
from heedful.explore.live_session import Answer, LiveSession

HOST: Final = "127.0.0.1"
_HEADERS: Final = {
    "Content-Security-Policy": "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class LiveServer:
    """Serves the page of a session, its explanations and its layers.

    Only who knows the address, with its random token, gets an answer, and only under the number of the loopback
    address, so that no page of the web can ask for anything.

    Args:
        session: what is served.
        port: of the server; 0: any that is free.
    """

    def __init__(self, session: LiveSession, *, port: int = 0) -> None:
        self._session = session
        self._token = secrets.token_urlsafe(16)
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

    def answer(self, path: str, host: str) -> Answer:
        """Return what is answered to a request."""
        start = f"/{self._token}/"
        given = path[: len(start)].encode("utf-8", "replace")
        if not secrets.compare_digest(given, start.encode()) or host != self._name:
            text = page("Not found", "<p>There is no page of this address.</p>\n")
            return Answer(404, "text/html; charset=utf-8", text.encode())
        return self._session.answer(path[len(start) :])

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, kind, data = server.answer(self.path, self.headers.get("Host", ""))
                self.send_response(status)
                for name, value in {"Content-Type": kind, **_HEADERS}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Keep quiet: addresses hold the token."""

        return Handler
