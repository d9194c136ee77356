"""What classifying and regressing share as tasks of the one training loop."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from pydantic import BaseModel
from torch import Tensor

from heedful.data.texts import Texts
from heedful.models.encoders.inputs import TokenBatch
from heedful.models.ensemble import TextModel
from heedful.tasks.base import Loss, Task
from heedful.tasks.batches import Batches
from heedful.tasks.pretrained import with_vectors
from heedful.tasks.text_encoding import TextVocabularies
from heedful.tasks.text_predictor import TextPredictor
from heedful.tasks.token_encoding import TokenEncoder, TokenIds


class AnsweredBatch(NamedTuple):
    """Texts and the numbers that stand for their answers."""

    tokens: TokenBatch
    answers: Tensor
    """(batch, values): a label's number; 0 or 1 for each label; or a standardised target."""


AnsweredIds = tuple[TokenIds, Sequence[float]]


class TextLoss(Loss):
    """The loss of the answers, and what attention to frequent words costs."""

    model: TextModel

    def __init__(self, model: TextModel):
        super().__init__()
        self.model = model

    def forward(self, batch: AnsweredBatch) -> Tensor:
        if not self.training:
            return self.cost(self.model(batch.tokens), batch.answers)
        # each network learns from its own answers, or they would learn to lean on each other
        found = (member.scored(batch.tokens) for member in self.model.members)
        costs = [self.cost(scores, batch.answers) + penalty for scores, penalty in found]
        return torch.stack(costs).mean()

    @abc.abstractmethod
    def cost(self, scores: Tensor, answers: Tensor) -> Tensor:
        """Return the summed loss of scores (batch, outputs) given the answers (batch, values)."""

    @staticmethod
    def count(batch: AnsweredBatch) -> int:
        return len(batch.answers)

    @classmethod
    def tokens(cls, batch: AnsweredBatch) -> int:
        return int(batch.tokens.lengths.sum())


Configuration = TypeVar("Configuration", bound=BaseModel)
Trained = TypeVar("Trained", bound=TextPredictor)
Learned = TypeVar("Learned", bound=TextPredictor)


class TextTask(Task[Configuration, Texts, Trained], Generic[Configuration, Trained]):
    """An answer to each text."""

    examples = "texts"

    def batches(
        self, trained: Trained, data: Texts, *, training: bool
    ) -> Batches[AnsweredIds, AnsweredBatch]:
        options = trained.config.training
        ids = trained.vocabularies.encode([each.text for each in data.texts])
        examples = [
            (tokens, trained.values(each)) for tokens, each in zip(ids, data.texts, strict=True)
        ]
        for (tokens, _), each in zip(examples, data.texts, strict=True):
            if not tokens.words:
                raise each.error("the text holds no token; remove the row.")
        collate = _Collate(trained.vocabularies.tokens)
        return Batches(examples, _lengths, collate, options.batch_tokens, options.seed)

    def texts(self, data: Texts) -> Sequence[Sequence[str]]:
        answers = ["\n".join(each.answers) for each in data.texts]
        return [each.text for each in data.texts], answers


class _Collate:
    """Pads texts into one batch."""

    def __init__(self, tokens: TokenEncoder):
        self.tokens = tokens

    def __call__(self, examples: list[AnsweredIds]) -> AnsweredBatch:
        answers = torch.tensor([values for _, values in examples])
        return AnsweredBatch(self.tokens.collate([ids for ids, _ in examples]), answers)


def _lengths(example: AnsweredIds) -> tuple[int, int]:
    length = len(example[0].words)
    return length, length


def learned_from(kind: type[Learned], config: Any, train: Texts, labels: Iterable[str]) -> Learned:
    """Build vocabularies and model; the model is told the words' frequencies and pre-trained vectors."""
    texts = [each.text for each in train.texts]
    found = TextVocabularies.learn(config.vocabulary, texts, labels, longest=config.data.max_length)
    seen = (token for tokens in found.cutter.cut_all(texts) for token in tokens)
    tokens, vectors = with_vectors(found.tokens, seen, config.inputs)
    trained = kind.untrained(config, replace(found, tokens=tokens))
    frequencies = trained.vocabularies.frequencies(texts)
    for member in trained.model.members:
        member.frequencies.copy_(frequencies)
        if vectors is not None:
            member.inputs.set_vectors(vectors)
    return trained
