"""Options of encoders, models and decoders."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from heedful.errors import OptionError, unknown_choice
from heedful.tasks.options.base import GivenOptions, TaskOption, section_of

TRANSFORMER: Final = "transformer"


def _encoder(name: str, given: GivenOptions) -> list[str]:
    """Convert --encoder to a setting; refuse settings in the file that this encoder does not have."""
    from heedful.models.encoders import ENCODER_CONFIGS, ENCODERS

    if name not in ENCODERS:
        raise unknown_choice("--encoder", name, ENCODERS)
    settings = set(section_of(given, "encoder")) - {"kind"}
    if unknown := settings - set(ENCODER_CONFIGS[name].model_fields):
        raise OptionError(
            f"--encoder {name}, but the configuration file sets encoder.{min(unknown)}, which it does not "
            f"have; remove that from the file, or start from `heedful config {given.task} --encoder {name}`"
        )
    return [f'encoder.kind="{name}"']


def _model(kind: str, given: GivenOptions) -> list[str]:
    """Convert --model to a setting; refuse settings in the file that this kind of model does not have."""
    from heedful.models import MODELS

    if kind not in MODELS:
        raise unknown_choice("--model", kind, MODELS)
    in_file = section_of(given, "model")
    file_kind = str(in_file.get("kind", TRANSFORMER))
    if len(in_file) > 1 and (kind == TRANSFORMER) != (file_kind == TRANSFORMER):
        raise OptionError(
            f"--model {kind}, but the configuration file describes a {file_kind}, whose settings a "
            f"{kind} does not have; start from `heedful config translate --model {kind}`"
        )
    return [f'model.kind="{kind}"']


def _attention(name: str, given: GivenOptions) -> list[str]:
    """Convert --attention to the setting of the model kind."""
    from heedful.models import MODELS
    from heedful.nn.scores import SCORE_MODULES

    kind = given.values.get("model") or str(section_of(given, "model").get("kind", TRANSFORMER))
    for setting in given.sets:
        key, _, value = setting.partition("=")
        if key.strip() == "model.kind":
            kind = value.strip().strip("\"'")
    if kind == TRANSFORMER and name == "none":
        others = " or ".join(other for other in MODELS if other != TRANSFORMER)
        raise OptionError(
            f"a transformer cannot go without attention; use --attention none with --model {others}"
        )
    names = [*SCORE_MODULES] if kind == TRANSFORMER else ["none", *SCORE_MODULES]
    if name not in names:
        raise unknown_choice("--attention", name, names)
    return [f'model.{"score" if kind == TRANSFORMER else "attention"}="{name}"']


def _decoder(kind: str, given: GivenOptions) -> list[str]:
    """Convert --decoder to a setting; refuse settings in the file that this kind of decoder does not have."""
    from heedful.models.transcriber import TEXT_DECODERS

    if kind not in ("none", *TEXT_DECODERS):
        raise unknown_choice("--decoder", kind, ("none", *TEXT_DECODERS))
    in_file = section_of(given, "decoder")
    file_kind = str(in_file.get("kind", "gru"))
    recurrent = ("gru", "lstm", "rnn")
    if len(in_file) > 1 and kind != file_kind and not {kind, file_kind} <= {*recurrent}:
        raise OptionError(
            f"--decoder {kind}, but the configuration file describes a decoder of kind {file_kind}, whose settings "
            f"{kind} does not have; start from `heedful config {given.task} --decoder {kind}`"
        )
    return [f'decoder.kind="{kind}"']


MODEL: Final = TaskOption(
    name="model",
    setting="model.kind",
    metavar="NAME",
    help="Kind of model: {models}.",
    default="transformer",
    convert=_model,
)


ATTENTION: Final = TaskOption(
    name="attention",
    setting="model.attention",
    metavar="NAME",
    help="Attention score: {scores}; or none for no attention.",
    default="scaled_dot for a transformer, else additive",
    convert=_attention,
)


ENCODER: Final = TaskOption(
    name="encoder",
    setting="encoder.kind",
    metavar="NAME",
    help="Kind of encoder: {encoders}.",
    default="lstm",
    convert=_encoder,
)


def encoder(default: str) -> TaskOption:
    """Return the option of the encoder for a task with another default."""
    return replace(ENCODER, default=default)


DECODER: Final = TaskOption(
    name="decoder",
    setting="decoder.kind",
    metavar="NAME",
    help="Kind of decoder with attention: {decoders}; or none for CTC alone.",
    default="gru",
    convert=_decoder,
)
