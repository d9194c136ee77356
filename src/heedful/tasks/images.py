"""Images and videos × a label, a number, or a label per cell."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.answers.token_label import LabelsConfig, PositionLabel
from heedful.errors import OptionError
from heedful.inputs.patches import AugmentationConfig, ClassifyAugmentation, PatchInput
from heedful.models.config import OneOf, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.attention import TransformerEncoderConfig
from heedful.models.encoders.patches import PatchesConfig
from heedful.models.heads import PoolingConfig
from heedful.tasks.base import Task
from heedful.tasks.readers.image_data import ImageData
from heedful.tasks.readers.images import ImageReader
from heedful.tasks.sections import (
    ClassWeighting,
    EncoderTraining,
    LabelColumn,
    LabelPrediction,
    TargetColumn,
)


class ImageTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    batch_tokens: int = Field(
        6272, ge=1, description="Maximum cells in a batch: 128 images of 7 × 7 cells by default."
    )
    learning_rate: float = 1e-3
    adam_betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.05


class ClassifyTraining(ClassWeighting, ImageTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Label.metrics)] = "accuracy"


class TagTraining(ImageTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", PositionLabel.metrics)] = "accuracy"


class RegressTraining(ImageTraining):
    """Optimization, schedule, stopping and reproducibility."""

    label_smoothing: float = Field(0.0, ge=0, le=0)
    metric: Annotated[str, OneOf("metric", Number.metrics)] = "rmse"


class LabelledImages(LabelColumn, ImageData):
    """Files, columns and size of images and labels."""

    @property
    def answer(self) -> str:
        return self.label

    @property
    def label_separator(self) -> str:
        return self.separator


class NumberedImages(TargetColumn, ImageData):
    """Files, columns and size of images and numbers."""

    @property
    def answer(self) -> str:
        return self.target


class MappedImages(ImageData):
    """Files, columns and size of images and maps of labels."""

    label: str = Field(
        "label",
        description="Column of a table that names the map of labels of each image: a grey or palette image, whose "
        "numbers are the labels, or a .npy file.",
    )

    @property
    def answer(self) -> str:
        return self.label


class ImagesConfig(Section):
    """Sections of all tasks on images."""

    data: ImageData = ImageData()
    inputs: PatchesConfig = PatchesConfig()
    encoder: EncoderSection = TransformerEncoderConfig(layers=4, dropout=0.1, activation="gelu")
    training: ImageTraining = ImageTraining()
    prediction: LabelPrediction = LabelPrediction()


class ClassifyImagesConfig(ImagesConfig):
    """Configuration of `heedful train classify-images`."""

    data: LabelledImages = LabelledImages()
    augmentation: ClassifyAugmentation = ClassifyAugmentation()
    pooling: PoolingConfig = PoolingConfig(dropout=0.1)
    training: ClassifyTraining = ClassifyTraining()


class RegressImagesConfig(ImagesConfig):
    """Configuration of `heedful train regress-images`."""

    data: NumberedImages = NumberedImages()
    augmentation: AugmentationConfig = AugmentationConfig()
    pooling: PoolingConfig = PoolingConfig(dropout=0.1)
    training: RegressTraining = RegressTraining()


class TagImagesConfig(ImagesConfig):
    """Configuration of `heedful train tag-images`."""

    data: MappedImages = MappedImages()
    labels: LabelsConfig = LabelsConfig(spans=False, dropout=0.1)
    training: TagTraining = TagTraining()

    @model_validator(mode="after")
    def _no_class_token(self) -> Self:
        if self.inputs.class_token:
            raise OptionError(
                "inputs.class_token: a class token is no cell, and every position of tag-images has a label; leave it "
                "out"
            )
        return self


def _task(name: str, answer: Any, configuration: Any, reader: ImageReader) -> Task:
    return Task(
        name=name,
        examples="images",
        unit="cells",
        configuration=configuration,
        input=PatchInput,
        answer=answer,
        reader=reader,
    )


CLASSIFY: Final = _task("classify-images", Label, ClassifyImagesConfig, ImageReader("label"))
REGRESS: Final = _task("regress-images", Number, RegressImagesConfig, ImageReader("number"))
TAG: Final = _task("tag-images", PositionLabel, TagImagesConfig, ImageReader("cells"))
