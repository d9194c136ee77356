"""Record the attention weights of a model during its forward pass, without changing its outputs."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from heedful.errors import OptionError, ShapeError, unknown_choice
from heedful.explore.call_detail import CallDetail, call_detail
from heedful.explore.call_sites import CallSite, RecordedCall, concatenate_calls, group_by_layer
from heedful.explore.edge_record import EdgeRecord
from heedful.explore.other_libraries import observe_other_libraries
from heedful.explore.schema import AttentionRecord
from heedful.ops.observe import Observed, ObservedEdges, observing

__all__ = ["AttentionRecord", "EdgeRecord", "Recorder", "Tokens", "record", "recording"]

Tokens = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""Kind of attention -> (query tokens, key tokens)."""


class Recorder:
    """Collects the attention weights of a forward pass; `records` and `edge_records` return them.

    Created by `recording`. Calls from the same call site, such as the steps of a recurrent decoder, are
    concatenated along queries. If later steps have more keys (a cache), these count as masked in earlier steps.
    """

    def __init__(
        self,
        *,
        row: int | None = None,
        paths: Mapping[nn.Module, str] | None = None,
        details: bool = False,
    ) -> None:
        self._row = row
        self._paths = paths or {}
        self._sites: dict[tuple[str, int], CallSite] = {}
        self._edges: list[EdgeRecord] = []
        self._keeps_details = details
        self._details: dict[str, list[CallDetail]] = {}
        self._kinds: dict[str, str] = {}
        self._stack: list[tuple[str, nn.Module]] = []
        # Number of attend calls in the current forward of each module on the stack: two calls in one
        # forward are two call sites, one call in each of two forwards are two steps of one call site.
        self._call_counts: list[int] = [0]

    def _enter(self, path: str, module: nn.Module) -> None:
        self._stack.append((path, module))
        self._call_counts.append(0)

    def _leave(self) -> None:
        self._stack.pop()
        self._call_counts.pop()

    def _observe(self, observed: Observed | ObservedEdges, kind: str | None = None) -> None:
        owner = observed.owner if isinstance(observed, Observed) else None
        if isinstance(owner, nn.Module):
            self._enter(self._paths.get(owner, ""), owner)
            self._add(observed, kind)
            self._leave()
        else:
            self._add(observed, kind)

    def _add(self, observed: Observed | ObservedEdges, kind: str | None) -> None:
        path = self._stack[-1][0] if self._stack else ""
        number = self._call_counts[-1]
        self._call_counts[-1] += 1
        name = path if number == 0 else f"{path}#{number + 1}"
        kind = self._kinds.setdefault(name, kind or self._kind())
        if isinstance(observed, ObservedEdges):
            edges = self._edge_record(observed, name, kind)
            self._edges.append(edges)
            if not edges.is_drawn:
                return
            observed = observed.dense()
        if (path, number) not in self._sites:
            self._sites[path, number] = CallSite(name, kind)
        self._sites[path, number].calls.append(self._one_example(observed))
        if self._keeps_details and observed.call is not None:
            module = self._stack[-1][1] if self._stack else None
            detail = call_detail(observed, module, self._example_of)
            self._details.setdefault(name, []).append(detail)

    def _edge_record(self, observed: ObservedEdges, path: str, kind: str) -> EdgeRecord:
        """Take one example of the batch; `edge_records` sets the layer once all paths are known."""
        weights = observed.weights[self._example_of(observed.weights.shape[0])]
        return EdgeRecord(
            module_path=path,
            kind=kind,
            layer=0,
            edge_index=observed.edge_index.cpu().numpy(),
            weights=weights.detach().float().cpu().clone().numpy(),
            num_queries=observed.num_queries,
            num_keys=observed.num_keys,
            backend=observed.backend,
        )

    def _kind(self) -> str:
        """The `kind` of the innermost module that has one, else "self"."""
        for _, module in reversed(self._stack):
            kind = getattr(module, "kind", None)
            if isinstance(kind, str):
                return kind
        return "self"

    def _one_example(self, observed: Observed) -> RecordedCall:
        """Take one example of the batch: (*lead, Q, K) -> (heads, Q, K)."""
        weights = observed.weights.detach().float().cpu()
        mask = torch.ones_like(weights, dtype=torch.bool)
        if observed.mask is not None:
            mask = observed.mask.detach().cpu().expand(weights.shape)
        if weights.ndim == 2 or (weights.ndim == 3 and not self._leading_axis_is_heads(weights)):
            weights, mask = weights.unsqueeze(-3), mask.unsqueeze(-3)
        heads, queries, keys = weights.shape[-3:]
        weights, mask = (x.reshape(-1, heads, queries, keys) for x in (weights, mask))
        row = self._example_of(weights.shape[0])
        # Copies, as the model may modify these tensors in place later.
        return RecordedCall(
            weights[row].clone().numpy(), mask[row].clone().numpy(), observed.backend
        )

    def _example_of(self, batch: int) -> int:
        """Return the index of the example to record, or raise ShapeError."""
        if self._row is None and batch != 1:
            raise ShapeError(
                f"a record holds one example, but this batch has {batch}; "
                f"choose one with row=0 to row={batch - 1}, or run the model on one example."
            )
        if self._row is not None and not 0 <= self._row < batch:
            raise ShapeError(
                f"row={self._row} is out of range for this batch of {batch}; expected 0 to {batch - 1}."
            )
        return self._row or 0

    def _leading_axis_is_heads(self, weights: torch.Tensor) -> bool:
        """Whether axis 0 of (x, Q, K) is heads rather than the batch: inferred from the calling module."""
        heads = getattr(self._stack[-1][1], "heads", None) if self._stack else None
        return isinstance(heads, int) and heads == weights.shape[0]

    @property
    def kinds(self) -> list[str]:
        """The kinds of attention recorded so far, in order."""
        return list(dict.fromkeys(site.kind for site in self._sites.values()))

    def records(self, tokens: Tokens | None = None) -> list[AttentionRecord]:
        """Return one record for each layer and call site, in the order of the forward pass.

        Attention on a graph of more than `edge_record.MAX_DRAWN_CELLS` is omitted with a warning; `edge_records`
        has its weights.

        Args:
            tokens: kind -> (query tokens, key tokens); other kinds are labelled with position numbers.

        Raises:
            OptionError: `tokens` has an unknown kind, or nothing that can be drawn was recorded.
            ShapeError: the number of tokens does not match the weights.
        """
        notes = dict.fromkeys(edges.note for edges in self._edges if not edges.is_drawn)
        if not self._sites:
            raise OptionError(
                f"{'; '.join(notes)}; read its weights with edge_records()."
                if notes
                else "there are no attention weights to show: the model did not call heedful.attend "
                "or another attention that can be recorded; record a model that has attention, and one of Hugging "
                "Face's with record_transformer."
            )
        for note in notes:
            warnings.warn(f"{note}; read its weights with edge_records().", stacklevel=2)
        for kind in tokens or {}:
            if kind not in self.kinds:
                raise unknown_choice("kind of attention", kind, self.kinds)
        layers = _layers(self._kinds)
        records = []
        for site in self._sites.values():
            layer = layers[site.path]
            labels = (tokens or {}).get(site.kind)
            for repeat, calls in enumerate(group_by_layer(site.calls, labels)):
                records.append(concatenate_calls(site, calls, layer + repeat, labels))
        return records

    def details(self) -> dict[str, CallDetail]:
        """Return path -> what its attention was computed from, of places that called `attend` once.

        Nothing is kept unless `recording` was asked for details.
        """
        return {path: calls[0] for path, calls in self._details.items() if len(calls) == 1}

    def edge_records(self) -> list[EdgeRecord]:
        """Return one record for each attention layer on a graph, of any size, in the order of the forward pass."""
        layers = _layers(self._kinds)
        return [replace(edges, layer=layers[edges.module_path]) for edges in self._edges]


def _layers(kinds: Mapping[str, str]) -> dict[str, int]:
    """Return the layer of each path: the number in it, or else its index among the unnumbered paths of its kind."""
    unnumbered: dict[str, int] = {}
    layers = {}
    for path, kind in kinds.items():
        number = layer_number(path)
        if number is None:
            number = unnumbered.get(kind, 0)
            unnumbered[kind] = number + 1
        layers[path] = number
    return layers


def layer_number(path: str) -> int | None:
    """Return the layer number in a module path: its last number, or None.

    >>> layer_number("encoder.layers.3.attention"), layer_number("decoder.attention")
    (3, None)
    """
    numbers = [int(part) for part in path.split("#")[0].split(".") if part.isdecimal()]
    return numbers[-1] if numbers else None


@contextlib.contextmanager
def recording(
    model: nn.Module, *, row: int | None = None, details: bool = False
) -> Iterator[Recorder]:
    """Record the attention weights that `model` computes inside the `with` block.

    Outputs are the same as without recording, and all hooks are removed at the end, also after an exception. Only
    `torch.nn.MultiheadAttention` computes differently when its weights are asked for: equal up to rounding.

    Args:
        model: any module that calls `heedful.attend`, or contains graph attention layers of Heedful or PyTorch
            Geometric, or `torch.nn.MultiheadAttention` (and so `torch.nn.Transformer`).
        row: index of the example to record; required for a batch of several.
        details: also keep queries, keys, values and outputs, with their gradients.
    """
    paths = {module: path for path, module in model.named_modules()}
    recorder = Recorder(row=row, paths=paths, details=details)
    handles = []

    def enter_hook(path: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, _: recorder._enter(path, module)

    def leave_hook(module: nn.Module, inputs: Any, output: Any) -> None:
        recorder._leave()

    try:
        for module, path in paths.items():
            handles.append(module.register_forward_pre_hook(enter_hook(path)))
            handles += observe_other_libraries(module, recorder._observe)
            # always_call: a forward that raises must pop the stack too.
            handles.append(module.register_forward_hook(leave_hook, always_call=True))
        with observing(recorder._observe):
            yield recorder
    finally:
        for handle in handles:
            handle.remove()


def record(
    model: nn.Module, *inputs: Any, tokens: Tokens | None = None, row: int | None = None
) -> list[AttentionRecord]:
    """Run `model(*inputs)` without gradients and return its attention weights, one record per layer.

    The training mode is not changed: call `model.eval()` first to disable dropout.
    Use `recording` for keyword arguments or for several calls.

    Args:
        model: the module to run.
        inputs: its positional arguments; one example, or a batch with `row`.
        tokens: kind ("encoder", "decoder", "cross", "self") -> (query tokens, key tokens).
        row: index of the example to record.

    Raises:
        OptionError: the model has no attention, or `tokens` has an unknown kind.
        ShapeError: the number of tokens does not match the weights, or a batch of several has no `row`.

    >>> import torch, heedful
    >>> class SelfAttention(torch.nn.Module):
    ...     kind = "self"
    ...     def forward(self, x):
    ...         return heedful.attend(x, x, x).output
    >>> [self_attention] = record(SelfAttention(), torch.zeros(1, 2, 4), tokens={"self": ("ab", "ab")})
    >>> self_attention.weights.tolist()
    [[[0.5, 0.5], [0.5, 0.5]]]
    """
    with torch.no_grad(), recording(model, row=row) as recorder:
        model(*inputs)
    return recorder.records(tokens)
