"""Draws a sheet: frames of a video in a grid, each with its time written in, as one JPEG.

Runs in DPE workers: standard library, numpy, PyAV and Pillow.

Why one picture. A message to a model has the same parts for all rows of a call. Frames as images of their
own would make a call for each number of frames that occurs, each with its own graph and few rows, and as many
columns for images and for their times; a sheet is one image for any number. And its times cannot be taken for
those of other frames, as texts beside pictures can.

What it costs. Qwen-VL sees at most 1,280 patches of 28 x 28 pixels of an image unless told otherwise, and
scales larger images down: 1,003,520 pixels. That is the most a sheet has here, however many frames share it.
On 1080p driving video, measured:

======  ============  =======  =======  ==================
frames  tile          text     patches  JPEG, quality 85
======  ============  =======  =======  ==================
16      333 x 187 px  23 px    80 each  173 kB
27      257 x 144 px  18 px    47 each  190 kB
60      172 x 96 px   14 px    21 each  225 kB, not offered
======  ============  =======  =======  ==================

A minute of the same video is 60 MB as a copied clip, 15 MB as an encoded one.

What can be read. On such sheets every time could be read by eye, also when they were scaled down to text of
10 pixels. What sets the limit is the pictures: of 27 frames, each has 9 x 5 patches,
and a car that is a tenth of the picture wide has one. More frames are allowed where ``max_pixels`` is raised
with them, for models that take larger images.

Times are clock texts (``00:12.4``), the form in which prompts speak of times and answers give them.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_provider_drivepipe.worker.reasoning.clock import clock_text
from airflow_provider_drivepipe.worker.reasoning.footage import Footage, Picture, Span, upright_pixels
from airflow_provider_drivepipe.worker.reasoning.spans import spread

TILE_PIXELS = 256 * 144
"""Fewest pixels of a tile, see above; the tiles of smaller videos are as large as the video."""

_TEXT_SHARE = 8
"""The time's text is this part of the shorter side of a tile."""
_SMALLEST_TEXT = 14
_LONGEST = 2.5
"""How much longer one side of a sheet may be than the other."""


@dataclass(frozen=True)
class SheetRules:
    """What a sheet shows.

    :param fps: frames per second of video.
    :param max_frames: most frames on a sheet.
    :param max_pixels: most pixels of a sheet: what the model sees without scaling it down.
    :param jpeg_quality: 1 to 100.
    """

    fps: Fraction = Fraction(2)
    max_frames: int = 16
    max_pixels: int = 1280 * 28 * 28
    jpeg_quality: int = 85

    def check(self) -> None:
        """Raise ValueError for rules that no sheet can follow."""
        if self.fps <= 0 or self.max_frames < 1 or not 1 <= self.jpeg_quality <= 100:
            raise ValueError("frames per second and per sheet are more than 0, the JPEG quality is 1 to 100")
        needed = self.max_frames * TILE_PIXELS
        if self.max_pixels < needed:
            raise ValueError(
                f"{self.max_frames} frames on a sheet need {needed} pixels for their times to be read, not "
                f"{self.max_pixels}"
            )


@dataclass(frozen=True)
class Sheet:
    """A JPEG, and the times of the frames that it shows, in milliseconds on the video's own clock."""

    content: bytes
    times_ms: tuple[int, ...]


def draw_sheet(footage: Footage, span: Span, rules: SheetRules) -> Sheet:
    """Return a sheet of evenly spaced frames of ``span``; raise VideoError ``decode_error`` for damage."""
    from PIL import Image

    length = footage.time(span.stop) - footage.time(span.first)
    count = max(1, min(int(length * rules.fps), rules.max_frames))
    numbers = spread(footage, span, count)
    columns, rows, width, height = _grid(len(numbers), footage.width, footage.height, rules.max_pixels)
    times = tuple(footage.time_ms(number) for number in numbers)

    def draw(pictures: Iterator[Picture]) -> bytes:
        sheet = Image.new("RGB", (columns * width, rows * height))
        for place, picture in enumerate(pictures):
            tile = Image.fromarray(upright_pixels(picture.frame, width, height, footage.rotation))
            _write_time(tile, times[place])
            sheet.paste(tile, (place % columns * width, place // columns * height))
        encoded = io.BytesIO()
        sheet.save(encoded, "JPEG", quality=rules.jpeg_quality)
        return encoded.getvalue()

    return Sheet(footage.decode(numbers, draw), times)


def _grid(count: int, width: int, height: int, max_pixels: int) -> tuple[int, int, int, int]:
    """Return columns and rows, and width and height of a tile, which is never larger than the video.

    As few empty places as a sheet allows that is not too long; then, as square as can be.
    """

    def cost(columns: int) -> tuple[bool, int, float]:
        rows = math.ceil(count / columns)
        stretch = abs(math.log(columns * width / (rows * height)))
        return stretch > math.log(_LONGEST), columns * rows, stretch

    columns = min(range(1, count + 1), key=cost)
    rows = math.ceil(count / columns)
    scale = min(1.0, math.sqrt(max_pixels / (columns * width * rows * height)))
    return columns, rows, max(1, int(width * scale)), max(1, int(height * scale))


def _write_time(tile: Any, time_ms: int) -> None:
    """Write the time into the upper left corner of a picture, white on black."""
    from PIL import ImageDraw, ImageFont

    size = max(_SMALLEST_TEXT, min(tile.size) // _TEXT_SHARE)
    font = ImageFont.load_default(size)
    draw = ImageDraw.Draw(tile)
    text = clock_text(time_ms) or ""
    _, _, right, bottom = draw.textbbox((size // 4, size // 4), text, font=font)
    draw.rectangle((0, 0, right + size // 4, bottom + size // 4), fill="black")
    draw.text((size // 4, size // 4), text, font=font, fill="white")
