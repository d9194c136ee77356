"""The formats of exported programs, each a function that writes one file of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import torch

from heedful.errors import OptionError
from heedful.export.program import Program
from heedful.export.quiet import quiet

INSTALL: Final = (
    'exporting to ONNX needs packages that are not installed: pip install "heedful[onnx]"'
)


class Format(NamedTuple):
    """A format of programs."""

    engine: str
    """What runs it, for the README."""
    suffix: str
    write: Callable[[Program, Path], None]
    """(program, file) -> nothing."""


def write_onnx(program: Program, path: Path) -> None:
    """Write a program as ONNX, with its weights inside.

    Raises: OptionError if onnx or onnxscript is not installed, or for an operation that ONNX lacks.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise OptionError(f"{INSTALL} ({error.name} is missing)") from None
    with quiet():
        try:
            made = torch.onnx.export(
                program.program,
                dynamo=True,
                verbose=False,
                input_names=list(program.inputs),
                output_names=list(program.outputs),
            )
        except torch.onnx.OnnxExporterError as error:
            raise OptionError(
                f"the model uses {_operation(error)}, which PyTorch cannot write as ONNX; export it with --format "
                "torch, or train with other settings of the model."
            ) from None
        assert made is not None
        made.save(path)


def _operation(error: Exception) -> str:
    """Return the operation that an exporter's error names, or what it says else."""
    found = re.findall(r"op='([\w.:]+)'|target=torch\.ops\.([\w.]+)", str(error))
    if found:
        return f"the operation {''.join(found[-1])}"
    return f"something ({str(error).splitlines()[0]})"


def write_int8(program: Program, path: Path) -> None:
    """Write a program as ONNX whose matrices are of 8-bit integers, with a scale each; inputs are rounded as they come.

    Raises: OptionError as `write_onnx`, and if onnxruntime is not installed.
    """
    try:
        from onnxruntime.quantization import quantize_dynamic
    except ImportError as error:
        raise OptionError(f"{INSTALL} ({error.name} is missing)") from None
    if program.is_exact:
        return write_onnx(program, path)
    whole = path.with_name(f"{path.stem}.float{path.suffix}")
    write_onnx(program, whole)
    with quiet():
        quantize_dynamic(whole, path)
    return whole.unlink()


def write_torch(program: Program, path: Path) -> None:
    """Write a program of `torch.export`, which `torch.export.load` reads without Heedful."""
    with quiet():
        torch.export.save(program.program, path)


FORMATS: Final[Mapping[str, Format]] = {
    "onnx": Format("onnx", ".onnx", write_onnx),
    "onnx-int8": Format("onnx", ".onnx", write_int8),
    "torch": Format("torch", ".pt2", write_torch),
}
"""Name -> format."""
