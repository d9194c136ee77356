"""Transformer translators in CTranslate2: scores of tokens, beam search, and what its format cannot express."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from heedful.errors import OptionError
from heedful.export.ct2 import POSITIONS
from heedful.export.run import export
from heedful.tasks.predictor import Predictor
from tests.export.test_export import GRU, TRANSFORMER, text_predictor, translator

ctranslate2 = pytest.importorskip("ctranslate2")


def sources(predictor: Predictor, count: int = 12) -> list[list[int]]:
    """Return random ids of sources of many lengths, without the end token."""
    generator = torch.Generator().manual_seed(0)
    size = len(predictor.input.vocabulary)
    return [
        torch.randint(4, size, (1 + n * n % 17,), generator=generator).tolist()
        for n in range(count)
    ]


def log_probabilities(predictor: Predictor, source: list[int], target: list[int]) -> list[float]:
    """Return ours of a target and its end token, under teacher forcing."""
    vocabulary = predictor.answer.vocabulary
    ids = torch.tensor([[*source, vocabulary.end_id]])
    given = torch.tensor([[vocabulary.begin_id, *target]])
    with torch.no_grad():
        states = predictor.model(ids, torch.tensor([ids.shape[1]]), given).states
        scores = predictor.model.output(states).log_softmax(-1)[0]
    wanted = torch.tensor([*target, vocabulary.end_id])
    found: list[float] = scores.gather(1, wanted[:, None])[:, 0].tolist()
    return found


def assert_greedy(predictor: Predictor, source: list[int], target: list[int]) -> None:
    """Each token has the largest probability after those before it, or is as near as rounding."""
    vocabulary = predictor.answer.vocabulary
    ids = torch.tensor([[*source, vocabulary.end_id]])
    given = torch.tensor([[vocabulary.begin_id, *target[:-1]]])
    with torch.no_grad():
        states = predictor.model(ids, torch.tensor([ids.shape[1]]), given).states
        scores = predictor.model.output(states).log_softmax(-1)[0]
    for place, token in enumerate(target):
        assert scores[place, token] >= scores[place].max() - 1e-4


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"norm": "post", "activation": "gelu"},
        {"positions": "learned", "max_length": 40, "tie_embeddings": False},
    ],
)
def test_scores_and_beam_search_are_ours(tmp_path: Path, changed: dict[str, Any]) -> None:
    predictor = translator({**TRANSFORMER, **changed})
    export(predictor, "ctranslate2", tmp_path / "out")
    theirs = ctranslate2.Translator(str(tmp_path / "out" / "model"), intra_threads=1)
    source_names = predictor.input.vocabulary.token_names()
    target_names = predictor.answer.vocabulary.token_names()
    given = sources(predictor)
    written = [[source_names[each] for each in source] for source in given]
    targets = [source[::-1] for source in sources(predictor)]
    targets = [[min(each, len(target_names) - 1) for each in target] for target in targets]
    scored = theirs.score_batch(written, [[target_names[n] for n in target] for target in targets])
    for source, target, found in zip(given, targets, scored, strict=True):
        wanted = log_probabilities(predictor, source, target)
        assert found.log_probs == pytest.approx(wanted, abs=5e-5)
    best = theirs.translate_batch(written, beam_size=1, max_decoding_length=20)
    for source, found in zip(given, best, strict=True):
        ids = [target_names.index(each) for each in found.hypotheses[0]]
        assert_greedy(predictor, source, ids)


def test_inputs_longer_than_the_table_are_refused(tmp_path: Path) -> None:
    predictor = translator(TRANSFORMER)
    export(predictor, "ctranslate2", tmp_path / "out")
    theirs = ctranslate2.Translator(str(tmp_path / "out" / "model"), intra_threads=1)
    name = predictor.input.vocabulary.token_names()[5]
    with pytest.raises(
        RuntimeError, match=f"No position encodings are defined for positions >= {POSITIONS}"
    ):
        theirs.translate_batch(
            [[name] * (POSITIONS + 1)], max_input_length=0, max_decoding_length=1
        )


def test_names_of_tokens_are_unique() -> None:
    names = translator(TRANSFORMER).answer.vocabulary.token_names()
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (GRU, "runs Transformer translators; this run is another model"),
        ({**TRANSFORMER, "score": "additive"}, "model.score = 'additive', but scaled_dot"),
        ({**TRANSFORMER, "normalizer": "entmax"}, "model.normalizer = 'entmax'"),
        ({**TRANSFORMER, "positions": "rotary"}, "model.positions = 'rotary'"),
        ({**TRANSFORMER, "positions_how": "concat"}, "model.positions_how = 'concat'"),
        ({**TRANSFORMER, "activation": "gated"}, "model.activation = 'gated'"),
        ({**TRANSFORMER, "key_heads": 1}, "as many key heads as heads"),
    ],
)
def test_what_it_cannot_express_is_refused(
    tmp_path: Path, model: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError, match=re.escape(message)):
        export(translator(model), "ctranslate2", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="runs Transformer translators"):
        export(text_predictor("classify", {"kind": "none"}), "ctranslate2", tmp_path / "out")


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ctranslate2", None)
    with pytest.raises(OptionError, match=r'pip install "heedful\[ctranslate2\]"'):
        export(translator(TRANSFORMER), "ctranslate2", tmp_path / "out")


def test_the_readme_runs_without_heedful(tmp_path: Path) -> None:
    export(translator(TRANSFORMER), "ctranslate2", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "heedful" not in code
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path / "out", check=True, timeout=60
    )
