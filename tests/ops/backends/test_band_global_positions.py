"""A window with global positions by the compiled kernels, against the reference."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from heedful import attend, masks, normalizers, plan, positions, scores
from heedful.ops.backends.band.global_positions import GlobalLayout, attend_parts, plain
from heedful.ops.masks import Mask
from tests.ops.compare import assert_all_same

B, H, D = 2, 3, 32
MASKS: dict[str, Callable[[int], Mask]] = {
    "both sides": lambda keys: masks.Window(5, 3) | masks.Global(4),
    "the other order": lambda keys: masks.Global(4) | masks.Window(5, 3),
    "other numbers of queries and keys": lambda keys: masks.Window(7, 0) | masks.Global(2, 6),
    "queries alone": lambda keys: masks.Window(7, 0) | masks.Global(2, 0),
    "keys alone": lambda keys: masks.Window(7, 0) | masks.Global(0, 2),
    "none": lambda keys: masks.Window(7, 2) | masks.Global(0),
    "all": lambda keys: masks.Window(7, 2) | masks.Global(500),
    "open window": lambda keys: masks.Window(0, None) | masks.Global(3),
    "causal": lambda keys: (masks.Window(8, 8) | masks.Global(5)) & masks.Causal(align="top_left"),
    "causal to the last": lambda keys: (
        masks.Causal(align="bottom_right")
        & (masks.Window(8, 8, align="bottom_right") | masks.Global(5))
    ),
    "padding": lambda keys: (
        (masks.Window(5, 3) | masks.Global(3)) & masks.Padding(torch.tensor([keys // 2, keys]))
    ),
    "hardly any keys": lambda keys: (
        masks.Padding(torch.tensor([0, 2])) & (masks.Window(5, 3) | masks.Global(0, 3))
    ),
    "padding a head": lambda keys: (
        masks.Padding(torch.tensor([[1, 0, keys], [2, 9, 5]]))
        & (masks.Window(5, 3) | masks.Global(3))
    ),
    "all of them": lambda keys: (
        masks.Window(None, 20)
        & (masks.Window(5, 30) | masks.Global(3))
        & masks.Padding(torch.tensor([keys // 2, keys]))
        & masks.Padding(torch.tensor([[keys], [4]]))
    ),
}
LENGTHS = [(64, 64), (70, 33), (33, 95), (1, 40), (40, 1)]


def tensors(queries: int, keys: int, lead: tuple[int, ...] = (B, H)) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(*lead, length, D, dtype=torch.float64, requires_grad=True)
        for length in (queries, keys, keys)
    )


def assert_equals_reference(operands: tuple[Tensor, ...], mask: Mask, **options: object) -> None:
    results = []
    for name in ("band", "reference"):
        output = attend(*operands, mask=mask, backend=name, **options).output  # type: ignore[arg-type]
        direction = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
        slopes = torch.autograd.grad(output, operands, direction)
        results.append({"output": output.detach(), **dict(zip("qkv", slopes, strict=True))})
    assert_all_same(*results)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_outputs_and_gradients_equal_the_reference(name: str, queries: int, keys: int) -> None:
    mask = MASKS[name](keys)
    if queries != keys and name not in ("causal", "causal to the last"):
        mask = mask & masks.Window(None, None, align="top_left")
    assert_equals_reference(tensors(queries, keys), mask)


@given(
    sizes=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    sides=st.tuples(st.integers(0, 60), st.integers(0, 60)),
    count=st.integers(0, 60),
    keys=st.none() | st.integers(0, 60),
    lengths=st.lists(st.integers(0, 60), min_size=B, max_size=B),
)
def test_any_sizes(
    sizes: tuple[int, int],
    sides: tuple[int, int],
    count: int,
    keys: int | None,
    lengths: list[int],
) -> None:
    window = masks.Window(*sides, align="top_left") | masks.Global(count, keys)
    assert_equals_reference(tensors(*sizes), window & masks.Padding(torch.tensor(lengths)))


@pytest.mark.parametrize("lead", [(), (3,), (2, 2, 3)])
def test_any_leading_axes(lead: tuple[int, ...]) -> None:
    lengths = torch.arange(1, 50)[: torch.Size(lead).numel() or 1].reshape(lead)
    mask = MASKS["both sides"](40) & masks.Padding(lengths)
    assert_equals_reference(tensors(40, 40, lead), mask)


def test_heads_that_share_keys_and_values_of_another_size() -> None:
    query = torch.randn(B, 6, 50, D, dtype=torch.float64, requires_grad=True)
    key = torch.randn(B, 3, 50, D, dtype=torch.float64, requires_grad=True)
    value = torch.randn(B, 3, 50, 7, dtype=torch.float64, requires_grad=True)
    mask = masks.Padding(torch.arange(12).reshape(B, 6) * 5) & MASKS["both sides"](50)
    assert_equals_reference((query, key, value), mask, enable_gqa=True)


@pytest.mark.parametrize(
    "score", [scores.Dot(), scores.ScaledDot(0.3), scores.Cosine(2.0), scores.Gaussian(2.0),
              scores.SoftCapped(1.5, scores.Dot())], ids=lambda score: score.name
)  # fmt: skip
def test_every_score_of_inner_products(score: scores.Score) -> None:
    assert_equals_reference(tensors(50, 50), MASKS["padding"](50), score=score)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_other_dtypes(dtype: torch.dtype) -> None:
    operands = [one.detach().to(dtype) for one in tensors(50, 50)]
    mask = MASKS["padding"](50)
    found = attend(*operands, mask=mask, backend="band").output
    wanted = attend(*operands, mask=mask, backend="reference").output
    assert found.dtype == dtype
    tolerance = 1e-5 if dtype == torch.float32 else 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("index", range(3))
@pytest.mark.parametrize("name", ["both sides", "padding", "all of them"])
def test_what_is_hidden_or_not_finite_reaches_what_it_reaches_by_the_definition(
    name: str, index: int, poison: float
) -> None:
    for place in (0, 40, 63):
        operands = [one.detach().clone() for one in tensors(64, 64)]
        operands[index][:, :, place, 2] = poison
        leaves = [one.requires_grad_() for one in operands]
        results = []
        for backend in ("band", "reference"):
            output = attend(*leaves, mask=MASKS[name](64), backend=backend).output
            slopes = torch.autograd.grad(output, leaves, torch.ones_like(output))
            results.append((output.detach(), *slopes))
        for got, wanted in zip(*results, strict=True):
            torch.testing.assert_close(got, wanted, equal_nan=True)


def test_second_derivatives() -> None:
    operands = tuple(one[:1, :1].detach().requires_grad_() for one in tensors(34, 34))
    mask = MASKS["both sides"](34) & masks.Padding(torch.tensor([20]))

    def penalty(backend: str) -> Tensor:
        output = attend(*operands, mask=mask, backend=backend).output
        slopes = torch.autograd.grad(output.square().sum(), operands, create_graph=True)
        return sum((slope.square().sum() for slope in slopes), torch.zeros(()))

    results = [
        dict(zip("qkv", torch.autograd.grad(penalty(name), operands), strict=True))
        for name in ("band", "reference")
    ]
    assert_all_same(*results)


def test_views_are_read_as_they_lie_in_memory() -> None:
    packed = torch.randn(B, 50, 3, H, D, dtype=torch.float64, requires_grad=True)
    query, key, value = packed.permute(2, 0, 3, 1, 4)
    assert_equals_reference((query, key, value), MASKS["padding"](50))


def test_the_planner_takes_it_where_it_is_long() -> None:
    x = torch.empty(1, 1, 1, 1).expand(1, 4, 4096, 64)
    mask = masks.Window(64, 64) | masks.Global(4)
    assert plan(x, x, x, mask=mask).backend == "band"
    assert plan(x, x, x, mask=mask & masks.Padding(torch.tensor([4000]))).backend == "band"


@pytest.mark.parametrize(
    "options",
    [
        {"mask": masks.Window(3, 3) | masks.Global(2) | masks.Global(1)},
        {"mask": masks.Window(3, 3) | masks.Dense(torch.ones(40, 40).bool())},
        {"mask": (masks.Window(3, 3) | masks.Global(2)) & masks.Dense(torch.ones(40, 40).bool())},
        {"mask": ~(masks.Window(3, 3) | masks.Global(2))},
        {"mask": masks.Global(2)},
        {"bias": positions.ALiBi.for_heads(H)},
        {"dropout_p": 0.1},
        {"return_weights": True},
        {"normalizer": normalizers.Sigmoid()},
    ],
    ids=str,
)
def test_what_is_left_to_others(options: dict[str, object]) -> None:
    query, key, value = tensors(40, 40)
    options = {"mask": masks.Window(3, 3) | masks.Global(2), **options}
    assert plan(query, key, value, **options).backend != "band"  # type: ignore[arg-type]


def test_the_plain_form_is_what_the_kernels_compute() -> None:
    """The plain form serves second derivatives; a fault there would show nowhere else."""
    from heedful.ops.arguments import validated
    from heedful.ops.backends.band.global_positions import GlobalMask
    from heedful.ops.normalizers import Softmax

    operands = [one.detach() for one in tensors(50, 50)]
    mask = MASKS["all of them"](50)
    call = validated(*operands, scores.ScaledDot(), mask, None, Softmax(), 0.0, False, False)
    found = GlobalMask.of(call)
    assert found is not None
    layout = GlobalLayout.of(call, found)
    limits = layout.limits(call)
    got = attend_parts((operands[0], operands[1], operands[2]), layout, limits).output
    torch.testing.assert_close(got, plain(tuple(operands), layout, limits))
