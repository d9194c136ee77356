"""The attention of a layer of transformers, by `attend`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from heedful.hf.mask_tensor import MaskTensor
from heedful.ops.attend import attend
from heedful.ops.masks import Causal, Dense, Mask
from heedful.ops.normalizers import Normalizer, SinkSoftmax, Softmax
from heedful.ops.scores import ScaledDot, Score, SoftCapped

try:
    from transformers.utils.output_capturing import _active_collector as _collector
except ImportError:  # a detail of transformers, which older versions do not have
    _collector = None


def attention_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    softcap: float | None = None,
    position_bias: Tensor | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute the attention of one layer, as the attention interface of transformers asks for it.

    Args:
        module: the layer, whose attribute `is_causal` counts where neither mask nor `is_causal` is given.
        query: (batch, heads, query, features).
        key: (batch, key heads, key, features); the number of key heads divides that of heads.
        value: (batch, key heads, key, value).
        attention_mask: (batch, 1, query, key): boolean, or numbers that are added to the scores, or None.
        dropout: probability, 0 outside training.
        scaling: of the inner product; default: 1/√features.
        is_causal: whether a query sees only what is before it, if there is no mask.
        softcap: the cap of the scores.
        position_bias: added to the scores, (batch or 1, heads, query, key).
        s_aux: (heads,), the score of the sink of each head.
        others: of which `output_attentions` asks for the weights. `sliding_window` is in the mask already.

    Returns: the output (batch, query, heads, value), and the weights (batch, heads, query, key) or None.
    """
    mask, bias = _mask_and_bias(module, query, attention_mask, is_causal, position_bias)
    score: Score = ScaledDot(scaling)
    if softcap is not None:
        score = SoftCapped(softcap, score)
    normalizer: Normalizer = Softmax() if s_aux is None else SinkSoftmax(s_aux)
    attended = attend(
        query,
        key,
        value,
        score=score,
        mask=mask,
        bias=bias,
        normalizer=normalizer,
        dropout_p=dropout,
        enable_gqa=key.shape[1] != query.shape[1],
        return_weights=_needs_weights(others),
    )
    return attended.output.transpose(1, 2).contiguous(), attended.weights


def _needs_weights(others: Mapping[str, Any]) -> bool:
    """Whether the caller of the model asked for weights: layers of some models are not told, but a collector waits."""
    if others.get("output_attentions"):
        return True
    if _collector is None or torch.compiler.is_compiling():
        return False
    return any("attentions" in kind for kind in _collector.get() or ())


class _Masked(NamedTuple):
    mask: Mask | None
    bias: Tensor | None


def _mask_and_bias(
    module: torch.nn.Module,
    query: Tensor,
    given: Tensor | None,
    is_causal: bool | None,
    bias: Tensor | None,
) -> _Masked:
    if isinstance(given, MaskTensor):
        return _Masked(given.mask, bias)
    if given is None:
        if is_causal is None:
            is_causal = getattr(module, "is_causal", True)
        # One query is the last, which sees all keys; several stand at the first keys of a cache that is filled.
        mask = Causal("top_left") if is_causal and query.shape[2] > 1 else None
        return _Masked(mask, bias)
    if given.dtype == torch.bool:
        return _Masked(Dense(given), bias)
    return _Masked(None, given if bias is None else bias + given)
