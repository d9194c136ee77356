"""Explain a prediction by attention weights, or by gradient × input saliency if the encoder has none."""

from __future__ import annotations

import html
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heedful.answers.base import HeadAnswer
from heedful.answers.ranked_reply import ReplyRanking
from heedful.answers.transcript import TranscribedText
from heedful.data.audio.clips import Clip
from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import DataError, shown
from heedful.explore.cells import (
    IMAGE_SUFFIXES,
    MAX_CELLS,
    ImageView,
    one_row,
    rollout,
    row_name,
)
from heedful.explore.graph_view import DRAWN, GraphView
from heedful.explore.html import draw_html
from heedful.explore.record import Recorder, recording
from heedful.explore.renderers import save
from heedful.explore.replies import record_choice
from heedful.explore.saliency import SALIENCY, explained, gradient_saliency, saliency
from heedful.explore.schema import ATTENTION, AttentionRecord
from heedful.explore.select import select
from heedful.explore.spectrogram import draw_spectrogram
from heedful.explore.transcript import record_transcript
from heedful.explore.translation import record_translation
from heedful.ops.grid import Grid
from heedful.tasks.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Explanation:
    """The attention weights, or saliency, of one prediction."""

    title: str
    input: Any
    prediction: Any
    target: str | None
    """For generated text: the explained target, the model's own or a reference."""
    records: list[AttentionRecord]
    main: list[AttentionRecord]
    """The records to show by default."""
    others: str
    """Command-line options that show the other records; empty if there are none."""
    view: ImageView | None = None
    """The image that is explained, if it is one."""
    picture: str = ""
    """HTML of what the input looks and sounds like under the weights; empty for text and numbers."""
    structure: str | None = None
    """The SMILES of the molecule that is explained, if it is one."""
    graph: GraphView | None = None
    """The laid-out graph that is explained, if it is a small one."""

    def html(self) -> str:
        """Return an offline, interactive HTML page of every layer and head."""
        return draw_html(self.records, title=self.title, picture=self.picture)

    def png(self) -> bytes:
        """Return a PNG image of every layer and head.

        Raises: MissingFontError if no installed font has the glyphs of some token.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "explained.png")
            self.save(path, self.records)
            return path.read_bytes()

    def save(self, path: Path, records: Sequence[AttentionRecord]) -> None:
        """Draw some of the records to a file: of an image as heat maps on it, of a molecule as colours of its atoms, of
        a graph as colours of nodes and widths of edges.

        Raises: OptionError for an unknown ending of the name, or no records.
        """
        if self.structure is not None and path.suffix.lower() in IMAGE_SUFFIXES:
            # Imported here, as RDKit's drawing is slow to import and only molecules need it.
            from heedful.explore.molecule_picture import save_molecule

            save_molecule(self.structure, records, path, self.title)
        elif (
            self.graph is not None
            and path.suffix.lower() in IMAGE_SUFFIXES
            and self.graph.rows(records)
        ):
            from heedful.explore.graph_picture import save_graph

            save_graph(self.graph, records, path, self.title)
        elif self.view is None or path.suffix.lower() not in IMAGE_SUFFIXES:
            save(records, path, title=self.title)
        else:
            # Imported here, as matplotlib is slow to import and only images need it.
            from heedful.explore.image_picture import save_image_figure

            save_image_figure(records, self.view, path, self.title)

    def _repr_html_(self) -> str:
        """Show the HTML page in a notebook, inside an iframe."""
        page = html.escape(self.html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:32em;border:0"></iframe>'


def explain(
    predictor: Predictor, example: Any, prediction: Any = None, *, target: str | None = None
) -> Explanation:
    """Record the attention weights, or saliency, of the model for one input.

    Args:
        predictor: a trained model.
        example: an input as the task's reader returns it: a text, or a list of tokens.
        prediction: the prediction to explain; None: the model's own.
        target: for generated text, a target to explain instead of the model's own.

    Raises: DataError for an input without tokens, or an empty target.
    """
    if prediction is None and target is None:
        [prediction] = predictor.predict([example])
    if predictor.input.is_graph:
        return _explain_node(predictor, example, prediction)
    if isinstance(predictor.answer, HeadAnswer):
        return _explain_head(predictor, example, prediction)
    if isinstance(predictor.answer, TranscribedText):
        return _explain_transcript(predictor, example, prediction, target)
    if isinstance(predictor.answer, ReplyRanking):
        return _explain_choice(predictor, example, prediction, target)
    return _explain_text(predictor, example, prediction, target)


def _explain_text(
    predictor: Predictor, source: Any, prediction: Any, target: str | None
) -> Explanation:
    shown_source = predictor.input.title(source)
    explained_target: str = prediction.text if target is None else target
    if not explained_target.strip():
        raise DataError(
            f"what the model makes of {shown(shown_source)} is empty; explain another target with --reference"
        )
    records = record_translation(predictor, source, explained_target)
    cross = select(records, kind="cross")
    layer = min(predictor.model.alignment_layer, len(cross) - 1)
    others = "--kind, --layer and --head show others, --out FILE.html all"
    hint = f"the layer that aligns best; {others}" if len(records) > 1 else ""
    title = f"{shown_source} → {explained_target}"
    return Explanation(title, source, prediction, explained_target, records, [cross[layer]], hint)


def _explain_choice(
    predictor: Predictor, example: Any, prediction: Any, target: str | None
) -> Explanation:
    """Explain the score of a chosen reply: what was attended to in the history, and what the score rests on."""
    reply: str = prediction.text if target is None else target
    if not reply.strip():
        raise DataError("there is no reply to explain; give one with --reference")
    records = record_choice(predictor, example, reply)
    main = [record for record in records if record.kind != "encoder"]
    hint = "--kind encoder shows the attention among tokens" if len(main) < len(records) else ""
    title = f"{predictor.input.title(example)} → {reply}"
    return Explanation(title, example, prediction, target, records, main, hint)


def _explain_transcript(
    predictor: Predictor, clip: Clip, prediction: Any, target: str | None
) -> Explanation:
    text: str = prediction.text if target is None else target
    if not text.strip():
        raise DataError(
            f"the model's transcript of {clip.name} is empty; explain another text with --reference"
        )
    records = record_transcript(predictor, clip, text)
    cross = [record for record in records if record.kind == "cross"]
    shown = [record for record in records if record.kind == "ctc"]
    if cross:
        shown = [cross[min(predictor.model.decoder.alignment_layer, len(cross) - 1)]]
    others = "--kind, --layer and --head show others, --out FILE.html all"
    hint = others if len(records) > 1 else ""
    title = f"{predictor.input.title(clip)} → {text}"
    picture = _picture(predictor, clip, shown[0]) if cross else ""
    return Explanation(title, clip, prediction, text, records, shown, hint, picture=picture)


def _explain_node(predictor: Predictor, example: Any, prediction: Any) -> Explanation:
    """Explain the answer of a node by its neighbours, ranked, and by a picture of those of a small neighbourhood."""
    from heedful.explore.neighbours import dense_records, draw_neighbourhood, ranked, ranked_records

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
        return Explanation(title, example, prediction, None, records, records, "")
    records = ranked_records(edges, names)
    hint = "the last layer; --layer and --head show others, --out FILE.html all and a picture"
    graph = None
    if len(names) <= DRAWN:
        records = [*records, *dense_records(edges[-layers:], names)]
        graph = GraphView.of_neighbourhood(names, edges[-1].edge_index, layers)
    picture = draw_neighbourhood(edges[-layers:], names)
    main = [records[len(edges) - 1]]
    return Explanation(
        title, example, prediction, None, records, main, hint, picture=picture, graph=graph
    )


def _explain_head(predictor: Predictor, example: Any, prediction: Any) -> Explanation:
    records = record_prediction(predictor, example, prediction)
    shown = predictor.input.view(example)
    view: ImageView | None = None
    if shown is not None:
        from heedful.explore.objects import image_view, records_of_objects

        pixels, grid = shown
        view = image_view(pixels, grid, example, prediction)
        records = records_of_objects(records, prediction)
        # A row for all cells, where each has an answer.
        each = predictor.answer.per_position
        name = row_name(0) if each else predictor.answer.to_text(prediction)
        records = _image_records(records, grid, name)
    if predictor.answer.per_position:
        hint = "the last layer; --layer and --head show others, --out FILE.html all"
        title, main = predictor.input.title(example), records[-1:]
    else:
        hint = "--kind encoder shows the attention among tokens, --out FILE.html everything"
        title = f"{predictor.answer.to_text(prediction)}: {predictor.input.title(example)}"
        main = _main_records(records)
    if len(main) == len(records):
        hint = ""
    structure = predictor.input.structure(example)
    edges = predictor.input.drawn_edges(example)
    graph = None
    if edges is not None and len(predictor.input.positions(example)) > DRAWN:
        from heedful.explore.neighbours import ranked

        records, main = ([ranked(one_row(each, 0)) for each in some] for some in (records, main))
    elif edges is not None:
        graph = GraphView.of_whole(predictor.input.positions(example), edges)
    if graph is not None:
        from heedful.explore.graph_picture import graph_html

        picture = graph_html(graph, list(dict.fromkeys([*main, *_last_layer(records)])), title)
    elif view is not None:
        from heedful.explore.image_html import draw_image_heat

        picture = draw_image_heat(records, view)
    elif structure is None:
        picture = _picture(predictor, example, main[0])
    else:
        from heedful.explore.molecule_picture import molecule_html

        # The same records as are shown by default, and the last layer of the encoder.
        picture = molecule_html(structure, list(dict.fromkeys([*main, *_last_layer(records)])))
    return Explanation(
        title, example, prediction, None, records, main, hint, view, picture, structure, graph
    )


def _last_layer(records: Sequence[AttentionRecord]) -> list[AttentionRecord]:
    """Return the record of the last layer of the encoder, if there is one."""
    return [record for record in records if record.kind == "encoder"][-1:]


def _main_records(records: list[AttentionRecord]) -> list[AttentionRecord]:
    """Return what the prediction looked at: of object queries in the last layer."""
    cross = [record for record in records if record.kind == "cross"]
    if cross:
        return cross[-1:]
    return [record for record in records if record.kind != "encoder"] or records[-1:]


def _image_records(records: list[AttentionRecord], grid: Grid, name: str) -> list[AttentionRecord]:
    """Add the rollout over layers and, of many cells, sum the attention among them up."""
    rolled = rollout(records, grid.prefix, name)
    if grid.length > MAX_CELLS:
        records = [
            one_row(each, grid.prefix) if each.kind == "encoder" else each for each in records
        ]
    return records if rolled is None else [*records, rolled]


def _picture(predictor: Predictor, example: Any, record: AttentionRecord) -> str:
    """Return the spectrogram of a recording under the mean weights of a record; empty for other inputs."""
    shown = predictor.input.spectrogram(example)
    if shown is None:
        return ""
    weights = np.nan_to_num(np.asarray(record.weights)).mean(axis=(0, 1))
    return draw_spectrogram(
        shown, weights, "attention" if record.measure == ATTENTION else "saliency"
    )


def record_prediction(predictor: Predictor, example: Any, prediction: Any) -> list[AttentionRecord]:
    """Return the attention weights of an encoder with a prediction head, for one input.

    Rows of the pooling are the predictions, those of object queries what each found; rows of the encoder are
    positions, labelled with their predictions if each position has one. An encoder without attention has one record of
    gradient × input saliency instead: |Σ_d x_jd · ∂s / ∂x_jd| for the score s of the prediction (or of each position)
    and the features x_j of position j, each row divided by its sum (Simonyan et al. 2014,
    https://arxiv.org/abs/1312.6034); its `measure` is `SALIENCY`. For an ensemble it is the mean over the networks.

    Args:
        predictor: a trained model whose answer is a `HeadAnswer`.
        example: an input as the task's reader returns it.
        prediction: the prediction that labels the rows and whose saliency is computed.

    Raises: DataError for an input without tokens.
    """
    inputs, answer, model = predictor.input, predictor.answer, explained(predictor)
    positions = inputs.positions(example)
    if not positions:
        raise DataError("the input has no tokens to explain; give one that has some.")
    rows = answer.row_names(positions, prediction)
    batch = predictor.to_device(inputs.collate(inputs.encode([example])))
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    each = answer.per_position
    if each and len(rows) > MAX_CELLS and inputs.view(example) is not None:
        return _summed_up(predictor, batch, positions, prediction)
    labels = {
        "encoder": (rows if each else positions, positions),
        "pooling": (rows, positions),
        "cross": (rows, positions),
        "decoder": (rows, rows),
    }
    tokens = {kind: labels[kind] for kind in recorder.kinds}
    records = _drawn_records(recorder, tokens, positions)
    if model.members[0].encoder.has_attention:
        return records
    kind = "encoder" if each else "saliency"
    return [*records, saliency_record(predictor, example, prediction, rows, kind)]


def _drawn_records(
    recorder: Recorder, tokens: dict[str, Any], positions: Sequence[str]
) -> list[AttentionRecord]:
    """Return what was recorded; attention on a graph that is too large for a matrix as what each node gets."""
    from heedful.explore.neighbours import received_records

    if not tokens:
        return []
    large = [each for each in recorder.edge_records() if not each.is_drawn]
    if not large:
        return recorder.records(tokens)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is too large to draw")
        return [*received_records(large, positions), *recorder.records(tokens)]


def saliency_record(
    predictor: Predictor, example: Any, prediction: Any, rows: Sequence[str], kind: str
) -> AttentionRecord:
    """Return gradient × input saliency as a record."""
    weights = saliency(predictor, example, prediction)
    return AttentionRecord(
        module_path="",
        kind=kind,
        layer=0,
        query_tokens=rows[: len(weights)],
        key_tokens=predictor.input.positions(example),
        weights=weights[None].cpu().numpy(),
        measure=SALIENCY,
    )


def _summed_up(
    predictor: Predictor, batch: Any, positions: Sequence[str], prediction: Any
) -> list[AttentionRecord]:
    """Return the records of an image of many cells with a label each: one row for all of them."""
    model = predictor.model
    with evaluation_mode(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    if model.members[0].encoder.has_attention:
        tokens = dict.fromkeys(recorder.kinds, (positions, positions))
        return [one_row(each, 0) for each in recorder.records(tokens)]
    name = row_name(0)
    weights = gradient_saliency(predictor, batch, [name], prediction)
    return [
        AttentionRecord(
            "", "saliency", 0, [name], positions, weights[None].cpu().numpy(), measure=SALIENCY
        )
    ]
