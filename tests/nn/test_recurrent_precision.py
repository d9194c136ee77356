"""Recurrent layers under autocast, on processors with an LSTM in half precision and on those without."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from heedful.nn import recurrent_precision as module
from heedful.nn.lstm import LSTMEncoder
from heedful.nn.recurrent import CELLS, RecurrentEncoder, States
from heedful.nn.recurrent_precision import keeps_float32, recurrent_precision, runs_lstm_in

LENGTHS = torch.tensor([4, 6, 1])
ENCODERS = [*sorted(CELLS), "padded lstm"]


@pytest.fixture
def no_half_lstm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor has no LSTM in half precision, whichever it is."""
    monkeypatch.setattr(module, "runs_lstm_in", lambda dtype: False)


def make(kind: str) -> RecurrentEncoder:
    if kind == "padded lstm":
        return LSTMEncoder(3, 5)
    return RecurrentEncoder(kind, 3, 5, layers=2)


def gradients(encoder: RecurrentEncoder, states: States) -> list[Tensor]:
    loss = states.values.float().square().sum() + states.summary[0].float().sin().sum()
    return list(torch.autograd.grad(loss, list(encoder.parameters())))


@pytest.mark.usefixtures("no_half_lstm")
@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_without_a_half_lstm_autocast_changes_nothing(kind: str, dtype: torch.dtype) -> None:
    encoder, inputs = make(kind), torch.randn(3, 6, 3).to(dtype)
    wanted = encoder(inputs.float(), LENGTHS)
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(inputs, LENGTHS)
        assert torch.is_autocast_enabled("cpu")
    assert found.values.dtype == torch.float32
    assert torch.equal(found.values, wanted.values)
    for got, exact in zip(found.summary, wanted.summary, strict=True):
        assert torch.equal(got, exact)
    for got, exact in zip(gradients(encoder, found), gradients(encoder, wanted), strict=True):
        assert torch.equal(got, exact)


@pytest.mark.usefixtures("no_half_lstm")
@pytest.mark.parametrize("kind", ENCODERS)
def test_without_a_half_lstm_inputs_have_their_gradient(kind: str) -> None:
    encoder, found = make(kind), []
    values = torch.randn(3, 6, 3)
    for enabled in (True, False):
        inputs = values.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            states = encoder(inputs, LENGTHS)
        states.values.square().sum().backward()
        found.append(inputs.grad)
    assert found[0] is not None
    assert found[0].abs().sum() > 0
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("kind", ENCODERS)
@pytest.mark.parametrize("training", [True, False])
def test_on_this_processor_autocast_stays_near_float32(kind: str, training: bool) -> None:
    encoder, inputs = make(kind).train(training), torch.randn(3, 6, 3)
    with torch.set_grad_enabled(training):
        wanted = encoder(inputs, LENGTHS)
        with torch.autocast("cpu", torch.bfloat16):
            found = encoder(inputs, LENGTHS)
    torch.testing.assert_close(found.values.float(), wanted.values, atol=0.05, rtol=0.05)
    if training:
        for got, exact in zip(gradients(encoder, found), gradients(encoder, wanted), strict=True):
            torch.testing.assert_close(got, exact, atol=0.3, rtol=0.1)


def test_with_a_half_lstm_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.dtype] = []
    monkeypatch.setattr(module, "runs_lstm_in", lambda dtype: asked.append(dtype) or True)
    inputs = torch.randn(2, 3, 4)
    with torch.autocast("cpu", torch.float16):
        given, precision = recurrent_precision(inputs, torch.ones(4, 5))
        with precision:
            assert torch.is_autocast_enabled("cpu")
    assert given is inputs
    assert asked == [torch.float16]


@pytest.mark.usefixtures("no_half_lstm")
def test_only_autocast_on_the_cpu_is_left() -> None:
    assert not keeps_float32("cpu")
    with torch.autocast("cpu", torch.bfloat16):
        assert keeps_float32("cpu")
        assert not keeps_float32("cuda")
        assert not keeps_float32("meta")
        with torch.autocast("cpu", enabled=False):
            assert not keeps_float32("cpu")


def real_answer(dtype: torch.dtype) -> bool:
    """The same question, asked of a larger LSTM in a thread of its own, which no mode of this one reaches."""

    def ask() -> bool:
        try:
            with torch.no_grad(), torch.autocast("cpu", dtype):
                nn.LSTM(4, 8)(torch.ones(3, 2, 4))
        except RuntimeError:
            return False
        return True

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("surroundings", ["none", "fake tensors", "the meta device", "autocast"])
def test_the_probe_says_what_an_lstm_does(dtype: torch.dtype, surroundings: str) -> None:
    mode = {
        "none": nullcontext(),
        "fake tensors": FakeTensorMode(),
        "the meta device": torch.device("meta"),
        "autocast": torch.autocast("cpu", torch.bfloat16),
    }[surroundings]
    module._lstm_runs_in.cache_clear()
    with mode:
        found = runs_lstm_in(dtype)
    assert found == real_answer(dtype)


def test_the_probe_runs_once_and_takes_a_failure_for_no(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fail(*given: object) -> None:
        calls.append(given)
        raise RuntimeError("could not create a primitive descriptor for the LSTM")

    monkeypatch.setattr(nn.LSTM, "forward", fail)
    module._lstm_runs_in.cache_clear()
    try:
        assert [runs_lstm_in(torch.bfloat16) for _ in range(3)] == [False] * 3
    finally:
        module._lstm_runs_in.cache_clear()
    assert len(calls) == 1


def test_torch_compile_takes_the_answer_as_a_constant() -> None:
    module._lstm_runs_in.cache_clear()

    def doubled(inputs: Tensor) -> Tensor:
        given, precision = recurrent_precision(inputs, inputs)
        with precision:
            return given @ given.mT

    inputs = torch.randn(3, 3)
    compiled = torch.compile(doubled, backend="eager", fullgraph=True)
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            assert torch.equal(compiled(inputs), doubled(inputs))


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_the_hand_written_pass_trains_in_float32_under_autocast(kind: str) -> None:
    encoder, inputs = RecurrentEncoder(kind, 3, 4), torch.randn(2, 6, 3)
    lengths = torch.tensor([6, 3])
    wanted = encoder(inputs, lengths).values
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trained = encoder(inputs.bfloat16(), lengths).values
        again = encoder(inputs, lengths).values
    assert trained.dtype == torch.float32
    assert torch.equal(again, wanted)
    assert torch.autograd.grad(again.sum(), encoder.layers.weight_hh_l0)[0].dtype == torch.float32
