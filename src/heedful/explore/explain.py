"""Explain a prediction: the attention of the model as it answers one input, and saliency where there is none."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from heedful.answers.base import HeadAnswer
from heedful.decode.evaluating import evaluating
from heedful.errors import DataError
from heedful.explore.html import draw_html
from heedful.explore.record import recording
from heedful.explore.renderers import save
from heedful.explore.schema import AttentionRecord
from heedful.explore.select import select
from heedful.explore.translation import record_translation
from heedful.models.model import Model
from heedful.tasks.predictor import Predictor

SALIENCY: Final = "gradient × input saliency (the encoder has no attention)"
"""What is measured where the encoder has no attention weights to show."""


@dataclass(frozen=True, eq=False)
class Explained:
    """What a model attended to for one prediction."""

    title: str
    input: Any
    prediction: Any
    target: str | None
    """Of generated text: the target that is explained, the model's own or a reference."""
    records: list[AttentionRecord]
    main: list[AttentionRecord]
    """The records to look at first."""
    others: str
    """How the command shows the other records; empty where there are none."""

    def html(self) -> str:
        """Return a page that works offline: every layer and head, to point at."""
        return draw_html(self.records, title=self.title)

    def png(self) -> bytes:
        """Return a picture.

        Raises: MissingFontError when no installed font has the characters of the tokens.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "explained.png")
            save(self.records, path, title=self.title)
            return path.read_bytes()

    def _repr_html_(self) -> str:
        """Show the page inside a notebook, in a frame of its own."""
        page = html.escape(self.html(), quote=True)
        return f'<iframe srcdoc="{page}" style="width:100%;height:32em;border:0"></iframe>'


def explain(
    predictor: Predictor, example: Any, prediction: Any = None, *, target: str | None = None
) -> Explained:
    """Record what the model attends to for one input.

    Args:
        predictor: a trained model.
        example: as the task's reader gives it: a text, or a list of tokens.
        prediction: what is explained; None: the model's own.
        target: of generated text, a target to explain instead of the model's own.

    Raises: DataError for an input without positions, or an empty target.
    """
    if prediction is None and target is None:
        [prediction] = predictor.predict([example])
    if isinstance(predictor.answer, HeadAnswer):
        return _explain_head(predictor, example, prediction)
    return _explain_text(predictor, example, prediction, target)


def _explain_text(
    predictor: Predictor, source: str, prediction: Any, target: str | None
) -> Explained:
    written: str = prediction.text if target is None else target
    if not written.strip():
        raise DataError(
            f"the model's translation of {source!r} is empty; explain another target with --reference"
        )
    records = record_translation(predictor, source, written)
    cross = select(records, kind="cross")
    layer = min(predictor.model.alignment_layer, len(cross) - 1)
    others = "--kind, --layer and --head show others, --out FILE.html all"
    hint = f"the layer that aligns best; {others}" if len(records) > 1 else ""
    title = f"{source} → {written}"
    return Explained(title, source, prediction, written, records, [cross[layer]], hint)


def _explain_head(predictor: Predictor, example: Any, prediction: Any) -> Explained:
    records = record_answer(predictor, example, prediction)
    if predictor.answer.each_position:
        hint = "the last layer; --layer and --head show others, --out FILE.html all"
        title, main = predictor.input.title(example), records[-1:]
    else:
        hint = "--kind encoder shows what tokens looked at, --out FILE.html everything"
        title = f"{predictor.answer.to_text(prediction)}: {predictor.input.title(example)}"
        main = [each for each in records if each.kind != "encoder"] or records[-1:]
    return Explained(
        title, example, prediction, None, records, main, hint if len(main) < len(records) else ""
    )


def record_answer(predictor: Predictor, example: Any, prediction: Any) -> list[AttentionRecord]:
    """Return every attention of a model of input, encoder and head as it answers one input.

    Rows of the pooling are the answer; rows of the encoder are positions, with their answers where each has one.
    An encoder without attention has one record instead: how the score s of the answer (of each position) depends
    on the features of each position, |Σ_d x_jd · ∂s / ∂x_jd|, each row divided by its sum (Simonyan et al. 2014,
    https://arxiv.org/abs/1312.6034). Its `measure` says so. Of an ensemble the mean over the networks is taken.

    Args:
        predictor: a trained model whose answer is a `HeadAnswer`.
        example: as the task's reader gives it.
        prediction: names the rows, and is what the saliency is of.

    Raises: DataError for an input without positions.
    """
    inputs, answer, model = predictor.input, predictor.answer, predictor.model
    positions = inputs.positions(example)
    if not positions:
        raise DataError("the input has no tokens to explain; give one that has some.")
    rows = answer.row_names(positions, prediction)
    batch = predictor.to_device(inputs.collate(inputs.encode([example])))
    with evaluating(model), torch.no_grad(), recording(model) as recorder:
        model(batch)
    each = answer.each_position
    names = {"encoder": (rows if each else positions, positions), "pooling": (rows, positions)}
    found = {kind: names[kind] for kind in recorder.kinds}
    records: list[AttentionRecord] = recorder.records(found) if found else []
    if model.members[0].encoder.attends:
        return records
    weights = torch.stack(
        [_saliency(predictor, member, batch, rows, prediction) for member in model.members]
    ).mean(dim=0)
    saliency = AttentionRecord(
        module_path="",
        kind="encoder" if each else "saliency",
        layer=0,
        query_tokens=rows,
        key_tokens=positions,
        weights=weights[None].cpu().numpy(),
        measure=SALIENCY,
    )
    return [*records, saliency]


def _saliency(
    predictor: Predictor, model: Model, batch: Any, rows: Sequence[str], prediction: Any
) -> Tensor:
    """Return (rows, positions), each row summing to 1; one copy of the input a row, for one backward pass."""
    with evaluating(model):
        with torch.no_grad():
            features = model.inputs(batch)
        # oneDNN's LSTM keeps what its backward pass needs only in training mode
        model.encoder.train()
        for module in model.encoder.modules():
            if hasattr(module, "probability"):
                module.eval()
        with torch.enable_grad():
            copies = features.expand(len(rows), -1, -1).clone().requires_grad_()
            total = predictor.answer.explained_score(model, copies, batch, prediction)
            (gradient,) = torch.autograd.grad(total, copies)
    found = (gradient * features).sum(-1).abs()
    shares: Tensor = found / found.sum(-1, keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)
    return shares
