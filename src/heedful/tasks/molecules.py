"""Molecules × a label or a number, or several of either."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Final, Self

import numpy as np
from pydantic import Field, model_validator

from heedful.answers.label import Label
from heedful.answers.number import Number
from heedful.data.dataset import Dataset
from heedful.data.texts import TextColumns
from heedful.errors import OptionError
from heedful.inputs.molecules import Molecules
from heedful.models.config import OneOf, Section
from heedful.models.encoders import EncoderSection
from heedful.models.encoders.atoms import AtomsConfig
from heedful.models.encoders.graph import GraphConfig
from heedful.models.encoders.recurrent import RecurrentEncoderConfig
from heedful.models.heads import PoolingConfig
from heedful.models.kernel_regression import KernelConfig, KernelRegression
from heedful.models.model import AnyModel, Ensemble, EnsembleConfig
from heedful.tasks.base import Task, build_member
from heedful.tasks.predictor import Predictor
from heedful.tasks.readers.molecules import MoleculeData, MoleculeReader
from heedful.tasks.sections import (
    ClassWeighting,
    ColumnPrediction,
    EncoderTraining,
    LabelColumns,
    LabelPrediction,
    TargetColumn,
)


class LabelledMolecules(LabelColumns, MoleculeData):
    """Files, columns and parts of molecules and labels."""

    def columns(self) -> TextColumns:
        columns = self.molecule_columns(self.label, self.separator, is_label=True)
        return replace(columns, label_columns=self.label_columns, blanks=True)


class MeasuredMolecules(TargetColumn, MoleculeData):
    """Files, columns and parts of molecules and numbers."""

    def columns(self) -> TextColumns:
        return self.molecule_columns(self.target, "", is_label=False)


class MoleculeTraining(EncoderTraining):
    """Optimization, schedule, stopping and reproducibility."""

    epochs: int = 60
    batch_tokens: int = Field(1000, ge=1, description="Maximum atoms in a batch, padding included.")
    average_epochs: int = 1


class ClassifyTraining(ClassWeighting, MoleculeTraining):
    """Optimization, schedule, stopping and reproducibility."""

    metric: Annotated[str, OneOf("metric", Label.metrics)] = "accuracy"


class RegressTraining(MoleculeTraining):
    """Optimization, schedule, stopping and reproducibility."""

    label_smoothing: float = Field(0.0, ge=0, le=0)
    metric: Annotated[str, OneOf("metric", Number.metrics)] = "rmse"


class MoleculesConfig(Section):
    """Sections of all tasks on molecules."""

    data: MoleculeData
    inputs: AtomsConfig = AtomsConfig()
    encoder: EncoderSection = GraphConfig()
    character_encoder: EncoderSection = RecurrentEncoderConfig(kind="gru", hidden=64)
    pooling: PoolingConfig = PoolingConfig(dropout=0.1)
    ensemble: EnsembleConfig = EnsembleConfig()
    training: MoleculeTraining = MoleculeTraining()
    prediction: ColumnPrediction = ColumnPrediction()


class ClassifyMoleculesConfig(MoleculesConfig):
    """Configuration of `heedful train classify-molecules`."""

    data: LabelledMolecules = LabelledMolecules()
    training: ClassifyTraining = ClassifyTraining()
    prediction: LabelPrediction = LabelPrediction()


class RegressMoleculesConfig(MoleculesConfig):
    """Configuration of `heedful train regress-molecules`."""

    data: MeasuredMolecules = MeasuredMolecules()
    kernel: KernelConfig = KernelConfig()
    training: RegressTraining = RegressTraining()

    @model_validator(mode="after")
    def _kernel_reads_descriptors(self) -> Self:
        if self.kernel.share and not self.inputs.descriptors:
            raise OptionError(
                f"kernel.share is {self.kernel.share:g}, and its regression reads the descriptors, which "
                "inputs.descriptors = false leaves out; set that to true, or kernel.share to 0"
            )
        return self


def build_molecules(config: Any, inputs: Any, answer: Any) -> AnyModel:
    """Build the networks of the views: `ensemble.members` of each, as one ensemble if there are several."""
    encoders = {"atoms": config.encoder, "characters": config.character_encoder}
    view = config.inputs.view
    members = [
        build_member(inputs.embedding_of(each), encoders[each], inputs, answer)
        for _ in range(config.ensemble.members)
        for each in (encoders if view == "both" else [view])
    ]
    return members[0] if len(members) == 1 else Ensemble(members)


def build_regression(config: Any, inputs: Any, answer: Any) -> AnyModel:
    """Build the networks of the views, each with the kernel regression beside it, if there is one."""
    model = build_molecules(config, inputs, answer)
    if config.kernel.share:
        for each in model.members:
            width = each.encoder.whole_width
            each.head.kernel = KernelRegression(config.kernel, width, len(answer.names))
    return model


def fit_kernel(predictor: Predictor, train: Dataset) -> None:
    """Solve the kernel regression of a new model, once for all members."""
    kernels = [each.head.kernel for each in predictor.model.members if each.head.kernel is not None]
    if not kernels:
        return
    descriptors = predictor.input.descriptors(train.inputs).astype(np.float64)
    targets = np.array(predictor.answer.targets(train), dtype=np.float64)
    targets = targets.reshape(len(descriptors), -1)
    kernels[0].fit(descriptors, targets, predictor.config.training.seed)
    for each in kernels[1:]:
        each.keys, each.values, each.factor = (
            tensor.clone() for tensor in (kernels[0].keys, kernels[0].values, kernels[0].factor)
        )


def describe_molecules(config: Any) -> str:
    """Return a description of a configured model, for the report."""
    by_view = {
        "atoms": f"the encoder {config.encoder.kind} of atoms",
        "characters": f"the encoder {config.character_encoder.kind} of characters",
    }
    chosen = by_view.values() if config.inputs.view == "both" else [by_view[config.inputs.view]]
    kernel = getattr(config, "kernel", KernelConfig())
    beside = f", and {kernel.share:.0%} kernel regression on descriptors" if kernel.share else ""
    return f"{' and '.join(chosen)}, and pooling by {config.pooling.kind}{beside}"


CLASSIFY: Final = Task(
    name="classify-molecules",
    examples="molecules",
    unit="atoms",
    configuration=ClassifyMoleculesConfig,
    input=Molecules,
    answer=Label,
    reader=MoleculeReader(),
    build=build_molecules,
    describe=describe_molecules,
)
REGRESS: Final = Task(
    name="regress-molecules",
    examples="molecules",
    unit="atoms",
    configuration=RegressMoleculesConfig,
    input=Molecules,
    answer=Number,
    reader=MoleculeReader(),
    build=build_regression,
    fit=fit_kernel,
    describe=describe_molecules,
)
