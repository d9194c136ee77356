"""The commands of tagging."""

from __future__ import annotations

from typing import Final

from heedful.cli.labelled import read_training
from heedful.cli.tasks.base import TaskCommands
from heedful.cli.tasks.tag_evaluate import evaluate
from heedful.cli.tasks.tag_explain import explain
from heedful.cli.tasks.tag_predict import predict
from heedful.cli.tasks.tag_report import next_commands, tagging_report
from heedful.tasks.tag import TAG

COMMANDS: Final = TaskCommands(
    task=TAG,
    read_training=read_training,
    write_report=tagging_report,
    next_commands=next_commands,
    evaluate=evaluate,
    predict=predict,
    explain=explain,
)
