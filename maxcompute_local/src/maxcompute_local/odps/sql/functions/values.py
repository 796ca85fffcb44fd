"""Functions that choose among values, and conversions."""

from __future__ import annotations

from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Typed, duck_cast, string
from maxcompute_local.odps.sql.functions.registry import MANY, Call, declare, define

define("UUID", "", "string", "uuid()")
define("RAND", "", "double", "random()")


@declare("TYPEOF", 1, 1)
def _typeof(call: Call) -> Typed:
    return string(call.args[0].kind)


@declare("HASH", 1, MANY)
def _hash(call: Call) -> Typed:
    """Return Hive's hash; NULL counts as 0."""
    hashes = ", ".join(f"coalesce({_hash_of(call, value)}, 0)" for value in call.args)
    return Typed(f"py_hash_all([{hashes}])", "bigint")


def _hash_of(call: Call, value: Typed) -> str:
    if value.kind == kinds.VOID:
        return "NULL"
    if value.kind in kinds.INTEGERS:
        return f"py_hash_whole({duck_cast(value.sql, 'bigint')})"
    if value.kind == "boolean":
        return f"CAST({value.sql} AS BIGINT)"
    if value.kind == "double":
        return f"py_hash_double({value.sql})"
    if kinds.is_text(value.kind):
        return f"py_hash_text({value.sql})"
    raise call.refusal(f"does not take {value.name} in the local cloud")


@declare("COALESCE NVL", 1, MANY)
def _coalesce(call: Call) -> Typed:
    if call.name != "COALESCE" and len(call.args) != 2:
        raise call.refusal("takes 2 arguments")
    values = call.convert.unified(call.args, call.name, with_text=False)
    return Typed(f"coalesce({', '.join(v.sql for v in values)})", values[0].kind)


@declare("NULLIF", 2, 2)
def _nullif(call: Call) -> Typed:
    left, right = call.convert.compared(call.args, call.name)
    value = call.args[0]
    return Typed(f"CASE WHEN {left.sql} = {right.sql} THEN NULL ELSE {value.sql} END", value.kind)


@declare("IF", 3, 3)
def _if(call: Call) -> Typed:
    condition = call.as_kind(0, "boolean")
    first, second = call.convert.unified(call.args[1:], call.name)
    return Typed(f"CASE WHEN {condition} THEN {first.sql} ELSE {second.sql} END", first.kind)


@declare("DECODE", 3, MANY)
def _decode(call: Call) -> Typed:
    # NULL matches NULL here, unlike in CASE.
    value, rest = call.args[0], list(call.args[1:])
    default = rest.pop() if len(rest) % 2 else Typed("NULL", kinds.VOID)
    results = call.convert.unified([*rest[1::2], default], call.name)
    cases = []
    for searched, result in zip(rest[0::2], results, strict=False):
        left, right = call.convert.compared([value, searched], call.name)
        cases.append(f"WHEN {left.sql} IS NOT DISTINCT FROM {right.sql} THEN {result.sql}")
    return Typed(f"CASE {' '.join(cases)} ELSE {results[-1].sql} END", results[0].kind)


@declare("GREATEST LEAST", 2, MANY)
def _extreme(call: Call) -> Typed:
    found = [a.kind for a in call.args if a.kind != kinds.VOID]
    if any(k == "boolean" or kinds.is_nested(k) for k in found):
        raise call.refusal("takes numbers, strings and dates only")
    values = call.convert.compared(call.args, call.name)
    listed = ", ".join(v.sql for v in values)
    if call.name == "GREATEST":
        # NULL counts as the smallest value, so it never wins.
        return Typed(f"greatest({listed})", values[0].kind)
    some_null = " OR ".join(f"{v.sql} IS NULL" for v in values)
    return Typed(f"CASE WHEN {some_null} THEN NULL ELSE least({listed}) END", values[0].kind)
