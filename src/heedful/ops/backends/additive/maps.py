# mypy: disallow-untyped-defs=false, check-untyped-defs=false
"""Small linear maps of queries and keys to features, and their gradients: both in one kernel launch.

For sizes at which the overhead of a BLAS call takes as long as the product. Matrices are reread from the cache, so they
must be small; see `suits`.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from heedful.ops.backends.additive.linear import multiply
from heedful.ops.backends.additive.pair import SUMS, tile_function
from heedful.ops.jit.kernel import kernel, launch, offset_view, parts_for, transpose_block
from heedful.ops.jit.processor import has_wide_vectors
from heedful.ops.jit.scratch import scratch
from heedful.ops.jit.source import LANES

MOST = 2**17
"""Maximum number of elements of a matrix, so that it stays in the cache."""
NANOSECONDS = 0.012
"""Nanoseconds of a multiply-add on one core."""


_is_wide = cache(has_wide_vectors)


def suits(
    query: Tensor, query_weight: Tensor | None, key: Tensor, key_weight: Tensor | None
) -> bool:
    """Whether these kernels support both maps, (..., features) · (features, hidden); the key may have none."""
    if query_weight is None or not _is_wide() or query.dtype is not torch.float32:
        return False
    for tensor, weight in ((query, query_weight), (key, key_weight)):
        if weight is None:
            continue
        features, hidden = weight.shape
        if (
            not (tensor.is_contiguous() and weight.is_contiguous())
            or tensor.numel() > MOST
            or features * hidden > MOST
            or features % (2 * LANES)
            or hidden % (2 * LANES)
        ):
            return False
    return True


@tile_function
def mapped(part, parts, tensor, weight, result, features, hidden):
    """The rows of tensor · weight that belong to a thread."""
    rows = len(tensor) // features
    first, last = rows * part // parts, rows * (part + 1) // parts
    multiply(
        tensor, first * features, features, 1, weight, 0, hidden,
        result, first * hidden, hidden, last - first, features, hidden, True,
    )  # fmt: skip


@kernel(fastmath=SUMS, no_refcount=True)
def additive_maps(
    part, parts, query, query_weight, features, key, key_weight, others, hidden, a, b
):
    """Fill a and b, the results of both maps; `key_weight` may be None. All flat; a key has `others` features."""
    mapped(part, parts, query, query_weight, a, features, hidden)
    if key_weight is not None:
        mapped(part, parts, key, key_weight, b, others, hidden)


@tile_function
def unmapped(part, parts, tensor, weight, above, below, of_weight, features, hidden, transposed):
    """The rows of above · weightᵀ and of tensorᵀ · above that belong to a thread."""
    for h in range(0, hidden, LANES):
        for f in range(0, features, LANES):
            transpose_block(weight, f * hidden + h, hidden, transposed, h * features + f, features)
    rows = len(tensor) // features
    first, last = rows * part // parts, rows * (part + 1) // parts
    multiply(
        above, first * hidden, hidden, 1, transposed, 0, features,
        below, first * features, features, last - first, hidden, features, True,
    )  # fmt: skip
    first, last = features * part // parts, features * (part + 1) // parts
    multiply(
        tensor, first, 1, features, above, 0, hidden,
        of_weight, first * hidden, hidden, last - first, rows, hidden, True,
    )  # fmt: skip


@kernel(fastmath=SUMS, no_refcount=True)
def additive_unmaps(
    part, parts, query, query_weight, features, key, key_weight, others, hidden,
    of_a, of_b, of_query, of_query_weight, of_key, of_key_weight, scratch,
):  # fmt: skip
    """Fill the gradients of queries, keys and maps from those of a and b; `key_weight` may be None."""
    transposed = offset_view(scratch[part], 0)
    unmapped(
        part,
        parts,
        query,
        query_weight,
        of_a,
        of_query,
        of_query_weight,
        features,
        hidden,
        transposed,
    )
    if key_weight is not None:
        unmapped(
            part, parts, key, key_weight, of_b, of_key, of_key_weight, others, hidden, transposed
        )


def map_both(
    query: Tensor, query_weight: Tensor, key: Tensor, key_weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Both products (..., features) · (features, hidden); a key without a map is returned unchanged."""
    features, hidden = query_weight.shape
    a, b, others, work = query.new_empty(*query.shape[:-1], hidden), key, 0, query.numel() * hidden
    if key_weight is not None:
        others, work = len(key_weight), work + key.numel() * hidden
        b = key.new_empty(*key.shape[:-1], hidden)
    launch(
        additive_maps,
        query.view(-1),
        query_weight.view(-1),
        features,
        key.view(-1),
        None if key_weight is None else key_weight.view(-1),
        others,
        hidden,
        a.view(-1),
        b.view(-1),
        work=work * NANOSECONDS,
    )
    return a, b


def unmap_both(
    query: Tensor,
    query_weight: Tensor,
    key: Tensor,
    key_weight: Tensor | None,
    of_a: Tensor,
    of_b: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Gradients of query, key and both maps from those of the results of `map_both`."""
    features, hidden = query_weight.shape
    work, others = query.numel() * hidden, 0
    of_query, of_weight, of_key, of_other = (
        query.new_empty(query.shape),
        query_weight.new_empty(features, hidden),
        of_b,
        None,
    )
    if key_weight is not None:
        others, work = len(key_weight), work + key.numel() * hidden
        of_key, of_other = key.new_empty(key.shape), key_weight.new_empty(others, hidden)
    parts = parts_for(2 * work * NANOSECONDS)
    launch(
        additive_unmaps,
        query.view(-1),
        query_weight.view(-1),
        features,
        key.view(-1),
        None if key_weight is None else key_weight.view(-1),
        others,
        hidden,
        of_a.view(-1),
        of_b.view(-1),
        of_query.view(-1),
        of_weight.view(-1),
        of_key.view(-1),
        None if of_other is None else of_other.view(-1),
        scratch(parts, max(features, others) * hidden),
        work=2 * work * NANOSECONDS,
        parts=parts,
    )
    return of_query, of_key, of_weight, of_other
