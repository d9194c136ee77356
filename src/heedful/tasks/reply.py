"""Replying: the turns of a dialogue × a generated reply."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from heedful.answers.reply import Reply
from heedful.answers.text import DecodingConfig
from heedful.data.dataset import Dataset
from heedful.errors import OptionError
from heedful.inputs.pieces import TextVocabularyConfig
from heedful.inputs.turns import Turns
from heedful.models import MODELS, FrequencyConfig, TransformerConfig
from heedful.models.base import EncoderDecoder
from heedful.models.config import OneOf, Section
from heedful.tasks.base import Task
from heedful.tasks.readers.dialogues import DialogueData, DialogueReader
from heedful.tasks.sections import TrainingConfig
from heedful.tasks.translate import ModelSection


class ReplyTraining(TrainingConfig):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Reply.metrics)] = "loss"


class ReplyDecoding(DecodingConfig):
    """Beam search for evaluation and prediction; a chat draws instead."""

    beam: int = 1
    column: str = Field(
        "predicted", min_length=1, description="Name of the column added to a table."
    )


class ReplyConfig(Section):
    """Configuration of `heedful train reply`."""

    data: DialogueData = DialogueData()
    vocabulary: TextVocabularyConfig = TextVocabularyConfig()
    model: ModelSection = TransformerConfig()
    training: ReplyTraining = ReplyTraining()
    decoding: ReplyDecoding = ReplyDecoding()

    @property
    def prediction(self) -> ReplyDecoding:
        """The `decoding` section, under the name that all tasks share."""
        return self.decoding

    @model_validator(mode="after")
    def _speakers_are_of_the_source(self) -> Self:
        if self.model.share_embeddings:
            raise OptionError(
                "model.share_embeddings has no use in replying: a history has tokens for its speakers, which replies "
                "have not; set it to false"
            )
        return self


def _learn(config: ReplyConfig, train: Dataset) -> tuple[Turns, Reply]:
    texts = train.turn_texts()  # type: ignore[attr-defined]
    vocabulary = config.vocabulary.train(texts)
    return Turns.of(config, vocabulary), Reply.learn_from(config, vocabulary, train.answers)


def _build(config: ReplyConfig, turns: Turns, answer: Reply) -> EncoderDecoder[Any]:
    kind = MODELS[config.model.kind]
    return kind(config.model, turns.size, len(answer.vocabulary), FrequencyConfig())


TASK: Final = Task(
    name="reply",
    examples="replies",
    configuration=ReplyConfig,
    input=Turns,
    answer=Reply,
    reader=DialogueReader(),
    build=_build,
    learn_jointly=_learn,
    describe=lambda config: f"a model of kind {config.model.kind}",
)
