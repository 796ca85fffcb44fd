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
define("ATAN2", "double double", "double", "atan2({0}, {1})")
for _name in ("cosh", "sinh", "tanh", "cot"):
    define(_name.upper(), "double", "double", f"mc_finite({_name}({{0}}))")
define("SHIFTRIGHT", "bigint int", "bigint", "CAST({0} AS BIGINT) >> {1}")
define("ISNAN", "double", "boolean", "isnan({0})")
define(
    "FACTORIAL",
    "int",
    "bigint",
    "CASE WHEN {0} BETWEEN 0 AND 20 THEN factorial(CAST({0} AS INTEGER)) END",
)
define("UNHEX", "string", "binary", "mc_unhex({0})")
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


@declare("HEX", 1, 1)
def _hex(call: Call) -> Typed:
    """Write a whole number in base 16, and the characters of everything else."""
    value = call.args[0]
    if value.kind in kinds.INTEGERS:
        return Typed(f"hex({duck_cast(value.sql, 'bigint')})", "string")
    if value.kind == "binary":
        return Typed(f"hex({value.sql})", "string")
    if kinds.is_number(value.kind) or kinds.is_text(value.kind) or value.kind == kinds.VOID:
        return Typed(f"hex({call.text(0)})", "string")
    raise call.refusal(f"takes a number or STRING, not {value.name}")


@declare("CONV", 3, 3)
def _conv(call: Call) -> Typed:
    if any(a.kind == kinds.VOID for a in call.args):
        return Typed("CAST(NULL AS VARCHAR)", "string")
    for i in (1, 2):
        if call.args[i].kind not in kinds.INTEGERS or call.constant(i) not in ("2", "8", "10", "16"):
            raise call.refusal(f"argument {i + 1} must be 2, 8, 10 or 16")
    # Numbers are no numerals here: their result is NULL.
    numeral = call.args[0].sql if kinds.is_text(call.args[0].kind) else "NULL"
    return Typed(f"py_conv({numeral}, {call.bigint(1)}, {call.bigint(2)})", "string")


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
    digits = f"CAST({call.bigint(1)} AS INTEGER)" if call.has(1) and call.constant(1) else "0"
    # Through DECIMAL, since 1.15 * 100 is a little less than 115 in binary.
    number = duck_cast(value.sql, "double")
    return Typed(f"CAST(trunc(CAST({number} AS DECIMAL(38,15)), {digits}) AS DOUBLE)", "double")
