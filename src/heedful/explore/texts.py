"""Record what the answer to a text looked at: the pooling's attention, the encoder's, and saliency."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from heedful.decode.evaluating import evaluating
from heedful.errors import DataError
from heedful.explore.record import recording
from heedful.explore.schema import AttentionRecord
from heedful.models.classifier import SequenceModel
from heedful.models.encoders.inputs import TokenBatch
from heedful.models.ensemble import TextModel
from heedful.tasks.text_predictor import TextPredictor

TEXT_SALIENCY: Final = "gradient × input saliency (the encoder has no attention)"
"""What is measured where the encoder has no attention weights to show."""


def record_answer(trained: TextPredictor, text: str, answer: str) -> list[AttentionRecord]:
    """Return every attention of the model as it answers `text`; the pooling's row is the answer.

    Where the encoder has no attention there is one record more: how the answer's score answers to each
    token's features, |Σ_d x_jd · ∂ y / ∂x_jd|, divided by the sum (Simonyan et al. 2014,
    https://arxiv.org/abs/1312.6034); y is the greatest score, or in regression the number. Its `measure` says so.

    Args:
        trained: a trained classifier or regressor.
        text: one text.
        answer: what to call the row of the answer.

    Raises: DataError for a text without tokens.
    """
    tokens = trained.vocabularies.tokens_of(text)
    if not tokens:
        raise DataError("the text has no tokens to explain; give one that has some.")
    encoder = trained.vocabularies.tokens
    batch = trained.to_device(encoder.collate([encoder.encode(tokens)]))
    with evaluating(trained.model), torch.no_grad(), recording(trained.model) as recorder:
        trained.model(batch)
    names = {"encoder": (tokens, tokens), "pooling": ([answer], tokens)}
    found = {kind: names[kind] for kind in recorder.kinds}
    records = recorder.records(found) if found else []
    if trained.model.members[0].encoder.attends:
        return records
    saliency = AttentionRecord(
        module_path="",
        kind="saliency",
        layer=0,
        query_tokens=[answer],
        key_tokens=tokens,
        weights=_mean_saliency(trained.model, batch)[None, None].cpu().numpy(),
        measure=TEXT_SALIENCY,
    )
    return [*records, saliency]


def _mean_saliency(model: TextModel, batch: TokenBatch) -> Tensor:
    """Return (tokens,), which sum to 1: the mean of the networks that answer together."""
    return torch.stack([_saliency(member, batch) for member in model.members]).mean(dim=0)


def _saliency(model: SequenceModel, batch: TokenBatch) -> Tensor:
    """Return (tokens,), which sum to 1."""
    with evaluating(model):
        with torch.no_grad():
            features = model.inputs(batch)
        # oneDNN's LSTM keeps what its backward pass needs only when told that it trains
        model.encoder.train()
        for module in model.encoder.modules():
            if hasattr(module, "probability"):
                module.eval()
        with torch.enable_grad():
            copy = features.clone().requires_grad_()
            scores, _ = model.answer(copy, batch)
            (gradient,) = torch.autograd.grad(scores.max(), copy)
    found = (gradient * features).sum(-1).abs()[0]
    shares: Tensor = found / found.sum().clamp(min=torch.finfo(found.dtype).tiny)
    return shares
