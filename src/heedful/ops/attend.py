"""The one door: check, plan, run."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.arguments import checked
from heedful.ops.backends.sdpa import weights_of
from heedful.ops.call import Attended, Call
from heedful.ops.masks import Mask, Window
from heedful.ops.normalizers import Normalizer, Softmax
from heedful.ops.observe import Observed, Observer, current_observer
from heedful.ops.plan import choose
from heedful.ops.positions import PositionBias
from heedful.ops.quick import quick
from heedful.ops.quick_additive import quick_additive
from heedful.ops.quick_band import quick_band
from heedful.ops.scores import Additive, PreparedKey, ScaledDot, Score


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
    observer, short = current_observer(), None
    if type(normalizer) is Softmax and backend == "auto" and not (dropout_p or enable_gqa):
        told = return_weights or observer is not None
        short = _short_way(query, key, value, score, mask, bias, told)
        if short is not None and not told:
            # What the class's own constructor does, in a third of the time.
            return tuple.__new__(Attended, (short, None))
    call = checked(
        query, key, value, score, mask, bias, normalizer, dropout_p, enable_gqa, return_weights
    )
    chosen = choose(call, backend)
    attended = chosen.run(call) if call.cells else _nothing(call)
    if short is not None:
        # Another way to the weights rounds otherwise, and whether they are asked for must not show in the output.
        attended = Attended(short, attended.weights)
    if observer is not None:
        _tell(observer, call, attended, chosen.name)
    return attended


def _short_way(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    score: Score,
    mask: Mask | Tensor | None,
    bias: Tensor | PositionBias | None,
    told: bool,
) -> Tensor | None:
    """The output of a call that needs no plan; None for others, and where weights are `told` by the same backend."""
    if type(score) is Additive:
        return quick_additive(query, key, value, score, mask) if bias is None else None
    if type(mask) is Window:
        return quick_band(query, key, value, score, mask) if bias is None else None
    short = None if told else quick(query, key, value, score, mask, bias)
    return quick_band(query, key, value, score, mask) if short is None and bias is None else short


def _nothing(call: Call) -> Attended:
    """No keys, or no queries: zeros, with gradient zero for all that the call holds."""
    anchor = call.query.new_zeros(())
    for _, tensor in call.named_tensors():
        anchor = anchor + tensor.flatten()[:0].sum()
    output = call.query.new_zeros(*call.lead, call.num_queries, call.value.shape[-1]) + anchor
    weights = call.query.new_zeros(call.rows.shape) + anchor if call.return_weights else None
    return Attended(output, weights)


def _tell(observer: Observer, call: Call, attended: Attended, backend: str) -> None:
    with torch.no_grad():
        weights = attended.weights if attended.weights is not None else weights_of(call)
        mask = None if call.mask is None else call.mask.tile(call.rows).expand(call.rows.shape)
    observer(Observed(mask, weights.detach(), backend))
