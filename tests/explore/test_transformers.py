"""Records of Hugging Face models of random weights, beside what transformers itself returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful.errors import DataError, HeedfulError, OptionError
from heedful.explore.transformers_record import (
    load_transformer,
    record_generation,
    record_transformer,
)

transformers = pytest.importorskip("transformers", reason="transformers is not installed")

SMALL = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
LONG = {**SMALL, "intermediate_size": 32}


def bert() -> Any:
    return transformers.BertModel(transformers.BertConfig(**LONG))


def gpt2() -> Any:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=50, n_embd=16, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=2
        )
    )


def llama() -> Any:
    """Grouped heads and rotary positions."""
    config = transformers.LlamaConfig(**LONG, num_key_value_heads=2, bos_token_id=1, eos_token_id=2)
    return transformers.LlamaForCausalLM(config)


def mistral() -> Any:
    """A sliding window."""
    config = transformers.MistralConfig(**LONG, num_key_value_heads=2, sliding_window=3, head_dim=4)
    return transformers.MistralForCausalLM(config)


def t5() -> Any:
    config = transformers.T5Config(
        vocab_size=50,
        d_model=16,
        d_kv=4,
        d_ff=32,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
    )
    return transformers.T5ForConditionalGeneration(config)


def bart() -> Any:
    config = transformers.BartConfig(
        vocab_size=50, d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=40,
    )  # fmt: skip
    return transformers.BartForConditionalGeneration(config)


MODELS = {"bert": bert, "gpt2": gpt2, "llama": llama, "mistral": mistral, "t5": t5, "bart": bart}
ENCODER_DECODERS = ("t5", "bart")


def inputs(name: str) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    found = {"input_ids": torch.randint(3, 50, (1, 7), generator=generator)}
    if name in ENCODER_DECODERS:
        found["decoder_input_ids"] = torch.randint(3, 50, (1, 5), generator=generator)
    return found


def build(name: str) -> Any:
    torch.manual_seed(0)
    return MODELS[name]().eval()


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_those_that_transformers_returns(name: str) -> None:
    model, given = build(name), inputs(name)
    before = model.config._attn_implementation
    records = record_transformer(model, given)
    assert model.config._attn_implementation == before == "sdpa"
    assert not model.training
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(**given, output_attentions=True)
    if name in ENCODER_DECODERS:
        wanted = {
            "encoder": output.encoder_attentions,
            "decoder": output.decoder_attentions,
            "cross": output.cross_attentions,
        }
    else:
        wanted = {"encoder" if name == "bert" else "decoder": output.attentions}
    assert {(one.kind, one.layer) for one in records} == {
        (kind, layer) for kind, layers in wanted.items() for layer in range(len(layers))
    }
    for one in records:
        np.testing.assert_allclose(one.weights, wanted[one.kind][one.layer][0].numpy(), atol=1e-6)
        assert one.heads == 4
        assert "the logits differ by up to" in one.note


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
def test_the_causal_mask_is_kept(name: str) -> None:
    for one in record_transformer(build(name), inputs(name)):
        length = len(one.query_tokens)
        if one.kind == "decoder":
            assert one.mask.tolist() == [np.tril(np.ones((length, length), bool)).tolist()]
        else:
            assert one.mask is None


def test_a_window_and_padding_are_kept() -> None:
    [one, _] = record_transformer(build("mistral"), inputs("mistral"))
    assert one.mask.sum(-1).tolist() == [[1, 2, 3, 3, 3, 3, 3]]
    padded = {**inputs("bert"), "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 0, 0]])}
    [one, _] = record_transformer(build("bert"), padded)
    assert one.mask[0, 0].tolist() == [True] * 5 + [False] * 2


@pytest.mark.parametrize("name", ["gpt2", "llama", "t5"])
def test_the_steps_of_generating_are_stitched_to_what_one_pass_sees(name: str) -> None:
    model, given = build(name), inputs(name)
    given.pop("decoder_input_ids", None)
    records, ids = record_generation(model, given, max_new_tokens=5)
    if name == "t5":
        whole = record_transformer(model, {**given, "decoder_input_ids": torch.tensor([ids[:-1]])})
    else:
        whole = record_transformer(model, {"input_ids": torch.tensor([ids[:-1]])})
    assert len(records) == len(whole)
    for one, other in zip(records, whole, strict=True):
        assert (one.kind, one.layer) == (other.kind, other.layer)
        np.testing.assert_allclose(one.weights, other.weights, atol=1e-5)
        assert (one.allowed == other.allowed).all()


def test_chosen_layers_and_tokens() -> None:
    model, given = build("gpt2"), inputs("gpt2")
    [one] = record_transformer(model, given, layers=[1], tokens="abcdefg")
    assert (one.layer, one.query_tokens) == (1, tuple("abcdefg"))
    with pytest.raises(
        OptionError, match="there is no layer 7; layers count from 0, and there are 2"
    ):
        record_transformer(model, given, layers=[7])


def test_what_cannot_be_recomputed_is_refused_and_the_model_is_left_as_it_was() -> None:
    model, given = build("gpt2"), inputs("gpt2")
    from transformers.models.gpt2 import modeling_gpt2

    original = modeling_gpt2.eager_attention_forward
    attention = model.transformer.h[0].attn
    forward = attention.forward

    def other(*args: Any, **kwargs: Any) -> Any:
        output, *rest = forward(*args, **kwargs)
        return (output * (2 if model.config._attn_implementation == "eager" else 1), *rest)

    attention.forward = other
    with pytest.raises(HeedfulError, match="cannot be recomputed exactly"):
        record_transformer(model, given)
    assert modeling_gpt2.eager_attention_forward is original
    assert model.config._attn_implementation == "sdpa"


def test_models_without_attention_and_batches_are_refused() -> None:
    config = transformers.MambaConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, state_size=4
    )
    mamba = transformers.MambaForCausalLM(config).eval()
    with pytest.raises(OptionError, match="no attention was seen"):
        record_transformer(mamba, inputs("gpt2"))
    with pytest.raises(DataError, match="input_ids has a batch of 2"):
        record_transformer(build("gpt2"), {"input_ids": torch.ones(2, 3, dtype=torch.int64)})


def test_a_folder_is_loaded_without_a_network(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"[UNK]": 0, "the": 1, "cat": 2, "sleeps": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    fast.save_pretrained(tmp_path)
    build("gpt2").save_pretrained(tmp_path)
    model, loaded = load_transformer(tmp_path)
    given = loaded("the cat sleeps", return_tensors="pt")
    tokens = loaded.convert_ids_to_tokens(given["input_ids"][0].tolist())
    records = record_transformer(model, {"input_ids": given["input_ids"]}, tokens=tokens)
    assert records[0].key_tokens == ("the", "cat", "sleeps")
    with pytest.raises(OptionError, match="has no config.json"):
        load_transformer(tmp_path / "nothing")
    with pytest.raises(OptionError, match="no class 'GPTX'"):
        load_transformer(tmp_path, model_class="GPTX")


def saved(folder: Path, model: Any) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = {"[UNK]": 0, "</s>": 1, "the": 3, "cat": 4, "sleeps": 5, "die": 6, "Katze": 7}
    words |= {f"w{i}": i for i in range(8, 50)} | {"<pad>": 2}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if model.config.is_encoder_decoder:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 1)]
        )
    options = {"unk_token": "[UNK]", "eos_token": "</s>", "pad_token": "<pad>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options).save_pretrained(
        folder
    )
    model.save_pretrained(folder)
    return folder


def test_the_command_explains_a_folder(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from heedful.cli.main import app

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["explain", *arguments], prog_name="heedful")

    folder = saved(tmp_path / "gpt2", build("gpt2"))
    shown = run(str(folder), "the cat sleeps")
    assert shown.exit_code == 0
    assert "decoder: output × output, layer 2, mean over 4 heads" in shown.stdout
    page = tmp_path / "page.html"
    assert run(str(folder), "the cat sleeps", "--out", str(page)).exit_code == 0
    assert "the logits differ by up to" in page.read_text(encoding="utf-8")
    refused = run(str(folder), "the cat", "--reference", "die Katze")
    assert refused.exit_code == 2
    assert "has no decoder of its own" in refused.stderr


def test_an_encoder_decoder_is_explained_for_a_target_or_its_own_text(tmp_path: Path) -> None:
    from heedful.explore.transformers_explain import explain_transformer, is_transformer

    folder = saved(tmp_path / "t5", build("t5"))
    assert is_transformer(folder)
    assert not is_transformer(tmp_path)
    [given] = explain_transformer(folder, ["the cat sleeps"], ["die Katze"])
    [main] = given.main
    assert (main.kind, main.layer) == ("cross", 1)
    assert main.query_tokens == ("die", "Katze", "<end>")
    assert main.key_tokens == ("the", "cat", "sleeps", "</s>")
    [own] = explain_transformer(folder, ["the cat sleeps"], [None])
    assert own.target is not None
    assert len(own.main[0].query_tokens) >= 1
