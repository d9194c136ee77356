"""What a Hugging Face model in a folder attends to for texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from heedful import run_folder
from heedful.errors import DataError, OptionError
from heedful.explore.explanation import Explanation
from heedful.explore.transformers_record import (
    load_transformer,
    record_generation,
    record_transformer,
    token_text,
)

MAX_NEW_TOKENS = 128
"""Where the generation of an encoder–decoder stops."""


def is_transformer(folder: Path) -> bool:
    """Whether a folder holds a Hugging Face model, and is no run folder."""
    return (folder / "config.json").is_file() and not (folder / run_folder.MARKER).exists()


def explain_transformer(
    folder: Path, texts: Sequence[str], targets: Sequence[str | None]
) -> list[Explanation]:
    """Return the attention weights of a Hugging Face model for texts; nothing is downloaded.

    An encoder–decoder is explained for the targets, or for what it generates; other models read the text once.

    Raises:
        DataError: a text has no tokens.
        OptionError: the folder cannot be loaded, a target is given to a model without a decoder, or the model has no
            attention that can be recorded.
        HeedfulError: the weights cannot be recomputed exactly.
    """
    model, tokenizer = load_transformer(folder)
    return [
        explain_loaded(model, tokenizer, text, target)
        for text, target in zip(texts, targets, strict=True)
    ]


def explain_loaded(model: Any, tokenizer: Any, text: str, target: str | None = None) -> Explanation:
    """As `explain_transformer`, by a model that is loaded."""
    encoded = tokenizer(text, return_tensors="pt")
    inputs = {name: encoded[name] for name in ("input_ids", "attention_mask") if name in encoded}
    if not inputs["input_ids"].numel():
        raise DataError(f"the tokenizer makes no tokens of {text!r}; give a text that has some")
    tokens = _tokens(tokenizer, inputs["input_ids"])
    others = "--kind, --layer and --head show others, --out FILE.html all"
    if not model.config.is_encoder_decoder:
        if target is not None:
            raise OptionError(
                f"a {type(model).__name__} has no decoder of its own, so there is no target to explain; leave "
                "--reference out."
            )
        records = record_transformer(model, inputs, tokens=tokens)
        return Explanation(text, text, None, None, records, others)
    if target is None:
        records, ids = record_generation(
            model, inputs, tokenizer=tokenizer, max_new_tokens=MAX_NEW_TOKENS
        )
        target = tokenizer.decode(ids, skip_special_tokens=True)
        return Explanation(f"{text} → {target}", text, None, target, records, others)
    labels = tokenizer(text_target=target, return_tensors="pt")["input_ids"]
    start = torch.tensor([[model.config.decoder_start_token_id]])
    inputs["decoder_input_ids"] = torch.cat([start, labels[:, :-1]], dim=1)
    written = _tokens(tokenizer, inputs["decoder_input_ids"])
    records = record_transformer(model, inputs, tokens=tokens, target_tokens=written)
    return Explanation(f"{text} → {target}", text, None, target, records, others)


def _tokens(tokenizer: Any, ids: torch.Tensor) -> list[str]:
    return [token_text(token) for token in tokenizer.convert_ids_to_tokens(ids[0].tolist())]
