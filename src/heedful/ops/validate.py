"""A check that what is held as a tensor is one."""

from __future__ import annotations

from torch import Tensor

from heedful.errors import DtypeError


def expect_tensor(name: str, value: object, axes: str) -> None:
    """Refuse with DtypeError what is no tensor (a list, an array); `axes` says which one is wanted.

    >>> import torch
    >>> expect_tensor("weight", torch.ones(2, 3), "(query_dim, key_dim)")
    """
    if not isinstance(value, Tensor):
        raise DtypeError(f"{name} is a {type(value).__name__}; it must be a tensor {axes}.")
