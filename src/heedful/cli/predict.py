"""`heedful predict`: answers for a file, whatever the run was trained for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heedful.cli.options import Beam, Json, Quiet, Run
from heedful.cli.output import Output
from heedful.errors import RunError


def predict(
    run: Run,
    file: Annotated[
        str,
        typer.Argument(
            help="A file of one text a line, of tokens to label, or a table of texts (.gz too), or - for standard "
            "input.",
            metavar="FILE|-",
        ),
    ] = "-",
    beam: Beam = None,
    length_penalty: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="POWER",
            help="Power of the length by which scores are divided.",
            show_default="the run's",
        ),
    ] = None,
    nbest: Annotated[
        int,
        typer.Option(
            min=1, metavar="N", help="Translations of each line; more than 1 changes the format."
        ),
    ] = 1,
    alignments: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also write, for each line, which source word each translated word looked at most: "
            "Pharaoh format, `i-j` for source word i and target word j, from 0.",
            show_default=False,
        ),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of a table's texts: the name of the column that is added.",
            show_default="predicted",
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file of --alignments, if it is there.")
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Translate lines, label the tokens of a file, or answer the texts of a table, in order, as they come.

    Output begins before the input ends, and an empty line stays an empty line.

    With --nbest N each line gives up to N lines of three fields parted by tabs: the number of the input line,
    the score (the larger the better) and the text. With --json each line is one JSON object, and the last one
    sums up.

    A tagger reads CoNLL-U, columns or JSON lines and writes the same with its labels, all else untouched. A
    classifier or regressor reads a table and adds columns to it; one that has them already is refused.

    Example:
        heedful predict runs/en-de new.en > new.de
        heedful predict runs/en-de new.en --beam 5 --nbest 3
        heedful predict runs/en-de new.en --beam 5 --alignments new.align > new.de
        echo "A man sleeps." | heedful predict runs/en-de
    """
    from heedful.cli.run import commands_of
    from heedful.cli.tasks.base import PredictOptions

    options = PredictOptions(
        file=file,
        beam=beam,
        length_penalty=length_penalty,
        nbest=nbest,
        alignments=alignments,
        column=column,
        overwrite=overwrite,
    )
    commands_of(run).predict(run, options, Output(json=json, quiet=quiet, data=True))


def check_new(path: Path | None, overwrite: bool) -> None:
    """Check, and change nothing, that a file may be written.

    Raises: RunError when it is there and may not be replaced, or its folder is not there.
    """
    if path is None:
        return
    if path.is_dir():
        raise RunError(f"{path} is a folder; a file is wanted")
    if path.exists() and not overwrite:
        raise RunError(f"{path} exists; --overwrite replaces it, or name another file")
    if not path.parent.is_dir():
        raise RunError(f"{path} cannot be written: there is no folder {str(path.parent)!r}")
