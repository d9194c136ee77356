"""Conversion of state dicts of attention and Transformer modules from and to PyTorch."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from heedful.errors import OptionError

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
    """Convert a state dict of PyTorch modules to the names and layout of Heedful modules.

    Converts the entries of `torch.nn.MultiheadAttention`, `TransformerEncoderLayer` and `TransformerDecoderLayer`, also
    inside larger modules. Other entries are returned unchanged.

    Raises:
        OptionError: `add_bias_kv`, which has no counterpart.

    >>> sorted(state_from_torch(torch.nn.MultiheadAttention(4, 2, bias=False).state_dict()))
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
    """Convert a state dict of Heedful modules to the names and layout of PyTorch modules.

    The inverse of `state_from_torch`.

    Raises:
        OptionError: parameters of a score or normalizer, or shared key heads, which PyTorch's modules do not have.

    >>> from heedful.nn import MultiHeadAttention
    >>> sorted(state_to_torch(MultiHeadAttention(4, 2, bias=False).state_dict()))
    ['in_proj_weight', 'out_proj.weight']
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        found = re.match(r"(.*?)(query|key|value)_projection\.(weight|bias)$", name)
        if re.search(r"(^|\.)(score|normalizer)\.", name):
            raise OptionError(
                f"{name}: PyTorch's modules have the scaled dot score and softmax only, without parameters."
            )
        if found is None:
            renamed[re.sub(r"(^|\.)output_projection\.", r"\1out_proj.", name)] = tensor
        elif found[2] == "query":
            renamed.update(_packed(state, prefix=found[1], kind=found[3]))
    return {_rename_part(name, state, forward=False): tensor for name, tensor in renamed.items()}


def _packed(state: Mapping[str, Tensor], *, prefix: str, kind: str) -> dict[str, Tensor]:
    """The three input projections of one attention, as `in_proj` or `q_proj`, `k_proj`, `v_proj`."""
    tensors = [state[f"{prefix}{side}_projection.{kind}"] for side in SIDES]
    if len({tensor.shape for tensor in tensors}) == 1:
        return {f"{prefix}in_proj_{kind}": torch.cat(tensors)}
    if len({tensor.shape[0] for tensor in tensors}) > 1:
        raise OptionError(
            f"{prefix}key_projection has fewer rows than {prefix}query_projection: PyTorch's modules "
            f"have no shared key heads (num_kv_heads)."
        )
    return {
        f"{prefix}{side[0]}_proj_{kind}": tensor
        for side, tensor in zip(SIDES, tensors, strict=True)
    }


def _rename_part(name: str, state: Mapping[str, Tensor], *, forward: bool) -> str:
    """Rename an entry of a layer. A layer with cross-attention in `state` is a decoder layer."""
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
