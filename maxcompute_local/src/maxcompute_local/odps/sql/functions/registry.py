"""How a function is declared: names, parameters, result, and the DuckDB expression."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from maxcompute_local.odps import errors
from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Conversions, Typed, duck_cast

MANY = 1000
"""The largest number of arguments of functions that take any number."""


class Role(StrEnum):
    """Where a function may stand."""

    SCALAR = "scalar"
    AGGREGATE = "aggregate"
    WINDOW = "window"
    TABLE = "table"


@dataclass(frozen=True)
class Call:
    """A call of a function with translated arguments.

    ``over`` is the window in DuckDB's SQL or empty, ``order`` the ORDER BY of WITHIN GROUP or empty, and
    ``where`` the FILTER of an aggregate or empty.
    """

    name: str
    args: Sequence[Typed]
    convert: Conversions
    distinct: bool = False
    over: str = ""
    order: str = ""
    where: str = ""

    @property
    def tail(self) -> str:
        """Return what stands behind an aggregate: its FILTER and its window."""
        return self.where + self.over

    def has(self, i: int) -> bool:
        """Return whether argument ``i`` was given."""
        return len(self.args) > i

    def as_kind(self, i: int, kind: str) -> str:
        """Return an argument, implicitly converted."""
        return self.convert.convert(self.args[i], kind, f"argument {i + 1} of {self.name}").sql

    def text(self, i: int) -> str:
        """Return an argument as STRING."""
        return self.as_kind(i, "string")

    def bigint(self, i: int) -> str:
        """Return an argument as BIGINT."""
        return self.as_kind(i, "bigint")

    def double(self, i: int) -> str:
        """Return an argument as DOUBLE; also a DECIMAL, as the functions that use this have no other form."""
        if kinds.is_decimal(self.args[i].kind):
            return duck_cast(self.args[i].sql, "double")
        return self.as_kind(i, "double")

    def constant(self, i: int) -> str:
        """Return the value of an argument that must be a literal."""
        value = self.args[i].constant
        if value is None:
            raise self.refusal(f"argument {i + 1} must be a constant in the local cloud")
        return value

    def number(self, i: int) -> Typed:
        """Return an argument that is a number, or a string taken as a DOUBLE."""
        value = self.args[i]
        if kinds.is_number(value.kind):
            return value
        return Typed(self.double(i), "double")

    def array(self, i: int) -> Typed:
        """Return an argument that must be an ARRAY."""
        if not kinds.is_array(self.args[i].kind):
            raise self.refusal(f"argument {i + 1} must be an ARRAY, not {self.args[i].name}")
        return self.args[i]

    def body(self, i: int) -> str:
        """Return the type that an argument like ``x -> x + 1`` gives."""
        kind = self.args[i].kind
        if not kind.startswith("lambda<"):
            raise self.refusal(f"argument {i + 1} must be a function like x -> x + 1, not {kind.upper()}")
        return kind[len("lambda<") : -1]

    def arrays(self) -> list[Typed]:
        """Return all arguments, ARRAYs of the same type; a NULL among them is one too."""
        known = [self.array(i).kind for i, a in enumerate(self.args) if a.kind != kinds.VOID]
        if not known:
            raise self.refusal("takes ARRAYs, not only NULL")
        element = self.convert.common_kind([kinds.element(kind) for kind in known], with_text=False)
        if element is None:
            raise self.refusal(
                f"takes ARRAYs of one type, not {' and '.join(k.upper() for k in dict.fromkeys(known))}"
            )
        return [self.convert.cast(a, kinds.array_of(element)) for a in self.args]

    def map(self, i: int) -> Typed:
        """Return an argument that must be a MAP."""
        if not kinds.is_map(self.args[i].kind):
            raise self.refusal(f"argument {i + 1} must be a MAP, not {self.args[i].name}")
        return self.args[i]

    def refusal(self, why: str) -> errors.OdpsError:
        """Return the error for a call that is wrong or that the local cloud does not know."""
        return errors.semantic_error(f"function {self.name}: {why}")


Build = Callable[[Call], Typed]


@dataclass(frozen=True)
class Function:
    """A function: how many arguments it takes and how it is translated."""

    role: Role
    least: int
    most: int
    build: Build

    def translate(self, call: Call) -> Typed:
        """Return the translated call; an error for arguments that the function does not take."""
        if not self.least <= len(call.args) <= self.most:
            expected = str(self.least) if self.least == self.most else f"{self.least} to {self.most}"
            raise call.refusal(f"takes {expected} arguments in the local cloud, not {len(call.args)}")
        return self.build(call)


FUNCTIONS: dict[str, Function] = {}
"""Every function by its name in upper case."""


def define(
    names: str, parameters: str, result: str, template: str, role: Role = Role.SCALAR, optional: int = 0
) -> None:
    """Declare a function with fixed parameter types.

    :param parameters: types, separated by blanks; the last ``optional`` of them may be left out.
    :param template: DuckDB's expression with ``{0}``, ``{1}`` for arguments. Of several templates, separated
        by `` | ``, the first is for the fewest arguments. ``{over}`` stands behind an aggregate.
    """
    types = parameters.split()
    templates = template.split(" | ")

    def build(call: Call) -> Typed:
        if call.distinct:
            raise call.refusal("takes no DISTINCT in the local cloud")
        values = [
            call.double(i) if kind == "double" else call.as_kind(i, kind)
            for i, kind in enumerate(types[: len(call.args)])
        ]
        chosen = templates[len(call.args) - (len(types) - optional)] if optional else templates[0]
        filled = re.sub(r"\{(\w+)\}", lambda m: call.tail if m[1] == "over" else values[int(m[1])], chosen)
        return Typed(duck_cast(filled, result), result)

    declare(names, len(types) - optional, len(types), role)(build)


def declare(names: str, least: int, most: int, role: Role = Role.SCALAR) -> Callable[[Build], Build]:
    """Declare a function whose translation depends on its arguments' types."""

    def register(build: Build) -> Build:
        for name in names.split():
            FUNCTIONS[name] = Function(role, least, most, build)
        return build

    return register
