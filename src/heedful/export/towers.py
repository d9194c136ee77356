"""Rankers of replies: a program for each tower, and the vectors of the replies to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from heedful.export.program import Given, Program, traced
from heedful.export.reading.base import BATCH, LENGTH
from heedful.models.two_towers import TokenSequence

BANK: Final = "replies.npy"
"""File with the vectors of the replies of `replies.json`, (replies, width)."""


def tower_programs(predictor: Any) -> Mapping[str, Program]:
    """Return the programs `history` and `reply`: ids to vectors of length 1, (batch, width)."""
    model, padding = predictor.model, predictor.answer.vocabulary.pad_id

    def lengths(ids: Tensor) -> Tensor:
        found: Tensor = (ids != padding).sum(1)
        return found

    ids = torch.ones(BATCH, LENGTH).long()
    source = Given("source", ("batch", "length"), ids)
    ages = Given("ages", ("batch", "length"), torch.zeros_like(ids))
    return {
        "history": traced(
            model,
            lambda source, ages: model.histories(TokenSequence(source, lengths(source), ages)),
            [source, ages],
            ["vectors"],
        ),
        "reply": traced(
            model,
            lambda source: model.replies(TokenSequence(source, lengths(source))),
            [source],
            ["vectors"],
        ),
    }


def save_bank(predictor: Any, folder: Path) -> None:
    """Write the vectors of the replies to choose from."""
    with torch.inference_mode():
        vectors = predictor.answer.bank_vectors(predictor.model)
    np.save(folder / BANK, vectors.float().cpu().numpy())
