"""Translation as a task of the one training loop."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from heedful.data.batching import Batch, collate
from heedful.data.files import Pairs
from heedful.errors import DataError
from heedful.tasks.base import Figure, Loss, Scores, Task
from heedful.tasks.batches import Batches
from heedful.tasks.text_pairs import IdPair, Vocabularies
from heedful.tasks.translation import Translator
from heedful.tasks.translation_config import TranslationConfig
from heedful.tasks.translation_loss import TranslationLoss


class TranslationTask(Task[TranslationConfig, Pairs, Translator]):
    """A sequence of its own length for each sequence."""

    predictor = Translator
    figures: ClassVar = {
        "loss": Figure("loss"),
        "bleu": Figure("BLEU", ".1f"),
        "chrf": Figure("chrF", ".1f"),
        "exact_match": Figure("exact match"),
    }
    charts = (("bleu", "chrf"),)
    examples = "pairs"

    def learn(self, config: TranslationConfig, train: Pairs) -> Translator:
        vocabularies = Vocabularies.train(config.vocabulary, train)
        trained = Translator.untrained(config, vocabularies)
        if config.frequency.acts:
            found = vocabularies.source_frequencies(train.source)
            trained.model.source_frequencies.copy_(found)
        return trained

    def batches(
        self, trained: Translator, data: Pairs, *, training: bool
    ) -> Batches[IdPair, Batch]:
        config, vocabularies = trained.config, trained.vocabularies
        longest = config.data.max_length
        ids = list(vocabularies.pairs(data))
        if training:
            ids = [pair for pair in ids if max(len(pair[0]), len(pair[1])) <= longest]
        if not ids:
            raise DataError(
                f"every training pair is longer than data.max_length = {longest} tokens"
            )
        pad = partial(collate, pad=vocabularies.target.pad_id)
        options = config.training
        return Batches(ids, _lengths, pad, options.batch_tokens, options.seed)

    def loss(self, trained: Translator) -> Loss:
        return TranslationLoss(trained.model, trained.config.training.label_smoothing)

    def measure(self, trained: Translator, data: Pairs) -> Scores:
        found = trained.evaluate(data, beam=1)
        return {"bleu": found.bleu, "chrf": found.chrf, "exact_match": found.exact_match}

    def texts(self, data: Pairs) -> Sequence[Sequence[str]]:
        return data.source, data.target


def _lengths(pair: IdPair) -> tuple[int, int]:
    return len(pair[0]), len(pair[1]) - 1


TRANSLATE = TranslationTask()
