"""The plan says what attend does, why, and what it keeps: held against what is really kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from heedful import masks, normalizers, plan, scores
from heedful.ops.arguments import validated
from heedful.ops.backends import BACKENDS
from heedful.ops.backends.band import backend as band
from heedful.ops.call import Call
from heedful.ops.normalizers import NORMALIZERS
from heedful.ops.observe import Observed, observing
from heedful.ops.plan import WHOLE_BYTES, choose
from tests.ops.compare import run
from tests.ops.examples import BACKEND_EXAMPLES, BACKEND_MASKS, Example, example, served_triples


def chosen(call: Example, **options: object) -> str:
    """Which backend ran."""
    seen: list[Observed] = []
    with observing(seen.append):
        run(call, **options)
    return seen[0].backend


def checked_call(call: Example) -> Call:
    """The call as backends receive it."""
    return validated(**call.arguments(), dropout_p=0.0, enable_gqa=False, return_weights=False)  # type: ignore[arg-type]


def bytes_saved(call: Example, **options: object) -> int:
    """What autograd keeps between the passes, each storage counted once."""
    storages: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    leaves = call.leaves()
    with saved_tensors_hooks(pack, lambda tensor: tensor):
        output = run(leaves, **options).output
    assert output.grad_fn is not None
    for tensor in leaves.tensors().values():
        storages[tensor.untyped_storage().data_ptr()] = tensor
    # Which keys are whose neighbours belongs to the mask, that is there before and after the call.
    places = (torch.int32, torch.int64)
    kept = [tensor for tensor in storages.values() if tensor.dtype not in places]
    return sum(tensor.untyped_storage().nbytes() for tensor in kept)


def large(score: str, normalizer: str, queries: int, mask: bool = False) -> Example:
    call = example(score, None, normalizer, dtype=torch.float32, queries=queries, keys=queries)
    return Example(**{**call.arguments(), "mask": masks.Causal() if mask else None})  # type: ignore[arg-type]


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize(("score", "normalizer", "backend"), served_triples())
def test_bytes_for_backward_are_those_kept(
    score: str, normalizer: str, backend: str, mask: bool
) -> None:
    call = large(score, normalizer, 48, mask)
    planned = plan(**call.leaves().arguments(backend), backend=backend).bytes_for_backward  # type: ignore[arg-type]
    saved = bytes_saved(call, backend=backend)
    # Parameters, statistics of rows and scaled copies on the way to prepared features are not counted; where cells are
    # kept, or autograd is not told what is, these matter less.
    room = 1.4 if backend == "band" else 1.25
    assert saved / room <= planned <= saved * room, (planned, saved)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
@pytest.mark.parametrize("score", ["dot", "additive"])
def test_what_chunked_keeps_grows_with_length_alone(score: str, normalizer: str) -> None:
    short, long = (
        bytes_saved(large(score, normalizer, n, mask=True), backend="chunked") for n in (32, 128)
    )
    assert long <= 4.2 * short
    planned = [
        plan(
            **large(score, normalizer, n).leaves().arguments(), backend="chunked"
        ).bytes_for_backward  # type: ignore[arg-type]
        for n in (32, 128)
    ]
    assert planned[1] <= 4.2 * planned[0]


def test_nothing_is_kept_where_no_gradient_is_wanted() -> None:
    call = example("additive", "dense")
    for backend in ("reference", "chunked"):
        assert plan(**call.arguments(backend), backend=backend).bytes_for_backward == 0  # type: ignore[arg-type]
    with torch.no_grad():
        assert plan(**call.leaves().arguments()).bytes_for_backward == 0  # type: ignore[arg-type]


def test_flops_of_a_dot_product() -> None:
    query, key, value = torch.ones(2, 3, 5, 8), torch.ones(2, 3, 7, 8), torch.ones(2, 3, 7, 4)
    pairs = 2 * 3 * 5 * 7
    assert plan(query, key, value).flops == pairs * (2 * 8 + 2 * 4)
    bilinear = scores.Bilinear(torch.ones(8, 8))
    assert plan(query, key, value, score=bilinear).flops == pairs * 24 + 2 * 3 * 5 * 2 * 8 * 8


def test_flops_spare_what_is_prepared_for_each_head() -> None:
    heads, key = 3, torch.randn(2, 1, 7, 6)
    query = torch.randn(2, 1, 4, 5)
    score = scores.Additive(
        torch.randn(heads, 5, 8), torch.randn(heads, 6, 8), torch.randn(heads, 8)
    )
    whole = plan(query, key, key, score=score).flops
    prepared = plan(query, score.prepare_key(key), key, score=score).flops
    assert whole - prepared == 2 * (2 * heads) * 7 * 6 * 8


def test_flops_spare_what_is_prepared() -> None:
    query, key = torch.ones(5, 8), torch.ones(7, 6)
    score = scores.LowRank(torch.ones(8, 2), torch.ones(6, 2))
    whole = plan(query, key, key, score=score).flops
    assert whole - plan(query, score.prepare_key(key), key, score=score).flops == 2 * 7 * 6 * 2


@pytest.mark.parametrize(("score", "normalizer", "backend"), served_triples("auto"))
def test_the_plan_is_what_runs_and_every_other_backend_is_explained(
    score: str, normalizer: str, backend: str
) -> None:
    call = example(score, "dense", normalizer)
    planned = plan(**call.arguments(backend), backend=backend)  # type: ignore[arg-type]
    assert planned.backend == chosen(call, backend=backend)
    assert planned.rejected.keys() == BACKENDS.keys() - {planned.backend}
    assert all(planned.rejected.values())
    assert planned.reason
    text = str(planned)
    for name, why in planned.rejected.items():
        assert f"not {name}: {why}" in text
        refusal = BACKENDS[name].supports(checked_call(call))
        if BACKEND_EXAMPLES[name](score, normalizer) and name not in BACKEND_MASKS:
            assert refusal is None
        if refusal is None:
            assert "asked for by name" in why or "serves the call too" in why
        else:
            assert why == refusal


def test_large_calls_are_cut_into_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(band.Banded, "cost", band.WIDE_COST)
    x = torch.empty(1, 1, 1, 1).expand(1, 8, 4096, 16)
    other = plan(x, x, x, normalizer=normalizers.Sigmoid())
    assert other.backend == "chunked"
    assert "memory is block × keys" in other.reason
    assert plan(x, x, x, normalizer=normalizers.Sparsemax()).backend == "band"
    assert plan(x, x, x).backend == "band"
    assert plan(x, x, x[..., :8], dropout_p=0.1).backend == "band"
    dropped = plan(x, x, x, normalizer=normalizers.Sparsemax(), dropout_p=0.1)
    assert dropped.backend == "band"
    short = x[..., :64, :]
    assert plan(short, short, short, dropout_p=0.1).backend != "chunked"


def test_plan_of_shapes_alone() -> None:
    x = torch.empty(2, 4, 64, 8, device="meta")
    assert plan(x, x, x).backend == "sdpa"
    planned = plan(x, x, x, mask=masks.Causal())
    assert planned.backend == "reference"
    assert "cannot be seen whether masked inputs are finite" in planned.rejected["sdpa"]


def test_a_backend_that_is_never_taken_for_a_call_has_no_number() -> None:
    rows = torch.zeros(1, 4, 49, 24)
    told = plan(rows, rows, rows)
    assert told.backend != "band"
    assert told.rejected["band"].endswith("costs less for calls of this kind and size")


def test_the_cheapest_that_serves_and_fits_is_taken() -> None:
    for length in (4, 64, 512):
        for score in ("scaled_dot", "additive"):
            for normalizer in NORMALIZERS:
                call = checked_call(
                    example(score, "window", normalizer, queries=length, keys=length)
                )
                taken = choose(call, "auto")
                fitting = [
                    backend.seconds(call)
                    for backend in BACKENDS.values()
                    if backend.supports(call) is None and backend.bytes_at_once(call) <= WHOLE_BYTES
                ]
                assert taken.seconds(call) == min(fitting)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_call_is_expected_to_take_less_than_the_smallest(backend: str) -> None:
    for score in ("scaled_dot", "additive"):
        for mask in (None, "window", "edges"):
            call = checked_call(
                example(score, mask, queries=1, keys=1) if mask is None else example(score, mask)
            )
            assert BACKENDS[backend].seconds(call) >= BACKENDS[backend].cost.call


def test_gradients_and_length_are_expected_to_take_longer() -> None:
    short, long = (large("scaled_dot", "softmax", length) for length in (64, 256))
    assert plan(**short.arguments()).seconds < plan(**long.arguments()).seconds  # type: ignore[arg-type]
    assert plan(**short.arguments()).seconds < plan(**short.leaves().arguments()).seconds  # type: ignore[arg-type]
    assert "seconds on a processor" in str(plan(**short.arguments()))  # type: ignore[arg-type]


def test_operations_are_those_of_the_pairs_that_are_computed() -> None:
    x = torch.randn(2, 20_000, 16)
    near = plan(x, x, x, mask=masks.Window(8, 8))
    assert near.backend == "band"
    assert 2 * 20_000 * 17 * 64 < near.flops < 2 * 20_000 * 100 * 64
    edges = masks.Edges(torch.randint(20_000, (2, 70_000)), 20_000, 20_000)
    assert plan(x, x, x, mask=edges).flops == 2 * 70_000 * 64
