"""Translation: source text in sub-word pieces × generated text."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from heedful.answers.guidance import GuidanceConfig
from heedful.answers.shortlist import Shortlist
from heedful.answers.text import GeneratedText, ShortlistedDecodingConfig
from heedful.data.dataset import Dataset
from heedful.errors import OptionError
from heedful.inputs.pieces import Pieces, VocabularyConfig
from heedful.models import MODELS, FrequencyConfig, RecurrentConfig, TransformerConfig
from heedful.models.base import EncoderDecoder
from heedful.models.config import OneOf, Section
from heedful.tasks.base import Task
from heedful.tasks.readers.pairs import PairData, PairReader
from heedful.tasks.sections import TrainingConfig


class TranslationTraining(TrainingConfig):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", GeneratedText.metrics)] = "bleu"
    r_drop: float = Field(
        0.0,
        ge=0,
        description="Weight α of R-Drop: each batch is computed twice under different dropout, and the two "
        "distributions are drawn together; steps take about twice as long; 0: off.",
    )


ModelSection = Annotated[
    TransformerConfig | RecurrentConfig,
    Field(discriminator="kind", description="The model and its sizes."),
]


class TranslationConfig(Section):
    """Configuration of `heedful train translate`."""

    data: PairData = PairData()
    vocabulary: VocabularyConfig = VocabularyConfig()
    model: ModelSection = TransformerConfig()
    frequency: FrequencyConfig = FrequencyConfig()
    alignment: GuidanceConfig = GuidanceConfig()
    training: TranslationTraining = TranslationTraining()
    decoding: ShortlistedDecodingConfig = ShortlistedDecodingConfig()

    @property
    def prediction(self) -> ShortlistedDecodingConfig:
        """The `decoding` section, under the name that all tasks share."""
        return self.decoding

    @model_validator(mode="after")
    def _one_embedding_has_one_vocabulary(self) -> Self:
        # Two vocabularies of equal size would pass the size check of the model.
        if self.model.share_embeddings and not self.vocabulary.shared:
            raise OptionError(
                "model.share_embeddings needs one vocabulary for both languages, but vocabulary.shared "
                "is false; set both to true or both to false"
            )
        return self

    @model_validator(mode="after")
    def _frequency_needs_attention(self) -> Self:
        for name in ("down_weight", "penalty"):
            no_attention = (
                isinstance(self.model, RecurrentConfig) and self.model.attention == "none"
            )
            if no_attention and getattr(self.frequency, name):
                raise OptionError(
                    f"frequency.{name} needs attention to the source, but model.attention is 'none'; set "
                    f"model.attention to a score, or frequency.{name} to 0"
                )
        return self

    @model_validator(mode="after")
    def _alignments_need_attention(self) -> Self:
        if not (self.data.alignments and self.alignment.weight):
            return self
        if isinstance(self.model, RecurrentConfig) and self.model.attention == "none":
            raise OptionError(
                "data.alignments needs attention to the source, but model.attention is 'none'; set model.attention to "
                "a score, or alignment.weight to 0"
            )
        return self

    @model_validator(mode="after")
    def _alignments_are_of_fixed_pieces(self) -> Self:
        if self.data.alignments and self.alignment.weight and self.vocabulary.dropout:
            raise OptionError(
                "data.alignments says which pieces belong together, and vocabulary.dropout divides words anew each "
                "epoch; set vocabulary.dropout or alignment.weight to 0"
            )
        return self


def _learn_vocabularies(config: TranslationConfig, train: Dataset) -> tuple[Pieces, GeneratedText]:
    if config.vocabulary.shared:
        shared = config.vocabulary.train(train.inputs, train.answers)
        source, answer = Pieces.of(config, shared), GeneratedText.of(config, shared)
    else:
        source = Pieces.learn(config, train.inputs)
        answer = GeneratedText.learn(config, train.answers)
    answer = answer.guided_by(source.vocabulary)
    if config.decoding.shortlist:
        sizes = len(source.vocabulary), len(answer.vocabulary)
        pairs = source.encode(train.inputs), answer.encode(train.answers)
        lists = Shortlist.learn(*pairs, sizes=sizes, size=config.decoding.shortlist)
        answer = replace(answer, shortlist=lists)
    if config.frequency.enabled:
        source = replace(source, token_frequencies=source.frequencies(train.inputs))
    return source, answer


def _build(config: TranslationConfig, source: Pieces, answer: GeneratedText) -> EncoderDecoder[Any]:
    sizes = len(source.vocabulary), len(answer.vocabulary)
    model = MODELS[config.model.kind](config.model, *sizes, config.frequency)
    if source.token_frequencies is not None:
        model.source_frequencies.copy_(source.token_frequencies)
    return model


TASK: Final = Task(
    name="translate",
    examples="pairs",
    configuration=TranslationConfig,
    input=Pieces,
    answer=GeneratedText,
    reader=PairReader(),
    build=_build,
    learn_jointly=_learn_vocabularies,
    describe=lambda config: f"a model of kind {config.model.kind}",
)
