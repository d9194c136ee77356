"""What a ranker of replies looked at in a history, and which words the score of a reply rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import DataError
from heedful.explore.record import recording
from heedful.explore.schema import AttentionRecord
from heedful.explore.subword_merging import merge_words
from heedful.explore.translation import WordAxis, word_axis
from heedful.inputs.turns import history_tokens
from heedful.models.two_towers import TokenSequence
from heedful.tasks.alignment import END
from heedful.tasks.predictor import Predictor

SALIENCY: Final = "gradient × input saliency of the score"
"""`AttentionRecord.measure` of the words that the score of a reply rests on."""


def record_choice(predictor: Predictor, example: Any, reply: str) -> list[AttentionRecord]:
    """Return the attention weights of the tower of histories, and how much each word changes the score of a reply.

    Rows of the pooling and of the saliency are the reply. The saliency of position j is |Σ_d x_jd · ∂s / ∂x_jd| for
    the cosine s of history and reply, divided by the sum over positions.

    Args:
        predictor: a trained model of the task `rank-replies`.
        example: an exchange, of which the history is explained.
        reply: the reply whose score is explained.

    Raises: DataError for a history without words.
    """
    inputs, model = predictor.input, predictor.model
    spelled = inputs.spelled(example)
    if not spelled.pieces:
        raise DataError("the history has no words to explain; give one that has some.")
    batch = predictor.to_device(inputs.collate(inputs.encode([example.asked()])))
    tokens = history_tokens(batch)
    with evaluation_mode(model), torch.no_grad(), recording(model.history) as recorder:
        model.histories(tokens)
    pieces = (*spelled.pieces, END)
    labels = {"encoder": (pieces, pieces), "pooling": ((reply,), pieces)}
    records = recorder.records({kind: labels[kind] for kind in recorder.kinds})
    weights = _saliency(predictor, tokens, reply)
    records.append(
        AttentionRecord(
            "", "saliency", 0, (reply,), pieces, weights[None, None].cpu().numpy(), measure=SALIENCY
        )
    )
    axis = word_axis(spelled, inputs.vocabulary.kind, "auto").with_end()
    return [_merged(record, axis, reply) for record in records]


def _merged(record: AttentionRecord, axis: WordAxis, reply: str) -> AttentionRecord:
    """Merge the pieces of words."""
    rows: tuple[Sequence[int], Sequence[str]] = ((0,), (reply,))
    if record.kind == "encoder":
        rows = (axis.index, axis.words)
    return merge_words(
        record, queries=rows[0], query_words=rows[1], keys=axis.index, key_words=axis.words
    )


def _saliency(predictor: Predictor, tokens: TokenSequence, reply: str) -> Tensor:
    """Return gradient × input of the score, (positions,), which sums to 1."""
    model = predictor.model
    with evaluation_mode(model):
        with torch.no_grad():
            features = model.history.inputs(tokens)
            wanted = predictor.answer.reply_vectors(model, [reply])[0]
        # oneDNN's LSTM supports a backward pass only in training mode; dropout stays off
        model.history.encoder.train()
        for module in model.history.encoder.modules():
            if hasattr(module, "probability"):
                module.eval()
        with torch.enable_grad():
            own = features.clone().requires_grad_()
            scores, _ = model.history.score_features(own, tokens)
            total = (F.normalize(scores, dim=-1)[0] * wanted).sum()
            (gradient,) = torch.autograd.grad(total, own)
    relevance = (gradient * features).sum(-1).abs()[0]
    shares: Tensor = relevance / relevance.sum().clamp(min=torch.finfo(relevance.dtype).tiny)
    return shares
