"""Functions of ARRAY, MAP and STRUCT, and those that make rows of them."""

from __future__ import annotations

from collections.abc import Sequence

from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Typed, duck_cast
from maxcompute_local.odps.sql.functions import dates
from maxcompute_local.odps.sql.functions.registry import MANY, Call, Role, declare

OVER_ELEMENTS = ("TRANSFORM", "FILTER", "ANY_MATCH", "ALL_MATCH")
"""The functions that take ``x -> ...``."""


@declare("ARRAY", 0, MANY)
def _array(call: Call) -> Typed:
    values = call.convert.unified(call.args, call.name)
    inner = "string" if not values or values[0].kind == kinds.VOID else values[0].kind
    kind = kinds.array_of(inner)
    return Typed(duck_cast(f"[{', '.join(v.sql for v in values)}]", kind), kind)


@declare("MAP", 2, MANY)
def _map(call: Call) -> Typed:
    if len(call.args) % 2:
        raise call.refusal("takes keys and values in turn")
    keys = call.convert.unified(call.args[0::2], call.name)
    values = call.convert.unified(call.args[1::2], call.name)
    if keys[0].kind == kinds.VOID:
        raise call.refusal("a key must not be NULL")
    inner = "string" if values[0].kind == kinds.VOID else values[0].kind
    kind = kinds.map_of(keys[0].kind, inner)
    listed = [", ".join(v.sql for v in side) for side in (keys, values)]
    return Typed(duck_cast(f"map([{listed[0]}], [{listed[1]}])", kind), kind)


@declare("NAMED_STRUCT", 2, MANY)
def _named_struct(call: Call) -> Typed:
    if len(call.args) % 2:
        raise call.refusal("takes names and values in turn")
    names = [call.constant(i).lower() for i in range(0, len(call.args), 2)]
    return _pack(names, call.args[1::2])


@declare("STRUCT", 1, MANY)
def _struct(call: Call) -> Typed:
    return _pack([f"col{i}" for i in range(1, len(call.args) + 1)], call.args)


def _pack(names: Sequence[str], values: Sequence[Typed]) -> Typed:
    members = [
        (name, "string" if v.kind == kinds.VOID else v.kind, v.sql)
        for name, v in zip(names, values, strict=True)
    ]
    kind = kinds.struct_of((name, inner) for name, inner, _ in members)
    packed = ", ".join(f'"{name}" := {sql}' for name, _, sql in members)
    return Typed(duck_cast(f"struct_pack({packed})", kind), kind)


@declare("SIZE", 1, 1)
def _size(call: Call) -> Typed:
    value = call.args[0]
    if not (kinds.is_array(value.kind) or kinds.is_map(value.kind)):
        raise call.refusal(f"takes an ARRAY or MAP, not {value.name}")
    name = "len" if kinds.is_array(value.kind) else "cardinality"
    kind = "int" if call.convert.odps2 else "bigint"
    return Typed(duck_cast(f"{name}({value.sql})", kind), kind)


@declare("ARRAY_CONTAINS", 2, 2)
def _array_contains(call: Call) -> Typed:
    array = call.array(0)
    item = call.as_kind(1, kinds.element(array.kind))
    return Typed(f"list_contains({array.sql}, {item})", "boolean")


@declare("SORT_ARRAY", 1, 2)
def _sort_array(call: Call) -> Typed:
    array = call.array(0)
    ascending = not call.has(1) or call.constant(1).lower() == "true"
    way = "'ASC', 'NULLS FIRST'" if ascending else "'DESC', 'NULLS LAST'"
    return Typed(f"list_sort({array.sql}, {way})", array.kind)


@declare("ARRAY_DISTINCT", 1, 1)
def _array_distinct(call: Call) -> Typed:
    array = call.array(0)
    return Typed(f"mc_distinct({array.sql})", array.kind)


@declare("ARRAY_JOIN", 2, 3)
def _array_join(call: Call) -> Typed:
    items = call.convert.cast(call.array(0), "array<string>").sql
    if call.has(2):
        items = f"list_transform({items}, lambda v: coalesce(v, {call.text(2)}))"
    return Typed(f"mc_join({items}, {call.text(1)})", "string")


@declare("ARRAY_MAX ARRAY_MIN", 1, 1)
def _array_extreme(call: Call) -> Typed:
    array = call.array(0)
    inner = kinds.element(array.kind)
    if kinds.is_nested(inner):
        raise call.refusal(f"does not compare {inner.upper()} in the local cloud")
    return Typed(f"list_{call.name[-3:].lower()}({array.sql})", inner)


@declare("ARRAY_UNION ARRAY_INTERSECT ARRAY_EXCEPT ARRAYS_OVERLAP", 2, 2)
def _sets(call: Call) -> Typed:
    """Combine two ARRAYs as sets in the order of their elements, where NULL is one too."""
    left, right = call.arrays()
    if call.name == "ARRAYS_OVERLAP":
        return Typed(
            f"(len(list_filter({left.sql}, lambda x: x IS NOT NULL AND "
            f"list_position({right.sql}, x) IS NOT NULL)) > 0)",
            "boolean",
        )
    if call.name == "ARRAY_UNION":
        return Typed(f"mc_distinct({left.sql} || {right.sql})", left.kind)
    there = "IS NOT NULL" if call.name == "ARRAY_INTERSECT" else "IS NULL"
    kept = f"list_filter(mc_distinct({left.sql}), lambda x: list_position({right.sql}, x) {there})"
    return Typed(f"CASE WHEN {right.sql} IS NOT NULL THEN {kept} END", left.kind)


@declare("ARRAY_REMOVE ARRAY_POSITION", 2, 2)
def _array_element(call: Call) -> Typed:
    array = call.array(0)
    item = call.as_kind(1, kinds.element(array.kind))
    given = f"{array.sql} IS NOT NULL AND {item} IS NOT NULL"
    if call.name == "ARRAY_POSITION":
        found = f"CAST(coalesce(list_position({array.sql}, {item}), 0) AS BIGINT)"
        return Typed(f"CASE WHEN {given} THEN {found} END", "bigint")
    kept = f"list_filter({array.sql}, lambda x: x IS NULL OR x <> {item})"
    return Typed(f"CASE WHEN {given} THEN {kept} END", array.kind)


@declare("ARRAY_REPEAT", 2, 2)
def _array_repeat(call: Call) -> Typed:
    value = call.args[0]
    kind = kinds.array_of("string" if value.kind == kinds.VOID else value.kind)
    times = f"greatest({call.bigint(1)}, 0)"
    return Typed(duck_cast(f"list_transform(range({times}), lambda i: {value.sql})", kind), kind)


@declare("FLATTEN", 1, 1)
def _flatten(call: Call) -> Typed:
    array = call.array(0)
    if not kinds.is_array(kinds.element(array.kind)):
        raise call.refusal(f"takes an ARRAY of ARRAYs, not {array.name}")
    some_null = f"list_contains(list_transform({array.sql}, lambda v: v IS NULL), true)"
    return Typed(f"CASE WHEN NOT {some_null} THEN flatten({array.sql}) END", kinds.element(array.kind))


@declare("SLICE", 3, 3)
def _slice(call: Call) -> Typed:
    array = call.array(0)
    return Typed(f"mc_slice({array.sql}, {call.bigint(1)}, {call.bigint(2)})", array.kind)


@declare("SEQUENCE", 2, 3)
def _sequence(call: Call) -> Typed:
    if call.args[0].kind in kinds.MOMENTS:
        return dates.sequence(call)
    first, last, *step = call.convert.unified(call.args, call.name, with_text=False)
    kind = kinds.array_of(first.kind)
    if first.kind not in kinds.INTEGERS:
        raise call.refusal(f"takes integers, dates and times, not {first.name}")
    ends = ", ".join(duck_cast(v.sql, "bigint") for v in (first, last))
    by = step[0].sql if step else f"CASE WHEN {first.sql} <= {last.sql} THEN 1 ELSE -1 END"
    return Typed(duck_cast(f"mc_sequence({ends}, {duck_cast(by, 'bigint')})", kind), kind)


@declare("TRANSFORM", 2, 2)
def _transform(call: Call) -> Typed:
    array, inner = call.array(0), call.body(1)
    kind = kinds.array_of("string" if inner == kinds.VOID else inner)
    return Typed(duck_cast(f"list_transform({array.sql}, {call.args[1].sql})", kind), kind)


@declare("FILTER ANY_MATCH ALL_MATCH", 2, 2)
def _matching(call: Call) -> Typed:
    array = call.array(0)
    if call.body(1) != "boolean":
        raise call.refusal(f"argument 2 must give a BOOLEAN, not {call.body(1).upper()}")
    if call.name == "FILTER":
        return Typed(f"list_filter({array.sql}, {call.args[1].sql})", array.kind)
    macro = "mc_any" if call.name == "ANY_MATCH" else "mc_all"
    return Typed(f"{macro}(list_transform({array.sql}, {call.args[1].sql}))", "boolean")


@declare("MAP_FROM_ARRAYS", 2, 2)
def _map_from_arrays(call: Call) -> Typed:
    keys, values = call.array(0), call.array(1)
    kind = kinds.map_of(kinds.element(keys.kind), kinds.element(values.kind))
    return Typed(duck_cast(f"map({keys.sql}, {values.sql})", kind), kind)


@declare("MAP_CONCAT", 2, MANY)
def _map_concat(call: Call) -> Typed:
    """Put MAPs together; the last one has its way where a key is in several."""
    maps = [call.map(i) for i in range(len(call.args))]
    if len({value.kind for value in maps}) > 1:
        raise call.refusal("takes MAPs of one type")
    some_null = " OR ".join(f"{value.sql} IS NULL" for value in maps)
    joined = f"map_concat({', '.join(value.sql for value in maps)})"
    return Typed(f"CASE WHEN {some_null} THEN NULL ELSE {joined} END", maps[0].kind)


@declare("MAP_ENTRIES", 1, 1)
def _map_entries(call: Call) -> Typed:
    value = call.map(0)
    key, inner = kinds.key_and_value(value.kind)
    kind = kinds.array_of(kinds.struct_of([("key", key), ("value", inner)]))
    return Typed(duck_cast(f"map_entries({value.sql})", kind), kind)


@declare("MAP_KEYS MAP_VALUES", 1, 1)
def _map_side(call: Call) -> Typed:
    value = call.map(0)
    side = kinds.key_and_value(value.kind)[call.name == "MAP_VALUES"]
    return Typed(f"{call.name.lower()}({value.sql})", kinds.array_of(side))


@declare("INLINE", 1, 1, Role.TABLE)
def _inline(call: Call) -> Typed:
    array = call.array(0)
    if not kinds.is_struct(kinds.element(array.kind)):
        raise call.refusal(f"takes an ARRAY of STRUCTs, not {array.name}")
    return array


@declare("STACK", 2, MANY, Role.TABLE)
def _stack(call: Call) -> Typed:
    """Return the values as rows: an ARRAY with a STRUCT for each."""
    count = int(call.constant(0)) if (call.args[0].constant or "").isdigit() else 0
    values = call.args[1:]
    if count < 1 or len(values) % count:
        raise call.refusal("takes a number of rows and as many values for each row")
    width = len(values) // count
    columns = [call.convert.unified(values[i::width], call.name) for i in range(width)]
    rows = [_pack([f"col{i}" for i in range(width)], row) for row in zip(*columns, strict=True)]
    return Typed(f"[{', '.join(row.sql for row in rows)}]", kinds.array_of(rows[0].kind))


@declare("EXPLODE POSEXPLODE", 1, 1, Role.TABLE)
def _explode(call: Call) -> Typed:
    value = call.args[0]
    if not (kinds.is_array(value.kind) or (call.name == "EXPLODE" and kinds.is_map(value.kind))):
        raise call.refusal(f"cannot explode {value.name}")
    return value
