from __future__ import annotations

import pytest
import sacrebleu

from heedful.answers.text_metrics import score_by_length, score_translations
from heedful.errors import ShapeError

SOURCES = ["a b c", "a b c d e", "a b c d e f g h", "a b c d"]
TRANSLATIONS = ["x y z w", "u v w x y", "k l m n o", "x y z q"]
REFERENCES = ["x y z w", "u v w x z", "k l m n o", "x y z w"]


def test_scores_are_sacrebleus_own():
    scores = score_translations(TRANSLATIONS, REFERENCES)
    assert scores.bleu == sacrebleu.corpus_bleu(TRANSLATIONS, [REFERENCES]).score
    assert scores.chrf == sacrebleu.corpus_chrf(TRANSLATIONS, [REFERENCES]).score
    assert scores.exact_match == 0.5
    assert "case:mixed" in scores.bleu_signature
    assert "case:lc" in scores.bleu_lowercase_tokenized_signature


def test_case_counts_in_one_bleu_and_not_in_the_other():
    scores = score_translations(["A B C D E"], ["a b c d e"])
    assert scores.bleu < 1
    assert scores.bleu_lowercase_tokenized == pytest.approx(100)


@pytest.mark.parametrize(("translations", "references"), [(["a"], ["a", "b"]), ([], [])])
def test_lists_that_do_not_match_are_refused(translations, references):
    with pytest.raises(ShapeError, match="expected equal numbers of at least 1"):
        score_translations(translations, references)


def test_groups_by_source_length_hold_every_pair_once():
    groups = score_by_length(SOURCES, TRANSLATIONS, REFERENCES, bounds=[4, 7])
    assert [(group.shortest, group.longest, group.pairs) for group in groups] == [
        (3, 4, 2),
        (5, 5, 1),
        (8, 8, 1),
    ]
    short = sacrebleu.corpus_bleu(
        [TRANSLATIONS[0], TRANSLATIONS[3]], [[REFERENCES[0], REFERENCES[3]]]
    )
    assert groups[0].bleu == short.score
    assert groups[2].bleu == pytest.approx(100)


def test_one_group_is_the_whole_corpus():
    [group] = score_by_length(SOURCES, TRANSLATIONS, REFERENCES, bounds=[])
    assert group.bleu == score_translations(TRANSLATIONS, REFERENCES).bleu


def test_without_case():
    cased, lower = (
        ["Ein Hund rennt im Schnee .", "Zwei Hunde"],
        ["ein hund rennt im schnee .", "zwei hunde"],
    )
    scores = score_translations(lower, cased, lowercase=True)
    assert (round(scores.bleu), round(scores.chrf), scores.exact_match) == (100, 100, 1)
    assert "case:lc" in scores.bleu_signature
    assert "case:lc" in scores.chrf_signature
    assert score_translations(lower, cased).bleu < 60
    [group] = score_by_length(cased, lower, cased, bounds=[], lowercase=True)
    assert round(group.bleu) == 100
