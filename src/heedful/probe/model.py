"""An encoder between an embedding and scores, trained on sequences made by rule."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heedful.models.encoders import Encoder
from heedful.nn.linear import Linear
from heedful.probe.settings import Settings
from heedful.probe.signals import build_inputs
from heedful.probe.tasks import NOT_ASKED, Asked, ProbeTask

TEST_TOKENS = 16_384
"""At once, where nothing is kept for a backward pass."""


class ProbeModel(nn.Module):
    """Scores of every symbol for each token: (rows, length, symbols).

    >>> from heedful.probe.encoders import Spec
    >>> from heedful.probe.tasks import Recall
    >>> model = ProbeModel(Spec.parse("window").build(8, 16), Recall(symbols=4))
    >>> model(torch.zeros(2, 5, dtype=torch.long)).shape
    torch.Size([2, 5, 4])
    """

    def __init__(self, encoder: Encoder, task: ProbeTask, inputs: str = "tokens"):
        super().__init__()
        self.inputs = build_inputs(inputs, task.vocabulary, encoder.input_width)
        self.encoder = encoder
        self.output = Linear(encoder.width, task.symbols)

    def forward(self, tokens: Tensor, chance: torch.Generator | None = None) -> Tensor:
        """Return scores; `chance` draws the noise of signals."""
        lengths = torch.full((tokens.shape[0],), tokens.shape[1])
        scores: Tensor = self.output(self.encoder(self.inputs(tokens, chance), lengths).values)
        return scores


def loss(model: ProbeModel, asked: Asked, chance: torch.Generator | None = None) -> Tensor:
    """Mean cross-entropy of what is asked."""
    wanted = asked.answers != NOT_ASKED
    return F.cross_entropy(model(asked.tokens, chance)[wanted], asked.answers[wanted])


def train(
    model: ProbeModel, task: ProbeTask, settings: Settings, lengths: tuple[int, ...], seed: int
) -> None:
    """Train for `settings.steps` steps, each of one of the lengths; the rate rises for a tenth, then falls to 0."""
    chance = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    warm = max(1, settings.steps // 10)
    model.train()
    for step in range(1, settings.steps + 1):
        falls = (settings.steps + 1 - step) / max(1, settings.steps - warm)
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(step / warm, falls)
        length = lengths[int(torch.randint(len(lengths), (), generator=chance))]
        asked = task.train(max(1, settings.tokens // length), length, chance)
        optimizer.zero_grad()
        loss(model, asked, chance).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()


@torch.no_grad()
def accuracy(model: ProbeModel, task: ProbeTask, length: int, examples: int, seed: int) -> float:
    """Return the share of right answers over test sequences of a length."""
    chance = torch.Generator().manual_seed(seed)
    right = asked_for = done = 0
    while done < examples:
        rows = min(examples - done, max(1, TEST_TOKENS // length))
        asked = task.test(rows, length, chance)
        wanted = asked.answers != NOT_ASKED
        got = model(asked.tokens, chance).argmax(dim=-1)
        right += int((got == asked.answers)[wanted].sum())
        asked_for, done = asked_for + int(wanted.sum()), done + rows
    return right / asked_for
