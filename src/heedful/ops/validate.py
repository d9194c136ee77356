"""Validation shared by scores, masks and arguments of `attend`."""

from __future__ import annotations

from torch import Tensor

from heedful.errors import DtypeError


def validate_tensor(name: str, value: object, axes: str) -> None:
    """Check that an argument is a tensor; `axes` names its expected axes in the error.

    Raises:
        DtypeError: `value` is not a tensor, for example a list or a NumPy array.

    >>> import torch
    >>> validate_tensor("weight", torch.ones(2, 3), "(query_dim, key_dim)")
    """
    if not isinstance(value, Tensor):
        raise DtypeError(f"{name} is a {type(value).__name__}; it must be a tensor {axes}.")
