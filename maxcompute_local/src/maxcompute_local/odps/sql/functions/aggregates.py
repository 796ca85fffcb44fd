"""Aggregates and window functions."""

from __future__ import annotations

from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Typed, duck_cast, quote_text
from maxcompute_local.odps.sql.functions.registry import MANY, Call, Role, declare, define

ROWS_BY_DEFAULT = ("AVG", "COUNT", "MAX", "MIN", "STDDEV", "STDDEV_SAMP", "SUM")
"""Aggregates whose default frame with ORDER BY ends at the current row, not at its peers."""

for _names, _duck in (
    ("STDDEV STDDEV_POP", "stddev_pop"),
    ("STDDEV_SAMP", "stddev_samp"),
    ("VARIANCE VAR_POP", "var_pop"),
    ("VAR_SAMP", "var_samp"),
    ("MEDIAN", "median"),
):
    define(_names, "double", "double", f"{_duck}({{0}}){{over}}", Role.AGGREGATE)
define("COUNT_IF", "boolean", "bigint", "count_if({0}){over}", Role.AGGREGATE)
define("COVAR_POP", "double double", "double", "covar_pop({0}, {1}){over}", Role.AGGREGATE)
define("COVAR_SAMP", "double double", "double", "covar_samp({0}, {1}){over}", Role.AGGREGATE)
define("CORR", "double double", "double", "corr({0}, {1}){over}", Role.AGGREGATE)

for _name in ("ROW_NUMBER", "RANK", "DENSE_RANK"):
    define(_name, "", "bigint", f"{_name.lower()}(){{over}}", Role.WINDOW)
for _name in ("PERCENT_RANK", "CUME_DIST"):
    define(_name, "", "double", f"{_name.lower()}(){{over}}", Role.WINDOW)
define("NTILE", "bigint", "bigint", "ntile({0}){over}", Role.WINDOW)


def _distinct(call: Call) -> str:
    return "DISTINCT " if call.distinct else ""


@declare("COUNT", 1, MANY, Role.AGGREGATE)
def _count(call: Call) -> Typed:
    if call.args[0].constant == "*":
        return Typed(f"count(*){call.tail}", "bigint")
    if len(call.args) == 1:
        return Typed(f"count({_distinct(call)}{call.args[0].sql}){call.tail}", "bigint")
    # A row counts when none of its values is NULL.
    some_null = " OR ".join(f"{a.sql} IS NULL" for a in call.args)
    packed = ", ".join(f"c{i} := {a.sql}" for i, a in enumerate(call.args))
    row = f"CASE WHEN {some_null} THEN NULL ELSE struct_pack({packed}) END"
    return Typed(f"count({_distinct(call)}{row}){call.tail}", "bigint")


@declare("GROUPING", 1, 1, Role.AGGREGATE)
@declare("GROUPING_ID", 1, MANY, Role.AGGREGATE)
def _grouping(call: Call) -> Typed:
    """Tell which columns a row is not grouped by, one bit each; the last column is the lowest bit."""
    if call.tail or call.distinct:
        raise call.refusal("takes no DISTINCT, no FILTER and no OVER (...)")
    return Typed(f"CAST(GROUPING({', '.join(a.sql for a in call.args)}) AS BIGINT)", "bigint")


@declare("SUM", 1, 1, Role.AGGREGATE)
def _sum(call: Call) -> Typed:
    value = call.number(0)
    total = f"sum({_distinct(call)}{value.sql}){call.tail}"
    if value.kind in kinds.INTEGERS:
        return Typed(f"mc_bigint({total})", "bigint")
    kind = kinds.decimal(38, kinds.decimal_size(value.kind)[1]) if kinds.is_decimal(value.kind) else "double"
    return Typed(duck_cast(total, kind), kind)


@declare("AVG", 1, 1, Role.AGGREGATE)
def _avg(call: Call) -> Typed:
    value = call.number(0)
    if not kinds.is_decimal(value.kind):
        return Typed(f"avg({_distinct(call)}{duck_cast(value.sql, 'double')}){call.tail}", "double")
    precision, scale = kinds.decimal_size(value.kind)
    kind = kinds.decimal(precision + 4, scale + 4)
    digits = kinds.decimal_size(kind)[1]
    total, count = (
        f"CAST({f}({_distinct(call)}{value.sql}){call.tail} AS VARCHAR)" for f in ("sum", "count")
    )
    return Typed(duck_cast(f"py_divide({total}, nullif({count}, '0'), {digits})", kind), kind)


@declare("MAX MIN ANY_VALUE", 1, 1, Role.AGGREGATE)
def _extreme(call: Call) -> Typed:
    value = call.args[0]
    if call.name != "ANY_VALUE" and (value.kind == "boolean" or kinds.is_nested(value.kind)):
        raise call.refusal(f"does not take {value.name}")
    return Typed(f"{call.name.lower()}({value.sql}){call.tail}", value.kind)


@declare("MAX_BY MIN_BY ARG_MAX ARG_MIN", 2, 2, Role.AGGREGATE)
def _value_at(call: Call) -> Typed:
    """Return the value in the row with the largest or smallest other one; ARG_MAX takes that one first."""
    wanted, compared = call.args if call.name.endswith("_BY") else reversed(call.args)
    if kinds.is_nested(compared.kind):
        raise call.refusal(f"does not compare {compared.name} in the local cloud")
    name = "arg_max_null" if "MAX" in call.name else "arg_min_null"
    kind = "string" if wanted.kind == kinds.VOID else wanted.kind
    return Typed(duck_cast(f"{name}({wanted.sql}, {compared.sql}){call.tail}", kind), kind)


@declare("APPROX_DISTINCT", 1, 1, Role.AGGREGATE)
def _approx_distinct(call: Call) -> Typed:
    """Count exactly, which is within every error bound and the same each time."""
    return Typed(f"count(DISTINCT {call.args[0].sql}){call.tail}", "bigint")


@declare("PERCENTILE", 2, 2, Role.AGGREGATE)
def _percentile(call: Call) -> Typed:
    return _at_places(call, "mc_percentile", call.bigint(0))


@declare("PERCENTILE_APPROX", 2, 3, Role.AGGREGATE)
def _percentile_approx(call: Call) -> Typed:
    """Pick values as the service does while the column has fewer different values than its precision."""
    if call.has(2) and not (call.args[2].constant or "").isdigit():
        raise call.refusal("takes no weight in the local cloud, and a precision that is a constant BIGINT")
    return _at_places(call, "mc_percentile_approx", call.double(0))


def _at_places(call: Call, macro: str, value: str) -> Typed:
    """Return the values at a place between 0 and 1 in a sorted column, or at each of an ARRAY of places."""
    if call.distinct:
        raise call.refusal("takes no DISTINCT in the local cloud")
    values = f"list_sort(list_filter(list({value}){call.tail}, lambda v: v IS NOT NULL))"
    if kinds.is_array(call.args[1].kind):
        places = call.convert.cast(call.args[1], "array<double>").sql
        found = f"CASE WHEN len(s) > 0 THEN list_transform({places}, lambda p: {macro}(s, p)) END"
        return Typed(f"list_transform([{values}], lambda s: {found})[1]", "array<double>")
    return Typed(f"list_transform([{values}], lambda s: {macro}(s, {call.double(1)}))[1]", "double")


define("BITWISE_AND_AGG", "bigint", "bigint", "bit_and({0}){over}", Role.AGGREGATE)
define("BITWISE_OR_AGG", "bigint", "bigint", "bit_or({0}){over}", Role.AGGREGATE)
define("BITWISE_XOR_AGG", "bigint", "bigint", "bit_xor({0}){over}", Role.AGGREGATE)
define("BOOL_AND", "boolean", "boolean", "bool_and({0}){over}", Role.AGGREGATE)
define("BOOL_OR", "boolean", "boolean", "bool_or({0}){over}", Role.AGGREGATE)


@declare("COLLECT_LIST COLLECT_SET", 1, 1, Role.AGGREGATE)
def _collect(call: Call) -> Typed:
    value = call.args[0]
    inner = "string" if value.kind == kinds.VOID else value.kind
    distinct = "DISTINCT " if call.distinct or call.name == "COLLECT_SET" else ""
    kind = kinds.array_of(inner)
    listed = f"coalesce(list({distinct}{value.sql}{call.order}){call.tail}, [])"
    return Typed(duck_cast(f"list_filter({listed}, lambda v: v IS NOT NULL)", kind), kind)


@declare("WM_CONCAT", 2, 2, Role.AGGREGATE)
def _wm_concat(call: Call) -> Typed:
    separator = quote_text(call.constant(0))
    if call.distinct and not (call.order or call.over):
        # In any order, but in the same one each time.
        text = call.text(1)
        return Typed(f"string_agg(DISTINCT {text}, {separator} ORDER BY {text}){call.where}", "string")
    return Typed(f"string_agg({_distinct(call)}{call.text(1)}, {separator}{call.order}){call.tail}", "string")


@declare("LAG LEAD", 1, 3, Role.WINDOW)
def _neighbour(call: Call) -> Typed:
    value = call.args[0]
    rest = ""
    if call.has(1):
        if call.args[1].kind not in kinds.INTEGERS or int(call.constant(1)) < 0:
            raise call.refusal("the offset must be a BIGINT that is not negative")
        rest = f", {call.bigint(1)}"
    if call.has(2):
        rest += f", {call.as_kind(2, value.kind)}"
    return Typed(f"{call.name.lower()}({value.sql}{rest}){call.tail}", value.kind)


@declare("FIRST_VALUE LAST_VALUE", 1, 2, Role.WINDOW)
def _edge(call: Call) -> Typed:
    value = call.args[0]
    return Typed(f"{call.name.lower()}({value.sql}{_skipping(call, 1)}){call.tail}", value.kind)


@declare("NTH_VALUE", 2, 3, Role.WINDOW)
def _nth(call: Call) -> Typed:
    value = call.args[0]
    return Typed(f"nth_value({value.sql}, {call.bigint(1)}{_skipping(call, 2)}){call.tail}", value.kind)


def _skipping(call: Call, i: int) -> str:
    return " IGNORE NULLS" if call.has(i) and call.constant(i).lower() == "true" else ""
