"""Conditions and ranges of reads."""

from email.utils import formatdate

import pytest

from maxcompute_local.oss.conditions import ByteRange, check, resolve_range
from maxcompute_local.oss.errors import OssError
from maxcompute_local.oss.store import ObjectInfo

INFO = ObjectInfo("k", 10, 1_000_000_999, "ABC", "0", "Normal", {})
AT, BEFORE, AFTER = (formatdate(second, usegmt=True) for second in (1, 0, 2))


def outcome(headers, prefix=""):
    try:
        check(headers, INFO, prefix)
    except OssError as error:
        return error.status
    return 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if-match": '"ABC"'}, 200),
        ({"if-match": "abc"}, 200),
        ({"if-match": '"X", "ABC"'}, 200),
        ({"if-match": "*"}, 200),
        ({"if-match": '"X"'}, 412),
        ({"if-none-match": '"X"'}, 200),
        ({"if-none-match": '"ABC"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-modified-since": BEFORE}, 200),
        ({"if-modified-since": AT}, 304),
        ({"if-modified-since": AFTER}, 304),
        ({"if-unmodified-since": BEFORE}, 412),
        ({"if-unmodified-since": AT}, 200),
        ({"if-match": '"ABC"', "if-unmodified-since": BEFORE}, 200),
        ({"if-none-match": '"X"', "if-modified-since": AFTER}, 200),
        ({"if-match": '"X"', "if-none-match": '"ABC"'}, 412),
        ({"if-modified-since": "no date", "if-unmodified-since": "Thu, 99 Xyz"}, 200),
    ],
)
def test_conditions(headers, status):
    assert outcome(headers) == status
    renamed = {f"x-oss-copy-source-{name}": value for name, value in headers.items()}
    assert outcome(renamed, "x-oss-copy-source-") == status
    assert outcome(renamed) == 200


@pytest.mark.parametrize(
    ("header", "default", "standard"),
    [
        (None, None, None),
        ("bytes=0-0", (0, 0), (0, 0)),
        ("bytes=3-9", (3, 9), (3, 9)),
        ("bytes=3-", (3, 9), (3, 9)),
        ("bytes=-4", (6, 9), (6, 9)),
        ("bytes=-10", (0, 9), (0, 9)),
        ("bytes=3-10", None, (3, 9)),
        ("bytes=-11", None, (0, 9)),
        ("bytes=10-", None, 416),
        ("bytes=10-11", None, 416),
        ("bytes=-0", None, 416),
        ("bytes=5-4", None, None),
        ("bytes=-", None, None),
        ("bytes=1-2,4-5", None, None),
        ("bytes=x-5", None, None),
        ("bytes=" + "9" * 30 + "-", None, None),
        ("bytes=²-3", None, None),
        ("items=0-1", None, None),
        ("", None, None),
    ],
)
def test_ranges_of_ten_bytes(header, default, standard):
    for expected, flag in ((default, False), (standard, True)):
        if expected == 416:
            with pytest.raises(OssError, match="InvalidRange"):
                resolve_range(header, 10, standard=flag)
        else:
            assert resolve_range(header, 10, standard=flag) == (ByteRange(*expected) if expected else None)


def test_no_range_fits_an_empty_object():
    assert resolve_range("bytes=0-", 0, standard=False) is None
    with pytest.raises(OssError, match="InvalidRange"):
        resolve_range("bytes=0-", 0, standard=True)
