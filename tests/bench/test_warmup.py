"""`heedful warmup` runs every operation, so that a later process compiles nothing of theirs."""

from __future__ import annotations

import json
import logging

import pytest

from heedful.bench import warmup
from heedful.bench.operations import OPERATIONS
from heedful.cli.output import Output
from heedful.ops.jit.kernel import compile_seconds, logger
from tests.cli.conftest import run_command


def test_every_operation_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: OPERATIONS[name] for name in ("decoder-step", "window")}
    monkeypatch.setattr(warmup, "OPERATIONS", few)
    ran = run_command("warmup", "--json")
    assert ran.status == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert [each["operation"] for each in found["operations"]] == [*few, "translator"]
    assert found["seconds"] > 0
    # those of training and searches, whoever compiled them first in this process
    names = {name.rpartition(".")[2] for name in compile_seconds()}
    assert {"softmax_loss", "drop_add", "drop_relu", "decoder_step", "row_best"} <= names


def test_what_is_compiled_is_said_unless_quiet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger, "handlers", [])
    logger.setLevel(logging.NOTSET)
    try:
        Output(json=True, quiet=True)
        logger.info("compiling the kernel %s", "a")
        Output(json=True, quiet=False)
        logger.info("compiling the kernel %s", "b")
    finally:
        logger.setLevel(logging.WARNING)
    assert capsys.readouterr().err == "note: compiling the kernel b\n"
