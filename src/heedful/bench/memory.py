"""Bytes that a computation keeps and the most that it holds at once.

Both are counted, not sampled: what autograd saves by its hooks, each storage once and none that belongs to an
input; the most that is held by the events of PyTorch's allocator, which tells of every tensor. What a library
takes from elsewhere (packed operands inside a matrix product, NumPy) is not seen.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from heedful.bench.results import Memory
from heedful.bench.values import Inputs, Run, leaves


def measure_memory(run: Run, inputs: Inputs, upstream: Tensor | None) -> Memory:
    """Measure a forward pass and, with the gradient that flows into it, forward and backward."""

    def forward() -> None:
        with torch.no_grad():
            run()

    peak_forward = peak(forward)
    if upstream is None:
        return Memory(None, peak_forward, None)

    def both() -> None:
        torch.autograd.grad(run(), leaves(inputs), upstream, allow_unused=True)

    return Memory(kept(run, inputs), peak_forward, peak(both))


def kept(run: Run, inputs: Inputs) -> int:
    """Bytes that autograd keeps for the backward pass, beyond the inputs themselves.

    >>> x = torch.ones(3, requires_grad=True)
    >>> kept(lambda: x.exp(), {"x": x})  # the result
    12
    """
    known = {tensor.untyped_storage().data_ptr() for tensor in inputs.values()}
    storages: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            storages[storage.data_ptr()] = storage.nbytes()
            # an address may be used again once freed: nothing is freed while it is counted
            alive.append(tensor.detach())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    del output
    return sum(storages.values())


def peak(run: Callable[[], None]) -> int:
    """The most bytes that PyTorch's allocator had handed out at once during a call.

    >>> peak(lambda: None)
    0
    """
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        run()
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most
