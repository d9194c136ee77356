"""Record what a tagger looked at for the label of each token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from heedful.decode.evaluating import evaluating
from heedful.errors import DataError
from heedful.explore.record import recording
from heedful.explore.schema import AttentionRecord
from heedful.models.encoders.inputs import TokenBatch
from heedful.tasks.tagging import Tagger

TAG_SALIENCY: Final = "gradient × input saliency (this encoder has no attention)"
"""What is measured where there are no attention weights to show."""


def record_tags(
    tagger: Tagger, tokens: Sequence[str], labels: Sequence[str] | None = None
) -> list[AttentionRecord]:
    """Return every attention of the model as it labels `tokens`; rows are tokens with their labels.

    A model without attention has one record instead: how the label's log-probability answers to each
    token's features, |Σ_d x_jd · ∂ log p(y_i) / ∂x_jd|, each row divided by its sum (Simonyan et al. 2014,
    https://arxiv.org/abs/1312.6034). Its `measure` says so.

    Args:
        tagger: a trained tagger.
        tokens: one sentence.
        labels: to explain instead of the model's own.

    Raises: DataError for a sentence without tokens, or with other than one label a token.
    """
    if not tokens:
        raise DataError("the sentence has no tokens to explain; give one that has some.")
    if labels is None:
        [labels] = tagger.tag([tokens])
    if len(labels) != len(tokens):
        raise DataError(f"{len(labels)} labels were given for {len(tokens)} tokens.")
    batch = tagger.to_device(
        tagger.vocabularies.tokens.collate([tagger.vocabularies.tokens.encode(tokens)])
    )
    rows = [f"{token}/{label}" for token, label in zip(tokens, labels, strict=True)]
    if tagger.model.encoder.attends:
        with evaluating(tagger.model), torch.no_grad(), recording(tagger.model) as recorder:
            tagger.model(batch)
        return recorder.records(dict.fromkeys(recorder.kinds, (rows, tokens)))
    numbers = [max(0, number) for number in tagger.vocabularies.label_ids(labels)]
    weights = _saliency(tagger, batch, torch.tensor(numbers))
    record = AttentionRecord(
        module_path="",
        kind="encoder",
        layer=0,
        query_tokens=rows,
        key_tokens=list(tokens),
        weights=weights[None].cpu().numpy(),
        measure=TAG_SALIENCY,
    )
    return [record]


def _saliency(tagger: Tagger, batch: TokenBatch, labels: Tensor) -> Tensor:
    """Return (tokens, tokens); one copy of the sentence a token, so that one pass back serves all."""
    model, count = tagger.model, len(labels)
    with evaluating(model):
        with torch.no_grad():
            features = model.inputs(batch)
        # oneDNN's LSTM keeps what its backward pass needs only when told that it trains
        model.encoder.train()
        for module in model.encoder.modules():
            if hasattr(module, "probability"):
                module.eval()
        with torch.enable_grad():
            copies = features.expand(count, -1, -1).clone().requires_grad_()
            states = model.encoder(copies, batch.lengths.expand(count)).values
            each = torch.arange(count, device=states.device)
            chances = model.output(states[each, each]).log_softmax(-1)
            wanted = chances[each, labels.to(states.device)].sum()
            (gradient,) = torch.autograd.grad(wanted, copies)
    found = (gradient * features).sum(-1).abs()
    shares: Tensor = found / found.sum(-1, keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
    return shares
