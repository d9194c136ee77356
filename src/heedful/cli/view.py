"""`heedful view`: a page on this machine, of a file or of texts that are typed in."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.cli.options import Quiet
from heedful.cli.output import Output
from heedful.errors import OptionError

if TYPE_CHECKING:
    from heedful.explore.explanation import Explanation
    from heedful.explore.live_session import Explain, LiveSession


def view(
    run: Annotated[
        Path,
        typer.Argument(
            help="Folder of a trained run or of a Hugging Face model; or a page (.html) or records (.json).",
            metavar="RUN|FILE",
            show_default=False,
        ),
    ],
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="N", help="Port of the server; 0: any that is free."
        ),
    ] = 0,
    quiet: Quiet = False,
) -> None:
    """Explain texts that are typed into a page on this machine, or show a file that was written before.

    What is typed is explained while you type; a second text is put beside it, with their difference. The page is given
    one layer first and asks for the others. The server answers on the loopback address alone, and only who knows the
    address that is printed. Ctrl-C ends it.

    Example:
        heedful view runs/mood
        heedful view looked-at.html
    """
    from heedful.explore.live import LiveServer

    session = _session(run)
    try:
        server = LiveServer(session, port=port)
    except OSError as error:
        raise OptionError(
            f"port {port} cannot be used ({error.strerror}); choose another with --port, or leave it out."
        ) from error
    # The address is the result, not a message.
    typer.echo(server.address)
    Output(json=False, quiet=quiet).say("open it in a browser; Ctrl-C ends the server")
    with contextlib.suppress(KeyboardInterrupt):
        server.serve()


def _session(path: Path) -> LiveSession:
    """Return what is shown: the figures of a file, or a model that explains."""
    from heedful.explore.live_session import LiveSession
    from heedful.explore.stored_page import SUFFIXES, read_figures

    if path.suffix.lower() in SUFFIXES and not path.is_dir():
        title, figures = read_figures(path)
        return LiveSession(None, title=title, figures=figures)
    if path.is_file():
        raise OptionError(
            f"{path} is neither a run folder nor a page (.html) nor records (.json); give one of them."
        )
    return LiveSession(_explain(path), title=path.name)


def _explain(run: Path) -> Explain:
    """Return what explains a text, by a run or a Hugging Face model that is loaded once."""
    from heedful.explore.transformers_explain import explain_loaded, is_transformer

    if is_transformer(run):
        from heedful.explore.transformers_record import load_transformer

        model, tokenizer = load_transformer(run)
        return lambda text: explain_loaded(model, tokenizer, text)
    from heedful import api

    loaded = api.load(run)

    def explain(text: str) -> Explanation:
        return loaded.explain(text)

    return explain
