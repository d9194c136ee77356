from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from heedful.data.files import Pairs, read_table
from heedful.errors import DataError
from tests.conftest import CORPORA

TATOEBA = CORPORA / "tatoeba_en_zh" / "cmn.tsv.gz"


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


GOOD = {
    "a.tsv": 'id\ten\tzh\n1\tA "big" dog, here.\t一只大狗。\n2\tHi.\t嗨。\n',
    "a.tab": 'id\ten\tzh\r\n1\tA "big" dog, here.\t一只大狗。\r\n2\tHi.\t嗨。\r\n',
    "a.csv": '\ufeffid,en,zh\r\n1,"A ""big"" dog, here.",一只大狗。\r\n2,Hi.,嗨。\r\n',
    "a.jsonl": '{"en": "A \\"big\\" dog, here.", "zh": "一只大狗。"}\n{"zh": "\\u55e8。", "en": "Hi.", "x": 3}\n',
    "a.ndjson": '{"en":"A \\"big\\" dog, here.","zh":"一只大狗。"}\n{"zh":"嗨。","en":"Hi."}',
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", GOOD)
def test_every_format_gives_the_same_pairs(tmp_path: Path, name: str, packed: bool) -> None:
    content = GOOD[name].encode()
    name += ".gz" if packed else ""
    path = write(tmp_path / name, gzip.compress(content) if packed else content)
    assert read_table(path, ("en", "zh")) == Pairs(
        ['A "big" dog, here.', "Hi."], ["一只大狗。", "嗨。"], name=name
    )


SAME = {
    "blank lines": ("a.csv", "en,zh\na,b\n\nc,d\n\n \n"),
    "blank lines of TSV": ("a.tsv", "en\tzh\na\tb\n\nc\td\n\n"),
    "blank lines of JSON": ("a.jsonl", '{"en": "a", "zh": "b"}\n\n{"en": "c", "zh": "d"}\n \n'),
    "semicolons": ("a.csv", "en;zh\na;b\nc;d\n"),
    "tabs": ("a.csv", 'en\tzh\n"a"\tb\nc\td\n'),
    "bars": ("a.csv", "en|zh\na|b\nc|d\n"),
    "a comma in the header": ("a.csv", "x,y;en;zh\n,;a;b\n,;c;d\n"),
    "spaces before fields": ("a.csv", 'en, zh\n"a", "b"\n c, d\n'),
}


@pytest.mark.parametrize("case", SAME)
def test_how_a_table_may_also_be_written(tmp_path: Path, case: str) -> None:
    name, content = SAME[case]
    assert list(read_table(write(tmp_path / name, content), ("en", "zh"))) == [
        ("a", "b"),
        ("c", "d"),
    ]


def test_columns_by_number_need_so_many_fields(tmp_path: Path) -> None:
    assert list(read_table(write(tmp_path / "a.csv", "a;b\nc;d\n"), ("1", "2"))) == [
        ("a", "b"),
        ("c", "d"),
    ]


def test_a_field_may_be_of_any_length(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "en,zh\n" + "word " * 100_000 + ",b\n")
    assert len(read_table(path, ("en", "zh")).source[0]) == 500_000


def test_commas_in_a_file_of_tabs(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 1: .*separated by ';', not by tabs; name .* \.csv"):
        read_table(write(tmp_path / "a.tsv", "en;zh\na;b\n"), ("en", "zh"))


@pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\x85", "\x1c", "\u2028"])
def test_other_white_space_is_part_of_a_text(tmp_path: Path, space: str) -> None:
    path = write(tmp_path / "a.csv", f'en,zh\n"two\nlines{space}x","b"\n')
    assert read_table(path, ("en", "zh")).source == [f"two lines{space}x"]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-16-be", "utf-8-sig"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.csv", "en,zh\r\nGrüße,é\r\nc,d".encode(encoding))
    assert list(read_table(path, ("en", "zh"), encoding)) == [("Grüße", "é"), ("c", "d")]


def test_columns_may_come_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", GOOD["a.tsv"])
    assert read_table(path, ("zh", "en")).source == ["一只大狗。", "嗨。"]


def test_numbers_are_columns_of_a_file_without_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "Hi.\t嗨。\tlicence\nRun.\t跑。\tlicence\n")
    assert list(read_table(path, ("2", "1"))) == [("嗨。", "Hi."), ("跑。", "Run.")]


def test_a_column_whose_name_is_a_number_is_found_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "2,1\na,b\n")
    assert list(read_table(path, ("1", "2"))) == [("b", "a")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 'en,zh\n"two\r\nlines",一\nnext,二\n'),
        ("a.jsonl", '{"en": "two\\nlines", "zh": "一"}\n{"en": "next", "zh": "二"}\n'),
    ],
)
def test_a_line_break_in_a_field_becomes_a_space(tmp_path: Path, name: str, content: str) -> None:
    pairs = read_table(write(tmp_path / name, content), ("en", "zh"))
    assert pairs.source == ["two lines", "next"]


BAD = {
    "unknown column": ("a.tsv", "eng\tchi\na\tb\n", 1, r"no column 'en'; did you mean 'eng'"),
    "columns are listed": (
        "a.tsv",
        "xx\tyy\na\tb\n",
        1,
        r"no column 'en'\. The columns are: xx, yy\.",
    ),
    "column twice": ("a.csv", "en,zh,en\na,b,c\n", 1, "the column name 'en' occurs twice"),
    "tsv, few fields": (
        "a.tsv",
        "en\tzh\na\tb\nc\n",
        3,
        "has 1 fields and the first line has 2; a field may not hold a tab",
    ),
    "csv, many fields": (
        "a.v.csv",
        "en,zh\nyes, sir,b\n",
        2,
        'has 3 fields and the first line has 2; a field that holds a comma is written in "quot',
    ),
    "csv, line after quoted break": ("a.csv", 'en,zh\n"a\nb",c\nd\n', 4, "has 1 fields"),
    "csv, open quote": (
        "a.csv",
        'en,zh\na,b\nc,"d\ne,f\n',
        3,
        "the row that starts here is not valid CSV",
    ),
    "csv, stray quote": (
        "a.csv",
        'en,zh\n"a"b,c\n',
        2,
        "the row that starts here is not valid CSV",
    ),
    "tsv, empty field": ("a.tsv", "en\tzh\na\t \n", 2, "column 'zh' is empty; remove the pair"),
    "json, empty field": ("a.jsonl", '{"en": "", "zh": "b"}\n', 1, "column 'en' is empty"),
    "json, line break alone": ("a.jsonl", '{"en": "\\n", "zh": "b"}\n', 1, "column 'en' is empty"),
    "json, malformed": (
        "a.jsonl",
        '{"en": "a", "zh": "b"}\n{"en": "a",\n',
        2,
        r"not valid JSON \(.*\); each line must be one JSON object",
    ),
    "json, deep": ("a.jsonl", "[" * 100_000 + "\n", 1, "not valid JSON"),
    "json, array": (
        "a.jsonl",
        '["a", "b"]\n',
        1,
        "got a JSON list; each line must be one JSON object",
    ),
    "json, column": (
        "a.jsonl",
        '{"en": "a", "zh-TW": "b"}\n',
        1,
        "no column 'zh'; did you mean 'zh-TW'",
    ),
    "json, number": (
        "a.jsonl",
        '{"en": 3, "zh": "b"}\n',
        1,
        "column 'en' holds 3; expected a string",
    ),
    "json, surrogate": (
        "a.jsonl",
        '{"en": "\\ud83d", "zh": "b"}\n',
        1,
        'column "en" holds half a surrogate pair',
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_name_file_and_line(tmp_path: Path, case: str) -> None:
    name, content, line, message = BAD[case]
    with pytest.raises(DataError, match=rf"{name}, line {line}: .*{message}") as caught:
        read_table(write(tmp_path / name, content), ("en", "zh"))
    assert caught.value.line == line


def test_a_column_number_beyond_the_last(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tsv", "a\tb\n")
    with pytest.raises(DataError, match=r"line 1: there is no column '3'.* The columns are: 1, 2"):
        read_table(path, ("1", "3"))
    with pytest.raises(DataError, match="there is no column '0'"):
        read_table(path, ("0", "1"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tsv", "", "the file is empty"),
        ("a.csv", "", "the file is empty"),
        ("a.jsonl", "", "the file holds no rows"),
        ("a.tsv", "en\tzh\n", "the file holds no rows"),
        (
            "a.xlsx",
            "en\tzh\n",
            "unknown table format '.xlsx'; the file name must end in one of .tsv, .tab, .csv",
        ),
        ("a.gz", "en\tzh\n", "unknown table format ''"),
    ],
)
def test_tables_that_hold_nothing_or_have_no_format(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_table(write(tmp_path / name, content), ("en", "zh"))


def test_a_missing_table_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", "")
    with pytest.raises(DataError, match=r"no such file; did you mean '.*train\.tsv'"):
        read_table(tmp_path / "train.txt", ("en", "zh"))


@pytest.mark.skipif(not TATOEBA.is_file(), reason="the corpus tatoeba_en_zh is not here")
def test_tatoeba_is_read_whole() -> None:
    pairs = read_table(TATOEBA, ("1", "2"))
    assert len(pairs) == 28_447
    assert next(iter(pairs)) == ("Hi.", "嗨。")
