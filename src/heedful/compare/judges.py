"""The judge of each task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from sacrebleu.metrics import BLEU

from heedful.compare.evidence import Judge, Numbers, RatioJudge, repeated
from heedful.data.files import Pairs
from heedful.data.labelled import Labelled
from heedful.data.texts import Texts
from heedful.tasks.classifying import Classifier
from heedful.tasks.regressing import Regressor
from heedful.tasks.tagging import Tagger
from heedful.tasks.text_predictor import TextPredictor
from heedful.tasks.translation import Translator


class TagJudge(RatioJudge):
    """Right labels over labels; an example is a sentence, for the tokens of one go together."""

    figure: ClassVar = "accuracy"
    unit: ClassVar = "tokens"

    def take(self, data: Labelled, rows: Sequence[int]) -> Labelled:
        return Labelled([data.sentences[row] for row in rows], data.name)

    def statistics(self, trained: Tagger, data: Labelled) -> Numbers:
        given = trained.tag(sentence.tokens for sentence in data.sentences)
        return np.array(
            [
                (sum(a == b for a, b in zip(labels, each.labels, strict=True)), len(labels))
                for labels, each in zip(given, data.sentences, strict=True)
            ],
            dtype=np.float64,
        )

    def labels(self, data: Labelled) -> list[tuple[str, ...]]:
        return [sentence.labels for sentence in data.sentences]

    def input(self, data: Labelled, length: int) -> list[str]:
        return repeated([token for each in data.sentences for token in each.tokens], length)

    def answer(self, trained: Tagger, made: list[str]) -> None:
        list(trained.tag([made]))


class TranslateJudge(Judge):
    """BLEU of greedy translations (sacreBLEU): matching and all n-grams, and both lengths."""

    figure: ClassVar = "bleu"
    unit: ClassVar = "words"

    def take(self, data: Pairs, rows: Sequence[int]) -> Pairs:
        return Pairs([data.source[r] for r in rows], [data.target[r] for r in rows], data.name)

    def statistics(self, trained: Translator, data: Pairs) -> Numbers:
        bleu = BLEU(effective_order=True)
        found = []
        for [best, *_], target in zip(
            trained.translate(data.source, beam=1), data.target, strict=True
        ):
            one = bleu.sentence_score(best.text, [target])
            found.append((*one.counts, *one.totals, one.sys_len, one.ref_len))
        return np.array(found, dtype=np.float64)

    def value(self, sums: Numbers) -> Numbers:
        return corpus_bleu(sums[..., :4], sums[..., 4:8], sums[..., 8], sums[..., 9])

    def input(self, data: Pairs, length: int) -> str:
        return " ".join(repeated([word for text in data.source for word in text.split()], length))

    def answer(self, trained: Translator, made: str) -> None:
        list(trained.translate([made], beam=1))


class TextJudge(Judge):
    """What classifying and regression share: an example is a text."""

    unit: ClassVar = "words"

    def take(self, data: Texts, rows: Sequence[int]) -> Texts:
        return Texts([data.texts[row] for row in rows], data.name)

    def input(self, data: Texts, length: int) -> str:
        return " ".join(repeated([word for e in data.texts for word in e.text.split()], length))

    def answer(self, trained: TextPredictor, made: str) -> None:
        list(trained.answers([made]))


class ClassifyJudge(TextJudge, RatioJudge):
    """Texts whose label, or whose set of labels, is right, over texts."""

    figure: ClassVar = "accuracy"

    def labels(self, data: Texts) -> list[tuple[str, ...]]:
        return [each.answers for each in data.texts]

    def statistics(self, trained: Classifier, data: Texts) -> Numbers:
        given = trained.answers(each.text for each in data.texts)
        return np.array(
            [
                (set(one.labels) == set(each.answers), 1)
                for one, each in zip(given, data.texts, strict=True)
            ],
            dtype=np.float64,
        )


class RegressJudge(TextJudge):
    """The root of the mean squared error; a text without an answer counts as the mean of all."""

    figure: ClassVar = "rmse"
    less_is_better: ClassVar = True

    def statistics(self, trained: Regressor, data: Texts) -> Numbers:
        wanted = np.array([each.number() for each in data.texts])
        given = trained.answers(each.text for each in data.texts)
        found = np.array([np.nan if one is None else one for one in given], dtype=np.float64)
        errors = np.where(np.isnan(found), wanted.mean(), found) - wanted
        return np.stack([errors**2, np.ones_like(errors)], axis=1)

    def value(self, sums: Numbers) -> Numbers:
        return np.asarray(np.sqrt(sums[..., 0] / np.maximum(sums[..., 1], 1e-12)))


def corpus_bleu(matching: Numbers, total: Numbers, length: Numbers, wanted: Numbers) -> Numbers:
    """Return BLEU (Papineni et al. 2002, https://aclanthology.org/P02-1040), smoothed as sacreBLEU does.

    Args:
        matching: (..., 4), n-grams of each order that the reference has too.
        total: (..., 4), n-grams of each order.
        length, wanted: (...), tokens of the translations and of the references.

    >>> round(float(corpus_bleu(*map(np.array, ([3.0, 2, 1, 0], [4.0, 3, 2, 1], 4.0, 4.0)))), 2)
    59.46
    """
    # the n-th order that matches nothing counts as 1/2^n of a match
    none = matching == 0
    counted = np.where(none, 0.5 ** none.cumsum(axis=-1), matching)
    with np.errstate(divide="ignore", invalid="ignore"):
        precisions = np.log(counted / total).mean(axis=-1)
        brevity = np.minimum(0.0, 1 - wanted / length)
        score = 100 * np.exp(precisions + brevity)
    said = (matching > 0).any(axis=-1) & (total > 0).all(axis=-1)
    return np.asarray(np.where(said, score, 0.0))


JUDGES: dict[str, Judge] = {
    "translate": TranslateJudge(),
    "tag": TagJudge(),
    "classify": ClassifyJudge(),
    "regress": RegressJudge(),
}
"""A task's name -> its judge."""
