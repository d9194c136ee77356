"""Runs the kernels of banded attention on tensors, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from heedful.ops.backends.band.forward import (
    COLUMNS,
    band_forward,
    forward_space,
    widening_space,
)
from heedful.ops.backends.band.shape import ROWS
from heedful.ops.backends.edges.dropout import EdgeDropout
from heedful.ops.jit.kernel import launch, parts_for
from heedful.ops.jit.source import LANES

FEATURE_NANOSECONDS, CELL_NANOSECONDS = 0.0105, 0.3
"""Forward time on one core of one feature of a query-key pair, and of the softmax of one pair."""
MARGIN = ROWS
"""Distances on either side of the window that a block of queries and its keys can reach."""
EMPTY = {
    dtype: torch.empty(0, dtype=dtype, device="cpu")
    for dtype in (torch.float32, torch.float64, torch.int32)
}
"""What the kernels get where there is none."""
Layout = tuple[tuple[int, ...], tuple[int, ...]]
"""Shape and strides of a tensor."""
NO_DROPOUT = 0, 0, 1.0
"""Seed, limit and scale that drop nothing."""
LIMIT = 7
"""Column of the head table that holds the number of keys a head may attend to."""


@dataclass(frozen=True, eq=False, slots=True)
class BandSpec:
    """Window, key limits and distance bias of a banded call.

    Query i may attend to the keys i − `left` to i + `right`, both inclusive; a side may be negative.
    """

    left: int
    right: int
    scale: float
    """Factor of the inner products."""
    distance_bias: Tensor
    """(heads or 1, `distance_bias_size`): what is added to the score of query q and key k, at q − k + `base`."""
    key_limits: Tensor | None = None
    """(batch or 1, heads or 1): the number of keys that may be attended to, as under padding. None: all of them."""
    masked: bool = True
    """Whether a mask or bias may hide pairs. Without one, NaN and infinity follow IEEE arithmetic."""
    cap: float = 0.0
    """Soft cap of the scaled inner products, before biases; 0: none."""
    dropout: EdgeDropout | None = None
    """Of the weights, after normalizing."""

    @property
    def base(self) -> int:
        """Index of distance 0 in `distance_bias`."""
        return self.right + MARGIN


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive blocks of queries, and the bias of their pairs that depends on more than the distance."""

    first: int
    count: int
    tiles: Tensor | None
    """(batch or 1, heads or 1, blocks, `tile_keys`, ROWS), the last three contiguous; minus infinity hides a pair."""
    words: Tensor | None = None
    """(batch or 1, heads or 1, blocks, `word_keys`), the last two contiguous: `heedful.ops.backends.band.words`."""
    bias: Tensor | None = None
    """(batch or 1, heads or 1, queries, keys) of the whole call, keys beside each other: added to the scores."""

    @property
    def blocks(self) -> range:
        """Indices of the blocks."""
        return range(self.first, self.first + self.count)

    def split(self, size: int) -> Iterator[Piece]:
        """The same blocks as pieces of at most `size`."""
        for start in range(0, self.count, size):
            stop = min(start + size, self.count)
            tiles = None if self.tiles is None else self.tiles[:, :, start:stop]
            words = None if self.words is None else self.words[:, :, start:stop]
            yield Piece(self.first + start, stop - start, tiles, words, self.bias)


def distance_bias_size(left: int, right: int) -> int:
    """Number of distances in `BandSpec.distance_bias`."""
    return left + right + 1 + 2 * MARGIN


def tile_keys(left: int, right: int) -> int:
    """Number of keys in a tile of `Piece.tiles`: the window of a block."""
    return ROWS + left + right


def word_keys(left: int, right: int, keys: int) -> int:
    """Number of keys in `Piece.words` of a block: those of its window that exist."""
    return min(keys, tile_keys(left, right))


def num_blocks(queries: int) -> int:
    """Number of blocks of that many queries."""
    return -(-queries // ROWS)


def run_forward(
    query: Tensor, key: Tensor, value: Tensor, sinks: Tensor | None, spec: BandSpec, piece: Piece,
    results: tuple[Tensor, Tensor, Tensor],
) -> Tensor:  # fmt: skip
    """Fill output (batch, heads, query, value), logsumexp (batch, heads, query) and weights of the piece's blocks.

    Query, key and value are (batch, heads, length, features), features contiguous and a multiple of WIDTH, and `sinks`
    (batch, heads). Weights are (batch, heads, query, key) and zero, or (0,) where they are not wanted: computing them
    leaves the other results as they are. Query, key, value and output may be in half precision, where all else is in
    float32. Returns sums of all numbers written, before rounding, which are finite only where those are.
    """
    output, logsumexp, weights = results
    work = work_of(query, key, value, spec, piece)
    parts = parts_for(work)
    checks = logsumexp.new_empty(parts * LANES)
    is_half = not query.dtype is key.dtype is logsumexp.dtype
    room = logsumexp.new_empty(parts * widening_space(query.shape[3]) if is_half else 0)
    scratch = logsumexp.new_empty(parts * forward_space(query.shape[3], value.shape[3]))
    launch(
        band_forward, 1, *kernel_arguments(query, key, value, spec, piece, flat_storage(query, key, value)),
        EMPTY[logsumexp.dtype] if sinks is None else sinks.detach().contiguous().view(-1),
        output.view(-1), logsumexp.view(-1), weights.view(-1), checks, scratch, room, work=work, parts=parts,
    )  # fmt: skip
    return checks


def kernel_arguments(
    query: Tensor, key: Tensor, value: Tensor, spec: BandSpec, piece: Piece, sources: list[Tensor],
) -> tuple[Tensor | int | float, ...]:  # fmt: skip
    """The arguments that both kernels share, from `first_block` to `pair_bias`.

    `sources` are query, key and value as arrays: their memory, or room to widen them into.
    """
    tiles, words, bias = piece.tiles, piece.words, piece.bias
    table = _head_table(
        query.shape, query.stride(), key.shape, key.stride(), value.stride(), spec.distance_bias.shape,
        None if tiles is None else (tiles.shape, tiles.stride()),
        None if words is None else (words.shape, words.stride()),
        None if bias is None else (bias.shape, bias.stride()),
    )  # fmt: skip
    if spec.key_limits is not None:
        table = table.clone()
        table[:, :, LIMIT] = spec.key_limits.clamp(0, key.shape[2])
    return (
        piece.first, piece.count, table.view(-1), query.shape[2], key.shape[2], query.shape[3], value.shape[3],
        tile_keys(spec.left, spec.right), query.stride(2), key.stride(2), value.stride(2),
        0 if bias is None or bias.shape[2] == 1 else bias.stride(2), spec.left, spec.right,
        spec.scale, spec.base, spec.cap,
        *(NO_DROPOUT if spec.dropout is None else _dropout_arguments(spec.dropout)),
        *sources, spec.distance_bias.view(-1),
        EMPTY[spec.distance_bias.dtype] if tiles is None else flat_storage(tiles)[0],
        EMPTY[torch.int32] if words is None else flat_storage(words)[0],
        EMPTY[spec.distance_bias.dtype] if bias is None else flat_storage(bias)[0],
    )  # fmt: skip


def _dropout_arguments(dropout: EdgeDropout) -> tuple[int, int, float]:
    """Seed, limit and scale for the kernels; the scale is 0 where everything is dropped."""
    if dropout.seed is None:
        return NO_DROPOUT
    return int(dropout.seed), dropout.limit, dropout.scale


@lru_cache(256)
def _head_table(
    query_shape: tuple[int, ...], query_stride: tuple[int, ...],
    key_shape: tuple[int, ...], key_stride: tuple[int, ...], value_stride: tuple[int, ...],
    bias_shape: tuple[int, ...], tiles: Layout | None, words: Layout | None, bias: Layout | None,
) -> Tensor:  # fmt: skip
    """The head table (batch, heads, COLUMNS), without key limits."""
    batch, heads, key_heads = query_shape[0], query_shape[1], key_shape[1]
    entry = torch.arange(batch, device="cpu")[:, None]
    head = torch.arange(heads, device="cpu")[None, :]
    key_head = head // (heads // key_heads)
    tile_stride, word_stride, bias_stride = (
        [0, 0]
        if one is None
        else [step if size > 1 else 0 for size, step in zip(*one, strict=True)]
        for one in (tiles, words, bias)
    )
    columns = [
        entry * query_stride[0] + head * query_stride[1],
        entry * key_stride[0] + key_head * key_stride[1],
        entry * value_stride[0] + key_head * value_stride[1],
        head * bias_shape[1] if bias_shape[0] > 1 else head * 0,
        entry * tile_stride[0] + head * tile_stride[1],
        entry * heads + head,
        entry * key_heads + key_head,
        torch.tensor(key_shape[2], device="cpu"),
        entry * word_stride[0] + head * word_stride[1],
        entry * bias_stride[0] + head * bias_stride[1],
    ]
    assert len(columns) == COLUMNS
    return torch.stack([column.expand(batch, heads) for column in columns], -1)


def flat_storage(*tensors: Tensor) -> list[Tensor]:
    """For each view all memory between its first and its last number, as one axis."""
    found = []
    for tensor in tensors:
        if tensor.is_contiguous():
            found.append(tensor.detach().view(-1))
            continue
        span = 1 if tensor.numel() else 0
        for size, step in zip(tensor.shape, tensor.stride(), strict=True):
            span += (size - 1) * step if tensor.numel() else 0
        found.append(tensor.detach().as_strided((span,), (1,)))
    return found


def work_of(query: Tensor, key: Tensor, value: Tensor, spec: BandSpec, piece: Piece) -> float:
    """Nanoseconds of the forward pass on one thread."""
    keys = min(key.shape[2], spec.left + spec.right + ROWS)
    cells = query.shape[0] * query.shape[1] * piece.count * ROWS * keys
    features = query.shape[3] + value.shape[3]
    return cells * (features * FEATURE_NANOSECONDS + CELL_NANOSECONDS)
