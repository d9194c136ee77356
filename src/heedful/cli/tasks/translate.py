"""The commands of translation."""

from __future__ import annotations

from typing import Final

from heedful.cli.pairs import read_training
from heedful.cli.tasks.base import TaskCommands
from heedful.cli.tasks.translate_evaluate import evaluate
from heedful.cli.tasks.translate_explain import explain
from heedful.cli.tasks.translate_predict import predict
from heedful.cli.tasks.translate_report import next_commands, translation_report
from heedful.tasks.translate import TRANSLATE

COMMANDS: Final = TaskCommands(
    task=TRANSLATE,
    read_training=read_training,
    write_report=translation_report,
    next_commands=next_commands,
    evaluate=evaluate,
    predict=predict,
    explain=explain,
)
