"""Conversion of attention and Transformer modules from and to PyTorch, with equal outputs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, overload

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.nn.convert_state import state_from_torch, state_to_torch
from heedful.nn.feed_forward import ACTIVATIONS
from heedful.nn.multi_head import MultiHeadAttention
from heedful.nn.scores import ScaledDotScore
from heedful.nn.transformer import TransformerDecoderLayer, TransformerEncoderLayer
from heedful.nn.transformer_stacks import Transformer, TransformerDecoder, TransformerEncoder
from heedful.ops.normalizers import Softmax


@overload
def from_torch(module: nn.MultiheadAttention) -> MultiHeadAttention: ...
@overload
def from_torch(module: nn.TransformerEncoderLayer) -> TransformerEncoderLayer: ...
@overload
def from_torch(module: nn.TransformerDecoderLayer) -> TransformerDecoderLayer: ...
@overload
def from_torch(module: nn.TransformerEncoder) -> TransformerEncoder: ...
@overload
def from_torch(module: nn.TransformerDecoder) -> TransformerDecoder: ...
@overload
def from_torch(module: nn.Transformer) -> Transformer: ...
@overload
def from_torch(module: nn.Module) -> nn.Module: ...
def from_torch(module: nn.Module) -> nn.Module:
    """Build the Heedful module with the options, weights, dtype, device and mode of a PyTorch module.

    Converts `torch.nn.MultiheadAttention`, `TransformerEncoderLayer`, `TransformerDecoderLayer`, `TransformerEncoder`,
    `TransformerDecoder` and `Transformer`. The result takes inputs with the batch first, also where `module` has
    `batch_first=False`. A mask is True where attention is allowed: the opposite of `attn_mask` and `key_padding_mask`.

    Raises:
        OptionError: another class of module, also a subclass, which may compute something else; options without a
            counterpart: `add_bias_kv`, `add_zero_attn`, activations other than ReLU and exact GELU; a stack without
            layers, or with a norm that is not `torch.nn.LayerNorm`.

    >>> layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    >>> theirs = nn.TransformerEncoder(layer, num_layers=2)
    >>> x = torch.randn(3, 5, 8)
    >>> torch.allclose(from_torch(theirs)(x), theirs(x), atol=1e-5)
    True
    """
    converted: nn.Module = _converter(FROM_TORCH, module, "torch.nn", state_from_torch)(module)
    converted.training = module.training
    return converted


def _converter(
    table: Mapping[type[nn.Module], Callable[[Any], nn.Module]],
    module: nn.Module,
    package: str,
    state: Callable[..., object],
) -> Callable[[Any], nn.Module]:
    """The converter of exactly this class: a subclass may compute something else."""
    if type(module) in table:
        return table[type(module)]
    base = next((kind for kind in type(module).__mro__ if kind in table), None)
    what = f"{type(module).__module__}.{type(module).__qualname__}"
    subclass = (
        f", a subclass of {package}.{base.__name__} that may compute something else" if base else ""
    )
    raise OptionError(
        f"{what}{subclass} cannot be converted; give an instance of {package}."
        f"{{{', '.join(kind.__name__ for kind in table)}}}, or convert its weights with {state.__name__}."
    )


def _with_state(new: nn.Module, old: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    """Give `new` the weights `state`, and dtype, device and mode of `old`."""
    sample = next(old.parameters())
    new.to(device=sample.device, dtype=sample.dtype).train(old.training)
    new.load_state_dict(state)
    return new


def _attention_from(module: nn.MultiheadAttention) -> nn.Module:
    if module.add_zero_attn:
        raise OptionError("add_zero_attn has no counterpart; convert a module without it.")
    ours = MultiHeadAttention(
        module.embed_dim,
        module.num_heads,
        kdim=module.kdim,
        vdim=module.vdim,
        dropout=module.dropout,
        bias=module.in_proj_bias is not None,
    )
    return _with_state(ours, module, state_from_torch(module.state_dict()))


def _layer_from(module: nn.TransformerEncoderLayer | nn.TransformerDecoderLayer) -> nn.Module:
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
        activation_dropout=module.dropout.p,
        activation=_activation_name(module.activation),
        norm="pre" if module.norm_first else "post",
        bias=module.linear1.bias is not None,
    )
    for part in ours.modules():
        if isinstance(part, nn.LayerNorm):
            part.eps = module.norm1.eps
    return _with_state(ours, module, state_from_torch(module.state_dict()))


def _encoder_from(module: nn.TransformerEncoder) -> nn.Module:
    return TransformerEncoder(map(from_torch, module.layers), norm=_final_norm(module.norm))


def _decoder_from(module: nn.TransformerDecoder) -> nn.Module:
    return TransformerDecoder(map(from_torch, module.layers), norm=_final_norm(module.norm))


def _transformer_from(module: nn.Transformer) -> nn.Module:
    return Transformer(from_torch(module.encoder), from_torch(module.decoder))


def _final_norm(norm: nn.Module | None) -> nn.LayerNorm | None:
    """A copy of the norm after the last layer."""
    if norm is None or type(norm) is nn.LayerNorm:
        return copy.deepcopy(norm)
    raise OptionError(
        f"the norm after the last layer is {norm!r}; only torch.nn.LayerNorm and None can be converted."
    )


FROM_TORCH: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    nn.MultiheadAttention: _attention_from,
    nn.TransformerEncoderLayer: _layer_from,
    nn.TransformerDecoderLayer: _layer_from,
    nn.TransformerEncoder: _encoder_from,
    nn.TransformerDecoder: _decoder_from,
    nn.Transformer: _transformer_from,
}
"""Class of PyTorch -> converter to Heedful."""


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
@overload
def to_torch(module: TransformerEncoder) -> nn.TransformerEncoder: ...
@overload
def to_torch(module: TransformerDecoder) -> nn.TransformerDecoder: ...
@overload
def to_torch(module: Transformer) -> nn.Transformer: ...
@overload
def to_torch(module: nn.Module) -> nn.Module: ...
def to_torch(module: nn.Module) -> nn.Module:
    """Build the PyTorch module with the options, weights, dtype, device and mode of a Heedful module.

    The inverse of `from_torch`. The result is batch first. A `torch.nn.TransformerEncoder` is built without nested
    tensors, so that its outputs do not depend on the mode.

    Raises:
        OptionError: another class of module; or what PyTorch's modules do not have: a score other than scaled dot, a
            normalizer other than softmax, shared key heads, heads that do not make up `embed_dim`, rotary positions,
            the gated activation, a final norm that is not `torch.nn.LayerNorm`.

    >>> ours = MultiHeadAttention(8, 2)
    >>> x = torch.randn(3, 5, 8)
    >>> torch.allclose(to_torch(ours)(x, x, x)[0], ours(x).output, atol=1e-5)
    True
    """
    converted: nn.Module = _converter(TO_TORCH, module, "heedful.nn", state_to_torch)(module)
    converted.training = module.training
    return converted


def _attention_to(module: MultiHeadAttention) -> nn.Module:
    _check_plain(module)
    theirs = nn.MultiheadAttention(
        module.embed_dim,
        module.num_heads,
        dropout=module.dropout,
        bias=module.query_projection.bias is not None,
        kdim=module.kdim,
        vdim=module.vdim,
        batch_first=True,
    )
    return _with_state(theirs, module, state_to_torch(module.state_dict()))


def _layer_to(module: TransformerEncoderLayer | TransformerDecoderLayer) -> nn.Module:
    for part in module.modules():
        if isinstance(part, MultiHeadAttention):
            _check_plain(part)
    inner, attention = module.feed_forward, module.self_attention
    if inner.activation == "gated":
        raise OptionError(
            "PyTorch's layers have no gated activation; this layer cannot be converted."
        )
    kind = (
        nn.TransformerEncoderLayer
        if isinstance(module, TransformerEncoderLayer)
        else nn.TransformerDecoderLayer
    )
    theirs = kind(
        attention.embed_dim,
        attention.num_heads,
        inner.dim_feedforward,
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
    theirs.dropout.p = inner.dropout.probability
    return _with_state(theirs, module, state_to_torch(module.state_dict()))


def _encoder_to(module: TransformerEncoder) -> nn.Module:
    layers: list[Any] = [to_torch(layer) for layer in module.layers]
    norm = _final_norm(module.norm)
    theirs = nn.TransformerEncoder(layers[0], len(layers), norm, enable_nested_tensor=False)
    theirs.layers = nn.ModuleList(layers)
    return theirs


def _decoder_to(module: TransformerDecoder) -> nn.Module:
    layers: list[Any] = [to_torch(layer) for layer in module.layers]
    theirs = nn.TransformerDecoder(layers[0], len(layers), _final_norm(module.norm))
    theirs.layers = nn.ModuleList(layers)
    return theirs


def _transformer_to(module: Transformer) -> nn.Module:
    encoder, decoder = to_torch(module.encoder), to_torch(module.decoder)
    attention = decoder.layers[0].self_attn
    # The constructor initializes the parameters of what it gets, so encoder and decoder are put in afterwards.
    empty = nn.Identity()
    theirs = nn.Transformer(
        attention.embed_dim,
        attention.num_heads,
        custom_encoder=empty,
        custom_decoder=empty,
        batch_first=True,
    )
    theirs.encoder, theirs.decoder = encoder, decoder
    return theirs


TO_TORCH: dict[type[nn.Module], Callable[[Any], nn.Module]] = {
    MultiHeadAttention: _attention_to,
    TransformerEncoderLayer: _layer_to,
    TransformerDecoderLayer: _layer_to,
    TransformerEncoder: _encoder_to,
    TransformerDecoder: _decoder_to,
    Transformer: _transformer_to,
}
"""Class of Heedful -> converter to PyTorch."""


def _check_plain(module: MultiHeadAttention) -> None:
    obstacles = {
        "scores other than scaled_dot": not isinstance(module.score, ScaledDotScore),
        "normalizers other than softmax": not isinstance(module.normalizer, Softmax),
        "shared key heads": module.num_kv_heads != module.num_heads,
        "heads that do not make up embed_dim": module.num_heads * module.head_dim
        != module.embed_dim,
        "rotary positions": module.rotary is not None,
    }
    for obstacle, stands in obstacles.items():
        if stands:
            raise OptionError(
                f"PyTorch's modules do not have {obstacle}; this module cannot be converted."
            )
