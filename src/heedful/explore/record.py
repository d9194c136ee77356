"""Record what a model attends to while it runs, without changing what it computes."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from heedful.errors import OptionError, ShapeError, unknown_choice
from heedful.explore.edge_record import EdgeRecord
from heedful.explore.joining import Call, Place, joined, runs
from heedful.explore.schema import AttentionRecord
from heedful.ops.observe import Observed, ObservedEdges, observing

__all__ = ["AttentionRecord", "EdgeRecord", "Recorder", "Tokens", "record", "recording"]

Tokens = Mapping[str, tuple[Sequence[str], Sequence[str]]]
"""For each kind of attention its query tokens and its key tokens."""


class Recorder:
    """Collects every attention that a model computes; `records` and `edge_records` return them.

    Made by `recording`; calls from the same place in the same module are joined along queries, as a
    recurrent decoder's steps are. Where a later step sees more keys (a cache), the keys that an earlier
    one could not see count as masked.
    """

    def __init__(
        self, *, row: int | None = None, paths: Mapping[nn.Module, str] | None = None
    ) -> None:
        self._row = row
        self._paths = paths or {}
        self._places: dict[tuple[str, int], Place] = {}
        self._edges: list[EdgeRecord] = []
        self._kinds: dict[str, str] = {}
        self._stack: list[tuple[str, nn.Module]] = []
        # How often the innermost module called attend in its present forward: two calls in one
        # forward are two places, one call in each of two forwards are two steps of one place.
        self._counts: list[int] = [0]

    def _enter(self, path: str, module: nn.Module) -> None:
        self._stack.append((path, module))
        self._counts.append(0)

    def _leave(self) -> None:
        self._stack.pop()
        self._counts.pop()

    def _observe(self, seen: Observed | ObservedEdges) -> None:
        owner = seen.owner if isinstance(seen, Observed) else None
        if isinstance(owner, nn.Module):
            self._enter(self._paths.get(owner, ""), owner)
            self._add(seen)
            self._leave()
        else:
            self._add(seen)

    def _add(self, seen: Observed | ObservedEdges) -> None:
        path = self._stack[-1][0] if self._stack else ""
        number = self._counts[-1]
        self._counts[-1] += 1
        name = path if number == 0 else f"{path}#{number + 1}"
        kind = self._kinds.setdefault(name, self._kind())
        if isinstance(seen, ObservedEdges):
            edges = self._edge_record(seen, name, kind)
            self._edges.append(edges)
            if not edges.is_drawn:
                return
            seen = seen.dense()
        if (path, number) not in self._places:
            self._places[path, number] = Place(name, kind)
        self._places[path, number].calls.append(self._one_example(seen))

    def _edge_record(self, seen: ObservedEdges, path: str, kind: str) -> EdgeRecord:
        """Take one example of the batch; its layer is numbered when all layers are known."""
        weights = seen.weights[self._example_of(seen.weights.shape[0])]
        return EdgeRecord(
            module_path=path,
            kind=kind,
            layer=0,
            edge_index=seen.edge_index.cpu().numpy(),
            weights=weights.detach().float().cpu().clone().numpy(),
            num_queries=seen.num_queries,
            num_keys=seen.num_keys,
            backend=seen.backend,
        )

    def _kind(self) -> str:
        """The `.kind` of the innermost module that has one."""
        for _, module in reversed(self._stack):
            kind = getattr(module, "kind", None)
            if isinstance(kind, str):
                return kind
        return "self"

    def _one_example(self, seen: Observed) -> Call:
        """Take one example of the batch: (*lead, Q, K) -> (heads, Q, K)."""
        weights = seen.weights.detach().float().cpu()
        mask = torch.ones_like(weights, dtype=torch.bool)
        if seen.mask is not None:
            mask = seen.mask.detach().cpu().expand(weights.shape)
        if weights.ndim == 2 or (weights.ndim == 3 and not self._leading_axis_is_heads(weights)):
            weights, mask = weights.unsqueeze(-3), mask.unsqueeze(-3)
        heads, queries, keys = weights.shape[-3:]
        weights, mask = (x.reshape(-1, heads, queries, keys) for x in (weights, mask))
        row = self._example_of(weights.shape[0])
        # Copies: a model may go on to write into tensors that it handed to attend.
        return Call(weights[row].clone().numpy(), mask[row].clone().numpy(), seen.backend)

    def _example_of(self, batch: int) -> int:
        """Return which example of a batch to keep."""
        if self._row is None and batch != 1:
            raise ShapeError(
                f"a record shows one example, and this batch has {batch}; "
                f"choose one with row=0 to row={batch - 1}, or run the model on one example."
            )
        if self._row is not None and not 0 <= self._row < batch:
            raise ShapeError(
                f"row={self._row} is not in this batch of {batch}; give 0 to {batch - 1}."
            )
        return self._row or 0

    def _leading_axis_is_heads(self, weights: torch.Tensor) -> bool:
        """Whether (x, Q, K) is heads rather than a batch: only the calling module can tell."""
        heads = getattr(self._stack[-1][1], "heads", None) if self._stack else None
        return isinstance(heads, int) and heads == weights.shape[0]

    @property
    def kinds(self) -> list[str]:
        """The kinds of attention seen so far, in order."""
        return list(dict.fromkeys(place.kind for place in self._places.values()))

    def records(self, tokens: Tokens | None = None) -> list[AttentionRecord]:
        """Return one record a place, in the order in which the model came to them.

        Attention on a graph too large to be drawn (`edge_record.MOST_CELLS`) is left out with a warning; its weights
        are in `edge_records`.

        Args:
            tokens: for each kind its (query tokens, key tokens); a kind not named gets numbers.

        Raises:
            OptionError: a kind in `tokens` that the model does not have, or nothing was recorded that can be drawn.
            ShapeError: tokens that do not fit the weights.
        """
        notes = dict.fromkeys(edges.note for edges in self._edges if not edges.is_drawn)
        if not self._places:
            raise OptionError(
                f"{'; '.join(notes)}; read its weights with edge_records()."
                if notes
                else "this model made no call of heedful.attend, so there are no attention weights to show; "
                "a model without attention has none."
            )
        for note in notes:
            warnings.warn(f"{note}; read its weights with edge_records().", stacklevel=2)
        for kind in tokens or {}:
            if kind not in self.kinds:
                raise unknown_choice("kind of attention", kind, self.kinds)
        layers = _layers(self._kinds)
        found = []
        for place in self._places.values():
            layer = layers[place.path]
            given = (tokens or {}).get(place.kind)
            for repeat, calls in enumerate(runs(place.calls, given)):
                found.append(joined(place, calls, layer + repeat, given))
        return found

    def edge_records(self) -> list[EdgeRecord]:
        """Return one record for each attention on a graph, in order: its edges and their weights, however many."""
        layers = _layers(self._kinds)
        return [replace(edges, layer=layers[edges.module_path]) for edges in self._edges]


def _layers(kinds: Mapping[str, str]) -> dict[str, int]:
    """Return the layer of each path: the number in it, or its place among the paths of its kind without a number."""
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
    """Return the layer that a module path names: its last number, or None.

    >>> layer_number("encoder.layers.3.attention"), layer_number("decoder.attention")
    (3, None)
    """
    numbers = [int(part) for part in path.split("#")[0].split(".") if part.isdecimal()]
    return numbers[-1] if numbers else None


@contextlib.contextmanager
def recording(model: nn.Module, *, row: int | None = None) -> Iterator[Recorder]:
    """Record every attention that `model` computes inside the `with` block.

    Whatever happens inside, no hook stays on the model. The model computes what it would have
    computed: observing asks for weights, and asking for weights never changes an output.

    Args:
        model: any module; it need not be Heedful's, if it calls `heedful.attend` or holds layers for graphs.
        row: which example of a batch to keep; needed only when there are several.
    """
    paths = {module: path for path, module in model.named_modules()}
    recorder = Recorder(row=row, paths=paths)
    handles = []

    def entering(path: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, _: recorder._enter(path, module)

    def leaving(module: nn.Module, inputs: Any, output: Any) -> None:
        recorder._leave()

    try:
        for module, path in paths.items():
            handles.append(module.register_forward_pre_hook(entering(path)))
            # always_call: a forward that raises must leave the stack too.
            handles.append(module.register_forward_hook(leaving, always_call=True))
        with observing(recorder._observe):
            yield recorder
    finally:
        for handle in handles:
            handle.remove()


def record(
    model: nn.Module, *inputs: Any, tokens: Tokens | None = None, row: int | None = None
) -> list[AttentionRecord]:
    """Run `model(*inputs)` without gradients and return what each of its attentions looked at.

    The model runs in the mode it is in: call `model.eval()` first unless dropout is to be seen.
    For a call that takes named arguments, or several calls, use `recording`.

    Args:
        model: the module to run.
        inputs: what it is called with; one example, or a batch with `row`.
        tokens: for each kind ("encoder", "decoder", "cross", "self") its (query tokens, key tokens).
        row: which example of a batch to keep.

    Raises:
        OptionError: the model has no attention, or `tokens` names a kind that it does not have.
        ShapeError: tokens that do not fit the weights, or a batch of several without `row`.

    >>> import torch, heedful
    >>> class Looking(torch.nn.Module):
    ...     kind = "self"
    ...     def forward(self, x):
    ...         return heedful.attend(x, x, x).output
    >>> [found] = record(Looking(), torch.zeros(1, 2, 4), tokens={"self": (["a", "b"], ["a", "b"])})
    >>> found.weights.tolist()
    [[[0.5, 0.5], [0.5, 0.5]]]
    """
    with torch.no_grad(), recording(model, row=row) as recorder:
        model(*inputs)
    return recorder.records(tokens)
