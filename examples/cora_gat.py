"""Sort papers by subject from their words and citations: GAT on Cora, with the settings of Veličković et al. 2018.

    python examples/cora_gat.py corpora/cora

The folder holds nodes.tsv (node, label, split, word_indices) and edges.tsv (source, target, each edge once). Training
sees the labels of `train`, stopping and the kept epoch follow `val`, and `test` is looked at once, at the end.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful import masks
from heedful.nn import GAT


class Net(nn.Module):
    """Two layers: 8 heads of 8 features, then one head a class."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.first = GAT(words, 8, heads=8, dropout=0.6)
        self.second = GAT(64, classes, concat=False, dropout=0.6)

    def forward(self, x: Tensor, edges: masks.Edges) -> Tensor:
        x = F.elu(self.first(F.dropout(x, 0.6, self.training), edges))
        return self.second(F.dropout(x, 0.6, self.training), edges)


def read(folder: Path) -> tuple[Tensor, Tensor, dict[str, Tensor], masks.Edges]:
    """Word features (each row sums to 1), labels, the nodes of each split, and edges in both directions."""
    with (folder / "nodes.tsv").open(newline="") as file:
        nodes = list(csv.DictReader(file, delimiter="\t"))
    words = [[int(word) for word in node["word_indices"].split()] for node in nodes]
    x = torch.zeros(len(nodes), 1 + max(word for row in words for word in row))
    for node, row in enumerate(words):
        x[node, row] = 1 / max(len(row), 1)
    labels = torch.tensor([int(node["label"]) for node in nodes])
    splits = {
        name: torch.tensor([i for i, node in enumerate(nodes) if node["split"] == name])
        for name in ("train", "val", "test")
    }
    with (folder / "edges.tsv").open(newline="") as file:
        pairs = [(int(e["source"]), int(e["target"])) for e in csv.DictReader(file, delimiter="\t")]
    index = torch.tensor(pairs).T
    both = torch.cat([index, index.flip(0)], 1)
    return x, labels, splits, masks.Edges(both, len(nodes), len(nodes))


def train(folder: Path, seed: int, patience: int = 100) -> tuple[float, float]:
    """Accuracy on `val` and, of the same epoch, on `test`."""
    torch.manual_seed(seed)
    x, labels, splits, edges = read(folder)
    net = Net(x.shape[1], int(labels.max()) + 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005, weight_decay=5e-4)
    best, kept, waited = (0.0, -float("inf")), net.state_dict(), 0
    while waited < patience:
        net.train()
        optimizer.zero_grad()
        F.cross_entropy(net(x, edges)[splits["train"]], labels[splits["train"]]).backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            guess = net(x, edges)[splits["val"]]
        wanted = labels[splits["val"]]
        accuracy = float((guess.argmax(1) == wanted).float().mean())
        now = (accuracy, -float(F.cross_entropy(guess, wanted)))
        waited += 1
        if now[0] >= best[0] or now[1] >= best[1]:
            waited = 0
        if now >= best:
            kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        best = (max(now[0], best[0]), max(now[1], best[1]))
    net.load_state_dict(kept)
    with torch.no_grad():
        guess = net(x, edges).argmax(1)
    val, test = (float((guess == labels)[splits[name]].float().mean()) for name in ("val", "test"))
    return val, test


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    tests = []
    for seed in range(options.seeds):
        val, test = train(options.folder, seed)
        tests.append(test)
        print(f"seed {seed}: validation {val:.1%}, test {test:.1%}", flush=True)
    print(f"test {torch.tensor(tests).mean():.1%}, mean of {len(tests)}")
