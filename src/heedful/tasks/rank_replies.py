"""Choosing replies: the turns of a dialogue × the reply that suits them best, by two towers."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from heedful.answers.ranked_reply import ReplyRanking
from heedful.data.dataset import Dataset
from heedful.inputs.pieces import TextVocabularyConfig
from heedful.inputs.turns import OLDEST, Turns
from heedful.models.config import Chunk, OneOf, PredictionBatch, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.local import NoContextConfig
from heedful.models.heads import PoolingConfig
from heedful.models.two_towers import TowersConfig, TwoTowers
from heedful.tasks.base import Task
from heedful.tasks.readers.dialogues import DialogueData, DialogueReader
from heedful.tasks.sections import ColumnPrediction, EncoderTraining


class RankingVocabulary(TextVocabularyConfig):
    """Tokenization of turns and replies."""

    lowercase: bool = True


class RankingTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = 20
    batch_tokens: int = Field(
        8192,
        ge=1,
        description="Maximum tokens of the histories of a batch, padding included; the other replies of a batch are "
        "what the true one is told apart from, so a larger one is harder and better.",
    )
    label_smoothing: float = 0.0
    average_epochs: int = 1
    metric: Annotated[str, OneOf("metric", ReplyRanking.metrics)] = "hits_1"


class RankingPrediction(ColumnPrediction):
    """Batching and output of predictions."""

    batch_tokens: PredictionBatch = 16384
    chunk: Chunk = 4096


class RankingPooling(PoolingConfig):
    """Pooling of the states of a sequence to one vector."""

    dropout: float = 0.2


class RankRepliesConfig(Section):
    """Configuration of `heedful train rank-replies`."""

    data: DialogueData = DialogueData()
    vocabulary: RankingVocabulary = RankingVocabulary()
    encoder: EncoderSection = NoContextConfig(layers=0)
    pooling: RankingPooling = RankingPooling()
    towers: TowersConfig = TowersConfig()
    training: RankingTraining = RankingTraining()
    prediction: RankingPrediction = RankingPrediction()


def _learn(config: RankRepliesConfig, train: Dataset) -> tuple[Turns, ReplyRanking]:
    vocabulary = config.vocabulary.train(train.turn_texts())  # type: ignore[attr-defined]
    return (
        Turns.of(config, vocabulary),
        ReplyRanking.learn_from(config, vocabulary, train),  # type: ignore[arg-type]
    )


def _build(config: RankRepliesConfig, turns: Turns, answer: ReplyRanking) -> TwoTowers:
    return TwoTowers(config.towers, config.encoder, config.pooling, turns.size, OLDEST + 1)


TASK: Final = Task(
    name="rank-replies",
    examples="replies",
    configuration=RankRepliesConfig,
    input=Turns,
    answer=ReplyRanking,
    reader=DialogueReader(),
    build=_build,
    learn_jointly=_learn,
    describe=lambda config: f"two towers of the encoder {config.encoder.kind}",
)
