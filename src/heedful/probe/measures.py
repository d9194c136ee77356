"""The table of measures: what each is called, over what it goes, and how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from heedful.errors import OptionError, unknown_choice
from heedful.probe.cost import cores, time
from heedful.probe.encoders import Spec
from heedful.probe.gradient import gradient
from heedful.probe.order import CHANGES, order
from heedful.probe.quality import quality
from heedful.probe.results import Curve
from heedful.probe.tasks import TASKS
from heedful.probe.workshop import Workshop


@dataclass(frozen=True)
class Measure:
    """One thing to measure of every encoder."""

    title: str
    axis: str
    """What x is."""
    run: Callable[[Sequence[Spec], Workshop], Iterator[Curve]]
    form: str = ".3f"
    """How a value is written; "seconds" for a duration."""
    logarithmic: tuple[bool, bool] = (True, False)
    """Of the axes x and y, in a plot."""
    names: tuple[str, ...] = ()
    """Of x = 0, 1, …, where x is no number."""

    def name(self, x: float) -> str:
        """Write x."""
        return self.names[int(x)] if self.names else f"{x:,.0f}"


def _quality(task: str) -> Measure:
    title = f"accuracy, {TASKS[task].title}"
    return Measure(title, "distance in tokens", partial(quality, task))


MEASURES: dict[str, Measure] = {
    "recall": _quality("recall"),
    "copy": _quality("copy"),
    "first": _quality("first"),
    "gradient": Measure(
        "size of d state / d input that far before", "distance in tokens", gradient,
        form=".1e", logarithmic=(True, True),
    ),
    "time": Measure(
        "time by length", "length in tokens", time, form="seconds", logarithmic=(True, True)
    ),
    "cores": Measure("times as fast as with one thread", "threads", cores, form=".2f"),
    "order": Measure(
        "change of states when inputs change places, relative", "change of order", order,
        form=".1e", logarithmic=(False, False), names=CHANGES,
    ),
}  # fmt: skip
"""Name -> measure."""


def check_names(names: Sequence[str]) -> None:
    """Raise OptionError for a measure that does not exist, or none."""
    if not names:
        raise OptionError(f"name a measure: {', '.join(MEASURES)}")
    for name in names:
        if name not in MEASURES:
            raise unknown_choice("measure", name, MEASURES)
