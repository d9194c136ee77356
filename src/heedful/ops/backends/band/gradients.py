"""Runs the backward kernel of banded attention on tensors, and holds the memory of its gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.ops.backends.band.backward import backward_room, backward_space, band_backward
from heedful.ops.backends.band.launch import (
    EMPTY,
    BandSpec,
    Piece,
    flat_storage,
    kernel_arguments,
    num_blocks,
    tile_keys,
    work_of,
)
from heedful.ops.finite import all_finite
from heedful.ops.jit.kernel import launch, parts_for
from heedful.ops.jit.source import HALVES, LANES

BACKWARD = 2.4
"""Backward time divided by forward time."""


@dataclass(frozen=True, eq=False)
class BandGradients:
    """Memory for the gradients of a backward pass over several pieces."""

    query: Tensor
    key_sums: Tensor
    """(copies, *key.shape) in float32 or wider: one copy for each part of the work, unless no two parts share a key
    head. With `key`, (parts, keys in reach of a block, features)."""
    value_sums: Tensor
    """The same for the values."""
    key: Tensor | None
    """The gradient in half precision, where it is written during the pass; None where it is the sum over the copies."""
    value: Tensor | None
    dtypes: tuple[torch.dtype, torch.dtype]
    """Of the gradients of key and value."""
    by_head: bool
    """Whether a part computes whole key heads."""

    @classmethod
    def of(
        cls, query: Tensor, key: Tensor, value: Tensor, spec: BandSpec, *,
        is_whole: bool = False, is_wide: bool = False,
    ) -> BandGradients:  # fmt: skip
        """Zeros for sums, which the kernel adds to, and uninitialized memory for what it writes.

        `is_whole` where all blocks are one piece: gradients of keys and values in half precision are then written when
        they are complete, without sums of their size. `is_wide` where gradients are not in half precision though the
        tensors may be.
        """
        whole = Piece(0, num_blocks(query.shape[2]), None)
        parts = parts_for(BACKWARD * work_of(query, key, value, spec, whole))
        key_heads = key.shape[0] * key.shape[1]
        by_head = parts == 1 or key_heads % parts == 0 or key_heads >= 4 * parts
        zeros, dtypes = spec.distance_bias.new_zeros, (key.dtype, value.dtype)
        query_gradient = query.new_empty(query.shape)
        if is_wide:
            query_gradient = spec.distance_bias.new_empty(query.shape)
            dtypes = (query_gradient.dtype,) * 2
        elif is_whole and by_head and _is_half(key, value):
            reach = min(key.shape[2], tile_keys(spec.left, spec.right))
            sums = [zeros(parts, reach, one.shape[3]) for one in (key, value)]
            written = [one.new_empty(one.shape) for one in (key, value)]
            return cls(query_gradient, sums[0], sums[1], written[0], written[1], dtypes, by_head)
        sums = [zeros(1 if by_head else parts, *one.shape) for one in (key, value)]
        return cls(query_gradient, sums[0], sums[1], None, None, dtypes, by_head)

    def are_sums_finite(self) -> bool:
        """Whether the sums over pieces are finite, which the checks of `run_backward` do not cover."""
        return self.key is not None or all_finite(self.key_sums, self.value_sums)

    def totals(self) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of query, key and value, in the dtype of each."""
        if self.key is not None and self.value is not None:
            return self.query, self.key, self.value
        key, value = (
            (one[0] if len(one) == 1 else one.sum(0)).to(dtype)
            for one, dtype in zip((self.key_sums, self.value_sums), self.dtypes, strict=True)
        )
        return self.query, key, value


def run_backward(
    query: Tensor, key: Tensor, value: Tensor, spec: BandSpec, piece: Piece,
    results: tuple[Tensor, Tensor, Tensor], gradients: BandGradients, products: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Add the gradients of the piece's blocks; `results` are output, logsumexp and the gradient of the output.

    `products` (batch, heads, query) receives the inner products of the outputs and their gradients. Returns sums of all
    numbers written, before rounding, which are finite only where those are; sums of gradients are not among them.
    """
    work = BACKWARD * work_of(query, key, value, spec, piece)
    parts, copies = parts_for(work), gradients.key_sums.shape[0]
    if copies > 1:
        parts = min(parts, copies)
    groups = query.shape[1] // key.shape[1]
    grain = groups * piece.count if gradients.by_head else 1
    like = results[1]
    scratch = like.new_empty(parts * backward_space(query.shape[3], value.shape[3]))
    checks, room_size = like.new_empty(parts * LANES), 0
    sources = [*flat_storage(query, key, value), results[2].view(-1)]
    halves: list[Tensor] | tuple[None, ...] = (None,) * 4
    if _is_half(*sources):
        room_size = backward_room(query.shape[3], value.shape[3])
        halves, sources = sources, [like.new_empty(parts * room_size)] * 4
    launch(
        band_backward, grain, *kernel_arguments(query, key, value, spec, piece, sources[:3]),
        results[0].view(-1), results[1].view(-1), sources[3], *halves, room_size,
        groups if gradients.by_head else 1, gradients.query.view(-1),
        gradients.key_sums.view(copies, -1), gradients.value_sums.view(copies, -1),
        None if gradients.key is None else gradients.key.view(-1),
        None if gradients.value is None else gradients.value.view(-1),
        EMPTY[like.dtype] if products is None else products.view(-1), checks, scratch, work=work, parts=parts,
    )  # fmt: skip
    return checks


def _is_half(*tensors: Tensor) -> bool:
    """Whether any of the tensors is in half precision."""
    return any(one.dtype in HALVES for one in tensors)
