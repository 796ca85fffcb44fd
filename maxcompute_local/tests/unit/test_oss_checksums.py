"""CRC-64: the function that is fast, the SDK's own, and joining what was summed apart."""

import random

import pytest

from maxcompute_local.oss import checksums, crc64
from maxcompute_local.oss.checksums import Checksums, StagedFile, checksums_of


def test_check_value():
    assert crc64.update(b"123456789", 0) == 0x995DC9BBDF1939FA
    assert crc64._of_the_sdk(b"123456789", 0) == 0x995DC9BBDF1939FA


@pytest.mark.parametrize("function", [crc64.update, crc64._of_the_sdk])
def test_pieces_and_combination_are_the_whole(function):
    chooser = random.Random(1)
    for _ in range(50):
        first = chooser.randbytes(chooser.choice([0, 1, 7, 100_000]))
        second = chooser.randbytes(chooser.choice([0, 1, 8, 65_537]))
        whole = function(first + second, 0)
        assert function(second, function(first, 0)) == whole
        assert crc64.combine(function(first, 0), function(second, 0), len(second)) == whole


@pytest.mark.parametrize("in_the_kernel", [True, False])
def test_files_are_joined_by_what_is_known_of_them(tmp_path, monkeypatch, in_the_kernel):
    if not in_the_kernel:
        monkeypatch.delattr(checksums.os, "copy_file_range", raising=False)
    content = random.Random(2).randbytes(3_000_001)
    pieces = [content[:1_500_000], b"", content[1_500_000:]]
    with StagedFile(tmp_path) as staged:
        for number, piece in enumerate(pieces):
            (path := tmp_path / f"part-{number}").write_bytes(piece)
            with path.open("rb") as source:
                staged.join(source, len(piece), crc64.update(piece, 0))
        staged.close()
        assert staged.path.read_bytes() == content
        with staged.path.open("rb") as file:
            expected: Checksums = checksums_of(file)
        assert (staged.sums.size, staged.sums.crc64) == (expected.size, expected.crc64)


def test_a_file_that_became_shorter_is_not_joined(tmp_path):
    (tmp_path / "part").write_bytes(b"short")
    with (
        StagedFile(tmp_path) as staged,
        (tmp_path / "part").open("rb") as source,
        pytest.raises(OSError, match="shorter"),
    ):
        staged.join(source, 6, 0)
