"""Functions of numbers."""

from __future__ import annotations

from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Typed, duck_cast
from maxcompute_local.odps.sql.functions.registry import Call, declare, define

for _name in ("acos", "asin", "atan", "cbrt", "cos", "exp", "ln", "sin", "sqrt", "tan", "radians", "degrees"):
    define(_name.upper(), "double", "double", f"mc_finite({_name}({{0}}))")
define("LOG2", "double", "double", "log2({0})")
define("LOG10", "double", "double", "log10({0})")
define("LOG", "double double", "double", "ln({1}) / ln({0})")
define("POW", "double double", "double", "mc_finite(pow({0}, {1}))")
define("PI", "", "double", "pi()")
define("E", "", "double", "exp(1)")
define("SHIFTLEFT", "bigint int", "bigint", "CAST({0} AS BIGINT) << {1}")
define(
    "BIN", "bigint", "string", "CASE WHEN {0} < 0 THEN error('BIN of a negative number') ELSE bin({0}) END"
)


@declare("ABS", 1, 1)
def _abs(call: Call) -> Typed:
    value = call.number(0)
    return Typed(f"abs({value.sql})", value.kind)


@declare("SIGN", 1, 1)
def _sign(call: Call) -> Typed:
    return Typed(f"CAST(sign({call.double(0)}) AS DOUBLE)", "double")


@declare("NEGATIVE POSITIVE", 1, 1)
def _negative(call: Call) -> Typed:
    value = call.number(0)
    return Typed(f"(-{value.sql})", value.kind) if call.name == "NEGATIVE" else value


@declare("CEIL FLOOR", 1, 1)
def _to_whole(call: Call) -> Typed:
    value = call.number(0)
    name = "floor" if call.name == "FLOOR" else "ceil"
    return Typed(f"CAST({name}({value.sql}) AS BIGINT)", "bigint")


@declare("ROUND", 1, 2)
def _round(call: Call) -> Typed:
    value = call.number(0)
    if kinds.is_decimal(value.kind):
        places = int(call.constant(1)) if call.has(1) else 0
        return Typed(duck_cast(f"round({value.sql}, {places})", value.kind), value.kind)
    digits = call.bigint(1) if call.has(1) else "0"
    return Typed(f"round({duck_cast(value.sql, 'double')}, CAST({digits} AS INTEGER))", "double")


@declare("TRUNC", 1, 2)
def _trunc(call: Call) -> Typed:
    value = call.number(0)
    if kinds.is_decimal(value.kind):
        raise call.refusal("of a DECIMAL is not supported by the local cloud")
    digits = f"CAST({call.bigint(1)} AS INTEGER)" if call.has(1) else "0"
    # Through DECIMAL, since 1.15 * 100 is a little less than 115 in binary.
    number = duck_cast(value.sql, "double")
    return Typed(f"CAST(trunc(CAST({number} AS DECIMAL(38,15)), {digits}) AS DOUBLE)", "double")
