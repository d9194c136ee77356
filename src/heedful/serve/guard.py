"""What stands before every request: hosts, origins, the token, time limits, errors as JSON, metrics."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Collection
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from heedful.errors import HeedfulError
from heedful.serve.body import GoneError
from heedful.serve.metrics import Metrics
from heedful.serve.refused import RefusedError
from heedful.strict_json import to_strict_json

OPEN_PATHS: Final = frozenset(
    {"/", "/health", "/ready", "/v2/health/live", "/v2/health/ready", "/static/try.js",
     "/static/try.css", "/static/explorer.js", "/static/page.css"}
)  # fmt: skip
"""What is answered without the token: whether the server is up, and the page, which holds no data."""
TOKEN_IN_BODY: Final = "/translate"
"""LibreTranslate's clients send their token in the body, as api_key: the endpoint looks itself."""
CLOSING: Final = frozenset({408, 413, 429, 503})
"""Statuses after which the connection is closed, so that a body need not be read to its end."""
_LOG: Final = logging.getLogger("heedful.serve")


def json_response(values: Any, status: int = 200) -> Response:
    """Return a response in strict JSON."""
    body = to_strict_json(values, ensure_ascii=False)
    # Halves of surrogate pairs, which JSON may hold, are no UTF-8: they are escaped.
    if not body.isascii() and any("\ud800" <= character <= "\udfff" for character in body):
        body = to_strict_json(values)
    return Response(body.encode(), status, media_type="application/json")


def error_response(status: int, message: str, retry_after: int | None = None) -> Response:
    """Return an error as JSON, in the form of LibreTranslate and of the Open Inference Protocol."""
    response = json_response({"error": message}, status)
    if retry_after is not None:
        response.headers["retry-after"] = str(retry_after)
    if status in CLOSING:
        response.headers["connection"] = "close"
    return response


class Guard:
    """Wraps the application.

    Args:
        app: the application.
        metrics: where requests are counted.
        token: what a request has to bring; None: nothing.
        hosts: names of the server in the header Host; empty: any. A page of another site whose name was pointed at this
            machine (DNS rebinding) sends its own name.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        token: str | None = None,
        hosts: Collection[str] = (),
    ):
        self.app, self.metrics = app, metrics
        self.token, self.hosts = token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, is_started = time.monotonic(), 500, False

        async def guarded_send(message: Message) -> None:
            nonlocal status, is_started
            if message["type"] == "http.response.start":
                status, is_started = message["status"], True
                _add_headers(message)
            await send(message)

        # Lets the router raise its errors instead of answering them in plain text.
        scope["app"] = self
        try:
            refused = self._refused(scope)
            if refused is None:
                await self.app(scope, receive, guarded_send)
            else:
                await refused(scope, receive, guarded_send)
        except GoneError:
            status = 499
        except Exception as error:
            if is_started:
                raise
            await _response_to(error)(scope, receive, guarded_send)
        finally:
            endpoint = getattr(scope.get("endpoint"), "__name__", "none")
            self.metrics.requests.labels(endpoint, str(status)).inc()
            self.metrics.seconds.labels(endpoint).observe(time.monotonic() - began)

    def _refused(self, scope: Scope) -> Response | None:
        """Return the answer to a request that does not reach the application."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts and _split(f"//{host}").hostname not in self.hosts:
            return error_response(421, "this server has another name; open it as localhost.")
        origin = headers.get("origin")
        if origin is not None and _split(origin).netloc != host:
            return error_response(403, "requests of other sites' pages are not answered.")
        if self.token is None or scope["path"] in {*OPEN_PATHS, TOKEN_IN_BODY}:
            return None
        return None if has_token(bearer(headers), self.token) else wrong_token()


def _split(address: str) -> SplitResult:
    """Return the parts of an address; those of a malformed one are empty."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def bearer(headers: Headers) -> str:
    """Return the token in the header Authorization; empty without one."""
    return headers.get("authorization", "").removeprefix("Bearer ")


def wrong_token() -> Response:
    """Return the answer to a request without the token."""
    response = error_response(
        401, "the token is missing or wrong; send it as Authorization: Bearer TOKEN."
    )
    response.headers["www-authenticate"] = "Bearer"
    return response


def has_token(given: str, token: str) -> bool:
    """Compare a token in a time that tells nothing about it."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _response_to(error: Exception) -> Response:
    """Return the answer to a request that failed; what is not the client's to mend is logged and not told."""
    if isinstance(error, RefusedError):
        return error_response(error.status, str(error), error.retry_after)
    if isinstance(error, HTTPException):
        return error_response(
            error.status_code, f"{error.detail}; /openapi.json says what there is."
        )
    if isinstance(error, HeedfulError):
        return error_response(400, str(error))
    _LOG.error("a request failed", exc_info=error)
    return error_response(500, "the server failed to answer; its log says why.")


def _add_headers(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    headers.setdefault("cache-control", "no-store")
    headers.setdefault("content-security-policy", "default-src 'none'; frame-ancestors 'none'")
    headers["x-content-type-options"] = "nosniff"
    headers["referrer-policy"] = "no-referrer"
