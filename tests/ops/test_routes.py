"""Arguments are validated and a backend is chosen once for each signature; numbers are read in every call."""

from __future__ import annotations

import pickle
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import pytest
import torch
from torch import Tensor

from heedful import DtypeError, attend, masks, nn, normalizers, plan, positions, scores
from heedful.errors import ShapeError
from heedful.ops import plan as planning
from heedful.ops.arguments import validated
from heedful.ops.backends import BACKENDS
from heedful.ops.cells import Cells
from heedful.ops.masks.bounds import Bounds
from heedful.ops.observe import observing
from heedful.ops.rows import Rows
from heedful.ops.signature import Signature, call_signature
from tests.ops.compare import assert_same

B, H, Q, K, D = 2, 3, 6, 6, 4
Options = dict[str, object]

# Calls on PyTorch's kernel, each with a way of its own to what is added to the scores.
FUSED: dict[str, Callable[[], Options]] = {
    "plain": dict,
    "dot": lambda: {"score": scores.Dot()},
    "scaled": lambda: {"score": scores.ScaledDot(0.3)},
    "cosine": lambda: {"score": scores.Cosine(2.0)},
    "causal": lambda: {"mask": masks.Causal()},
    "causal aligned": lambda: {"mask": masks.Causal("bottom_right")},
    "padding": lambda: {"mask": masks.Padding(torch.tensor([0, 3]))},
    "padding a head": lambda: {"mask": masks.Padding(torch.tensor([[0, 3, 1], [6, 9, 2]]))},
    "causal and padding": lambda: {"mask": masks.Causal() & masks.Padding(torch.tensor([0, 3]))},
    "padding and causal": lambda: {
        "mask": masks.Padding(torch.tensor([5, 3])) & masks.Causal("top_left"),
    },
    "two paddings": lambda: {
        "mask": masks.Padding(torch.tensor([1, 3])) & masks.Padding(torch.tensor([2, 2])),
    },
    "causal or padding": lambda: {"mask": masks.Causal() | masks.Padding(torch.tensor([1, 3]))},
    "causal and a window": lambda: {"mask": masks.Causal() & masks.Window(2, 1)},
    "dense": lambda: {"mask": masks.Dense(torch.rand(Q, K) > 0.4)},
    "boolean": lambda: {"mask": torch.rand(B, H, Q, K) > 0.4},
    "boolean, shared": lambda: {"mask": torch.rand(B, 1, 1, K) > 0.4},
    "bias": lambda: {"bias": torch.randn(1, H, Q, K)},
    "a wider bias": lambda: {"bias": torch.randn(Q, K).double()},
    "bias that hides": lambda: {"bias": torch.where(torch.rand(Q, K) > 0.4, 0.5, -torch.inf)},
    "mask and bias": lambda: {"mask": masks.Causal(), "bias": torch.randn(Q, K)},
    "positions": lambda: {"bias": positions.ALiBi.for_heads(H)},
}


class Own(Tensor):
    """A tensor that may mean something of its own by any operation."""


def tensors(requires_grad: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value = (torch.randn(B, H, Q, D, requires_grad=requires_grad) for _ in range(3))
    return query, key, value


def signature(query: object, key: object, value: object, **options: object) -> Signature | None:
    given = {
        "score": scores.ScaledDot(), "mask": None, "bias": None, "normalizer": normalizers.Softmax(),
        "dropout_p": 0.0, "enable_gqa": False, "backend": "auto", **options,
    }  # fmt: skip
    return call_signature(query, key, value, **given)  # type: ignore[arg-type]


@pytest.fixture
def refuse_to_validate(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def switch_off() -> None:
        def refuse(*arguments: object) -> object:
            raise AssertionError("validated again")

        monkeypatch.setattr("heedful.ops.attend.validated", refuse)

    return switch_off


@pytest.mark.parametrize("name", FUSED)
def test_a_signature_is_validated_and_planned_once(
    name: str, refuse_to_validate: Callable[[], None]
) -> None:
    options = FUSED[name]()
    first, again = tensors(), tensors()
    attend(*first, **options)  # type: ignore[arg-type]
    refuse_to_validate()
    got = attend(*again, **options).output  # type: ignore[arg-type]
    wanted = attend_by_reference(*again, **options)
    assert_same(got, wanted)
    with pytest.raises(AssertionError, match="validated again"):
        attend(*[one[:, :, :5] for one in again])


def attend_by_reference(*operands: Tensor, **options: object) -> Tensor:
    given = {
        "score": scores.ScaledDot(), "mask": None, "bias": None, "normalizer": normalizers.Softmax(), **options
    }  # fmt: skip
    call = validated(
        *operands, given["score"], given["mask"], given["bias"], given["normalizer"], 0.0, False, False
    )  # type: ignore[arg-type] # fmt: skip
    return BACKENDS["reference"].run(call).output


@pytest.mark.parametrize("name", FUSED)
def test_the_second_call_of_a_signature_gives_output_and_gradients_of_its_own_numbers(
    name: str,
) -> None:
    options = FUSED[name]()
    attend(*tensors(requires_grad=True), **options)  # type: ignore[arg-type]
    leaves = tensors(requires_grad=True)
    assert plan(*leaves, **options).backend == "sdpa"  # type: ignore[arg-type]
    got = attend(*leaves, **options).output  # type: ignore[arg-type]
    assert torch.equal(got, attend(*leaves, backend="sdpa", **options).output)  # type: ignore[arg-type]
    wanted = attend(*leaves, backend="reference", **options).output  # type: ignore[arg-type]
    assert_same(got, wanted.detach())
    direction = torch.randn_like(got)
    for mine, theirs in zip(
        torch.autograd.grad(got, leaves, direction),
        torch.autograd.grad(wanted, leaves, direction),
        strict=True,
    ):
        assert_same(mine, theirs)


def variants() -> dict[str, tuple[tuple[Tensor, Tensor, Tensor], Options]]:
    """Calls that differ from the first in one static thing each."""
    query, key, value = tensors()
    learned = query.clone().requires_grad_()
    turned = query.transpose(-1, -2).contiguous().transpose(-1, -2)
    both = (query, key, value)
    lengths = torch.tensor([3, 6])
    return {
        "as it is": (both, {}),
        "a shorter query": ((query[:, :, :5], key, value), {}),
        "wider": (tuple(one.double() for one in both), {}),  # type: ignore[dict-item]
        "other strides": ((turned, key, value), {}),
        "a gradient": ((learned, key, value), {}),
        "another score": (both, {"score": scores.Dot()}),
        "another scale": (both, {"score": scores.ScaledDot(0.3)}),
        "a score with tensors": (both, {"score": scores.Bilinear(torch.randn(D, D))}),
        "of another shape": (both, {"score": scores.Bilinear(torch.randn(H, D, D))}),
        "a mask": (both, {"mask": masks.Causal()}),
        "another": (both, {"mask": masks.Window(2, 1)}),
        "of another width": (both, {"mask": masks.Window(2, 2)}),
        "padding": (both, {"mask": masks.Padding(lengths)}),
        "padding and causal": (both, {"mask": masks.Padding(lengths) & masks.Causal()}),
        "padding or causal": (both, {"mask": masks.Padding(lengths) | masks.Causal()}),
        "not padding": (both, {"mask": ~masks.Padding(lengths)}),
        "a boolean tensor": (both, {"mask": torch.ones(Q, K).bool()}),
        "a bias": (both, {"bias": torch.ones(Q, K)}),
        "a learned bias": (both, {"bias": torch.ones(Q, K, requires_grad=True)}),
        "positions": (both, {"bias": positions.ALiBi(torch.ones(H))}),
        "a normalizer": (both, {"normalizer": normalizers.Sparsemax()}),
        "alpha": (both, {"normalizer": normalizers.Entmax(1.5)}),
        "another alpha": (both, {"normalizer": normalizers.Entmax(1.6)}),
        "dropout": (both, {"dropout_p": 0.5}),
        "a backend": (both, {"backend": "reference"}),
    }


def test_whatever_is_static_is_in_the_signature() -> None:
    found = {name: signature(*operands, **options) for name, (operands, options) in variants().items()}  # fmt: skip
    assert None not in found.values()
    assert len(set(found.values())) == len(found)
    again = {name: signature(*operands, **options) for name, (operands, options) in variants().items()}  # fmt: skip
    assert again == found, "equal arguments of other numbers have equal signatures"
    query, key, value = tensors()
    prepared = scores.Dot().prepare_key(key)
    assert signature(query, prepared, value) != signature(query, key, value)
    plain = signature(query, key, value)
    with torch.no_grad():
        assert signature(query, key, value) != plain
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert signature(query, key, value) != plain
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        assert signature(query, key, value) != plain
    finally:
        torch.set_num_threads(threads)


def test_what_has_no_signature_is_validated_each_time() -> None:
    query, key, value = tensors()
    assert signature(query.as_subclass(Own), key, value) is None
    assert signature(query.tolist(), key, value) is None
    assert signature(query, key, value, score="dot") is None
    assert signature(query, key, value, mask=[True]) is None
    assert torch.func.vmap(lambda q: torch.tensor(signature(q, q, q) is None))(query).all()
    with torch.autograd.forward_ad.dual_level():
        assert signature(query, key, value) is None
    for _ in range(2):
        with pytest.raises(DtypeError, match="query is a list"):
            attend(query.tolist(), key, value)


@dataclass(frozen=True, eq=False)
class Every(masks.Mask):
    """Every so manieth key."""

    step: int

    def at(self, cells: Cells) -> Tensor:
        return cells.key_index() % self.step == 0


class Odd(masks.Mask):
    """The same, of a class whose fields are not known."""

    def __init__(self, step: int) -> None:
        self.step = step

    def at(self, cells: Cells) -> Tensor:
        return cells.key_index() % self.step == 0


class Extended(Every):
    """A class that holds more than the dataclass it extends."""

    def __init__(self, step: int, start: int) -> None:
        super().__init__(step)
        object.__setattr__(self, "start", start)

    def at(self, cells: Cells) -> Tensor:
        return cells.key_index() % self.step == self.start  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    "make",
    [Every, Odd, lambda step: Extended(3, step - 2)],
    ids=["dataclass", "class", "extended"],
)
def test_masks_of_a_class_of_ones_own(make: Callable[[int], masks.Mask]) -> None:
    operands = tensors()
    for step in (2, 3, 2):
        mask = make(step)
        got = attend(*operands, mask=mask).output
        assert_same(got, attend_by_reference(*operands, mask=mask))


def test_classes_from_outside_are_planned_each_time() -> None:
    operands = tensors()
    for mask in (Every(2), Odd(2), Extended(2, 1), ~Every(2), masks.Causal() & Every(2)):
        assert signature(*operands, mask=mask) is None


@dataclass(frozen=True, eq=False)
class Reaching(masks.Mask):
    """A window as wide as numbers say, which its bounds remember in an attribute that is no argument."""

    reach: Tensor
    width: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "width", int(self.reach.max()))

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.reach,)

    def at(self, cells: Cells) -> Tensor:
        return (cells.key_index() - cells.query_index()).abs() <= self.reach[cells.query_index()]

    def bounds(self, rows: Rows) -> Bounds:
        return Bounds(self.width, self.width)


def test_bounds_that_follow_from_numbers_are_those_of_the_call() -> None:
    x = torch.randn(1, 2, 200, 16)
    for width in (2, 20, 3):
        got = attend(x, x, x, mask=Reaching(torch.full((200,), width))).output
        wanted = attend(x, x, x, mask=masks.Window(width, width), backend="reference").output
        assert_same(got, wanted)


@dataclass(frozen=True, eq=False)
class Listed(masks.Mask):
    """A mask with a field that cannot be hashed."""

    steps: list[int]

    def at(self, cells: Cells) -> Tensor:
        return (cells.key_index() - cells.query_index()) % self.steps[0] == 0


@dataclass(frozen=True)
class ByHead(masks.Mask):
    """A mask that differs from head to head and claims to be static."""

    is_static = True

    def at(self, cells: Cells) -> Tensor:
        return (cells.key_index() - cells.query_index()) % torch.tensor([1, 2, 3])[
            :, None, None
        ] == 0


@pytest.mark.parametrize(
    "mask", [Listed([2]), ByHead(), masks.Causal() & ByHead()], ids=["list", "heads", "both"]
)
def test_masks_that_no_signature_could_hold(mask: masks.Mask) -> None:
    operands = tensors()
    for _ in range(2):
        assert_same(attend(*operands, mask=mask).output, attend_by_reference(*operands, mask=mask))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_bias_in_half_precision(dtype: torch.dtype) -> None:
    operands = [one.to(dtype) for one in tensors()]
    bias = torch.randn(Q, K).to(dtype)
    got = attend(*operands, bias=bias).output
    assert_same(got.float(), attend(*operands, bias=bias, backend="reference").output.float())


def test_alibi_in_half_precision_counts_distances_exactly() -> None:
    query, key = torch.zeros(1, 1, 2).bfloat16(), torch.zeros(1, 400, 2).bfloat16()
    weights = [
        attend(query, key, key, bias=positions.ALiBi(slopes), return_weights=True).weights
        for slopes in (torch.tensor([-0.25]).bfloat16(), torch.tensor([-0.25]))
    ]
    assert torch.equal(*weights)


@pytest.mark.parametrize("sizes", [(3, 0), (0, 3), (0, 0)])
@pytest.mark.parametrize("normalizer", [normalizers.Sparsemax(), normalizers.Softmax()])
def test_no_cells_under_a_window(
    sizes: tuple[int, int], normalizer: normalizers.Normalizer
) -> None:
    query, key = torch.randn(sizes[0], 4), torch.randn(sizes[1], 4)
    output = attend(query, key, key, mask=masks.Window(1, 1), normalizer=normalizer).output
    assert output.shape == (sizes[0], 4)
    assert not bool(output.any())


def test_edges_after_inference_and_after_a_change_in_place() -> None:
    index = torch.randint(0, 9, (2, 30))
    edges, layer, x = masks.Edges(index, 9, 9), nn.GATv2(4, 4), torch.randn(9, 4)
    with torch.inference_mode():
        layer(x, edges)
    layer(x, edges).sum().backward()
    index.copy_(torch.randint(0, 9, (2, 30)))
    assert_same(layer(x, edges).detach(), layer(x, masks.Edges(index.clone(), 9, 9)).detach())
    negated = torch._neg_view(-x)
    got = attend(x, x, negated, mask=edges, backend="edges").output
    assert_same(got, attend(x, x, x, mask=edges, backend="reference").output)


def test_an_edge_listed_twice_in_a_traced_program() -> None:
    edges, x = masks.Edges(torch.tensor([[1, 2, 2], [0, 2, 2]]), 3, 3), torch.eye(3)
    run = torch.compile(
        lambda x: attend(x, x, x, mask=edges, backend="reference", return_weights=True).weights,
        backend="eager",
    )
    assert_same(
        run(x), attend(x, x, x, mask=edges, backend="reference", return_weights=True).weights
    )


def test_a_route_holds_no_tensor_of_a_call() -> None:
    query, key, value = (torch.randn(7, 11, 13, 17) for _ in range(3))
    freed: list[str] = []
    for name, one in (("query", query), ("key", key), ("value", value)):
        weakref.finalize(one, freed.append, name)
    attend(query, key, value, mask=masks.Causal())
    attend(query, key, value, mask=masks.Causal() & masks.Padding(torch.full((7,), 5)))
    del query, key, value, one
    assert sorted(freed) == ["key", "query", "value"]


def test_only_so_many_routes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "MAX_ROUTES", 3)
    planning.forget_routes()
    for length in range(1, 9):
        x = torch.randn(1, 2, length, 4)
        assert_same(attend(x, x, x).output, attend(x, x, x, backend="reference").output)
        assert len(planning._routes) <= 3


def test_an_error_is_raised_each_time_and_leaves_no_route() -> None:
    query, key, value = tensors()
    for _ in range(2):
        with pytest.raises(ShapeError, match="keys but"):
            attend(query, key, value[:, :, :3])
        with pytest.raises(ShapeError, match="key_lengths"):
            attend(query, key, value, mask=masks.Padding(torch.ones(5).long()))
    assert attend(query, key, value).output.shape == query.shape


def test_threads_that_meet_a_signature_at_once() -> None:
    planning.forget_routes()
    operands = [tensors() for _ in range(8)]
    found: list[Tensor | None] = [None] * 8
    gate = threading.Barrier(8)

    def work(place: int) -> None:
        gate.wait()
        found[place] = attend(*operands[place], mask=masks.Causal()).output

    workers = [threading.Thread(target=work, args=(place,)) for place in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for one, given in zip(found, operands, strict=True):
        assert one is not None
        assert_same(one, attend(*given, mask=masks.Causal(), backend="reference").output)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("poison", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("length", [6, 65, 700])
@pytest.mark.parametrize("kind", ["boolean", "bias", "padding", "both", "causal", "bilinear"])
def test_hidden_contents_reach_nothing_in_a_call_of_a_known_signature(
    kind: str, poison: float, length: int, learned: bool
) -> None:
    keep = torch.rand(length, length) > 0.4
    keep[:, length // 2 :] = False
    padding = masks.Padding(torch.tensor([length // 2]))
    options: Options = {
        "boolean": {"mask": keep},
        "bias": {"bias": torch.where(keep, 0.5, -torch.inf).double()},
        "padding": {"mask": padding},
        "both": {"mask": masks.Causal() & padding},
        "causal": {"mask": masks.Causal("top_left")},
        "bilinear": {"mask": padding, "score": scores.Bilinear(torch.randn(D, D).double())},
    }[kind]  # type: ignore[assignment]
    queries = length // 2 if kind == "causal" else length

    def run(poisoned: bool) -> list[Tensor]:
        torch.manual_seed(length)
        query, key, value = (torch.randn(1, 1, n, D).double() for n in (queries, length, length))
        if poisoned:
            key[..., length // 2 :, 1], value[..., length // 2 :, 0] = poison, poison
        leaves = [one.requires_grad_(learned) for one in (query, key, value)]
        output = attend(*leaves, backend="sdpa", **options).output  # type: ignore[arg-type]
        if not learned:
            return [output]
        return [output, *torch.autograd.grad(output.sum(), leaves)]

    wanted = run(poisoned=False)
    for got, expected in zip(run(poisoned=True), wanted, strict=True):
        assert_same(got, expected)


def test_a_value_behind_every_row_is_seen_without_gradients_too() -> None:
    query, key, value = (torch.randn(1, 1, 5, 4) for _ in range(3))
    value[..., 3, :] = torch.nan
    keep = torch.tensor([True, True, True, False, True]).expand(5, 5)
    assert bool(attend(query, key, value, mask=keep).output.isfinite().all())


def test_large_finite_numbers_are_not_taken_for_infinity() -> None:
    query, key = torch.zeros(1, 1, 5, 4), torch.randn(1, 1, 5, 4)
    value = torch.full((1, 1, 5, 4), 3e38)
    got = attend(query, key, value, mask=masks.Causal()).output
    assert_same(got, attend(query, key, value, mask=masks.Causal(), backend="reference").output)


def test_parameters_are_tensors() -> None:
    query, key, value = map(torch.nn.Parameter, tensors())
    assert signature(query, key, value) is not None
    for mask in (None, masks.Causal()):
        got = attend(query, key, value, mask=mask).output
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


def test_modules_meet_their_signatures_again(refuse_to_validate: Callable[[], None]) -> None:
    query = tensors()[0][0]
    module = nn.MultiHeadAttention(D, 2).eval()
    module(query)
    refuse_to_validate()
    assert module(query).output.shape == query.shape


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
    assert observed.weights is None
