"""Tagging as a task of the one training loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from heedful.data.batching import pad_ids
from heedful.data.labelled import Labelled
from heedful.data.spans import OUTSIDE, SCHEMES, first_break, may_follow, scheme_of
from heedful.errors import DataError, nearest
from heedful.models.encoders.inputs import TokenBatch
from heedful.models.tagger import TaggerModel
from heedful.nn.crf import LinearChain
from heedful.tasks.base import Figure, Loss, Scores, Task
from heedful.tasks.batches import Batches
from heedful.tasks.cross_entropy import smoothed_cross_entropy
from heedful.tasks.pretrained import with_vectors
from heedful.tasks.tagging import Tagger, TaggerVocabularies
from heedful.tasks.tagging_config import TaggingConfig
from heedful.tasks.token_encoding import TokenEncoder, TokenIds


class TaggedBatch(NamedTuple):
    """Sentences and the number of each token's label."""

    tokens: TokenBatch
    labels: Tensor
    """(batch, length), long; 0 at padding."""


TaggedIds = tuple[TokenIds, Sequence[int]]


class TaggingLoss(Loss):
    """Cross-entropy of each token's label, or with a chain the negative log-likelihood of the whole."""

    model: TaggerModel

    def __init__(self, model: TaggerModel, label_smoothing: float):
        super().__init__()
        self.model = model
        self.label_smoothing = label_smoothing

    def forward(self, batch: TaggedBatch) -> Tensor:
        lengths = batch.tokens.lengths
        states = self.model.states(batch.tokens)
        if self.model.chain is not None:
            loss: Tensor = self.model.chain(self.model.output(states), batch.labels, lengths).sum()
            return loss
        kept = torch.arange(states.shape[1], device=lengths.device) < lengths[:, None]
        smoothing = self.label_smoothing if self.training else 0.0
        output = self.model.output
        return smoothed_cross_entropy(
            states[kept], output.weight, output.bias, batch.labels[kept], smoothing
        )

    @staticmethod
    def count(batch: TaggedBatch) -> int:
        return int(batch.tokens.lengths.sum())


class TaggingTask(Task[TaggingConfig, Labelled, Tagger]):
    """A label for each token."""

    predictor = Tagger
    figures: ClassVar = {
        "loss": Figure("loss"),
        "accuracy": Figure("accuracy", ".4f"),
        "macro_f1": Figure("macro F1", ".4f"),
    }
    charts = (("accuracy", "macro_f1"),)
    examples = "sentences"

    def check(self, config: TaggingConfig, train: Labelled, valid: Labelled) -> None:
        scheme = _scheme(config, train)
        if scheme is not None:
            for data in (train, valid):
                _check_spans(scheme, data)
        seen = set(train.labels())
        for sentence in valid.sentences:
            for number, label in enumerate(sentence.labels):
                if label not in seen:
                    near = nearest(label, seen)
                    hint = f"; did you mean {near!r}?" if near else "."
                    raise sentence.error(
                        number,
                        f"the label {label!r} is in no training sentence{hint} The training labels are: "
                        f"{', '.join(sorted(seen)[:40])}.",
                    )

    def learn(self, config: TaggingConfig, train: Labelled) -> Tagger:
        found = TaggerVocabularies.learn(config.vocabulary, train)
        tokens, vectors = with_vectors(found.tokens, train.tokens(), config.inputs)
        trained = Tagger.untrained(config, replace(found, tokens=tokens))
        if vectors is not None:
            trained.model.inputs.set_vectors(vectors)
        scheme = _scheme(config, train)
        if trained.model.chain is not None and scheme is not None:
            _forbid(trained.model.chain, scheme, trained.vocabularies.labels.entries)
        return trained

    def batches(
        self, trained: Tagger, data: Labelled, *, training: bool
    ) -> Batches[TaggedIds, TaggedBatch]:
        options, longest = trained.config.training, trained.config.data.max_length
        vocabularies = trained.vocabularies
        kept = [s for s in data.sentences if not training or len(s.tokens) <= longest]
        if not kept:
            raise DataError(
                f"every training sentence is longer than data.max_length = {longest} tokens"
            )
        examples = [
            (vocabularies.tokens.encode(sentence.tokens), vocabularies.label_ids(sentence.labels))
            for sentence in kept
        ]
        collate = _Collate(vocabularies.tokens)
        return Batches(examples, _lengths, collate, options.batch_tokens, options.seed)

    def loss(self, trained: Tagger) -> Loss:
        return TaggingLoss(trained.model, trained.config.training.label_smoothing)

    def measure(self, trained: Tagger, data: Labelled) -> Scores:
        found = trained.evaluate(data)
        return {"accuracy": found.accuracy, "macro_f1": found.macro_f1}

    def texts(self, data: Labelled) -> Sequence[Sequence[str]]:
        lengths = [str(len(sentence.tokens)) for sentence in data.sentences]
        return list(data.tokens()), list(data.labels()), lengths


def _scheme(config: TaggingConfig, train: Labelled) -> str | None:
    """Name the scheme of spans that labels have to keep to, if they mark spans."""
    if not config.labels.spans:
        return None
    return scheme_of(sentence.labels for sentence in train.sentences)


def _check_spans(scheme: str, data: Labelled) -> None:
    for sentence in data.sentences:
        labels = sentence.labels
        place = first_break(scheme, labels)
        if place is None:
            continue
        if place == len(labels):
            found = f"the sentence ends with the label {labels[-1]!r}"
        elif place == 0:
            found = f"the sentence begins with the label {labels[0]!r}"
        else:
            found = f"the label {labels[place]!r} stands after {labels[place - 1]!r}"
        raise sentence.error(
            min(place, len(labels) - 1),
            f"{found}, and the training labels are {SCHEMES[scheme]}; mend it, or take all labels as they "
            "are with --set labels.spans=false.",
        )


def _forbid(chain: LinearChain, scheme: str, labels: Sequence[str]) -> None:
    """Make what breaks a scheme impossible to a chain."""
    may = [[may_follow(scheme, one, other) for other in labels] for one in labels]
    first = [may_follow(scheme, OUTSIDE, label) for label in labels]
    last = [may_follow(scheme, label, OUTSIDE) for label in labels]
    chain.allow(torch.tensor(may), torch.tensor(first), torch.tensor(last))


class _Collate:
    """Pads sentences and labels into one batch."""

    def __init__(self, tokens: TokenEncoder):
        self.tokens = tokens

    def __call__(self, examples: list[TaggedIds]) -> TaggedBatch:
        labels, _ = pad_ids([labels for _, labels in examples], 0)
        return TaggedBatch(self.tokens.collate([ids for ids, _ in examples]), labels)


def _lengths(example: TaggedIds) -> tuple[int, int]:
    length = len(example[0].words)
    return length, length


TAG = TaggingTask()
