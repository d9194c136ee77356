"""Log-probabilities of the extensions of hypotheses, and the best of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from heedful.ops.decoding.logits import (
    BEST_NANOSECONDS,
    LOGSUMEXP_NANOSECONDS,
    row_best,
    row_logsumexp,
)
from heedful.ops.jit.kernel import launch, unavailable

BLOCK: Final = 64
"""Columns of which the maximum is taken first; about the square root of the size of a vocabulary."""
ROWS: Final = 64
"""Hypotheses whose logits are computed at once: 2.5 MB of them for a vocabulary of 10,000."""
MOST_INSERTED: Final = 32
"""Largest tokens of a row that are found by insertion; the time grows with their square."""


@dataclass(frozen=True)
class Extensions:
    """Scores of the extensions of each hypothesis by each token, not yet normalized.

    Normalizing only the chosen ones saves writing the log-probabilities of all tokens.
    """

    logits: Tensor
    """(rows, tokens); -inf of what is not allowed."""
    normalizer: Tensor | None
    """(rows,), subtracted from the logits; None: they are log-probabilities."""

    @classmethod
    def of(cls, logits: Tensor) -> Extensions:
        """Return the extensions for logits (rows, tokens); their log-probabilities are those of a softmax."""
        return cls(logits, logsumexp(logits))

    def best(self, width: int) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and tokens of the best extensions of each row, best first: (rows, width) each.

        >>> values, tokens = Extensions.of(torch.tensor([[0.0, 2.0, 1.0]])).best(2)
        >>> tokens.tolist()
        [[1, 2]]
        """
        values, tokens = top_k(self.logits, min(width, self.logits.shape[1]))
        if self.normalizer is not None:
            values = values - self.normalizer[:, None]
        return values, tokens

    def at(self, rows: Tensor, tokens: Tensor) -> Tensor:
        """Return the log-probabilities of some extensions: (chosen,), (chosen,) -> (chosen,)."""
        values = self.logits[rows, tokens]
        return values if self.normalizer is None else values - self.normalizer[rows]


@dataclass(frozen=True)
class BestExtensions:
    """The best extensions of each hypothesis alone."""

    values: Tensor
    """(rows, width), log-probabilities, largest first."""
    tokens: Tensor
    """(rows, width)."""

    def best(self, width: int) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and tokens; `width` is at least that of this."""
        return self.values, self.tokens


def best_extensions(
    score: Callable[[Tensor], Extensions],
    states: Tensor,
    width: int,
    exclude: Callable[[Tensor, slice], None],
) -> BestExtensions:
    """Return the best extensions, from some rows at a time, so that their logits stay in the processor's caches.

    Args:
        score: states (rows, features) -> the scores of their extensions.
        states: (rows, features).
        width: extensions of each hypothesis.
        exclude: sets logits of tokens that are not allowed to -inf, in place, given those of some rows.
    """
    parts = []
    for start in range(0, max(len(states), 1), ROWS):
        rows = slice(start, start + ROWS)
        extensions = score(states[rows])
        exclude(extensions.logits, rows)
        parts.append(extensions.best(width))
    values, tokens = zip(*parts, strict=True)
    return BestExtensions(torch.cat(values), torch.cat(tokens))


def _is_compiled(logits: Tensor) -> bool:
    """Whether the compiled kernels support the logits."""
    return (
        logits.is_cpu
        and logits.dtype == torch.float32
        and logits.is_contiguous()
        and logits.shape[1] > 0
        and unavailable() is None
    )


def logsumexp(logits: Tensor) -> Tensor:
    """Return log Σ exp of each row: (rows, tokens) -> (rows,), in one pass where it is compiled.

    >>> logsumexp(torch.zeros(1, 2))
    tensor([0.6931])
    """
    if not _is_compiled(logits):
        return torch.logsumexp(logits, dim=1)
    rows, columns = logits.shape
    result = logits.new_empty(rows)
    work = LOGSUMEXP_NANOSECONDS * logits.numel()
    launch(row_logsumexp, logits.view(-1), columns, result, work=work)
    return result


def top_k(values: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Return the largest values of each row and their columns, largest first: (rows, columns) -> (rows, width) twice.

    They lie in those blocks of columns that have the largest maxima, and these are found by one pass that the
    processor's vectors do; `torch.topk` over all columns takes several times as long.

    >>> values, columns = top_k(torch.tensor([[3.0, 1.0, 4.0, 1.5]]), 2)
    >>> values.tolist(), columns.tolist()
    ([[4.0, 3.0]], [[2, 0]])
    """
    rows, columns = values.shape
    blocks = columns // BLOCK
    if width <= min(columns, MOST_INSERTED) and _is_compiled(values):
        best, where = values.new_empty(rows, width), values.new_empty(rows, width, dtype=torch.long)
        work = BEST_NANOSECONDS * values.numel()
        launch(row_best, values.view(-1), columns, width, best.view(-1), where.view(-1), work=work)
        return best, where
    if width == 1:
        best, where = values.max(dim=1, keepdim=True)
        return best, where
    if blocks < 2 * width:
        return values.topk(width, dim=1)
    whole = blocks * BLOCK
    blocked = values[:, :whole].unflatten(1, (blocks, BLOCK))
    _, chosen = blocked.amax(dim=2).topk(width, dim=1)
    inside = torch.arange(BLOCK, device=values.device)
    candidates = (chosen[:, :, None] * BLOCK + inside).flatten(1)
    if whole < columns:
        rest = torch.arange(whole, columns, device=values.device).expand(rows, -1)
        candidates = torch.cat([candidates, rest], dim=1)
    best, where = values.gather(1, candidates).topk(width, dim=1)
    return best, candidates.gather(1, where)
