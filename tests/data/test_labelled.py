"""Files of labelled tokens: read, refused by file and line, and written back with other labels."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from heedful.data.conllu import ConlluColumn
from heedful.data.label_base import Layout
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


DOCUMENTS = [
    # CoNLL-2002: no empty line follows, and none stands before
    "-DOCSTART- -DOCSTART- O\nDe Art O\nEU N B-ORG\n-DOCSTART- -DOCSTART- O\nPeter N B-PER\n\n",
    # CoNLL-2003
    "-DOCSTART- -X- O O\n\nDe Art X O\nEU N X B-ORG\n\n-DOCSTART- -X- O O\n\nPeter N X B-PER\n\n",
    # CoNLL-2012
    "#begin document (a); part 000\nDe O\nEU B-ORG\n#end document\n#begin document (b)\nPeter B-PER\n\n",
    # comments
    "# newdoc id = 1\n# text = De EU\nDe O\nEU B-ORG\n\n# text = Peter Blackburn\nPeter B-PER\n\n",
    "De O\nEU B-ORG\n-DOCSTART-\n\n-DOCSTART- O\nPeter B-PER\n\n",
]


@pytest.mark.parametrize("text", DOCUMENTS)
def test_document_boundaries_end_sentences_and_are_no_tokens(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "a.conll", text)
    data = read_labelled([path], LabelledFile())
    assert data.inputs == [("De", "EU"), ("Peter",)]
    assert data.answers == [("O", "B-ORG"), ("B-PER",)]
    assert again(path, LabelledFile(), {}) == text
    assert again(path, LabelledFile(), {"B-ORG": "X"}) == text.replace("B-ORG", "X")


def test_a_document_boundary_stands_in_the_column_of_the_tokens(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "0 -DOCSTART- O\n1 De O\n2 EU B-ORG\n3 is O\n\n")
    data = read_labelled([path], LabelledFile(tokens="2"))
    assert data.inputs == [("De", "EU", "is")]
    rows = '{"tokens": ["-DOCSTART-"], "tags": ["O"]}\n{"tokens": ["a"], "tags": ["O"]}\n'
    other = write(tmp_path, "a.jsonl", rows)
    assert read_labelled([other], LabelledFile()).inputs == [("a",)]
    assert again(other, LabelledFile(), {}) == rows


def test_the_column_of_the_tokens_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "1 Anna NNP B-PER\n2 saw V O\n3 Tom N B-PER\n\n")
    data = read_labelled([path], LabelledFile(tokens="2"))
    assert list(data.tokens()) == ["Anna", "saw", "Tom"]
    assert data.layout == Layout(format="columns", tokens="2", labels="4", width=4)
    numbers = read_labelled([path], LabelledFile(tokens="1", column="3"))
    assert list(numbers.tokens()) == ["1", "2", "3"]
    lemmas = read_labelled([write(tmp_path, "a.conllu", CONLLU)], LabelledFile(tokens="Lemma"))
    assert set(lemmas.tokens()) == {"lemma"}


def test_numbers_that_do_not_count_are_tokens(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "1 B\n4 B\n2 B\n\nsaw C\n")
    assert list(read_labelled([path], LabelledFile()).tokens()) == ["1", "4", "2", "saw"]
    one = write(tmp_path, "b.conll", "1 B\n\nsaw C\n")
    assert list(read_labelled([one], LabelledFile()).tokens()) == ["1", "saw"]


@pytest.mark.parametrize("text", [CONLLU, CONLLU.replace("# sent_id = 1\n", "")])
@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a.tsv"])
def test_conllu_is_recognised_under_other_names(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path, name, text)
    data = read_labelled([path], LabelledFile())
    assert list(data.tokens()) == ["do", "n't", "sit", "dogs"]
    assert data.layout is not None
    assert data.layout.format == "conllu"
    numbered = write(tmp_path, name, row("1", "dogs", "NOUN"))
    columns = read_labelled([numbered], LabelledFile(tokens="2", column="4"))
    assert list(columns.tokens()) == ["dogs"]


def test_files_with_their_labels_in_other_columns_are_told_apart(tmp_path: Path) -> None:
    one = write(tmp_path, "a.conll", "a X B\n")
    two = write(tmp_path, "b.conll", "a X Y B\n")
    with pytest.raises(HeedfulError, match=r"b\.conll: this file has the labels in column 4 of 4"):
        read_labelled([one, two], LabelledFile())
    assert len(read_labelled([one, two], LabelledFile(column="2"))) == 2


LEARNED = Layout(format="columns", tokens="1", labels="4", width=4)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a X Y B\n", "a X Y P\n\n"),
        ("a X Y\n", "a X Y P\n\n"),
        ("a\n", "a\tP\n\n"),
        ("a\tX\n", "a\tX\tP\n\n"),
        ("a X Y B Z\n", "a X Y B Z P\n\n"),
    ],
)
def test_labels_replace_their_column_or_are_added(tmp_path: Path, text: str, written: str) -> None:
    path = write(tmp_path, "a.conll", text)
    options = LabelledFile(column="4", tokens="1", learned=LEARNED)
    [sentence] = iterate_sentences(path, options)
    assert options.reader(path).write(sentence, ["P"]) == written
    others = LabelledFile(column="upos", learned=Layout(format="conllu"))
    [sentence] = iterate_sentences(path, others)
    assert others.reader(path).write(sentence, ["P"]).split() == [*text.split(), "P"]


def test_a_hash_can_be_a_token(tmp_path: Path) -> None:
    path = write(tmp_path, "a.conll", "# O\n1 O\n")
    assert list(read_labelled([path], LabelledFile()).tokens()) == ["#", "1"]


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
    ("a.conll", "a B\n", {"column": "1"}, r"column 1 cannot hold both the tokens and the labels"),
    ("a.conll", "a B\n", {"column": "0"}, r"there is no label column '0'; give its number, from 1, or"),
    ("a.conll", "a B\n", {"tokens": "x"}, r"there is no token column 'x'; give its number, from 1"),
    ("a.conll", "a B\n", {"tokens": "3"}, r"line 1: there is no column 3: the line has 2 columns"),
    ("a.conllu", CONLLU, {"tokens": "forms"}, r"unknown CoNLL-U token column 'forms'; did you mean 'form'"),
    ("a.conllu", CONLLU, {"tokens": "upos"}, r"column 'upos' cannot hold both the tokens and the labels"),
    ("a.conll", "1 Anna NNP B-PER\n2 saw V O\n3 Tom N B-PER\n", {},
     r"line 1: token column 1 holds token numbers \(1, 2, 3, ...\); .*such as --tokens 2, or --tokens 1"),
    ("a.conll", "7 a N X\n7 b V Y\n7 c N X\n", {}, r"line 1: token column 1 holds token numbers \(7, 7, 7, ...\)"),
    ("a.conll", "0\tAnna\tX\n1\tsaw\tY\n\n2\tTom\tX\n", {},
     r"line 1: token column 1 holds token numbers \(0, 1, ...\)"),
    ("a.conll", CONLLU, {"column": "4"}, r"line 2: token column 1 holds token numbers .* such as --tokens 2"),
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
    with pytest.raises(RunError, match=r"none\.json is missing"):
        load_lexicons(tmp_path / "none.json", ["words"])


def test_sentences_are_counted() -> None:
    assert len(Labelled([])) == 0
