"""The static signature of a call: the key by which validation and the choice of a backend are memoised.

Two calls of equal signature differ only in the contents of their tensors. Shapes, strides, dtypes, devices, gradient
mode, autocast, number of threads and the settings of score, mask, bias and normalizer are equal. Arguments are
validated and a backend is chosen once per signature; later calls look the result up.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.compiler import is_dynamo_compiling

from heedful.ops.jit.operators import PLAIN_TENSORS
from heedful.ops.masks import Mask
from heedful.ops.normalizers import Normalizer
from heedful.ops.positions import PositionBias
from heedful.ops.scores import PreparedKey, Score
from heedful.ops.static import is_own

Signature = tuple[Hashable, ...]

_FIELDS: dict[type, tuple[str, ...] | None] = {}

_func_level = torch._C._functorch.get_dynamic_layer_stack_depth
_jit_state = torch._C._get_tracing_state
_dispatch_modes = torch._C._len_torch_dispatch_stack
_any_autocast = torch._C._is_any_autocast_enabled


class _Unsigned(Exception):  # noqa: N818 - control flow inside this file, never raised to a caller
    """The value has no signature: its class is not a known dataclass, or it is a subclass of Tensor."""


def call_signature(
    query: Tensor,
    key: Tensor | PreparedKey,
    value: Tensor,
    score: Score,
    mask: Mask | Tensor | None,
    bias: Tensor | PositionBias | None,
    normalizer: Normalizer,
    dropout_p: float,
    enable_gqa: bool,
    backend: str,
) -> Signature | None:
    """Return the signature of a call of `attend`, or None if the call cannot be memoised.

    A call cannot be memoised under torch.compile, torch.export, torch.jit.trace, torch.func, forward-mode
    differentiation or a dispatch mode, with a subclass of Tensor, or with an argument of a wrong type.

    >>> import torch
    >>> from heedful.ops.normalizers import Softmax
    >>> from heedful.ops.scores import ScaledDot
    >>> x, others = torch.ones(2, 3), (ScaledDot(), None, None, Softmax(), 0.0, False, "auto")
    >>> call_signature(x, x, x, *others) == call_signature(2 * x, x, x, *others)
    True
    >>> call_signature(x, x, x, *others) == call_signature(x.double(), x, x, *others)
    False
    """
    # is_dynamo_compiling comes first: torch.compile cannot trace the other checks.
    if is_dynamo_compiling() or (
        _func_level()
        or _dispatch_modes()
        or _jit_state() is not None
        or forward_ad._current_level >= 0
    ):
        return None
    prepared_by: str | None = None
    keys: Any = key
    if type(key) is PreparedKey:
        prepared_by, keys = key.score, key.features
    plain = PLAIN_TENSORS
    if type(query) not in plain or type(keys) not in plain or type(value) not in plain:
        return None
    try:
        return (
            # Fast checks: strides of a contiguous tensor follow from its shape, and tensors are mostly on the CPU.
            # Both checks take a fraction of the time of reading strides and devices.
            query.shape, None if query.is_contiguous() else query.stride(), query.dtype, query.requires_grad,
            keys.shape, None if keys.is_contiguous() else keys.stride(), keys.dtype, keys.requires_grad,
            value.shape, None if value.is_contiguous() else value.stride(), value.dtype, value.requires_grad,
            (query.is_cpu and keys.is_cpu and value.is_cpu) or (query.device, keys.device, value.device),
            prepared_by,
            score if score.is_static else _part(score),
            mask if mask is None else _mask_or_bias(mask),
            bias if bias is None else _mask_or_bias(bias),
            normalizer if normalizer.is_static else _part(normalizer),
            dropout_p, enable_gqa, backend, torch.is_grad_enabled(), torch.get_num_threads(),
            _autocast(query.device.type) if _any_autocast() else None,
            query.is_cuda and torch.cuda.is_current_stream_capturing(),
        )  # fmt: skip
    except (AttributeError, RuntimeError, _Unsigned):
        # An argument of a wrong type, a tensor without strides, or a value without a signature.
        return None


def _mask_or_bias(value: Any) -> Hashable:
    if type(value) in PLAIN_TENSORS:
        return _tensor(value)
    return value if value.is_static else _part(value)


def _tensor(value: Tensor) -> Hashable:
    strides = None if value.is_contiguous() else value.stride()
    return value.shape, strides, value.dtype, value.is_cpu or value.device, value.requires_grad


def _part(value: Any) -> Hashable:
    """Class and fields of a score, mask, bias or normalizer; a tensor is replaced by its shape, strides, dtype, …"""
    kind = type(value)
    if kind not in _FIELDS:
        # A class from outside may compute with more than its fields hold, so calls with it are planned each time.
        known = is_own(kind) and is_dataclass(kind)
        _FIELDS[kind] = tuple(field.name for field in fields(kind) if field.init) if known else None
    names = _FIELDS[kind]
    if names is None:
        raise _Unsigned
    return kind, *[_field(getattr(value, name)) for name in names]


def _field(value: Any) -> Hashable:
    if type(value) in PLAIN_TENSORS:
        return _tensor(value)
    if isinstance(value, Tensor):
        raise _Unsigned
    if isinstance(value, Mask | Score | Normalizer | PositionBias):
        return value if value.is_static else _part(value)
    return value  # type: ignore[no-any-return]


def _autocast(device: str) -> Hashable:
    return torch.is_autocast_enabled(device) and torch.get_autocast_dtype(device)
