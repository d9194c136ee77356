"""The command `heedful` and its sub-commands."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from heedful.cli.align import align
from heedful.cli.bench import bench
from heedful.cli.chat import chat
from heedful.cli.command import HeedfulCommand
from heedful.cli.compare import compare
from heedful.cli.demo import demo
from heedful.cli.evaluate import evaluate
from heedful.cli.explain import explain
from heedful.cli.export import export
from heedful.cli.heads import heads
from heedful.cli.predict import predict
from heedful.cli.probe import probe
from heedful.cli.replicate import replicate
from heedful.cli.score import score
from heedful.cli.serve import serve
from heedful.cli.train import TrainCommand, config_command, train_command
from heedful.cli.vectors import vectors
from heedful.cli.view import view
from heedful.cli.warmup import warmup
from heedful.tasks.table import ENTRIES

_CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _group(description: str) -> typer.Typer:
    return typer.Typer(
        help=description,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,  # plain text: examples inside rich's frames are hard to copy
        pretty_exceptions_enable=False,
        context_settings=_CONTEXT_SETTINGS,
    )


def build_app() -> typer.Typer:
    """Return the `heedful` command, with sub-commands of train and config for every task in the table."""
    app = _group(
        "Train translators, taggers, classifiers, regressors and forecasters on your own files, and inspect their "
        "attention weights."
        "\n\nRun `heedful demo` for a tour of about a minute, and `heedful COMMAND --help` for examples."
    )
    train = _group("Train a model for a task.")
    config = _group("Print all settings of a task as TOML.")
    app.command(cls=HeedfulCommand)(demo)
    app.add_typer(train, name="train")
    for command in (
        evaluate,
        predict,
        explain,
        view,
        chat,
        score,
        align,
        compare,
        replicate,
        serve,
        export,
        bench,
        probe,
        heads,
        vectors,
        warmup,
    ):
        app.command(cls=HeedfulCommand)(command)
    app.add_typer(config, name="config")
    for name, entry in ENTRIES.items():
        train.command(name, cls=TrainCommand)(train_command(name, entry))
        config.command(name, cls=TrainCommand)(config_command(name, entry))
    app.callback()(_root)
    return app


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"heedful {metadata.version('heedful')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    pass


app = build_app()


def main() -> None:
    """Run the `heedful` command."""
    for stream in (sys.stdout, sys.stderr):
        # a character that the terminal cannot encode is escaped instead of raising an error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # oneDNN (half precision on a CPU) caches primitives for the last 1024 shapes by default, which takes some GiB
    # with batches of many lengths; 64 suffice for a training step without loss of speed
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "64")
    # PyTorch writes to standard error what it thinks of a reduction, in each process of a training
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    app(prog_name="heedful")
