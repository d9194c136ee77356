"""Models of transformers of random weights on their eager attention, PyTorch's kernel and `attend`, on this machine.

python -m benchmarks.hugging_face [MODEL...] [--lengths N...] [--threads N] [--seconds S]

Times are of a whole model of two layers, width 512 and 8 heads, of one text: without gradients, and, with --backward,
of a training step's forward and backward. The three take turns. PyTorch's kernel has no soft caps, so that it cannot
run Gemma 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers

from benchmarks.timing import medians
from heedful.errors import unknown_choice
from heedful.hf import register

SIZES = {
    "vocab_size": 1000,
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
}
LONGEST = 16384
MODELS: dict[str, Callable[[], Any]] = {
    "bert": lambda: transformers.BertModel(
        transformers.BertConfig(**SIZES, max_position_embeddings=LONGEST)
    ),
    "llama": lambda: transformers.LlamaModel(
        transformers.LlamaConfig(**SIZES, num_key_value_heads=2)
    ),
    "mistral, window 256": lambda: transformers.MistralModel(
        transformers.MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=256)
    ),
    "gemma2, window 256": lambda: transformers.Gemma2Model(
        transformers.Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=64, sliding_window=256)
    ),
}
WITHOUT = {"gemma2, window 256": ("sdpa",)}
"""Model -> implementations that cannot run it."""


def build(name: str, implementation: str) -> Any:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    model.set_attn_implementation(implementation)
    return model


def step(model: Any, ids: torch.Tensor, backward: bool) -> torch.Tensor:
    if not backward:
        with torch.inference_mode():
            found: torch.Tensor = model(ids, use_cache=False).last_hidden_state
        return found
    found = model(ids, use_cache=False).last_hidden_state
    found.sum().backward()
    model.zero_grad()
    return found.detach()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hugging_face", description=__doc__)
    parser.add_argument("models", nargs="*", help="; ".join(MODELS))
    parser.add_argument("--lengths", type=int, nargs="+", default=[128, 512, 2048, 4096])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each model and length")
    parser.add_argument("--backward", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    implementations = ("eager", "sdpa", register())
    print(f"{'ms':<22}{'length':>8}" + "".join(f"{each:>10}" for each in implementations))
    for name in options.models or MODELS:
        if name not in MODELS:
            raise unknown_choice("model", name, MODELS)
        for length in options.lengths:
            ids = torch.randint(0, 1000, (1, length))
            models = {
                each: build(name, each)
                for each in implementations
                if each not in WITHOUT.get(name, ())
            }
            found = {each: step(model, ids, options.backward) for each, model in models.items()}
            for each in found.values():
                torch.testing.assert_close(each, found["eager"], atol=1e-3, rtol=1e-3)
            times = medians(
                {
                    each: partial(step, model, ids, options.backward)
                    for each, model in models.items()
                },
                options.seconds,
            )
            shown = [
                f"{times[each] / 1e3:10.1f}" if each in times else f"{'–':>10}"
                for each in implementations
            ]
            print(f"{name:<22}{length:>8}" + "".join(shown), flush=True)


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(f"error: {error}")
