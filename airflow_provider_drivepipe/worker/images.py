"""Decodes an image file to upright RGB pixels, resizes it, encodes it as JPEG. Pure: bytes in, bytes out.

Runs in DPE workers: standard library, numpy and Pillow only.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Reason

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""Formats that are read; of several pages or frames, the first. Others are refused unread."""
FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")
MAX_PIXELS = 178_000_000
"""Above this, Pillow itself refuses an image."""
MAX_JPEG_SIDE = 65_500

_ORIENTATION_TAG = 0x0112


class ImageError(Exception):
    """An image that cannot be used; ``reason`` is one of the typed reasons of the contracts.

    The message is for people and holds no local path.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        # Tables take a plain text.
        self.reason = str(reason)


@dataclass(frozen=True)
class DecodedImage:
    """Upright RGB pixels (a Pillow image), and what the file said of itself: Pillow's format and mode."""

    pixels: Any
    format: str
    mode: str


@dataclass(frozen=True)
class TargetSize:
    """Which size an image gets; without ``longest_side`` and ``exact`` it keeps its own.

    :param longest_side: in pixels; keeps the aspect ratio, and enlarges only with ``enlarge``.
    :param exact: width and height in pixels, whatever the aspect ratio was.
    """

    longest_side: int | None = None
    exact: tuple[int, int] | None = None
    enlarge: bool = False

    def of(self, width: int, height: int) -> tuple[int, int]:
        """Return the size that an image of ``width`` and ``height`` gets."""
        if self.exact is not None:
            return self.exact
        longest = max(width, height)
        if self.longest_side is None or (longest <= self.longest_side and not self.enlarge):
            return width, height
        scale = self.longest_side / longest
        return max(1, round(width * scale)), max(1, round(height * scale))


def decode(data: bytes, max_pixels: int) -> DecodedImage:
    """Decode the first page or frame, turn it upright, lay it over white, make it RGB.

    Raises ImageError: ``image_too_large`` before anything is decoded, ``image_decode_error`` for what is no
    image, broken or cut off.
    """
    from PIL import Image, UnidentifiedImageError

    _load_plugins()
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            format_, mode = str(image.format), str(image.mode)
            if image.width * image.height > max_pixels:
                raise ImageError(
                    Reason.IMAGE_TOO_LARGE,
                    f"{image.width} x {image.height} pixels, the limit is {max_pixels} in all",
                )
            # TIFF is turned upright while it is loaded; what is left to do stands in the tag afterwards.
            image.load()
            return DecodedImage(_to_rgb(_upright(image)), format_, mode)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            Reason.IMAGE_DECODE_ERROR,
            f"the content is none of the formats {', '.join(FORMATS)}, or is broken",
        ) from error
    except Image.DecompressionBombError as error:
        raise ImageError(Reason.IMAGE_TOO_LARGE, f"more than {MAX_PIXELS} pixels") from error
    except MemoryError as error:
        raise ImageError(Reason.IMAGE_TOO_LARGE, "out of memory while decoding") from error
    except Exception as error:  # (Pillow raises whatever a broken file makes happen)
        said = str(error) if isinstance(error, OSError) else type(error).__name__
        raise ImageError(Reason.IMAGE_DECODE_ERROR, f"decoding failed: {said}") from error


def resize(pixels: Any, size: tuple[int, int], filter_name: str) -> Any:
    """Return the Pillow image in another size; the same image when it has it already."""
    from PIL import Image

    if pixels.size == size:
        return pixels
    return pixels.resize(size, Image.Resampling[filter_name.upper()])


def encode_jpeg(pixels: Any, quality: int) -> bytes:
    """Return a JPEG without metadata; raise ImageError for a size that the format does not have."""
    if max(pixels.size) > MAX_JPEG_SIDE:
        raise ImageError(Reason.IMAGE_TOO_LARGE, f"a JPEG has at most {MAX_JPEG_SIDE} pixels a side")
    encoded = io.BytesIO()
    pixels.save(encoded, "JPEG", quality=quality)
    return encoded.getvalue()


def _load_plugins() -> None:
    """Import the readers that are wanted: Pillow would import all it has, most of them never used."""
    from PIL import (  # noqa: F401
        BmpImagePlugin,
        GifImagePlugin,
        JpegImagePlugin,
        PngImagePlugin,
        TiffImagePlugin,
        WebPImagePlugin,
    )


def _upright(image: Any) -> Any:
    from PIL import Image

    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # noqa: BLE001  (broken metadata does not make good pixels bad)
        return image
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Any) -> Any:
    from PIL import Image

    if image.mode in ("I", "F"):
        raise ImageError(
            Reason.IMAGE_DECODE_ERROR, "32-bit pixels: there is no agreed range for black to white"
        )
    if image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB")


def _eight_bits(image: Any) -> Any:
    """Scale 16-bit grey, 0 to 65535, to 8 bits; Pillow's own conversion clips."""
    import numpy as np
    from PIL import Image

    deep = np.asarray(image).astype(np.uint32)
    return Image.fromarray(((deep * 255 + 32767) // 65535).astype(np.uint8))
