"""What a trained classifier and a trained regressor share: texts in, the model's numbers for each out."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from heedful.data.texts import Text, Texts
from heedful.decode.evaluating import evaluating
from heedful.models.classifier import SequenceModel, SequenceSizes
from heedful.models.encoders.inputs import TokenBatch
from heedful.models.ensemble import Ensemble, TextModel
from heedful.tasks.base import Predictor
from heedful.tasks.in_order import answers_in_order
from heedful.tasks.pretrained import vector_counts
from heedful.tasks.text_encoding import TextVocabularies
from heedful.tasks.token_encoding import TokenIds


class TextPredictor(Predictor):
    """A model with its vocabularies and its configuration."""

    model: TextModel

    def __init__(self, config: Any, vocabularies: TextVocabularies, model: TextModel):
        self.config = config
        self.vocabularies = vocabularies
        self.model = model

    @classmethod
    @abc.abstractmethod
    def outputs(cls, vocabularies: TextVocabularies) -> int:
        """Count the numbers that the model gives for a text."""

    @classmethod
    def untrained(cls, config: Any, vocabularies: TextVocabularies) -> Self:
        """Build the model that `config` describes, with fresh weights."""
        tokens = vocabularies.tokens
        sizes = SequenceSizes(
            len(tokens.words),
            len(tokens.characters),
            cls.outputs(vocabularies),
            tokens.table,
        )
        members = [
            SequenceModel(config.inputs, config.encoder, config.pooling, sizes, config.frequency)
            for _ in range(config.ensemble.members)
        ]
        model = members[0] if len(members) == 1 else Ensemble(members)
        return cls(config, vocabularies, model)

    @classmethod
    def reload(cls, config: Any, folder: Path) -> Self:
        longest = config.data.max_length
        return cls.untrained(
            config, TextVocabularies.load(config.vocabulary, folder, longest=longest)
        )

    def save_resources(self, folder: Path) -> None:
        self.vocabularies.save(folder)

    def sizes(self) -> dict[str, int]:
        tokens = self.vocabularies.tokens
        found = {"tokens": len(tokens.words.entries), **vector_counts(tokens.vectors)}
        if self.vocabularies.labels.entries:
            found["labels"] = len(self.vocabularies.labels.entries)
        return found

    def scores(self, texts: Iterable[str]) -> Iterator[Tensor | None]:
        """Yield the model's numbers (outputs,) for each text, in order; None for one without tokens."""
        return answers_in_order(
            texts,
            encode=self.vocabularies.encode,
            length=lambda ids: len(ids.words),
            answer=self._answer,
            nothing=lambda: None,
            chunk=self.config.prediction.chunk,
            batch_tokens=self.config.prediction.batch_tokens,
        )

    def _answer(self, ids: list[TokenIds]) -> Tensor:
        batch = self.to_device(self.vocabularies.tokens.collate(ids))
        with evaluating(self.model), torch.inference_mode():
            found: Tensor = self.model(batch).float().cpu()
        return found

    def to_device(self, batch: TokenBatch) -> TokenBatch:
        """Move a batch to where the model is."""
        device = next(self.model.parameters()).device
        return TokenBatch(*(part.to(device) for part in batch))

    @abc.abstractmethod
    def answers(self, texts: Iterable[str]) -> Iterator[Any]:
        """Yield the answer to each text, in order; an empty one for a text without tokens."""

    @abc.abstractmethod
    def values(self, text: Text) -> list[float]:
        """Return the numbers that stand for a text's true answers.

        Raises: DataError, with file and line, for an answer that cannot be used.
        """

    @abc.abstractmethod
    def score(self, data: Texts, got: Sequence[Any]) -> Any:
        """Compare answers, however they came about, with the true ones."""
