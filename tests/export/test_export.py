"""Exported models answer as ours, for batches and lengths of any size, and their READMEs run without Heedful."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from heedful.data.files import Pairs
from heedful.errors import OptionError, RunError
from heedful.export.formats import FORMATS
from heedful.export.programs import reads_characters
from heedful.export.quiet import quiet
from heedful.export.run import export
from heedful.models.encoders import ENCODERS
from heedful.nn.recurrent import CELLS, RecurrentEncoder
from heedful.nn.scanned import scanned_layers
from heedful.tasks.predictor import Predictor
from heedful.tasks.table import TASKS

pytest.importorskip("onnxruntime")
WORDS = ("a", "good", "bad", "new", "film", "story", "seen", "it's")
SMALL = {"kind": "transformer", "width": 8, "heads": 2, "layers": 1}
LENGTHS = (1, 2, 3, 5, 8, 13)

Run = Callable[..., list[np.ndarray]]


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


def loaded(folder: Path, format_name: str) -> Callable[[str], Run]:
    """Return what opens a program of a folder, called with arrays in the order of its inputs."""

    def open_program(name: str) -> Run:
        path = folder / f"{name}{FORMATS[format_name].suffix}"
        if format_name == "onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(path)
            names = [each.name for each in session.get_inputs()]
            return lambda *given: session.run(None, dict(zip(names, given, strict=True)))
        with quiet():
            program = torch.export.load(path).module()

        def run(*given: np.ndarray) -> list[np.ndarray]:
            tensors = [torch.from_numpy(each) for each in given]
            found = program(*tensors) if name != "step" else program(tensors[0], tensors[1:])
            return [each.numpy() for each in ((found,) if isinstance(found, Tensor) else found)]

        return run

    return open_program


def arrays_of(predictor: Predictor, tokens: Sequence[Sequence[str]]) -> list[np.ndarray]:
    """Return token lists as the exported model reads them."""
    inputs = getattr(predictor.input, "tokens", predictor.input)
    longest = max(map(len, tokens))
    words = np.zeros((len(tokens), longest), dtype=np.int64)
    letters = np.zeros(
        (len(tokens), longest, max(len(w) for row in tokens for w in row)), dtype=np.int64
    )
    for number, row in enumerate(tokens):
        words[number, : len(row)] = inputs.words.ids(row)
        for place, word in enumerate(row):
            letters[number, place, : len(word)] = inputs.characters.ids(word)
    return [words, letters] if reads_characters(predictor) else [words]


def check_scores(predictor: Predictor, run: Run) -> None:
    """Compare the answers over random texts of all lengths, alone and in batches."""
    generator = np.random.default_rng(0)
    words = [*WORDS, "unseen", "x"]
    texts = [[str(w) for w in generator.choice(words, n)] for n in LENGTHS]
    for batch in ([texts[0]], [texts[3]], texts, texts[::-1][:2], [texts[-1]] * 3):
        examples = batch if predictor.task.name == "tag" else [" ".join(each) for each in batch]
        wanted = list(predictor.predict(examples))
        [found] = run(*arrays_of(predictor, batch))
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
        scores, *state = encoder(source.numpy())
        for place in range(steps):
            np.testing.assert_allclose(scores, wanted[:, place], atol=2e-5)
            if place + 1 < steps:
                scores, *state = step(target[:, place + 1].numpy(), *state)


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
    check_scores(predictor, loaded(tmp_path / "out", format_name)("model"))


@pytest.mark.long
@pytest.mark.parametrize(
    "kind",
    [kind for kind in ENCODERS if kind not in ("gat", "gatv2", "graph-transformer", "gcn")],
)
def test_every_encoder_of_sequences_is_exported(tmp_path: Path, kind: str) -> None:
    predictor = text_predictor("classify", {"kind": kind})
    export(predictor, "onnx", tmp_path / "out")
    check_scores(predictor, loaded(tmp_path / "out", "onnx")("model"))


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
        (TRANSFORMER, "onnx"),
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
    export(predictor, format_name, tmp_path / "out")
    check_translator(predictor, loaded(tmp_path / "out", format_name))


@pytest.mark.parametrize(
    ("make", "format_name"),
    [
        long(
            lambda: text_predictor("classify", SMALL, inputs={"characters": "convolution"}), "onnx"
        ),
        (lambda: translator(GRU), "torch"),
        long(lambda: translator(TRANSFORMER), "onnx"),
        long(lambda: text_predictor("tag", {"kind": "window", "hidden": 4}), "torch"),
        long(
            lambda: text_predictor("regress", SMALL, vocabulary={"kind": "bpe", "size": 40}), "onnx"
        ),
    ],
)
def test_the_readme_runs_without_heedful(
    tmp_path: Path, make: Callable[[], Predictor], format_name: str
) -> None:
    predictor = make()
    export(predictor, format_name, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "heedful" not in code
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path / "out",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    if predictor.task.name == "classify":
        [found] = predictor.predict(["a good film"])
        shown = {
            name: float(share) for name, share in re.findall(r"'(\d)': ([\d.e-]+)", done.stdout)
        }
        assert shown == pytest.approx(found.all_probabilities, abs=1e-5)
    else:
        assert done.stdout.strip() or predictor.task.name == "translate"


def test_what_is_refused(tmp_path: Path) -> None:
    predictor = text_predictor("tag", {"kind": "window", "hidden": 4}, labels={"chain": True})
    with pytest.raises(OptionError, match="a chain of labels"):
        export(predictor, "onnx", tmp_path / "out")
    with pytest.raises(OptionError, match="unknown format 'onxn'; did you mean 'onnx'"):
        export(predictor, "onxn", tmp_path / "out")
    graph = text_predictor("classify", {"kind": "gat", "heads": 2})
    with pytest.raises(OptionError, match="graph encoders are not exported"):
        export(graph, "onnx", tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(RunError, match="is there already"):
        export(predictor, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_other_tasks_are_refused(tmp_path: Path) -> None:
    task = TASKS["classify-series"]
    config = task.configuration.model_validate({})
    rows = [{"values": [n, n + 1.0], "label": str(n % 2)} for n in range(8)]
    predictor = task.learn(config, task.reader.from_rows(rows, config.data, "train"))
    with pytest.raises(OptionError, match="the task 'classify-series' is not exported yet"):
        export(predictor, "onnx", tmp_path / "out")


def test_without_the_extra_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    predictor = text_predictor("classify", SMALL)
    with pytest.raises(
        OptionError, match=r'pip install "heedful\[onnx\]" \(onnxscript is missing\)'
    ):
        export(predictor, "onnx", tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


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
