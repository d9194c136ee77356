"""Classifying and regressing as a person meets them: train, evaluate, predict, explain, config, and bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.cli.conftest import run_command, snapshot

TINY = ("encoder.hidden=8", "encoder.layers=1", "inputs.word_width=8", "training.threads=1", "training.epochs=2",
        "training.batch_tokens=30", "training.keep_freed_memory=false", "vocabulary.min_frequency=1")  # fmt: skip
SETS = [word for setting in TINY for word in ("--set", setting)]
CLASSIFY = ("train", "classify", "--train", "train.tsv", "--text", "sentence")
REGRESS = (
    "train",
    "regress",
    "--train",
    "prices.csv",
    "--valid",
    "prices.csv",
    "--target",
    "price",
)
ROWS = "".join(f"{n}\tfilm {n} was good\tyes\n{n}\tfilm {n} was bad\tno\n" for n in range(10))
PRICES = "text,price\n" + "".join(f'"number {n}, new",{n}.5\n' for n in range(12))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    (folder / "train.tsv").write_text("id\tsentence\tlabel\n" + ROWS, encoding="utf-8")
    (folder / "prices.csv").write_text(PRICES, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command, out in ((CLASSIFY, "labels"), (REGRESS, "numbers")):
            ran = run_command(*command, *SETS, "--out", out, "--json")
            assert ran.status == 0, ran.stderr
    return folder


@pytest.fixture
def place(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(trained)
    return trained


def test_a_run_has_a_report_and_a_tenth_was_kept_for_validation(place: Path) -> None:
    for run, extra in (("labels", []), ("numbers", ["target.json"])):
        assert {path.name for path in (place / run).iterdir()} == {
            *extra, "heedful.json", "config.toml", "vocabulary.json", "model.safetensors", "metrics.jsonl",
            "report.html",
        }  # fmt: skip
    ran = run_command(
        *CLASSIFY, *SETS, "--out", "other", "--encoder", "none", "--set", "training.epochs=1"
    )
    assert "18 training texts, 2 validation texts" in ran.stdout
    assert "tokens/s" not in ran.stderr
    assert "heedful explain other" in ran.stdout


def test_without_a_share_for_validation_everything_trains(place: Path) -> None:
    sets = (*SETS, "--set", "training.epochs=1", "--set", "data.valid_share=0")
    ran = run_command(*CLASSIFY, *sets, "--out", "all")
    assert "20 training texts, 20 validation texts" in ran.stdout


def test_several_tables_follow_one_option(place: Path) -> None:
    sets = (*SETS, "--set", "training.epochs=1")
    ran = run_command(*CLASSIFY[:4], *CLASSIFY[3:], *sets, "--out", "twice")
    assert "36 training texts, 4 validation texts" in ran.stdout, ran.stderr
    tested = run_command("evaluate", "--test", "train.tsv", "train.tsv", "twice")
    assert "40 texts" in tested.stdout, tested.stderr


def test_evaluate_classifier(place: Path) -> None:
    shown = run_command("evaluate", "labels", "--test", "train.tsv").stdout
    assert "20 texts" in shown
    assert "true \\ predicted  no  yes" in shown
    values = json.loads(run_command("evaluate", "labels", "--test", "train.tsv", "--json").stdout)
    assert sum(map(sum, values["confusion"])) == values["texts"] == 20
    assert [each["label"] for each in values["labels"]] == ["no", "yes"]


def test_evaluate_regressor(place: Path) -> None:
    assert "RMSE" in run_command("evaluate", "numbers", "--test", "prices.csv").stdout
    values = json.loads(run_command("evaluate", "numbers", "--test", "prices.csv", "--json").stdout)
    assert values["rmse"] >= values["mae"] > 0


def test_predict_adds_columns_and_touches_nothing(place: Path) -> None:
    before = (place / "train.tsv").read_text(encoding="utf-8")
    written = run_command("predict", "labels", "train.tsv", "-q").stdout
    rows = [line.rsplit("\t", 2) for line in written.splitlines()]
    assert [row[0] for row in rows] == before.splitlines()
    assert rows[0][1:] == ["predicted", "predicted_probability"]
    assert {row[1] for row in rows[1:]} <= {"yes", "no"}
    assert all(0.5 <= float(row[2]) <= 1 for row in rows[1:])
    assert run_command("predict", "labels", "-q", input=before).stdout == written
    lines = run_command("predict", "labels", "train.tsv", "-q", "--json").stdout.splitlines()
    assert json.loads(lines[0])["text"] == "film 0 was good"
    assert json.loads(lines[-1])["texts"] == 20


def test_predict_writes_every_class(place: Path) -> None:
    options = ("predict", "labels", "train.tsv", "-q", "--probabilities", "--top-k", "2")
    head, *rows = (line.split("\t") for line in run_command(*options).stdout.splitlines())
    assert head[3:] == [
        "predicted",
        "predicted_probability",
        "predicted_probability_no",
        "predicted_probability_yes",
        "predicted_top_1",
        "predicted_top_1_probability",
        "predicted_top_2",
        "predicted_top_2_probability",
    ]
    for row in rows:
        cells = dict(zip(head, row, strict=True))
        label, other = cells["predicted_top_1"], cells["predicted_top_2"]
        assert (cells["predicted"], {label, other}) == (label, {"yes", "no"})
        assert cells["predicted_probability"] == cells[f"predicted_probability_{label}"]
        assert cells["predicted_top_2_probability"] == cells[f"predicted_probability_{other}"]
    first = json.loads(run_command(*options, "--json").stdout.splitlines()[0])
    assert set(first["all_probabilities"]) == {"yes", "no"}
    assert sum(first["all_probabilities"].values()) == pytest.approx(1)
    assert [each["label"] for each in first["top"]] == [rows[0][7], rows[0][9]]


def test_below_the_threshold_the_label_is_left_empty(place: Path) -> None:
    options = ("labels", "train.tsv", "-q", "--threshold", "0.9999")
    written = run_command("predict", *options).stdout
    rows = [line.split("\t") for line in written.splitlines()[1:]]
    assert {row[3] for row in rows} == {""}
    assert all(0.5 <= float(row[4]) < 0.9999 for row in rows)
    shown = run_command("evaluate", "labels", "--test", "train.tsv", "--threshold", "0.9999").stdout
    assert "without a label" in shown
    refused = run_command("predict", "numbers", "prices.csv", "--threshold", "0.5")
    assert (refused.status, "threshold has no effect" in refused.stderr) == (2, True)


def test_predict_needs_no_answers_and_passes_empty_texts_on(place: Path) -> None:
    (place / "new.csv").write_text('text,n\n"a, b",1\n,2\n', encoding="utf-8")
    written = run_command("predict", "numbers", "new.csv", "-q").stdout
    rows = list(csv.reader(written.splitlines()))
    assert rows[0] == ["text", "n", "predicted"]
    assert float(rows[1][2]) == float(rows[1][2])
    assert rows[2] == ["", "2", ""]


PLAIN = "film 3 was good\n\nWho, then?\n"


@pytest.mark.parametrize(("run", "added"), [("labels", 2), ("numbers", 1)])
def test_plain_lines_need_no_header(place: Path, run: str, added: int) -> None:
    ran = run_command("predict", run, "-", "-q", "--text", input=PLAIN)
    assert ran.status == 0, ran.stderr
    rows = [line.split("\t") for line in ran.stdout.splitlines()]
    assert [row[0] for row in rows] == PLAIN.splitlines()
    assert [len(row) for row in rows] == [1 + added, 1, 1 + added]
    (place / "plain.txt").write_text(PLAIN, encoding="utf-8")
    for args in (("plain.txt",), ("plain.txt", "--text"), ("-",)):
        assert run_command("predict", run, *args, "-q", input=PLAIN).stdout == ran.stdout
    lines = run_command("predict", run, "plain.txt", "-q", "--json").stdout.splitlines()
    found = [json.loads(line) for line in lines]
    assert [(each["line"], each["text"]) for each in found[:-1]] == [
        (1, "film 3 was good"),
        (3, "Who, then?"),
    ]
    assert found[-1]["texts"] == 2


def test_plain_text_has_an_encoding(place: Path) -> None:
    (place / "latin.txt").write_text("crème brûlée\n", encoding="cp1252")
    refused = run_command("predict", "labels", "latin.txt")
    assert (refused.status, "not UTF-8" in refused.stderr) == (1, True)
    ran = run_command("predict", "labels", "latin.txt", "-q", "--encoding", "cp1252")
    assert (ran.status, ran.stdout.split("\t")[0]) == (0, "crème brûlée"), ran.stderr


def test_what_is_no_table_and_may_be_no_text_is_asked_for(place: Path) -> None:
    for text in ("good\n", "good,film\n"):
        asked = run_command("predict", "numbers", "-", input=text)
        assert (asked.status, "or --text for plain text" in asked.stderr) == (1, True), asked.stderr
    table = run_command("predict", "labels", "-", "--no-text", input="Who is it?\n")
    assert (table.status, "there is no column 'sentence'" in table.stderr) == (1, True)


def test_predict_writes_nothing_over(place: Path) -> None:
    (place / "mine.tsv").write_text("sentence\tpredicted\ngood\tmine\n", encoding="utf-8")
    refused = run_command("predict", "labels", "mine.tsv", "-q")
    assert (refused.status, refused.stdout) == (1, "")
    assert "mine.tsv, line 1: column 'predicted' already exists" in refused.stderr
    assert "--column NAME" in refused.stderr
    written = run_command("predict", "labels", "mine.tsv", "-q", "--column", "mood").stdout
    head, row = (line.split("\t") for line in written.splitlines())
    assert head == ["sentence", "predicted", "mood", "mood_probability"]
    assert row[:2] == ["good", "mine"]
    again = run_command("predict", "labels", "-q", "--column", "mood", input=written)
    assert (again.status, "standard input, line 1: " in again.stderr) == (1, True)


def test_predict_of_a_table_without_rows_is_its_header(place: Path) -> None:
    (place / "no-rows.tsv").write_text("id\tsentence\n", encoding="utf-8")
    written = run_command("predict", "labels", "no-rows.tsv", "-q").stdout
    assert written == "id\tsentence\tpredicted\tpredicted_probability\n"


def test_explain(place: Path) -> None:
    shown = run_command("explain", "labels", "a good film").stdout
    assert "pooling: answer × input, layer 1, mean over 4 heads" in shown
    every = run_command("explain", "labels", "a good film", "--kind", "saliency").stdout
    assert "gradient × input saliency" in every
    ran = run_command("explain", "numbers", "one", "two", "--out", "seen.html", "--overwrite")
    assert "written: seen.html" in ran.stdout
    values = json.loads(run_command("explain", "labels", "good", "--json").stdout)
    assert values["texts"][0]["labels"][0] in ("yes", "no")
    assert values["texts"][0]["attention"][0] == {"kind": "pooling", "layer": 0, "heads": 4}


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_config_is_complete(task: str) -> None:
    shown = run_command("config", task, "--encoder", "transformer").stdout
    for section in ("[data]", "[vocabulary]", "[inputs]", "[encoder]", "[pooling]", "[frequency]"):
        assert section in shown
    assert "down_weight = 0.0" in shown


def test_several_labels_from_json_lines(place: Path) -> None:
    row = {"text": "good film", "label": ["film", "good"]}
    other = {"text": "bad film", "label": ["film"]}
    lines = "".join(json.dumps(each) + "\n" for each in (row, other) * 5)
    (place / "tags.jsonl").write_text(lines, encoding="utf-8")
    command = (
        "train",
        "classify",
        "--train",
        "tags.jsonl",
        "--valid",
        "tags.jsonl",
        "--out",
        "tags",
    )
    assert run_command(*command, *SETS, "--set", "data.separator=,").status == 0
    assert "subset accuracy" in run_command("evaluate", "tags", "--test", "tags.jsonl").stdout
    written = run_command("predict", "tags", "tags.jsonl", "-q").stdout
    first = json.loads(written.splitlines()[0])
    assert {key: first[key] for key in row} == row
    assert set(first["predicted"]) <= {"film", "good"}
    options = ("predict", "tags", "tags.jsonl", "-q", "--probabilities", "--threshold")
    all_of_them = json.loads(run_command(*options, "1e-9").stdout.splitlines()[0])
    assert set(all_of_them["predicted"]) == {"film", "good"}
    assert 0 < all_of_them["predicted_probability_good"] < 1
    assert json.loads(run_command(*options, "0.999999").stdout.splitlines()[0])["predicted"] == []


def test_labels_in_columns_of_0_and_1(place: Path) -> None:
    rows = "".join(f"item {n},{n % 2},{int(n % 3 == 0)}\n" for n in range(40))
    (place / "columns.csv").write_text("text,new,sold\n" + rows, encoding="utf-8")
    command = (
        "train",
        "classify",
        "--train",
        "columns.csv",
        "--label",
        "new,sold",
        "--out",
        "columns",
    )
    ran = run_command(*command, *SETS, "--class-weights", "balanced")
    assert ran.status == 0, ran.stderr
    assert "labels 2" in ran.stdout
    assert "subset accuracy" in run_command("evaluate", "columns", "--test", "columns.csv").stdout
    options = ("columns", "columns.csv", "-q", "--probabilities", "--threshold", "1e-6")
    head, first, *_ = csv.reader(run_command("predict", *options).stdout.splitlines())
    assert head[3:] == ["predicted", "predicted_probability_new", "predicted_probability_sold"]
    assert set(first[3].split(",")) == {"new", "sold"}


def test_the_report_shows_each_label_and_the_confusions(place: Path) -> None:
    page = (place / "labels" / "report.html").read_text(encoding="utf-8")
    assert "On the validation data: each label" in page
    assert "true \\ predicted" in page


BAD = [
    (("train", "classify", "--out", "new"), 2, "there is no training data; give --train"),
    ((*CLASSIFY[:4], "--text", "sentance", "--out", "new"), 1,
     "train.tsv, line 1: there is no column 'sentance'; did you mean 'sentence'"),
    ((*CLASSIFY, "--label", "lable", "--out", "new"), 1, "no column 'lable'; did you mean 'label'"),
    ((*CLASSIFY, "--encoder", "lsmt", "--out", "new"), 2, "unknown --encoder 'lsmt'; did you mean 'lstm'"),
    ((*CLASSIFY, "--set", "pooling.kind=men", "--out", "new"), 2, "pooling.kind"),
    ((*CLASSIFY, "--set", "inputs.vectors=v.txt", *SETS, "--out", "new"), 1, "v.txt, line 2: the line has 1"),
    ((*CLASSIFY, "--valid", "strange.tsv", "--out", "new"), 1,
     "strange.tsv, line 2: the label 'yse' is in no training text; did you mean 'yes'"),
    (("train", "classify", "--train", "alone.tsv", "--valid", "train.tsv", "--text", "sentence", "--out", "new"), 1,
     "alone.tsv, line 22: the label 'maybe' has 1 training text"),
    (("train", "regress", "--train", "nan.csv", "--out", "new", "--target", "price"), 1,
     "nan.csv, line 3: the target 'nan' is not finite"),
    (("train", "regress", "--train", "train.tsv", "--text", "sentence", "--target", "label", "--out", "new"), 1,
     "train.tsv, line 2: the target 'yes' is not a number"),
    (("train", "classify", "--train", "ids.tsv", "--text", "sentence", "--label", "id", "--out", "new"), 1,
     "ids.tsv: 20 of 20 labels in column 'id' occur once: is it an identifier"),
    ((*CLASSIFY, "--class-weights", "blanced", "--out", "new"), 2, "did you mean 'balanced'"),
    (("train", "classify", "--train", "maybe.csv", "--label", "a,b", "--out", "new"), 1,
     "maybe.csv, line 3: column 'b' holds 'maybe'; expected 0 or 1"),
    (("predict", "labels", "train.tsv", "--top-k", "3"), 2, "top_k is 3; expected 1 to 2"),
    (("predict", "labels", "train.tsv", "--threshold", "2"), 2, "threshold is 2.0; expected a probability"),
    (("predict", "numbers", "prices.csv", "--probabilities"), 2, "the option probabilities has no effect"),
    (("evaluate", "labels"), 2, "--test is missing"),
    (("evaluate", "labels", "--test", "train.tsv", "--beam", "2"), 2, "the option beam has no effect on the task"),
    (("predict", "numbers", "train.tsv"), 1, "train.tsv, line 1: there is no column 'text'"),
    (("predict", "numbers", "v.doc"), 1, "unknown table format '.doc'"),
    (("predict", "numbers", "tabs.txt"), 1, "tabs.txt, line 1: the line holds a tab; give --text if it is one text"),
    (("predict", "numbers", "data.txt"), 1, "data.txt: no such file"),
    (("predict", "labels", "taken.tsv"), 1, "taken.tsv, line 1: column 'predicted_probability' already exists"),
    (("predict", "labels", "train.tsv", "--column", ""), 2, "--column is empty"),
    (("train", "classify", "--train", "strange.tsv", "--text", "2", "--label", "9", "--out", "new"), 1,
     "strange.tsv, line 1: there is no column '9'. The columns are: 1, 2, 3"),
    (("train", "regress", "--train", "equal.csv", "--out", "new"), 2, "every training target is 2"),
    (("train", "regress", "--train", "huge.csv", "--out", "new"), 1, "huge.csv, line 3: the target '1e300' exceeds"),
    (("train", "classify", "--train", "wide.tsv", "--out", "new"), 1, "wide.tsv, line 1: this is UTF-16"),
    (("train", "classify", "--train", "none.tsv", "--out", "new"), 1, "none.tsv: the file is empty"),
    (("train", "classify", "--train", "twice.tsv", "--out", "new"), 1,
     "twice.tsv, line 1: the column name 'label' occurs twice"),
    (("evaluate", "labels", "--test", "nan.csv"), 1, "nan.csv, line 1: there is no column 'sentence'"),
    (("explain", "labels", "good", "--reference", "x"), 2, "the option reference has no effect"),
]  # fmt: skip


@pytest.mark.parametrize(("args", "status", "message"), BAD, ids=[each[2] for each in BAD])
def test_bad_input_is_answered_and_nothing_is_written(
    place: Path, args: tuple[str, ...], status: int, message: str
) -> None:
    head = "id\tsentence\tlabel\n"
    (place / "strange.tsv").write_text(head + "1\tgood\tyse\n", encoding="utf-8")
    ids = "".join(f"id-{n}\tgood\tyes\n" for n in range(20))
    (place / "ids.tsv").write_text(head + ids, encoding="utf-8")
    (place / "maybe.csv").write_text("text,a,b\nx,0,1\ny,1,maybe\n", encoding="utf-8")
    (place / "alone.tsv").write_text(head + ROWS + "1\tgood\tmaybe\n", encoding="utf-8")
    (place / "nan.csv").write_text("text,price\na,1\nb,nan\n" + "c,2\n" * 20, encoding="utf-8")
    (place / "equal.csv").write_text("text,target\n" + "c,2\n" * 20, encoding="utf-8")
    (place / "huge.csv").write_text("text,target\na,1\nb,1e300\n" + "c,2\n" * 20)
    (place / "taken.tsv").write_text("sentence\tpredicted_probability\ngood\tmine\n")
    (place / "wide.tsv").write_text("text\tlabel\na\tb\n", encoding="utf-16")
    (place / "none.tsv").write_text("")
    (place / "twice.tsv").write_text("text\tlabel\tlabel\na\tb\tc\n")
    (place / "v.doc").write_text("a\tb\n")
    (place / "tabs.txt").write_text("a\tb\n")
    (place / "v.txt").write_text("good 1 2\nbad 1\n", encoding="utf-8")
    before = snapshot(place)
    ran = run_command(*args)
    assert (ran.status, message in ran.stderr) == (status, True), ran.stderr
    assert snapshot(place) == before
