"""What a mask is, and the algebra of masks. True = may attend, everywhere."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import DtypeError, MaskError, ShapeError
from heedful.ops.cells import Cells
from heedful.ops.masks.bounds import UNBOUNDED, Bounds
from heedful.ops.rows import Rows
from heedful.ops.static import CallPart
from heedful.ops.validate import expect_tensor


class Mask(CallPart, abc.ABC):
    """Which query may attend to which key; combined with `&`, `|` and `~`.

    >>> from heedful.ops.masks import Causal, Window
    >>> (Causal() & Window(1, None)).dense(3, 3).int().tolist()
    [[1, 0, 0], [1, 1, 0], [0, 1, 1]]
    """

    def __and__(self, other: Mask | Tensor) -> Mask:
        return And(self, as_mask(other))

    def __or__(self, other: Mask | Tensor) -> Mask:
        return Or(self, as_mask(other))

    # A boolean tensor on the left leaves the operator to the mask.
    def __rand__(self, other: Tensor) -> Mask:
        return And(as_mask(other), self)

    def __ror__(self, other: Tensor) -> Mask:
        return Or(as_mask(other), self)

    def __invert__(self) -> Mask:
        return Not(self)

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors the mask holds, for device checks."""
        return ()

    def parts(self) -> Iterator[Mask]:
        """The masks that this one is combined from; itself, where it is not."""
        yield self

    def check(self, rows: Rows) -> None:
        """Raise MaskError or ShapeError when the mask does not fit the call."""

    @abc.abstractmethod
    def at(self, cells: Cells) -> Tensor:
        """Whether each cell is kept: boolean, broadcastable to (*lead, *cells). The one definition of a mask."""

    def keeps(self, cells: Cells) -> Tensor:
        """What `at` says, once its dtype and shape are seen to be as promised.

        Raises:
            MaskError: `at` of a mask of somebody's own returned no boolean tensor, or one of another shape.
        """
        found = self.at(cells)
        if not isinstance(found, Tensor) or found.dtype is not torch.bool:
            got = f"{found.dtype}" if isinstance(found, Tensor) else f"a {type(found).__name__}"
            raise MaskError(
                f"{type(self).__name__}.at(cells) returned {got}; it must return a boolean tensor (True = may attend)."
            )
        wanted = cells.shape
        if found.ndim > len(wanted) or any(
            size not in (1, full)
            for size, full in zip(found.shape[::-1], wanted[::-1], strict=False)
        ):
            raise MaskError(
                f"{type(self).__name__}.at(cells) returned shape {tuple(found.shape)}, which does not broadcast to "
                f"{tuple(wanted)}, (*batch, heads, *cells); build it from cells.query_index(), cells.key_index() and "
                f"cells.of_sequences(...), which have these axes."
            )
        return found

    def tile(self, rows: Rows) -> Tensor:
        """The block for `rows`: boolean, broadcastable to (*lead, rows, keys)."""
        return self.keeps(rows)

    def bounds(self, rows: Rows) -> Bounds:
        """The tightest window known to hold all that is kept."""
        return UNBOUNDED

    def bounds_outside(self, rows: Rows) -> Bounds:
        """The tightest window known to hold all that is not kept."""
        return UNBOUNDED

    @property
    def follows_distance(self) -> bool:
        """Whether key index minus query index alone decides, so that blocks along a diagonal are equal."""
        return False

    def dense(
        self,
        num_queries: int,
        num_keys: int,
        lead: tuple[int, ...] = (),
        device: torch.device | str | None = None,
    ) -> Tensor:
        """The whole mask as a boolean tensor broadcastable to (*lead, num_queries, num_keys)."""
        if device is None:
            device = next((tensor.device for tensor in self.tensors()), torch.device("cpu"))
        rows = Rows.all(num_queries, num_keys, lead, torch.device(device))
        self.check(rows)
        return self.tile(rows)


def as_mask(mask: object) -> Mask:
    """Take a mask as it is and a boolean tensor as `Dense`; refuse anything else with MaskError."""
    if isinstance(mask, Mask):
        return mask
    if isinstance(mask, Tensor):
        return Dense(mask)
    raise MaskError(
        f"a mask is a value of heedful.masks or a boolean tensor (True = may attend), not {type(mask).__name__}."
    )


@dataclass(frozen=True, eq=False)
class Dense(Mask):
    """A boolean tensor: (query, key), or one axis for each axis of the call, each of size 1 or its size.

    Integer and floating-point tensors are refused (DtypeError): it would be in doubt whether 1 keeps or
    drops, and what is added to scores is a bias. A rank between the two is refused (MaskError): it would
    be in doubt whether its first axis is batch or heads.

    >>> import torch
    >>> Dense(torch.tensor([[True, False]])).dense(1, 2).tolist()
    [[True, False]]
    """

    keep: Tensor

    def __post_init__(self) -> None:
        expect_tensor("mask", self.keep, "(query, key) or (*batch, heads, query, key)")
        if self.keep.dtype != torch.bool:
            raise DtypeError(
                f"a mask is boolean (True = may attend), but this one is {self.keep.dtype}; write `mask.bool()` if 1 "
                f"keeps, `mask == 0` if 1 drops, or pass numbers to be added to the scores as `bias`."
            )

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.keep,)

    def check(self, rows: Rows) -> None:
        check_pair_shape("mask", self.keep, rows)

    def at(self, cells: Cells) -> Tensor:
        return cells.of_pairs(self.keep)


@dataclass(frozen=True, eq=False)
class And(Mask):
    """Both masks keep."""

    left: Mask
    right: Mask

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.left.tensors(), *self.right.tensors())

    def parts(self) -> Iterator[Mask]:
        yield from self.left.parts()
        yield from self.right.parts()

    def check(self, rows: Rows) -> None:
        self.left.check(rows)
        self.right.check(rows)

    def at(self, cells: Cells) -> Tensor:
        return self.left.keeps(cells) & self.right.keeps(cells)

    def bounds(self, rows: Rows) -> Bounds:
        return self.left.bounds(rows) & self.right.bounds(rows)

    def bounds_outside(self, rows: Rows) -> Bounds:
        return self.left.bounds_outside(rows) | self.right.bounds_outside(rows)

    @property
    def follows_distance(self) -> bool:
        return self.left.follows_distance and self.right.follows_distance


@dataclass(frozen=True, eq=False)
class Or(And):
    """Either mask keeps."""

    def at(self, cells: Cells) -> Tensor:
        return self.left.keeps(cells) | self.right.keeps(cells)

    def bounds(self, rows: Rows) -> Bounds:
        return self.left.bounds(rows) | self.right.bounds(rows)

    def bounds_outside(self, rows: Rows) -> Bounds:
        return self.left.bounds_outside(rows) & self.right.bounds_outside(rows)


@dataclass(frozen=True, eq=False)
class Not(Mask):
    """The mask does not keep."""

    inner: Mask

    def tensors(self) -> tuple[Tensor, ...]:
        return self.inner.tensors()

    def parts(self) -> Iterator[Mask]:
        yield from self.inner.parts()

    def check(self, rows: Rows) -> None:
        self.inner.check(rows)

    def at(self, cells: Cells) -> Tensor:
        return ~self.inner.keeps(cells)

    def bounds(self, rows: Rows) -> Bounds:
        return self.inner.bounds_outside(rows)

    def bounds_outside(self, rows: Rows) -> Bounds:
        return self.inner.bounds(rows)

    @property
    def follows_distance(self) -> bool:
        return self.inner.follows_distance


def conjuncts(mask: Mask | None) -> tuple[Mask, ...]:
    """The masks that `&` joined; all of them have to keep a cell."""
    if type(mask) is And:
        return (*conjuncts(mask.left), *conjuncts(mask.right))
    return () if mask is None else (mask,)


def check_pair_shape(name: str, tensor: Tensor, rows: Rows) -> None:
    """Raise unless `tensor` is (query, key) or has exactly the axes (*lead, query, key), each 1 or full."""
    wanted = rows.shape
    got = tuple(tensor.shape)
    if tensor.ndim not in (2, len(wanted)):
        kind = MaskError if name == "mask" else ShapeError
        raise kind(
            f"{name} has shape {got}, of rank {tensor.ndim}; in a call of shape {wanted} that leaves in doubt which "
            f"axes are meant. Give it (query, key) = {wanted[-2:]} or all {len(wanted)} axes, of size 1 where it is "
            f"shared: {name}[:, None] puts a batch's before the heads, {name}[None] the heads' behind the batch."
        )
    pairs = zip(got[::-1], wanted[::-1], strict=False)
    if any(size not in (1, full) for size, full in pairs):
        raise ShapeError(
            f"{name} has shape {got}, which does not broadcast to {wanted}, (*batch, heads, query, key); give each "
            f"axis its size or 1. What is the same for all queries, (batch, key), is written {name}[:, None, None, :]."
        )


def check_per_sequence(name: str, shape: tuple[int, ...], rows: Rows) -> None:
    """Raise unless `shape`, a value for each sequence, is (*batch) or (*batch, heads), each 1 or full."""
    lead = rows.lead
    if len(shape) not in (len(lead), len(lead) - 1):
        raise ShapeError(
            f"{name} has leading shape {shape}, but the call has leading axes {lead}; give one value a sequence: "
            f"{lead[:-1]} or {lead}."
        )
    if any(size not in (1, full) for size, full in zip(shape, lead, strict=False)):
        raise ShapeError(
            f"{name} has leading shape {shape}, which does not broadcast to {lead}; give one value a sequence: "
            f"{lead[:-1]} or {lead}."
        )
