"""The compiled kernels where no window bounds what is seen: no mask, causal, padding, and these together."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from heedful import attend, masks, plan, positions, scores
from heedful.ops.backends.band import passes
from heedful.ops.backends.band.plain import PlainBlock
from heedful.ops.backends.band.window import Band
from heedful.ops.masks import Mask
from heedful.ops.masks.bounds import Bounds
from tests.ops.compare import assert_all_same, assert_same

B, H, D = 2, 3, 32
MASKS: dict[str, Callable[[int, int], Mask | None]] = {
    "none": lambda queries, keys: None,
    "causal": lambda queries, keys: masks.Causal(align="top_left"),
    "causal to the last": lambda queries, keys: masks.Causal(align="bottom_right"),
    "open to the left": lambda queries, keys: masks.Window(None, 3),
    "open to the right": lambda queries, keys: masks.Window(7, None, align="bottom_right"),
    "padding": lambda queries, keys: masks.Padding(torch.tensor([keys // 2, keys])),
    "padding a head": lambda queries, keys: masks.Padding(torch.tensor([[1, 0, keys], [2, 9, 5]])),
    "all padding": lambda queries, keys: masks.Padding(torch.tensor([0, -3])),
    "beyond the keys": lambda queries, keys: masks.Padding(torch.tensor([keys + 9, 1])),
    "causal and padding": lambda queries, keys: (
        masks.Causal(align="top_left") & masks.Padding(torch.tensor([keys, keys // 3]))
    ),
    "two paddings": lambda queries, keys: (
        masks.Padding(torch.tensor([keys // 2, keys])) & masks.Padding(torch.tensor([[keys], [4]]))
    ),
    "a window of everything": lambda queries, keys: masks.Window(200, 200),
    "window and padding": lambda queries, keys: (
        masks.Window(5, 40) & masks.Padding(torch.tensor([keys // 2, keys - 1]))
    ),
}
LENGTHS = [(64, 64), (70, 33), (33, 95), (1, 40), (40, 1)]


def tensors(
    queries: int, keys: int, *, lead: tuple[int, ...] = (B, H), learned: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (
        torch.randn(*lead, length, D, dtype=torch.float64, requires_grad=learned)
        for length in (queries, keys, keys)
    )
    return query, key, value


def assert_equals_reference(
    operands: tuple[Tensor, ...], mask: Mask | None, backend: str = "band", **options: object
) -> None:
    results = []
    for name in (backend, "reference"):
        output = attend(*operands, mask=mask, backend=name, **options).output  # type: ignore[arg-type]
        direction = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
        slopes = torch.autograd.grad(output, operands, direction)
        results.append({"output": output.detach(), **dict(zip("qkv", slopes, strict=True))})
    assert_all_same(*results)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(("queries", "keys"), LENGTHS)
def test_any_mask_of_distance_and_lengths_equals_reference(
    name: str, queries: int, keys: int
) -> None:
    assert_equals_reference(tensors(queries, keys), MASKS[name](queries, keys))


@pytest.mark.parametrize("lead", [(), (3,), (2, 2, 3)])
@pytest.mark.parametrize("name", ["none", "causal", "padding"])
def test_any_leading_axes(lead: tuple[int, ...], name: str) -> None:
    lengths = torch.arange(1, 50)[: torch.Size(lead).numel() or 1].reshape(lead)
    mask = masks.Padding(lengths) if name == "padding" else MASKS[name](40, 40)
    assert_equals_reference(tensors(40, 40, lead=lead), mask)


@pytest.mark.parametrize("name", MASKS)
def test_heads_that_share_keys(name: str) -> None:
    query = torch.randn(B, 6, 50, D, dtype=torch.float64, requires_grad=True)
    _, key, value = tensors(50, 50)
    if name == "padding a head":
        mask: Mask | None = masks.Padding(torch.arange(12).reshape(B, 6) * 5)
    else:
        mask = MASKS[name](50, 50)
    assert_equals_reference((query, key, value), mask, enable_gqa=True)


@pytest.mark.parametrize("score", ["scaled_dot", "dot", "cosine", "bilinear", "gaussian"])
def test_every_score_of_inner_products(score: str) -> None:
    made: dict[str, scores.Score] = {
        "scaled_dot": scores.ScaledDot(0.3),
        "dot": scores.Dot(),
        "cosine": scores.Cosine(2.0),
        "bilinear": scores.Bilinear(torch.randn(D, D, dtype=torch.float64) / D),
        "gaussian": scores.Gaussian(2.0),
    }
    assert_equals_reference(tensors(64, 64), MASKS["causal and padding"](64, 64), score=made[score])


def test_biases_of_distance() -> None:
    bias = positions.ALiBi.for_heads(H)
    assert_equals_reference(tensors(64, 64), MASKS["causal and padding"](64, 64), bias=bias)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("index", range(3))
def test_what_is_hidden_or_not_finite_reaches_what_it_reaches_by_the_definition(
    name: str, poison: float, index: int
) -> None:
    operands = [one.detach().clone() for one in tensors(64, 64)]
    operands[index][:, :, 40, 2] = poison
    found = [
        attend(*operands, mask=MASKS[name](64, 64), backend=backend).output
        for backend in ("band", "reference")
    ]
    torch.testing.assert_close(*found, equal_nan=True)


@pytest.mark.parametrize("name", ["none", "causal and padding", "window and padding"])
def test_gradients_of_what_is_not_finite_come_a_few_blocks_at_a_time(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []

    def counted(*arguments: Any, **options: Any) -> list[PlainBlock]:
        blocks = list(plain(*arguments, **options))
        rows.append(sum(block.stop - block.start for block in blocks))
        return blocks

    plain = passes.plain_blocks
    monkeypatch.setattr(passes, "plain_blocks", counted)
    monkeypatch.setattr(passes, "PLAIN_BYTES", 2 * B * H * 32 * 100 * 8)
    operands = [one.detach().clone() for one in tensors(100, 100)]
    operands[1][:, :, 99] = torch.nan  # behind the padding, or the last that is seen
    leaves = [one.requires_grad_() for one in operands]
    results = []
    for backend in ("band", "reference"):
        mask = MASKS[name](100, 100)
        output = attend(*leaves, mask=mask, backend=backend).output
        results.append(torch.autograd.grad(output, leaves, torch.ones_like(output)))
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, equal_nan=True)
    if name == "none":
        assert rows == [100, 64, 36]  # the forward pass all at once, since it saves nothing


@pytest.mark.parametrize(
    "mask", [~masks.Window(None, 50), ~masks.Window(50, None)], ids=["far ahead", "far behind"]
)
def test_an_open_window_beyond_all_keys_gives_zeros(mask: Mask) -> None:
    operands = tensors(40, 40)
    assert_equals_reference(operands, mask)
    assert not bool(attend(*operands, mask=mask, backend="band").output.any())


def test_second_derivatives() -> None:
    operands = tuple(one[:1, :1].detach().requires_grad_() for one in tensors(34, 34))
    mask = masks.Causal() & masks.Padding(torch.tensor([20]))

    def penalty(backend: str) -> Tensor:
        output = attend(*operands, mask=mask, backend=backend).output
        slopes = torch.autograd.grad(output.square().sum(), operands, create_graph=True)
        return sum((slope.square().sum() for slope in slopes), torch.zeros(()))

    results = [
        dict(zip("qkv", torch.autograd.grad(penalty(name), operands), strict=True))
        for name in ("band", "reference")
    ]
    assert_all_same(*results)


@pytest.mark.parametrize("name", MASKS)
def test_weights(name: str) -> None:
    query, key, value = tensors(40, 40)
    mask = MASKS[name](40, 40)
    found = attend(query, key, value, mask=mask, backend="band", return_weights=True)
    wanted = attend(query, key, value, mask=mask, backend="reference", return_weights=True)
    assert found.weights is not None
    assert wanted.weights is not None
    assert_same(found.weights.detach(), wanted.weights.detach())


def test_what_the_kernels_do_not_compute_is_refused() -> None:
    query, key, value = tensors(40, 40)
    for options in (
        {"bias": torch.randn(40, 40, dtype=torch.float64, requires_grad=True)},
        {"score": scores.Additive(*(torch.randn(D, 4, dtype=torch.float64) for _ in "qk"), torch.randn(4).double())},
    ):  # fmt: skip
        told = plan(query, key, value, **options)  # type: ignore[arg-type]
        assert told.backend != "band"
        assert "bounds on both sides" in told.rejected["band"]


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.one_of(st.none(), st.integers(-4, 12)),
    st.one_of(st.none(), st.integers(-4, 12)),
)
def test_cells_of_a_band_are_counted(
    queries: int, keys: int, left: int | None, right: int | None
) -> None:
    reach = Band.reaching(Bounds(left, right), queries, keys)
    wanted = sum(
        1
        for query in range(queries)
        for key in range(keys)
        if query - reach.left <= key <= query + reach.right
    )
    assert reach.cells == wanted
