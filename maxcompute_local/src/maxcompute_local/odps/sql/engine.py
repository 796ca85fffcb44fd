"""Runs SQL scripts: each statement reads a snapshot of the tables and publishes its writes in one go."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow.parquet as pq
from sqlglot import exp

from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import (
    Catalog,
    Column,
    DataFile,
    Table,
    TableChange,
)
from maxcompute_local.odps.sql import dialect, script
from maxcompute_local.odps.sql.compiler import (
    CompiledQuery,
    compile_queries,
    compile_query,
)
from maxcompute_local.odps.sql.convert import Typed, duck_cast, quote_name, quote_text
from maxcompute_local.odps.sql.ddl import Ddl, text_literal
from maxcompute_local.odps.sql.kinds import VOID, canonical
from maxcompute_local.odps.sql.macros import install
from maxcompute_local.odps.sql.result import Result, Rows
from maxcompute_local.odps.sql.session import Session
from maxcompute_local.odps.storage import Storage
from maxcompute_local.odps.types import duck_type
from maxcompute_local.stats import Stats

CANCELLED_CODE = "ODPS-0130252"
_INTERRUPT_SECONDS = 0.05
_MEMORY_LIMIT = "2GB"
_WIDE_ROW_BYTES = 64 << 10
_ROW_GROUP_BYTES = "32MB"
_QUERY_WORDS = ("SELECT", "WITH", "(", "FROM", "VALUES")

T = TypeVar("T")
Written = dict[tuple[str, ...], list[DataFile]]


class Cancellation:
    """Stops a running script from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """Make the script fail at its next step, and interrupt a running query."""
        with self._lock:
            self._cancelled = True
            if self._connection is None:
                return
        threading.Thread(target=self._interrupt, name="odps-cancel", daemon=True).start()

    def _interrupt(self) -> None:
        # Once is not enough: DuckDB forgets an interrupt that comes before the query has begun.
        while True:
            with self._lock:
                if self._connection is None:
                    return
                self._connection.interrupt()
            time.sleep(_INTERRUPT_SECONDS)

    def check(self) -> None:
        """Raise the error of a cancelled instance if it was cancelled."""
        if self._cancelled:
            raise _cancelled_error()

    @contextmanager
    def guard(self, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Make a connection interruptible for a while."""
        with self._lock:
            self._connection = connection
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._connection = None


def _cancelled_error() -> errors.OdpsError:
    return errors.OdpsError(400, "InvalidArgument", "Instance has been cancelled", CANCELLED_CODE)


class Engine:
    """Runs scripts. Safe to use from several threads."""

    def __init__(self, catalog: Catalog, storage: Storage, scratch: Path, stats: Stats) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        self._catalog = catalog
        self._storage = storage
        self._stats = stats
        self._scratch = scratch
        self._database = self._open()
        self._lock = threading.Lock()

    def _open(self) -> duckdb.DuckDBPyConnection:
        database = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": _MEMORY_LIMIT,
                "temp_directory": str(self._scratch),
                "autoinstall_known_extensions": False,
            },
        )
        install(database)
        # It forgets filters on file names: a count over one partition would count all of them.
        database.execute("SET disabled_optimizers = 'window_self_join'")
        # A second fence around what the compiler lets through: no file but the local cloud's own.
        folder = quote_text(str(self._scratch.resolve().parent))
        database.execute(f"SET allowed_directories = [{folder}]")
        database.execute("SET enable_external_access = false")
        return database

    @contextmanager
    def _for_wide_rows(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a database of its own whose queries hold as few rows at a time as they can."""
        with self._open() as database:
            database.execute("SET threads = 1")
            database.execute("SET enable_caching_operators = false")
            database.execute("SET preserve_insertion_order = false")  # one thread keeps it all the same
            yield database

    def close(self) -> None:
        """Give up what the engine holds; no statement may run any more."""
        self._database.close()

    def execute(
        self,
        text: str,
        project: str,
        settings: Mapping[str, str],
        result_path: Path,
        cancellation: Cancellation,
    ) -> Result:
        """Run a script and return the answer of its last statement; the rows of a SELECT go to a file.

        Raises OdpsError for everything that is wrong with the script or its data.
        """
        in_force = dict(settings)
        variables: dict[str, str] = {}
        result = Result()
        for statement in script.split_statements(text):
            cancellation.check()
            if (pair := script.setting(statement)) is not None:
                in_force[pair[0]] = pair[1]
                continue
            statement = script.substitute(statement, variables)
            if (variable := script.assignment(statement)) is not None:
                variables[variable[0]] = variable[1]
                continue
            run = _Run(self, Session(project, in_force), cancellation)
            result = run.statement(statement, result_path)
        return result

    def count(self, kind: str) -> None:
        """Count a statement."""
        self._stats.count(f"odps.sql.{kind}")

    @property
    def catalog(self) -> Catalog:
        """Return the catalog that statements work on."""
        return self._catalog

    @property
    def storage(self) -> Storage:
        """Return the storage that statements work on."""
        return self._storage

    @contextmanager
    def connect(
        self, query: CompiledQuery, session: Session, cancellation: Cancellation, wide: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that knows a query's tables; its errors become OdpsErrors.

        :param wide: whether to hold few rows at a time, which is slower.
        """
        with ExitStack() as stack:
            if wide:
                connection = stack.enter_context(self._for_wide_rows())
            else:
                with self._lock:
                    connection = stack.enter_context(self._database.cursor())
            try:
                zone = session.settings.get("odps.sql.timezone")
                if zone:
                    connection.execute(f"SET TimeZone = {quote_text(zone)}")
                with cancellation.guard(connection):
                    for name, body in query.views.items():
                        connection.execute(f"CREATE TEMP VIEW {quote_name(name)} AS {body}")
                    yield connection
            except duckdb.Error as error:
                raise _translate(error) from error


class _LacksMemory(errors.OdpsError):
    """A query that does not fit into memory."""

    def __init__(self) -> None:
        super().__init__(
            400,
            "InternalServerError",
            f"System internal error - the query needs more than the {_MEMORY_LIMIT} of memory that the local "
            "cloud gives SQL: sort, group and join without the columns that have large values, and add "
            "those by key in a statement of their own",
            "ODPS-0010000",
        )


def _translate(error: duckdb.Error) -> errors.OdpsError:
    if isinstance(error, duckdb.OutOfMemoryException):
        return _LacksMemory()
    # Further lines quote the translated query, which is not what its author wrote.
    first_line = str(error).splitlines()[0]
    if isinstance(error, duckdb.InterruptException):
        return _cancelled_error()
    own = re.search(r"(ODPS-\d{7}):(.*)", first_line)
    if own is not None:
        return errors.OdpsError(400, "InvalidArgument", own[2], own[1])
    if "Unknown TimeZone" in first_line:
        return errors.OdpsError(400, "InvalidArgument", f"Invalid arguments - {first_line}", "ODPS-0121095")
    if "GROUPING child" in first_line or "GROUPING statement" in first_line:
        return errors.semantic_error("GROUPING takes columns of GROUP BY only")
    ungrouped = "must appear in the GROUP BY clause" in first_line
    if ungrouped:
        return errors.semantic_error("an expression that is no aggregate should appear in GROUP BY key")
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException | duckdb.ParserException):
        return errors.semantic_error(first_line)
    if isinstance(
        error, duckdb.ConversionException | duckdb.InvalidInputException | duckdb.OutOfRangeException
    ):
        return errors.OdpsError(400, "InvalidArgument", f"Invalid arguments - {first_line}", "ODPS-0121095")
    return errors.OdpsError(
        400, "InternalServerError", f"System internal error - {first_line}", "ODPS-0010000"
    )


@dataclass(frozen=True)
class _Connection:
    """A connection for one query; ``wide`` says that it holds few rows at a time."""

    duck: duckdb.DuckDBPyConnection
    wide: bool

    def copy(self, select: str, path: Path) -> None:
        """Write a query's rows to a new Parquet file."""
        options = "FORMAT parquet, COMPRESSION zstd"
        if self.wide:
            options += f", ROW_GROUP_SIZE_BYTES '{_ROW_GROUP_BYTES}'"
        self.duck.execute(f"COPY ({select}) TO {quote_text(str(path))} ({options})")


@dataclass(frozen=True)
class _Target:
    """Where an INSERT writes to: the fixed partition values, and what the query gives, in its order."""

    table: Table
    static: Mapping[str, str]
    columns: Sequence[Column]
    overwrite: bool


class _Run:
    """One statement."""

    def __init__(self, engine: Engine, session: Session, cancellation: Cancellation) -> None:
        self._engine = engine
        self._catalog = engine.catalog
        self._storage = engine.storage
        self._session = session
        self._cancellation = cancellation

    def statement(self, sql: str, result_path: Path) -> Result:
        words = dialect.tokenize(sql)
        if not words:
            return Result()
        first = words[0].text.split()[0].upper()
        if first == "EXPLAIN":
            self._engine.count("explain")
            return Result(self._explain(sql))
        ddl = Ddl(
            self._session, self._catalog, self._storage, self._create_as, self._describe, self._matching
        )
        answer = ddl.run(sql)
        if answer is not None:
            self._engine.count(first.lower())
            return Result(answer)
        if first not in (*_QUERY_WORDS, "INSERT"):
            raise errors.parse_error(f"statement {first} is not supported by the local cloud")
        tree = dialect.parse(sql)
        if isinstance(tree, exp.Insert | exp.MultitableInserts):
            self._engine.count("insert")
            self._insert(_inserts(tree))
            return Result()
        if isinstance(tree, exp.Query):
            self._engine.count("select")
            return Result(rows=self._select(tree, result_path))
        raise errors.parse_error(f"this form of {first} is not supported by the local cloud")

    def _compile(self, query: str | exp.Expr) -> CompiledQuery:
        return compile_query(query, self._session, self._catalog, self._storage)

    def _connect(self, query: CompiledQuery, wide: bool = False) -> Any:
        return self._engine.connect(query, self._session, self._cancellation, wide)

    def _run(self, query: CompiledQuery, work: Callable[[_Connection], T]) -> T:
        """Return what work on a query's connection gives; what lacks memory runs again for wide rows."""
        if query.row_bytes < _WIDE_ROW_BYTES:
            try:
                with self._connect(query) as connection:
                    return work(_Connection(connection, wide=False))
            except _LacksMemory:
                self._cancellation.check()
        with self._connect(query, wide=True) as connection:
            return work(_Connection(connection, wide=True))

    def _columns(self, query: CompiledQuery) -> tuple[Column, ...]:
        columns: list[Column] = []
        taken: set[str] = set()
        for i, (name, found) in enumerate(query.columns):
            kind = "string" if found == VOID else found
            unique, n = name, 1
            while unique in taken:
                unique, n = f"{name}_{n}", n + 1
            taken.add(unique)
            columns.append(Column(unique, kind, id=f"c{i}"))
        return tuple(columns)

    def _describe(self, sql: str) -> tuple[Column, ...]:
        query = self._compile(sql)
        with self._connect(query) as connection:
            connection.sql(query.sql)  # DuckDB checks what is left to check, e.g. GROUP BY.
        return self._columns(query)

    def _matching(self, table: Table, condition: str) -> list[tuple[str, ...]]:
        """Return the values of the partitions that meet a condition on the partition columns."""
        if not table.partition_columns:
            raise errors.invalid_partition(f"table {table.full_name} is not partitioned")
        values = [p.values for p in self._catalog.partitions(table)]
        names = [f"`{c.name}`" for c in table.partition_columns]
        # Without partitions the condition is still checked.
        listed = values or [("",) * len(names)]
        rows = ", ".join(f"({', '.join([str(i), *map(text_literal, row)])})" for i, row in enumerate(listed))
        typed = ", ".join(
            f"CAST({name} AS {column.type}) AS {name}"
            for name, column in zip(names, table.partition_columns, strict=True)
        )
        inner = f"SELECT `#`, {typed} FROM VALUES {rows} AS v(`#`, {', '.join(names)})"
        query = self._compile(f"SELECT `#` FROM ({inner}) p WHERE ({condition}) ORDER BY `#`")
        if not values:
            return []
        with self._connect(query) as connection:
            return [values[row[0]] for row in connection.execute(query.sql).fetchall()]

    def _explain(self, sql: str) -> str:
        rest = sql.strip()[len("EXPLAIN") :].strip()
        output = rest.upper().startswith("OUTPUT")
        statement = rest[len("OUTPUT") :].strip() if output else rest
        is_query = statement.upper().startswith(_QUERY_WORDS)
        if output:
            if not is_query:
                return "nothing to explain"
            columns = [{"name": c.name, "type": c.type} for c in self._describe(statement)]
            return json.dumps({"columns": columns, "partitionKeys": []})
        if not is_query:
            raise errors.parse_error("EXPLAIN is supported for queries only")
        return f"job0 is root job\n\nIn Job job0:\nroot Tasks: M1\n\n{self._compile(statement).sql}"

    def _select(self, tree: exp.Expr, path: Path) -> Rows:
        query = self._compile(tree)
        columns = self._columns(query)
        items = ", ".join(f"CAST({c.id} AS {duck_type(c.type)}) AS {c.id}" for c in columns)

        def write(connection: _Connection) -> Path:
            # DuckDB removes the file of a query that failed some time after it has raised the error: no
            # name is written to twice.
            unique = path.with_name(f"{uuid.uuid4().hex}.parquet")
            connection.copy(f"SELECT {items} FROM ({query.sql}) AS q", unique)
            return unique

        self._run(query, write).replace(path)
        return Rows(path, pq.read_metadata(path).num_rows, columns)

    # Writing

    def _create_as(self, table: Table, sql: str, if_not_exists: bool) -> None:
        if if_not_exists and self._catalog.find_table(table.project, table.schema, table.name) is not None:
            return
        query = self._compile(sql)
        written = self._run(query, lambda c: self._write(c, query, table, {}, table.columns))
        self._keep(written, lambda: self._catalog.create_table(table, written, if_not_exists))

    def _insert(self, trees: Sequence[exp.Insert]) -> None:
        """Run the INSERTs of one statement, which all see the same rows and are published together."""
        targets = [self._target(tree) for tree in trees]
        _require_distinct(targets)
        sources = [_source_query(tree) for tree in trees]
        queries = compile_queries(sources, self._session, self._catalog, self._storage)
        changes: list[TableChange] = []
        try:
            for target, query in zip(targets, queries, strict=True):
                write = partial(
                    self._write,
                    query=query,
                    table=target.table,
                    static=target.static,
                    columns=target.columns,
                )
                changes.append(TableChange(target.table, self._run(query, write), target.overwrite))
            self._cancellation.check()
            self._catalog.publish_all(changes)
        except BaseException:
            for change in changes:
                self._remove(change.data)
            raise

    def _target(self, tree: exp.Insert) -> _Target:
        target: Any = tree.this
        column_names: list[str] | None = None
        if isinstance(target, exp.Schema):
            column_names = [c.name.lower() for c in target.expressions]
            target = target.this
        if not isinstance(target, exp.Table):
            raise errors.parse_error("INSERT needs a table")
        partition = tree.args.get("partition") or target.args.get("partition")
        resolved = self._session.resolve([part.name for part in target.parts], self._catalog)
        table = self._catalog.table(*resolved)
        if table.definition.view_text is not None:
            raise errors.semantic_error(f"{table.full_name} is a view")
        if table.partition_columns and partition is None:
            raise errors.semantic_error(f"{table.full_name} is partitioned, INSERT needs PARTITION (...)")
        static = _static_partition(partition, table)
        columns = _target_columns(table, static, column_names)
        return _Target(table, static, columns, bool(tree.args.get("overwrite")))

    def _keep(self, written: Written, publish: Any) -> None:
        """Publish what was written; if that fails, or the instance was cancelled, remove it again."""
        try:
            self._cancellation.check()
            kept = publish()
        except BaseException:
            self._remove(written)
            raise
        if kept is False:
            self._remove(written)

    def _remove(self, written: Mapping[tuple[str, ...], Sequence[DataFile]]) -> None:
        self._storage.remove(file.path for files in written.values() for file in files)

    def _write(
        self,
        connection: _Connection,
        query: CompiledQuery,
        table: Table,
        static: Mapping[str, str],
        columns: Sequence[Column],
    ) -> Written:
        """Write a query's rows as files of a table; ``columns`` are what the query gives, in its order."""
        if len(query.columns) != len(columns):
            raise errors.semantic_error(
                f"wrong columns count {len(query.columns)} in data source, requires {len(columns)} columns "
                "(includes dynamic partitions if any)"
            )
        casts = ", ".join(
            f"{self._assigned(f'c{i}', kind, column)} AS {quote_name(column.name)}"
            for i, ((_, kind), column) in enumerate(zip(query.columns, columns, strict=True))
        )
        cast_query = f"SELECT {casts} FROM ({query.sql}) AS q"
        given = {c.name for c in columns}
        by_id = ", ".join(
            f"{quote_name(c.name)} AS {quote_name(c.id)}"
            if c.name in given
            else f"CAST(NULL AS {duck_type(c.type)}) AS {quote_name(c.id)}"
            for c in table.columns
        )
        dynamic = [c.name for c in table.partition_columns if c.name not in static]
        written: Written = {}
        try:
            if dynamic:
                connection.duck.execute(f"CREATE TEMP TABLE incoming AS {cast_query}")
                for values, condition in _groups(connection.duck, table, static, dynamic):
                    written[values] = [
                        self._write_file(
                            connection, f"SELECT {by_id} FROM incoming WHERE {condition}", table, values
                        )
                    ]
            else:
                values = table.partition_values(static)
                select = f"SELECT {by_id} FROM ({cast_query})"
                written[values] = [self._write_file(connection, select, table, values)]
        except BaseException:
            self._remove(written)
            raise
        return written

    def _assigned(self, source: str, kind: str, column: Column) -> str:
        target = canonical(column.type)
        value = self._session.conversions.assigned(Typed(source, kind), target, column.name)
        return duck_cast(value.sql, target)

    def _write_file(
        self, connection: _Connection, select: str, table: Table, values: Sequence[str]
    ) -> DataFile:
        path = self._storage.new_path(table, values)
        try:
            connection.copy(select, path)
            for column in table.columns:
                if not column.nullable:
                    _require_values(connection.duck, path, column)
            return self._storage.describe(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _require_values(connection: duckdb.DuckDBPyConnection, path: Path, column: Column) -> None:
    nulls = connection.execute(
        f"SELECT count(*) FROM read_parquet(?, hive_partitioning=false) WHERE {column.id} IS NULL",
        [str(path)],
    ).fetchone()
    if nulls and nulls[0]:
        raise errors.OdpsError(
            400,
            "InvalidArgument",
            f"Invalid arguments - column {column.name} must not be NULL",
            "ODPS-0121095",
        )


def _static_partition(partition: exp.Expr | None, table: Table) -> dict[str, str]:
    if partition is None:
        return {}
    known = {c.name for c in table.partition_columns}
    static: dict[str, str] = {}
    for item in partition.expressions:
        name = (item.left if isinstance(item, exp.EQ) else item).name.lower()
        if name not in known:
            raise errors.semantic_error(f"{table.full_name} has no partition column {name}")
        if isinstance(item, exp.EQ):
            if not isinstance(item.right, exp.Literal):
                raise errors.parse_error(f"the value of partition column {name} must be a literal")
            static[name] = item.right.name
    return static


def _target_columns(
    table: Table, static: Mapping[str, str], column_names: Sequence[str] | None
) -> list[Column]:
    dynamic = [c for c in table.partition_columns if c.name not in static]
    if column_names is None:
        return [*table.columns, *dynamic]
    by_name = {c.name: c for c in (*table.columns, *dynamic)}
    twice = [name for name in column_names if column_names.count(name) > 1]
    if twice:
        raise errors.semantic_error(f"column {twice[0]} is named twice")
    unknown = [name for name in column_names if name not in by_name]
    if unknown:
        raise errors.semantic_error(f"column {unknown[0]} cannot be resolved")
    missing = [c for c in dynamic if c.name not in column_names]
    return [*(by_name[name] for name in column_names), *missing]


def _inserts(tree: exp.Expr) -> list[exp.Insert]:
    """Return the INSERTs of a statement, each with a query that can stand alone."""
    if isinstance(tree, exp.Insert):
        return [tree]
    source = tree.args["source"]
    if any(_is_volatile(node) for part in (source, tree.args.get("with_")) if part for node in part.walk()):
        # The source is read anew by each INSERT, where the service reads it once.
        raise errors.parse_error(
            "FROM ... INSERT ... of a query with LIMIT, RAND or UUID is not supported by the local cloud"
        )
    found: list[exp.Insert] = []
    for insert in tree.expressions:
        query = insert.expression
        if not isinstance(query, exp.Select) or query.args.get("from_") is not None:
            raise errors.parse_error("an INSERT behind FROM takes a SELECT without FROM")
        query.set("from_", exp.From(this=source.copy()))
        if tree.args.get("with_") is not None:
            query.set("with_", tree.args["with_"].copy())
        found.append(insert)
    return found


def _is_volatile(node: exp.Expr) -> bool:
    """Return whether a part of a query may give other rows when it is run again."""
    called = isinstance(node, exp.Anonymous) and node.name.upper() in ("RAND", "UUID")
    return called or isinstance(node, exp.Limit | exp.Offset)


def _require_distinct(targets: Sequence[_Target]) -> None:
    """Raise an error when INSERTs of one statement write to the same place, or both ways to one table."""
    for i, one in enumerate(targets):
        for other in targets[:i]:
            if one.table.id != other.table.id:
                continue
            shared = one.static.keys() & other.static.keys()
            if one.overwrite != other.overwrite or all(one.static[n] == other.static[n] for n in shared):
                raise errors.semantic_error(
                    f"the statement writes to {one.table.full_name} twice, where it needs different "
                    "partitions, and either INTO or OVERWRITE"
                )


def _source_query(tree: exp.Insert) -> exp.Expr:
    source = tree.expression
    if not isinstance(source, exp.Query | exp.Values):
        raise errors.parse_error("INSERT needs a query or VALUES")
    if tree.args.get("with_") is not None:
        source.set("with_", tree.args["with_"])
    return source


def _groups(
    connection: duckdb.DuckDBPyConnection, table: Table, static: Mapping[str, str], dynamic: Sequence[str]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the partitions that dynamically partitioned rows go to, each with the condition of its rows."""
    names = ", ".join(f"CAST({quote_name(name)} AS VARCHAR)" for name in dynamic)
    for found in connection.execute(f"SELECT DISTINCT {names} FROM incoming").fetchall():
        if any(not value for value in found):
            raise errors.invalid_partition("a dynamic partition value must not be NULL or empty")
        values = table.partition_values({**static, **dict(zip(dynamic, found, strict=True))})
        condition = " AND ".join(
            f"CAST({quote_name(name)} AS VARCHAR) = {quote_text(value)}"
            for name, value in zip(dynamic, found, strict=True)
        )
        yield values, condition
