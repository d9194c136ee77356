"""Where a convolution looks: the positions of its outputs and kernel elements on the padded input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.errors import OptionError, ShapeError

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class ConvolutionShape:
    """Kernel size, stride, dilation and padding of a convolution, one number an axis.

    Raises: OptionError for a size below 1, a negative padding or an unknown padding mode.

    >>> shape = ConvolutionShape(kernel=(3,), stride=(1,), dilation=(1,), padding=((1, 1),))
    >>> shape.output_size((5,)), shape.offsets().flatten().tolist()
    ((5,), [0, 1, 2])
    """

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    """Elements added before and after each axis."""
    padding_mode: str = "zeros"

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "dilation"):
            sizes = getattr(self, name)
            if len(sizes) != len(self.kernel) or min(sizes) < 1:
                raise OptionError(f"{name} is {sizes}; give one number an axis, each at least 1.")
        if len(self.padding) != len(self.kernel) or min(map(min, self.padding)) < 0:
            raise OptionError(
                f"padding is {self.padding}; give two numbers an axis, neither negative."
            )
        if self.padding_mode not in PADDING_MODES:
            raise OptionError(
                f"padding_mode is {self.padding_mode!r}; it is one of {', '.join(PADDING_MODES)}."
            )

    def padded_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the size of an input after padding."""
        return tuple(
            length + before + after
            for length, (before, after) in zip(size, self.padding, strict=True)
        )

    def output_size(self, size: Sequence[int]) -> tuple[int, ...]:
        """Return the size of the output.

        Raises: ShapeError for an input that is smaller than the kernel, or too small for its padding.
        """
        self._check_size(size)
        sizes = zip(self.padded_size(size), self.kernel, self.stride, self.dilation, strict=True)
        return tuple(
            (length - dilation * (kernel - 1) - 1) // stride + 1
            for length, kernel, stride, dilation in sizes
        )

    def _check_size(self, size: Sequence[int]) -> None:
        needed = [
            dilation * (k - 1) + 1 for k, dilation in zip(self.kernel, self.dilation, strict=True)
        ]
        padded = self.padded_size(size)
        if any(length < span for length, span in zip(padded, needed, strict=True)):
            raise ShapeError(
                f"the input has size {tuple(size)}, with its padding {padded}; the kernel spans {tuple(needed)}."
            )
        # A reflection leaves out the border itself, a cycle repeats the input once at most.
        largest = {"reflect": -1, "circular": 0}.get(self.padding_mode)
        if largest is None:
            return
        for length, pads in zip(size, self.padding, strict=True):
            if max(pads) > length + largest:
                raise ShapeError(
                    f"{self.padding_mode} padding of {max(pads)} needs an input longer than {length}."
                )

    def offsets(self) -> Tensor:
        """Return the offsets of the kernel's elements, (elements, axes), in the order of its weights."""
        return grid_positions(self.kernel) * torch.tensor(self.dilation)

    def origins(self, size: Sequence[int]) -> Tensor:
        """Return the position of kernel element 0 for each output, on the padded input: (outputs, axes)."""
        return grid_positions(self.output_size(size)) * torch.tensor(self.stride)

    def sources(self, size: Sequence[int]) -> Tensor:
        """Return the pixel that stands at each position of the padded input, (positions,); −1 for zero padding.

        Raises: ShapeError as `output_size` does.
        """
        self._check_size(size)
        pixels = torch.arange(prod(size)).reshape(1, 1, *size)
        pads = [number for pair in reversed(self.padding) for number in pair]
        if self.padding_mode == "zeros":
            return F.pad(pixels, pads, value=-1).flatten()
        # Floats of 53 bits: F.pad has no such modes for integers.
        return F.pad(pixels.double(), pads, mode=self.padding_mode).long().flatten()


def grid_positions(size: Sequence[int]) -> Tensor:
    """Return the coordinates of the cells of a grid in row-major order, (cells, axes), int64.

    >>> grid_positions((2, 2)).tolist()
    [[0, 0], [0, 1], [1, 0], [1, 1]]
    """
    axes = torch.meshgrid(*(torch.arange(length) for length in size), indexing="ij")
    return torch.stack([axis.flatten() for axis in axes], dim=-1)


def cell_index(positions: Tensor, size: Sequence[int]) -> Tensor:
    """Return the row-major index of coordinates (..., axes) in a grid; the inverse of `grid_positions`.

    >>> cell_index(torch.tensor([[1, 0]]), (2, 2)).tolist()
    [2]
    """
    strides = [prod(size[axis + 1 :]) for axis in range(len(size))]
    return (positions * torch.tensor(strides)).sum(-1)
