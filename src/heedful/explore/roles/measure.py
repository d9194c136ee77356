"""Measure the roles of a model's heads on the sentences of a CoNLL-U file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from heedful.data.trees import Tree
from heedful.errors import DataError
from heedful.explore.roles.relations import role_targets, word_counts
from heedful.explore.roles.score import RoleCounts, RoleScore
from heedful.explore.roles.words import Reader


@dataclass(frozen=True, eq=False)
class Roles:
    """What the heads of a model find."""

    scores: list[RoleScore]
    sentences: int
    """Sentences that were read."""
    unmapped: int
    """Sentences that the model splits into tokens that do not spell their words, such as unknown ones."""
    rare: list[str]
    """Roles that too few words have."""


def chosen_trees(trees: Sequence[Tree], *, sentences: int, longest: int) -> list[Tree]:
    """Return the first sentences of 2 to `longest` words.

    Raises: DataError if there are fewer than two.
    """
    found = [tree for tree in trees if 2 <= len(tree.words) <= longest][:sentences]
    if len(found) < 2:
        raise DataError(
            f"of {len(trees):,} sentences {len(found)} have 2 to {longest} words; roles need at least 2, one half of "
            "them to choose heads and one to score them."
        )
    return found


def measure_roles(
    read: Reader,
    trees: Sequence[Tree],
    *,
    minimum: int = 50,
    seed: int = 0,
    watched: Callable[[Iterable[Tree]], Iterable[Tree]] = iter,
) -> Roles:
    """Measure which relation each head finds (Clark et al. 2019, https://aclanthology.org/W19-4828/).

    A head finds the key of a query if that is the word it attends to most, itself aside. Of the sentences in their
    order, every other one chooses the best head and the best fixed offset of each role and the rest score them. The
    frequency of words, for the role of the rarest word, is counted in all of them.

    Args:
        read: words -> attention between them, of `word_reader`.
        trees: the sentences.
        minimum: the fewest words asked of a role in each half.
        seed: of the bootstrap.
        watched: what the sentences pass through while they are read, such as a progress bar.

    Raises: DataError if no sentence can be mapped, or no role has enough words; OptionError for a model without
        self-attention.
    """
    frequency = word_counts(trees)
    counts, unmapped = RoleCounts(), 0
    for tree in watched(trees):
        found = read(tree.words)
        if found is None:
            unmapped += 1
        else:
            counts.add(found.layers, role_targets(tree, frequency), found.allowed)
    if not counts.sentences:
        raise DataError(
            f"none of {len(trees):,} sentences can be mapped to the tokens of the model, which do not spell the words; "
            "give sentences of its language."
        )
    scores = counts.scores(minimum=minimum, seed=seed)
    scored = {each.role for each in scores}
    rare = [role for role in counts.roles if role not in scored]
    return Roles(scores, counts.sentences, unmapped, rare)
