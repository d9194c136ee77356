"""The shortest way to the kernels for windows, as `quick` is to PyTorch's: for calls that are plainly in order."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.backends.band_added import interval
from heedful.ops.backends.band_dot import windowed
from heedful.ops.finite import is_eager
from heedful.ops.kernels.band_forward import ROWS, WIDTH
from heedful.ops.kernels.operators import is_watched
from heedful.ops.kernels.runtime import unavailable
from heedful.ops.masks import Window
from heedful.ops.scores import Dot, PreparedKey, ScaledDot, Score


def quick_window(
    query: Tensor, key: Tensor | PreparedKey, value: Tensor, score: Score, mask: Window
) -> Tensor | None:
    """The output of a call under softmax, (batch, heads, query, value); None where it must go the long way."""
    left, right = mask.left, mask.right
    if left is None or right is None or isinstance(key, PreparedKey):
        return None
    if type(score) is not ScaledDot and type(score) is not Dot:
        return None
    operands = (query, key, value)
    if not is_eager() or is_watched(*operands):
        return None
    if not _fit(query, key, value) or unavailable() is not None:
        return None
    last = query.shape[2] - 1
    scale = score.scale_for(query.shape[3]) if type(score) is ScaledDot else 1.0
    return windowed(operands, interval(min(left, last), min(right, last), scale, query.dtype), None)


def _fit(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether all three have one shape, a dtype and a layout that the kernels take, and they are the fastest way."""
    shape, dtype = query.shape, query.dtype
    if len(shape) != 4 or shape != key.shape or shape != value.shape or 0 in shape:
        return False
    learns = torch.is_grad_enabled() and any(one.requires_grad for one in (query, key, value))
    if shape[3] % WIDTH or (learns and shape[2] < ROWS):
        return False
    return (dtype is torch.float32 or dtype is torch.float64) and all(
        one.is_cpu and one.dtype is dtype and one.stride(3) == 1 for one in (query, key, value)
    )
