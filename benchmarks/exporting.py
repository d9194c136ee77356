"""Exported models beside Heedful on this machine: sizes, speed, and whether the answers are the same.

python -m benchmarks.exporting RUN FILE [--reference FILE] [--count N] [--threads N]

FILE holds a text a line. Texts are answered one at a time, translators by greedy search. "Same" is the share of texts
whose label or translation is that of Heedful; for translators with references BLEU is shown too.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import heedful
from heedful.answers.text import GeneratedText
from heedful.data.files import read_lines
from heedful.errors import HeedfulError
from heedful.export.formats import FORMATS
from heedful.export.programs import reads_characters
from heedful.export.run import export

Program = Callable[..., Sequence[Any]]
WARM_UP = 3


def opened(path: Path, threads: int) -> Program:
    """Return a program as a function of arrays."""
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options)
        names = [each.name for each in session.get_inputs()]
        return lambda *given: session.run(None, dict(zip(names, given, strict=True)))
    program = torch.export.load(path).module()

    def run(*given: Any) -> Sequence[Any]:
        tensors = [torch.as_tensor(each) for each in given]
        with torch.inference_mode():
            found = program(tensors[0], tensors[1:]) if path.stem == "step" else program(*tensors)
        return [found] if isinstance(found, torch.Tensor) else found

    return run


def translator(predictor: Any, folder: Path, suffix: str, threads: int) -> Callable[[str], str]:
    encoder, step = (opened(folder / f"{name}{suffix}", threads) for name in ("encoder", "step"))
    most = predictor.answer.decoding.max_length_ratio

    def translate(text: str) -> str:
        source = np.array([predictor.input.encode([text])[0]], dtype=np.int64)
        scores, *state = encoder(source)
        tokens = [int(scores[0].argmax())]
        longest = int(most * source.shape[1]) + 10  # as the search of Heedful
        while tokens[-1] != 3 and len(tokens) < longest:
            scores, *state = step(np.array([tokens[-1]]), *state)
            tokens.append(int(scores[0].argmax()))
        return predictor.answer.vocabulary.decode([each for each in tokens if each > 3])

    return translate


def scorer(predictor: Any, folder: Path, suffix: str, threads: int) -> Callable[[str], Any]:
    model = opened(folder / f"model{suffix}", threads)
    inputs = getattr(predictor.input, "tokens", predictor.input)

    def answer(text: str) -> Any:
        [encoded] = predictor.input.encode([predictor.task.reader.parse(text, None)])
        given = [np.array([encoded.words], dtype=np.int64)]
        if reads_characters(predictor):
            spelled = [inputs._characters[each] for each in encoded.spelling_ids]
            letters = np.zeros((1, len(spelled), max(map(len, spelled))), dtype=np.int64)
            for place, each in enumerate(spelled):
                letters[0, place, : len(each)] = each
            given.append(letters)
        found = np.asarray(model(*given)[0][0])
        return np.round(found, 2).tolist() if found.shape == (1,) else found.argmax(-1).tolist()

    return answer


def ours(model: heedful.TrainedModel) -> Callable[[str], Any]:
    """Return Heedful's own answer in the same form."""
    if isinstance(model.predictor.answer, GeneratedText):
        return lambda text: model.predict([text], beam=1)[0].text

    def answer(text: str) -> Any:
        [found] = model.predict([text])
        if hasattr(found, "value"):
            return np.round([found.value], 2).tolist()
        if hasattr(found, "all_probabilities"):
            shares = list(found.all_probabilities.values())
            return int(np.argmax(shares))
        return [model.labels.index(each) for each in found.labels]

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exporting", description=__doc__)
    parser.add_argument("run")
    parser.add_argument("file", type=Path)
    parser.add_argument("--reference", type=Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = heedful.load(options.run)
    predictor = model.predictor
    texts = read_lines(options.file)[: options.count]
    wanted, _ = measured("heedful", None, ours(model), texts, None, options.reference)
    build = translator if isinstance(predictor.answer, GeneratedText) else scorer
    with tempfile.TemporaryDirectory() as place:
        for name, each in FORMATS.items():
            folder = Path(place, name)
            files = export(heedful.load(options.run).predictor, name, folder)
            size = sum(f.stat().st_size for f in files if f.suffix == each.suffix) / 1e6
            function = build(predictor, folder, each.suffix, options.threads)
            measured(name, size, function, texts, wanted, options.reference)


def measured(
    name: str,
    size: float | None,
    function: Callable[[str], Any],
    texts: Sequence[str],
    wanted: Sequence[Any] | None,
    reference: Path | None,
) -> tuple[list[Any], float]:
    """Time a function on each text and print a line."""
    for text in texts[:WARM_UP]:
        function(text)
    began = time.perf_counter()
    found = [function(text) for text in texts]
    pace = len(texts) / (time.perf_counter() - began)
    line = f"{name:<10} {'' if size is None else f'{size:.1f} MB':>9} {pace:8.1f} texts/s"
    if wanted is not None:
        same = sum(a == b for a, b in zip(found, wanted, strict=True)) / len(texts)
        line += f"   same {same:.1%}"
    if reference is not None:
        from sacrebleu import corpus_bleu

        lines = read_lines(reference)[: len(texts)]
        line += f"   BLEU {corpus_bleu(found, [lines]).score:.2f}"
    print(line, flush=True)
    return found, pace


if __name__ == "__main__":
    try:
        main()
    except HeedfulError as error:
        sys.exit(f"error: {error}")
