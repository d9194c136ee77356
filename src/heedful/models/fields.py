"""Types of configuration fields that name an entry of a table."""

from __future__ import annotations

from typing import Annotated

from heedful.models.config import OneOf
from heedful.nn.feed_forward import ACTIVATIONS
from heedful.nn.normalizers import NORMALIZER_BUILDERS
from heedful.nn.positions import POSITIONS
from heedful.nn.scores import SCORE_MODULES
from heedful.nn.transformer import NORMS

Activation = Annotated[str, OneOf("activation", ACTIVATIONS)]
Norm = Annotated[str, OneOf("norm", NORMS)]
Normalizer = Annotated[str, OneOf("normalizer", NORMALIZER_BUILDERS)]
Positions = Annotated[str, OneOf("positions", POSITIONS)]
Score = Annotated[str, OneOf("score", SCORE_MODULES)]
ScoreOrNone = Annotated[str, OneOf("attention", SCORE_MODULES, "none")]
