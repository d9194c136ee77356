"""Models as the measures ask for them: fresh, or trained once for all that need them."""

from __future__ import annotations

import torch

from heedful.models.encoders import Encoder
from heedful.probe.encoders import Spec
from heedful.probe.model import ProbeModel, train
from heedful.probe.settings import Settings
from heedful.probe.tasks import TASKS, ProbeTask


class Workshop:
    """Builds encoders and trains models, each by its own seed: what is measured before changes nothing.

    >>> shop = Workshop(Settings(steps=1, width=8))
    >>> one = shop.trained(Spec.parse("window"), "recall", (8,), seed=0)
    >>> one is shop.trained(Spec.parse("window"), "recall", (8,), seed=0)
    True
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self._trained: dict[tuple[Spec, str, tuple[int, ...], int], ProbeModel] = {}

    @property
    def seeds(self) -> range:
        """The seeds that every measure goes through."""
        return range(self.settings.seed, self.settings.seed + self.settings.seeds)

    def task(self, name: str) -> ProbeTask:
        """Make a task with the symbols of the settings."""
        return TASKS[name](self.settings.symbols)

    def encoder(self, spec: Spec, seed: int) -> Encoder:
        """Build an encoder with fresh weights, without dropout."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return spec.build(self.settings.width, self.settings.longest).eval()

    def model(self, spec: Spec, task: str, seed: int) -> ProbeModel:
        """Build a model with fresh weights."""
        encoder = self.encoder(spec, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return ProbeModel(encoder, self.task(task), self.settings.inputs).eval()

    def trained(self, spec: Spec, task: str, lengths: tuple[int, ...], seed: int) -> ProbeModel:
        """Train a model, or hand out the one that was trained so before."""
        key = (spec, task, lengths, seed)
        if key not in self._trained:
            model = self.model(spec, task, seed)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                train(model, self.task(task), self.settings, lengths, seed)
            self._trained[key] = model
        return self._trained[key]
