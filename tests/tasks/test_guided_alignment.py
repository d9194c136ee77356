"""Attention that learns given alignments."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from heedful.answers.alignment_metrics import best_links, score_links
from heedful.answers.guidance import GuidedBatch, guided_loss
from heedful.answers.text_base import TargetBatch
from heedful.config import build
from heedful.data.files import Pairs
from heedful.data.links import parse_links
from heedful.errors import DataError, OptionError
from heedful.tasks.alignment import align_by_head
from heedful.tasks.predictor import Predictor
from heedful.tasks.translate import TASK, TranslationConfig

MODELS: dict[str, dict[str, Any]] = {
    "transformer": {
        "width": 16, "feed_forward": 16, "heads": 2, "encoder_layers": 1, "decoder_layers": 2, "dropout": 0.0,
    },
    "gru": {"embedding": 12, "hidden": 12, "dropout": 0.0},
}  # fmt: skip


def reversed_pairs(count: int = 60) -> Pairs:
    """Words and the same words in reverse order, whose alignment is known."""
    generator, sources, targets, links = random.Random(0), [], [], []
    for _ in range(count):
        words = [f"w{generator.choice('abcdefgh')}" for _ in range(generator.randint(2, 5))]
        sources.append(" ".join(words))
        targets.append(" ".join(reversed(words)))
        links.append(" ".join(f"{len(words) - 1 - n}-{n}" for n in range(len(words))))
    return Pairs(sources, targets, "reversed", links)


def learned(model: str, pairs: Pairs, weight: float = 0.5, **vocabulary: Any) -> Predictor:
    settings = {
        "model": {"kind": model, **MODELS[model]},
        "vocabulary": {"kind": "char", "min_frequency": 1} | vocabulary,
        "alignment": {"weight": weight},
    }
    torch.manual_seed(0)
    return TASK.learn(build(TranslationConfig, settings), pairs)


def test_links_of_words_become_links_of_pieces() -> None:
    pairs = Pairs(["ab c", "d"], ["x yz", "u"], "p", ["0-1 1p0", ""])
    predictor = learned("gru", pairs, shared=False)
    targets = predictor.answer.targets(pairs)
    plain = predictor.answer.encode(pairs.target)
    assert predictor.answer.lengths(targets).tolist() == predictor.answer.lengths(plain).tolist()
    batch = predictor.answer.collate([targets[0], targets[1]])
    assert isinstance(batch, GuidedBatch)
    assert torch.equal(batch.ids, predictor.answer.collate(list(plain)).ids)
    # source a b ▁ c, target x ▁ y z: both letters of "yz" are linked with both of "ab"
    space = {tuple(link) for link in batch.links.tolist()}
    assert {(0, 2, 0), (0, 2, 1), (0, 3, 0), (0, 3, 1), (0, 0, 3)} <= space
    assert all(row == 0 for row, _, _ in space)
    share = dict(zip(map(tuple, batch.links.tolist()), batch.shares.tolist(), strict=True))
    for token in (2, 3):
        linked = [value for (_, place, _), value in share.items() if place == token]
        assert sum(linked) == pytest.approx(1.0)
    assert isinstance(predictor.answer.collate([plain[0]]), TargetBatch)


def test_the_loss_is_the_cross_entropy_of_the_links() -> None:
    pairs = reversed_pairs(5)
    predictor = learned("transformer", pairs, weight=0.7)
    batches = TASK.batches(predictor, pairs, training=True)
    [batch] = list(batches.epoch(1))
    predictor.model.train()
    total = predictor.answer.loss(predictor.model, *batch)
    plain = predictor.answer.loss(predictor.model, batch.batch, TargetBatch(*batch.targets[:2]))
    with torch.no_grad():
        weights = (
            predictor.model(*batch.batch, batch.targets.ids[:, :-1], return_weights=True)
            .weights[:, predictor.model.alignment_layer]
            .mean(dim=1)
        )
    wanted = 0.0
    linked: dict[tuple[int, int], list[int]] = {}
    for row, token, source in batch.targets.links.tolist():
        linked.setdefault((row, token), []).append(source)
    for (row, token), places in linked.items():
        wanted -= np.mean([float(weights[row, token, place].log()) for place in places])
    assert float(guided_loss(weights, batch.targets)) == pytest.approx(wanted, rel=1e-4)
    assert float((total - plain).detach()) == pytest.approx(0.7 * wanted, rel=1e-3)
    predictor.model.eval()
    assert torch.equal(
        predictor.answer.loss(predictor.model, *batch),
        predictor.answer.loss(predictor.model, batch.batch, TargetBatch(*batch.targets[:2])),
    )


@pytest.mark.parametrize("kind", MODELS)
def test_guided_attention_aligns(kind: str) -> None:
    """After a few steps the attention of the guided model is right, and that of the other one is not yet."""
    pairs = reversed_pairs()
    error_rates = []
    for weight in (0.0, 3.0):
        predictor = learned(kind, pairs, weight, kind="word")
        batches = TASK.batches(predictor, pairs, training=True)
        optimizer = torch.optim.Adam(predictor.model.parameters(), lr=1e-2)
        predictor.model.train()
        for epoch in range(40):
            for batch in batches.epoch(epoch):
                optimizer.zero_grad()
                loss = predictor.answer.loss(predictor.model, *batch)
                (loss / predictor.answer.count_predictions(*batch)).backward()
                optimizer.step()
        layer = predictor.model.alignment_layer
        found = [best_links(align_by_head(predictor, *pair)[layer].mean(axis=0)) for pair in pairs]
        gold = [parse_links(each) for each in pairs.alignments or ()]
        error_rates.append(score_links(found, gold).error_rate)
    assert error_rates[1] < 0.1
    assert error_rates[1] < error_rates[0] - 0.1


def test_wrong_alignments_are_refused() -> None:
    predictor = learned("gru", reversed_pairs(5))
    for links, message in (
        ("0-9", "the link 0-9 is beyond the words"),
        ("0=0", "'0=0' is no link"),
    ):
        with pytest.raises(DataError, match=f"example 1 of p: .*{message}|pair 1 of p.*{message}"):
            predictor.answer.targets(Pairs(["wa wb"], ["wb wa"], "p", [links]))
    with pytest.raises(DataError, match="p has 1 pairs but 2 alignments"):
        Pairs(["a"], ["b"], "p", ["0-0", ""])
    settings = {"data": {"alignments": "x"}, "model": {"kind": "gru", "attention": "none"}}
    with pytest.raises(OptionError, match="data.alignments needs attention"):
        build(TranslationConfig, settings)


def test_links_follow_tokens_that_move() -> None:
    """Of three source tokens the first is left out."""
    links = torch.tensor([[0, 0, 0], [0, 1, 1], [0, 1, 2]])
    batch = GuidedBatch(torch.zeros(1), torch.zeros(1), links, torch.tensor([1.0, 0.5, 0.5]))
    moved = batch.moved(torch.tensor([[-1, 0, 1]]))
    assert moved.links.tolist() == [[0, 1, 0], [0, 1, 1]]
    assert moved.shares.tolist() == [0.5, 0.5]
