"""Forward and backward pass of banded attention over inner products: by compiled kernels, or by plain mathematics."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from torch.nn import functional as F

from heedful.ops.backends.band.gradients import BandGradients, run_backward
from heedful.ops.backends.band.launch import (
    BandSpec,
    Piece,
    num_blocks,
    run_forward,
    tile_keys,
)
from heedful.ops.backends.band.plain import plain_blocks
from heedful.ops.backends.band.shape import ROWS
from heedful.ops.backends.band.sparse_launch import (
    run_sparse_backward,
    run_sparse_forward,
)
from heedful.ops.double_backward import differentiable_gradients
from heedful.ops.finite import all_finite

SUM_BYTES = 4
"""Bytes of a number that sums of gradients in half precision would take."""
PLAIN_BYTES = 2**24
"""Largest size of the scores that the plain form differentiates at a time; several tensors of that size exist."""
Operands = tuple[Tensor, Tensor, Tensor, Tensor | None]
"""Query, key and value (batch, heads, length, features), features contiguous and a multiple of WIDTH; and what the
normalizer has for each head, (batch, heads): attention sinks, or α − 1 in float64 of sparsemax and entmax, or None."""
Results = tuple[Tensor, Tensor, Tensor]
"""Output (batch, heads, query, value), logsumexp (batch, heads, query), and weights (batch, heads, query, key) or (0,)
where they are not wanted."""
Pieces = Callable[[int], Iterable[Piece | range]]
"""Yields all blocks, anew in each pass; a range holds blocks in which every pair is hidden. The argument is a number of
bytes that what belongs to a piece may take in any case."""


@dataclass(frozen=True, eq=False, slots=True)
class BandArguments:
    """Non-tensor arguments of forward and backward."""

    spec: BandSpec
    pieces: Pieces
    needs_weights: bool
    is_sparse: bool = False
    """Whether it normalizes by sparsemax or entmax; otherwise by softmax."""

    @classmethod
    def of_whole(
        cls, query: Tensor, distance_bias: Tensor, tiles: Tensor | None, limits: Tensor | None,
        left: int, right: int, scale: float, cap: float, masked: bool, needs_weights: bool,
    ) -> BandArguments:  # fmt: skip
        """All blocks as one piece."""
        piece = Piece(0, num_blocks(query.shape[2]), tiles)
        spec = BandSpec(left, right, scale, distance_bias.contiguous(), limits, masked, cap)
        return cls(spec, lambda _: (piece,), needs_weights)

    def forward(self, operands: Operands) -> Results:
        """Attend to all blocks."""
        query, key, value, per_head = operands
        shape = query.shape[:3]
        like = self.spec.distance_bias  # in the dtype that the kernels compute in
        output, logsumexp = value.new_empty(*shape, value.shape[3]), like.new_empty(shape)
        weights = like.new_zeros(*shape, key.shape[2]) if self.needs_weights else like.new_empty(0)
        results, is_finite = (output, logsumexp, weights), True
        for piece in self.pieces(0):
            if isinstance(piece, range):
                rows = slice(piece.start * ROWS, piece.stop * ROWS)
                output[:, :, rows] = 0
                logsumexp[:, :, rows] = 0 if per_head is None else per_head.detach()[..., None]
                continue
            if not self.is_sparse:
                checks = run_forward(query, key, value, per_head, self.spec, piece, results)
            else:
                assert per_head is not None
                checks = run_sparse_forward(
                    query, key, value, per_head, self.spec, piece, output, weights
                )
            is_finite = is_finite and math.isfinite(checks.sum().item())
        if is_finite or all_finite(output, *([weights] if self.needs_weights else [])):
            return results
        # Something came from behind the mask, or what is kept is not finite: the plain form distinguishes them.
        with torch.no_grad():
            output, weights = self.plain(operands)
        return output, logsumexp, weights

    def plain(self, operands: Sequence[Tensor | None]) -> tuple[Tensor, Tensor]:
        """Output and weights by plain mathematics; (0,) for weights that are not wanted."""
        _, key, value, _ = operands
        assert key is not None
        assert value is not None
        keys = key.shape[2]
        outputs, weights = [], []
        blocks = plain_blocks(
            self._wide(operands), self.spec, self.pieces(0), is_sparse=self.is_sparse
        )
        for block in blocks:
            outputs.append(block.output)
            if self.needs_weights:
                weights.append(F.pad(block.weights, (block.first, keys - block.last)))
        output = torch.cat(outputs, 2)
        whole = torch.cat(weights, 2) if self.needs_weights else output.new_empty(0)
        return output.to(value.dtype), whole

    def _wide(self, operands: Sequence[Tensor | None]) -> list[Tensor | None]:
        """The operands, query, key and value in the dtype that is computed in."""
        dtype = self.spec.distance_bias.dtype
        return [*(None if one is None else one.to(dtype) for one in operands[:3]), operands[3]]

    def backward(
        self, operands: Operands, output: Tensor, logsumexp: Tensor,
        output_gradient: Tensor | None, weights_gradient: Tensor | None,
    ) -> Operands:  # fmt: skip
        """Gradients of the operands."""
        if output_gradient is None or weights_gradient is not None:
            return self._plain_backward(operands, output_gradient, weights_gradient)
        query, key, value, per_head = operands
        pieces = iter(self.pieces(SUM_BYTES * (key.numel() + value.numel())))
        first = next(pieces)
        is_whole = isinstance(first, Piece) and first.count == num_blocks(query.shape[2])
        gradients = BandGradients.of(query, key, value, self.spec, is_whole=is_whole)
        results = (output, logsumexp, output_gradient.resolve_neg().contiguous())
        # For each query what the gradient of its head's sink or α is the sum of.
        shares = None
        if per_head is not None and (per_head.requires_grad or not self.is_sparse):
            shares = per_head.new_zeros(logsumexp.shape)
        is_finite = True
        for piece in chain((first,), pieces):
            if isinstance(piece, range):
                gradients.query[:, :, piece.start * ROWS : piece.stop * ROWS] = 0
            elif self.is_sparse:
                assert per_head is not None
                run_sparse_backward(
                    query, key, value, per_head, self.spec, piece, results[2], gradients, shares
                )
                is_finite = False  # it is not checked on the way
            else:
                checks = run_backward(
                    query, key, value, self.spec, piece, results, gradients, shares
                )
                is_finite = is_finite and math.isfinite(checks.sum().item())
        totals = gradients.totals()
        if (is_finite and gradients.are_sums_finite()) or all_finite(*totals):
            if self.is_sparse:
                return *totals, None if shares is None else shares.sum(-1)
            return *totals, _sink_gradient(per_head, logsumexp, shares)
        return self._plain_backward(operands, output_gradient, None)

    def _plain_backward(
        self, operands: Operands, output_gradient: Tensor | None, weights_gradient: Tensor | None
    ) -> Operands:
        """Gradients by plain mathematics, of as many blocks at a time as `PLAIN_BYTES` allows."""
        queries, keys = (one.shape for one in operands[:2])
        reach = min(keys[2], tile_keys(self.spec.left, self.spec.right))
        width = self.spec.distance_bias.element_size()
        scores = queries[0] * queries[1] * ROWS * reach * width
        leaves = [
            None if one is None else one.detach().requires_grad_() for one in self._wide(operands)
        ]
        sources = [one for one in leaves if one is not None]
        totals = [torch.zeros_like(one) for one in sources]
        for piece in self.pieces(0):
            if isinstance(piece, range):
                continue
            for part in piece.split(max(1, PLAIN_BYTES // max(1, scores))):
                made: list[Tensor] = []
                upstream: list[Tensor] = []
                with torch.enable_grad():
                    for block in plain_blocks(leaves, self.spec, (part,), is_sparse=self.is_sparse):
                        rows = slice(block.start, block.stop)
                        if output_gradient is not None:
                            made.append(block.output)
                            upstream.append(output_gradient[:, :, rows].to(block.output.dtype))
                        if weights_gradient is not None:
                            made.append(block.weights)
                            upstream.append(weights_gradient[:, :, rows, block.first : block.last])
                found = torch.autograd.grad(made, sources, upstream, allow_unused=True)
                for total, gradient in zip(totals, found, strict=True):
                    if gradient is not None:  # the weights do not depend on the value
                        total += gradient
        sums = iter(totals)
        query, key, value, per_head = (
            None if one is None else next(sums).to(one.dtype) for one in operands
        )
        assert query is not None
        assert key is not None
        assert value is not None
        return query, key, value, per_head

    def differentiable_backward(
        self, operands: Operands, output_gradient: Tensor | None, weights_gradient: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        """Gradients of the operands that can themselves be differentiated."""
        upstream = [output_gradient, weights_gradient]

        def function(*operands: Tensor | None) -> list[Tensor]:
            made = self.plain(operands)
            return [one for one, wanted in zip(made, upstream, strict=True) if wanted is not None]

        return differentiable_gradients(
            function, operands, [one for one in upstream if one is not None]
        )


def _sink_gradient(
    sinks: Tensor | None, logsumexp: Tensor, products: Tensor | None
) -> Tensor | None:
    """The gradient of the sinks, (batch, heads): a sink is a key of value 0, of weight exp(sink − logsumexp).

    `products` are the inner products of the outputs and their gradients.
    """
    if sinks is None or products is None:
        return None
    return -((sinks[..., None] - logsumexp).exp() * products).sum(-1)
