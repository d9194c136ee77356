"""`heedful align`: alignments of given translations, and their scores against gold ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from heedful.answers.alignment_metrics import best_links, score_links
from heedful.data.links import Links, parse_links, read_links
from heedful.errors import DataError
from heedful.tasks.alignment import align_by_head, align_words
from tests.cli.conftest import run_command
from tests.tasks.test_translation import untrained

RUN = "runs/en-de"


def test_alignments_are_written(place: Path) -> None:
    ran = run_command("align", RUN, "test.en", "test.de")
    assert ran.status == 0, ran.stderr
    lines = ran.stdout.splitlines()
    sources = Path("test.en").read_text(encoding="utf-8").splitlines()
    targets = Path("test.de").read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(sources)
    for line, source, target in zip(lines, sources, targets, strict=True):
        links = [tuple(map(int, link.split("-"))) for link in line.split()]
        assert [j for _, j in links] == list(range(len(target.split())))
        assert all(i < len(source.split()) for i, _ in links)
    ran = run_command("align", RUN, "test.en", "test.de", "--out", "own.align")
    assert Path("own.align").read_text(encoding="utf-8").splitlines() == lines
    ran = run_command("align", RUN, "test.en", "test.de", "--gold", "own.align", "--json", "-q")
    assert ran.status == 0, ran.stderr
    [score] = json.loads(ran.stdout)["scores"]
    assert (score["error_rate"], score["precision"], score["recall"]) == (0.0, 1.0, 1.0)
    one = Path("own.align").read_text(encoding="utf-8").splitlines()
    shifted = [
        " ".join(f"{int(i) + 1}p{int(j) + 1}" for i, j in (x.split("-") for x in line.split()))
        for line in one
    ]
    Path("possible.align").write_text("\n".join(shifted) + "\n", encoding="utf-8")
    ran = run_command(
        "align", RUN, "test.en", "test.de", "--gold", "possible.align", "--first-word", "1"
    )
    assert "AER" in ran.stdout
    assert "0.0000  1.0000" in ran.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("0-0\n", "there are 1 lines of alignments but"),
        ("0:0\n", "line 1: '0:0' is no link; expected source-target"),
        ("0-0\n90-0\n", "line 2: the link 90-0 is beyond the"),
    ],
)
def test_wrong_gold_alignments(place: Path, content: str, message: str) -> None:
    Path("gold.align").write_text(content, encoding="utf-8")
    ran = run_command("align", RUN, "test.en", "test.de", "--gold", "gold.align")
    assert ran.status == 1
    assert "gold.align" in ran.stderr
    assert message in ran.stderr


def test_scores_of_a_worked_example() -> None:
    """Sure 0-0 and 1-1, possible also 2-1; found 0-0, 2-1 and 3-2."""
    gold = [parse_links("0-0 1-1 2p1")]
    scores = score_links([[(0, 0), (2, 1), (3, 2)]], gold)
    assert scores.error_rate == pytest.approx(1 - (1 + 2) / (3 + 2))
    assert (scores.precision, scores.recall) == (pytest.approx(2 / 3), 0.5)
    assert score_links([[]], [Links(frozenset(), frozenset())]).precision == 1.0
    assert best_links(np.array([[0.0, 1.0], [0.6, 0.4]])) == [(1, 0), (0, 1)]


def test_links_are_read(tmp_path: Path) -> None:
    path = tmp_path / "gold"
    path.write_text("1-1 2?1\n\n", encoding="utf-8")
    first, second = read_links(path, ["a b", "c"], ["d", "e"], first=1)
    assert (first.sure, first.possible) == ({(0, 0)}, {(0, 0), (1, 0)})
    assert not second.possible
    path.write_text("0-1\n\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"gold, line 1: the link 0-1 is below the first word"):
        read_links(path, ["a b", "c"], ["d", "e"], first=1)


@pytest.mark.parametrize("kind", ["transformer", "gru", "lstm"])
def test_each_head_aligns(kind: str) -> None:
    predictor = untrained(kind)
    weights = align_by_head(predictor, "Ein Mann rennt.", "A man runs fast.")
    layers, heads = (6, 2) if kind == "transformer" else (1, 1)
    assert weights.shape[:1] == (predictor.config.model.decoder_layers,) if layers > 1 else (1,)
    assert weights.shape[1:] == (heads, 4, 3)
    layer = predictor.model.alignment_layer if kind != "lstm" else 0
    same = align_words(predictor, "Ein Mann rennt.", "A man runs fast.")
    assert np.allclose(weights[layer].mean(axis=0), same.weights, atol=1e-5)


def test_words_are_what_spaces_separate() -> None:
    predictor = untrained(kind="char")
    weights = align_by_head(predictor, "我喜 欢你。", "I like you.")
    assert weights.shape[2:] == (3, 2)
    whole = align_by_head(predictor, "我喜欢你。", "I like you.")
    assert whole.shape[2:] == (3, 5)  # without spaces each character is a word
    assert (weights > 0).all()
    with pytest.raises(DataError, match="the target has no words to align"):
        align_by_head(predictor, "a", " ")
