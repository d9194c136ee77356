"""The public function: validate and plan once for a signature, then run."""

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
    r"""Look up values by the similarity of queries to keys.

    .. math:: o_i = \sum_j w_{ij} v_j, \quad w_i = \mathrm{normalize}_j(e(q_i, k_j) + b_{ij}), \quad j \text{ kept}

    Bahdanau et al. 2015 (https://arxiv.org/abs/1409.0473); Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762).

    Args:
        query: (*batch, heads, query, query_dim) or (*batch, query, query_dim).
        key: the same with (key, key_dim), or what `score.prepare_key` made of it.
        value: the same with (key, value_dim), any value_dim.
        score: how query and key are compared; a value of `heedful.scores`.
        mask: what may be attended to, True = may; a value of `heedful.masks`, or a boolean tensor.
        bias: added to the scores: (query, key), (*batch, heads, query, key) with axes of size 1 where shared,
            or a value of `heedful.positions`. Minus infinity masks.
        normalizer: how scores become weights; a value of `heedful.normalizers`.
        dropout_p: probability with which a weight is dropped after normalizing, the others growing to match.
            It acts whenever it is above 0: a module passes 0 when evaluating.
        enable_gqa: let several query heads share a key head (key heads divide query heads).
        return_weights: also return the weights, as normalized and before dropout. Never changes the output.
        backend: "auto", or a name from `heedful.ops.backends.BACKENDS`; `heedful.plan` tells what "auto" takes.
            For second derivatives by autograd take "reference" or "chunked": PyTorch's fused kernel has none.

    Returns:
        `Attended(output, weights)`: (*batch, heads, query, value_dim) and (*batch, heads, query, key) or None.
        A row that may attend to nothing gives output 0 and gradient 0. What masked keys and values hold, NaN and
        infinity too, reaches no output and no gradient; where a row may see something that is not finite, under a
        mask its whole output is NaN (or, where the only effect is a score of minus infinity, a weight of 0).

    Raises:
        ShapeError, DtypeError, DeviceError, MaskError, OptionError: arguments that do not fit.
        BackendError: a backend asked for by name that cannot serve the call.

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
    """Tell an observer what a call did."""
    assert attended.weights is not None
    with torch.no_grad():
        mask = None if call.mask is None else call.mask.tile(call.rows).expand(call.rows.shape)
        observer(Observed(mask, attended.weights.detach(), backend))
