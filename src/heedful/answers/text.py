"""Generated text: the output of an encoder–decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from heedful.answers.base import Answer, Metric, Numbers, Rows, Values
from heedful.answers.generation import OF_A_CALL, PER_INPUT, Generation
from heedful.answers.guidance import (
    GuidedBatch,
    collate_guided,
    encode_guided,
    guided_lengths,
    guided_loss,
    is_guided,
)
from heedful.answers.shortlist import SHORTLIST, Shortlist
from heedful.answers.text_base import (
    BeamSize,
    Candidate,
    Generated,
    LengthRatio,
    TargetBatch,
    TextAnswer,
    check_sizes,
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
from heedful.data.bpe_dropout import BpeDropout
from heedful.data.dataset import Dataset
from heedful.data.packed_ids import Ids, PackedIds
from heedful.data.vocabulary import Vocabulary
from heedful.decode.beam import Guidance, beam_search
from heedful.decode.lengths import LENGTH_PENALTIES
from heedful.decode.options import MAX_REPETITION
from heedful.errors import NonFiniteError, OptionError
from heedful.inputs.base import Lengths
from heedful.inputs.pieces import SOURCE_VOCABULARY, PieceBatch
from heedful.models.base import EncoderDecoder
from heedful.models.config import Chunk, OneOf, PredictionBatch, Section
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
    length_form: Annotated[str, OneOf("length penalty", LENGTH_PENALTIES)] = Field(
        "gnmt",
        description="Form of the length penalty: gnmt, ((5 + length) / 6)^α, or power, length^α, as in CTranslate2, "
        "fairseq and Hugging Face.",
    )
    coverage_penalty: float = Field(
        0.0,
        ge=0,
        description="Weight β of the coverage penalty, which lowers the score of outputs that left parts of the source "
        "without attention; 0: none.",
    )
    no_repeat_ngram: int = Field(
        0,
        ge=0,
        description="No sequence of this many tokens occurs twice in an output; 0: any may.",
    )
    max_repetition: int = Field(
        MAX_REPETITION,
        ge=0,
        description="Tokens that repeats of one short sequence may cover before the search turns to something else; "
        "0: any number.",
    )
    max_length_ratio: LengthRatio = Field(
        2.0,
        description="Maximum target tokens: this many per source token, plus 10.",
    )
    min_length_ratio: float = Field(
        0.0,
        ge=0,
        lt=100,
        description="Minimum target tokens: this many per source token.",
    )
    int8: bool = Field(
        False,
        description="Multiply the output layer in numbers of 8 bits, on a processor: faster, a little less precise.",
    )
    copy_unknown: bool = Field(
        False,
        description="In the place of a token that the target vocabulary does not have, put the part of the source that "
        "it attends to most.",
    )
    batch_tokens: PredictionBatch = Field(
        8192, description="Maximum source tokens in a batch, padding included."
    )
    chunk: Chunk = Field(
        512,
        description="Lines read, sorted by length and translated at once; output keeps the input order.",
    )


class ShortlistedDecodingConfig(DecodingConfig):
    """Beam search for evaluation and prediction, with a shortlist of target tokens if one is wanted."""

    shortlist: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Score only the target tokens that are likeliest for the tokens of the source, this many for each, "
        "and as many of the most frequent ones; learned from the training pairs; 0: all tokens.",
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
    search_options: ClassVar[frozenset[str]] = OF_A_CALL | {"copy_unknown", "shortlist"}
    command_options: ClassVar[frozenset[str]] = frozenset({"by_length", "alignments", "reference"})

    draws_unknown: ClassVar[bool] = True
    """Whether samples may hold the unknown token, which the source can replace."""

    r_drop: float = 0.0
    """Weight of R-Drop in the loss."""
    dropout: BpeDropout | None = None
    """What divides training texts anew in each epoch."""
    guidance: float = 0.0
    """Weight of given alignments in the loss."""
    source: Vocabulary | None = None
    """The vocabulary of the sources, for their alignments with the targets."""
    shortlist: Shortlist | None = None
    """Target tokens for each source token, where they were learned."""

    @classmethod
    def of(cls, config: Any, vocabulary: Vocabulary) -> Self:
        section = getattr(config, "alignment", None)
        answer = super().of(config, vocabulary)
        answer = replace(
            answer,
            r_drop=getattr(config.training, "r_drop", 0.0),
            dropout=BpeDropout.of(config, vocabulary),
        )
        return answer if section is None else replace(answer, guidance=section.weight)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        answer = super().load(config, folder)
        is_listed = (folder / SHORTLIST).exists()
        if not (answer.guidance or is_listed):
            return answer
        source = Vocabulary.load(folder / SOURCE_VOCABULARY)
        if is_listed:
            sizes = len(source), len(answer.vocabulary)
            answer = replace(answer, shortlist=Shortlist.load(folder, sizes))
        return answer.guided_by(source) if answer.guidance else answer

    def save(self, folder: Path) -> None:
        super().save(folder)
        if self.shortlist is not None:
            self.shortlist.save(folder)

    def extend(self, initial: Self) -> Self:
        """Return `initial`, whose vocabulary stays.

        Raises: OptionError where a shortlist is wanted and `initial` has none, as its tokens are learned with the
            vocabulary.
        """
        if self.shortlist is not None and initial.shortlist is None:
            raise OptionError(
                "decoding.shortlist is learned when a training begins anew, but this one starts from a run without "
                "it; set decoding.shortlist to 0"
            )
        return initial

    def guided_by(self, source: Vocabulary) -> Self:
        """Return this answer, with the vocabulary of the sources that targets may be aligned with."""
        return replace(self, source=source)

    def targets(self, data: Dataset) -> PackedIds:
        ids, alignments = super().targets(data), getattr(data, "alignments", None)
        if alignments is None or not self.guidance or self.source is None:
            return ids
        return encode_guided(data, alignments, ids, self.source, self.vocabulary)

    def augmentation(self) -> Callable[[Ids, np.random.Generator], Ids] | None:
        return None if self.dropout is None else self.dropout.divide

    def lengths(self, targets: Sequence[Ids]) -> Lengths:
        if isinstance(targets, PackedIds):
            return guided_lengths(targets) - 1
        return super().lengths(targets)

    def collate(self, targets: Sequence[Ids]) -> TargetBatch | GuidedBatch:  # type: ignore[override]
        if any(map(is_guided, targets)):
            return collate_guided(targets, self.vocabulary.pad_id)
        return super().collate(targets)

    def loss(
        self, model: EncoderDecoder[Any], batch: PieceBatch, targets: TargetBatch | GuidedBatch
    ) -> Tensor:
        """Return the summed cross-entropy of the target tokens.

        In training also of attention against given alignments, the penalty of the model's `frequency`, and R-Drop.
        """
        if not (model.training and self.r_drop):
            return self._pass_loss(model, batch, targets)[0]
        first, states = self._pass_loss(model, batch, targets)
        second, others = self._pass_loss(model, batch, targets)
        kept = predicted_positions(targets)
        apart = divergence(model.output(states[kept]), model.output(others[kept]))
        return (first + second) / 2 + self.r_drop / 2 * apart

    def _pass_loss(
        self, model: EncoderDecoder[Any], batch: PieceBatch, targets: TargetBatch | GuidedBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the loss without R-Drop, and the decoder's states (batch, target, width)."""
        decoder_inputs = targets.ids[:, :-1]
        source, source_lengths, places = _subsampled(model, batch)
        if places is not None and isinstance(targets, GuidedBatch):
            targets = targets.moved(places)
        options, training = model.frequency, model.training
        is_aligned = isinstance(targets, GuidedBatch)
        needs_weights = training and (bool(options.penalty) or is_aligned)
        states, weights = model(
            source, source_lengths, decoder_inputs, return_weights=needs_weights
        )
        loss = token_loss(model, states, targets, self.smoothing if training else 0.0)
        if weights is not None and isinstance(targets, GuidedBatch):
            looked = weights[:, model.alignment_layer].mean(dim=1)
            loss = loss + self.guidance * guided_loss(looked, targets)
        if weights is not None and options.penalty:
            frequencies = model.source_frequencies[source]
            frequent = attention_to_frequent(weights, frequencies, options.smoothing)
            loss = loss + options.penalty * frequent[predicted_positions(targets)].sum()
        return loss, states

    def check_search(self, search: Mapping[str, Any]) -> None:
        Answer.check_search(self, search)
        generation = self._generation(search)
        check_sizes(generation.options)
        self._shortlist_size(search)
        if not isinstance(generation.prefix, str) or generation.require:
            return
        generation.guidance(self.vocabulary, torch.ones(1))

    def _generation(self, search: Mapping[str, Any]) -> Generation:
        return Generation.of(
            self.decoding, {name: value for name, value in search.items() if name in OF_A_CALL}
        )

    def _shortlist_size(self, search: Mapping[str, Any]) -> int:
        """Return how many target tokens are scored for each source token; 0: all there are.

        Raises: OptionError for more than were learned.
        """
        chosen = search.get("shortlist")
        size: int = getattr(self.decoding, "shortlist", 0) if chosen is None else chosen
        if size < 0:
            raise OptionError(f"shortlist must be at least 0; got {size}.")
        if size and self.shortlist is None:
            raise OptionError(
                f"shortlist is {size}, but this model has learned none; leave it out, or train with "
                "decoding.shortlist."
            )
        if size and self.shortlist is not None:
            self.shortlist.check_size(size)
        return size

    def _listed(self, search: Mapping[str, Any], batch: PieceBatch, guidance: Guidance) -> Guidance:
        """Return what is known of the outputs, with the tokens that are scored."""
        size = self._shortlist_size(search)
        if not size or self.shortlist is None:
            return guidance
        phrases = [*guidance.prefixes, *(phrase for each in guidance.required for phrase in each)]
        always = {self.vocabulary.end_id, *(token for phrase in phrases for token in phrase)}
        tokens = self.shortlist.tokens(batch.ids, size, always=sorted(always))
        return replace(guidance, tokens=tokens)

    def of_rows(self, search: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
        """Return the prefixes and required phrases of some inputs, beside the other options."""
        own = self._generation(search).of_rows(rows)
        return {**search, **{name: getattr(own, name) for name in PER_INPUT if name in search}}

    def copies_unknown(self, search: Mapping[str, Any]) -> bool:
        """Whether unknown tokens of outputs are replaced by parts of their sources."""
        chosen: bool | None = search.get("copy_unknown")
        return bool(self.decoding.copy_unknown if chosen is None else chosen)

    def predict(
        self, model: EncoderDecoder[Any], batch: PieceBatch, **search: Any
    ) -> list[Generated]:
        generation = self._generation(search)
        guidance = generation.guidance(
            self.vocabulary, batch.lengths, may_be_unknown=self.draws_unknown
        )
        guidance = self._listed(search, batch, guidance)
        hypotheses = beam_search(
            model,
            batch.ids,
            batch.lengths,
            begin=self.vocabulary.begin_id,
            end=self.vocabulary.end_id,
            max_length=generation.limits(batch.lengths, guidance),
            options=generation.options,
            guidance=guidance,
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


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    r"""Return the summed mean of both Kullback-Leibler divergences of two distributions a row: (rows, tokens) twice.

    .. math:: \tfrac12 (D(p \| q) + D(q \| p)) = \tfrac12 \sum (p - q)(\log p - \log q)

    R-Drop adds it to the loss, for two passes of a batch under different dropout (Liang et al. 2021,
    https://arxiv.org/abs/2106.14448).

    >>> divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 0.0]]))
    tensor(0.)
    """
    one, other = torch.log_softmax(logits.float(), -1), torch.log_softmax(others.float(), -1)
    return 0.5 * ((one.exp() - other.exp()) * (one - other)).sum()


def _subsampled(
    model: EncoderDecoder[Any], batch: PieceBatch
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return source ids and lengths; in training, after subsampling of frequent tokens.

    Then also the new position of each token, (batch, source), -1 for those left out.
    """
    threshold = model.frequency.subsample
    if not (model.training and threshold):
        return batch.ids, batch.lengths, None
    keep = keep_probability(model.source_frequencies, threshold)
    order, padding, lengths = sample_positions(batch.ids, batch.lengths, keep)
    new = torch.arange(order.shape[1], device=order.device).expand_as(order)
    places = torch.full_like(batch.ids, -1).scatter(1, order, new.masked_fill(padding, -1))
    return batch.ids.gather(1, order).masked_fill(padding, PADDING), lengths, places
