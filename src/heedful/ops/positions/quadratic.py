"""The quadratic position bias: attention that looks at a place on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.ops.cells import Cells
from heedful.ops.positions.biases import PositionBias
from heedful.ops.rows import Rows


@dataclass(frozen=True, eq=False)
class Quadratic(PositionBias):
    r"""−α_i ‖x_j − t_i‖²: query i attends to the keys near its target t_i (Cordonnier et al. 2020,
    https://arxiv.org/abs/1911.03584, "quadratic encoding").

    Under softmax the weights are a Gaussian around the target with variance 1/2α. If targets and keys lie on a grid of
    integers, then for α → ∞ a query attends to the key at its target alone.

    The square of the difference is computed, not expanded into ‖x‖² − 2xᵀt + ‖t‖² as an inner product would do:
    in bfloat16 that loses the difference of neighbours from ‖x‖² ≈ 256 on.

    Args:
        target: (query, axes), where each query looks.
        key: (key, axes), where each key lies.
        sharpness: α, (query,) or (1,).

    Raises:
        ShapeError: tensors of other shapes.

    >>> import torch
    >>> from heedful.ops.rows import Rows
    >>> places = torch.arange(3.0)[:, None]
    >>> Quadratic(places[:1] + 1, places, torch.tensor([2.0])).tile(Rows.all(1, 3, (), torch.device("cpu"))).tolist()
    [[-2.0, -0.0, -2.0]]
    """

    target: Tensor
    key: Tensor
    sharpness: Tensor
    query_start: int = 0

    def __post_init__(self) -> None:
        axes = self.target.shape[-1:]
        if self.target.ndim != 2 or self.key.ndim != 2 or self.key.shape[-1:] != axes:
            raise ShapeError(
                f"target has shape {tuple(self.target.shape)} and key {tuple(self.key.shape)}; give (query, axes) and "
                "(key, axes) with the same number of axes."
            )
        if self.sharpness.shape not in ((1,), self.target.shape[:1]):
            raise ShapeError(
                f"sharpness has shape {tuple(self.sharpness.shape)}; give (1,) or one number a query, "
                f"({len(self.target)},)."
            )

    def tensors(self) -> tuple[Tensor, ...]:
        return self.target, self.key, self.sharpness

    def check(self, rows: Rows) -> None:
        got, wanted = (len(self.target), len(self.key)), (rows.num_queries, rows.num_keys)
        if got != wanted:
            raise ShapeError(
                f"Quadratic was made for {got[0]} queries and {got[1]} keys, but the call has {wanted[0]} and "
                f"{wanted[1]}."
            )

    def at(self, cells: Cells) -> Tensor:
        query, key = cells.query_index() + self.query_start, cells.key_index()
        wide = torch.promote_types(self.target.dtype, torch.float32)
        difference = self.key.to(wide)[key] - self.target.to(wide)[query]
        sharpness = self.sharpness.to(wide)
        factor = sharpness if len(sharpness) == 1 else sharpness[query]
        return -factor * difference.square().sum(-1)

    @property
    def follows_distance(self) -> bool:
        return False
