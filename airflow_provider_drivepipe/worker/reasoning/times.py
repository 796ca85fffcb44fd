"""Times as models write them, read into whole milliseconds on the video's own clock. Runs in DPE workers.

A time is a clock (``1:05``, ``00:00:12.5``), an amount with its unit (``14 s``, ``1 min 5 s``, ``1分5秒``),
or a number alone, whose unit is that of the field: milliseconds for ``start_ms``, else seconds. In a sentence
only clocks and amounts count, and only when there is one: "The 2 cars collide at 14 s" is 14,000 ms, and
"between 5 s and 9 s" is no time but a range. What is not certain is None, never a guess.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

SLACK_MS = 1000
"""How far behind the end of a video a time may be, as models name whole seconds; it is taken for the end."""

_LONGEST_TEXT = 20_000
_LARGEST_MS = 10**12
_NUMBER = r"[0-9]{1,13}(?:\.[0-9]{1,9})?"
_SECONDS = r"(?:seconds?|secs?|s|秒钟|秒)(?![a-z])"
_UNITS = (
    ("h", 3_600_000, r"(?:hours?|hrs?|h|小时)(?![a-z])"),
    # An m alone is a metre, unless seconds follow.
    ("min", 60_000, rf"(?:(?:minutes?|mins?|分钟|分)(?![a-z])|m(?=\s*{_NUMBER}\s*{_SECONDS}))"),
    ("s", 1000, _SECONDS),
    ("ms", 1, r"(?:milliseconds?|millis|msecs?|ms|毫秒)(?![a-z])"),
)
_UNIT = f"(?:{'|'.join(unit for *_, unit in _UNITS)})"
_TO = r"\s*(?:-|–|—|~|to|and|until|至|到|和)\s*"
_CLOCK_FORM = (
    r"(?<![0-9.])(?<![0-9]COLON)(?:[0-9]{1,2}COLON)?[0-9]{1,3}COLON[0-5][0-9](?:[.,][0-9]{1,9})?"
    # A colon may follow, as in "00:06.0: the car brakes".
    r"(?![0-9]|[.COLON][0-9])"
)
_CLOCK = _CLOCK_FORM.replace("COLON", ":")
_AMOUNT = rf"(?<![a-z0-9_.:])(?={_NUMBER}\s*{_UNIT})" + "".join(
    rf"\s*(?:(?P<{name}>{_NUMBER})\s*{unit})?" for name, _, unit in _UNITS
)
_ALONE = re.compile(_NUMBER)
_PAIR = re.compile(rf"({_NUMBER}){_TO}({_NUMBER})", re.IGNORECASE)
_ONE_UNIT = re.compile(rf"({_NUMBER})({_TO})({_NUMBER})(\s*{_UNIT})", re.IGNORECASE)
_CLOCKS = re.compile(_CLOCK)
_TIMES = re.compile(f"(?P<clock>{_CLOCK})|{_AMOUNT}", re.IGNORECASE)
_PRINTED = re.compile(
    rf"(?P<clock>{_CLOCK}|{_CLOCK_FORM.replace('COLON', '：')})"
    r"(?:\s?(?:(?:s|secs|seconds)\b|秒钟?))?"
)
"""A clock in a text, with the unit that some models put behind it; colons may be full-width."""
_FRACTION = re.compile(r"[.,][0-9]+$")
_NO_TIME_AFTER = re.compile(
    r"(?:\b(?:ratio|scale|aspect|score|odds)\W+(?:(?:is|was|of)\W+)?|(?:比例尺?|宽高比|比分)[为是：:]?|"
    r"(?:上午|下午|早上|早晨|晚上|夜里|凌晨|中午|傍晚)|[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}T?|[0-9]日)\s*$",
    re.IGNORECASE,
)
_NO_TIME_BEFORE = re.compile(
    r"\s?(?:[ap]\.?m\b|o['\u2019]clock|(?:ratio|scale|aspect|score)\b)", re.IGNORECASE
)
"""Words beside which stand times of day, ratios and scores."""
_NEAR = 24
_START_NAMES = ("start_mmss", "start_ms", "start", "start_time", "开始时间")
_END_NAMES = ("end_mmss", "end_ms", "end", "end_time", "结束时间")


@dataclass(frozen=True)
class TimeRange:
    """A part of a video, in milliseconds; :func:`in_video` says whether it is one that can be."""

    start_ms: int
    end_ms: int

    def overlap(self, other: TimeRange) -> float:
        """Return how much of the two together both have, 0 to 1."""
        both = min(self.end_ms, other.end_ms) - max(self.start_ms, other.start_ms)
        either = max(self.end_ms, other.end_ms) - min(self.start_ms, other.start_ms)
        return max(0.0, both / either) if either > 0 else 0.0


def read_time(value: object, field: str = "") -> int | None:
    """Return a time in milliseconds; None where there is none, or not exactly one.

    A number with a fraction where ``field`` asks for milliseconds is None: it may well be seconds.

    :param value: a number or a text, as it stands in a model's answer.
    :param field: name of the field; one that ends in ``_ms`` holds milliseconds, any other (``start``,
        ``start_mmss``) seconds.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, Real):
        return _in_unit_of(field, float(value))
    if not isinstance(value, str):
        return None
    text = _plain(value)
    if _ALONE.fullmatch(text):
        return _in_unit_of(field, float(text))
    times = set(_times(text))
    return times.pop() if len(times) == 1 else None


def read_range(value: object, field: str = "") -> TimeRange | None:
    """Return the part of a video that a value names; None unless it names two times.

    :param value: a text (``Start_Time: [00:05], End_Time: [00:09]``, ``5-9 s``), a list of two times, or an
        object with a start and an end.
    :param field: as for :func:`read_time`; the names in an object say it for themselves.
    """
    if isinstance(value, Mapping):
        return _range(_named_time(value, _START_NAMES), _named_time(value, _END_NAMES))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return _range(*(read_time(one, field) for one in value)) if len(value) == 2 else None
    if not isinstance(value, str):
        return None
    text = _plain(value)
    alone = _PAIR.fullmatch(text)
    if alone:
        return _range(*(_in_unit_of(field, float(number)) for number in alone.groups()))
    times = list(_times(text))
    return _range(*times) if len(times) == 2 else None


def clock_times(text: str) -> list[int]:
    """Return all clocks in a text, as ``00:05`` is one, in milliseconds and in their order."""
    clocks = _CLOCKS.findall(_plain(text))
    return [time for time in map(_of_clock, clocks) if time is not None]


def with_plain_clocks(text: str) -> str:
    """Return a text in which every clock is ``MM:SS``, from one hour on ``HH:MM:SS``, for the export.

    Times of day, ratios and scores that the words beside them tell apart stay as they are.
    """
    return _PRINTED.sub(_printed, text)


def with_plain_tenths(text: str) -> str:
    """Return a text in which every clock with a fraction of a second becomes ``MM:SS``.

    Others stay as they are: where a text speaks of what a scene shows, they may be clocks on a wall.
    """
    return _PRINTED.sub(lambda found: _printed(found) if _FRACTION.search(found["clock"]) else found[0], text)


def in_video(part: TimeRange, duration_ms: int) -> TimeRange | None:
    """Return the range, its end not behind that of the video; None where it is no part of the video.

    An end up to ``SLACK_MS`` behind the video's is taken for it. None too unless it starts before it ends.
    """
    end = clamped(part.end_ms, duration_ms)
    if end is None or not 0 <= part.start_ms < end:
        return None
    return TimeRange(part.start_ms, end)


def clamped(time_ms: int, duration_ms: int) -> int | None:
    """Return a time, at most the video's duration; None where it is further out than ``SLACK_MS``."""
    return min(time_ms, duration_ms) if 0 <= time_ms <= duration_ms + SLACK_MS else None


def clock(time_ms: int, *, up: bool = False) -> str:
    """Return ``MM:SS``, from one hour on ``HH:MM:SS``: the second that has begun, or with ``up`` the next."""
    seconds = -(-time_ms // 1000) if up else time_ms // 1000
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}" if hour else f"{minute:02}:{second:02}"


def clocks(part: TimeRange) -> tuple[str, str]:
    """Return start and end for people and for the export: whole seconds that hold all of the range.

    So a range that starts before it ends does so in print too.
    """
    return clock(part.start_ms), clock(part.end_ms, up=True)


def _printed(found: re.Match[str]) -> str:
    """Return a clock in a text as the export has it; what is none, as it is."""
    text, (start, end) = found.string, found.span()
    is_none = _NO_TIME_AFTER.search(text, max(0, start - _NEAR), start) or _NO_TIME_BEFORE.match(text, end)
    time = None if is_none else _of_clock(found["clock"])
    return found[0] if time is None else clock(time)


def _named_time(values: Mapping[str, object], names: Sequence[str]) -> int | None:
    """Return the time in the first of the fields ``names`` that is there; None where it holds none."""
    name = next((name for name in names if values.get(name) is not None), None)
    return None if name is None else read_time(values[name], name)


def _range(start: int | None, end: int | None) -> TimeRange | None:
    return None if start is None or end is None else TimeRange(start, end)


def _plain(text: str) -> str:
    """Return a text with plain digits and colons, without quotes and brackets around it."""
    return unicodedata.normalize("NFKC", text[:_LONGEST_TEXT]).strip(" \t\r\n\"'`*[](){}<>")


def _in_unit_of(field: str, number: float) -> int | None:
    if not math.isfinite(number) or number < 0:
        return None
    if field.strip().casefold().endswith("_ms"):
        return _checked(number) if number == int(number) else None
    return _checked(number * 1000)


def _checked(milliseconds: float) -> int | None:
    return round(milliseconds) if 0 <= milliseconds <= _LARGEST_MS else None


def _times(text: str) -> Iterator[int]:
    """Yield the clocks and amounts of a text; the two of ``5-9 s`` have one unit."""
    if text.startswith(("-", "−")):
        return
    for found in _TIMES.finditer(_ONE_UNIT.sub(r"\1\4\2\3\4", text)):
        clock_text = found["clock"]
        time = _of_clock(clock_text) if clock_text else _of_amount(found.groupdict())
        if time is not None:
            yield time


def _of_amount(numbers: Mapping[str, str | None]) -> int | None:
    return _checked(sum(float(numbers[name] or 0) * scale for name, scale, _ in _UNITS))


def _of_clock(text: str) -> int | None:
    """Return a clock in milliseconds; None for one that shows more than 59 minutes beside hours."""
    *hours, minutes, seconds = text.replace(",", ".").replace("：", ":").split(":")
    if hours and int(minutes) > 59:
        return None
    whole = (int(hours[0]) if hours else 0) * 3600 + int(minutes) * 60
    return whole * 1000 + round(float(seconds) * 1000)
