"""R-Drop: two passes of a batch under different dropout are drawn together."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from heedful.answers.text import divergence
from heedful.config import build
from heedful.data.files import Pairs
from heedful.tasks.translate import TASK, TranslationConfig

PAIRS = Pairs(["ein Hund rennt", "eine Katze"], ["a dog runs", "a cat"])


def loss_of(weight: float, dropout: float, seed: int = 1) -> torch.Tensor:
    settings = {
        "model": {"kind": "gru", "embedding": 8, "hidden": 8, "dropout": dropout},
        "vocabulary": {"kind": "word", "min_frequency": 1},
        "training": {"r_drop": weight},
    }
    torch.manual_seed(0)
    predictor = TASK.learn(build(TranslationConfig, settings), PAIRS)
    [batch] = TASK.batches(predictor, PAIRS, training=True).epoch(1)
    predictor.model.train()
    torch.manual_seed(seed)
    loss: torch.Tensor = predictor.answer.loss(predictor.model, *batch)
    return loss.detach()


def test_the_divergence_is_that_of_both_directions() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(3, 7), torch.randn(3, 7)
    first, second = torch.log_softmax(one, -1), torch.log_softmax(other, -1)
    wanted = 0.5 * (
        F.kl_div(second, first, reduction="sum", log_target=True)
        + F.kl_div(first, second, reduction="sum", log_target=True)
    )
    torch.testing.assert_close(divergence(one, other), wanted)


def test_without_dropout_both_passes_are_equal() -> None:
    torch.testing.assert_close(loss_of(5.0, 0.0), loss_of(0.0, 0.0))


def test_the_weight_counts_the_divergence() -> None:
    less, more, most = (loss_of(weight, 0.5) for weight in (1e-9, 2.0, 4.0))
    assert more > less
    torch.testing.assert_close(most - less, 2 * (more - less), rtol=1e-3, atol=1e-4)
