"""What tests of a configuration share: which values of a field are tried, and that no two of them do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from heedful.models.config import choices_of


def small(*, hidden: int, batch_tokens: int) -> dict[str, dict[str, Any]]:
    """A model of texts that trains at once, and yet so that settings show."""
    return {
        "vocabulary": {"min_frequency": 1},
        "inputs": {"word_width": 6, "character_width": 4, "character_embedding": 3},
        "encoder": {"kind": "window", "hidden": hidden},
        "training": {
            "epochs": 1, "batch_tokens": batch_tokens, "warmup_steps": 1, "threads": 1, "average_epochs": 1,
            "keep_freed_memory": False, "learning_rate": 0.05,
        },
    }  # fmt: skip


OF_TEXTS: dict[str, list[Any]] = {
    "vocabulary.min_frequency": [1, 4],
    "inputs.word_width": [0, 6],
    "inputs.character_embedding": [2, 3],
    "inputs.character_width": [4, 6],
    "inputs.word_dropout": [0.0, 0.5],
    "inputs.dropout": [0.0, 0.5],
    "inputs.vectors": ["", "vectors.txt"],
    "inputs.vectors_unseen": [0, 2],
    "prediction.batch_tokens": [1, 100],
    "prediction.chunk": [1, 2],
}
"""Values to try of the fields that are neither choices nor switches, for every task that reads texts."""


def values_of(
    name: str, fields: Mapping[str, FieldInfo], written: Mapping[str, list[Any]]
) -> list[Any]:
    """Every choice of a field that is a choice or yes or no; of any other, the values that are written down."""
    if choices := choices_of(fields[name]):
        return list(choices)
    return [True, False] if fields[name].annotation is bool else written[name]


def assert_each_does_something(
    name: str,
    values: Sequence[Any],
    observed: Callable[[str, Any, Path, pytest.MonkeyPatch], object],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Observe each value in a folder of its own, with patches that end with it."""
    seen = []
    for number, value in enumerate(values):
        with monkeypatch.context() as patch:
            seen.append((value, observed(name, value, folder / str(number), patch)))
    assert_all_differ(name, seen)


def assert_all_differ(name: str, seen: Sequence[tuple[Any, object]]) -> None:
    """Compare what each value did with what every other did."""
    for (one, here), (other, there) in combinations(seen, 2):
        assert here != there, f"{name} = {one!r} and {other!r} do the same"
