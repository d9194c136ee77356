"""Validation: the loss of the reference translations, and how good greedy translations are."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from heedful.data.batching import Batch
from heedful.data.files import Pairs
from heedful.tasks.translation import Translator
from heedful.train.events import Scores
from heedful.train.loss import TranslationLoss, predicted_tokens


def validate(
    translator: Translator, loss: TranslationLoss, batches: Sequence[Batch], pairs: Pairs
) -> Scores:
    """Score the model on the validation pairs, of which `batches` are the encoded form."""
    device = translator.model.source_embedding.weight.device
    loss.eval()
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for batch in batches:
            total += float(loss(Batch(*(part.to(device) for part in batch))))
            tokens += predicted_tokens(batch)
    found = translator.evaluate(pairs, beam=1)
    return Scores(
        loss=total / tokens, bleu=found.bleu, chrf=found.chrf, exact_match=found.exact_match
    )
