"""Find the things in a picture: a small DETR (Carion et al. 2020, https://arxiv.org/abs/2005.12872) on made-up scenes.

    python examples/detr.py corpora/fashion_mnist --out detr

The folder holds MNIST-like IDX files. A scene is a canvas of 64 × 64 pixels with 1 to 5 items at random places and
sizes, over one another, among scraps of other items and noise. Training scenes are made without end from the first
54,000 training items, validation scenes from the other 6,000; with --test there are scenes of the test items at the
end. Trains `detect`, prints COCO's average precision, writes results.json, and draws where the query of each object
looked in some scenes. The run folder can be given to `heedful evaluate`, `predict` and `explain`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import heedful
from heedful.answers.box_metrics import BoxScores, score_boxes
from heedful.api import TrainedModel
from heedful.data.images.compose import SceneMaker
from heedful.data.images.idx import read_array
from heedful.data.images.objects import Box, Scenes
from heedful.models.boxes import overlap
from heedful.training.events import Event, Validated

HELD_OUT = 0.1
"""Share of the training items, the last ones, of which the validation scenes are made."""
FASHION = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
)  # fmt: skip
SETTINGS: dict[str, Any] = {
    "data": {"patch": 8},
    "inputs": {"stem": "convolution", "width": 64, "convolutions": 2},
    "encoder": {
        "kind": "transformer", "width": 96, "feed_forward": 192, "layers": 2, "dropout": 0.0,
        "activation": "gelu",
    },
    "objects": {"queries": 10, "layers": 3, "feed_forward": 192},
}  # fmt: skip


def makers(folder: Path) -> dict[str, SceneMaker]:
    """What makes scenes of the items of each part."""
    found = {}
    for part, name in (("train", "train"), ("test", "t10k")):
        (images,) = folder.glob(f"{name}-images-idx3-ubyte*")
        (labels,) = folder.glob(f"{name}-labels-idx1-ubyte*")
        pixels, names = read_array(images, axes=3), [FASHION[n] for n in read_array(labels, axes=1)]
        found[part] = SceneMaker(pixels, names)
    whole = found["train"]
    cut = len(whole.labels) - round(HELD_OUT * len(whole.labels))
    found["train"] = SceneMaker(whole.items[:cut], whole.labels[:cut])
    found["valid"] = SceneMaker(whole.items[cut:], whole.labels[cut:])
    return found


def scenes(maker: SceneMaker, count: int, name: str, *, endless: bool = False) -> Scenes:
    rng = np.random.default_rng([len(name), count])
    return Scenes([maker(rng) for _ in range(count)], name, maker=maker if endless else None)


def show(name: str, found: BoxScores) -> dict[str, Any]:
    print(
        f"{name}: mAP {found.mean_ap:.3f}, AP50 {found.mean_ap50:.3f}, AP75 {found.mean_ap75:.3f}, F1 {found.f1:.3f}"
    )
    for each in found.labels:
        print(f"  {each.label}: {each.ap if each.ap is None else round(each.ap, 3)}")
    labels = {each.label: each.ap for each in found.labels}
    return {
        "scenes": found.images,
        "ap": found.mean_ap,
        "ap50": found.mean_ap50,
        "ap75": found.mean_ap75,
        "f1": found.f1,
        "labels": labels,
    }


def nearest(box: Box, wanted: Sequence[Box]) -> Box | None:
    """The wanted box of the greatest overlap, if it is .3 or more."""
    if not wanted:
        return None
    place, *others = (
        torch.tensor([each.left, each.top, each.left + each.width, each.top + each.height]).double()
        for each in (box, *wanted)
    )
    iou = overlap(place, torch.stack(others)).iou
    return wanted[int(iou.argmax())] if float(iou.max()) >= 0.3 else None


def show_errors(model: TrainedModel, data: Scenes) -> dict[str, float]:
    """Print which average precision there would be if the labels of boxes near an object were right, or the boxes."""
    kinds: dict[str, list[list[Box]]] = {"right labels": [], "right boxes": []}
    for found, wanted in zip(model.predictor.predict_data(data), data.answers, strict=True):
        likely: dict[tuple[float, ...], Box] = {}
        for box in found.candidates:  # the most probable label of each query comes first
            likely.setdefault((box.left, box.top, box.width, box.height), box)
        near = [(box, nearest(box, wanted)) for box in likely.values()]
        kinds["right labels"].append(
            [box if to is None else replace(box, label=to.label) for box, to in near]
        )
        kinds["right boxes"].append(
            [
                box
                if (to := nearest(box, wanted)) is None
                else replace(to, label=box.label, score=box.score)
                for box in found.candidates
            ]
        )
    told = {}
    for name, boxes in kinds.items():
        scores = score_boxes(boxes, data.answers, model.labels)
        told[name] = scores.mean_ap
        print(f"with {name}: mAP {scores.mean_ap:.3f}, AP50 {scores.mean_ap50:.3f}")
    return told


def tell(event: Event) -> None:
    if isinstance(event, Validated):
        scores = ", ".join(f"{name} {value:.3f}" for name, value in event.scores.items())
        print(f"  epoch {event.epoch}, {event.seconds:,.0f} s: {scores}", flush=True)


def train(made: dict[str, SceneMaker], options: argparse.Namespace) -> TrainedModel:
    return heedful.train(
        "detect",
        train=scenes(made["train"], options.scenes, "training", endless=True),
        valid=scenes(made["valid"], options.valid, "validation"),
        out=options.out / "run",
        resume=options.resume,
        overwrite=not options.resume,
        progress=tell,
        training={
            "epochs": options.epochs, "max_seconds": options.seconds, "batch_tokens": 64 * options.batch,
            "threads": 1, "learning_rate": options.rate,
            "average_epochs": 3, "seed": options.seed, "precision": options.precision,
        },
        **{**SETTINGS, "objects": {**SETTINGS["objects"], "start": options.start, "label_cost": options.label_cost}},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("detr"))
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=0, help="stop earlier, after so many")
    parser.add_argument("--scenes", type=int, default=6400, help="scenes of an epoch")
    parser.add_argument("--valid", type=int, default=400, help="held-out scenes")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--start", choices=("cells", "learned"), default="cells", help="of queries")
    parser.add_argument(
        "--label-cost", type=float, default=2.0, help="weight of labels in the loss"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--precision", default="32-true", help="bf16-mixed: faster on some processors"
    )
    parser.add_argument("--test", action="store_true", help="at the end, scenes of the test items")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted training")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    made, start = makers(options.folder), time.monotonic()
    model = train(made, options)
    results: dict[str, Any] = {"seconds": time.monotonic() - start, "epochs": options.epochs}
    valid = scenes(made["valid"], options.valid, "validation")
    results["valid"] = show("held-out scenes", model.evaluate(valid))
    results["errors"] = show_errors(model, valid)
    if options.test:
        test = scenes(made["test"], 1000, "test")
        results["test"] = show("scenes of test items", model.evaluate(test))
    for number, picture in enumerate(valid.inputs[:6], start=1):
        explained = model.explain(picture)
        explained.save(options.out / f"scene-{number}.png", explained.main)
    (options.out / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
