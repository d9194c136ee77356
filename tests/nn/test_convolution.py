"""Convolutions as attention: equality over shapes, both forms, and the way back."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import heedful
from heedful.errors import OptionError, ShapeError
from heedful.nn import (
    ConvolutionShape,
    MultiHeadAttention,
    attention_distance,
    attention_from_convolution,
    convolution_from_attention,
    offset_weights,
)
from heedful.nn.convolution_grid import PADDING_MODES, cell_index, grid_positions

LIMITS = {torch.float32: 1e-5, torch.float64: 1e-12}


def build(kernel: Any, dtype: torch.dtype = torch.float64, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(4, 8, kernel, dtype=dtype, **options)


def difference(convolution: nn.Module, image: Tensor, **options: Any) -> float:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Using padding='same' with even kernel")
        wanted = convolution(image)
    got = attention_from_convolution(convolution, **options)(image)
    assert got.shape == wanted.shape
    return float((got - wanted).detach().abs().max())


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("mode", PADDING_MODES)
@pytest.mark.parametrize("kernel", [(3, 3), (2, 3), (4, 2), (1, 1)])
def test_exact_over_a_grid_of_shapes(kernel: Any, mode: str, dtype: torch.dtype) -> None:
    for stride, padding, dilation, groups, bias in itertools.product(
        (1, 2, (2, 1)), (0, 1, (1, 2), "same"), (1, 2), (1, 2, 4), (True, False)
    ):
        if padding == "same" and stride != 1:
            continue
        convolution = build(
            kernel, dtype, stride=stride, padding=padding, dilation=dilation, groups=groups,
            bias=bias, padding_mode=mode,
        )  # fmt: skip
        image = torch.randn(2, 4, 9, 8, dtype=dtype)
        assert difference(convolution, image) <= LIMITS[dtype], convolution


@given(st.data())
def test_exact_for_any_shape(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 3))
    number = lambda low, high: tuple(data.draw(st.integers(low, high)) for _ in range(axes))  # noqa: E731
    kernel, stride, dilation, padding = number(1, 4), number(1, 3), number(1, 2), number(0, 3)
    mode = data.draw(st.sampled_from(PADDING_MODES))
    groups = data.draw(st.sampled_from([1, 2]))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [
        max(span, pad + 1) + data.draw(st.integers(0, 3))
        for span, pad in zip(spans, padding, strict=True)
    ]
    kind = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
    convolution: Any = kind(
        2, 4, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, padding_mode=mode
    ).double()  # fmt: skip
    assert difference(convolution, torch.randn(1, 2, *size, dtype=torch.float64)) <= 1e-12


def test_gradients_are_those_of_the_convolution() -> None:
    convolution = build(3, stride=2, padding=1, groups=2)
    attention = attention_from_convolution(convolution)
    image = torch.randn(2, 4, 7, 6, dtype=torch.float64, requires_grad=True)
    factor = torch.randn_like(convolution(image)).detach()
    wanted = torch.autograd.grad(
        (convolution(image) * factor).sum(), [image, *convolution.parameters()]
    )
    got = torch.autograd.grad((attention(image) * factor).sum(), [image, *attention.parameters()])
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other)


def test_an_image_without_batch() -> None:
    convolution = build((2, 3), padding=1)
    assert difference(convolution, torch.randn(4, 5, 6, dtype=torch.float64)) <= 1e-12


def test_states_load_both_ways() -> None:
    one, other = build(3), build(3)
    attention = attention_from_convolution(one)
    attention.load_state_dict(other.state_dict())
    one.load_state_dict(attention.state_dict())
    assert torch.equal(one.weight, other.weight)


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_one_head_an_element_and_one_key_a_query(mode: str) -> None:
    attention = attention_from_convolution(build((2, 3), padding=1, padding_mode=mode))
    weights = attention.weights((4, 5))
    keys = 6 * 7 if mode == "zeros" else 4 * 5
    assert weights.shape == (6, 5 * 5, keys)
    assert torch.equal(weights.sum(-1), torch.ones(6, 25, dtype=torch.float64))
    assert weights.unique().tolist() == [0, 1]


def test_zero_padding_is_attended_to() -> None:
    attention = attention_from_convolution(build(3, padding=1))
    corner = attention.weights((3, 3))[0, 0]  # the first element of the kernel, at the first output
    assert corner.argmax() == 0  # the padding before the first pixel, whose padded index is 6
    assert len(corner) == 25


def test_nothing_dense_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    attention = attention_from_convolution(build(3, padding=1))
    plans: list[heedful.Plan] = []

    def recording(*tensors: Tensor, return_weights: bool, **options: Any) -> Any:
        plans.append(heedful.plan(*tensors, **options))
        assert options["mask"].edge_index.shape[1] == 9 * 40 * 40
        return heedful.attend(*tensors, **options)

    monkeypatch.setattr("heedful.nn.convolution.attend", recording)
    attention(torch.randn(1, 4, 40, 40, dtype=torch.float64))
    assert [plan.backend for plan in plans] == ["edges"]


@pytest.mark.parametrize("radius", [None, 3])
def test_the_quadratic_form_approaches_the_convolution(radius: int | None) -> None:
    convolution, image = nn.Conv2d(3, 5, 3, padding=1), torch.randn(2, 3, 8, 9)
    errors = [
        difference(convolution, image, form="quadratic", sharpness=sharpness, radius=radius)
        for sharpness in (1.0, 5.0, 10.0, 20.0, 40.0)
    ]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[0] > 0.1
    assert max(errors[3:]) < 1e-5


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_the_quadratic_form_in_float64(mode: str) -> None:
    convolution = build((2, 3), stride=2, padding=1, dilation=2, groups=2, padding_mode=mode)
    image = torch.randn(1, 4, 8, 7, dtype=torch.float64)
    assert difference(convolution, image, form="quadratic", sharpness=45.0) <= 1e-12


def test_centers_and_sharpness_are_learned() -> None:
    attention = attention_from_convolution(build(3), form="quadratic", sharpness=0.7).double()
    image = torch.randn(1, 4, 5, 5, dtype=torch.float64)
    centers, sharpness = attention.centers, attention.sharpness
    assert centers is not None
    assert sharpness is not None

    def output(centers: Tensor, sharpness: Tensor) -> Tensor:
        values = {"centers": centers, "sharpness": sharpness}
        return torch.func.functional_call(attention, values, (image,))[:, :2]

    assert torch.autograd.gradcheck(output, (centers, sharpness))


REFUSED = [
    (nn.ConvTranspose2d(2, 2, 3), {}, "transposed"),
    (nn.LazyConv2d(2, 3), {}, "no weights before its first call"),
    (nn.Linear(2, 2), {}, "got Linear"),
    (nn.Conv2d(2, 2, 3), {"form": "square"}, "form is 'square'"),
    (nn.Conv2d(2, 2, 3), {"radius": 2}, "radius belongs to the form quadratic"),
    (nn.Conv2d(2, 2, 3), {"form": "quadratic", "radius": -1}, "radius is -1"),
    (nn.Conv2d(2, 2, 3), {"form": "quadratic", "sharpness": 0.0}, "sharpness is 0.0"),
]


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
@pytest.mark.parametrize(("module", "options", "message"), REFUSED)
def test_what_is_refused(module: nn.Module, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        attention_from_convolution(module, **options)


def test_inputs_that_do_not_fit() -> None:
    attention = attention_from_convolution(build(3))
    with pytest.raises(ShapeError, match=r"give \(batch, 4, height, width\)"):
        attention(torch.zeros(1, 3, 5, 5))
    with pytest.raises(ShapeError, match=r"the kernel spans \(3, 3\)"):
        attention(torch.zeros(1, 4, 2, 5))
    for mode, length in (("reflect", 2), ("circular", 1)):
        convolution = build(1, padding=2, padding_mode=mode)
        with pytest.raises(ShapeError, match=f"{mode} padding of 2"):
            attention_from_convolution(convolution)(torch.zeros(1, 4, length, 5))


SHAPES: list[tuple[dict[str, Any], str]] = [
    ({"kernel": (3, 0)}, "kernel is"),
    ({"stride": (1,)}, "stride is"),
    ({"padding": ((0, -1), (0, 0))}, "padding is"),
    ({"padding_mode": "mirror"}, "padding_mode is 'mirror'"),
]


@pytest.mark.parametrize(("options", "message"), SHAPES)
def test_shapes_that_are_none(options: dict[str, Any], message: str) -> None:
    usual: dict[str, Any] = {
        "kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "padding": ((0, 0), (0, 0)),
    }  # fmt: skip
    with pytest.raises(OptionError, match=message):
        ConvolutionShape(**{**usual, **options})


def test_cell_index_is_the_inverse_of_positions() -> None:
    assert torch.equal(cell_index(grid_positions((3, 4, 2)), (3, 4, 2)), torch.arange(24))


def shifting_weights(size: tuple[int, int], offsets: list[tuple[int, int]]) -> Tensor:
    """Weights of heads that attend to one offset each, wrapped at the border."""
    cells = grid_positions(size)
    keys = [cell_index((cells + torch.tensor(o)) % torch.tensor(size), size) for o in offsets]
    return torch.nn.functional.one_hot(torch.stack(keys), len(cells)).float()


def test_trained_heads_that_are_a_convolution() -> None:
    size = (7, 9)
    attention = MultiHeadAttention(6, num_heads=3)
    for name, parameter in attention.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(parameter)
    offsets = [(0, 0), (-1, 0), (0, 1)]
    weights = shifting_weights(size, offsets)
    image = torch.randn(6, *size)
    value = attention.value_projection(image.flatten(1).t()).unflatten(-1, (3, 2)).transpose(0, 1)
    wanted = attention.output_projection((weights @ value).transpose(0, 1).flatten(1))
    convolution = convolution_from_attention(attention, weights, size, tolerance=0.3)
    assert convolution.kernel_size == (3, 3)
    got = convolution(image[None])[0]
    inside = (slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(got[inside], wanted.t().unflatten(1, size)[inside])


def test_heads_that_are_none() -> None:
    attention, size = MultiHeadAttention(4, num_heads=2), (4, 5)
    weights = torch.rand(2, 20, 20).softmax(-1)
    weights[1] = torch.randn(20, 20).mul(9).softmax(-1)
    with pytest.raises(OptionError, match="head 1 is no convolution"):
        convolution_from_attention(attention, weights, size)
    shared = MultiHeadAttention(4, num_heads=2, num_kv_heads=1)
    with pytest.raises(OptionError, match="1 heads of keys and values for 2"):
        convolution_from_attention(shared, weights, size)
    with pytest.raises(ShapeError, match="weights are of 1 heads"):
        convolution_from_attention(attention, weights[:1], size)
    with pytest.raises(ShapeError, match=r"give \(heads, 20, 20\)"):
        offset_weights(weights[:, 1:], size)


def test_offset_weights_tell_position_from_offset() -> None:
    size = (6, 6)
    moving = shifting_weights(size, [(0, 0)])
    fixed = torch.zeros(1, 36, 36)
    fixed[..., 3] = 1.0
    assert float(offset_weights(moving, size).variation) == 0
    assert float(offset_weights(fixed, size).variation) > 0.5
    assert offset_weights(moving, size).mass_within(0).tolist() == [1]
    batched = torch.stack([moving, moving])
    assert torch.equal(offset_weights(batched, size).mean, offset_weights(moving, size).mean)


def test_attention_distance_beside_a_loop() -> None:
    size = (3, 4)
    weights = torch.rand(2, 3, 12, 12).softmax(-1)
    cells = [(y, x) for y in range(3) for x in range(4)]
    got = attention_distance(weights, size)
    for image, head in itertools.product(range(2), range(3)):
        total = sum(
            float(weights[image, head, q, k])
            * ((cells[q][0] - cells[k][0]) ** 2 + (cells[q][1] - cells[k][1]) ** 2) ** 0.5
            for q in range(12)
            for k in range(12)
        )
        assert float(got[image, head]) == pytest.approx(total / 12, rel=1e-5)
