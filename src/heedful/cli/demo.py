"""`heedful demo`: everything at once, without a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from heedful.cli.options import Json, Quiet
from heedful.cli.output import Output

if TYPE_CHECKING:
    from heedful.data.files import Pairs
    from heedful.tasks.predictor import Predictor

NAME: Final = "heedful-demo"
CORPUS: Final = "dates"

SETTINGS: Final[dict[str, dict[str, Any]]] = {
    "data": {"train": [f"builtin:{CORPUS}"]},
    "vocabulary": {"kind": "char", "shared": False, "min_frequency": 1},
    "model": {
        "kind": "gru",
        "attention": "additive",
        "embedding": 64,
        "hidden": 64,
        "dropout": 0.1,
    },
    "training": {
        "epochs": 3,
        "batch_tokens": 2048,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "warmup_steps": 50,
        "label_smoothing": 0.0,
        "average_epochs": 1,
        "metric": "exact_match",
        # Matrices this small gain little from a second thread, and on a busy machine they wait for it.
        "threads": 1,
    },
    "decoding": {"beam": 1},
}
"""A fixed number of steps, not of minutes, so that every machine learns the same."""


def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The run's folder.",
            show_default=f"{NAME}, or {NAME}-2, … where that is taken",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train, measure and explain in a minute.

    A small GRU encoder–decoder with additive attention learns to write 'mar. 21 juil. 2020' or '2020年7月21日' as
    2020-07-21, is measured on dates that it has never seen, and leaves a report that shows which characters each
    output character looked at. No file and no network are needed.

    Example:
        heedful demo
        heedful demo --out my-demo --json
    """
    from heedful import run_folder
    from heedful.cli.training import train_with_progress
    from heedful.config import build
    from heedful.data.builtin import load_builtin
    from heedful.explore import MetricTable
    from heedful.explore.run_report import next_commands, write_report
    from heedful.tasks.translate import TASK, TranslationConfig

    began = time.monotonic()
    folder = free_name(Path(NAME)) if out is None else out
    run_folder.check_free(folder)
    output = Output(json=json, quiet=quiet)
    corpus = load_builtin(CORPUS)
    output.say(f"{corpus.description}\n")
    config = build(TranslationConfig, SETTINGS)
    model, _ = train_with_progress(TASK, config, (corpus.train, corpus.valid), folder, output)
    translator = model.predictor
    exact = translator.evaluate(corpus.test).exact_match
    result = f"{exact:.1%} of {len(corpus.test):,} dates that it never saw are exactly right"
    table = MetricTable(
        "On dates that it never saw", ["figure", "value"], [["exact match", f"{exact:.3f}"]]
    )
    lead = (
        f"{corpus.description} Learned by a GRU encoder–decoder with additive attention: {result}."
    )
    report = write_report(translator, folder, corpus.test, lead=lead, results=[table])
    seconds = time.monotonic() - began
    output.say(f"\n{result}. Some of them, and what one of them looked at:\n")
    show_examples(translator, corpus.test, output)
    output.say(f"\nThe run is in {folder}, its report with pictures in {report}")
    output.suggest(next_commands(translator, folder, corpus.test))
    output.result(
        {"exact_match": exact, "seconds": seconds, "run": str(folder), "report": str(report)}
    )


def free_name(path: Path) -> Path:
    """Return the path, or, where something is there, the first of path-2, path-3, … that is free."""
    number, free = 1, path
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}-{number}")
    return free


def show_examples(translator: Predictor, pairs: Pairs, output: Output) -> None:
    """Write some dates, how the model reads them, and the attention of the first."""
    from heedful.data.files import diverse_pairs
    from heedful.explore import heat_map
    from heedful.explore.run_report import NUM_EXAMPLES, example_attention
    from heedful.explore.terminal import style_for

    chosen = diverse_pairs(pairs, NUM_EXAMPLES)
    sources = [source for source, _ in chosen]
    for (source, target), [best, *_] in zip(chosen, translator.predict(sources), strict=True):
        verdict = "" if best.text == target else f"  (wrong: {target})"
        output.say(f"    {source}  →  {best.text}{verdict}")
    console = output.console
    for _, records in example_attention(translator, sources[:1]):
        for record in records:
            output.say("")
            output.say(heat_map(record, width=console.width, style=style_for(console)))
