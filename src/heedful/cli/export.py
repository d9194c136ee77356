"""`heedful export`: a trained model in the format of another engine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heedful.cli.options import Json, Quiet, Run
from heedful.cli.output import Output


def export(
    run: Run,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="New folder.", show_default=False)
    ],
    format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="onnx or torch (torch.export).")
    ] = "onnx",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a trained model for another engine, with its vocabulary and a README of ten lines that run it.

    Classifiers, regressors and taggers of text are one program, translators two: an encoder, and a step of the decoder.
    Batches and lengths may have any size.

    Example:
        heedful export runs/mood --format onnx --out mood-onnx
        heedful export runs/en-de --format torch --out en-de-torch
    """
    from heedful import api
    from heedful.export.run import export as export_run

    output = Output(json=json, quiet=quiet)
    files = export_run(api.load(run).predictor, format, out)
    for file in files:
        output.say(f"written: {file} ({file.stat().st_size / 1e6:.1f} MB)")
    output.result({"run": str(run), "format": format, "files": [str(file) for file in files]})
