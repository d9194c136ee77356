"""A bounded load test of `heedful serve` on this machine, beside the same predictions without a server.

python -m benchmarks.serving RUN FILE [--count N] [--clients N ...] [--inputs N ...] [--threads N]

FILE holds a text a line. The server is a process of its own; this one sends the requests, each client its next one
when it has the answer to the last. Every answer is compared with the prediction of its own text: one that is lost, or
another text's, ends the test. Shown are texts a second, and the milliseconds of a request: median, 95th and 99th
percentile.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import heedful
from heedful.data.files import read_lines
from heedful.errors import HeedfulError, RunError

WARM_UP = 20
"""Requests before the clock starts."""


@dataclass(frozen=True)
class Load:
    """What clients measured."""

    name: str
    seconds: float
    texts: int
    latencies: Sequence[float]
    """Seconds of each request."""

    @property
    def pace(self) -> float:
        """Texts a second."""
        return self.texts / self.seconds

    def row(self) -> str:
        shown = [1000 * float(np.quantile(self.latencies, share)) for share in (0.5, 0.95, 0.99)]
        numbers = "".join(f"{each:10.2f}" for each in shown)
        return f"{self.name:<40}{self.pace:10.1f}{numbers}"


def answer_of(model: heedful.TrainedModel, prediction: Any) -> Any:
    """Return a prediction as JSON, with numbers rounded: batches of other sizes differ in the last digits."""
    return rounded(model.predictor.answer.to_json(prediction))


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return round(value, 3) if isinstance(value, float) else value


def direct(model: heedful.TrainedModel, texts: Sequence[str], count: int) -> Load:
    """Predict one text after the other."""
    latencies = []
    for number in range(WARM_UP + count):
        began = time.perf_counter()
        model.predict([texts[number % len(texts)]])
        latencies.append(time.perf_counter() - began)
    latencies = latencies[WARM_UP:]
    return Load("direct, one at a time", sum(latencies), count, latencies)


def batch(model: heedful.TrainedModel, texts: Sequence[str]) -> tuple[Load, list[Any]]:
    """Predict all texts at once."""
    began = time.perf_counter()
    found = model.predict(texts)
    seconds = time.perf_counter() - began
    return Load("direct, all at once", seconds, len(texts), [seconds]), found


@contextlib.contextmanager
def served(run: str, threads: int, options: Sequence[str]) -> Iterator[int]:
    """Run the server in a process of its own; yield its port."""
    command = [sys.executable, "-m", "heedful", "serve", run, "--port", "0", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    try:
        found = re.search(r":(\d+)$", process.stdout.readline().strip())
        if found is None:
            raise RunError("the server did not start")
        yield int(found[1])
    finally:
        process.terminate()
        process.wait(60)


class Client:
    """One connection that is kept."""

    def __init__(self, port: int, path: str):
        self.port, self.path = port, path

    async def open(self) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, texts: Sequence[str]) -> list[Any]:
        """Return the answers for some texts."""
        body = json.dumps({"inputs": list(texts)}).encode()
        head = f"POST {self.path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        self.writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", answer)[1])  # type: ignore[index]
        content = await self.reader.readexactly(length)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RunError(f"the server answered {answer[:20]!r}: {content[:200]!r}")
        predictions: list[Any] = json.loads(content)["predictions"]
        return predictions


async def load(
    port: int, path: str, texts: Sequence[str], wanted: Sequence[Any], clients: int, inputs: int
) -> Load:
    """Send all texts once, in requests of so many, by so many clients.

    Raises: RunError for an answer that is another text's.
    """
    starts = list(range(0, len(texts), inputs))
    latencies: list[float] = []
    waiting = iter(starts)

    async def work() -> None:
        client = Client(port, path)
        await client.open()
        for start in waiting:
            mine = texts[start : start + inputs]
            began = time.perf_counter()
            found = await client.ask(mine)
            latencies.append(time.perf_counter() - began)
            for text, answer, right in zip(
                mine, found, wanted[start : start + inputs], strict=True
            ):
                given = {key: rounded(answer[key]) for key in right}
                if given != right and not near(given, right):
                    raise RunError(f"for {text!r} the server answered {given}; expected {right}")
        client.writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    name = f"served, {clients} clients × {inputs} texts"
    return Load(name, time.perf_counter() - began, len(texts), latencies)


def near(given: Any, right: Any) -> bool:
    """Whether answers differ in rounded numbers alone."""
    if isinstance(right, dict):
        return given.keys() == right.keys() and all(near(given[key], right[key]) for key in right)
    if isinstance(right, list):
        return len(given) == len(right) and all(map(near, given, right))
    return abs(given - right) <= 0.002 if isinstance(right, float) else bool(given == right)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("run")
    parser.add_argument("file", type=Path, help="a text a line")
    parser.add_argument("--count", type=int, default=1000, help="texts of a load")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 32, 256])
    parser.add_argument("--inputs", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=64, help="the server's --batch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = heedful.load(options.run)
    lines = read_lines(options.file)
    texts = [lines[n % len(lines)] for n in range(options.count)]
    single = direct(model, texts, min(200, options.count))
    together, found = batch(model, texts)
    wanted = [answer_of(model, each) for each in found]
    print(f"{'':<40}{'texts/s':>10}{'median ms':>10}{'95 %':>10}{'99 %':>10}")
    print(single.row(), together.row(), sep="\n")
    path = f"/models/{Path(options.run).resolve().name}/predict"
    loads = []
    with served(options.run, options.threads, ["--batch", str(options.batch)]) as port:
        asyncio.run(load(port, path, texts[:WARM_UP], wanted, 1, 1))
        for inputs in options.inputs:
            for clients in options.clients:
                count = min(200, options.count) if clients == inputs == 1 else options.count
                loads.append(asyncio.run(load(port, path, texts[:count], wanted, clients, inputs)))
                print(loads[-1].row(), flush=True)
    best = max(loads, key=lambda each: each.pace)
    print(f"at most {best.pace / together.pace:.2f} of the pace without a server ({best.name})")
    if loads[0].name.startswith("served, 1 clients × 1 "):
        more = 1000 * (np.median(loads[0].latencies) - np.median(single.latencies))
        print(f"one text at a time: {more:+.2f} ms by the server, at the median")
    print(f"all {sum(each.texts for each in loads):,} answers were those of their own texts")


if __name__ == "__main__":
    try:
        main()
    except HeedfulError as error:
        sys.exit(f"error: {error}")
