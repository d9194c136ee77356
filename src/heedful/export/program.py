"""A module as a program of `torch.export`, in operators of PyTorch alone, whose inputs may have any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from heedful.export.plain_operators import PLAIN_OPERATORS
from heedful.export.quiet import quiet


class Given(NamedTuple):
    """An input of a program."""

    name: str
    axes: tuple[str | int, ...]
    """Of each axis its name if it may have any size, or else its size."""
    example: Tensor
    """What the model is traced with. Named axes have sizes that differ from each other and from 0 and 1."""

    def shape(self) -> str:
        """Return the axes as they stand in documents.

        >>> Given("values", ("batch", 3), torch.zeros(2, 3)).shape()
        '(batch, 3)'
        """
        return f"({', '.join(map(str, self.axes))}{',' if len(self.axes) == 1 else ''})"


class Program(NamedTuple):
    """An exported program and the names of what it reads and returns."""

    program: torch.export.ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    is_exact: bool = False
    """Whether its matrices are not learned, and must not be rounded to 8 bits."""


class Answerer(nn.Module):
    """A module of a function of tensors and of the module that it calls.

    Args:
        model: what the function calls, whose weights are exported.
        answer: (tensors) -> tensors.
    """

    def __init__(self, model: nn.Module, answer: Callable[..., Any]):
        super().__init__()
        self.model, self.answer = model, answer

    def forward(self, *tensors: Tensor) -> Any:
        """Return a tensor, or several."""
        return self.answer(*tensors)


def traced(
    model: nn.Module,
    answer: Callable[..., Any],
    given: Sequence[Given],
    outputs: Sequence[str],
) -> Program:
    """Return the program of a function of tensors that calls a model; the named axes of its inputs have any size."""
    axes = tuple(
        {
            place: torch.export.Dim.DYNAMIC if isinstance(each, str) else torch.export.Dim.STATIC
            for place, each in enumerate(one.axes)
        }
        for one in given
    )
    examples = tuple(one.example for one in given)
    names = [one.name for one in given]
    return exported(Answerer(model, answer), examples, (axes,), names, outputs)


def exported(
    module: nn.Module,
    examples: tuple[Any, ...],
    axes: tuple[Any, ...],
    names: Sequence[str],
    outputs: Sequence[str],
) -> Program:
    """Return the program of a module, in operators of PyTorch alone; arguments as those of `torch.export.export`."""
    shared = set(names) & set(outputs)
    assert not shared, f"ONNX has one name for each input and output; {shared} is both"
    with torch.no_grad(), quiet():
        program = torch.export.export(module.eval(), examples, dynamic_shapes=axes, strict=False)
        program = program.run_decompositions(dict(PLAIN_OPERATORS))
    left = {str(node.target) for node in program.graph.nodes if "heedful" in str(node.target)}
    assert not left, f"operators of Heedful are left in the program: {left}"
    return Program(program, tuple(names), tuple(outputs))


def any_size(given: Any) -> Any:
    """Return that the axes of a tensor, or of each of a list, may have any size where the trace allows it."""
    if isinstance(given, list):
        return [any_size(each) for each in given]
    return dict.fromkeys(range(given.ndim), torch.export.Dim.AUTO)
