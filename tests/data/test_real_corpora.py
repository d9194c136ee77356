"""Real corpora through every part, where they are there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from heedful.data.batching import pad_ids, token_batches
from heedful.data.files import Pairs, read_pairs, read_table
from heedful.data.vocabulary import Vocabulary
from heedful.data.words import normalise
from tests.conftest import CORPORA

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not CORPORA.is_dir(), reason="the real corpora are not here"),
]


def multi30k() -> Pairs:
    return read_pairs(CORPORA / "multi30k" / "train.en.gz", CORPORA / "multi30k" / "train.de.gz")


def tatoeba() -> Pairs:
    return read_table(CORPORA / "tatoeba_en_zh" / "cmn.tsv.gz", ("1", "2"))


@pytest.mark.parametrize("kind", ["bpe", "unigram", "char"])
@pytest.mark.parametrize("read", [multi30k, tatoeba])
def test_every_text_comes_back(read: Callable[[], Pairs], kind: str) -> None:
    texts = [text for pair in list(read())[::10] for text in pair]
    vocabulary = Vocabulary.train(texts, kind=kind, size=10_000)
    assert len(vocabulary) <= 10_000
    for text, ids in zip(texts, vocabulary.encode_ids(texts), strict=True):
        assert vocabulary.decode(ids) == normalise(text)


def test_multi30k_in_batches_is_padded_little() -> None:
    pairs = multi30k()
    vocabulary = Vocabulary.train([*pairs.source, *pairs.target], size=10_000, min_frequency=2)
    ids = list(
        zip(vocabulary.encode_ids(pairs.source), vocabulary.encode_ids(pairs.target), strict=True)
    )
    lengths = [(len(source), len(target)) for source, target in ids]
    batches = token_batches(lengths, max_tokens=4096, seed=0, epoch=0)
    real = padded = 0
    for indices in batches:
        for side in (0, 1):
            batch, sizes = pad_ids([ids[index][side] for index in indices], vocabulary.pad_id)
            assert batch.numel() <= 4096
            real += int(sizes.sum())
            padded += batch.numel()
    assert real / padded > 0.8
