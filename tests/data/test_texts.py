"""Tables of texts: read with their answers, rejected by file and line, written back unchanged."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from heedful.data.files import iterate_lines
from heedful.data.number import parse_number, read_number
from heedful.data.tables import table_format
from heedful.data.texts import Text, TextColumns, Texts, iterate_texts, read_texts, split_validation
from heedful.data.tokenization import TextTokenizer
from heedful.errors import DataError, OptionError, RunError

COLUMNS = TextColumns("text", "label")
MULTI_LABEL = TextColumns("text", "label", ",")
FILES = {
    "a.tsv": 'id\ttext\tlabel\n1\tsay "hi"\tA\n2\ttwo  words\tB\n',
    "a.csv": 'id,text,label\n1,"say ""hi""",A\n2,"two\nwords",B\n',
    "a.jsonl": '{"text": "say \\"hi\\"", "label": "A"}\n\n{"text": "two words", "label": "B", "n": 1}\n',
}


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("packed", [False, True])
def test_texts_and_answers(tmp_path: Path, name: str, packed: bool) -> None:
    path = write(tmp_path, name, FILES[name])
    if packed:
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress(FILES[name].encode()))
    found = read_texts([path], COLUMNS)
    assert [(each.text, each.answers) for each in found.rows] == [
        ('say "hi"', ("A",)),
        ({"a.tsv": "two  words", "a.csv": "two\nwords"}.get(name, "two words"), ("B",)),
    ]
    assert [each.line for each in found.rows] == ([1, 3] if "jsonl" in name else [2, 3])


@pytest.mark.parametrize("name", FILES)
def test_rows_are_written_back_with_columns_added(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, FILES[name])
    table = table_format(path)
    texts = list(iterate_texts(table, path, iterate_lines(path), COLUMNS))
    assert not any(each.answers for each in texts)
    added = [{"found": 'x,"y', "p": 0.5}, {"found": "", "p": 0.25}]
    lines = [table.extend(each.raw, new) for each, new in zip(texts, added, strict=True)]
    header = table.header(["found", "p"])
    wanted = {
        "a.tsv": 'id\ttext\tlabel\tfound\tp\n1\tsay "hi"\tA\tx,"y\t0.5\n2\ttwo  words\tB\t\t0.25',
        "a.csv": 'id,text,label,found,p\n1,"say ""hi""",A,"x,""y",0.5\n2,"two\nwords",B,,0.25',
        "a.jsonl": '{"text": "say \\"hi\\"", "label": "A", "found": "x,\\"y", "p": 0.5}\n'
        '{"text": "two words", "label": "B", "n": 1, "found": "", "p": 0.25}',
    }
    assert "\n".join([*([header] if header else []), *lines]) == wanted[name]


def test_a_table_without_a_header_is_read_by_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "good\tA\nbad\tB\n")
    found = read_texts([path], TextColumns("1", "2"))
    assert [each.answers[0] for each in found.rows] == ["A", "B"]
    table = table_format(path)
    list(iterate_texts(table, path, iterate_lines(path), TextColumns("1", "2")))
    assert table.header(["x"]) is None


def test_several_answers(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "text\tlabel\none\tA, B,A\nnone\t\n")
    assert [each.answers for each in read_texts([path], MULTI_LABEL).rows] == [("A", "B"), ()]
    path = write(tmp_path, "a.jsonl", '{"text": "x", "label": ["A", 2]}\n')
    assert read_texts([path], MULTI_LABEL).rows[0].answers == ("A", "2")
    assert table_format(path, ",").extend("{}", {"l": ["A", "B"]}).endswith('"l": ["A", "B"]}')


BAD = [
    ("a.tsv", "text\tlabel\n", "holds no rows"),
    ("a.tsv", "", "the file is empty"),
    ("a.txt", "x\n", "unknown table format '.txt'"),
    ("a.tsv", "text\tlabels\nx\ty\n", r"a\.tsv, line 1: there is no column 'label'; did you mean 'labels'"),
    ("a.tsv", "text\ttext\tlabel\nx\ty\tz\n", "'text' occurs twice"),
    ("a.tsv", "text\tlabel\nx\n", r"line 2: the row has 1 fields and the first line has 2"),
    ("a.csv", 'text,label\nx,"y\n', r"line 2: the row that starts here is not valid CSV"),
    ("a.tsv", "text\tlabel\n \ty\n", r"line 2: column 'text' is empty"),
    ("a.tsv", "text\tlabel\nx\t \n", r"line 2: column 'label' is empty"),
    ("a.jsonl", "{\n", r"line 1: not valid JSON"),
    ("a.jsonl", '{"text": "\\ud83d", "label": 1}\n', r'line 1: column "text" holds half a surrogate pair'),
    ("a.jsonl", "[1]\n", r"line 1: got a JSON list"),
    ("a.jsonl", '{"text": "x"}\n', r"line 1: there is no column 'label'"),
    ("a.jsonl", '{"text": 3, "label": 1}\n', r"line 1: column 'text' holds 3; expected a string"),
    ("a.jsonl", '{"text": "x", "label": null}\n', r"line 1: column 'label' holds null"),
    ("a.jsonl", '{"text": "x", "label": ["A"]}\n', r"line 1: column 'label' holds \[\"A\"\]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answer", "wrong"), [("1", "3", "3"), ("0", "2", "0")])
def test_numbers_of_columns_that_are_not_there(
    tmp_path: Path, text: str, answer: str, wrong: str
) -> None:
    path = write(tmp_path, "a.tsv", "good\tA\nbad\tB\n")
    message = rf"a\.tsv, line 1: there is no column '{wrong}'.* The columns are: 1, 2"
    with pytest.raises(DataError, match=message):
        read_texts([path], TextColumns(text, answer))


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.tsv", "text\tfound\nx\tmine\n", 1),
        ("a.csv", "found,text\nmine,x\n", 1),
        ("a.jsonl", '{"text": "x"}\n{"text": "y", "found": "mine"}\n', 2),
    ],
)
def test_a_column_that_is_there_is_never_added_again(
    tmp_path: Path, name: str, content: str, line: int
) -> None:
    path = write(tmp_path, name, content)
    read = iterate_texts(
        table_format(path), path, iterate_lines(path), COLUMNS, added=["p", "found"]
    )
    with pytest.raises(DataError, match=rf"line {line}: column 'found' already exists"):
        list(read)


@pytest.mark.parametrize(("name", "content", "message"), BAD, ids=[each[2] for each in BAD])
def test_what_cannot_be_read(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=message):
        read_texts([path], COLUMNS)


@pytest.mark.parametrize("written", ["NaN", "inf", "-Infinity", "three", "-1e151"])
def test_numbers_that_are_none(written: str) -> None:
    text = Text("x", (written,), "", Path("a.tsv"), 7)
    with pytest.raises(DataError, match=r"a\.tsv, line 7: the target"):
        parse_number(written, text.error)


NO_NUMBERS = {
    "1,5": "it has a decimal comma; write it with a point",
    "1.234,5": "it has a decimal comma",
    "1_000": "write it without marks between its digits",
    "1,000.5": "write it without marks",
    "١٢": "write it in the digits 0 to 9",
    "0x10": "write it like 1.5",
    "1e": "write it like 1.5",
    ".": "write it like 1.5",
}


@pytest.mark.parametrize("written", NO_NUMBERS)
def test_what_is_no_number(tmp_path: Path, written: str) -> None:
    path = write(tmp_path, "a.tsv", f"text\ttarget\nx\t{written}\n")
    with pytest.raises(
        DataError, match=rf"a\.tsv, line 2: .* is not a number; {NO_NUMBERS[written]}"
    ):
        read_texts([path], TextColumns("text", "target", answer_is_label=False))


@pytest.mark.parametrize("written", ["1", "-1.5", "+.5", "2.", "1e-3", "1.5E+3", " 7\t"])
def test_what_is_a_number(written: str) -> None:
    assert read_number(written) == float(written)


def test_rows_without_a_text_or_an_answer_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "text\ttarget\nx\t1\ny\t\n\t2\nz\tmany\nv\t3\n")
    columns = TextColumns("text", "target", answer_is_label=False)
    with pytest.raises(DataError, match="line 3: column 'target' is empty"):
        read_texts([path], columns)
    found = read_texts([path], replace(columns, skip_bad=True))
    assert [each.text for each in found.rows] == ["x", "v"]
    assert [each.partition("line ")[2][:9] for each in found.skipped] == [
        "3: column",
        "4: column",
        "5: the ta",
    ]
    path = write(tmp_path, "a.jsonl", '{"text": "x"}\n{"text": "y", "label": null}\n')
    with pytest.raises(DataError, match="the file holds no rows that can be used"):
        read_texts([path], replace(COLUMNS, skip_bad=True))


def test_labels_that_look_alike_are_one(tmp_path: Path) -> None:
    path = write(tmp_path, "a.tsv", "text\tlabel\nx\tcafé\ny\tcafe\u0301\n")
    assert read_texts([path], COLUMNS).labels() == [("café",), ("café",)]


def test_a_share_is_split_off_for_validation() -> None:
    data = Texts([Text(str(n), ("rare" if n < 3 else "often",)) for n in range(43)])
    train, valid = split_validation(data, 0.1, 3, by_answer=True)
    assert (len(train), len(valid)) == (39, 4)
    assert {each.answers[0] for each in valid.rows} == {"often"}
    again, other = (split_validation(data, 0.1, seed, by_answer=True)[1] for seed in (3, 4))
    assert again == valid
    assert other != valid
    both = sorted([*train.rows, *valid.rows], key=lambda each: int(each.text))
    assert both == data.rows
    with pytest.raises(OptionError, match="share for validation is 1"):
        split_validation(data, 1.0, 0, by_answer=False)
    with pytest.raises(DataError, match="too few to split off a share"):
        split_validation(data, 0.01, 0, by_answer=False)


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("word", "n't stop!!! U.S. re-do 3.5", ["n't", "stop", "!!!", "U.S", ".", "re-do", "3.5"]),
        ("word", "早餐太差，wifi没有。", ["早", "餐", "太", "差", "，", "wifi", "没", "有", "。"]),
        ("space", "it 's  ok.", ["it", "'s", "ok."]),
        ("char", "早 a", ["早", "▁", "a"]),
        ("word", "", []),
    ],
)
def test_how_texts_are_tokenized(kind: str, text: str, wanted: list[str]) -> None:
    assert TextTokenizer(kind).tokenize(text) == wanted


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_subwords_are_learned_and_saved(tmp_path: Path, kind: str) -> None:
    tokenizer = TextTokenizer.learn(
        kind, ["low lower lowest", "new newer newest"] * 3, size=30, lowercase=True
    )
    tokenizer.save(tmp_path)
    again = TextTokenizer.load(kind, tmp_path)
    assert again.tokenize("Newest low") == tokenizer.tokenize("Newest low")
    assert "".join(again.tokenize("newest low")) == "▁newest▁low"
    (tmp_path / "pieces.json").unlink()
    with pytest.raises(RunError, match="is missing"):
        TextTokenizer.load(kind, tmp_path)


def test_label_columns_in_another_encoding_with_bad_rows(tmp_path: Path) -> None:
    columns = TextColumns("text", label_columns=("café", "rare"), encoding="cp1252")
    path = tmp_path / "a.csv"
    rows = [
        "text,café,rare",
        "déjà vu,1,0",
        "nothing,0,0",
        ",1,0",
        "gap,1,",
        "odd,n/a,1",
        "both,1,1",
    ]
    path.write_bytes("\n".join(rows).encode("cp1252"))
    with pytest.raises(DataError, match="line 4: column 'text' is empty"):
        read_texts([path], columns)
    found = read_texts([path], replace(columns, skip_bad=True))
    assert found.inputs == ["déjà vu", "nothing", "both"]
    assert found.answers == [("café",), (), ("café", "rare")]
    empty_text, empty_label, other = found.skipped
    assert "line 4: column 'text' is empty" in empty_text
    assert "line 5: column 'rare' is empty; fill it in" in empty_label
    assert "line 6: column 'café' holds 'n/a'; expected 0 or 1" in other
    # A name of composed and of decomposed characters is the same label.
    decomposed = write(tmp_path, "b.jsonl", '{"text": "a", "cafe\u0301": true, "rare": 0.0}\n')
    other_form = replace(columns, label_columns=("cafe\u0301", "rare"), encoding="utf-8")
    assert read_texts([decomposed], other_form).answers == [("café",)]
    lacking = write(
        tmp_path, "c.jsonl", '{"text": "a", "café": 1}\n{"text": "b", "café": 1, "rare": 1}\n'
    )
    with_lacking = replace(columns, encoding="utf-8", skip_bad=True)
    assert read_texts([lacking], with_lacking).answers == [("café", "rare")]
