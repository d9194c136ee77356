"""Beam search over an attention decoder and CTC together, in one pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from torch import Tensor

from heedful.decode.ctc_prefix import CTCPrefixes
from heedful.errors import OptionError

CANDIDATES: Final = 40
"""Extensions of a hypothesis that CTC scores: those most probable by attention; in smaller vocabularies it is all."""


class CTCRescorer:
    r"""Scores of extensions :math:`(1 - \lambda) \ln p_{att} + \lambda \ln p_{ctc}`, a `heedful.decode.beam.Rescorer`.

    The score of an extension by CTC is :math:`\psi(hc) - \psi(h)`, so that the scores of a finished hypothesis sum to
    :math:`(1 - \lambda) \ln p_{att}(y \mid x) + \lambda \ln p_{ctc}(y \mid x)`.

    Args:
        prefixes: the hypotheses.
        weight: λ.
        candidates: extensions of a hypothesis that are scored, the most probable by attention; the end always is.
        excluded: tokens that no hypothesis is extended by, such as the begin token.

    Raises:
        OptionError: a weight outside (0, 1], or candidates below 1.

    >>> import torch
    >>> prefixes = CTCPrefixes.start(torch.full((1, 2, 4), 0.25).log(), torch.tensor([2]), blank=0, end=3)
    >>> CTCRescorer(prefixes, weight=1.0).combine(torch.full((1, 4), 0.25).log()).exp()
    tensor([[0.0000, 0.3125, 0.3125, 0.0625]], dtype=torch.float64)
    """

    def __init__(
        self,
        prefixes: CTCPrefixes,
        *,
        weight: float,
        candidates: int = CANDIDATES,
        excluded: Sequence[int] = (),
    ):
        if not 0 < weight <= 1:
            raise OptionError(f"the weight of CTC must be above 0 and at most 1; got {weight}.")
        if candidates < 1:
            raise OptionError(f"candidates must be at least 1; got {candidates}.")
        self.prefixes, self.weight = prefixes, weight
        self.candidates, self.excluded = candidates, tuple(excluded)
        self._scores: Tensor | None = None

    def combine(self, log_probabilities: Tensor) -> Tensor:
        """Return the scores of all extensions, (rows, tokens); -inf of those that are no candidates."""
        preferred = log_probabilities.clone()
        preferred[:, self.prefixes.end] = math.inf
        preferred[:, [self.prefixes.blank, *self.excluded]] = -math.inf
        width = min(self.candidates + 1, preferred.shape[1])
        preference, tokens = preferred.topk(width, dim=1)
        scores = self.prefixes.scores(tokens)
        combined = self.weight * (scores - self.prefixes.score[:, None])
        if self.weight < 1:
            attention = log_probabilities.gather(1, tokens).double()
            combined = combined + (1 - self.weight) * attention
        combined = combined.masked_fill(preference == -math.inf, -math.inf)
        nothing = scores.new_full(log_probabilities.shape, -math.inf)
        self._scores = nothing.scatter(1, tokens, scores)
        return nothing.scatter(1, tokens, combined)

    def extend(self, rows: Tensor, tokens: Tensor) -> CTCRescorer:
        """Return the rescorer of the hypotheses `rows`, each extended by one of `tokens`."""
        assert self._scores is not None  # the search calls `combine` first
        return CTCRescorer(
            self.prefixes.extend(rows, tokens, self._scores[rows, tokens]),
            weight=self.weight,
            candidates=self.candidates,
            excluded=self.excluded,
        )
