"""Rows of a file that were left out, said to people."""

from __future__ import annotations

from heedful.cli.output import Output
from heedful.data.dataset import Dataset
from heedful.errors import count


def say_skipped(data: Dataset, output: Output, listed: str = "") -> None:
    """Say how many rows of the data were left out, where they are listed, and show the first."""
    if data.skipped:
        number = count(len(data.skipped), "row")
        output.say(f"{data.name}: {number} left out{listed}; the first: {data.skipped[0]}")
