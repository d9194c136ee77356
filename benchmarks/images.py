"""`python -m benchmarks.images DIR`: image classifiers on Fashion-MNIST, or on any folder of images in parts.

Each model is chosen on a tenth of the training images, which is cut off them; the test part is read once, when all of
its trainings have ended. `--speed` compares a Vision Transformer with the same model of `torch.nn.TransformerEncoder`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import heedful
from heedful.models.encoders.attention import TransformerEncoderConfig, TransformerStates
from heedful.ops.grid import Grid
from heedful.tasks.images import CLASSIFY, ClassifyImagesConfig

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "images.json"

AUGMENTATION = {"flip": True, "shift": 2, "erase": 0.25}
TRAINING = {"batch_tokens": 6272, "learning_rate": 2e-3, "average_epochs": 3, "threads": 1}
MODELS: dict[str, dict[str, Any]] = {
    "cnn": {
        "inputs": {"stem": "convolution", "width": 64},
        "encoder": {"kind": "convolution", "hidden": 128, "layers": 3, "dropout": 0.2},
    },
    "cnn+attention": {
        "inputs": {"stem": "convolution", "width": 64},
        "encoder": {"kind": "convolution+attention", "hidden": 128, "layers": 2, "dropout": 0.2},
    },
    "hybrid": {
        "inputs": {"stem": "convolution", "width": 64},
        "encoder": {
            "kind": "transformer", "width": 128, "feed_forward": 256, "layers": 3,
            "activation": "gelu", "dropout": 0.1, "positions": "learned",
        },
    },
    "vit": {
        "encoder": {
            "kind": "transformer", "width": 96, "feed_forward": 192, "layers": 6,
            "activation": "gelu", "dropout": 0.1, "positions": "learned",
        },
    },
}  # fmt: skip
"""Name on the command line -> settings, beside those that all share."""


def read(folder: Path, examples: int) -> tuple[Any, Any, Any]:
    """Return training, validation and test images; of the training at most `examples`, evenly spread."""
    data = ClassifyImagesConfig.model_validate({"data": {"train": [str(folder)]}}).data
    train, valid = CLASSIFY.reader.read_training(data)
    if examples and examples < len(train):
        train = train.take([row * len(train) // examples for row in range(examples)])
    return train, valid, CLASSIFY.reader.read([str(folder)], data, "test")


def measure(
    name: str, folder: Path, out: Path, *, examples: int, epochs: int, seeds: int
) -> dict[str, Any]:
    """Train a model with several seeds and return what it came to."""
    train, valid, test = read(folder, examples)
    told: dict[str, Any] = {
        "epochs": epochs,
        "examples": len(train),
        "valid": [],
        "test": [],
        "minutes": [],
    }
    models = []
    for seed in range(seeds):
        start = time.monotonic()
        model = heedful.train(
            "classify-images", train=train, valid=valid, out=out / f"{name}-{seed}", overwrite=True,
            augmentation=AUGMENTATION, training={**TRAINING, "epochs": epochs, "seed": seed},
            **MODELS[name],
        )  # fmt: skip
        models.append(model)
        told["minutes"].append(round((time.monotonic() - start) / 60, 1))
        told["valid"].append(model.evaluate(valid).accuracy)
        print(f"{name}, seed {seed}: validation {told['valid'][-1]:.4f}", flush=True)
    told["parameters"] = sum(each.numel() for each in models[0].predictor.model.parameters())
    told["test"] = [model.evaluate(test).accuracy for model in models]
    print(f"{name}: test {statistics.fmean(told['test']):.4f} {told['test']}", flush=True)
    return told


class TorchTransformer(nn.Module):
    """The encoder of a Vision Transformer of PyTorch's own modules, with the weights of one of ours."""

    def __init__(self, ours: TransformerStates):
        super().__init__()
        config = ours.config
        assert isinstance(config, TransformerEncoderConfig)
        self.widen, self.positions = ours.widen, ours.positions
        layer = nn.TransformerEncoderLayer(
            config.width, config.heads, config.feed_forward, config.dropout, config.activation,
            batch_first=True, norm_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(
            layer, config.layers, ours.norm, enable_nested_tensor=False
        )
        for own, theirs in zip(ours.layers, self.layers.layers, strict=True):
            theirs.load_state_dict(heedful.nn.state_to_torch(own.state_dict()))

    def forward(self, inputs: Tensor) -> Tensor:
        output: Tensor = self.layers(self.positions(self.widen(inputs)))
        return output


def compare_speed(batch: int, repeats: int) -> dict[str, float]:
    """Return the median processor seconds that a batch takes in each model on one core, run in turns."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = TransformerEncoderConfig(**{**MODELS["vit"]["encoder"], "dropout": 0.0})
    ours = TransformerStates(config, 16, Grid(7, 7)).eval()
    theirs = TorchTransformer(ours).eval()
    inputs, lengths = torch.randn(batch, 49, 16), torch.full((batch,), 49)
    times: dict[str, list[float]] = {"heedful": [], "torch": []}
    with torch.inference_mode():
        torch.testing.assert_close(
            ours(inputs, lengths).values, theirs(inputs), rtol=1e-4, atol=1e-4
        )
        for _ in range(repeats):
            for name, run in (
                ("heedful", lambda: ours(inputs, lengths)),
                ("torch", lambda: theirs(inputs)),
            ):
                start = time.thread_time()
                run()
                times[name].append(time.thread_time() - start)
    return {name: statistics.median(each) for name, each in times.items()}


def main() -> None:
    """Measure the models that are named, or all, and add them to benchmarks/results/images.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.images", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR", help="IDX files or folders, in parts")
    parser.add_argument(
        "names", nargs="*", metavar="MODEL", help=f"{', '.join(MODELS)}; all if none"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/images"), help="where the runs go")
    parser.add_argument("--examples", type=int, default=0, help="training images; 0: all")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--speed", action="store_true", help="only the speed of a ViT")
    options = parser.parse_args()
    told = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    if options.speed:
        for batch in (1, 32, 128):
            told[f"speed, batch {batch}"] = compare_speed(batch, max(20, 1000 // batch))
    for name in [] if options.speed else options.names or list(MODELS):
        if name not in MODELS:
            parser.error(f"unknown model {name!r}; the models are {', '.join(MODELS)}")
        told[name] = measure(
            name, options.folder, options.out,
            examples=options.examples, epochs=options.epochs, seeds=options.seeds,
        )  # fmt: skip
    RESULTS.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
