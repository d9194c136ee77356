"""The command `heedful` and its sub-commands."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Annotated

import typer

from heedful.cli.bench import bench
from heedful.cli.command import HeedfulCommand
from heedful.cli.compare import compare
from heedful.cli.demo import demo
from heedful.cli.evaluate import evaluate
from heedful.cli.explain import explain
from heedful.cli.predict import predict
from heedful.cli.probe import probe
from heedful.cli.train import config_command, train_command
from heedful.tasks.table import ENTRIES

_LOOK = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""Plain text at a readable width; typer's frames are hard to copy an example from."""


def _group(description: str) -> typer.Typer:
    return typer.Typer(
        help=description,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=_LOOK,
    )


def build_app() -> typer.Typer:
    """Return the command, with a sub-command of train and config for every task in the table."""
    app = _group(
        "Attention for sequence models: train a translator, tagger, classifier, regressor or forecaster on your own "
        "files and see what it looked at."
        "\n\n`heedful demo` shows all of it in about a minute; every command has --help with an example."
    )
    names = ", ".join(ENTRIES)
    train = _group(f"Train a model of a task: {names}.")
    config = _group(f"Print a complete configuration of a task: {names}.")
    app.command(cls=HeedfulCommand)(demo)
    app.add_typer(train, name="train")
    for command in (evaluate, predict, explain, compare, bench, probe):
        app.command(cls=HeedfulCommand)(command)
    app.add_typer(config, name="config")
    for name, entry in ENTRIES.items():
        train.command(name, cls=HeedfulCommand)(train_command(name, entry))
        config.command(name, cls=HeedfulCommand)(config_command(name, entry))
    app.callback()(_top)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heedful {metadata.version('heedful')}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    pass


app = build_app()


def main() -> None:
    """Run the command of this process."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal that lacks a character shows its code; the work does not end for it.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # oneDNN, which computes in half precision on a CPU, keeps what it prepared for the last 1024 shapes
    # that it met, some GiB of batches of all lengths; 64 hold a training step, as fast
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, "64")
    app(prog_name="heedful")
