"""What the translated queries call in DuckDB: macros, and exact decimal arithmetic that DuckDB lacks."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal

import duckdb

_NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*"
_WHOLE = r"\s*[+-]?\d+\s*"
_PREFIX = r"^\s*[+-]?\d+(\.\d+)?"
_DAY = r"\d{4}-\d{2}-\d{2}"


def _illegal(value: str, target: str) -> str:
    text = (
        f"'ODPS-0123091:Illegal type cast - in function cast, value ''' || {value} || ''' cannot be casted "
    )
    return f"error({text}from String to ' || {target})"


MACROS = rf"""
CREATE MACRO mc_number(s, kind) AS CASE WHEN s IS NULL OR regexp_full_match(s, '{_NUMBER}') THEN s
    ELSE {_illegal("s", "kind")} END;
CREATE MACRO mc_try_number(s, kind) AS CASE WHEN regexp_full_match(s, '{_NUMBER}') THEN s
    ELSE nullif(regexp_extract(s, '{_PREFIX}'), '') END;
CREATE MACRO mc_whole(s) AS CASE WHEN regexp_full_match(s, '{_WHOLE}') THEN CAST(trim(s) AS HUGEINT)
    ELSE CAST(trunc(CAST(mc_number(s, 'Bigint') AS DOUBLE)) AS HUGEINT) END;
CREATE MACRO mc_try_whole(s) AS CASE WHEN regexp_full_match(s, '{_WHOLE}') THEN TRY_CAST(trim(s) AS HUGEINT)
    ELSE TRY_CAST(trunc(TRY_CAST(mc_try_number(s, 'Bigint') AS DOUBLE)) AS HUGEINT) END;
CREATE MACRO mc_digits(s, scale) AS CASE
    WHEN length(rtrim(regexp_extract(s, '\.(\d*)', 1), '0')) > scale
    THEN error('ODPS-0123091:Illegal type cast - ' || s || ' has more than ' || scale
        || ' decimals, round it first') ELSE s END;
CREATE MACRO mc_day(s) AS CASE WHEN s IS NULL OR regexp_full_match(s, '{_DAY}') THEN s
    ELSE {_illegal("s", "'Date'")} END;
CREATE MACRO mc_try_day(s) AS CASE WHEN regexp_full_match(s, '{_DAY}') THEN s END;
CREATE MACRO mc_moment(s, digits, kind) AS CASE
    WHEN s IS NULL OR regexp_full_match(s, '{_DAY} \d{{2}}:\d{{2}}:\d{{2}}(\.\d' || digits || ')?') THEN s
    ELSE {_illegal("s", "kind")} END;
CREATE MACRO mc_try_moment(s, digits, kind) AS CASE
    WHEN regexp_full_match(s, '{_DAY} \d{{2}}:\d{{2}}:\d{{2}}(\.\d' || digits || ')?') THEN s END;
CREATE MACRO mc_bigint(x) AS CASE WHEN x BETWEEN -9223372036854775807 AND 9223372036854775807 OR x IS NULL
    THEN CAST(x AS BIGINT) ELSE error('ODPS-0121095:Invalid arguments - BIGINT overflow: ' || x) END;
CREATE MACRO mc_finite(x) AS CASE WHEN isfinite(x) OR x IS NULL THEN x
    ELSE error('ODPS-0121095:Invalid arguments - not a finite number: ' || x) END;
CREATE MACRO mc_element(x, i) AS CASE WHEN i < 0 THEN NULL ELSE x[i + 1] END;
CREATE MACRO mc_substr(s, b) AS CASE WHEN s IS NULL OR b IS NULL THEN NULL
    WHEN b = 0 OR b < -length(s) THEN '' ELSE substr(s, b) END,
    (s, b, n) AS CASE WHEN s IS NULL OR b IS NULL OR n IS NULL THEN NULL
    WHEN n <= 0 OR b = 0 OR b < -length(s) THEN '' ELSE substr(s, b, n) END;
CREATE MACRO mc_pad(s, n, p) AS
    substr(repeat(p, CAST(ceil(n / length(p)) AS BIGINT)), 1, greatest(n - length(s), 0));
CREATE MACRO mc_lpad(s, n, p) AS CASE WHEN s IS NULL OR n IS NULL OR p IS NULL THEN NULL
    WHEN n <= 0 THEN '' WHEN length(s) >= n THEN left(s, n)
    WHEN p = '' THEN s ELSE mc_pad(s, n, p) || s END;
CREATE MACRO mc_rpad(s, n, p) AS CASE WHEN s IS NULL OR n IS NULL OR p IS NULL THEN NULL
    WHEN n <= 0 THEN '' WHEN length(s) >= n THEN left(s, n)
    WHEN p = '' THEN s ELSE s || mc_pad(s, n, p) END;
CREATE MACRO mc_pattern(p) AS CASE WHEN p = ''
    THEN error('ODPS-0121095:Invalid arguments - an empty pattern') ELSE p END;
CREATE MACRO mc_trim_tail(items) AS CASE WHEN items IS NULL THEN NULL
    ELSE list_slice(items, 1, coalesce(list_max(list_transform(items,
        lambda x, i: CASE WHEN x <> '' THEN i ELSE 0 END)), 0)) END;
CREATE MACRO mc_instr(s, t, b) AS CASE
    WHEN b < 1 THEN error('ODPS-0121095:Invalid arguments - the start position must be positive')
    WHEN strpos(substr(s, b), t) = 0 THEN 0 ELSE strpos(substr(s, b), t) + b - 1 END;
CREATE MACRO mc_instr_nth(s, t, b, n) AS CASE
    WHEN b < 1 THEN error('ODPS-0121095:Invalid arguments - the start position must be positive')
    WHEN n < 1 THEN error('ODPS-0121095:Invalid arguments - the number of the match must be positive')
    WHEN s IS NULL OR b IS NULL OR n IS NULL THEN NULL
    ELSE coalesce(list_filter(range(b, length(s) - length(t) + 2),
        lambda i: substr(s, i, length(t)) = t)[n], 0) END;
CREATE MACRO mc_nth_start(s, p, n) AS CASE WHEN s IS NULL OR p IS NULL THEN NULL
    WHEN len(regexp_extract_all(s, p)) < n THEN 0
    WHEN list_contains(regexp_extract_all(s, p), '')
        OR len(string_split_regex(s, p)) <> len(regexp_extract_all(s, p)) + 1
    THEN error('ODPS-0121095:Invalid arguments - the local cloud does not count matches of the pattern ' || p)
    ELSE CAST(list_sum(list_transform(string_split_regex(s, p)[:n], lambda x: length(x)))
        + coalesce(list_sum(list_transform(regexp_extract_all(s, p)[:n - 1], lambda x: length(x))), 0) + 1
        AS BIGINT) END;
CREATE MACRO mc_replace_nth(s, p, r, n) AS CASE WHEN mc_nth_start(s, p, n) = 0 THEN s
    ELSE left(s, mc_nth_start(s, p, n) - 1) || r
        || substr(s, mc_nth_start(s, p, n) + length(regexp_extract_all(s, p)[n])) END;
CREATE MACRO mc_json(j, p) AS CASE WHEN json_valid(j) THEN json_extract_string(j, p) END;
CREATE MACRO mc_part(s, sep, n) AS CASE
    WHEN n < 1 THEN error('ODPS-0121095:Invalid arguments - SPLIT_PART counts from 1')
    ELSE split_part(s, sep, n) END;
CREATE MACRO mc_positive(n) AS CASE WHEN n > 0 OR n IS NULL THEN n
    ELSE error('ODPS-0121095:Invalid arguments - a positive number expected') END;
"""

_EXACT = Context(prec=80, rounding=ROUND_HALF_UP)


def _rounded(value: Decimal, scale: int) -> str:
    return str(value.quantize(Decimal(1).scaleb(-scale), context=_EXACT))


def multiply(left: str, right: str, scale: int) -> str:
    """Return the product of two decimals with a number of digits behind the point, half rounded up."""
    return _rounded(_EXACT.multiply(Decimal(left), Decimal(right)), scale)


def divide(left: str, right: str, scale: int) -> str:
    """Return the quotient of two decimals as ``multiply`` does; the divisor is not zero."""
    return _rounded(_EXACT.divide(Decimal(left), Decimal(right)), scale)


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a database the macros and functions."""
    connection.execute(MACROS)
    for name, function in (("py_multiply", multiply), ("py_divide", divide)):
        connection.create_function(name, function, ["VARCHAR", "VARCHAR", "INTEGER"], "VARCHAR")
