"""Perceptual hashes: 64 bits that stay nearly the same when an image is resized or compressed again.

The method is the DCT hash of the pHash library (C. Zauner, "Implementation and Benchmarking of Perceptual
Image Hash Functions", 2010) in the variant of N. Krawetz, "Looks Like It" (2011), that Python's ``imagehash``
also has: reduce to 32 x 32 grey pixels, take the 8 x 8 lowest frequencies of the DCT, one bit for each that
is above their median. Runs in DPE workers: numpy and Pillow only.
"""

from __future__ import annotations

import math
from typing import Any

HASH_BITS = 64

_SIDE = 32
_FREQUENCIES = 8
_ROUNDING_NOISE = 1e-6
"""Coefficients of an even picture are 0 but for rounding, which must not decide a bit."""


def perceptual_hash(image: Any) -> str:
    """Return the hash of a Pillow image as 16 hex digits, the lowest frequency first."""
    import numpy as np
    from PIL import Image

    grey = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    cosines = np.array(
        [
            [math.cos(math.pi * frequency * (2 * place + 1) / (2 * _SIDE)) for place in range(_SIDE)]
            for frequency in range(_FREQUENCIES)
        ]
    )
    coefficients = (cosines @ np.asarray(grey, dtype=np.float64) @ cosines.T).flatten()
    above = coefficients > np.median(coefficients) + _ROUNDING_NOISE
    return f"{int(''.join('1' if bit else '0' for bit in above), 2):016x}"


def hamming_distance(one: str, other: str) -> int:
    """Return how many of the 64 bits of two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()
