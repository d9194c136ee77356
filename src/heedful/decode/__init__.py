"""Decoding: beam search, and alignment of outputs with the source."""

from __future__ import annotations

from heedful.decode.align import AlignmentWeights, align
from heedful.decode.beam import Hypothesis, beam_search, length_penalty_factor

__all__ = ["AlignmentWeights", "Hypothesis", "align", "beam_search", "length_penalty_factor"]
