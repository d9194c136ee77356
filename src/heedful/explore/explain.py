"""Explain a prediction by attention weights, or by gradient × input saliency if the encoder has none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heedful.answers.base import HeadAnswer
from heedful.answers.text_base import TextAnswer
from heedful.answers.transcript import TranscribedText
from heedful.errors import DataError, shown
from heedful.explore.cells import (
    MAX_CELLS,
    ImageView,
    one_row,
    rollout,
    row_name,
)
from heedful.explore.explanation import Explanation
from heedful.explore.first_shown import first_shown, shown_first
from heedful.explore.predicted import record_prediction
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import select
from heedful.explore.spectrogram import player
from heedful.explore.transcript import record_transcript
from heedful.explore.translation import record_translation
from heedful.ops.grid import Grid
from heedful.tasks.predictor import Predictor

if TYPE_CHECKING:
    from heedful.data.audio.clips import Clip


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
        # Imported here, as only graphs need it.
        from heedful.explore.graph_explained import explain_node

        return explain_node(predictor, example, prediction)
    if predictor.input.drawn_edges(example) is not None:
        from heedful.explore.graph_explained import explain_whole

        return explain_whole(predictor, example, prediction)
    if isinstance(predictor.answer, HeadAnswer):
        return _explain_head(predictor, example, prediction)
    if isinstance(predictor.answer, TranscribedText):
        return _explain_transcript(predictor, example, prediction, target)
    if not isinstance(predictor.answer, TextAnswer):
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
    records = shown_first(records, cross[layer])
    return Explanation(title, source, prediction, explained_target, records, hint)


def _explain_choice(
    predictor: Predictor, example: Any, prediction: Any, target: str | None
) -> Explanation:
    """Explain the score of a chosen reply: what was attended to in the history, and what the score rests on."""
    # Imported here, as only rankers of replies need it.
    from heedful.explore.replies import record_choice

    reply: str = prediction.text if target is None else target
    if not reply.strip():
        raise DataError("there is no reply to explain; give one with --reference")
    records = record_choice(predictor, example, reply)
    kinds = {record.kind for record in records}
    hint = "--kind encoder shows the attention among tokens" if "encoder" in kinds else ""
    title = f"{predictor.input.title(example)} → {reply}"
    return Explanation(title, example, prediction, target, records, hint)


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
    if cross:
        chosen = cross[min(predictor.model.decoder.alignment_layer, len(cross) - 1)]
        records = shown_first(records, chosen)
    others = "--kind, --layer and --head show others, --out FILE.html all"
    hint = others if len(records) > 1 else ""
    title = f"{predictor.input.title(clip)} → {text}"
    sound = predictor.input.spectrogram(clip) if cross else None
    return Explanation(
        title,
        clip,
        prediction,
        text,
        records,
        hint,
        picture="" if sound is None else player(sound),
        recording=sound,
    )


def _explain_head(predictor: Predictor, example: Any, prediction: Any) -> Explanation:
    records = record_prediction(predictor, example, prediction)
    shown = predictor.input.view(example)
    view: ImageView | None = None
    if shown is not None:
        from heedful.explore.objects import image_view, records_of_objects

        pixels, grid = shown
        view = image_view(predictor.input, pixels, grid, example, prediction)
        records = records_of_objects(records, prediction)
        # A row for all cells, where each has an answer.
        each = predictor.answer.per_position
        name = row_name(0) if each else predictor.answer.to_text(prediction)
        records = _image_records(records, grid, name)
    if predictor.answer.per_position:
        hint = "the last layer; --layer and --head show others, --out FILE.html all"
        title = predictor.input.title(example)
    else:
        hint = "--kind encoder shows the attention among tokens, --out FILE.html everything"
        title = f"{predictor.answer.to_text(prediction)}: {predictor.input.title(example)}"
    main = first_shown(records)
    if len(records) == 1:
        hint = ""
    structure, graph = predictor.input.structure(example), None
    sound = predictor.input.spectrogram(example)
    picture = "" if sound is None else player(sound)
    if view is not None:
        from heedful.explore.image_html import draw_image_heat

        picture = draw_image_heat(records, view)
    elif structure is not None:
        from heedful.explore.molecule_view import molecule_view

        graph = molecule_view(structure, main.key_tokens)
    return Explanation(
        title, example, prediction, None, records, hint, view, picture, structure, graph, sound
    )


def _image_records(records: list[AttentionRecord], grid: Grid, name: str) -> list[AttentionRecord]:
    """Add the rollout over layers and, of many cells, sum the attention among them up."""
    rolled = rollout(records, grid.prefix, name)
    if grid.length > MAX_CELLS:
        records = [
            one_row(each, grid.prefix) if each.kind == "encoder" else each for each in records
        ]
    return records if rolled is None else [*records, rolled]
