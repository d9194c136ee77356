"""Packed texts and ids are what was packed, in memory and in a temporary file."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.data import packed_texts, spool
from heedful.data.files import Pairs, read_pairs, read_table
from heedful.data.packed_ids import PackedIds
from heedful.data.packed_texts import PackedTexts, select_texts, take_texts
from heedful.data.spool import Spool
from heedful.errors import DataError

TEXTS = ["Grüße", "", "你好, Welt", "half a surrogate \ud83d", "x" * 100, "", "end"]


@pytest.fixture(params=["memory", "disk"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "disk":
        monkeypatch.setattr(spool, "MEMORY_LIMIT", 0)
    # Blocks end within the texts.
    monkeypatch.setattr(packed_texts, "_BLOCK", 30)
    return str(request.param)


def test_packed_texts_are_a_list_of_strings(place: str) -> None:
    texts = PackedTexts.of(TEXTS)
    assert list(texts) == TEXTS
    assert [texts[row] for row in range(-7, 7)] == TEXTS * 2
    assert (texts[2:5], texts[::-2], texts[9:]) == (TEXTS[2:5], TEXTS[::-2], [])
    assert len(texts) == 7
    with pytest.raises(IndexError):
        texts[7]
    assert texts._spool.is_on_disk == (place == "disk")


def test_texts_are_equal_to_the_same_strings_alone(place: str) -> None:
    texts = PackedTexts.of(TEXTS)
    assert texts == TEXTS
    assert texts == tuple(TEXTS)
    assert texts == PackedTexts.of(TEXTS)
    assert texts != TEXTS[:-1]
    assert texts != [*TEXTS[:-1], "other"]
    assert PackedTexts.of(["a", "b"]) != "ab"
    assert PackedTexts.of([]) == []
    assert repr(texts) == "PackedTexts(7 texts: 'Grüße', '', '你好, Welt', …)"


@given(st.lists(st.text(max_size=40)), st.data())
def test_any_rows_are_selected(texts: list[str], data: st.DataObject) -> None:
    rows = sorted(data.draw(st.sets(st.sampled_from(range(len(texts)))))) if texts else []
    chosen = [texts[row] for row in rows]
    packed = PackedTexts.of(texts)
    for each in (texts, packed):
        assert list(select_texts(each, np.array(rows, dtype=np.int64))) == chosen
        assert take_texts(each, rows[::-1]) == chosen[::-1]
    assert isinstance(take_texts(packed, rows), PackedTexts)


@pytest.mark.parametrize(("size", "dtype"), [(65_536, "uint16"), (65_537, "int32")])
def test_packed_ids_are_sequences_of_ids(place: str, size: int, dtype: str) -> None:
    rows = [[5, size - 1], [], [7], [0] * 50]
    packed = PackedIds.of([rows[:1], rows[1:]], size)
    assert [each.tolist() for each in packed] == rows
    assert [each.tolist() for each in packed[1:3]] == rows[1:3]
    assert packed[-2].tolist() == [7]
    assert packed.lengths().tolist() == [2, 0, 1, 50]
    assert packed.values.dtype == dtype
    assert packed.is_on_disk == (place == "disk")
    with pytest.raises(IndexError):
        packed[4]
    with pytest.raises(ValueError, match="read-only"):
        packed[0][0] = 1


def test_no_file_is_seen_in_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bytes_on_disk = Spool(limit=0)
    bytes_on_disk.append(b"kept")
    assert bytes_on_disk.is_on_disk
    assert bytes_on_disk.read(1, 3) == b"ep"
    bytes_on_disk.append(b" on")
    values = bytes_on_disk.array(np.uint8)
    del bytes_on_disk  # an array outlives its spool
    assert bytes(values) == b"kept on"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(DataError, match=r"gone: No such file .*\. Free some space, or set TMPDIR"):
        Spool(limit=0).append(b"x")


def test_files_of_pairs_are_packed(tmp_path: Path, place: str) -> None:
    source, target, table = (tmp_path / name for name in ("a.en", "a.de", "a.tsv"))
    source.write_text("one\ntwo\n")
    target.write_text("eins\nzwei\n")
    table.write_text("en\tde\none\teins\ntwo\tzwei\n")
    for pairs in (read_pairs(source, target), read_table(table, ("en", "de"))):
        assert isinstance(pairs.source, PackedTexts)
        assert pairs.source._spool.is_on_disk == (place == "disk")
        assert pairs == Pairs(["one", "two"], ["eins", "zwei"], pairs.name)
        assert list(pairs.take([1])) == [("two", "zwei")]
        assert pairs.input_of_length(3) == "one two one"
