"""Gradient × input saliency: nothing is dropped while it is computed, in no kind of encoder."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from heedful.explore.saliency import saliency
from heedful.tasks.table import TASKS

ROWS = [{"text": f"a {word} film", "label": word} for word in ("good", "bad")] * 4
DROPPING: list[dict[str, Any]] = [
    {"kind": "transformer", "width": 8, "heads": 2, "dropout": 0.5, "attention_dropout": 0.5},
    {"kind": "lstm", "hidden": 8, "layers": 2, "dropout": 0.5},
    {"kind": "gru", "hidden": 8, "layers": 2, "dropout": 0.5},
    {"kind": "convolution", "hidden": 8, "dropout": 0.5},
]


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("encoder", DROPPING, ids=lambda each: each["kind"])
def test_nothing_is_dropped(
    encoder: dict[str, Any], by_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heedful.nn.recurrent.RecurrentEncoder.by_hand", by_hand)
    task = TASKS["classify"]
    config = task.configuration.model_validate(
        {"vocabulary": {"min_frequency": 1}, "encoder": encoder}
    )
    torch.manual_seed(0)
    predictor = task.learn(config, task.reader.from_rows(ROWS, config.data, "train"))
    predictor.model.eval()
    example = predictor.task.reader.from_rows(ROWS, config.data, "train").inputs[0]
    [prediction] = predictor.predict([example])
    layers = [m for m in predictor.model.modules() if isinstance(m, torch.nn.RNNBase)]
    for layer in layers:
        layer.dropout = 0.5
    first = saliency(predictor, example, prediction)
    assert torch.equal(saliency(predictor, example, prediction), first)
    modes = {module.training for module in predictor.model.modules()}
    assert modes == {False}
    assert all(layer.dropout == 0.5 for layer in layers)
