"""What a request may ask for beside its inputs, as a table."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from heedful.answers.class_output import ClassOutput
from heedful.errors import shown, unknown_choice
from heedful.serve.limits import Limits
from heedful.serve.refused import RefusedError
from heedful.tasks.base import Task


@dataclass(frozen=True)
class Option:
    """An option of a request."""

    kind: str
    """Its type in JSON Schema."""
    description: str

    def accepts(self, value: Any) -> bool:
        """Return whether a value of JSON has the type."""
        if isinstance(value, bool) or self.kind == "boolean":
            return isinstance(value, bool) and self.kind == "boolean"
        if self.kind == "number":
            return isinstance(value, int | float) and math.isfinite(value)
        return isinstance(value, int if self.kind == "integer" else str)


OPTIONS: Final[Mapping[str, Option]] = {
    "beam": Option("integer", "Beam size; 1 is greedy search."),
    "length_penalty": Option("number", "Divide the score by the length to this power."),
    "nbest": Option("integer", "Texts for each input, at most the beam."),
    "ctc_weight": Option("number", "Weight of CTC beside the decoder, from 0 to 1."),
    "timestamps": Option("boolean", "Words with their times."),
    "alignments": Option("boolean", "Which word of the input each word comes from."),
    "threshold": Option("number", "Least probability of a predicted label."),
    "top_k": Option(
        "integer", "So many of the most probable labels; of texts, tokens to sample among."
    ),
    "probabilities": Option("boolean", "The probability of every label."),
    "interval": Option("number", "The interval that holds the number with this probability."),
    "attention": Option("boolean", "The attention weights of every layer and head."),
    "figure": Option("boolean", "What the model looked at, as the explorer's script draws it."),
    "sample": Option("boolean", "Draw the text instead of searching for the best one."),
    "temperature": Option("number", "Of sampling: below 1 likely tokens are likelier."),
    "top_p": Option("number", "Sample among the likeliest tokens that together have this share."),
    "seed": Option("integer", "Of the random numbers of sampling."),
}
"""Name -> option; those of `heedful predict` of the same name, and attention, as numbers or to be drawn."""


ATTENTION: Final = frozenset({"attention", "figure"})
"""Options that every task has."""


@dataclass(frozen=True)
class Asked:
    """What is wanted of each input."""

    search: Mapping[str, Any]
    """Options of `Predictor.predict`."""
    classes: ClassOutput
    alignments: bool = False
    attention: bool = False
    figure: bool = False

    @property
    def key(self) -> Hashable:
        """Inputs of equal keys may be predicted in one batch."""
        return tuple(sorted(self.search.items()))


def options_of(task: Task) -> dict[str, Option]:
    """Return the options that a task has."""
    supported = task.answer.search_options | task.answer.command_options | ATTENTION
    return {name: option for name, option in OPTIONS.items() if name in supported}


def read_options(given: Mapping[str, Any], predictor: Any, limits: Limits) -> Asked:
    """Check the options of a request.

    Raises: RefusedError for an unknown option or a value of another type; OptionError for one out of range.
    """
    options = options_of(predictor.task)
    for name, value in given.items():
        if name not in options:
            raise RefusedError(400, str(unknown_choice("option", name, ["inputs", *options])))
        if not options[name].accepts(value):
            kind = options[name].kind
            article = "an" if kind == "integer" else "a"
            raise RefusedError(400, f"{name} is {shown(value, 60)}; expected {article} {kind}.")
    if given.get("beam", 1) > limits.beam:
        raise RefusedError(
            400, f"beam is {given['beam']}; this server takes at most {limits.beam}."
        )
    chosen = {name: value for name, value in given.items() if name not in ATTENTION}
    if chosen.get("timestamps"):
        chosen["timestamps"] = "auto"
    search = predictor.task.check_options(chosen)
    predictor.answer.check_search(search)
    classes = ClassOutput(
        probabilities=given.get("probabilities", False),
        top_k=0 if "sample" in predictor.answer.search_options else given.get("top_k", 0),
        interval=given.get("interval"),
    )
    predictor.answer.check_classes(classes, json=True)
    switches = (given.get(name, False) for name in ("alignments", "attention", "figure"))
    return Asked(search, classes, *switches)
