"""The tensors of a decoder's state: taken out of its frozen values, and put into their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

from torch import Tensor

from heedful.models.transformer_text import TransformerState
from heedful.nn.cache import KeyValueCache


def tensors_of(state: Any) -> list[Tensor]:
    """Return the tensors of a state, in the order of its fields.

    >>> import torch
    >>> tensors_of((torch.ones(1), None, [torch.zeros(2)]))
    [tensor([1.]), tensor([0., 0.])]
    """
    return list(_tensors(state))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _tensors(each)
    elif is_dataclass(value):
        for name in _given(value):
            yield from _tensors(getattr(value, name))


def _given(value: Any) -> list[str]:
    """Return the fields that a value is made of; others hold what was computed from these."""
    return [field.name for field in fields(value) if field.init]


def begun(state: Any, example: Any) -> Any:
    """Return a state before the first token with as many tensors as later ones have, a Transformer's with empty pasts.

    Args:
        state: the first state.
        example: a later one, for the sizes.
    """
    if not isinstance(state, TransformerState):
        return state
    rows = state.memory_mask.keep.shape[0]
    layers = []
    for layer, later in zip(state.layers, example.layers, strict=True):
        past = later.self_attention
        assert past is not None
        features = _without_past(past.key.features, rows)
        empty = KeyValueCache(past.key.with_features(features), _without_past(past.value, rows))
        layers.append(replace(layer, self_attention=empty))
    return replace(state, layers=tuple(layers))


def _without_past(values: Tensor, rows: int) -> Tensor:
    """(batch, heads, past, features) -> (rows, heads, 0, features)."""
    return values.new_zeros(rows, values.shape[1], 0, values.shape[3])


def rebuilt(state: Any, tensors: Sequence[Tensor]) -> Any:
    """Return a state with other tensors in the places of its own.

    The position of a Transformer's state, a number, is the length of its past.

    >>> import torch
    >>> rebuilt((torch.ones(1), "dot"), [torch.zeros(1)])
    (tensor([0.]), 'dot')
    """
    return _rebuilt(state, iter(tensors))


def _rebuilt(value: Any, tensors: Iterator[Tensor]) -> Any:
    if isinstance(value, Tensor):
        return next(tensors)
    if isinstance(value, tuple | list):
        parts = [_rebuilt(each, tensors) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if not is_dataclass(value):
        return value
    kind: Any = type(value)
    made = kind(**{name: _rebuilt(getattr(value, name), tensors) for name in _given(value)})
    if not isinstance(made, TransformerState):
        return made
    past = made.layers[0].self_attention
    assert past is not None
    return replace(made, position=past.length)
