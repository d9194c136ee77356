"""Replies as a ranking: the one that suits a history best, among candidates or among those of the training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Self
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from heedful import run_folder
from heedful.answers.base import Answer, Metric, Numbers, Rows, Values
from heedful.answers.ranking_metrics import RankingScores, Ranks, ranks_among
from heedful.data.batching import batch_by_token_budget, pad_ids
from heedful.data.dialogue.overlap import WordOverlap
from heedful.data.dialogue.replies import Replies
from heedful.data.vocabulary import Vocabulary
from heedful.data.words import has_surrogate
from heedful.errors import DataError, NonFiniteError, OptionError, RunError
from heedful.inputs.pieces import SOURCE_VOCABULARY
from heedful.inputs.turns import TurnBatch, distinct_replies, history_tokens
from heedful.models.two_towers import TokenSequence, TwoTowers
from heedful.stored_files import read_json
from heedful.strict_json import to_strict_json

BANK: Final = "replies.json"
"""File of a run folder with the replies to choose from, and how often each word is in a turn."""
MAX_NBEST: Final = 1000


@dataclass(frozen=True, eq=False)
class RankedReply:
    """The best replies to a history, and where the history and its own reply are."""

    replies: tuple[tuple[str, float], ...]
    """Text and score, the best first; none for a history whose reply is known, which is only scored."""
    history: NDArray[np.float32]
    """(width,), the vector of the history."""
    reply: NDArray[np.float32] | None = None
    """(width,), that of its reply, where it is known."""

    @property
    def text(self) -> str:
        """The best reply."""
        return self.replies[0][0] if self.replies else ""

    @property
    def score(self) -> float:
        """The score of the best reply: the cosine of its vector with that of the history."""
        return self.replies[0][1] if self.replies else 0.0


@dataclass(frozen=True)
class ReplyRanking(Answer[RankedReply]):
    """The reply that a history belongs to, learned among those of a batch, and chosen among those of the training.

    Reads towers.bank and data.candidates.
    """

    metrics: ClassVar[Mapping[str, Metric]] = {
        "loss": Metric("loss"),
        "hits_1": Metric("hits@1"),
        "hits_5": Metric("hits@5"),
        "mrr": Metric("MRR"),
        "hits_1_alike": Metric("hits@1, same group"),
    }
    charts: ClassVar[Sequence[tuple[str, ...]]] = (("hits_1", "hits_5", "mrr"),)
    primary_metric: ClassVar[str] = "hits_1"
    depends_on_batch: ClassVar[bool] = True
    search_options: ClassVar[frozenset[str]] = frozenset({"nbest"})
    command_options: ClassVar[frozenset[str]] = frozenset({"reference"})

    vocabulary: Vocabulary
    bank: tuple[str, ...]
    """Distinct replies of the training, the most frequent first."""
    overlap: WordOverlap
    _vectors: WeakKeyDictionary[Any, tuple[Any, Tensor]] = field(
        default_factory=WeakKeyDictionary, repr=False, compare=False
    )
    """Model -> (versions of its weights, vectors of the bank)."""

    @classmethod
    def check(cls, config: Any, train: Any, valid: Any) -> None:
        distinct = len(set(train.answers))
        if distinct < 2:
            raise DataError(
                f"{train.name}: all replies are the same; there is nothing to choose among."
            )
        if not (valid.drawn[:, 0] >= 0).any():
            raise OptionError(
                f"{valid.name} has {len(set(valid.answers))} distinct replies, too few to choose among "
                f"{valid.candidates}; give more with --valid, or cut off more with --set data.valid_share=0.5, or "
                "choose among fewer with --set data.candidates=5."
            )

    @classmethod
    def learn_from(cls, config: Any, vocabulary: Vocabulary, train: Replies) -> Self:
        """Build the answer from a vocabulary and the training data."""
        counts = Counter(train.answers)
        bank = [text for text, _ in counts.most_common(config.towers.bank)]
        return cls(vocabulary, tuple(bank), WordOverlap.learn(train.turn_texts()))

    @classmethod
    def learn(cls, config: Any, answers: Sequence[str]) -> Self:
        replies = [text for text, _ in Counter(answers).most_common(config.towers.bank)]
        return cls(config.vocabulary.train(answers), tuple(replies), WordOverlap.learn(answers))

    @classmethod
    def load(cls, config: Any, folder: Path) -> Self:
        content = read_json(folder / BANK)
        parts = content if isinstance(content, dict) else {}
        bank, words, texts = (parts.get(name) for name in ("replies", "words", "texts"))
        if not (
            isinstance(bank, list)
            and bank
            and all(isinstance(text, str) and not has_surrogate(text) for text in bank)
            and isinstance(words, dict)
            and all(isinstance(count, int) and count >= 0 for count in words.values())
            and isinstance(texts, int)
            and texts >= 0
        ):
            raise RunError(f"{folder / BANK} is damaged; copy the run folder again")
        vocabulary = Vocabulary.load(folder / SOURCE_VOCABULARY)
        return cls(vocabulary, tuple(bank), WordOverlap(words, texts))

    def save(self, folder: Path) -> None:
        content = {
            "replies": self.bank, "words": self.overlap.frequencies, "texts": self.overlap.texts
        }  # fmt: skip
        run_folder.write_text(folder / BANK, to_strict_json(content, ensure_ascii=False) + "\n")

    def sizes(self) -> dict[str, int]:
        return {"replies to choose from": len(self.bank)}

    def targets(self, data: Any) -> list[int]:
        """Return nothing of use: what is predicted is in the input, as the other replies of a batch are."""
        return [0] * len(data)

    def collate(self, targets: Sequence[int]) -> Tensor:
        return torch.tensor(targets)

    def loss(self, model: TwoTowers, batch: TurnBatch, targets: Tensor) -> Tensor:
        """Return the summed cross-entropy of the true reply among the distinct replies of the batch."""
        ids, lengths, place = distinct_replies(batch)
        replies = model.replies(TokenSequence(ids, lengths))
        scores = model.scale() * model.histories(history_tokens(batch)) @ replies.T
        return F.cross_entropy(scores, place, reduction="sum")

    def count_predictions(self, batch: TurnBatch, targets: Tensor) -> int:
        return len(targets)

    def predict(self, model: TwoTowers, batch: TurnBatch, **search: Any) -> list[RankedReply]:
        histories = model.histories(history_tokens(batch))
        _check_finite(histories)
        known = batch.reply_lengths > 0
        vectors = histories.new_zeros(histories.shape)
        if known.any():
            ids, lengths, place = distinct_replies(TurnBatch(*(part[known] for part in batch)))
            vectors[known] = model.replies(TokenSequence(ids, lengths))[place]
            _check_finite(vectors)
        found: list[tuple[tuple[str, float], ...]] = [()] * len(histories)
        asked = (~known).nonzero()[:, 0].tolist()
        if asked:
            for row, best in zip(
                asked, self._best(model, histories[asked], search.get("nbest", 1)), strict=True
            ):
                found[row] = best
        rows = zip(
            found, histories.float().cpu().numpy(), vectors.float().cpu().numpy(), strict=True
        )
        return [
            RankedReply(best, history, vector if is_known else None)
            for (best, history, vector), is_known in zip(rows, known.tolist(), strict=True)
        ]

    def _best(
        self, model: TwoTowers, histories: Tensor, nbest: int
    ) -> list[tuple[tuple[str, float], ...]]:
        """Return the best replies of the bank for each history."""
        scores, places = (histories @ self.bank_vectors(model).T).topk(min(nbest, len(self.bank)))
        return [
            tuple((self.bank[place], score) for place, score in zip(own, values, strict=True))
            for own, values in zip(places.tolist(), scores.tolist(), strict=True)
        ]

    def bank_vectors(self, model: TwoTowers) -> Tensor:
        """Return the vectors of the bank, (replies, width); computed once for given weights."""
        # Where each tensor is, and the counter of changes to it.
        state = tuple((part.data_ptr(), part._version) for part in model.parameters())
        kept = self._vectors.get(model)
        if kept is None or kept[0] != state:
            kept = (state, self.reply_vectors(model, self.bank))
            self._vectors[model] = kept
        return kept[1]

    def reply_vectors(self, model: TwoTowers, replies: Sequence[str]) -> Tensor:
        """Return the vectors of texts, (replies, width)."""
        device = model.log_scale.device
        ids = self.vocabulary.encode_ids(replies)
        lengths = [len(each) for each in ids]
        order = sorted(range(len(ids)), key=lengths.__getitem__)
        vectors: dict[int, Tensor] = {}
        for rows in batch_by_token_budget(order, [max(1, length) for length in lengths], 8192):
            # A reply of no known piece is one unknown piece.
            padded, own = pad_ids(
                [ids[row] or [self.vocabulary.unk_id] for row in rows], self.vocabulary.pad_id
            )
            found = model.replies(TokenSequence(padded.to(device), own.to(device)))
            vectors.update(zip(rows, found, strict=True))
        return torch.stack([vectors[row] for row in range(len(ids))])

    def empty(self) -> RankedReply:
        return RankedReply((), np.zeros(0, np.float32))

    def check_search(self, search: Mapping[str, Any]) -> None:
        super().check_search(search)
        if not 1 <= search.get("nbest", 1) <= MAX_NBEST:
            raise OptionError(f"nbest must be from 1 to {MAX_NBEST}; got {search['nbest']}.")

    def ranks(self, predicted: Sequence[RankedReply], data: Any) -> Ranks:
        """Return the rank of each true reply among its candidates, of any group and of its own."""
        histories = np.stack([each.history for each in predicted])
        replies = np.stack(
            [
                np.zeros_like(each.history) if each.reply is None else each.reply
                for each in predicted
            ]
        )
        return Ranks(
            *(ranks_among(_scores(histories, replies, drawn), drawn) for drawn in _drawn(data))
        )

    def overlap_ranks(self, data: Any) -> Ranks:
        """Return the rank of each true reply by the words that it shares with the last four turns (TF-IDF)."""
        histories = [" ".join(turn.text for turn in each.history[-4:]) for each in data.rows]
        return Ranks(
            *(
                ranks_among(self.overlap.scores(histories, data.answers, drawn), drawn)
                for drawn in _drawn(data)
            )
        )

    def score(
        self,
        predicted: Sequence[RankedReply],
        data: Any,
        in_vocabulary: Sequence[Sequence[bool]] | None = None,
    ) -> RankingScores:
        return RankingScores.of(self.ranks(predicted, data), self.overlap_ranks(data), data)

    def tables(self, metrics: RankingScores) -> list[Rows]:
        return metrics.tables()

    def statistics(self, predicted: Sequence[RankedReply], data: Any) -> Numbers:
        """Return (hit at 1, whether there are enough candidates) of each reply."""
        ranks = self.ranks(predicted, data).any_group
        counted = ~np.isnan(ranks)
        return np.stack([np.where(counted, ranks <= 1, 0), counted], axis=1).astype(np.float64)

    def to_text(self, prediction: RankedReply) -> str:
        return prediction.text

    def to_json(self, prediction: RankedReply) -> Values:
        return {"replies": [{"text": text, "score": score} for text, score in prediction.replies]}


def _check_finite(vectors: Tensor) -> None:
    finite = vectors.isfinite().all(-1)
    if not finite.all():
        raise NonFiniteError(int(finite.logical_not().nonzero()[0]))


def _drawn(data: Replies) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return data.drawn, data.drawn_alike


def _scores(histories: Any, replies: Any, drawn: NDArray[np.int64]) -> Numbers:
    """Return the scores of candidates, (replies, candidates)."""
    found: Numbers = np.einsum("nd,ncd->nc", histories, replies[drawn], optimize=True)
    return found.astype(np.float64)
