from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from heedful import masks, models
from heedful.errors import OptionError
from heedful.models import TransformerConfig
from heedful.nn import (
    MultiHeadAttention,
    TransformerDecoderLayer,
    TransformerEncoder,
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
    with pytest.raises(OptionError, match="shared key heads"):
        to_torch(TransformerEncoderLayer(8, 2, 16, num_kv_heads=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "dot"}, "scores other"),
        ({"normalizer": Sigmoid()}, "normalizers other"),
        ({"num_kv_heads": 1}, "shared key heads"),
        ({"head_dim": 3}, "heads that do not make up embed_dim"),
        ({"rotary": Rotary(4)}, "rotary positions"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_attention_that_pytorch_lacks_is_refused(options, message):
    with pytest.raises(OptionError, match=f"do not have {message}"):
        to_torch(MultiHeadAttention(8, 2, **options))


def test_a_state_that_pytorch_lacks_is_refused():
    with pytest.raises(
        OptionError, match=r"score.weight: PyTorch's modules have the scaled dot score"
    ):
        state_to_torch(MultiHeadAttention(8, 2, score="bilinear").state_dict())
    with pytest.raises(OptionError, match="key_projection has fewer rows than query_projection"):
        state_to_torch(MultiHeadAttention(8, 2, num_kv_heads=1).state_dict())


# Whole stacks


STACKS = {
    "post, no norm": ({}, None),
    "post": ({}, {}),
    "pre": ({"norm_first": True}, {}),
    "pre, gelu": ({"norm_first": True, "activation": "gelu"}, {"eps": 0.1}),
    "no bias": ({"bias": False}, {"bias": False}),
    "norm without weights": ({}, {"elementwise_affine": False}),
}
MASKS = {
    "none": (None, None),
    "causal": ("causal", None),
    "dense": ("dense", None),
    "padding": (None, "padding"),
    "causal and padding": ("causal", "padding"),
}


def mask_pair(name, length):
    """The same mask for Heedful and for PyTorch (attn_mask, key_padding_mask)."""
    kind, padded = MASKS[name]
    own, attention, padding = [], None, None
    if kind == "causal":
        own.append(masks.Causal())
        attention = dropped(torch.ones(length, length, dtype=torch.bool).tril())
    elif kind == "dense":
        keep = (torch.rand(length, length) < 0.6) | torch.eye(length, dtype=torch.bool)
        own.append(masks.Dense(keep))
        attention = dropped(keep)
    if padded:
        lengths = LENGTHS.clamp(max=length)
        own.append(masks.Padding(lengths))
        padding = dropped(torch.arange(length) < lengths[:, None])
    joined = own[0] & own[1] if len(own) == 2 else own[0] if own else None
    return joined, attention, padding


def built_stack(kind, name, *, batch_first=True, dropout=0.0, layers=2):
    options, norm = STACKS[name]
    options = {**options, "batch_first": batch_first, "dropout": dropout}
    last = None if norm is None else nn.LayerNorm(8, **norm)
    if kind == "encoder":
        layer = nn.TransformerEncoderLayer(8, 2, 16, **options)
        stack = nn.TransformerEncoder(layer, layers, last, enable_nested_tensor=False)
    else:
        stack = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, **options), layers, last)
    return shaken(stack.double())


def batch_first(stack):
    return stack.layers[0].self_attn.batch_first


def assert_same_gradients(ours, theirs, inputs, got, wanted):
    """Compare the gradients of the inputs, and of each parameter under PyTorch's name."""
    of_ours = torch.autograd.grad(got.square().sum(), [*inputs, *ours.parameters()])
    of_theirs = torch.autograd.grad(wanted.square().sum(), [*inputs, *theirs.parameters()])
    count = len(inputs)
    torch.testing.assert_close(of_ours[:count], of_theirs[:count])
    names = [name for name, _ in ours.named_parameters()]
    named = state_to_torch(dict(zip(names, of_ours[count:], strict=True)))
    other = dict(
        zip((name for name, _ in theirs.named_parameters()), of_theirs[count:], strict=True)
    )
    assert named.keys() == other.keys()
    for name, gradient in other.items():
        torch.testing.assert_close(named[name], gradient)


@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("first", [True, False], ids=["batch first", "length first"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", STACKS)
def test_encoder_stack(name, mask, first, direction):
    theirs = built_stack("encoder", name, batch_first=first)
    ours = from_torch(theirs)
    if direction == "to":
        theirs = to_torch(ours)
        assert batch_first(theirs)
    x = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
    own, attention, padding = mask_pair(mask, 5)
    keep = torch.ones(3, 5, dtype=torch.bool) if padding is None else ~padding
    given = x if batch_first(theirs) else x.transpose(0, 1)
    wanted = theirs(given, mask=attention, src_key_padding_mask=padding)
    wanted = wanted if batch_first(theirs) else wanted.transpose(0, 1)
    got = ours(x, mask=own)
    torch.testing.assert_close(got[keep], wanted[keep])
    assert_same_gradients(ours, theirs, [x], got[keep], wanted[keep])


@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("first", [True, False], ids=["batch first", "length first"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", STACKS)
def test_decoder_stack(name, mask, first, direction):
    theirs = built_stack("decoder", name, batch_first=first)
    ours = from_torch(theirs)
    if direction == "to":
        theirs = to_torch(ours)
        assert batch_first(theirs)
    x = torch.randn(3, 4, 8, dtype=torch.float64, requires_grad=True)
    memory = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
    own, attention, padding = mask_pair(mask, 4)
    memory_own, _, memory_padding = mask_pair("padding", 5)
    keep = torch.ones(3, 4, dtype=torch.bool) if padding is None else ~padding
    given = [x, memory]
    if not batch_first(theirs):
        given = [each.transpose(0, 1) for each in given]
    wanted = theirs(
        *given,
        tgt_mask=attention,
        tgt_key_padding_mask=padding,
        memory_key_padding_mask=memory_padding,
    )
    wanted = wanted if batch_first(theirs) else wanted.transpose(0, 1)
    got = ours(x, memory=memory, mask=own, memory_mask=memory_own).output
    torch.testing.assert_close(got[keep], wanted[keep])
    assert_same_gradients(ours, theirs, [x, memory], got[keep], wanted[keep])


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("direction", ["from", "to"])
@pytest.mark.parametrize("first", [True, False], ids=["batch first", "length first"])
@pytest.mark.parametrize("norm_first", [True, False])
def test_transformer(norm_first, first, direction):
    theirs = nn.Transformer(
        8, 2, 2, 3, 16, dropout=0.0, norm_first=norm_first, batch_first=first, dtype=torch.float64
    )
    ours = from_torch(shaken(theirs))
    if direction == "to":
        theirs = to_torch(ours)
        assert theirs.batch_first
        assert theirs.d_model == 8
        assert theirs.nhead == 2
    source = torch.randn(3, 5, 8, dtype=torch.float64, requires_grad=True)
    target = torch.randn(3, 4, 8, dtype=torch.float64, requires_grad=True)
    own, _, padding = mask_pair("padding", 5)
    causal, attention, _ = mask_pair("causal", 4)
    given = [source, target]
    if not theirs.batch_first:
        given = [each.transpose(0, 1) for each in given]
    wanted = theirs(
        *given, tgt_mask=attention, src_key_padding_mask=padding, memory_key_padding_mask=padding
    )
    wanted = wanted if theirs.batch_first else wanted.transpose(0, 1)
    got = ours(source, target, source_mask=own, memory_mask=own, target_mask=causal).output
    torch.testing.assert_close(got, wanted)
    assert_same_gradients(ours, theirs, [source, target], got, wanted)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@pytest.mark.parametrize("name", STACKS)
def test_stacks_go_there_and_back(kind, name):
    theirs = built_stack(kind, name, dropout=0.3, layers=3)
    back = to_torch(from_torch(theirs))
    assert type(back) is type(theirs)
    assert back.num_layers == 3
    state, other = theirs.state_dict(), back.state_dict()
    assert other.keys() == state.keys()
    assert all(torch.equal(other[each], state[each]) for each in state)
    assert [repr(layer.dropout1) for layer in back.layers] == ["Dropout(p=0.3, inplace=False)"] * 3


def test_layers_of_a_stack_keep_their_own_options_mode_and_type():
    theirs = built_stack("encoder", "post")
    theirs.layers[1] = nn.TransformerEncoderLayer(
        8, 4, 12, norm_first=True, batch_first=True
    ).half()
    theirs.layers[1].train()
    ours = from_torch(theirs)
    first, second = ours.layers
    assert (first.self_attention.num_heads, second.self_attention.num_heads) == (2, 4)
    assert (first.norm, second.norm) == ("post", "pre")
    assert (ours.training, first.training, second.training) == (False, False, True)
    assert second.self_attention.query_projection.weight.dtype == torch.float16
    assert second.feed_forward.dropout.training
    assert ours.norm.weight.dtype == torch.float64
    back = to_torch(ours)
    assert (back.training, *(layer.training for layer in back.layers)) == (False, False, True)


def test_a_stack_copies_its_norm():
    theirs = built_stack("decoder", "post")
    ours = from_torch(theirs)
    assert ours.norm is not theirs.norm
    assert torch.equal(ours.norm.weight, theirs.norm.weight)


class Subclass(nn.TransformerEncoderLayer):
    pass


CANNOT = (
    r"torch.nn.\{MultiheadAttention, TransformerEncoderLayer, TransformerDecoderLayer, "
    r"TransformerEncoder, TransformerDecoder, Transformer\}"
)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.LSTM(2, 2),
            rf"torch.nn.modules.rnn.LSTM cannot be converted; give an instance of {CANNOT}",
        ),
        (
            Subclass(8, 2),
            "Subclass, a subclass of torch.nn.TransformerEncoderLayer that may compute",
        ),
        (
            TransformerEncoderLayer(8, 2, 16),
            "heedful.nn.transformer.TransformerEncoderLayer cannot",
        ),
        (
            nn.TransformerEncoder(Subclass(8, 2), 1, enable_nested_tensor=False),
            "Subclass, a subclass of torch.nn.TransformerEncoderLayer that may compute",
        ),
        (
            nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2), 1, nn.RMSNorm(8)),
            r"the norm after the last layer is RMSNorm.*only torch.nn.LayerNorm and None",
        ),
        (
            nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2), 0),
            "layers holds no layer",
        ),
        (
            nn.Transformer(8, 2, custom_encoder=nn.Identity()),
            "torch.nn.modules.linear.Identity cannot be converted",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_modules_that_cannot_be_converted_from_pytorch(module, message):
    with pytest.raises(OptionError, match=message):
        from_torch(module)


def test_modules_that_cannot_be_converted_to_pytorch():
    with pytest.raises(OptionError, match=r"LSTM cannot be converted; .*heedful.nn.\{MultiHeadAtt"):
        to_torch(nn.LSTM(2, 2))
    # Positions, which PyTorch's stacks do not have.
    config = TransformerConfig(width=8, heads=2, feed_forward=16)
    with pytest.raises(OptionError, match="PositionedEncoder cannot be converted"):
        to_torch(models.TransformerEncoderDecoder(config, 5, 5).encoder)
    layer = TransformerEncoderLayer(8, 2, 16)
    with pytest.raises(OptionError, match="the norm after the last layer is RMSNorm"):
        to_torch(TransformerEncoder([layer], norm=nn.RMSNorm(8)))
    with pytest.raises(OptionError, match="do not have scores other than scaled_dot"):
        to_torch(TransformerEncoder([layer, TransformerEncoderLayer(8, 2, 16, score="cosine")]))


@pytest.mark.parametrize("kind", [nn.TransformerEncoderLayer, nn.TransformerDecoderLayer])
def test_each_dropout_is_kept(kind):
    theirs = kind(8, 2, 16, dropout=0.1, batch_first=True)
    theirs.dropout.p = 0.2
    theirs.self_attn.dropout = 0.3
    ours = from_torch(theirs)
    assert (ours.dropout.probability, ours.feed_forward.dropout.probability) == (0.1, 0.2)
    assert ours.self_attention.dropout == 0.3
    back = to_torch(ours)
    assert (back.dropout1.p, back.dropout.p, back.self_attn.dropout) == (0.1, 0.2, 0.3)
