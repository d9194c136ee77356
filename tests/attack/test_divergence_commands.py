"""The commands, where training diverges or a model yields NaN: exit status 1, the place, and a command that helps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.attack.test_divergence import strict_lines
from tests.cli.conftest import Ran, run_command

TINY = {
    "translate": "vocabulary.kind=char model.kind=gru model.embedding=4 model.hidden=4 decoding.max_length_ratio=0.5",
    "tag": "encoder.kind=none encoder.hidden=4",
    "classify": "encoder.kind=none encoder.hidden=4",
    "regress": "encoder.kind=none encoder.hidden=4",
}
TRAINING = (
    "training.epochs=2 training.batch_tokens=20 training.keep_freed_memory=false training.threads=1"
)
DATA = {
    "translate": ("--train", "a.tsv", "--valid", "a.tsv", "--columns", "text,target"),
    "tag": ("--train", "a.conll", "--valid", "a.conll"),
    "classify": ("--train", "a.tsv", "--valid", "a.tsv"),
    "regress": ("--train", "a.tsv", "--valid", "a.tsv"),
}
INPUT = {"translate": "new.txt", "tag": "a.conll", "classify": "a.tsv", "regress": "a.tsv"}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [f"film {n}\t{n % 2}\t{n}\n" for n in range(12)]
    Path("a.tsv").write_text("text\tlabel\ttarget\n" + "".join(rows), encoding="utf-8")
    Path("a.conll").write_text("I\tPRON\nsaw\tVERB\n\n" * 12, encoding="utf-8")
    Path("new.txt").write_text("\nfilm 1\n", encoding="utf-8")
    return tmp_path


def train(task: str, *more: str) -> Ran:
    sets = [word for each in f"{TINY[task]} {TRAINING}".split() for word in ("--set", each)]
    return run_command("train", task, *DATA[task], *sets, "--out", "my run", *more)


@pytest.mark.parametrize("task", list(DATA))
def test_the_command_that_is_printed_goes_on(task: str, place: Path) -> None:
    ran = train(task, "--lr", "1e30", "--json")
    assert (ran.status, ran.stdout) == (1, "")
    assert "error: training diverged: the " in ran.stderr
    assert re.search(r"a\.(tsv|conll)", ran.stderr)
    [command] = re.findall(r"heedful train .*", ran.stderr)
    assert command.endswith(" --resume --out 'my run' --set training.learning_rate=0.003") == (
        task == "translate"
    )
    again = run_command(*shlex.split(command)[1:])
    assert again.status == 0, again.stderr
    assert len(strict_lines(Path("my run", "metrics.jsonl"))) == 3
    assert Path("my run", "report.html").exists()


@pytest.mark.parametrize("task", list(DATA))
def test_a_model_of_nan_is_an_error_that_names_the_input(task: str, place: Path) -> None:
    assert train(task).status == 0
    path = Path("my run", "model.safetensors")
    tensors = load_file(path)
    save_file({name: torch.full_like(each, 3e38) for name, each in tensors.items()}, path)
    for command in ("predict", "evaluate", "explain"):
        given = {
            "predict": (INPUT[task],),
            "evaluate": ("--test", DATA[task][1]),
            "explain": ("film 1",),
        }[command]
        ran = run_command(command, "my run", *given)
        assert ran.status == 1, ran.stdout
        assert "the model's output holds NaN or infinity" in ran.stderr
        if command != "explain":
            assert re.search(r"error: (a\.tsv|a\.conll|new\.txt|pair).*\d+", ran.stderr)
        assert "nan" not in ran.stdout.lower()


def test_the_help_names_the_minutes_between_checkpoints() -> None:
    for task in DATA:
        ran = run_command("train", task, "--help")
        assert "--checkpoint-minutes" in ran.stdout
    config = run_command("config", "tag", "--checkpoint-minutes", "2.5")
    assert "checkpoint_minutes = 2.5" in config.stdout
    assert "skip_nonfinite = 0" in config.stdout
