"""Find the things in a picture: a small DETR (Carion et al. 2020, https://arxiv.org/abs/2005.12872) on made-up scenes.

    python examples/detr.py ../shared/data/fashion_mnist --out detr

The folder holds MNIST-like IDX files, gzipped. A scene is a canvas of 64 × 64 pixels with 1 to 5 items at random places
and sizes, among scraps of other items and noise; training scenes are made without end from the training items, test
scenes from the test items. Prints COCO's average precision, writes results.json, and draws where each object query
looked. Of the published recipe small data make nothing: here are few queries, a small weight for "no object", and many
scenes.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn

from heedful.answers.box_metrics import Box, BoxScores, score_boxes
from heedful.models.boxes import corners_from_centers
from heedful.models.encoders import ENCODER_CONFIGS, build_encoder
from heedful.models.query_head import ObjectsConfig, QueryHead
from heedful.models.set_loss import set_loss
from heedful.ops.grid import Grid

SIZE = 64
LABELS = (
    "T-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "boot",
)
Scene = tuple[Tensor, Tensor, Tensor]
"""Pixels (1, 64, 64) from 0 to 1, labels (objects,), boxes (objects, 4): centers and sizes in shares of the canvas."""


def read_idx(folder: Path, name: str) -> np.ndarray:
    """Images (n, height, width) or labels (n,) of NAME-idx?-ubyte.gz."""
    (path,) = folder.glob(f"{name}-idx?-ubyte.gz")
    content = gzip.decompress(path.read_bytes())
    sizes = [int.from_bytes(content[4 * i + 4 : 4 * i + 8], "big") for i in range(content[3])]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(sizes)


def resize(image: np.ndarray, side: int) -> np.ndarray:
    """Nearest-neighbour scaling to side × side."""
    index = np.arange(side) * len(image) // side
    return image[index][:, index]


def make_scene(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Scene:
    """Draw one scene; an item that later ones hide by more than half is not wanted."""
    canvas = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(rng.integers(0, 4)):  # distractors: scraps of items
        scrap = images[rng.integers(len(images))][8:17, 8:17] / 255 * 0.6
        y, x = rng.integers(0, SIZE - 9, 2)
        canvas[y : y + 9, x : x + 9] = np.maximum(canvas[y : y + 9, x : x + 9], scrap)
    owner = np.full((SIZE, SIZE), -1)
    found: list[tuple[int, int, int, int, int, int]] = []
    for number in range(rng.integers(1, 6)):
        row, side = rng.integers(len(images)), int(rng.integers(16, 29))
        item = resize(images[row], side)
        y, x = (int(n) for n in rng.integers(0, SIZE - side + 1, 2))
        visible = item > 25
        canvas[y : y + side, x : x + side][visible] = item[visible] / 255
        owner[y : y + side, x : x + side][visible] = number
        rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
        if len(rows):
            box = (x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1)
            found.append((int(labels[row]), int(visible.sum()), *map(int, box)))
    kept = [each for number, each in enumerate(found) if (owner == number).sum() > each[1] / 2]
    canvas = np.clip(canvas + rng.normal(0, 0.05, canvas.shape), 0, 1).astype(np.float32)
    corners = torch.tensor([each[2:] for each in kept], dtype=torch.float32).reshape(-1, 4) / SIZE
    boxes = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
    return torch.from_numpy(canvas)[None], torch.tensor([each[0] for each in kept]).long(), boxes


class Detector(nn.Module):
    """Convolutions to 8 × 8 cells, a Transformer encoder, and a decoder of object queries."""

    def __init__(self, width: int, objects: ObjectsConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((1, width // 4), (width // 4, width // 2), (width // 2, width)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            layers += [
                nn.Conv2d(after, after, 3, stride=2, padding=1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        self.stem = nn.Sequential(*layers)
        config = ENCODER_CONFIGS["transformer"](
            kind="transformer", width=width, heads=4, feed_forward=2 * width, layers=2, dropout=0.0
        )
        self.encoder = build_encoder(config, width, grid=Grid(8, 8))
        self.head = QueryHead(objects, self.encoder, len(LABELS))

    def forward(
        self, pixels: Tensor, *, return_weights: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Scores (layers, batch, queries, labels + 1 + 4) and the weights of the last layer."""
        cells = self.stem(pixels).flatten(2).transpose(1, 2)
        states = self.encoder(cells, torch.full((len(cells),), cells.shape[1]))
        output = self.head(states, return_weights=return_weights)
        return output.scores, output.weights


def train(
    detector: Detector, items: tuple[np.ndarray, np.ndarray], options: argparse.Namespace
) -> None:
    optimizer = torch.optim.AdamW(detector.parameters(), lr=options.rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.rate, options.steps, pct_start=0.05
    )
    rng, start = np.random.default_rng(options.seed), time.monotonic()
    for step in range(1, options.steps + 1):
        pixels, labels, boxes = zip(
            *(make_scene(*items, rng) for _ in range(options.batch)), strict=True
        )
        scores, _ = detector(torch.stack(pixels))
        loss = sum(set_loss(layer, labels, boxes, detector_objects(options)) for layer in scores)
        optimizer.zero_grad()
        (loss / options.batch).backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        if step % max(1, options.steps // 20) == 0:
            print(
                f"  step {step:,}, {time.monotonic() - start:.0f} s: loss {loss.item() / options.batch:.3f}"
            )


def detector_objects(options: argparse.Namespace) -> ObjectsConfig:
    return ObjectsConfig(queries=options.queries, layers=3, feed_forward=2 * options.width)


def boxes_of(labels: Tensor, boxes: Tensor, scores: Tensor | None = None) -> list[Box]:
    """Boxes in pixels, from centers and sizes in shares of the canvas."""
    corners = corners_from_centers(boxes) * SIZE
    chances = torch.ones(len(labels)) if scores is None else scores
    return [
        Box(LABELS[label], x, y, right - x, bottom - y, chance)
        for label, (x, y, right, bottom), chance in zip(
            labels.tolist(), corners.tolist(), chances.tolist(), strict=True
        )
    ]


@torch.no_grad()
def evaluate(detector: Detector, scenes: list[Scene]) -> BoxScores:
    detector.eval()
    predicted, wanted = [], []
    for start in range(0, len(scenes), 100):
        part = scenes[start : start + 100]
        last = detector(torch.stack([pixels for pixels, _, _ in part]))[0][-1]
        chances, labels = last[..., :-4].softmax(-1)[..., :-1].max(-1)
        predicted += map(boxes_of, labels, last[..., -4:], chances)
        wanted += [boxes_of(labels, boxes) for _, labels, boxes in part]
    return score_boxes(predicted, wanted, LABELS)


@torch.no_grad()
def draw(detector: Detector, scenes: list[Scene], path: Path) -> None:
    """Each scene with its boxes, and beside it where the most certain queries looked."""
    detector.eval()
    figure, axes = plt.subplots(len(scenes), 5, figsize=(10, 2.2 * len(scenes)), squeeze=False)
    for row, (pixels, _, _) in zip(axes, scenes, strict=True):
        scores, weights = detector(pixels[None], return_weights=True)
        last = scores[-1, 0]
        chances, labels = last[:, :-4].softmax(-1)[:, :-1].max(-1)
        order = chances.argsort(descending=True)
        row[0].imshow(pixels[0].numpy(), cmap="gray")
        for number, query in enumerate(order[: int((chances > 0.5).sum())]):
            (box,) = boxes_of(labels[query][None], last[query, -4:][None])
            colour = f"C{number}"
            row[0].add_patch(
                plt.Rectangle(
                    (box.left - 0.5, box.top - 0.5), box.width, box.height, fill=False, color=colour
                )
            )
            if number < 4:
                heat = weights[0, :, query].mean(0).unflatten(0, (8, 8))
                row[number + 1].imshow(pixels[0].numpy(), cmap="gray")
                row[number + 1].imshow(
                    heat.numpy(), cmap="viridis", alpha=0.6, extent=(-0.5, 63.5, 63.5, -0.5)
                )
                row[number + 1].set_title(
                    f"{box.label} {chances[query]:.2f}", color=colour, fontsize=9
                )
        for axis in row:
            axis.set_axis_off()
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("detr"))
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--scenes", type=int, default=1000, help="held-out scenes")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    items, held_out = (
        tuple(read_idx(options.folder, f"{part}-{what}") for what in ("images", "labels"))
        for part in ("train", "t10k")
    )
    torch.manual_seed(options.seed)
    detector = Detector(options.width, detector_objects(options))
    start = time.monotonic()
    train(detector, items, options)
    seconds = time.monotonic() - start
    rng = np.random.default_rng(10_000)
    scenes = [make_scene(*held_out, rng) for _ in range(options.scenes)]
    found = evaluate(detector, scenes)
    print(
        f"held-out scenes: AP {found.mean_ap:.3f}, at .50 {found.mean_ap50:.3f}, at .75 {found.mean_ap75:.3f}"
    )
    for each in found.labels:
        print(f"  {each.label}: {each.ap if each.ap is None else round(each.ap, 3)}")
    draw(detector, scenes[:6], options.out / "scenes.png")
    results = {
        "steps": options.steps, "seconds": seconds, "scenes": options.scenes, "seed": options.seed,
        "ap": found.mean_ap, "ap50": found.mean_ap50, "ap75": found.mean_ap75,
        "labels": {each.label: each.ap for each in found.labels},
    }  # fmt: skip
    (options.out / "results.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
