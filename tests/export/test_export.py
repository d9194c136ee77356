"""Exported models answer as ours, for batches and lengths of any size, and their READMEs run without Heedful."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.exported_arrays import Run, arrays_of, in_memory
from heedful.data.files import Pairs
from heedful.errors import OptionError, RunError
from heedful.export.formats import write_onnx
from heedful.export.program import Given, traced
from heedful.export.programs import programs_of
from heedful.export.run import export
from heedful.models.encoders import ENCODERS
from heedful.nn.recurrent import CELLS, RecurrentEncoder
from heedful.nn.scanned import scanned_layers
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS
from tests.export.programs import loaded

pytest.importorskip("onnxruntime")
WORDS = ("a", "good", "bad", "new", "film", "story", "seen", "it's")
SMALL = {"kind": "transformer", "width": 8, "heads": 2, "layers": 1}
LENGTHS = (1, 2, 3, 5, 8, 13)


def text_predictor(task: str, encoder: dict[str, Any], **sections: Any) -> Predictor:
    """Return a text model of fresh weights."""
    torch.manual_seed(0)
    found = TASKS[task]
    inputs = {"word_width": 8, "character_width": 4, "character_embedding": 4}
    given = {"vocabulary": {"min_frequency": 1}, "encoder": encoder, **sections}
    given["inputs"] = {**inputs, **sections.get("inputs", {})}
    config = found.configuration.model_validate(given)
    texts = [" ".join(WORDS[n % 3 :]) for n in range(6)]
    rows = [{"text": text, "label": str(n % 3), "target": n * 10.0} for n, text in enumerate(texts)]
    if task == "tag":
        rows = [{"tokens": text.split(), "tags": [w[0] for w in text.split()]} for text in texts]
    predictor = found.learn(config, found.reader.from_rows(rows, config.data, "train"))
    predictor.model.eval()
    return predictor


def translator(model: dict[str, Any], **sections: Any) -> Predictor:
    torch.manual_seed(0)
    found = TASKS["translate"]
    config = found.configuration.model_validate({"model": model, **sections})
    predictor = found.learn(config, Pairs(["ein Hund rennt", "ein Mann"], ["a dog runs", "a man"]))
    predictor.model.eval()
    return predictor


def check_scores(predictor: Predictor, open_program: Callable[[str], Run]) -> None:
    """Compare the answers over random texts of all lengths, alone and in batches."""
    run, generator = open_program("model"), np.random.default_rng(0)
    words = [*WORDS, "unseen", "x"]
    texts = [[str(w) for w in generator.choice(words, n)] for n in LENGTHS]
    for batch in ([texts[0]], [texts[3]], texts, texts[::-1][:2], [texts[-1]] * 3):
        examples = batch if predictor.task.name == "tag" else [" ".join(each) for each in batch]
        wanted = list(predictor.predict(examples))
        found = run(*arrays_of(predictor, examples, open_program))[0]
        for row, prediction, tokens in zip(found, wanted, batch, strict=True):
            if predictor.task.name == "classify":
                np.testing.assert_allclose(
                    row, list(prediction.all_probabilities.values()), atol=1e-5
                )
            elif predictor.task.name == "regress":
                np.testing.assert_allclose(row, prediction.values, rtol=1e-4)
            else:
                named = [predictor.labels[n] for n in row[: len(tokens)].argmax(-1)]
                assert named == list(prediction.labels)


def check_translator(predictor: Predictor, open_program: Callable[[str], Run]) -> None:
    """Compare the log-probabilities of the tokens of random targets with those under teacher forcing."""
    encoder, step = open_program("encoder"), open_program("step")
    size = len(predictor.input.vocabulary)
    for batch, length, steps in ((1, 1, 1), (1, 7, 5), (4, 6, 9), (2, 13, 3)):
        source = torch.randint(4, size, (batch, length))
        lengths = torch.randint(1, length + 1, (batch,))
        lengths[0] = length
        source[torch.arange(length) >= lengths[:, None]] = 0
        target = torch.randint(4, len(predictor.answer.vocabulary), (batch, steps))
        target[:, 0] = 2
        with torch.no_grad():
            states = predictor.model(source, lengths, target).states
            wanted = predictor.model.output(states).log_softmax(-1)
        state = encoder(source.numpy())
        for place in range(steps):
            scores, *state = step(target[:, place].numpy(), *state)
            np.testing.assert_allclose(scores, wanted[:, place], atol=2e-5)


def long(*values: Any) -> Any:
    return pytest.param(*values, marks=pytest.mark.long)


@pytest.mark.parametrize(
    ("task", "encoder", "sections", "format_name"),
    [
        ("classify", SMALL, {}, "onnx"),
        long("classify", {"kind": "lstm", "hidden": 4}, {}, "torch"),
        long("tag", {"kind": "gru", "hidden": 4}, {"inputs": {"characters": "lstm"}}, "onnx"),
        long(
            "regress",
            {"kind": "ngrams", "hidden": 12},
            {"inputs": {"characters": "convolution"}},
            "onnx",
        ),
        long("classify", SMALL, {"ensemble": {"members": 2}}, "onnx"),
        long("tag", {"kind": "window", "hidden": 4}, {}, "torch"),
        long("regress", {"kind": "rnn", "hidden": 4}, {}, "onnx"),
    ],
)
def test_text_models(
    tmp_path: Path, task: str, encoder: dict[str, Any], sections: dict[str, Any], format_name: str
) -> None:
    predictor = text_predictor(task, encoder, **sections)
    export(predictor, format_name, tmp_path / "out")
    check_scores(predictor, loaded(tmp_path / "out", format_name))


@pytest.mark.long
@pytest.mark.parametrize("kind", ENCODERS)
def test_every_encoder_is_exported(tmp_path: Path, kind: str) -> None:
    predictor = text_predictor("classify", {"kind": kind})
    export(predictor, "onnx", tmp_path / "out")
    check_scores(predictor, loaded(tmp_path / "out", "onnx"))


TRANSFORMER = {
    "kind": "transformer",
    "width": 8,
    "heads": 2,
    "feed_forward": 8,
    "encoder_layers": 1,
    "decoder_layers": 2,
}
GRU = {"kind": "gru", "embedding": 8, "hidden": 8}


@pytest.mark.parametrize(
    ("model", "format_name"),
    [
        (TRANSFORMER, ""),
        long(TRANSFORMER, "onnx"),
        long(GRU, "onnx"),
        long({**TRANSFORMER, "positions": "rotary"}, "onnx"),
        long({**TRANSFORMER, "positions": "learned"}, "torch"),
        long({**TRANSFORMER, "score": "additive"}, "onnx"),
        long({**GRU, "kind": "lstm", "order": "luong", "attention": "bilinear"}, "onnx"),
        long({**GRU, "attention": "none", "encoder_layers": 2}, "torch"),
    ],
)
def test_translators(tmp_path: Path, model: dict[str, Any], format_name: str) -> None:
    predictor = translator(model)
    if not format_name:
        check_translator(predictor, in_memory(programs_of(predictor)))
        return
    export(predictor, format_name, tmp_path / "out")
    check_translator(predictor, loaded(tmp_path / "out", format_name))


def test_what_is_refused(tmp_path: Path) -> None:
    predictor = text_predictor("classify", {"kind": "none", "hidden": 4})
    with pytest.raises(OptionError, match="unknown format 'onxn'; did you mean 'onnx'"):
        export(predictor, "onxn", tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(RunError, match="is there already"):
        export(predictor, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    predictor = text_predictor("classify", {"kind": "none", "hidden": 4})
    with pytest.raises(
        OptionError, match=r'pip install "heedful\[onnx\]" \(onnxscript is missing\)'
    ):
        export(predictor, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_what_onnx_lacks_is_named(tmp_path: Path) -> None:
    given = Given("numbers", ("length",), torch.arange(5))
    program = traced(torch.nn.Module(), lambda x: x.sort(stable=True)[0], [given], ["sorted"])
    with pytest.raises(OptionError, match=r"uses the operation aten\.sort.*--format torch"):
        write_onnx(program, tmp_path / "sorted.onnx")


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_scanned_layers_are_those_of_pytorch(kind: str, layers: int, bidirectional: bool) -> None:
    encoder = (
        RecurrentEncoder(kind, 5, 4, layers=layers, bidirectional=bidirectional).double().eval()
    )
    inputs, lengths = torch.randn(4, 7, 5, dtype=torch.float64), torch.tensor([7, 1, 3, 6])
    inputs[1, 1:] = torch.nan
    with torch.no_grad():
        wanted = encoder(inputs.nan_to_num(), lengths)
        values, final = scanned_layers(kind, encoder.layers, inputs, lengths)
    torch.testing.assert_close(values, wanted.values)
    for found, expected in zip(final, wanted.summary, strict=True):
        torch.testing.assert_close(encoder._side_by_side(found), expected)
