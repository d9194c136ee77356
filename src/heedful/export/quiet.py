"""Keep notes of PyTorch's exporters, which are not for the user, away."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_LOGGERS: Final = (
    "torch.onnx._internal.exporter._registration",  # libraries that are not installed and not needed
    "torch._export.non_strict_utils",  # axes of one
)


@contextmanager
def quiet() -> Iterator[None]:
    """Show neither warnings nor notes within the context."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
