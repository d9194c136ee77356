"""How quality falls with the distance between the two things that must be related."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heedful.probe.encoders import Spec
from heedful.probe.model import accuracy
from heedful.probe.results import Curve
from heedful.probe.workshop import Workshop

TEST_SEED = 1_000_003
"""Added to a training's seed, so that test sequences are others than those trained on."""


def quality(task: str, specs: Sequence[Spec], shop: Workshop) -> Iterator[Curve]:
    """Yield accuracy by distance: an encoder and a seed a curve."""
    settings, made = shop.settings, shop.task(task)
    for spec in specs:
        for seed in shop.seeds:
            points = []
            for length in settings.lengths:
                model = shop.trained(spec, task, settings.trained_at(length), seed)
                share = accuracy(model, made, length, settings.examples, seed + TEST_SEED)
                points.append((float(made.distance(length)), share))
            yield Curve(task, spec.name, "", seed, tuple(points))
