"""Validation of the arguments of `attend`; errors are raised before any computation."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor

from heedful.errors import DeviceError, DtypeError, OptionError, ShapeError
from heedful.ops.call import Call, CallShape, bias_tensors
from heedful.ops.masks import Mask, as_mask
from heedful.ops.masks.base import check_pair_shape
from heedful.ops.normalizers import Normalizer
from heedful.ops.positions import PositionBias
from heedful.ops.rows import Rows, broadcast
from heedful.ops.scores import PreparedKey, Score
from heedful.ops.validate import validate_tensor

AXES = "(*batch, heads, length, features) or (*batch, length, features)"


def validated(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    score: Score,
    mask: Mask | Tensor | None,
    bias: Tensor | PositionBias | None,
    normalizer: Normalizer,
    dropout_p: float,
    enable_gqa: bool,
    return_weights: bool,
) -> Call:
    """Validate the arguments and return the call.

    Validation may depend only on the signature of the call (`heedful.ops.signature`), since it runs once per signature.

    Raises:
        ShapeError, DtypeError, DeviceError, MaskError, OptionError: as `attend`.
    """
    _check_types(query, key, value, score, normalizer)
    device, cast_to = query.device.type, None
    if device != "meta" and torch.is_autocast_enabled(device) and query.dtype != torch.float64:
        cast_to = torch.get_autocast_dtype(device)
        query, key, value = cast(query, key, value, cast_to)
    if not 0 <= dropout_p <= 1:
        raise OptionError(f"dropout_p is {dropout_p}; it is a probability, from 0 to 1.")
    features = key.features if isinstance(key, PreparedKey) else key
    _check_dtypes(query, key, value, score, cast_to is not None)
    _check_lengths(query, features, value)
    score.check(query, key)
    groups = _groups(query, features, value, enable_gqa)
    wanted = as_mask(mask) if mask is not None else None
    lead = _lead(query, features, value, score, groups)
    rows = Rows.all(query.shape[-2], value.shape[-2], lead, query.device)
    _check_bias(bias, rows)
    _check_normalizer(normalizer, lead)
    held = (query, features, value, *score.tensors(), *normalizer.tensors(), *bias_tensors(bias))
    shape = CallShape(
        rows,
        groups,
        score.pair_features(query.shape[-1]),
        value.shape[-1],
        torch.is_grad_enabled() and any(tensor.requires_grad for tensor in held),
        cast_to,
    )
    call = Call(
        query, key, value, score, wanted, bias, normalizer, dropout_p, return_weights, shape
    )
    if wanted is not None:
        wanted.check(rows)
    _check_devices(call)
    return call


def _check_types(
    query: Tensor, key: Tensor | PreparedKey, value: Tensor, score: Score, normalizer: Normalizer
) -> None:
    validate_tensor("query", query, AXES)
    validate_tensor("value", value, AXES)
    if not isinstance(key, Tensor | PreparedKey):
        raise DtypeError(
            f"key is a {type(key).__name__}; it must be a tensor {AXES}, or what score.prepare_key(key) returned."
        )
    if not isinstance(score, Score):
        raise OptionError(
            f"score is {score!r}; give a value of heedful.scores, such as scores.ScaledDot()."
        )
    if not isinstance(normalizer, Normalizer):
        raise OptionError(
            f"normalizer is {normalizer!r}; give a value of heedful.normalizers, such as normalizers.Softmax()."
        )
    if isinstance(key, PreparedKey) and key.score != score.key_kind:
        raise OptionError(
            f"the key was prepared by the score {key.score}, but this call uses {score.key_kind}; prepare it with "
            f"this call's score.prepare_key, or pass the key itself."
        )


def cast(
    query: Tensor, key: Tensor | PreparedKey, value: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor | PreparedKey, Tensor]:
    """Cast query, key and value to the dtype of autocast."""
    if isinstance(key, PreparedKey):
        key = key.with_features(key.features.to(dtype))
    else:
        key = key.to(dtype)
    return query.to(dtype), key, value.to(dtype)


def _check_dtypes(
    query: Tensor, key: Tensor | PreparedKey, value: Tensor, score: Score, is_cast: bool
) -> None:
    if not query.dtype.is_floating_point:
        raise DtypeError(
            f"query is {query.dtype}; attention wants floating-point tensors: query.float()."
        )
    features = key.features if isinstance(key, PreparedKey) else key
    # A prepared key may have a wider dtype than the query: some scores compute sums in `prepare_key`.
    same_key = isinstance(key, PreparedKey) or features.dtype == query.dtype
    if not same_key or value.dtype != query.dtype:
        raise DtypeError(
            f"query is {query.dtype}, key {features.dtype} and value {value.dtype}; make them equal with .to(...)."
        )
    if is_cast:
        return
    for tensor in score.tensors():
        if tensor.ndim and tensor.dtype.is_floating_point and tensor.dtype != query.dtype:
            raise DtypeError(
                f"the {score.name} score holds {tensor.dtype} and the query is {query.dtype}; make them equal "
                f"with .to(...)."
            )


def _check_lengths(query: Tensor, key: Tensor, value: Tensor) -> None:
    same_rank = query.ndim == key.ndim == value.ndim >= 2
    if same_rank and key.shape[-2] == value.shape[-2]:
        return
    shapes = f"query {tuple(query.shape)}, key {tuple(key.shape)}, value {tuple(value.shape)}"
    if not same_rank:
        raise ShapeError(
            f"got {shapes}; all three want the same number of axes, {AXES}: add missing ones with unsqueeze."
        )
    raise ShapeError(
        f"got {shapes}: {key.shape[-2]} keys but {value.shape[-2]} values; each key wants one value."
    )


def _groups(query: Tensor, key: Tensor, value: Tensor, enable_gqa: bool) -> int:
    if not enable_gqa:
        return 1
    if query.ndim < 3:
        raise ShapeError(
            f"enable_gqa wants a heads axis, {AXES}; query has shape {tuple(query.shape)}."
        )
    query_heads, key_heads = query.shape[-3], key.shape[-3]
    if value.shape[-3] != key_heads or key_heads == 0 or query_heads % key_heads:
        raise ShapeError(
            f"enable_gqa with {query_heads} query heads, {key_heads} key heads and {value.shape[-3]} value heads; key "
            f"and value want the same number, and it must divide the query's."
        )
    return query_heads // key_heads


def _lead(query: Tensor, key: Tensor, value: Tensor, score: Score, groups: int) -> tuple[int, ...]:
    """Leading axes of the scores: those of query, key, value and the score's parameters, broadcast."""
    query_lead, key_lead, value_lead = (
        tuple(query.shape[:-2]),
        tuple(key.shape[:-2]),
        tuple(value.shape[:-2]),
    )
    held_by_query, held_by_key = score.query_lead(), score.key_lead()
    if query_lead == key_lead == value_lead and groups == 1 and not (held_by_query or held_by_key):
        return query_lead
    lead = None
    query_side = broadcast(query_lead, held_by_query)
    key_side = broadcast(key_lead, held_by_key)
    if query_side is not None and key_side is not None:
        key_sides = [key_side, value_lead]
        if groups > 1:
            key_sides = [(*side[:-1], side[-1] * groups) for side in key_sides]
        lead = broadcast(query_side, *key_sides)
    if lead is None or len(lead) != query.ndim - 2:
        hint = "" if groups > 1 else "; fewer key heads than query heads want enable_gqa=True"
        raise ShapeError(
            f"the leading axes of query {query_lead}, key {key_lead} and value {value_lead}, with the {score.name} "
            f"score's parameters for queries {held_by_query} and keys {held_by_key}, do not broadcast{hint}."
        )
    return lead


def _check_bias(bias: Tensor | PositionBias | None, rows: Rows) -> None:
    if bias is None:
        return
    if isinstance(bias, PositionBias):
        bias.check(rows)
        return
    if not isinstance(bias, Tensor):
        raise DtypeError(
            f"bias is a {type(bias).__name__}; give a tensor (query, key) or (*batch, heads, query, key), or a value "
            f"of heedful.positions."
        )
    if not bias.dtype.is_floating_point:
        raise DtypeError(
            f"bias is {bias.dtype}; it is added to the scores, so it holds floating-point numbers. What may be "
            f"attended to goes into `mask`."
        )
    check_pair_shape("bias", bias, rows)


def _check_normalizer(normalizer: Normalizer, lead: tuple[int, ...]) -> None:
    for tensor in normalizer.tensors():
        if broadcast(tuple(tensor.shape), lead) != lead:
            raise ShapeError(
                f"the {normalizer.name} normalizer holds a tensor of shape {tuple(tensor.shape)}, which does not "
                f"broadcast to the call's leading axes {lead}; give it one number for all, or one a head."
            )


def _check_devices(call: Call) -> None:
    device = call.query.device
    held = () if call.mask is None else call.mask.tensors()
    if call.query.is_cpu and all(tensor.is_cpu for tensor in (*call.tensors(), *held)):
        return
    for name, tensor in chain(call.named_tensors(), (("mask", tensor) for tensor in held)):
        if tensor.device != device and tensor.ndim:
            raise DeviceError(
                f"query is on {device} but {name} on {tensor.device}; move it with .to(query.device)."
            )
