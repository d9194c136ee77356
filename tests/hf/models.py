"""Models of transformers of random weights, large enough that attention is far from uniform."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor

SMALL = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": None,
}
GROUPED = {**SMALL, "num_key_value_heads": 2}
STACKS = {
    f"{side}_{name}": value
    for side in ("encoder", "decoder")
    for name, value in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 32))
}
T = transformers

MODELS: dict[str, Callable[[], Any]] = {
    "llama": lambda: T.LlamaForCausalLM(T.LlamaConfig(**GROUPED)),
    "mistral": lambda: T.MistralForCausalLM(T.MistralConfig(**GROUPED, sliding_window=5)),
    "gemma2": lambda: T.Gemma2ForCausalLM(
        T.Gemma2Config(
            **GROUPED,
            head_dim=8,
            sliding_window=5,
            attn_logit_softcapping=2.0,
            query_pre_attn_scalar=4,
        )
    ),
    "gpt_oss": lambda: T.GptOssForCausalLM(
        T.GptOssConfig(
            **GROUPED, head_dim=8, sliding_window=5, num_local_experts=2, num_experts_per_tok=1
        )
    ),
    "llama4": lambda: T.Llama4ForCausalLM(
        T.Llama4TextConfig(
            **GROUPED,
            head_dim=8,
            attention_chunk_size=5,
            num_local_experts=2,
            intermediate_size_mlp=32,
        )
    ),
    "gpt2": lambda: T.GPT2LMHeadModel(
        T.GPT2Config(
            vocab_size=50, n_embd=32, n_layer=2, n_head=4, bos_token_id=1, eos_token_id=None
        )
    ),
    "bert": lambda: T.BertModel(T.BertConfig(**SMALL)),
    "modernbert": lambda: T.ModernBertModel(
        T.ModernBertConfig(
            **SMALL,
            local_attention=6,
            global_attn_every_n_layers=2,
            cls_token_id=1,
            sep_token_id=2,
        )
    ),
    "t5": lambda: T.T5ForConditionalGeneration(
        T.T5Config(
            vocab_size=50,
            d_model=32,
            d_kv=8,
            d_ff=32,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
        )
    ),
    "bart": lambda: T.BartForConditionalGeneration(
        T.BartConfig(
            vocab_size=50, d_model=32, **STACKS, pad_token_id=0, bos_token_id=1, eos_token_id=2
        )
    ),
    "vit": lambda: T.ViTModel(
        T.ViTConfig(
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=16,
            patch_size=4,
        )
    ),
}


def build(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """Return a model in evaluation mode, whose queries and keys are large."""
    torch.manual_seed(0)
    model = MODELS[name]().to(dtype).eval()
    with torch.no_grad():
        for path, weight in model.named_parameters():
            if weight.ndim > 1 and any(
                part in path for part in ("q_proj", "k_proj", "query", "c_attn", ".q.")
            ):
                weight.mul_(8)
    return model


def inputs(model: Any, padding: str = "none") -> dict[str, Tensor]:
    """Return a batch of two, the second padded."""
    generator = torch.Generator().manual_seed(1)
    if model.config.model_type == "vit":
        return {"pixel_values": torch.randn(2, 3, 16, 16, generator=generator).to(model.dtype)}
    ids = torch.randint(5, 50, (2, 17), generator=generator)
    found = {"input_ids": ids}
    if padding != "none":
        mask = torch.ones_like(ids)
        mask[1, PADDED[padding]] = 0
        found["attention_mask"] = mask
    if model.config.is_encoder_decoder:
        found["decoder_input_ids"] = torch.randint(5, 50, (2, 9), generator=generator)
    return found


PADDED = {"left": slice(0, 6), "right": slice(11, None), "between": slice(4, 8)}
"""Padding -> the places of it in a row of 17."""


def run(model: Any, implementation: str, given: dict[str, Tensor], **options: Any) -> Any:
    """Return what a model returns with an implementation of attention."""
    model.set_attn_implementation(implementation)
    return model(**given, **options)


def result(output: Any, given: dict[str, Tensor]) -> Tensor:
    """Return the last states or logits at the positions that are not padding: (positions, features)."""
    states: Tensor = output.logits if "logits" in output else output.last_hidden_state
    mask = given.get("attention_mask")
    if mask is None or "decoder_input_ids" in given:
        return states.flatten(0, 1)
    return states[mask.bool()]
