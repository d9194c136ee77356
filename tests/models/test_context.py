"""How far a state of an encoder sees is what its `context` says."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from heedful.models.encoders import ENCODERS
from heedful.models.encoders.base import UNBOUNDED, Context
from tests.models.test_encoders import SMALL, build

BANDED = {"mask": "window", "positions": "rotary"}
BOUNDED: list[tuple[str, dict[str, Any], Context]] = [
    ("none", {}, Context(0, 0)),
    ("window", {"size": 2}, Context(2, 2)),
    ("convolution", {"size": 1, "layers": 3}, Context(3, 3)),
    ("ngrams", {"widths": (2, 5)}, Context(2, 2)),
    ("ngrams", {"widths": (4,)}, Context(1, 2)),
    ("transformer", {**BANDED, "window": 2, "layers": 2}, Context(4, 4)),
    ("transformer", {**BANDED, "window": 3, "window_after": 0, "layers": 1}, Context(3, 0)),
    ("attention", {**BANDED, "window": 1, "window_after": 2, "layers": 2}, Context(2, 4)),
    (
        "attention",
        {**BANDED, "window": 1, "window_after": 0, "positions": "relative"},
        Context(2, 0),
    ),
]


@pytest.mark.parametrize(("kind", "options", "context"), BOUNDED)
def test_a_state_depends_on_its_context_alone(
    kind: str, options: dict[str, Any], context: Context
) -> None:
    encoder = build(kind, **options).double()
    assert encoder.context == context
    inputs = torch.randn(1, 20, 4, generator=torch.Generator().manual_seed(2)).double()
    lengths = torch.tensor([20])
    before = encoder(inputs, lengths).values[0, 10]
    seen = []
    for position in range(20):
        changed = inputs.clone()
        changed[0, position] += 1.0
        if not torch.equal(encoder(changed, lengths).values[0, 10], before):
            seen.append(position - 10)
    assert context.before is not None
    assert context.after is not None
    assert seen == list(range(-context.before, context.after + 1))
    moved = encoder(inputs[:, 5:], torch.tensor([15])).values[0, 5]
    torch.testing.assert_close(moved, before)


@pytest.mark.parametrize("kind", SMALL)
def test_others_are_unbounded(kind: str) -> None:
    if kind not in ("none", "window", "convolution", "ngrams"):
        assert build(kind).context == UNBOUNDED
    assert kind in ENCODERS


@pytest.mark.parametrize(
    "options",
    [
        {"mask": "full", "positions": "rotary"},
        {"mask": "causal", "positions": "rotary"},
        {"mask": "window", "positions": "sinusoidal"},
        {"mask": "window", "positions": "rotary", "global_positions": 2},
    ],
)
def test_attention_is_bounded_only_by_a_window_without_places(options: dict[str, Any]) -> None:
    assert build("transformer", **options).context == UNBOUNDED


def test_global_positions_see_and_are_seen_by_all() -> None:
    options = {**BANDED, "window": 1, "layers": 1, "global_positions": 2}
    encoder = build("transformer", **options).double()
    inputs = torch.randn(1, 12, 4, generator=torch.Generator().manual_seed(3)).double()
    lengths = torch.tensor([12])
    before = encoder(inputs, lengths).values[0]
    seen = {}
    for position in range(12):
        changed = inputs.clone()
        changed[0, position] += 1.0
        after = encoder(changed, lengths).values[0]
        seen[position] = [n for n in range(12) if not torch.equal(after[n], before[n])]
    assert seen[0] == seen[1] == list(range(12))
    assert seen[7] == [0, 1, 6, 7, 8]
