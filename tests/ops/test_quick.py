"""The short way through the door: it takes what it may, gives what the long way gives, and leaves the rest."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, nn, plan, scores
from heedful.errors import ShapeError
from heedful.ops.observe import observing
from heedful.ops.quick import quick
from tests.ops.compare import assert_same

B, H, Q, K, D = 2, 3, 6, 6, 4
Options = dict[str, object]

# Each of these is taken.
TAKEN: dict[str, Callable[[], Options]] = {
    "plain": dict,
    "dot": lambda: {"score": scores.Dot()},
    "scaled": lambda: {"score": scores.ScaledDot(0.3)},
    "causal": lambda: {"mask": masks.Causal()},
    "causal aligned": lambda: {"mask": masks.Causal("bottom_right")},
    "padding": lambda: {"mask": masks.Padding(torch.tensor([0, 3]))},
    "causal and padding": lambda: {
        "mask": masks.Causal() & masks.Padding(torch.tensor([0, 3])),
    },
    "padding and causal": lambda: {
        "mask": masks.Padding(torch.tensor([5, 3])) & masks.Causal("top_left"),
    },
    "dense": lambda: {"mask": masks.Dense(torch.rand(Q, K) > 0.4)},
    "boolean": lambda: {"mask": torch.rand(B, H, Q, K) > 0.4},
    "boolean, shared": lambda: {"mask": torch.rand(B, 1, 1, K) > 0.4},
    "bias": lambda: {"bias": torch.randn(1, H, Q, K)},
    "bias that hides": lambda: {"bias": torch.where(torch.rand(Q, K) > 0.4, 0.5, -torch.inf)},
}
# Each of these is left to the long way.
LEFT: dict[str, Callable[[], Options]] = {
    "another score": lambda: {"score": scores.Cosine(2.0)},
    "another mask": lambda: {"mask": masks.Window(1, 1)},
    "masks combined": lambda: {"mask": masks.Causal() & masks.Window(1, 1)},
    "padding a head": lambda: {"mask": masks.Padding(torch.ones(B, H).long())},
    "causal and padding a head": lambda: {
        "mask": masks.Causal() & masks.Padding(torch.ones(B, H).long()),
    },
    "causal or padding": lambda: {
        "mask": masks.Causal() | masks.Padding(torch.tensor([1, 3])),
    },
    "two paddings": lambda: {
        "mask": masks.Padding(torch.tensor([1, 3])) & masks.Padding(torch.tensor([2, 2])),
    },
    "mask and bias": lambda: {"mask": masks.Causal(), "bias": torch.randn(Q, K)},
    "mask and a bias beside it": lambda: {
        "mask": torch.rand(Q, K) > 0.4,
        "bias": torch.randn(Q, K),
    },
    "a learned bias": lambda: {"bias": torch.randn(Q, K, requires_grad=True)},
    "a wider bias": lambda: {"bias": torch.randn(Q, K).double()},
}


class Own(Tensor):
    """A tensor that may mean something of its own by any operation."""


def tensors(requires_grad: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (torch.randn(B, H, Q, D, requires_grad=requires_grad) for _ in range(3))
    return query, key, value


def taken(query: object, key: object, value: object, options: Options) -> Tensor | None:
    score = options.get("score", scores.ScaledDot())
    return quick(query, key, value, score, options.get("mask"), options.get("bias"))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken_is_what_the_plan_names_and_gives_the_same(name: str) -> None:
    query, key, value = tensors(requires_grad=True)
    options = TAKEN[name]()
    assert taken(query, key, value, options) is not None
    assert plan(query, key, value, **options).backend == "sdpa"  # type: ignore[arg-type]
    got = attend(query, key, value, **options).output  # type: ignore[arg-type]
    assert torch.equal(got, attend(query, key, value, backend="sdpa", **options).output)  # type: ignore[arg-type]
    wanted = attend(query, key, value, backend="reference", **options).output  # type: ignore[arg-type]
    assert_same(got, wanted.detach())
    direction = torch.randn_like(got)
    leaves = (query, key, value)
    for mine, theirs in zip(
        torch.autograd.grad(got, leaves, direction),
        torch.autograd.grad(wanted, leaves, direction),
        strict=True,
    ):
        assert_same(mine, theirs)


@pytest.mark.parametrize("name", LEFT)
def test_what_is_left_to_the_long_way(name: str) -> None:
    query, key, value = tensors()
    options = LEFT[name]()
    assert taken(query, key, value, options) is None
    wanted = attend(query, key, value, backend="reference", **options).output  # type: ignore[arg-type]
    assert_same(attend(query, key, value, **options).output, wanted.detach())  # type: ignore[arg-type]


def test_tensors_that_are_left_to_the_long_way() -> None:
    query, key, value = tensors()
    for others in (
        (query[0], key[0], value[0]),
        (query, key, value[..., :2]),
        (query, key[:1], value[:1]),
        (query, key[:, :1], value[:, :1]),
        (query, key[..., :2], value),
        (query[0], key, value),
        (query[:, :, :0], key, value),
        (query, key[:, :, :0], value[:, :, :0]),
        (query.bfloat16(), key.bfloat16(), value.bfloat16()),
        (query, key.double(), value.double()),
        (query, key, value.double()),
        (query.to("meta"), key.to("meta"), value.to("meta")),
        (query, key.to("meta"), value.to("meta")),
        (query.as_subclass(Own), key, value),
        (query, scores.Dot().prepare_key(key), value),
        (query.tolist(), key, value),
    ):
        assert taken(*others, {}) is None  # type: ignore[arg-type]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert taken(query, key, value, {}) is None
    assert taken(query, key[:, :, :3], value[:, :, :3], {"mask": masks.Causal("top_left")}) is None
    wrong = torch.ones(Q, K + 1).bool(), torch.ones(K).bool(), torch.ones(Q, K).long()
    for mask in wrong:
        assert taken(query, key, value, {"mask": mask}) is None
    assert taken(query, key, value, {"bias": torch.ones(Q, K).bool()}) is None


@pytest.mark.parametrize("name", [name for name in TAKEN if name not in ("plain", "dot", "scaled")])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("length", [6, 65, 700])
def test_hidden_contents_send_a_call_the_long_way(name: str, poison: float, length: int) -> None:
    # Whether a product with a weight of 0 is formed at all is the kernel's choice: this holds it to forming it.
    query, key, value = (
        torch.randn(1, 1, length, D, dtype=torch.float64, requires_grad=True) for _ in range(3)
    )
    keep = torch.rand(length, length) > 0.4
    keep[:, length // 2] = False
    options: Options = {"mask": keep}
    if name.startswith("bias"):
        options = {"bias": torch.where(keep, 0.5, -torch.inf).double()}
    elif name == "padding":
        options = {"mask": masks.Padding(torch.tensor([length // 2]))}
    elif "and" in name:
        options = {"mask": masks.Causal() & masks.Padding(torch.tensor([length // 2]))}
    elif name.startswith("causal"):
        options = {"mask": masks.Causal()}
    for index in range(3):
        spoilt = [query, key, value]
        spoilt[index] = spoilt[index].detach().clone()
        spoilt[index][..., length // 2, 1] = poison
        spoilt[index].requires_grad_()
        assert taken(*spoilt, options) is None


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("index", range(3))
def test_hidden_contents_are_seen_in_every_layout(index: int, strided: bool) -> None:
    shape = (B, H, Q, D)
    spoilt = [
        torch.randn(B, H, Q, 2 * D)[..., :D] if strided else torch.randn(shape) for _ in "qkv"
    ]
    causal: Options = {"mask": masks.Causal()}
    learned = [tensor.clone(memory_format=torch.preserve_format) for tensor in spoilt]
    assert taken(*[tensor.requires_grad_() for tensor in learned], causal) is not None  # type: ignore[call-arg, arg-type]
    spoilt[index][..., Q - 1, 1] = torch.inf
    assert taken(*[tensor.requires_grad_() for tensor in spoilt], causal) is None  # type: ignore[call-arg, arg-type]


def test_a_value_behind_every_row_is_seen_without_gradients_too() -> None:
    query, key, value = (torch.randn(1, 1, 5, 4) for _ in range(3))
    value[..., 3, :] = torch.nan
    keep = torch.tensor([True, True, True, False, True]).expand(5, 5)
    assert taken(query, key, value, {"mask": keep}) is None
    assert bool(attend(query, key, value, mask=keep).output.isfinite().all())


def test_parameters_are_tensors() -> None:
    query, key, value = map(torch.nn.Parameter, tensors())
    for mask in (None, masks.Causal()):
        got = taken(query, key, value, {"mask": mask})
        assert type(got) is Tensor
        assert torch.equal(got, attend(query, key, value, mask=mask, backend="sdpa").output)


def test_padding_is_built_once_and_again_when_its_lengths_change() -> None:
    query, key, value = tensors(requires_grad=True)
    padding = masks.Padding(torch.tensor([3, K]))

    def check(query: Tensor, key: Tensor, value: Tensor) -> None:
        got, wanted = (
            attend(query, key, value, mask=padding, backend=name).output
            for name in ("auto", "reference")
        )
        assert_same(got, wanted.detach())

    with torch.inference_mode():
        check(query, key, value)
    check(query, key, value)
    built = padding.added(B, K, torch.float32)
    assert padding.added(B, K, torch.float32) is built
    attend(query, key, value, mask=padding).output.sum().backward()
    padding.key_lengths[0] = 5
    check(query, key, value)
    padding.key_lengths.data[1] = 2  # which leaves no trace in the tensor's version
    check(query, key, value)
    check(query, key[:, :, :4], value[:, :, :4])
    check(query.double(), key.double(), value.double())
    with pytest.raises(ShapeError, match="key_lengths"):
        attend(query[:1], key[:1], value[:1], mask=padding)
    copied = pickle.loads(pickle.dumps(padding))
    assert vars(copied).keys() == {"key_lengths"}
    assert torch.equal(copied.key_lengths, padding.key_lengths)


def test_the_door_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> object:
        raise AssertionError("the long way was taken")

    query, key, value = tensors()
    module = nn.MultiHeadAttention(D, 2).eval()
    monkeypatch.setattr("heedful.ops.attend.checked", refuse)
    assert attend(query, key, value, mask=masks.Causal()).output.shape == query.shape
    assert module(query[0]).output.shape == query[0].shape
    with pytest.raises(AssertionError, match="long way"):
        attend(query, key, value, return_weights=True)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("activation", [None, "tanh", "leaky_relu"])
@pytest.mark.parametrize(
    "mask",
    [None, masks.Padding(torch.tensor([3, 40])), masks.Causal(), masks.Window(5, 9)],
    ids=str,
)
def test_whoever_looks_changes_no_bit_of_the_output(
    mask: masks.Mask | None, activation: Literal["tanh", "leaky_relu"] | None, learned: bool
) -> None:
    query, key, value = (torch.randn(2, 3, 40, 32, requires_grad=learned) for _ in range(3))
    score: scores.Score = scores.ScaledDot()
    if activation is not None:
        maps = torch.randn(32, 8), torch.randn(32, 8), torch.randn(8)
        score = scores.Additive(*maps, activation=activation)
    unseen = attend(query, key, value, score=score, mask=mask)
    asked = attend(query, key, value, score=score, mask=mask, return_weights=True)
    with observing(lambda seen: None):
        observed = attend(query, key, value, score=score, mask=mask)
    assert torch.equal(unseen.output, asked.output)
    assert torch.equal(unseen.output, observed.output)
