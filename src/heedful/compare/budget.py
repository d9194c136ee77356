"""The training budget of a comparison, the same for every contender."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from heedful.errors import OptionError, unknown_choice

BUDGETS: Final[dict[str, str]] = {
    "epochs": "epochs",
    "steps": "max_steps",
    "tokens": "max_tokens",
    "seconds": "max_seconds",
}
"""Unit of the budget -> the setting of the section `training` that limits it."""

NO_LIMIT: Final = 1_000_000
"""Maximum epochs if the budget is in another unit."""


@dataclass(frozen=True)
class Budget:
    """An amount of `kind`, one of `BUDGETS`."""

    kind: str
    amount: float

    def settings(self) -> dict[str, Any]:
        """Return the `training` settings that use exactly this budget.

        Early stopping is off, so that all contenders train for the same budget.

        >>> Budget("steps", 100).settings()
        {'epochs': 1000000, 'patience': 0, 'max_steps': 100}
        """
        amount = self.amount if self.kind == "seconds" else int(self.amount)
        return {"epochs": NO_LIMIT, "patience": 0, BUDGETS[self.kind]: amount}

    def __str__(self) -> str:
        """Format the budget as `parse_budget` reads it.

        >>> str(Budget("epochs", 3.0)), str(Budget("seconds", 1.5))
        ('epochs=3', 'seconds=1.5')
        """
        return f"{self.kind}={self.amount:.12g}"


def parse_budget(text: str) -> Budget:
    """Parse `steps=1000`, `epochs=3`, `tokens=1e6` or `seconds=60`.

    Raises: OptionError for an unknown kind, or an amount that is not a positive number, whole except for seconds.

    >>> parse_budget("tokens=2e6")
    Budget(kind='tokens', amount=2000000.0)
    """
    kind, _, number = (part.strip() for part in text.partition("="))
    if kind not in BUDGETS:
        raise unknown_choice("budget", kind, [f"{name}=N" for name in BUDGETS])
    try:
        amount = float(number.replace("_", ""))
    except ValueError:
        amount = 0.0
    if not 0 < amount < 1e18 or (kind != "seconds" and amount != int(amount)):
        expected = "a number" if kind == "seconds" else "a whole number"
        raise OptionError(
            f"budget {text!r}: expected {expected} above 0 after {kind}=, got {number!r}"
        )
    return Budget(kind, amount)
