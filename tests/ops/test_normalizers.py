"""Normalizers: what they promise of any row, and against sources that know nothing of ours."""

from __future__ import annotations

import entmax
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from heedful import normalizers
from heedful.ops.normalizers import NORMALIZERS, Normalizer
from heedful.ops.normalizers.sparse_plain import plain_entmax
from tests.ops import strategies
from tests.ops.compare import assert_same
from tests.ops.examples import NORMALIZER_EXAMPLES

SIMPLEX: dict[str, Normalizer] = {
    "softmax": normalizers.Softmax(),
    "sparsemax": normalizers.Sparsemax(),
    **{f"entmax {alpha}": normalizers.Entmax(alpha) for alpha in (1.0, 1.1, 1.25, 1.5, 2.0, 2.5)},
    "entmax learned": normalizers.Entmax(torch.tensor([1.2, 1.7], dtype=torch.float64)),
}
ANY = {
    **SIMPLEX,
    "sink": normalizers.SinkSoftmax(0.5),
    "sigmoid": normalizers.Sigmoid(),
    "relu": normalizers.ReLU(),
}


def test_every_normalizer_is_here() -> None:
    assert {type(normalizer) for normalizer in ANY.values()} == set(NORMALIZERS.values())


@pytest.mark.parametrize("name", SIMPLEX)
@given(drawn=strategies.score_rows())
def test_weights_lie_on_the_simplex_of_what_is_kept(
    name: str, drawn: tuple[Tensor, Tensor]
) -> None:
    scores, keep = drawn
    for kept in (keep, None):
        weights = SIMPLEX[name].weights(scores, kept)
        open_rows = torch.ones_like(keep[..., 0]) if kept is None else kept.any(-1)
        assert bool((weights >= 0).all())
        assert_same(weights.sum(-1), open_rows.double())
        assert kept is None or not bool(weights[~kept].any())


@pytest.mark.parametrize("name", ANY)
@given(drawn=strategies.score_rows(), data=st.data())
def test_the_order_of_keys_does_not_matter(
    name: str, drawn: tuple[Tensor, Tensor], data: st.DataObject
) -> None:
    scores, keep = drawn
    order = torch.tensor(data.draw(st.permutations(range(scores.shape[-1]))))
    weights = ANY[name].weights(scores, keep)
    assert_same(ANY[name].weights(scores[..., order], keep[..., order]), weights[..., order])


@pytest.mark.parametrize("name", ANY)
@given(drawn=strategies.score_rows())
def test_masking_equals_leaving_out(name: str, drawn: tuple[Tensor, Tensor]) -> None:
    scores, keep = drawn
    keep = keep[:1, :1].expand_as(keep)
    kept = keep[0, 0]
    if not bool(kept.any()):
        return
    poisoned = torch.where(keep, scores, torch.nan)
    assert_same(
        ANY[name].weights(poisoned, keep)[..., kept], ANY[name].weights(scores[..., kept], None)
    )


@pytest.mark.parametrize("name", SIMPLEX)
@given(drawn=strategies.score_rows(), shift=st.floats(-100, 100))
def test_a_number_added_to_a_row_changes_nothing(
    name: str, drawn: tuple[Tensor, Tensor], shift: float
) -> None:
    scores, keep = drawn
    assert_same(SIMPLEX[name].weights(scores + shift, keep), SIMPLEX[name].weights(scores, keep))


@pytest.mark.parametrize("name", SIMPLEX)
@given(drawn=strategies.score_rows())
def test_a_higher_score_has_no_less_weight(name: str, drawn: tuple[Tensor, Tensor]) -> None:
    scores, _ = drawn
    ordered = SIMPLEX[name].weights(scores.sort(-1).values, None)
    assert bool((ordered.diff(dim=-1) >= -1e-9).all())


def test_softmax_is_torch_softmax() -> None:
    scores = torch.randn(3, 4, 5) * 30
    assert_same(normalizers.Softmax().weights(scores, None), torch.softmax(scores, -1))


def test_sparsemax_by_hand() -> None:
    # [0.6, 0.4, -2]: two in the support, τ = (1.0 − 1)/2 = 0. [1, 1, 1]: τ = 2/3. [3, 0, 0]: τ = 2.
    scores = torch.tensor([[0.6, 0.4, -2.0], [1.0, 1.0, 1.0], [3.0, 0.0, 0.0]]).double()
    third = 1 / 3
    wanted = torch.tensor([[0.6, 0.4, 0.0], [third, third, third], [1.0, 0.0, 0.0]]).double()
    assert_same(normalizers.Sparsemax().weights(scores, None), wanted, dtype=torch.float32)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (normalizers.Sparsemax(), entmax.sparsemax),
        (normalizers.Entmax(1.5), entmax.entmax15),
        (normalizers.Entmax(2.0), entmax.sparsemax),
        (
            normalizers.Entmax(1.25),
            lambda scores: entmax.entmax_bisect(scores, alpha=1.25, n_iter=80),
        ),
        (
            normalizers.Entmax(1.8),
            lambda scores: entmax.entmax_bisect(scores, alpha=1.8, n_iter=80),
        ),
    ],
    ids=["sparsemax", "entmax 1.5", "entmax 2", "entmax 1.25", "entmax 1.8"],
)
@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
def test_against_the_entmax_package(ours: Normalizer, theirs, spread: float) -> None:  # type: ignore[no-untyped-def]
    scores = (torch.randn(20, 9).double() * spread).requires_grad_()
    direction = torch.randn(20, 9).double()
    got, wanted = ours.weights(scores, None), theirs(scores)
    assert_same(got.detach(), wanted.detach())
    (gradient,) = torch.autograd.grad(got, scores, direction)
    assert_same(gradient, torch.autograd.grad(wanted, scores, direction)[0], dtype=torch.float32)


def test_learned_alpha_against_the_entmax_package() -> None:
    scores = torch.randn(6, 4, 5).double()
    alpha = torch.linspace(1.1, 1.9, 6).double().requires_grad_()
    direction = torch.randn(6, 4, 5).double()
    got = normalizers.Entmax(alpha).weights(scores, None)
    wanted = entmax.entmax_bisect(scores, alpha=alpha[:, None, None], n_iter=80)
    assert_same(got.detach(), wanted.detach())
    (gradient,) = torch.autograd.grad(got, alpha, direction)
    assert_same(gradient, torch.autograd.grad(wanted, alpha, direction)[0], dtype=torch.float32)


SPARSE: dict[str, Normalizer] = {
    name: normalizer
    for name, normalizer in SIMPLEX.items()
    if name not in ("softmax", "entmax 1.0")
}
KEEPS: dict[str, tuple[int, ...] | None] = {
    "all kept": None,
    "a row each": (3, 2, 5, 37),
    "shared by heads": (3, 1, 1, 37),
    "queries by keys": (5, 37),
    "whole rows": (3, 1, 5, 1),
    "one for all": (1, 1),
}


def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "heedful.ops.normalizers.sparse.unavailable", lambda: "taken away by a test"
    )


@pytest.mark.parametrize("keep_shape", KEEPS.values(), ids=KEEPS)
@pytest.mark.parametrize("spread", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("name", SPARSE)
def test_kernels_equal_plain_mathematics(
    name: str, spread: float, keep_shape: tuple[int, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = (torch.randn(3, 2, 5, 37).double() * spread).requires_grad_()
    keep = None
    poisoned = scores.detach().clone()
    if keep_shape is not None:
        keep = torch.rand(keep_shape) > 0.5
        poisoned[~keep.expand_as(poisoned)] = torch.nan
    poisoned.requires_grad_()
    direction = torch.randn(3, 2, 5, 37).double()
    got = SPARSE[name].weights(poisoned, keep)
    (gradient,) = torch.autograd.grad(got, poisoned, direction)
    without_kernels(monkeypatch)
    wanted = SPARSE[name].weights(scores, keep)
    assert_same(got.detach(), wanted.detach())
    assert_same(gradient, torch.autograd.grad(wanted, scores, direction)[0], dtype=torch.float32)


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 33, 1000])
@pytest.mark.parametrize("name", SPARSE)
def test_rows_of_any_length_and_layout(name: str, length: int) -> None:
    scores = torch.randn(length, 2, 4).permute(1, 2, 0)[None]
    normalizer = SPARSE[name]
    got = normalizer.weights(scores, None)
    assert_same(got, normalizer.weights(scores.double(), None).float())
    assert_same(got.sum(-1), torch.ones(got.shape[:-1]))


@pytest.mark.parametrize("keep", [None, torch.tensor([[True, True, False, True], [False] * 4])])
@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("name", SPARSE)
def test_first_and_second_derivatives_by_differences(
    name: str, plain: bool, keep: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if plain:
        without_kernels(monkeypatch)
    # Far enough apart that no difference taken by the check moves a key in or out of the support.
    scores = torch.tensor([[0.37, 0.9, 0.1, 0.7], [1.4, -0.2, 1.0, 0.95]]).double().view(1, 1, 2, 4)
    alphas: list[Tensor] = []
    make = lambda alpha: SPARSE[name]  # noqa: E731
    if name == "entmax learned":
        alphas = [torch.tensor([1.3]).double().requires_grad_()]
        make = normalizers.Entmax

    def weights(scores: Tensor, *alphas: Tensor) -> Tensor:
        return make(*alphas or (None,)).weights(scores, keep)

    inputs = (scores.requires_grad_(), *alphas)
    assert torch.autograd.gradcheck(weights, inputs)
    assert torch.autograd.gradgradcheck(weights, inputs)


@pytest.mark.parametrize("name", SPARSE)
def test_what_is_not_finite_spoils_its_row_alone(name: str) -> None:
    scores = torch.zeros(1, 2, 6, 3)
    scores[..., 0, 1] = torch.nan
    scores[..., 1, 1] = torch.inf
    scores[..., 2, 1] = -torch.inf
    scores[..., 3, :] = -torch.inf
    keep = torch.ones(6, 3, dtype=torch.bool)
    keep[4] = False
    half, third = [0.5, 0.0, 0.5], [1 / 3] * 3
    for kept in (keep, None):
        weights = SPARSE[name].weights(scores, kept)
        assert bool(weights[..., [0, 1, 3], :].isnan().all())
        assert_same(weights[0, 0, 2], torch.tensor(half))
        assert_same(weights[0, 0, 4], torch.tensor([0.0] * 3 if kept is not None else third))
        assert_same(weights[0, 0, 5], torch.tensor(third))


def test_one_alpha_a_head_and_a_sequence() -> None:
    scores = torch.randn(2, 3, 4, 5).double()
    alpha = torch.rand(2, 3).double() + 1.2
    got = normalizers.Entmax(alpha).weights(scores, None)
    for batch in range(2):
        for head in range(3):
            alone = normalizers.Entmax(float(alpha[batch, head]))
            assert_same(got[batch, head], alone.weights(scores[batch, head], None))


def test_sparse_rows_are_shared_among_threads() -> None:
    scores = torch.randn(700, 301)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        wanted = normalizers.Entmax(1.5).weights(scores, None)
        torch.set_num_threads(3)
        assert torch.equal(normalizers.Entmax(1.5).weights(scores, None), wanted)
    finally:
        torch.set_num_threads(threads)


def test_sigmoid_and_relu_by_definition() -> None:
    scores, keep = torch.randn(2, 3, 4), torch.tensor([True, True, False, True])
    sigmoid = normalizers.Sigmoid().weights(scores, keep)
    assert_same(sigmoid[..., keep], 1 / (1 + torch.exp(-scores[..., keep])))
    assert_same(
        normalizers.ReLU().weights(scores, keep)[..., keep], scores[..., keep].clamp(min=0) / 3
    )
    assert_same(normalizers.ReLU().weights(scores, None), scores.clamp(min=0) / 4)


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("size", [1e4, 1e30])
def test_large_scores_stay_finite(name: str, size: float) -> None:
    scores = (torch.tensor([[[1.0, -1.0, 0.5]]]) * size).requires_grad_()
    normalizer = NORMALIZER_EXAMPLES[name]((), torch.float32)
    keep = torch.tensor([True, True, False])
    weights = normalizer.weights(scores, keep)
    (gradient,) = torch.autograd.grad(weights.sum(), scores)
    assert bool(weights.isfinite().all())
    assert bool(gradient.isfinite().all())
    if name not in ("sigmoid", "relu"):
        assert_same(weights.detach(), torch.tensor([[[1.0, 0.0, 0.0]]]))


STEEP = pytest.mark.parametrize("alpha", [2.5, 4.0, 10.0, 50.0, 1e6])


@STEEP
@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equal_scores_share_the_weight_under_any_alpha(
    alpha: float, learned: bool, dtype: torch.dtype
) -> None:
    scores = torch.zeros(2, 3, 1000, dtype=dtype)
    given_alpha = torch.tensor([alpha, 2.0], dtype=dtype) if learned else alpha
    wanted = torch.full_like(scores, 1e-3)
    assert_same(normalizers.Entmax(given_alpha).weights(scores, None), wanted)
    assert_same(plain_entmax(scores, None, given_alpha), wanted)


@STEEP
def test_weights_of_a_large_alpha_are_those_of_the_equation(alpha: float) -> None:
    """Two scores: w₁^(α−1) − w₂^(α−1) = (α−1)(e₁ − e₂) and w₁ + w₂ = 1, so that w₂ gives the scores."""
    second = torch.tensor([0.5, 0.45, 0.3, 0.2], dtype=torch.float64)
    excess = alpha - 1
    difference = ((1 - second) ** excess - second**excess) / excess
    scores = torch.stack([torch.zeros_like(difference), -difference], -1).requires_grad_()
    # A weight above which its power is a number.
    known = second**excess > 1e-3 * (1 - second) ** excess
    for weights in (
        normalizers.Entmax(alpha).weights(scores[None], None)[0],
        plain_entmax(scores[None], None, alpha)[0],
    ):
        assert_same(weights.sum(-1), torch.ones(4).double())
        assert_same(weights[known, 1], second[known])
        # dw₂/de₂ = s₁s₂ / (s₁ + s₂) with s = w^(2−α).
        slopes = torch.stack([1 - second, second], -1) ** (1 - excess)
        wanted = slopes.prod(-1) / slopes.sum(-1)
        (got,) = torch.autograd.grad(weights[:, 1].sum(), scores, retain_graph=True)
        relative = (got[:, 1] / wanted - 1).abs()
        assert bool((relative[known] < 1e-9).all())
        assert bool(got.isfinite().all())


@STEEP
def test_a_large_alpha_under_a_mask_and_its_second_derivatives(alpha: float) -> None:
    keep = torch.rand(2, 3, 300) > 0.3
    keep[0, 0] = False
    scores = torch.randn(2, 3, 300).round(decimals=1).requires_grad_()
    direction = torch.randn(2, 3, 300)
    for weights in (
        normalizers.Entmax(alpha).weights(scores, keep),
        plain_entmax(scores, keep, alpha),
    ):
        assert_same(weights.sum(-1), keep.any(-1).float())
        assert not bool(weights[~keep].any())
        (slope,) = torch.autograd.grad((weights * direction).sum(), scores, create_graph=True)
        assert bool(slope.isfinite().all())
        assert not bool(slope[0, 0].any())
        (again,) = torch.autograd.grad((slope * direction).sum(), scores)
        assert not bool(again.isnan().any())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", NORMALIZERS)
def test_half_precision_straight_into_a_normalizer(
    name: str, masked: bool, dtype: torch.dtype
) -> None:
    scores = torch.randn(2, 2, 3, 50).to(dtype)
    keep = torch.rand(3, 50) > 0.4 if masked else None
    normalizer = NORMALIZER_EXAMPLES[name]((), torch.float32)
    got, wanted = normalizer.weights(scores, keep), normalizer.weights(scores.float(), keep)
    assert got.dtype == dtype
    assert_same(got.float(), wanted, dtype=dtype)
    leaf = scores.clone().requires_grad_()
    (slope,) = torch.autograd.grad(normalizer.weights(leaf, keep).float().square().sum(), leaf)
    assert slope.dtype == dtype
    assert bool(slope.isfinite().all())
