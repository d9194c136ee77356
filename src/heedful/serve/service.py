"""The models of a server and the requests that wait for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.requests import Request

from heedful.errors import shown, unknown_choice
from heedful.serve.batcher import Batcher, Work
from heedful.serve.body import Bodies, GoneError
from heedful.serve.limits import Limits
from heedful.serve.metrics import Metrics
from heedful.serve.options import read_options
from heedful.serve.refused import RefusedError
from heedful.serve.served import Served
from heedful.tasks.predictor import Predictor

Answers = list[tuple[Any, dict[str, Any]]]
"""For each input its prediction, as it is and as JSON."""


class Service:
    """Models by name, each with its queue.

    Args:
        predictors: name -> model.
        limits: see `Limits`.
    """

    def __init__(self, predictors: Mapping[str, Predictor], limits: Limits):
        self.limits, self.metrics, self.bodies = limits, Metrics(), Bodies(limits)
        self.models = {name: Served(name, each, limits) for name, each in predictors.items()}
        self.batchers: dict[str, Batcher] = {}
        for name, model in self.models.items():
            on_batch = partial(self.metrics.batch, name)
            self.batchers[name] = Batcher(model.run, limits, on_batch)
            self.metrics.queued.labels(name).set_function(partial(self._queued, name))
        self.is_ready = False

    def _queued(self, name: str) -> float:
        return self.batchers[name].queued

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Warm the models up and answer requests within the context."""
        for name, model in self.models.items():
            model.warm_up()
            self.batchers[name].start()
        self.is_ready = True
        try:
            yield
        finally:
            self.is_ready = False
            for batcher in self.batchers.values():
                batcher.close()

    def find(self, name: str | None) -> Served:
        """Return a model by its name, or the only one.

        Raises: RefusedError with status 404.
        """
        if name is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if name not in self.models:
            what = "name a model, as in /models/NAME/predict" if name is None else ""
            raise RefusedError(404, what or str(unknown_choice("model", name, self.models)))
        return self.models[name]

    async def answer(
        self, request: Request, model: Served, inputs: Any, options: Mapping[str, Any]
    ) -> Answers:
        """Answer the inputs of a request.

        Raises: RefusedError for inputs or options that are refused; HeedfulError for those that cannot be predicted;
            GoneError if the client goes away.
        """
        self._check_inputs(inputs)
        asked = read_options(options, model.predictor, self.limits)
        if (asked.attention or asked.figure) and len(inputs) > self.limits.explained:
            raise RefusedError(
                400,
                f"attention is returned for at most {self.limits.explained} inputs of a request.",
            )
        if not inputs:
            return []
        work = Work(inputs, asked.key, asked)
        return await self._wait(request, self.batchers[model.name], work)

    def _check_inputs(self, inputs: Any) -> None:
        if inputs is None:
            raise RefusedError(
                400, 'inputs is missing; expected a list, as in {"inputs": ["a text", "another"]}.'
            )
        if not isinstance(inputs, list):
            raise RefusedError(400, f"inputs is {shown(inputs, 60)}; expected a list.")
        if len(inputs) > self.limits.inputs:
            raise RefusedError(
                413,
                f"{len(inputs)} inputs are more than the {self.limits.inputs} of one request; send several.",
            )

    async def _wait(self, request: Request, batcher: Batcher, work: Work) -> Answers:
        answer = asyncio.ensure_future(batcher.submit(work))
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            await asyncio.wait(
                {answer, gone}, timeout=self.limits.seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if answer.done():
                found: Answers = answer.result()
                return found
            if gone.done():
                self.metrics.abandoned.inc()
                raise GoneError
            raise RefusedError(
                503,
                f"there was no answer within {self.limits.seconds:g} seconds; send less, or later.",
                batcher.retry_after(),
            )
        finally:
            await _cancel(answer, gone)


async def _cancel(*tasks: asyncio.Future[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    """Return when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def texts_of(values: Sequence[Any], name: str) -> list[str]:
    """Return a list of strings.

    Raises: RefusedError for other values.
    """
    for each in values:
        if not isinstance(each, str):
            raise RefusedError(400, f"{name} holds {shown(each, 60)}; expected strings.")
    return list(values)
