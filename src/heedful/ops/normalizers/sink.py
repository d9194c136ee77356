"""Softmax with an attention sink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from heedful.errors import DtypeError
from heedful.ops.normalizers.base import Normalizer, mask_low, mask_zero, widened


@dataclass(frozen=True, eq=False)
class SinkSoftmax(Normalizer):
    r"""w_j = exp(e_j) / (exp(sink) + Σ_k exp(e_k)) over the unmasked keys k; the rest is the sink's.

    `sink` is a number, or a learned tensor (*) that broadcasts against heads, as in gpt-oss (OpenAI 2025,
    https://arxiv.org/abs/2508.10925). It is a key of that score and of value 0, so a query may attend to nothing in
    particular; without it, trained models attend to the first tokens instead (Xiao et al. 2024,
    https://arxiv.org/abs/2309.17453). sink = 0 is softmax with 1 added to the denominator; minus infinity is softmax.

    Raises:
        DtypeError: `sink` is neither a number nor a floating-point tensor.

    >>> import torch
    >>> SinkSoftmax(0.0).weights(torch.zeros(1, 3), None).tolist()
    [[0.25, 0.25, 0.25]]
    """

    sink: float | Tensor = 0.0
    name: ClassVar[str] = "sink_softmax"

    def __post_init__(self) -> None:
        sink = self.sink
        if not isinstance(sink, int | float | Tensor) or (
            isinstance(sink, Tensor) and not sink.dtype.is_floating_point
        ):
            got = sink.dtype if isinstance(sink, Tensor) else type(sink).__name__
            raise DtypeError(f"sink is {got}; give a number, or a tensor (*) with one a head.")

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.sink,) if isinstance(self.sink, Tensor) else ()

    def of_rows(self, scores: Tensor) -> Tensor:
        """The sinks in the dtype of the scores, to broadcast to (..., query, 1)."""
        if isinstance(self.sink, Tensor):
            return self.sink.to(scores.dtype)[..., None, None]
        return scores.new_full((1, 1), self.sink)

    def weights(self, scores: Tensor, keep: Tensor | None) -> Tensor:
        wide = mask_low(widened(scores), keep)
        sink = self.of_rows(wide).expand(*wide.shape[:-1], 1)
        weights = torch.softmax(torch.cat([wide, sink], -1), -1)[..., :-1]
        return mask_zero(weights, keep).to(scores.dtype)
