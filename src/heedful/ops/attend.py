"""The public function `attend`: validates and plans once per static signature, then runs the chosen backend."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.arguments import cast, validated
from heedful.ops.call import Attended, Call
from heedful.ops.masks import Dense, Mask
from heedful.ops.normalizers import Normalizer, Softmax
from heedful.ops.observe import Observed, Observer, current_observer
from heedful.ops.plan import add_route, find_route
from heedful.ops.positions import PositionBias
from heedful.ops.scores import PreparedKey, ScaledDot, Score
from heedful.ops.signature import call_signature


def attend(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    *,
    score: Score = ScaledDot(),
    mask: Mask | Tensor | None = None,
    bias: Tensor | PositionBias | None = None,
    normalizer: Normalizer = Softmax(),
    dropout_p: float = 0.0,
    enable_gqa: bool = False,
    return_weights: bool = False,
    backend: str = "auto",
) -> Attended:
    r"""Attention: a weighted mean of values, with weights from the scores of queries and keys.

    .. math:: o_i = \sum_j w_{ij} v_j, \quad w_i = \mathrm{normalize}_j(e(q_i, k_j) + b_{ij}), \quad j \text{ unmasked}

    Bahdanau et al. 2015 (https://arxiv.org/abs/1409.0473); Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762).

    Args:
        query: (*batch, heads, query, query_dim) or (*batch, query, query_dim).
        key: the same with (key, key_dim), or the result of `score.prepare_key`.
        value: the same with (key, value_dim), any value_dim.
        score: scoring function of query and key; a value of `heedful.scores`.
        mask: a value of `heedful.masks`, or a boolean tensor; True = may be attended to.
        bias: added to the scores: (query, key), (*batch, heads, query, key) with axes of size 1 where shared,
            or a value of `heedful.positions`. Minus infinity masks a pair.
        normalizer: maps scores to weights, for example softmax; a value of `heedful.normalizers`.
        dropout_p: dropout probability of the weights, applied after normalizing; kept weights are scaled by
            1 / (1 - dropout_p). It does not depend on a training mode: modules pass 0 in evaluation mode.
        enable_gqa: grouped-query attention: query heads share key heads, whose number divides that of query heads.
        return_weights: also return the weights, as normalized and before dropout. Never changes the output.
        backend: "auto", or a name from `heedful.ops.backends.BACKENDS`; `heedful.plan` returns the choice of "auto".
            On CUDA use "reference" or "chunked" for second derivatives: the fused kernels there have none.

    Returns:
        `Attended(output, weights)`: (*batch, heads, query, value_dim) and (*batch, heads, query, key) or None.
        A fully masked row gives output 0 and gradient 0. Masked keys and values never reach an output or a gradient,
        even where they hold NaN or infinity. If a mask or bias is given and a row attends to a key or value that is
        not finite, its whole output is NaN. The exception is a score of minus infinity, which gives weight 0.

    Raises:
        ShapeError, DtypeError, DeviceError, MaskError, OptionError: arguments that do not fit.
        BackendError: the backend given by name does not support the call.

    >>> import torch
    >>> from heedful import attend, masks, scores
    >>> query, key, value = torch.randn(2, 4, 5, 8), torch.randn(2, 4, 7, 8), torch.randn(2, 4, 7, 16)
    >>> lengths = torch.tensor([7, 3])
    >>> output, weights = attend(query, key, value, mask=masks.Padding(lengths), return_weights=True)
    >>> output.shape, float(weights[1, :, :, 3:].sum())
    (torch.Size([2, 4, 5, 16]), 0.0)
    """
    observer = current_observer()
    needs_weights = return_weights or observer is not None
    signature = call_signature(
        query, key, value, score, mask, bias, normalizer, dropout_p, enable_gqa, backend
    )
    route = find_route(signature) if signature is not None else None
    if route is None:
        call = validated(
            query, key, value, score, mask, bias, normalizer, dropout_p, enable_gqa, needs_weights
        )
        route = add_route(signature, call, backend)
    else:
        if mask is not None and not isinstance(mask, Mask):
            mask = Dense.of_valid(mask)
        shape = route.shape
        if shape.cast_to is not None:
            query, key, value = cast(query, key, value, shape.cast_to)
        call = Call(
            query, key, value, score, mask, bias, normalizer, dropout_p, needs_weights, shape
        )
    attended = route.run(call)
    if observer is not None:
        notify(observer, call, attended, route.backend)
        return attended if return_weights else Attended(attended.output, None)
    return attended


def notify(observer: Observer, call: Call, attended: Attended, backend: str) -> None:
    """Pass the mask, the weights and the backend of a call to an observer."""
    assert attended.weights is not None
    with torch.no_grad():
        mask = None if call.mask is None else call.mask.tile(call.rows).expand(call.rows.shape)
        weights = attended.weights.detach()
    observer(Observed(mask, weights, backend, call=call, output=attended.output))
