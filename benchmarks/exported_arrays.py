"""Examples as exported programs read them, made without the inputs of the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from heedful.data.images.form import as_channels
from heedful.data.molecules.contributions import contributions
from heedful.data.molecules.descriptors import descriptors
from heedful.data.molecules.molecule import Molecule, canonical_smiles
from heedful.data.molecules.spelling import character_ids
from heedful.export.reading import reading_of
from heedful.inputs.frames import FramesInput
from heedful.inputs.graphs import Graphs
from heedful.inputs.links import Links
from heedful.inputs.molecules import Molecules
from heedful.inputs.nodes import Nodes
from heedful.inputs.patches import PatchInput
from heedful.inputs.scenes import SceneInput
from heedful.inputs.series import SeriesInput
from heedful.inputs.text import Text
from heedful.inputs.tokens import Tokens

Arrays = dict[str, np.ndarray]
Run = Callable[..., list[np.ndarray]]
JUNK = 777
"""What stands at padding, where anything may."""


def arrays_of(predictor: Any, examples: Sequence[Any], open_program: Callable[[str], Run]) -> Any:
    """Return a batch of examples as the arrays that the model reads, in its order."""
    for kind in type(predictor.input).__mro__:
        if kind in _ARRAYS:
            found = _ARRAYS[kind](predictor, examples, open_program)
            return [found[each.name] for each in reading_of(predictor).given]
    raise AssertionError(type(predictor.input))


def _padded(rows: Sequence[np.ndarray], fill: Any = JUNK) -> np.ndarray:
    longest = max(map(len, rows))
    found = np.full((len(rows), longest, *rows[0].shape[1:]), fill, rows[0].dtype)
    for place, row in zip(found, rows, strict=True):
        place[: len(row)] = row
    return found


def _lengths(rows: Sequence[Any]) -> np.ndarray:
    return np.array([len(row) for row in rows])


def _words(predictor: Any, examples: Sequence[Any], open_program: Any) -> Arrays:
    inputs = getattr(predictor.input, "tokens", predictor.input)
    rows = [predictor.input.positions(each) for each in examples]
    lower = inputs.options.lowercase
    known = [[word.lower() if lower else word for word in row] for row in rows]
    words = _padded([np.array(inputs.words.ids(row)) for row in known], 0)
    longest = max(len(word) for row in rows for word in row)
    letters = np.zeros((*words.shape, longest), np.int64)
    for number, row in enumerate(rows):
        for place, word in enumerate(row):
            letters[number, place, : len(word)] = inputs.characters.ids(word)
    return {"words": words, "characters": letters}


def _series(predictor: Any, examples: Sequence[Any], open_program: Any) -> Arrays:
    longest = predictor.input.longest
    rows = [np.asarray(each, np.float64)[-(longest or len(each)) :] for each in examples]
    return {"values": _padded(rows), "lengths": _lengths(rows)}


def _frames(predictor: Any, examples: Sequence[Any], open_program: Any) -> Arrays:
    features = open_program("features")
    rows = [features(clip.read())[0] for clip in examples]
    return {"values": _padded(rows), "lengths": _lengths(rows)}


def _pixels(predictor: Any, examples: Sequence[Any], open_program: Any) -> Arrays:
    patches = reading_of(predictor).patches  # type: ignore[attr-defined]
    channels = patches.statistics.channels
    return {"pixels": np.stack([as_channels(each.at(patches.form), channels) for each in examples])}


def _molecules(predictor: Any, examples: Sequence[str], open_program: Any) -> Arrays:
    rows = [Molecule.of(each) for each in examples]
    longest = max(len(each.atoms) for each in rows)
    of_whole = predictor.input.descriptors
    names = () if of_whole is None else of_whole.names
    return {
        "atoms": _padded([each.atoms for each in rows], 1),
        "lengths": _lengths([each.atoms for each in rows]),
        "bonds": np.concatenate([each.bonds + n * longest for n, each in enumerate(rows)], 1),
        "kinds": np.concatenate([each.bond_features for each in rows]),
        "characters": _padded([character_ids(canonical_smiles(each)) for each in examples], 0),
        "contributions": _padded([contributions(each) for each in examples], 0),
        "descriptors": descriptors(examples, names),
    }


def _raw(encoded: np.ndarray, table: Any) -> np.ndarray:
    """Return standardized numbers in their units."""
    told = [column for column in table.columns if column.kind == "number"]
    mean, scale = (
        np.array([x for c in told for x in getattr(c, name)]) for name in ("mean", "scale")
    )
    found = encoded.astype(np.float64)
    found[:, : len(mean)] = found[:, : len(mean)] * scale + mean
    return found


def _graph(predictor: Any, graph: Any, rows: np.ndarray) -> Arrays:
    """Return the features of some nodes of a graph."""
    encoded = predictor.input.encode_graph(graph)
    entries = encoded.entries.take(rows)
    return {
        "numbers": _raw(encoded.numbers[rows], predictor.input.features),
        "owners": np.repeat(np.arange(len(rows)), np.diff(entries.start)),
        "entries": entries.columns,
        "weights": entries.values,
    }


def _nodes(predictor: Any, examples: Sequence[Any], open_program: Any) -> Arrays:
    graph = examples[0].graph
    encoded = predictor.input.encode_graph(graph)
    numbers = [each.number for each in predictor.input.encode(examples)]
    found = _graph(predictor, graph, np.arange(len(graph)))
    # Edges in an order of their own.
    order = np.random.default_rng(0).permutation(graph.edges.shape[1])
    found |= {"edges": graph.edges[:, order], "answered": np.array(numbers)}
    if encoded.edge_features is not None:
        found["edge_features"] = _raw(encoded.edge_features[order], predictor.input.edges)
    return found


def _graphs(predictor: Any, examples: Sequence[Any], open_program: Any) -> Arrays:
    parts = [_graph(predictor, each.graph, np.arange(each.first, each.last)) for each in examples]
    sizes = _lengths([each["numbers"] for each in parts])
    longest, edges, features = int(sizes.max()), [], []
    for number, each in enumerate(examples):
        ends, listed = each.edges()
        edges.append(ends + number * longest)
        encoded = predictor.input.encode_graph(each.graph)
        if encoded.edge_features is not None:
            features.append(_raw(encoded.edge_features[listed], predictor.input.edges))
    owners = [each["owners"] + n * longest for n, each in enumerate(parts)]
    return {
        "numbers": _padded([each["numbers"] for each in parts]),
        "owners": np.concatenate(owners),
        **{name: np.concatenate([each[name] for each in parts]) for name in ("entries", "weights")},
        "lengths": sizes,
        "edges": np.concatenate(edges, 1),
        **({"edge_features": np.concatenate(features)} if features else {}),
    }


_ARRAYS: dict[type[Any], Callable[[Any, Any, Any], Arrays]] = {
    Text: _words,
    Tokens: _words,
    SeriesInput: _series,
    FramesInput: _frames,
    PatchInput: _pixels,
    SceneInput: _pixels,
    Molecules: _molecules,
    Nodes: _nodes,
    Links: _nodes,
    Graphs: _graphs,
}


def in_memory(programs: Any) -> Callable[[str], Run]:
    """Return what opens programs of `torch.export`, called with arrays in the order of their inputs."""
    made = {name: each.program.module() for name, each in programs.items()}

    def open_program(name: str) -> Run:
        def run(*given: np.ndarray) -> list[np.ndarray]:
            tensors = [torch.from_numpy(np.ascontiguousarray(each)) for each in given]
            found = made[name](tensors[0], tensors[1:]) if name == "step" else made[name](*tensors)
            listed = [found] if isinstance(found, torch.Tensor) else found
            return [each.numpy() for each in listed]

        return run

    return open_program
