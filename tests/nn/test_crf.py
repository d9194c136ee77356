"""The linear chain against sums and maxima over every label sequence."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
import torch
from torch import Tensor

from heedful.errors import ShapeError
from heedful.nn import LinearChain

LENGTHS = torch.tensor([4, 1, 3])


@pytest.fixture
def chain() -> LinearChain:
    torch.manual_seed(0)
    built = LinearChain(3).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.normal_()
    return built


def emissions() -> Tensor:
    return torch.randn(3, 4, 3, dtype=torch.double, generator=torch.Generator().manual_seed(1))


def score(chain: LinearChain, scores: Tensor, labels: tuple[int, ...]) -> Tensor:
    total = chain.first[labels[0]] + chain.last[labels[-1]]
    total = total + sum(scores[t, label] for t, label in enumerate(labels))
    return total + sum(chain.transitions[a, b] for a, b in pairwise(labels))


def every(chain: LinearChain, row: int) -> dict[tuple[int, ...], Tensor]:
    length = int(LENGTHS[row])
    return {
        labels: score(chain, emissions()[row], labels)
        for labels in product(range(3), repeat=length)
    }


def test_the_log_partition_is_a_sum_over_every_sequence(chain: LinearChain) -> None:
    found = chain.log_partition(emissions(), LENGTHS)
    for row in range(3):
        scores = torch.stack(list(every(chain, row).values()))
        torch.testing.assert_close(found[row], scores.logsumexp(0))


def test_the_score_and_the_likelihood(chain: LinearChain) -> None:
    labels = torch.tensor([[0, 2, 1, 1], [2, 0, 0, 0], [1, 1, 0, 2]])
    found, loss = chain.score(emissions(), labels, LENGTHS), chain(emissions(), labels, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        of_every = every(chain, row)
        wanted = of_every[tuple(labels[row, :length].tolist())]
        torch.testing.assert_close(found[row], wanted)
        normalizer = torch.stack(list(of_every.values())).logsumexp(0)
        torch.testing.assert_close(loss[row], normalizer - wanted)


def test_viterbi_finds_the_best_of_every_sequence(chain: LinearChain) -> None:
    found = chain.decode(emissions(), LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        of_every = every(chain, row)
        best = max(of_every, key=lambda labels: float(of_every[labels].detach()))
        assert tuple(found[row, :length].tolist()) == best
        assert not found[row, length:].any()


def test_what_padding_holds_never_matters(chain: LinearChain) -> None:
    labels = torch.zeros(3, 4, dtype=torch.long)
    dirty, dirty_labels = emissions(), labels.clone()
    dirty[1, 1:], dirty[2, 3:], dirty_labels[1, 1:] = torch.nan, torch.inf, 2
    dirty.requires_grad_()
    clean = chain(emissions(), labels, LENGTHS)
    loss = chain(dirty, dirty_labels, LENGTHS)
    assert torch.equal(clean, loss)
    assert torch.equal(chain.decode(dirty, LENGTHS), chain.decode(emissions(), LENGTHS))
    loss.sum().backward()
    assert dirty.grad is not None
    assert not dirty.grad[1, 1:].any()
    assert all(torch.isfinite(p.grad).all() for p in chain.parameters() if p.grad is not None)


def test_gradients(chain: LinearChain) -> None:
    labels = torch.tensor([[0, 2, 1, 1], [2, 0, 0, 0], [1, 1, 0, 2]])
    given = emissions().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: chain(x, labels, LENGTHS), given)


def test_half_precision_is_summed_in_float32() -> None:
    chain = LinearChain(3)
    assert chain.log_partition(emissions().bfloat16(), LENGTHS).dtype == torch.float32


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"wanted \(batch, length, 3\)"):
        LinearChain(3).decode(torch.zeros(1, 2, 4), torch.tensor([2]))
    with pytest.raises(ShapeError, match=r"labels have shape \(1, 3\), wanted .* \(1, 2\)"):
        LinearChain(3)(torch.zeros(1, 2, 3), torch.zeros(1, 3).long(), torch.tensor([2]))
    with pytest.raises(ShapeError, match=r"lengths have shape \(2,\), wanted .* \(1,\)"):
        LinearChain(3).log_partition(torch.zeros(1, 2, 3), torch.tensor([2, 1]))
    with pytest.raises(ShapeError, match="labels=0"):
        LinearChain(0)


def test_what_is_not_allowed_is_never_given_and_costs_nothing_to_learn(chain: LinearChain) -> None:
    may = torch.ones(3, 3, dtype=torch.bool)
    may[0, 1] = may[2, 2] = False
    first, last = torch.tensor([True, True, False]), torch.tensor([False, True, True])
    chain.allow(may, first, last)
    before = {name: each.detach().clone() for name, each in chain.named_parameters()}
    found = chain.decode(50 * emissions(), LENGTHS)
    for row, length in zip(found.tolist(), LENGTHS.tolist(), strict=True):
        kept = row[:length]
        assert first[kept[0]]
        assert last[kept[-1]]
        assert all(may[a, b] for a, b in pairwise(kept))
    optimizer = torch.optim.Adam(chain.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        chain(emissions(), torch.ones(3, 4, dtype=torch.long), LENGTHS).sum().backward()
        optimizer.step()
    after = dict(chain.named_parameters())
    for name, allowed in (("transitions", may), ("first", first), ("last", last)):
        assert torch.equal(after[name][~allowed], before[name][~allowed])
        assert (after[name][allowed] != before[name][allowed]).all()
    with pytest.raises(ShapeError, match=r"transitions has shape \(2,\), wanted \(3, 3\)"):
        chain.allow(first[:2], first, last)
