"""Exported programs opened from their files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.exported_arrays import Run
from heedful.export.formats import FORMATS
from heedful.export.quiet import quiet


def loaded(folder: Path, format_name: str) -> Callable[[str], Run]:
    """Return what opens a program of a folder, called with arrays in the order of its inputs."""

    def open_program(name: str) -> Run:
        path = folder / f"{name}{FORMATS[format_name].suffix}"
        if path.suffix == ".onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(path)
            names = [each.name for each in session.get_inputs()]
            return lambda *given: session.run(None, dict(zip(names, given, strict=True)))
        with quiet():
            program = torch.export.load(path).module()

        def run(*given: np.ndarray) -> list[np.ndarray]:
            tensors = [torch.from_numpy(each) for each in given]
            found = program(*tensors) if name != "step" else program(tensors[0], tensors[1:])
            return [each.numpy() for each in ((found,) if isinstance(found, Tensor) else found)]

        return run

    return open_program
