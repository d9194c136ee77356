"""Check that a configuration describes a model about as large as its weights, before the model is built."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from heedful import run_folder
from heedful.errors import HeedfulError, RunError, unquoted

FACTOR: Final = 2
"""A model may register so many times the parameters of its weights: some are shared only after they were built."""
MARGIN: Final = 1000
"""Parameters, and 1,000 times as many of their elements, that a model may have beyond that."""


class _TooLargeError(Exception):
    """The model that is being built has more parameters than the limit."""


def check_size(build: Callable[[], nn.Module], weights: Path) -> None:
    """Check that `build` gives a model about as large as the weights in a file, without allocating it.

    The model is built on the device "meta", up to the parameter that exceeds the limit. A file that asks for a
    million layers is thus refused after a few.

    Args:
        build: returns a newly initialized model.
        weights: a safetensors file.

    Raises: RunError for a larger model or one that cannot be built, and as `run_folder.read_shapes`; other errors of
        Heedful as `build`.
    """
    shapes = run_folder.read_shapes(weights)
    elements = sum(map(math.prod, shapes.values()))
    try:
        with torch.device("meta"), _limited(len(shapes), elements):
            build()
    except _TooLargeError:
        raise RunError(
            f"{run_folder.CONFIGURATION} describes a larger model than {weights} holds, of {len(shapes):,} tensors "
            f"with {elements:,} numbers; copy the run folder again or retrain"
        ) from None
    except HeedfulError:
        raise
    except Exception as error:  # whatever a module says of sizes that make no sense
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise RunError(
            f"{run_folder.CONFIGURATION} and the files beside it describe a model that cannot be built "
            f"({unquoted(reason)}); copy the run folder again or retrain"
        ) from error


@contextlib.contextmanager
def _limited(count: int, elements: int) -> Iterator[None]:
    """Raise _TooLargeError once modules have registered more parameters, or larger ones, than weights have."""
    room = [FACTOR * count + MARGIN, FACTOR * elements + 1000 * MARGIN]

    def registered(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        if parameter is None:
            return
        room[0] -= 1
        room[1] -= parameter.numel()
        if min(room) < 0:
            raise _TooLargeError

    handle = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        handle.remove()
