"""Matrices of additive scores on a GPU. Leading axes are folded into one batch axis for the Triton kernels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module

import torch
from torch import Tensor

from heedful.ops.constant import assume_constant_result
from heedful.ops.rows import broadcast

SLOPES = {"tanh": None, "leaky_relu": 0.2}
"""Activation -> `slope` argument of the kernels: slope of the leaky ReLU below 0, None for tanh."""
MOST_PLACES = 65_535
"""Maximum size of the batch axis in one launch: the third axis of a CUDA grid has 16 bits."""

_reason: list[str | None] = []


def unavailable() -> str | None:
    """Return None if Triton can be imported, otherwise the reason why not."""
    if not _reason:
        _reason.append(_find_reason())
    return _reason[0]


def _find_reason() -> str | None:
    try:
        import_module("heedful.ops.backends.additive.gpu_kernels")
    except Exception as error:  # a broken installation raises anything
        return f"Triton cannot be imported ({type(error).__name__}: {error})"
    return None


# Under torch.compile the call is evaluated, not traced.
assume_constant_result(unavailable)


def scores_forward(query: Tensor, key: Tensor, vector: Tensor, activation: str) -> Tensor:
    """Scores (*lead, query, key) of query (*lead, query, hidden), key (*lead, key, hidden), vector (*lead, hidden)."""
    from heedful.ops.backends.additive import gpu_kernels as additive_triton

    lead, folded = _folded(query, key, vector)
    with _on(query.device):
        scores = [
            additive_triton.scores_forward(a, b, v, SLOPES[activation])
            for a, b, v in _launches(*folded)
        ]
    return _joined(scores).view(*lead, query.shape[-2], key.shape[-2])


def scores_backward(
    query: Tensor, key: Tensor, vector: Tensor, activation: str, upstream: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of query, key and vector from `upstream`, the gradient of the scores (*lead, query, key)."""
    from heedful.ops.backends.additive import gpu_kernels as additive_triton

    given = (query, key, vector)
    lead, folded = _folded(*given)
    above = upstream.reshape(math.prod(lead), *upstream.shape[-2:])
    with _on(query.device):
        parts = [
            additive_triton.scores_backward(g, a, b, v, SLOPES[activation])
            for g, a, b, v in _launches(above, *folded)
        ]
    return tuple(
        _joined(found).reshape(*lead, *found[0].shape[1:]).sum_to_size(tensor.shape).contiguous()
        for found, tensor in zip(zip(*parts, strict=True), given, strict=True)
    )


def _folded(
    query: Tensor, key: Tensor, vector: Tensor
) -> tuple[tuple[int, ...], tuple[Tensor, ...]]:
    """The broadcast leading axes, and each tensor with its leading axes broadcast and folded into one."""
    lead = broadcast(tuple(query.shape[:-2]), tuple(key.shape[:-2]), tuple(vector.shape[:-1]))
    assert lead is not None
    places = math.prod(lead)
    own = ((query, query.shape[-2:]), (key, key.shape[-2:]), (vector, vector.shape[-1:]))
    return lead, tuple(t.expand(*lead, *sizes).reshape(places, *sizes) for t, sizes in own)


def _launches(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split the leading axis by `MOST_PLACES`."""
    return zip(*(tensor.split(MOST_PLACES) for tensor in tensors), strict=True)


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _on(device: torch.device) -> AbstractContextManager[object]:
    """Context that makes the device current, since Triton launches on the current device."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
