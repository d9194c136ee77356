"""Generated replies: text, its perplexity beside simpler models, and its variety beside that of people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
import torch
from torch import Tensor

from heedful import run_folder
from heedful.answers.base import Metric, Numbers, Rows, Values
from heedful.answers.reply_metrics import Losses, ReplyScores
from heedful.answers.text import GeneratedText
from heedful.answers.text_base import Candidate, Generated, TargetBatch, predicted_positions
from heedful.data.dataset import Dataset
from heedful.data.dialogue.ngram_models import NgramModels
from heedful.data.vocabulary import Vocabulary
from heedful.data.words import words
from heedful.errors import RunError
from heedful.inputs.turns import TurnBatch

COUNTS: Final = "ngrams.safetensors"
"""File of a run folder with the counts of tokens and pairs of tokens in the training replies."""


@dataclass(frozen=True)
class GeneratedReply(Generated):
    """A generated reply, and how probable the true one is, where it is known."""

    loss: float | None = None
    """The negative log-probability of the true reply with its end token."""
    tokens: int = 0
    """Of the true reply, with its end token."""


@dataclass(frozen=True)
class Reply(GeneratedText):
    """A reply generated token by token; the loss is that of replies alone, never of the history.

    Reads the sections vocabulary and decoding (`DecodingConfig`), and training.label_smoothing.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "perplexity": Metric("perplexity", ".2f"),
        "distinct_2": Metric("distinct pairs of words"),
        "bleu": Metric("BLEU", ".1f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("perplexity",), ("distinct_2",))
    primary_metric: ClassVar[str] = "perplexity"
    command_options: ClassVar[frozenset[str]] = frozenset({"reference"})

    search_options: ClassVar[frozenset[str]] = GeneratedText.search_options - {"shortlist"}
    draws_unknown: ClassVar[bool] = False

    ngrams: NgramModels | None = None

    @classmethod
    def learn_from(cls, config: Any, vocabulary: Vocabulary, replies: Sequence[str]) -> Self:
        """Build the answer from a vocabulary and the training replies."""
        found = cls.of(config, vocabulary)
        begin, end = vocabulary.begin_id, vocabulary.end_id
        ids = vocabulary.encode_ids(replies)
        return replace(found, ngrams=NgramModels.learn(ids, len(vocabulary), begin=begin, end=end))

    @classmethod
    def learn(cls, config: Any, answers: Sequence[str]) -> Self:
        return cls.learn_from(config, config.vocabulary.train(answers), answers)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        found = super().load(config, folder)
        path = folder / COUNTS
        tensors, _ = run_folder.read_tensors(path)
        parts = [tensors.get(name) for name in ("unigrams", "pairs", "counts")]
        if not _are_counts(parts, len(found.vocabulary)):
            raise RunError(f"{path} is damaged; copy the run folder again")
        arrays = [part.numpy() for part in parts if part is not None]
        return replace(found, ngrams=NgramModels(*arrays))

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.ngrams is not None:
            parts = {
                "unigrams": self.ngrams.unigrams, "pairs": self.ngrams.pairs, "counts": self.ngrams.counts
            }  # fmt: skip
            run_folder.write_tensors(
                folder / COUNTS, {name: torch.from_numpy(part) for name, part in parts.items()}
            )

    def predict(self, model: Any, batch: Any, **search: Any) -> list[Generated]:
        generated = super().predict(model, batch, **search)
        known = batch.reply_lengths > 0
        if not known.any():
            return generated
        losses = self._losses(model, batch).tolist()
        lengths = batch.reply_lengths.tolist()
        return [
            GeneratedReply(each.candidates, None, loss, length + 1) if is_known else each
            for each, loss, length, is_known in zip(
                generated, losses, lengths, known.tolist(), strict=True
            )
        ]

    def _losses(self, model: Any, batch: TurnBatch) -> Tensor:
        """Return the negative log-probability of the reply of each row with its end token, (batch,)."""
        vocabulary, replies = self.vocabulary, batch.reply_ids
        begin = replies.new_full((len(replies), 1), vocabulary.begin_id)
        ids = torch.cat([begin, replies, begin.new_full(begin.shape, vocabulary.pad_id)], dim=1)
        ids = ids.scatter(1, batch.reply_lengths[:, None] + 1, vocabulary.end_id)
        targets = TargetBatch(ids, batch.reply_lengths + 2)
        states, _ = model(batch.ids, batch.lengths, ids[:, :-1])
        kept = predicted_positions(targets)
        found = torch.log_softmax(model.output(states[kept]).float(), dim=-1)
        chosen = found.gather(1, ids[:, 1:][kept][:, None])[:, 0]
        return -chosen.new_zeros(kept.shape).masked_scatter(kept, chosen).sum(1)

    def empty(self) -> Generated:
        return Generated((Candidate("", 0.0, ()),))

    def score(  # type: ignore[override]
        self,
        predicted: Sequence[Generated],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> ReplyScores:
        return ReplyScores.of(
            self._summed(predicted, data),
            [each.text for each in predicted],
            data.answers,
            lowercase=self.vocabulary.lowercase,
        )

    def _summed(self, predicted: Sequence[Generated], data: Dataset) -> Losses:
        assert self.ngrams is not None
        vocabulary = self.vocabulary
        begin, end = vocabulary.begin_id, vocabulary.end_id
        own = [
            self.ngrams.losses(ids, begin=begin, end=end)
            for ids in vocabulary.encode_ids(data.answers)
        ]
        known = [each for each in predicted if isinstance(each, GeneratedReply)]
        return Losses(
            model=sum(each.loss or 0.0 for each in known),
            unigrams=sum(one for one, _ in own),
            bigrams=sum(two for _, two in own),
            tokens=sum(each.tokens for each in known),
            words=sum(len(words(text)) + 1 for text in data.answers),
        )

    def tables(self, metrics: ReplyScores) -> list[Rows]:  # type: ignore[override]
        return metrics.tables()

    def statistics(self, predicted: Sequence[Generated], data: Dataset) -> Numbers:
        """Return (negative log-probability of the true reply, its tokens) of each."""
        rows = [
            (each.loss, each.tokens) if isinstance(each, GeneratedReply) else (0.0, 0)
            for each in predicted
        ]
        return np.array(rows, dtype=np.float64)

    @classmethod
    def value(cls, sums: Numbers) -> Numbers:
        return np.asarray(np.exp(sums[..., 0] / np.maximum(sums[..., 1], 1e-12)))

    def to_json(self, prediction: Generated) -> Values:
        return {"replies": [{"text": each.text, "score": each.score} for each in prediction]}


def _are_counts(parts: Sequence[Tensor | None], size: int) -> bool:
    """Return whether tensors of a file are unigrams, pairs and counts of a vocabulary of this size."""
    if any(part is None or part.dtype != torch.int64 or part.ndim != 1 for part in parts):
        return False
    unigrams, pairs, counts = (part for part in parts if part is not None)
    return (
        len(unigrams) == size
        and len(pairs) == len(counts)
        and bool((unigrams >= 0).all() and (counts >= 0).all())
        and (not len(pairs) or 0 <= int(pairs.min()) <= int(pairs.max()) < size * size)
    )
