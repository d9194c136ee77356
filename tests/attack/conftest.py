"""A server that trains in children that can be killed, shared by the tests of this folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.attack.training_server import TrainingServer

Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Write a line to the terminal, also of a test that passes."""

    def write(line: str) -> None:
        with capsys.disabled():
            sys.stdout.write(f"\n{line}\n")

    return write


@pytest.fixture(scope="session")
def server() -> Iterator[TrainingServer]:
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    with TrainingServer() as started:
        yield started
