"""The functions that queries may call, with MaxCompute's meaning, and the DuckDB macros behind them.

A function that is not listed here is refused: DuckDB may know the name with another meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp
from sqlglot.parsers.hive import HiveParser

from airflow_provider_drivepipe.local.odps import errors

_NESTED = (
    "(typeof(x) LIKE '%[]' OR typeof(x) LIKE 'MAP(%' OR typeof(x) LIKE 'STRUCT(%' OR typeof(x) = 'BLOB')"
)

MACROS = rf"""
CREATE MACRO mc_text(x) AS CASE
    WHEN typeof(x) = 'TIMESTAMP WITH TIME ZONE'
        THEN regexp_replace(CAST(x AS VARCHAR), '(\.[0-9]+)?[+-][0-9:]+$', '')
    WHEN typeof(x) = 'TIMESTAMPTZ_NS' THEN regexp_replace(CAST(x AS VARCHAR), '[+-][0-9:]+$', '')
    WHEN {_NESTED} THEN error('cannot convert ' || typeof(x) || ' to STRING')
    ELSE CAST(x AS VARCHAR) END;
CREATE MACRO mc_integer(x) AS trunc(CAST(x AS DECIMAL(38,18)));
CREATE MACRO mc_try_integer(x) AS trunc(TRY_CAST(x AS DECIMAL(38,18)));
CREATE MACRO mc_element(x, i) AS CASE
    WHEN typeof(x) LIKE 'MAP(%' THEN error('a MAP with integer keys cannot be indexed in the local cloud')
    WHEN i < 0 THEN NULL ELSE x[i + 1] END;
CREATE MACRO mc_substr(s, b) AS CASE
    WHEN b < -length(mc_text(s)) THEN '' ELSE substr(mc_text(s), CASE b WHEN 0 THEN 1 ELSE b END) END,
    (s, b, n) AS CASE WHEN n <= 0 OR b < -length(mc_text(s)) THEN ''
    ELSE substr(mc_text(s), CASE b WHEN 0 THEN 1 ELSE b END, n) END;
CREATE MACRO mc_json(j, p) AS CASE WHEN json_valid(j) THEN json_extract_string(j, p) END;
CREATE MACRO mc_datetime(x) AS CASE
    WHEN typeof(x) = 'DATE' THEN error('DATE arguments are not supported by the local cloud, use DATETIME')
    ELSE CAST(x AS TIMESTAMPTZ) END;
"""

_SAME_MEANING = (
    "ABS",
    "ACOS",
    "ANY_VALUE",
    "ARRAY",
    "ARRAY_CONTAINS",
    "ASIN",
    "ATAN",
    "AVG",
    "CBRT",
    "COALESCE",
    "COLLECT_LIST",
    "COLLECT_SET",
    "COS",
    "COUNT",
    "CUME_DIST",
    "DENSE_RANK",
    "EXP",
    "EXPLODE",
    "FIRST_VALUE",
    "IF",
    "LAG",
    "LAST_VALUE",
    "LEAD",
    "LENGTH",
    "LN",
    "LOWER",
    "LPAD",
    "LTRIM",
    "MAP",
    "MAP_KEYS",
    "MAX",
    "MD5",
    "MIN",
    "NAMED_STRUCT",
    "NTILE",
    "NULLIF",
    "NVL",
    "PERCENT_RANK",
    "PI",
    "POSEXPLODE",
    "POW",
    "POWER",
    "RANK",
    "REGEXP_EXTRACT",
    "REPEAT",
    "REPLACE",
    "REVERSE",
    "ROUND",
    "ROW_NUMBER",
    "RPAD",
    "RTRIM",
    "SHA",
    "SHA1",
    "SIN",
    "SIZE",
    "SPLIT",
    "SPLIT_PART",
    "SQRT",
    "STDDEV_SAMP",
    "SUM",
    "TAN",
    "UPPER",
    "VAR_SAMP",
)

Builder = Callable[[list[Any]], exp.Expr]


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """Return a call of a DuckDB function or of one of our macros."""
    node = exp.Anonymous(this=name, expressions=list(arguments))
    node.meta["known"] = True
    return node


def is_known(node: exp.Anonymous) -> bool:
    """Return whether a call was made by ``call``, not by the query's author."""
    return bool(node.meta.get("known"))


def text(node: exp.Expr) -> exp.Expr:
    """Return an expression converted to STRING."""
    return node if node.is_string else call("mc_text", node)


def _renamed(duck_name: str, *counts: int) -> Builder:
    def build(arguments: list[Any]) -> exp.Expr:
        _require_count(duck_name, arguments, counts)
        return call(duck_name, *arguments)

    return build


def _require_count(name: str, arguments: Sequence[Any], counts: Sequence[int]) -> None:
    if len(arguments) not in counts:
        expected = " or ".join(map(str, counts))
        raise errors.parse_error(f"function {name} takes {expected} arguments in the local cloud")


def _concat(arguments: list[Any]) -> exp.Expr:
    _require_count("CONCAT", arguments, range(1, 1000))
    result = text(arguments[0])
    for argument in arguments[1:]:
        result = exp.DPipe(this=result, expression=text(argument), safe=True)
    return exp.Paren(this=result)


def _concat_ws(arguments: list[Any]) -> exp.Expr:
    _require_count("CONCAT_WS", arguments, range(2, 1000))
    separator, *rest = arguments
    parts = [rest[0]]
    for part in rest[1:]:
        parts += [separator.copy(), part]
    return _concat(parts)


def _sha2(arguments: list[Any]) -> exp.Expr:
    _require_count("SHA2", arguments, (2,))
    if arguments[1].name not in ("256", "0"):
        raise errors.parse_error("function SHA2 supports only 256 bits in the local cloud")
    return call("sha256", arguments[0])


def _get_json_object(arguments: list[Any]) -> exp.Expr:
    _require_count("GET_JSON_OBJECT", arguments, (2,))
    if not arguments[1].is_string or "*" in arguments[1].name:
        raise errors.parse_error(
            "function GET_JSON_OBJECT takes a literal path without wildcards in the local cloud"
        )
    return call("mc_json", *arguments)


def _wm_concat(arguments: list[Any]) -> exp.Expr:
    _require_count("WM_CONCAT", arguments, (2,))
    separator, values = arguments
    if not separator.is_string:
        raise errors.parse_error("function WM_CONCAT takes a literal separator in the local cloud")
    return call("string_agg", text(values), separator)


def _regexp_replace(arguments: list[Any]) -> exp.Expr:
    _require_count("REGEXP_REPLACE", arguments, (3,))
    return call("regexp_replace", *arguments, exp.Literal.string("g"))


def _rand(arguments: list[Any]) -> exp.Expr:
    _require_count("RAND", arguments, (0,))
    return call("random")


# Dates. Units and formats must be literals, as in nearly all queries.

_UNITS = {
    **dict.fromkeys(("yyyy", "year"), "year"),
    **dict.fromkeys(("mm", "month", "mon"), "month"),
    **dict.fromkeys(("dd", "day"), "day"),
    **dict.fromkeys(("hh", "hour"), "hour"),
    "mi": "minute",
    "ss": "second",
}
_FORMAT_PARTS = {"yyyy": "%Y", "mm": "%m", "dd": "%d", "hh": "%H", "mi": "%M", "ss": "%S", "ff3": "%g"}


def _unit(function: str, node: exp.Expr) -> str:
    unit = _UNITS.get(node.name.lower()) if node.is_string else None
    if unit is None:
        raise errors.parse_error(f"function {function} does not know the unit {node.sql()}")
    return unit


def _format(function: str, node: exp.Expr) -> exp.Expr:
    if not node.is_string or "%" in node.name:
        raise errors.parse_error(f"function {function} takes a literal format in the local cloud")
    pattern = re.compile("|".join(_FORMAT_PARTS), re.IGNORECASE)
    translated = pattern.sub(lambda match: _FORMAT_PARTS[match[0].lower()], node.name)
    if re.search(r"[A-Za-z]", re.sub(r"%[A-Za-z]", "", translated).replace("T", "")):
        raise errors.parse_error(f"function {function} does not know the format {node.sql()}")
    return exp.Literal.string(translated)


def _dateadd(arguments: list[Any]) -> exp.Expr:
    _require_count("DATEADD", arguments, (3,))
    when, amount, unit = arguments
    to_interval = f"to_{_unit('DATEADD', unit)}s"
    step = exp.Cast(this=amount, to=exp.DataType.build("int"))
    step.meta["plain"] = True
    return exp.Paren(this=exp.Add(this=call("mc_datetime", when), expression=call(to_interval, step)))


def _datediff(arguments: list[Any]) -> exp.Expr:
    _require_count("DATEDIFF", arguments, (2, 3))
    unit = _unit("DATEDIFF", arguments[2]) if len(arguments) == 3 else "day"
    later, earlier = (exp.Anonymous(this="mc_datetime", expressions=[a]) for a in arguments[:2])
    for node in (later, earlier):
        node.meta["known"] = True
    return call("date_diff", exp.Literal.string(unit), earlier, later)


def _datepart(arguments: list[Any]) -> exp.Expr:
    _require_count("DATEPART", arguments, (2,))
    unit = exp.Literal.string(_unit("DATEPART", arguments[1]))
    return call("date_part", unit, _to_timestamp(arguments[0]))


def _part(unit: str) -> Builder:
    def build(arguments: list[Any]) -> exp.Expr:
        _require_count(unit.upper(), arguments, (1,))
        return call("date_part", exp.Literal.string(unit), _to_timestamp(arguments[0]))

    return build


def _to_timestamp(node: exp.Expr) -> exp.Expr:
    cast = exp.Cast(this=node, to=exp.DataType.build("timestamptz"))
    cast.meta["plain"] = True
    return cast


def _to_char(arguments: list[Any]) -> exp.Expr:
    _require_count("TO_CHAR", arguments, (1, 2))
    if len(arguments) == 1:
        return text(arguments[0])
    return call("strftime", _to_timestamp(arguments[0]), _format("TO_CHAR", arguments[1]))


def _to_date(arguments: list[Any]) -> exp.Expr:
    _require_count("TO_DATE", arguments, (2,))
    return _to_timestamp(call("strptime", arguments[0], _format("TO_DATE", arguments[1])))


def _unix_timestamp(arguments: list[Any]) -> exp.Expr:
    _require_count("UNIX_TIMESTAMP", arguments, (0, 1))
    when = _to_timestamp(arguments[0]) if arguments else call("now")
    seconds = exp.Cast(this=call("floor", call("epoch", when)), to=exp.DataType.build("bigint"))
    seconds.meta["plain"] = True
    return seconds


FUNCTIONS: dict[str, Any] = {
    **{name: HiveParser.FUNCTIONS[name] for name in _SAME_MEANING},
    "CONCAT": _concat,
    "CONCAT_WS": _concat_ws,
    "COUNT_IF": _renamed("count_if", 1),
    "CURRENT_TIMESTAMP": _renamed("now", 0),
    "DATEADD": _dateadd,
    "DATEDIFF": _datediff,
    "DATEPART": _datepart,
    "DAY": _part("day"),
    "FROM_UNIXTIME": _renamed("to_timestamp", 1),
    "GETDATE": _renamed("now", 0),
    "GET_JSON_OBJECT": _get_json_object,
    "HOUR": _part("hour"),
    "INSTR": _renamed("strpos", 2),
    "LENGTHB": _renamed("strlen", 1),
    "MINUTE": _part("minute"),
    "MONTH": _part("month"),
    "NOW": _renamed("now", 0),
    "RAND": _rand,
    "REGEXP_REPLACE": _regexp_replace,
    "SECOND": _part("second"),
    "SHA2": _sha2,
    "STDDEV": _renamed("stddev_pop", 1),
    "SUBSTR": _renamed("mc_substr", 2, 3),
    "SUBSTRING": _renamed("mc_substr", 2, 3),
    "TOLOWER": _renamed("lower", 1),
    "TOUPPER": _renamed("upper", 1),
    "TO_CHAR": _to_char,
    "TO_DATE": _to_date,
    "TRUNC": _renamed("trunc", 1),
    "UNIX_TIMESTAMP": _unix_timestamp,
    "UUID": lambda _arguments: text(call("uuid")),
    "VARIANCE": _renamed("var_pop", 1),
    "VAR_POP": _renamed("var_pop", 1),
    "STDDEV_POP": _renamed("stddev_pop", 1),
    "WM_CONCAT": _wm_concat,
    "YEAR": _part("year"),
}
