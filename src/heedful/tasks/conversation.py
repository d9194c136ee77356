"""A conversation with a trained model: what was said so far, and what it says next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from heedful.answers.ranked_reply import ReplyRanking
from heedful.answers.reply import Reply
from heedful.data.dialogue.turns import ASSISTANT, USER, Exchange, Turn
from heedful.decode.options import Sampling
from heedful.errors import DataError, OptionError, shown
from heedful.tasks.predictor import Predictor

SHORTLIST: Final = 10
"""The best replies of a ranker, of which the first that was not said yet is said."""


@dataclass(frozen=True)
class Drawing:
    """How replies are drawn; with `temperature` 0 the likeliest token is taken each time."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 0.9

    def __post_init__(self) -> None:
        Sampling(temperature=self.temperature or 1.0, top_k=self.top_k, top_p=self.top_p)

    def search(self, seed: int) -> dict[str, Any]:
        """Return the options of a prediction that draws so."""
        if self.temperature == 0:
            return {"beam": 1}
        return {"sample": True, "seed": seed, **asdict(self)}


class Conversation:
    """Replies to what is said, with everything said before as the history.

    A generator draws its reply at random, as `drawing` says; a ranker says the best reply of its training data that it
    has not said yet.

    Args:
        predictor: a trained model of the task `reply` or `rank-replies`.
        drawing: how a generator draws.
        seed: of the random numbers; the same seed and the same turns give the same replies.

    Raises: OptionError for a model of another task.

    >>> from heedful.data.builtin import load_builtin_dialogues
    >>> from heedful.data.dialogue.replies import read_replies
    >>> from heedful.tasks.reply import TASK, ReplyConfig
    >>> data = read_replies(load_builtin_dialogues("answers").valid, "answers", max_turns=4)
    >>> config = ReplyConfig.model_validate({"model": {"kind": "gru", "embedding": 4, "hidden": 4}})
    >>> talk = Conversation(TASK.learn(config, data), seed=1)
    >>> one = talk.say("are you free today")
    >>> len(talk.history), talk.history[-1].text == one
    (2, True)
    """

    def __init__(self, predictor: Predictor, drawing: Drawing = Drawing(), seed: int = 0):
        if not isinstance(predictor.answer, Reply | ReplyRanking):
            raise OptionError(
                f"a conversation is with a run of reply or rank-replies; this one is of {shown(predictor.task.name)}"
            )
        self.predictor, self.drawing = predictor, drawing
        self.history: tuple[Turn, ...] = ()
        self.seed(seed)

    def seed(self, seed: int) -> None:
        """Start the random numbers anew."""
        self.random = np.random.default_rng(seed)

    def reset(self) -> None:
        """Forget what was said."""
        self.history = ()

    def say(self, text: str) -> str:
        """Say something, and return the reply; both join the history.

        Raises: DataError for a text without words.
        """
        if not text.strip():
            raise DataError("the text is empty; say something.")
        asked = (*self.history, Turn(USER, text))
        exchange = Exchange(asked)
        if isinstance(self.predictor.answer, Reply):
            seed = int(self.random.integers(2**31))
            [reply] = draw_replies(self.predictor, [exchange], self.drawing, seed)
        else:
            reply = self._chosen(exchange)
        # A reply of no words is no turn.
        self.history = (*asked, Turn(ASSISTANT, reply)) if reply.strip() else asked
        return reply

    def _chosen(self, exchange: Exchange) -> str:
        [best] = self.predictor.predict([exchange], nbest=SHORTLIST)
        said = {turn.text for turn in exchange.history}
        texts: list[str] = [text for text, _ in best.replies]
        return next((text for text in texts if text not in said), texts[0])

    @property
    def last(self) -> tuple[Exchange, str] | None:
        """The history before the last reply, and that reply; None before there is one."""
        if not self.history or self.history[-1].speaker != ASSISTANT:
            return None
        return Exchange(self.history[:-1]), self.history[-1].text


def draw_replies(
    predictor: Predictor, exchanges: Sequence[Exchange], drawing: Drawing, seed: int
) -> list[str]:
    """Draw a reply of a generator to each history.

    Args:
        predictor: a trained model of the task `reply`.
        exchanges: the histories.
        drawing: how to draw.
        seed: of the random numbers.

    Raises: DataError for a history without words.
    """
    asked = [each.asked() for each in exchanges]
    for number, each in enumerate(predictor.input.encode(asked), start=1):
        if not predictor.input.length(each):
            raise DataError(f"history {number} has no words to reply to.")
    return [each.text for each in predictor.predict(asked, **drawing.search(seed))]
