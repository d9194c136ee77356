"""One optimizer step, which is not taken if the loss or the gradient is not finite."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from heedful.ops.finite import all_finite
from heedful.tasks.base import LossModule

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class StepResult(NamedTuple):
    """The summed loss of a batch, and what of the step was not finite: "loss", "gradient" or "" (nothing)."""

    loss: float
    problem: str


@dataclass(frozen=True, kw_only=True)
class OptimizerStep:
    """Model, optimizer and precision of a training."""

    fabric: Fabric
    module: Any
    """The loss module as Fabric wraps it."""
    loss: LossModule
    optimizer: Any
    """As Fabric wraps it."""
    clip_norm: float

    def take(self, batch: Any, learning_rate: float) -> StepResult:
        """Update the weights by the gradient of a batch, unless its loss or gradient is not finite.

        With a gradient scaler (16-mixed), a gradient that overflows because of the scale is no problem: the scaler
        leaves the update out and lowers its scale.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.module(self.fabric.to_device(batch))
        self.fabric.backward(loss / self.loss.count_predictions(batch))
        is_finite = self._clip()
        summed = float(loss.detach())
        if math.isfinite(summed) and is_finite:
            self.optimizer.step()
            return StepResult(summed, "")
        was_scaled = self._leave_out()
        if not math.isfinite(summed):
            return StepResult(summed, "loss")
        return StepResult(summed, "" if was_scaled else "gradient")

    def _clip(self) -> bool:
        """Clip the gradient to `clip_norm`, and return whether it is finite."""
        if self.clip_norm:
            norm = self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
            )
            return norm is None or math.isfinite(float(norm))
        if self._scaler is not None:
            self.fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)
        gradients = [each.grad for each in self.loss.parameters() if each.grad is not None]
        return not gradients or all_finite(*gradients)

    def _leave_out(self) -> bool:
        """Leave the update out, and return whether the scale of a gradient scaler may be the reason."""
        scaler = self._scaler
        if scaler is None:
            return False
        was_scaled = scaler.get_scale() > 1
        scaler.update()
        return was_scaled

    @property
    def _scaler(self) -> torch.amp.GradScaler | None:
        scaler: torch.amp.GradScaler | None = getattr(
            self.fabric.strategy.precision, "scaler", None
        )
        return scaler
