"""Dynamic batching: requests that arrive while the model is busy are answered together."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from heedful.serve.limits import Limits
from heedful.serve.refused import RefusedError

Outcome = Any
"""The answers of one piece of work, or the exception that it ended with."""


class AbandonedError(Exception):
    """Nobody waits for the batch any more."""


class Work:
    """The inputs of one request.

    Args:
        inputs: at least one.
        key: work of equal keys may share a batch.
        asked: what is wanted of them; passed on.
    """

    def __init__(self, inputs: Sequence[Any], key: Hashable, asked: Any):
        self.inputs, self.key, self.asked = inputs, key, asked
        self.arrived = time.monotonic()
        self.is_abandoned = False
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()

    def finish(self, outcome: Outcome) -> None:
        """Hand the outcome to whoever waits; called on any thread."""
        self.loop.call_soon_threadsafe(self._finish, outcome)

    def _finish(self, outcome: Outcome) -> None:
        if self.future.done():
            return
        if isinstance(outcome, BaseException):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


END_SECONDS: Final = 10.0
"""How long the end of a batch that nobody waits for is waited for."""
Run = Callable[[Sequence[Work], Callable[[], None]], Sequence[Outcome]]
"""(works, check) -> the outcome of each; `check` raises AbandonedError if nobody waits for any of them."""


class Batcher:
    """One thread that runs the work of one model, batch by batch, in the order of arrival.

    While the model is free, the first input waits at most `limits.wait` for others, unless the batch before was of one
    request; while it is busy, inputs collect in a queue of at most `limits.queue`, and a batch takes up to
    `limits.batch` of them.

    Args:
        run: computes a batch, on the thread.
        limits: see `Limits`.
        on_batch: called with the inputs and the seconds of each batch.
    """

    def __init__(
        self, run: Run, limits: Limits, on_batch: Callable[[int, float], object] | None = None
    ):
        self.run, self.limits, self.on_batch = run, limits, on_batch
        self.waiting: deque[Work] = deque()
        self.condition = threading.Condition()
        self.queued = 0
        """Inputs that wait."""
        self.running: Sequence[Work] = ()
        self.expects_others = True
        """Whether the last batch had several requests, so that it may be worth waiting for others."""
        self.is_closed = False
        self.pace = 0.0
        """Seconds an input, averaged over the last batches."""
        self.thread = threading.Thread(target=self._loop, daemon=True, name="heedful-batches")

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def close(self) -> None:
        """End the thread after the batch that it runs, and wait for it: a process may not end while it computes."""
        with self.condition:
            self.is_closed = True
            self.condition.notify()
        if self.thread.is_alive():
            self.thread.join(END_SECONDS)

    async def submit(self, work: Work) -> Any:
        """Return the answers of work.

        Raises: RefusedError with status 429 for a full queue; what the run raised.
        """
        with self.condition:
            if self.queued and self.queued + len(work.inputs) > self.limits.queue:
                raise RefusedError(
                    429,
                    f"{self.queued} inputs are waiting, and at most {self.limits.queue} may; try again later.",
                    self.retry_after(),
                )
            self.waiting.append(work)
            self.queued += len(work.inputs)
            self.condition.notify()
        try:
            return await work.future
        finally:
            self._leave(work)

    def retry_after(self) -> int:
        """Return the seconds until the inputs that wait now should be answered."""
        return max(1, min(60, math.ceil(self.queued * self.pace)))

    def _leave(self, work: Work) -> None:
        """Free the place of work whose client no longer waits."""
        work.is_abandoned = True
        with self.condition:
            if work in self.waiting:
                self.waiting.remove(work)
                self.queued -= len(work.inputs)

    def _loop(self) -> None:
        while batch := self._next():
            self.running = batch
            began = time.monotonic()
            for work, outcome in zip(batch, self._outcomes(batch), strict=True):
                work.finish(outcome)
            self.running = ()
            count, seconds = sum(len(work.inputs) for work in batch), time.monotonic() - began
            self.pace += 0.2 * (seconds / count - self.pace)
            if self.on_batch is not None:
                self.on_batch(count, seconds)

    def _outcomes(self, batch: Sequence[Work]) -> Sequence[Outcome]:
        def check() -> None:
            if all(work.is_abandoned for work in batch):
                raise AbandonedError

        try:
            return self.run(batch, check)
        # The thread has to go on, whatever a batch did.
        except Exception as error:
            return [error] * len(batch)

    def _next(self) -> list[Work]:
        """Wait for the next batch; empty when closed."""
        with self.condition:
            while not self.is_closed:
                if not self.waiting:
                    self.condition.wait()
                elif not self._is_due():
                    # Woken by each arrival; work may also be abandoned meanwhile.
                    self.condition.wait(
                        self.waiting[0].arrived + self.limits.wait - time.monotonic()
                    )
                else:
                    return self._take()
            return []

    def _is_due(self) -> bool:
        """Return whether the first work has waited long enough, or fills a batch with the others."""
        waited = time.monotonic() - self.waiting[0].arrived
        return (
            not self.expects_others
            or self.queued >= self.limits.batch
            or waited >= self.limits.wait
        )

    def _take(self) -> list[Work]:
        """Take the first work, and what may share its batch."""
        taken: list[Work] = []
        count = 0
        for work in list(self.waiting):
            fits = not taken or (
                work.key == taken[0].key and count + len(work.inputs) <= self.limits.batch
            )
            if fits:
                taken.append(work)
                count += len(work.inputs)
        for work in taken:
            self.waiting.remove(work)
        self.queued -= count
        self.expects_others = len(taken) > 1 or bool(self.waiting)
        return taken
