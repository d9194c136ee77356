from __future__ import annotations

import pytest
import torch

from heedful import masks
from heedful.errors import OptionError, ShapeError
from heedful.nn import (
    ACTIVATIONS,
    NORMALIZER_BUILDERS,
    NORMS,
    SCORE_MODULES,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from heedful.ops.positions import Rotary

KINDS = {"encoder": TransformerEncoderLayer, "decoder": TransformerDecoderLayer}

# One option at a time, from the tables.
OPTIONS = [
    *({"score": name} for name in SCORE_MODULES if name != "scaled_dot"),
    *({"normalizer": name} for name in NORMALIZER_BUILDERS if name != "softmax"),
    *({"activation": name} for name in ACTIVATIONS if name != "relu"),
    {"norm": "post"},
    {"num_kv_heads": 1},
    {"rotary": Rotary(4)},
    {"bias": False},
]
CHOICES = [{}, *OPTIONS]


def built(kind, **options):
    torch.manual_seed(5)
    layer = KINDS[kind](8, 2, 12, **{"dropout": 0.0, **options})
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return layer


def run(layer, x, memory=None, **options):
    if isinstance(layer, TransformerEncoderLayer):
        return layer(x, **options)
    return layer(x, memory=memory, **options).output


def name_of(options):
    return "-".join(map(str, next(iter(options.items()), ["default"])))[:30]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", CHOICES, ids=name_of)
def test_a_batch_is_a_loop_and_padding_never_matters(kind, options):
    layer = built(kind, **options)
    x, memory, lengths = torch.randn(3, 5, 8), torch.randn(3, 5, 8), torch.tensor([5, 1, 3])
    padded, x_padded = memory.clone(), x.clone()
    for row, length in enumerate(lengths.tolist()):
        padded[row, length:] = float("nan")
        x_padded[row, length:] = float("nan") if kind == "encoder" else 7.0
    keep = {"mask": masks.Padding(lengths)}
    if kind == "decoder":
        keep = {"memory_mask": masks.Padding(lengths), "mask": masks.Causal()}
    batch = run(layer, x_padded, padded, **keep)
    for row, length in enumerate(lengths.tolist()):
        alone = {"mask": masks.Causal()} if kind == "decoder" else {}
        wanted = run(layer, x[row, :length], memory[row, :length], **alone)
        torch.testing.assert_close(batch[row, :length], wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", CHOICES, ids=name_of)
def test_decoding_step_by_step_is_the_whole(options):
    layer = built("decoder", **options)
    x, memory = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    lengths = masks.Padding(torch.tensor([5, 2, 4]))
    whole = layer(x, memory=memory, memory_mask=lengths, mask=masks.Causal(), return_weights=True)
    cache = layer.prepare(memory)
    assert cache.self_attention is None
    for step in range(4):
        token = x[:, step : step + 1]
        after = layer(token, cache=cache, memory_mask=lengths, return_weights=True)
        cache = after.cache
        torch.testing.assert_close(
            after.output, whole.output[:, step : step + 1], atol=1e-5, rtol=1e-4
        )
        torch.testing.assert_close(after.weights, whole.weights[:, :, step : step + 1])
    assert cache.self_attention.length == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS, ids=name_of)
def test_every_option_changes_the_output(kind, options):
    x, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    usual, other = built(kind), built(kind, **options)
    assert not torch.allclose(run(usual, x, memory), run(other, x, memory), atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("option", ["dropout", "attention_dropout", "activation_dropout"])
def test_dropouts_act_while_training_alone(kind, option):
    x, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    layer = built(kind, **{option: 0.5})
    assert not torch.equal(run(layer, x, memory), run(layer, x, memory))
    torch.testing.assert_close(run(layer.eval(), x, memory), run(built(kind), x, memory))
    assert built(kind, dropout=0.3).self_attention.dropout == 0.3
    assert built(kind, dropout=0.3, attention_dropout=0.0).self_attention.dropout == 0.0
    assert built(kind, dropout=0.3).feed_forward.dropout.probability == 0.3
    assert built(kind, dropout=0.3, activation_dropout=0.0).feed_forward.dropout.probability == 0.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", NORMS)
def test_gradients(kind, norm):
    layer = built(kind, norm=norm, activation="gelu").double()
    x = torch.randn(1, 3, 8, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(1, 2, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, memory: run(layer, x, memory), (x, memory))
    run(layer, x, memory).square().sum().backward()
    for parameter in layer.parameters():
        assert parameter.grad is not None


@pytest.mark.parametrize("kind", KINDS)
def test_masks_and_biases_are_heard(kind):
    x, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    layer = built(kind)
    plain = run(layer, x, memory)
    assert not torch.allclose(run(layer, x, memory, mask=masks.Causal()), plain)
    assert not torch.allclose(run(layer, x, memory, bias=torch.randn(4, 4)), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load(kind):
    first, second = built(kind), KINDS[kind](8, 2, 12, dropout=0.0)
    second.load_state_dict(first.state_dict())
    x, memory = torch.randn(2, 4, 8), torch.randn(2, 5, 8)
    assert torch.equal(run(first, x, memory), run(second, x, memory))


def test_kinds_are_what_the_explorer_calls_them():
    assert built("encoder").self_attention.kind == "encoder"
    assert built("decoder").self_attention.kind == "decoder"
    assert built("decoder").cross_attention.kind == "cross"


def test_hypotheses_of_a_sentence_share_its_memory():
    layer = built("decoder")
    memory, x = torch.randn(2, 5, 8), torch.randn(6, 1, 8)
    lengths = torch.tensor([5, 3])
    shared = layer(
        x,
        cache=layer.prepare(memory),
        memory_mask=masks.Dense((torch.arange(5) < lengths[:, None])[:, None, None]),
        return_weights=True,
    )
    rows = torch.arange(2).repeat_interleave(3)
    copied = layer(
        x, memory=memory[rows], memory_mask=masks.Padding(lengths[rows]), return_weights=True
    )
    torch.testing.assert_close(shared.output, copied.output)
    torch.testing.assert_close(shared.weights, copied.weights)
    assert shared.cache.cross_attention.value.shape[0] == 2
    selected = copied.cache.select(torch.tensor([5, 0]))
    assert selected.self_attention.value.shape[0] == selected.cross_attention.value.shape[0] == 2
    assert layer.prepare(memory).select(torch.tensor([1])).self_attention is None


@pytest.mark.parametrize("shape", [(3, 1, 8), (6, 2, 8)])
def test_rows_that_cannot_share_a_memory_are_named(shape):
    layer = built("decoder")
    with pytest.raises(ShapeError, match="meet a memory of 2 rows"):
        layer(torch.randn(shape), cache=layer.prepare(torch.randn(2, 5, 8)))


def test_mistakes_are_named():
    layer = built("decoder")
    x = torch.randn(2, 1, 8)
    with pytest.raises(OptionError, match="pass exactly one of them"):
        layer(x)
    with pytest.raises(OptionError, match="pass exactly one of them"):
        layer(x, memory=x, cache=layer.prepare(x))
    for kind in KINDS.values():
        with pytest.raises(OptionError, match="unknown norm 'pree'; did you mean 'pre'"):
            kind(8, 2, 12, norm="pree")
        with pytest.raises(OptionError, match="unknown normalizer"):
            kind(8, 2, 12, normalizer="soft")
        with pytest.raises(ShapeError, match="num_heads=3 does not divide embed_dim=8"):
            kind(8, 3, 12)
        with pytest.raises(OptionError, match="inner product"):
            kind(8, 2, 12, score="additive", rotary=Rotary(4))
