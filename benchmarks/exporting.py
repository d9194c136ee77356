"""Exported models beside Heedful on this machine: sizes, speed, equal answers, and how good they are.

python -m benchmarks.exporting RUN TEST... [--formats NAMES] [--batch 1,32] [--count N] [--threads N]

TEST is what `heedful evaluate --test` reads. Text is written by greedy search everywhere: in Heedful with beam 1, in
CTranslate2 with beam_size 1, and with exported steps by a loop that drops finished rows as Heedful does. Batches are
the same for all, of examples in the order of their length. Paces are per second of processor time of the process, so
that other work on the machine counts little; making arrays of examples is part of it. "Same" is the share of examples
whose label, text or number is that of Heedful.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import heedful
from benchmarks.exported_answers import QUALITIES, answer_of, from_outputs
from benchmarks.exported_arrays import Run, arrays_of
from heedful.answers.text import GeneratedText
from heedful.answers.transcript import TranscribedText
from heedful.errors import HeedfulError, OptionError
from heedful.export.formats import FORMATS
from heedful.export.run import export

WARM_UP = 2
"""Batches that are not measured."""
SLACK = 10
"""Tokens beyond the ratio, as in the search of Heedful."""
BEGIN, END = 2, 3
Answer = Callable[[Sequence[Any]], list[Any]]


class Engine(NamedTuple):
    """A format on a disk and what answers a batch of examples with it."""

    name: str
    megabytes: float | None
    answer: Answer


def opener(folder: Path, suffix: str, threads: int) -> Callable[[str], Run]:
    """Return what opens a program as a function of arrays; each is opened once."""
    made: dict[str, Run] = {}

    def open_program(name: str) -> Run:
        if name not in made:
            made[name] = opened(folder / f"{name}{suffix}", threads)
        return made[name]

    return open_program


def opened(path: Path, threads: int) -> Run:
    """Return a program as a function of arrays."""
    if path.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options)
        names = [each.name for each in session.get_inputs()]
        return lambda *given: session.run(None, dict(zip(names, given, strict=True)))
    program = torch.export.load(path).module()

    def run(*given: Any) -> list[Any]:
        tensors = [torch.as_tensor(each) for each in given]
        with torch.inference_mode():
            found = program(tensors[0], tensors[1:]) if path.stem == "step" else program(*tensors)
        return [found] if isinstance(found, torch.Tensor) else [each.numpy() for each in found]

    return run


def answering(predictor: Any, open_program: Callable[[str], Run]) -> Answer:
    """Return what answers with the program of a model that is one function of its input."""
    model = open_program("model")

    def answer(examples: Sequence[Any]) -> list[Any]:
        return from_outputs(predictor, model(*arrays_of(predictor, examples, open_program)))

    return answer


def writing(predictor: Any, open_program: Callable[[str], Run]) -> Answer:
    """Return what writes text by greedy search with exported steps, or by the best path of CTC."""
    encoder, vocabulary = open_program("encoder"), predictor.answer.vocabulary
    transcribes = isinstance(predictor.answer, TranscribedText)
    decoder = predictor.model.decoder if transcribes else predictor.model
    has_step = decoder is not None
    has_ctc = transcribes and predictor.model.has_ctc
    ratio = predictor.answer.decoding.max_length_ratio

    def answer(examples: Sequence[Any]) -> list[Any]:
        if transcribes:
            positions, *state = encoder(*arrays_of(predictor, examples, open_program))
        else:
            ids = [list(each) for each in predictor.input.encode(examples)]
            positions, longest = np.array(list(map(len, ids))), max(map(len, ids))
            padded = [row + [0] * (longest - len(row)) for row in ids]
            state = encoder(np.array(padded, dtype=np.int64))
        if not has_step:
            paths = state[0].argmax(-1)
            return [
                best_path(vocabulary, path[:n]) for path, n in zip(paths, positions, strict=True)
            ]
        limits = (ratio * positions).astype(int) + SLACK
        state = state[1:] if has_ctc else state
        tokens = greedy(open_program("step"), state, limits, recurrent=decoder.summary_parts)
        return [vocabulary.decode(row) for row in tokens]

    return answer


def best_path(vocabulary: Any, path: np.ndarray) -> str:
    """Return the text of the best symbol of each position: repeated ones once, without blanks."""
    kept = [n for n, before in zip(path.tolist(), [0, *path.tolist()], strict=False) if n != before]
    return str(vocabulary.decode([n for n in kept if n > END]))


def greedy(
    step: Run, state: list[Any], limits: np.ndarray, *, recurrent: int = 0
) -> list[list[int]]:
    """Write the most probable token at each step until each row ends; rows that have ended are dropped.

    The first `recurrent` tensors of the state are (layers, rows, hidden), all others (rows, ...).
    """
    count = len(limits)
    rows, written = np.arange(count), [[] for _ in range(count)]  # type: ignore[var-annotated]
    token = np.full(count, BEGIN)
    while len(rows):
        scores, *state = step(token, *state)
        token = np.asarray(scores).argmax(-1)
        for row, each in zip(rows, token.tolist(), strict=True):
            if each != END:
                written[row].append(each)
        goes_on = (token != END) & np.array([len(written[row]) < limits[row] for row in rows])
        if not goes_on.all():
            state = [
                np.compress(goes_on, each, axis=int(number < recurrent))
                for number, each in enumerate(state)
            ]
            rows, token = rows[goes_on], token[goes_on]
    return written


def ctranslate2_of(predictor: Any, folder: Path, threads: int, kind: str) -> Answer:
    """Return CTranslate2's greedy search; its matrices are of `kind`, such as "int8"."""
    import ctranslate2

    model = ctranslate2.Translator(
        str(folder / "model"), intra_threads=threads, inter_threads=1, compute_type=kind
    )
    source, target = predictor.input.vocabulary, predictor.answer.vocabulary
    names, places = source.token_names(), {n: i for i, n in enumerate(target.token_names())}
    ratio = predictor.answer.decoding.max_length_ratio

    def answer(examples: Sequence[Any]) -> list[Any]:
        pieces = [[names[n] for n in row[:-1]] for row in predictor.input.encode(examples)]
        most = int(ratio * (max(map(len, pieces)) + 1)) + SLACK
        found = model.translate_batch(pieces, beam_size=1, max_decoding_length=most)
        return [target.decode([places[each] for each in one.hypotheses[0]]) for one in found]

    return answer


def engines(options: argparse.Namespace, predictor: Any, place: Path) -> Any:
    """Yield Heedful and each format."""
    writes = isinstance(predictor.answer, GeneratedText | TranscribedText)
    search: dict[str, Any] = {"beam": 1} if writes else {}
    if isinstance(predictor.answer, TranscribedText) and predictor.model.decoder is not None:
        search["ctc_weight"] = 0.0

    def ours(examples: Sequence[Any]) -> list[Any]:
        return [answer_of(predictor, each) for each in predictor.predict(examples, **search)]

    yield Engine("heedful", None, ours)
    for name in options.formats.split(","):
        folder = place / name
        source = heedful.load(options.run).predictor
        try:
            if name.startswith("ctranslate2"):
                files = export(source, "ctranslate2", folder)
                kind = "int8" if name.endswith("int8") else "float32"
                answer = ctranslate2_of(predictor, folder, options.threads, kind)
            else:
                files = export(source, name, folder)
                open_program = opener(folder, FORMATS[name].suffix, options.threads)
                answer = (writing if writes else answering)(predictor, open_program)
        except OptionError as error:
            print(f"{name:<17} {error}")
            continue
        kinds = {".onnx", ".pt2", ".bin"}
        found = [each for file in files for each in (file.rglob("*") if file.is_dir() else [file])]
        yield Engine(name, sum(f.stat().st_size for f in found if f.suffix in kinds) / 1e6, answer)


def measured(engine: Engine, examples: Sequence[Any], batch: int) -> tuple[list[Any], float]:
    """Return the answers and the pace, examples per second of processor time."""
    parts = [examples[first : first + batch] for first in range(0, len(examples), batch)]
    for part in parts[:WARM_UP]:
        engine.answer(part)
    began = time.process_time()
    found = [answer for part in parts for answer in engine.answer(part)]
    return found, len(examples) / (time.process_time() - began)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.exporting", description=__doc__)
    parser.add_argument("run")
    parser.add_argument("test", nargs="+")
    parser.add_argument("--formats", default="ctranslate2,ctranslate2-int8,onnx,onnx-int8,torch")
    parser.add_argument("--batch", default="1,32")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    predictor = heedful.load(options.run).predictor
    data = predictor.task.reader.read_test(options.test, predictor.config.data)
    examples, wanted = list(data.inputs)[: options.count], list(data.answers)[: options.count]
    lengths = [predictor.input.length(each) for each in predictor.input.encode(examples)]
    order = np.argsort(lengths, kind="stable").tolist()
    examples, wanted = ([listed[n] for n in order] for listed in (examples, wanted))
    sizes = [int(each) for each in options.batch.split(",")]
    name, quality = QUALITIES[type(predictor.answer)]
    with tempfile.TemporaryDirectory() as place:
        first: list[Any] = []
        for engine in engines(options, predictor, Path(place)):
            runs = [measured(engine, examples, size) for size in sizes]
            found = runs[0][0]
            first = first or found
            size = "" if engine.megabytes is None else f"{engine.megabytes:.1f} MB"
            paces = " ".join(f"{pace:9.1f}/s" for _, pace in runs)
            same = sum(a == b for a, b in zip(found, first, strict=True)) / len(examples)
            print(
                f"{engine.name:<17} {size:>9} {paces}   same {same:6.1%}   {name} {quality(found, wanted):.2f}",
                flush=True,
            )


if __name__ == "__main__":
    try:
        main()
    except HeedfulError as error:
        sys.exit(f"error: {error}")
