"""What masks and biases cost in the banded kernels that depend on more than distance and key lengths."""

from __future__ import annotations

from torch import Tensor

from heedful.ops.backends.band.bias import has_pair_bias, is_read_in_place, masks_at, split_mask
from heedful.ops.backends.base import threads
from heedful.ops.call import Call
from heedful.ops.masks import Dense, Segments

CALL = 65e-6
"""Seconds of packing, however small the mask."""
PACKED_PAIR = {Dense: 0.2e-9, Segments: 0.05e-9}
"""Seconds of packing a pair of a sequence."""
EVALUATED_PAIR = 2e-9
"""The same for masks that are evaluated by PyTorch first."""
READ_CELL, TILE_CELL = 0.35e-9, 8e-9
"""Seconds of a score's bias that is read where it lies, and of one that is evaluated into tiles first."""


def added_seconds(call: Call, cells: int) -> float:
    """Seconds that one pass over `cells` scores takes longer than without the call's masks and bias."""
    heads = max(1, call.lead[-1] if call.lead else 1)
    parts = masks_at(call.mask, split_mask(call.mask).others)
    pair = sum(PACKED_PAIR.get(type(part), EVALUATED_PAIR) for part in parts)
    seconds = cells // heads * pair / threads()
    if has_pair_bias(call):
        if is_read_in_place(call.bias, call):
            seconds += cells * READ_CELL / threads()
        else:
            seconds += (cells if isinstance(call.bias, Tensor) else cells // heads) * TILE_CELL
    return CALL + seconds
