"""Decodes pictures for the built-in models."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from maxcompute_local.models.backend import INVALID_IMAGE, ModelError

Image = NDArray[np.uint8]
"""BGR, rows by columns by 3."""


def decode_image(data: bytes) -> Image:
    """Return the picture in ``data``; raise ModelError (400, InvalidImage) when it is none."""
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        # Pictures beyond OpenCV's pixel limit raise instead of giving None.
        raise ModelError(400, INVALID_IMAGE, "the picture is too large to decode") from error
    if picture is None:
        raise ModelError(400, INVALID_IMAGE, f"not a picture that can be decoded ({len(data)} bytes)")
    result: Image = picture
    return result


def shrink(picture: Image, longest_side: int) -> Image:
    """Return the picture scaled down so that no side is longer than ``longest_side`` pixels."""
    height, width = picture.shape[:2]
    scale = longest_side / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    result: Image = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return result
