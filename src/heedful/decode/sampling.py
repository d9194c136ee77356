"""Sampling: the tokens of an output are drawn instead of searched for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from heedful.decode.coverage import Coverage
from heedful.decode.extensions import Extensions
from heedful.decode.hypotheses import ActiveHypotheses, Hypothesis
from heedful.decode.options import Sampling, SearchOptions
from heedful.decode.selection import Results


def draw(logits: Tensor, sampling: Sampling, uniform: Tensor) -> Tensor:
    """Draw a token of each row: (rows, tokens), (rows,) -> (rows,).

    Args:
        logits: -inf excludes a token.
        sampling: temperature, and which tokens are kept.
        uniform: a number of [0, 1) for each row, which decides.

    The most probable token is always kept. Tokens are laid side by side by descending probability, and the one is
    taken under which the number falls.

    >>> draw(torch.tensor([[0.0, 0.0]]), Sampling(), torch.tensor([0.7])).tolist()
    [1]
    """
    kept = min(sampling.top_k or logits.shape[1], logits.shape[1])
    values, tokens = (logits.double() / sampling.temperature).topk(kept, dim=1)
    probabilities = torch.softmax(values, dim=1)
    below = probabilities.cumsum(dim=1)
    if sampling.top_p < 1:
        # a token is kept if those before it sum to less than top_p
        outside = below - probabilities >= sampling.top_p
        outside[:, 0] = False
        probabilities = probabilities.masked_fill(outside, 0.0)
        below = probabilities.cumsum(dim=1)
    wanted = uniform.double()[:, None] * below[:, -1:]
    place = (below <= wanted).sum(dim=1, keepdim=True)
    possible = (probabilities > 0).sum(dim=1, keepdim=True) - 1
    return tokens.gather(1, torch.minimum(place, possible))[:, 0]


class SampleSelection:
    """Draws `options.nbest` outputs of each sentence, independently.

    What is drawn for a sentence depends on the seed, its key and the number of the sample alone, not on the batch.

    Args:
        end: id of the end token.
        options: have `sampling`.
        limits: maximum tokens of each sentence.
        keys: a number for each sentence.
    """

    def __init__(
        self, end: int, options: SearchOptions, limits: Sequence[int], *, keys: Sequence[int]
    ):
        assert options.sampling is not None
        self.width: int | None = None
        self.end, self.sampling, self.samples = end, options.sampling, options.nbest
        self.kept = Results(options, limits)
        keys = keys or range(len(limits))
        self.uniform = np.ones((len(limits), self.samples, max(limits, default=0)))
        for sentence, (key, limit) in enumerate(zip(keys, limits, strict=True)):
            for sample in range(self.samples):
                generator = np.random.default_rng([self.sampling.seed, key, sample])
                self.uniform[sentence, sample, :limit] = generator.random(limit)

    def results(self) -> list[list[Hypothesis]]:
        """Return the samples of each sentence, those of highest score first."""
        return self.kept.best()

    def advance(
        self, rows: ActiveHypotheses, extensions: Extensions, coverage: Coverage | None
    ) -> tuple[ActiveHypotheses, Tensor]:
        """Draw a token for each row; return the active rows and the index of each one's parent row."""
        parents = torch.arange(rows.sentence.shape[0], device=rows.sentence.device)
        ranks = rows.rank
        if not rows.length:
            parents = parents.repeat_interleave(self.samples)
            ranks = torch.arange(self.samples, device=ranks.device).repeat(len(rows.sentence))
        sentences = rows.sentence[parents]
        numbers = self.uniform[sentences.cpu().numpy(), ranks.cpu().numpy(), rows.length]
        uniform = torch.from_numpy(numbers).to(parents.device)
        tokens = draw(extensions.logits[parents], self.sampling, uniform)
        scores = rows.scores[parents] + extensions.at(parents, tokens)
        penalties = None if coverage is None else coverage.penalties()[parents]
        extended = torch.cat([rows.tokens[parents], tokens.unsqueeze(1)], dim=1)
        drawn = ActiveHypotheses(sentences, ranks, extended, scores)
        chosen = self._keep_ended(drawn, penalties)
        active = ActiveHypotheses(
            sentences[chosen], ranks[chosen], extended[chosen], scores[chosen]
        )
        return active, parents[chosen]

    def _keep_ended(self, drawn: ActiveHypotheses, penalties: Tensor | None) -> Tensor:
        """Keep what has ended or has no finite score; return the indices of the others."""
        final = drawn.scores / self.kept.options.divisor(drawn.length)
        if penalties is not None:
            final = final + penalties
        active = []
        rows = zip(drawn.sentence.tolist(), drawn.tokens.tolist(), final.tolist(), strict=True)
        for number, (sentence, tokens, score) in enumerate(rows):
            if not math.isfinite(score):
                continue
            if tokens[-1] == self.end:
                self.kept.keep(sentence, Hypothesis(tokens[1:-1], score))
            elif drawn.length >= self.kept.limits[sentence]:
                self.kept.keep(sentence, Hypothesis(tokens[1:], score, finished=False))
            else:
                active.append(number)
        return torch.tensor(active, dtype=torch.long, device=drawn.scores.device)
