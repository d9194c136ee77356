"""Alignment by attention and, for models without it, by gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.decode import SearchOptions, align, beam_search
from heedful.errors import ShapeError
from heedful.models import (
    EncoderDecoder,
    RecurrentConfig,
    RecurrentEncoderDecoder,
    TransformerConfig,
    TransformerEncoderDecoder,
)

LENGTHS = torch.tensor([5, 2])


def batch() -> tuple[Tensor, Tensor]:
    return torch.randint(4, 20, (2, 5)), torch.randint(4, 20, (2, 3))


def recurrent(**options: Any) -> RecurrentEncoderDecoder:
    return RecurrentEncoderDecoder(RecurrentConfig(embedding=6, hidden=5, **options), 20, 20)


def transformer() -> Transformer:
    config = TransformerConfig(width=8, feed_forward=8, heads=2, encoder_layers=1, decoder_layers=3)
    return TransformerEncoderDecoder(config, 20, 20)


@pytest.mark.parametrize("model", [recurrent(), recurrent(order="luong"), transformer()])
def test_attention_is_the_alignment_layers_mean_over_heads(model: EncoderDecoder[Any]) -> None:
    source, target = batch()
    aligned = align(model, source, LENGTHS, target)
    assert aligned.method == "attention"
    assert model.training
    model.eval()
    with torch.no_grad():
        weights = model(source, LENGTHS, target, return_weights=True).weights
    assert torch.equal(aligned.weights, weights[:, model.alignment_layer].mean(1))
    assert aligned.weights.shape == (2, 3, 5)
    assert not aligned.weights.requires_grad
    torch.testing.assert_close(aligned.weights.sum(-1), torch.ones(2, 3))
    assert not aligned.weights[1, :, 2:].any()


@pytest.mark.parametrize(
    "options", [{}, {"kind": "lstm", "encoder_layers": 2}, {"share_embeddings": True}]
)
def test_gradients_are_those_of_small_changes_to_the_input(options: dict[str, Any]) -> None:
    model = recurrent(attention="none", **options).double().eval()
    source, target = batch()
    aligned = align(model, source, LENGTHS, target)
    assert aligned.method == "gradient"
    torch.testing.assert_close(aligned.weights.sum(-1), torch.ones(2, 3))
    assert not aligned.weights[1, :, 2:].any()

    def log_probabilities(position: int, scale: float) -> Tensor:
        def scaled(_module: Any, inputs: Any, output: Tensor) -> Tensor:
            factors = torch.ones(5, dtype=torch.double)
            factors[position] = scale
            return output * factors[:, None] if inputs[0] is source else output

        handle = model.source_embedding.register_forward_hook(scaled)
        with torch.no_grad():
            logits = model.output(model(source, LENGTHS, target).states)
        handle.remove()
        likeliest = plain[:, -1:].argmax(-1)
        following = torch.cat([target[:, 1:], likeliest], dim=1)
        return torch.log_softmax(logits, -1).gather(2, following[..., None])[..., 0]

    with torch.no_grad():
        plain = model.output(model(source, LENGTHS, target).states)
    # d/dscale of f(scale · x) at 1 is gradient times input.
    slopes = [
        (log_probabilities(position, 1 + 1e-5) - log_probabilities(position, 1 - 1e-5)).abs()
        for position in range(5)
    ]
    wanted = torch.stack(slopes, dim=-1)
    wanted = wanted / wanted.sum(-1, keepdim=True)
    torch.testing.assert_close(aligned.weights.double(), wanted, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("attention", ["none", "additive"])
def test_it_works_where_gradients_are_off_and_leaves_none_behind(attention: str) -> None:
    model = recurrent(attention=attention)
    source, target = batch()
    wanted = align(model, source, LENGTHS, target).weights
    with torch.inference_mode():
        made_inside = source.clone()
        got = align(model, made_inside, LENGTHS.clone(), target.clone()).weights
    torch.testing.assert_close(got.clone(), wanted)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.source_embedding._forward_hooks


def test_a_source_without_influence_is_spread_evenly() -> None:
    model = recurrent(attention="none")
    torch.nn.init.zeros_(model.source_embedding.weight)
    source, target = batch()
    weights = align(model, source, LENGTHS, target).weights
    torch.testing.assert_close(weights[0], torch.full((3, 5), 0.2))
    torch.testing.assert_close(weights[1, :, :2], torch.full((3, 2), 0.5))
    assert not weights[1, :, 2:].any()


@pytest.mark.parametrize("model", [recurrent(), recurrent(attention="none"), transformer()])
def test_hypotheses_of_a_beam_search_are_aligned(model: EncoderDecoder[Any]) -> None:
    source, _ = batch()
    options = SearchOptions(beam=4, nbest=3)
    found = beam_search(model, source, LENGTHS, begin=2, end=3, max_length=6, options=options)
    for row, hypotheses in enumerate(found):
        for hypothesis in hypotheses:
            target = torch.tensor([[2, *hypothesis.tokens]])
            aligned = align(model, source[row : row + 1], LENGTHS[row : row + 1], target)
            assert aligned.weights.shape == (1, len(hypothesis.tokens) + 1, 5)
            assert torch.isfinite(aligned.weights).all()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (torch.ones(3, 2).long(), r"shape \(3, 2\); expected \(2, target\)"),
        (torch.ones(2).long(), r"shape \(2,\); expected \(2, target\)"),
        (torch.ones(2, 0).long(), "expected at least the begin token"),
    ],
)
def test_wrong_targets_are_refused(target: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        align(recurrent(), batch()[0], LENGTHS, target)
