"""The command `heedful view`, as a process that is interrupted at the end."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import heedful
from tests.cli.conftest import run_command
from tests.explore.pages import Page

ROWS = [{"text": "a good film", "label": "good"}, {"text": "a bad film", "label": "bad"}] * 4


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to one process is POSIX")
def test_it_answers_until_it_is_interrupted(tmp_path: Path) -> None:
    run = tmp_path / "mood"
    heedful.train("classify", train=ROWS, valid=ROWS, out=run, training={"epochs": 1})
    command = [sys.executable, "-m", "heedful", "view", str(run), "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{address}?text=a+good+day", timeout=60) as answer:
                data = Page(answer.read().decode()).data()
            assert data["tokens"][data["records"][-1]["keys"]] == ["a", "good", "day"]
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()


def test_a_file_that_cannot_be_shown_is_named(tmp_path: Path) -> None:
    table, other = tmp_path / "mood.csv", tmp_path / "comparison.json"
    table.write_text("text,label\n", encoding="utf-8")
    other.write_text("{}", encoding="utf-8")
    for path, wanted in ((table, "nor a page (.html)"), (other, "holds no attention records")):
        ran = run_command("view", str(path))
        assert ran.status == 2 or ran.status == 1
        assert str(path) in ran.stderr.replace("\n", "")
        assert wanted in ran.stderr
