"""Every task by its name."""

from __future__ import annotations

from typing import Any

from heedful.tasks.base import Task
from heedful.tasks.classify import CLASSIFY
from heedful.tasks.regress import REGRESS
from heedful.tasks.tag import TAG
from heedful.tasks.translate import TRANSLATE

TASKS: dict[str, Task[Any, Any, Any]] = {
    task.name: task for task in (TRANSLATE, TAG, CLASSIFY, REGRESS)
}
"""The word after `heedful train` -> the task."""
