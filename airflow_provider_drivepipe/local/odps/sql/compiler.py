"""Translates queries to DuckDB: tables become snapshots of Parquet files, expressions keep their meaning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp
from sqlglot.errors import OptimizeError
from sqlglot.optimizer.scope import traverse_scope

from airflow_provider_drivepipe.local.odps import errors
from airflow_provider_drivepipe.local.odps.catalog import DEFAULT_SCHEMA, Catalog, Column, Partition, Table
from airflow_provider_drivepipe.local.odps.sql import dialect, functions
from airflow_provider_drivepipe.local.odps.storage import Storage
from airflow_provider_drivepipe.local.odps.types import duck_type

_MAX_VIEW_DEPTH = 32


@dataclass(frozen=True)
class Session:
    """Where a statement runs: the project that bare names belong to, and the settings in force."""

    project: str
    settings: Mapping[str, str]

    @property
    def odps2(self) -> bool:
        """Return whether INT, SMALLINT, TINYINT and FLOAT exist."""
        return self._flag("odps.sql.type.system.odps2", False)

    @property
    def strict(self) -> bool:
        """Return whether a value that cannot be cast is an error instead of NULL."""
        return self._flag("odps.sql.udf.strict.mode", True)

    def resolve(self, parts: Sequence[str], catalog: Catalog) -> tuple[str, str, str]:
        """Return project, schema and name of a table written with one to three parts."""
        in_default_schema = self.settings.get("odps.default.schema") or DEFAULT_SCHEMA
        has_schemas = self._flag("odps.namespace.schema", False)
        if len(parts) == 3:
            return parts[0], parts[1].lower(), parts[2]
        if len(parts) == 2:
            if has_schemas and not catalog.has_project(parts[0]):
                return self.project, parts[0].lower(), parts[1]
            return parts[0], in_default_schema if has_schemas else DEFAULT_SCHEMA, parts[1]
        if len(parts) == 1:
            return self.project, in_default_schema if has_schemas else DEFAULT_SCHEMA, parts[0]
        raise errors.parse_error(f"not a table name: {'.'.join(parts)}")

    def _flag(self, name: str, default: bool) -> bool:
        value = self.settings.get(name)
        return default if value is None else str(value).strip().lower() == "true"


@dataclass(frozen=True)
class CompiledQuery:
    """A DuckDB query and the views it needs, in the order in which to create them."""

    sql: str
    views: Mapping[str, str]


def quote_name(name: str) -> str:
    """Return a DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """Return a DuckDB string literal."""
    return "'" + text.replace("'", "''") + "'"


def compile_query(sql: str | exp.Expr, session: Session, catalog: Catalog, storage: Storage) -> CompiledQuery:
    """Translate one query, reading each table's current list of files."""
    compiler = _Compiler(session, catalog, storage)
    text = compiler.translate(dialect.parse(sql) if isinstance(sql, str) else sql)
    return CompiledQuery(text, compiler.views)


@dataclass
class _Compiler:
    session: Session
    catalog: Catalog
    storage: Storage
    views: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _depth: int = 0

    def translate(self, tree: exp.Expr) -> str:
        if not isinstance(tree, exp.Query):
            raise errors.parse_error(f"statement {type(tree).__name__.upper()} is not supported")
        for select in tree.find_all(exp.Select):
            _drop_execution_clauses(select)
        self._bind_tables(tree)
        for node in reversed(list(tree.walk())):
            replacement = self._translate_node(node)
            if replacement is not node:
                node.replace(replacement)
        return dialect.to_duckdb(tree)

    # Tables

    def _bind_tables(self, tree: exp.Query) -> None:
        try:
            scopes = traverse_scope(tree)
        except OptimizeError as error:
            raise errors.semantic_error(str(error)) from error
        for scope in scopes:
            own_names = {name.lower() for name in scope.cte_sources}
            for node in scope.tables:
                if not isinstance(node.this, exp.Identifier):
                    raise errors.parse_error(f"table function {node.this.sql()} is not supported")
                if len(node.parts) == 1 and node.name.lower() in own_names:
                    continue
                self._bind(node)
        for column in tree.find_all(exp.Column):
            # project.table.column: the relation goes by the table's name alone.
            column.set("db", None)
            column.set("catalog", None)

    def _bind(self, node: exp.Table) -> None:
        project, schema, name = self.session.resolve([part.name for part in node.parts], self.catalog)
        table = self.catalog.table(project, schema, name)
        view = self._names.get(table.id)
        if view is None:
            view = self._names[table.id] = f"t{len(self._names)}_{table.name}"
            self.views[view] = self._view_body(table)
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name, quoted=True))
        node.set("this", exp.to_identifier(view, quoted=True))
        node.set("db", None)
        node.set("catalog", None)
        node.set("alias", alias)

    def _view_body(self, table: Table) -> str:
        if table.definition.view_text is None:
            return relation(table, self.catalog.partitions(table), self.storage)
        if self._depth >= _MAX_VIEW_DEPTH:
            raise errors.semantic_error(f"view {table.full_name} refers to itself")
        self._depth += 1
        inner = Session(table.project, self.session.settings)
        nested = _Compiler(inner, self.catalog, self.storage, self.views, self._names, self._depth)
        body = nested.translate(dialect.parse(table.definition.view_text))
        self._depth -= 1
        names = ", ".join(quote_name(c.name) for c in table.columns)
        return f"SELECT * FROM ({body}) AS q({names})"

    # Expressions

    def _translate_node(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Anonymous):
            return self._translate_call(node)
        if isinstance(node, exp.Cast):
            return self._translate_cast(node)
        if isinstance(node, exp.Literal):
            return _translate_number(node)
        if isinstance(node, exp.Ceil | exp.Floor):
            return _plain_cast(node.copy(), "bigint")
        if isinstance(node, exp.Div):
            return _translate_division(node)
        if isinstance(node, exp.Bracket):
            return _translate_element(node)
        if isinstance(node, exp.Like) and not isinstance(node.parent, exp.Escape):
            # In MaxCompute patterns a backslash escapes without being declared.
            return exp.Escape(this=node.copy(), expression=exp.Literal.string("\\"))
        if isinstance(node, exp.Select):
            _translate_select(node)
        if isinstance(node, exp.Lateral) and node.args.get("outer"):
            raise errors.parse_error("LATERAL VIEW OUTER is not supported by the local cloud")
        if isinstance(node, exp.TableSample | exp.Pivot | exp.QueryTransform):
            raise errors.parse_error(f"{type(node).__name__.upper()} is not supported by the local cloud")
        return node

    def _translate_call(self, node: exp.Anonymous) -> exp.Expr:
        if functions.is_known(node):
            return node
        if node.name.lower() == "max_pt" and len(node.expressions) == 1:
            return self._max_pt(node.expressions[0].name)
        raise errors.semantic_error(f"function {node.name} is not supported by the local cloud")

    def _max_pt(self, name: str) -> exp.Expr:
        table = self.catalog.table(*self.session.resolve(name.split("."), self.catalog))
        values = [p.values[0] for p in self.catalog.partitions(table) if p.values and p.rows]
        if not values:
            raise errors.semantic_error(f"table {table.full_name} has no partition with data")
        return exp.Literal.string(max(values))

    def _translate_cast(self, node: exp.Cast) -> exp.Expr:
        if node.meta.get("plain"):
            return node
        value, to = node.this, node.to
        kind = to.this
        if kind in _INTEGERS:
            macro = (
                "mc_integer"
                if self.session.strict and not isinstance(node, exp.TryCast)
                else "mc_try_integer"
            )
            return _plain_cast(functions.call(macro, value), to)
        if kind in exp.DataType.TEXT_TYPES:
            if to.expressions:
                return functions.call("left", functions.text(value), to.expressions[0].this)
            return functions.text(value)
        if kind == exp.DType.BINARY:
            return functions.call("encode", value)
        target = _CAST_TARGETS.get(kind)
        if kind == exp.DType.DECIMAL:
            target = "decimal(38,18)" if not to.expressions else to
        if target is None:
            raise errors.parse_error(f"CAST to {to.sql()} is not supported by the local cloud")
        strict = self.session.strict and not isinstance(node, exp.TryCast)
        return _plain_cast(value, target, strict)


_INTEGERS = {exp.DType.BIGINT, exp.DType.INT, exp.DType.SMALLINT, exp.DType.TINYINT}
_CAST_TARGETS: dict[exp.DType, str | exp.DataType] = {
    exp.DType.DOUBLE: "double",
    exp.DType.FLOAT: "float",
    exp.DType.BOOLEAN: "boolean",
    exp.DType.DATE: "date",
    exp.DType.DATETIME: "timestamptz",
    # sqlglot has no name for this type of DuckDB's.
    exp.DType.TIMESTAMP: exp.DataType(this=exp.DType.USERDEFINED, kind="TIMESTAMPTZ_NS"),
    exp.DType.TIMESTAMPTZ: "timestamptz",
    exp.DType.TIMESTAMPNTZ: "timestamp_ns",
}


def _plain_cast(value: exp.Expr, to: str | exp.DataType, strict: bool = True) -> exp.Cast:
    cast = (exp.Cast if strict else exp.TryCast)(this=value, to=exp.DataType.build(to))
    cast.meta["plain"] = True
    return cast


def _translate_number(node: exp.Literal) -> exp.Expr:
    if node.is_string:
        return node
    if not node.name.isdigit():
        return _plain_cast(node.copy(), "double")
    # Arithmetic on integer literals is done in BIGINT.
    if isinstance(node.parent, exp.Add | exp.Sub | exp.Mul | exp.Mod):
        return _plain_cast(node.copy(), "bigint")
    return node


def _translate_division(node: exp.Div) -> exp.Expr:
    divisor = exp.Nullif(this=node.expression, expression=exp.Literal.number(0))
    return exp.Div(this=_plain_cast(node.this, "double"), expression=divisor, typed=False, safe=False)


def _translate_element(node: exp.Bracket) -> exp.Expr:
    if len(node.expressions) != 1:
        raise errors.parse_error("an index has one value")
    index = node.expressions[0]
    if index.is_string:
        return node
    # The parser has already shifted a literal index for us, or not: undo that, the macro counts from 0.
    offset = node.args.get("offset") or 0
    if offset:
        raise errors.parse_error("indexes count from 0")
    return functions.call("mc_element", node.this, index)


def _drop_execution_clauses(node: exp.Select) -> None:
    """Drop what says how to run a query; it does not change which rows come out."""
    for clause in ("hint", "distribute", "sort", "cluster"):
        node.set(clause, None)


def _translate_select(node: exp.Select) -> None:
    # MaxCompute calls columns without a name _c0, _c1 and so on.
    node.set(
        "expressions",
        [
            item
            if item.alias or item.is_star or isinstance(item, exp.Column | exp.Aliases)
            else exp.alias_(item, item.name if isinstance(item, exp.Dot) else f"_c{i}")
            for i, item in enumerate(node.expressions)
        ],
    )


def relation(table: Table, partitions: Sequence[Partition], storage: Storage) -> str:
    """Return the DuckDB query of a table's columns over a snapshot of its files."""
    by_columns: dict[tuple[str, ...], list[str]] = {}
    for partition in partitions:
        for file in partition.files:
            path = quote_text(_escape_glob(str(storage.absolute(file))))
            by_columns.setdefault(file.columns, []).append(path)
    if not by_columns:
        nothing = [f"NULL::{duck_type(c.type)} AS {quote_name(c.name)}" for c in _all_columns(table)]
        return f"SELECT {', '.join(nothing)} WHERE false"
    return " UNION ALL ".join(_scan(table, ids, paths) for ids, paths in by_columns.items())


def _all_columns(table: Table) -> tuple[Column, ...]:
    return (*table.columns, *table.partition_columns)


def _scan(table: Table, ids: Sequence[str], paths: Sequence[str]) -> str:
    items = [
        f"CAST({quote_name(c.id) if c.id in ids else 'NULL'} AS {duck_type(c.type)}) AS {quote_name(c.name)}"
        for c in table.columns
    ]
    options = "hive_partitioning=false"
    if table.partition_columns:
        items += [
            f"CAST(substr(p{i}, 2) AS {duck_type(c.type)}) AS {quote_name(c.name)}"
            for i, c in enumerate(table.partition_columns)
        ]
        types = ", ".join(f"'p{i}': VARCHAR" for i in range(len(table.partition_columns)))
        options = f"hive_partitioning=true, hive_types={{{types}}}"
    return f"SELECT {', '.join(items)} FROM read_parquet([{', '.join(paths)}], {options})"


def _escape_glob(path: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in path)
