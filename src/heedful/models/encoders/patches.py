"""Features of the cells of an image: flat patches of pixels, or a stem of convolutions."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.config import Section
from heedful.nn.dropout import Dropout
from heedful.nn.linear import Linear
from heedful.ops.grid import Grid


class PatchesConfig(Section):
    """How a cell of an image becomes features."""

    stem: Literal["patches", "convolution"] = Field(
        "patches",
        description="patches: the pixels of the cell. convolution: convolutions of 3 × 3, and but for a patch of one "
        "pixel max-pooling that halves height and width, until a cell is one position.",
    )
    width: int = Field(
        0,
        ge=0,
        description="Features of a cell: of a learned linear map of its pixels (0: the pixels as they are), or "
        "channels of the last convolution (0: 64).",
    )
    convolutions: int = Field(
        1, ge=1, description="Convolutions before each halving of height and width."
    )
    class_token: bool = Field(
        False,
        description="Put a learned token before the cells; with pooling.kind=first its state is what is classified.",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Probability of dropping a feature.")


class PatchBatch(NamedTuple):
    """Images of one size."""

    pixels: Tensor
    """(batch, frames, height, width, channels), uint8."""
    lengths: Tensor
    """(batch,), long: the same for all."""


class PatchFeatures(nn.Module):
    """Standardised pixels as a sequence of cells: a `PatchBatch` -> (batch, grid.length, width).

    Args:
        config: the options.
        size: (frames, height, width, channels) of an image.
        patch: height and width of a cell in pixels.
        mean: (channels,) of the training pixels, in 0 … 255.
        scale: (channels,) their standard deviation.

    Raises: OptionError for a patch that does not divide height and width, or, with convolutions, is no power of two.

    >>> zero = torch.zeros(1)
    >>> features = PatchFeatures(PatchesConfig(width=6), (1, 8, 8, 1), 4, zero, zero + 1)
    >>> batch = PatchBatch(torch.zeros(2, 1, 8, 8, 1, dtype=torch.uint8), torch.tensor([4, 4]))
    >>> features(batch).shape, features.grid
    (torch.Size([2, 4, 6]), Grid(rows=2, columns=2, frames=1, prefix=0))
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        config: PatchesConfig,
        size: tuple[int, int, int, int],
        patch: int,
        mean: Tensor,
        scale: Tensor,
    ):
        super().__init__()
        frames, height, width, channels = size
        self.grid = grid_of((frames, height, width), patch, prefix=int(config.class_token))
        self.patch = patch
        self.register_buffer("mean", mean.float(), persistent=False)
        self.register_buffer("scale", scale.float(), persistent=False)
        self.stem: nn.Module
        if config.stem == "convolution":
            self.width = config.width or 64
            self.stem = ConvolutionStem(channels, self.width, patch, config.convolutions)
        else:
            pixels = patch * patch * channels
            self.width = config.width or pixels
            self.stem = FlatPatches(patch, pixels, config.width)
        self.class_token = (
            nn.Parameter(torch.randn(self.width) * 0.02) if config.class_token else None
        )
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: PatchBatch) -> Tensor:
        pixels = (batch.pixels.to(self.mean.dtype) - self.mean) / self.scale
        cells = self.stem(pixels.flatten(0, 1))
        cells = cells.view(pixels.shape[0], self.grid.cells, self.width)
        if self.class_token is not None:
            token = self.class_token.to(cells.dtype).expand(cells.shape[0], 1, -1)
            cells = torch.cat([token, cells], dim=1)
        output: Tensor = self.dropout(cells)
        return output


class FlatPatches(nn.Module):
    """The pixels of each patch, row by row, and a learned linear map of them if `width` is not 0.

    (images, height, width, channels) -> (images, cells, features).
    """

    def __init__(self, patch: int, pixels: int, width: int):
        super().__init__()
        self.patch = patch
        self.map = Linear(pixels, width) if width else nn.Identity()
        if isinstance(self.map, Linear):
            nn.init.xavier_uniform_(self.map.weight)
            nn.init.zeros_(self.map.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        images, height, width, channels = pixels.shape
        patch, rows, columns = self.patch, height // self.patch, width // self.patch
        cells = pixels.view(images, rows, patch, columns, patch, channels).transpose(2, 3)
        output: Tensor = self.map(cells.reshape(images, rows * columns, patch * patch * channels))
        return output


class ConvolutionStem(nn.Module):
    """Convolutions of 3 × 3, rectified, and max-pooling of 2 × 2 after each or each few, until a cell is one position.

    The channels double from one halving to the next, up to `width`. A patch of one pixel has no pooling.
    (images, height, width, channels) -> (images, cells, width).
    """

    def __init__(self, channels: int, width: int, patch: int, each: int = 1):
        super().__init__()
        stages = patch.bit_length() - 1
        if patch != 1 << stages:
            raise OptionError(
                f"data.patch is {patch}; a stem of convolutions halves height and width, so it wants 1, 2, 4, 8 or "
                "another power of two"
            )
        self.is_pooled = stages > 0
        widths = [max(8, width >> (stages - 1 - stage)) for stage in range(stages)] or [width]
        widths[-1] = width
        self.each = each
        outputs = [after for after in widths for _ in range(each)]
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in zip([channels, *outputs], outputs, strict=False)
        )
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, pixels: Tensor) -> Tensor:
        # Seen as channels first, pixels lie in memory with the channels last, which convolutions on a CPU like best.
        states = pixels.permute(0, 3, 1, 2)
        for number, layer in enumerate(self.layers, start=1):
            states = F.relu(layer(states))
            if self.is_pooled and number % self.each == 0:
                states = F.max_pool2d(states, 2)
        return states.permute(0, 2, 3, 1).flatten(1, 2)


def grid_of(size: tuple[int, int, int], patch: int, *, prefix: int = 0) -> Grid:
    """Return the grid of the patches of images of (frames, height, width).

    Raises: OptionError for a patch that does not divide height and width.
    """
    frames, height, width = size
    if height % patch or width % patch:
        common = [n for n in range(1, min(height, width) + 1) if not (height % n or width % n)]
        raise OptionError(
            f"data.patch is {patch}, which does not divide the images of {height} × {width} pixels; choose one of "
            f"{', '.join(map(str, common))}, as in --patch {common[len(common) // 2]}, or another size, as in --size "
            f"{max(patch, round(height / patch) * patch)}"
        )
    return Grid(height // patch, width // patch, frames, prefix)
