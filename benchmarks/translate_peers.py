"""`python -m benchmarks.translate_peers SRC TGT`: target tokens a second of training, beside other programs.

SRC and TGT are two line-aligned files (`.gz` too), such as those of Multi30k. Their first pairs are divided into
sub-words of one vocabulary of 10,000, which are written as words of letters, so that each program trains on the same
tokens: a Transformer-Tiny (4 + 4 layers of 128 features, 4 heads, 256 hidden ones, one embedding) in batches of 4,096
tokens, in float32. Each other program is named by the Python of an environment of its own:

    --joeynmt PYTHON   pip install torch==2.13.0 joeynmt==2.3.0 importlib_metadata
    --eole PYTHON      pip install torch==2.13.0 eole==0.6.4 six aiohttp
    --marian PYTHON    pip install pymarian==1.12.42 portalocker tqdm requests huggingface-hub

A program is started twice in a round, for a short and a long training; its speed is the tokens of the difference
divided by the time of the difference, so that its start and end do not count. With one thread the time is the
processor's. The programs take turns. `malloc` runs have glibc keep freed memory, which Heedful asks for itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from benchmarks.decoding import word
from benchmarks.translate import (
    HEADS,
    HIDDEN,
    LAYERS,
    MODEL,
    OWN,
    SMOOTHING,
    WIDTH,
    pairs,
    parse_with_files,
)

VOCABULARY, DROPOUT, RATE, BATCH_TOKENS = 10_000, 0.3, 1e-3, 4096
EPOCHS = 1, 3
"""Of the short and the long training."""
VALID = 8
"""Pairs for validation, which the programs want."""
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296"}
CPU_ONLY = {"CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Corpus:
    """Files of tokens, in a folder: train.src, train.tgt, valid.src, valid.tgt and words.txt."""

    folder: Path
    tokens: int
    """Target tokens of an epoch, the end of each sentence included."""
    words: int

    def file(self, name: str) -> str:
        return str(self.folder / name)


@dataclass(frozen=True)
class Training:
    """A training that a program is asked for."""

    corpus: Corpus
    folder: Path
    epochs: int
    threads: int
    python: str

    @property
    def steps(self) -> int:
        """About as many steps as the epochs have, for a program that counts nothing else."""
        return self.epochs * -(-self.corpus.tokens // BATCH_TOKENS) * 2


def prepare(options: argparse.Namespace, folder: Path) -> Corpus:
    """Write the tokens of the first pairs."""
    from heedful.data.vocabulary import Vocabulary

    read = pairs(options)
    texts = read.source, read.target
    vocabulary = Vocabulary.train(
        [line for side in texts for line in side], size=VOCABULARY, lowercase=True
    )
    count = 0
    for name, side in zip(("src", "tgt"), texts, strict=True):
        ids = vocabulary.encode_ids(side)
        lines = [" ".join(map(word, line)) for line in ids]
        (folder / f"train.{name}").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / f"valid.{name}").write_text("\n".join(lines[:VALID]) + "\n", encoding="utf-8")
        count = sum(len(line) + 1 for line in ids)
    words = [word(number) for number in range(Vocabulary.reserved_count, len(vocabulary))]
    (folder / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    return Corpus(folder, count, len(words))


def heedful_command(training: Training) -> list[str]:
    """Return the command of Heedful."""
    corpus = training.corpus
    settings: dict[str, dict[str, Any]] = {
        "vocabulary": {"kind": "word", "size": VOCABULARY + 100, "min_frequency": 1, "shared": True},
        "model": {**MODEL, "dropout": DROPOUT},
        "training": {
            "epochs": training.epochs, "batch_tokens": BATCH_TOKENS, "threads": training.threads,
            "learning_rate": RATE, "schedule": "constant", "clip_norm": 0, "label_smoothing": SMOOTHING,
            "patience": 0, "average_epochs": 1, "metric": "loss",
        },
    }  # fmt: skip
    chosen = [
        each
        for section, options in settings.items()
        for name, value in options.items()
        for each in ("--set", f"{section}.{name}={json.dumps(value)}")
    ]
    return [
        training.python, "-m", "heedful", "train", "translate", "--out", str(training.folder / "run"),
        "--train", corpus.file("train.src"), corpus.file("train.tgt"),
        "--valid", corpus.file("valid.src"), corpus.file("valid.tgt"), *chosen,
    ]  # fmt: skip


def joeynmt_command(training: Training) -> list[str]:
    """Return the command of JoeyNMT."""
    corpus, path = training.corpus, training.folder / "joeynmt.yaml"
    side = {
        "level": "word", "lowercase": False, "max_length": 250, "voc_min_freq": 1,
        "voc_file": str(corpus.folder / "joeynmt.vocab"), "tokenizer_type": "none",
    }  # fmt: skip
    reserved = ["<unk>", "<pad>", "<s>", "</s>"]
    words = Path(corpus.file("words.txt")).read_text(encoding="utf-8")
    (corpus.folder / "joeynmt.vocab").write_text(
        "\n".join(reserved) + "\n" + words, encoding="utf-8"
    )
    part = {
        "type": "transformer", "num_layers": LAYERS, "num_heads": HEADS, "hidden_size": WIDTH, "ff_size": HIDDEN,
        "dropout": DROPOUT, "layer_norm": "pre",
        "embeddings": {"embedding_dim": WIDTH, "scale": True, "dropout": DROPOUT},
    }  # fmt: skip
    settings = {
        "name": "tiny", "joeynmt_version": "2.3.0", "model_dir": str(training.folder / "joeynmt"),
        "use_cuda": False, "random_seed": 1,
        "data": {
            "train": corpus.file("train"), "dev": corpus.file("valid"), "dataset_type": "plain",
            "src": {"lang": "src", **side}, "trg": {"lang": "tgt", **side},
        },
        "testing": {"beam_size": 1, "batch_size": 64, "batch_type": "sentence", "eval_metrics": []},
        "training": {
            "optimizer": "adam", "learning_rate": RATE, "scheduling": "warmupinversesquareroot",
            "learning_rate_warmup": 100, "label_smoothing": SMOOTHING,
            "batch_size": BATCH_TOKENS, "batch_type": "token", "epochs": training.epochs, "validation_freq": 1_000_000,
            "logging_freq": 1000, "shuffle": True, "num_workers": 0, "overwrite": True, "normalization": "tokens",
            "early_stopping_metric": "loss", "loss": "crossentropy",
        },
        "model": {
            "initializer": "xavier_uniform", "tied_embeddings": True, "tied_softmax": True, "encoder": part,
            "decoder": part,
        },
    }  # fmt: skip
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")  # JSON is YAML
    limit = f"import torch; torch.set_num_threads({training.threads}); "
    main = "import sys; from joeynmt.__main__ import main; sys.argv[1:] = sys.argv[1:]; main()"
    return [training.python, "-c", limit + main, "train", str(path), "--skip-test"]


def eole_command(training: Training) -> list[str]:
    """Return the command of Eole, which counts steps."""
    corpus, path = training.corpus, training.folder / "eole.yaml"
    settings = {
        "seed": 1, "share_vocab": True, "src_vocab": corpus.file("words.txt"), "tgt_vocab": corpus.file("words.txt"),
        "src_vocab_size": VOCABULARY + 100, "tgt_vocab_size": VOCABULARY + 100, "overwrite": True, "report_every": 1,
        "transforms": [], "n_sample": 0,
        "data": {
            "corpus_1": {
                "path_src": corpus.file("train.src"), "path_tgt": corpus.file("train.tgt"), "transforms": [],
                "weight": 1,
            },
            "valid": {"path_src": corpus.file("valid.src"), "path_tgt": corpus.file("valid.tgt"), "transforms": []},
        },
        "training": {
            "model_path": str(training.folder / "eole"), "train_steps": training.steps, "valid_steps": 1_000_000,
            "save_checkpoint_steps": 1_000_000, "batch_type": "tokens", "batch_size": BATCH_TOKENS,
            "valid_batch_size": 256, "accum_count": [1], "bucket_size": 4096, "num_workers": 0, "optim": "adam",
            "learning_rate": RATE, "decay_method": "none", "label_smoothing": SMOOTHING, "max_grad_norm": 0,
            "dropout": [DROPOUT], "attention_dropout": [0.0], "dropout_steps": [0], "normalization": "tokens",
            "compute_dtype": "fp32", "world_size": 0, "gpu_ranks": [],
        },
        "model": {
            "architecture": "transformer", "hidden_size": WIDTH, "layers": LAYERS, "heads": HEADS,
            "transformer_ff": HIDDEN, "share_embeddings": True, "share_decoder_embeddings": True,
            "embeddings": {"word_vec_size": WIDTH, "position_encoding_type": "SinusoidalInterleaved"},
        },
    }  # fmt: skip
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    limit = f"import torch; torch.set_num_threads({training.threads}); "
    return [
        training.python, "-c", limit + "from eole.bin.main import main; main()", "train", "-config", str(path)
    ]  # fmt: skip


def marian_command(training: Training) -> list[str]:
    """Return the command of Marian, whose trainer pymarian calls."""
    corpus = training.corpus
    path = corpus.folder / "marian.vocab.yml"
    words = Path(corpus.file("words.txt")).read_text(encoding="utf-8").split()
    lines = ["</s>: 0", "<unk>: 1", *(f"{each}: {number + 2}" for number, each in enumerate(words))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings: dict[str, Any] = {
        "type": "transformer", "model": str(training.folder / "model.npz"),
        "train-sets": [corpus.file("train.src"), corpus.file("train.tgt")], "vocabs": [str(path), str(path)],
        "dim-emb": WIDTH, "transformer-dim-ffn": HIDDEN, "transformer-heads": HEADS, "enc-depth": LAYERS,
        "dec-depth": LAYERS, "transformer-dropout": DROPOUT, "label-smoothing": SMOOTHING,
        "transformer-preprocess": "n", "transformer-postprocess": "da", "tied-embeddings-all": True,
        "mini-batch": 1000, "mini-batch-words": BATCH_TOKENS, "maxi-batch": 100, "max-length": 250,
        "learn-rate": RATE, "clip-norm": 0, "after": f"{training.epochs}e", "cpu-threads": training.threads,
        "workspace": 2000, "disp-freq": 100, "seed": 1, "quiet-translation": True, "overwrite": True,
    }  # fmt: skip
    code = (
        "import json, sys; from pymarian import Trainer; Trainer(**json.loads(sys.argv[1])).train()"
    )
    return [training.python, "-c", code, json.dumps(settings)]


COMMANDS: dict[str, Callable[[Training], list[str]]] = {
    "heedful": heedful_command,
    "joeynmt": joeynmt_command,
    "eole": eole_command,
    "marian": marian_command,
}


def run(name: str, training: Training, *, keeps_memory: bool) -> tuple[float, str]:
    """Let a program train, and return the seconds that it took and what it wrote."""
    environment = {**os.environ, **CPU_ONLY, "OMP_NUM_THREADS": str(training.threads)}
    if name == "heedful":
        environment["PYTHONPATH"] = os.pathsep.join([str(OWN / "src"), str(OWN)])
    else:
        environment.pop("PYTHONPATH", None)
    if keeps_memory:
        environment.update(KEEP_MEMORY)
    training.folder.mkdir(parents=True)
    command = COMMANDS[name](training)
    log = training.folder / "log.txt"
    start = perf_counter()
    with log.open("w", encoding="utf-8") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=subprocess.STDOUT, cwd=training.folder
        )
        _, status, used = os.wait4(process.pid, 0)
    seconds = perf_counter() - start if training.threads > 1 else used.ru_utime + used.ru_stime
    process.returncode = os.waitstatus_to_exitcode(status)
    written = log.read_text(encoding="utf-8", errors="replace")
    if process.returncode:
        sys.exit(
            f"{name} ended with {process.returncode}; the end of what it wrote:\n{written[-3000:]}"
        )
    return seconds, written


def tokens_of(name: str, training: Training, written: str) -> float:
    """Return how many target tokens a training had."""
    if name != "eole":
        return training.epochs * training.corpus.tokens
    sizes = [float(found) for found in re.findall(r"bsz:\s*\d+/\s*(\d+)/", written)]
    if not sizes:
        sys.exit(f"eole wrote no sizes of batches:\n{written[-3000:]}")
    return sum(sizes)


def speed(
    name: str, python: str, corpus: Corpus, options: argparse.Namespace, *, keeps_memory: bool
) -> float:
    """Return the target tokens a second of one program."""
    found = []
    for epochs in EPOCHS:
        folder = corpus.folder / "work"
        shutil.rmtree(folder, ignore_errors=True)
        training = Training(corpus, folder, epochs, options.threads, python)
        seconds, written = run(name, training, keeps_memory=keeps_memory)
        found.append((seconds, tokens_of(name, training, written)))
    (short, few), (long, many) = found
    return (many - few) / (long - short)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.translate_peers", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    for name in ("joeynmt", "eole", "marian"):
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"an environment with {name}")
    parser.add_argument("--pairs", type=int, default=2000, help="how many pairs are read")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    return parse_with_files(parser)


def main() -> None:
    options = parsed()
    pythons = {"heedful": sys.executable}
    for name in ("joeynmt", "eole", "marian"):
        if getattr(options, name):
            pythons[name] = str(Path(getattr(options, name)).absolute())
    contenders = [("heedful", False)]
    contenders += [
        (name, keeps) for name in pythons if name != "heedful" for keeps in (False, True)
    ]
    taken: dict[tuple[str, bool], list[float]] = {one: [] for one in contenders}
    with tempfile.TemporaryDirectory() as folder:
        corpus = prepare(options, Path(folder))
        print(f"{corpus.tokens:,} target tokens an epoch, {corpus.words:,} words", flush=True)
        for number in range(options.rounds):
            for name, keeps in contenders[:: 1 if number % 2 == 0 else -1]:
                found = speed(name, pythons[name], corpus, options, keeps_memory=keeps)
                taken[name, keeps].append(found)
                print(f"round {number + 1}: {name}{' malloc' * keeps}: {found:,.0f}", flush=True)
    ours = taken["heedful", False]
    for (name, keeps), speeds in taken.items():
        ratios = [mine / other for mine, other in zip(ours, speeds, strict=True)]
        print(
            f"{name + ' malloc' * keeps:16} {statistics.median(speeds):7,.0f} target tokens/s "
            f"({min(speeds):,.0f}–{max(speeds):,.0f})   Heedful is {statistics.median(ratios):.2f} times as fast"
        )


if __name__ == "__main__":
    main()
