"""Predictions of a file's shards in processes of a cluster, each of which loads the model once."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from heedful.cluster.ray_cluster import Cluster
from heedful.errors import NonFiniteError
from heedful.tasks.runs import task_of

UNNEEDED = ("checkpoints", "report.html", "metrics.jsonl")
"""What is in a run folder beside the model."""


class SharedModel:
    """A trained model whose files are sent to the cluster once, so that its machines need not see the run folder.

    Args:
        cluster: the cluster.
        run: the run folder.
    """

    def __init__(self, cluster: Cluster, run: Path):
        self.cluster = cluster
        files = {
            str(file.relative_to(run)): file.read_bytes()
            for file in sorted(run.rglob("*"))
            if file.is_file() and file.relative_to(run).parts[0] not in UNNEEDED
        }
        self.files = [cluster.share(files)]

    def predict(
        self, shards: Iterable[tuple[Iterable[Any], Mapping[str, Any]]]
    ) -> Iterator[list[Any] | NonFiniteError]:
        """Yield the predictions of each shard, in order.

        Args:
            shards: inputs and the options of the search.

        Returns: for each shard its predictions, or the error of a model whose output is not finite.
        """
        calls = ((self.files, list(inputs), dict(options)) for inputs, options in shards)
        for found in self.cluster.ordered(predict_shard, calls):
            yield NonFiniteError(found) if isinstance(found, int) else found


def predict_shard(
    files: Sequence[Any], inputs: list[Any], options: Mapping[str, Any]
) -> list[Any] | int:
    """Return the predictions of some inputs, or the index of the first whose output is not finite."""
    predictor = _loaded(files[0])
    try:
        return list(predictor.predict(inputs, **options))
    except NonFiniteError as error:
        return error.row


@functools.lru_cache(maxsize=1)
def _loaded(files: Any) -> Any:
    """Load a model from the files that are stored on the cluster; a process keeps it for its next shard."""
    import ray

    with tempfile.TemporaryDirectory() as place:
        for name, content in ray.get(files).items():
            file = Path(place, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return task_of(place).load(place)
