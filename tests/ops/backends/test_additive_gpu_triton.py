"""`attend` by the GPU's kernels: tensors of the CPU take them through Triton's interpreter, against `reference`."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from heedful import attend, masks, normalizers, positions, scores
from heedful.ops.backends.additive import gpu as additive_gpu
from heedful.ops.backends.additive import scores as additive
from heedful.ops.masks import Mask
from tests.ops.compare import assert_same

pytest.importorskip("triton", reason="the extra `gpu` is not installed")

# (*lead, length, features) of query and key, (*lead, hidden) of the score's vector.
LEADS: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "none": ((), (), ()),
    "batch": ((2,), (2,), ()),
    "shared keys": ((2, 3), (1, 3), (3,)),
    "shared queries": ((1, 1), (2, 3), (3,)),
    "grouped heads": ((2, 4), (2, 2), ()),
    "one head": ((2, 3), (2, 1), (1,)),
}
MASKS: dict[str, Mask | None] = {
    "none": None,
    "causal": masks.Causal("bottom_right"),
    "dense, an empty row": masks.Dense((torch.arange(5)[:, None] + torch.arange(7)) % 3 > 0)
    & masks.Dense(torch.arange(5)[:, None] > 0),
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every tensor is the GPU's; what its kernels were asked for is told."""
    asked: list[str] = []
    for name in ("scores_forward", "scores_backward"):
        monkeypatch.setattr(additive_gpu, name, _told(name, asked))
    monkeypatch.setattr(additive, "takes_triton", lambda device: True)
    return asked


def _told(name: str, asked: list[str]) -> object:
    function = getattr(additive_gpu, name)

    def call(*arguments: object) -> object:
        asked.append(name)
        return function(*arguments)

    return call


def tensors(leads: str, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    query, key, vector = LEADS[leads]
    shapes = ((*query, 5, 4), (*key, 7, 4), (*key, 7, 2), (4, 6), (4, 6), (*vector, 6))
    return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]


def attended(given: list[Tensor], backend: str, **options: object) -> Tensor:
    query, key, value, *weights = given
    score = scores.Additive(*weights, activation=options.pop("activation", "tanh"))  # type: ignore[arg-type]
    return attend(query, key, value, score=score, backend=backend, **options).output  # type: ignore[arg-type]


def compared(given: list[Tensor], **options: object) -> None:
    """Output and all gradients of `chunked` are those of `reference`."""
    leaves = [t for t in (*given, options.get("bias")) if isinstance(t, Tensor) and t.requires_grad]
    got, wanted = (attended(given, name, **options) for name in ("chunked", "reference"))
    assert_same(got, wanted)
    upstream = torch.randn_like(wanted)
    pairs = (torch.autograd.grad(output, leaves, upstream) for output in (got, wanted))
    for found, right in zip(*pairs, strict=True):
        assert_same(found, right)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("leads", LEADS)
def test_softmax(leads: str, mask: str, calls: list[str]) -> None:
    compared(tensors(leads), mask=MASKS[mask], enable_gqa=leads == "grouped heads")
    assert set(calls) == {"scores_forward", "scores_backward"}


@pytest.mark.parametrize("activation", ["tanh", "leaky_relu"])
def test_the_general_way(activation: str, calls: list[str]) -> None:
    bias = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    compared(
        tensors("shared keys"), activation=activation, bias=bias, mask=masks.Causal("bottom_right")
    )
    compared(tensors("batch"), activation=activation, normalizer=normalizers.Sparsemax())
    ramp = positions.ALiBi(torch.tensor([0.5, 1.0, 2.0]))
    compared(tensors("one head"), activation=activation, bias=ramp)
    assert set(calls) == {"scores_forward", "scores_backward"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_is_widened_first(dtype: torch.dtype, calls: list[str]) -> None:
    compared(tensors("one head", dtype))
    assert calls


def test_contents_behind_a_mask_reach_nothing(calls: list[str]) -> None:
    given = tensors("batch")
    with torch.no_grad():
        given[1][:, -1], given[2][:, -1] = torch.nan, torch.inf
    compared(given, mask=masks.Padding(torch.tensor([6, 6])))
    assert calls


def test_more_places_than_one_launch_may_have(
    monkeypatch: pytest.MonkeyPatch, calls: list[str]
) -> None:
    monkeypatch.setattr(additive_gpu, "MOST_PLACES", 4)
    compared(tensors("shared keys"))
    assert calls


@pytest.mark.parametrize(("queries", "keys", "places"), [(0, 3, 2), (2, 0, 2), (2, 3, 0)])
def test_nothing_to_do(queries: int, keys: int, places: int, calls: list[str]) -> None:
    query, key = torch.randn(places, queries, 4), torch.randn(places, keys, 4)
    given = [t.requires_grad_() for t in (query, key, torch.randn(4))]
    got = additive.additive_scores(*given, "tanh")
    assert got.shape == (places, queries, keys)
    for found, tensor in zip(torch.autograd.grad(got.sum(), given), given, strict=True):
        assert_same(found, torch.zeros_like(tensor))
    assert calls


# The check itself asks tensors that are no leaves for their gradients.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
def test_pytorchs_own_check(calls: list[str]) -> None:
    given = [torch.randn(2, 3, 5, 8), torch.randn(2, 1, 7, 8), torch.randn(3, 8)]
    leaves = [tensor.clone().requires_grad_() for tensor in given]
    torch.library.opcheck(additive.SCORES.dispatched, (*leaves, "tanh"))
    arguments = (*given, "tanh", torch.randn(2, 3, 5, 7))
    torch.library.opcheck(additive.GRADIENTS.dispatched, arguments)
    assert calls


def test_without_triton_a_gpu_goes_by_the_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    assert additive.refusal(torch.device("cuda")) is None

    def fail(name: str) -> None:
        raise ImportError(f"no {name}")

    monkeypatch.setattr(additive_gpu, "import_module", fail)
    monkeypatch.setattr(additive_gpu, "_reason", [])
    assert "Triton cannot be imported" in str(additive.refusal(torch.device("cuda")))
    monkeypatch.setattr(additive, "takes_triton", lambda device: True)
    compared(tensors("batch"))
