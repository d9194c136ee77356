"""What is too large, too many or too slow is answered with an error and frees its place, and the server stays up."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from heedful.serve.batcher import Batcher, Work
from heedful.serve.limits import Limits, length_limit
from heedful.serve.refused import RefusedError
from heedful.tasks.predictor import Predictor
from tests.serve.conftest import Reply, Running, small_predictor

Serve = Callable[..., Running]


class Slow:
    """Makes a model wait in each batch until it is told to go on."""

    def __init__(self, predictor: Predictor, monkeypatch: pytest.MonkeyPatch):
        self.go, self.entered = threading.Event(), threading.Event()
        self.batches = -1
        """Batches of requests: the server itself predicts one before."""
        predict = predictor.answer.predict

        def wait_and_predict(model: Any, batch: Any, **search: Any) -> Any:
            self.batches += 1
            if self.batches:
                self.entered.set()
                assert self.go.wait(30)
            return predict(model, batch, **search)

        # answers are frozen
        monkeypatch.setitem(predictor.answer.__dict__, "predict", wait_and_predict)
        self.predictor = predictor


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    found = Slow(small_predictor("classify"), monkeypatch)
    yield found
    found.go.set()


def in_background(running: Running, inputs: list[str], found: list[Reply]) -> threading.Thread:
    thread = threading.Thread(target=lambda: found.append(running.predict("mood", inputs)))
    thread.start()
    return thread


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def queued(running: Running) -> int:
    return running.service.batchers["mood"].queued


def test_a_full_queue_answers_429_and_stays_up(slow: Slow, serve_with: Serve) -> None:
    running = serve_with(slow.predictor, queue=4)
    found: list[Reply] = []
    threads = [in_background(running, ["a"], found)]
    assert slow.entered.wait(20)
    threads.append(in_background(running, ["b", "c", "d"], found))
    wait_until(lambda: queued(running) == 3)
    refused = running.predict("mood", ["e", "f"])
    assert refused.status == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["connection"] == "close"
    assert "3 inputs are waiting, and at most 4 may" in refused.values["error"]
    assert running.ask("GET", "/health").status == 200
    slow.go.set()
    for thread in threads:
        thread.join()
    assert [reply.status for reply in found] == [200, 200]
    assert running.predict("mood", ["e", "f"]).status == 200


def test_requests_that_wait_are_predicted_together(slow: Slow, serve_with: Serve) -> None:
    running = serve_with(slow.predictor)
    found: list[Reply] = []
    threads = [in_background(running, ["a"], found)]
    assert slow.entered.wait(20)
    threads += [in_background(running, [text], found) for text in "bcdefg"]
    wait_until(lambda: queued(running) == 6)
    slow.go.set()
    for thread in threads:
        thread.join()
    assert len(found) == 7
    assert slow.batches == 2


def test_a_client_that_goes_away_frees_its_place(slow: Slow, serve_with: Serve) -> None:
    running = serve_with(slow.predictor)
    found: list[Reply] = []
    thread = in_background(running, ["a"], found)
    assert slow.entered.wait(20)
    with connect(running) as client:
        client.sendall(request_of({"inputs": ["b", "c"]}))
        wait_until(lambda: queued(running) == 2)
    wait_until(lambda: queued(running) == 0)
    slow.go.set()
    thread.join()
    assert slow.batches == 1
    assert (
        running.service.metrics.registry.get_sample_value("heedful_abandoned_requests_total") == 1
    )


def test_no_answer_in_time_is_503(slow: Slow, serve_with: Serve) -> None:
    running = serve_with(slow.predictor, seconds=0.1)
    reply = running.predict("mood", ["a"])
    assert reply.status == 503
    assert "no answer within 0.1 seconds" in reply.values["error"]
    assert "retry-after" in reply.headers
    slow.go.set()
    wait_until(lambda: running.predict("mood", ["a"]).status == 200)


def test_bodies_have_a_limit_each_and_together(serve_with: Serve) -> None:
    running = serve_with(request_bytes=1000)
    assert running.predict("mood", ["a" * 2000]).status == 413
    headers = {"content-type": "application/json", "content-length": "9" * 15}
    assert running.ask("POST", "/predict", b"{}", headers).status == 413
    running = serve_with(request_bytes=1000, waiting_bytes=100)
    reply = running.predict("mood", ["a" * 500])
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    assert running.predict("mood", ["a"]).status == 200
    assert running.service.bodies.held == 0


def test_a_body_without_a_stated_length_has_the_limit_too(serve_with: Serve) -> None:
    running = serve_with(request_bytes=1000)
    with connect(running) as client:
        client.sendall(head("transfer-encoding: chunked"))
        client.sendall(b"3e8\r\n" + b" " * 1000 + b"\r\n" + b"3e8\r\n" + b" " * 1000 + b"\r\n")
        assert b" 413 " in client.recv(1000)


def test_a_slow_body_is_given_up(serve_with: Serve) -> None:
    running = serve_with(transfer_seconds=0.2)
    with connect(running) as client:
        client.sendall(head("content-length: 100") + b"{")
        answer = client.recv(1000)
        assert b" 408 " in answer
        assert drained(client)


@pytest.mark.parametrize(
    "sent", [b"", b"POST /predict HT", b"GET /health HTTP/1.1\r\nhost: x\r\na: "]
)
def test_a_slow_header_is_given_up(serve_with: Serve, sent: bytes) -> None:
    running = serve_with(transfer_seconds=0.2)
    with connect(running) as client:
        client.sendall(sent)
        assert drained(client)


def test_a_header_that_comes_byte_by_byte_is_given_up(serve_with: Serve) -> None:
    running = serve_with(transfer_seconds=0.3)
    with connect(running) as client:
        client.sendall(b"GET /health HTTP/1.1\r\na: ")
        assert is_dropped(client, b"b", pause=0.02)


def test_a_client_that_takes_no_answer_is_dropped(serve_with: Serve) -> None:
    """Its requests come one after the other on one connection, and the answers fill every buffer."""
    running = serve_with(transfer_seconds=0.3)
    with connect(running) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(20)
        ask = b"GET /static/explorer.js HTTP/1.1\r\nhost: x\r\n\r\n"
        assert is_dropped(client, ask * 50)
    wait_until(lambda: running.ask("GET", "/health").status == 200)


def test_of_too_many_connections_the_longest_idle_one_is_closed(serve_with: Serve) -> None:
    running = serve_with(connections=5)
    idle = [connect(running) for _ in range(40)]
    try:
        assert running.ask("GET", "/health").status == 200
        for client in idle[:30]:
            assert drained(client)
    finally:
        for client in idle:
            client.close()


def test_long_inputs_are_refused(serve_with: Serve) -> None:
    running = serve_with(small_predictor("tag"), length=5)
    assert running.predict("mood", ["a b c d e"]).status == 200
    reply = running.predict("mood", ["a b c d e f"])
    assert (reply.status, reply.values["error"]) == (
        400,
        "input 1 has 6 tokens; this server takes at most 5.",
    )


def test_the_length_limit_follows_the_training(predictors: dict[str, Predictor]) -> None:
    config = predictors["de-en"].config
    assert length_limit(Limits(), config) == max(512, 4 * config.data.max_length)
    assert length_limit(Limits(length=7), config) == 7


@pytest.mark.parametrize("token", ["x" * 20])
def test_a_token_is_asked_for(serve_with: Serve, token: str) -> None:
    running = serve_with(token=token)
    for path in ("/models", "/metrics", "/openapi.json", "/v2", "/languages", "/nothing"):
        reply = running.ask("GET", path)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer"), path
    for given in (
        "",
        "Bearer",
        "Bearer y",
        f"Bearer {token}y",
        f"Bearer {token[1:]}",
        f"Basic {token}",
        "Bearer é",
    ):
        assert running.ask("GET", "/models", headers={"authorization": given}).status == 401, given
    for path in ("/health", "/ready", "/v2/health/live", "/v2/health/ready", "/", "/static/try.js"):
        assert running.ask("GET", path).status == 200, path
    headers = {"authorization": f"Bearer {token}"}
    assert running.ask("GET", "/models", headers=headers).status == 200
    assert running.ask("POST", "/predict", {"inputs": ["a"]}, headers).status == 200
    assert running.ask("POST", "/predict", {"inputs": ["a"]}).status == 401


def test_libretranslate_takes_the_token_as_api_key(serve_with: Serve) -> None:
    token = "x" * 20
    running = serve_with(small_predictor("translate"), token=token)
    asked = {"q": "ein", "source": "de", "target": "en"}
    assert running.ask("POST", "/translate", asked).status == 401
    assert running.ask("POST", "/translate", {**asked, "api_key": "y" * 20}).status == 401
    assert running.ask("POST", "/translate", {**asked, "api_key": token}).status == 200


def test_a_queue_forgets_nothing_and_keeps_the_order() -> None:
    """Work of another key waits for the next batch, and work in front of it is not overtaken by its own kind."""

    batches: list[list[Any]] = []

    def run(works: Any, check: Any) -> list[Any]:
        batches.append([work.inputs[0] for work in works])
        return [work.inputs[0] * 2 for work in works]

    async def ask() -> list[Any]:
        batcher = Batcher(run, Limits(batch=3, wait=0.05))
        keys = [0, 0, 1, 0, 1, 0]
        asked = [batcher.submit(Work([n], key, None)) for n, key in enumerate(keys)]
        waiting = asyncio.gather(*asked)
        await asyncio.sleep(0)
        batcher.start()
        answers = await waiting
        batcher.close()
        return answers

    assert asyncio.run(ask()) == [0, 2, 4, 6, 8, 10]
    assert batches == [[0, 1, 3], [2, 4], [5]]


def test_a_client_alone_does_not_wait_for_others() -> None:
    together = []

    def run(works: Sequence[Work], check: Callable[[], None]) -> list[None]:
        together.append(len(works))
        return [None] * len(works)

    async def ask() -> None:
        batcher = Batcher(run, Limits(batch=3, wait=0.01))
        batcher.start()
        await batcher.submit(Work(["a"], "key", None))
        batcher.limits = Limits(batch=3, wait=3600)
        await batcher.submit(Work(["b"], "key", None))
        # of three at once the first may go alone, and others are then waited for
        batcher.expects_others = True
        await asyncio.gather(*(batcher.submit(Work([text], "key", None)) for text in "cde"))
        assert batcher.expects_others
        batcher.close()

    asyncio.run(ask())
    assert together == [1, 1, 3]


def test_a_batch_that_fails_fails_its_requests_and_no_others() -> None:

    def run(works: Any, check: Any) -> list[Any]:
        if works[0].inputs == ["bad"]:
            raise KeyError("bad")
        return [RefusedError(400, "no") if work.inputs == ["no"] else work.inputs for work in works]

    async def ask() -> list[Any]:
        batcher = Batcher(run, Limits(batch=1, wait=0))
        batcher.start()
        asked = [batcher.submit(Work([text], 0, None)) for text in ("good", "bad", "no", "well")]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        batcher.close()
        return answers

    good, bad, no, well = asyncio.run(ask())
    assert (good, well) == (["good"], ["well"])
    assert isinstance(bad, KeyError)
    assert isinstance(no, RefusedError)


def connect(running: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), timeout=20)


def head(*lines: str) -> bytes:
    return "\r\n".join(
        ["POST /predict HTTP/1.1", "host: x", "content-type: application/json", *lines, "", ""]
    ).encode()


def request_of(values: Any) -> bytes:
    body = json.dumps(values).encode()
    return head(f"content-length: {len(body)}") + body


def is_dropped(client: socket.socket, data: bytes, pause: float = 0) -> bool:
    """Whether the server closes the connection while more and more is sent."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            client.sendall(data)
        except ConnectionError:
            return True
        time.sleep(pause)
    return False


def drained(client: socket.socket) -> bool:
    """Whether the server closes the connection."""
    client.settimeout(20)
    try:
        while client.recv(4096):
            pass
    except ConnectionError:
        pass
    return True
