"""What all pages share: templates that escape what they are given, and pictures within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL.Image import Image

    from airflow_provider_drivepipe.contracts import OssUri

Query = Callable[[str], Sequence[Sequence[Any]]]
"""Runs a SELECT and returns its rows."""
Read = Callable[["OssUri"], bytes]
"""Returns an object; raises DrivepipeError when it cannot."""
DEFAULT_COUNT = 10
"""Items or questions of a page."""


@cache
def _templates() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("airflow_provider_drivepipe.reports")
    return Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def render_page(template: str, **values: Any) -> str:
    """Return a page that loads nothing and runs nothing; every value is escaped."""
    return _templates().get_template(template).render(values)


def short_name(path: str) -> str:
    """Return what people know a video or an image by: the last two parts of its path."""
    return "/".join(path.split("/")[-2:])


def thumbnail(content: bytes, width: int, quality: int) -> str:
    """Return a small JPEG as a ``data:`` URI. Raises OSError or ValueError for what is no picture."""
    return thumbnails(content, (width,), quality)[0]


def thumbnails(content: bytes, widths: Sequence[int], quality: int) -> list[str]:
    """Return a JPEG of each width, the largest first, as ``data:`` URIs.

    Raises OSError or ValueError for what is no picture.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        # Lets the decoder skip what a small picture does not need.
        image.draft("RGB", (widths[0], widths[0]))
        small = image.convert("RGB")
    made = []
    for width in widths:
        small.thumbnail((width, width))
        made.append(jpeg_uri(small, quality))
    return made


def jpeg_uri(image: Image, quality: int) -> str:
    """Return a picture as the ``data:`` URI of a JPEG."""
    output = io.BytesIO()
    image.save(output, "JPEG", quality=quality)
    return f"data:image/jpeg;base64,{base64.b64encode(output.getvalue()).decode()}"
