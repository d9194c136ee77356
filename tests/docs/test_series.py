"""docs/series.md says what benchmarks/results/series say, and the script that measures it cuts data as it says."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from benchmarks import series
from heedful.data.series.tables import SeriesColumns, read_series

TEXT = series.PAGE.read_text(encoding="utf-8")


def test_every_table_is_that_of_the_results() -> None:
    assert series.filled(TEXT) == TEXT
    assert {name for _, name in series.MARK.findall(TEXT)} == set(series.TABLES)
    assert {file.stem for file in series.RESULTS.glob("*.json")} == set(series.SETS)


def test_a_changed_number_would_be_found() -> None:
    wrong = TEXT.replace("| persistence |", "| persistense |", 1)
    assert wrong != TEXT == series.filled(wrong)


def test_a_package_that_is_missing_is_named_with_what_installs_it(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="aeon is missing: pip install aeon statsmodels scikit"):
        series.found_in("aeon", tmp_path)


def test_the_last_fifth_of_a_series_is_for_the_test(tmp_path: Path) -> None:
    corpus = series.Corpus(
        title="made", task="forecast", package="made", place="made.csv", data={"steps": 4}
    )
    lines = [f"{step},{step * 2}" for step in range(50)]
    (tmp_path / "made.csv").write_text("\n".join(["t,x", *lines]) + "\n", encoding="utf-8")
    train, test = series.prepare(corpus, tmp_path, tmp_path)
    [[early], [late]] = (
        read_series(path, SeriesColumns(time="t"), answers=False) for path in (train, test)
    )
    assert early.values[:, 0].tolist() == [2.0 * step for step in range(40)]
    assert late.values[:, 0].tolist() == [2.0 * step for step in range(36, 50)]


def test_a_digit_is_eight_rows_of_eight_numbers(tmp_path: Path) -> None:
    corpus = series.SETS["digits"]
    place = tmp_path / corpus.place
    place.parent.mkdir(parents=True)
    rows = "".join(",".join([*map(str, range(64)), f"{digit}.0"]) + "\n" for digit in (3, 7))
    place.write_bytes(gzip.compress(rows.encode()))
    files = series.prepare(corpus, tmp_path, tmp_path)
    columns = SeriesColumns(series="id", time="row", answer="label")
    [[one], [two]] = (read_series(path, columns) for path in files)
    assert (one.answer, two.answer) == (("3",), ("7",))
    assert one.values.tolist() == [[8.0 * row + x for x in range(8)] for row in range(8)]
