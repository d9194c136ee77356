"""Additive attention of a recurrent decoder: one query a sentence, step after step, to one memory.

A decoder goes past the planner and calls this, since its loop is one step of autograd. `plan_steps` chooses between
compiled and plain steps and says why; `build_steps` makes them.
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
"""The largest |x| of a feature that is raised: e^{±2x} and sums of two are then neither infinite nor 0."""
# Nanoseconds of one thread for a feature of a key, forward and backward, and for a feature of a value.
FORWARD_NANOSECONDS, BACKWARD_NANOSECONDS, MIX_NANOSECONDS = 0.08, 0.2, 0.05


@dataclass(frozen=True)
class StepPlan:
    """Which steps serve a decoder, as `heedful.plan` tells it of `attend`."""

    backend: str
    """A name of `STEPS`: "additive" for compiled steps, "reference" for plain mathematics."""
    reason: str
    rejected: Mapping[str, str]
    """Why not the other."""


class AdditiveSteps(abc.ABC):
    r"""Steps :math:`e_s = v^\top \tanh(q + k_s) + b_s,\; w = \mathrm{softmax}(e),\; c = \sum_s w_s h_s`, and back.

    A step back from :math:`\bar c` (and :math:`\bar w`, where the weights themselves are used) is

    .. math:: \bar w_s \mathrel{+}= \bar c^\top h_s,\quad \bar e_s = w_s(\bar w_s - \sum_r w_r \bar w_r),\quad
        \bar q = \sum_s u_s,\; \bar k_s \mathrel{+}= u_s \;\text{with}\; u_s = \bar e_s\, v (1 - \tanh^2(q + k_s)),
        \quad \bar v \mathrel{+}= \sum_s \bar e_s \tanh(q + k_s)

    The gradients of key and vector are summed up in place over the steps; that of the values is one product
    after the last of them, :math:`\bar h_s = \sum_t w_{ts} \bar c_t`, and left to the caller.

    Args:
        key: prepared, (batch, source, hidden), contiguous like the values.
        vector: (hidden,).
        values: (batch, source, width).
        keep: (batch, source), boolean, True = may be attended to. A row without any gives weights 0.
        bias: (batch, source), finite, added to the scores; it gets no gradient.
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
        """Set the sums of gradients to zero."""
        self.key_gradient = torch.zeros_like(self.key)
        self.vector_gradient = torch.zeros_like(self.vector)

    @abc.abstractmethod
    def backward(
        self, query: Tensor, weights: Tensor, context_gradient: Tensor, weights_gradient: Tensor
    ) -> Tensor:
        """Go one step back; return the gradient of the query. `weights_gradient` is overwritten."""

    def finish_backward(self) -> tuple[Tensor, Tensor]:
        """Return the gradients of key and vector."""
        return self.key_gradient, self.vector_gradient


class PlainSteps(AdditiveSteps):
    """Plain PyTorch, for any device, dtype and size of numbers."""

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
    """Compiled: tanh(q + k) = (e^{2k} − e^{-2q})/(e^{2k} + e^{-2q}), where e^{2k} is raised once for all steps.

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
        self.raised = torch.exp(2 * key)
        batch, source, hidden = key.shape
        self.cells, self.mixed = batch * source * hidden, values.numel() * MIX_NANOSECONDS

    def forward(self, query: Tensor, weights: Tensor, context: Tensor) -> None:
        launch(
            step_forward,
            torch.exp(-2 * query),
            self.raised,
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
            self.raised,
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
"""Every kind of steps, by the backend whose formulas they follow."""


def plan_steps(key: Tensor, query_bound: Tensor) -> StepPlan:
    """Choose the steps for a memory, and say why.

    Args:
        key: prepared, (batch, source, hidden).
        query_bound: scalar, what no |feature| of a query will exceed.

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
    """Why compiled steps do not serve, or None."""
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
    """The steps of a plan; arguments as `AdditiveSteps` takes them, in any layout."""
    if bias is not None:
        bias = bias.contiguous()
    return STEPS[plan.backend](
        key.contiguous(), vector.contiguous(), values.contiguous(), keep.contiguous(), bias
    )
