"""Object detection: a set of labelled boxes for each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from heedful.answers.base import Metric, Numbers, ReportTable, Rows, Values
from heedful.answers.box_metrics import BoxScores, counts_of_image, score_boxes
from heedful.answers.box_tables import label_rows, summary_rows
from heedful.answers.labels import LabelAnswer, check_seen_labels
from heedful.data.dataset import Dataset
from heedful.data.images.objects import Box
from heedful.data.lexicon import Lexicon
from heedful.errors import DataError, OptionError
from heedful.inputs.scenes import SceneTarget
from heedful.models.boxes import corners_from_centers
from heedful.models.encoders import Encoder
from heedful.models.model import Batch, Model
from heedful.models.query_head import ObjectsConfig, ObjectSets, QueryHead
from heedful.models.set_loss import set_loss

LEAST: Final = 0.01
"""Least probability of a box that average precision counts."""


class BoxTargets(NamedTuple):
    """The objects of the images of a batch, one image after the other."""

    labels: Tensor
    """(objects,), long."""
    boxes: Tensor
    """(objects, 4), centers and sizes in shares of the image."""
    counts: Tensor
    """(batch,), long: objects of each image."""


@dataclass(frozen=True)
class FoundObjects:
    """What was found in one image, most probable first."""

    boxes: tuple[Box, ...]
    """One for each object query whose most probable label reaches the threshold; in pixels of the image."""
    queries: tuple[int, ...] = ()
    """The number of the query of each of `boxes`, from 0."""
    candidates: tuple[Box, ...] = ()
    """Of each query all labels of a probability of at least 0.01, or of the threshold if one was asked for: what
    average precision is computed of. A query that hesitates between two labels has both."""


@dataclass(frozen=True)
class Boxes(LabelAnswer[FoundObjects]):
    """A set of boxes with labels, from object queries.

    Reads the section objects (`ObjectsConfig`) and prediction.threshold.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "mean_ap": Metric("mAP", ".4f"),
        "mean_ap50": Metric("AP50", ".4f"),
        "mean_ap75": Metric("AP75", ".4f"),
        "f1": Metric("F1", ".4f"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("mean_ap", "mean_ap50"),)
    primary_metric: ClassVar[str] = "f1"
    depends_on_batch: ClassVar[bool] = True
    search_options: ClassVar[frozenset[str]] = frozenset({"threshold"})
    command_options: ClassVar[frozenset[str]] = frozenset({"drawn"})
    has_report_tables: ClassVar[bool] = True

    objects: ObjectsConfig
    threshold: float
    """Least probability of a box that is shown."""

    @classmethod
    def check(cls, config: Any, train: Dataset, valid: Dataset) -> None:
        check_objects(train)
        check_objects(valid)
        labels = {box.label for boxes in train.answers for box in boxes}
        check_seen_labels(labels, train.example, valid, _labels(valid))
        most = config.objects.queries
        for data in (train, valid):
            for row, boxes in enumerate(data.answers):
                count = sum(not box.is_crowd for box in boxes)
                if count > most:
                    raise data.error(
                        row,
                        f"{count} objects, and the model has {most} object queries, one for each; set "
                        f"objects.queries to {count} or more.",
                    )

    @classmethod
    def learn(cls, config: Any, answers: Sequence[Sequence[Box]]) -> Self:
        lexicon = Lexicon.learn(box.label for boxes in answers for box in boxes)
        return cls._of(config, lexicon)

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        return cls._of(config, cls.load_labels(folder))

    @classmethod
    def _of(cls, config: Any, lexicon: Lexicon) -> Self:
        return cls(lexicon, config.objects, config.prediction.threshold)

    def check_test(self, data: Dataset) -> None:
        check_objects(data)
        check_seen_labels(self.labels, data.example, data, _labels(data))

    def targets(self, data: Dataset) -> list[SceneTarget]:
        """Return labels and boxes in shares of the image; crowds are left out."""
        found = []
        for picture, boxes in zip(data.inputs, data.answers, strict=True):
            height, width = picture.size
            objects = [box for box in boxes if not box.is_crowd]
            labels = self.label_indices([box.label for box in objects])
            shares = [
                (
                    (box.left + box.width / 2) / width,
                    (box.top + box.height / 2) / height,
                    box.width / width,
                    box.height / height,
                )
                for box in objects
            ]
            found.append(
                SceneTarget(np.array(labels, np.int64), np.array(shares, np.float32).reshape(-1, 4))
            )
        return found

    def collate(self, targets: Sequence[SceneTarget]) -> BoxTargets:
        return BoxTargets(
            torch.from_numpy(np.concatenate([each.labels for each in targets])),
            torch.from_numpy(np.concatenate([each.boxes for each in targets])),
            torch.tensor([len(each.labels) for each in targets]),
        )

    def head(self, encoder: Encoder) -> QueryHead:
        return QueryHead(self.objects, encoder, len(self.labels))

    def count_predictions(self, batch: Any, targets: BoxTargets) -> int:
        return len(targets.counts)

    def network_loss(self, model: Any, batch: Any, targets: BoxTargets) -> Tensor:
        """The loss of the set after each layer of the decoder, summed; of several groups of queries their mean.

        If queries start at cells, with the loss of what the cells predict.
        """
        found: ObjectSets = model.head.find(model.states(batch))
        counts = targets.counts.tolist()
        labels = targets.labels.split(counts)
        boxes = batch.to_model(targets.boxes, targets.counts).split(counts)
        groups = found.scores.split(self.objects.queries, dim=2)
        losses = [
            set_loss(layer, labels, boxes, self.objects) for group in groups for layer in group
        ]
        loss = torch.stack(losses).sum() / len(groups)
        if found.cells is None:
            return loss
        matches = self.objects.cell_matches
        return loss + set_loss(found.cells, labels, boxes, self.objects, matches=matches)

    def final_scores(self, model: Any, batch: Batch) -> Tensor:
        scores: Tensor = model(batch)[-1]
        return scores

    def check_search(self, search: Mapping[str, Any]) -> None:
        super().check_search(search)
        threshold = search.get("threshold")
        if threshold is not None and not 0 < threshold < 1:
            raise OptionError(f"threshold is {threshold}; expected a probability between 0 and 1")

    def predict(
        self, model: Any, batch: Batch, *, threshold: float | None = None, **search: Any
    ) -> list[FoundObjects]:
        """Return the prediction of each row of a batch.

        Args:
            model: the model.
            batch: the batch.
            threshold: least probability of a box, also of `FoundObjects.candidates`; None: the run's setting for
                `FoundObjects.boxes`.
            search: must be empty.
        """
        return self.predictions(self.finite_scores(model, batch), batch, threshold=threshold)

    def predictions(
        self, scores: Tensor, batch: Any, *, threshold: float | None = None
    ) -> list[FoundObjects]:
        probabilities = scores[..., :-4].float().softmax(-1)[..., :-1].cpu().numpy()
        sizes = batch.sizes.flip(-1).repeat(1, 2)[:, None]
        boxes = batch.from_model(scores[..., -4:].float())
        corners = corners_from_centers(boxes).clamp(0, 1) * sizes
        shown = self.threshold if threshold is None else threshold
        least = LEAST if threshold is None else threshold
        return [
            self._found(*each, shown, least)
            for each in zip(probabilities, corners.cpu().numpy(), strict=True)
        ]

    def _found(
        self, probabilities: Numbers, corners: Numbers, shown: float, least: float
    ) -> FoundObjects:
        def box(query: int, label: int) -> Box:
            left, top, right, bottom = map(float, corners[query])
            score = float(probabilities[query, label])
            return Box(self.labels[label], left, top, right - left, bottom - top, score)

        best = probabilities.argmax(axis=1)
        order = np.argsort(-probabilities.max(axis=1), kind="stable").tolist()
        # Others lie in the padding.
        has_area = np.all(corners[:, 2:] > corners[:, :2], axis=1, keepdims=True)
        queries = [
            query
            for query in order
            if probabilities[query, best[query]] >= shown and has_area[query, 0]
        ]
        candidates = [
            box(*pair) for pair in np.argwhere((probabilities >= least) & has_area).tolist()
        ]
        return FoundObjects(
            tuple(box(query, int(best[query])) for query in queries),
            tuple(queries),
            tuple(sorted(candidates, key=lambda each: -each.score)),
        )

    def empty(self) -> FoundObjects:
        return FoundObjects(())

    def score(
        self,
        predicted: Sequence[FoundObjects],
        data: Dataset,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> BoxScores:
        return score_boxes(
            [each.candidates for each in predicted],
            data.answers,
            self.labels,
            shown=[each.boxes for each in predicted],
        )

    def tables(self, found: BoxScores) -> list[Rows]:
        return [summary_rows(found), label_rows(found)]

    def report_tables(self, found: BoxScores) -> list[ReportTable]:
        [columns, *rows] = label_rows(found)
        note = "COCO's average precision of each label: the mean over overlaps of .50 to .95, and at .50."
        return [ReportTable("Average precision by label", columns, rows, note)]

    def statistics(self, predicted: Sequence[FoundObjects], data: Dataset) -> Numbers:
        """Return twice what was found, and what was found and what was wanted, of which `value` is F1."""
        rows = [
            counts_of_image(each.boxes, wanted)
            for each, wanted in zip(predicted, data.answers, strict=True)
        ]
        return np.array([[2 * right, got + wanted] for right, got, wanted in rows], np.float64)

    def to_text(self, prediction: FoundObjects) -> str:
        return ", ".join(map(name_of, prediction.boxes)) or "nothing"

    def to_json(self, prediction: FoundObjects) -> Values:
        return {"objects": [_values(box) for box in prediction.boxes]}

    def cells(self, prediction: FoundObjects) -> list[Any]:
        """Return all candidates, which the results in COCO's format hold."""
        return [list(prediction.candidates)]

    def row_names(self, positions: Sequence[str], prediction: FoundObjects) -> list[str]:
        """Return a name for each object query: what it found, or that it found nothing."""
        names = dict(zip(prediction.queries, map(name_of, prediction.boxes), strict=True))
        return [names.get(query, f"query {query + 1}") for query in range(self.objects.queries)]

    def explained_score(
        self, model: Model, features: Tensor, batch: Any, prediction: Any
    ) -> Tensor:
        """Return the sum over the queries of the greatest logit of a label, each from its own copy of the input.

        A single copy serves for all of them.
        """
        count = len(features)
        states = model.encoder(features, model.lengths(batch).expand(count))
        best = model.head(states).scores[-1][..., :-5].amax(-1)
        total: Tensor = best.diagonal().sum() if count == best.shape[1] else best.sum()
        return total


def check_objects(data: Dataset) -> None:
    """Raise DataError for data without any object."""
    if not any(not box.is_crowd for boxes in data.answers for box in boxes):
        raise DataError(
            f"{data.name}: no {data.example} has an object; expected one or more to learn or measure by."
        )


def name_of(box: Box) -> str:
    """Return how a found object is called.

    >>> name_of(Box("cat", 0, 0, 1, 1, 0.934))
    'cat 0.93'
    """
    return f"{box.label} {box.score:.2f}"


def _values(box: Box) -> Values:
    corners = (box.left, box.top, box.width, box.height)
    return {
        "label": box.label,
        "bbox": [round(each, 2) for each in corners],
        "score": round(box.score, 4),
    }


def _labels(data: Dataset) -> list[tuple[str, ...]]:
    return [tuple(box.label for box in boxes) for boxes in data.answers]
