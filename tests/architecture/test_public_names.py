"""The names that the package offers at its top, and that taking them costs little."""

from __future__ import annotations

import inspect
import subprocess
import sys

import heedful
from heedful import errors

LIBRARY = {
    "attend", "plan", "band_weights", "Attended", "BandWeights", "Plan", "scores", "masks", "normalizers",
    "positions", "nn", "models",
}  # fmt: skip
ERRORS = {
    name
    for name, value in vars(errors).items()
    if inspect.isclass(value) and issubclass(value, errors.HeedfulError)
}


def test_the_top_level_offers_exactly_these_names() -> None:
    assert set(heedful.__all__) == LIBRARY | ERRORS
    assert [name for name in heedful.__all__ if not hasattr(heedful, name)] == []


def test_public_things_are_described() -> None:
    bare = [name for name in LIBRARY | ERRORS if not inspect.getdoc(getattr(heedful, name))]
    assert bare == []


def test_the_library_is_taken_without_what_only_the_command_needs() -> None:
    code = "import sys, heedful; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {
        "matplotlib", "lightning_fabric", "sacrebleu", "babel", "num2words", "typer", "rich", "tensorboard",
    }  # fmt: skip
    assert heavy & set(loaded) == set()
