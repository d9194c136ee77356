"""Every example that a --help prints is run, on tiny data, in the order of a person's work."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
from pathlib import Path

import pytest

from heedful.data.builtin.corpus import Corpus
from heedful.tasks.translate import TRANSLATE
from heedful.train.events import Validated
from heedful.train.loop import train_model
from tests.cli.conftest import TINY_GRU, Ran, configuration, run_command

COMMANDS = (
    ("demo",), ("train", "translate"), ("evaluate",), ("predict",), ("explain",), ("config", "translate"),
    ("bench",), ("probe",),
)  # fmt: skip


def examples(command: tuple[str, ...]) -> list[str]:
    """Return the lines under `Example:` in a command's help."""
    shown = run_command(*command, "--help").stdout
    block = re.search(r"^  Example:\n((?:      .*\n)+)", shown, re.MULTILINE)
    return [line.strip() for line in block[1].splitlines()] if block else []


def run_line(line: str) -> Ran:
    """Run `[echo TEXT |] heedful ... [> FILE]` as a shell would."""
    text = None
    first, pipe, rest = line.partition(" | ")
    if pipe:
        echo, *words = shlex.split(first)
        assert echo == "echo"
        text, line = " ".join(words) + "\n", rest
    line, _, file = line.partition(" > ")
    name, *args = shlex.split(line)
    assert name == "heedful"
    ran = run_command(*args, input=text)
    if file:
        Path(file).write_text(ran.stdout, encoding="utf-8")
    return ran


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.usefixtures("tiny_defaults")
def test_examples_of_the_help_run(place: Path, corpus: Corpus, command: tuple[str, ...]) -> None:
    lines = examples(command)
    assert lines
    if command == ("train", "translate"):
        shutil.rmtree("runs")
    for line in lines:
        if "--resume" in line:
            shutil.rmtree("runs/en-de")
            stop_after_an_epoch(corpus)
        for old in (*place.glob("looked-at.*"), *place.glob("new.align")):
            old.unlink()
        ran = run_line(line)
        assert ran.status == 0, f"{line}\n{ran.stderr}"


def stop_after_an_epoch(corpus: Corpus) -> None:
    """Leave runs/en-de as an interrupted training does."""
    config = configuration(
        *TINY_GRU, 'data.train=["train.en","train.de"]', 'data.valid=["valid.en","valid.de"]'
    )
    events = train_model(TRANSLATE, config, corpus.train, corpus.valid, Path("runs/en-de"))
    with contextlib.closing(events):  # type: ignore[type-var]
        for event in events:
            if isinstance(event, Validated):
                return


def test_every_option_is_described() -> None:
    for command in COMMANDS:
        shown = run_command(*command, "--help").stdout
        assert re.findall(r"^  (--?\S+)(?: \S+)*$", shown, re.MULTILINE) == []
