"""A trained tagger: tokens in, a label for each out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch

from heedful.data.labelled import Labelled
from heedful.data.lexicon import RESERVED, Lexicon, load_lexicons, save_lexicons
from heedful.data.vectors import VectorSizes
from heedful.decode.evaluating import evaluating
from heedful.models.encoders.inputs import TokenBatch
from heedful.models.tagger import TaggerModel, TaggerSizes
from heedful.tasks.base import Predictor
from heedful.tasks.in_order import answers_in_order
from heedful.tasks.pretrained import vector_counts
from heedful.tasks.tagging_config import TaggingConfig, TaggingVocabulary
from heedful.tasks.tagging_metrics import TaggingScores, score_tags
from heedful.tasks.token_encoding import TokenEncoder, TokenIds

VOCABULARY = "vocabulary.json"


@dataclass(frozen=True)
class TaggerVocabularies:
    """Words, characters and labels."""

    tokens: TokenEncoder
    labels: Lexicon
    """The label of number n is `labels.entries[n]`; nothing is reserved among a model's labels."""

    @classmethod
    def learn(cls, config: TaggingVocabulary, data: Labelled) -> Self:
        """Build them from training sentences."""
        tokens = TokenEncoder.learn(
            data.tokens(),
            min_frequency=config.min_frequency,
            size=config.size,
            lowercase=config.lowercase,
            longest_word=config.longest_word,
        )
        return cls(tokens, Lexicon.learn(data.labels()))

    @classmethod
    def load(cls, config: TaggingVocabulary, folder: Path) -> Self:
        """Read those of a run folder."""
        names = ("words", "characters", "labels")
        words, characters, labels = load_lexicons(folder / VOCABULARY, names)
        vectors = VectorSizes.load(folder)
        tokens = TokenEncoder(words, characters, config.lowercase, config.longest_word, vectors)
        return cls(tokens, labels)

    def save(self, folder: Path) -> None:
        """Write them into a run folder."""
        tokens = self.tokens
        lexicons = {"words": tokens.words, "characters": tokens.characters, "labels": self.labels}
        save_lexicons(folder / VOCABULARY, lexicons)
        if tokens.vectors is not None:
            tokens.vectors.save(folder)

    def label_ids(self, labels: Sequence[str]) -> list[int]:
        """Number labels from 0 on; one that training did not see is -1."""
        return [number - RESERVED for number in self.labels.ids(labels)]


class Tagger(Predictor):
    """A model with its vocabularies and its configuration.

    `heedful.train.loop` trains one into a run folder, from which `Tagger.load` takes it; here it is
    untrained, and what it says is chance:

    >>> from heedful.data.labelled import Sentence
    >>> data = Labelled([Sentence(("I", "saw", "a", "saw"), ("PRON", "VERB", "DET", "NOUN"))])
    >>> config = TaggingConfig.model_validate({"encoder": {"kind": "window", "hidden": 8}})
    >>> tagger = Tagger.untrained(config, TaggerVocabularies.learn(config.vocabulary, data))
    >>> [labels] = tagger.tag([["a", "saw"]])
    >>> len(labels), set(labels) <= {"PRON", "VERB", "DET", "NOUN"}
    (2, True)
    """

    task = "tag"
    configuration = TaggingConfig
    model: TaggerModel

    def __init__(self, config: TaggingConfig, vocabularies: TaggerVocabularies, model: TaggerModel):
        self.config = config
        self.vocabularies = vocabularies
        self.model = model

    @classmethod
    def untrained(cls, config: TaggingConfig, vocabularies: TaggerVocabularies) -> Self:
        """Build the model that `config` describes, with fresh weights."""
        tokens = vocabularies.tokens
        sizes = TaggerSizes(
            len(tokens.words),
            len(tokens.characters),
            len(vocabularies.labels.entries),
            tokens.table,
        )
        model = TaggerModel(
            config.inputs,
            config.encoder,
            sizes,
            chain=config.labels.chain,
            dropout=config.labels.dropout,
        )
        return cls(config, vocabularies, model)

    @classmethod
    def reload(cls, config: TaggingConfig, folder: Path) -> Self:
        return cls.untrained(config, TaggerVocabularies.load(config.vocabulary, folder))

    def save_resources(self, folder: Path) -> None:
        self.vocabularies.save(folder)

    def sizes(self) -> dict[str, int]:
        tokens = self.vocabularies.tokens
        return {
            "words": len(tokens.words.entries),
            "characters": len(tokens.characters.entries),
            "labels": len(self.vocabularies.labels.entries),
            **vector_counts(tokens.vectors),
        }

    def tag(self, sentences: Iterable[Sequence[str]]) -> Iterator[list[str]]:
        """Yield the labels of each sentence's tokens, in order, while sentences are still read."""
        encode = self.vocabularies.tokens.encode
        return answers_in_order(
            sentences,
            encode=lambda taken: [encode(tokens) for tokens in taken],
            length=lambda ids: len(ids.words),
            answer=self._best,
            nothing=list,
            chunk=self.config.prediction.chunk,
            batch_tokens=self.config.prediction.batch_tokens,
        )

    def _best(self, sentences: Sequence[TokenIds]) -> list[list[str]]:
        batch = self.to_device(self.vocabularies.tokens.collate(sentences))
        with evaluating(self.model), torch.inference_mode():
            best = self.model.best(batch).tolist()
        entries = self.vocabularies.labels.entries
        return [
            [entries[number] for number in row[: len(each.words)]]
            for row, each in zip(best, sentences, strict=True)
        ]

    def to_device(self, batch: TokenBatch) -> TokenBatch:
        """Move a batch to where the model is."""
        device = self.model.output.weight.device
        return TokenBatch(*(part.to(device) for part in batch))

    def evaluate(self, data: Labelled) -> TaggingScores:
        """Tag the sentences and compare with their labels."""
        got = list(self.tag(sentence.tokens for sentence in data.sentences))
        return self.score(data, got)

    def score(self, data: Labelled, got: Sequence[Sequence[str]]) -> TaggingScores:
        """Compare labels, however they came about, with those of the sentences."""
        tokens = self.vocabularies.tokens
        known = [
            [number > 1 for number in tokens.encode(sentence.tokens).words]
            for sentence in data.sentences
        ]
        return score_tags(got, [sentence.labels for sentence in data.sentences], known)
