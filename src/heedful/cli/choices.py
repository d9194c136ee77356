"""Names of tables in the help of options, read when the help is shown."""

from __future__ import annotations

import importlib
import re
from typing import Final

TABLES: Final = {
    "encoders": ("heedful.models.encoders", "ENCODERS"),
    "models": ("heedful.models", "MODELS"),
    "scores": ("heedful.nn.scores", "SCORE_MODULES"),
}
"""Placeholder in a help text -> module and name of the table."""


def with_choices(text: str) -> str:
    """Replace `{encoders}`, `{models}` and `{scores}` by the names in these tables.

    The tables import PyTorch, which takes seconds, so a help text holds the placeholder until it is shown.

    >>> with_choices("The model: {models}.")
    'The model: transformer, gru, lstm, rnn.'
    """

    def names(found: re.Match[str]) -> str:
        module, table = TABLES[found[1]]
        return ", ".join(getattr(importlib.import_module(module), table))

    return re.sub(rf"\{{({'|'.join(TABLES)})\}}", names, text)
