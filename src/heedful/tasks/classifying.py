"""A trained classifier: texts in, a label (or several) for each out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from heedful.data.lexicon import RESERVED
from heedful.data.texts import Text, Texts
from heedful.tasks.answer_metrics import LabelScores, score_labels
from heedful.tasks.text_config import ClassifyConfig
from heedful.tasks.text_encoding import TextVocabularies
from heedful.tasks.text_predictor import TextPredictor


class Classified(NamedTuple):
    """What a classifier says of a text."""

    labels: tuple[str, ...]
    """One, or with several labels a text any number; none for a text without tokens."""
    probabilities: tuple[float, ...]
    """Of these labels."""


class Classifier(TextPredictor):
    """A model with its vocabularies and its configuration.

    `heedful.train.loop` trains one into a run folder, from which `Classifier.load` takes it; here it is
    untrained, and what it says is chance:

    >>> config = ClassifyConfig.model_validate({"encoder": {"kind": "none", "hidden": 8}})
    >>> texts = ["Who is it?", "Where is it?"]
    >>> vocabularies = TextVocabularies.learn(config.vocabulary, texts, ["HUM", "LOC"], longest=20)
    >>> classifier = Classifier.untrained(config, vocabularies)
    >>> [found, nothing] = classifier.answers(["Who is where?", ""])
    >>> found.labels[0] in ("HUM", "LOC"), nothing.labels
    (True, ())
    """

    task = "classify"
    configuration = ClassifyConfig

    @classmethod
    def outputs(cls, vocabularies: TextVocabularies) -> int:
        return len(vocabularies.labels.entries)

    @property
    def several(self) -> bool:
        """Whether a text may have several labels, or none."""
        return bool(self.config.data.separator)

    def answers(self, texts: Iterable[str]) -> Iterator[Classified]:
        names = self.vocabularies.labels.entries
        for scores in self.scores(texts):
            if scores is None:
                yield Classified((), ())
            elif self.several:
                chances = scores.sigmoid().tolist()
                least = self.config.prediction.threshold
                given = [number for number, chance in enumerate(chances) if chance >= least]
                yield Classified(
                    tuple(names[number] for number in given), tuple(chances[n] for n in given)
                )
            else:
                best = int(scores.argmax())
                yield Classified((names[best],), (float(scores.softmax(-1)[best]),))

    def values(self, text: Text) -> list[float]:
        ids = [number - RESERVED for number in self.vocabularies.labels.ids(text.answers)]
        if not self.several:
            return [float(ids[0])]
        return [float(number in ids) for number in range(len(self.vocabularies.labels.entries))]

    def score(self, data: Texts, got: Sequence[Classified]) -> LabelScores:
        wanted = [each.answers for each in data.texts]
        return score_labels([each.labels for each in got], wanted, several=self.several)
