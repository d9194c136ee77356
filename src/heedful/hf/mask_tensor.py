"""A boolean tensor that stands for a mask, and is computed only if somebody reads it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from heedful.ops.masks import Dense, Mask


class MaskTensor(Tensor):
    """A mask in the shape that models of transformers pass on, (batch, 1, query, key), True = may attend.

    Models hand masks to their attention as tensors, and a few of them slice or combine these on the way. An operator
    that reads a `MaskTensor` computes the boolean tensor and returns an ordinary one; `attend` takes its `mask`.

    >>> from heedful.ops.masks import Causal
    >>> mask = MaskTensor(Causal(), (1, 1, 2, 2), "cpu")
    >>> mask.shape, type(mask[:, :, :1]), (mask & True).int().tolist()
    (torch.Size([1, 1, 2, 2]), <class 'torch.Tensor'>, [[[[1, 0], [1, 1]]]])
    """

    mask: Mask

    @staticmethod
    def __new__(
        cls, mask: Mask, shape: tuple[int, int, int, int], device: torch.device | str
    ) -> MaskTensor:
        made: MaskTensor = torch.Tensor._make_wrapper_subclass(
            cls, shape, dtype=torch.bool, device=torch.device(device)
        )
        made.mask = mask
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operator on the boolean tensor."""
        # what is written stays, also through a view
        keep = any(each.alias_info is not None for each in func._schema.arguments)
        read = lambda tensor: tensor.dense(keep=keep)  # noqa: E731
        return func(
            *tree_map_only(MaskTensor, read, args), **tree_map_only(MaskTensor, read, kwargs or {})
        )

    def dense(self, *, keep: bool = False) -> Tensor:
        """Return the mask as an ordinary boolean tensor; `keep`: as one that may be written to."""
        if isinstance(self.mask, Dense) and self.mask.keep.shape == self.shape:
            return self.mask.keep
        batch, heads, queries, keys = self.shape
        found = self.mask.dense(queries, keys, (batch, heads), self.device).expand(self.shape)
        if keep:
            found = found.clone()
            self.mask = Dense(found)
        return found

    def __repr__(self) -> str:  # type: ignore[override]
        return f"MaskTensor({self.mask}, {tuple(self.shape)})"
