"""Decoder steps of additive attention: one query per sequence and step, all steps over the same memory.

A recurrent decoder runs its loop inside one autograd function, so it calls these steps instead of `attend`.
`plan_steps` chooses between compiled and plain steps and returns the reason; `build_steps` constructs them.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from heedful.ops.backends.additive.step_kernels import step_backward, step_forward
from heedful.ops.jit.kernel import launch, parts_for, unavailable

LIMITS = {torch.float32: 40.0, torch.float64: 350.0}
"""Limit of |x| of a feature: e^{±2x}, and the sum of two of them, then neither overflow nor underflow to 0."""
# Nanoseconds of one thread: a feature of a key forward, the same backward, and a feature of a value.
FORWARD_NANOSECONDS, BACKWARD_NANOSECONDS, MIX_NANOSECONDS = 0.08, 0.2, 0.05


@dataclass(frozen=True)
class StepPlan:
    """The choice of steps for a decoder; the counterpart of `heedful.Plan`."""

    backend: str
    """A name of `STEPS`: "additive" for compiled steps, "reference" for plain mathematics."""
    reason: str
    rejected: Mapping[str, str]
    """Name of the other kind of steps -> why it was not chosen."""


class AdditiveSteps(abc.ABC):
    r"""Steps :math:`e_s = v^\top \tanh(q + k_s) + b_s,\; w = \mathrm{softmax}(e),\; c = \sum_s w_s h_s`, and back.

    The backward pass of a step from :math:`\bar c` (and :math:`\bar w`, if the weights themselves are used) is

    .. math:: \bar w_s \mathrel{+}= \bar c^\top h_s,\quad \bar e_s = w_s(\bar w_s - \sum_r w_r \bar w_r),\quad
        \bar q = \sum_s u_s,\; \bar k_s \mathrel{+}= u_s \;\text{with}\; u_s = \bar e_s\, v (1 - \tanh^2(q + k_s)),
        \quad \bar v \mathrel{+}= \sum_s \bar e_s \tanh(q + k_s)

    The gradients of key and vector are accumulated in place over the steps. The gradient of the values is a single
    product after the last step, :math:`\bar h_s = \sum_t w_{ts} \bar c_t`, which the caller computes.

    Args:
        key: prepared, (batch, source, hidden), contiguous like the values.
        vector: (hidden,).
        values: (batch, source, width).
        keep: (batch, source), boolean, True = may be attended to. A fully masked row gives weights 0.
        bias: (batch, source), finite, added to the scores; no gradient is computed for it.
    """

    def __init__(
        self,
        key: Tensor,
        vector: Tensor,
        values: Tensor,
        keep: Tensor,
        bias: Tensor | None = None,
    ):
        self.key, self.vector, self.values, self.keep = key, vector, values, keep
        self.bias = key.new_zeros(keep.shape) if bias is None else bias.to(key.dtype)

    @abc.abstractmethod
    def forward(self, query: Tensor, weights: Tensor, context: Tensor) -> None:
        """Attend from (batch, hidden); fill weights (batch, source) and context (batch, width)."""

    def begin_backward(self) -> None:
        """Set the accumulated gradients to zero."""
        self.key_gradient = torch.zeros_like(self.key)
        self.vector_gradient = torch.zeros_like(self.vector)

    @abc.abstractmethod
    def backward(
        self, query: Tensor, weights: Tensor, context_gradient: Tensor, weights_gradient: Tensor
    ) -> Tensor:
        """Backward pass of one step; returns the gradient of the query. `weights_gradient` is overwritten."""

    def finish_backward(self) -> tuple[Tensor, Tensor]:
        """Return the gradients of key and vector."""
        return self.key_gradient, self.vector_gradient


class PlainSteps(AdditiveSteps):
    """Plain PyTorch, for any device, dtype and magnitude of features."""

    def forward(self, query: Tensor, weights: Tensor, context: Tensor) -> None:
        scores = torch.tanh(query[:, None] + self.key) @ self.vector + self.bias
        softmax = torch.softmax(scores.masked_fill(~self.keep, -math.inf), dim=-1)
        weights.copy_(torch.where(self.keep, softmax, 0.0))
        context.copy_((weights[:, None] @ self.values).squeeze(1))

    def backward(
        self, query: Tensor, weights: Tensor, context_gradient: Tensor, weights_gradient: Tensor
    ) -> Tensor:
        upstream = weights_gradient + (self.values @ context_gradient[:, :, None]).squeeze(2)
        scores = weights * (upstream - (weights * upstream).sum(1, keepdim=True))
        hidden = torch.tanh(query[:, None] + self.key)
        self.vector_gradient += torch.einsum("bs,bsh->h", scores, hidden)
        inner = (1 - hidden * hidden).mul_(scores[:, :, None]).mul_(self.vector)
        self.key_gradient += inner
        return inner.sum(1)


class KernelSteps(AdditiveSteps):
    """Compiled kernels: tanh(q + k) = (e^{2k} − e^{-2q})/(e^{2k} + e^{-2q}), where e^{2k} is computed once.

    Queries and keys must lie within `LIMITS`.
    """

    def __init__(
        self,
        key: Tensor,
        vector: Tensor,
        values: Tensor,
        keep: Tensor,
        bias: Tensor | None = None,
    ):
        super().__init__(key, vector, values, keep, bias)
        self.exp_key = torch.exp(2 * key)
        batch, source, hidden = key.shape
        self.cells, self.mixed = batch * source * hidden, values.numel() * MIX_NANOSECONDS

    def forward(self, query: Tensor, weights: Tensor, context: Tensor) -> None:
        launch(
            step_forward,
            torch.exp(-2 * query),
            self.exp_key,
            self.vector,
            self.values,
            self.keep,
            self.bias,
            weights,
            context,
            work=self.cells * FORWARD_NANOSECONDS + self.mixed,
        )

    def begin_backward(self) -> None:
        super().begin_backward()
        work = self.cells * BACKWARD_NANOSECONDS + self.mixed
        self.copies = self.vector.new_zeros(parts_for(work), *self.vector.shape)

    def backward(
        self, query: Tensor, weights: Tensor, context_gradient: Tensor, weights_gradient: Tensor
    ) -> Tensor:
        gradient = torch.empty_like(query, memory_format=torch.contiguous_format)
        launch(
            step_backward,
            torch.exp(-2 * query),
            self.exp_key,
            self.vector,
            self.values,
            weights,
            context_gradient,
            weights_gradient,
            gradient,
            self.key_gradient,
            self.copies,
            work=self.cells * BACKWARD_NANOSECONDS + self.mixed,
            parts=len(self.copies),
        )
        return gradient

    def finish_backward(self) -> tuple[Tensor, Tensor]:
        return self.key_gradient, self.copies.sum(0)


STEPS: dict[str, type[AdditiveSteps]] = {"additive": KernelSteps, "reference": PlainSteps}
"""Implementations of the steps, by the name of the corresponding backend."""


def plan_steps(key: Tensor, query_bound: Tensor) -> StepPlan:
    """Choose the steps for a memory, with the reason.

    Args:
        key: prepared, (batch, source, hidden).
        query_bound: scalar, upper bound of |x| of all features of the queries.

    >>> plan_steps(torch.zeros(1, 3, 4), torch.tensor(50.0)).rejected["additive"]
    'a feature of a key or query may reach 50, and float32 is raised up to 40'
    """
    refusal = _refusal(key, query_bound)
    if refusal is None:
        return StepPlan(
            "additive",
            "compiled kernels, keys raised once for all steps",
            {"reference": "it serves the decoder too, but takes longer"},
        )
    return StepPlan("reference", "plain mathematics on any numbers", {"additive": refusal})


def _refusal(key: Tensor, query_bound: Tensor) -> str | None:
    """Return why compiled steps are not supported, or None."""
    if not key.is_cpu:
        return f"its kernels run on a processor, and the tensors are on {key.device.type}"
    limit = LIMITS.get(key.dtype)
    if limit is None:
        return f"its kernels take float32 and float64, not {key.dtype}"
    if not key.numel():
        return "there is nothing to attend to"
    reason = unavailable()
    if reason is not None:
        return reason
    largest = float(torch.maximum(key.detach().abs().amax(), query_bound))
    if largest <= limit:
        return None
    dtype = str(key.dtype).removeprefix("torch.")
    return f"a feature of a key or query may reach {largest:.4g}, and {dtype} is raised up to {limit:g}"


def build_steps(
    plan: StepPlan,
    key: Tensor,
    vector: Tensor,
    values: Tensor,
    keep: Tensor,
    bias: Tensor | None = None,
) -> AdditiveSteps:
    """Construct the steps of a plan; the arguments are those of `AdditiveSteps`, with any strides."""
    if bias is not None:
        bias = bias.contiguous()
    return STEPS[plan.backend](
        key.contiguous(), vector.contiguous(), values.contiguous(), keep.contiguous(), bias
    )
