"""Kernels are compiled once, kept on disk, and run every part; what cannot run says why."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from heedful.ops.jit import kernel as runtime
from heedful.ops.jit.kernel import (
    compile_seconds,
    dense,
    inlined,
    kernel,
    launch,
    parts_for,
    prefetch,
    unavailable,
)
from heedful.ops.jit.source import ELEMENTS

FACTOR = 3


@inlined
def scaled(number, factor):
    return number * factor


@kernel
def multiples(part, parts, source, target, factor):
    for i in range(len(source) * part // parts, len(source) * (part + 1) // parts):
        target[i] = scaled(source[i], factor) * FACTOR


@kernel
def mark(part, parts, target):
    target[part] += parts


@kernel(halves=True)
def copy_rows(part, parts, source, target):
    for i in range(source.shape[0]):
        for j in range(source.shape[1]):
            row, out = source[i, j], target[i, j]
            for k in range(len(row)):
                out[k] = row[k]


@kernel
def total(part, parts, rows, target):
    for i in range(rows.shape[0]):
        row = dense(rows[i])
        prefetch(row, 0)
        for number in row:
            target[0] += number


@kernel
def write_options(part, parts, target, yes, no, whole, real, nothing):
    target[0] = 1 if yes else 0
    target[1] = 1 if no else 0
    target[2] = whole
    target[3] = real
    target[4] = 1 if nothing is None else 0


@kernel
def fail_at(part, parts, target, wrong):
    if part == wrong:
        raise ValueError("this part is wrong")
    target[part] = 1


@kernel
def divide(part, parts, source, target):
    for i in range(len(source)):
        target[i] = 1 / source[i]


@kernel(fastmath=frozenset())
def in_order(part, parts, source, target):
    total = target[0]
    for number in source:
        total += number
    target[0] = total


def test_kernels_can_run_here() -> None:
    assert unavailable() is None


@pytest.mark.parametrize("work", [0.0, 1e9])
def test_a_kernel_calls_helpers_and_constants(work: float) -> None:
    source = torch.arange(11.0)
    target = torch.empty(11)
    launch(multiples, source, target, 2.0, work=work)
    torch.testing.assert_close(target, source * 6)


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 64])
def test_every_part_runs_once_whatever_the_number_of_threads(parts: int) -> None:
    target = torch.zeros(parts, dtype=torch.int64)
    launch(mark, target, work=0, parts=parts)
    assert target.tolist() == [parts] * parts


@pytest.mark.parametrize("dtype", ELEMENTS)
def test_element_types(dtype: torch.dtype) -> None:
    source = torch.tensor([[[0, 1], [1, 0], [1, 1]]], dtype=dtype)
    target = torch.empty_like(source)
    launch(copy_rows, source, target, work=0)
    assert torch.equal(source, target)


@pytest.mark.parametrize(
    "view",
    [
        lambda t: t,
        lambda t: t.transpose(0, 1),
        lambda t: t.permute(2, 1, 0),
        lambda t: t[:, ::2, 1::3],
        lambda t: t[:1].expand(5, -1, -1),
        lambda t: t[:, :0],
        lambda t: t.as_strided((3, 2, 4), (2, 1, 1)),
        lambda t: t.clone().requires_grad_(),
    ],
)
def test_views_share_memory_whatever_their_strides(view) -> None:
    source = view(torch.arange(120.0).view(4, 5, 6))
    target = torch.full(source.shape, -1.0)
    launch(copy_rows, source, target, work=0)
    assert torch.equal(source, target)
    if source.numel() and 0 not in source.stride() and not source.requires_grad:
        launch(copy_rows, torch.zeros(source.shape), source, work=0)
        assert not source.any()


def test_dense_rows_of_a_strided_view() -> None:
    rows, target = torch.arange(40.0).view(4, 10)[:, 2:5], torch.zeros(1)
    launch(total, rows, target, work=0)
    assert target.item() == rows.sum().item()


def test_scalars_and_nothing() -> None:
    target = torch.empty(5, dtype=torch.float64)
    launch(write_options, target, True, False, -(2**62), math.pi, None, work=0)
    assert target.tolist() == [1, 0, -(2**62), math.pi, 1]
    launch(write_options, target, False, True, 0, -math.inf, 1, work=0)
    assert target.tolist() == [0, 1, 0, -math.inf, 0]


def test_division_by_zero_is_infinite_and_nan_stays() -> None:
    source, target = torch.tensor([0.0, -0.0, math.nan, math.inf]), torch.empty(4)
    launch(divide, source, target, work=0)
    assert target[:2].abs().tolist() == [math.inf] * 2
    assert math.isnan(target[2])
    assert target[3] == 0


def test_flags_of_the_authors_choice() -> None:
    source = torch.tensor([1e8, 1.0, -1e8] * 50)
    expected = np.float32(0)
    for number in source.numpy():
        expected += number
    target = torch.zeros(1)
    launch(in_order, source, target, work=0)
    assert target.item() == expected


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("work", [0.0, 1e6])
def test_what_a_part_raises_is_raised(parts: int, work: float) -> None:
    target = torch.zeros(parts)
    with pytest.raises(ValueError, match="this part is wrong"):
        launch(fail_at, target, parts - 1, work=work, parts=parts)
    launch(fail_at, target, -1, work=work, parts=parts)
    assert target.tolist() == [1] * parts


@kernel
def fail_once(part, parts, state):
    if state[0] == 0:
        state[0] = 1
        raise ValueError("only once")


def test_a_failure_that_does_not_come_back_is_not_lost() -> None:
    with pytest.raises(RuntimeError, match="part 0 of 1 of the kernel test_kernel.fail_once"):
        launch(fail_once, torch.zeros(1), work=0)


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        (torch.zeros(3, dtype=torch.complex64), "torch.complex64 on cpu"),
        (torch.zeros(3, device="meta"), "torch.float32 on meta"),
        ("text", "a str"),
    ],
)
def test_arguments_that_no_kernel_takes(argument: object, found: str) -> None:
    launch(mark, torch.zeros(3), work=0, parts=1)
    with pytest.raises(TypeError, match=f"argument 0 of a kernel is {found}; wanted"):
        launch(mark, argument, work=0)


def test_little_work_is_not_shared_and_much_follows_torch() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            assert parts_for(0) == parts_for(1000) == 1
            assert parts_for(1e9) == threads
        torch.set_num_threads(64)
        assert parts_for(3 * runtime.NANOSECONDS_A_PART) == 3
    finally:
        torch.set_num_threads(before)


def test_it_is_known_how_long_each_kernel_took_to_be_ready() -> None:
    launch(mark, torch.zeros(3, 1)[:, 0], work=0, parts=1)
    seconds = compile_seconds()["test_kernel.mark"]
    assert 0 < seconds < 60
    launch(mark, torch.zeros(3, 1)[:, 0], work=0, parts=1)
    assert compile_seconds()["test_kernel.mark"] == seconds


def test_whether_kernels_can_run_may_be_asked_while_tracing() -> None:
    compiled = torch.compile(lambda x: (x + 1, unavailable()), fullgraph=True, backend="eager")
    assert compiled(torch.zeros(1))[1] is None
