"""Models of transformers on `attend`: equal to their eager attention."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

import heedful.hf.attention as hf_attention
from heedful import hf
from heedful.errors import OptionError
from heedful.hf.attention import attention_forward
from heedful.ops import masks
from tests.hf.models import GROUPED, MODELS, PADDED, build, inputs, result, run

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-12}
GENERATING = ("llama", "mistral", "gemma2", "gpt_oss", "llama4", "gpt2", "t5", "bart")


@pytest.fixture
def exact_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let eager attention normalize in the dtype of its scores; many models do it in float32."""
    softmax = torch.nn.functional.softmax

    def in_own_dtype(scores: Tensor, dim: int = -1, dtype: Any = None, **others: Any) -> Tensor:
        return softmax(scores, dim=dim)

    monkeypatch.setattr(torch.nn.functional, "softmax", in_own_dtype)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Collect the keywords that `attend` is called with."""
    found: list[dict[str, Any]] = []
    attend = hf_attention.attend

    def watched(*tensors: Tensor, **options: Any) -> Any:
        found.append(options)
        return attend(*tensors, **options)

    monkeypatch.setattr(hf_attention, "attend", watched)
    return found


@pytest.mark.usefixtures("exact_eager")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("padding", ["none", *PADDED])
@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_those_of_eager_attention(
    name: str, padding: str, dtype: torch.dtype, calls: list[dict[str, Any]]
) -> None:
    if name == "vit" and padding != "none":
        pytest.skip("images have no padding")
    if name == "gpt_oss" and dtype is torch.float64:
        pytest.skip("the experts of gpt-oss have no float64")
    model = build(name, dtype)
    given = inputs(model, padding)
    with torch.no_grad():
        wanted = result(run(model, "eager", given), given)
        assert not calls
        got = result(run(model, "heedful", given), given)
    assert len(calls) >= 2
    # gpt-oss and T5 compute parts of themselves in float32
    tolerance = 1e-5 if name in ("gpt_oss", "t5", "llama4") else TOLERANCE[dtype]
    torch.testing.assert_close(got, wanted, atol=max(tolerance, TOLERANCE[dtype]), rtol=1e-5)


@pytest.mark.usefixtures("exact_eager")
@pytest.mark.parametrize("name", ["llama", "gemma2", "bert", "vit", "t5"])
def test_gradients_are_those_of_eager_attention(name: str) -> None:
    model = build(name, torch.float64)
    given = inputs(model, "left")
    found = {}
    for implementation in ("eager", "heedful"):
        model.zero_grad()
        states = result(run(model, implementation, given), given)
        (states * torch.linspace(-1, 1, states.shape[-1], dtype=states.dtype)).sum().backward()
        found[implementation] = {
            path: weight.grad
            for path, weight in model.named_parameters()
            if weight.grad is not None
        }
    assert found["eager"].keys() == found["heedful"].keys() != set()
    for path, wanted in found["eager"].items():
        torch.testing.assert_close(
            found["heedful"][path], wanted, atol=1e-5 * float(wanted.abs().max()) + 1e-9, rtol=1e-5
        )


@pytest.mark.parametrize(
    "options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}, {"use_cache": False}],
    ids=["cache", "beams", "static cache", "no cache"],
)  # fmt: skip
@pytest.mark.parametrize("name", GENERATING)
def test_generates_the_same(name: str, options: dict[str, Any]) -> None:
    model = build(name)
    given = inputs(model, "left")
    given.pop("decoder_input_ids", None)
    length = {"max_new_tokens": 10, "min_new_tokens": 10, "do_sample": False, "pad_token_id": 0}
    found = []
    for implementation in ("eager", "heedful"):
        model.set_attn_implementation(implementation)
        found.append(model.generate(**given, **length, **options))
    assert torch.equal(*found)


def test_masks_reach_attend_as_such(calls: list[dict[str, Any]]) -> None:
    model = build("gemma2")
    given = inputs(model, "left")
    run(model, "heedful", given)
    local, whole = ([type(part) for part in call["mask"].parts()] for call in calls)
    assert local == [masks.Window, masks.Causal, masks.LeftPadding]
    assert whole == [masks.Causal, masks.LeftPadding]
    assert next(iter(calls[0]["mask"].parts())) == masks.Window(4, None, "bottom_right")
    assert {call["score"].cap for call in calls} == {2.0}
    assert all(call["enable_gqa"] for call in calls)


@pytest.mark.parametrize("name", ["llama", "bert", "gemma2", "bart", "t5", "gpt2"])
def test_weights_are_given_when_asked_for(name: str) -> None:
    model = build(name)
    given = inputs(model, "right")
    with torch.no_grad():
        wanted = run(model, "eager", given, output_attentions=True)
        got = run(model, "heedful", given, output_attentions=True)
        assert torch.equal(result(got, given), result(run(model, "heedful", given), given))
    kinds = [kind for kind in wanted if kind.endswith("attentions") and wanted[kind]]
    assert kinds
    for kind in kinds:
        for ours, theirs in zip(got[kind], wanted[kind], strict=True):
            rows = slice(0, PADDED["right"].start)  # padding may look at nothing
            torch.testing.assert_close(ours[:, :, rows], theirs[:, :, rows], atol=2e-5, rtol=1e-4)


def test_a_configuration_that_asks_for_weights_is_refused() -> None:
    config = transformers.LlamaConfig(**GROUPED)
    config._attn_implementation = "heedful"
    with pytest.raises(ValueError, match="output_attentions"):
        config.output_attentions = True


def test_packed_sequences_do_not_see_each_other(calls: list[dict[str, Any]]) -> None:
    model = build("mistral")
    ids = inputs(model)["input_ids"]
    positions = torch.cat([torch.arange(8), torch.arange(9)]).expand(2, -1)
    given = {"input_ids": ids, "position_ids": positions}
    with torch.no_grad():
        wanted = run(model, "eager", given, use_cache=False).logits
        got = run(model, "heedful", given, use_cache=False).logits
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-5)
    assert [type(part) for part in calls[0]["mask"].parts()] == [
        masks.Window,
        masks.Causal,
        masks.Segments,
    ]


@pytest.mark.parametrize("is_boolean", [True, False])
def test_a_mask_of_ones_own(is_boolean: bool) -> None:
    model = build("llama")
    given = inputs(model)
    keep = (torch.rand(2, 1, 17, 17, generator=torch.Generator().manual_seed(2)) > 0.4) | torch.eye(
        17
    ).bool()
    lowest = torch.finfo(torch.float32).min
    added = torch.zeros(keep.shape).masked_fill(~keep, lowest)
    with torch.no_grad():
        wanted = run(model, "eager", {**given, "attention_mask": added}).logits
        own = keep if is_boolean else added
        got = run(model, "heedful", {**given, "attention_mask": own}).logits
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-5)


def test_dropout_acts_on_the_weights() -> None:
    query, key = torch.randn(1, 2, 5, 4), torch.randn(1, 2, 5, 4)
    each = torch.eye(5).expand(1, 2, 5, 5)  # so that the output is the weights
    module = torch.nn.Module()
    module.is_causal = False
    plain = attention_forward(module, query, key, each, None)[0]
    torch.manual_seed(0)
    dropped = attention_forward(module, query, key, each, None, dropout=0.5)[0]
    kept = dropped != 0
    assert 0 < int(kept.sum()) < kept.numel()
    torch.testing.assert_close(dropped[kept], 2 * plain[kept])


def test_a_model_drops_in_training_only() -> None:
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**GROUPED, attention_dropout=0.5)
    model = transformers.LlamaForCausalLM(config)
    given = inputs(model)
    with torch.no_grad():
        first, second = (run(model.train(), "heedful", given).logits for _ in range(2))
        assert not torch.equal(first, second)
        first, second = (run(model.eval(), "heedful", given).logits for _ in range(2))
        assert torch.equal(first, second)


def test_gradient_checkpoints_give_the_same_gradients() -> None:
    model = build("mistral").train()
    given = inputs(model, "left")
    found = []
    for checkpoints in (False, True):
        if checkpoints:
            getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
        model.zero_grad()
        run(model, "heedful", given, use_cache=False).logits.square().mean().backward()
        found.append(model.model.layers[0].self_attn.q_proj.weight.grad.clone())
    torch.testing.assert_close(*found)


def test_compiled_it_is_the_same() -> None:
    model = build("gemma2")
    given = inputs(model, "left")
    with torch.no_grad():
        wanted = run(model, "heedful", given).logits
        got = torch.compile(model, backend="eager")(**given).logits
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-5)


def test_names_the_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(OptionError, match=r"pip install 'heedful\[hf\]'"):
        hf.register()


def test_is_registered_once_under_its_name() -> None:
    assert hf.register() == hf.register() == hf.NAME
    assert hf.NAME in transformers.AttentionInterface()
