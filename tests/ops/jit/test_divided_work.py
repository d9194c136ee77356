"""Parts of a parallel kernel write to no common cache line of their working memory, and hold no lock while they run."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, normalizers, scores
from heedful.ops.backends.edges.attend import EdgePair, EdgeTensors, edge_attention
from heedful.ops.csr.rows import compress
from heedful.ops.jit import kernel

LINE = 64
"""Bytes of a cache line."""
PARTS = 3
PER_PART = {
    "scratch", "room", "checks", "workspaces", "workspace", "rows", "flat_rows", "candidates", "columns", "slopes",
    "dkeys", "dvalues", "dvectors", "dedge_weights", "key_gradient", "value_gradient",
}  # fmt: skip
"""Arguments that hold memory of each part."""
COPIES = {"key_gradient", "value_gradient", "dkeys", "dvalues", "dvectors", "dedge_weights"}
"""Those of one copy where no two parts write to the same rows."""


def graph(pair: str, width: int) -> Callable[[], Tensor]:
    index = torch.randint(2000, (2, 40_000))
    rows = compress(index[0], index[1], 2000)
    vector = None if pair == "dot" else torch.randn(3, width)

    def run() -> Tensor:
        x = torch.randn(1, 2000, 3, width, requires_grad=True)
        return edge_attention(EdgeTensors(x, x, x, vector), rows, EdgePair(pair)).output  # type: ignore[arg-type]

    return run


def attended(**options: Any) -> Callable[[], Tensor]:
    def run() -> Tensor:
        x = torch.randn(1, 2, 1000, 40, requires_grad=True)
        return attend(x, x, x, **options).output

    return run


CASES = {
    "window": attended(mask=masks.Window(50, 9)),
    "sparsemax": attended(mask=masks.Window(50, 9), normalizer=normalizers.Sparsemax()),
    "rows of sparsemax": attended(normalizer=normalizers.Sparsemax(), backend="reference"),
    "additive": attended(
        score=scores.Additive(torch.randn(40, 24), torch.randn(40, 24), torch.randn(24))
    ),
    "edges, sparsemax": attended(
        mask=masks.Edges(torch.randint(1000, (2, 20_000)), 1000, 1000),
        normalizer=normalizers.Sparsemax(),
        backend="edges",
    ),
    "edges, dot": graph("dot", 5),
    "edges, GATv2": graph("leaky_relu", 7),
}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any], int]]:
    """Every kernel that runs in several parts: its name, its arguments by name, and how many parts."""
    found: list[tuple[str, dict[str, Any], int]] = []
    original = kernel.launch

    def watched(compiled: Any, *arguments: Any, work: float, parts: int | None = None) -> None:
        count = kernel.parts_for(work) if parts is None else parts
        names = list(inspect.signature(compiled.function).parameters)[2:]
        found.append((compiled.name, dict(zip(names, arguments, strict=True)), count))
        original(compiled, *arguments, work=work, parts=parts)

    for name, module in list(sys.modules.items()):
        if name.startswith("heedful.ops") and getattr(module, "launch", None) is original:
            monkeypatch.setattr(module, "launch", watched)
    return found


@pytest.mark.parametrize("case", CASES)
def test_no_two_parts_share_a_cache_line(
    case: str, launched: list[tuple[str, dict[str, Any], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "NANOSECONDS_A_PART", 1.0)
    before = torch.get_num_threads()
    torch.set_num_threads(PARTS)
    try:
        CASES[case]().sum().backward()
    finally:
        torch.set_num_threads(before)
    seen = [(name, given, parts) for name, given, parts in launched if parts > 1]
    assert seen, "nothing ran in parts"
    shared = [
        f"{name}: {key} of {tensor.numel()} numbers in {parts} parts"
        for name, given, parts in seen
        for key, tensor in given.items()
        if key in PER_PART and isinstance(tensor, Tensor) and not apart(key, tensor, parts)
    ]
    assert shared == []


def apart(key: str, tensor: Tensor, parts: int) -> bool:
    """Whether each part's share of a tensor begins a cache line of its own."""
    copies = tensor.shape[0] if key in COPIES else parts
    if copies == 1 or not tensor.numel():
        return True
    size = tensor.numel() // copies * tensor.element_size()
    return tensor.data_ptr() % LINE == 0 and size % LINE == 0


def test_the_check_finds_a_shared_line() -> None:
    assert apart("scratch", torch.empty(4 * 16), 4)
    assert not apart("scratch", torch.empty(4 * 17), 4)
    assert not apart("dkeys", torch.empty(2, 5), 4)
    assert apart("dkeys", torch.empty(1, 5), 4)


@kernel.kernel
def meet(part, parts, flags, places, patience):  # type: ignore[no-untyped-def]
    """Each of two parts raises its flag and waits for that of the other; counts, so that the flag is read each time."""
    mine, other, count = places[part], places[1 - part], places[2 + part]
    flags[mine] = 1
    while flags[other] == 0 and flags[count] < patience:
        flags[count] += 1


def test_parts_run_at_the_same_time() -> None:
    """Each of two parts waits until the other has begun: under a common lock one would run out of patience."""
    flags, places, patience = (
        torch.zeros(64, dtype=torch.int64),
        torch.tensor([0, 16, 32, 48]),
        2**32,
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        kernel.launch(meet, flags, places, patience, work=1e9, parts=2)
    finally:
        torch.set_num_threads(before)
    assert flags[places[:2]].tolist() == [1, 1]
    assert int(flags.max()) < patience
