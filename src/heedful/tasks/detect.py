"""Images × boxes: objects, found by a Transformer decoder with object queries."""

from __future__ import annotations

from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from heedful.answers.boxes import Boxes
from heedful.errors import OptionError
from heedful.inputs.scenes import SceneAugmentation, SceneInput
from heedful.models.config import OneOf, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.attention import TransformerEncoderConfig
from heedful.models.encoders.patches import PatchesConfig
from heedful.models.query_head import ObjectsConfig
from heedful.tasks.base import Task
from heedful.tasks.images import ImageTraining
from heedful.tasks.readers.scenes import SceneData, SceneReader
from heedful.tasks.sections import PredictionConfig


class DetectTraining(ImageTraining):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = 30
    batch_tokens: int = Field(
        2048, ge=1, description="Maximum cells in a batch: 32 images of 8 × 8 cells by default."
    )
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip_norm: float = Field(0.5, ge=0, description="Maximum global gradient norm; 0: no clipping.")
    label_smoothing: float = Field(0.0, ge=0, le=0)
    metric: Annotated[str, OneOf("metric", Boxes.metrics)] = "mean_ap"


class DetectPrediction(PredictionConfig):
    """Batching and output of predictions."""

    threshold: float = Field(
        0.5, gt=0, lt=1, description="Least probability of an object that is shown and drawn."
    )


class DetectConfig(Section):
    """Configuration of `heedful train detect`."""

    data: SceneData = SceneData()
    augmentation: SceneAugmentation = SceneAugmentation()
    inputs: PatchesConfig = PatchesConfig(stem="convolution", width=96, convolutions=2)
    encoder: EncoderSection = TransformerEncoderConfig(
        width=96, feed_forward=192, layers=2, dropout=0.0, activation="gelu"
    )
    objects: ObjectsConfig = ObjectsConfig()
    training: DetectTraining = DetectTraining()
    prediction: DetectPrediction = DetectPrediction()

    @model_validator(mode="after")
    def _no_class_token(self) -> Self:
        if self.inputs.class_token:
            raise OptionError(
                "inputs.class_token: object queries read the cells, and a class token is none; leave it out"
            )
        return self


TASK: Final = Task(
    name="detect",
    examples="images",
    unit="cells",
    configuration=DetectConfig,
    input=SceneInput,
    answer=Boxes,
    reader=SceneReader(),
)
