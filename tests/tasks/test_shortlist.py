"""Shortlists of target tokens: against IBM Model 1 as it is written down, in run folders, and in prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import heedful
from heedful import run_folder
from heedful.answers.shortlist import SHORTLIST, Shortlist
from heedful.data import lexical
from heedful.data.lexical import ITERATIONS, LexicalModel
from heedful.errors import OptionError, RunError

PAIRS = (
    [[4, 5, 6], [4, 7], [5, 5, 8], [6], [8, 4]],
    [[9, 10, 11], [9, 12], [10, 13, 10], [11], [13, 9, 9]],
)


def probabilities() -> dict[tuple[int, int], float]:
    """p(t | s) by IBM Model 1, in plain loops."""
    found = {(s, t): 1.0 for one, other in zip(*PAIRS, strict=True) for s in one for t in other}
    for _ in range(ITERATIONS):
        counts = dict.fromkeys(found, 0.0)
        for one, other in zip(*PAIRS, strict=True):
            for t in other:
                total = sum(found[s, t] for s in one)
                for s in one:
                    counts[s, t] += found[s, t] / total
        sums = {s: sum(c for (a, _), c in counts.items() if a == s) for s, _ in counts}
        found = {(s, t): count / sums[s] for (s, t), count in counts.items()}
    return found


def test_the_best_tokens_are_those_of_model_1() -> None:
    lists = Shortlist.learn(*PAIRS, sizes=(10, 14), size=2)
    wanted = probabilities()
    for source in range(10):
        ranked = sorted(
            (t for s, t in wanted if s == source), key=lambda t: (-wanted[source, t], t)
        )
        expected = [*ranked, -1, -1][:2]
        assert lists.best[source].tolist() == expected
    assert lists.frequent.tolist() == [9, 10]


def test_alignments_are_by_the_likeliest_source_token() -> None:
    model, wanted = LexicalModel.learn(*PAIRS, sizes=(10, 14)), probabilities()
    for source, target in zip(*PAIRS, strict=True):
        values = [[wanted.get((s, t), 0.0) for s in source] for t in target]
        assert model.align(source, target) == [row.index(max(row)) for row in values]
    assert model.align([4, 9], [13, 9, 2]) == [0, 0, -1]


def test_the_tokens_of_a_batch() -> None:
    lists = Shortlist.learn(*PAIRS, sizes=(10, 14), size=2)
    assert lists.tokens(torch.tensor([[4, 0]]), 1, always=[3]).tolist() == [3, 9]
    assert lists.tokens(torch.tensor([[4, 5], [6, 0]]), 1).tolist() == [9, 10, 11]
    assert set(lists.tokens(torch.tensor([[8]]), 2).tolist()) == {9, 10, 13}
    with pytest.raises(OptionError, match="shortlist must be at most 2, .* got 3"):
        lists.check_size(3)


def test_only_some_of_many_pairs_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexical, "PAIRS", 2)
    lists = Shortlist.learn(*PAIRS, sizes=(10, 14), size=2)
    assert lists.best[7].tolist() == [
        -1,
        -1,
    ]  # of the second pair of five: only the first and fourth are read
    assert lists.best[6].tolist() != [-1, -1]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "listed"
    words = ["ein", "Hund", "und", "eine", "Katze", "sehen", "den", "Mann", "im", "Park"]
    others = ["a", "dog", "and", "one", "cat", "see", "the", "man", "in_the", "park"]
    rows = [
        {"source": f"{words[i]} {words[j]}", "target": f"{others[i]} {others[j]}"}
        for i in range(10)
        for j in range(10)
    ]
    heedful.train(
        "translate", train=rows, valid=rows[:4], out=folder,
        model={"kind": "gru", "embedding": 8, "hidden": 8},
        vocabulary={"kind": "word", "min_frequency": 1}, decoding={"shortlist": 2},
        training={"epochs": 1, "threads": 1},
    )  # fmt: skip
    return folder


def test_a_run_knows_its_lists(run: Path) -> None:
    model = heedful.load(run)
    answer: Any = model.predictor.answer
    listed = answer.shortlist
    vocabulary, source = answer.vocabulary, model.predictor.input.vocabulary
    [[hund]] = source.encode_ids(["Hund"])
    [[dog]] = vocabulary.encode_ids(["dog"])
    assert listed.best[hund, 0] == dog
    [found] = model.predict(["Hund Hund"], nbest=5)
    allowed = set(listed.tokens(torch.tensor([hund, source.end_id]), 2).tolist())
    assert all(set(each.tokens) <= allowed for each in found.candidates)
    [free] = model.predict(["Hund Hund"], nbest=5, shortlist=0)
    assert not all(set(each.tokens) <= allowed for each in free.candidates)
    [forced] = model.predict(["Hund Hund"], prefix="park", require=["man"])
    assert forced.text.startswith("park")
    assert "man" in forced.text.split()


def test_lists_that_were_not_learned_are_refused(run: Path, tmp_path: Path) -> None:
    model = heedful.load(run)
    with pytest.raises(OptionError, match="shortlist must be at most 2"):
        model.predict(["Hund"], shortlist=3)
    with pytest.raises(OptionError, match="shortlist must be at least 0; got -1"):
        model.predict(["Hund"], shortlist=-1)
    rows = [{"source": "ein Hund", "target": "a dog"}] * 4
    plain = tmp_path / "plain"
    settings: dict[str, Any] = {
        "model": {"kind": "gru", "embedding": 8, "hidden": 8},
        "vocabulary": {"kind": "word", "min_frequency": 1},
        "training": {"epochs": 1, "threads": 1},
    }
    without = heedful.train("translate", train=rows, valid=rows[:2], out=plain, **settings)
    with pytest.raises(OptionError, match="shortlist is 5, but this model has learned none"):
        without.predict(["Hund"], shortlist=5)
    with pytest.raises(OptionError, match=r"decoding\.shortlist is learned when a training begins"):
        heedful.train(
            "translate", train=rows, valid=rows[:2], out=tmp_path / "more", init_from=plain,
            decoding={"shortlist": 2}, training={"epochs": 1, "threads": 1},
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("best"),
        lambda tensors: tensors.update(frequent=tensors["frequent"].long()),
        lambda tensors: tensors.update(best=tensors["best"][1:]),
        lambda tensors: tensors["best"].fill_(1000),
        lambda tensors: tensors["frequent"].fill_(-1),
    ],
)
def test_damaged_lists_are_refused(run: Path, change: Any) -> None:
    path = run / SHORTLIST
    before = path.read_bytes()
    tensors, _ = run_folder.read_tensors(path)
    change(tensors)
    run_folder.write_tensors(path, tensors)
    try:
        with pytest.raises(RunError, match="shortlist.safetensors is damaged"):
            heedful.load(run)
    finally:
        path.write_bytes(before)
