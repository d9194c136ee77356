"""`heedful demo`: train, evaluate and explain a small model on a built-in corpus."""

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
        # matrices this small gain little from a second thread, and on a busy machine they wait for it
        "threads": 1,
    },
    "decoding": {"beam": 1},
}
"""A fixed number of steps rather than a time limit, so that every machine trains the same model."""


def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder to write the run to.",
            show_default=f"{NAME}, or {NAME}-2, … if that exists",
        ),
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train, evaluate and explain a small model in about a minute.

    A GRU encoder–decoder with additive attention learns to rewrite dates such as 'mar. 21 juil. 2020' or
    '2020年7月21日' as 2020-07-21 and is evaluated on held-out dates. The report in the run folder shows the attention
    weights of each output character. Needs no files and no network.

    Example:
        heedful demo
        heedful demo --out my-demo --json
    """
    from heedful import run_folder
    from heedful.cli.train_run import train_with_progress
    from heedful.config import build
    from heedful.data.builtin import load_builtin
    from heedful.errors import RunError
    from heedful.explore.run_report import next_commands, write_report
    from heedful.tasks.translate import TASK, TranslationConfig

    start = time.monotonic()
    folder = unused_path(Path(NAME)) if out is None else out
    if run_folder.is_run(folder):
        raise RunError(f"{folder} already holds a run; choose another folder, or leave --out out")
    run_folder.check_free(folder)
    output = Output(json=json, quiet=quiet)
    corpus = load_builtin(CORPUS)
    output.say(f"{corpus.description}\n")
    config = build(TranslationConfig, SETTINGS)
    model, _ = train_with_progress(TASK, config, (corpus.train, corpus.valid), folder, output)
    translator = model.predictor
    exact = translator.evaluate(corpus.test).exact_match
    result = f"{exact:.1%} of {len(corpus.test):,} test dates are exactly right"
    answer = (f"{exact:.1%}", f"of {len(corpus.test):,} test dates exactly right")
    lead = (
        f"{corpus.description} Learned by a GRU encoder–decoder with additive attention: {result}."
    )
    report = write_report(translator, folder, corpus.test, lead=lead, results=[answer])
    seconds = time.monotonic() - start
    output.say(f"\n{result}. Some predictions, and the attention weights of the first:\n")
    show_examples(translator, corpus.test, output)
    output.say(f"\nThe run is in {folder}; its report: {report}")
    output.suggest(next_commands(translator, folder, corpus.test))
    output.result(
        {"exact_match": exact, "seconds": seconds, "run": str(folder), "report": str(report)}
    )


def unused_path(path: Path) -> Path:
    """Return the path or, if it exists, the first of path-2, path-3, … that does not."""
    number, unused = 1, path
    while unused.exists():
        number += 1
        unused = path.with_name(f"{path.name}-{number}")
    return unused


def show_examples(translator: Predictor, pairs: Pairs, output: Output) -> None:
    """Print some dates with their predictions, and the attention weights of the first."""
    from heedful.data.files import diverse_pairs
    from heedful.explore import heat_map
    from heedful.explore.run_report import NUM_EXAMPLES, example_explanations
    from heedful.explore.terminal import style_for

    examples = diverse_pairs(pairs, NUM_EXAMPLES)
    sources = [source for source, _ in examples]
    for (source, target), [best, *_] in zip(examples, translator.predict(sources), strict=True):
        verdict = "" if best.text == target else f"  (wrong: {target})"
        output.say(f"    {source}  →  {best.text}{verdict}")
    console = output.console
    for explanation in example_explanations(translator, sources[:1]):
        for record in explanation.main:
            output.say("")
            output.say(heat_map(record, width=console.width, style=style_for(console)))
