"""Which positions of a recording each token of its transcript comes from: by attention, and by CTC's best path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from heedful.data.audio.clips import Clip
from heedful.data.words import SPACE_MARK
from heedful.decode.ctc import align_labels, minimum_frames
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import DataError
from heedful.explore.record import Tokens, recording
from heedful.explore.schema import AttentionRecord
from heedful.tasks.alignment import BEGIN, END
from heedful.tasks.predictor import Predictor

CTC_PATH: Final = "share of the frames of the token in CTC's best path"
"""`AttentionRecord.measure` of the records of kind "ctc"."""


def record_transcript(predictor: Predictor, clip: Clip, text: str) -> list[AttentionRecord]:
    """Return the attention weights of the model for writing `text`, and the path of CTC.

    The text is decoded by teacher forcing, so it may be the model's own transcript or a reference. Records of kind
    "cross" are those of the decoder's attention, a row for each token and the end; those of kind "encoder" and
    "decoder" are of self-attention. With CTC there is one of kind "ctc": in the most probable path of the text a token
    has n positions, and 1 / n stands at each of them.

    Raises: DataError for an empty text, or if the model has neither attention nor CTC that can carry the text.
    """
    if not text.strip():
        raise DataError("the transcript is empty; there is nothing to explain.")
    inputs, answer, model = predictor.input, predictor.answer, predictor.model
    [encoded] = answer.encode([text])
    tokens = list(encoded[1:-1])
    pieces = [_shown(answer.vocabulary.pieces[token]) for token in tokens]
    batch = predictor.to_device(inputs.collate(inputs.encode([clip])))
    target = torch.tensor([encoded[:-1].tolist()], device=batch.lengths.device)
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        states = model.states(batch)
        if model.decoder is not None:
            model.decoder.decode(model.memory(states), target)
    positions = inputs.positions(clip)
    labels: Tokens = {
        "encoder": (positions, positions),
        "decoder": ((BEGIN, *pieces), (BEGIN, *pieces)),
        "cross": ((*pieces, END), positions),
    }
    known = {kind: labels[kind] for kind in recorder.kinds}
    records: list[AttentionRecord] = recorder.records(known) if known else []
    if model.has_ctc and minimum_frames(tokens) <= len(positions):
        with evaluation_mode(model), torch.no_grad():
            scores = model.ctc_log_probabilities(states)[0].double().cpu().numpy()
        spans = align_labels(scores, tokens, blank=answer.blank)
        records.append(_path_record([(s.start, s.end) for s in spans], pieces, positions))
    if not any(record.kind in ("cross", "ctc") for record in records):
        raise DataError(
            "the model has neither attention of its decoder nor CTC that can carry this transcript; there is nothing "
            "to show."
        )
    return records


def _shown(piece: str) -> str:
    """Return a piece without the mark of a space before a word, which alone is a space."""
    return piece.replace(SPACE_MARK, "") or "␣"


def _path_record(
    spans: Sequence[tuple[int, int]], pieces: Sequence[str], positions: Sequence[str]
) -> AttentionRecord:
    weights = np.zeros((1, len(pieces), len(positions)))
    for row, (start, end) in enumerate(spans):
        weights[0, row, start:end] = 1 / (end - start)
    return AttentionRecord("", "ctc", 0, pieces, positions, weights, measure=CTC_PATH)
