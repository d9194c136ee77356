"""Classifying texts as a task of the one training loop."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from heedful.data.texts import Texts
from heedful.errors import OptionError, nearest
from heedful.models.ensemble import TextModel
from heedful.tasks.base import Figure, Loss, Scores
from heedful.tasks.classifying import Classifier
from heedful.tasks.text_config import ClassifyConfig
from heedful.tasks.text_task import TextLoss, TextTask, learned_from


class LabelLoss(TextLoss):
    """Cross-entropy of the label; with several labels a text, of each label's presence."""

    def __init__(self, model: TextModel, label_smoothing: float, *, several: bool):
        super().__init__(model)
        self.label_smoothing = label_smoothing
        self.several = several

    def cost(self, scores: Tensor, answers: Tensor) -> Tensor:
        if self.several:
            return F.binary_cross_entropy_with_logits(
                scores, answers.to(scores.dtype), reduction="sum"
            )
        smoothing = self.label_smoothing if self.training else 0.0
        return F.cross_entropy(
            scores, answers[:, 0].long(), reduction="sum", label_smoothing=smoothing
        )


class ClassifyTask(TextTask[ClassifyConfig, Classifier]):
    """One label a text, or several."""

    predictor = Classifier
    figures: ClassVar = {
        "loss": Figure("loss"),
        "accuracy": Figure("accuracy", ".4f"),
        "macro_f1": Figure("macro F1", ".4f"),
        "micro_f1": Figure("micro F1", ".4f"),
    }
    charts = (("accuracy", "macro_f1"),)

    def check(self, config: ClassifyConfig, train: Texts, valid: Texts) -> None:
        counts = Counter(label for each in train.texts for label in each.answers)
        least = config.data.min_examples
        for each in train.texts:
            for label in each.answers:
                if counts[label] < least:
                    raise each.error(
                        f"the label {label!r} has {counts[label]} training "
                        f"{'text' if counts[label] == 1 else 'texts'}, and data.min_examples = {least} are "
                        "wanted to learn it from; add some, or merge it with another label."
                    )
        for each in valid.texts:
            for label in each.answers:
                if label not in counts:
                    near = nearest(label, counts)
                    hint = f"; did you mean {near!r}?" if near else "."
                    raise each.error(
                        f"the label {label!r} is in no training text{hint} The training labels are: "
                        f"{', '.join(sorted(counts)[:40])}."
                    )
        if len(counts) < 2 and not config.data.separator:
            raise OptionError(
                f"every training text has the label {next(iter(counts))!r}; two labels or more are wanted"
            )

    def learn(self, config: ClassifyConfig, train: Texts) -> Classifier:
        labels = (label for each in train.texts for label in each.answers)
        return learned_from(Classifier, config, train, labels)

    def loss(self, trained: Classifier) -> Loss:
        smoothing = trained.config.training.label_smoothing
        return LabelLoss(trained.model, smoothing, several=trained.several)

    def measure(self, trained: Classifier, data: Texts) -> Scores:
        found = trained.score(data, list(trained.answers(each.text for each in data.texts)))
        return {
            "accuracy": found.accuracy,
            "macro_f1": found.macro_f1,
            "micro_f1": found.micro_f1,
        }


CLASSIFY = ClassifyTask()
