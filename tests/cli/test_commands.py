"""What the commands do when all is well."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heedful.cli.choices import TABLES
from heedful.data.builtin.corpus import Corpus
from heedful.data.files import Pairs, diverse_pairs
from heedful.models import MODELS
from heedful.models.encoders import ENCODERS
from heedful.nn.scores import SCORE_MODULES
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.training.events import Validated
from heedful.training.loop import train_model
from tests.cli.conftest import TINY_GRU, configuration, run_command, snapshot

RUN = "runs/en-de"
SETS = [word for each in TINY_GRU for word in ("--set", each)]
FILES = ("--train", "train.en", "train.de", "--valid", "valid.en", "valid.de")


def last_json(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.splitlines()[-1])
    return found


def test_train_from_two_files(place: Path) -> None:
    ran = run_command("train", "translate", *FILES, "--out", "new/run", *SETS)
    assert ran.status == 0, ran.stderr
    assert ran.stderr == ""
    assert "60 training pairs, 4 validation pairs" in ran.stdout
    assert re.search(r"epoch 2: training loss [\d.]+, validation loss [\d.]+, BLEU", ran.stdout)
    assert "heedful explain new/run" in ran.stdout
    assert TRANSLATE.load("new/run").config.data.train == ("train.en", "train.de")
    report = Path("new/run/report.html").read_text(encoding="utf-8")
    assert "<h2>What it looked at</h2>" in report
    assert "heedful evaluate new/run --test TEST.SRC TEST.TGT" in report


def test_train_from_gzip_and_a_table(place: Path) -> None:
    with gzip.open("train.jsonl.gz", "wt", encoding="utf-8") as file:
        for number in range(9):
            file.write(json.dumps({"en": f"{number} May", "de": f"{number}. Mai"}) + "\n")
    ran = run_command(
        *("train", "translate", "--train", "train.jsonl.gz", "--valid", "valid.tsv"),
        *("--columns", "en", "de", "--out", "table", *SETS, "--quiet", "--json"),
    )
    assert ran.status == 0, ran.stderr
    assert ran.stderr == ""
    values = last_json(ran.stdout)
    assert ran.stdout.count("\n") == 1
    assert {"run", "report", "epochs", "steps", "chosen", "validation", "seconds"} <= set(values)
    assert values["run"] == "table"
    assert Path(values["report"]).exists()


def test_json_leaves_standard_output_to_the_json(place: Path) -> None:
    ran = run_command("train", "translate", *FILES, "--out", "new", *SETS, "--json")
    assert len(ran.stdout.splitlines()) == 1
    assert last_json(ran.stdout)["epochs"] == 2
    assert "epoch 2: training loss" in ran.stderr


def test_one_epoch_is_called_one(place: Path) -> None:
    one = ["--set", "training.epochs=1"]
    ran = run_command("train", "translate", *FILES, "--out", "new", *SETS, *one)
    assert "finished after 1 epoch and" in ran.stdout


def test_model_and_attention(place: Path) -> None:
    sizes = ["--set", "model.embedding=8", "--set", "model.hidden=8", "--set", "training.epochs=1"]
    for model, attention in (("lstm", "none"), ("rnn", "bilinear")):
        ran = run_command(
            *("train", "translate", *FILES, "--model", model, "--attention", attention),
            *("--out", model, *sizes, "-q"),
        )
        assert ran.status == 0, ran.stderr
        found = TRANSLATE.load(model).config.model
        assert (found.kind, found.attention) == (model, attention)  # type: ignore[union-attr]


def test_overwrite_replaces_a_run_and_leaves_no_trace_of_the_old(place: Path) -> None:
    (place / RUN / "notes.txt").write_text("old")
    ran = run_command("train", "translate", *FILES, "--out", RUN, "--overwrite", *SETS, "-q")
    assert ran.status == 0, ran.stderr
    assert not (place / RUN / "notes.txt").exists()
    assert [path.name for path in (place / "runs").iterdir()] == ["en-de"]


def test_an_empty_folder_may_be_used(place: Path) -> None:
    (place / "empty").mkdir()
    assert run_command("train", "translate", *FILES, "--out", "empty", *SETS, "-q").status == 0


def interrupted(corpus: Corpus, folder: str) -> None:
    """Leave a run that stopped after its first epoch."""
    data = ('data.train=["train.en","train.de"]', 'data.valid=["valid.en","valid.de"]')
    events = train_model(
        TRANSLATE, configuration(*TINY_GRU, *data), corpus.train, corpus.valid, Path(folder)
    )
    with contextlib.closing(events):  # type: ignore[type-var]
        for event in events:
            if isinstance(event, Validated):
                return


def test_resume_ends_as_if_never_stopped(place: Path, corpus: Corpus) -> None:
    interrupted(corpus, "stopped")
    assert run_command("train", "translate", *FILES, "--out", "whole", *SETS, "-q").status == 0
    ran = run_command("train", "translate", "--resume", "--out", "stopped")
    assert ran.status == 0, ran.stderr
    assert "resuming from step" in ran.stdout
    weights = [Path(run, "model.safetensors").read_bytes() for run in ("stopped", "whole")]
    assert weights[0] == weights[1]


def test_ctrl_c_says_how_to_go_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(self: object, event: object) -> None:
        if isinstance(event, Validated):
            raise KeyboardInterrupt

    monkeypatch.setattr("heedful.cli.progress.TrainingProgress.show", interrupt)
    ran = run_command("train", "translate", *FILES, "--out", "my run", *SETS)
    assert ran.status == 130
    assert "interrupted; resume with: heedful train translate --resume --out 'my run'" in ran.stderr
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert run_command("train", "translate", "--resume", "--out", "my run", "-q").status == 0


def test_ctrl_c_before_the_start_leaves_all_as_it_was(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    before = snapshot(place)
    monkeypatch.setattr("heedful.inputs.pieces.VocabularyConfig.train", interrupt)
    ran = run_command("train", "translate", *FILES, "--out", RUN, "--overwrite", *SETS)
    assert (ran.status, ran.stderr) == (130, "interrupted; nothing was written\n")
    assert snapshot(place) == before


def test_config_is_complete_and_accepted(place: Path) -> None:
    ran = run_command("config", "translate", "--model", "gru", "--set", "model.hidden=24")
    assert ran.status == 0, ran.stderr
    Path("gru.toml").write_text(ran.stdout, encoding="utf-8")
    for section in ("[data]", "[vocabulary]", "[model]", "[training]", "[decoding]"):
        assert section in ran.stdout
    assert "# Maximum passes over the training data.\nepochs = 30" in ran.stdout
    assert "hidden = 24" in ran.stdout
    ran = run_command("train", "translate", "--config", "gru.toml", *FILES, "--out", "new", *SETS)
    assert ran.status == 0, ran.stderr
    assert json.loads(run_command("config", "translate", "--json").stdout)["model"]["kind"]


def test_evaluate(place: Path) -> None:
    ran = run_command("evaluate", RUN, "--test", "test.en", "test.de")
    assert ran.status == 0, ran.stderr
    assert re.search(
        r"BLEU +[\d.]+ +nrefs:1\|case:mixed\|eff:no\|tok:13a\|smooth:exp\|version:\S+", ran.stdout
    )
    assert re.search(r"chrF +[\d.]+ +nrefs:1\|", ran.stdout)
    assert re.search(r"BLEU, lower-cased, tokenized +[\d.]+ +nrefs:1\|case:lc", ran.stdout)
    quiet = run_command("evaluate", "--test", "test.tsv", RUN, "--columns", "en,de", "--json")
    values = last_json(quiet.stdout)
    assert values["pairs"] == 6
    assert {
        "bleu", "bleu_signature", "chrf", "chrf_signature", "exact_match", "bleu_lowercase_tokenized",
        "bleu_lowercase_tokenized_signature",
    } <= set(values)  # fmt: skip


def test_predict_keeps_order_and_empty_lines(place: Path) -> None:
    lines = ["4 Mar 2026", "", "   ", "2021年7月1日", "5 May 1999"]
    text = "\n".join(lines).encode()
    expected = [
        best.text for best, *_ in TRANSLATE.load(RUN).predict(lines, beam=2, length_penalty=0.5)
    ]
    ran = run_command("predict", RUN, "--beam", "2", "--length-penalty", "0.5", input=text)
    assert ran.status == 0, ran.stderr
    assert ran.stdout.split("\n")[:-1] == expected
    assert expected[1] == expected[2] == ""
    Path("lines.gz").write_bytes(gzip.compress(text))
    ran = run_command("predict", RUN, "lines.gz", "--beam", "2", "--length-penalty", "0.5", "-q")
    assert ran.stdout.split("\n")[:-1] == expected
    assert ran.stderr == ""


def test_predict_nbest_and_json(place: Path) -> None:
    text = b"4 Mar 2026\n\n5 May 1999\n"
    ran = run_command("predict", RUN, "-", "--beam", "3", "--nbest", "2", input=text)
    rows = [line.split("\t") for line in ran.stdout.splitlines()]
    assert [row[0] for row in rows] == ["1", "1", "2", "3", "3"]
    assert float(rows[0][1]) >= float(rows[1][1])
    ran = run_command("predict", RUN, "-", "--beam", "3", "--nbest", "2", "--json", input=text)
    first, _, third, total = map(json.loads, ran.stdout.splitlines())
    assert [each["text"] for each in first["translations"]] == [row[2] for row in rows[:2]]
    assert third["source"] == "5 May 1999"
    assert total["lines"] == 3


def test_predict_of_nothing_is_nothing(place: Path) -> None:
    ran = run_command("predict", RUN, "-", input=b"")
    assert (ran.status, ran.stdout) == (0, "")


@pytest.mark.parametrize(
    "model",
    [
        ("model.kind=transformer", "model.width=8", "model.heads=2", "model.feed_forward=8"),
        ("model.kind=gru", "model.hidden=8", "model.embedding=8"),
        ("model.kind=lstm", "model.order=luong", "model.attention=dot", "model.hidden=8"),
        ("model.kind=rnn", "model.attention=none", "model.hidden=8", "model.embedding=8"),
    ],
    ids=["transformer", "bahdanau", "luong", "none"],
)
def test_alignments_for_every_architecture(
    place: Path, untrained: Callable[..., str], model: tuple[str, ...]
) -> None:
    run = untrained(*model)
    text = "4 March 2026\n\n2021年7月1日\n"
    ran = run_command(
        *("predict", run, "--beam", "3", "--alignments", "new.align", "--json"), input=text.encode()
    )
    assert ran.status == 0, ran.stderr
    lines = [json.loads(line) for line in ran.stdout.splitlines()[:-1]]
    rows = Path("new.align").read_text(encoding="utf-8").split("\n")
    assert rows == [*(line["alignment"] for line in lines), ""]
    assert rows[1] == ""
    for line, row, sources in ((lines[0], rows[0], 3), (lines[2], rows[2], 6)):
        words = len(line["translations"][0]["text"].split())
        links = [tuple(map(int, link.split("-"))) for link in row.split()]
        assert [target for _, target in links] == list(range(len(links)))
        assert len(links) >= words
        assert all(0 <= source < sources for source, _ in links)


def test_alignments_are_replaced_only_when_asked(place: Path) -> None:
    Path("new.align").write_text("old")
    args = ("predict", RUN, "new.en", "--alignments", "new.align", "--overwrite", "-q")
    assert run_command(*args).status == 0
    assert Path("new.align").read_text(encoding="utf-8").count("\n") == 6
    assert not Path("new.align.partial").exists()


def test_explain_in_the_terminal(place: Path) -> None:
    ran = run_command(
        "explain", RUN, "4 Mar 2026", "2021年7月1日", "--reference", "x", "--reference", "y"
    )
    assert ran.status == 0, ran.stderr
    assert "4 Mar 2026 → x" in ran.stdout
    assert "2021年7月1日 → y" in ran.stdout
    assert ran.stdout.count("attention weights, square-root scale 0") == 2


def test_explain_a_transformer(place: Path, untrained: Callable[..., str]) -> None:
    run = untrained("model.width=8", "model.heads=2", "model.feed_forward=8")
    args = ("explain", run, "4 Mar 2026", "--reference", "2026-03-04")
    shown = run_command(*args)
    assert shown.stdout.count("attention weights, square-root scale 0") == 1
    assert "--kind, --layer and --head show others" in shown.stdout
    assert "encoder: input" in run_command(*args, "--kind", "encoder", "--layer", "1").stdout
    [text] = last_json(run_command(*args, "--json").stdout)["texts"]
    assert {each["kind"] for each in text["attention"]} == {"encoder", "decoder", "cross"}
    assert text["records"][0]["weights"]
    for name in ("seen.html", "seen.svg"):
        ran = run_command(*args, "--out", name)
        assert ran.status == 0, ran.stderr
        assert ran.stdout == f"written: {name}\n"
        assert "2026-03-04" in Path(name).read_text(encoding="utf-8")


def test_explain_several_texts(place: Path) -> None:
    args = ("explain", RUN, "a </script>", "b", "--reference", "c", "--reference", "d")
    ran = run_command(*args, "--out", "seen.html", "--json")
    assert last_json(ran.stdout)["files"] == ["seen.html"]
    page = Path("seen.html").read_text(encoding="utf-8")
    assert page.count("data-records=") == 2
    assert "a &lt;/script&gt; → c" in page
    ran = run_command(*args, "--out", "seen.svg", "--quiet")
    assert ran.stdout == ""
    assert Path("seen-1.svg").exists()
    assert Path("seen-2.svg").exists()
    Path("seen-1.svg").write_text("old")
    assert run_command(*args, "--out", "seen.svg", "--overwrite").status == 0
    assert Path("seen-1.svg").read_text(encoding="utf-8") != "old"


def test_demo(place: Path, tiny_defaults: None) -> None:
    ran = run_command("demo", "--json")
    assert ran.status == 0, ran.stderr
    values = last_json(ran.stdout)
    assert set(values) == {"exact_match", "seconds", "run", "report"}
    assert values["run"] == "heedful-demo"
    report = Path(values["report"]).read_text(encoding="utf-8")
    assert "data-records=" in report
    assert "test dates exactly right</dt>" in report
    shown = run_command("demo")
    assert "test dates are exactly right" in shown.stdout
    assert "attention weights, square-root scale 0" in shown.stdout
    assert "heedful explain heedful-demo-2" in shown.stdout
    assert Path("heedful-demo-2/report.html").exists()
    measured = run_command("evaluate", "heedful-demo", "--json")
    assert last_json(measured.stdout)["exact_match"] == values["exact_match"]


def test_the_version_is_told() -> None:
    assert re.fullmatch(r"heedful \d+\.\d+\.\d+\n", run_command("--version").stdout)


def test_a_table_of_commands() -> None:
    listed = run_command("--help").stdout
    for name in ("demo", "train", "evaluate", "predict", "explain", "config"):
        assert re.search(rf"^  {name} ", listed, re.MULTILINE)


def test_evaluate_by_length(place: Path) -> None:
    args = ("evaluate", RUN, "--test", "test.en", "test.de", "--by-length")
    assert re.search(r"^source words +pairs +BLEU$", run_command(*args).stdout, re.MULTILINE)
    groups = last_json(run_command(*args, "--json").stdout)["by_length"]
    assert sum(group["pairs"] for group in groups) == 6


def test_examples_of_a_report_are_unlike_each_other() -> None:
    sources = ["4 May 1999", "5 May 2001", "7 juin 1980", "2021年7月1日", "2022年8月2日", "1.2.33"]
    pairs = Pairs(sources, ["x"] * 6)
    assert [source for source, _ in diverse_pairs(pairs, 3)] == [
        "4 May 1999",
        "2021年7月1日",
        "7 juin 1980",
    ]
    assert len(diverse_pairs(pairs, 9)) == 6
    assert diverse_pairs(Pairs(["x" * 100], ["y"]), 4) == []


@pytest.mark.parametrize(
    ("command", "table"),
    [
        (("train", "tag"), ENCODERS),
        (("train", "classify"), ENCODERS),
        (("config", "regress"), ENCODERS),
        (("compare",), ENCODERS),
        (("probe",), ENCODERS),
        (("train", "translate"), MODELS),
        (("config", "translate"), SCORE_MODULES),
    ],
    ids=" ".join,
)
def test_the_help_names_every_entry_of_a_table(
    command: tuple[str, ...], table: dict[str, object]
) -> None:
    shown = " ".join(run_command(*command, "--help").stdout.split())
    assert ", ".join(table) in shown
    assert not re.search(rf"\{{({'|'.join(TABLES)})\}}", shown)


def test_the_help_of_compare_names_the_tasks_of_a_column() -> None:
    shown = " ".join(run_command("compare", "--help").stdout.split())
    assert "--columns A,B translate: Source and target columns" in shown
    assert "--text NAME classify, regress: Column of the texts" in shown
