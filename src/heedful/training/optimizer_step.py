"""One optimizer step, which is not taken if the loss or the gradient is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from heedful.models.moving import moved_to_model
from heedful.ops.finite import all_finite
from heedful.tasks.base import LossModule
from heedful.tasks.batches import Share
from heedful.training.processes import Processes, local_part

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class StepResult(NamedTuple):
    """What a step came to, over all processes."""

    loss: float
    """The summed loss of the batch."""
    predictions: int
    tokens: int
    problem: str
    """What was not finite: "loss", "gradient" or "" (nothing)."""


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
    processes: Processes

    def take(self, shares: Sequence[Share[Any]], learning_rate: float) -> StepResult:
        """Update the weights by the gradient of some batches, unless their loss or gradient is not finite.

        The batches are computed one after the other and count as one. Of several processes each computes its share of
        each batch. The loss of all is divided by the predictions of all, so that the update is that of one process and
        of one batch.

        With a gradient scaler (16-mixed), a gradient that overflows because of the scale is no problem: the scaler
        leaves the update out and lowers its scale.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        counted = [share.batch for share in shares if share.is_counted]
        predictions, tokens = map(
            int,
            self.processes.totals(
                sum(map(self.loss.count_predictions, counted)),
                sum(map(self.loss.count_tokens, counted)),
            ),
        )
        with self.processes.watching():
            own = sum(self._add_gradient(share, predictions) for share in shares)
            is_finite = self._clip()
        [summed] = self.processes.totals(own)
        if math.isfinite(summed) and is_finite:
            self.optimizer.step()
            return StepResult(summed, predictions, tokens, "")
        was_scaled = self._leave_out()
        problem = "loss" if not math.isfinite(summed) else "" if was_scaled else "gradient"
        return StepResult(summed, predictions, tokens, problem)

    def _add_gradient(self, share: Share[Any], predictions: int) -> float:
        """Add the gradient of a batch, divided by the predictions of the step, and return the summed loss."""
        loss = self.module(moved_to_model(share.batch, self.loss))
        if self.processes.count == 1:
            self.fabric.backward(loss / predictions)
        else:
            # the gradients of the processes are averaged, those of their examples have to be summed
            loss = loss * int(share.is_counted)
            self.fabric.backward(loss * (self.processes.count / predictions))
        return float(loss.detach())

    def _clip(self) -> bool:
        """Clip the gradient to `clip_norm`, and return whether it is finite."""
        if self.clip_norm:
            norm = self.fabric.clip_gradients(
                self.module, self.optimizer, max_norm=self.clip_norm, error_if_nonfinite=False
            )
            return norm is None or math.isfinite(float(norm))
        if self._scaler is not None:
            self.fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)
        gradients = [each.grad for each in self.module.parameters() if each.grad is not None]
        is_finite = not gradients or all_finite(*map(local_part, gradients))
        return self.processes.totals(is_finite) == (self.processes.count,)

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
