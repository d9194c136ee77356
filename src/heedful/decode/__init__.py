"""Searching for outputs, and aligning them with the source."""

from __future__ import annotations

from heedful.decode.align import Aligned, align
from heedful.decode.beam import Hypothesis, beam_search, length_penalty_factor

__all__ = ["Aligned", "Hypothesis", "align", "beam_search", "length_penalty_factor"]
