"""Frame rates as people write them: ``2``, ``0.5``, ``1/2``."""

from __future__ import annotations

from fractions import Fraction

MAX_FRAMES_PER_SECOND = 240


def check_frame_rate(value: object) -> str:
    """Return a frame rate in its shortest exact form, for example ``1/2`` for ``0.5``.

    Raises ValueError unless it is a number above 0 and at most 240 frames per second.
    """
    try:
        rate = Fraction(str(value).replace(" ", ""))
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if isinstance(value, bool) or not 0 < rate <= MAX_FRAMES_PER_SECOND:
        raise ValueError(f"frames per second between 0 and {MAX_FRAMES_PER_SECOND}: 2, 0.5 or 1/2")
    return str(rate)
