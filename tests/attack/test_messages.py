"""Messages stay short and harmless, whatever they quote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.config import build, read_toml
from heedful.data.tables import CsvTable
from heedful.errors import (
    MESSAGE,
    SHOWN,
    DataError,
    HeedfulError,
    OptionError,
    escape,
    listed,
    nearest,
    shorten,
    shown,
    unknown_choice,
    unquoted,
)
from heedful.stored_files import JsonError, parse_json, parse_toml
from heedful.tasks.translate import TranslationConfig

UNSEEN = re.compile(
    "[\0-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
TEXT = st.one_of(
    st.text(st.characters(), max_size=50),
    st.builds(
        lambda text, count: text * count,
        st.text(st.characters(), min_size=1, max_size=5),
        st.integers(1, 5000),
    ),
)
VALUES = st.one_of(
    TEXT, st.integers(), st.lists(TEXT, max_size=3), st.binary(), st.none(), st.just(10**5000)
)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_a_quoted_value_is_short_and_on_one_line(value: object) -> None:
    assert len(shown(value)) <= SHOWN
    assert not UNSEEN.search(shown(value))


@given(TEXT)
@settings(max_examples=300, deadline=None)
def test_a_value_without_quotation_marks_is_short_and_on_one_line(text: str) -> None:
    assert len(unquoted(text)) <= SHOWN
    assert not UNSEEN.search(unquoted(text) + escape(text))
    assert len(shorten(text, 100)) <= 100
    assert len(listed([text] * 1000)) < 2000


@given(TEXT, TEXT, st.integers(0, 10**9))
@settings(max_examples=300, deadline=None)
def test_every_message_is_bounded(message: str, path: str, line: int) -> None:
    for error in (
        HeedfulError(message),
        DataError(message, path=path.replace("\0", ""), line=line),
    ):
        assert len(str(error)) <= MESSAGE
        assert not UNSEEN.search(str(error).replace("\n", ""))
        str(error).encode()
    assert "\n" not in unquoted(path)


@pytest.mark.parametrize("value", [[[]] * 5, "short", 5, {"a": 1}, Path("a/b")])
def test_a_short_value_is_as_python_writes_it(value: object) -> None:
    assert shown(value) == repr(value)
    assert str(HeedfulError("a message\nof lines")) == "a message\nof lines"


def test_choices_are_listed_and_looked_up_within_limits() -> None:
    names = [f"name-{number}" for number in range(100_000)]
    error = str(unknown_choice("column", "name-5" * 1000, names))
    assert "… (100,000 in all)" in error
    assert len(error) < 2000
    assert nearest("name-50", names) == "name-50"
    with pytest.raises(DataError, match=r"there is no column 'text'") as found:
        list(CsvTable().rows(Path("a.csv"), iter([",".join(names), ""]), ["text"]))
    assert len(str(found.value)) < 1000


def test_a_configuration_of_many_mistakes_lists_some() -> None:
    with pytest.raises(OptionError, match="and 90 more mistakes") as found:
        build(TranslationConfig, {"x" * 1000 + str(number): 1 for number in range(100)})
    assert len(str(found.value)) <= MESSAGE


@pytest.mark.parametrize(
    "text",
    [
        "[" * 2000, "[" * 2000 + "]" * 2000, '{"a":' * 2000 + "1" + "}" * 2000, "9" * 5000, "-" + "9" * 301,
        "", "{", "nul",
        '"\\ud8"', "[1,]", "\ufeff{}",
    ],
)  # fmt: skip
def test_json_that_is_refused(text: str) -> None:
    with pytest.raises(JsonError) as found:
        parse_json(text)
    assert len(str(found.value)) < 100


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 2000, "a = " + "{b = " * 2000, "a = " + "9" * 5000, ".".join("a" * 500_000) + " = 1",
        "[" + ".".join("a" * 2000) + "]", "a = {" + ".".join("b" * 60) + " = {" + ".".join("c" * 60) + " = 1}}",
        "a = 1\na = 2", "a = 2020-13-45", "\0", "a = \x01", '"' * 100_000,
    ],
)  # fmt: skip
def test_toml_that_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=r"a\.toml") as found:
        read_toml(tmp_path / "a.toml")
    assert len(str(found.value)) < 400


def test_a_configuration_has_a_limit_of_size(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("#" * 2**20 + "\n", encoding="utf-8")
    with pytest.raises(OptionError, match=r"a\.toml is larger than 1,048,576 bytes"):
        read_toml(tmp_path / "a.toml")
    assert parse_toml('"a.b" = [[[1]]]') == {"a.b": [[[1]]]}
