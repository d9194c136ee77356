"""Records of attention, or of saliency, for a prediction of a model with a prediction head."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import DataError
from heedful.explore.cells import MAX_CELLS, one_row, row_name
from heedful.explore.record import Recorder, recording
from heedful.explore.saliency import SALIENCY, explained, gradient_saliency, saliency
from heedful.explore.schema import AttentionRecord
from heedful.tasks.predictor import Predictor


def record_prediction(predictor: Predictor, example: Any, prediction: Any) -> list[AttentionRecord]:
    """Return the attention weights of an encoder with a prediction head, for one input.

    Rows of the pooling are the predictions, those of object queries what each found; rows of the encoder are
    positions, labelled with their predictions if each position has one. An encoder without attention has one record of
    gradient × input saliency instead: |Σ_d x_jd · ∂s / ∂x_jd| for the score s of the prediction (or of each position)
    and the features x_j of position j, each row divided by its sum (Simonyan et al. 2014,
    https://arxiv.org/abs/1312.6034); its `measure` is `SALIENCY`. For an ensemble it is the mean over the networks.

    Args:
        predictor: a trained model whose answer is a `HeadAnswer`.
        example: an input as the task's reader returns it.
        prediction: the prediction that labels the rows and whose saliency is computed.

    Raises: DataError for an input without tokens.
    """
    inputs, answer, model = predictor.input, predictor.answer, explained(predictor)
    positions = inputs.positions(example)
    if not positions:
        raise DataError("the input has no tokens to explain; give one that has some.")
    rows = answer.row_names(positions, prediction)
    batch = predictor.to_device(inputs.collate(inputs.encode([example])))
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    each = answer.per_position
    if each and len(rows) > MAX_CELLS and inputs.view(example) is not None:
        return _summed_up(predictor, batch, positions, prediction)
    labels = prediction_labels(positions, rows, each=each)
    tokens = {kind: labels[kind] for kind in recorder.kinds}
    records = _drawn_records(recorder, tokens, positions)
    if model.members[0].encoder.has_attention:
        return records
    kind = "encoder" if each else "saliency"
    return [*records, saliency_record(predictor, example, prediction, rows, kind)]


def prediction_labels(
    positions: Sequence[str], rows: Sequence[str], *, each: bool
) -> dict[str, tuple[Sequence[str], Sequence[str]]]:
    """Return kind -> (query labels, key labels); `each`: whether each position has an answer."""
    return {
        "encoder": (rows if each else positions, positions),
        "pooling": (rows, positions),
        "cross": (rows, positions),
        "decoder": (rows, rows),
    }


def _drawn_records(
    recorder: Recorder, tokens: dict[str, Any], positions: Sequence[str]
) -> list[AttentionRecord]:
    """Return what was recorded; attention on a graph that is too large for a matrix as what each node gets."""
    if not tokens:
        return []
    large = [each for each in recorder.edge_records() if not each.is_drawn]
    if not large:
        return recorder.records(tokens)
    # Imported here, as only graphs need it.
    from heedful.explore.neighbours import received_records

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is too large to draw")
        return [*received_records(large, positions), *recorder.records(tokens)]


def saliency_record(
    predictor: Predictor, example: Any, prediction: Any, rows: Sequence[str], kind: str
) -> AttentionRecord:
    """Return gradient × input saliency as a record."""
    weights = saliency(predictor, example, prediction)
    return AttentionRecord(
        module_path="",
        kind=kind,
        layer=0,
        query_tokens=rows[: len(weights)],
        key_tokens=predictor.input.positions(example),
        weights=weights[None].cpu().numpy(),
        measure=SALIENCY,
    )


def _summed_up(
    predictor: Predictor, batch: Any, positions: Sequence[str], prediction: Any
) -> list[AttentionRecord]:
    """Return the records of an image of many cells with a label each: one row for all of them."""
    model = predictor.model
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    if model.members[0].encoder.has_attention:
        tokens = dict.fromkeys(recorder.kinds, (positions, positions))
        return [one_row(each, 0) for each in recorder.records(tokens)]
    name = row_name(0)
    weights = gradient_saliency(predictor, batch, [name], prediction)
    return [
        AttentionRecord(
            "", "saliency", 0, [name], positions, weights[None].cpu().numpy(), measure=SALIENCY
        )
    ]
