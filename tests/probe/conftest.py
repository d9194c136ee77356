"""Tiny sizes."""

from __future__ import annotations

import pytest

from heedful.probe.settings import Settings
from heedful.probe.workshop import Workshop


@pytest.fixture(scope="session")
def shop() -> Workshop:
    return Workshop(
        Settings(
            lengths=(8, 16), timed_lengths=(8, 16, 32), train_lengths=(8,), length=12, steps=3, tokens=64,
            width=8, symbols=4, examples=20, seconds=0.01,
        )
    )  # fmt: skip
