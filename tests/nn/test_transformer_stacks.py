from __future__ import annotations

import pytest
import torch
from torch import nn

from heedful import masks
from heedful.errors import OptionError
from heedful.nn import (
    Transformer,
    TransformerDecoder,
    TransformerDecoderLayer,
    TransformerEncoder,
    TransformerEncoderLayer,
)

LENGTHS = torch.tensor([5, 2, 4])
NORMS = {"norm": lambda: nn.LayerNorm(8), "no norm": lambda: None}


def encoder(norm=None, layers=2):
    torch.manual_seed(2)
    return TransformerEncoder(
        [TransformerEncoderLayer(8, 2, 12, dropout=0.0) for _ in range(layers)], norm=norm
    ).double()


def decoder(norm=None, layers=2):
    torch.manual_seed(2)
    return TransformerDecoder(
        [TransformerDecoderLayer(8, 2, 12, dropout=0.0) for _ in range(layers)], norm=norm
    ).double()


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("norm", NORMS)
def test_an_encoder_is_its_layers_one_after_the_other(norm):
    stack = encoder(NORMS[norm]())
    x, bias, mask = random(3, 5, 8), random(1, 2, 5, 5), masks.Padding(LENGTHS)
    wanted = x
    for layer in stack.layers:
        wanted = layer(wanted, mask=mask, bias=bias)
    if stack.norm is not None:
        wanted = stack.norm(wanted)
    assert torch.equal(stack(x, mask=mask, bias=bias), wanted)


def test_something_is_done_between_layers_alone():
    stack = encoder(layers=3)
    x = random(2, 4, 8)
    seen = []

    def between(states):
        seen.append(states)
        return 2 * states

    first, second, third = stack.layers
    assert torch.equal(stack(x, between_layers=between), third(2 * second(2 * first(x))))
    assert len(seen) == 2
    stack, memory = decoder(layers=2), random(2, 5, 8)
    first, second = stack.layers
    wanted = second(2 * first(x, memory=memory).output, memory=memory).output
    assert torch.equal(stack(x, memory=memory, between_layers=between).output, wanted)


@pytest.mark.parametrize("norm", NORMS)
def test_decoding_step_by_step_is_the_whole(norm):
    stack = decoder(NORMS[norm]())
    x, memory, padding = random(3, 4, 8), random(3, 5, 8), masks.Padding(LENGTHS)
    options = {"memory_mask": padding, "memory_bias": random(1, 2, 1, 5), "return_weights": True}
    whole = stack(x, memory=memory, mask=masks.Causal(), **options)
    assert whole.weights.shape == (3, 2, 2, 4, 5)
    unasked = stack(x, memory=memory, mask=masks.Causal(), **{**options, "return_weights": False})
    assert unasked.weights is None
    assert torch.equal(unasked.output, whole.output)
    cache = stack.prepare(memory)
    for step in range(4):
        output, weights, cache = stack(x[:, step : step + 1], cache=cache, **options)
        torch.testing.assert_close(output, whole.output[:, step : step + 1])
        torch.testing.assert_close(weights, whole.weights[..., step : step + 1, :])


def test_masks_biases_and_memory_reach_every_layer():
    x, memory = random(3, 5, 8), random(3, 5, 8)
    stack = decoder()
    plain = stack(x, memory=memory).output
    for options in (
        {"mask": masks.Causal()},
        {"bias": random(1, 2, 5, 5)},
        {"memory_mask": masks.Padding(LENGTHS)},
        {"memory_bias": random(1, 2, 5, 5)},
    ):
        got = stack(x, memory=memory, **options).output
        assert not torch.allclose(got, plain), options
        first, second = stack.layers
        wanted = second(first(x, memory=memory, **options).output, memory=memory, **options)
        torch.testing.assert_close(got, wanted.output)


def test_a_transformer_is_its_encoder_and_decoder():
    model = Transformer(encoder(nn.LayerNorm(8)), decoder(nn.LayerNorm(8), layers=3))
    source, target, padding = random(3, 5, 8), random(3, 4, 8), masks.Padding(LENGTHS)
    memory = model.encoder(source, mask=padding)
    wanted = model.decoder(
        target, memory=memory, memory_mask=padding, mask=masks.Causal(), return_weights=True
    )
    options = {"source_mask": padding, "memory_mask": padding, "target_mask": masks.Causal()}
    got = model(source, target, **options, return_weights=True)
    assert torch.equal(got.output, wanted.output)
    assert torch.equal(got.weights, wanted.weights)
    assert len(got.cache) == 3
    for left_out in options:
        fewer = {name: mask for name, mask in options.items() if name != left_out}
        assert not torch.allclose(model(source, target, **fewer).output, got.output), left_out


def test_what_padding_holds_never_matters():
    model = Transformer(encoder(nn.LayerNorm(8)), decoder(nn.LayerNorm(8)))
    source, target, padding = random(3, 5, 8), random(3, 4, 8), masks.Padding(LENGTHS)
    target.requires_grad_()
    options = {"source_mask": padding, "memory_mask": padding, "target_mask": masks.Causal()}
    wanted = model(source, target, **options).output
    spoilt = source.clone()
    spoilt[1, 2:] = float("nan")
    got = model(spoilt, target, **options).output
    torch.testing.assert_close(got, wanted)
    got.sum().backward()
    assert bool(target.grad.isfinite().all())


def test_mistakes_are_named():
    layer = TransformerDecoderLayer(8, 2, 12)
    with pytest.raises(OptionError, match="holds a TransformerDecoderLayer; give .*EncoderLayer"):
        TransformerEncoder([layer])
    with pytest.raises(OptionError, match="holds a Linear; give .*DecoderLayer"):
        TransformerDecoder([layer, nn.Linear(8, 8)])
    for kind in (TransformerEncoder, TransformerDecoder):
        with pytest.raises(OptionError, match="holds no layer"):
            kind([])
    stack, x = decoder(), random(2, 1, 8)
    with pytest.raises(OptionError, match="pass exactly one of them"):
        stack(x)
    with pytest.raises(OptionError, match="pass exactly one of them"):
        stack(x, memory=x, cache=stack.prepare(x))
    with pytest.raises(OptionError, match="the cache is of 3 layers, but the decoder has 2"):
        stack(x, cache=decoder(layers=3).prepare(x))
