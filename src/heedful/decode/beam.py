"""Batched search for the outputs of any decoder: beam search, sampling, or under constraints."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

import torch
from torch import Tensor

from heedful.decode.coverage import Coverage
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.decode.extensions import BestExtensions, Extensions, best_extensions
from heedful.decode.hypotheses import ActiveHypotheses, Hypothesis
from heedful.decode.options import SearchOptions
from heedful.decode.output_layer import OutputLayer
from heedful.decode.required import RequiredSelection
from heedful.decode.restrictions import (
    ForcedPrefix,
    MinimumLength,
    NoLoops,
    NoRepeatedNgrams,
    Restriction,
)
from heedful.decode.sampling import SampleSelection
from heedful.decode.selection import BeamSelection, Selection
from heedful.errors import OptionError, ShapeError
from heedful.models.base import DecoderState, EncoderDecoder, TextDecoder

Phrases = Sequence[Sequence[int]]
"""Sequences of token ids."""


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """What is known of the outputs of a batch beforehand."""

    prefixes: Phrases = ()
    """For each sentence the tokens that its output begins with; none: no sentence has any."""
    required: Sequence[Phrases] = ()
    """For each sentence the phrases that its output holds, each as consecutive tokens; none: no sentence has any."""
    closing: Tensor | None = None
    """(tokens,), True for tokens that may follow a required phrase; None: all may."""
    min_length: Tensor | None = None
    """(sentences,), minimum tokens of an output, without the end token."""
    tokens: Tensor | None = None
    """The tokens that outputs consist of, in increasing order, the end token among them; None: all."""
    restrictions: Sequence[Restriction] = field(default=())
    """Further restrictions of the tokens."""


NO_GUIDANCE: Final = Guidance()
DEFAULT_OPTIONS: Final = SearchOptions()


def beam_search(
    model: EncoderDecoder[DecoderState],
    source: Tensor,
    source_lengths: Tensor,
    *,
    begin: int,
    end: int,
    max_length: int | Tensor,
    options: SearchOptions = DEFAULT_OPTIONS,
    guidance: Guidance = NO_GUIDANCE,
) -> list[list[Hypothesis]]:
    """Search for the target sequences of highest score; the score is that of `SearchOptions`.

    Each step extends every active hypothesis of a sentence by its best tokens and keeps the best of all
    extensions, `beam` per sentence. A finished hypothesis keeps its slot in the beam. The search for a sentence
    ends when all slots are finished, or when no active hypothesis can still enter the n best: log-probabilities
    only decrease, so log p / lp(max_length) bounds its score. `beam=1` is greedy search. The search is
    deterministic and runs the model in evaluation mode. With `options.sampling` tokens are drawn instead.

    Args:
        model: any encoder–decoder; the search calls `start`, `step`, `output` and the state's `select`.
        source: token ids (batch, source), padded on the right.
        source_lengths: (batch,).
        begin: id of the begin token.
        end: id of the end token.
        max_length: maximum tokens of a hypothesis, with the end token; one number, or one per sentence (batch,).
        options: the width of the search, and what is penalized.
        guidance: what is known of the outputs beforehand.

    Returns:
        For each sentence 1 to `nbest` hypotheses: finished ones by descending score, then, if these are too few,
        those truncated at `max_length`, by descending score.

    Raises:
        ShapeError: `max_length` is neither one number nor one per sentence.
        OptionError: `max_length` below 1, a coverage penalty for a model without attention, or options that cannot be
            combined.

    References:
        Sutskever et al. 2014, "Sequence to Sequence Learning with Neural Networks", section 3.2;
        Wu et al. 2016, "Google's Neural Machine Translation System", section 7.

    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> model = RecurrentEncoderDecoder(RecurrentConfig(embedding=8, hidden=8), 20, 20)
    >>> source, lengths = torch.tensor([[4, 5, 6], [7, 8, 0]]), torch.tensor([3, 2])
    >>> options = SearchOptions(beam=4, nbest=2)
    >>> nbest = beam_search(model, source, lengths, begin=2, end=3, max_length=6, options=options)
    >>> [len(hypotheses) for hypotheses in nbest]
    [2, 2]
    """
    return search(
        model,
        lambda: model.start(source, source_lengths),
        source.shape[0],
        begin=begin,
        end=end,
        max_length=max_length,
        options=options,
        guidance=guidance,
        source_lengths=source_lengths,
        keys=_keys(source, source_lengths) if options.sampling else (),
    )


def _keys(source: Tensor, lengths: Tensor) -> list[int]:
    """Return a number for each source, so that what is drawn for it does not depend on the batch."""
    rows = zip(source.tolist(), lengths.tolist(), strict=True)
    return [zlib.crc32(repr(row[:length]).encode()) for row, length in rows]


class Rescorer(Protocol):
    """Further scores of the extensions of active hypotheses, such as those of CTC."""

    def combine(self, log_probabilities: Tensor) -> Tensor:
        """Return the scores of all extensions, (rows, tokens), from the decoder's log-probabilities of them.

        They are at most 0, since the search ends early by that.
        """
        ...

    def extend(self, rows: Tensor, tokens: Tensor) -> Self:
        """Return the scores of the hypotheses `rows` (chosen,), each extended by one of `tokens` (chosen,)."""
        ...


def search(
    decoder: TextDecoder[DecoderState],
    start: Callable[[], DecoderState],
    sequences: int,
    *,
    begin: int,
    end: int,
    max_length: int | Tensor,
    options: SearchOptions,
    guidance: Guidance = NO_GUIDANCE,
    rescorer: Rescorer | None = None,
    source_lengths: Tensor | None = None,
    keys: Sequence[int] = (),
) -> list[list[Hypothesis]]:
    """Search as `beam_search` does, from any first decoder state.

    Args:
        decoder: any decoder.
        start: returns its first state, a row for each sequence.
        sequences: their number.
        begin, end, max_length, options, guidance: as for `beam_search`.
        rescorer: combines the log-probabilities of each step with others; None: they are as they are.
        source_lengths: (sequences,), needed by a coverage penalty.
        keys: a number for each sequence that its samples depend on.

    Raises:
        ShapeError, OptionError: as `beam_search`.
    """
    limits = _limits(max_length, sequences)
    if not sequences:
        return []
    selection = _selection(options, guidance, end, limits.tolist(), keys)
    with evaluation_mode(decoder), torch.inference_mode():
        state = start()
        device = decoder.target_embedding.weight.device
        tokens = None if guidance.tokens is None else guidance.tokens.to(device)
        output = OutputLayer(decoder, tokens, int8=options.int8)
        restrictions = _restrictions(options, guidance, end, device)
        coverage = _coverage(decoder, options, source_lengths)
        rows = ActiveHypotheses.first(sequences, begin, device)
        while True:
            token = rows.tokens[:, -1]
            if coverage is None:
                states, state = decoder.step(token, state)
            else:
                states, state, weights = decoder.step_with_weights(token, state)
                coverage = coverage.add(weights)
            extensions = _extensions(output, states, rows, restrictions, rescorer, selection.width)
            rows, parents = selection.advance(rows, extensions, coverage)
            if parents.numel() == 0:
                return selection.results()
            if rescorer is not None:
                rescorer = rescorer.extend(parents, rows.tokens[:, -1])
            if parents.numel() != states.shape[0] or not _is_identity(parents):
                state = state.select(parents)
                coverage = coverage and coverage.select(parents)


def _limits(max_length: int | Tensor, sequences: int) -> Tensor:
    limits = torch.as_tensor(max_length)
    if limits.dim() > 0 and limits.shape != (sequences,):
        expected = f"one number or ({sequences},), one per sentence"
        raise ShapeError(f"max_length has shape {tuple(limits.shape)}; expected {expected}.")
    if limits.numel() and int(limits.min()) < 1:
        raise OptionError(f"max_length must be at least 1; got {int(limits.min())}.")
    return limits.expand(sequences)


def _selection(
    options: SearchOptions, guidance: Guidance, end: int, limits: list[int], keys: Sequence[int]
) -> Selection:
    """Return what chooses the extensions of each step."""
    if options.sampling is not None:
        if any(guidance.required):
            raise OptionError("phrases cannot be required of samples; search for the best output.")
        return SampleSelection(end, options, limits, keys=keys)
    if any(guidance.required):
        return RequiredSelection(
            end, options, limits, phrases=guidance.required, closing=guidance.closing
        )
    return BeamSelection(end, options, limits)


def _restrictions(
    options: SearchOptions, guidance: Guidance, end: int, device: torch.device
) -> list[Restriction]:
    """Return the restrictions of the tokens; a prefix comes last, so that it stands whatever the others say."""
    found: list[Restriction] = [*guidance.restrictions]
    if options.no_repeat_ngram:
        found.append(NoRepeatedNgrams(options.no_repeat_ngram))
    if options.max_repetition:
        found.append(NoLoops(options.max_repetition))
    if guidance.min_length is not None:
        found.append(MinimumLength(guidance.min_length.to(device), end))
    if any(guidance.prefixes):
        found.append(ForcedPrefix.of(guidance.prefixes, device))
    return found


def _coverage(
    decoder: TextDecoder[DecoderState], options: SearchOptions, lengths: Tensor | None
) -> Coverage | None:
    if not options.coverage_penalty:
        return None
    if not decoder.has_attention or lengths is None:
        raise OptionError(
            "coverage_penalty needs attention to the source, which this model does not have; set it to 0."
        )
    return Coverage.start(lengths, options.coverage_penalty)


def _extensions(
    output: OutputLayer,
    states: Tensor,
    rows: ActiveHypotheses,
    restrictions: Sequence[Restriction],
    rescorer: Rescorer | None,
    width: int | None,
) -> Extensions | BestExtensions:
    """Return the scores of all extensions, or of the best `width` of each hypothesis.

    Restrictions leave the probabilities of the others as they are.
    """

    def exclude(logits: Tensor, part: slice) -> None:
        hypotheses = rows.part(part)
        for restriction in restrictions:
            restriction.exclude(logits, hypotheses)

    if rescorer is None and width is not None:
        return best_extensions(output.extensions, states, width, exclude)
    if rescorer is not None:
        logits = output.logits(states).float()
        extensions = Extensions(rescorer.combine(torch.log_softmax(logits, dim=-1)), None)
    else:
        extensions = output.extensions(states)
    exclude(extensions.logits, slice(None))
    return extensions


def _is_identity(index: Tensor) -> bool:
    return torch.equal(index, torch.arange(index.shape[0], device=index.device))
