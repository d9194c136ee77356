"""The errors a caller can mend: what was got, what was wanted, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class HeedfulError(ValueError):
    """Base of every error that the caller of Heedful can mend."""


class ShapeError(HeedfulError):
    """A tensor has the wrong shape or rank."""


class DtypeError(HeedfulError):
    """A tensor has the wrong element type."""


class DeviceError(HeedfulError):
    """Tensors that meet in one call lie on different devices."""


class MaskError(HeedfulError):
    """A mask whose meaning is wrong or in doubt."""


class BackendError(HeedfulError):
    """A backend asked for by name cannot serve the call."""


class OptionError(HeedfulError):
    """An option or a choice that does not exist, or a value out of its range."""


class DataError(HeedfulError):
    """A file of data that cannot be used; the message names the file and, where there is one, the line."""

    def __init__(self, message: str, *, path: str | Path | None = None, line: int | None = None):
        self.where = "" if path is None else f"{path}" if line is None else f"{path}, line {line}"
        """File and line as far as they are known."""
        super().__init__(f"{self.where}: {message}" if self.where else message)
        self.path = None if path is None else Path(path)
        self.line = line


class RunError(HeedfulError):
    """A run folder that is missing, foreign, truncated or already there."""


class NonFiniteError(HeedfulError):
    """A model whose output for some input holds NaN or infinity.

    `row` is the index of the first such input among those given; the model says so of a batch, and each caller that
    knows more replaces it by the input's number, file and line.
    """

    def __init__(self, row: int, where: str = ""):
        super().__init__(
            f"{where or f'input {row + 1}'}: the model's output holds NaN or infinity, so there is no prediction; the "
            "weights are damaged or the input holds extreme numbers. Train again with a lower learning rate, or "
            "remove the input."
        )
        self.row = row


class DivergedError(HeedfulError):
    """A training that ended as its loss, gradient or weights were no longer finite; its last checkpoint is kept.

    Attributes:
        problem: what was not finite, as a sentence.
        step: the step, counted from 1, at which it was noticed.
        learning_rate: a peak learning rate to go on with.
    """

    def __init__(self, problem: str, cure: str, *, step: int, learning_rate: float):
        super().__init__(f"{problem} {cure}")
        self.problem, self.step, self.learning_rate = problem, step, learning_rate


class StoppedError(HeedfulError):
    """A training that ended early because it was asked to; it can be resumed from its checkpoint."""


def count(number: int, what: str) -> str:
    """Write how many there are of something.

    >>> count(1, "column"), count(9, "column")
    ('1 column', '9 columns')
    """
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def nearest(got: str, choices: Iterable[str]) -> str | None:
    """Return the choice spelt most like `got`, or None when none is near.

    >>> nearest("aditive", ["dot", "additive"])
    'additive'
    """
    found = difflib.get_close_matches(got, list(choices), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown_choice(kind: str, got: object, choices: Iterable[str]) -> OptionError:
    """Build the error for a name that is in no table, naming the nearest one that is.

    >>> print(unknown_choice("score", "aditive", ["dot", "additive"]))
    unknown score 'aditive'; did you mean 'additive'? The choices are: dot, additive.
    """
    names = list(choices)
    near = nearest(str(got), names)
    hint = f"; did you mean {near!r}?" if near else "."
    return OptionError(f"unknown {kind} {got!r}{hint} The choices are: {', '.join(names)}.")
