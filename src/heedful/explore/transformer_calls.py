"""Attention of a Hugging Face model, watched while it computes it eagerly for a moment."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from heedful.explore.call_sites import CallSite, RecordedCall

EAGER: Final = "eager_attention_forward"
"""What every model of transformers calls its plain attention, in the file that defines it."""
_CROSS: Final = (
    "crossattention",
    "cross_attn",
    "cross_attention",
    "encdecattention",
    "encoder_attn",
)
_MASKED: Final = -1e4
"""Masks are added to the scores; what is below this is masked in any precision."""


class EagerCalls:
    """The calls of attention in the layers that are wanted, by place, each copied to the CPU at once."""

    def __init__(self, model: nn.Module, layers: Collection[int] | None) -> None:
        self._paths = {module: path for path, module in model.named_modules()}
        self._layers = layers
        self._numbers: dict[str, dict[str, int]] = {}
        self.sites: dict[str, CallSite] = {}

    @property
    def was_called(self) -> bool:
        """Whether any attention was computed, of layers that are wanted or not."""
        return bool(self._numbers)

    def layer(self, site: CallSite) -> int:
        """Return the number of a place among those of its kind, in the order of the forward pass."""
        return self._numbers[site.kind][site.path]

    def count(self, kind: str) -> int:
        """Return how many layers of a kind there are."""
        return len(self._numbers.get(kind, ()))

    def add(self, module: nn.Module, weights: Tensor, mask: Tensor | None) -> None:
        """Keep the weights (1, heads, queries, keys) of one call."""
        path = self._paths.get(module, "")
        keys = weights.shape[-1]
        allowed = None if mask is None else _allowed(mask[..., :keys])
        kind = self._kind(path, allowed, weights)
        places = self._numbers.setdefault(kind, {})
        number = places.setdefault(path, len(places))
        if self._layers is not None and number not in self._layers:
            return
        numbers = weights.detach()[0].float().cpu().numpy()
        shape = torch.Size(numbers.shape)
        full = torch.ones(shape, dtype=torch.bool)
        if allowed is not None:
            full = allowed.cpu()[0].expand(shape)
        site = self.sites.setdefault(path, CallSite(path, kind))
        site.calls.append(RecordedCall(numbers, full.numpy(), "eager"))

    def _kind(self, path: str, allowed: Tensor | None, weights: Tensor) -> str:
        known = [site.kind for site in self.sites.values() if site.path == path]
        known += [kind for kind, places in self._numbers.items() if path in places]
        if known:
            return known[0]
        if any(name in path.lower() for name in _CROSS):
            return "cross"
        queries, keys = weights.shape[-2:]
        causal = allowed is not None and queries == keys > 1 and not bool(allowed[..., 0, 1:].any())
        return "decoder" if causal or "decoder" in path.split(".") else "encoder"


def _allowed(mask: Tensor) -> Tensor:
    return mask if mask.dtype == torch.bool else mask > _MASKED


@contextmanager
def watching(model: Any, layers: Collection[int] | None = None) -> Iterator[EagerCalls]:
    """Let a model compute its attention eagerly inside the block and collect it; then all is as it was before.

    Args:
        model: a `transformers.PreTrainedModel`, run on one example.
        layers: numbers of the layers that are kept, from 0; None: all.
    """
    calls = EagerCalls(model, layers)
    files = {sys.modules[type(module).__module__] for module in model.modules()}
    originals = {file: getattr(file, EAGER) for file in files if hasattr(file, EAGER)}
    implementations = _implementations(model)
    was_training = model.training
    try:
        model.set_attn_implementation("eager")
        model.eval()
        for file, original in originals.items():
            setattr(file, EAGER, _watched(original, calls))
        yield calls
    finally:
        for file, original in originals.items():
            setattr(file, EAGER, original)
        for config, name in implementations:
            config._attn_implementation = name
        model.train(was_training)


def _watched(original: Callable[..., Any], calls: EagerCalls) -> Callable[..., Any]:
    def watched(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        output, weights = original(module, *args, **kwargs)
        mask = args[3] if len(args) > 3 else kwargs.get("attention_mask")
        if weights is not None:
            calls.add(module, weights, mask)
        return output, weights

    return watched


def _implementations(model: Any) -> list[tuple[Any, str | None]]:
    """Return each configuration of a model and its parts, outer ones first, with its implementation of attention."""
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
    return [(config, getattr(config, "_attn_implementation", None)) for config in configs.values()]
