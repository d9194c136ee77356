"""Token features: word embeddings, pre-trained vectors and character encoders."""

from __future__ import annotations

import abc
from itertools import pairwise
from typing import Annotated, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from heedful.errors import OptionError
from heedful.models.config import OneOf, Section
from heedful.models.encoders.base import real_tokens
from heedful.nn.dropout import Dropout
from heedful.nn.lstm import LSTMEncoder

PADDING, UNKNOWN = 0, 1
"""Reserved ids of words and of characters."""


class TokenBatch(NamedTuple):
    """Sentences as ids, right-padded; the characters of each distinct spelling occur once."""

    words: Tensor
    """(batch, length), long."""
    lengths: Tensor
    """(batch,), long."""
    spelling_ids: Tensor
    """(batch, length), long: the row of `characters` that spells the token; arbitrary at padding."""
    characters: Tensor
    """(distinct, longest), long."""
    character_lengths: Tensor
    """(distinct,), long, 1 or more."""


class CharacterEncoder(nn.Module, abc.ABC):
    """Encodes words from embedded characters: (words, longest, features), lengths (words,) -> (words, width)."""

    width: int

    @abc.abstractmethod
    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return (words, width), independent of the values at padding."""


class CharacterConvolution(CharacterEncoder):
    """Convolution of width 3 and max-pooling over characters (Ma and Hovy 2016, https://arxiv.org/abs/1603.01354).

    >>> CharacterConvolution(4, 6)(torch.ones(2, 3, 4), torch.tensor([3, 1])).shape
    torch.Size([2, 6])
    """

    def __init__(self, embedding: int, width: int):
        super().__init__()
        self.width = width
        self.filters = nn.Conv1d(embedding, width, 3, padding=1)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        real = real_tokens(embedded.shape[1], lengths)
        clean = embedded.masked_fill(~real, 0.0)
        features = F.relu(self.filters(clean.transpose(1, 2)).transpose(1, 2))
        return features.masked_fill(~real, 0.0).amax(dim=1)


class CharacterLSTM(CharacterEncoder):
    """The final states of an LSTM in each direction (Plank et al. 2016, https://arxiv.org/abs/1604.05529).

    >>> CharacterLSTM(4, 6)(torch.ones(2, 3, 4), torch.tensor([3, 1])).shape
    torch.Size([2, 6])
    """

    def __init__(self, embedding: int, width: int):
        super().__init__()
        if width % 2:
            raise OptionError(
                f"character_width is {width}; it must be even, half for each direction of the LSTM."
            )
        self.width = width
        self.lstm = LSTMEncoder(embedding, width // 2)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            return self.lstm(embedded, lengths).summary[0][-1]  # type: ignore[no-any-return]
        # Groups of similar length keep the padding small.
        ordered, order = lengths.sort(stable=True)
        parts = []
        for group in _groups(ordered.tolist()):
            rows, longest = order[group], int(ordered[group][-1])
            parts.append(self.lstm(embedded[rows, :longest], lengths[rows]).summary[0][-1])
        encoded = torch.cat(parts)
        return torch.zeros_like(encoded).index_copy(0, order, encoded)


def _groups(ordered: list[int]) -> list[slice]:
    """Split increasing lengths into groups of at least `MIN_GROUP`; a length above 1.5 × the first starts a new one."""
    starts = [0]
    for index, length in enumerate(ordered):
        large_enough = index - starts[-1] >= MIN_GROUP and len(ordered) - index >= MIN_GROUP
        if large_enough and length > 1.5 * ordered[starts[-1]]:
            starts.append(index)
    return [slice(start, end) for start, end in pairwise([*starts, len(ordered)])]


MIN_GROUP = 32
"""Minimum words per pass of the LSTM."""

CHARACTER_ENCODERS: dict[str, type[CharacterConvolution] | type[CharacterLSTM]] = {
    "convolution": CharacterConvolution,
    "lstm": CharacterLSTM,
}


Characters = Annotated[str, OneOf("characters", CHARACTER_ENCODERS, "none")]
"""Type of a configuration field that names a character encoder."""


class TokenInputsConfig(Section):
    """Token features."""

    word_width: int = Field(
        128, ge=0, description="Features of a word embedding; 0: no word embeddings."
    )
    characters: Characters = Field(
        "lstm", description="Character encoder; represents words without an embedding or vector."
    )
    character_embedding: int = Field(32, ge=1, description="Features of a character embedding.")
    character_width: int = Field(128, ge=2, description="Features of the character encoder; even.")
    vectors: str = Field(
        "",
        description="File of pre-trained word vectors (text format of word2vec, GloVe or fastText; also .gz), "
        "concatenated to the word embeddings; needed only for training.",
    )
    vectors_frozen: bool = Field(True, description="Do not train the pre-trained vectors.")
    vectors_unseen: int = Field(
        20_000,
        ge=0,
        description="Vectors to keep for words that are not in the training data.",
    )
    word_dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Probability of replacing a word by the unknown word in training.",
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout probability of the features.")


class VectorTable(NamedTuple):
    """Sizes of a table of pre-trained vectors."""

    width: int
    learned: int
    """Ids below this one have a learned embedding; the others share the unknown embedding."""


class TokenInputs(nn.Module):
    """Token features [word embedding ; pre-trained vector ; character encoding], with dropout.

    Word dropout replaces word ids, but not characters, by the unknown word in training, to learn its embedding.

    Args:
        config: sizes and options.
        words: the number of words, including padding and unknown.
        characters: the number of characters, including padding and unknown.
        vectors: sizes of the pre-trained vectors, if any; `set_vectors` sets their values.

    Shapes: a `TokenBatch` -> (batch, length, width).

    Raises:
        OptionError: neither word nor character features, or an odd width of a character LSTM.

    >>> inputs = TokenInputs(TokenInputsConfig(word_width=4, character_width=6), 10, 20).eval()
    >>> ids = torch.tensor([[2, 3, 2]])
    >>> batch = TokenBatch(ids, torch.tensor([3]), ids - 2, torch.tensor([[5, 6], [7, 0]]), torch.tensor([2, 1]))
    >>> embedded = inputs(batch)
    >>> embedded.shape, torch.equal(embedded[0, 0], embedded[0, 2])
    (torch.Size([1, 3, 10]), True)
    """

    def __init__(
        self,
        config: TokenInputsConfig,
        words: int,
        characters: int,
        vectors: VectorTable | None = None,
    ):
        super().__init__()
        self.word_dropout = config.word_dropout
        self.vectors: nn.Embedding | None = None
        self.learned = words
        if vectors is not None:
            self.learned = vectors.learned
            self.vectors = nn.Embedding(words, vectors.width)
            self.vectors.weight.requires_grad_(not config.vectors_frozen)
        self.words: nn.Embedding | None = None
        if config.word_width:
            self.words = nn.Embedding(self.learned, config.word_width, padding_idx=PADDING)
            nn.init.normal_(self.words.weight, std=config.word_width**-0.5)
            nn.init.zeros_(self.words.weight.data[PADDING])
        self.reader: CharacterEncoder | None = None
        self.characters: nn.Embedding | None = None
        if config.characters != "none":
            self.characters = nn.Embedding(characters, config.character_embedding)
            nn.init.normal_(self.characters.weight, std=config.character_embedding**-0.5)
            self.reader = CHARACTER_ENCODERS[config.characters](
                config.character_embedding, config.character_width
            )
        self.width = config.word_width + (0 if self.reader is None else self.reader.width)
        self.width += 0 if vectors is None else vectors.width
        if not self.width:
            raise OptionError(
                'word_width = 0 and characters = "none" leave a token without features; set one of them.'
            )
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed a batch."""
        parts: list[Tensor] = []
        if self.words is not None:
            parts.append(self.words(self._word_ids(batch.words)))
        if self.vectors is not None:
            parts.append(self.vectors(batch.words))
        if self.reader is not None:
            parts.append(self.encode_spellings(batch)[batch.spelling_ids])
        output: Tensor = self.dropout(torch.cat(parts, dim=-1))
        return output

    def encode_spellings(self, batch: TokenBatch) -> Tensor:
        """Encode the characters of each distinct spelling: (distinct, width)."""
        assert self.reader is not None
        assert self.characters is not None
        embedded = self.dropout(self.characters(batch.characters))
        encoded: Tensor = self.reader(embedded, batch.character_lengths)
        return encoded

    def set_vectors(self, values: Tensor) -> None:
        """Set the pre-trained vectors, (words, width)."""
        assert self.vectors is not None
        with torch.no_grad():
            self.vectors.weight.copy_(values)

    def _word_ids(self, words: Tensor) -> Tensor:
        """Return word ids after word dropout, with ids that have no embedding replaced by the unknown id."""
        if self.vectors is not None:
            words = words.masked_fill(words >= self.learned, UNKNOWN)
        if not (self.training and self.word_dropout):
            return words
        dropped = torch.rand(words.shape, device=words.device) < self.word_dropout
        return words.masked_fill(dropped & (words != PADDING), UNKNOWN)
