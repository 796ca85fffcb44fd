"""Functions of dates and times. Times of day and days are those of the session's time zone."""

from __future__ import annotations

import re

from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Typed, duck_cast, quote_text
from maxcompute_local.odps.sql.functions.registry import Call, declare, define

_NOW = "date_trunc('milliseconds', now())"
_UNITS = {
    **dict.fromkeys(("yyyy", "year"), "year"),
    **dict.fromkeys(("quarter", "q"), "quarter"),
    **dict.fromkeys(("mm", "month", "mon"), "month"),
    "week": "week",
    **dict.fromkeys(("dd", "day"), "day"),
    **dict.fromkeys(("hh", "hour"), "hour"),
    "mi": "minute",
    "ss": "second",
    "ff3": "millisecond",
}
_WEEKDAYS = {
    word: i
    for i, name in enumerate(
        ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"), start=1
    )
    for word in (name, name[:3], name[:2])
}
_DAY_UNITS = ("year", "quarter", "month", "week", "day")
_FORMAT = {"yyyy": "%Y", "mm": "%m", "dd": "%d", "hh": "%H", "mi": "%M", "ss": "%S", "ff3": "%g"}
_JAVA_FORMAT = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S", "SSS": "%g"}
_PARSED = {"yyyy": r"(\d{4})", **dict.fromkeys(("mm", "dd", "hh", "mi", "ss"), r"(\d{2})"), "ff3": r"(\d{3})"}

define("GETDATE NOW", "", "datetime", _NOW)
define("CURRENT_TIMESTAMP", "", "timestamp", _NOW)
define("CURRENT_DATE", "", "date", "current_date")
define("CURRENT_TIMEZONE", "", "string", "current_setting('TimeZone')")
define("FROM_UNIXTIME", "bigint", "datetime", "to_timestamp({0})")


def _moment(call: Call, i: int) -> Typed:
    """Return an argument that is a date or time; a string is a DATETIME in the 1.0 type system."""
    value = call.args[i]
    if value.kind in kinds.MOMENTS:
        return value
    return Typed(call.as_kind(i, "datetime"), "datetime")


def _plain(value: Typed) -> str:
    """Return a date or time in a type of which DuckDB's functions know the parts."""
    if value.kind == "timestamp":
        return f"CAST({value.sql} AS TIMESTAMPTZ)"
    return f"CAST({value.sql} AS TIMESTAMP)" if value.kind == "timestamp_ntz" else value.sql


def _loose(call: Call, i: int) -> Typed:
    """Return an argument that is a date or time or a string that begins with a date."""
    value = call.args[i]
    if kinds.is_text(value.kind) or value.kind == kinds.VOID:
        text = call.text(i)
        whole = f"CASE WHEN length({text}) = 10 THEN {text} || ' 00:00:00' ELSE {text} END"
        return call.convert.cast(Typed(whole, "string"), "datetime")
    return _moment(call, i)


def _tried(call: Call, i: int) -> str:
    """Return a string that is a date or time as a DATETIME; NULL for any other."""
    text = call.text(i)
    whole = f"CASE WHEN length({text}) = 10 THEN {text} || ' 00:00:00' ELSE {text} END"
    return call.convert.cast(Typed(whole, "string"), "datetime", attempt=True).sql


def _unit(call: Call, i: int, known: tuple[str, ...] | None = None) -> str:
    unit = _UNITS.get(call.constant(i).lower())
    if unit is None or (known is not None and unit not in known):
        raise call.refusal(f"does not know the unit {call.constant(i)!r}")
    return unit


@declare("DATEADD", 3, 3)
def _dateadd(call: Call) -> Typed:
    value, unit = _moment(call, 0), _unit(call, 2)
    if value.kind == "date" and unit not in _DAY_UNITS:
        raise call.refusal("of a DATE takes days and longer units only in the local cloud")
    step = f"to_{unit}s(CAST({call.bigint(1)} AS INTEGER))"
    if unit == "quarter":
        step = f"to_months(CAST(3 * {call.bigint(1)} AS INTEGER))"
    return Typed(duck_cast(f"{_plain(value)} + {step}", value.kind), value.kind)


@declare("DATEDIFF", 2, 3)
def _datediff(call: Call) -> Typed:
    """Count the boundaries of a unit between two times, not the time that passed."""
    later, earlier = call.convert.compared([_moment(call, 0), _moment(call, 1)], call.name)
    unit = _unit(call, 2) if call.has(2) else "day"
    if later.kind == "date":
        later, earlier = (Typed(duck_cast(v.sql, "timestamp_ntz"), "timestamp_ntz") for v in (later, earlier))
    sql = f"date_diff('{unit}', {_plain(earlier)}, {_plain(later)})"
    kind = "int" if call.convert.odps2 and not call.has(2) else "bigint"
    return Typed(duck_cast(sql, kind), kind)


@declare("DATEPART", 2, 2)
def _datepart(call: Call) -> Typed:
    return _part_of(_moment(call, 0), _unit(call, 1), "bigint")


def _part_of(value: Typed, unit: str, kind: str) -> Typed:
    sql = f"date_part('{unit}', {_plain(value)})"
    if unit == "millisecond":
        sql = f"{sql} % 1000"
    return Typed(duck_cast(sql, kind), kind)


@declare("YEAR QUARTER MONTH DAY DAYOFMONTH HOUR MINUTE SECOND DAYOFYEAR WEEKOFYEAR", 1, 1)
def _part(call: Call) -> Typed:
    unit = {"dayofmonth": "day", "dayofyear": "doy", "weekofyear": "week"}.get(call.name.lower())
    kind = "int" if call.convert.odps2 and call.name != "WEEKOFYEAR" else "bigint"
    return _part_of(_loose(call, 0), unit or call.name.lower(), kind)


@declare("EXTRACT", 2, 2)
def _extract(call: Call) -> Typed:
    unit = call.constant(0).lower()
    if unit not in ("year", "month", "day", "hour", "minute"):
        raise call.refusal(f"does not know {unit.upper()}")
    return _part_of(_moment(call, 1), unit, "int" if call.convert.odps2 else "bigint")


@declare("WEEKDAY", 1, 1)
def _weekday(call: Call) -> Typed:
    """Count from Monday, which is 0."""
    return Typed(f"CAST(date_part('isodow', {_plain(_moment(call, 0))}) - 1 AS BIGINT)", "bigint")


@declare("DAYOFWEEK", 1, 1)
def _dayofweek(call: Call) -> Typed:
    """Count from Sunday, which is 1."""
    kind = "int" if call.convert.odps2 else "bigint"
    return Typed(duck_cast(f"date_part('dow', {_plain(_loose(call, 0))}) + 1", kind), kind)


@declare("DATETRUNC", 2, 2)
def _datetrunc(call: Call) -> Typed:
    value, unit = _moment(call, 0), _unit(call, 1)
    return Typed(duck_cast(f"date_trunc('{unit}', {_plain(value)})", value.kind), value.kind)


@declare("LASTDAY", 1, 1)
def _lastday(call: Call) -> Typed:
    value = _moment(call, 0)
    return Typed(duck_cast(f"last_day({_as_date(value)})", "datetime"), "datetime")


@declare("LAST_DAY", 1, 1)
def _last_day(call: Call) -> Typed:
    return Typed(f"CAST(last_day({_as_date(_loose(call, 0))}) AS VARCHAR)", "string")


def _as_date(value: Typed) -> str:
    return f"CAST({_plain(value)} AS DATE)"


@declare("DATE_ADD DATE_SUB", 2, 2)
def _date_add(call: Call) -> Typed:
    sign = "-" if call.name == "DATE_SUB" else "+"
    return Typed(f"({_as_date(_loose(call, 0))} {sign} CAST({call.bigint(1)} AS INTEGER))", "date")


@declare("ADD_MONTHS", 2, 2)
def _add_months(call: Call) -> Typed:
    step = f"to_months(CAST({call.bigint(1)} AS INTEGER))"
    return Typed(f"CAST(CAST({_as_date(_loose(call, 0))} + {step} AS DATE) AS VARCHAR)", "string")


@declare("MONTHS_BETWEEN", 2, 2)
def _months_between(call: Call) -> Typed:
    """Count months of 31 days; whole ones between equal days and between the last days of months."""
    later, earlier = (f"CAST({_plain(_loose(call, i))} AS TIMESTAMP)" for i in (0, 1))
    return Typed(f"mc_months({later}, {earlier})", "double")


@declare("NEXT_DAY", 2, 2)
def _next_day(call: Call) -> Typed:
    day = _WEEKDAYS.get(call.constant(1).lower())
    if day is None:
        raise call.refusal(f"does not know the day {call.constant(1)!r}")
    return Typed(f"CAST(mc_next_day({_as_date(_loose(call, 0))}, {day}) AS VARCHAR)", "string")


@declare("FROM_UTC_TIMESTAMP", 2, 2)
def _from_utc_timestamp(call: Call) -> Typed:
    """Show a wall clock of the session, taken for one in UTC, in another zone."""
    value = call.args[0]
    if value.kind in kinds.INTEGERS:
        wall = f"CAST(to_timestamp({call.bigint(0)} / 1000.0) AS TIMESTAMP)"
    elif kinds.is_text(value.kind):
        wall = f"CAST({_tried(call, 0)} AS TIMESTAMP)"
    elif value.kind in ("datetime", "timestamp", "timestamp_ntz"):
        wall = f"CAST({_plain(value)} AS TIMESTAMP)"
    else:
        raise call.refusal(f"takes a BIGINT, STRING, DATETIME or TIMESTAMP, not {value.name}")
    missing = "error('ODPS-0121095:Invalid arguments - FROM_UTC_TIMESTAMP of NULL')"
    moved = f"timezone({call.text(1)}, timezone('UTC', {wall}))"
    found = f"CASE WHEN {value.sql} IS NULL THEN {missing} ELSE {moved} END"
    return call.convert.cast(Typed(duck_cast(found, "timestamp_ntz"), "timestamp_ntz"), "timestamp")


def sequence(call: Call) -> Typed:
    """Return the dates or times from one to another, both included, by an INTERVAL or else by days."""
    first, last = call.convert.unified(call.args[:2], call.name)
    if first.kind not in kinds.MOMENTS or (call.has(2) and call.args[2].kind != kinds.INTERVAL):
        raise call.refusal("takes two dates or times and an INTERVAL")
    if call.has(2) and call.constant(2) == "0":
        raise call.refusal("the INTERVAL must not be 0")
    unit = _UNITS[call.args[2].sql] if call.has(2) else "day"
    if first.kind == "date" and unit not in _DAY_UNITS:
        raise call.refusal("of DATEs takes days and longer units only in the local cloud")
    start, end = _plain(first), _plain(last)
    count = call.constant(2) if call.has(2) else f"CASE WHEN {start} <= {end} THEN 1 ELSE -1 END"
    # A count of units between two times may be one too many, where the last step goes beyond the end.
    steps = f"mc_steps(date_diff('{unit}', {start}, {end}), {start} <= {end}, {count})"
    moved = f"list_transform({steps}, lambda n: {start} + to_{unit}s(CAST(n AS INTEGER)))"
    within = f"list_filter({moved}, lambda v: v BETWEEN least({start}, {end}) AND greatest({start}, {end}))"
    kind = kinds.array_of(first.kind)
    return Typed(duck_cast(f"CASE WHEN {start} <= {end} OR {start} >= {end} THEN {within} END", kind), kind)


@declare("TO_DATE", 1, 2)
def _to_date(call: Call) -> Typed:
    """Read a date: without a format a DATE, with one a DATETIME; NULL for a text that does not fit."""
    if not call.has(1):
        return Typed(_as_date(_loose(call, 0)), "date")
    pattern, parts = _read_format(call, call.constant(1))
    found = f"regexp_extract({call.text(0)}, {quote_text(pattern)}, {[f'p{i}' for i in range(len(parts))]})"
    fill = {"yyyy": "", "mm": "01", "dd": "01", "hh": "00", "mi": "00", "ss": "00", "ff3": "000"}
    pieces = {
        unit: f"v.p{parts.index(unit)}" if unit in parts else f"'{default}'" for unit, default in fill.items()
    }
    p = pieces
    joined = (
        f"{p['yyyy']} || '-' || {p['mm']} || '-' || {p['dd']} || ' ' || {p['hh']} || ':' || {p['mi']} "
        f"|| ':' || {p['ss']} || '.' || {p['ff3']}"
    )
    read = f"list_transform([{found}], lambda v: TRY_CAST({joined} AS TIMESTAMPTZ))[1]"
    return Typed(f"CASE WHEN {call.text(0)} IS NOT NULL THEN {read} END", "datetime")


@declare("ISDATE", 2, 2)
def _isdate(call: Call) -> Typed:
    return Typed(f"({_to_date(call).sql} IS NOT NULL)", "boolean")


def _read_format(call: Call, text: str) -> tuple[str, list[str]]:
    """Return the regular expression of a format and its parts in order."""
    if re.search("hh(12|24)", text, re.IGNORECASE):
        raise call.refusal(f"does not know the format {text!r}")
    parts: list[str] = []
    pattern, end = "", 0
    for match in re.finditer("|".join(_PARSED), text, re.IGNORECASE):
        part = match[0].lower()
        if part in parts:
            raise call.refusal(f"the format {text!r} has {part} twice")
        parts.append(part)
        pattern += re.escape(text[end : match.start()]) + _PARSED[part]
        end = match.end()
    if "yyyy" not in parts:
        raise call.refusal(f"the format {text!r} has no yyyy")
    return f"^{pattern}{re.escape(text[end:])}$", parts


def _strftime_format(call: Call, text: str, known: dict[str, str], flags: re.RegexFlag) -> str:
    """Return DuckDB's form of a format; an error for letters in it that are no known part."""
    translated, end = "", 0
    for match in re.finditer("|".join(known), text, flags):
        translated += _literal(call, text, text[end : match.start()])
        translated += known[match[0].lower() if flags else match[0]]
        end = match.end()
    return quote_text(translated + _literal(call, text, text[end:]))


def _literal(call: Call, whole: str, piece: str) -> str:
    if re.search(r"[A-Za-z']|^(12|24)", piece.replace("T", "")):
        raise call.refusal(f"does not know the format {whole!r}")
    return piece.replace("%", "%%")


@declare("TO_CHAR", 1, 2)
def _to_char(call: Call) -> Typed:
    if not call.has(1):
        if not kinds.is_number(call.args[0].kind) and call.args[0].kind not in ("boolean", kinds.VOID):
            raise call.refusal(f"takes a number or BOOLEAN, or a date and a format, not {call.args[0].name}")
        return call.convert.cast(call.args[0], "string")
    form = _strftime_format(call, call.constant(1), _FORMAT, re.IGNORECASE)
    return Typed(f"strftime({_plain(_moment(call, 0))}, {form})", "string")


@declare("DATE_FORMAT", 2, 2)
def _date_format(call: Call) -> Typed:
    """Format with Java's letters. Those with two meanings on the page are refused: hh, YYYY, mi."""
    form = _strftime_format(call, call.constant(1), _JAVA_FORMAT, re.NOFLAG)
    return Typed(f"strftime({_plain(_moment(call, 0))}, {form})", "string")


@declare("UNIX_TIMESTAMP", 0, 1)
def _unix_timestamp(call: Call) -> Typed:
    when = _plain(_as_instant(_moment(call, 0))) if call.has(0) else "now()"
    return Typed(f"CAST(floor(epoch({when})) AS BIGINT)", "bigint")


@declare("TO_MILLIS", 1, 1)
def _to_millis(call: Call) -> Typed:
    return Typed(f"CAST(epoch_ms({_plain(_as_instant(_moment(call, 0)))}) AS BIGINT)", "bigint")


def _as_instant(value: Typed) -> Typed:
    return value if value.kind in kinds.INSTANTS else Typed(duck_cast(value.sql, "datetime"), "datetime")
