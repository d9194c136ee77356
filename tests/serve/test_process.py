"""The command `heedful serve` as a process: what it refuses to start with, and how a signal ends it."""

from __future__ import annotations

import http.client
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from heedful import run_folder
from heedful.cli.serve import TOKEN
from heedful.cli.serve import serve as serve_command
from heedful.errors import OptionError
from heedful.serve.server import is_loopback, listen
from tests.serve.conftest import small_predictor


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a translator of fresh weights."""
    predictor = small_predictor("translate")
    folder = run_folder.create(tmp_path_factory.mktemp("runs") / "de-en", "translate")
    predictor.save(folder)
    predictor.save_weights(folder / run_folder.WEIGHTS)
    return folder


@pytest.fixture
def start(run: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "heedful", "serve", str(run), "--port", "0"]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def port_of(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"serving de-en on http://127\.0\.0\.1:(\d+)", line)
    assert found, line + (process.stderr.read() if process.stderr else "")
    return int(found[1])


@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_signal_drains_and_ends_well(start: Any, number: int) -> None:
    """What is under way is answered, no more is accepted, and the exit status is that of success."""
    process = start()
    port = port_of(process)
    found: list[tuple[int, bytes]] = []
    first = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    first.connect()
    # Half a request: it is under way when the signal comes.
    body = b'{"inputs": ["ein Hund rennt"]}'
    lines = ["POST /predict HTTP/1.1", "host: localhost", "content-type: application/json"]
    head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""])
    first.sock.sendall(head.encode() + body[:5])
    time.sleep(0.3)
    process.send_signal(number)

    def rest() -> None:
        time.sleep(0.5)
        first.sock.sendall(body[5:])
        response = http.client.HTTPResponse(first.sock)
        response.begin()
        found.append((response.status, response.read()))

    thread = threading.Thread(target=rest)
    thread.start()
    thread.join()
    first.close()
    output, errors = process.communicate(timeout=30)
    [(status, answer)] = found
    assert status == 200
    assert b"translations" in answer
    assert (process.returncode, output, errors) == (0, "ended\n", "")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.parametrize(
    ("options", "token", "message"),
    [
        ({"host": "0.0.0.0"}, None, "reached from other machines; give --token-file"),
        ({"host": "0.0.0.0"}, "short", "fewer than 16 characters"),
        ({"token_file": Path("no/such/file")}, None, "cannot be read"),
        ({"host": "256.0.0.1"}, "long enough for a token", "cannot listen on 256.0.0.1"),
    ],
)
def test_what_it_does_not_start_with(
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    token: str | None,
    message: str,
) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    if token is not None:
        monkeypatch.setenv(TOKEN, token)
    with pytest.raises(OptionError, match=message):
        serve_command([run], **options)


def test_a_port_in_use_is_told() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OptionError, match=f"cannot listen on 127.0.0.1, port {port}"):
            listen("127.0.0.1", port)


def test_without_the_extra_one_line_says_what_to_install(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in sys.modules if each.startswith("heedful.serve")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(OptionError, match=r'pip install "heedful\[serve\]" \(uvicorn is missing\)'):
        serve_command([run])


def test_two_runs_of_one_name_are_refused(run: Path) -> None:
    with pytest.raises(OptionError, match="two runs have folders of the same name"):
        serve_command([run, run], port=0)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.2", False),
        ("example.org", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
