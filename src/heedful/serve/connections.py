"""Connections of slow clients and of many: each has its time, and their number has a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from heedful.serve.limits import Limits


def limited_protocol(limits: Limits) -> type[H11Protocol]:
    """Return uvicorn's HTTP/1.1 with the limits on connections.

    uvicorn waits for the header of a request without end, and for a client to take its answer. Here either may take
    `transfer_seconds`. Of more than `limits.connections` the one that has sent no request for longest is closed.
    """
    idle: dict[LimitedProtocol, None] = {}

    class Limited(LimitedProtocol):
        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **options)
            self.limits, self.idle = limits, idle

    return Limited


class LimitedProtocol(H11Protocol):
    """A connection with limits; see `limited_protocol`."""

    limits: Limits
    idle: dict[LimitedProtocol, None]
    """The connections that have no request under way, longest idle first."""
    header_timer: asyncio.TimerHandle | None = None
    write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections and self.idle:
            next(iter(self.idle)).drop()
        self._watch_header()

    def connection_lost(self, exc: Exception | None) -> None:
        _stop(self.header_timer)
        _stop(self.write_timer)
        self.idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_header()

    def on_response_complete(self) -> None:
        """Start the time for the next header."""
        super().on_response_complete()
        self._watch_header()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_timer = self._later(self.drop)

    def resume_writing(self) -> None:
        super().resume_writing()
        _stop(self.write_timer)

    def drop(self) -> None:
        """Close the connection at once, whatever is still to be sent."""
        self.idle.pop(self, None)
        if self.transport is not None:
            self.transport.abort()

    def _watch_header(self) -> None:
        """Start the time for a header, unless it runs; stop it while a request is under way."""
        if self.transport.is_closing() or self.conn.their_state is not h11.IDLE:
            _stop(self.header_timer)
            self.header_timer = None
            self.idle.pop(self, None)
        elif self.header_timer is None:
            self.idle[self] = None
            self.header_timer = self._later(self.drop)

    def _later(self, function: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(self.limits.transfer_seconds, function)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
