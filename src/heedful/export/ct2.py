"""Transformer translators in the format of CTranslate2, as far as its specification can express them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from heedful.errors import OptionError
from heedful.models.transformer import TransformerEncoderDecoder

INSTALL: Final = 'exporting to CTranslate2 needs a package that is not installed: pip install "heedful[ctranslate2]"'
POSITIONS: Final = 2048
"""Rows of the table of sinusoidal positions; longer inputs are refused by CTranslate2."""
EXPRESSED: Final = {
    "score": ("scaled_dot",),
    "normalizer": ("softmax",),
    "positions": ("sinusoidal", "learned"),
    "positions_how": ("add",),
    "activation": ("relu", "gelu"),
}
"""Setting of the model -> the values that the specification has."""


def write_ctranslate2(predictor: Any, folder: Path) -> None:
    """Write the model into `folder/model`.

    Raises: OptionError for a model that the format cannot express, or if ctranslate2 is not installed.
    """
    check(predictor.model)
    try:
        import ctranslate2
    except ImportError as error:
        raise OptionError(f"{INSTALL} ({error.name} is missing)") from None
    model, config = predictor.model.eval(), predictor.model.config
    spec = ctranslate2.specs.TransformerSpec.from_config(
        (config.encoder_layers, config.decoder_layers),
        config.heads,
        pre_norm=config.norm == "pre",
        activation=getattr(ctranslate2.specs.Activation, config.activation.upper()),
    )
    with torch.no_grad():
        _set_stack(spec.encoder, model.encoder, model.source_embedding)
        _set_stack(spec.decoder, model.decoder, model.target_embedding)
        weight, bias = model.output_layer()
        spec.decoder.projection.weight = weight.float().numpy()
        if bias is not None:
            spec.decoder.projection.bias = bias.float().numpy()
    source, target = predictor.input.vocabulary, predictor.answer.vocabulary
    spec.register_source_vocabulary(source.token_names())
    spec.register_target_vocabulary(target.token_names())
    names = target.token_names()
    spec.config.unk_token = names[target.unk_id]
    spec.config.bos_token = spec.config.decoder_start_token = names[target.begin_id]
    spec.config.eos_token = names[target.end_id]
    spec.config.add_source_eos = True
    spec.validate()
    spec.optimize()
    (folder / "model").mkdir()
    spec.save(os.fspath(folder / "model"))


def check(model: Any) -> None:
    """Raise OptionError for a model that the specification cannot express."""
    if not isinstance(model, TransformerEncoderDecoder):
        raise OptionError(
            "CTranslate2 runs Transformer translators; this run is another model. Export it with --format onnx."
        )
    for name, values in EXPRESSED.items():
        value = getattr(model.config, name)
        if value not in values:
            raise OptionError(
                f"CTranslate2 cannot express model.{name} = {value!r}, but {' and '.join(values)}; export this run "
                "with --format onnx."
            )
    if model.config.key_heads not in (None, model.config.heads):
        raise OptionError(
            "CTranslate2's translators have as many key heads as heads (model.key_heads); export this run with "
            "--format onnx."
        )
    if model.frequency.enabled:
        raise OptionError(
            "CTranslate2 does not know how often words are (the section frequency); export this run with --format onnx."
        )


def _set_stack(spec: Any, stack: Any, embedding: nn.Embedding) -> None:
    """Copy the encoder or decoder with its embedding and positions."""
    embeddings = spec.embeddings
    if isinstance(embeddings, list):
        [embeddings] = embeddings
    embeddings.weight = embedding.weight.float().numpy()
    width = embedding.embedding_dim
    rows = getattr(stack.inputs.positions, "max_length", POSITIONS)
    table = stack.inputs.positions(torch.zeros(1, rows, width))[0]
    spec.position_encodings.encodings = table.float().numpy()
    if not isinstance(stack.norm, nn.Identity):
        _set_norm(spec.layer_norm, stack.norm)
    for each, layer in zip(spec.layer, stack.layers, strict=True):
        _set_layer(each, layer)


def _set_layer(spec: Any, layer: Any) -> None:
    own = layer.self_attention
    _set_norm(spec.self_attention.layer_norm, layer.attention_norm)
    _set_linear(
        spec.self_attention.linear[0],
        own.query_projection, own.key_projection, own.value_projection,
    )  # fmt: skip
    _set_linear(spec.self_attention.linear[1], own.output_projection)
    cross = getattr(layer, "cross_attention", None)
    if cross is not None:
        _set_norm(spec.attention.layer_norm, layer.cross_norm)
        _set_linear(spec.attention.linear[0], cross.query_projection)
        _set_linear(spec.attention.linear[1], cross.key_projection, cross.value_projection)
        _set_linear(spec.attention.linear[2], cross.output_projection)
    _set_norm(spec.ffn.layer_norm, layer.feed_forward_norm)
    _set_linear(spec.ffn.linear_0, layer.feed_forward.widen)
    _set_linear(spec.ffn.linear_1, layer.feed_forward.narrow)


def _set_linear(spec: Any, *layers: nn.Linear) -> None:
    """Copy linear maps of one input, their outputs side by side."""
    spec.weight = torch.cat([layer.weight for layer in layers]).float().numpy()
    spec.bias = torch.cat([layer.bias for layer in layers]).float().numpy()


def _set_norm(spec: Any, norm: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = norm.weight.float().numpy(), norm.bias.float().numpy()
