"""Decoding options and scores on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import run_command

RUN = "runs/en-de"


def test_options_of_predict(place: Path) -> None:
    Path("two.en").write_text("4 Mar 2026\n5 May 1999\n", encoding="utf-8")
    Path("two.prefix").write_text("19\n\n", encoding="utf-8")
    Path("two.phrases").write_text("1\t2\n\n", encoding="utf-8")
    plain = run_command("predict", RUN, "two.en", "-q").stdout.splitlines()
    ran = run_command("predict", RUN, "two.en", "-q", "--prefix-file", "two.prefix")
    assert ran.status == 0, ran.stderr
    assert ran.stdout.startswith("19")
    assert ran.stdout.splitlines()[1] == plain[1]
    ran = run_command("predict", RUN, "two.en", "-q", "--require-file", "two.phrases")
    assert {"1", "2"} <= set(ran.stdout.splitlines()[0])
    assert ran.stdout.splitlines()[1] == plain[1]
    ran = run_command("predict", RUN, "two.en", "-q", "--prefix", "20")
    assert all(line.startswith("20") for line in ran.stdout.splitlines())
    sampled = (
        "predict",
        RUN,
        "two.en",
        "-q",
        "--sample",
        "--nbest",
        "4",
        "--temperature",
        "2",
        "--top-k",
        "9",
    )
    first = run_command(*sampled, "--seed", "1").stdout
    assert len(first.splitlines()) == 8
    assert first == run_command(*sampled, "--seed", "1").stdout
    assert first != run_command(*sampled, "--seed", "2").stdout


def test_options_of_evaluate_and_explain(place: Path) -> None:
    test = ("evaluate", RUN, "--test", "test.en", "test.de", "--json", "-q")
    ran = run_command(*test, "--length-form", "power", "--length-penalty", "0.5")
    assert ran.status == 0, ran.stderr
    ran = run_command("explain", RUN, "4 Mar 2026", "--prefix", "19", "--json", "-q")
    assert ran.status == 0, ran.stderr
    [text] = json.loads(ran.stdout)["texts"]
    assert text["target"].startswith("19")


def test_score(place: Path) -> None:
    ran = run_command("score", RUN, "test.en", "test.de", "--tokens")
    assert ran.status == 0, ran.stderr
    lines = ran.stdout.splitlines()
    pairs = len(Path("test.en").read_text(encoding="utf-8").splitlines())
    assert len(lines) == pairs
    total, count, perplexity, *tokens = lines[0].split("\t")
    assert len(tokens) == int(count)
    values = [float(token.rsplit(" ", 1)[1]) for token in tokens]
    assert sum(values) == pytest.approx(float(total), abs=1e-3)
    assert float(perplexity) > 1
    assert tokens[-1].startswith("<end> ")
    assert f"{pairs:,} pairs" in ran.stderr
    ran = run_command("score", RUN, "test.en", "test.de", "--json", "-q")
    *each, summary = map(json.loads, ran.stdout.splitlines())
    assert len(each) == summary["pairs"] == pairs
    assert each[0]["log_probability"] == pytest.approx(float(total), abs=1e-3)


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("predict", RUN, "new.en", "--temperature", "2"), 2, "temperature has no effect on a search"),
        (("predict", RUN, "new.en", "--length-form", "gnm"), 2, "did you mean 'gnmt'"),
        (("predict", RUN, "new.en", "--ban", " "), 2, "ban holds a phrase without words"),
        (("predict", RUN, "new.en", "--prefix", "Ω"), 2, "prefix holds the phrase 'Ω', which the vocabulary"),
        (("predict", RUN, "new.en", "--prefix", "1", "--prefix-file", "new.en"), 2, "exclude each other"),
        (("predict", RUN, "new.en", "--prefix-file", "no.en"), 1, "no.en: no such file"),
        (("predict", RUN, "new.en", "--require-file", "one.en"), 2, "require has 1 entries, but there are more"),
        (("score", RUN, "test.en", "valid.de"), 1, "lines"),
        (("score", RUN, "test.en"), 2, "one file is not enough"),
    ],
)  # fmt: skip
def test_wrong_options(place: Path, words: tuple[str, ...], status: int, message: str) -> None:
    Path("one.en").write_text("1\n", encoding="utf-8")
    ran = run_command(*words)
    assert (ran.status, message in ran.stderr) == (status, True), ran.stderr
    assert len(ran.stderr.splitlines()) <= 4
