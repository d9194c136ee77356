"""The names that the package offers at its top, and that taking them costs little."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest

import heedful
from heedful import errors

LIBRARY = {
    "attend", "plan", "band_weights", "Attended", "BandWeights", "Plan", "scores", "masks", "normalizers",
    "positions", "hf", "nn", "models", "load", "train", "TrainedModel",
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


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_the_library_is_taken_without_pytorch() -> None:
    assert run("import sys, heedful; dir(heedful); print('torch' in sys.modules)") == "False\n"


MODULES = ("masks", "models", "nn", "normalizers", "positions", "scores")


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize(
    "code",
    [
        "import heedful.{name}; found = heedful.{name}",
        "from heedful import {name} as found",
        "import heedful; found = heedful.{name}",
        "from heedful.{name} import *; import heedful.{name} as found",
    ],
)
def test_parts_are_modules(name: str, code: str) -> None:
    place: dict[str, object] = {}
    exec(code.format(name=name), place)
    assert place["found"] is importlib.import_module(f"heedful.{name}")


@pytest.mark.parametrize("name", ["masks", "normalizers", "positions", "scores"])
def test_public_modules_have_the_names_of_the_inner_ones(name: str) -> None:
    public, inner = (
        importlib.import_module(f"{base}.{name}") for base in ("heedful", "heedful.ops")
    )
    assert public.__all__ == inner.__all__
    assert all(getattr(public, each) is getattr(inner, each) for each in inner.__all__)


def test_a_public_module_can_be_imported_first() -> None:
    code = "from heedful.scores import Additive; import heedful.normalizers as n; print(Additive.name, n.Softmax())"
    assert run(code) == "additive Softmax()\n"


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'normalisers'"):
        _ = heedful.normalisers
