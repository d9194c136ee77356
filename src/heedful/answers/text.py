"""Generated text: the output of an encoder–decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from heedful.answers.base import Metric, Numbers, Rows, Values
from heedful.answers.text_base import (
    BeamSize,
    Candidate,
    Generated,
    LengthRatio,
    TargetBatch,
    TextAnswer,
    predicted_positions,
    token_loss,
)
from heedful.answers.text_metrics import (
    LengthScores,
    TranslationScores,
    corpus_bleu,
    score_by_length,
    score_translations,
)
from heedful.data.dataset import Dataset
from heedful.decode.beam import beam_search
from heedful.errors import NonFiniteError
from heedful.inputs.pieces import PieceBatch
from heedful.models.base import EncoderDecoder
from heedful.models.config import Chunk, PredictionBatch, Section
from heedful.models.encoders.inputs import PADDING
from heedful.models.frequency import attention_to_frequent, keep_probability, sample_positions


class DecodingConfig(Section):
    """Beam search for evaluation and prediction."""

    beam: BeamSize = Field(5, description="Beam size; 1: greedy search.")
    length_penalty: float = Field(
        1.0,
        ge=0,
        description="Exponent α of the length penalty ((5 + length) / 6)^α; 0: no penalty.",
    )
    max_length_ratio: LengthRatio = Field(
        2.0,
        description="Maximum target tokens: this many per source token, plus 10.",
    )
    batch_tokens: PredictionBatch = Field(
        8192, description="Maximum source tokens in a batch, padding included."
    )
    chunk: Chunk = Field(
        512,
        description="Lines read, sorted by length and translated at once; output keeps the input order.",
    )


@dataclass(frozen=True)
class GeneratedText(TextAnswer[Generated]):
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
    command_options: ClassVar[frozenset[str]] = frozenset({"by_length", "alignments", "reference"})

    def loss(self, model: EncoderDecoder[Any], batch: PieceBatch, targets: TargetBatch) -> Tensor:
        """Return the summed cross-entropy of the target tokens, and the penalty of the model's `frequency`."""
        decoder_inputs = targets.ids[:, :-1]
        source, source_lengths = _subsampled(model, batch)
        options, training = model.frequency, model.training
        needs_weights = training and bool(options.penalty)
        states, weights = model(
            source, source_lengths, decoder_inputs, return_weights=needs_weights
        )
        loss = token_loss(model, states, targets, self.smoothing if training else 0.0)
        if weights is not None:
            frequencies = model.source_frequencies[source]
            frequent = attention_to_frequent(weights, frequencies, options.smoothing)
            loss = loss + options.penalty * frequent[predicted_positions(targets)].sum()
        return loss

    def max_length(self, lengths: Tensor) -> Tensor:
        """Return the maximum tokens of the text for sources of these lengths, (batch,)."""
        limits: Tensor = (self.decoding.max_length_ratio * lengths).long() + 10
        return limits

    def predict(
        self, model: EncoderDecoder[Any], batch: PieceBatch, **search: Any
    ) -> list[Generated]:
        beam, length_penalty, nbest = self._beam(**search)
        hypotheses = beam_search(
            model,
            batch.ids,
            batch.lengths,
            begin=self.vocabulary.begin_id,
            end=self.vocabulary.end_id,
            beam=beam,
            length_penalty=length_penalty,
            max_length=self.max_length(batch.lengths),
            nbest=nbest,
        )
        for row, found in enumerate(hypotheses):
            if not found:  # no token had a finite probability
                raise NonFiniteError(row)
        return [Generated(tuple(map(self._candidate, each))) for each in hypotheses]

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
