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
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="onnx, onnx-int8 (matrices of 8 bits), torch (torch.export), ctranslate2 (Transformers), or hf "
            "(a folder for the Hugging Face hub, of any task).",
        ),
    ] = "onnx",
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write a trained model for another engine, with all that it needs and a README of about ten lines that run it.

    Models of every task, whatever they read. Those that write text are two programs: an encoder, and a step of the
    decoder. Recordings have a program for their features, which reads samples. Batches and lengths may have any size.

    Example:
        heedful export runs/mood --format onnx --out mood-onnx
        heedful export runs/en-de --format ctranslate2 --out en-de-ct2
        heedful export runs/spoken --format onnx --out spoken-onnx
        heedful export runs/mood --format hf --out mood-hf
    """
    from heedful import api
    from heedful.export.run import export as export_run

    output = Output(json=json, quiet=quiet)
    files = export_run(api.load(run).predictor, format, out)
    for file in files:
        size = "" if file.is_dir() else f" ({file.stat().st_size / 1e6:.1f} MB)"
        output.say(f"written: {file}{size}")
    output.result({"run": str(run), "format": format, "files": [str(file) for file in files]})
