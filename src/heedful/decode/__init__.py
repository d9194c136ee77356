"""Decoding: beam search and sampling, scores of given outputs, and alignment of outputs with the source."""

from __future__ import annotations

from heedful.decode.align import AlignmentWeights, align
from heedful.decode.beam import Guidance, beam_search
from heedful.decode.hypotheses import Hypothesis
from heedful.decode.lengths import length_penalty_factor
from heedful.decode.options import Sampling, SearchOptions
from heedful.decode.score import score_tokens

__all__ = [
    "AlignmentWeights",
    "Guidance",
    "Hypothesis",
    "Sampling",
    "SearchOptions",
    "align",
    "beam_search",
    "length_penalty_factor",
    "score_tokens",
]
