"""Plausible token counts for models that have no tokenizer, from the length of text and the size of pictures.

They make books, caps and reports realistic; they are not what a real model would bill.
"""

from __future__ import annotations

import math
import re

_WIDE = re.compile(r"[\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]")
_PATCH = 28
"""Side, in pixels, of the square that costs one token, as common vision-language models count."""


def text_tokens(text: str) -> int:
    """Return about one token per four characters, one per Chinese, Japanese or Korean character."""
    wide = len(_WIDE.findall(text))
    return wide + math.ceil((len(text) - wide) / 4)


def image_tokens(width: int, height: int) -> int:
    """Return one token per 28 by 28 pixels, and two that mark start and end."""
    return math.ceil(width / _PATCH) * math.ceil(height / _PATCH) + 2
