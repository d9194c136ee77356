"""Additive attention as one kernel: outputs and all gradients against `reference` in float64."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, plan, scores
from heedful.ops.backends.additive import attention as additive_softmax
from heedful.ops.backends.additive import launch as additive_attend
from heedful.ops.jit import cache as runtime_store
from heedful.ops.jit import kernel as runtime
from tests.ops.compare import assert_same

pytestmark = pytest.mark.skipif(runtime.unavailable() is not None, reason="kernels cannot run here")

# (*lead), queries, keys, features of all inputs, hidden, width of values
SHAPES = {
    "one of each": ((), 1, 1, 1, 1, 1),
    "a step": ((3,), 1, 40, 8, 32, 64),
    "few queries": ((2, 2), 3, 17, 5, 20, 7),
    "as many as are not few": ((2,), 4, 16, 5, 16, 33),
    "a tile and a key": ((2,), 9, 65, 6, 31, 32),
    "one short of a tile": ((), 33, 63, 6, 129, 70),
    "several chunks": ((), 5, 1100, 4, 9, 40),
    "several blocks": ((), 300, 130, 6, 24, 16),
    "wide": ((1,), 40, 30, 4, 1040, 12),
    "mapped by the kernel": ((2,), 9, 33, 32, 64, 32),
}
Leaves = list[Tensor]


def drawn(name: str, size: float = 1.0) -> Leaves:
    lead, queries, keys, features, hidden, width = SHAPES[name]
    return [
        torch.randn(*lead, queries, features),
        torch.randn(*lead, keys, features),
        torch.randn(*lead, keys, width),
        torch.randn(features, hidden) * size / features**0.5,
        torch.randn(features, hidden) * size / features**0.5,
        torch.randn(hidden) / hidden**0.5,
    ]


def results(
    tensors: Leaves, dtype: torch.dtype, backend: str, lengths: Tensor | None, prepared: bool
) -> Leaves:
    """The output and all gradients in one direction."""
    leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
    score = scores.Additive(*leaves[3:])
    key = score.prepare_key(leaves[1]) if prepared else leaves[1]
    mask = None if lengths is None else masks.Padding(lengths)
    output = attend(leaves[0], key, leaves[2], score=score, mask=mask, backend=backend).output
    direction = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).cos().view(output.shape)
    return [output.detach(), *torch.autograd.grad(output, leaves, direction.to(dtype))]


def assert_agree(
    tensors: Leaves, lengths: Tensor | None = None, prepared: bool = False, backend: str = "auto"
) -> None:
    wanted = results(tensors, torch.float64, "reference", lengths, prepared)
    got = results(tensors, torch.float32, backend, lengths, prepared)
    for one, other in zip(got, wanted, strict=True):
        assert_same(one.double(), other, dtype=torch.float32)


@pytest.mark.parametrize("backend", ["auto", "additive"])
@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize("name", SHAPES)
def test_every_shape(name: str, prepared: bool, backend: str) -> None:
    assert_agree(drawn(name), prepared=prepared, backend=backend)


@pytest.mark.parametrize("backend", ["auto", "additive"])
@pytest.mark.parametrize("queries", [1, 20])
def test_padding(queries: int, backend: str) -> None:
    tensors = [torch.randn(4, queries, 6), *(torch.randn(4, 70, 6) for _ in range(2))]
    tensors += [torch.randn(6, 24), torch.randn(6, 24), torch.randn(24) / 5]
    lengths = torch.tensor([0, 70, 5, 64])
    assert_agree(tensors, lengths, backend=backend)
    poisoned = [tensor.clone() for tensor in tensors]
    poisoned[1][2, 5:], poisoned[2][2, 5:] = torch.nan, torch.inf
    clean = results(tensors, torch.float32, backend, lengths, False)
    for got, want in zip(
        results(poisoned, torch.float32, backend, lengths, False), clean, strict=True
    ):
        assert_same(got, want)
    assert_agree(tensors, torch.tensor([-3, 99, 1, 2]), backend=backend)


@pytest.mark.parametrize("size", [8.0, 30.0])
@pytest.mark.parametrize("name", ["a step", "a tile and a key"])
def test_numbers_of_any_size(name: str, size: float) -> None:
    assert_agree(drawn(name, size), prepared=True)


@pytest.mark.parametrize("queries", [2, 8])
def test_large_numbers_are_exact_where_they_cancel(queries: int) -> None:
    query, key, value = torch.randn(queries, 20), torch.randn(70, 20), torch.randn(70, 16)
    query[1, 3], key[2, 3], key[5], key[6] = 30.0, -30.0, -60.0, 200.0
    query[0], key[7], key[8, 1] = -60.0, 60.0, -torch.inf
    vector = torch.randn(20) / 5
    vector[4] = 5000.0
    for weights in (vector, torch.randn(20) / 5):
        score = scores.Additive(torch.eye(20), torch.eye(20), weights)
        prepared = scores.PreparedKey(key, score.key_kind)
        got = attend(query, prepared, value, score=score).output
        wide = scores.Additive(torch.eye(20).double(), torch.eye(20).double(), weights.double())
        prepared = scores.PreparedKey(key.double(), score.key_kind)
        wanted = attend(query.double(), prepared, value.double(), score=wide, backend="reference")
        assert_same(got.double(), wanted.output, dtype=torch.float32)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_not_finite_spoils_what_sees_it(place: int) -> None:
    tensors = drawn("a tile and a key")
    tensors[place][0, 2, 1] = torch.nan
    got = results(tensors, torch.float32, "auto", None, False)[0]
    wanted = results(tensors, torch.float64, "reference", None, False)[0]
    assert torch.equal(got.isnan(), wanted.isnan())


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("lead", [(), (2,), (3,), (16,)])
def test_any_share_of_the_work_gives_the_same(
    lead: tuple[int, ...], threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(additive_attend, "parts_for", lambda work: threads)
    tensors = [torch.randn(*lead, 7, 5), *(torch.randn(*lead, 66, 5) for _ in range(2))]
    assert_agree([*tensors, torch.randn(5, 20), torch.randn(5, 20), torch.randn(20) / 4])


def test_heads_that_share_keys_and_vectors_of_their_own() -> None:
    tensors = [torch.randn(2, 3, 6, 4), torch.randn(2, 1, 9, 4), torch.randn(2, 1, 9, 5)]
    assert_agree([*tensors, torch.randn(3, 4, 8), torch.randn(4, 8), torch.randn(3, 8)])
    turned = [torch.randn(6, 2, 4).transpose(0, 1), *(torch.randn(2, 5, 9).mT for _ in range(2))]
    turned[1] = turned[1][..., :4]
    assert_agree([*turned, torch.randn(4, 8), torch.randn(4, 8), torch.randn(8)])


@pytest.mark.parametrize("lengths", [None, torch.tensor([0, 2])])
def test_second_derivatives_by_plain_mathematics(lengths: Tensor | None) -> None:
    tensors = [torch.randn(2, 3, 4), torch.randn(2, 5, 4), torch.randn(2, 5, 2)]
    tensors += [torch.randn(4, 6), torch.randn(4, 6), torch.randn(6)]
    found = []
    for dtype, backend in ((torch.float32, "auto"), (torch.float64, "reference")):
        leaves = [tensor.to(dtype).requires_grad_() for tensor in tensors]
        mask = None if lengths is None else masks.Padding(lengths)
        score = scores.Additive(*leaves[3:])
        output = attend(*leaves[:3], score=score, mask=mask, backend=backend).output
        first = torch.autograd.grad((output**2).sum(), leaves, create_graph=True)
        total = sum((gradient**2).sum() for gradient in first)
        found.append(torch.autograd.grad(total, leaves))  # type: ignore[arg-type]
    for got, want in zip(*found, strict=True):
        assert_same(got.double(), want, dtype=torch.float32)


def test_only_what_is_asked_for_is_differentiated() -> None:
    for name in ("query", "memory", "query_weight", "vector"):
        given = {"query": torch.randn(2, 3, 4), "memory": torch.randn(2, 5, 4)}
        given |= {"query_weight": torch.randn(4, 6), "vector": torch.randn(6)}
        leaf = given[name].requires_grad_()
        score = scores.Additive(given["query_weight"], torch.randn(4, 6), given["vector"])
        output = attend(given["query"], given["memory"], given["memory"], score=score).output
        (gradient,) = torch.autograd.grad(output.sum(), leaf)
        assert gradient.shape == leaf.shape


def test_maps_are_part_of_the_step_of_autograd_where_all_heads_share_them() -> None:
    tensors = [tensor.requires_grad_() for tensor in drawn("few queries")]
    score = scores.Additive(*tensors[3:])
    for key, others in ((tensors[1], 0), (score.prepare_key(tensors[1]), 1)):
        output = attend(tensors[0], key, tensors[2], score=score, backend="additive").output
        assert output.grad_fn is not None
        before = {step for step, _ in output.grad_fn.next_functions if step is not None}
        leaves = [step for step in before if type(step).__name__ == "AccumulateGrad"]
        assert len(before) - len(leaves) == others
    assert plan(*tensors[:3], score=score).backend == "additive"


def test_half_precision_and_autocast_are_prepared_first() -> None:
    tensors = drawn("few queries")
    score = scores.Additive(*tensors[3:])
    wanted = attend(*tensors[:3], score=score, backend="reference").output
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered = attend(*tensors[:3], score=score, backend="additive").output
    assert lowered.dtype == torch.bfloat16
    assert_same(lowered.float(), wanted, dtype=torch.bfloat16)
    half = [tensor.bfloat16() for tensor in tensors]
    got = attend(*half[:3], score=scores.Additive(*half[3:]), backend="additive").output
    assert_same(got.float(), wanted, dtype=torch.bfloat16)


PROGRAM = """
import sys, torch
from heedful import attend, normalizers, scores
from heedful.ops.jit import kernel as runtime
x = torch.ones(2, 9, 32, requires_grad=True)
score = scores.Additive(torch.ones(32, 32), torch.ones(32, 32), torch.ones(32, requires_grad=True))
attend(x, x, x, score=score).output.sum().backward()
attend(x, x, x, score=score, normalizer=normalizers.ReLU(), backend="chunked").output.sum().backward()
if __name__ == "__main__":
    print("numba" in sys.modules, sorted(runtime.compile_seconds()))
"""


def test_loaded_from_disk_without_numba() -> None:
    exec(compile(PROGRAM, "program", "exec"), {"__name__": "here"})
    if not runtime_store.has_entries():
        pytest.skip("no folder can be written")
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=240
    )
    assert told.stdout.startswith("False ['backward.additive_backward"), told.stdout
    assert "matrices.gradients_kernel" in told.stdout


def test_the_comparison_sees_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    right = additive_softmax.attend_backward
    for place in range(4):

        def wrong(*given: object, place: int = place) -> tuple[Tensor, ...]:
            found = right(*given)  # type: ignore[arg-type]
            found[place].view(-1)[0] += 1e-3
            return found

        monkeypatch.setattr(additive_softmax, "attend_backward", wrong)
        with pytest.raises(AssertionError, match="of"):
            assert_agree(drawn("few queries"), prepared=False)
