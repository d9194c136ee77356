"""Position biases, computed one block of scores at a time: ALiBi and relative buckets (T5)."""

from __future__ import annotations

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import OptionError, ShapeError
from heedful.ops.cells import Cells
from heedful.ops.rows import Rows
from heedful.ops.static import CallPart


class PositionBias(CallPart, abc.ABC):
    """A bias on the scores that depends on positions; pass it to `attend` as `bias`.

    >>> from heedful import attend, positions
    >>> x = torch.ones(4, 3, 8)
    >>> weights = attend(x, x, x, bias=positions.ALiBi.for_heads(4), return_weights=True).weights
    >>> bool(weights[0, 0, 0] > weights[0, 0, 2])  # the nearer of equal keys counts more
    True
    """

    query_start: int
    """Position of query 0, as for decoding with a cache, whose length it is then."""

    @abc.abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors the bias holds, for device checks; the first has heads as its first axis."""

    def check(self, rows: Rows) -> None:
        """Raise ShapeError unless the call's heads axis has the number of heads of the bias."""
        heads = self.tensors()[0].shape[0]
        if heads != 1 and (not rows.lead or rows.lead[-1] != heads):
            raise ShapeError(
                f"{type(self).__name__} holds {heads} heads, but the call's leading axes are {rows.lead}; give inputs "
                f"(*batch, {heads}, length, features)."
            )

    def distance(self, cells: Cells) -> Tensor:
        """Key position minus query position, (*cells)."""
        return cells.key_index() - (cells.query_index() + self.query_start)

    @abc.abstractmethod
    def at(self, cells: Cells) -> Tensor:
        """The bias at each cell: (heads, *cells), or (*cells) for one head."""

    def tile(self, rows: Rows) -> Tensor:
        """The bias of a rectangle: (heads, rows, keys), or (rows, keys) for one head."""
        return self.at(rows)

    @property
    def follows_distance(self) -> bool:
        """Whether the bias depends only on key index minus query index, so that blocks along a diagonal are equal."""
        return True


@dataclass(frozen=True, eq=False)
class ALiBi(PositionBias):
    r"""−slope_h · |i − j| (Press et al. 2022, https://arxiv.org/abs/2108.12409).

    `slopes` is (heads,). `query_start` is the position of query 0: when decoding, the length of the cache.

    Raises:
        ShapeError: `slopes` has another rank.

    >>> import torch
    >>> from heedful.ops.rows import Rows
    >>> ALiBi(torch.tensor([0.5])).tile(Rows.all(2, 2, (1,), torch.device("cpu"))).tolist()
    [[-0.0, -0.5], [-0.5, -0.0]]
    """

    slopes: Tensor
    query_start: int = 0

    def __post_init__(self) -> None:
        if self.slopes.ndim != 1:
            raise ShapeError(f"slopes has shape {tuple(self.slopes.shape)}; give (heads,).")

    @classmethod
    def for_heads(cls, heads: int) -> ALiBi:
        """The paper's slopes: for heads = 2^n a geometric sequence with start and ratio 2^(−8/heads).

        For other numbers of heads, those of the power of two below, then every other one of the power above.

        Raises:
            OptionError: `heads` is below 1.

        >>> ALiBi.for_heads(4).slopes.tolist()
        [0.25, 0.0625, 0.015625, 0.00390625]
        """
        if heads < 1:
            raise OptionError(f"ALiBi wants at least one head, not {heads}.")
        power = 2 ** math.floor(math.log2(heads))
        slopes = [2 ** (-8 * (head + 1) / power) for head in range(power)]
        between = [2 ** (-4 * (head + 1) / power) for head in range(0, 2 * power, 2)]
        return cls(torch.tensor((slopes + between)[:heads]))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.slopes,)

    def at(self, cells: Cells) -> Tensor:
        slopes = self.slopes[cells.head_index(len(self.slopes))]
        # Half precision holds no distances beyond a few hundred.
        slopes = slopes.to(torch.promote_types(slopes.dtype, torch.float32))
        return -slopes * self.distance(cells).abs().to(slopes.dtype)


@dataclass(frozen=True, eq=False)
class RelativeBuckets(PositionBias):
    r"""b[h, bucket(j − i)] (T5, Raffel et al. 2020, https://arxiv.org/abs/1910.10683).

    `table` b is (heads, buckets), learned. Half of the buckets hold one small distance each, the others ranges that
    grow logarithmically up to `max_distance`. With `bidirectional`, half of all buckets are for keys after the query;
    otherwise those keys count as distance 0.

    Raises:
        ShapeError: `table` has another rank or too few buckets.
        OptionError: `max_distance` is too small for the number of buckets.

    >>> import torch
    >>> from heedful.ops.rows import Rows
    >>> bias = RelativeBuckets(torch.arange(8.0)[None], bidirectional=True, max_distance=16)
    >>> bias.tile(Rows.all(1, 4, (1,), torch.device("cpu"))).tolist()
    [[0.0, 5.0, 6.0, 6.0]]
    """

    table: Tensor
    bidirectional: bool = True
    max_distance: int = 128
    query_start: int = 0

    def __post_init__(self) -> None:
        if self.table.ndim != 2 or self.table.shape[1] < (4 if self.bidirectional else 2):
            raise ShapeError(
                f"table has shape {tuple(self.table.shape)}; give (heads, buckets) with at least 4 buckets when "
                f"bidirectional and 2 otherwise."
            )
        buckets = self.table.shape[1] // (2 if self.bidirectional else 1)
        if self.max_distance <= buckets // 2:
            raise OptionError(
                f"max_distance is {self.max_distance}; with {self.table.shape[1]} buckets it must be above "
                f"{buckets // 2}."
            )

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.table,)

    def bucket(self, distance: Tensor) -> Tensor:
        """The bucket index of each distance j − i."""
        buckets = self.table.shape[1]
        first = torch.zeros_like(distance)
        if self.bidirectional:
            buckets //= 2
            first = (distance > 0) * buckets
            distance = distance.abs()
        else:
            distance = (-distance).clamp(min=0)
        exact = buckets // 2
        ratio = (distance.clamp(min=1) / exact).log() / math.log(self.max_distance / exact)
        far = (exact + (ratio * (buckets - exact)).long()).clamp(max=buckets - 1)
        return first + torch.where(distance < exact, distance, far)

    def at(self, cells: Cells) -> Tensor:
        return self.table[cells.head_index(len(self.table)), self.bucket(self.distance(cells))]
