"""Translates queries to DuckDB: tables become snapshots of Parquet files, clauses and expressions keep their
meaning. What has no rule here is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, product

from sqlglot import exp

from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import Catalog, Column, Partition, Table
from maxcompute_local.odps.sql import dialect, kinds
from maxcompute_local.odps.sql.convert import (
    Typed,
    duck_cast,
    quote_name,
    quote_text,
)
from maxcompute_local.odps.sql.expressions import Expressions, Subquery, at_place, direction
from maxcompute_local.odps.sql.functions import FUNCTIONS
from maxcompute_local.odps.sql.functions.registry import Role
from maxcompute_local.odps.sql.scope import Relation, Scope
from maxcompute_local.odps.sql.session import Session
from maxcompute_local.odps.storage import Storage
from maxcompute_local.odps.types import duck_type

_MAX_VIEW_DEPTH = 32
_POSITION_FLAGS = {
    "group": ("odps.sql.groupby.position.alias", "hive.groupby.position.alias"),
    "order": ("odps.sql.orderby.position.alias", "hive.orderby.position.alias"),
}
# How a query is run, not what comes out.
_EXECUTION_CLAUSES = ("hint", "distribute", "sort", "cluster")
_SELECT_CLAUSES = (
    *("with_", "expressions", "distinct", "from_", "joins", "laterals", "where", "group", "having"),
    *("windows", "qualify", "order", "limit", "offset", "kind", "operation_modifiers"),
    *_EXECUTION_CLAUSES,
)
_CLAUSE_NAMES = {"sample": "TABLESAMPLE", "pivots": "PIVOT"}
_GROUPINGS = (exp.GroupingSets, exp.Rollup, exp.Cube)
_MAX_CUBE_COLUMNS = 12
_JOINS = {
    ("", ""): "JOIN",
    ("", "INNER"): "JOIN",
    ("", "CROSS"): "CROSS JOIN",
    ("LEFT", ""): "LEFT JOIN",
    ("LEFT", "OUTER"): "LEFT JOIN",
    ("RIGHT", ""): "RIGHT JOIN",
    ("RIGHT", "OUTER"): "RIGHT JOIN",
    ("FULL", ""): "FULL JOIN",
    ("FULL", "OUTER"): "FULL JOIN",
    ("LEFT", "SEMI"): "SEMI JOIN",
    ("LEFT", "ANTI"): "ANTI JOIN",
}
_SET_OPERATIONS: dict[type[exp.Expr], str] = {
    exp.Union: "UNION",
    exp.Intersect: "INTERSECT",
    exp.Except: "EXCEPT",
}


@dataclass(frozen=True)
class CompiledQuery:
    """A DuckDB query, the views it needs in the order in which to create them, and its columns.

    The query's own columns are called c0, c1 and so on; ``columns`` has their names and types, which is VOID
    for a NULL. ``row_bytes`` is the mean size of a row, as stored, of the table with the widest rows.
    """

    sql: str
    views: Mapping[str, str]
    columns: Sequence[tuple[str, str]]
    row_bytes: float


def compile_query(sql: str | exp.Expr, session: Session, catalog: Catalog, storage: Storage) -> CompiledQuery:
    """Translate one query, reading each table's current list of files."""
    (query,) = compile_queries(
        [dialect.parse(sql) if isinstance(sql, str) else sql], session, catalog, storage
    )
    return query


def compile_queries(
    trees: Sequence[exp.Expr], session: Session, catalog: Catalog, storage: Storage
) -> list[CompiledQuery]:
    """Translate queries that see the same snapshot of each table."""
    session.check()
    shared = _Compiler(session, catalog, storage)
    found = [replace(shared, _common=[]).translate(tree) for tree in trees]
    row_bytes = max(shared.widths.values(), default=0.0)
    return [CompiledQuery(query.sql, shared.views, query.columns, row_bytes) for query in found]


CommonTables = Mapping[str, tuple[str, Sequence[tuple[str, str]]]]
"""By name: how DuckDB's query calls a common table, and its columns."""


@dataclass
class _Compiler:
    session: Session
    catalog: Catalog
    storage: Storage
    views: dict[str, str] = field(default_factory=dict)
    widths: dict[str, float] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _depth: int = 0
    _common: list[str] = field(default_factory=list)
    _counter: Iterator[int] = field(default_factory=lambda: iter(range(10**9)))

    def translate(self, tree: exp.Expr) -> Subquery:
        found = self._query(tree, None, {})
        prefix = f"WITH {', '.join(self._common)} " if self._common else ""
        return Subquery(prefix + found.sql, found.columns)

    # Queries

    def _query(self, node: exp.Expr, outer: Scope | None, common: CommonTables) -> Subquery:
        common = self._with(node, common)
        if isinstance(node, exp.Subquery):
            _require_known(node, ("this", "with_", "order", "limit", "offset"))
            inner = self._query(node.this, outer, common)
            return self._ordered(node, inner)
        if type(node) in _SET_OPERATIONS:
            return self._set_operation(node, outer, common)
        if isinstance(node, exp.Values):
            return self._values(node)
        if not isinstance(node, exp.Select):
            raise errors.parse_error(f"statement {type(node).__name__.upper()} is not supported")
        return self._select(node, outer, common)

    def _with(self, node: exp.Expr, common: CommonTables) -> CommonTables:
        clause = node.args.get("with_")
        if clause is None:
            return common
        if clause.args.get("recursive"):
            raise errors.parse_error("WITH RECURSIVE is not supported by the local cloud")
        known = dict(common)
        for table in clause.expressions:
            found = self._query(table.this, None, known)
            alias = f"q{next(self._counter)}"
            self._common.append(f"{alias} AS ({found.sql})")
            known[table.alias.lower()] = (alias, self._renamed(found.columns, table.args["alias"]))
        return known

    def _renamed(
        self, columns: Sequence[tuple[str, str]], alias: exp.Expr | None
    ) -> Sequence[tuple[str, str]]:
        names = [c.name.lower() for c in alias.args.get("columns") or ()] if alias is not None else []
        if not names:
            return columns
        if len(names) != len(columns):
            raise errors.semantic_error(f"{len(names)} names for {len(columns)} columns")
        return [(name, kind) for name, (_, kind) in zip(names, columns, strict=True)]

    def _set_operation(self, node: exp.Expr, outer: Scope | None, common: CommonTables) -> Subquery:
        _require_known(node, ("this", "expression", "distinct", "with_", "order", "limit", "offset"))
        sides = [self._query(side, outer, common) for side in (node.this, node.expression)]
        left, right = (side.columns for side in sides)
        if len(left) != len(right):
            raise errors.illegal_union(f"the queries have {len(left)} and {len(right)} columns")
        target = []
        for i, ((_, one), (_, other)) in enumerate(zip(left, right, strict=True)):
            kind = self.session.conversions.common_kind([one, other], with_text=False)
            if kind is None:
                raise errors.illegal_union(
                    f"type mismatch for column {i} of UNION, "
                    f"left is {one.upper()} while right is {other.upper()}"
                )
            target.append(kind)
        word = _SET_OPERATIONS[type(node)] + ("" if node.args.get("distinct") else " ALL")
        converted = [self._converted(side, target) for side in sides]
        columns = [(name, kind) for (name, _), kind in zip(left, target, strict=True)]
        return self._ordered(node, Subquery(f"{converted[0]} {word} {converted[1]}", columns))

    def _converted(self, query: Subquery, target: Sequence[str]) -> str:
        if [kind for _, kind in query.columns] == list(target):
            return f"(SELECT * FROM ({query.sql}))"
        items = (
            f"{self.session.conversions.cast(Typed(f'c{i}', kind), wanted).sql} AS c{i}"
            for i, ((_, kind), wanted) in enumerate(zip(query.columns, target, strict=True))
        )
        return f"(SELECT {', '.join(items)} FROM ({query.sql}))"

    def _ordered(self, node: exp.Expr, query: Subquery) -> Subquery:
        """Apply ORDER BY and LIMIT that stand behind a set operation or a query in parentheses."""
        order, limits = node.args.get("order"), self._limits(node)
        if order is None and not limits:
            return query
        columns = {name: Typed(f"c{i}", kind) for i, (name, kind) in enumerate(query.columns)}
        scope = Scope(relations=[Relation((), list(columns.items()))])
        clauses = self._order(order, self._expressions(scope, {}), query.columns, {}) if order else ""
        return Subquery(f"SELECT * FROM ({query.sql}) {clauses} {limits}".strip(), query.columns)

    def _values(self, node: exp.Values) -> Subquery:
        translate = self._expressions(Scope(), {})
        rows = [[translate.typed(item) for item in _row(row)] for row in node.expressions]
        if len({len(row) for row in rows}) != 1:
            raise errors.semantic_error("VALUES has rows of different lengths")
        unify = self.session.conversions.unified
        converted = [unify(column, "VALUES", with_text=False) for column in zip(*rows, strict=True)]
        kinds_ = [column[0].kind for column in converted]
        listed = ", ".join(f"({', '.join(v.sql for v in row)})" for row in zip(*converted, strict=True))
        names = ", ".join(f"c{i}" for i in range(len(kinds_)))
        columns = [(f"_c{i}", kind) for i, kind in enumerate(kinds_)]
        return Subquery(f"SELECT * FROM (VALUES {listed}) AS v({names})", columns)

    # SELECT

    def _select(self, node: exp.Select, outer: Scope | None, common: CommonTables) -> Subquery:
        _require_known(node, _SELECT_CLAUSES)
        if node.args.get("kind") or node.args.get("operation_modifiers"):
            raise errors.parse_error("this form of SELECT is not supported by the local cloud")
        node = _generator_as_lateral(node)
        scope = Scope(outer)
        source = self._from(node, scope, common)
        windows = {w.name.lower(): w for w in node.args.get("windows") or ()}
        translate = self._expressions(scope, common, windows)
        where = node.args.get("where")
        clauses = [f"WHERE {translate.condition(where.this, 'WHERE')}"] if where else []
        outputs = list(self._outputs(node, translate))
        aliases = {name: value for name, value, is_alias in outputs if is_alias}
        group = node.args.get("group")
        if group is not None:
            clauses.append(self._group(group, translate, outputs, aliases))
        with_aliases = self._expressions(scope, common, windows, aliases)
        for word in ("having", "qualify"):
            clause = node.args.get(word)
            if clause is not None:
                clauses.append(f"{word.upper()} {with_aliases.condition(clause.this, word.upper())}")
        columns = [(name, value.kind) for name, value, _ in outputs]
        order = node.args.get("order")
        if order is not None:
            clauses.append(self._select_order(node, order, scope, common, windows, outputs, columns))
        clauses.append(self._limits(node))
        items = ", ".join(f"{value.sql} AS c{i}" for i, (_, value, _) in enumerate(outputs))
        distinct = "DISTINCT " if node.args.get("distinct") else ""
        return Subquery(" ".join(["SELECT", distinct + items, source, *filter(None, clauses)]), columns)

    def _expressions(
        self,
        scope: Scope,
        common: CommonTables,
        windows: Mapping[str, exp.Expr] | None = None,
        aliases: Mapping[str, Typed] | None = None,
    ) -> Expressions:
        return Expressions(
            self.session.conversions,
            scope,
            lambda query, outer: self._query(query, outer, common),
            self._max_partition,
            windows or {},
            aliases or {},
        )

    def _outputs(self, node: exp.Select, translate: Expressions) -> Iterator[tuple[str, Typed, bool]]:
        """Yield name, value, and whether the name was given with AS, of each column of a SELECT."""
        for i, item in enumerate(node.expressions):
            star = _star(item)
            if star is not None:
                qualifier, excluded = star
                for name, column in translate.scope.star(qualifier):
                    if name not in excluded:
                        yield name, column, False
                continue
            if isinstance(item, exp.Alias):
                yield item.alias.lower(), translate.typed(item.this), True
                continue
            named = isinstance(item, exp.Column | exp.Dot)
            name = (item.expression.name if isinstance(item, exp.Dot) else item.name) if named else f"_c{i}"
            yield name.lower(), translate.typed(item), False

    def _group(
        self,
        group: exp.Expr,
        translate: Expressions,
        outputs: Sequence[tuple[str, Typed, bool]],
        aliases: Mapping[str, Typed],
    ) -> str:
        _require_known(group, ("expressions", "grouping_sets", "rollup", "cube"))
        by_position = self._by_position("group")

        def key(item: exp.Expr) -> str:
            if by_position and isinstance(item, exp.Literal) and item.name.isdigit():
                return outputs[_position(item, len(outputs)) - 1][1].sql
            # A column of the tables comes before a result of the SELECT with the same name.
            alias = aliases.get(item.name.lower()) if _is_bare(item) else None
            known = _is_bare(item) and translate.scope.find(item.name) is not None
            return alias.sql if alias is not None and not known else translate.typed(item).sql

        items = _grouping_items(group, key)
        if not any(isinstance(item, _GROUPINGS) for item in items):
            return f"GROUP BY {', '.join(map(key, items))}"
        # Several items mean every combination of their sets.
        chosen = product(*(_grouping_sets(item, key) for item in items))
        sets = (dict.fromkeys(name for part in parts for name in part) for parts in chosen)
        listed = ", ".join(f"({', '.join(names)})" for names in sets)
        return f"GROUP BY GROUPING SETS ({listed})"

    def _select_order(
        self,
        node: exp.Select,
        order: exp.Expr,
        scope: Scope,
        common: CommonTables,
        windows: Mapping[str, exp.Expr],
        outputs: Sequence[tuple[str, Typed, bool]],
        columns: Sequence[tuple[str, str]],
    ) -> str:
        results = {name: value for name, value, _ in reversed(outputs)}
        if node.args.get("distinct"):
            scope = Scope(relations=[Relation((), list(results.items()))])
        translate = self._expressions(scope, common, windows, results)
        by_sql = {value.sql: i for i, (_, value, _) in reversed(list(enumerate(outputs)))}
        return self._order(order, translate, columns, by_sql)

    def _order(
        self,
        order: exp.Expr,
        translate: Expressions,
        columns: Sequence[tuple[str, str]],
        by_sql: Mapping[str, int],
    ) -> str:
        by_position = self._by_position("order")
        items = []
        for ordered in order.expressions:
            item = ordered.this
            if by_position and isinstance(item, exp.Literal) and item.name.isdigit():
                items.append(direction(str(_position(item, len(columns))), ordered))
                continue
            # A name alone means a result of the SELECT before a column.
            result = translate.aliases.get(item.name.lower()) if _is_bare(item) else None
            value = translate.typed(item) if result is None else result
            if kinds.is_map(value.kind):
                raise errors.semantic_error("ORDER BY a MAP is not possible")
            place = by_sql.get(value.sql)
            items.append(direction(value.sql if place is None else str(place + 1), ordered))
        return f"ORDER BY {', '.join(items)}"

    def _by_position(self, clause: str) -> bool:
        return any(self.session.flag(name, False) for name in _POSITION_FLAGS[clause])

    def _limits(self, node: exp.Expr) -> str:
        needs_limit = self.session.flag("odps.sql.validate.orderby.limit", False)
        if needs_limit and node.args.get("order") and not node.args.get("limit"):
            raise errors.parse_error("ORDER BY must be used with a LIMIT clause")
        found = []
        for word in ("limit", "offset"):
            clause = node.args.get(word)
            if clause is not None:
                count = clause.expression
                if not isinstance(count, exp.Literal) or not count.name.isdigit():
                    raise errors.parse_error(f"{word.upper()} takes a whole number")
                found.append(f"{word.upper()} {count.name}")
        return " ".join(found)

    # FROM

    def _from(self, node: exp.Select, scope: Scope, common: CommonTables) -> str:
        clause = node.args.get("from_")
        laterals = node.args.get("laterals") or []
        if clause is None:
            if node.args.get("joins") or laterals:
                raise errors.parse_error("JOIN and LATERAL VIEW need a FROM")
            return ""
        text = self._source(clause.this, scope, common)
        joins = node.args.get("joins") or []
        for join in joins:
            text += self._join(join, scope, common)
        if laterals and any(join.side in ("RIGHT", "FULL") for join in joins):
            raise errors.parse_error(
                "LATERAL VIEW with a RIGHT or FULL JOIN is not supported by the local cloud"
            )
        for lateral in laterals:
            text += self._lateral(lateral, scope, common)
        return f"FROM {text}"

    def _source(self, node: exp.Expr, scope: Scope, common: CommonTables) -> str:
        """Return a source of rows in DuckDB's SQL, and add it to the scope."""
        _require_known(
            node, ("this", "db", "catalog", "alias", "expressions", "joins", "laterals", "with_", "hints")
        )
        if isinstance(node, exp.Table):
            text = self._table(node, scope, common)
        elif isinstance(node, exp.Values):
            text = self._derived(node, self._values(node), scope)
        elif (
            isinstance(node, exp.Subquery)
            and isinstance(node.this, exp.Table | exp.Subquery)
            and not (node.alias)
        ):
            text = self._source(node.this, scope, common)
        elif isinstance(node, exp.Subquery):
            text = self._derived(node, self._query(node.this, None, self._with(node, common)), scope)
        else:
            raise errors.parse_error(
                f"{type(node).__name__.upper()} in FROM is not supported by the local cloud"
            )
        for join in node.args.get("joins") or ():
            text += self._join(join, scope, common)
        for lateral in node.args.get("laterals") or ():
            text += self._lateral(lateral, scope, common)
        return text

    def _derived(self, node: exp.Expr, query: Subquery, scope: Scope) -> str:
        columns = self._renamed(query.columns, node.args.get("alias"))
        return self._add(scope, f"({query.sql})", (node.alias.lower(),), columns)

    def _add(self, scope: Scope, text: str, name: tuple[str, ...], columns: Sequence[tuple[str, str]]) -> str:
        alias = f"r{next(self._counter)}"
        typed = [(column, Typed(f"{alias}.c{i}", kind)) for i, (column, kind) in enumerate(columns)]
        scope.relations.append(Relation(name, typed))
        return f"{text} AS {alias}"

    def _table(self, node: exp.Table, scope: Scope, common: CommonTables) -> str:
        if not isinstance(node.this, exp.Identifier):
            raise errors.parse_error(f"table function {node.this.sql()} is not supported")
        alias = node.args.get("alias")
        if alias is not None and alias.args.get("columns"):
            raise errors.parse_error("names of columns behind a table are not supported by the local cloud")
        own = common.get(node.name.lower()) if len(node.parts) == 1 else None
        if own is not None:
            return self._add(scope, own[0], ((node.alias or node.name).lower(),), own[1])
        project, schema, name = self.session.resolve([part.name for part in node.parts], self.catalog)
        try:
            table = self.catalog.table(project, schema, name)
        except errors.OdpsError as error:
            raise at_place(error, node) from error
        relation = (node.alias.lower(),) if node.alias else tuple(p.name.lower() for p in node.parts)
        columns = [(c.name.lower(), self._column_kind(c)) for c in _all_columns(table)]
        return self._add(scope, quote_name(self._view(table)), relation, columns)

    def _column_kind(self, column: Column) -> str:
        return self.session.conversions.visible(kinds.canonical(column.type))

    def _view(self, table: Table) -> str:
        view = self._names.get(table.id)
        if view is None:
            body = self._view_body(table)
            view = self._names[table.id] = f"t{len(self._names)}_{table.name}"
            items = ", ".join(
                f"{duck_cast(quote_name(c.name), self._column_kind(c))} AS c{i}"
                for i, c in enumerate(_all_columns(table))
            )
            self.views[view] = f"SELECT {items} FROM ({body})"
        return view

    def _view_body(self, table: Table) -> str:
        if table.definition.view_text is None:
            partitions = self.catalog.partitions(table)
            rows = sum(p.rows for p in partitions)
            self.widths[table.id] = sum(p.size for p in partitions) / max(rows, 1)
            return relation(table, partitions, self.storage)
        if self._depth >= _MAX_VIEW_DEPTH:
            raise errors.semantic_error(f"view {table.full_name} refers to itself")
        inner = Session(table.project, self.session.settings)
        nested = _Compiler(
            inner, self.catalog, self.storage, self.views, self.widths, self._names, self._depth + 1
        )
        body = nested.translate(dialect.parse(table.definition.view_text)).sql
        names = ", ".join(quote_name(c.name) for c in table.columns)
        return f"SELECT * FROM ({body}) AS q({names})"

    def _join(self, join: exp.Join, scope: Scope, common: CommonTables) -> str:
        _require_known(join, ("this", "side", "kind", "on", "using", "method"))
        if join.args.get("method"):
            raise errors.parse_error(f"{join.args['method']} JOIN is not supported by the local cloud")
        word = _JOINS.get((join.side or "", join.kind or ""))
        if word is None:
            raise errors.parse_error(f"{join.side} {join.kind} JOIN is not supported by the local cloud")
        before = len(scope.relations)
        right = self._source(join.this, scope, common)
        condition = join.args.get("on")
        using = join.args.get("using")
        if using:
            on = self._using([c.name.lower() for c in using], scope, word)
        elif condition is not None:
            on = self._expressions(scope, common).condition(condition, "ON")
        elif word in ("JOIN", "CROSS JOIN"):
            return f" CROSS JOIN {right}"
        else:
            raise errors.parse_error(f"{word} needs ON")
        if word in ("SEMI JOIN", "ANTI JOIN"):
            scope.relations = scope.relations[:before]
        return f" {word} {right} ON {on}"

    def _using(self, names: Sequence[str], scope: Scope, word: str) -> str:
        if len(scope.relations) != 2 or word in ("SEMI JOIN", "ANTI JOIN"):
            raise errors.parse_error("USING is supported between two tables only")
        conditions = []
        for name in names:
            columns = [Scope(relations=[r]).resolve([name]) for r in scope.relations]
            left, right = self.session.conversions.compared(columns, "USING")
            conditions.append(f"{left.sql} = {right.sql}")
            if columns[0].kind != columns[1].kind:
                raise errors.semantic_error(f"USING ({name}) joins two types")
            scope.merged[name] = Typed(f"coalesce({columns[0].sql}, {columns[1].sql})", columns[0].kind)
        return " AND ".join(conditions)

    def _lateral(self, lateral: exp.Expr, scope: Scope, common: CommonTables) -> str:
        """Return a LATERAL VIEW as a join with the rows that its function makes."""
        call = lateral.this
        function = FUNCTIONS.get(call.name.upper()) if isinstance(call, exp.Anonymous) else None
        if function is None or function.role is not Role.TABLE:
            raise errors.semantic_error(f"{call.name or call.sql()} makes no rows for a LATERAL VIEW")
        name = call.name.upper()
        try:
            value = function.translate(self._expressions(scope, common).call(name, call.expressions))
        except errors.OdpsError as error:
            raise at_place(error, call) from error
        rows, columns = _rows_of(name, value)
        alias = lateral.args.get("alias")
        names = [c.name.lower() for c in alias.args.get("columns") or ()] if alias is not None else []
        if names and len(names) != len(columns):
            wrong = errors.semantic_error(f"{name} makes {len(columns)} columns, not {len(names)}")
            raise at_place(wrong, call)
        named = [
            (new, kind) for new, (_, kind) in zip(names or [c for c, _ in columns], columns, strict=True)
        ]
        own = alias.name.lower() if alias is not None and alias.this else ""
        text = self._add(scope, f"LATERAL ({rows})", (own,), named)
        return f" LEFT JOIN {text} ON true" if lateral.args.get("outer") else f" CROSS JOIN {text}"

    def _max_partition(self, name: str) -> str:
        table = self.catalog.table(*self.session.resolve(name.split("."), self.catalog))
        values = [p.values[0] for p in self.catalog.partitions(table) if p.values and p.rows]
        if not values:
            raise errors.semantic_error(f"table {table.full_name} has no partition with data")
        return max(values)


def _require_known(node: exp.Expr, known: Sequence[str]) -> None:
    for name, value in node.args.items():
        if value and name not in known:
            what = _CLAUSE_NAMES.get(name, name.strip("_").upper())
            raise errors.parse_error(f"{what} is not supported here by the local cloud")


def _star(item: exp.Expr) -> tuple[list[str], set[str]] | None:
    """Return qualifier and excluded names of ``*``, ``t.*`` and ``* EXCEPT (...)``, None for other items."""
    star = item.this if isinstance(item, exp.Column) else item
    if not isinstance(star, exp.Star):
        return None
    _require_known(star, ("except_",))
    qualifier = [part.name for part in item.parts[:-1]] if isinstance(item, exp.Column) else []
    return qualifier, {c.name.lower() for c in star.args.get("except_") or ()}


def _is_bare(item: exp.Expr) -> bool:
    return isinstance(item, exp.Column) and len(item.parts) == 1


def _grouping_items(group: exp.Expr, key: Callable[[exp.Expr], str]) -> Sequence[exp.Expr]:
    """Return what stands in GROUP BY between commas; sets written behind a list of columns replace it."""
    listed = group.expressions
    behind = [clause for word in ("grouping_sets", "rollup", "cube") for clause in group.args.get(word) or ()]
    if not behind:
        return list(listed)
    (clause, *more) = behind
    of_all = not isinstance(clause, exp.GroupingSets)  # WITH ROLLUP, WITH CUBE
    mixed = more or any(isinstance(item, _GROUPINGS) for item in listed)
    if mixed or (of_all and clause.expressions):
        raise errors.parse_error("this form of GROUP BY is not supported by the local cloud")
    if of_all:
        return [type(clause)(expressions=[item.copy() for item in listed])]
    used = {name for part in _grouping_sets(clause, key) for name in part}
    if used != set(map(key, listed)):
        raise errors.semantic_error(
            "GROUPING SETS behind a list of columns must use all of them and no others in the local cloud"
        )
    return [clause]


def _grouping_sets(item: exp.Expr, key: Callable[[exp.Expr], str]) -> list[tuple[str, ...]]:
    """Return the sets of keys that an item of GROUP BY stands for."""
    if isinstance(item, exp.GroupingSets):
        return [one for part in item.expressions for one in _grouping_sets(part, key)]
    if isinstance(item, exp.Rollup | exp.Cube):
        parts = [_keys(part, key) for part in item.expressions]
        if isinstance(item, exp.Cube) and len(parts) > _MAX_CUBE_COLUMNS:
            raise errors.semantic_error(f"CUBE takes at most {_MAX_CUBE_COLUMNS} columns in the local cloud")
        chosen = (
            [combination for n in range(len(parts), -1, -1) for combination in combinations(parts, n)]
            if isinstance(item, exp.Cube)
            else [parts[:n] for n in range(len(parts), -1, -1)]
        )
        return [tuple(name for part in some for name in part) for some in chosen]
    return [_keys(item, key)]


def _keys(item: exp.Expr, key: Callable[[exp.Expr], str]) -> tuple[str, ...]:
    inner = item.expressions if isinstance(item, exp.Tuple) else [item]
    return tuple(key(one) for one in inner)


def _position(item: exp.Expr, count: int) -> int:
    position = int(item.name)
    if not 1 <= position <= count:
        raise errors.semantic_error(f"there is no column {position}")
    return position


def _row(node: exp.Expr) -> Sequence[exp.Expr]:
    return (
        node.expressions
        if isinstance(node, exp.Tuple)
        else [node.this if isinstance(node, exp.Paren) else node]
    )


def _generator_as_lateral(node: exp.Select) -> exp.Select:
    """Return ``SELECT explode(x) AS a FROM t`` as ``SELECT a FROM t LATERAL VIEW explode(x) AS a``."""
    items = node.expressions
    calls = [item.this if isinstance(item, exp.Alias | exp.Aliases) else item for item in items]
    makes_rows = [
        isinstance(call, exp.Anonymous)
        and call.name.upper() in FUNCTIONS
        and FUNCTIONS[call.name.upper()].role is Role.TABLE
        for call in calls
    ]
    if not any(makes_rows):
        return node
    if len(items) != 1:
        raise errors.semantic_error(
            f"{calls[makes_rows.index(True)].name.upper()} must stand alone in a SELECT"
        )
    item = items[0]
    names = [item.args["alias"]] if isinstance(item, exp.Alias) else []
    names = item.expressions if isinstance(item, exp.Aliases) else names
    alias = exp.TableAlias(this=exp.to_identifier("__made"), columns=[n.copy() for n in names])
    changed = node.copy()
    star = exp.Column(this=exp.Star(), table=exp.to_identifier("__made"))
    changed.set("expressions", [star])
    if not changed.args.get("from_"):
        one = exp.Subquery(this=exp.select(exp.Literal.number(1)))
        changed.set("from_", exp.From(this=one))
    changed.append("laterals", exp.Lateral(this=calls[0].copy(), view=True, outer=False, alias=alias))
    return changed


def _rows_of(name: str, value: Typed) -> tuple[str, list[tuple[str, str]]]:
    """Return the rows that a function makes of a value: DuckDB's SELECT and its columns."""
    sql, kind = value.sql, value.kind
    if name == "JSON_TUPLE":
        members = kinds.fields(kind)
        items = ", ".join(f"v.{field} AS {field}" for field, _ in members)
        return f"SELECT {items} FROM (SELECT {sql} AS v)", members
    if name in ("INLINE", "STACK"):
        members = kinds.fields(kinds.element(kind))
        items = ", ".join(f"v.{quote_name(field)} AS c{i}" for i, (field, _) in enumerate(members))
        return f"SELECT {items} FROM (SELECT unnest({sql}) AS v)", members
    if kinds.is_map(kind):
        key, inner = kinds.key_and_value(kind)
        columns = [("key", key), ("value", inner)]
        return f"SELECT unnest(map_keys({sql})) AS c0, unnest(map_values({sql})) AS c1", columns
    if name == "POSEXPLODE":
        columns = [("pos", "bigint"), ("val", kinds.element(kind))]
        return f"SELECT unnest(range(len({sql}))) AS c0, unnest({sql}) AS c1", columns
    return f"SELECT unnest({sql}) AS c0", [("col", kinds.element(kind))]


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
