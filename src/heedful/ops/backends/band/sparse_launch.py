"""Runs the kernels of banded sparsemax and entmax attention on tensors, forward and backward."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.ops.backends.band.gradients import BandGradients
from heedful.ops.backends.band.launch import (
    EMPTY,
    BandSpec,
    Piece,
    flat_storage,
    kernel_arguments,
    tile_keys,
)
from heedful.ops.backends.band.shape import ROWS
from heedful.ops.backends.band.sparse import sparse_backward, sparse_forward, sparse_space
from heedful.ops.backends.base import wide_dtype
from heedful.ops.jit.kernel import launch, parts_for
from heedful.ops.jit.source import LANES
from heedful.ops.normalizers.sparse_kernel import BLOCK, nanoseconds

FEATURE_NANOSECONDS = 0.0105
"""Forward time on one core of one feature of a query-key pair."""
BACKWARD = 1.6
"""Backward time divided by forward time."""


def row_keys(left: int, right: int, keys: int) -> int:
    """Numbers of a row of a block's scores: the keys that any of its queries may attend to, as whole vectors."""
    reach = max(0, min(keys, tile_keys(left, right)))
    return -(-reach // LANES) * LANES


def part_bytes(reach: int, dtype: torch.dtype) -> int:
    """Bytes that each part of the work needs for rows of so many numbers.

    Those are scores, candidates, columns, gradients and products.
    """
    return reach * (ROWS * wide_dtype(dtype).itemsize + 8 + 4 + 16)


def run_sparse_forward(
    query: Tensor, key: Tensor, value: Tensor, excess: Tensor, spec: BandSpec, piece: Piece,
    output: Tensor, weights: Tensor,
) -> Tensor:  # fmt: skip
    """Fill output and weights of the piece's blocks; shapes and result as of `run_forward`, tensors in one dtype.

    `excess` is α − 1 of each head, (batch, heads), in float64.
    """
    excess = excess.detach().contiguous()
    work = _work(query, key, excess, spec, piece)
    parts = parts_for(work)
    checks = output.new_empty(parts * LANES)
    shared = kernel_arguments(query, key, value, spec, piece, flat_storage(query, key, value))
    launch(
        sparse_forward, 1, *shared, excess.view(-1),
        output.view(-1), weights.view(-1), checks, *_rooms(query, key, spec, parts), work=work, parts=parts,
    )  # fmt: skip
    return checks


def run_sparse_backward(
    query: Tensor, key: Tensor, value: Tensor, excess: Tensor, spec: BandSpec, piece: Piece,
    output_gradient: Tensor, gradients: BandGradients, alpha_gradient: Tensor | None,
) -> None:  # fmt: skip
    """Add the gradients of the piece's blocks; `output_gradient` is contiguous.

    `alpha_gradient` (batch, heads, query), in float64, receives what each query adds to the gradient of α.
    """
    excess = excess.detach().contiguous()
    work = BACKWARD * _work(query, key, excess, spec, piece)
    parts, copies = parts_for(work), gradients.key_sums.shape[0]
    if copies > 1:
        parts = min(parts, copies)
    groups = query.shape[1] // key.shape[1]
    grain = groups * piece.count if gradients.by_head else 1
    rooms = _rooms(query, key, spec, parts)
    more = query.new_empty(parts, 2, rooms[-1].shape[1], dtype=torch.float64)
    shared = kernel_arguments(query, key, value, spec, piece, flat_storage(query, key, value))
    launch(
        sparse_backward, grain, *shared, excess.view(-1),
        output_gradient.view(-1), gradients.query.view(-1), gradients.key_sums.view(copies, -1),
        gradients.value_sums.view(copies, -1),
        EMPTY[torch.float64] if alpha_gradient is None else alpha_gradient.view(-1), *rooms, more,
        work=work, parts=parts,
    )  # fmt: skip


def _rooms(query: Tensor, key: Tensor, spec: BandSpec, parts: int) -> tuple[Tensor, ...]:
    """Memory for the parts: scratch, the scores of a block twice as one memory, candidates and their columns."""
    reach = row_keys(spec.left, spec.right, key.shape[2])
    rows = query.new_empty(parts, ROWS, reach)
    return (
        query.new_empty(parts * sparse_space(query.shape[3])),
        rows.view(-1),
        rows,
        query.new_empty(parts, reach + BLOCK, dtype=torch.float64),
        query.new_empty(parts, reach + BLOCK, dtype=torch.int32),
    )


def _work(query: Tensor, key: Tensor, excess: Tensor, spec: BandSpec, piece: Piece) -> float:
    """Nanoseconds of the forward pass on one thread."""
    keys = min(key.shape[2], spec.left + spec.right + ROWS)
    cells = query.shape[0] * query.shape[1] * piece.count * ROWS * keys
    return cells * (query.shape[3] * FEATURE_NANOSECONDS + nanoseconds(excess))
