"""Banded attention over inner products by plain mathematics, which can be differentiated any number of times.

It serves second derivatives, gradients of the weights, and calls in which something that is not finite must be kept
behind a mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from heedful.ops.backends.band.launch import BandSpec, Piece
from heedful.ops.backends.band.packing import block_factors, unpacked
from heedful.ops.backends.band.shape import ROWS
from heedful.ops.backends.reference import repeat_bad, zero_nonfinite
from heedful.ops.call import repeat_heads
from heedful.ops.normalizers import Entmax, Normalizer, SinkSoftmax, Softmax


class PlainBlock(NamedTuple):
    """A block of the plain form: queries `start` to `stop` (exclusive) and keys `first` to `last` (exclusive)."""

    start: int
    stop: int
    first: int
    last: int
    output: Tensor
    """(batch, heads, stop − start, value)."""
    weights: Tensor
    """(batch, heads, stop − start, last − first)."""


def plain_blocks(
    operands: Sequence[Tensor | None],
    spec: BandSpec,
    pieces: Iterable[Piece | range],
    *,
    is_sparse: bool = False,
) -> Iterator[PlainBlock]:
    """What the kernels compute, by plain mathematics, one block after the other."""
    query, key, value, per_head = operands
    assert query is not None
    assert key is not None
    assert value is not None
    normalizer = _normalizer(per_head, is_sparse=is_sparse)
    groups = query.shape[1] // key.shape[1]
    (query, bad_query), (key, bad_key), (value, bad_value) = (
        zero_nonfinite(one)
        if spec.masked
        else (one, torch.zeros_like(one[..., 0], dtype=torch.bool))
        for one in (query, key, value)
    )
    bad_key = repeat_bad(bad_key | bad_value, groups)
    key, value = repeat_heads(key, groups), repeat_heads(value, groups)
    for start, stop, first, last, bias in _biases(query.shape[2], key.shape[2], spec, pieces):
        keep = bias != -torch.inf
        scores = (query[:, :, start:stop] @ key[:, :, first:last].mT) * spec.scale
        if spec.cap:
            scores = spec.cap * (scores / spec.cap).tanh()
        scores = scores + torch.where(keep, bias, 0.0)
        weights = normalizer.weights(scores, keep.expand(scores.shape))
        kept = weights
        if spec.dropout is not None:
            kept = weights * block_factors(
                spec.dropout, scores, query.shape[2], key.shape[2], start, first
            )
        output = kept @ value[:, :, first:last]
        bad = bad_query[:, :, start:stop, None] | bad_key[:, :, None, first:last]
        bad_row = (keep & bad).any(-1, keepdim=True)
        output = torch.where(bad_row, torch.nan, output)
        weights = torch.where(bad_row & (weights != 0), torch.nan, weights)
        yield PlainBlock(start, stop, first, last, output, weights)


def _normalizer(per_head: Tensor | None, *, is_sparse: bool) -> Normalizer:
    """That of operands with these sinks, or with these α − 1."""
    if per_head is None:
        return Softmax()
    return Entmax(1 + per_head) if is_sparse else SinkSoftmax(per_head)


def _biases(
    queries: int, keys: int, spec: BandSpec, pieces: Iterable[Piece | range]
) -> Iterator[tuple[int, int, int, int, Tensor]]:
    """For each block its queries, its keys, and what is added, (batch or 1, heads or 1, query, key)."""
    device = spec.distance_bias.device
    for piece in pieces:
        for block in piece if isinstance(piece, range) else piece.blocks:
            start, stop = block * ROWS, min(queries, block * ROWS + ROWS)
            first = min(keys, max(0, start - spec.left))
            last = max(first, min(keys, stop + spec.right))
            row = torch.arange(start, stop, device=device)[:, None]
            column = torch.arange(first, last, device=device)
            if isinstance(piece, range):
                bias = spec.distance_bias.new_full((1, 1, stop - start, last - first), -torch.inf)
            else:
                bias = spec.distance_bias[None, :, row - column + spec.base]
                if piece.tiles is not None:
                    at = first - (start - spec.left)
                    tile = piece.tiles[:, :, block - piece.first, at : at + last - first]
                    bias = bias + tile[..., : stop - start].mT
                if piece.bias is not None:
                    rows = slice(None) if piece.bias.shape[2] == 1 else slice(start, stop)
                    bias = bias + piece.bias[:, :, rows, first:last]
                if piece.words is not None:
                    keep = unpacked(piece.words[:, :, block - piece.first, : last - first])
                    bias = torch.where(keep[..., : stop - start].mT, bias, -torch.inf)
            if spec.key_limits is not None:
                bias = torch.where(column < spec.key_limits[:, :, None, None], bias, -torch.inf)
            yield start, stop, first, last, bias
