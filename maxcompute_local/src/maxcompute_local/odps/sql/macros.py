"""What the translated queries call in DuckDB: macros."""

from __future__ import annotations

import duckdb

from maxcompute_local.odps.sql import routines

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
CREATE MACRO mc_join(items, sep) AS CASE WHEN sep IS NULL OR items IS NULL THEN NULL
    WHEN len(list_filter(items, lambda v: v IS NOT NULL)) = 0 THEN ''
    ELSE list_reduce(list_filter(items, lambda v: v IS NOT NULL), lambda a, b: a || sep || b) END;
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
CREATE MACRO mc_place(p) AS CASE WHEN p BETWEEN 0 AND 1 THEN p
    ELSE error('ODPS-0121095:Invalid arguments - a percentile must be between 0 and 1') END;
CREATE MACRO mc_between(s, i) AS CAST(s[CAST(floor(i) AS BIGINT) + 1] AS DOUBLE) + (i - floor(i))
    * (s[CAST(ceil(i) AS BIGINT) + 1] - s[CAST(floor(i) AS BIGINT) + 1]);
CREATE MACRO mc_percentile(s, p) AS mc_between(s, mc_place(p) * (len(s) - 1));
CREATE MACRO mc_at_index(s, i) AS CASE WHEN i <= 1 THEN s[1] WHEN i >= len(s) - 1 THEN s[len(s)]
    WHEN i = floor(i) THEN s[CAST(i AS BIGINT)] + (s[CAST(i AS BIGINT) + 1] - s[CAST(i AS BIGINT)]) * 0.5
    ELSE s[CAST(ceil(i) AS BIGINT)] END;
CREATE MACRO mc_percentile_approx(s, p) AS mc_at_index(s, mc_place(p) * len(s));
CREATE MACRO mc_distinct(items) AS list_filter(items, lambda x, i: list_position(items, x) = i);
CREATE MACRO mc_any(items) AS CASE WHEN items IS NULL THEN NULL WHEN list_contains(items, true) THEN true
    WHEN list_position(items, NULL) IS NULL THEN false END;
CREATE MACRO mc_all(items) AS CASE WHEN items IS NULL THEN NULL WHEN list_contains(items, false) THEN false
    WHEN list_position(items, NULL) IS NULL THEN true END;
CREATE MACRO mc_slice(items, b, n) AS CASE WHEN b = 0
    THEN error('ODPS-0121095:Invalid arguments - SLICE counts from 1')
    WHEN n < 0 THEN error('ODPS-0121095:Invalid arguments - the length of a SLICE must not be negative')
    WHEN b + len(items) < 0 THEN items[:0]
    WHEN b < 0 THEN list_slice(items, b + len(items) + 1, b + len(items) + n)
    ELSE list_slice(items, b, b + n - 1) END;
CREATE MACRO mc_sequence(a, b, step) AS CASE WHEN (b - a) * step < 0 OR (step = 0 AND a <> b)
    THEN error('ODPS-0121095:Invalid arguments - the step of a SEQUENCE leads away from its end')
    WHEN step <> 0 AND (b - a) // step >= 10000
    THEN error('ODPS-0121095:Invalid arguments - a SEQUENCE has at most 10000 elements')
    WHEN a = b THEN [a] ELSE generate_series(a, b, step) END;
CREATE MACRO mc_steps(units, forward, step) AS mc_sequence(0, CASE
    WHEN (step > 0) = forward THEN units // step * step
    WHEN units = 0 THEN 0 ELSE -step END, step);
CREATE MACRO mc_find_in_set(t, s, sep) AS CASE WHEN t IS NOT NULL AND s IS NOT NULL AND sep IS NOT NULL
    THEN coalesce(list_position(string_split(s, sep), t), 0) END;
CREATE MACRO mc_unhex(s) AS CASE WHEN regexp_full_match(s, '([0-9A-Fa-f]{{2}})*') THEN unhex(s)
    WHEN s IS NOT NULL THEN error('ODPS-0121095:Invalid arguments - ' || s || ' is not hexadecimal') END;
CREATE MACRO mc_months(a, b) AS CASE
    WHEN day(a) = day(b) OR (a::DATE = last_day(a) AND b::DATE = last_day(b))
    THEN CAST(12 * (year(a) - year(b)) + month(a) - month(b) AS DOUBLE)
    ELSE 12 * (year(a) - year(b)) + month(a) - month(b)
        + (day(a) - day(b) + (epoch(a::TIME) - epoch(b::TIME)) / 86400.0) / 31 END;
CREATE MACRO mc_next_day(d, n) AS d::DATE + CAST((n - isodow(d) + 6) % 7 + 1 AS INTEGER);
CREATE MACRO mc_parts(s, sep, a, b) AS CASE
    WHEN a < 1 THEN error('ODPS-0121095:Invalid arguments - SPLIT_PART counts from 1')
    WHEN s IS NULL OR sep IS NULL OR a IS NULL OR b IS NULL THEN NULL WHEN sep = '' THEN s
    ELSE mc_join(list_slice(string_split(s, sep), a, b), sep) END;
CREATE MACRO mc_positive(n) AS CASE WHEN n > 0 OR n IS NULL THEN n
    ELSE error('ODPS-0121095:Invalid arguments - a positive number expected') END;
"""


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a database the macros, and the functions in Python that they and the queries call."""
    routines.install(connection)
    connection.execute(MACROS)
