"""Where a statement runs: the project that bare names belong to, and the settings in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import DEFAULT_SCHEMA, Catalog
from maxcompute_local.odps.sql.convert import Conversions

_OTHER_DIALECTS = ("odps.sql.hive.compatible", "odps.sql.bigquery.compatible")
_DUPLICATE_KEYS = "odps.sql.map.key.dedup.policy"
_STRICT = ("odps.sql.udf.strict.mode", "odps.function.strictmode")


@dataclass(frozen=True)
class Session:
    """A project and settings."""

    project: str
    settings: Mapping[str, str]

    @property
    def odps2(self) -> bool:
        """Return whether the 2.0 type system is on: INT and smaller exist, fewer implicit conversions."""
        return self.flag("odps.sql.type.system.odps2", False)

    @property
    def strict(self) -> bool:
        """Return whether a value that cannot be cast is an error instead of NULL."""
        return all(self.flag(name, True) for name in _STRICT)

    @property
    def conversions(self) -> Conversions:
        """Return the rules for conversions between types."""
        return Conversions(self.odps2, self.strict)

    def check(self) -> None:
        """Raise an error for a setting that makes SQL mean what the local cloud does not know."""
        if self.settings.get(_DUPLICATE_KEYS, "last_win") != "last_win":
            raise errors.semantic_error(
                f"{_DUPLICATE_KEYS} other than last_win is not supported by the local cloud"
            )
        for name in _OTHER_DIALECTS:
            if self.flag(name, False):
                raise errors.semantic_error(f"{name}=true is not supported by the local cloud")

    def resolve(self, parts: Sequence[str], catalog: Catalog) -> tuple[str, str, str]:
        """Return project, schema and name of a table written with one to three parts."""
        in_default_schema = self.settings.get("odps.default.schema") or DEFAULT_SCHEMA
        has_schemas = self.flag("odps.namespace.schema", False)
        if len(parts) == 3:
            return parts[0], parts[1].lower(), parts[2]
        if len(parts) == 2:
            if has_schemas and not catalog.has_project(parts[0]):
                return self.project, parts[0].lower(), parts[1]
            return parts[0], in_default_schema if has_schemas else DEFAULT_SCHEMA, parts[1]
        if len(parts) == 1:
            return self.project, in_default_schema if has_schemas else DEFAULT_SCHEMA, parts[0]
        raise errors.parse_error(f"not a table name: {'.'.join(parts)}")

    def flag(self, name: str, default: bool) -> bool:
        """Return a setting that is true or false."""
        value = self.settings.get(name)
        return default if value is None else str(value).strip().lower() == "true"
