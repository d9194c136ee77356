"""Weights from and to PyTorch's own attention and Transformer layers; the outputs agree."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.nn.feed_forward import ACTIVATIONS
from heedful.nn.multi_head import MultiHeadAttention
from heedful.nn.scores import ScaledDotScore
from heedful.nn.transformer import TransformerDecoderLayer, TransformerEncoderLayer
from heedful.ops.normalizers import Softmax

SIDES = ("query", "key", "value")
PACKED = {"in_proj_weight": "weight", "in_proj_bias": "bias"}
LAYER_PARTS = {
    "self_attn": "self_attention",
    "multihead_attn": "cross_attention",
    "linear1": "feed_forward.widen",
    "linear2": "feed_forward.narrow",
    "norm1": "attention_norm",
}
NORMS_OF_ENCODER = {"norm2": "feed_forward_norm"}
NORMS_OF_DECODER = {"norm2": "cross_norm", "norm3": "feed_forward_norm"}


def state_from_torch(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and unpack a state dict of PyTorch's modules into one of Heedful's.

    Takes that of `nn.MultiheadAttention`, `nn.TransformerEncoderLayer` or `nn.TransformerDecoderLayer`, also where
    they stand inside a larger module (a stack). Other entries pass unchanged.

    Raises:
        OptionError: for `add_bias_kv`, which has no counterpart.

    >>> sorted(state_from_torch(nn.MultiheadAttention(4, 2, bias=False).state_dict()))
    ['key_projection.weight', 'output_projection.weight', 'query_projection.weight', 'value_projection.weight']
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        prefix, _, last = name.rpartition(".")
        prefix = f"{prefix}." if prefix else ""
        if last in ("bias_k", "bias_v"):
            raise OptionError(
                f"{name}: add_bias_kv has no counterpart; convert a module without it."
            )
        if last in PACKED:
            for side, part in zip(SIDES, tensor.chunk(3), strict=True):
                renamed[f"{prefix}{side}_projection.{PACKED[last]}"] = part
        elif last in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
            side = next(side for side in SIDES if side[0] == last[0])
            renamed[f"{prefix}{side}_projection.weight"] = tensor
        else:
            renamed[re.sub(r"(^|\.)out_proj\.", r"\1output_projection.", name)] = tensor
    return {_rename_part(name, state, forward=True): tensor for name, tensor in renamed.items()}


def state_to_torch(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and pack a state dict of Heedful's modules into one of PyTorch's: `state_from_torch` backwards.

    Raises:
        OptionError: for weights that PyTorch's modules have no place for: the parameters of a score or normalizer.

    >>> sorted(state_to_torch(MultiHeadAttention(4, 2, bias=False).state_dict()))
    ['in_proj_weight', 'out_proj.weight']
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        found = re.match(r"(.*?)(query|key|value)_projection\.(weight|bias)$", name)
        if re.search(r"(^|\.)(score|normalizer)\.", name):
            raise OptionError(
                f"{name}: PyTorch's modules have the scaled dot and softmax alone, without parameters."
            )
        if found is None:
            renamed[re.sub(r"(^|\.)output_projection\.", r"\1out_proj.", name)] = tensor
        elif found[2] == "query":
            renamed.update(_packed(state, prefix=found[1], kind=found[3]))
    return {_rename_part(name, state, forward=False): tensor for name, tensor in renamed.items()}


def _packed(state: Mapping[str, Tensor], *, prefix: str, kind: str) -> dict[str, Tensor]:
    """The three projections of one attention, packed as PyTorch packs them."""
    tensors = [state[f"{prefix}{side}_projection.{kind}"] for side in SIDES]
    if len({tensor.shape for tensor in tensors}) == 1:
        return {f"{prefix}in_proj_{kind}": torch.cat(tensors)}
    if len({tensor.shape[0] for tensor in tensors}) > 1:
        raise OptionError(
            f"{prefix}key_projection has fewer rows than {prefix}query_projection: PyTorch's modules "
            f"have no key heads that query heads share."
        )
    return {
        f"{prefix}{side[0]}_proj_{kind}": tensor
        for side, tensor in zip(SIDES, tensors, strict=True)
    }


def _rename_part(name: str, state: Mapping[str, Tensor], *, forward: bool) -> str:
    """Rename the part of a layer that `name` lies in; whether the layer is a decoder's shows in `state`."""
    cross = "multihead_attn." if forward else "cross_attention."
    for is_decoder in (False, True):
        norms = NORMS_OF_DECODER if is_decoder else NORMS_OF_ENCODER
        parts = {**LAYER_PARTS, **norms}
        if not forward:
            parts = {ours: theirs for theirs, ours in parts.items()}
        for old, new in parts.items():
            found = re.match(rf"((?:.*\.)?){re.escape(old)}\.(.*)$", name)
            if found is None:
                continue
            layer = found[1]
            if is_decoder == any(other.startswith(f"{layer}{cross}") for other in state):
                return f"{layer}{new}.{found[2]}"
    return name


Ours = MultiHeadAttention | TransformerEncoderLayer | TransformerDecoderLayer
Theirs = nn.MultiheadAttention | nn.TransformerEncoderLayer | nn.TransformerDecoderLayer


@overload
def from_torch(module: nn.MultiheadAttention) -> MultiHeadAttention: ...
@overload
def from_torch(module: nn.TransformerEncoderLayer) -> TransformerEncoderLayer: ...
@overload
def from_torch(module: nn.TransformerDecoderLayer) -> TransformerDecoderLayer: ...
def from_torch(module: Theirs) -> Ours:
    """Build the Heedful module with the options and weights of a PyTorch one.

    Sequences have the batch first in Heedful, whatever the `batch_first` of `module`. Masks mean True = may attend
    (`attn_mask` and `key_padding_mask` of PyTorch's modules mean the opposite).

    Raises:
        OptionError: for options without a counterpart: `add_bias_kv`, `add_zero_attn`, another activation than ReLU
            and GELU.

    >>> theirs = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
    >>> x = torch.randn(3, 5, 8)
    >>> torch.allclose(from_torch(theirs)(x), theirs(x), atol=1e-5)
    True
    """
    ours = (
        _attention_like(module)
        if isinstance(module, nn.MultiheadAttention)
        else _layer_like(module)
    )
    sample = next(module.parameters())
    ours.to(device=sample.device, dtype=sample.dtype).train(module.training)
    ours.load_state_dict(state_from_torch(module.state_dict()))
    return ours


def _attention_like(module: nn.MultiheadAttention) -> MultiHeadAttention:
    if module.add_zero_attn:
        raise OptionError("add_zero_attn has no counterpart; convert a module without it.")
    return MultiHeadAttention(
        module.embed_dim,
        module.num_heads,
        key_width=module.kdim,
        value_width=module.vdim,
        dropout=module.dropout,
        bias=module.in_proj_bias is not None,
    )


def _layer_like(
    module: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer,
) -> TransformerEncoderLayer | TransformerDecoderLayer:
    kind = (
        TransformerEncoderLayer
        if isinstance(module, nn.TransformerEncoderLayer)
        else TransformerDecoderLayer
    )
    ours = kind(
        module.self_attn.embed_dim,
        module.self_attn.num_heads,
        module.linear1.out_features,
        dropout=module.dropout1.p,
        attention_dropout=module.self_attn.dropout,
        activation=_activation_name(module.activation),
        norm="pre" if module.norm_first else "post",
        bias=module.linear1.bias is not None,
    )
    for part in ours.modules():
        if isinstance(part, nn.LayerNorm):
            part.eps = module.norm1.eps
    return ours


def _activation_name(activation: object) -> str:
    if activation is F.relu or activation is torch.relu or isinstance(activation, nn.ReLU):
        return "relu"
    exact = isinstance(activation, nn.GELU) and activation.approximate == "none"
    if activation is F.gelu or exact:
        return "gelu"
    raise OptionError(
        f"the activation {activation!r} has no counterpart; only ReLU and exact GELU have."
    )


@overload
def to_torch(module: MultiHeadAttention) -> nn.MultiheadAttention: ...
@overload
def to_torch(module: TransformerEncoderLayer) -> nn.TransformerEncoderLayer: ...
@overload
def to_torch(module: TransformerDecoderLayer) -> nn.TransformerDecoderLayer: ...
def to_torch(module: Ours) -> Theirs:
    """Build the PyTorch module, batch first, with the options and weights of a Heedful one.

    Raises:
        OptionError: for what PyTorch's modules do not have: another score or normalizer than scaled dot and softmax,
            shared key heads, heads that do not make up the width, rotary positions, the gated activation.

    >>> ours = MultiHeadAttention(8, 2)
    >>> x = torch.randn(3, 5, 8)
    >>> torch.allclose(to_torch(ours)(x, x, x)[0], ours(x).output, atol=1e-5)
    True
    """
    theirs = (
        _attention_for(module) if isinstance(module, MultiHeadAttention) else _layer_for(module)
    )
    sample = next(module.parameters())
    theirs.to(device=sample.device, dtype=sample.dtype).train(module.training)
    theirs.load_state_dict(state_to_torch(module.state_dict()))
    return theirs


def _attention_for(module: MultiHeadAttention) -> nn.MultiheadAttention:
    _check_plain(module)
    return nn.MultiheadAttention(
        module.width,
        module.heads,
        dropout=module.dropout,
        bias=module.query_projection.bias is not None,
        kdim=module.key_width,
        vdim=module.value_width,
        batch_first=True,
    )


def _layer_for(
    module: TransformerEncoderLayer | TransformerDecoderLayer,
) -> nn.TransformerEncoderLayer | nn.TransformerDecoderLayer:
    for part in module.modules():
        if isinstance(part, MultiHeadAttention):
            _check_plain(part)
    inner, attention = module.feed_forward, module.self_attention
    if inner.activation == "gated":
        raise OptionError("PyTorch's layers have no gated activation; only relu and gelu convert.")
    kind = (
        nn.TransformerEncoderLayer
        if isinstance(module, TransformerEncoderLayer)
        else nn.TransformerDecoderLayer
    )
    theirs = kind(
        attention.width,
        attention.heads,
        inner.hidden,
        dropout=module.dropout.probability,
        activation=ACTIVATIONS[inner.activation],
        layer_norm_eps=module.attention_norm.eps,
        batch_first=True,
        norm_first=module.norm == "pre",
        bias=inner.widen.bias is not None,
    )
    for part in theirs.modules():
        if isinstance(part, nn.MultiheadAttention):
            part.dropout = attention.dropout
    return theirs


def _check_plain(module: MultiHeadAttention) -> None:
    obstacles = {
        "another score than scaled_dot": not isinstance(module.score, ScaledDotScore),
        "another normalizer than Softmax()": not isinstance(module.normalizer, Softmax),
        "key heads shared by query heads": module.key_heads != module.heads,
        "heads that do not make up the width": module.heads * module.head_width != module.width,
        "rotary positions": module.rotary is not None,
    }
    for obstacle, stands in obstacles.items():
        if stands:
            raise OptionError(
                f"PyTorch's modules have no place for {obstacle}; keep this one in Heedful."
            )
