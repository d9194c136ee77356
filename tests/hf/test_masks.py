"""Masks of transformers as masks of Heedful, and the tensor that carries them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import masking_utils

from heedful.hf.mask_tensor import MaskTensor
from heedful.hf.masks import attention_mask
from heedful.ops import masks

PATTERNS: dict[str, Callable[..., Any]] = {
    "causal": masking_utils.causal_mask_function,
    "bidirectional": masking_utils.bidirectional_mask_function,
    "window": masking_utils.sliding_window_causal_mask_function(3),
    "window both sides": masking_utils.sliding_window_bidirectional_mask_function(2),
    "chunked": masking_utils.chunked_causal_mask_function(3, torch.zeros(2, dtype=torch.long)),
    "own": masking_utils.or_masks(
        masking_utils.causal_mask_function, lambda batch, head, query, key: key < 2
    ),
}
KEPT = {
    "none": None,
    "whole": [9, 9],
    "right": [9, 5],
    "left": [9, -5],
    "empty": [9, 0],
}
"""Padding -> the number of keys of each row: the first ones, or the last if it is negative."""


def padding(name: str) -> torch.Tensor | None:
    counts = KEPT[name]
    if counts is None:
        return None
    places = torch.arange(9)
    rows = [places < count if count >= 0 else places >= 9 + count for count in counts]
    return torch.stack(rows)


@pytest.mark.parametrize("queries", [1, 4, 9])
@pytest.mark.parametrize("offset", ["end", "begin", "between"])
@pytest.mark.parametrize("padded", KEPT)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_is_the_mask_of_sdpa(pattern: str, padded: str, offset: str, queries: int) -> None:
    starts = {"end": 9 - queries, "begin": 0, "between": (9 - queries) // 2}
    call: dict[str, Any] = {
        "batch_size": 2,
        "q_length": queries,
        "kv_length": 9,
        "q_offset": starts[offset],
        "kv_offset": 0,
        "mask_function": PATTERNS[pattern],
        "attention_mask": padding(padded),
        "device": "cpu",
    }
    wanted = masking_utils.sdpa_mask(**call, allow_is_causal_skip=False)
    got = attention_mask(**call, allow_is_causal_skip=True)
    assert got is not None
    assert got.shape == wanted.shape
    assert torch.equal(got & True, wanted)
    known = offset != "between" or queries == 9
    assert isinstance(got, MaskTensor) == (known and pattern not in ("chunked", "own"))


def test_a_cache_that_has_forgotten_its_begin() -> None:
    call: dict[str, Any] = {
        "batch_size": 2,
        "q_length": 2,
        "kv_length": 4,
        "q_offset": 7,
        "kv_offset": 5,
        "mask_function": PATTERNS["window"],
        "attention_mask": padding("right"),
        "device": "cpu",
    }
    got = attention_mask(**call)
    assert isinstance(got, MaskTensor)
    assert torch.equal(got & True, masking_utils.sdpa_mask(**call, allow_is_causal_skip=False))


def test_nothing_masked_is_no_mask() -> None:
    call: dict[str, Any] = {
        "batch_size": 2,
        "q_length": 9,
        "kv_length": 9,
        "q_offset": 0,
        "kv_offset": 0,
        "mask_function": PATTERNS["bidirectional"],
        "attention_mask": padding("whole"),
        "device": "cpu",
    }
    assert attention_mask(**call, allow_is_bidirectional_skip=True) is None


def test_what_is_written_into_a_mask_stays() -> None:
    mask = MaskTensor(masks.Causal(), (1, 1, 3, 3), "cpu")
    mask[..., 0] = False
    assert isinstance(mask, MaskTensor)
    assert isinstance(mask.mask, masks.Dense)
    assert (mask & True).int().tolist() == [[[[0, 0, 0], [0, 1, 0], [0, 1, 1]]]]
    assert mask.mask.keep.tolist() == (mask & True).tolist()


def test_a_mask_reads_like_a_tensor() -> None:
    mask = MaskTensor(masks.Window(0, 0), (2, 1, 3, 3), "cpu")
    assert mask.shape == (2, 1, 3, 3)
    assert mask.dtype is torch.bool
    assert repr(mask).startswith("MaskTensor(Window(")
    assert mask[1, 0].tolist() == torch.eye(3).bool().tolist()
    assert torch.where(mask, 1.0, 0.0).sum() == 6
