"""Files of labelled tokens: read, refused by file and line, and written back with other labels."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from heedful.data.conllu import ConlluColumn
from heedful.data.labelled import Labelled, LabelledFile, iterate_sentences, read_labelled
from heedful.data.lexicon import Lexicon, load_lexicons, save_lexicons
from heedful.errors import HeedfulError, RunError


def row(number: str, form: str, upos: str, feats: str = "_") -> str:
    return "\t".join([number, form, "lemma", upos, "X", feats, "0", "root", "_", "SpaceAfter=No"])


CONLLU = "\n".join(
    [
        "# sent_id = 1",
        row("1-2", "don't", "_"),
        row("1", "do", "AUX", "Mood=Ind|Number=Sing"),
        row("2", "n't", "PART"),
        row("2.1", "ghost", "VERB", "Number=Plur"),
        row("3", "sit", "VERB", "Number=Plur"),
        "",
        "# text = dogs",
        row("1", "dogs", "NOUN", "Number=Plur"),
        "",
        "",
    ]
)


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def again(path: Path, options: LabelledFile, change: dict[str, str]) -> str:
    """Write every sentence with its labels, some of them changed."""
    form = options.reader(path)
    return "".join(
        form.write(each, [change.get(label, label) for label in each.labels])
        for each in iterate_sentences(path, options)
    )


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        ("", ["AUX", "PART", "VERB", "NOUN"]),
        ("UPOS", ["AUX", "PART", "VERB", "NOUN"]),
        ("feats", ["Mood=Ind|Number=Sing", "_", "Number=Plur", "Number=Plur"]),
        ("Number", ["Sing", "_", "Plur", "Plur"]),
        ("misc", ["SpaceAfter=No"] * 4),
    ],
)
def test_conllu_columns_and_features(tmp_path: Path, column: str, labels: list[str]) -> None:
    path = write(tmp_path, "a.conllu", CONLLU)
    data = read_labelled([path], LabelledFile(column=column))
    assert list(data.tokens()) == ["do", "n't", "sit", "dogs"]
    assert list(data.flat_labels()) == labels
    assert again(path, LabelledFile(column=column), {}) == CONLLU


def test_other_labels_leave_everything_else_as_it_was(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conllu", CONLLU)
    changed = again(path, LabelledFile(), {"AUX": "VERB"})
    assert changed == CONLLU.replace("lemma\tAUX", "lemma\tVERB")
    number = again(path, LabelledFile(column="Number"), {"Sing": "_", "_": "Dual"})
    assert "do\tlemma\tAUX\tX\tMood=Ind\t" in number
    assert "n't\tlemma\tPART\tX\tNumber=Dual\t" in number
    assert "ghost\tlemma\tVERB\tX\tNumber=Plur\t" in number


def test_features_are_put_in_their_order() -> None:
    line = row("1", "a", "DET", "Zone=1|abbr=Yes")
    assert "\tabbr=Yes|Case=Nom|Zone=1\t" in ConlluColumn.named("Case").put(line, "Nom")


def test_gzip_is_read_in_place_and_files_follow_each_other(tmp_path: Path) -> None:
    packed = tmp_path / "b.conllu.gz"
    packed.write_bytes(gzip.compress(CONLLU.encode()))
    data = read_labelled([write(tmp_path, "a.conllu", CONLLU), packed], LabelledFile())
    assert len(data) == 4
    assert data.name.endswith("b.conllu.gz")


COLUMNS = "-DOCSTART- O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter NNP B-PER\n"


@pytest.mark.parametrize(
    ("column", "labels"),
    [
        ("", ["B-ORG", "O", "B-PER"]),
        ("last", ["B-ORG", "O", "B-PER"]),
        ("2", ["NNP", "VBZ", "NNP"]),
    ],
)
def test_columns(tmp_path: Path, column: str, labels: list[str]) -> None:
    path = write(tmp_path, "a.conll", COLUMNS)
    data = read_labelled([path], LabelledFile(column=column))
    assert list(data.flat_labels()) == labels
    changed = again(path, LabelledFile(column=column), {labels[0]: "X"})
    before, _, after = COLUMNS.partition(f" {labels[0]}")
    assert changed.startswith(before + " X" + after[:10])


def test_tokens_alone_get_a_second_column(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "EU\nrejects\n\n")
    [sentence] = iterate_sentences(path, LabelledFile())
    assert sentence.labels == ()
    assert LabelledFile().reader(path).write(sentence, ["A", "B"]) == "EU\tA\nrejects\tB\n\n"


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"id": 7, "tokens": ["a", "saw"], "tags": ["DET", "NOUN"]},
        {"tokens": ["I"], "tags": ["PRON"]},
    ]
    path = write(tmp_path, "a.jsonl", "".join(json.dumps(each) + "\n" for each in rows))
    options = LabelledFile()
    assert list(read_labelled([path], options).flat_labels()) == ["DET", "NOUN", "PRON"]
    changed = [json.loads(line) for line in again(path, options, {"DET": "X"}).splitlines()]
    assert changed == [{**rows[0], "tags": ["X", "NOUN"]}, rows[1]]
    named = LabelledFile(column="tags", tokens="words")
    other = write(tmp_path, "b.jsonl", '{"words": ["a"], "tags": ["DET"]}\n')
    assert list(read_labelled([other], named).tokens()) == ["a"]


NINE = CONLLU.replace("\tSpaceAfter=No\n\n# text", "\n\n# text")
BAD = [
    ("a.conllu", NINE, {}, r"a\.conllu, line 6: the line has 9 columns; CoNLL-U has 10"),
    ("a.conllu", CONLLU.replace("2.1\t", "2b\t"), {}, r"line 5: the id is '2b'"),
    ("a.conllu", CONLLU.replace("\t", " "), {}, r"line 2: the line has 1 column; CoNLL-U has 10, separated by tabs"),
    ("a.conllu", CONLLU.replace("\n\n#", "\n#"), {}, r"line 8: the token id is 1; expected 4. An empty line"),
    ("a.conllu", CONLLU.replace("\tsit\t", "\t\t"), {}, r"line 6: the token is empty"),
    ("a.conllu", CONLLU.replace("\tPART\t", "\t\t"), {}, r"line 4: the label is empty"),
    ("a.conllu", CONLLU.replace("Mood=Ind|", "Mood|"), {"column": "Number"},
     r"line 3: FEATS holds 'Mood\|Number=Sing'; write features as Name=Value"),
    ("a.conllu", "", {}, r"a\.conllu: the file is empty"),
    ("a.conllu", "# nothing\n\n", {}, r"a\.conllu: the file is empty"),
    ("a.conllu", CONLLU, {"column": "upso"}, r"no CoNLL-U column 'upso'; did you mean 'upos'"),
    ("a.conllu", CONLLU, {"column": "form"}, r"column 'form' holds no labels"),
    ("a.conllu", CONLLU, {"column": "Numbr"}, r"no token has the feature 'Numbr'; did you mean 'Number'"),
    ("a.conllu", CONLLU, {"column": "deps"}, r"column 'deps' is empty on every line"),
    ("a.doc", CONLLU, {}, r"a\.doc: unknown format '.doc'"),
    ("a.conll", "a\tB\nb\t\n", {}, r"a\.conll, line 2: the label is empty"),
    ("a.conll", "a\tB\n\tC\n", {}, r"a\.conll, line 2: the token is empty"),
    ("a.conll", "a B\nb\n", {}, r"line 2: the line has 1 column and the lines before have 2"),
    ("a.conll", "a B\nb C D\n", {}, r"a\.conll, line 2: the line has 3 columns and the lines before have 2"),
    ("a.conll", "x\n\na\n", {}, r"a\.conll, line 1: the tokens have no labels"),
    ("a.conll", "a B\n", {"column": "3"}, r"line 1: there is no column 3: the line has 2"),
    ("a.conll", "a B\n", {"column": "1"}, r"there is no label column '1'; give a number from 2"),
    ("a.jsonl", "{\n", {}, r"a\.jsonl, line 1: not valid JSON"),
    ("a.jsonl", "\n[]\n", {}, r"a\.jsonl, line 2: got a JSON list; each line must be one JSON object"),
    ("a.jsonl", '{"tokens": "a"}\n', {}, r"line 1: 'tokens' holds \"a\"; expected a list of strings"),
    ("a.jsonl", '{"tokens": ["a", ""], "tags": ["X", "Y"]}\n', {}, r"line 1: the token is empty"),
    ("a.jsonl", '{"tokens": ["a", "b"], "tags": ["X", ""]}\n', {}, r"line 1: the label is empty"),
    ("a.jsonl", '{"tokns": ["a"]}\n', {}, r"line 1: there is no key 'tokens'; did you mean 'tokns'"),
    ("a.jsonl", '{"tokens": ["a"], "tags": []}\n', {}, r"line 1: got 1 'tokens' and 0 'tags'"),
    ("a.jsonl", '{"tokens": ["a"], "tag": ["X"]}\n', {}, r"line 1: there is no key 'tags'; did you mean 'tag'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "options", "message"), BAD, ids=[each[3] for each in BAD])
def test_bad_files_are_answered_by_file_and_line(
    tmp_path: Path, name: str, text: str, options: dict[str, str], message: str
) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(HeedfulError, match=message):
        read_labelled([path], LabelledFile(**options))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(HeedfulError, match="this is a folder; expected a file"):
        read_labelled([tmp_path], LabelledFile())


def test_lexicons_are_saved_and_damage_is_found(tmp_path: Path) -> None:
    lexicon = Lexicon.learn(["b", "a", "a", "c"], size=2)
    assert lexicon.entries == ("a", "b")
    assert "a" in lexicon
    assert "c" not in lexicon
    path = tmp_path / "vocabulary.json"
    save_lexicons(path, {"words": lexicon})
    assert load_lexicons(path, ["words"]) == [lexicon]
    for text, message in (
        ("{", "damaged or truncated"),
        ("{}", "not a vocabulary written by Heedful"),
        (path.read_text().replace('"b"', '"a"'), "its parts are inconsistent"),
    ):
        path.write_text(text)
        with pytest.raises(RunError, match=message):
            load_lexicons(path, ["words"])
    with pytest.raises(RunError, match="cannot be read"):
        load_lexicons(tmp_path / "none.json", ["words"])


def test_sentences_are_counted() -> None:
    assert len(Labelled([])) == 0
