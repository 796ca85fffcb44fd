"""Functions of ARRAY, MAP and STRUCT, and those that make rows of them."""

from __future__ import annotations

from collections.abc import Sequence

from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Typed, duck_cast
from maxcompute_local.odps.sql.functions.registry import MANY, Call, Role, declare


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


@declare("SORT_ARRAY", 1, 1)
def _sort_array(call: Call) -> Typed:
    array = call.array(0)
    return Typed(f"list_sort({array.sql}, 'ASC', 'NULLS FIRST')", array.kind)


@declare("ARRAY_DISTINCT", 1, 1)
def _array_distinct(call: Call) -> Typed:
    array = call.array(0)
    kept = f"list_filter({array.sql}, lambda x, i: list_position({array.sql}, x) = i)"
    return Typed(kept, array.kind)


@declare("ARRAY_JOIN", 2, 2)
def _array_join(call: Call) -> Typed:
    array = call.array(0)
    if array.kind != "array<string>":
        raise call.refusal("joins an ARRAY<STRING> only in the local cloud")
    return Typed(f"array_to_string({array.sql}, {call.text(1)})", "string")


@declare("MAP_KEYS MAP_VALUES", 1, 1)
def _map_side(call: Call) -> Typed:
    value = call.map(0)
    side = kinds.key_and_value(value.kind)[call.name == "MAP_VALUES"]
    return Typed(f"{call.name.lower()}({value.sql})", kinds.array_of(side))


@declare("EXPLODE POSEXPLODE", 1, 1, Role.TABLE)
def _explode(call: Call) -> Typed:
    value = call.args[0]
    if not (kinds.is_array(value.kind) or (call.name == "EXPLODE" and kinds.is_map(value.kind))):
        raise call.refusal(f"cannot explode {value.name}")
    return value
