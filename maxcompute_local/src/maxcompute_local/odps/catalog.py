"""Projects, schemas, tables, partitions and the data files that make up a partition, in SQLite.

Data files are immutable. A change of data is one transaction that exchanges file lists, so that readers see
all of it or nothing, over any number of partitions; a reader keeps the list it took as its snapshot.
Files that no list names any more are garbage, removed after a delay that lets readers finish.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from odps import types as odps_types

from maxcompute_local.odps import errors
from maxcompute_local.odps.database import Database

DEFAULT_SCHEMA = "default"
OWNER = "ALIYUN$local"
MAX_PARTITION_VALUE_BYTES = 255

_NAME = re.compile(r"\w[\w-]*")
_TABLES = """
CREATE TABLE IF NOT EXISTS projects (name TEXT PRIMARY KEY, created REAL NOT NULL);
CREATE TABLE IF NOT EXISTS schemas (
    project TEXT NOT NULL REFERENCES projects ON DELETE CASCADE,
    name TEXT NOT NULL, created REAL NOT NULL, PRIMARY KEY (project, name));
CREATE TABLE IF NOT EXISTS tables (
    id TEXT PRIMARY KEY, project TEXT NOT NULL, schema TEXT NOT NULL, name TEXT NOT NULL,
    definition TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL, ddl_time REAL NOT NULL,
    UNIQUE (project, schema, name), FOREIGN KEY (project, schema) REFERENCES schemas);
CREATE TABLE IF NOT EXISTS partitions (
    id INTEGER PRIMARY KEY, table_id TEXT NOT NULL REFERENCES tables ON DELETE CASCADE,
    spec TEXT NOT NULL, partition_values TEXT NOT NULL,
    created REAL NOT NULL, modified REAL NOT NULL, ddl_time REAL NOT NULL,
    UNIQUE (table_id, partition_values));
CREATE TABLE IF NOT EXISTS files (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE,
    partition_id INTEGER NOT NULL REFERENCES partitions ON DELETE CASCADE,
    rows INTEGER NOT NULL, size INTEGER NOT NULL, columns TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS files_by_partition ON files (partition_id);
CREATE TABLE IF NOT EXISTS garbage (path TEXT PRIMARY KEY, since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS pins (
    reader TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (reader, path)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS pins_by_path ON pins (path);
"""


@dataclass(frozen=True)
class Column:
    """A column; ``id`` names it in data files and stays the same when the column is renamed."""

    name: str
    type: str
    comment: str = ""
    nullable: bool = True
    id: str = ""


@dataclass(frozen=True)
class DataFile:
    """An immutable Parquet file: path below the data folder, rows, bytes, ids of the columns it holds."""

    path: str
    rows: int
    size: int
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Partition:
    """A partition and its snapshot of files; an unpartitioned table has one with the spec ``''``.

    ``spec`` is ``a=1/b=2`` in the order of the table. Times are seconds since the epoch.
    """

    spec: str
    values: tuple[str, ...]
    files: tuple[DataFile, ...]
    created: float
    modified: float
    ddl_time: float

    @property
    def rows(self) -> int:
        """Return the number of rows."""
        return sum(f.rows for f in self.files)

    @property
    def size(self) -> int:
        """Return the size of the files in bytes."""
        return sum(f.size for f in self.files)


@dataclass(frozen=True)
class TableDefinition:
    """What DDL decides about a table."""

    columns: tuple[Column, ...]
    partition_columns: tuple[Column, ...] = ()
    kind: str = "MANAGED_TABLE"
    comment: str = ""
    owner: str = OWNER
    lifecycle: int | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    view_text: str | None = None
    next_column: int = 0


@dataclass(frozen=True)
class Table:
    """A table as it was when it was looked up. Times are seconds since the epoch."""

    id: str
    project: str
    schema: str
    name: str
    definition: TableDefinition
    created: float
    modified: float
    ddl_time: float

    @property
    def full_name(self) -> str:
        """Return ``project.table``, with the schema in between where it is not the default one."""
        middle = "" if self.schema == DEFAULT_SCHEMA else f"{self.schema}."
        return f"{self.project}.{middle}{self.name}"

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return the data columns."""
        return self.definition.columns

    @property
    def partition_columns(self) -> tuple[Column, ...]:
        """Return the partition columns."""
        return self.definition.partition_columns

    def partition_values(self, spec: str | Mapping[str, str] | None) -> tuple[str, ...]:
        """Return the values of a full partition spec (``a=1,b=2``) in the order of the table.

        Raises an InvalidPartitionSpec error when it does not name exactly the partition columns.
        """
        if not self.partition_columns:
            if spec:
                raise errors.invalid_partition(f"table {self.full_name} is not partitioned")
            return ()
        if not spec:
            raise errors.invalid_partition(f"table {self.full_name} is partitioned: a partition is required")
        given = parse_partition_spec(spec)
        names = [c.name for c in self.partition_columns]
        if set(given) != set(names):
            raise errors.invalid_partition(f"invalid partition spec {spec!r}, expected columns {names}")
        return tuple(given[name] for name in names)

    def partition_spec(self, values: Sequence[str]) -> str:
        """Return ``a=1/b=2`` for values in the order of the table."""
        return "/".join(f"{c.name}={v}" for c, v in zip(self.partition_columns, values, strict=True))


def parse_partition_spec(spec: str | Mapping[str, str]) -> dict[str, str]:
    """Return the values of a partition spec by lower-case column name."""
    if isinstance(spec, Mapping):
        items: Mapping[str, object] = spec
    else:
        try:
            items = odps_types.PartitionSpec(spec).kv
        except ValueError as error:
            raise errors.invalid_partition(f"cannot read the partition spec {spec!r}") from error
    return {name.lower(): str(value) for name, value in items.items()}


@dataclass(frozen=True)
class PartitionRename:
    """New values and re-linked files of a partition."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    files: tuple[DataFile, ...]


@dataclass(frozen=True)
class TableChange:
    """New files by partition of a table, and whether they replace the files there."""

    table: Table
    data: Mapping[tuple[str, ...], Sequence[DataFile]]
    overwrite: bool


class Catalog:
    """The catalog. Safe to use from several threads; every method is one transaction."""

    def __init__(self, database: Database, projects: Iterable[str]) -> None:
        self._db = database
        database.create(_TABLES)
        for project in projects:
            self._ensure_project(project)

    # Projects and schemas

    def _ensure_project(self, name: str) -> None:
        with self._db.write() as db:
            now = time.time()
            db.execute("INSERT OR IGNORE INTO projects VALUES (?, ?)", (name, now))
            db.execute("INSERT OR IGNORE INTO schemas VALUES (?, ?, ?)", (name, DEFAULT_SCHEMA, now))

    def projects(self) -> list[str]:
        """Return the names of all projects."""
        with self._db.read() as db:
            return [row["name"] for row in db.execute("SELECT name FROM projects ORDER BY name")]

    def has_project(self, name: str) -> bool:
        """Return whether a project exists."""
        with self._db.read() as db:
            return db.execute("SELECT 1 FROM projects WHERE name = ?", (name,)).fetchone() is not None

    def schemas(self, project: str) -> dict[str, float]:
        """Return the schemas of a project with their creation times."""
        if not self.has_project(project):
            raise errors.no_such_project(project)
        with self._db.read() as db:
            rows = db.execute("SELECT name, created FROM schemas WHERE project = ? ORDER BY name", (project,))
            return {row["name"]: row["created"] for row in rows}

    def create_schema(self, project: str, name: str, if_not_exists: bool = False) -> None:
        """Create a schema; ObjectAlreadyExists when it is there."""
        name = _checked_name(name)
        with self._db.write() as db:
            if name in self.schemas(project):
                if if_not_exists:
                    return
                raise errors.already_exists(f"Schema {project}.{name}")
            db.execute("INSERT INTO schemas VALUES (?, ?, ?)", (project, name, time.time()))

    def drop_schema(self, project: str, name: str, if_exists: bool = False) -> None:
        """Drop an empty schema."""
        name = name.lower()
        with self._db.write() as db:
            if name not in self.schemas(project):
                if if_exists:
                    return
                raise errors.no_such_schema(name)
            if self.tables(project, name):
                raise errors.invalid_argument(f"Schema {project}.{name} is not empty")
            db.execute("DELETE FROM schemas WHERE project = ? AND name = ?", (project, name))

    # Tables

    def table(self, project: str, schema: str, name: str) -> Table:
        """Return a table; NoSuchObject when it does not exist."""
        found = self.find_table(project, schema, name)
        if found is None:
            if not self.has_project(project):
                raise errors.no_such_project(project)
            middle = "" if schema == DEFAULT_SCHEMA else f"{schema}."
            raise errors.no_such_table(f"{project}.{middle}{name.lower()}")
        return found

    def find_table(self, project: str, schema: str, name: str) -> Table | None:
        """Return a table, or None when it does not exist."""
        with self._db.read() as db:
            row = db.execute(
                "SELECT * FROM tables WHERE project = ? AND schema = ? AND name = ?",
                (project, schema, name.lower()),
            ).fetchone()
        return _table(row) if row is not None else None

    def tables(self, project: str, schema: str = DEFAULT_SCHEMA, prefix: str = "") -> list[Table]:
        """Return the tables of a schema whose names start with ``prefix``, sorted by name."""
        if schema not in self.schemas(project):
            raise errors.no_such_schema(schema)
        with self._db.read() as db:
            rows = db.execute(
                "SELECT * FROM tables WHERE project = ? AND schema = ? ORDER BY name", (project, schema)
            ).fetchall()
        return [_table(row) for row in rows if row["name"].startswith(prefix.lower())]

    def new_table(self, project: str, schema: str, name: str, definition: TableDefinition) -> Table:
        """Return a table that is not in the catalog yet, so that data can be written for it first.

        Raises an error for unknown projects or schemas and for bad or repeated column names.
        """
        if schema not in self.schemas(project):
            raise errors.no_such_schema(schema)
        seen: set[str] = set()
        for column in (*definition.columns, *definition.partition_columns):
            if column.name in seen:
                raise errors.semantic_error(f"column {column.name} is declared twice")
            seen.add(column.name)
        now = time.time()
        definition = replace(
            definition,
            columns=tuple(replace(c, id=f"c{i}") for i, c in enumerate(definition.columns)),
            next_column=len(definition.columns),
        )
        return Table(uuid.uuid4().hex, project, schema, _checked_name(name), definition, now, now, now)

    def create_table(
        self,
        table: Table,
        data: Mapping[tuple[str, ...], Sequence[DataFile]] | None = None,
        if_not_exists: bool = False,
        replace_existing: bool = False,
    ) -> bool:
        """Add a table, with its first data if any; return False when it exists and may.

        Raises ObjectAlreadyExists otherwise.
        """
        with self._db.write() as db:
            existing = self.find_table(table.project, table.schema, table.name)
            if existing is not None:
                if replace_existing:
                    self._drop(db, existing)
                elif if_not_exists:
                    return False
                else:
                    raise errors.already_exists(f"Table {table.full_name}")
            db.execute(
                "INSERT INTO tables VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    table.id,
                    table.project,
                    table.schema,
                    table.name,
                    _definition_json(table.definition),
                    table.created,
                    table.modified,
                    table.ddl_time,
                ),
            )
            if data:
                self.publish(table, data, overwrite=True)
            return True

    def drop_table(self, project: str, schema: str, name: str, if_exists: bool = False) -> None:
        """Drop a table or view; its files become garbage."""
        with self._db.write() as db:
            existing = self.find_table(project, schema, name)
            if existing is not None:
                self._drop(db, existing)
            elif not if_exists:
                self.table(project, schema, name)

    def _drop(self, db: sqlite3.Connection, table: Table) -> None:
        for partition in self._partitions(db, table):
            _discard(db, partition.files)
        db.execute("DELETE FROM tables WHERE id = ?", (table.id,))

    def rename_table(self, table: Table, name: str) -> None:
        """Give a table another name."""
        name = _checked_name(name)
        with self._db.write() as db:
            if self.find_table(table.project, table.schema, name) is not None:
                raise errors.already_exists(f"Table {table.project}.{name}")
            db.execute("UPDATE tables SET name = ?, ddl_time = ? WHERE id = ?", (name, time.time(), table.id))

    def change_definition(self, table: Table, **changes: Any) -> None:
        """Replace attributes of a table's definition."""
        with self._db.write() as db:
            current = self._current(db, table).definition
            self._set_definition(db, table, replace(current, **changes))

    def add_columns(self, table: Table, columns: Sequence[Column], if_not_exists: bool = False) -> None:
        """Append columns; older rows have NULL there."""
        with self._db.write() as db:
            current = self._current(db, table).definition
            taken = {c.name for c in (*current.columns, *current.partition_columns)}
            added: list[Column] = []
            for column in columns:
                if column.name in taken:
                    if if_not_exists:
                        continue
                    raise errors.semantic_error(f"column {column.name} already exists")
                taken.add(column.name)
                added.append(replace(column, id=f"c{current.next_column + len(added)}"))
            self._set_definition(
                db,
                table,
                replace(
                    current,
                    columns=(*current.columns, *added),
                    next_column=current.next_column + len(added),
                ),
            )

    def drop_columns(self, table: Table, names: Sequence[str]) -> None:
        """Remove data columns."""
        with self._db.write() as db:
            current = self._current(db, table).definition
            missing = set(names) - {c.name for c in current.columns}
            if missing:
                raise errors.semantic_error(f"column {sorted(missing)[0]} cannot be resolved")
            kept = tuple(c for c in current.columns if c.name not in names)
            self._set_definition(db, table, replace(current, columns=kept))

    def change_column(self, table: Table, name: str, new_name: str, comment: str | None) -> None:
        """Rename a data column, and replace its comment unless that is None."""
        with self._db.write() as db:
            current = self._current(db, table).definition
            names = {c.name for c in current.columns}
            if name not in names:
                raise errors.semantic_error(f"column {name} cannot be resolved")
            if new_name != name and new_name in names:
                raise errors.semantic_error(f"column {new_name} already exists")
            changed = tuple(
                replace(c, name=new_name, comment=c.comment if comment is None else comment)
                if c.name == name
                else c
                for c in current.columns
            )
            self._set_definition(db, table, replace(current, columns=changed))

    def touch(self, table: Table, partitions: Sequence[Sequence[str]] = ()) -> None:
        """Set the modification time of a table, or of some of its partitions and the table, to now."""
        now = time.time()
        with self._db.write() as db:
            for values in partitions:
                if not self._partitions(db, table, values):
                    raise errors.no_such_partition(table.full_name, table.partition_spec(values))
                db.execute(
                    "UPDATE partitions SET modified = ?, ddl_time = ? "
                    "WHERE table_id = ? AND partition_values = ?",
                    (now, now, table.id, _key(values)),
                )
            db.execute("UPDATE tables SET modified = ? WHERE id = ?", (now, table.id))

    def _current(self, db: sqlite3.Connection, table: Table) -> Table:
        row = db.execute("SELECT * FROM tables WHERE id = ?", (table.id,)).fetchone()
        if row is None:
            raise errors.no_such_table(table.full_name)
        return _table(row)

    def _set_definition(self, db: sqlite3.Connection, table: Table, definition: TableDefinition) -> None:
        now = time.time()
        db.execute(
            "UPDATE tables SET definition = ?, modified = ?, ddl_time = ? WHERE id = ?",
            (_definition_json(definition), now, now, table.id),
        )

    # Partitions and data

    def partitions(self, table: Table) -> list[Partition]:
        """Return all partitions with their files, in the order of their specs: one snapshot."""
        with self._db.read() as db:
            return self._partitions(db, table)

    def partition(self, table: Table, values: Sequence[str]) -> Partition:
        """Return one partition; NoSuchPartition when it does not exist.

        An unpartitioned table that was never written has an empty one.
        """
        with self._db.read() as db:
            found = self._partitions(db, table, values)
        if found:
            return found[0]
        if table.partition_columns:
            raise errors.no_such_partition(table.full_name, table.partition_spec(values))
        return Partition("", (), (), table.created, table.modified, table.ddl_time)

    def _partitions(
        self, db: sqlite3.Connection, table: Table, values: Sequence[str] | None = None
    ) -> list[Partition]:
        only = "" if values is None else " AND p.partition_values = ?"
        rows = db.execute(
            "SELECT p.id, p.spec, p.partition_values, p.created, p.modified, p.ddl_time, "
            "f.path, f.rows, f.size, f.columns FROM partitions p LEFT JOIN files f ON f.partition_id = p.id "
            f"WHERE p.table_id = ?{only} ORDER BY p.spec, p.id, f.id",
            (table.id,) if values is None else (table.id, _key(values)),
        ).fetchall()
        files: dict[int, list[DataFile]] = {}
        first: dict[int, sqlite3.Row] = {}
        for row in rows:
            first.setdefault(row["id"], row)
            of_partition = files.setdefault(row["id"], [])
            if row["path"] is not None:
                columns = tuple(json.loads(row["columns"]))
                of_partition.append(DataFile(row["path"], row["rows"], row["size"], columns))
        return [
            Partition(
                row["spec"],
                tuple(json.loads(row["partition_values"])),
                tuple(files[partition_id]),
                row["created"],
                row["modified"],
                row["ddl_time"],
            )
            for partition_id, row in first.items()
        ]

    def add_partitions(
        self, table: Table, partitions: Sequence[Sequence[str]], if_not_exists: bool = False
    ) -> None:
        """Add empty partitions, all or none."""
        with self._db.write() as db:
            self._current(db, table)
            for values in partitions:
                if not if_not_exists and self._partitions(db, table, values):
                    spec = table.partition_spec(values)
                    raise errors.already_exists(f"Partition {spec} of {table.full_name}")
                self._ensure_partition(db, table, values)
            db.execute("UPDATE tables SET ddl_time = ? WHERE id = ?", (time.time(), table.id))

    def drop_partitions(
        self, table: Table, partitions: Sequence[Sequence[str]], if_exists: bool = False
    ) -> None:
        """Drop partitions, all or none; their files become garbage."""
        with self._db.write() as db:
            for values in partitions:
                found = self._partitions(db, table, values)
                if found:
                    _discard(db, found[0].files)
                    db.execute(
                        "DELETE FROM partitions WHERE table_id = ? AND partition_values = ?",
                        (table.id, _key(values)),
                    )
                elif not if_exists:
                    raise errors.no_such_partition(table.full_name, table.partition_spec(values))
            now = time.time()
            db.execute("UPDATE tables SET modified = ?, ddl_time = ? WHERE id = ?", (now, now, table.id))

    def rename_partition(self, table: Table, change: PartitionRename) -> None:
        """Give a partition other values and the files that were linked for them."""
        with self._db.write() as db:
            if not self._partitions(db, table, change.old):
                raise errors.no_such_partition(table.full_name, table.partition_spec(change.old))
            if self._partitions(db, table, change.new):
                raise errors.already_exists(
                    f"Partition {table.partition_spec(change.new)} of {table.full_name}"
                )
            self.drop_partitions(table, [change.old])
            self.publish(table, {change.new: change.files}, overwrite=False)

    def truncate(self, table: Table, partitions: Sequence[Sequence[str]]) -> None:
        """Empty the given partitions (they stay), all or none."""
        with self._db.write() as db:
            for values in partitions:
                if table.partition_columns and not self._partitions(db, table, values):
                    raise errors.no_such_partition(table.full_name, table.partition_spec(values))
            self.publish(table, {tuple(values): () for values in partitions}, overwrite=True)

    def publish(
        self,
        table: Table,
        data: Mapping[tuple[str, ...], Sequence[DataFile]],
        overwrite: bool,
        create_partitions: bool = True,
    ) -> None:
        """Make files part of their partitions, replacing the files there when ``overwrite``: all or nothing.

        The files must be on disk already. Empty files are left out and become garbage.
        """
        with self._db.write() as db:
            self._current(db, table)
            now = time.time()
            for values, files in data.items():
                existing = self._partitions(db, table, values)
                if not existing and table.partition_columns and not create_partitions:
                    raise errors.no_such_partition(table.full_name, table.partition_spec(values))
                partition_id = self._ensure_partition(db, table, values)
                if overwrite and existing:
                    _discard(db, existing[0].files)
                    db.execute("DELETE FROM files WHERE partition_id = ?", (partition_id,))
                db.executemany(
                    "INSERT INTO files (path, partition_id, rows, size, columns) VALUES (?, ?, ?, ?, ?)",
                    [(f.path, partition_id, f.rows, f.size, json.dumps(f.columns)) for f in files if f.rows],
                )
                _discard(db, [f for f in files if not f.rows])
                db.execute("UPDATE partitions SET modified = ? WHERE id = ?", (now, partition_id))
            db.execute("UPDATE tables SET modified = ? WHERE id = ?", (now, table.id))

    def publish_all(self, changes: Iterable[TableChange]) -> None:
        """Publish changes of several tables: all or nothing."""
        with self._db.write():
            for change in changes:
                self.publish(change.table, change.data, change.overwrite)

    def _ensure_partition(self, db: sqlite3.Connection, table: Table, values: Sequence[str]) -> int:
        for value in values:
            if not value or len(value.encode()) > MAX_PARTITION_VALUE_BYTES:
                raise errors.invalid_partition(
                    f"a partition value has 1 to {MAX_PARTITION_VALUE_BYTES} bytes, got {value!r}"
                )
        now = time.time()
        db.execute(
            "INSERT OR IGNORE INTO partitions "
            "(table_id, spec, partition_values, created, modified, ddl_time) VALUES (?, ?, ?, ?, ?, ?)",
            (table.id, table.partition_spec(values), _key(values), now, now, now),
        )
        row = db.execute(
            "SELECT id FROM partitions WHERE table_id = ? AND partition_values = ?", (table.id, _key(values))
        ).fetchone()
        return int(row["id"])

    # Garbage

    def live_files(self) -> set[str]:
        """Return the paths of all files of all partitions."""
        with self._db.read() as db:
            return {row["path"] for row in db.execute("SELECT path FROM files")}

    def table_ids(self) -> set[str]:
        """Return the ids of all tables, which are the names of their folders."""
        with self._db.read() as db:
            return {row["id"] for row in db.execute("SELECT id FROM tables")}

    def garbage(self, before: float) -> list[str]:
        """Return the files that have been garbage since before a time and that nobody has pinned."""
        with self._db.read() as db:
            rows = db.execute(
                "SELECT path FROM garbage WHERE since < ? AND path NOT IN (SELECT path FROM pins)", (before,)
            )
            return [row["path"] for row in rows]

    def pin(self, reader: str, files: Iterable[DataFile]) -> None:
        """Keep files for a reader, also when they become garbage, until it is ``unpin``ned."""
        with self._db.write() as db:
            db.executemany("INSERT OR IGNORE INTO pins VALUES (?, ?)", [(reader, f.path) for f in files])

    def unpin(self, readers: Iterable[str]) -> None:
        """Let the files of readers go."""
        with self._db.write() as db:
            db.executemany("DELETE FROM pins WHERE reader = ?", [(reader,) for reader in readers])

    def pinned_files(self) -> set[str]:
        """Return the paths of all pinned files."""
        with self._db.read() as db:
            return {row["path"] for row in db.execute("SELECT DISTINCT path FROM pins")}

    def forget_garbage(self, paths: Iterable[str]) -> None:
        """Drop entries whose files have been removed."""
        with self._db.write() as db:
            db.executemany("DELETE FROM garbage WHERE path = ?", [(path,) for path in paths])


def _key(values: Sequence[str]) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def _discard(db: sqlite3.Connection, files: Iterable[DataFile]) -> None:
    now = time.time()
    db.executemany("INSERT OR IGNORE INTO garbage VALUES (?, ?)", [(f.path, now) for f in files])


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name) or len(name) > 128:
        raise errors.invalid_argument(f"not a valid name: {name!r}")
    return name.lower()


def table_json(table: Table) -> str:
    """Return a table as text, for :func:`table_of_json`."""
    return json.dumps({**asdict(table), "definition": _definition_json(table.definition)})


def table_of_json(text: str) -> Table:
    """Return the table of :func:`table_json`, as it was then."""
    return _table(json.loads(text))


def _definition_json(definition: TableDefinition) -> str:
    return json.dumps(asdict(definition))


def _table(row: sqlite3.Row | Mapping[str, Any]) -> Table:
    raw = json.loads(row["definition"])
    raw["columns"] = tuple(Column(**c) for c in raw["columns"])
    raw["partition_columns"] = tuple(Column(**c) for c in raw["partition_columns"])
    return Table(
        row["id"],
        row["project"],
        row["schema"],
        row["name"],
        TableDefinition(**raw),
        row["created"],
        row["modified"],
        row["ddl_time"],
    )
