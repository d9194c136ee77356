"""Explain answers of nodes by their neighbours, and of whole graphs by their nodes."""

from __future__ import annotations

from typing import Any

import torch

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.explore.cells import one_row
from heedful.explore.explanation import Explanation
from heedful.explore.first_shown import shown_first
from heedful.explore.graph_view import DRAWN, GraphView
from heedful.explore.neighbours import (
    dense_records,
    ranked,
    ranked_records,
)
from heedful.explore.predicted import record_prediction, saliency_record
from heedful.explore.record import recording
from heedful.tasks.predictor import Predictor


def explain_node(predictor: Predictor, example: Any, prediction: Any) -> Explanation:
    """Explain the answer of a node by its neighbours, ranked, and by a picture of those of a small neighbourhood."""
    inputs, model = predictor.input, predictor.model
    node = inputs.explained(example)
    batch = predictor.to_device(inputs.collate(inputs.encode([node])))
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    layers = predictor.config.encoder.layers
    edges, names = recorder.edge_records(), inputs.positions(example)
    title = f"{predictor.answer.to_text(prediction)}: {inputs.title(example)}"
    if not edges:
        relevance = saliency_record(predictor, example, prediction, names, "neighbours")
        records = [ranked(relevance)]
        return Explanation(title, example, prediction, None, records, "")
    records = ranked_records(edges, names)
    hint = "the last layer; --layer and --head show others, --out FILE.html all and a picture"
    graph = None
    if len(names) <= DRAWN:
        records = [*records, *dense_records(edges[-layers:], names)]
        graph = GraphView.of_neighbourhood(names, edges[-1].edge_index, layers)
    records = shown_first(records, records[len(edges) - 1])
    return Explanation(title, example, prediction, None, records, hint, graph=graph)


def explain_whole(predictor: Predictor, example: Any, prediction: Any) -> Explanation:
    """Explain the answer of a whole graph by its nodes: of a small one drawn, of a large one ranked."""
    inputs = predictor.input
    positions, edges = inputs.positions(example), inputs.drawn_edges(example)
    records = record_prediction(predictor, example, prediction)
    if len(positions) > DRAWN:
        records = [ranked(one_row(each, 0)) for each in records]
    title = f"{predictor.answer.to_text(prediction)}: {inputs.title(example)}"
    hint = "--kind encoder shows the attention among nodes, --out FILE.html everything"
    view = GraphView.of_whole(positions, edges) if len(positions) <= DRAWN else None
    return Explanation(
        title, example, prediction, None, records, hint if len(records) > 1 else "", graph=view
    )
