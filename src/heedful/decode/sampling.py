"""Drawing tokens at random from a model's distribution, and whole sequences of them."""

from __future__ import annotations

import torch
from torch import Tensor

from heedful.decode.evaluation_mode import evaluation_mode
from heedful.errors import OptionError
from heedful.models.base import DecoderState, EncoderDecoder


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Draw one token a row from :math:`\mathrm{softmax}(\mathrm{logits} / T)`.

    Args:
        logits: (rows, tokens).
        temperature: T; below 1 the likely tokens become likelier; 0 takes the likeliest.
        top_k: only the so many likeliest tokens; 0: all.
        top_p: only the likeliest tokens that together have this probability, at least one (nucleus sampling, Holtzman
            et al. 2020, https://arxiv.org/abs/1904.09751).
        generator: of random numbers; None: PyTorch's own.

    Returns: (rows,), long.

    Raises:
        OptionError: a value out of its range.

    >>> sample(torch.tensor([[0.0, 9.0, 1.0]]), top_k=1).tolist()
    [1]
    """
    check_sampling(temperature, top_k, top_p)
    if temperature == 0:
        return logits.argmax(-1)
    scaled = logits.float() / temperature
    if top_k:
        least = scaled.topk(min(top_k, scaled.shape[-1])).values[..., -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    probabilities = scaled.softmax(-1)
    if top_p < 1:
        ordered, order = probabilities.sort(-1, descending=True)
        # What comes before a token, without itself: the first that reaches top_p is kept.
        before = ordered.cumsum(-1) - ordered
        dropped = torch.zeros_like(before, dtype=torch.bool).scatter(-1, order, before >= top_p)
        probabilities = probabilities.masked_fill(dropped, 0.0)
    return torch.multinomial(probabilities, 1, generator=generator)[:, 0]


def check_sampling(temperature: float, top_k: int, top_p: float) -> None:
    """Raise OptionError for an option of `sample` that is out of its range."""
    if not 0 <= temperature < float("inf"):
        raise OptionError(f"temperature is {temperature}; it must be 0 or more.")
    if top_k < 0:
        raise OptionError(f"top_k is {top_k}; it must be 0 (all tokens) or more.")
    if not 0 < top_p <= 1:
        raise OptionError(f"top_p is {top_p}; it must be above 0 and at most 1.")


def sample_sequences(
    model: EncoderDecoder[DecoderState],
    source: Tensor,
    lengths: Tensor,
    *,
    begin: int,
    end: int,
    max_length: int | Tensor,
    never: tuple[int, ...] = (),
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    generator: torch.Generator | None = None,
) -> list[list[int]]:
    """Draw a target sequence for each source, token by token, without begin and end tokens.

    Args:
        model: any encoder–decoder; it runs in evaluation mode.
        source: ids (batch, source), padded on the right.
        lengths: (batch,).
        begin, end: ids of the begin and the end token.
        max_length: maximum tokens of a sequence, one number or one a source (batch,).
        never: ids that are not drawn.
        temperature, top_k, top_p, generator: as for `sample`.

    >>> from heedful.models import RecurrentConfig, RecurrentEncoderDecoder
    >>> model = RecurrentEncoderDecoder(RecurrentConfig(embedding=8, hidden=8), 20, 20)
    >>> source, lengths = torch.tensor([[4, 5, 6]]), torch.tensor([3])
    >>> [drawn] = sample_sequences(model, source, lengths, begin=2, end=3, max_length=5)
    >>> len(drawn) <= 5
    True
    """
    limits = torch.as_tensor(max_length).expand(len(source)).tolist()
    found: list[list[int]] = [[] for _ in limits]
    with evaluation_mode(model), torch.inference_mode():
        state = model.start(source, lengths)
        rows = list(range(len(source)))
        tokens = torch.full((len(rows),), begin, dtype=torch.long, device=source.device)
        while rows:
            states, state = model.step(tokens, state)
            logits = model.output(states)
            logits[:, list(never)] = -torch.inf
            tokens = sample(logits, temperature, top_k, top_p, generator)
            kept = []
            for place, (row, token) in enumerate(zip(rows, tokens.tolist(), strict=True)):
                if token != end:
                    found[row].append(token)
                    if len(found[row]) < limits[row]:
                        kept.append(place)
            if len(kept) < len(rows):
                chosen = torch.tensor(kept, dtype=torch.long, device=source.device)
                rows, tokens = [rows[place] for place in kept], tokens[chosen]
                state = state.select(chosen) if kept else state
    return found
