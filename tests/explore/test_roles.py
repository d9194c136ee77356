"""Roles of heads: what counts as found, what the best head and the best offset find, and words from sub-words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import heedful
from heedful.data.trees import Tree
from heedful.errors import DataError, OptionError
from heedful.explore.roles.measure import chosen_trees, measure_roles
from heedful.explore.roles.relations import (
    NEXT,
    PREVIOUS,
    RAREST,
    SAME,
    role_targets,
    word_counts,
)
from heedful.explore.roles.score import OFFSETS, RESAMPLES, RoleCounts, most_attended
from heedful.explore.roles.show import draw_roles, table
from heedful.explore.roles.words import (
    SPECIAL,
    WordAttention,
    predictor_reader,
    word_of_spans,
    word_of_tokens,
    word_reader,
)
from tests.cli.conftest import run_command

TREE = Tree(
    ("the", "dog", "saw", "the", "cat"),
    (1, 2, None, 4, 2),
    ("det", "nsubj", "root", "det", "obj"),
)


def test_targets_of_a_sentence() -> None:
    found = role_targets(TREE, word_counts([TREE]))
    assert np.argwhere(found["det: to its head"]).tolist() == [[0, 1], [3, 4]]
    assert np.argwhere(found["det: from its head"]).tolist() == [[1, 0], [4, 3]]
    assert np.argwhere(found["obj: from its head"]).tolist() == [[2, 4]]
    assert np.argwhere(found[SAME]).tolist() == [[0, 3], [3, 0]]
    assert np.argwhere(found[PREVIOUS]).tolist() == [[1, 0], [2, 1], [3, 2], [4, 3]]
    assert np.argwhere(found[NEXT]).tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert found[RAREST][0].tolist() == [False, True, True, False, True]
    assert found[RAREST][1].tolist() == [False, False, True, False, True]
    assert not any("root" in role for role in found)


def test_the_head_of_several_dependents_may_find_any_of_them() -> None:
    tree = Tree(("a", "b", "c"), (1, None, 1), ("conj", "root", "conj"))
    found = role_targets(tree, word_counts([tree]))
    assert np.argwhere(found["conj: from its head"]).tolist() == [[1, 0], [1, 2]]


def weights_to(keys: list[int]) -> Any:
    """Return weights (words, words) of which each row's largest, itself aside, is at a key."""
    weights = np.eye(len(keys)) * 0.6
    for query, key in enumerate(keys):
        weights[query, key] += 0.3
    return weights


def test_the_best_head_is_chosen_where_it_is_not_scored() -> None:
    size = 4
    before, after = (
        [max(0, i - 1) for i in range(size)],
        [min(size - 1, i + 1) for i in range(size)],
    )
    wanted = {"role": np.eye(size, k=-1, dtype=bool)}
    counts = RoleCounts()
    # Head 2 finds everything in the sentences that choose and nothing in those that score; head 1 the contrary.
    for number in range(20):
        pair = [weights_to(after), weights_to(before)]
        counts.add([np.stack(pair if number % 2 == 0 else pair[::-1])], wanted)
    [score] = counts.scores(minimum=1)
    assert score.best == (0, 1)
    assert score.found.value == 0
    assert score.heads[0, 0].value == 1
    assert (score.offset, score.baseline.value) == (-1, 1)
    assert score.gain.value == -1
    assert (score.pairs, score.chosen_on) == (30, 30)


def test_intervals_are_those_of_a_bootstrap_over_sentences() -> None:
    draw = np.random.default_rng(1)
    counts, rights, asked = RoleCounts(), [], []
    for number in range(120):
        size = int(draw.integers(3, 7))
        keys = draw.integers(0, size, size).tolist()
        wanted = np.eye(size, k=1, dtype=bool)
        weights = weights_to(keys)
        counts.add([weights[None]], {NEXT: wanted})
        if number % 2:
            looks = most_attended(weights[None])[0]
            rights.append(int((looks[:-1] == np.arange(1, size)).sum()))
            asked.append(size - 1)
    [score] = counts.scores(minimum=1)
    found = score.found
    assert found.value == pytest.approx(sum(rights) / sum(asked))
    draws = np.random.default_rng(5).integers(0, len(asked), (RESAMPLES, len(asked)))
    shares = np.array(rights)[draws].sum(1) / np.array(asked)[draws].sum(1)
    assert found.low == pytest.approx(np.quantile(shares, 0.025), abs=0.03)
    assert found.high == pytest.approx(np.quantile(shares, 0.975), abs=0.03)
    assert score.gain.value == pytest.approx(found.value - 1)


def test_a_word_that_may_not_attend_to_any_target_is_not_asked() -> None:
    causal = np.tril(np.ones((3, 3), bool))
    counts = RoleCounts()
    wanted = {NEXT: np.eye(3, k=1, dtype=bool), PREVIOUS: np.eye(3, k=-1, dtype=bool)}
    for _ in range(2):
        counts.add([np.tril(np.full((1, 3, 3), 0.5))], wanted, causal)
    [score] = counts.scores(minimum=1)
    assert (score.role, score.pairs) == (PREVIOUS, 2)


def test_nothing_is_scored_of_too_few_words() -> None:
    counts = RoleCounts()
    counts.add([np.full((1, 2, 2), 0.5)], {NEXT: np.eye(2, k=1, dtype=bool)})
    with pytest.raises(DataError, match="no relation is there 1 times in each half of the 1 sent"):
        counts.scores(minimum=1)


def test_offsets_have_no_zero() -> None:
    assert 0 not in OFFSETS
    assert -1 in OFFSETS


@pytest.mark.parametrize(
    ("tokens", "words", "index"),
    [
        (["▁The", "▁do", "g", "."], ["the", "dog", "."], [0, 1, 1, 2]),
        (["他", "是", "学", "生"], ["他", "是", "学生"], [0, 1, 2, 2]),
        (["##a", "##b"], ["ab"], [0, 0]),
    ],
)
def test_tokens_are_aligned_to_words_on_characters(
    tokens: list[str], words: list[str], index: list[int]
) -> None:
    assert word_of_tokens(tokens, words) == index


def test_spans_are_aligned_to_words() -> None:
    text = ["a", "dog", "'s"]
    spans = [(0, 0), (0, 1), (1, 3), (3, 5), (5, 6), (6, 8), (8, 8)]
    assert word_of_spans(spans, text) == [SPECIAL, 0, 1, 1, 2, 2, SPECIAL]


def test_a_sentence_that_cannot_be_mapped_is_counted() -> None:
    def read(words: Any) -> WordAttention | None:
        if words[0] == "odd":
            return None
        return WordAttention([np.full((1, len(words), len(words)), 0.5)], None)

    trees = [Tree((first, "b"), (1, None), ("det", "root")) for first in ("a", "odd", "a", "a")]
    found = measure_roles(read, trees, minimum=1)
    assert (found.sentences, found.unmapped) == (3, 1)
    with pytest.raises(DataError, match="none of 1 sentences can be mapped"):
        measure_roles(read, trees[1:2], minimum=1)


def test_sentences_are_chosen_by_length() -> None:
    trees = [TREE, Tree(("a",), (None,), ("root",)), TREE, TREE]
    assert chosen_trees(trees, sentences=2, longest=5) == [TREE, TREE]
    with pytest.raises(DataError, match="of 4 sentences 0 have 2 to 4 words"):
        chosen_trees(trees, sentences=2, longest=4)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    rows = [{"tokens": list(TREE.words), "tags": list(TREE.relations)}] * 8
    texts = [{"text": "the dog saw the cat", "label": "a"}, {"text": "a cat", "label": "b"}] * 4
    pairs = [{"source": "the dog saw the cat", "target": "b a"}] * 8
    once: dict[str, Any] = {"training": {"epochs": 1}}
    small = {"kind": "transformer", "width": 8, "heads": 2, "layers": 2, "feed_forward": 8}
    heedful.train("tag", train=rows, valid=rows, out=folder / "tag", encoder=small, **once)
    heedful.train("classify", train=texts, valid=texts, out=folder / "mood", encoder=small, **once)
    heedful.train("classify", train=texts, valid=texts, out=folder / "lstm", encoder="lstm", **once)
    heedful.train(
        "translate", train=pairs, valid=pairs, out=folder / "pairs",
        model={"width": 8, "heads": 2, "feed_forward": 8}, vocabulary={"size": 20}, **once,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize("name", ["tag", "mood", "pairs"])
def test_readers_give_attention_between_words(runs: Path, name: str) -> None:
    model = heedful.load(runs / name)
    found = predictor_reader(model.predictor)(TREE.words)
    assert found is not None
    assert {weights.shape[1:] for weights in found.layers} == {(5, 5)}
    assert {len(weights) for weights in found.layers} == {2}
    for weights in found.layers:
        # The rest of a translator's row is on the end token.
        assert (weights.sum(-1) < 1 + 1e-5).all()
        if name != "pairs":
            np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_words_of_a_translator_are_sums_over_keys_and_means_over_queries(runs: Path) -> None:
    model = heedful.load(runs / "pairs")
    found = predictor_reader(model.predictor)(TREE.words)
    assert found is not None
    records = model.explain(" ".join(TREE.words), reference="b a").records
    merged = [record for record in records if record.kind == "encoder"]
    assert merged[0].merged
    for weights, record in zip(found.layers, merged, strict=True):
        np.testing.assert_allclose(weights, record.weights[:, :-1, :-1], atol=1e-6)


def test_models_without_heads_are_refused(runs: Path) -> None:
    with pytest.raises(OptionError, match="no self-attention over its input"):
        word_reader(runs / "lstm")(TREE.words)


def test_the_command_prints_a_table_and_writes_json_and_a_picture(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        f"{n}\t{word}\t_\t_\t_\t_\t{0 if head is None else head + 1}\t{relation}\t_\t_\n"
        for n, (word, head, relation) in enumerate(
            zip(TREE.words, TREE.heads, TREE.relations, strict=True), start=1
        )
    ]
    Path("trees.conllu").write_text(("".join(lines) + "\n") * 6)
    command = ("heads", str(runs / "tag"), "--trees", "trees.conllu", "--minimum", "3")
    ran = run_command(*command, "--out", "heads.svg")
    assert ran.status == 0, ran.stderr
    assert "det: to its head" in ran.stdout
    assert Path("heads.svg").read_text(encoding="utf-8").count("<svg") == 1
    ran = run_command(*command, "--json")
    values = json.loads(ran.stdout.splitlines()[-1])
    roles = {each["role"]: each for each in values["roles"]}
    assert roles[NEXT]["offset"]["value"] == 1
    assert roles["det: to its head"]["pairs"] == 6
    assert len(roles[NEXT]["heads"]) == 4
    assert values["sentences"] == 6
    failed = run_command(*command[:4], "--minimum", "99")
    assert failed.status == 1
    assert "smaller --minimum" in failed.stderr
    again = run_command(*command, "--out", "heads.svg")
    assert "--overwrite" in again.stderr


def test_a_picture_of_many_heads_names_layers(tmp_path: Path) -> None:
    counts = RoleCounts()
    for _ in range(2):
        counts.add([np.full((12, 3, 3), 0.5)] * 2, {NEXT: np.eye(3, k=1, dtype=bool)})
    scores = counts.scores(minimum=1)
    draw_roles(scores, tmp_path / "heads.svg", "Many heads")
    text = (tmp_path / "heads.svg").read_text(encoding="utf-8")
    assert "layer, its heads side by side" in text
    assert table(scores)[1][0] == NEXT


def test_a_hugging_face_model_reads_words(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    tokenizers = pytest.importorskip("tokenizers")
    vocabulary = {"[UNK]": 0, "the": 1, "dog": 2, "sa": 3, "##w": 4, "cat": 5, "[CLS]": 6}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 6)]
    )
    config = transformers.BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8
    )
    transformers.BertModel(config).save_pretrained(tmp_path)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path)
    found = word_reader(tmp_path)(TREE.words)
    assert found is not None
    assert [weights.shape for weights in found.layers] == [(2, 5, 5)] * 2
    assert found.allowed is None
    # What is missing from a row is on [CLS], which is no word.
    assert (found.layers[0].sum(-1) < 1).all()
