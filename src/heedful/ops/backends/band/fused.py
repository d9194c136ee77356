"""Windowed softmax attention by inner products: compiled kernels as one operator, plain mathematics where they fail."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from heedful.ops.backends.band.forward import ROWS
from heedful.ops.backends.band.launch import (
    Gradients,
    Piece,
    Window,
    num_blocks,
    run_backward,
    run_forward,
)
from heedful.ops.backends.band.plain import plain_attention
from heedful.ops.double_backward import alias_for_grad
from heedful.ops.finite import all_finite, is_batched
from heedful.ops.jit.operators import Operator

PLAIN_BYTES = 2**24
"""What the scores may take of which plain mathematics forms gradients at a time; it keeps some others of that size."""
Pieces = Callable[[], Iterable[Piece | range]]
"""What makes the pieces of a call, once for each pass: a range is of blocks that see nothing."""


def windowed(operands: Sequence[Tensor], window: Window, added: Tensor | None) -> Tensor:
    """Output (batch, heads, query, value) of query, key, value (batch, heads, length, features), in whole vectors.

    `added` is that of a `Piece` of all blocks. What is not finite behind a mask reaches nothing, as everywhere.
    """
    output: Tensor = _attention(
        *operands, window.near, added, window.limits, window.left, window.right, window.scale,
        window.hides,
    )[0]  # fmt: skip
    return output


def windowed_by_pieces(
    operands: Sequence[Tensor], window: Window, pieces: Pieces, held: Sequence[Tensor]
) -> Tensor:
    """The same where what is added is too much to exist at once; `held` is what pieces are made of, in both passes."""
    job = Job(window, pieces)
    output: Tensor = _InPieces.apply(*operands, job, *held)  # type: ignore[no-untyped-call]
    return output


@dataclass(frozen=True, eq=False)
class Job:
    """What both passes want to know besides tensors."""

    window: Window
    pieces: Pieces

    @classmethod
    def whole(
        cls, query: Tensor, near: Tensor, added: Tensor | None, limits: Tensor | None, *sides: Any
    ) -> Job:
        """All blocks as one piece."""
        left, right, scale, hides = sides
        piece = Piece(0, num_blocks(query.shape[2]), added)
        return cls(Window(left, right, scale, near.contiguous(), limits, hides), lambda: (piece,))

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Output and logsumexp."""
        shape = query.shape[:3]
        output, logsumexp = query.new_empty(*shape, value.shape[3]), query.new_empty(shape)
        sums: list[Tensor] = []
        for piece in self.pieces():
            if isinstance(piece, range):
                for one in (output, logsumexp):
                    one[:, :, piece.start * ROWS : piece.stop * ROWS] = 0
                continue
            sums.append(run_forward(query, key, value, self.window, piece, output, logsumexp))
        if not (all(math.isfinite(one.sum().item()) for one in sums) or all_finite(output)):
            # Something hidden came through, or what is seen is not finite: the mathematics knows which.
            with torch.no_grad():
                output = plain_attention((query, key, value), self.window, self.pieces())
        return output, logsumexp

    def backward(
        self, inputs: tuple[Tensor, ...], output: Tensor, logsumexp: Tensor, direction: Tensor
    ) -> tuple[Tensor, ...]:
        """Gradients of query, key and value."""
        query, key, value = inputs
        into = Gradients.of(query, key, value, self.window)
        after = (output, logsumexp, direction.resolve_neg().contiguous())
        for piece in self.pieces():
            if isinstance(piece, range):
                into.query[:, :, piece.start * ROWS : piece.stop * ROWS] = 0
            else:
                run_backward(query, key, value, self.window, piece, after, into)
        found = into.totals()
        if all_finite(*found):
            return found
        return self._backward_plainly(inputs, direction)

    def _backward_plainly(self, inputs: Sequence[Tensor], direction: Tensor) -> tuple[Tensor, ...]:
        """Gradients by plain mathematics, of as many blocks at a time as leave scores few."""
        query, key, _ = inputs
        reach = min(key.shape[2], self.window.tile_keys)
        scores = query.shape[0] * query.shape[1] * ROWS * reach * query.element_size()
        leaves = [one.detach().requires_grad_() for one in inputs]
        totals = tuple(torch.zeros_like(one) for one in leaves)
        for piece in self.pieces():
            if isinstance(piece, range):
                continue
            for part in piece.cut(max(1, PLAIN_BYTES // max(1, scores))):
                with torch.enable_grad():
                    made = plain_attention(leaves, self.window, (part,))
                first = part.first * ROWS
                asked = direction[:, :, first : first + made.shape[2]]
                found = torch.autograd.grad(made, leaves, asked)
                for total, more in zip(totals, found, strict=True):
                    total += more
        return totals

    def differentiable(
        self, inputs: Sequence[Tensor], wanted: Sequence[bool], direction: Tensor
    ) -> list[Tensor | None]:
        """Gradients that can themselves be differentiated."""
        with torch.enable_grad():
            own = [alias_for_grad(one) for one in inputs]
            output = plain_attention(own, self.window, self.pieces())
            asked = [one for one, wants in zip(own, wanted, strict=True) if wants]
            found = iter(torch.autograd.grad(output, asked, direction, create_graph=True))
        return [next(found) if wants else None for wants in wanted]


class _InPieces(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, job: Job, *held: Tensor
    ) -> Tensor:
        output, logsumexp = job.forward(query, key, value)
        # Kept so that autograd sees it where one is changed before the backward pass reads it.
        # It keeps none that was made in inference mode.
        watched = [one for one in held if not one.is_inference()]
        ctx.save_for_backward(query, key, value, output, logsumexp, *watched)
        ctx.job, ctx.held = job, len(held)
        return output

    @staticmethod
    def backward(ctx: Any, direction: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, output, logsumexp = ctx.saved_tensors[:5]
        inputs, rest = (query, key, value), (None,) * (1 + ctx.held)
        if torch.is_grad_enabled() or is_batched(direction):
            wanted = ctx.needs_input_grad[:3]
            return (*ctx.job.differentiable(inputs, wanted, direction), *rest)
        return (*ctx.job.backward(inputs, output, logsumexp, direction), *rest)


def _forward(query: Tensor, key: Tensor, value: Tensor, *told: Any) -> tuple[Tensor, Tensor]:
    return Job.whole(query, *told).forward(query, key, value)


def _fake_forward(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return query.new_empty(*query.shape[:3], value.shape[3]), query.new_empty(query.shape[:3])


def _gradients(*arguments: Any) -> tuple[Tensor, ...]:
    return Job.whole(arguments[0], *arguments[3:10]).backward(arguments[:3], *arguments[10:])


def _fake_gradients(*arguments: Any) -> tuple[Tensor, ...]:
    return tuple(one.new_empty(one.shape) for one in arguments[:3])


def _keep(ctx: Any, inputs: Sequence[Any], output: Any) -> None:
    ctx.save_for_backward(*inputs[:6], *output)
    ctx.sides = inputs[6:10]
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, direction: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    query, key, value, near, added, limits, output, logsumexp = ctx.saved_tensors
    found: Sequence[Tensor | None] = (None, None, None)
    if direction is not None and (torch.is_grad_enabled() or is_batched(direction)):
        job = Job.whole(query, near, added, limits, *ctx.sides)
        found = job.differentiable((query, key, value), ctx.needs_input_grad[:3], direction)
    elif direction is not None:
        told = (near, added, limits, *ctx.sides, output, logsumexp, direction)
        found = _attention_backward(query, key, value, *told)
    return (*found, *(None,) * 7)


_INPUTS = (
    "Tensor query, Tensor key, Tensor value, Tensor near, Tensor? added, Tensor? limits, "
    "SymInt left, SymInt right, float scale, bool hides"
)
_attention = Operator(
    f"windowed_attention({_INPUTS}) -> (Tensor, Tensor)", _forward, _fake_forward, _keep, _backward
)
_attention_backward = Operator(
    f"windowed_attention_backward({_INPUTS}, Tensor output, Tensor logsumexp, Tensor direction) "
    "-> (Tensor, Tensor, Tensor)",
    _gradients,
    _fake_gradients,
)
