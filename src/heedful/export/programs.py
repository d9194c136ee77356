"""The programs of each model: what reads its input, the network, and what its answer is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from torch import Tensor

from heedful.answers.ranked_reply import ReplyRanking
from heedful.answers.text import GeneratedText
from heedful.answers.transcript import TranscribedText
from heedful.export.answering import Answering, answering_of
from heedful.export.program import Program, traced
from heedful.export.reading import reading_of
from heedful.export.towers import tower_programs
from heedful.export.writing import writing_programs


def programs_of(predictor: Any) -> Mapping[str, Program]:
    """Return the programs of a model by name.

    Raises: OptionError for a model that cannot be exported.
    """
    predictor.model.eval().requires_grad_(False)
    for kind, build in WRITERS.items():
        if isinstance(predictor.answer, kind):
            return build(predictor)
    return _answer_programs(predictor, answering_of(predictor))


def _answer_programs(predictor: Any, answering: Answering) -> Mapping[str, Program]:
    reading, answer = reading_of(predictor), predictor.answer

    def run(*tensors: Tensor) -> Any:
        batch = reading.batch(*tensors)
        return answering.finish(predictor, batch, answer.final_scores(predictor.model, batch))

    model = traced(predictor.model, run, reading.given, answering.outputs)
    return {**reading.programs(), "model": model}


WRITERS: Final[Mapping[type[Any], Callable[[Any], Mapping[str, Program]]]] = {
    GeneratedText: writing_programs,
    TranscribedText: writing_programs,
    ReplyRanking: tower_programs,
}
"""Kind of answer that is more than one function of the input -> what builds its programs."""
