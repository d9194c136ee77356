"""Signals that end a command: Ctrl-C, SIGTERM as from a scheduler, SIGHUP as from a terminal that is closed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any, Final, Self

SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""SIGHUP does not exist on Windows."""


class StopSignals:
    """Records the first signal, and raises KeyboardInterrupt for it unless `is_deferred`.

    A context manager: within it the handlers are installed, in the main thread only, and after it those before are
    back. A signal that was ignored, as by `nohup`, stays ignored. Called, it says whether there was a signal. A second
    Ctrl-C always raises KeyboardInterrupt; other signals after the first are ignored, since a scheduler may send
    one both to a process and to its group.

    Args:
        notice: written to standard error when Ctrl-C is deferred.
    """

    def __init__(self, notice: str = ""):
        self.notice = notice
        self.is_deferred = False
        """Whether the first signal is only recorded."""
        self.number: int | None = None
        """The first signal."""
        self.before: dict[int, Any] = {}

    @property
    def status(self) -> int:
        """The exit status of a command that a signal ended: 128 and its number; that of Ctrl-C without a signal."""
        return 128 + (self.number or signal.SIGINT)

    @property
    def name(self) -> str:
        """The name of the signal, such as SIGTERM; empty for Ctrl-C."""
        is_ctrl_c = self.number in (None, signal.SIGINT)
        return "" if is_ctrl_c else signal.Signals(self.number or 0).name

    def __call__(self) -> bool:
        return self.number is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                handler = signal.getsignal(number)
                if handler is not signal.SIG_IGN and handler is not None:
                    self.before[number] = handler
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        is_first = self.number is None
        if is_first:
            self.number = number
        if is_first and self.is_deferred:
            if self.notice and number == signal.SIGINT:
                # not `print`, which the signal may have interrupted
                with contextlib.suppress(OSError):
                    os.write(2, f"{self.notice}\n".encode())
        elif is_first or number == signal.SIGINT:
            raise KeyboardInterrupt
