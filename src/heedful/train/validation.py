"""Validation: the loss of the reference translations, and how good greedy translations are."""

from __future__ import annotations

import torch

from heedful.data.batching import Batch
from heedful.data.files import Pairs
from heedful.tasks.translation import Translator
from heedful.train.batches import Batches
from heedful.train.events import Scores
from heedful.train.loss import TranslationLoss, predicted_tokens


def validate(
    translator: Translator, loss: TranslationLoss, batches: Batches, pairs: Pairs
) -> Scores:
    """Score the model on the validation pairs, of which `batches` are the encoded form."""
    device = translator.model.source_embedding.weight.device
    loss.eval()
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for batch in batches.epoch(0):
            total += float(loss(Batch(*(part.to(device) for part in batch))))
            tokens += predicted_tokens(batch)
    found = translator.evaluate(pairs, beam=1)
    return Scores(
        loss=total / tokens, bleu=found.bleu, chrf=found.chrf, exact_match=found.exact_match
    )
