"""Base class of what programs read."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from torch import Tensor

from heedful.export.program import Given, Program

BATCH: Final = 3
"""Sizes of the named axes of the examples that a model is traced with."""
LENGTH: Final = 5


class Code(NamedTuple):
    """Lines of Python that make what a program reads: arrays named as its inputs."""

    imports: Sequence[str]
    lines: Sequence[str]
    later: Sequence[str] = ()
    """Lines that follow the program that comes before the model."""


class FirstProgram(NamedTuple):
    """The program that comes before the model, if there is one."""

    name: str
    inputs: Sequence[str]
    outputs: Sequence[str]


class Reading(abc.ABC):
    """How programs read one kind of input, and how the README of an export makes that of an example."""

    first: ClassVar[FirstProgram | None] = None

    def __init__(self, predictor: Any):
        self.predictor = predictor
        self.input = predictor.input

    @property
    @abc.abstractmethod
    def given(self) -> Sequence[Given]:
        """What a program reads."""

    @abc.abstractmethod
    def batch(self, *tensors: Tensor) -> Any:
        """Return the tensors that `given` names as the batch that the model reads."""

    @abc.abstractmethod
    def code(self) -> Code:
        """Return the lines that make an example."""

    @property
    @abc.abstractmethod
    def notes(self) -> str:
        """What else to know of the inputs."""

    def programs(self) -> Mapping[str, Program]:
        """Return the program `first`, if there is one."""
        return {}

    def save(self, folder: Path) -> None:
        """Write what turns examples to numbers."""
        self.input.save(folder)
