"""The helper that says that options do something also says when they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from heedful.tasks.classify import ClassifyConfig
from tests.tasks.options import assert_each_does_something, values_of


def test_a_value_that_does_what_another_does_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []

    def square(name: str, value: int, folder: Path, patch: pytest.MonkeyPatch) -> int:
        folders.append(folder)
        return value * value

    assert_each_does_something("beam", [1, 2, 3], square, tmp_path, monkeypatch)
    assert len(set(folders)) == 3
    with pytest.raises(AssertionError, match="beam = 1 and -1 do the same"):
        assert_each_does_something("beam", [1, 2, -1], square, tmp_path, monkeypatch)


def test_a_field_that_is_no_choice_needs_values() -> None:
    fields = type(ClassifyConfig().inputs).model_fields
    assert values_of("vectors_frozen", fields, {}) == [True, False]
    with pytest.raises(KeyError, match="word_width"):
        values_of("word_width", fields, {})
