"""Servers on a free port of this machine, with small models of fresh weights."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from heedful.data.files import Pairs
from heedful.data.labelled import Labelled, Sentence
from heedful.serve.limits import Limits
from heedful.serve.server import build_server, listen
from heedful.serve.service import Service
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS

TEXTS = [{"text": f"a {word} film", "label": word} for word in ("good", "bad", "new")] * 4
FROM_ROWS: Mapping[str, tuple[dict[str, Any], Any]] = {
    "classify": ({}, TEXTS),
    "regress": ({}, [{"text": each["text"], "target": n / 2} for n, each in enumerate(TEXTS)]),
}
SMALL_TEXT = {
    "vocabulary": {"min_frequency": 1},
    "encoder": {"kind": "transformer", "width": 8, "heads": 2},
}


def small_predictor(task: str) -> Predictor:
    """Return a model of fresh weights."""
    torch.manual_seed(1)
    found = TASKS[task]
    if task == "translate":
        config = found.configuration.model_validate(
            {
                "data": {"train": ("train.de", "train.en")},
                "model": {"kind": "gru", "embedding": 8, "hidden": 8},
                "decoding": {"max_length_ratio": 1.0},
            }
        )
        predictor = found.learn(
            config, Pairs(["ein Hund rennt", "ein Mann"], ["a dog runs", "a man"])
        )
    elif task == "tag":
        config = found.configuration.model_validate({"encoder": {"kind": "window", "hidden": 8}})
        sentence = Sentence(("I", "saw", "a", "saw"), ("PRON", "VERB", "DET", "NOUN"))
        predictor = found.learn(config, Labelled([sentence]))
    else:
        given, rows = FROM_ROWS[task]
        config = found.configuration.model_validate({**SMALL_TEXT, **given})
        predictor = found.learn(config, found.reader.from_rows(rows, config.data, "train"))
    predictor.model.eval()
    return predictor


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def values(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


class Running:
    """A server that runs in a thread."""

    def __init__(self, service: Service, port: int):
        self.service, self.port = service, port

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request on a connection of its own; values that are no bytes are sent as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Reply(
                response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
            )

    def predict(self, model: str, inputs: Any, **options: Any) -> Reply:
        """Ask for predictions."""
        return self.ask("POST", f"/models/{model}/predict", {"inputs": inputs, **options})


@contextlib.contextmanager
def run_server(
    predictors: Mapping[str, Predictor], limits: Limits, **options: Any
) -> Iterator[Running]:
    """Run a server until the context is left."""
    service = Service(predictors, limits)
    with listen("127.0.0.1", 0) as listener, service.running():
        server = build_server(service, **options)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Running(service, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


@pytest.fixture(scope="session")
def predictors() -> dict[str, Predictor]:
    return {
        "de-en": small_predictor("translate"),
        "mood": small_predictor("classify"),
        "stars": small_predictor("regress"),
        "words": small_predictor("tag"),
    }


@pytest.fixture(scope="session")
def server(predictors: dict[str, Predictor]) -> Iterator[Running]:
    with run_server(predictors, Limits()) as running:
        yield running


@pytest.fixture
def serve_with(predictors: dict[str, Predictor]) -> Iterator[Callable[..., Running]]:
    """Start a server of the model `mood` with other limits."""
    with contextlib.ExitStack() as stack:

        def start(
            predictor: Predictor | None = None, *, token: str | None = None, **limits: Any
        ) -> Running:
            models = {"mood": predictor or predictors["mood"]}
            return stack.enter_context(run_server(models, Limits(**limits), token=token))

        yield start
