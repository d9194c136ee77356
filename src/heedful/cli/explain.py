"""`heedful explain`: what each part of an answer looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heedful.cli.options import Beam, Json, Overwrite, Quiet, Run
from heedful.cli.output import Output


def explain(
    run: Run,
    texts: Annotated[
        list[str],
        typer.Argument(help="One text or several.", metavar="TEXT...", show_default=False),
    ],
    reference: Annotated[
        list[str] | None,
        typer.Option(
            help="Explain this target instead of the model's own translation; once for each TEXT.",
            metavar="TEXT",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help=".html (every layer and head, works offline), .png or .svg; without it, shaded cells in "
            "the terminal. Several texts make several pictures, FILE-1.png and so on.",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            help="Show only one kind of attention: cross, encoder or decoder.",
            show_default=False,
        ),
    ] = None,
    layer: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show only layer N.", show_default=False),
    ] = None,
    head: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Show only head N.", show_default=False),
    ] = None,
    beam: Beam = None,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what each translated word, or the label of each token, looked at.

    Output × input; for a transformer each layer and head, of encoder and decoder too.

    Example:
        heedful explain runs/en-de "A man sleeps." "Two dogs play."
        heedful explain runs/en-de "A man sleeps." --out looked-at.html
        heedful explain runs/en-de "A man sleeps." --reference "Ein Mann schläft." --out looked-at.svg
    """
    from heedful.cli.run import commands_of
    from heedful.cli.tasks.base import ExplainOptions

    options = ExplainOptions(
        texts=texts,
        reference=reference,
        out=out,
        kind=kind,
        layer=layer,
        head=head,
        beam=beam,
        overwrite=overwrite,
    )
    commands_of(run).explain(run, options, Output(json=json, quiet=quiet))
