"""Files of series: tables in long and wide form, tables of files, arrays, and the format of the UEA/UCR archive."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from heedful.data.series.series import Series, SeriesSet
from heedful.data.series.tables import SeriesColumns, read_series, series_of_rows
from heedful.data.series.windows import sliding_windows, split_by_time
from heedful.errors import DataError

LONG = [
    ("b", 2, 4.0, None, "up"), ("a", 2, 3.0, 30.0, "down"), ("b", 1, 2.0, 20.0, "up"), ("a", 1, 1.0, 10.0, "down"),
]  # fmt: skip
NAMES = ("id", "t", "x", "y", "kind")


def write(path: Path) -> Path:
    """Write the long table in the format that the name says."""
    suffix = path.suffixes[0]
    if suffix == ".jsonl":
        text = "".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in LONG)
    else:
        mark = "," if suffix == ".csv" else "\t"
        lines = [NAMES, *LONG]
        text = "".join(mark.join("" if c is None else str(c) for c in row) + "\n" for row in lines)
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["long.csv", "long.tsv", "long.jsonl", "long.csv.gz"])
def test_long_form(name: str, tmp_path: Path) -> None:
    columns = SeriesColumns(series="id", time="t", answer="kind")
    two = read_series(write(tmp_path / name), columns)
    assert [(each.name, each.answer) for each in two] == [("b", ("up",)), ("a", ("down",))]
    np.testing.assert_array_equal(two[0].values, [[2, 20], [4, np.nan]])
    np.testing.assert_array_equal(two[1].values, [[1, 10], [3, 30]])
    only = read_series(tmp_path / name, SeriesColumns(series="id", columns=("x",)), answers=False)
    np.testing.assert_array_equal(only[0].values, [[4], [2]])


def test_wide_form_with_a_label_a_step(tmp_path: Path) -> None:
    path = tmp_path / "night.csv"
    path.write_text("x,y,state\n1,?,wake\n2,NA,sleep\n3,0.5,sleep\n", encoding="utf-8")
    [found] = read_series(path, SeriesColumns(answer="state", each_step=True))
    assert (found.name, found.answer) == ("night", ("wake", "sleep", "sleep"))
    np.testing.assert_array_equal(found.values, [[1, np.nan], [2, np.nan], [3, 0.5]])
    several = SeriesSet([found])
    assert "night.csv, line 4: wrong" in str(several.error(0, "wrong", 2))


@pytest.mark.parametrize(
    "content",
    [
        # sorted by time, so that the steps are in another order than the lines
        "id,t,x,s\na,3,1,w\nb,1,1,w\na,1,1,w\na,2,1,bad\n",
        # a row of two lines
        'id,t,x,s,note\na,1,1,w,"two\nlines"\na,2,1,bad,\nb,1,1,w,\n',
    ],
)
def test_an_error_about_a_step_names_its_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "long.csv"
    path.write_text(content, encoding="utf-8")
    columns = SeriesColumns(series="id", time="t", columns=("x",), answer="s", each_step=True)
    data = SeriesSet(read_series(path, columns))
    line = 1 + content.split("\n").index(
        next(each for each in content.split("\n") if "bad" in each)
    )
    assert f"line {line}: wrong" in str(data.error(0, "wrong", data.answers[0].index("bad")))


@pytest.mark.parametrize("written", ["1_000", "١٢", '"1,5"'])
def test_what_is_no_number_is_no_value(tmp_path: Path, written: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"x,label\n{written},a\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2: column 'x' holds .*expected a number"):
        read_series(path, SeriesColumns(answer="label"))


def test_a_table_of_files(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.arange(6.0).reshape(3, 2))
    np.save(tmp_path / "two.npy", np.array([[5, 6]]))
    (tmp_path / "all.tsv").write_text("path\tlabel\none.npy\ta\ntwo.npy\tb\n", encoding="utf-8")
    found = read_series(tmp_path / "all.tsv", SeriesColumns(file="path", answer="label"))
    assert [(each.values.shape, each.answer) for each in found] == [
        ((3, 2), ("a",)),
        ((1, 2), ("b",)),
    ]
    (tmp_path / "plain.csv").write_text("1,2\n3,\n", encoding="utf-8")
    [plain] = read_series(tmp_path / "plain.csv", SeriesColumns(), answers=False)
    np.testing.assert_array_equal(plain.values, [[1, 2], [3, np.nan]])
    [flat] = read_series(tmp_path / "two.npy", SeriesColumns(), answers=False)
    assert flat.values.tolist() == [[5.0, 6.0]]


TS = (
    "# a comment\n@problemName Toy\n@timeStamps false\n@univariate false\n@classLabel true up down\n"
    "@data\n1,2,?:4,5,6:up\n7:8:down\n"
)


def test_the_format_of_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "toy.ts"
    path.write_text(TS, encoding="utf-8")
    found = read_series(path, SeriesColumns())
    assert [each.answer for each in found] == [("up",), ("down",)]
    np.testing.assert_array_equal(found[0].values, [[1, 4], [2, 5], [np.nan, 6]])
    assert found[1].values.tolist() == [[7, 8]]
    path.write_text("@targetlabel true\n@data\n1,2:0.5\n", encoding="utf-8")
    assert read_series(path, SeriesColumns())[0].answer == ("0.5",)


BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("a.ts", "1,2:up\n", {}, "got '1,2:up' before @data"),
    ("a.ts", "@classlabel true a\n", {}, "there is no line @data"),
    ("a.ts", "@timestamps true\n@data\n", {}, "line 1: series with time stamps"),
    ("a.ts", "@data\n1,2:3\n", {}, "line 2: the dimensions have the lengths 2, 1"),
    ("a.ts", "@data\n1,x\n", {}, "line 2: 'x' is not a number"),
    ("a.ts", "@data\n1,2\n", {}, "line 2: the series has no answer"),
    ("a.csv", "x,label\n1,a\n2,b\n", {"answer": "label"}, "series 'a' has several answers: a, b"),
    ("a.csv", "x,label\none,a\n", {"answer": "label"}, "line 2: column 'x' holds 'one'; expected a number"),
    ("a.csv", "x,label\n1,a\n", {"answer": "lable"}, "there is no column 'lable'; did you mean 'label'"),
    ("a.csv", "x,label\n1,\n", {"answer": "label"}, "column 'label' is empty"),
    ("a.csv", "label\na\n", {"answer": "label"}, "no column is left for the values"),
    ("a.csv", "x,label\ninf,a\n", {"answer": "label"}, "the series holds infinity"),
    ("a.csv", "x\n", {}, "the file holds no rows"),
    ("a.csv", "path,label\nnone.npy,a\n", {"file": "path", "answer": "label"}, "none.npy: no such file"),
    ("a.npy", "1 2 3", {}, "not a NumPy array of numbers"),
    ("a.xls", "1", {}, "unknown format '.xls'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "columns", "message"), BAD, ids=[b[3] for b in BAD])
def test_files_that_cannot_be_used(
    name: str, content: str, columns: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_series(tmp_path / name, SeriesColumns(**columns))


def test_rows_of_python() -> None:
    columns = SeriesColumns(answer="label", separator=",")
    rows = [
        {"values": [[1, None], [2, 3]], "label": "a,b"},
        {"values": np.ones((2, 2)), "label": ["c"]},
    ]
    found = series_of_rows(rows, columns, "train")
    assert [each.answer for each in found] == [("a", "b"), ("c",)]
    for row, message in (
        ({"label": "a"}, "example 1 of train: there is no 'values'; got label"),
        ({"values": [[1], [2, 3]], "label": "a"}, "expected a series of numbers"),
        ({"values": [], "label": "a"}, r"shape \(0, 1\)"),
    ):
        with pytest.raises(DataError, match=message):
            series_of_rows([row], columns, "train")
    with pytest.raises(DataError, match="the series has 1 features; the first series has 2"):
        SeriesSet([*found, Series(np.ones((2, 1)))])


def test_windows_never_forecast_what_training_saw() -> None:
    series = SeriesSet([Series(np.arange(20.0)[:, None]), Series(np.arange(100.0, 103)[:, None])])
    early, late = split_by_time(series, 0.25, 4)
    train = sliding_windows(early, window=4, horizon=2, stride=1)
    valid = sliding_windows(late, window=4, horizon=2, stride=1)
    seen = {value for each in train.windows for value in (*each.history[:, 0], *each.future[:, 0])}
    assert not seen & {value for each in valid.windows for value in each.future[:, 0]}
    assert valid.windows[0].future[:, 0].tolist() == [15.0, 16.0]
    assert len(train.take([0, 2])) == 2
    assert sliding_windows(early, window=4, horizon=2, stride=3).inputs[1][0, 0] == 3.0
    with pytest.raises(
        DataError, match="the longest series of series has 15 steps; a window of 15"
    ):
        sliding_windows(early, window=15, horizon=2, stride=1)


def test_an_archive_file_may_begin_with_comments_of_either_kind(tmp_path: Path) -> None:
    path = tmp_path / "toy.ts"
    path.write_text(f"%# cut down\n% by hand\n{TS}% the end\n", encoding="utf-8")
    assert [each.answer for each in read_series(path, SeriesColumns())] == [("up",), ("down",)]


def test_windows_with_nothing_known_to_read_or_to_forecast_are_left_out() -> None:
    values = np.array([np.nan, np.nan, 1, 2, 3, np.nan, 5])[:, None]
    found = sliding_windows(SeriesSet([Series(values)]), window=2, horizon=1, stride=1)
    assert [each.future[0, 0] for each in found.windows] == [2, 3, 5]
    with pytest.raises(DataError, match="no window of series has a known value to read"):
        sliding_windows(SeriesSet([Series(values[:3] * np.nan)]), window=2, horizon=1, stride=1)


def test_several_numbers_of_a_series(tmp_path: Path) -> None:
    columns = SeriesColumns(series="id", answer="mass,price", has_numbers=True)
    path = tmp_path / "long.csv"
    path.write_text("id,x,mass,price\na,1,5,\na,2,5,\nb,3,6,7\n", encoding="utf-8")
    assert [each.answer for each in read_series(path, columns)] == [("5", ""), ("6", "7")]
    [row] = series_of_rows([{"values": [1], "mass": 5, "price": None}], columns, "train")
    assert row.answer == ("5", "")
    path.write_text("id,x,mass,price\na,1,,\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2: column 'mass' is empty"):
        read_series(path, columns)
