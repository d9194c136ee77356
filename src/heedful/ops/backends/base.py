"""What a backend is: it says whether it serves a call, what that keeps, and runs it."""

from __future__ import annotations

import abc
from contextlib import AbstractContextManager, nullcontext
from typing import ClassVar

import torch
from torch import Tensor

from heedful.ops.call import Attended, Call


class Backend(abc.ABC):
    """One way to compute attention. All give the same result where they serve."""

    name: ClassVar[str]
    why: ClassVar[str]
    """In a few words, what choosing it buys."""

    @abc.abstractmethod
    def supports(self, call: Call) -> str | None:
        """None where the backend serves the call exactly, else the reason why not."""

    def is_fused(self, call: Call) -> bool:
        """Whether it serves the call without ever building queries × keys or computing anything twice."""
        return False

    @abc.abstractmethod
    def bytes_kept(self, call: Call) -> int:
        """Bytes kept for the backward pass (0 where none will come)."""

    @abc.abstractmethod
    def run(self, call: Call) -> Attended:
        """Compute the call, which `supports` accepted."""


def as_given(device: torch.device) -> AbstractContextManager[object]:
    """A block in which autocast changes no dtype: the inputs are in the precision they are wanted in."""
    if device.type == "meta" or not torch.is_autocast_enabled(device.type):
        # Switching off what is not on takes longer than a small product.
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def wide_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which sums and normalizing run: float32 or wider."""
    return torch.promote_types(dtype, torch.float32)


def score_bytes(call: Call) -> int:
    """Bytes of all scores of a call, times hidden where an additive pair spreads them out."""
    pair = call.pair_features if call.score.pair_kind == "additive" else 1
    return call.cells * pair * wide_dtype(call.query.dtype).itemsize


def tensor_bytes(*tensors: Tensor) -> int:
    """Bytes the elements of these tensors take."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
