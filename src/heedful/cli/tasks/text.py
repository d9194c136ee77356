"""The commands of classifying and regressing: they share everything but how answers are written."""

from __future__ import annotations

from typing import Final

from heedful.cli.tasks.base import TaskCommands
from heedful.cli.tasks.text_evaluate import evaluate_classifier, evaluate_regressor
from heedful.cli.tasks.text_explain import explain
from heedful.cli.tasks.text_predict import predict
from heedful.cli.tasks.text_report import next_commands, text_report
from heedful.cli.texts import read_training
from heedful.tasks.classify import CLASSIFY
from heedful.tasks.regress import REGRESS

CLASSIFY_COMMANDS: Final = TaskCommands(
    task=CLASSIFY,
    read_training=read_training,
    write_report=text_report,
    next_commands=next_commands,
    evaluate=evaluate_classifier,
    predict=predict,
    explain=explain,
)
REGRESS_COMMANDS: Final = TaskCommands(
    task=REGRESS,
    read_training=read_training,
    write_report=text_report,
    next_commands=next_commands,
    evaluate=evaluate_regressor,
    predict=predict,
    explain=explain,
)
