"""A trained translator: text in, text, scores and alignments out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from heedful.data.files import Pairs
from heedful.data.words import normalise, words
from heedful.decode.align import align
from heedful.decode.beam import Hypothesis, beam_search
from heedful.errors import DataError, OptionError
from heedful.models import MODELS
from heedful.models.base import EncoderDecoder
from heedful.tasks.alignment import Alignment, merge_pieces
from heedful.tasks.base import Predictor
from heedful.tasks.in_order import answers_in_order
from heedful.tasks.metrics import TranslationScores, score_translations
from heedful.tasks.text_pairs import Vocabularies
from heedful.tasks.translation_config import TranslationConfig

TASK = "translate"
BEGIN = "<begin>"
END = "<end>"
"""How the two tokens that stand for no text are shown."""


@dataclass(frozen=True)
class Translation:
    """One translation of one text."""

    text: str
    score: float
    """Sum of the tokens' log-probabilities over the length penalty's factor; more is better."""
    tokens: tuple[int, ...]
    """Ids in the target vocabulary, without begin and end."""


class TranslationTensors(NamedTuple):
    """One encoded pair, ready for the model, with the names of its tokens."""

    source: Tensor
    """(1, source), the end token last."""
    source_lengths: Tensor
    target: Tensor
    """(1, target), the begin token first, without the end token: what the decoder reads."""
    target_lengths: Tensor
    source_pieces: tuple[str, ...]
    target_pieces: tuple[str, ...]
    source_words: tuple[int, ...]
    """The word that each piece belongs to; the end token has none."""
    target_words: tuple[int, ...]
    """The word that each piece after the begin token belongs to."""


class Encoded(NamedTuple):
    """A batch of source texts."""

    source: Tensor
    """(batch, source), padded on the right."""
    source_lengths: Tensor


class Translator(Predictor):
    """A model with its vocabularies and its configuration.

    `heedful.train.loop` trains one into a run folder, from which `Translator.load` takes it; here it is
    untrained, and what it says is chance:

    >>> pairs = Pairs(["ein Hund rennt", "ein Mann"], ["a dog runs", "a man"])
    >>> config = TranslationConfig.model_validate({"model": {"kind": "gru", "embedding": 8, "hidden": 8}})
    >>> translator = Translator.untrained(config, Vocabularies.train(config.vocabulary, pairs))
    >>> [[best], [second]] = translator.translate(["ein Mann rennt", "ein Hund"])
    >>> alignment = translator.align("ein Mann rennt", "a man runs")
    >>> alignment.source_words, len(alignment.weights), alignment.method
    (['ein', 'Mann', 'rennt'], 3, 'attention')
    >>> translator.evaluate(pairs, beam=1).exact_match
    0.0
    """

    task = TASK
    configuration = TranslationConfig
    model: EncoderDecoder[Any]

    def __init__(
        self, config: TranslationConfig, vocabularies: Vocabularies, model: EncoderDecoder[Any]
    ):
        self.config = config
        self.vocabularies = vocabularies
        self.model = model

    @classmethod
    def untrained(cls, config: TranslationConfig, vocabularies: Vocabularies) -> Self:
        """Build the model that `config` describes, with fresh weights."""
        sizes = len(vocabularies.source), len(vocabularies.target)
        model = MODELS[config.model.kind](config.model, *sizes, config.frequency)
        return cls(config, vocabularies, model)

    @classmethod
    def reload(cls, config: TranslationConfig, folder: Path) -> Self:
        return cls.untrained(config, Vocabularies.load(folder))

    def save_resources(self, folder: Path) -> None:
        self.vocabularies.save(folder)

    def sizes(self) -> dict[str, int]:
        return {
            "source vocabulary": len(self.vocabularies.source),
            "target vocabulary": len(self.vocabularies.target),
        }

    def translate(
        self,
        texts: Iterable[str],
        *,
        beam: int | None = None,
        length_penalty: float | None = None,
        nbest: int = 1,
    ) -> Iterator[list[Translation]]:
        """Yield the `nbest` best translations of each text, in order, while texts are still read.

        An empty text has one empty translation. `beam` and `length_penalty` replace the configuration's.
        """
        beam = self.config.decoding.beam if beam is None else beam
        if length_penalty is None:
            length_penalty = self.config.decoding.length_penalty
        if beam < 1:
            raise OptionError(f"beam must be at least 1; got {beam}.")
        if not 1 <= nbest <= beam:
            raise OptionError(f"nbest must be from 1 to the beam, {beam}; got {nbest}.")
        if not 0 <= length_penalty < float("inf"):
            raise OptionError(
                f"length_penalty must be a number of at least 0; got {length_penalty}."
            )

        def answer(ids: list[list[int]]) -> Iterator[list[Translation]]:
            for found in self._search(self.pad(ids), beam, length_penalty, nbest):
                yield [self._translation(each) for each in found]

        return answers_in_order(
            texts,
            encode=self._encode,
            length=len,
            answer=answer,
            nothing=lambda: [Translation("", 0.0, ())],
            chunk=self.config.decoding.chunk,
            batch_tokens=self.config.decoding.batch_tokens,
        )

    def _encode(self, texts: list[str]) -> list[list[int]]:
        """Number the pieces of each text; an empty one has not even an end."""
        ids = self.vocabularies.source_ids(texts)
        return [each if text.strip() else [] for text, each in zip(texts, ids, strict=True)]

    def _search(
        self, encoded: Encoded, beam: int, length_penalty: float, nbest: int
    ) -> list[list[Hypothesis]]:
        limits = (self.config.decoding.max_length_ratio * encoded.source_lengths).long() + 10
        return beam_search(
            self.model,
            encoded.source,
            encoded.source_lengths,
            begin=self.vocabularies.target.begin_id,
            end=self.vocabularies.target.end_id,
            beam=beam,
            length_penalty=length_penalty,
            max_length=limits,
            nbest=nbest,
        )

    def _translation(self, hypothesis: Hypothesis) -> Translation:
        text = self.vocabularies.target.decode(hypothesis.tokens)
        return Translation(text, hypothesis.score, tuple(hypothesis.tokens))

    def pad(self, ids: Sequence[Sequence[int]]) -> Encoded:
        """Lay lists of ids into one tensor on the model's device."""
        device = self.model.source_embedding.weight.device
        lengths = torch.tensor([len(each) for each in ids])
        source = torch.full((len(ids), int(lengths.max())), self.vocabularies.source.pad_id)
        for row, each in zip(source, ids, strict=True):
            row[: len(each)] = torch.tensor(each)
        return Encoded(source.to(device), lengths.to(device))

    def evaluate(self, pairs: Pairs, *, beam: int | None = None) -> TranslationScores:
        """Translate the source side of `pairs` and compare with the target side."""
        texts = [best.text for best, *_ in self.translate(pairs.source, beam=beam)]
        return score_translations(texts, pairs.target)

    def tensors(self, source: str, target: str) -> TranslationTensors:
        """Encode one pair for `heedful.explore`: ids, lengths and the pieces that the ids stand for."""
        [source_ids] = self.vocabularies.source_ids([source])
        [target_ids] = self.vocabularies.target_ids([target])
        pair = self.pad([source_ids]), self.pad([target_ids[:-1]])
        source_encoding = self.vocabularies.source.encode(source)
        target_encoding = self.vocabularies.target.encode(target)
        return TranslationTensors(
            source=pair[0].source,
            source_lengths=pair[0].source_lengths,
            target=pair[1].source,
            target_lengths=pair[1].source_lengths,
            source_pieces=(*source_encoding.pieces, END),
            target_pieces=(BEGIN, *target_encoding.pieces),
            source_words=tuple(source_encoding.words),
            target_words=tuple(target_encoding.words),
        )

    def align(self, source: str, target: str) -> Alignment:
        """Say which source words each target word looked at, or, without attention, depends on.

        Works for any target: the model's translation, whatever the search, or a reference. The target
        is decoded with every token given. Pieces become words by summing over source pieces and
        averaging over target pieces; what falls to the end token belongs to no word.

        Raises: DataError for a text without words.
        """
        for name, text in (("source", source), ("target", target)):
            if not text.strip():
                raise DataError(f"the {name} has no words to align")
        tensors = self.tensors(source, target)
        aligned = align(self.model, tensors.source, tensors.source_lengths, tensors.target)
        lowercase = self.config.vocabulary.lowercase
        source_words = words(normalise(source, lowercase=lowercase))
        target_words = words(normalise(target, lowercase=lowercase))
        merged = merge_pieces(
            aligned.weights[0].detach().float().cpu(),
            self.vocabularies.source.encode(source),
            len(source_words),
            self.vocabularies.target.encode(target),
            len(target_words),
        )
        return Alignment(source_words, target_words, merged.tolist(), aligned.method)
