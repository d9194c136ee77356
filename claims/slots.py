"""Claim 14: attention has more memory without more parameters; an LSTM's memory costs K × K parameters."""

from __future__ import annotations

import itertools
import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from claims.common import is_done, quiet, resumed, save
from heedful.nn.lstm import LSTMEncoder
from heedful.nn.multi_head import MultiHeadAttention

PAIRS, VALUES = 16, 8
WIDTH = 32
"""Features of a key, of a value and of a slot."""
HIDDEN = (16, 32, 64, 128, 256)
SLOTS = (1, 2, 4, 8, 16)
STEPS, ROWS, SEEDS = 1_500, 64, (0, 1)
TESTED = 2_000


def draw(rows: int, chance: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return keys and values (rows, pairs), every key once, a key that is asked for, and its value."""
    keys = torch.rand(rows, PAIRS, generator=chance).argsort(dim=1)
    values = torch.randint(VALUES, (rows, PAIRS), generator=chance)
    place = torch.randint(PAIRS, (rows, 1), generator=chance)
    return keys, values, keys.gather(1, place)[:, 0], values.gather(1, place)[:, 0]


class Remembers(nn.Module):
    """Embeds the pairs and the question; a subclass keeps the pairs in a memory of some size."""

    def __init__(self) -> None:
        super().__init__()
        self.keys = nn.Embedding(PAIRS + 1, WIDTH)
        self.values = nn.Embedding(VALUES + 1, WIDTH)

    def pairs(self, keys: Tensor, values: Tensor) -> Tensor:
        """Return (rows, pairs, width)."""
        found: Tensor = self.keys(keys) + self.values(values)
        return found


class Recurrent(Remembers):
    """Reads the pairs and then the question with one LSTM; its memory is a state and a cell of K numbers."""

    def __init__(self, hidden: int):
        super().__init__()
        self.lstm = LSTMEncoder(WIDTH, hidden, bidirectional=False)
        self.output = nn.Linear(hidden, VALUES)
        self.memory = 2 * hidden

    def forward(self, keys: Tensor, values: Tensor, asked: Tensor) -> Tensor:
        """Return scores (rows, values)."""
        question = self.keys(asked) + self.values(torch.full_like(asked, VALUES))
        read = torch.cat([self.pairs(keys, values), question[:, None]], dim=1)
        states = self.lstm(read, torch.full((len(read),), PAIRS + 1)).values
        scores: Tensor = self.output(states[:, -1])
        return scores


class Attending(Remembers):
    """The question attends once to the last pairs; its memory is as many slots of WIDTH numbers."""

    def __init__(self, slots: int):
        super().__init__()
        self.attention = MultiHeadAttention(WIDTH, 1)
        self.output = nn.Linear(WIDTH, VALUES)
        self.slots, self.memory = slots, slots * WIDTH

    def forward(self, keys: Tensor, values: Tensor, asked: Tensor) -> Tensor:
        """Return scores (rows, values)."""
        kept = self.pairs(keys, values)[:, -self.slots :]
        found = self.attention(self.keys(asked)[:, None], kept).output
        scores: Tensor = self.output(found[:, 0])
        return scores


MODELS = [("LSTM", size) for size in HIDDEN] + [("attention", size) for size in SLOTS]
KINDS = {"LSTM": Recurrent, "attention": Attending}


def train(kind: str, size: int, seed: int) -> nn.Module:
    """Train a model on pairs drawn anew at each step."""
    torch.manual_seed(seed)
    model = KINDS[kind](size)
    chance = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        *given, wanted = draw(ROWS, chance)
        loss = functional.cross_entropy(model(*given), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def main() -> None:
    """Train each memory, count its parameters and ask for 2,000 new pairs."""
    quiet()
    runs: list[dict[str, Any]] = resumed("slots")
    for seed, (kind, size) in itertools.product(SEEDS, MODELS):
        if is_done(runs, kind=kind, size=size, seed=seed):
            continue
        began = time.process_time()
        model: Any = train(kind, size, seed)
        *given, wanted = draw(TESTED, torch.Generator().manual_seed(1_000_003 + seed))
        with torch.no_grad():
            right = (model(*given).argmax(-1) == wanted).float().mean()
        core = model.lstm if kind == "LSTM" else model.attention
        recurrent = model.lstm.layers.weight_hh_l0.numel() if kind == "LSTM" else 0
        run = {
            "kind": kind, "size": size, "seed": seed, "memory": model.memory, "accuracy": float(right),
            "parameters": sum(each.numel() for each in core.parameters()), "recurrent": recurrent,
        }  # fmt: skip
        runs.append(run)
        print(run, f"{time.process_time() - began:.0f} s", flush=True)
        save("slots", {"runs": runs})


if __name__ == "__main__":
    main()
