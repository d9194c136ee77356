"""Files as people have them: encodings, half characters, half tables, rows without answers, several targets."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from heedful import run_folder
from tests.cli.conftest import run_command, snapshot
from tests.cli.test_text import SETS

ROWS = [
    f"film {n} was {'gut' if n % 2 else 'schön'},{'ja' if n % 2 else 'naïf'}" for n in range(20)
]
CLASSIFY = ("train", "classify", "--train", "train.csv", *SETS, "--set", "training.epochs=1")
HALF = r"\ud83d"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str, encoding: str = "utf-8") -> None:
    Path(name).write_bytes(text.encode(encoding))


def train(*more: str) -> None:
    ran = run_command(*CLASSIFY, "--out", "run", *more)
    assert ran.status == 0, ran.stderr


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_an_encoding_is_named_chosen_and_kept_in_the_run(place: Path, encoding: str) -> None:
    write(
        "train.csv", "\r\n".join(["text;label", *(row.replace(",", ";") for row in ROWS)]), encoding
    )
    ran = run_command(*CLASSIFY, "--out", "run")
    assert ran.status == 1
    assert f"read it with --encoding {encoding}, which it may be" in ran.stderr
    train("--encoding", encoding)
    assert f'encoding = "{encoding}"' in Path("run/config.toml").read_text("utf-8")
    write("new.csv", "text;n\r\nschöne Grüße;1\r\n", encoding)
    assert "schöne Grüße;1;" in run_command("predict", "run", "new.csv").stdout
    write("new.csv", "text;n\nschöne Grüße;1\n")
    ran = run_command("predict", "run", "new.csv", "--encoding", "utf-8")
    assert "schöne Grüße;1;" in ran.stdout
    values = run_command("evaluate", "run", "--test", "train.csv", "--json").stdout
    assert json.loads(values)["texts"] == 20
    ran = run_command("evaluate", "run", "--test", "train.csv", "--encoding", "latin-none")
    assert (ran.status, "unknown encoding 'latin-none'" in ran.stderr) == (2, True)


def test_nothing_is_written_before_a_bad_row_of_a_file(place: Path) -> None:
    write("train.csv", "\n".join(["text,label", *ROWS]))
    train()
    bad = "text,n\n" + "a film,1\n" * 600 + "a,b,c\n"
    write("new.csv", bad)
    ran = run_command("predict", "run", "new.csv")
    assert (ran.status, ran.stdout) == (1, "")
    assert "new.csv, line 602: the row has 3 fields" in ran.stderr
    ran = run_command("predict", "run", "-", input=bad)
    assert ran.status == 1
    assert len(ran.stdout.splitlines()) == 601
    assert "line 602: the row has 3 fields" in ran.stderr
    assert "The 600 texts before it are answered and written." in ran.stderr


def test_half_a_character_is_an_error_in_every_command(place: Path) -> None:
    write("train.csv", "\n".join(["text,label", *ROWS]))
    train()
    write(
        "half.jsonl",
        f'{{"text": "a", "label": 1, "kind": "b"}}\n{{"text": "{HALF}", "label": 2, "kind": "c"}}\n',
    )
    write("tags.jsonl", f'{{"tokens": ["{HALF}"], "tags": ["A"]}}\n')
    write("key.jsonl", f'{{"text": "a", "label": "ja", "{HALF}": 1}}\n')
    before = snapshot(place)
    pairs = ("--train", "half.jsonl", "--valid", "half.jsonl", "--columns", "text,kind")
    commands: list[tuple[str, ...]] = [
        ("train", "classify", "--train", "half.jsonl", "--out", "new"),
        ("train", "regress", "--train", "half.jsonl", "--target", "label", "--out", "new"),
        ("train", "translate", *pairs, "--out", "new"),
        ("train", "tag", "--train", "tags.jsonl", "--valid", "tags.jsonl", "--out", "new"),
        ("train", "classify-series", "--train", "half.jsonl", "--series", "text", "--out", "new"),
        ("compare", "classify", "--train", "half.jsonl", "--encoders", "none,gru", "--out", "new"),
        ("evaluate", "run", "--test", "half.jsonl"),
        ("predict", "run", "half.jsonl"),
        ("predict", "run", "key.jsonl"),
    ]
    for command in commands:
        ran = run_command(*command)
        assert (ran.status, ran.stdout) == (1, ""), command
        assert "half a surrogate pair" in ran.stderr, command
        assert "jsonl, line " in ran.stderr, command
    ran = run_command("explain", "run", "caf\udce9")
    assert ran.status == 2
    assert r"argument 2, 'caf\udce9', is not UTF-8" in " ".join(
        ran.stderr.replace("│", " ").split()
    )
    assert snapshot(place) == before


@pytest.mark.parametrize("task", ["tag", "classify"])
def test_one_text_in_two_forms_is_answered_alike(place: Path, task: str) -> None:
    texts = ["un café brûlé", "déjà une forêt", "le thé glacé", "là où il gèle"]
    labels = ["naïf", "âgé", "naïf", "âgé"]
    for form in ("NFC", "NFD"):
        rows = [
            {
                "text": text,
                "label": label,
                "tokens": text.split(),
                "tags": [label] * len(text.split()),
            }
            for text, label in zip(texts * 5, labels * 5, strict=True)
        ]
        lines = [unicodedata.normalize(form, json.dumps(row, ensure_ascii=False)) for row in rows]
        write(f"{form}.jsonl", "\n".join(lines))
    files = ("--train", "NFC.jsonl", "--valid", "NFD.jsonl")
    ran = run_command("train", task, *files, *SETS, "--out", "run")
    assert ran.status == 0, ran.stderr
    one, other = (
        json.loads(run_command("evaluate", "run", "--test", f"{form}.jsonl", "--json").stdout)
        for form in ("NFC", "NFD")
    )
    same = [key for key in one if "second" not in key]
    assert {key: one[key] for key in same} == {key: other[key] for key in same}
    # what is written back is what was read
    written = run_command("predict", "run", "NFD.jsonl", *(["--column", "found"] * (task != "tag")))
    assert unicodedata.normalize("NFD", "un café brûlé").split()[1] in written.stdout


def test_rows_without_an_answer_are_left_out_and_listed(place: Path) -> None:
    write("train.csv", "\n".join(["text,label", *ROWS, "nothing,", ",ja"]))
    assert "line 22: column 'label' is empty" in run_command(*CLASSIFY, "--out", "run").stderr
    ran = run_command(*CLASSIFY, "--out", "run", "--skip-bad", "--json")
    assert (
        "train.csv: 2 rows left out, listed in run/skipped.txt; the first: train.csv, line 22"
        in ran.stderr
    )
    assert json.loads(ran.stdout.splitlines()[-1])["skipped"] == 2
    assert [each[:18] for each in Path("run/skipped.txt").read_text("utf-8").splitlines()] == [
        "train.csv, line 22",
        "train.csv, line 23",
    ]
    ran = run_command("evaluate", "run", "--test", "train.csv", "--json")
    assert json.loads(ran.stdout)["texts"] == 20
    assert len(json.loads(ran.stdout)["skipped"]) == 2


def test_several_targets_at_once(place: Path) -> None:
    rows = [f"number {n} here,{n}.5,{'' if n % 3 else 100 - n}" for n in range(12)]
    write("prices.csv", "\n".join(["text,price,mass", *rows]))
    target = ("--target", "price,mass", "--valid", "prices.csv")
    ran = run_command("train", "regress", "--train", "prices.csv", *target, *SETS, "--out", "run")
    assert ran.status == 0, ran.stderr
    ran = run_command("evaluate", "run", "--test", "prices.csv", "--json")
    scores = json.loads(ran.stdout)
    assert {name: of["texts"] for name, of in scores["by_target"].items()} == {
        "price": 12,
        "mass": 4,
    }
    assert scores["mae"] == pytest.approx(sum(of["mae"] for of in scores["by_target"].values()) / 2)
    shown = run_command("evaluate", "run", "--test", "prices.csv").stdout
    assert [line.split()[:2] for line in shown.splitlines()[1:5]] == [
        ["target", "examples"], ["price", "12"], ["mass", "4"], ["mean", f"{scores['rmse']:.4g}"],
    ]  # fmt: skip
    write("new.csv", "text\nnumber 3 here\n")
    lines = run_command("predict", "run", "new.csv").stdout.splitlines()
    assert lines[0] == "text,predicted_price,predicted_mass"
    assert all(map(float, lines[1].split(",")[1:]))
    found = run_command("explain", "run", "number 3 here", "--json").stdout
    assert set(json.loads(found)["texts"][0]["answer"]) == {"price", "mass"}
    write("prices.csv", "\n".join(["text,price,mass", *rows, "neither,,"]))
    ran = run_command("evaluate", "run", "--test", "prices.csv")
    assert "line 14: column 'price' is empty" in ran.stderr


def test_a_damaged_vocabulary_is_named(place: Path) -> None:
    write("train.csv", "\n".join(["text,label", *ROWS]))
    train()
    run_folder.write_text(Path("run/vocabulary.json"), '{"format"')
    ran = run_command("predict", "run", "train.csv")
    assert (ran.status, ".json is damaged or truncated" in ran.stderr) == (1, True)


def test_label_columns_in_an_encoding_with_bad_rows(place: Path) -> None:
    rows = [f"{'été' if n % 2 else 'hiver'} {n},{n % 2},{int(n % 3 == 0)}" for n in range(40)]
    write("train.csv", "\n".join(["text,café,rare", *rows, ",1,0", "gap,,1"]), "cp1252")
    train(
        "--label", "café,rare", "--encoding", "cp1252", "--skip-bad", "--class-weights", "balanced"
    )
    skipped = Path("run/skipped.txt").read_text("utf-8").splitlines()
    assert ["line 42: column 'text'" in skipped[0], "line 43: column 'café'" in skipped[1]] == [
        1,
        1,
    ]
    options = ("--test", "train.csv", "--skip-bad", "--threshold", "0.001", "--json")
    values = json.loads(run_command("evaluate", "run", *options).stdout)
    assert (values["texts"], len(values["skipped"]), values["threshold"]) == (40, 2, 0.001)
    write("new.csv", "text\nété\n")
    ran = run_command("predict", "run", "new.csv", "--encoding", "utf-8", "--probabilities")
    header = "text,predicted,predicted_probability_café,predicted_probability_rare"
    assert ran.stdout.splitlines()[0] == header
    # One label column instead, with names: what the run was told of several does not hold.
    names = [f"{'été' if n % 2 else 'hiver'} {n},{'ab'[n % 2]}" for n in range(40)]
    write("names.csv", "\n".join(["text,kind", *names]), "cp1252")
    ran = run_command(
        "train", "classify", "--train", "names.csv", "--label", "kind", "--init-from", "run",
        "--out", "other", "--set", "training.epochs=1",
    )  # fmt: skip
    assert ran.status == 0, ran.stderr
    assert "label_columns = []" in Path("other/config.toml").read_text("utf-8")
