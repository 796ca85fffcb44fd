"""CRC-64/XZ, the checksum of OSS."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache

from alibabacloud_oss_v2.crc import Crc64

_POLYNOMIAL = 0xC96C5795D7870F42
"""Bit 63 is the coefficient of x^0."""
_ONE, _X8 = 1 << 63, 1 << 55

Function = Callable[[bytes, int], int]


def _of_the_sdk(data: bytes, before: int) -> int:
    crc = Crc64(before)
    crc.update(data)
    return int(crc.sum64())


def _fastest() -> Function:
    """Return liblzma's function, which is 20 times as fast and lets other threads run, if Python has it."""
    try:
        import _lzma

        function = ctypes.CDLL(_lzma.__file__).lzma_crc64
    except (ImportError, AttributeError, OSError):
        return _of_the_sdk
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64]

    def crc64(data: bytes, before: int) -> int:
        return int(function(data, len(data), before))

    return crc64


update: Function = _fastest()
"""Return the CRC of some bytes and of those before them, whose CRC is given (0: there are none)."""


def combine(first: int, second: int, second_size: int) -> int:
    """Return the CRC of two pieces from the CRC of each, and the size of the second in bytes."""
    return _multiply(_x8_to_the(second_size), first) ^ second


def _multiply(a: int, b: int) -> int:
    """Return the product of two polynomials over GF(2), modulo the one of the CRC."""
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = (a << 1) & 0xFFFFFFFFFFFFFFFF
        b = (b >> 1) ^ (_POLYNOMIAL if b & 1 else 0)
    return product


@lru_cache(maxsize=256)  # the parts of an upload are of few sizes
def _x8_to_the(power: int) -> int:
    result, square = _ONE, _X8
    while power:
        if power & 1:
            result = _multiply(result, square)
        square = _multiply(square, square)
        power >>= 1
    return result
