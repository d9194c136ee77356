"""Base class of answers that are texts: their vocabulary, targets and candidates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, NamedTuple, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from heedful.answers.alignment import Alignment
from heedful.answers.base import Answer
from heedful.data.batching import pad_ids
from heedful.data.dataset import Dataset
from heedful.data.packed_ids import Ids, PackedIds
from heedful.data.vocabulary import Vocabulary
from heedful.decode.hypotheses import Hypothesis
from heedful.decode.options import SearchOptions
from heedful.errors import OptionError
from heedful.inputs.base import Lengths
from heedful.inputs.pieces import pack_texts
from heedful.models.base import TextDecoder
from heedful.nn.cross_entropy import smoothed_cross_entropy

TARGET_VOCABULARY: Final = "target_vocabulary.json"
LARGEST_BEAM: Final = 1000
"""Hypotheses kept a source at most; the memory of a search grows with them."""
BeamSize = Annotated[int, Field(ge=1, le=LARGEST_BEAM)]
LengthRatio = Annotated[float, Field(gt=0, le=100)]
"""Target tokens of a search per position of the source; a search may run to the last of them."""


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


Text = TypeVar("Text", bound=Generated)


@dataclass(frozen=True)
class TextAnswer(Answer[Text]):
    """Text of a learned vocabulary.

    Reads the sections vocabulary and decoding, which has beam and length_penalty, and training.label_smoothing.
    """

    search_options: ClassVar[frozenset[str]] = frozenset({"beam", "length_penalty", "nbest"})
    validation_search: ClassVar[Mapping[str, Any]] = {"beam": 1}

    vocabulary: Vocabulary
    decoding: Any
    """The section of the configuration."""
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

    def count_predictions(self, batch: Any, targets: TargetBatch) -> int:
        """Return the number of target tokens, without begin tokens."""
        return int((targets.lengths - 1).sum())

    def count_tokens(self, batch: Any, targets: TargetBatch) -> int:
        return self.count_predictions(batch, targets)

    def check_search(self, search: Mapping[str, Any]) -> None:
        super().check_search(search)
        names = ("beam", "length_penalty", "nbest")
        options = self.search_settings(**{name: search.get(name) for name in names})
        check_sizes(options)

    def search_settings(
        self, beam: int | None = None, length_penalty: float | None = None, nbest: int | None = None
    ) -> SearchOptions:
        """Return the options of a search, with configured values for None."""
        if length_penalty is None:
            length_penalty = self.decoding.length_penalty
        beam = self.decoding.beam if beam is None else beam
        return SearchOptions(beam=beam, length_penalty=length_penalty, nbest=nbest or 1)

    def _candidate(self, hypothesis: Hypothesis) -> Candidate:
        text = self.vocabulary.decode(hypothesis.tokens)
        return Candidate(text, hypothesis.score, tuple(hypothesis.tokens))

    def to_text(self, prediction: Text) -> str:
        return prediction.text


def check_sizes(options: SearchOptions) -> None:
    """Raise OptionError for more hypotheses than the memory of a machine is likely to hold."""
    for name in ("beam", "nbest"):
        value = getattr(options, name)
        if value > LARGEST_BEAM:
            raise OptionError(
                f"{name} must be at least 1 and at most {LARGEST_BEAM:,}; got {value}."
            )


def token_loss(decoder: TextDecoder[Any], states: Tensor, targets: Any, smoothing: float) -> Tensor:
    """Return the summed cross-entropy of the target tokens from the decoder's states (batch, target, width).

    With smoothing s over V tokens the target distribution is (1 - s) at the true token plus s / V at every token
    (Szegedy et al. 2016, https://arxiv.org/abs/1512.00567). Padding is dropped before the output layer, the largest
    multiplication.
    """
    labels = targets.ids[:, 1:]
    kept = predicted_positions(targets)
    weight, bias = decoder.output_layer()
    return smoothed_cross_entropy(states[kept], weight, bias, labels[kept], smoothing)


def predicted_positions(targets: Any) -> Tensor:
    """Return True for the tokens that are predicted, all but begin and padding: (batch, target)."""
    lengths: Tensor = targets.lengths - 1
    positions = torch.arange(targets.ids.shape[1] - 1, device=lengths.device)
    return positions < lengths[:, None]
