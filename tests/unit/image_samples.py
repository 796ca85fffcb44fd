"""Images for tests: drawn scenes, in every format and pixel format that preparation reads."""

from __future__ import annotations

import io
import random
from typing import Any

from PIL import Image, ImageDraw, ImageFilter


def scene(seed: int = 0, size: tuple[int, int] = (320, 200)) -> Image.Image:
    """A picture with large shapes and fine detail; another one for another seed."""
    draw_from = random.Random(seed)
    width, height = size
    image = Image.new("RGB", size, tuple(draw_from.randrange(60, 200) for _ in range(3)))
    draw = ImageDraw.Draw(image)
    for _ in range(24):
        x, y = draw_from.randrange(width), draw_from.randrange(height)
        far_x, far_y = x + draw_from.randrange(8, width // 2), y + draw_from.randrange(8, height // 2)
        draw.rectangle((x, y, far_x, far_y), tuple(draw_from.randrange(256) for _ in range(3)))
    return image


def blurred(image: Image.Image, radius: float = 6) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def encoded(image: Image.Image, format_: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return buffer.getvalue()


def with_orientation(image: Image.Image, orientation: int, format_: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, format_, exif=exif)
