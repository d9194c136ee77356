"""What is measured: an operation, and the contenders that compute it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from heedful.errors import OptionError, nearest

Sizes = Mapping[str, int]
"""The sizes of one case by name, such as {"queries": 256, "hidden": 128}."""
Inputs = Mapping[str, Tensor]
"""The tensors of one case by name. Those of floating point are parameters: every contender gives their gradients."""
Run = Callable[[], Tensor]
"""One computation of the operation: no arguments, the output in the operation's own layout."""


@dataclass(frozen=True)
class Contender:
    """One way to compute an operation.

    >>> Contender("textbook", lambda sizes, inputs: inputs["x"].sum).missing() is None
    True
    """

    name: str
    build: Callable[[Sizes, Inputs], Run]
    """Do what is done once (make modules, sort edges), and return what is done at each call."""
    ours: bool = False
    needs: str | None = None
    """The package that must be installed, by the name it is imported by."""
    backward: bool = True
    """Whether it can give gradients."""
    compiles: bool = False
    """Whether its first call takes tens of seconds of compiling."""
    memory: Callable[[Sizes], int] | None = None
    """Bytes of the largest things that it is known to make in a forward pass; None when they are small."""

    def needed(self, sizes: Sizes) -> int:
        """Bytes that it needs at least: what is too much is told before it is tried."""
        return 0 if self.memory is None else self.memory(sizes)

    def missing(self) -> str | None:
        """Say why it cannot run here, or None when it can."""
        if self.needs is None or importlib.util.find_spec(self.needs) is not None:
            return None
        return "not installed"


@dataclass(frozen=True)
class Operation:
    """What several contenders compute, and what is right."""

    name: str
    title: str
    sizes: Sizes
    """Every size and its default."""
    scans: Sequence[str]
    """The sizes that grow together when an operation is measured over lengths."""
    inputs: Callable[[Sizes], dict[str, Tensor]]
    """Draw the tensors of a case (from PyTorch's generator)."""
    expected: Callable[[Sizes, Inputs, Tensor | None], Tensor]
    """The definition, written plainly and run in float64: the rows named (None: all of them) of the output."""
    contenders: Sequence[Contender]
    rows: Callable[[Sizes], int]
    """How many rows the output has (its axis -2); 0 for an output that is one number."""
    cost_of_row: Callable[[Sizes], int]
    """Numbers that `expected` makes for each row, by which it is told how many rows can be checked."""
    axis: str = "length"
    """What a scan's sizes are called on a plot."""

    def case(self, changes: Mapping[str, int]) -> dict[str, int]:
        """Return the sizes with some changed; OptionError for one that the operation does not have."""
        for name in changes:
            if name not in self.sizes:
                near = nearest(name, self.sizes)
                hint = f"; did you mean {near}?" if near else "."
                raise OptionError(
                    f"{self.name} has no size {name!r}{hint} Its sizes are: {', '.join(self.sizes)}."
                )
        return {**self.sizes, **changes}

    def scanned(self, length: int) -> dict[str, int]:
        """Return the changes that make the operation `length` long."""
        return dict.fromkeys(self.scans, length)


def parameters(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the tensors of floating point parameters, so that modules can own them."""
    return {
        name: nn.Parameter(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def leaves(inputs: Inputs) -> list[Tensor]:
    """The tensors that gradients are taken of."""
    return [tensor for tensor in inputs.values() if tensor.requires_grad]
