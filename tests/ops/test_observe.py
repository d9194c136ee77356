"""Listening changes nothing and hears everything."""

from __future__ import annotations

import threading

import pytest
import torch

from heedful import attend, masks
from heedful.ops.observe import Observed, current_observer, observing
from tests.ops.compare import assert_same, run
from tests.ops.examples import HERE, example


@pytest.mark.parametrize("backend", HERE)
@pytest.mark.parametrize("return_weights", [False, True])
def test_what_is_told_is_what_was_done(backend: str, return_weights: bool) -> None:
    call = example("scaled_dot", "padding").leaves()
    seen: list[Observed] = []
    with observing(seen.append):
        heard = run(call, backend=backend, return_weights=return_weights)
    unheard = run(call, backend=backend, return_weights=return_weights)
    assert torch.equal(heard.output, unheard.output)
    assert (heard.weights is None) is not return_weights
    (told,) = seen
    assert told.backend == backend
    assert told.mask is not None
    assert torch.equal(told.mask, call.keep())
    assert not told.weights.requires_grad
    wanted = run(call, backend="reference", return_weights=True).weights
    assert wanted is not None
    assert_same(told.weights, wanted.detach())


def test_no_mask_and_no_keys() -> None:
    x, none = torch.randn(2, 3, 4), torch.randn(2, 0, 4)
    seen: list[Observed] = []
    with observing(seen.append):
        attend(x, x, x)
        attend(x, none, none, mask=masks.Window(1, 1))
    assert seen[0].mask is None
    assert seen[1].weights.shape == (2, 3, 0)
    assert seen[1].mask is not None
    assert seen[1].mask.shape == (2, 3, 0)


def test_blocks_nest_and_end_with_an_error() -> None:
    outer: list[Observed] = []
    inner: list[Observed] = []
    x = torch.randn(1, 2, 2)
    with observing(outer.append):
        with observing(inner.append):
            attend(x, x, x)
        attend(x, x, x)
        with pytest.raises(RuntimeError, match="stop"), observing(inner.append):
            raise RuntimeError("stop")
        attend(x, x, x)
    attend(x, x, x)
    assert (len(outer), len(inner)) == (2, 1)
    assert current_observer() is None


def test_other_threads_are_not_heard() -> None:
    seen: list[Observed] = []
    x = torch.randn(1, 2, 2)
    with observing(seen.append):
        thread = threading.Thread(target=attend, args=(x, x, x))
        thread.start()
        thread.join()
    assert seen == []
