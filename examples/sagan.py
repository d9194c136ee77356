"""Does self-attention help a generator of images? A small SAGAN (Zhang et al. 2019) with and without it.

    python examples/sagan.py corpora/fashion_mnist --out sagan

The folder holds MNIST-like IDX files, gzipped: train-images, train-labels, t10k-images, t10k-labels. Both generators
have the same number of parameters: where one has self-attention, the other has a residual block. Quality is the
Fréchet distance between 128 features of generated and of training images, from a classifier trained here; the distance
of the test images is the floor. Writes samples beside their nearest training images, where the attention looked, and
results.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful.nn import SelfAttention2d
from heedful.ops.observe import Observed, observing

LATENT = 64
ADJUSTING = 100
"""Forward passes after training."""
spectral_norm = nn.utils.parametrizations.spectral_norm


def read_idx(folder: Path, name: str) -> Tensor:
    """Images (n, 1, height, width) from −1 to 1, or labels (n,), from NAME-idx?-ubyte.gz."""
    (path,) = folder.glob(f"{name}-idx?-ubyte.gz")
    content = gzip.decompress(path.read_bytes())
    axes = content[3]
    sizes = [int.from_bytes(content[4 * i + 4 : 4 * i + 8], "big") for i in range(axes)]
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(sizes)
    if axes == 1:
        return torch.from_numpy(values.astype(np.int64))
    return torch.from_numpy(values.astype(np.float32))[:, None] / 127.5 - 1


class Residual(nn.Module):
    """Takes the place of self-attention, with as many parameters: two 1×1 convolutions around a ReLU, and γ."""

    def __init__(self, channels: int, parameters: int) -> None:
        super().__init__()
        hidden = round((parameters - 1) / (2 * channels))
        self.widen = spectral_norm(nn.Conv2d(channels, hidden, 1, bias=False))
        self.narrow = spectral_norm(nn.Conv2d(hidden, channels, 1, bias=False))
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        return features + self.gamma * self.narrow(F.relu(self.widen(features)))


def extra_layer(channels: int, attention: bool) -> nn.Module:
    layer = SelfAttention2d(channels, spectral_norm=True)
    if attention:
        return layer
    return Residual(channels, sum(parameter.numel() for parameter in layer.parameters()))


class Generator(nn.Module):
    """A vector -> 7×7 -> 14×14, where the attention is -> 28×28 pixels from −1 to 1."""

    def __init__(self, width: int, attention: bool) -> None:
        super().__init__()
        self.width = width
        self.start = spectral_norm(nn.Linear(LATENT, 2 * width * 49))
        self.first = spectral_norm(nn.Conv2d(2 * width, width, 3, padding=1, bias=False))
        self.second = spectral_norm(nn.Conv2d(width, width // 2, 3, padding=1, bias=False))
        self.norms = nn.ModuleList(nn.BatchNorm2d(n) for n in (2 * width, width, width // 2))
        self.extra = extra_layer(width, attention)
        self.last = spectral_norm(nn.Conv2d(width // 2, 1, 3, padding=1))

    def forward(self, latent: Tensor) -> Tensor:
        x = self.start(latent).unflatten(1, (2 * self.width, 7, 7))
        x = F.interpolate(F.relu(self.norms[0](x)), scale_factor=2)
        x = self.extra(F.relu(self.norms[1](self.first(x))))
        x = F.interpolate(x, scale_factor=2)
        return self.last(F.relu(self.norms[2](self.second(x)))).tanh()


class Discriminator(nn.Module):
    """28×28 pixels -> 14×14, where the attention is -> 7×7 -> a score: high for real images."""

    def __init__(self, width: int, attention: bool) -> None:
        super().__init__()
        self.first = spectral_norm(nn.Conv2d(1, width, 4, stride=2, padding=1))
        self.extra = extra_layer(width, attention)
        self.second = spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1))
        self.third = spectral_norm(nn.Conv2d(2 * width, 2 * width, 3, padding=1))
        self.last = spectral_norm(nn.Linear(2 * width, 1))

    def forward(self, images: Tensor) -> Tensor:
        x = self.extra(F.leaky_relu(self.first(images), 0.1))
        x = F.leaky_relu(self.second(x), 0.1)
        x = F.leaky_relu(self.third(x), 0.1)
        return self.last(x.sum((2, 3)))[:, 0]


def train_gan(images: Tensor, attention: bool, seed: int, options: argparse.Namespace) -> Generator:
    """Hinge losses and two learning rates; returns the moving average of the generator's weights."""
    torch.manual_seed(seed)
    generator = Generator(options.width, attention)
    discriminator = Discriminator(options.width, attention)
    averaged = torch.optim.swa_utils.AveragedModel(generator, multi_avg_fn=move_average)
    slow = torch.optim.Adam(generator.parameters(), lr=options.rates[0], betas=(0.0, 0.9))
    fast = torch.optim.Adam(discriminator.parameters(), lr=options.rates[1], betas=(0.0, 0.9))
    start = time.monotonic()
    for step in range(1, options.steps + 1):
        real = images[torch.randint(len(images), (options.batch,))]
        with torch.no_grad():
            fake = generator(torch.randn(options.batch, LATENT))
        loss = F.relu(1 - discriminator(real)).mean() + F.relu(1 + discriminator(fake)).mean()
        fast.zero_grad()
        loss.backward()
        fast.step()
        adversarial = -discriminator(generator(torch.randn(options.batch, LATENT))).mean()
        slow.zero_grad()
        adversarial.backward()
        slow.step()
        averaged.update_parameters(generator)
        if step % max(1, options.steps // 10) == 0:
            seconds = time.monotonic() - start
            print(
                f"  step {step:,}, {seconds:.0f} s: losses {loss.item():.3f} and {adversarial.item():.3f}"
            )
    # Spectral norms and batch norms have to fit the averaged weights: both are adjusted by forward passes.
    with torch.no_grad():
        for _ in range(ADJUSTING):
            averaged.module.train()(torch.randn(options.batch, LATENT))
    return averaged.module.eval()


def move_average(averaged: list[Tensor], current: list[Tensor], count: Tensor) -> None:
    """The average of about the last 1,000 steps; at first of the last tenth, so that it forgets the initial weights."""
    torch._foreach_lerp_(averaged, current, max(0.001, 10 / (int(count) + 10)))


class Classifier(nn.Module):
    """Two convolutions and 128 features, whose distances are compared."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(64 * 49, 128), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Linear(128, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.dropout(self.body(images), 0.3, self.training))


def train_classifier(images: Tensor, labels: Tensor, epochs: int) -> Classifier:
    torch.manual_seed(0)
    classifier = Classifier(int(labels.max()) + 1)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(128):
            optimizer.zero_grad()
            F.cross_entropy(classifier(images[rows]), labels[rows]).backward()
            optimizer.step()
    return classifier.eval()


@torch.no_grad()
def features_of(classifier: Classifier, images: Tensor) -> Tensor:
    """The 128 features, in float64; images are rounded to 256 levels, as files are."""
    rounded = ((images + 1) * 127.5).round() / 127.5 - 1
    return torch.cat([classifier.body(part) for part in rounded.split(500)]).double()


def frechet_distance(one: Tensor, other: Tensor) -> float:
    r"""‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½) of features (n, d) (Heusel et al. 2017, https://arxiv.org/abs/1706.08500)."""
    covariances = [torch.cov(features.t()) for features in (one, other)]
    values, vectors = torch.linalg.eigh(covariances[0])
    root = vectors * values.clamp(min=0).sqrt() @ vectors.t()
    product = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp(min=0)
    mean = (one.mean(0) - other.mean(0)).square().sum()
    traces = sum(torch.trace(each) for each in covariances)
    return float(mean + traces - 2 * product.sqrt().sum())


@torch.no_grad()
def generate(generator: Generator, count: int, seed: int) -> Tensor:
    noise = torch.Generator().manual_seed(seed)
    parts = torch.randn(count, LATENT, generator=noise).split(500)
    return torch.cat([generator(part) for part in parts])


def draw_samples(samples: Tensor, images: Tensor, path: Path) -> None:
    """Samples above, and below each the training image of the smallest squared distance."""
    nearest = images[torch.cdist(samples.flatten(1), images.flatten(1)).argmin(1)]
    rows = torch.cat([samples, nearest]).unflatten(0, (2, -1))
    picture = rows[:, :, 0].permute(0, 2, 1, 3).flatten(2).flatten(0, 1)
    plt.imsave(path, picture.numpy(), cmap="gray", vmin=-1, vmax=1)


@torch.no_grad()
def draw_attention(generator: Generator, path: Path, count: int = 4) -> None:
    """Where four pixels of each sample looked: the weights of the generator's attention, at 14×14."""
    seen: list[Observed] = []
    noise = torch.randn(count, LATENT, generator=torch.Generator().manual_seed(0))
    with observing(seen.append):
        samples = generator(noise)
    places = [(3, 7), (7, 4), (7, 10), (11, 7)]
    figure, axes = plt.subplots(
        count, len(places) + 1, figsize=(1.5 * len(places) + 1.5, 1.5 * count)
    )
    for row, (sample, weights) in enumerate(zip(samples, seen[0].weights, strict=True)):
        axes[row, 0].imshow(sample[0].numpy(), cmap="gray")
        for column, (y, x) in enumerate(places, start=1):
            axes[row, column].imshow(
                weights[y * 14 + x].unflatten(0, (14, 14)).sqrt().numpy(), cmap="viridis"
            )
            axes[row, column].plot(x, y, "r+")
    for axis in axes.flat:
        axis.set_axis_off()
    figure.suptitle("sample, and √weight of what the pixels at + looked at")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("sagan"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument(
        "--rates", type=float, nargs=2, default=(1e-4, 4e-4), help="generator, discriminator"
    )
    parser.add_argument(
        "--samples", type=int, default=10_000, help="fewer than 10,000 make the distance larger"
    )
    parser.add_argument("--classifier-epochs", type=int, default=3)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train, test = (read_idx(options.folder, f"{part}-images") for part in ("train", "t10k"))
    classifier = train_classifier(
        train, read_idx(options.folder, "train-labels"), options.classifier_epochs
    )
    known = features_of(classifier, train)
    floor = frechet_distance(known, features_of(classifier, test))
    print(f"Fréchet distance of {len(test):,} test images: {floor:.2f}")
    results = {"floor": floor, "steps": options.steps, "samples": options.samples, "runs": []}
    for seed in range(options.seeds):
        for attention in (True, False):
            name = "attention" if attention else "residual"
            start = time.monotonic()
            generator = train_gan(train, attention, seed, options)
            samples = generate(generator, options.samples, seed)
            run = {
                "model": name,
                "seed": seed,
                "distance": frechet_distance(known, features_of(classifier, samples)),
                "gamma": float(generator.extra.gamma.detach()),
                "parameters": sum(each.numel() for each in generator.parameters()),
                "seconds": time.monotonic() - start,
            }
            results["runs"].append(run)
            print(
                f"{name}, seed {seed}: {run['distance']:.2f}, γ {run['gamma']:.3f}, {run['seconds']:.0f} s"
            )
            draw_samples(samples[:16], train, options.out / f"{name}-{seed}.png")
            if attention:
                draw_attention(generator, options.out / f"looked-at-{seed}.png")
            (options.out / "results.json").write_text(json.dumps(results, indent=1))
    for name in ("attention", "residual"):
        distances = [run["distance"] for run in results["runs"] if run["model"] == name]
        spread = f" ± {statistics.stdev(distances):.2f}" if len(distances) > 1 else ""
        print(f"{name}: {statistics.fmean(distances):.2f}{spread}; floor {floor:.2f}")


if __name__ == "__main__":
    main()
