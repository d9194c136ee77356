"""What the kernels for windows compute, by plain mathematics: differentiable any number of times, safe of NaN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from heedful.ops.backends.band.forward import ROWS
from heedful.ops.backends.band.launch import Piece, Window
from heedful.ops.backends.reference import cleanse, repeat_bad
from heedful.ops.call import repeat_heads
from heedful.ops.normalizers import Softmax


def plain_attention(
    operands: Sequence[Tensor], window: Window, pieces: Iterable[Piece | range]
) -> Tensor:
    """Output (batch, heads, query, value) of query, key and value, of the queries in the blocks of the pieces."""
    query, key, value = operands
    groups = query.shape[1] // key.shape[1]
    (query, bad_query), (key, bad_key), (value, bad_value) = (
        cleanse(one) if window.hides else (one, torch.zeros_like(one[..., 0], dtype=torch.bool))
        for one in operands
    )
    bad_key = repeat_bad(bad_key | bad_value, groups)
    key, value = repeat_heads(key, groups), repeat_heads(value, groups)
    outputs = []
    for start, stop, first, last, bias in _blocks(query.shape[2], key.shape[2], window, pieces):
        keep = bias != -torch.inf
        products = query[:, :, start:stop] @ key[:, :, first:last].mT
        weights = Softmax().weights(products * window.scale + torch.where(keep, bias, 0.0), keep)
        output = weights @ value[:, :, first:last]
        bad = bad_query[:, :, start:stop, None] | bad_key[:, :, None, first:last]
        outputs.append(torch.where((keep & bad).any(-1, keepdim=True), torch.nan, output))
    return torch.cat(outputs, 2)


def _blocks(
    queries: int, keys: int, window: Window, pieces: Iterable[Piece | range]
) -> Iterator[tuple[int, int, int, int, Tensor]]:
    """Of each block: its queries, its keys, and what is added, (batch or 1, heads or 1, queries, keys)."""
    device = window.near.device
    for piece in pieces:
        numbers = (
            piece if isinstance(piece, range) else range(piece.first, piece.first + piece.count)
        )
        for number in numbers:
            start, stop = number * ROWS, min(queries, number * ROWS + ROWS)
            first = min(keys, max(0, start - window.left))
            last = max(first, min(keys, stop + window.right))
            row = torch.arange(start, stop, device=device)[:, None]
            column = torch.arange(first, last, device=device)
            if isinstance(piece, range):
                bias = window.near.new_full((1, 1, stop - start, last - first), -torch.inf)
            else:
                bias = window.near[None, :, row - column + window.base]
                if piece.added is not None:
                    at = first - (start - window.left)
                    tile = piece.added[:, :, number - piece.first, at : at + last - first]
                    bias = bias + tile[..., : stop - start].mT
            if window.limits is not None:
                bias = torch.where(column < window.limits[:, :, None, None], bias, -torch.inf)
            yield start, stop, first, last, bias
