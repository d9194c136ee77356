"""Placeholders in help texts for the names of lookup tables."""

from __future__ import annotations

import importlib
import re
from typing import Final

TABLES: Final = {
    "baselines": ("heedful.compare.baselines", "BASELINES"),
    "encoders": ("heedful.models.encoders", "ENCODERS"),
    "models": ("heedful.models", "MODELS"),
    "decoders": ("heedful.models.transcriber", "TEXT_DECODERS"),
    "scores": ("heedful.nn.scores", "SCORE_MODULES"),
}
"""Placeholder in a help text -> (module, name) of the table."""


def fill_choices(text: str) -> str:
    """Replace `{encoders}` and the other keys of `TABLES` by the names in these tables.

    Done only when a help text is shown, since the tables import PyTorch, which takes seconds.

    >>> fill_choices("The model: {models}.")
    'The model: transformer, gru, lstm, rnn.'
    """

    def names(placeholder: re.Match[str]) -> str:
        module, table = TABLES[placeholder[1]]
        return ", ".join(getattr(importlib.import_module(module), table))

    return re.sub(rf"\{{({'|'.join(TABLES)})\}}", names, text)
