"""`python -m benchmarks.decoding`: sentences a second of translating, greedily and by beam search, on this machine.

A Transformer-Tiny (4 + 4 layers of 128 features, 4 heads, 256 hidden ones, a vocabulary of 10,000) of random weights
translates random sentences as long as those of Multi30k; each output runs to its limit, a little more than its source.
With --run and --source a trained model translates the lines of a file, and with --reference its BLEU is told. With
--before SRC the package of another checkout, its folder `src`, is measured in turn with this one; with --other the same
package under other options of the search.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

OWN = Path(__file__).resolve().parents[1]
WORDS = 9_996
SENTENCES = 300
SINGLE = 12
"""Sentences that are translated one at a time."""
QUANTITIES = ("greedy", "beam 5", "greedy, one sentence", "beam 5, one sentence")


def word(number: int) -> str:
    """Return the word of a number, in letters alone."""
    letters = "abcdefghij"
    return "w" + "".join(letters[int(digit)] for digit in str(number))


def random_predictor() -> Any:
    """Return an untrained translator; the same in every version of the package."""
    import torch

    from heedful.answers.text import GeneratedText
    from heedful.config import build
    from heedful.data.vocabulary import Vocabulary
    from heedful.inputs.pieces import Pieces
    from heedful.tasks.predictor import Predictor
    from heedful.tasks.translate import TASK, TranslationConfig

    settings: dict[str, Any] = {
        "model": {
            "width": 128, "feed_forward": 256, "heads": 4, "encoder_layers": 4, "decoder_layers": 4,
            "share_embeddings": True, "tie_embeddings": True,
        },
        "decoding": {"max_length_ratio": 0.35},
    }  # fmt: skip
    config = build(TranslationConfig, settings)
    vocabulary = Vocabulary("word", False, tuple(f"▁{word(number)}" for number in range(WORDS)))
    source, answer = Pieces(vocabulary), GeneratedText.of(config, vocabulary)
    torch.manual_seed(0)
    return Predictor(TASK, config, source, answer, TASK.build(config, source, answer).eval())


def random_sentences() -> list[str]:
    generator = random.Random(0)
    lengths = [max(4, round(generator.gauss(15, 4.5))) for _ in range(SENTENCES)]
    return [" ".join(word(generator.randrange(WORDS)) for _ in range(length)) for length in lengths]


def inputs(options: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return the translator and the sentences."""
    if options.run is None:
        return random_predictor(), random_sentences()
    from heedful import load

    return load(options.run).predictor, lines_of(options.source)[:SENTENCES]


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file, gzipped or not."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [line.strip() for line in file]


def bleu_of(predictor: Any, options: argparse.Namespace, extra: dict[str, Any]) -> list[float]:
    """Return BLEU of all lines, greedily and with a beam of 5, without regard to case if the vocabulary has none."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(lowercase=predictor.answer.vocabulary.lowercase)
    found = []
    for beam in (1, 5):
        texts = [
            each.text for each in predictor.predict(lines_of(options.source), beam=beam, **extra)
        ]
        found.append(metric.corpus_score(texts, [lines_of(options.reference)]).score)
    return found


def measure(options: argparse.Namespace) -> None:
    """Measure the package on the path and write the figures as one line of JSON for each request read."""
    import torch

    torch.set_num_threads(options.threads)
    predictor, sentences = inputs(options)
    extra = json.loads(options.search)

    def all_at_once(beam: int) -> Callable[[], list[str]]:
        return lambda: [each.text for each in predictor.predict(sentences, beam=beam, **extra)]

    def one_by_one(beam: int) -> Callable[[], None]:
        def run() -> None:
            for sentence in sentences[:SINGLE]:
                list(predictor.predict([sentence], beam=beam, **extra))

        return run

    runs: tuple[Callable[[], Any], ...] = (
        all_at_once(1), all_at_once(5), one_by_one(1), one_by_one(5),
    )  # fmt: skip
    for run in runs:
        run()
    if options.reference is not None:
        print(json.dumps(bleu_of(predictor, options, extra)), flush=True)
    for _ in sys.stdin:
        seconds = []
        for run in runs:
            start = process_time()
            run()
            seconds.append(process_time() - start)
        print(json.dumps(seconds), flush=True)


def rate(quantity: str, seconds: float, count: int) -> tuple[float, str]:
    """Return a quantity as people know it, and its unit."""
    if "one" in quantity:
        return seconds / min(SINGLE, count) * 1000, "ms"
    return count / seconds, "sentences/s"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--run", type=Path, help="a trained translator")
    parser.add_argument("--source", type=Path, help="its sources, a line each")
    parser.add_argument("--reference", type=Path, help="their translations, a line each")
    parser.add_argument(
        "--before", type=Path, metavar="SRC", help="the folder src of another checkout"
    )
    parser.add_argument("--search", default="{}", help="further options of the search, as JSON")
    parser.add_argument(
        "--other",
        metavar="JSON",
        action="append",
        default=[],
        help="measure these options in turn with --search; repeatable",
    )
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options)
        return
    contenders = {"now": (OWN / "src", options.search)}
    if options.before:
        contenders["before"] = (options.before, options.search)
    for other in options.other:
        contenders[other] = (OWN / "src", other)
    taken, quality = rounds(contenders, options)
    for number, quantity in enumerate(QUANTITIES):
        for name, figures in taken.items():
            values = [rate(quantity, each[number], SENTENCES) for each in figures]
            numbers, unit = [value for value, _ in values], values[0][1]
            middle = statistics.median(numbers)
            print(
                f"{quantity:22} {name:10} {middle:7.1f} {unit} ({min(numbers):.1f}–{max(numbers):.1f})"
            )
    for name, scores in quality.items():
        print(f"{'BLEU, greedy / beam 5':22} {name:10} {scores[0]:7.2f} / {scores[1]:.2f}")


def rounds(
    contenders: dict[str, tuple[Path, str]], options: argparse.Namespace
) -> tuple[dict[str, list[list[float]]], dict[str, list[float]]]:
    """Measure each in a process of its own, in turn; return seconds, and BLEU where there are references."""
    arguments = ["--measure", "--threads", str(options.threads)]
    for name in ("run", "source", "reference"):
        if getattr(options, name):
            arguments += [f"--{name}", str(getattr(options, name).resolve())]
    processes = {}
    for name, (source, search) in contenders.items():
        path = os.pathsep.join([str(source.resolve()), str(OWN)])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(options.threads)}
        command = [sys.executable, "-m", "benchmarks.decoding", *arguments, "--search", search]
        processes[name] = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    taken: dict[str, list[list[float]]] = {name: [] for name in contenders}
    quality: dict[str, list[float]] = {}
    if options.reference is not None:
        for name, process in processes.items():
            assert process.stdout is not None
            quality[name] = json.loads(process.stdout.readline())
    for number in range(options.rounds):
        for name in list(contenders)[:: 1 if number % 2 else -1]:
            process = processes[name]
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            taken[name].append(json.loads(process.stdout.readline()))
    for process in processes.values():
        process.communicate()
    return taken, quality


if __name__ == "__main__":
    main()
