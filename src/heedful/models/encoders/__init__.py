"""Encoders, and tables of them by the `kind` of their configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args

from pydantic import Field

from heedful.errors import OptionError
from heedful.models.encoders.attention import AttentionEncoder, TransformerStates
from heedful.models.encoders.base import Encoder, EncoderConfig, GraphEdges, States
from heedful.models.encoders.convolution import ConvolutionAttention, ConvolutionEncoder
from heedful.models.encoders.gcn import GCNEncoder
from heedful.models.encoders.graph import GraphEncoder
from heedful.models.encoders.local import NoContextEncoder, WindowEncoder
from heedful.models.encoders.ngrams import NGramsEncoder
from heedful.models.encoders.recurrent import RecurrentAttention, RecurrentStates
from heedful.ops.grid import Grid

# The one list of encoders: the tables below derive from it.
_CLASSES: tuple[type[Encoder], ...] = (
    NoContextEncoder,
    WindowEncoder,
    ConvolutionEncoder,
    NGramsEncoder,
    RecurrentStates,
    AttentionEncoder,
    TransformerStates,
    RecurrentAttention,
    ConvolutionAttention,
    GraphEncoder,
    GCNEncoder,
)


def _kinds(encoder: type[Encoder]) -> tuple[str, ...]:
    return get_args(encoder.configuration.model_fields["kind"].annotation)


ENCODERS: dict[str, Callable[[Any, int], Encoder]] = {
    kind: encoder for encoder in _CLASSES for kind in _kinds(encoder)
}
"""Kind of a configuration -> builder, `ENCODERS[config.kind](config, input_width)`."""

ENCODER_CONFIGS: dict[str, type[EncoderConfig]] = {
    kind: encoder.configuration for encoder in _CLASSES for kind in _kinds(encoder)
}
"""Kind -> configuration class."""


def build_encoder(
    config: Any, input_width: int, grid: Grid | None = None, edge_width: int = 0
) -> Encoder:
    """Build the encoder of a configuration.

    One that knows of grids is told that of its input, and one that knows of edges how many features they have.

    Raises: OptionError for a class token before the cells, which an encoder without attention does not read.

    >>> build_encoder(ENCODER_CONFIGS["window"](size=1, hidden=6), 4).width
    6
    """
    build: Any = ENCODERS[config.kind]
    told: dict[str, Any] = {}
    if grid is not None and build.reads_grid:
        told["grid"] = grid
    if edge_width and build.reads_edges:
        told["edge_width"] = edge_width
    encoder: Encoder = build(config, input_width, **told)
    if grid is not None and grid.prefix and not encoder.has_attention:
        raise OptionError(
            f"inputs.class_token: the encoder {config.kind} has no attention to read the class token; leave it out, "
            "with pooling.kind attention or mean, or choose the encoder transformer"
        )
    return encoder


if TYPE_CHECKING:
    EncoderSection = EncoderConfig
else:
    EncoderSection = Annotated[
        Union[tuple(encoder.configuration for encoder in _CLASSES)],  # noqa: UP007
        Field(discriminator="kind", description="The encoder and its sizes."),
    ]
    """Type of the configuration field that selects an encoder."""

__all__ = [
    "ENCODERS",
    "ENCODER_CONFIGS",
    "Encoder",
    "EncoderConfig",
    "EncoderSection",
    "GraphEdges",
    "States",
    "build_encoder",
]
