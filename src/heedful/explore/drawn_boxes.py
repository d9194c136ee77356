"""Images with the boxes of the objects that were found in them, as PNG files (Pillow)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from heedful.answers.boxes import name_of
from heedful.data.images.form import Form
from heedful.data.images.objects import Box
from heedful.data.images.picture import Picture

COLOURS: Final = ("#e6550d", "#3182bd", "#31a354", "#c51b8a", "#d9a404", "#00a0a0")
"""Of boxes, by label."""
LEAST: Final = 256
"""Smaller images are drawn so many pixels high and wide, or a little more, by a whole factor."""


def draw_boxes(picture: Picture, boxes: Sequence[Box], labels: Sequence[str], path: Path) -> None:
    """Write an image with its boxes, each with its label and probability.

    Args:
        picture: the image; of large ones the file is decoded again.
        boxes: in pixels of the image.
        labels: the label set, which chooses the colours.
        path: a .png file.
    """
    from PIL import Image, ImageDraw, ImageFont

    pixels = picture.at(Form(*picture.size))[0]
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    factor = max(1, -(-LEAST // min(image.size)))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    draw, size = ImageDraw.Draw(image), max(11, image.height // 40)
    font = ImageFont.load_default(size)
    for box in boxes:
        colour = COLOURS[labels.index(box.label) % len(COLOURS)]
        left, top = box.left * factor, box.top * factor
        right, bottom = left + box.width * factor, top + box.height * factor
        draw.rectangle(
            (left, top, max(right - 1, left), max(bottom - 1, top)),
            outline=colour,
            width=max(2, size // 8),
        )
        text = name_of(box)
        around = draw.textbbox((left, max(0, top - size - 2)), text, font=font)
        draw.rectangle(around, fill=colour)
        draw.text((left, max(0, top - size - 2)), text, fill="white", font=font)
    image.save(path, "PNG")
