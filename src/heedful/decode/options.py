"""The options of a search for the output of a decoder."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from heedful.decode.lengths import LENGTH_PENALTIES
from heedful.errors import OptionError, unknown_choice

MAX_REPETITION: Final = 20
"""Tokens that repeats of one sequence may cover, unless a search is given another limit."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    r"""How tokens are drawn: from :math:`p(y)^{1/T}`, normalized over the tokens that are kept.

    Raises: OptionError for a value out of range.

    >>> Sampling(temperature=0.7, top_p=0.9)
    Sampling(temperature=0.7, top_k=0, top_p=0.9, seed=0)
    """

    temperature: float = 1.0
    """T: below 1 the probable tokens become more so, above 1 less."""
    top_k: int = 0
    """Draw among this many most probable tokens (Fan et al. 2018, https://arxiv.org/abs/1805.04833); 0: all."""
    top_p: float = 1.0
    """Draw among the fewest tokens whose probabilities sum to this (Holtzman et al. 2020,
    https://arxiv.org/abs/1904.09751)."""
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.temperature > 0 and math.isfinite(self.temperature)):
            raise OptionError(f"temperature must be a number above 0; got {self.temperature}.")
        if self.top_k < 0:
            raise OptionError(f"top_k must be at least 0; got {self.top_k}.")
        if not 0 < self.top_p <= 1:
            raise OptionError(f"top_p must be above 0 and at most 1; got {self.top_p}.")
        if self.seed < 0:
            raise OptionError(f"seed must be at least 0; got {self.seed}.")


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    r"""How the outputs of a decoder are searched for and scored.

    The score of a hypothesis y of a source x of n positions is

    .. math:: s(y) = \log p(y \mid x) / lp(|y|) + \beta \sum_{i=1}^{n} \log \min(\textstyle\sum_j a_{ji}, 1)

    with the attention :math:`a_{ji}` of output token j to source position i (Wu et al. 2016,
    https://arxiv.org/abs/1609.08144, eq. 14).

    Raises: OptionError for a value out of range.

    >>> SearchOptions(beam=2, nbest=3)
    Traceback (most recent call last):
    heedful.errors.OptionError: nbest must be from 1 to the beam, 2; got 3.
    """

    beam: int = 5
    """Hypotheses per sentence; 1 is greedy search."""
    nbest: int = 1
    """Maximum hypotheses returned per sentence, at most `beam`; of sampling the number of samples."""
    length_penalty: float = 1.0
    """α of the length penalty lp."""
    length_form: str = "gnmt"
    """Name of lp in `heedful.decode.lengths.LENGTH_PENALTIES`."""
    coverage_penalty: float = 0.0
    """β; 0: none."""
    no_repeat_ngram: int = 0
    """No sequence of this many tokens occurs twice in an output; 0: any may."""
    max_repetition: int = MAX_REPETITION
    """Tokens that repeats of one sequence may cover; 0: any number."""
    int8: bool = False
    """Multiply the output layer in 8 bits: faster, and a little less precise."""
    sampling: Sampling | None = None
    """Draw the tokens instead of searching for the best ones."""

    def __post_init__(self) -> None:
        if self.beam < 1:
            raise OptionError(f"beam must be at least 1; got {self.beam}.")
        if self.nbest < 1 or (self.sampling is None and self.nbest > self.beam):
            raise OptionError(f"nbest must be from 1 to the beam, {self.beam}; got {self.nbest}.")
        if self.length_form not in LENGTH_PENALTIES:
            raise unknown_choice("length_form", self.length_form, LENGTH_PENALTIES)
        for name in ("length_penalty", "coverage_penalty"):
            value = getattr(self, name)
            if not (value >= 0 and math.isfinite(value)):
                raise OptionError(f"{name} must be a number of at least 0; got {value}.")
        for name in ("no_repeat_ngram", "max_repetition"):
            if getattr(self, name) < 0:
                raise OptionError(f"{name} must be at least 0; got {getattr(self, name)}.")

    def divisor(self, length: int) -> float:
        """Return what the log-probability of a hypothesis of so many tokens, its end included, is divided by."""
        return LENGTH_PENALTIES[self.length_form](length, self.length_penalty)
