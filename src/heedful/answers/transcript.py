"""Transcripts of recordings: text by CTC, by an attention decoder, or by both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Literal, Self, get_args

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from heedful.answers.base import Metric, Numbers, ReportTable, Rows, Values
from heedful.answers.text_base import (
    BeamSize,
    Candidate,
    Generated,
    LengthRatio,
    TargetBatch,
    TextAnswer,
    token_loss,
)
from heedful.answers.transcript_metrics import (
    TranscriptScores,
    error_statistics,
    load_jiwer,
    score_transcripts,
)
from heedful.answers.transcript_times import (
    FIRST_POSITION,
    Clock,
    clock_of,
    words_by_attention,
    words_by_ctc,
)
from heedful.data.dataset import Dataset
from heedful.data.timings import TimedWord
from heedful.data.vocabulary import Vocabulary
from heedful.data.words import canonical
from heedful.decode.beam import search
from heedful.decode.ctc import align_labels, best_path, ctc_loss, minimum_frames
from heedful.decode.ctc_beam import prefix_beam_search
from heedful.decode.ctc_prefix import CTCPrefixes
from heedful.decode.hypotheses import Hypothesis
from heedful.decode.joint import CTCRescorer
from heedful.decode.options import SearchOptions
from heedful.errors import NonFiniteError, OptionError, unknown_choice
from heedful.models.config import Chunk, PredictionBatch, Section
from heedful.models.encoders import Encoder, States
from heedful.models.heads import PositionHead
from heedful.models.transcriber import Transcriber
from heedful.ops.finite import all_finite

Timestamps = Literal["auto", "ctc", "attention"]
TIMESTAMPS: Final = get_args(Timestamps)


class CTCConfig(Section):
    """Connectionist temporal classification beside, or instead of, the decoder."""

    weight: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Weight of the CTC loss in training, beside that of the decoder; 0: no CTC. Without a decoder "
        "there is CTC alone.",
    )
    dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Dropout probability of the states before the output layer of CTC.",
    )


class TranscriptDecodingConfig(Section):
    """Beam search for evaluation and prediction."""

    beam: BeamSize = Field(
        8,
        description="Hypotheses, or prefixes of CTC, that are kept; 1: greedy search.",
    )
    ctc_weight: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Weight of CTC in the search with a decoder, in one pass; 0: the decoder alone.",
    )
    length_penalty: float = Field(
        0.0,
        ge=0,
        description="Exponent α of the length penalty ((5 + length) / 6)^α of a search with a decoder; 0: no penalty.",
    )
    max_length_ratio: LengthRatio = Field(
        1.0,
        description="Maximum tokens of a search with a decoder: this many per position after sub-sampling, plus 10.",
    )
    column: str = Field("predicted", min_length=1, description="Name of the column of transcripts.")
    batch_tokens: PredictionBatch = Field(
        16_384, description="Maximum frames in a batch, padding included."
    )
    chunk: Chunk = Field(
        512,
        description="Recordings read, sorted by length and transcribed at once; output keeps the input order.",
    )


@dataclass(frozen=True)
class Transcript(Generated):
    """The n best transcripts of a recording."""

    words: tuple[TimedWord, ...] | None = None
    """The words of the best one with their times in seconds, if requested."""


@dataclass(frozen=True)
class TranscribedText(TextAnswer[Transcript]):
    """A transcript, by CTC, a decoder, or both.

    Reads the sections vocabulary, decoding (`TranscriptDecodingConfig`), ctc (`CTCConfig`) and decoder, and
    training.label_smoothing.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "wer": Metric("word error rate", ".4f"),
        "cer": Metric("character error rate", ".4f"),
        "exact_match": Metric("exact match"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("wer", "cer"),)
    primary_metric: ClassVar[str] = "wer"
    search_options: ClassVar[frozenset[str]] = TextAnswer.search_options | {
        "ctc_weight",
        "timestamps",
    }
    command_options: ClassVar[frozenset[str]] = frozenset({"reference"})
    has_report_tables: ClassVar[bool] = True
    misfit_advice: ClassVar[str] = (
        "Mend the transcripts, sub-sample less (inputs.strides), use longer tokens (vocabulary.kind), shorten less "
        "(augment.tempo), or leave these recordings out."
    )

    ctc_weight: float = 1.0
    """Of the loss; 1: CTC alone, 0: none."""
    ctc_dropout: float = 0.0
    attends: bool = False
    """Whether there is a decoder with attention."""
    clock: Clock = FIRST_POSITION

    @classmethod
    def of(cls, config: Any, vocabulary: Vocabulary) -> Self:
        has_decoder = config.decoder.kind != "none"
        return cls(
            vocabulary,
            config.decoding,
            config.training.label_smoothing,
            config.ctc.weight if has_decoder else 1.0,
            config.ctc.dropout,
            has_decoder and getattr(config.decoder, "attention", "") != "none",
            clock_of(config),
        )

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        load_jiwer()

    @property
    def blank(self) -> int:
        """The symbol of CTC for no label: the padding, which is in no text."""
        return self.vocabulary.pad_id

    @property
    def is_explained(self) -> bool:  # type: ignore[override]
        """Whether there is attention of the decoder, or CTC."""
        return self.attends or bool(self.ctc_weight)

    def head(self, encoder: Encoder) -> PositionHead | None:
        """Return the module that scores the symbols of CTC; None without CTC."""
        if not self.ctc_weight:
            return None
        return PositionHead(encoder.width, len(self.vocabulary), dropout=self.ctc_dropout)

    def misfit(self, target: Sequence[int], positions: int) -> str:
        labels = target[1:-1]
        needed = minimum_frames(labels)
        if not self.ctc_weight or needed <= positions:
            return ""
        repeated = needed - len(labels)
        return (
            f"the transcript has {len(labels)} tokens, {repeated} of them equal to the one before, and needs {needed} "
            f"positions under CTC; the recording has {positions} after sub-sampling."
        )

    def loss(self, model: Transcriber, batch: Any, targets: TargetBatch) -> Tensor:
        r"""Return the summed loss :math:`(1 - \lambda) L_{att} + \lambda L_{ctc}` (Watanabe et al. 2017).

        Both are summed over the recordings.
        """
        states = model.states(batch)
        total = states.values.new_zeros(())
        if self.ctc_weight:
            labels, lengths = targets.ids[:, 1:], targets.lengths - 2
            losses = ctc_loss(
                model.ctc_log_probabilities(states),
                states.lengths,
                labels,
                lengths,
                blank=self.blank,
            )
            total = total + self.ctc_weight * losses.sum()
        if model.decoder is not None:
            decoded = model.decoder.decode(model.memory(states), targets.ids[:, :-1])
            smoothing = self.smoothing if model.training else 0.0
            loss = token_loss(model.decoder, decoded.states, targets, smoothing)
            total = total + (1 - self.ctc_weight) * loss
        return total

    def count_tokens(self, batch: Any, targets: TargetBatch) -> int:
        return int(batch.lengths.sum())

    def check_search(self, search: Mapping[str, Any]) -> None:
        super().check_search(search)
        weight, timestamps = search.get("ctc_weight"), search.get("timestamps")
        if weight is not None and not 0 <= weight <= 1:
            raise OptionError(f"ctc_weight must be from 0 to 1; got {weight}.")
        if weight and not self.ctc_weight:
            raise OptionError("ctc_weight has no effect on a model without CTC; leave it out.")
        if timestamps is None:
            return
        if timestamps not in TIMESTAMPS:
            raise unknown_choice("timestamps", timestamps, TIMESTAMPS)
        possible = {"ctc": bool(self.ctc_weight), "attention": self.attends}
        if not possible.get(timestamps, any(possible.values())):
            needed = "CTC or attention" if timestamps == "auto" else timestamps
            raise OptionError(f"the model has no {needed} to take times of words from.")

    def predict(self, model: Transcriber, batch: Any, **search: Any) -> list[Transcript]:
        ctc_weight, timestamps = search.pop("ctc_weight", None), search.pop("timestamps", None)
        options = self.search_settings(**search)
        states = model.states(batch)
        _check_finite(states)
        scores = model.ctc_log_probabilities(states) if model.has_ctc else None
        if model.decoder is None:
            assert scores is not None
            found = self._search_ctc(scores, states.lengths, options.beam, options.nbest)
        else:
            weight = self.decoding.ctc_weight if ctc_weight is None else ctc_weight
            found = self._search_decoder(model, states, scores, weight, options)
        for row, each in enumerate(found):
            if not each:  # no token had a finite probability
                raise NonFiniteError(row)
        transcripts = [Transcript(tuple(map(self._candidate, each))) for each in found]
        if timestamps is None:
            return transcripts
        return [
            replace(each, words=self._words(model, states, scores, row, each, timestamps))
            for row, each in enumerate(transcripts)
        ]

    def _search_ctc(
        self, scores: Tensor, lengths: Tensor, beam: int, nbest: int
    ) -> list[list[Hypothesis]]:
        """Search by CTC alone, one recording at a time."""
        found = []
        possible = scores.double().cpu().numpy()
        # In no training text, but a model that is hardly trained may find them probable.
        possible[:, :, [self.vocabulary.begin_id, self.vocabulary.end_id]] = -np.inf
        for values, length in zip(possible, lengths.tolist(), strict=True):
            if beam == 1:
                hypotheses = [Hypothesis(*best_path(values[:length], blank=self.blank))]
            else:
                best = prefix_beam_search(values[:length], beam=beam, blank=self.blank, nbest=nbest)
                hypotheses = [Hypothesis(*labelling) for labelling in best]
            found.append(hypotheses)
        return found

    def _search_decoder(
        self,
        model: Transcriber,
        states: States,
        scores: Tensor | None,
        ctc_weight: float,
        options: SearchOptions,
    ) -> list[list[Hypothesis]]:
        """Search by the decoder, and by CTC in one pass if there are its scores and a weight for them."""
        decoder, begin, end = model.decoder, self.vocabulary.begin_id, self.vocabulary.end_id
        assert decoder is not None
        rescorer = None
        if scores is not None and ctc_weight:
            prefixes = CTCPrefixes.start(scores, states.lengths, blank=self.blank, end=end)
            rescorer = CTCRescorer(prefixes, weight=ctc_weight, excluded=(begin,))
        memory = model.memory(states)
        return search(
            decoder,
            lambda: decoder.begin(memory),
            len(states.lengths),
            begin=begin,
            end=end,
            max_length=(self.decoding.max_length_ratio * states.lengths).long() + 10,
            options=options,
            rescorer=rescorer,
        )

    def _words(
        self,
        model: Transcriber,
        states: States,
        scores: Tensor | None,
        row: int,
        transcript: Transcript,
        timestamps: Timestamps,
    ) -> tuple[TimedWord, ...]:
        """Return the positions of the words of one transcript, the best of row `row` of the batch."""
        tokens, length = transcript.candidates[0].tokens, int(states.lengths[row])
        by_ctc = scores is not None and timestamps != "attention"
        # A decoder may write more than CTC can align.
        if by_ctc and (minimum_frames(tokens) <= length or not self.attends):
            assert scores is not None
            values = scores[row, :length].double().cpu().numpy()
            return words_by_ctc(
                self.vocabulary, tokens, align_labels(values, tokens, blank=self.blank)
            )
        decoder = model.decoder
        assert decoder is not None
        one = States(states.values[row : row + 1], states.lengths[row : row + 1], ())
        target = torch.tensor([[self.vocabulary.begin_id, *tokens]], device=states.values.device)
        weights = decoder.decode(model.memory(one), target, return_weights=True).weights
        assert weights is not None
        aligned = weights[0, decoder.alignment_layer].mean(dim=0)
        return words_by_attention(self.vocabulary, tokens, aligned.double().cpu().numpy())

    def placed(self, predictions: list[Transcript], encoded: Sequence[Any]) -> list[Transcript]:
        """Return transcripts whose words have times in seconds instead of positions."""
        return [
            each
            if each.words is None
            else replace(
                each, words=tuple(self.clock.word(word, frames.first) for word in each.words)
            )
            for each, frames in zip(predictions, encoded, strict=True)
        ]

    def empty(self) -> Transcript:
        return Transcript((Candidate("", 0.0, ()),), words=())

    def _reference(self, text: str) -> str:
        return self.vocabulary.normalise(text)

    def score(
        self,
        predicted: Sequence[Transcript],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> TranscriptScores:
        """Return the error rates; references are in the form of the vocabulary, such as lower-cased."""
        return score_transcripts(
            [each.text for each in predicted], [self._reference(each) for each in data.answers]
        )

    def tables(self, metrics: TranscriptScores) -> list[Rows]:
        rows = [["", "rate", "errors", "substituted", "inserted", "deleted", "of"]]
        for name, counts in (("words", metrics.words), ("characters", metrics.characters)):
            numbers = (
                counts.errors,
                counts.substitutions,
                counts.insertions,
                counts.deletions,
                counts.length,
            )
            rows.append([name, f"{counts.rate:.2%}", *(f"{number:,}" for number in numbers)])
        whole = [["transcripts without an error", f"{metrics.exact_match:.2%}"]]
        return [rows, whole, *([_confusions(metrics)] if metrics.confusions else [])]

    def report_tables(self, metrics: TranscriptScores) -> list[ReportTable]:
        if not metrics.confusions:
            return []
        header, *rows = _confusions(metrics)
        return [ReportTable("Words taken for others", header, rows)]

    @classmethod
    def statistics(cls, predicted: Sequence[Transcript], data: Dataset) -> Numbers:
        """Return the word errors and the reference words of each transcript."""
        return error_statistics(
            [each.text for each in predicted], [canonical(each) for each in data.answers]
        )

    def to_json(self, prediction: Transcript) -> Values:
        values: Values = {
            "transcripts": [{"text": each.text, "score": each.score} for each in prediction]
        }
        if prediction.words is not None:
            values["words"] = [
                {key: value for key, value in word._asdict().items() if value is not None}
                for word in prediction.words
            ]
        return values


def _confusions(metrics: TranscriptScores) -> Rows:
    rows = [["reference", "predicted", "times"]]
    return rows + [
        [each.reference, each.predicted, f"{each.count:,}"] for each in metrics.confusions
    ]


def _check_finite(states: States) -> None:
    """Raise NonFiniteError for a recording whose states hold NaN or infinity."""
    if all_finite(states.values):
        return
    is_finite = states.values.isfinite().flatten(1).all(1)  # padding is zero
    raise NonFiniteError(int(is_finite.logical_not().nonzero()[0]))
