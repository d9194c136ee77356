"""What one attention of one example was computed from: queries, keys, scores, bias, mask, values and output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from heedful.nn.multi_head import MultiHeadAttention
from heedful.ops.call import Call, bias_at, repeat_heads
from heedful.ops.observe import Observed
from heedful.ops.scores import ScaledDot
from heedful.ops.scores.rotated import Rotated


@dataclass(frozen=True, eq=False)
class CallDetail:
    """One call of `attend`, for one example, with a key head for each query head.

    Shapes: `query` (heads, queries, features) and `key` (heads, keys, features) after the per-token work of the score
    (projected, rotated, scaled); `scores`, `allowed` and `weights` (heads, queries, keys); `value` (heads, keys,
    values); `output` (heads, queries, values); `projection` (heads, values, width).
    """

    score: str
    """The name of the score."""
    scale: float | None
    """What the inner product is multiplied by; None if the score is not the scaled inner product."""
    is_product: bool
    """Whether the score is the inner product of `query` and `key`."""
    normalizer: str
    query: Tensor
    key: Tensor
    scores: Tensor
    """Before bias and mask."""
    bias: Tensor | None
    """(heads, queries, keys), added to the scores."""
    allowed: Tensor
    weights: Tensor
    recomputed: Tensor
    """The weights by plain mathematics from the scores, to check them by."""
    value: Tensor
    output: Tensor
    source: Tensor
    """The output of the whole batch as the model goes on with it; its gradient is that of the weights' mean."""
    projection: Tensor | None
    """The part of the output projection that is a head's own; None if the attention has none."""

    @property
    def difference(self) -> float:
        """The largest difference between the weights of the model and those recomputed."""
        return float((self.weights - self.recomputed).abs().max())


def call_detail(
    observed: Observed, module: nn.Module | None, example_of: Callable[[int], int]
) -> CallDetail:
    """Return the details of an observed call of `attend`, for the example of its batch that `example_of` names."""
    call: Call = observed.call
    assert observed.output is not None
    with torch.no_grad():
        query = call.prepared_query.float()
        key = repeat_heads(call.prepared_key, call.groups).float()
        scores = call.score.pair(query, key)
        scores = scores.expand(*call.lead, *scores.shape[-2:])
        bias, keep = _bias_and_mask(call, observed.mask, scores)
        biased = scores if bias is None else scores + bias
        recomputed = call.normalizer.weights(biased, keep)
        value = repeat_heads(call.value, call.groups).float()

    def one(tensor: Tensor) -> Tensor:
        """(*batch, heads, length, features) or without heads -> (heads, length, features) on the CPU."""
        full = tensor.expand(*call.lead, *tensor.shape[-2:])
        if len(call.lead) < 2:
            # Without an axis of heads, or without one of examples.
            return _one_axis(full, call, module, example_of)
        full = full.reshape(-1, *full.shape[-3:])
        return full[example_of(len(full))].detach().cpu().clone()

    return CallDetail(
        score=call.score.name,
        scale=_scale(call),
        is_product=call.score.pair_kind == "dot",
        normalizer=call.normalizer.name,
        query=one(query),
        key=one(key),
        scores=one(scores),
        bias=None if bias is None else one(bias),
        allowed=one(keep),
        weights=one(observed.weights).float(),
        recomputed=one(recomputed).float(),
        value=one(value),
        output=one(observed.output).float(),
        source=observed.output,
        projection=_projection(module),
    )


def _bias_and_mask(call: Call, mask: Tensor | None, scores: Tensor) -> tuple[Tensor | None, Tensor]:
    """Return what is added to the scores, and which keys may be attended to; minus infinity in a bias masks."""
    keep = torch.ones(scores.shape, dtype=torch.bool, device=scores.device)
    if mask is not None:
        keep = mask.expand(scores.shape)
    if call.bias is None:
        return None, keep
    bias = bias_at(call.bias, call.rows).to(scores.dtype).expand(scores.shape)
    return bias, keep & (bias != -torch.inf)


def _one_axis(
    tensor: Tensor, call: Call, module: nn.Module | None, example_of: Callable[[int], int]
) -> Tensor:
    if not call.lead:
        return tensor.detach().cpu().clone()[None]
    if getattr(module, "heads", None) == len(tensor):
        return tensor.detach().cpu().clone()
    return tensor[example_of(len(tensor))].detach().cpu().clone()[None]


def _scale(call: Call) -> float | None:
    score = call.score.inner if isinstance(call.score, Rotated) else call.score
    return score.scale_for(call.query.shape[-1]) if isinstance(score, ScaledDot) else None


def _projection(module: nn.Module | None) -> Tensor | None:
    """Return the columns of the output projection by head, (heads, values, width)."""
    if not isinstance(module, MultiHeadAttention):
        return None
    weight = module.output_projection.weight.detach().float().cpu()
    columns: Tensor = weight.T.unflatten(0, (module.num_heads, -1))
    return columns
