"""Tagging as a person meets it: train, evaluate, predict, explain, config, and what is answered to bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from heedful.tasks.table import ENTRIES, TASKS
from tests.cli.conftest import run_command, snapshot

TINY = ("encoder.hidden=8", "inputs.word_width=8", "inputs.character_width=8", "training.threads=1",
        "training.epochs=2", "training.batch_tokens=20", "training.keep_freed_memory=false")  # fmt: skip
SETS = [word for setting in TINY for word in ("--set", setting)]
TRAIN = ("train", "tag", "--train", "train.conllu", "--valid", "dev.conllu")


def token(number: int, form: str, upos: str) -> str:
    return f"{number}\t{form}\t_\t{upos}\t_\t_\t0\troot\t_\t_\n"


SENTENCES = (
    "# text = I saw a saw\n" + token(1, "I", "PRON") + token(2, "saw", "VERB") + token(3, "a", "DET")
    + token(4, "saw", "NOUN") + "\n",
    "1-2\tcan't\t_\t_\t_\t_\t_\t_\t_\t_\n" + token(1, "ca", "AUX") + token(2, "n't", "PART") + "\n",
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tag")
    (folder / "train.conllu").write_text("".join(SENTENCES) * 6, encoding="utf-8")
    (folder / "dev.conllu").write_text("".join(SENTENCES), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ran = run_command(*TRAIN, *SETS, "--out", "run", "--json")
    assert ran.status == 0, ran.stderr
    return folder


@pytest.fixture
def place(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def test_every_entry_has_its_task() -> None:
    assert [task.name for task in TASKS.values()] == list(ENTRIES)


def test_a_run_has_a_report_and_what_it_needs(place: Path) -> None:
    assert {path.name for path in (place / "run").iterdir()} == {
        "heedful.json", "config.toml", "vocabulary.json", "model.safetensors", "metrics.jsonl", "report.html",
        "layout.json",
    }  # fmt: skip
    assert "accuracy and macro F1" in (place / "run" / "report.html").read_text(encoding="utf-8")


def test_evaluate(place: Path) -> None:
    shown = run_command("evaluate", "run", "--test", "dev.conllu").stdout
    assert "2 sentences, 6 tokens" in shown
    assert "macro F1" in shown
    values = json.loads(run_command("evaluate", "run", "--test", "dev.conllu", "--json").stdout)
    assert (values["tokens"], values["span_f1"]) == (6, None)


def test_predict_changes_one_column(place: Path) -> None:
    written = run_command("predict", "run", "dev.conllu", "-q").stdout
    before = (place / "dev.conllu").read_text(encoding="utf-8")
    labels = {"PRON", "VERB", "DET", "NOUN", "AUX", "PART"}
    for one, other in zip(before.splitlines(), written.splitlines(), strict=True):
        fields, found = one.split("\t"), other.split("\t")
        if fields[0].isdecimal():
            assert found[3] in labels
            found[3] = fields[3]
        assert found == fields
    piped = run_command("predict", "run", "-q", input=before)
    assert piped.stdout == written
    lines = run_command("predict", "run", "dev.conllu", "-q", "--json").stdout.splitlines()
    assert json.loads(lines[0])["tokens"] == ["I", "saw", "a", "saw"]
    assert json.loads(lines[-1])["sentences"] == 2


def test_predict_writes_the_probability_of_every_label_as_json(place: Path) -> None:
    lines = run_command("predict", "run", "dev.conllu", "-q", "--json", "--probabilities").stdout
    first = json.loads(lines.splitlines()[0])
    assert len(first["all_probabilities"]) == len(first["tokens"])
    for label, probabilities in zip(first["labels"], first["all_probabilities"], strict=True):
        assert sum(probabilities.values()) == pytest.approx(1)
        assert max(probabilities, key=probabilities.__getitem__) == label
    refused = run_command("predict", "run", "dev.conllu", "--probabilities")
    assert (refused.status, "add --json" in refused.stderr) == (2, True)


def test_predict_writes_the_format_that_it_read(place: Path) -> None:
    (place / "new.txt").write_text("I\nsaw\n\n", encoding="utf-8")
    rows = [
        line.split("\t")
        for line in run_command("predict", "run", "new.txt", "-q").stdout.splitlines()
    ]
    assert [row[0] for row in rows] == ["I", "saw", ""]
    assert all(len(row) == 2 for row in rows[:2])


ENTITIES = (
    "-DOCSTART- -X- O O\nAnna NNP I-NP B-PER\nSmith NNP I-NP I-PER\nsaw VBD B-VP O\nParis NNP I-NP B-LOC\n. . O O\n\n"
    "Tom NNP I-NP B-PER\nsaw VBD B-VP O\nAnna NNP I-NP B-PER\n. . O O\n\n"
)


@pytest.fixture(scope="module")
def entities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on four columns, of which the last holds spans."""
    folder = tmp_path_factory.mktemp("entities")
    (folder / "train.conll").write_text(ENTITIES * 8, encoding="utf-8")
    (folder / "dev.conll").write_text(ENTITIES, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        ran = run_command(
            "train", "tag", "--train", "train.conll", "--valid", "dev.conll", *SETS, "--out", "run"
        )
    assert ran.status == 0, ran.stderr
    return folder


@pytest.fixture
def entity_place(entities: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(entities)
    return entities


def columns(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_run_remembers_its_columns(entity_place: Path) -> None:
    found = json.loads(Path("run/layout.json").read_text(encoding="utf-8"))
    assert found == {"format": "columns", "tokens": "1", "labels": "4", "width": 4}
    replaced = columns(run_command("predict", "run", "dev.conll", "-q").stdout)
    given = columns(ENTITIES)
    assert [row[:3] for row in replaced] == [row[:3] for row in given]
    assert [len(row) for row in replaced] == [len(row) for row in given]
    fewer = "".join(" ".join(row[:3]) + "\n" for row in given)
    Path("three.conll").write_text(fewer, encoding="utf-8")
    added = columns(run_command("predict", "run", "three.conll", "-q").stdout)
    assert added[0] == ["-DOCSTART-", "-X-", "O"]
    assert added[1:] == replaced[1:]
    assert columns(run_command("predict", "run", "-", "-q", input=fewer).stdout) == added


def test_evaluate_says_that_a_column_is_wrong(entity_place: Path) -> None:
    rows = columns(ENTITIES)
    Path("three.conll").write_text("".join(" ".join(r[:3]) + "\n" for r in rows), encoding="utf-8")
    Path("two.conll").write_text("".join(" ".join(r[::3]) + "\n" for r in rows), encoding="utf-8")
    wrong = run_command("evaluate", "run", "--test", "three.conll")
    assert (
        wrong.status,
        "three.conll: this file has the labels in column 3 of 3" in wrong.stderr,
    ) == (1, True)
    chunks = run_command("evaluate", "run", "--test", "dev.conll", "--column", "3")
    assert (
        chunks.status,
        "line 2: neither the label 'I-NP' nor any other label" in chunks.stderr,
    ) == (
        1,
        True,
    ), chunks.stderr
    assert run_command("evaluate", "run", "--test", "two.conll").status == 1
    named = run_command("evaluate", "run", "--test", "two.conll", "--column", "2", "--json")
    whole = run_command("evaluate", "run", "--test", "dev.conll", "--json")
    one, other = json.loads(named.stdout), json.loads(whole.stdout)
    assert (one["accuracy"], one["span_f1"]) == (other["accuracy"], other["span_f1"])
    assert other["span_scheme"] == "BIO"


def test_evaluate_names_the_scheme_and_the_scoring(entity_place: Path) -> None:
    shown = run_command("evaluate", "run", "--test", "dev.conll").stdout
    assert "BIO, conlleval" in shown
    assert "span F1, strict" in shown


TEXT = "Anna Smith saw Paris. Who saw Tom?\n\nAnna\n"
TEXT_TOKENS = [["Anna", "Smith", "saw", "Paris", "."], ["Who", "saw", "Tom", "?"], ["Anna"]]


@pytest.mark.parametrize("option", [(), ("--text",)])
def test_plain_text_is_split_into_sentences_and_tokens(
    entity_place: Path, option: tuple[str, ...]
) -> None:
    ran = run_command("predict", "run", "-", "-q", *option, input=TEXT)
    assert ran.status == 0, ran.stderr
    sentences = [columns(block) for block in ran.stdout.strip().split("\n\n")]
    assert [[row[0] for row in rows] for rows in sentences] == TEXT_TOKENS
    assert all(len(row) == 2 for rows in sentences for row in rows)
    Path("new.txt").write_text(TEXT, encoding="utf-8")
    assert run_command("predict", "run", "new.txt", "-q", *option).stdout == ran.stdout
    values = run_command("predict", "run", "-", "-q", "--json", *option, input=TEXT).stdout
    lines = [json.loads(line) for line in values.splitlines()][:-1]
    assert [line["tokens"] for line in lines] == TEXT_TOKENS
    assert [line["line"] for line in lines] == [1, 1, 3]
    text = TEXT.split("\n")
    for line in lines:
        spans = zip(line["start"], line["end"], strict=True)
        assert [text[line["line"] - 1][a:b] for a, b in spans] == line["tokens"]


def test_what_may_be_text_or_columns_is_asked_for(entity_place: Path) -> None:
    asked = run_command("predict", "run", "-", input="Hello world\n")
    assert (asked.status, "give --text or --no-text" in asked.stderr) == (1, True)
    text = run_command("predict", "run", "-", "-q", "--text", input="Hello world\n").stdout
    assert [row[0] for row in columns(text) if row] == ["Hello", "world"]
    table = run_command("predict", "run", "-", "-q", "--no-text", input="Hello world\n").stdout
    assert columns(table)[0][:2] == ["Hello", "world"]
    assert len(columns(table)[0]) == 3


def test_the_encoding_is_that_of_text_and_columns(entity_place: Path) -> None:
    text, table = "Ännä Smith saw Tom. Who?\n", "Ännä O\nsaw O\n\n"
    expected = run_command("predict", "run", "-", "-q", "--text", input=text).stdout
    Path("latin.txt").write_text(text, encoding="cp1252")
    refused = run_command("predict", "run", "latin.txt")
    assert (refused.status, "not UTF-8" in refused.stderr) == (1, True)
    latin = run_command("predict", "run", "latin.txt", "-q", "--encoding", "cp1252")
    assert (latin.status, latin.stdout) == (0, expected)
    assert expected.startswith("Ännä\t")
    Path("wide.conll").write_text(table, encoding="utf-16")
    wide = run_command("predict", "run", "wide.conll", "-q", "--encoding", "utf-16")
    assert (wide.status, columns(wide.stdout)[0][:2]) == (0, ["Ännä", "O"])
    options = ("--encoding", "utf-16", "--column", "2", "--json")
    Path("wide.conll").write_text("Ännä B-PER\nsaw O\n\n", encoding="utf-16")
    assert run_command("evaluate", "run", "--test", "wide.conll", *options).status == 0


def test_a_tagger_of_conllu_reads_text(place: Path) -> None:
    text = run_command("predict", "run", "-", "-q", input="I saw a saw.\n").stdout
    assert [row[0] for row in columns(text) if row] == ["I", "saw", "a", "saw", "."]


def test_the_column_of_the_tokens_is_named(entity_place: Path, tmp_path: Path) -> None:
    rows = columns(ENTITIES)
    counted = "".join(
        " ".join([str(n), *row]) + "\n" if row else "\n" for n, row in enumerate(rows)
    )
    Path("counted.conll").write_text(counted, encoding="utf-8")
    train = ("train", "tag", "--train", "counted.conll", "--valid", "counted.conll", *SETS)
    refused = run_command(*train, "--out", str(tmp_path / "no"))
    assert (
        refused.status,
        "token column 1 holds token numbers" in refused.stderr,
        "--tokens 2" in refused.stderr,
    ) == (1, True, True)
    assert run_command("predict", "run", "counted.conll").status == 1
    ran = run_command(*train, "--tokens", "2", "--out", str(tmp_path / "yes"))
    assert ran.status == 0, ran.stderr
    found = columns(run_command("predict", str(tmp_path / "yes"), "counted.conll", "-q").stdout)
    assert [row[:4] for row in found] == [row[:4] for row in columns(counted)]
    assert [len(row) for row in found] == [len(row) for row in columns(counted)]


def test_explain(place: Path) -> None:
    shown = run_command("explain", "run", "I saw a saw").stdout
    assert "gradient × input saliency" in shown
    ran = run_command("explain", "run", "I saw", "a saw", "--out", "seen.html", "--overwrite")
    assert "written: seen.html" in ran.stdout
    values = json.loads(run_command("explain", "run", "I saw", "--json").stdout)
    assert len(values["texts"][0]["labels"]) == 2


def test_config_is_complete_and_chooses_an_encoder() -> None:
    shown = run_command("config", "tag", "--encoder", "lstm+attention").stdout
    for section in ("[data]", "[vocabulary]", "[inputs]", "[encoder]", "[labels]", "[training]"):
        assert section in shown
    assert 'kind = "lstm+attention"' in shown


NINE = "".join(SENTENCES).replace(token(3, "a", "DET"), token(3, "a", "DET").replace("\t_\n", "\n"))
BAD = [
    ((*TRAIN[:2], "--out", "new"), 2, "there is no training data; give --train"),
    ((*TRAIN[:4], "--out", "new"), 2, "--valid is missing"),
    ((*TRAIN, "--encoder", "lsmt", "--out", "new"), 2, "unknown --encoder 'lsmt'; did you mean 'lstm'"),
    ((*TRAIN, "--column", "upso", "--out", "new"), 2, "no CoNLL-U column 'upso'; did you mean 'upos'"),
    ((*TRAIN, "--set", "encoder.hiden=3", "--out", "new"), 2, "did you mean 'encoder.hidden'"),
    (("train", "tag", "--train", "nine.conllu", "--valid", "dev.conllu", "--out", "new"),
     1, "nine.conllu, line 4: the line has 9 columns"),
    (("train", "tag", "--train", "train.conllu", "--valid", "strange.conllu", "--out", "new"),
     1, "strange.conllu, line 3: the label 'VREB' is in no training sentence; did you mean 'VERB'"),
    (("train", "tag", "--train", "empty.conllu", "--valid", "dev.conllu", "--out", "new"),
     1, "empty.conllu: the file is empty"),
    (("train", "tag", "--config", "other.toml", "--encoder", "window", "--out", "new"),
     2, "the configuration file sets encoder.bidirectional"),
    (("evaluate", "run", "--test", "dev.conllu", "--beam", "3"), 2, "the option beam has no effect on the task 'tag'"),
    (("evaluate", "run"), 2, "--test is missing"),
    (("explain", "run", "I saw", "--reference", "x"), 2, "the option reference has no effect"),
    (("predict", "run", "empty.conllu"), 1, "the file is empty"),
    (("predict", "run", "nine.conllu"), 1, "nine.conllu, line 4: the line has 9 columns"),
    (("predict", "run", "wide.conllu"), 1, "wide.conllu, line 1: this is UTF-16"),
    (("predict", "run", "missing.conllu"), 1, "missing.conllu: no such file"),
    (("predict", "run", "."), 1, ".: this is a folder"),
    (("predict", "run", "dev.conllu", "--column", "x"), 2, "the option column has no effect on the task 'tag'"),
    (("train", "tag", "--train", "bio.conll", "--valid", "iob.conll", "--out", "new"), 1,
     "iob.conll, line 2: the label 'I-PER' follows 'O', but the training labels are BIO"),
    (("train", "tag", "--train", "bio.conll", "--train", "iob.conll", "--valid", "bio.conll", "--out", "new"), 1,
     "iob.conll, line 2: the label 'I-PER' follows 'O'"),
    (("train", "tag", "--train", "zero.conll", "--valid", "bio.conll", "--out", "new"), 1,
     "zero.conll, line 1: the label '0' marks no span, but others do"),
    (("train", "tag", "--train", "bio.conll", "--valid", "wide.conll", "--out", "new"), 1,
     "wide.conll: this file has the labels in column 3 of 3"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "status", "message"), BAD, ids=[each[2] for each in BAD])
def test_bad_input_is_answered_and_nothing_is_written(
    place: Path, args: tuple[str, ...], status: int, message: str
) -> None:
    (place / "nine.conllu").write_text(NINE, encoding="utf-8")
    strange = "".join(SENTENCES).replace("\tVERB", "\tVREB")
    (place / "strange.conllu").write_text(strange, encoding="utf-8")
    (place / "empty.conllu").write_text("", encoding="utf-8")
    (place / "wide.conllu").write_text(NINE, encoding="utf-16")
    (place / "bio.conll").write_text("a O\nJohn B-PER\nSmith I-PER\n\n" * 3)
    (place / "zero.conll").write_text("a 0\nJohn B-PER\nSmith I-PER\n\n" * 3)
    (place / "wide.conll").write_text("a X O\nJohn X B-PER\nSmith X I-PER\n\n" * 3)
    (place / "iob.conll").write_text("a O\nJohn I-PER\nSmith I-PER\n\n" * 3)
    (place / "other.toml").write_text("[encoder]\nbidirectional = true\n", encoding="utf-8")
    before = snapshot(place)
    ran = run_command(*args)
    assert (ran.status, message in ran.stderr) == (status, True), ran.stderr
    assert snapshot(place) == before


def test_the_builtin_corpus_trains_and_tests(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from heedful.data import builtin

    corpus = builtin.BUILTIN_TAGGED["saw"](train_size=30, valid_size=4, test_size=5)
    monkeypatch.setitem(builtin.BUILTIN_TAGGED, "saw", lambda seed=0: corpus)
    run = str(tmp_path / "saw")
    ran = run_command("train", "tag", "--train", "builtin:saw", *SETS, "--out", run)
    assert ran.status == 0, ran.stderr
    assert "30 training sentences, 4 validation sentences" in ran.stdout
    shown = run_command("evaluate", run, "--test", "builtin:saw")
    assert "5 sentences" in shown.stdout
    wrong = run_command("train", "tag", "--train", "builtin:swa", "--out", "new")
    assert (wrong.status, "did you mean 'saw'" in wrong.stderr) == (2, True)
    words = ("--train", "builtin:saw", "--train", "x.conllu", "--valid", "dev.conllu")
    two = run_command("train", "tag", *words, "--out", "new")
    assert (two.status, "--train: builtin:saw cannot be combined" in two.stderr) == (2, True)
