"""What the heads of a tagger look at: how different they are, and how well they find the word that decides."""

from __future__ import annotations

from collections import defaultdict

import numpy
from numpy.typing import NDArray

from heedful.data.builtin.corpus import TaggedCorpus
from heedful.explore.explain import explain
from heedful.tasks.predictor import Predictor


def ambiguous_accuracy(tagger: Predictor, corpus: TaggedCorpus) -> float:
    """Accuracy on the words that are of two labels."""
    got = (each.labels for each in tagger.predict(corpus.test.inputs))
    right = [
        label == wanted
        for sentence, labels, distances in zip(
            corpus.test.sentences, got, corpus.test_distances, strict=True
        )
        for label, wanted, distance in zip(labels, sentence.labels, distances, strict=True)
        if distance is not None
    ]
    return sum(right) / len(right)


def divergence(weights: NDArray[numpy.float64]) -> float:
    """Mean Jensen-Shannon divergence in bits between two heads of (heads, queries, keys); 0 for one head."""
    heads = weights.shape[0]
    found = []
    for one in range(heads):
        for other in range(one):
            p, q = weights[one], weights[other]
            middle = (p + q) / 2
            found.append(((_plogp(p) + _plogp(q)) / 2 - _plogp(middle)).sum(-1).mean())
    return float(numpy.mean(found)) if found else 0.0


def _plogp(p: NDArray[numpy.float64]) -> NDArray[numpy.float64]:
    return p * numpy.log2(numpy.maximum(p, 1e-12))


def look(tagger: Predictor, corpus: TaggedCorpus, sentences: int = 60) -> dict[str, float]:
    """Diversity of heads, and how often the best head's greatest weight is on the word that decides."""
    diversity, hits = [], defaultdict(list)
    for sentence, distances in list(zip(corpus.test.sentences, corpus.test_distances, strict=True))[
        :sentences
    ]:
        for record in explain(tagger, sentence.tokens).records:
            weights = numpy.asarray(record.weights, dtype=numpy.float64)
            diversity.append(divergence(weights))
            for token, distance in enumerate(distances):
                if distance is not None:
                    for head in range(len(weights)):
                        hit = weights[head, token].argmax() == token + distance
                        hits[record.layer, head].append(bool(hit))
    return {
        "diversity": float(numpy.mean(diversity)),
        "best_head_on_the_deciding_word": max(float(numpy.mean(each)) for each in hits.values()),
    }
