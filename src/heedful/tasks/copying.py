"""Unknown words of a generated text, copied from its source by attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from heedful.answers.text_base import Candidate, Generated
from heedful.decode.align import align


def copy_unknown(predictor: Any, source: str, generated: Generated) -> Generated:
    """Put in the place of each unknown token the piece of the source that it attends to most.

    Luong et al. 2015, "Addressing the Rare Word Problem in Neural Machine Translation", and Jean et al. 2015, section
    3.3; of a model without attention by gradient × input (`heedful.decode.align`).

    Args:
        predictor: a `heedful.tasks.predictor.Predictor`, whose module imports this one.
        source: the text that was read.
        generated: what was generated from it.
    """
    return replace(
        generated, candidates=tuple(_copy(predictor, source, each) for each in generated)
    )


def _copy(predictor: Any, source: str, candidate: Candidate) -> Candidate:
    vocabulary = predictor.answer.vocabulary
    places = [n for n, token in enumerate(candidate.tokens) if token == vocabulary.unk_id]
    if not places:
        return candidate
    inputs = predictor.input
    batch = predictor.to_device(inputs.collate(inputs.encode([source])))
    target = torch.tensor([[vocabulary.begin_id, *candidate.tokens]], device=batch.ids.device)
    weights = align(predictor.model, batch.ids, batch.lengths, target).weights[0]
    pieces = inputs.vocabulary.encode(source).pieces  # one less than the positions: no end token
    copied = [pieces[int(weights[place, : len(pieces)].argmax())] for place in places]
    return replace(candidate, text=vocabulary.decode(candidate.tokens, copied))
