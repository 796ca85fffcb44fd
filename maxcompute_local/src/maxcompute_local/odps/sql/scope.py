"""The names that a query sees: the columns of its tables and subqueries, and of the query around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from maxcompute_local.odps import errors
from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Typed, quote_name


@dataclass(frozen=True)
class Relation:
    """A source of rows: how the query calls it, and its columns by name with their DuckDB expressions.

    ``name`` has up to three parts; ``t.c`` finds a table that is written ``p.t``.
    """

    name: tuple[str, ...]
    columns: Sequence[tuple[str, Typed]]

    def answers_to(self, name: Sequence[str]) -> bool:
        """Return whether a qualifier means this relation."""
        wanted = tuple(part.lower() for part in name)
        return self.name[-len(wanted) :] == wanted


@dataclass
class Scope:
    """The relations of one SELECT. ``merged`` are the columns of JOIN ... USING, which need no qualifier."""

    outer: Scope | None = None
    relations: list[Relation] = field(default_factory=list)
    merged: dict[str, Typed] = field(default_factory=dict)

    def resolve(self, parts: Sequence[str]) -> Typed:
        """Return the column that a dotted name means, or a field of a struct column."""
        for taken in range(len(parts), 0, -1):
            found = self._find(parts[:taken])
            if found is not None:
                for name in parts[taken:]:
                    found = struct_field(found, name)
                return found
        raise errors.semantic_error(f"column {'.'.join(parts)} cannot be resolved")

    def find(self, name: str) -> Typed | None:
        """Return the column of this name here, not in the query around; None if there is none."""
        return self._find_here([name])

    def _find(self, parts: Sequence[str]) -> Typed | None:
        found = self._find_here(parts)
        if found is None and self.outer is not None:
            return self.outer._find(parts)
        return found

    def _find_here(self, parts: Sequence[str]) -> Typed | None:
        *qualifier, name = parts
        name = name.lower()
        if not qualifier and name in self.merged:
            return self.merged[name]
        found = [
            column
            for relation in self.relations
            if not qualifier or relation.answers_to(qualifier)
            for column_name, column in relation.columns
            if column_name == name
        ]
        if len(found) > 1:
            raise errors.semantic_error(f"column reference {'.'.join(parts)} is ambiguous")
        return found[0] if found else None

    def star(self, qualifier: Sequence[str] = ()) -> Iterator[tuple[str, Typed]]:
        """Yield all columns, or those of one relation."""
        if not qualifier:
            yield from self.merged.items()
        chosen = [r for r in self.relations if not qualifier or r.answers_to(qualifier)]
        if not chosen:
            what = ".".join(qualifier)
            raise errors.semantic_error(
                f"table {what} cannot be resolved" if what else "SELECT * needs a FROM"
            )
        for relation in chosen:
            for name, column in relation.columns:
                if qualifier or name not in self.merged:
                    yield name, column


def struct_field(value: Typed, name: str) -> Typed:
    """Return a field of a STRUCT."""
    found = dict(kinds.fields(value.kind)) if kinds.is_struct(value.kind) else {}
    kind = found.get(name.lower())
    if kind is None:
        raise errors.semantic_error(f"{value.name} has no field {name}")
    return Typed(f"({value.sql}).{quote_name(name.lower())}", kind)
