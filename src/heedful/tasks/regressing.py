"""A trained regressor: texts in, a number for each out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from heedful.data.texts import Text, Texts
from heedful.models.ensemble import TextModel
from heedful.tasks.answer_metrics import NumberScores, score_numbers
from heedful.tasks.text_config import RegressConfig
from heedful.tasks.text_encoding import TextVocabularies
from heedful.tasks.text_predictor import TextPredictor


class Regressor(TextPredictor):
    """A model with its vocabularies and its configuration.

    The model gives standardised numbers; `model.target_mean` and `model.target_scale`, of the training
    targets, turn them into the targets' units.

    >>> config = RegressConfig.model_validate({"encoder": {"kind": "none", "hidden": 8}})
    >>> vocabularies = TextVocabularies.learn(config.vocabulary, ["cheap", "dear"], [], longest=20)
    >>> regressor = Regressor.untrained(config, vocabularies)
    >>> regressor.fit_targets([1.0, 5.0])
    >>> [found, nothing] = regressor.answers(["dear", ""])
    >>> isinstance(found, float), nothing
    (True, None)
    """

    task = "regress"
    configuration = RegressConfig

    def __init__(self, config: RegressConfig, vocabularies: TextVocabularies, model: TextModel):
        super().__init__(config, vocabularies, model)
        model.register_buffer("target_mean", torch.zeros((), dtype=torch.float64))
        model.register_buffer("target_scale", torch.ones((), dtype=torch.float64))

    @classmethod
    def outputs(cls, vocabularies: TextVocabularies) -> int:
        return 1

    @property
    def target(self) -> tuple[float, float]:
        """Mean and scale of the training targets."""
        buffers: dict[str, Tensor] = dict(self.model.named_buffers())
        return float(buffers["target_mean"]), float(buffers["target_scale"])

    def fit_targets(self, targets: Sequence[float]) -> None:
        """Take mean and standard deviation from training targets; equal ones have the scale 1."""
        found = torch.tensor(targets, dtype=torch.float64)
        self.model.get_buffer("target_mean").copy_(found.mean())
        spread = found.std(unbiased=False)
        self.model.get_buffer("target_scale").copy_(spread if spread > 0 else torch.ones(()))

    def answers(self, texts: Iterable[str]) -> Iterator[float | None]:
        mean, scale = self.target
        for scores in self.scores(texts):
            yield None if scores is None else mean + scale * float(scores[0])

    def values(self, text: Text) -> list[float]:
        mean, scale = self.target
        return [(text.number() - mean) / scale]

    def score(self, data: Texts, got: Sequence[float | None]) -> NumberScores:
        # a text without tokens is taken for an average one
        mean, _ = self.target
        found = [mean if each is None else each for each in got]
        return score_numbers(found, [each.number() for each in data.texts])
