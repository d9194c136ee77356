"""The whole target as one function against the readable loop: states, weights, and every gradient."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from heedful.explore.record import recording
from heedful.models import FrequencyConfig, RecurrentConfig, RecurrentEncoderDecoder
from heedful.models import bahdanau as module
from heedful.models.bahdanau import BahdanauDecoder
from heedful.ops.backends.additive import steps as additive_step
from heedful.ops.backends.additive.steps import KernelSteps, PlainSteps, build_steps, plan_steps
from heedful.ops.jit.kernel import unavailable
from heedful.ops.observe import Observed, observing

KINDS = ["gru", "lstm", "rnn"]
LENGTHS = torch.tensor([6, 3, 1, 5])


@pytest.fixture(params=["compiled", "plain"])
def steps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "plain":
        monkeypatch.setattr(additive_step, "unavailable", lambda: "told so")
    elif unavailable() is not None:
        pytest.skip("no compiled kernels here")
    return str(request.param)


def make(**options: Any) -> RecurrentEncoderDecoder:
    sizes: dict[str, Any] = {"embedding": 7, "hidden": 5, "attention_hidden": 9, "dropout": 0.0}
    torch.manual_seed(1)
    model = RecurrentEncoderDecoder(RecurrentConfig(**(sizes | options)), 20, 23).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def weighed(model: RecurrentEncoderDecoder) -> RecurrentEncoderDecoder:
    """The same model, its frequent source tokens weighed down."""
    model.frequency = FrequencyConfig(down_weight=0.01)
    model.source_frequencies = torch.linspace(0, 0.1, 20).double()
    return model


def tokens(target: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(4, 20, (4, 6), generator=generator)
    return source, torch.randint(4, 23, (4, target), generator=generator)


def looked_at(model: RecurrentEncoderDecoder, *, whole: bool, target: int = 4) -> list[Tensor]:
    """States, weights, the state after, and the gradients of all parameters, one way or the other."""
    decoder = model.decoder
    assert isinstance(decoder, BahdanauDecoder)
    decoder.fused = whole
    model.zero_grad()
    source, wanted = tokens(target)
    torch.manual_seed(3)
    state = model.start(source, LENGTHS)
    embedded = model.dropout(model.target_embedding(wanted))
    stepped = decoder(embedded, state.hidden, state.memory, return_weights=True)
    assert stepped.weights is not None
    made = [stepped.states, stepped.weights, *stepped.hidden]
    # Every output counts, each with weights of its own.
    loss = sum((each * torch.linspace(-1, 2, each.numel()).view(each.shape)).sum() for each in made)
    assert isinstance(loss, Tensor)
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return [*(each.detach() for each in made), *gradients]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"hidden": 1, "attention_hidden": 17}, {"dropout": 0.4}])
def test_it_is_the_loop(kind: str, options: dict[str, Any], steps: str) -> None:
    model = make(kind=kind, **options).train()
    for target in (2, 7):
        whole, loop = (looked_at(model, whole=way, target=target) for way in (True, False))
        torch.testing.assert_close(whole, loop)


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_the_loop(kind: str, steps: str) -> None:
    model = make(kind=kind).float()
    whole, loop = (looked_at(model, whole=way) for way in (True, False))
    torch.testing.assert_close(whole, loop, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoder_in_half_precision_leaves_the_state_whole(kind: str, steps: str) -> None:
    model = make(kind=kind).float()
    exact = looked_at(model, whole=True)
    with torch.autocast("cpu", torch.bfloat16):
        half = looked_at(model, whole=True)
    assert not torch.equal(exact[2], half[2])
    assert half[2].dtype == torch.float32
    torch.testing.assert_close(half[0].float(), exact[0], atol=0.2, rtol=0.1)
    assert all(torch.isfinite(each).all() for each in half)


def test_states_without_weights_are_those_with_them() -> None:
    model = make()
    source, target = tokens()
    plain, asked = (model(source, LENGTHS, target, return_weights=way) for way in (False, True))
    assert torch.equal(plain.states, asked.states)


def calls(monkeypatch: pytest.MonkeyPatch, model: RecurrentEncoderDecoder) -> list[bool]:
    """Whether each later forward of the decoder was one function."""
    seen: list[bool] = []
    real = BahdanauDecoder._can_fuse

    def note(self: BahdanauDecoder, shares: Tensor) -> bool:
        seen.append(real(self, shares))
        return seen[-1]

    monkeypatch.setattr(module.BahdanauDecoder, "_can_fuse", note)
    return seen


@pytest.mark.parametrize(
    ("options", "whole"),
    [
        ({}, True),
        ({"decoder_layers": 2}, False),
        ({"decoder_layers": 3}, False),
        ({"attention": "bilinear"}, False),
        ({"normalizer": "sparsemax"}, False),
    ],
)
def test_who_is_served(
    options: dict[str, Any], whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(**options)
    seen = calls(monkeypatch, model)
    source, target = tokens()
    model(source, LENGTHS, target)
    with observing(lambda observed: None):
        model(source, LENGTHS, target)
    model(source, LENGTHS, target[:, :1])
    assert seen == [whole, whole, False]


def test_numbers_too_large_for_exponentials(steps: str) -> None:
    model = make().train()
    with torch.no_grad():
        for parameter in model.decoder.attention.parameters():
            parameter.mul_(1000)
    whole, loop = (looked_at(model, whole=way) for way in (True, False))
    torch.testing.assert_close(whole, loop)
    assert all(torch.isfinite(each).all() for each in whole)


def memory(dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(0)
    key, vector, values = torch.randn(3, 5, 7), torch.randn(7), torch.randn(3, 5, 4)
    keep = torch.tensor([[1, 1, 0, 1, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]).bool()
    return [key.to(dtype), vector.to(dtype), values.to(dtype), keep]


@pytest.mark.skipif(unavailable() is not None, reason="no compiled kernels here")
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_compiled_steps_are_the_plain_ones(threads: int, biased: bool) -> None:
    given = [*memory(), *([torch.randn(3, 5).double()] if biased else [])]
    query = torch.randn(3, 9, dtype=torch.float64)[:, 1:8]
    upstream = torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    found = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for kind in (KernelSteps, PlainSteps):
            steps = kind(*given)
            weights, context = torch.empty(3, 5).double(), torch.empty(3, 4).double()
            steps.forward(query, weights, context)
            steps.begin_backward()
            for _ in range(2):
                back = steps.backward(query, weights, upstream[0], upstream[1].clone())
            found.append([weights, context, back, *steps.finish_backward()])
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found[0], found[1])
    assert not found[0][0][1].any()
    assert not found[0][1][1].any()


@pytest.mark.skipif(unavailable() is not None, reason="no compiled kernels here")
def test_which_steps_serve_and_why() -> None:
    def why_plain(dtype: torch.dtype, bound: float, scale: float = 1.0) -> str | None:
        key, *others = memory(dtype)
        plan = plan_steps(scale * key, torch.tensor(bound, dtype=dtype))
        assert plan.reason
        kind = PlainSteps if "additive" in plan.rejected else KernelSteps
        assert type(build_steps(plan, key, *others)) is kind
        return plan.rejected.get("additive")

    assert why_plain(torch.float32, 39.0) is None
    assert why_plain(torch.float64, 300.0) is None
    assert "may reach 41, and float32 is raised up to 40" in str(why_plain(torch.float32, 41.0))
    assert "may reach" in str(why_plain(torch.float32, 1.0, 100.0))
    assert "may reach nan" in str(why_plain(torch.float32, float("nan")))
    assert "not torch.bfloat16" in str(why_plain(torch.bfloat16, 1.0))
    nothing = plan_steps(torch.zeros(0, 3, 4), torch.tensor(1.0))
    assert nothing.rejected == {"additive": "there is nothing to attend to"}
    shapes = plan_steps(torch.zeros(1, 3, 4, device="meta"), torch.tensor(1.0, device="meta"))
    assert "on meta" in shapes.rejected["additive"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_observed_is_what_was_computed(kind: str, steps: str) -> None:
    model = make(kind=kind)
    source, target = tokens()
    seen: list[Observed] = []
    with observing(seen.append):
        states = model(source, LENGTHS, target, return_weights=True)
    plain = model(source, LENGTHS, target)
    assert torch.equal(states.states, plain.states)
    (observed,) = [each for each in seen if each.owner is not None]
    assert torch.equal(observed.weights, states.weights[:, 0, 0])
    assert observed.backend == ("additive" if steps == "compiled" else "reference")
    assert observed.mask is not None
    assert not observed.weights[~observed.mask].any()


def test_a_record_of_all_steps_is_that_of_the_single_ones() -> None:
    model = make()
    decoder = model.decoder
    assert isinstance(decoder, BahdanauDecoder)
    source, target = tokens()
    found = []
    for whole in (True, False):
        decoder.fused = whole
        with torch.no_grad(), recording(model, row=1) as recorder:
            model(source, LENGTHS, target)
        found.append(recorder.records())
    for one, other in zip(*found, strict=True):
        assert (one.module_path, one.kind, one.layer) == (
            other.module_path,
            other.kind,
            other.layer,
        )
        torch.testing.assert_close(torch.tensor(one.weights), torch.tensor(other.weights))
        assert (one.mask == other.mask).all()


def test_frequent_tokens_are_weighed_down_as_in_the_loop(steps: str) -> None:
    model = make()
    plain = looked_at(model, whole=True)
    weighed(model)
    whole, loop = (looked_at(model, whole=way) for way in (True, False))
    torch.testing.assert_close(whole, loop)
    assert not torch.allclose(whole[1], plain[1])


def test_bytes_kept_do_not_grow_with_target_times_source_times_features() -> None:
    def kept(source: int, target: int) -> int:
        sizes: dict[int, int] = {}

        def count(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
            return tensor

        model = make(attention_hidden=64).train()
        given = torch.randint(4, 20, (2, source)), torch.full((2,), source)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            decoded = model(*given, torch.randint(4, 20, (2, target)))
        assert decoded.states.requires_grad
        return sum(sizes.values())

    # What grows with both is the attention weights alone: one number for each target and source.
    both = kept(40, 40) - kept(40, 20) - kept(20, 40) + kept(20, 20)
    assert 0 <= both <= 2 * 20 * 20 * 8 * 3


@pytest.mark.parametrize("kind", KINDS)
def test_second_derivatives_are_the_loops(kind: str) -> None:
    model = weighed(make(kind=kind)).train()
    decoder = model.decoder
    assert isinstance(decoder, BahdanauDecoder)
    source, target = tokens()
    found = []
    for whole in (True, False):
        decoder.fused = model.encoder.by_hand = whole
        model.zero_grad()
        states = model(source, LENGTHS, target).states
        parameters = [each for each in model.parameters() if each.requires_grad]
        first = torch.autograd.grad(
            states.square().sum(), parameters, create_graph=True, allow_unused=True
        )
        sum(each.square().sum() for each in first if each is not None).backward()
        found.append([parameter.grad for parameter in parameters])
    torch.testing.assert_close(*found)
