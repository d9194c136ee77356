"""`heedful predict --drawn`: the images with the boxes of found objects, one file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any


class DrawnBoxes:
    """Writes the images to a folder, which is made; a file of the same name is replaced.

    Args:
        folder: where to.
        labels: the label set of the run.
    """

    def __init__(self, folder: Path, labels: tuple[str, ...]):
        self.folder, self.labels = folder, labels
        self.written: set[Path] = set()

    def write(self, item: Any, prediction: Any) -> None:
        """Draw one image.

        Raises: RunError for a file that cannot be written.
        """
        from heedful.atomic_files import writing
        from heedful.explore.drawn_boxes import draw_boxes

        name = Path(item.picture.name).name.replace(":", "-")
        path = self.folder / f"{Path(name).stem}.png"
        if path in self.written:
            path = path.with_stem(f"{path.stem}-{len(self.written) + 1}")
        with writing(path):
            self.folder.mkdir(parents=True, exist_ok=True)
            draw_boxes(item.picture, prediction.boxes, self.labels, path)
        self.written.add(path)
