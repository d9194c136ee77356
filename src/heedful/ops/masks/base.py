"""The base class of masks, boolean combinations, and validation. True = may attend, everywhere."""

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
from heedful.ops.validate import validate_tensor


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

    # `tensor & mask` and `tensor | mask`: the tensor's operator returns NotImplemented.
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
        """The masks that a combination is built from; the mask itself if it is not a combination."""
        yield self

    def check(self, rows: Rows) -> None:
        """Raise MaskError or ShapeError if the mask does not fit the shapes of the call."""

    @abc.abstractmethod
    def at(self, cells: Cells) -> Tensor:
        """Whether each cell is kept: boolean, broadcastable to (*lead, *cells). This defines the mask."""

    def keeps(self, cells: Cells) -> Tensor:
        """Evaluate `at` and validate its dtype and shape.

        Raises:
            MaskError: `at` of a custom mask returned something else than a boolean tensor, or a wrong shape.
        """
        keep = self.at(cells)
        if not isinstance(keep, Tensor) or keep.dtype is not torch.bool:
            got = f"{keep.dtype}" if isinstance(keep, Tensor) else f"a {type(keep).__name__}"
            raise MaskError(
                f"{type(self).__name__}.at(cells) returned {got}; it must return a boolean tensor (True = may attend)."
            )
        wanted = cells.shape
        if keep.ndim > len(wanted) or any(
            size not in (1, full)
            for size, full in zip(keep.shape[::-1], wanted[::-1], strict=False)
        ):
            raise MaskError(
                f"{type(self).__name__}.at(cells) returned shape {tuple(keep.shape)}, which does not broadcast to "
                f"{tuple(wanted)}, (*batch, heads, *cells); build it from cells.query_index(), cells.key_index() and "
                f"cells.of_sequences(...), which have these axes."
            )
        return keep

    def tile(self, rows: Rows) -> Tensor:
        """The mask of a rectangle: boolean, broadcastable to (*lead, rows, keys)."""
        return self.keeps(rows)

    def bounds(self, rows: Rows) -> Bounds:
        """The tightest known bounds on the distance of kept keys from their query."""
        return UNBOUNDED

    def bounds_outside(self, rows: Rows) -> Bounds:
        """The tightest known bounds on the distance of masked keys from their query."""
        return UNBOUNDED

    @property
    def follows_distance(self) -> bool:
        """Whether the mask depends only on key index minus query index, so that blocks along a diagonal are equal."""
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
    """Return a mask unchanged and a boolean tensor as `Dense`.

    Raises:
        MaskError: `mask` is neither a mask nor a tensor.
    """
    if isinstance(mask, Mask):
        return mask
    if isinstance(mask, Tensor):
        return Dense(mask)
    raise MaskError(
        f"a mask is a value of heedful.masks or a boolean tensor (True = may attend), not {type(mask).__name__}."
    )


@dataclass(frozen=True, eq=False)
class Dense(Mask):
    """A boolean tensor of shape (query, key) or (*batch, heads, query, key), each axis full or of size 1.

    Raises:
        DtypeError: `keep` is not boolean. In an integer mask 1 could mean keep or drop, and floating-point numbers
            added to the scores are a bias.
        MaskError: `keep` has another rank, so its first axis could be batch or heads. Raised by `attend`.

    >>> import torch
    >>> Dense(torch.tensor([[True, False]])).dense(1, 2).tolist()
    [[True, False]]
    """

    keep: Tensor

    def __post_init__(self) -> None:
        validate_tensor("mask", self.keep, "(query, key) or (*batch, heads, query, key)")
        if self.keep.dtype != torch.bool:
            raise DtypeError(
                f"a mask is boolean (True = may attend), but this one is {self.keep.dtype}; write `mask.bool()` if 1 "
                f"keeps, `mask == 0` if 1 drops, or pass numbers to be added to the scores as `bias`."
            )

    @classmethod
    def of_valid(cls, keep: Tensor) -> Dense:
        """The mask of a tensor that is known to be boolean, without looking again."""
        mask = object.__new__(cls)
        object.__setattr__(mask, "keep", keep)
        return mask

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.keep,)

    def check(self, rows: Rows) -> None:
        check_pair_shape("mask", self.keep, rows)

    def at(self, cells: Cells) -> Tensor:
        return cells.of_pairs(self.keep)


@dataclass(frozen=True, eq=False)
class And(Mask):
    """Keeps a pair if both masks keep it."""

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
    """Keeps a pair if either mask keeps it."""

    def at(self, cells: Cells) -> Tensor:
        return self.left.keeps(cells) | self.right.keeps(cells)

    def bounds(self, rows: Rows) -> Bounds:
        return self.left.bounds(rows) | self.right.bounds(rows)

    def bounds_outside(self, rows: Rows) -> Bounds:
        return self.left.bounds_outside(rows) & self.right.bounds_outside(rows)


@dataclass(frozen=True, eq=False)
class Not(Mask):
    """Keeps a pair if the inner mask does not."""

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
    """The operands of nested `&`; a cell is kept if all of them keep it."""
    if type(mask) is And:
        return (*conjuncts(mask.left), *conjuncts(mask.right))
    return () if mask is None else (mask,)


def check_pair_shape(name: str, tensor: Tensor, rows: Rows) -> None:
    """Validate a mask or bias: (query, key) or (*lead, query, key), each axis full or of size 1.

    Raises:
        MaskError: a mask of another rank.
        ShapeError: a bias of another rank, or an axis of another size.
    """
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
    """Validate the leading shape of values per sequence: (*batch) or (*batch, heads), each axis full or of size 1.

    Raises:
        ShapeError: another rank or size.
    """
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
