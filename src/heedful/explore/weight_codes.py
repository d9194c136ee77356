"""Weights in one byte each, compressed as text for a page: square roots, so that small weights keep their digits."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS: Final = 255
SIGNED_LEVELS: Final = 127
USED: Final = np.array([0, 1, *range(2, 64, 2), *range(64, 256)], np.uint8)
"""The codes of weights without a sign. Near 0 every second one, since steps are much smaller there than near 1 and
fewer codes are packed a tenth smaller."""
MAX_SUM_ERROR: Final = 0.01
"""Largest share by which the sum of a row of codes may be off; rows beyond are rounded with the error carried on."""

Codes = NDArray[np.uint8]


class CodedWeights(NamedTuple):
    """Codes c of weights w: w = top · (c / 255)², or with a sign top · sign(c - 128) · ((c - 128) / 127)²."""

    codes: Codes
    top: float
    signed: bool

    def decoded(self) -> NDArray[np.float32]:
        """Return the weights that the codes stand for."""
        levels = SIGNED_LEVELS if self.signed else LEVELS
        part = (np.arange(256, dtype=np.float64) - (128 if self.signed else 0)) / levels
        table = (self.top * np.sign(part) * part**2).astype(np.float32)
        return table[self.codes]


def largest_of(weights: Sequence[NDArray[Any]], *, signed: bool) -> float:
    """Return the weight that the largest code stands for: 1 for weights from 0 to 1, else the largest absolute one."""
    largest = max((float(np.abs(each).max(initial=0.0)) for each in weights), default=0.0)
    return 1.0 if largest <= 1.0 and not signed else largest or 1.0


def code_weights(
    weights: NDArray[Any], *, top: float | None = None, signed: bool | None = None
) -> CodedWeights:
    """Return codes of weights (..., keys): each off by less than top / 255, each row sum by about 1 % at most.

    `top` and `signed` are found from the weights unless they are given, as for several arrays of one scale. A weight is
    rounded to the nearest code. Where that adds up to more than `MAX_SUM_ERROR` in a row, such as 1,000 equal weights,
    small ones are rounded up or down so that the error does not grow along the row. With a sign, weights have half as
    many levels.

    >>> coded = code_weights(np.array([[0.25, 0.75]]))
    >>> coded.codes.tolist(), (coded.decoded() * 255**2).round().tolist()
    ([[128, 221]], [[16384.0, 48841.0]])
    """
    signed = bool((weights < 0).any()) if signed is None else signed
    top = largest_of([weights], signed=signed) if top is None else top
    share = np.asarray(weights, np.float32) / np.float32(top)
    if signed:
        roots = np.sign(share) * np.sqrt(np.abs(share))
        return CodedWeights((128 + np.rint(SIGNED_LEVELS * roots)).astype(np.uint8), top, True)
    roots = np.sqrt(share)
    roots *= 2 * LEVELS
    codes = _NEAREST[roots.astype(np.uint16)]
    rows, shares = codes.reshape(-1, codes.shape[-1]), share.reshape(-1, codes.shape[-1])
    sums = shares.sum(axis=-1)
    off = np.abs(_squares(rows).sum(axis=-1) - sums) > MAX_SUM_ERROR * sums
    if off.any():
        rows[off] = _carried(rows[off], shares[off])
    return CodedWeights(codes, top, False)


_SQUARES: Final = ((np.arange(256) / LEVELS) ** 2).astype(np.float32)
_MIDDLES: Final = np.arange(2 * LEVELS + 1) / 2 + 0.25
_NEAREST: Final = USED[np.abs(_MIDDLES[:, None] - USED).argmin(axis=1)]
"""By twice the code, rounded down, since the nearest code changes at halves alone."""
_BELOW: Final = USED[np.searchsorted(USED, np.arange(256), side="right") - 1]
_ABOVE: Final = USED[np.minimum(np.searchsorted(USED, np.arange(256), side="right"), len(USED) - 1)]


def _squares(codes: Codes) -> NDArray[np.float32]:
    return _SQUARES[codes]


def _carried(nearest: Codes, shares: NDArray[np.float32]) -> Codes:
    """Round rows so that errors cancel along them, except those of large weights, whose steps are too wide."""
    found = np.ascontiguousarray(nearest.T)
    columns = np.ascontiguousarray(shares.T)
    large = found >= LEVELS // 2
    error = np.where(large, _squares(found) - columns, np.float32(0)).sum(axis=0)
    low = _BELOW[np.floor(LEVELS * np.sqrt(columns)).astype(np.uint8)]
    high = _ABOVE[low]
    for key, column in enumerate(columns):
        wanted = column - error
        below, above = _squares(low[key]), _squares(high[key])
        up = above - wanted < wanted - below
        up &= column > 0
        chosen = np.where(large[key], found[key], np.where(up, high[key], low[key]))
        error += np.where(large[key], np.float32(0), _squares(chosen) - column)
        found[key] = chosen
    return found.T


def packed(values: NDArray[Any]) -> str:
    """Return the bytes of an array, zlib-compressed, in base64.

    Runs and Huffman codes alone: of weights these are smaller than with a search for repetitions, and faster.

    >>> zlib.decompress(base64.b64decode(packed(np.frombuffer(b"abc", np.uint8))))
    b'abc'
    """
    compressor = zlib.compressobj(6, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    data = compressor.compress(np.ascontiguousarray(values).data) + compressor.flush()
    return base64.b64encode(data).decode("ascii")


def byte_planes(values: NDArray[Any]) -> Codes:
    """Return the first bytes of all float32 numbers, then the second ones and so on, which compresses better.

    >>> byte_planes(np.array([1.0, 1.5])).tolist()
    [[0, 0], [0, 0], [128, 192], [63, 63]]
    """
    return np.ascontiguousarray(values, "<f4").reshape(-1, 1).view(np.uint8).T.copy()


def row_statistics(weights: NDArray[Any]) -> NDArray[np.float32]:
    r"""Return of each row of weights (heads, queries, keys) its sum, largest and effective number of positions.

    The last is :math:`\exp(-\sum_j p_j \ln p_j)` of the shares p of the row: 1 for one position, n for n equal ones; it
    is rounded to three digits.
    The result is (heads, queries, 3), with the mean over heads as one more head if there are several.

    >>> row_statistics(np.array([[[0.5, 0.5, 0.0]]])).tolist()
    [[[1.0, 0.5, 2.0]]]
    """
    found = [_statistics(head) for head in weights]
    if len(weights) > 1:
        found.append(_statistics(weights.mean(axis=0)))
    return np.stack(found)


def _statistics(weights: NDArray[Any]) -> NDArray[np.float32]:
    size = np.abs(weights, dtype=np.float32)
    total = np.maximum(size.sum(axis=-1, keepdims=True), np.finfo(np.float32).tiny)
    share = size / total
    # 0 · ln 0 = 0
    logs = np.log(np.maximum(share, np.finfo(np.float32).tiny))
    spread = np.exp(-np.einsum("qk,qk->q", share, logs)).astype(np.float16)
    return np.stack([weights.sum(axis=-1), size.max(axis=-1), spread], axis=-1).astype(np.float32)
