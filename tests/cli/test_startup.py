"""A command imports what it uses: PyTorch's compiler and the libraries of training and metrics only when needed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from heedful.ops.constant import assume_constant_result

RUNS = Path(__file__).parents[1] / "runs" / "format_1"
SLOW = ("torch._dynamo", "torch._inductor", "sympy", "scipy", "sklearn", "seqeval", "lightning_fabric", "matplotlib",
        "pandas", "sacrebleu", "lxml", "numba")  # fmt: skip
PROGRAM = """
import json, sys
from heedful.cli.main import app
try:
    app(sys.argv[1:], prog_name="heedful", standalone_mode=True)
except SystemExit as ended:
    status = ended.code or 0
print(json.dumps([status, sorted(sys.modules)]), file=sys.stderr)
"""


def modules_after(*command: str) -> set[str]:
    """Return the names of all modules that a process has imported once it has run a command."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], input="a saw\n", capture_output=True, text=True, check=True
    )  # fmt: skip
    status, modules = json.loads(done.stderr.splitlines()[-1])
    assert status == 0, done.stderr[-500:]
    return set(modules)


@pytest.mark.parametrize("command", ["--help", "--version", "train --help", "predict --help"])
def test_help_does_without_pytorch(command: str) -> None:
    imported = modules_after(*command.split())
    assert not imported & {"torch", "numpy", "regex", *SLOW}


@pytest.mark.parametrize(
    "command",
    [
        f"predict {RUNS / 'tag-window-vectors'} - -q --text",
        f"predict {RUNS / 'classify-lstm'} texts.tsv -q",
        f"explain {RUNS / 'translate-gru'} dog",
        "config tag",
        "config translate",
    ],
    ids=lambda command: " ".join(Path(word).name for word in command.split()),
)
def test_a_command_imports_little_beside_pytorch(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("texts.tsv").write_text("text\na film\n", encoding="utf-8")
    with_pytorch = subprocess.run(
        [sys.executable, "-c", "import torch, sys; print(len(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = modules_after(*command.split())
    assert "torch" in imported
    assert not imported & set(SLOW)
    assert len(imported) < int(with_pytorch.stdout) + 620


def test_the_mark_of_a_constant_result_is_pytorchs() -> None:
    def ours() -> None:
        """Do nothing."""

    def theirs() -> None:
        """Do nothing."""

    assume_constant_result(ours)
    torch.compiler.assume_constant_result(theirs)
    assert vars(ours) == vars(theirs) != {}
