"""What a training in half precision says of the processor before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from heedful.config import build
from heedful.data.files import Pairs
from heedful.nn import recurrent_precision
from heedful.ops.jit import processor
from heedful.tasks.translate import TASK as TRANSLATE
from heedful.tasks.translate import TranslationConfig
from heedful.training import precision
from heedful.training.events import Finished, Started
from heedful.training.loop import train_model
from heedful.training.precision import precision_notices

PAIRS = Pairs(["ein Hund", "der Hund", "ein Mann"], ["a dog", "the dog", "a man"])
RECURRENT = nn.Sequential(nn.Linear(2, 2), nn.ModuleList([nn.GRU(2, 2)]))
POSSIBLE = [False, True] if recurrent_precision.runs_lstm_in(torch.bfloat16) else [False]
"""A processor that runs an LSTM in bfloat16 can pretend not to, the other way round it cannot."""
SLOW, WHOLE = "no bfloat16 arithmetic", "recurrent layers stay in float32"


@pytest.fixture
def processor_that(monkeypatch: pytest.MonkeyPatch) -> Any:
    def pretend(*, multiplies: bool, runs_lstm: bool) -> None:
        monkeypatch.setattr(precision, "has_bfloat16_arithmetic", lambda: multiplies)
        for module in (precision, recurrent_precision):
            monkeypatch.setattr(module, "runs_lstm_in", lambda dtype: runs_lstm)

    return pretend


@pytest.mark.parametrize(
    ("multiplies", "runs_lstm", "model", "wanted"),
    [
        (True, True, RECURRENT, []),
        (False, True, RECURRENT, [SLOW]),
        (False, False, RECURRENT, [SLOW, WHOLE]),
        (True, False, RECURRENT, [WHOLE]),
        (False, False, nn.Linear(2, 2), [SLOW]),
        (True, True, nn.Linear(2, 2), []),
    ],
)
def test_a_line_for_each_thing(
    multiplies: bool, runs_lstm: bool, model: nn.Module, wanted: list[str], processor_that: Any
) -> None:
    processor_that(multiplies=multiplies, runs_lstm=runs_lstm)
    found = precision_notices("bf16-mixed", "cpu", model)
    assert len(found) == len(wanted)
    assert all(part in line for part, line in zip(wanted, found, strict=True))
    assert not any("\n" in line for line in found)
    for setting, device in (("32-true", "cpu"), ("64-true", "cpu"), ("bf16-mixed", "cuda")):
        assert precision_notices(setting, device, model) == ()


def test_the_line_says_what_to_set_instead(processor_that: Any) -> None:
    processor_that(multiplies=False, runs_lstm=True)
    (line,) = precision_notices("bf16-mixed", "cpu", RECURRENT)
    assert "set training.precision to '32-true'" in line


@pytest.mark.parametrize("machine", ["x86_64", "AMD64", "aarch64", "arm64"])
@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx", None])
def test_arithmetic_needs_instructions_and_onednn(
    machine: str, onednn: bool, instructions: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(
        torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn, raising=False
    )
    monkeypatch.setattr(
        torch.cpu, "_is_avx512_bf16_supported", lambda: instructions == "avx512_bf16"
    )
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: instructions == "amx")
    arm = machine in {"aarch64", "arm64"}
    wanted = onednn and (arm or instructions is not None)
    assert processor.has_bfloat16_arithmetic() == wanted
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert not processor.has_bfloat16_arithmetic()


@pytest.mark.parametrize("runs_lstm", POSSIBLE)
@pytest.mark.parametrize(("kind", "order"), [("lstm", "luong"), ("gru", "bahdanau")])
def test_a_recurrent_model_trains_in_half_precision(
    kind: str, order: str, runs_lstm: bool, processor_that: Any, tmp_path: Path
) -> None:
    processor_that(multiplies=runs_lstm, runs_lstm=runs_lstm)
    config = build(
        TranslationConfig,
        {
            "vocabulary": {"kind": "char"},
            "model": {"kind": kind, "order": order, "embedding": 6, "hidden": 6},
            "training": {"epochs": 1, "precision": "bf16-mixed", "keep_freed_memory": False},
        },
    )
    events = list(train_model(TRANSLATE, config, PAIRS, PAIRS, tmp_path / "run"))
    started, finished = events[0], events[-1]
    assert isinstance(started, Started)
    notices = [each for each in started.notices if "the whole training takes" not in each]
    assert len(notices) == (1 if runs_lstm else 2)
    assert isinstance(finished, Finished)
    assert 0 < finished.scores["loss"] < 10
