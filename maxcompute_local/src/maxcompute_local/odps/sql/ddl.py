"""DDL: statements that change or describe the catalog. What is not understood is refused by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import (
    Catalog,
    Column,
    PartitionRename,
    Table,
    TableDefinition,
)
from maxcompute_local.odps.sql.session import Session
from maxcompute_local.odps.sql.tokens import Cursor
from maxcompute_local.odps.storage import Storage
from maxcompute_local.odps.types import type_name

CreateAs = Callable[[Table, str, bool], None]
"""Fills a new table from a query and adds it to the catalog; the flag is IF NOT EXISTS."""
Describe = Callable[[str], tuple[Column, ...]]
"""Returns the columns of a query."""
Matching = Callable[[Table, str], list[tuple[str, ...]]]
"""Returns the values of a table's partitions that meet a condition."""

_CONDITION_WORDS = ("<", ">", "<=", ">=", "<>", "!=", "AND", "OR", "NOT", "IN", "LIKE", "BETWEEN", "(")


@dataclass(frozen=True)
class Ddl:
    """Runs DDL statements in a session. ``create_as``, ``describe`` and ``matching`` are the engine's."""

    session: Session
    catalog: Catalog
    storage: Storage
    create_as: CreateAs
    describe: Describe
    matching: Matching

    def run(self, sql: str) -> str | None:
        """Run a statement and return its text answer, or None when it is no DDL."""
        cursor = Cursor(sql)
        for keyword, action in (
            ("CREATE", self._create),
            ("DROP", self._drop),
            ("ALTER", self._alter),
            ("TRUNCATE", self._truncate),
            ("SHOW", self._show),
            ("DESC", self._describe_table),
            ("DESCRIBE", self._describe_table),
        ):
            if cursor.accept(keyword):
                answer = action(cursor) or ""
                cursor.expect_end()
                return answer
        return None

    def _resolve(self, cursor: Cursor) -> tuple[str, str, str]:
        return self.session.resolve(cursor.qualified_name(), self.catalog)

    def _table(self, cursor: Cursor) -> Table:
        return self.catalog.table(*self._resolve(cursor))

    # CREATE

    def _create(self, cursor: Cursor) -> None:
        if cursor.accept("OR", "REPLACE"):
            cursor.expect("VIEW")
            self._create_view(cursor, or_replace=True)
        elif cursor.accept("VIEW"):
            self._create_view(cursor, or_replace=False)
        elif cursor.accept("SCHEMA"):
            if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
            project, name = self._schema_name(cursor)
            self.catalog.create_schema(project, name, if_not_exists)
        else:
            cursor.expect("TABLE")
            self._create_table(cursor)

    def _schema_name(self, cursor: Cursor) -> tuple[str, str]:
        parts = cursor.qualified_name()
        return (parts[0], parts[1]) if len(parts) == 2 else (self.session.project, parts[0])

    def _create_table(self, cursor: Cursor) -> None:
        if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
        project, schema, name = self._resolve(cursor)
        definition = TableDefinition(columns=())
        if cursor.accept("LIKE"):
            like = self._table(cursor).definition
            definition = replace(like, view_text=None, comment="", lifecycle=None, kind="MANAGED_TABLE")
        elif cursor.accept("("):
            definition = replace(definition, columns=_columns(cursor))
        query = None
        while not cursor.at_end:
            if cursor.accept("COMMENT"):
                definition = replace(definition, comment=cursor.string())
            elif cursor.accept("PARTITIONED", "BY"):
                cursor.expect("(")
                definition = replace(definition, partition_columns=_columns(cursor))
            elif cursor.accept("LIFECYCLE"):
                definition = replace(definition, lifecycle=cursor.number())
            elif cursor.accept("TBLPROPERTIES"):
                definition = replace(definition, properties=_properties(cursor))
            elif cursor.accept("STORED", "AS"):
                cursor.name()  # How files are stored is the local cloud's own business.
            elif cursor.accept("AS"):
                query = cursor.rest()
            else:
                raise cursor.unexpected("not supported in CREATE TABLE")
        if query is not None:
            if definition.columns or definition.partition_columns:
                raise errors.parse_error("CREATE TABLE AS SELECT takes no column list")
            definition = replace(definition, columns=self.describe(query))
        if not definition.columns:
            raise errors.parse_error("CREATE TABLE needs columns or a query")
        if str(definition.properties.get("transactional", "")).lower() == "true":
            raise errors.parse_error("transactional tables are not supported by the local cloud")
        table = self.catalog.new_table(project, schema, name, definition)
        if query is not None:
            self.create_as(table, query, if_not_exists)
        else:
            self.catalog.create_table(table, if_not_exists=if_not_exists)

    def _create_view(self, cursor: Cursor, or_replace: bool) -> None:
        if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
        project, schema, name = self._resolve(cursor)
        names: list[tuple[str, str]] = []
        if cursor.accept("("):
            while not cursor.accept(")"):
                column = cursor.name().lower()
                names.append((column, cursor.string() if cursor.accept("COMMENT") else ""))
                cursor.accept(",")
        comment = cursor.string() if cursor.accept("COMMENT") else ""
        cursor.expect("AS")
        query = cursor.rest()
        columns = self.describe(query)
        if names:
            if len(names) != len(columns):
                raise errors.semantic_error(f"the view names {len(names)} of {len(columns)} columns")
            columns = tuple(
                replace(column, name=new, comment=text)
                for column, (new, text) in zip(columns, names, strict=True)
            )
        definition = TableDefinition(columns, kind="VIRTUAL_VIEW", comment=comment, view_text=query)
        table = self.catalog.new_table(project, schema, name, definition)
        existing = self.catalog.find_table(project, schema, name)
        if or_replace and existing is not None and existing.definition.view_text is None:
            raise errors.semantic_error(f"{existing.full_name} is a table, not a view")
        self.catalog.create_table(table, if_not_exists=if_not_exists, replace_existing=or_replace)

    # DROP, TRUNCATE

    def _drop(self, cursor: Cursor) -> None:
        if cursor.accept("SCHEMA"):
            if_exists = cursor.accept("IF", "EXISTS")
            project, name = self._schema_name(cursor)
            self.catalog.drop_schema(project, name, if_exists)
            return
        is_view = cursor.accept("VIEW")
        if not is_view:
            cursor.expect("TABLE")
        if_exists = cursor.accept("IF", "EXISTS")
        project, schema, name = self._resolve(cursor)
        existing = self.catalog.find_table(project, schema, name)
        if existing is not None and is_view == (existing.definition.view_text is None):
            raise errors.semantic_error(f"{existing.full_name} is {'not a' if is_view else 'a'} view")
        cursor.accept("PURGE")
        self.catalog.drop_table(project, schema, name, if_exists)

    def _truncate(self, cursor: Cursor) -> None:
        cursor.expect("TABLE")
        table = self._table(cursor)
        partitions = _partitions(cursor, table)
        if not partitions:
            partitions = [p.values for p in self.catalog.partitions(table)]
        self.catalog.truncate(table, partitions)

    # ALTER

    def _alter(self, cursor: Cursor) -> None:
        if not cursor.accept("VIEW"):
            cursor.expect("TABLE")
        table = self._table(cursor)
        if cursor.accept("ADD"):
            self._alter_add(cursor, table)
        elif cursor.accept("DROP"):
            self._alter_drop(cursor, table)
        elif cursor.sees("PARTITION"):
            self._rename_partition(cursor, table)
        elif cursor.accept("RENAME", "TO"):
            self.catalog.rename_table(table, cursor.qualified_name()[-1])
        elif cursor.accept("SET", "LIFECYCLE"):
            self.catalog.change_definition(table, lifecycle=cursor.number())
        elif cursor.accept("SET", "COMMENT"):
            self.catalog.change_definition(table, comment=cursor.string())
        elif cursor.accept("SET", "TBLPROPERTIES"):
            properties = {**table.definition.properties, **_properties(cursor)}
            self.catalog.change_definition(table, properties=properties)
        elif cursor.accept("CHANGEOWNER", "TO"):
            self.catalog.change_definition(table, owner=cursor.string())
        elif cursor.accept("CHANGE"):
            self._change_column(cursor, table)
        elif self._housekeeping(cursor):
            pass
        elif cursor.accept("TOUCH"):
            self.catalog.touch(table, _partitions(cursor, table))
        else:
            raise cursor.unexpected("not supported in ALTER TABLE")

    def _alter_add(self, cursor: Cursor, table: Table) -> None:
        if cursor.accept("COLUMNS") or cursor.accept("COLUMN"):
            if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
            columns = _columns(cursor) if cursor.accept("(") else (_single_column(cursor),)
            self.catalog.add_columns(table, columns, if_not_exists)
            return
        if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
        partitions = _partitions(cursor, table)
        if not partitions:
            raise cursor.unexpected("expected PARTITION")
        self.catalog.add_partitions(table, partitions, if_not_exists)

    def _alter_drop(self, cursor: Cursor, table: Table) -> None:
        if cursor.accept("COLUMNS") or cursor.accept("COLUMN"):
            in_parentheses = cursor.accept("(")
            names = [cursor.name().lower()]
            while cursor.accept(","):
                names.append(cursor.name().lower())
            if in_parentheses:
                cursor.expect(")")
            self.catalog.drop_columns(table, names)
            return
        if_exists = cursor.accept("IF", "EXISTS")
        partitions = self._partitions_or_matching(cursor, table, if_exists)
        self.catalog.drop_partitions(table, partitions, if_exists)

    def _partitions_or_matching(self, cursor: Cursor, table: Table, if_exists: bool) -> list[tuple[str, ...]]:
        """Read any number of ``PARTITION (a='1', b='2')`` or ``PARTITION (a < '1')``."""
        found: dict[tuple[str, ...], None] = {}
        while cursor.sees("PARTITION"):
            if not cursor.sees_within("PARTITION", _CONDITION_WORDS):
                found |= dict.fromkeys(_partitions(cursor, table, most=1))
                continue
            cursor.expect("PARTITION")
            condition = cursor.in_parentheses()
            matching = self.matching(table, condition)
            if not matching and not if_exists:
                raise errors.no_such_partition(table.full_name, condition)
            found |= dict.fromkeys(matching)
            cursor.accept(",")
        if not found and not if_exists:
            raise cursor.unexpected("expected PARTITION")
        return list(found)

    def _rename_partition(self, cursor: Cursor, table: Table) -> None:
        (old,) = _partitions(cursor, table)
        if self._housekeeping(cursor):
            self.catalog.partition(table, old)
            return
        cursor.expect("RENAME", "TO")
        (new,) = _partitions(cursor, table)
        # The values are part of the files' paths, so the files are linked under the new ones.
        files = tuple(
            self.storage.link(table, new, file) for file in self.catalog.partition(table, old).files
        )
        try:
            self.catalog.rename_partition(table, PartitionRename(old, new, files))
        except BaseException:
            self.storage.remove(file.path for file in files)
            raise

    def _housekeeping(self, cursor: Cursor) -> bool:
        """Read what changes nothing here, where no lifecycle ends and files are stored as it suits."""
        return (
            cursor.accept("ENABLE", "LIFECYCLE")
            or cursor.accept("DISABLE", "LIFECYCLE")
            or cursor.accept("MERGE", "SMALLFILES")
        )

    def _change_column(self, cursor: Cursor, table: Table) -> None:
        cursor.expect("COLUMN")
        name = cursor.name().lower()
        if cursor.accept("RENAME", "TO"):
            self.catalog.change_column(table, name, cursor.name().lower(), None)
            return
        if cursor.accept("COMMENT"):
            self.catalog.change_column(table, name, name, cursor.string())
            return
        new_name = cursor.name().lower()
        new_type = type_name(cursor.type_text())
        current = next((c for c in table.columns if c.name == name), None)
        if current is not None and current.type != new_type:
            raise errors.parse_error("changing the type of a column is not supported by the local cloud")
        comment = cursor.string() if cursor.accept("COMMENT") else None
        self.catalog.change_column(table, name, new_name, comment)

    # SHOW, DESC

    def _show(self, cursor: Cursor) -> str:
        if cursor.accept("PARTITIONS"):
            table = self._table(cursor)
            wanted = _partial_spec(cursor, table)
            specs = [
                p.spec
                for p in self.catalog.partitions(table)
                if p.spec and all(p.values[i] == value for i, value in wanted.items())
            ]
            return "\n".join(["", *specs, ""]) if specs else ""
        if cursor.accept("CREATE", "TABLE"):
            return ddl_text(self._table(cursor))
        if cursor.accept("TABLES"):
            _, schema, _ = self.session.resolve(["any"], self.catalog)
            project = cursor.name() if cursor.accept("IN") else self.session.project
            tables = self.catalog.tables(project, schema)
            if cursor.accept("LIKE"):
                pattern = re.escape(cursor.string().lower()).replace(r"\*", ".*")
                tables = [t for t in tables if re.fullmatch(pattern, t.name)]
            return "\n".join(f"{t.definition.owner}:{t.name}" for t in tables)
        if cursor.accept("SCHEMAS"):
            project = cursor.name() if cursor.accept("IN") else self.session.project
            return "\n".join(self.catalog.schemas(project))
        raise cursor.unexpected("not supported in SHOW")

    def _describe_table(self, cursor: Cursor) -> str:
        if cursor.accept("SCHEMA"):
            project, name = self._schema_name(cursor)
            if name.lower() not in self.catalog.schemas(project):
                raise errors.no_such_schema(name)
            return json.dumps({"name": name.lower(), "type": "MANAGED"})
        cursor.accept("EXTENDED")
        table = self._table(cursor)
        line = "+" + "-" * 60 + "+"
        if cursor.sees("PARTITION"):
            (values,) = _partitions(cursor, table)
            partition = self.catalog.partition(table, values)
            times = (
                f"{word}: {datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
                for word, seconds in (
                    ("CreateTime", partition.created),
                    ("LastDDLTime", partition.ddl_time),
                    ("LastModifiedTime", partition.modified),
                )
            )
            lines = [f"PartitionSize: {partition.size}", *times]
            return "\n".join([line, *(f"| {text} |" for text in lines), line])
        head = [line, f"| Owner: {table.definition.owner} | Project: {table.project}"]
        head += [f"| TableComment: {table.definition.comment}", line]
        columns = [f"| {c.name} | {c.type} |  | {c.comment} |" for c in table.columns]
        partition_columns = [f"| {c.name} | {c.type} | {c.comment} |" for c in table.partition_columns]
        if partition_columns:
            partition_columns = [line, "| Partition Columns:", *partition_columns]
        return "\n".join([*head, *columns, *partition_columns, line])


def _single_column(cursor: Cursor) -> Column:
    """Read the definition of a column without parentheses around it."""
    name, kind = cursor.name().lower(), type_name(cursor.type_text())
    return Column(name, kind, comment=cursor.string() if cursor.accept("COMMENT") else "")


def _columns(cursor: Cursor) -> tuple[Column, ...]:
    """Read column definitions up to and including the closing parenthesis."""
    columns: list[Column] = []
    while True:
        if cursor.sees("PRIMARY", "KEY"):
            raise cursor.unexpected("primary keys are not supported by the local cloud")
        name = cursor.name().lower()
        column = Column(name, type_name(cursor.type_text()))
        while not (cursor.sees(",") or cursor.sees(")")):
            if cursor.accept("COMMENT"):
                column = replace(column, comment=cursor.string())
            elif cursor.accept("NOT", "NULL"):
                column = replace(column, nullable=False)
            elif not cursor.accept("NULL"):
                raise cursor.unexpected("not supported in a column definition")
        columns.append(column)
        if cursor.accept(")"):
            return tuple(columns)
        cursor.expect(",")


def _properties(cursor: Cursor) -> dict[str, str]:
    cursor.expect("(")
    properties: dict[str, str] = {}
    while True:
        name = cursor.string()
        cursor.expect("=")
        properties[name] = cursor.literal()
        if cursor.accept(")"):
            return properties
        cursor.expect(",")


def _partitions(cursor: Cursor, table: Table, most: int | None = None) -> list[tuple[str, ...]]:
    """Read any number of full ``PARTITION (a='1', b='2')`` specs, or at most so many."""
    partitions: list[tuple[str, ...]] = []
    while len(partitions) != most and cursor.accept("PARTITION"):
        partitions.append(table.partition_values(_spec(cursor)))
        cursor.accept(",")
    return partitions


def _spec(cursor: Cursor) -> dict[str, str]:
    cursor.expect("(")
    spec: dict[str, str] = {}
    while True:
        name = cursor.name().lower()
        cursor.expect("=")
        spec[name] = cursor.literal()
        if cursor.accept(")"):
            return spec
        if not cursor.accept("/"):
            cursor.expect(",")


def _partial_spec(cursor: Cursor, table: Table) -> dict[int, str]:
    """Read a ``PARTITION (...)`` that names some of the partition columns, if one comes next."""
    if not cursor.accept("PARTITION"):
        return {}
    places = {c.name: i for i, c in enumerate(table.partition_columns)}
    spec = _spec(cursor)
    unknown = [name for name in spec if name not in places]
    if unknown:
        raise errors.invalid_partition(f"{table.full_name} has no partition column {unknown[0]}")
    return {places[name]: value for name, value in spec.items()}


def ddl_text(table: Table) -> str:
    """Return the statement that creates a table or view."""
    definition = table.definition
    if definition.view_text is not None:
        names = ", ".join(f"`{c.name}`{_comment(c.comment)}" for c in table.columns)
        head = f"CREATE VIEW {table.full_name} ({names}){_comment(definition.comment)}"
        return f"{head} AS {definition.view_text};"
    parts = [f"CREATE TABLE IF NOT EXISTS {table.full_name} ({_listed(table.columns)})"]
    if definition.comment:
        parts.append(_comment(definition.comment).strip())
    if table.partition_columns:
        parts.append(f"PARTITIONED BY ({_listed(table.partition_columns)})")
    if definition.properties:
        pairs = (
            f"{text_literal(name)}={text_literal(value)}" for name, value in definition.properties.items()
        )
        parts.append(f"TBLPROPERTIES ({', '.join(pairs)})")
    if definition.lifecycle is not None:
        parts.append(f"LIFECYCLE {definition.lifecycle}")
    return "\n".join(parts) + ";"


def _listed(columns: Sequence[Column]) -> str:
    return ", ".join(
        f"`{c.name}` {c.type.upper()}{'' if c.nullable else ' NOT NULL'}{_comment(c.comment)}"
        for c in columns
    )


def _comment(text: str) -> str:
    return f" COMMENT {text_literal(text)}" if text else ""


def text_literal(text: str) -> str:
    """Return a text as a string literal of a statement whose escape sequences are resolved already."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
