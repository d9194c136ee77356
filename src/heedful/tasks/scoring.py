"""Log-probabilities of given texts, of which a model says how probable they are for their sources."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from heedful.answers.text import GeneratedText
from heedful.decode.score import score_tokens
from heedful.errors import DataError, OptionError, shown
from heedful.tasks.alignment import END
from heedful.tasks.predictor import Predictor
from heedful.tasks.streaming import predict_in_order


@dataclass(frozen=True)
class TextScore:
    """The log-probability of a text for its source, in natural logarithms."""

    tokens: tuple[str, ...]
    """The pieces of the text, and the end token."""
    log_probabilities: tuple[float, ...]
    """Of each of these tokens, given the source and the tokens before it."""

    @property
    def log_probability(self) -> float:
        """The sum over the tokens."""
        return math.fsum(self.log_probabilities)

    @property
    def perplexity(self) -> float:
        """E to the negative mean over the tokens."""
        return perplexity([self])


def perplexity(scores: Sequence[TextScore]) -> float:
    """Return e to the negative mean log-probability over the tokens of all texts; infinity beyond all numbers.

    >>> perplexity([TextScore(("a", "b"), (math.log(0.5), math.log(0.5)))])
    2.0
    """
    count = sum(len(each.tokens) for each in scores)
    mean = -math.fsum(each.log_probability for each in scores) / max(count, 1)
    return math.exp(mean) if mean < 700 else math.inf


def score_texts(predictor: Predictor, pairs: Iterable[tuple[str, str]]) -> Iterator[TextScore]:
    """Lazily yield the score of each pair of source and target, in order.

    Raises: OptionError for a model whose answers are not generated text; DataError for a blank source.
    """
    inputs, answer = predictor.input, predictor.answer
    if not isinstance(answer, GeneratedText):
        raise OptionError(
            f"the task {shown(predictor.task.name)} does not generate text from text; score a run of translate"
        )

    def encode(examples: list[tuple[str, str]]) -> list[tuple[Any, Any]]:
        for source, _ in examples:
            if not source.strip():
                raise DataError("a source is blank; a text is scored for a source that has words.")
        sources = inputs.encode([source for source, _ in examples])
        return list(zip(sources, answer.encode([target for _, target in examples]), strict=True))

    def score(encoded: list[tuple[Any, Any]]) -> list[TextScore]:
        sources, targets = zip(*encoded, strict=True)
        batch = predictor.to_device(inputs.collate(sources))
        wanted = predictor.to_device(answer.collate(targets))
        values = score_tokens(predictor.model, *batch, *wanted).tolist()
        pieces = answer.vocabulary.pieces
        return [
            TextScore((*(pieces[token] for token in ids[1:-1]), END), tuple(row[: len(ids) - 1]))
            for ids, row in zip(targets, values, strict=True)
        ]

    options = predictor.config.prediction
    return predict_in_order(
        pairs,
        encode=encode,
        length=lambda pair: max(map(len, pair)),
        predict=score,
        empty=lambda: TextScore((), ()),
        chunk=options.chunk,
        batch_tokens=options.batch_tokens,
    )
