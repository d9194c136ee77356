"""Limits on a model that is built from a configuration: about as large as the weights that are loaded into it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from heedful import run_folder
from heedful.errors import HeedfulError, RunError, unquoted

FACTOR: Final = 2
"""A model may have so many times the parameters of its weights: some are shared only after they were built."""
TENSORS: Final = 1000
"""Parameters that it may have beyond that."""
ELEMENTS: Final = 10**6
"""Elements that its parameters may have beyond that."""


class _TooLargeError(Exception):
    """What is being built is larger than the limit."""


@contextlib.contextmanager
def limited_size(weights: Path) -> Iterator[None]:
    """Within the context, refuse to build a model that is much larger than the weights in a safetensors file.

    A tensor that exceeds the limit is refused before it is allocated, and a million layers after a few of them.

    Raises: RunError for a larger model or one that cannot be built, and as `run_folder.read_shapes`.
    """
    shapes = run_folder.read_shapes(weights)
    elements = sum(map(math.prod, shapes.values()))
    try:
        limit = FACTOR * elements + ELEMENTS
        with _limited_parameters(FACTOR * len(shapes) + TENSORS, limit), _LimitedTensors(limit):
            yield
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
def _limited_parameters(count: int, elements: int) -> Iterator[None]:
    """Raise _TooLargeError once modules have registered more parameters, or more elements in all."""
    room = [count, elements]

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


class _LimitedTensors(TorchFunctionMode):
    """Raises _TooLargeError before a function of `_SIZES` makes a tensor of more elements."""

    def __init__(self, elements: int):
        super().__init__()
        self.elements = elements

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        size = _SIZES.get(func)
        if size is not None and size([*args, *kwargs.values()]) > self.elements:
            raise _TooLargeError
        return func(*args, **kwargs)


def _product(arguments: Sequence[Any]) -> int:
    """Return the number of elements of a shape given as numbers, or as one sequence of them."""
    first = arguments[0] if arguments else ()
    shape = first if isinstance(first, list | tuple) else _numbers(arguments)
    return math.prod(map(int, shape))


def _largest(arguments: Sequence[Any]) -> int:
    return int(max(map(abs, _numbers(arguments)), default=0))


def _square(arguments: Sequence[Any]) -> int:
    return _largest(arguments) ** 2


def _numbers(arguments: Sequence[Any]) -> list[int]:
    return [each for each in arguments if isinstance(each, int) and not isinstance(each, bool)]


_SIZES: Final[Mapping[Any, Callable[[Sequence[Any]], int]]] = {
    torch.empty: _product,
    torch.zeros: _product,
    torch.ones: _product,
    torch.full: _product,
    torch.rand: _product,
    torch.randn: _product,
    torch.arange: _largest,
    torch.linspace: _largest,
    torch.eye: _square,
}
"""Function that makes a tensor -> the number of its elements, or a bound on it, by its arguments."""
