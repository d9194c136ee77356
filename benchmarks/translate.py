"""`python -m benchmarks.translate SRC TGT`: target tokens a second of training a translator, on this machine.

SRC and TGT are two line-aligned files (`.gz` too), such as those of Multi30k. A Transformer-Tiny (4 + 4 layers of 128
features, 4 heads, 256 hidden ones, one vocabulary of 10,000 sub-words, one embedding) is trained by Heedful and, on the
same batches, by a plain loop around `torch.nn.Transformer`, whose dropout is also in attention and in the hidden
features. Each is a process of its own, and they take steps in turn; with one thread the time is the processor's. With
--before SRC the package of another checkout, its folder `src`, is measured in turn too.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

OWN = Path(__file__).resolve().parents[1]
WIDTH, HIDDEN, HEADS, LAYERS = 128, 256, 4, 4
MODEL = {
    "width": WIDTH, "feed_forward": HIDDEN, "heads": HEADS, "encoder_layers": LAYERS, "decoder_layers": LAYERS,
    "activation_dropout": 0.0, "share_embeddings": True, "tie_embeddings": True,
}  # fmt: skip
"""The model's section of the configuration, but for the dropout."""
SMOOTHING, RATE = 0.1, 1e-4
WARM, STEPS = 4, 10
"""Steps before the first that is measured, and different batches that are measured."""
STACKS = ("heedful", "plain", "plain, freed memory kept")


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return the configuration of both."""
    return {
        "vocabulary": {"size": options.vocabulary, "lowercase": True},
        "model": {**MODEL, "dropout": options.dropout},
        "training": {
            "batch_tokens": options.batch_tokens, "threads": options.threads, "clip_norm": 0,
            "precision": options.precision, "label_smoothing": SMOOTHING,
            "keep_freed_memory": options.measure != "plain",
        },
    }  # fmt: skip


def pairs(options: argparse.Namespace) -> Any:
    """Return the first pairs of the two files."""
    from heedful.data.files import Pairs, read_lines

    files = options.source, options.target
    return Pairs(*(list(islice(read_lines(path), options.pairs)) for path in files))


def training(options: argparse.Namespace, folder: Path) -> Any:
    """Return a training of Heedful that is ready for its first step."""
    from heedful.config import build
    from heedful.tasks.translate import TASK, TranslationConfig
    from heedful.training import loop
    from heedful.training.processes import join

    config, data = build(TranslationConfig, settings(options)), pairs(options)
    valid = data.take(range(min(len(data), 20)))
    made = loop._Training(
        TASK, config, data, valid, folder, None, loop.never, join(config.training)
    )
    made.prepare(False)
    made.module.train()
    return made


def heedful_step(trained: Any) -> Callable[[Any], Any]:
    """Return a function that takes a step as the command does."""
    grouped = hasattr(trained.options, "accumulate")  # earlier versions take one batch
    return lambda share: trained.step.take([share] if grouped else share, RATE)


def plain_step(trained: Any, options: argparse.Namespace) -> Callable[[Any], Any]:
    """Return a function that takes a step of a loop as tutorials write it."""
    import torch
    from torch import nn

    vocabulary = len(trained.trained.answer.vocabulary)
    torch.manual_seed(0)
    with warnings.catch_warnings():  # nested tensors do not go with the norm first
        warnings.simplefilter("ignore")
        model = nn.Transformer(
            WIDTH, HEADS, LAYERS, LAYERS, HIDDEN, options.dropout, norm_first=True, batch_first=True
        )
    embedding = nn.Embedding(vocabulary, WIDTH)
    positions = nn.Parameter(torch.randn(512, WIDTH) * WIDTH**-0.5)
    criterion = nn.CrossEntropyLoss(ignore_index=0, label_smoothing=SMOOTHING)
    drop = nn.Dropout(options.dropout)
    parameters = [*model.parameters(), *embedding.parameters(), positions]
    optimizer = torch.optim.Adam(parameters, lr=RATE)

    def embedded(ids: Any) -> Any:
        return drop(embedding(ids) * math.sqrt(WIDTH) + positions[: ids.shape[1]])

    def step(share: Any) -> float:
        source, target = share.batch.batch.ids, share.batch.targets.ids
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1] - 1)
        optimizer.zero_grad(set_to_none=True)
        half = options.precision != "32-true"
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            states = model(
                embedded(source), embedded(target[:, :-1]), tgt_mask=causal, tgt_is_causal=True,
                src_key_padding_mask=source == 0, memory_key_padding_mask=source == 0,
            )  # fmt: skip
            logits = states @ embedding.weight.t()
        loss = criterion(logits.float().flatten(0, 1), target[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return step


def measure(options: argparse.Namespace) -> None:
    """Take one step for each request that is read and write its target tokens a second."""
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        trained = training(options, Path(folder, "run"))
        shares = list(trained._shares())[: WARM + STEPS]
        if options.measure == "heedful":
            take = heedful_step(trained)
        else:
            take = plain_step(trained, options)
        for share in shares[:WARM]:
            take(share)
        measured = shares[WARM:] or shares
        print("ready", flush=True)
        now = process_time if options.threads == 1 else perf_counter
        for line in sys.stdin:
            share = measured[int(line) % len(measured)]
            tokens, start = trained.loss.count_tokens(share.batch), now()
            take(share)
            print(tokens / (now() - start), flush=True)


def start(stack: str, source: Path, words: list[str], threads: int) -> subprocess.Popen[str]:
    """Start the process of one contender."""
    path = os.pathsep.join([str(source.resolve()), str(OWN)])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, "-m", "benchmarks.translate", *words, "--measure", stack]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def ask(process: subprocess.Popen[str], round_number: int) -> float:
    """Let one contender take a step, and return its target tokens a second."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{round_number}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def parse_with_files(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the options of a parser and two line-aligned files, SRC and TGT."""
    parser.add_argument("source", type=Path, metavar="SRC")
    parser.add_argument("target", type=Path, metavar="TGT")
    options = parser.parse_args()
    for path in (options.source, options.target):
        if not path.is_file():
            parser.error(f"{path} is no file; give two line-aligned files")
    return options


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    parser.add_argument("--vocabulary", type=int, default=10_000)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--dropout", type=float, default=0.3)
    parser.add_argument("--pairs", type=int, default=8000, help="how many pairs are read")
    parser.add_argument("--before", type=Path, metavar="SRC", help="src of another checkout")
    parser.add_argument("--measure", choices=STACKS, help=argparse.SUPPRESS)
    return parse_with_files(parser)


def main() -> None:
    options = parsed()
    if options.measure:
        measure(options)
        return
    words = sys.argv[1:]
    contenders = {stack: start(stack, OWN / "src", words, options.threads) for stack in STACKS}
    if options.before:
        contenders["before"] = start("heedful", options.before, words, options.threads)
    for name, process in contenders.items():
        assert process.stdout is not None
        if process.stdout.readline().strip() != "ready":
            sys.exit(f"{name} ended before its first step; what it said is above")
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(options.rounds):
        for name in list(contenders)[:: 1 if number % 2 else -1]:
            taken[name].append(ask(contenders[name], number))
    for process in contenders.values():
        process.communicate()
    for name, speeds in taken.items():
        ratios = [ours / other for ours, other in zip(taken["heedful"], speeds, strict=True)]
        print(
            f"{name:26} {statistics.median(speeds):7,.0f} target tokens/s ({min(speeds):,.0f}–{max(speeds):,.0f})"
            f"   Heedful is {statistics.median(ratios):.2f} times as fast"
        )


if __name__ == "__main__":
    main()
