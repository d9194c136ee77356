"""Generated text: the output of an encoder–decoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from heedful.answers.alignment import Alignment
from heedful.answers.base import Answer, Metric, Numbers, Rows, Values
from heedful.answers.text_metrics import (
    LengthScores,
    TranslationScores,
    corpus_bleu,
    score_by_length,
    score_translations,
)
from heedful.data.batching import pad_ids
from heedful.data.dataset import Dataset
from heedful.data.packed_ids import Ids, PackedIds
from heedful.data.vocabulary import Vocabulary
from heedful.decode.beam import Hypothesis, beam_search
from heedful.errors import NonFiniteError, OptionError
from heedful.inputs.base import Lengths
from heedful.inputs.pieces import PieceBatch, pack_texts
from heedful.models.base import EncoderDecoder
from heedful.models.config import Section
from heedful.models.encoders.inputs import PADDING
from heedful.models.frequency import attention_to_frequent, keep_probability, sample_positions
from heedful.nn.cross_entropy import smoothed_cross_entropy

TARGET_VOCABULARY: Final = "target_vocabulary.json"
LARGEST_BEAM: Final = 1000
"""Hypotheses kept a source at most; the memory of a search grows with them."""


class DecodingConfig(Section):
    """Beam search for evaluation and prediction."""

    beam: int = Field(5, ge=1, le=LARGEST_BEAM, description="Beam size; 1: greedy search.")
    length_penalty: float = Field(
        1.0,
        ge=0,
        description="Exponent α of the length penalty ((5 + length) / 6)^α; 0: no penalty.",
    )
    max_length_ratio: float = Field(
        2.0,
        gt=0,
        le=100,
        description="Maximum target tokens: this many per source token, plus 10.",
    )
    batch_tokens: int = Field(
        8192, ge=1, le=2**24, description="Maximum source tokens in a batch, padding included."
    )
    chunk: int = Field(
        512,
        ge=1,
        le=2**20,
        description="Lines read, sorted by length and translated at once; output keeps the input order.",
    )


@dataclass(frozen=True)
class Candidate:
    """One generated text."""

    text: str
    score: float
    """Sum of token log-probabilities, divided by the length penalty; higher is better."""
    tokens: tuple[int, ...]
    """Ids in the target vocabulary, without begin and end tokens."""


@dataclass(frozen=True)
class Generated:
    """The n best texts for one source."""

    candidates: tuple[Candidate, ...]
    """At least one, best first."""
    alignment: Alignment | None = None
    """Alignment of the best text with the source, if requested."""

    @property
    def text(self) -> str:
        """The best text."""
        return self.candidates[0].text

    @property
    def score(self) -> float:
        """The score of the best text."""
        return self.candidates[0].score

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    def __len__(self) -> int:
        return len(self.candidates)

    def __getitem__(self, number: int) -> Candidate:
        return self.candidates[number]


class TargetBatch(NamedTuple):
    """Target texts as ids with begin and end tokens, right-padded."""

    ids: Tensor
    """(batch, length), long."""
    lengths: Tensor
    """(batch,), long."""


@dataclass(frozen=True)
class GeneratedText(Answer[Generated]):
    """Text generated token by token by the decoder of an encoder–decoder.

    Reads the sections vocabulary and decoding (`DecodingConfig`), and training.label_smoothing.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "bleu": Metric("BLEU", ".1f"),
        "chrf": Metric("chrF", ".1f"),
        "exact_match": Metric("exact match"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("bleu", "chrf"),)
    primary_metric: ClassVar[str] = "bleu"
    search_options: ClassVar[frozenset[str]] = frozenset({"beam", "length_penalty", "nbest"})
    command_options: ClassVar[frozenset[str]] = frozenset({"by_length", "alignments", "reference"})
    validation_search: ClassVar[Mapping[str, Any]] = {"beam": 1}

    vocabulary: Vocabulary
    decoding: DecodingConfig
    smoothing: float

    @classmethod
    def learn(cls, config: Any, answers: Sequence[str]) -> Self:
        return cls.of(config, config.vocabulary.train(answers))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls.of(config, Vocabulary.load(folder / TARGET_VOCABULARY))

    @classmethod
    def of(cls, config: Any, vocabulary: Vocabulary) -> Self:
        """Build the answer from a vocabulary, such as one shared with the source."""
        return cls(vocabulary, config.decoding, config.training.label_smoothing)

    def save(self, folder: Path) -> None:
        self.vocabulary.save(folder / TARGET_VOCABULARY)

    def sizes(self) -> dict[str, int]:
        return {"target vocabulary": len(self.vocabulary)}

    def targets(self, data: Dataset) -> PackedIds:
        return self.encode(data.answers)

    def encode(self, texts: Sequence[str]) -> PackedIds:
        """Return the ids of target texts, with begin and end tokens."""
        begin, end = self.vocabulary.begin_id, self.vocabulary.end_id

        def complete(_: Sequence[str], ids: Sequence[list[int]]) -> list[list[int]]:
            return [[begin, *each, end] for each in ids]

        return pack_texts(self.vocabulary, texts, complete)

    def lengths(self, targets: Sequence[Ids]) -> Lengths:
        """Return the number of tokens to predict: all but the begin token."""
        if isinstance(targets, PackedIds):
            return targets.lengths() - 1
        return np.array([len(each) - 1 for each in targets], dtype=np.int32)

    def fits(self, lengths: Lengths, max_length: int) -> NDArray[np.bool_]:
        return lengths < max_length

    def collate(self, targets: Sequence[Ids]) -> TargetBatch:
        return TargetBatch(*pad_ids(targets, self.vocabulary.pad_id))

    def loss(self, model: EncoderDecoder[Any], batch: PieceBatch, targets: TargetBatch) -> Tensor:
        """Return the summed cross-entropy of the target tokens, and the penalty of the model's `frequency`.

        With smoothing s over V tokens the target distribution is (1 - s) at the true token plus s / V at
        every token (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567). Padding is dropped before the
        output layer, the largest multiplication.
        """
        lengths = targets.lengths - 1
        decoder_inputs, labels = targets.ids[:, :-1], targets.ids[:, 1:]
        source, source_lengths = _subsampled(model, batch)
        options, training = model.frequency, model.training
        needs_weights = training and bool(options.penalty)
        states, weights = model(
            source, source_lengths, decoder_inputs, return_weights=needs_weights
        )
        kept = torch.arange(labels.shape[1], device=lengths.device) < lengths[:, None]
        smoothing = self.smoothing if training else 0.0
        weight, bias = model.output_layer()
        loss = smoothed_cross_entropy(states[kept], weight, bias, labels[kept], smoothing)
        if weights is not None:
            frequencies = model.source_frequencies[source]
            frequent = attention_to_frequent(weights, frequencies, options.smoothing)
            loss = loss + options.penalty * frequent[kept].sum()
        return loss

    def count_predictions(self, batch: PieceBatch, targets: TargetBatch) -> int:
        """Return the number of target tokens, without begin tokens."""
        return int((targets.lengths - 1).sum())

    def count_tokens(self, batch: PieceBatch, targets: TargetBatch) -> int:
        return self.count_predictions(batch, targets)

    def check_search(self, search: Mapping[str, Any]) -> None:
        super().check_search(search)
        beam, length_penalty, nbest = self._search(**search)
        if not 1 <= beam <= LARGEST_BEAM:
            raise OptionError(f"beam must be at least 1 and at most {LARGEST_BEAM:,}; got {beam}.")
        if not 1 <= nbest <= beam:
            raise OptionError(f"nbest must be from 1 to the beam, {beam}; got {nbest}.")
        if not 0 <= length_penalty < float("inf"):
            raise OptionError(
                f"length_penalty must be a number of at least 0; got {length_penalty}."
            )

    def _search(
        self, beam: int | None = None, length_penalty: float | None = None, nbest: int = 1
    ) -> tuple[int, float, int]:
        """Return (beam, length penalty, nbest), with configured values for None."""
        if length_penalty is None:
            length_penalty = self.decoding.length_penalty
        return self.decoding.beam if beam is None else beam, length_penalty, nbest

    def predict(
        self, model: EncoderDecoder[Any], batch: PieceBatch, **search: Any
    ) -> list[Generated]:
        beam, length_penalty, nbest = self._search(**search)
        hypotheses = beam_search(
            model,
            batch.ids,
            batch.lengths,
            begin=self.vocabulary.begin_id,
            end=self.vocabulary.end_id,
            beam=beam,
            length_penalty=length_penalty,
            max_length=(self.decoding.max_length_ratio * batch.lengths).long() + 10,
            nbest=nbest,
        )
        for row, found in enumerate(hypotheses):
            if not found:  # no token had a finite probability
                raise NonFiniteError(row)
        return [Generated(tuple(map(self._candidate, each))) for each in hypotheses]

    def _candidate(self, hypothesis: Hypothesis) -> Candidate:
        text = self.vocabulary.decode(hypothesis.tokens)
        return Candidate(text, hypothesis.score, tuple(hypothesis.tokens))

    def empty(self) -> Generated:
        return Generated((Candidate("", 0.0, ()),))

    def score(
        self,
        predicted: Sequence[Generated],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> TranslationScores:
        return score_translations(
            [each.text for each in predicted],
            data.answers,
            lowercase=self.vocabulary.lowercase,
        )

    def score_by_length(self, predicted: Sequence[Generated], data: Dataset) -> list[LengthScores]:
        """Return BLEU of the pairs grouped by the length of their source."""
        texts = [each.text for each in predicted]
        lowercase = self.vocabulary.lowercase
        return score_by_length(data.inputs, texts, data.answers, lowercase=lowercase)

    def tables(self, metrics: TranslationScores) -> list[Rows]:
        lower, signature = (
            metrics.bleu_lowercase_tokenized,
            metrics.bleu_lowercase_tokenized_signature,
        )
        rows = [
            ["BLEU", f"{metrics.bleu:.2f}", metrics.bleu_signature],
            ["chrF", f"{metrics.chrf:.2f}", metrics.chrf_signature],
            ["exact match", f"{metrics.exact_match:.4f}", ""],
            ["BLEU, lower-cased, tokenized", f"{lower:.2f}", signature],
        ]
        return [rows]

    def statistics(self, predicted: Sequence[Generated], data: Dataset) -> Numbers:
        """Return matching and total n-grams of orders 1 to 4, then prediction and reference lengths (sacreBLEU).

        Without regard to case if the vocabulary has none.
        """
        from sacrebleu.metrics import BLEU

        bleu = BLEU(effective_order=True, lowercase=self.vocabulary.lowercase)
        statistics = []
        for generated, target in zip(predicted, data.answers, strict=True):
            score = bleu.sentence_score(generated.text, [target])
            statistics.append((*score.counts, *score.totals, score.sys_len, score.ref_len))
        return np.array(statistics, dtype=np.float64)

    @classmethod
    def value(cls, sums: Numbers) -> Numbers:
        return corpus_bleu(sums[..., :4], sums[..., 4:8], sums[..., 8], sums[..., 9])

    def to_text(self, prediction: Generated) -> str:
        return prediction.text

    def to_json(self, prediction: Generated) -> Values:
        return {"translations": [{"text": each.text, "score": each.score} for each in prediction]}


def _subsampled(model: EncoderDecoder[Any], batch: PieceBatch) -> tuple[Tensor, Tensor]:
    """Return source ids and lengths; in training, after subsampling of frequent tokens."""
    threshold = model.frequency.subsample
    if not (model.training and threshold):
        return batch.ids, batch.lengths
    keep = keep_probability(model.source_frequencies, threshold)
    order, padding, lengths = sample_positions(batch.ids, batch.lengths, keep)
    return batch.ids.gather(1, order).masked_fill(padding, PADDING), lengths
