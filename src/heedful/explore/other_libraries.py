"""Hooks that record the attention of `torch.nn.MultiheadAttention` and of PyTorch Geometric's layers."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from heedful.ops.observe import Observed, ObservedEdges


class Observe(Protocol):
    """What is called with each attention: a kind if the layer knows it."""

    def __call__(self, observed: Observed | ObservedEdges, kind: str | None = None) -> None: ...


def observe_other_libraries(module: nn.Module, observe: Observe) -> list[RemovableHandle]:
    """Return the hooks that report the attention of a layer of PyTorch or PyTorch Geometric; none for other modules.

    The layer is asked for its weights, and its caller gets what it would have got without.
    """
    if isinstance(module, nn.MultiheadAttention):
        return _observe_multi_head(module, observe)
    if _has_edge_weights(module):
        return _observe_edges(module, observe)
    return []


# ---- torch.nn.MultiheadAttention -----------------------------------------------------------------


def _observe_multi_head(module: nn.MultiheadAttention, observe: Observe) -> list[RemovableHandle]:
    asked: list[dict[str, Any]] = []

    def ask(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        asked.append(dict(bound.arguments))
        wanted = {**bound.arguments, "need_weights": True, "average_attn_weights": False}
        return (), wanted

    def tell(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        given = asked.pop()
        result, weights = output
        query, key = given["query"], given["key"]
        kind = None if query is key else "cross"
        observe(Observed(_allowed(module, given, weights), weights, "torch"), kind)
        if not given["need_weights"]:
            return result, None
        return result, weights.mean(dim=-3) if given["average_attn_weights"] else weights

    return [
        module.register_forward_pre_hook(ask, with_kwargs=True),
        module.register_forward_hook(tell, with_kwargs=True),
    ]


def _allowed(
    module: nn.MultiheadAttention, given: dict[str, Any], weights: Tensor
) -> Tensor | None:
    """Return what masks allow, (*batch, heads, query, key) or broadcast to it; PyTorch's True is masked."""
    allowed: Tensor | None = None
    mask, padding = given["attn_mask"], given["key_padding_mask"]
    if mask is not None:
        allowed = ~mask if mask.dtype == torch.bool else mask != -torch.inf
        if allowed.ndim == 3:
            allowed = allowed.view(-1, module.num_heads, *allowed.shape[1:]).reshape(
                *weights.shape[:-2], *allowed.shape[1:]
            )
    if padding is not None:
        keep = ~padding if padding.dtype == torch.bool else padding != -torch.inf
        keep = keep[..., None, None, :]
        allowed = keep if allowed is None else allowed & keep
    return allowed


# ---- PyTorch Geometric ---------------------------------------------------------------------------


def _has_edge_weights(module: nn.Module) -> bool:
    """Whether it is a layer of PyTorch Geometric that can return its attention weights."""
    if not type(module).__module__.startswith("torch_geometric."):
        return False
    return "return_attention_weights" in inspect.signature(module.forward).parameters


def _observe_edges(module: nn.Module, observe: Observe) -> list[RemovableHandle]:
    asked: list[tuple[Any, Any]] = []

    def ask(layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
        asked.append((bound.arguments["x"], bound.arguments.get("return_attention_weights")))
        return (), {**bound.arguments, "return_attention_weights": True}

    def tell(layer: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        x, wanted = asked.pop()
        result, (edges, weights) = output
        sources, targets = (x[0], x[1]) if isinstance(x, tuple | list) else (x, x)
        queries = result.shape[0] if targets is None else targets.shape[0]
        index = edges if isinstance(edges, Tensor) else torch.stack(edges.coo()[:2]).flip(0)
        observe(
            ObservedEdges(
                index,
                weights.reshape(1, index.shape[1], -1),
                num_queries=queries,
                num_keys=sources.shape[0],
                backend="torch_geometric",
            )
        )
        return output if wanted is not None else result

    return [
        module.register_forward_pre_hook(ask, with_kwargs=True),
        module.register_forward_hook(tell, with_kwargs=True),
    ]
