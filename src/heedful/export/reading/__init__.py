"""How exported programs read each kind of input: one file a kind."""

from __future__ import annotations

from typing import Any, Final

from heedful.errors import OptionError
from heedful.export.reading.base import Reading
from heedful.export.reading.frames import FramesReading
from heedful.export.reading.graphs import GraphsReading, NodesReading
from heedful.export.reading.molecules import MoleculesReading
from heedful.export.reading.pixels import PixelsReading
from heedful.export.reading.series import SeriesReading
from heedful.export.reading.words import WordsReading
from heedful.inputs.frames import FramesInput
from heedful.inputs.graphs import Graphs
from heedful.inputs.molecules import Molecules
from heedful.inputs.nodes import Nodes
from heedful.inputs.patches import PatchInput
from heedful.inputs.scenes import SceneInput
from heedful.inputs.series import SeriesInput
from heedful.inputs.text import Text
from heedful.inputs.tokens import Tokens

READINGS: Final[dict[type[Any], type[Reading]]] = {
    Text: WordsReading,
    Tokens: WordsReading,
    SeriesInput: SeriesReading,
    FramesInput: FramesReading,
    PatchInput: PixelsReading,
    SceneInput: PixelsReading,
    Molecules: MoleculesReading,
    Nodes: NodesReading,
    Graphs: GraphsReading,
}
"""Kind of input -> how programs read it; a subclass is read as its class."""


def reading_of(predictor: Any) -> Reading:
    """Return how programs read the input of a model.

    Raises: OptionError for an input that no program reads.
    """
    for kind in type(predictor.input).__mro__:
        if kind in READINGS:
            return READINGS[kind](predictor)
    raise OptionError(
        f"the task {predictor.task.name!r} is not exported: no program reads its input; the inputs that are read: "
        f"{', '.join(sorted(kind.__name__ for kind in READINGS))}."
    )
