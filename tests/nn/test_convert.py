from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from heedful import masks
from heedful.errors import OptionError
from heedful.nn import (
    MultiHeadAttention,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
    from_torch,
    state_from_torch,
    state_to_torch,
    to_torch,
)
from heedful.ops.normalizers import Sigmoid
from heedful.ops.positions import Rotary


def shaken(module):
    """Move every parameter, so that biases and norms are not what they start from."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return module.eval()


LENGTHS = torch.tensor([5, 2, 4])
MASK = torch.tensor([[True, True, False, True, True]] * 3 + [[True] * 5])


def dropped(keep):
    """PyTorch's modules say True = may not attend."""
    return ~keep


ATTENTIONS = {
    "plain": {},
    "no bias": {"bias": False},
    "key width": {"kdim": 6},
    "value width": {"vdim": 5},
    "both widths, no bias": {"kdim": 6, "vdim": 5, "bias": False},
    "length first": {"batch_first": False},
    "dropout": {"dropout": 0.3},
}


@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("name", ATTENTIONS)
def test_multi_head_attention(name, direction):
    options = {"batch_first": True, **ATTENTIONS[name]}
    theirs = shaken(nn.MultiheadAttention(8, 2, **options))
    ours = from_torch(theirs)
    assert not ours.training
    if direction == "to":
        theirs = to_torch(ours)
        assert theirs.batch_first
        assert theirs.dropout == options.get("dropout", 0.0)
    query, key = torch.randn(3, 4, 8), torch.randn(3, 5, options.get("kdim") or 8)
    value = torch.randn(3, 5, options.get("vdim") or 8)
    keep = torch.arange(5) < LENGTHS[:, None]
    given = (query, key, value)
    if not theirs.batch_first:
        given = tuple(tensor.transpose(0, 1) for tensor in given)
    wanted, weights = theirs(
        *given,
        attn_mask=dropped(MASK),
        key_padding_mask=dropped(keep),
        average_attn_weights=False,
    )
    mask = masks.Dense(MASK) & masks.Padding(LENGTHS)
    got = ours(query, key, value, mask=mask, return_weights=True)
    torch.testing.assert_close(got.weights, weights)
    wanted = wanted if theirs.batch_first else wanted.transpose(0, 1)
    torch.testing.assert_close(got.output, wanted)


LAYERS = {
    "post": {},
    "pre": {"norm_first": True},
    "gelu": {"activation": "gelu"},
    "modules as activation": {"activation": nn.GELU(), "norm_first": True},
    "relu module": {"activation": nn.ReLU()},
    "no bias": {"bias": False},
    "pre, no bias": {"bias": False, "norm_first": True},
    "epsilon": {"layer_norm_eps": 0.1},
    "dropout": {"dropout": 0.4},
}


@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("name", LAYERS)
def test_encoder_layer(name, direction):
    theirs = shaken(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, **LAYERS[name]))
    ours = from_torch(theirs)
    if direction == "to":
        theirs = to_torch(ours)
    x = torch.randn(3, 5, 8)
    keep = torch.arange(5) < LENGTHS[:, None]
    wanted = theirs(x, src_key_padding_mask=dropped(keep))
    got = ours(x, mask=masks.Padding(LENGTHS))
    # PyTorch's fused inference writes zeros at padding, so padding is not compared.
    torch.testing.assert_close(got[keep], wanted[keep])
    ours.train()
    again = ours(x)
    assert torch.equal(again, ours(x)) is (LAYERS[name].get("dropout", 0.1) == 0)


@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("name", LAYERS)
def test_decoder_layer(name, direction):
    theirs = shaken(nn.TransformerDecoderLayer(8, 2, 16, batch_first=True, **LAYERS[name]))
    ours = from_torch(theirs)
    if direction == "to":
        theirs = to_torch(ours)
    x, memory = torch.randn(3, 4, 8), torch.randn(3, 5, 8)
    keep = torch.arange(5) < LENGTHS[:, None]
    causal = torch.ones(4, 4, dtype=torch.bool).tril()
    wanted = theirs(x, memory, tgt_mask=dropped(causal), memory_key_padding_mask=dropped(keep))
    got = ours(x, memory=memory, memory_mask=masks.Padding(LENGTHS), mask=masks.Causal())
    torch.testing.assert_close(got.output, wanted)


@pytest.mark.parametrize(
    "theirs",
    [
        nn.MultiheadAttention(8, 2),
        nn.MultiheadAttention(8, 2, kdim=6, bias=False),
        nn.TransformerEncoderLayer(8, 2, 16),
        nn.TransformerDecoderLayer(8, 2, 16, bias=False),
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2, enable_nested_tensor=False),
        nn.Transformer(8, 2, 1, 2, 16, batch_first=True),
    ],
    ids=lambda module: type(module).__name__,
)
def test_state_dicts_go_there_and_back(theirs):
    state = theirs.state_dict()
    there = state_from_torch(state)
    assert not any("_proj_" in name or "norm1" in name for name in there)
    back = state_to_torch(there)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


def test_double_precision_and_training_mode_stay():
    theirs = nn.TransformerEncoderLayer(8, 2, 16).double().train()
    ours = from_torch(theirs)
    assert ours.training
    assert ours.attention_norm.weight.dtype == torch.float64
    assert ours.self_attention.kind == "encoder"
    assert to_torch(ours.eval()).training is False


def test_what_has_no_counterpart_is_named():
    with pytest.raises(OptionError, match="add_bias_kv has no counterpart"):
        from_torch(nn.MultiheadAttention(8, 2, add_bias_kv=True))
    with pytest.raises(OptionError, match="add_zero_attn has no counterpart"):
        from_torch(nn.MultiheadAttention(8, 2, add_zero_attn=True))
    for activation in (F.silu, nn.GELU(approximate="tanh")):
        with pytest.raises(OptionError, match="has no counterpart; only ReLU and exact GELU"):
            from_torch(nn.TransformerEncoderLayer(8, 2, 16, activation=activation))
    for kind in (TransformerEncoderLayer, TransformerDecoderLayer):
        with pytest.raises(OptionError, match="no gated activation"):
            to_torch(kind(8, 2, 16, activation="gated"))
    with pytest.raises(OptionError, match="key heads shared"):
        to_torch(TransformerEncoderLayer(8, 2, 16, key_heads=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "dot"}, "another score"),
        ({"normalizer": Sigmoid()}, "another normalizer"),
        ({"key_heads": 1}, "key heads shared"),
        ({"head_width": 3}, "heads that do not make up the width"),
        ({"rotary": Rotary(4)}, "rotary positions"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_attention_that_pytorch_lacks_is_refused(options, message):
    with pytest.raises(OptionError, match=f"no place for {message}"):
        to_torch(MultiHeadAttention(8, 2, **options))


def test_a_state_that_pytorch_lacks_is_refused():
    with pytest.raises(OptionError, match=r"score.weight: PyTorch's modules have the scaled dot"):
        state_to_torch(MultiHeadAttention(8, 2, score="bilinear").state_dict())
    with pytest.raises(OptionError, match="key_projection has fewer rows than query_projection"):
        state_to_torch(MultiHeadAttention(8, 2, key_heads=1).state_dict())
