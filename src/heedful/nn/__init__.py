"""Modules for attention: they own parameters and call the functions of `heedful.ops`."""

from __future__ import annotations

from heedful.nn.attention import Attention
from heedful.nn.attention_2d import SelfAttention2d
from heedful.nn.cache import KeyValueCache
from heedful.nn.convert import from_torch, to_torch
from heedful.nn.convert_state import state_from_torch, state_to_torch
from heedful.nn.convolution import ConvolutionAttention, attention_from_convolution
from heedful.nn.convolution_check import (
    OffsetWeights,
    attention_distance,
    convolution_from_attention,
    offset_weights,
)
from heedful.nn.convolution_grid import ConvolutionShape
from heedful.nn.crf import LinearChain
from heedful.nn.dropout import Dropout, dropout
from heedful.nn.feed_forward import ACTIVATIONS, FeedForward
from heedful.nn.gcn import GCN
from heedful.nn.graph import GAT, GATv2
from heedful.nn.graph_edges import EdgeWeights
from heedful.nn.graph_transformer import GraphTransformer
from heedful.nn.grid_positions import (
    GridALiBiPositions,
    GridRelativePositions,
    GridSinusoidalPositions,
)
from heedful.nn.multi_head import MultiHeadAttention, MultiHeadOutput
from heedful.nn.normalizers import (
    NORMALIZER_BUILDERS,
    LearnedEntmax,
    LearnedSinkSoftmax,
    NormalizerModule,
    build_normalizer,
)
from heedful.nn.position_base import BiasPositions, InputPositions
from heedful.nn.positions import (
    POSITIONS,
    ALiBiPositions,
    LearnedPositions,
    PositionScheme,
    RelativePositions,
    SinusoidalPositions,
    build_bias,
    build_input_positions,
    build_rotary,
)
from heedful.nn.recurrent import RecurrentEncoder, States
from heedful.nn.scores import SCORE_MODULES, ScoreModule, ScoreSizes, build_score
from heedful.nn.transformer import (
    NORMS,
    DecoderLayerCache,
    DecoderLayerOutput,
    TransformerDecoderLayer,
    TransformerEncoderLayer,
)
from heedful.nn.transformer_stacks import (
    DecoderOutput,
    Transformer,
    TransformerDecoder,
    TransformerEncoder,
)

__all__ = [
    "ACTIVATIONS",
    "GAT",
    "GCN",
    "NORMALIZER_BUILDERS",
    "NORMS",
    "POSITIONS",
    "SCORE_MODULES",
    "ALiBiPositions",
    "Attention",
    "BiasPositions",
    "ConvolutionAttention",
    "ConvolutionShape",
    "DecoderLayerCache",
    "DecoderLayerOutput",
    "DecoderOutput",
    "Dropout",
    "EdgeWeights",
    "FeedForward",
    "GATv2",
    "GraphTransformer",
    "GridALiBiPositions",
    "GridRelativePositions",
    "GridSinusoidalPositions",
    "InputPositions",
    "KeyValueCache",
    "LearnedEntmax",
    "LearnedPositions",
    "LearnedSinkSoftmax",
    "LinearChain",
    "MultiHeadAttention",
    "MultiHeadOutput",
    "NormalizerModule",
    "OffsetWeights",
    "PositionScheme",
    "RecurrentEncoder",
    "RelativePositions",
    "ScoreModule",
    "ScoreSizes",
    "SelfAttention2d",
    "SinusoidalPositions",
    "States",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
    "attention_distance",
    "attention_from_convolution",
    "build_bias",
    "build_input_positions",
    "build_normalizer",
    "build_rotary",
    "build_score",
    "convolution_from_attention",
    "dropout",
    "from_torch",
    "offset_weights",
    "state_from_torch",
    "state_to_torch",
    "to_torch",
]
