"""Conversions between types: explicit (CAST), implicit, and the common type of several values.

The rules are those of MaxCompute's page "Type conversions". A conversion that the page does not know is an
error, never DuckDB's guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maxcompute_local.odps import errors
from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.types import duck_type

_SECOND = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True)
class Typed:
    """An expression in DuckDB's SQL with its MaxCompute type; ``constant`` is the value of a literal."""

    sql: str
    kind: str
    constant: str | None = None

    @property
    def name(self) -> str:
        """Return the type as messages show it."""
        return self.kind.upper()


def quote_name(name: str) -> str:
    """Return a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a DuckDB string literal."""
    if "\0" in text:
        raise errors.parse_error("strings with a NUL character are not supported by the local cloud")
    return "'" + text.replace("'", "''") + "'"


def duck_cast(sql: str, kind: str, attempt: bool = False) -> str:
    """Return DuckDB's cast to the type that stores a MaxCompute type."""
    return f"{'TRY_CAST' if attempt else 'CAST'}({sql} AS {duck_type(kind)})"


def whole(number: int) -> Typed:
    """Return a BIGINT constant."""
    return Typed(f"CAST({number} AS BIGINT)", "bigint", str(number))


def string(text: str) -> Typed:
    """Return a STRING constant."""
    return Typed(quote_text(text), "string", text)


def mismatch(what: str, source: str, target: str) -> errors.OdpsError:
    """Return the error for a conversion that does not exist."""
    return errors.illegal_conversion(f"{what}: cannot convert {source.upper()} to {target.upper()}")


@dataclass(frozen=True)
class Conversions:
    """The conversions of a session.

    ``odps2`` is the setting odps.sql.type.system.odps2, ``strict`` whether a value that cannot be converted
    is an error; otherwise it becomes NULL, or the number that the text begins with.
    """

    odps2: bool
    strict: bool

    def visible(self, kind: str) -> str:
        """Return a type as the session knows it: without the 2.0 types, INT is BIGINT."""
        return kind if self.odps2 else kinds.widened(kind)

    def cast(self, value: Typed, target: str, attempt: bool = False) -> Typed:
        """Return ``CAST(value AS target)``; an error for a pair of types that MaxCompute does not convert."""
        source = value.kind
        if source == target:
            return value
        if source == kinds.VOID:
            return Typed(duck_cast(value.sql, target), target)
        sql = self._cast_sql(value, target, attempt or not self.strict)
        if sql is None:
            raise mismatch("CAST", source, target)
        return Typed(sql, target)

    def _cast_sql(self, value: Typed, target: str, attempt: bool) -> str | None:
        source, sql = value.kind, value.sql
        if kinds.is_text(target):
            text = self._to_text(value)
            length = kinds.limited_length(target)
            if text is None or length is None:
                return text
            cut = f"left({text}, {length})"
            return f"rpad({cut}, {length}, ' ')" if target.startswith("char(") else cut
        if kinds.is_text(source):
            return self._from_text(self._text_of(value), target, attempt)
        if target == "boolean":
            return f"({sql} <> 0)" if kinds.is_number(source) else None
        if source == "boolean":
            return duck_cast(sql, target) if kinds.is_number(target) else None
        if kinds.is_number(source) and kinds.is_number(target):
            if target in kinds.INTEGERS and source not in kinds.INTEGERS:
                sql = f"trunc({sql})"
            return duck_cast(sql, target, attempt)
        if source in kinds.MOMENTS and target in kinds.MOMENTS:
            return self._between_moments(sql, source, target)
        if source in kinds.INTEGERS and target == "timestamp" and self.odps2:
            return duck_cast(f"to_timestamp({duck_cast(sql, 'bigint')})", target)
        return self._between_nested(value, target, attempt)

    def _to_text(self, value: Typed) -> str | None:
        source, sql = value.kind, value.sql
        if kinds.is_text(source):
            return self._text_of(value)
        if kinds.is_number(source) or source in ("boolean", "date"):
            return f"CAST({sql} AS VARCHAR)"
        if source == "datetime":
            return f"strftime({sql}, '{_SECOND}')"
        if source == "timestamp":
            return f"regexp_replace(CAST({sql} AS VARCHAR), '[+-][0-9:]+$', '')"
        if source == "timestamp_ntz":
            return f"CAST({sql} AS VARCHAR)"
        if source == "binary":
            return f"decode({sql})"
        return None

    def _text_of(self, value: Typed) -> str:
        # The blanks that fill up a CHAR(n) are no part of its value.
        return f"rtrim({value.sql}, ' ')" if value.kind.startswith("char(") else value.sql

    def _from_text(self, sql: str, target: str, attempt: bool) -> str | None:
        if target in kinds.INTEGERS:
            return duck_cast(f"{'mc_try_whole' if attempt else 'mc_whole'}({sql})", target, attempt)
        if target in kinds.FLOATS:
            return duck_cast(
                f"{'mc_try_number' if attempt else 'mc_number'}({sql}, 'Double')", target, attempt
            )
        if kinds.is_decimal(target):
            checked = f"{'mc_try_number' if attempt else 'mc_number'}({sql}, 'Decimal')"
            scale = kinds.decimal_size(target)[1]
            return duck_cast(f"mc_digits({checked}, {scale})", target, attempt)
        if target == "boolean":
            return f"({sql} <> '')"
        if target in kinds.MOMENTS:
            macro = f"mc_{'try_' if attempt else ''}{'day' if target == 'date' else 'moment'}"
            digits = "{1,3}" if target == "datetime" else "{1,9}"
            argument = "" if target == "date" else f", '{digits}', '{target.capitalize()}'"
            return duck_cast(f"{macro}({sql}{argument})", target, attempt)
        if target == "binary":
            return f"encode({sql})"
        return None

    def _between_moments(self, sql: str, source: str, target: str) -> str:
        if source == "timestamp_ntz" and target in kinds.INSTANTS:
            # DuckDB reads a time without a zone in the session's.
            sql = f"CAST({sql} AS TIMESTAMP)"
        if source == "timestamp" and target != "timestamp":
            sql = f"CAST({sql} AS TIMESTAMPTZ)"
        if target == "datetime":
            return f"date_trunc('milliseconds', CAST({sql} AS TIMESTAMPTZ))"
        if target in ("timestamp", "timestamp_ntz") and source != "timestamp":
            sql = f"CAST({sql} AS {'TIMESTAMPTZ' if target == 'timestamp' else 'TIMESTAMP'})"
        return duck_cast(sql, target)

    def _between_nested(self, value: Typed, target: str, attempt: bool) -> str | None:
        source = value.kind
        if kinds.is_array(source) and kinds.is_array(target):
            item = self.cast(Typed("v", kinds.element(source)), kinds.element(target), attempt)
            return f"list_transform({value.sql}, lambda v: {item.sql})"
        return None

    def can_convert(self, source: str, target: str) -> bool:
        """Return whether a value is converted to the type where that is needed, without a CAST."""
        if source in (target, kinds.VOID):
            return True
        if kinds.is_text(target):
            return kinds.is_text(source) or kinds.is_number(source) or source in kinds.MOMENTS
        if kinds.is_number(target) and kinds.is_number(source):
            if not self.odps2:
                return True
            return kinds.widest_number([source, target]) == target or target == "double"
        if kinds.is_text(source):
            if target == "double" or kinds.is_decimal(target):
                return True
            return not self.odps2 and (kinds.is_number(target) or target in kinds.MOMENTS)
        if source in kinds.MOMENTS and target in kinds.MOMENTS:
            return kinds.MOMENTS.index(source) < kinds.MOMENTS.index(target)
        return False

    def convert(self, value: Typed, target: str, what: str) -> Typed:
        """Return a value converted without a CAST; ``what`` says in an error where that was needed."""
        if not self.can_convert(value.kind, target):
            raise mismatch(what, value.kind, target)
        return self.cast(value, target)

    def compared(self, values: Sequence[Typed], what: str) -> list[Typed]:
        """Return values converted to the type in which they are compared."""
        target = self._comparison_kind([v.kind for v in values])
        if target is None:
            names = " and ".join(dict.fromkeys(v.name for v in values))
            raise errors.illegal_conversion(f"{what}: {names} cannot be compared")
        return [self.cast(value, target) for value in values]

    def _comparison_kind(self, found: Sequence[str]) -> str | None:
        distinct = list(dict.fromkeys("string" if kinds.is_text(k) else k for k in found if k != kinds.VOID))
        if not distinct:
            return "string"
        if len(distinct) == 1:
            return distinct[0]
        others = [k for k in distinct if k != "string"]
        if all(kinds.is_number(k) for k in others):
            # A string is compared with numbers as a DOUBLE, with a DECIMAL among them as a DECIMAL.
            if any(kinds.is_decimal(k) for k in others):
                return (
                    kinds.DEFAULT_DECIMAL
                    if len(others) < len(distinct) or "double" in others
                    else (kinds.widest_number(others))
                )
            return "double" if len(others) < len(distinct) else kinds.widest_number(others)
        if all(k in kinds.MOMENTS for k in others):
            return max(others, key=kinds.MOMENTS.index)
        return None

    def unified(self, values: Sequence[Typed], what: str, with_text: bool = True) -> list[Typed]:
        """Return values as one type, for CASE, COALESCE and the like.

        :param with_text: whether a string among other types makes all of them strings.
        """
        target = self.common_kind([v.kind for v in values], with_text)
        if target is None:
            names = " and ".join(dict.fromkeys(v.name for v in values))
            raise errors.illegal_conversion(f"{what}: {names} have no common type")
        return [self.cast(value, target) for value in values]

    def common_kind(self, found: Sequence[str], with_text: bool) -> str | None:
        """Return the type that values of several types become together, None if there is none."""
        distinct = list(dict.fromkeys(k for k in found if k != kinds.VOID))
        if not distinct:
            return kinds.VOID
        if len(distinct) == 1:
            return distinct[0]
        if all(kinds.is_number(k) for k in distinct):
            return kinds.widest_number(distinct)
        if all(kinds.is_text(k) for k in distinct):
            return "string"
        if with_text and any(kinds.is_text(k) for k in distinct):
            others = [k for k in distinct if not kinds.is_text(k)]
            return "string" if all(self.can_convert(k, "string") for k in others) else None
        return None

    def assigned(self, value: Typed, target: str, column: str) -> Typed:
        """Return a value converted for a table's column; an error when that needs a CAST."""
        what = f"column {column}"
        if self.odps2 and value.kind in kinds.FLOATS and kinds.is_decimal(target):
            return self.cast(value, target)
        return self.convert(value, target, what)
