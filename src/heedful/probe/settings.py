"""The sizes and budgets of a measurement, the same for every encoder."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from heedful.errors import OptionError
from heedful.probe.signals import INPUTS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How large the encoders are, how long they train, and where they are measured.

    Raises:
        OptionError: a size below 1, a length below 4, no length, or unknown inputs.

    >>> Settings(steps=50).trained_at(64)
    (8, 16, 32)
    >>> Settings(each=True).trained_at(64)
    (64,)
    """

    lengths: tuple[int, ...] = (8, 16, 32, 64, 128)
    """Tested at these."""
    timed_lengths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    train_lengths: tuple[int, ...] = (8, 16, 32)
    """Trained at these, one drawn for each step."""
    each: bool = False
    """Train anew at each tested length instead, so that only the distance is in the way."""
    length: int = 64
    """Of gradients, cores and order."""
    steps: int = 200
    """Training steps of each model: the budget."""
    tokens: int = 1024
    """Tokens of a training step, whatever the length."""
    learning_rate: float = 3e-3
    width: int = 32
    """Features of a state, for every encoder."""
    inputs: str = "tokens"
    """What the encoder reads of a token, one of `signals.INPUTS`: an embedding, a tone, or a patch of an image."""
    symbols: int = 8
    """What there is to remember: an answer is one of so many."""
    examples: int = 200
    """Test sequences at each length."""
    seeds: int = 1
    """Trainings, or drawings of weights, of each encoder."""
    seed: int = 0
    """The first seed."""
    threads: int = 1
    batch: int = 1
    """Sequences at once where time is measured."""
    seconds: float = 0.5
    """For the rounds of one length, where time is measured."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if name in {"each", "seed", "inputs"}:
                continue
            for number in value if isinstance(value, tuple) else (value,):
                least = 4 if "length" in name else 0 if name in {"steps", "learning_rate"} else 1
                if number < least and not (name == "seconds" and number > 0):
                    raise OptionError(f"{name} = {number}: {least} or more is wanted")
        if not (self.lengths and self.timed_lengths and self.train_lengths):
            raise OptionError("no length: at least one is wanted")
        if self.inputs not in INPUTS:
            raise OptionError(f"inputs = {self.inputs!r}; expected one of {', '.join(INPUTS)}")
        if self.symbols < 2:
            raise OptionError("symbols = 1 leaves nothing to remember; 2 or more are wanted")

    @property
    def longest(self) -> int:
        """The longest sequence that any measure makes."""
        return max(*self.lengths, *self.timed_lengths, *self.train_lengths, self.length)

    def trained_at(self, length: int) -> tuple[int, ...]:
        """Return the lengths that a model tested at `length` is trained at."""
        return (length,) if self.each else self.train_lengths

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)
