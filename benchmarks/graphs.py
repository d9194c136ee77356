"""Nodes of graphs: accuracy on Cora, an epoch beside PyTorch Geometric's, and graphs of millions of edges.

    python -m benchmarks.graphs DIR [accuracy speed links] [--seeds N] [--epochs N] [--set SETTING...]
    python -m benchmarks.graphs large --edges 10000000 --neighbours 10 5
    python -m benchmarks.graphs tables --edges 10000000 --neighbours 10 5

DIR holds nodes.tsv (node, label, split, word_indices) and edges.tsv (source, target, each edge once): Cora with the
public split of 140, 500 and 1,000 nodes. "accuracy" trains gat and gatv2 with their default settings, once a seed; the
epoch is chosen on the validation nodes, and the test nodes are looked at once, at its end. "speed" alternates epochs of
both libraries: a step on the training nodes and the accuracy on the validation nodes. "links" ranks a tenth of the
citations, held out, among 100 papers each, once a seed, which also divides them. "large" trains on a graph that it
makes up, and reports the memory at its peak; "tables" writes such a graph as CSV first, and trains on the files, as a
person would, in a process of its own. Nothing is written but into a temporary folder.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import heedful
from heedful.bench.machine import describe
from heedful.config import build
from heedful.data.graphs.graph import Graph, NumberedIds
from heedful.data.graphs.nodes import NodeTable
from heedful.tasks.nodes import CLASSIFY, ClassifyNodesConfig

PARTS: Final = ("accuracy", "speed", "links")
ENCODERS: Final = ("gat", "gatv2")


def spread(values: Sequence[float], scale: float = 100.0) -> str:
    """Return mean ± standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{scale * statistics.mean(values):.1f} ± {scale * deviation:.1f}"


def files(folder: Path) -> dict[str, str]:
    """Return the tables of a folder, as arguments of `heedful.train`."""
    return {"train": str(folder / "nodes.tsv"), "edges": str(folder / "edges.tsv")}


def measure_accuracy(folder: Path, seeds: int, epochs: int, encoders: Sequence[str]) -> None:
    """Train each encoder with each seed and print the accuracy on validation and test nodes."""
    for encoder in encoders:
        valid, test = [], []
        with tempfile.TemporaryDirectory() as out:
            for seed in range(seeds):
                run = Path(out, str(seed))
                training = {"epochs": epochs, "seed": seed, "threads": torch.get_num_threads()}
                model = heedful.train(
                    "classify-nodes", **files(folder), out=run, encoder=encoder, training=training
                )
                finished = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
                valid.append(finished["scores"]["accuracy"])
                data = model.predictor.task.reader.read_test(None, model.config.data)
                test.append(model.predictor.evaluate(data).accuracy)
                say(
                    f"{encoder} seed {seed}: validation {valid[-1]:.1%}, test {test[-1]:.1%}, {finished['chosen']}"
                )
        say(f"{encoder}: validation {spread(valid)}, test {spread(test)} % ({seeds} seeds)")


def measure_links(folder: Path, seeds: int, encoders: Sequence[str]) -> None:
    """Train each encoder with each seed and print how it ranks the citations of the test."""
    given = files(folder)
    for encoder in encoders:
        found = []
        with tempfile.TemporaryDirectory() as out:
            for seed in range(seeds):
                model = heedful.train(
                    "links",
                    train=given["edges"],
                    nodes=given["train"],
                    out=Path(out, str(seed)),
                    encoder=encoder,
                    data={"valid_seed": seed, "features": ["word_indices"]},
                    training={"seed": seed, "threads": torch.get_num_threads()},
                )
                data = model.predictor.task.reader.read_test(None, model.config.data)
                found.append(model.predictor.evaluate(data))
                say(
                    f"{encoder} seed {seed}: MRR {found[-1].mrr:.3f}, popularity {found[-1].popularity_mrr:.3f}"
                )
        figures = (
            f"{name} {spread([getattr(each, name) for each in found])} %"
            for name in ("mrr", "hits_1", "hits_10", "popularity_mrr", "popularity_hits_10")
        )
        say(f"{encoder}, {seeds} seeds: {', '.join(figures)}")


def our_epochs(folder: Path, encoder: str) -> Iterator[float]:
    """Train, and yield the accuracy on the validation nodes after each epoch."""
    given = files(folder)
    data = {"train": [given["train"]], "edges": [given["edges"]]}
    config = build(ClassifyNodesConfig, {"data": data, "encoder": {"kind": encoder}})
    train, valid = CLASSIFY.reader.read_training(config.data)
    torch.manual_seed(0)
    predictor = CLASSIFY.learn(config, train)
    loss = CLASSIFY.loss(predictor)
    batches = CLASSIFY.batches(predictor, train, training=True)
    (asked,) = CLASSIFY.batches(predictor, valid, training=False).epoch(0)
    options = config.training
    optimizer = torch.optim.Adam(
        loss.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, fused=True
    )
    epoch = 0
    while True:
        loss.train()
        for batch in batches.epoch(epoch := epoch + 1):
            optimizer.zero_grad()
            (loss(batch) / len(batch.targets)).backward()
            optimizer.step()
        loss.eval()
        with torch.no_grad():
            found = predictor.model(asked.batch).argmax(-1)
        yield float((found == asked.targets[:, 0]).float().mean())


class Theirs(nn.Module):
    """The example `gat` of PyTorch Geometric: two layers, 8 heads of 8 features, then one."""

    def __init__(self, layer: Callable[..., nn.Module], words: int, classes: int):
        super().__init__()
        self.first = layer(words, 8, heads=8, dropout=0.6)
        self.second = layer(64, classes, heads=1, concat=False, dropout=0.6)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        x = F.elu(self.first(F.dropout(x, 0.6, self.training), edges))
        output: Tensor = self.second(F.dropout(x, 0.6, self.training), edges)
        return output


def their_epochs(folder: Path, encoder: str) -> Iterator[float]:
    """The same with layers of PyTorch Geometric, on the whole graph."""
    from torch_geometric import nn as geometric

    given = files(folder)
    config = build(
        ClassifyNodesConfig, {"data": {"train": [given["train"]], "edges": [given["edges"]]}}
    )
    whole = CLASSIFY.reader.read([given["train"]], config.data, "train")
    graph = whole.graph
    predictor = CLASSIFY.learn(config, whole)
    entries = predictor.input.encode(whole.inputs[:1])[0].graph.entries
    x = torch.zeros(len(graph), entries.width)
    owners = np.repeat(np.arange(len(graph)), np.diff(entries.start))
    x[owners, entries.columns] = torch.from_numpy(entries.values)
    labels = torch.tensor(predictor.answer.targets(whole))[:, 0].long()
    parts = {
        name: torch.from_numpy(whole.rows[np.array([part == name for part in whole.parts])])
        for name in ("train", "valid")
    }
    edges = torch.from_numpy(np.ascontiguousarray(graph.edges))
    torch.manual_seed(0)
    layer = geometric.GATConv if encoder == "gat" else geometric.GATv2Conv
    net = Theirs(layer, x.shape[1], int(labels.max()) + 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.005, weight_decay=5e-4, fused=True)
    while True:
        net.train()
        optimizer.zero_grad()
        F.cross_entropy(net(x, edges)[parts["train"]], labels[parts["train"]]).backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            found = net(x, edges)[parts["valid"]].argmax(-1)
        yield float((found == labels[parts["valid"]]).float().mean())


def measure_speed(folder: Path, epochs: int, encoders: Sequence[str]) -> None:
    """Print the median time of an epoch of both libraries, which take turns."""
    for encoder in encoders:
        runs = {"heedful": our_epochs(folder, encoder), "PyG": their_epochs(folder, encoder)}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for epoch in range(epochs + 5):
            for name, run in runs.items():
                began = time.perf_counter()
                next(run)
                if epoch >= 5:
                    seconds[name].append(time.perf_counter() - began)
        ours, theirs = (statistics.median(seconds[name]) for name in runs)
        say(
            f"{encoder}: an epoch {1000 * ours:.1f} ms, PyTorch Geometric {1000 * theirs:.1f} ms: "
            f"{theirs / ours:.1f} times as fast ({epochs} epochs, medians)"
        )


def made_up(edges: int, folder: Path) -> NodeTable:
    """Return a graph of ten edges a node, whose labels follow from features of the neighbours, in mapped files."""
    count, classes = max(edges // 10, 100), 5
    rng = np.random.default_rng(0)
    index = np.lib.format.open_memmap(folder / "edges.npy", "w+", np.int64, (2, edges))
    features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, (count, 16))
    label = rng.integers(classes, size=count)
    by_label = np.argsort(label, kind="stable")
    first = np.searchsorted(label[by_label], np.arange(classes + 1))
    for begin in range(0, edges, 2**20):
        size = min(2**20, edges - begin)
        target = rng.integers(count, size=size)
        own = label[target]
        near = by_label[
            (first[own] + rng.random(size) * (first[own + 1] - first[own])).astype(np.int64)
        ]
        index[1, begin : begin + size] = target
        index[0, begin : begin + size] = np.where(
            rng.random(size) < 0.6, near, rng.integers(count, size=size)
        )
    features[:] = rng.standard_normal((count, 16), np.float32)
    features[np.arange(count), label] += 1.0
    graph = Graph(NumberedIds(count), {"x": features}, index, name="made up")
    rows = rng.choice(count, size=min(count // 10, 100_000), replace=False).astype(np.int64)
    answers = [(str(each),) for each in label[rows].tolist()]
    cut = len(rows) * 9 // 10
    return NodeTable(
        graph, rows, answers, "made up", ["train"] * cut + ["valid"] * (len(rows) - cut)
    )


def settings_of(neighbours: Sequence[int], batch: int) -> dict[str, Any]:
    """Return what a graph of millions of edges is trained with."""
    return {
        "training": {"epochs": 1, "batch_tokens": batch, "threads": torch.get_num_threads(), "average_epochs": 1},
        "prediction": {"batch_tokens": batch},
        "encoder": {"kind": "gat", "dropout": 0.1, "attention_dropout": 0.0},
        "data": {"neighbours": list(neighbours)},
    }  # fmt: skip


def report_training(run: Path, seconds: float) -> None:
    """Print speed and accuracy of a run, how long everything took, and the memory of this process at its peak."""
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained = next(each for each in events if each["event"] == "validated")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    say(
        f"an epoch of {trained['tokens']:,} nodes read in {trained['training_seconds']:.1f} s "
        f"({trained['tokens'] / trained['training_seconds']:,.0f} nodes/s, {trained['step']} steps), everything "
        f"{seconds:.0f} s; validation accuracy {trained['scores']['accuracy']:.1%}; peak {peak:.2f} GiB"
    )


def measure_large(edges: int, neighbours: Sequence[int], batch: int) -> None:
    """Train an epoch on a made-up graph, and print speed, accuracy and the memory at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        table = made_up(edges, Path(folder))
        say(
            f"{edges:,} edges, {len(table.graph):,} nodes, made in {time.monotonic() - began:.0f} s"
        )
        began = time.monotonic()
        run = Path(folder, "run")
        heedful.train("classify-nodes", train=table, out=run, **settings_of(neighbours, batch))
        report_training(run, time.monotonic() - began)


def write_tables(edges: int, folder: Path) -> None:
    """Write the made-up graph as nodes.csv, with eight features, and edges.csv."""
    table = made_up(edges, folder)
    graph, features = table.graph, np.asarray(table.graph.columns["x"])
    answers = dict(
        zip(table.rows.tolist(), zip(table.labelled, table.parts, strict=True), strict=True)
    )
    with (folder / "nodes.csv").open("w", encoding="utf-8") as file:
        file.write(f"id,{','.join(f'x{n}' for n in range(8))},label,split\n")
        for node in range(len(graph)):
            (label,), part = answers.get(node, (("",), "none"))
            numbers = ",".join(f"{each:.3f}" for each in features[node, :8].tolist())
            file.write(f"u{node},{numbers},{label},{part}\n")
    with (folder / "edges.csv").open("w", encoding="utf-8") as file:
        file.write("source,target\n")
        for begin in range(0, edges, 2**18):
            pairs = graph.edges[:, begin : begin + 2**18].T.tolist()
            file.writelines(f"u{source},u{target}\n" for source, target in pairs)


def measure_tables(edges: int, neighbours: Sequence[int], batch: int) -> None:
    """Write a made-up graph as CSV, and train on it in a process of its own, whose memory is measured."""
    with tempfile.TemporaryDirectory() as folder:
        write_tables(edges, Path(folder))
        size = sum(path.stat().st_size for path in Path(folder).glob("*.csv")) / 2**20
        say(f"{edges:,} edges, {max(edges // 10, 100):,} nodes, {size:,.0f} MiB of CSV")
        arguments = [folder, *map(str, (batch, *neighbours))]
        command = [
            sys.executable,
            "-c",
            f"import benchmarks.graphs as b; b.train_tables({arguments!r})",
        ]
        subprocess.run(command, check=True)


def train_tables(arguments: Sequence[str]) -> None:
    """Train an epoch on the tables of a folder."""
    folder, batch, *neighbours = Path(arguments[0]), *map(int, arguments[1:])
    torch.set_num_threads(1)
    settings = settings_of(neighbours, batch)
    settings["data"]["directed"] = True
    began = time.monotonic()
    table = CLASSIFY.reader.read([str(folder / "nodes.csv")], build(ClassifyNodesConfig, {
        "data": {"edges": [str(folder / "edges.csv")], "directed": True}}).data, "train")  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    say(f"read in {time.monotonic() - began:.0f} s, peak {peak:.2f} GiB")
    run = folder / "run"
    heedful.train(
        "classify-nodes", train=table.part("train"), valid=table.part("valid"), out=run, **settings
    )
    report_training(run, time.monotonic() - began)


LARGE: Final = {"large": measure_large, "tables": measure_tables}


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.graphs", description=__doc__.splitlines()[0]
    )
    parser.add_argument("folder", help="the folder of Cora, or `large` or `tables`")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seeds", type=int, default=10, metavar="N")
    parser.add_argument("--epochs", type=int, default=1000, metavar="N")
    parser.add_argument("--encoders", nargs="+", default=ENCODERS, metavar="NAME")
    parser.add_argument("--edges", type=int, default=10_000_000, metavar="N")
    parser.add_argument("--neighbours", type=int, nargs="*", default=[10, 5], metavar="N")
    parser.add_argument("--batch", type=int, default=2000, metavar="N")
    options = parser.parse_args()
    torch.set_num_threads(1)
    say(f"{describe()['processor']}, 1 thread")
    if options.folder in LARGE:
        LARGE[options.folder](options.edges, options.neighbours, options.batch)
        return
    parts = options.parts or ("speed", "accuracy")
    if "speed" in parts:
        measure_speed(Path(options.folder), 50, options.encoders)
    if "links" in parts:
        measure_links(Path(options.folder), options.seeds, options.encoders)
    if "accuracy" in parts:
        measure_accuracy(Path(options.folder), options.seeds, options.epochs, options.encoders)


if __name__ == "__main__":
    main()
