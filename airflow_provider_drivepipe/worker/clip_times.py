"""When the images of a clip were taken: from a file of timestamps, or from epoch times in file names.

Runs in DPE workers: standard library only. A file of timestamps lies in the clip's directory and is one of

- ``timestamps.txt``: one time per line, in the natural order of the images; lines with ``#`` are comments;
- ``timestamps.csv``: the same, or with a header: a column ``timestamp`` (or ``timestamp_s``, ``_ms``, ``_us``
  or ``_ns``, which says the unit) and optionally ``file``;
- ``timestamps.json``: an array of times in the natural order of the images, or an object of file name to
  time.

A time is a number, or ``YYYY-MM-DD HH:MM:SS[.fraction]`` in UTC (also with ``T`` and ``Z``). It is rounded to
whole milliseconds.
"""

from __future__ import annotations

import csv
import errno
import io
import itertools
import json
import os
import pathlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NoReturn

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.errors import VideoError

MAX_SIDECAR_BYTES = 32 << 20

_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?([eE]\+?[0-9]{1,2})?")
_DATE = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?Z?")
_EPOCH_IN_NAME = re.compile(r"(?:^|[^0-9])([0-9]{13}|[0-9]{16}|[0-9]{19})$")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_FIRST_EPOCH_SECOND, _LAST_EPOCH_SECOND = 10**9, 10**10
"""Epoch times from 2001 to 2286 have a size that tells their unit."""
_MAX_MS = 10**15
_FILE_COLUMNS = ("file", "filename", "file_name")


@dataclass(frozen=True)
class _Entries:
    """What a file of timestamps says: times as text, with the files' names if it has them."""

    times: list[str]
    files: list[str] | None = None
    unit: str | None = None


def sidecar_times(
    folder: pathlib.Path, sidecars: Sequence[str], names: Sequence[str], unit: str
) -> dict[str, int]:
    """Return the time of each image in milliseconds, by the clip's file of timestamps.

    :param sidecars: the one file of timestamps.
    :param names: all images in natural order.
    :param unit: ``s``, ``ms``, ``us``, ``ns``, or ``auto`` for epoch times of any of these.

    Raises VideoError (``invalid_timestamps``) for a file that cannot be read as described, has another number
    of times than there are images, or times that go back. Images that a file with names does not name have
    no entry in the result.
    """
    if len(sidecars) > 1:
        raise _invalid(f"there are {len(sidecars)} files of timestamps; one is expected")
    name = sidecars[0]
    kind = name.lower().rpartition(".")[2]
    try:
        entries = _PARSERS[kind](_read(folder / name))
        times = _milliseconds(entries.times, entries.unit or unit)
        if entries.files is not None:
            return _by_name(entries.files, times)
        if len(times) != len(names):
            raise _invalid(f"{len(times)} times for {len(names)} images")
        if any(later < earlier for earlier, later in itertools.pairwise(times)):
            raise _invalid("times go back")
        return dict(zip(names, times, strict=True))
    except VideoError as error:
        raise VideoError(error.reason, f"{name.lower()}: {error}") from error


def times_in_names(names: Sequence[str]) -> dict[str, int]:
    """Return the time of each image in milliseconds if all file names end in epoch times of one unit.

    Milliseconds, microseconds and nanoseconds are told apart by their 13, 16 or 19 digits. Empty when
    any name ends in something else.
    """
    found = {name: _EPOCH_IN_NAME.search(name.rpartition(".")[0]) for name in names}
    texts = {name: match.group(1) for name, match in found.items() if match}
    digits = {len(text) for text in texts.values()}
    if len(texts) < len(names) or len(digits) != 1 or any(text.startswith("0") for text in texts.values()):
        return {}
    per_millisecond = 10 ** (digits.pop() - 13)
    return {name: _rounded(Decimal(text) / per_millisecond) for name, text in texts.items()}


def _invalid(message: str) -> VideoError:
    return VideoError(Reason.INVALID_TIMESTAMPS, message)


def _read(path: pathlib.Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _invalid("it is a link") from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(MAX_SIDECAR_BYTES + 1)
    if len(content) > MAX_SIDECAR_BYTES:
        raise _invalid(f"it has more than {MAX_SIDECAR_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _invalid("it is not UTF-8 text") from error


def _parse_text(text: str) -> _Entries:
    lines = [line.strip() for line in text.rstrip().split("\n")]
    return _Entries([line for line in lines if not line.startswith("#")])


def _parse_csv(text: str) -> _Entries:
    try:
        rows = list(csv.reader(io.StringIO(text.rstrip()), strict=True))
    except csv.Error as error:
        raise _invalid("it is not a CSV file") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    width = len(header)
    for number, row in enumerate(rows, 1):
        if len(row) != width:
            raise _invalid(f"line {number} has {len(row)} cells, not {width}")
    time_columns = [at for at, cell in enumerate(header) if cell.partition("_")[0] == "timestamp"]
    if not time_columns and width == 1:
        return _Entries([row[0].strip() for row in rows])
    if len(time_columns) != 1:
        raise _invalid(f"{len(time_columns)} columns are called timestamp; one is expected")
    time_at = time_columns[0]
    unit = header[time_at].partition("_")[2]
    if unit and unit not in _PER_SECOND:
        raise _invalid(f"the unit of a timestamp column is one of {', '.join(_PER_SECOND)}")
    times = [row[time_at].strip() for row in rows[1:]]
    file_at = next((at for at, cell in enumerate(header) if cell in _FILE_COLUMNS), None)
    files = [row[file_at].strip() for row in rows[1:]] if file_at is not None else None
    return _Entries(times, files, unit or None)


def _parse_json(text: str) -> _Entries:
    try:
        # Numbers stay text: a float cannot hold nanoseconds since 1970. An object becomes its pairs, so
        # that a file named twice is seen.
        value = json.loads(
            text, parse_int=str, parse_float=str, parse_constant=_not_finite, object_pairs_hook=_Pairs
        )
    except (ValueError, RecursionError) as error:
        raise _invalid("it is not JSON") from error
    times = [time for _, time in value] if isinstance(value, _Pairs) else value
    if not isinstance(times, list) or not all(isinstance(time, str) for time in times):
        raise _invalid("it is neither an array of times nor an object of file name to time")
    return _Entries(times, [file for file, _ in value] if isinstance(value, _Pairs) else None)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written."""


def _not_finite(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


_PARSERS: dict[str, Callable[[str], _Entries]] = {"txt": _parse_text, "csv": _parse_csv, "json": _parse_json}


def _by_name(files: Sequence[str], times: Sequence[int]) -> dict[str, int]:
    by_name = dict(zip(files, times, strict=True))
    if len(by_name) < len(files):
        raise _invalid("it names a file twice")
    return by_name


def _milliseconds(texts: Sequence[str], unit: str) -> list[int]:
    if not texts:
        raise _invalid("it holds no times")
    if _DATE.fullmatch(texts[0]):
        return [_date_ms(number, text) for number, text in enumerate(texts, 1)]
    for number, text in enumerate(texts, 1):
        if not _NUMBER.fullmatch(text):
            raise _invalid(f"time {number} is not a number")
    numbers = [Decimal(text) for text in texts]
    per_second = _PER_SECOND[unit] if unit != "auto" else _guess(numbers)
    scale = Decimal(1000) / per_second
    if max(numbers) * scale > _MAX_MS:
        raise _invalid("times are too large")
    return [_rounded(number * scale) for number in numbers]


def _rounded(milliseconds: Decimal) -> int:
    """Return the nearest whole number: seconds that were once a float are a little less than they were."""
    return int(milliseconds.to_integral_value(ROUND_HALF_UP))


def _guess(numbers: Sequence[Decimal]) -> int:
    """Return the units per second of epoch times, which their size tells."""
    lowest, highest = min(numbers), max(numbers)
    for per_second in _PER_SECOND.values():
        if _FIRST_EPOCH_SECOND * per_second <= lowest and highest < _LAST_EPOCH_SECOND * per_second:
            return per_second
    raise _invalid("the unit cannot be told from the numbers; say it in the scenario")


def _date_ms(number: int, text: str) -> int:
    match = _DATE.fullmatch(text)
    if match is None:
        raise _invalid(f"time {number} is not a date and time")
    day, clock, fraction = match.groups()
    try:
        seconds = int(datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise _invalid(f"time {number} does not exist") from error
    return seconds * 1000 + _rounded(Decimal(f"0.{fraction or 0}") * 1000)
