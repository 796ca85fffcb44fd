"""Plausible token counts for models that have no tokenizer, from the length of text and the size of pictures.

They make books, caps and reports realistic; they are not what a real model would bill.
"""

from __future__ import annotations

import math
import re

from maxcompute_local.models.backend import ChatAnswer

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


def limited(content: str, input_tokens: int, max_tokens: object) -> ChatAnswer:
    """Return the answer, cut at ``max_tokens`` as a real model would stop there."""
    output_tokens = text_tokens(content)
    if isinstance(max_tokens, int) and 0 < max_tokens < output_tokens:
        return ChatAnswer(content[: max_tokens * 4], input_tokens, max_tokens, finish_reason="length")
    return ChatAnswer(content, input_tokens, output_tokens)
