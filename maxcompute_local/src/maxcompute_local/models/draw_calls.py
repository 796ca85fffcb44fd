"""Reads the body of a call that asks for pictures, in the shape of OpenAI's images interface."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from maxcompute_local.models.backend import (
    INVALID_IMAGE,
    INVALID_PARAMETER,
    DrawRequest,
    ImagePart,
    ModelError,
)

_DATA_URI = re.compile(r"data:(image/[\w.+-]+);base64,(.*)", re.DOTALL)
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_SIDES = (64, 2048)
_MOST_PICTURES = 4
_FORMATS = ("b64_json", "url")


def parse(model: str, body: Mapping[str, Any]) -> DrawRequest:
    """Return what a body asks for; raise ModelError (400) naming the field that is wrong."""
    prompt, count = body.get("prompt"), body.get("n", 1)
    if not isinstance(prompt, str) or not prompt.strip():
        raise _invalid("prompt: expected a text")
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= _MOST_PICTURES:
        raise _invalid(f"n: expected 1 to {_MOST_PICTURES}, not {count!r}")
    return DrawRequest(model, prompt, _images(body.get("image")), _size(body.get("size")), count)


def wants_address(body: Mapping[str, Any]) -> bool:
    """Return whether the pictures are to be fetched by address rather than sent along."""
    wanted = body.get("response_format", "b64_json")
    if wanted not in _FORMATS:
        raise _invalid(f"response_format: {wanted!r} is none of {', '.join(_FORMATS)}")
    return bool(wanted == "url")


def _images(value: object) -> tuple[ImagePart, ...]:
    if value is None:
        return ()
    return tuple(map(_image, value if isinstance(value, list) else [value]))


def _image(value: object) -> ImagePart:
    match = _DATA_URI.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise _invalid("image: expected data:image/…;base64,… or a list of such texts")
    try:
        return ImagePart(base64.b64decode(match[2], validate=True), match[1])
    except (binascii.Error, ValueError) as error:
        raise ModelError(400, INVALID_IMAGE, "image: not Base64") from error


def _size(value: object) -> tuple[int, int] | None:
    if value is None or value == "auto":
        return None
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in size):
        raise _invalid(f"size: expected WIDTHxHEIGHT, each {_SIDES[0]} to {_SIDES[1]}, not {value!r}")
    return size


def _invalid(message: str) -> ModelError:
    return ModelError(400, INVALID_PARAMETER, message)
