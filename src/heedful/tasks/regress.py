"""A number for each text, as a task of the one training loop."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from heedful.data.texts import Texts
from heedful.errors import OptionError
from heedful.tasks.base import Figure, Loss, Scores
from heedful.tasks.regressing import Regressor
from heedful.tasks.text_config import RegressConfig
from heedful.tasks.text_task import TextLoss, TextTask, learned_from


class NumberLoss(TextLoss):
    """Squared error of the standardised target."""

    def cost(self, scores: Tensor, answers: Tensor) -> Tensor:
        return F.mse_loss(scores, answers.to(scores.dtype), reduction="sum")


class RegressTask(TextTask[RegressConfig, Regressor]):
    """One number a text; the loss is that of standardised targets, all else is in their units."""

    predictor = Regressor
    figures: ClassVar = {
        "loss": Figure("loss"),
        "rmse": Figure("RMSE", ".4g"),
        "mae": Figure("MAE", ".4g"),
        "r2": Figure("R²", ".4f"),
    }
    charts = (("rmse", "mae"), ("r2",))

    def check(self, config: RegressConfig, train: Texts, valid: Texts) -> None:
        targets = {each.number() for each in train.texts}
        for each in valid.texts:
            each.number()
        if len(targets) == 1:
            raise OptionError(
                f"every training target is {targets.pop():g}; two different ones or more are wanted"
            )

    def learn(self, config: RegressConfig, train: Texts) -> Regressor:
        trained = learned_from(Regressor, config, train, ())
        trained.fit_targets([each.number() for each in train.texts])
        return trained

    def loss(self, trained: Regressor) -> Loss:
        return NumberLoss(trained.model)

    def measure(self, trained: Regressor, data: Texts) -> Scores:
        found = trained.score(data, list(trained.answers(each.text for each in data.texts)))
        return {"rmse": found.rmse, "mae": found.mae, "r2": found.r2}


REGRESS = RegressTask()
