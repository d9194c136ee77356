"""Drawing of tokens: what is never drawn, how often the others are, and whole sequences."""

from __future__ import annotations

import pytest
import torch

from heedful.decode.sampling import sample, sample_sequences
from heedful.errors import OptionError
from heedful.models import RecurrentConfig, RecurrentEncoderDecoder

LOGITS = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()


def shares(**options: float) -> list[float]:
    generator = torch.Generator().manual_seed(0)
    drawn = sample(LOGITS.expand(4000, 4), generator=generator, **options)  # type: ignore[arg-type]
    return [float((drawn == token).float().mean()) for token in range(4)]


def test_tokens_are_drawn_as_often_as_they_are_probable() -> None:
    assert shares() == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_top_k_and_top_p_leave_the_unlikely_out_and_scale_the_rest() -> None:
    assert shares(top_k=2) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert shares(top_p=0.6) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert shares(top_p=0.5)[0] == 1  # the first reaches it by itself
    assert shares(top_p=0.81)[2] > 0
    assert shares(top_p=1e-6)[0] == 1


def test_temperature() -> None:
    assert shares(temperature=0)[0] == 1
    assert shares(temperature=0.5)[0] == pytest.approx(0.25 / 0.365, abs=0.03)


def test_a_seed_repeats() -> None:
    assert shares() == shares()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": -1}, "top_k is -1"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_values_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        shares(**options)


def test_sequences_end_at_their_limit_and_never_hold_what_is_ruled_out() -> None:
    model = RecurrentEncoderDecoder(RecurrentConfig(embedding=8, hidden=8), 20, 12)
    source, lengths = torch.tensor([[4, 5, 6], [7, 8, 0]]).repeat(20, 1), torch.tensor([3, 2] * 20)
    limits = torch.tensor([3, 6] * 20)
    drawn = sample_sequences(
        model, source, lengths, begin=2, end=3, max_length=limits, never=(0, 1, 2),
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    assert len(drawn) == 40
    for each, limit in zip(drawn, limits.tolist(), strict=True):
        assert len(each) <= limit
        assert not {0, 1, 2, 3} & set(each)
    assert {len(each) for each in drawn} >= {0, 6}


def test_without_temperature_a_sequence_is_that_of_greedy_search() -> None:
    from heedful.decode.beam import beam_search

    model = RecurrentEncoderDecoder(RecurrentConfig(embedding=8, hidden=8), 20, 12)
    source, lengths = torch.randint(4, 20, (6, 5)), torch.tensor([5, 3, 4, 5, 1, 2])
    found = beam_search(model, source, lengths, begin=2, end=3, beam=1, max_length=8)
    drawn = sample_sequences(model, source, lengths, begin=2, end=3, max_length=8, temperature=0)
    assert drawn == [each[0].tokens for each in found]
