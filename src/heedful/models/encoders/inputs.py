"""From tokens to features: an embedding for each word, and one read off its characters."""

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
"""The first two ids of words and of characters."""


class TokenBatch(NamedTuple):
    """Sentences as ids, padded on the right; each distinct word's characters stand there once."""

    words: Tensor
    """(batch, length), long."""
    lengths: Tensor
    """(batch,), long."""
    forms: Tensor
    """(batch, length), long: which row of `characters` spells the token; any row at padding."""
    characters: Tensor
    """(distinct, longest), long."""
    character_lengths: Tensor
    """(distinct,), long, 1 or more."""


class CharacterReader(nn.Module, abc.ABC):
    """Reads words, each a row of embedded characters: (words, longest, features), (words,) -> (words, width)."""

    width: int

    @abc.abstractmethod
    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        """Return (words, width); what stands at padding never matters."""


class CharacterConvolution(CharacterReader):
    """The greatest answer of each of many filters of 3 characters (Ma and Hovy 2016, https://arxiv.org/abs/1603.01354).

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
        answers = F.relu(self.filters(clean.transpose(1, 2)).transpose(1, 2))
        return answers.masked_fill(~real, 0.0).amax(dim=1)


class CharacterLSTM(CharacterReader):
    """The final states of an LSTM in each direction (Plank et al. 2016, https://arxiv.org/abs/1604.05529).

    >>> CharacterLSTM(4, 6)(torch.ones(2, 3, 4), torch.tensor([3, 1])).shape
    torch.Size([2, 6])
    """

    def __init__(self, embedding: int, width: int):
        super().__init__()
        if width % 2:
            raise OptionError(
                f"character_width is {width}, which two directions cannot halve; make it even."
            )
        self.width = width
        self.lstm = LSTMEncoder(embedding, width // 2)

    def forward(self, embedded: Tensor, lengths: Tensor) -> Tensor:
        # words of about one length together: little of the work is then done on padding
        ordered, order = lengths.sort(stable=True)
        parts = []
        for group in _groups(ordered.tolist()):
            rows, longest = order[group], int(ordered[group][-1])
            parts.append(self.lstm(embedded[rows, :longest], lengths[rows]).summary[0][-1])
        read = torch.cat(parts)
        return torch.zeros_like(read).index_copy(0, order, read)


def _groups(ordered: list[int]) -> list[slice]:
    """Cut rising lengths into groups of at least `LEAST_GROUP` whose greatest is at most a half above the least."""
    starts = [0]
    for place, length in enumerate(ordered):
        enough = place - starts[-1] >= LEAST_GROUP and len(ordered) - place >= LEAST_GROUP
        if enough and length > 1.5 * ordered[starts[-1]]:
            starts.append(place)
    return [slice(start, end) for start, end in pairwise([*starts, len(ordered)])]


LEAST_GROUP = 32
"""Words that are worth a pass of their own."""

CHARACTER_READERS: dict[str, type[CharacterConvolution] | type[CharacterLSTM]] = {
    "convolution": CharacterConvolution,
    "lstm": CharacterLSTM,
}


Characters = Annotated[str, OneOf("characters", CHARACTER_READERS, "none")]
"""Type of the field that names a reader of characters."""


class TokenInputsConfig(Section):
    """How a token becomes features."""

    word_width: int = Field(
        128, ge=0, description="Features of a word's own embedding; 0: words by characters alone."
    )
    characters: Characters = Field(
        "lstm", description="How a word's characters are read; it is what unknown words live by."
    )
    character_embedding: int = Field(32, ge=1, description="Features of a character.")
    character_width: int = Field(128, ge=2, description="Features read off the characters; even.")
    vectors: str = Field(
        "",
        description="A file of pre-trained word vectors (word2vec, GloVe or fastText as text, .gz too), read "
        "beside the words' own embeddings; only training reads it, the run keeps what it needs.",
    )
    vectors_frozen: bool = Field(True, description="Leave the pre-trained vectors as they are.")
    vectors_unseen: int = Field(
        20_000,
        ge=0,
        description="Of the file's words that training never saw, so many are kept for texts to come.",
    )
    word_dropout: float = Field(
        0.2, ge=0, lt=1, description="Share of words that training takes for unknown ones."
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="Probability of dropping a feature.")


class VectorTable(NamedTuple):
    """How large a table of pre-trained vectors is."""

    width: int
    learned: int
    """Words below this id have an embedding of their own too; the others share the unknown word's."""


class TokenInputs(nn.Module):
    """Embeds tokens: [word ; pre-trained vector ; characters], with dropout.

    While training, some words are taken for the unknown word, whose embedding is learned so; their
    characters are still read.

    Args:
        config: sizes and options.
        words: how many words there are, padding and unknown counted.
        characters: how many characters there are, likewise.
        vectors: of the pre-trained vectors, if there are any; `set_vectors` fills them in.

    Shapes: a `TokenBatch` -> (batch, length, width).

    Raises:
        OptionError: neither words nor characters, or an odd width for two directions.

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
        self.reader: CharacterReader | None = None
        self.characters: nn.Embedding | None = None
        if config.characters != "none":
            self.characters = nn.Embedding(characters, config.character_embedding)
            nn.init.normal_(self.characters.weight, std=config.character_embedding**-0.5)
            self.reader = CHARACTER_READERS[config.characters](
                config.character_embedding, config.character_width
            )
        self.width = config.word_width + (0 if self.reader is None else self.reader.width)
        self.width += 0 if vectors is None else vectors.width
        if not self.width:
            raise OptionError(
                'word_width = 0 and characters = "none" leave nothing of a token; give one of them.'
            )
        self.dropout = Dropout(config.dropout)

    def forward(self, batch: TokenBatch) -> Tensor:
        """Embed a batch."""
        parts: list[Tensor] = []
        if self.words is not None:
            parts.append(self.words(self._some_unknown(batch.words)))
        if self.vectors is not None:
            parts.append(self.vectors(batch.words))
        if self.reader is not None:
            parts.append(self.read_forms(batch)[batch.forms])
        output: Tensor = self.dropout(torch.cat(parts, dim=-1))
        return output

    def read_forms(self, batch: TokenBatch) -> Tensor:
        """Read the characters of each distinct word once: (distinct, width)."""
        assert self.reader is not None
        assert self.characters is not None
        embedded = self.dropout(self.characters(batch.characters))
        read: Tensor = self.reader(embedded, batch.character_lengths)
        return read

    def set_vectors(self, values: Tensor) -> None:
        """Fill in the pre-trained vectors, (words, width)."""
        assert self.vectors is not None
        with torch.no_grad():
            self.vectors.weight.copy_(values)

    def _some_unknown(self, words: Tensor) -> Tensor:
        if self.vectors is not None:
            words = words.masked_fill(words >= self.learned, UNKNOWN)
        if not (self.training and self.word_dropout):
            return words
        dropped = torch.rand(words.shape, device=words.device) < self.word_dropout
        return words.masked_fill(dropped & (words != PADDING), UNKNOWN)
