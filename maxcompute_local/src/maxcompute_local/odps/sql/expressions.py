"""Expressions: from MaxCompute's syntax tree to DuckDB's SQL, with the type of every part.

What has no rule here is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from maxcompute_local.odps import errors
from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import (
    Conversions,
    Typed,
    duck_cast,
    quote_name,
    quote_text,
    string,
    whole,
)
from maxcompute_local.odps.sql.functions import FUNCTIONS
from maxcompute_local.odps.sql.functions.aggregates import ROWS_BY_DEFAULT
from maxcompute_local.odps.sql.functions.nested import OVER_ELEMENTS
from maxcompute_local.odps.sql.functions.registry import Call, Role
from maxcompute_local.odps.sql.scope import Relation, Scope, struct_field

_MAX_BIGINT = 2**63 - 1
_MAX_INT = 2**31 - 1
_COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.NullSafeEQ: "IS NOT DISTINCT FROM",
    exp.NullSafeNEQ: "IS DISTINCT FROM",
}
_BIT_OPERATIONS: dict[type[exp.Expr], str] = {
    exp.BitwiseAnd: "({} & {})",
    exp.BitwiseOr: "({} | {})",
    exp.BitwiseXor: "xor({}, {})",
}
_INTERVALS = {"YEAR": "year", "MONTH": "month", "DAY": "day", "HOUR": "hour", "MINUTE": "mi", "SECOND": "ss"}
_SIDES = {"UNBOUNDED", "CURRENT ROW"}


@dataclass(frozen=True)
class Subquery:
    """A translated query: its SQL, whose columns are c0, c1 and so on, and their names and types."""

    sql: str
    columns: Sequence[tuple[str, str]]


SubqueryCompiler = Callable[[exp.Expr, Scope], Subquery]
MaxPartition = Callable[[str], str]


@dataclass
class Expressions:
    """Translates the expressions of one SELECT.

    ``aliases`` are results of the SELECT that expressions may name. Where a column has the same name, the
    column is meant inside of an aggregate, and elsewhere the name is refused as ambiguous.
    """

    conversions: Conversions
    scope: Scope
    subquery: SubqueryCompiler
    max_partition: MaxPartition
    windows: Mapping[str, exp.Expr] = field(default_factory=dict)
    aliases: Mapping[str, Typed] = field(default_factory=dict)
    _in_aggregate: bool = False

    def typed(self, node: exp.Expr) -> Typed:
        """Return the translation; an error naming what is not supported, and where it stands."""
        try:
            return self._translated(node)
        except errors.OdpsError as error:
            raise at_place(error, node) from error

    def _translated(self, node: exp.Expr) -> Typed:
        comparison = _COMPARISONS.get(type(node))
        if comparison is not None:
            return self._compare(node, comparison)
        if type(node) in _BIT_OPERATIONS:
            return self._bits(node)
        rule = _RULES.get(type(node))
        if rule is None:
            raise errors.parse_error(f"{_describe(node)} is not supported by the local cloud")
        return rule(self, node)

    def condition(self, node: exp.Expr, what: str) -> str:
        """Return a BOOLEAN expression."""
        return self.conversions.convert(self.typed(node), "boolean", what).sql

    # Names and constants

    def _column(self, node: exp.Expr) -> Typed:
        if isinstance(node.this, exp.Star):
            raise errors.parse_error("* is not supported here")
        parts = [part.name for part in node.parts]
        alias = self.aliases.get(parts[0].lower()) if len(parts) == 1 else None
        if alias is None or self._in_aggregate:
            return self.scope.resolve(parts)
        column = self.scope.find(parts[0])
        if column is not None and column.sql != alias.sql:
            raise errors.semantic_error(f"{parts[0]} names a column and a result of the SELECT here")
        return alias

    def _dot(self, node: exp.Expr) -> Typed:
        if not isinstance(node.expression, exp.Identifier):
            raise errors.parse_error(f"{_describe(node)} is not supported by the local cloud")
        return struct_field(self.typed(node.this), node.expression.name)

    def _literal(self, node: exp.Expr) -> Typed:
        if node.is_string:
            return string(node.name)
        if not node.name.isdigit():
            return Typed(f"CAST({quote_text(node.name)} AS DOUBLE)", "double", node.name)
        number = int(node.name)
        if number > _MAX_BIGINT:
            return Typed(f"CAST({quote_text(node.name)} AS DOUBLE)", "double", node.name)
        kind = "int" if self.conversions.odps2 and number <= _MAX_INT else "bigint"
        return Typed(duck_cast(node.name, kind), kind, node.name)

    def _null(self, _node: exp.Expr) -> Typed:
        return Typed("NULL", kinds.VOID)

    def _boolean(self, node: exp.Expr) -> Typed:
        text = "true" if node.this else "false"
        return Typed(text, "boolean", text)

    def _paren(self, node: exp.Expr) -> Typed:
        return self.typed(node.this)

    # Operators

    def _numbers(self, nodes: Sequence[exp.Expr], what: str) -> list[Typed]:
        """Return operands as numbers: a string is a DOUBLE, a NULL has the type of the others."""
        values = [self.typed(node) for node in nodes]
        found = [v.kind for v in values if kinds.is_number(v.kind)]
        of_null = kinds.widest_number(found) if found else "double"
        return [
            v
            if kinds.is_number(v.kind)
            else self.conversions.convert(v, of_null if v.kind == kinds.VOID else "double", what)
            for v in values
        ]

    def _negative(self, node: exp.Expr) -> Typed:
        (value,) = self._numbers([node.this], "operator -")
        constant = None if value.constant is None else f"-{value.constant}"
        return Typed(f"(-{value.sql})", value.kind, constant)

    def _arithmetic(self, node: exp.Expr) -> Typed:
        if isinstance(node, exp.Add | exp.Sub) and isinstance(node.expression, exp.Interval):
            return self._moved(node)
        sign = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Mod: "%"}[type(node)]
        left, right = self._numbers([node.this, node.expression], f"operator {sign}")
        kind = kinds.widest_number([left.kind, right.kind])
        if kinds.is_decimal(kind):
            return self._exact(sign, left, right)
        left, right = self.conversions.cast(left, kind), self.conversions.cast(right, kind)
        if sign == "%":
            return Typed(f"({left.sql} % nullif({right.sql}, 0))", kind)
        return Typed(f"({left.sql} {sign} {right.sql})", kind)

    def _moved(self, node: exp.Expr) -> Typed:
        """Return a date or time plus or minus an INTERVAL of one unit."""
        value, (count, unit) = self.typed(node.this), _interval(node.expression)
        if value.kind not in kinds.MOMENTS:
            raise errors.semantic_error(f"an INTERVAL moves a date or time, not {value.name}")
        step = whole(-count if isinstance(node, exp.Sub) else count)
        return FUNCTIONS["DATEADD"].translate(Call("DATEADD", [value, step, string(unit)], self.conversions))

    def _exact(self, sign: str, left: Typed, right: Typed) -> Typed:
        (p1, s1), (p2, s2) = kinds.decimal_size(left.kind), kinds.decimal_size(right.kind)
        if sign in "+-":
            scale = max(s1, s2)
            kind = kinds.decimal(max(p1 - s1, p2 - s2) + scale + 1, scale)
            return Typed(f"({duck_cast(left.sql, kind)} {sign} {duck_cast(right.sql, kind)})", kind)
        if sign == "%":
            raise errors.semantic_error("operator % of DECIMAL is not supported by the local cloud")
        kind = kinds.decimal(p1 + p2 + 1, s1 + s2)
        return self._called("py_multiply", left, right.sql, kind)

    def _called(self, function: str, left: Typed, right: str, kind: str) -> Typed:
        scale = kinds.decimal_size(kind)[1]
        texts = f"CAST({left.sql} AS VARCHAR), CAST({right} AS VARCHAR)"
        return Typed(duck_cast(f"{function}({texts}, {scale})", kind), kind)

    def _divide(self, node: exp.Expr) -> Typed:
        left, right = self._numbers([node.this, node.expression], "operator /")
        if kinds.is_decimal(kinds.widest_number([left.kind, right.kind])):
            (p1, s1), (p2, s2) = kinds.decimal_size(left.kind), kinds.decimal_size(right.kind)
            scale = max(6, s1 + p2 + 1)
            kind = kinds.decimal(p1 - s1 + s2 + scale, scale)
            return self._called("py_divide", left, f"nullif({right.sql}, 0)", kind)
        dividend, divisor = (duck_cast(v.sql, "double") for v in (left, right))
        return Typed(f"({dividend} / nullif({divisor}, 0))", "double")

    def _whole_divide(self, node: exp.Expr) -> Typed:
        values = [self.typed(node.this), self.typed(node.expression)]
        if any(v.kind not in (*kinds.INTEGERS, kinds.VOID) for v in values):
            raise errors.semantic_error("operator DIV takes integers only in the local cloud")
        left, right = (self.conversions.cast(v, "bigint").sql for v in values)
        # The remainder has the dividend's sign, so that this cuts towards zero.
        return Typed(
            f"CAST(({left} - {left} % nullif({right}, 0)) // nullif({right}, 0) AS BIGINT)", "bigint"
        )

    def _bits(self, node: exp.Expr) -> Typed:
        left, right = self._integer(node.this), self._integer(node.expression)
        return Typed(_BIT_OPERATIONS[type(node)].format(left, right), "bigint")

    def _bit_not(self, node: exp.Expr) -> Typed:
        return Typed(f"(~{self._integer(node.this)})", "bigint")

    def _integer(self, node: exp.Expr) -> str:
        value = self.typed(node)
        if value.kind not in (*kinds.INTEGERS, kinds.VOID):
            raise errors.semantic_error(f"bit operations take integers, not {value.name}")
        return self.conversions.cast(value, "bigint").sql

    def _adjacent(self, node: exp.Expr) -> Typed:
        """Return string literals that stand side by side as one."""
        if not all(part.is_string for part in node.expressions):
            raise errors.parse_error(f"{_describe(node)} is not supported by the local cloud")
        return string("".join(part.name for part in node.expressions))

    def _join_texts(self, node: exp.Expr) -> Typed:
        parts = [
            self.conversions.convert(self.typed(part), "string", "operator ||")
            for part in (node.this, node.expression)
        ]
        return Typed(f"({parts[0].sql} || {parts[1].sql})", "string")

    # Conditions

    def _compare(self, node: exp.Expr, sign: str) -> Typed:
        if isinstance(node.this, exp.Tuple) and isinstance(node.expression, exp.Tuple) and sign == "=":
            return Typed(self._same_row(node.this, self._row(node.expression)), "boolean")
        left, right = self._compared([node.this, node.expression])
        return Typed(f"({left} {sign} {right})", "boolean")

    def _compared(self, nodes: Sequence[exp.Expr]) -> list[str]:
        return [v.sql for v in self.conversions.compared([self.typed(n) for n in nodes], "comparison")]

    def _logic(self, node: exp.Expr) -> Typed:
        word = "AND" if isinstance(node, exp.And) else "OR"
        left, right = (self.condition(part, word) for part in (node.this, node.expression))
        return Typed(f"({left} {word} {right})", "boolean")

    def _not(self, node: exp.Expr) -> Typed:
        return Typed(f"(NOT {self.condition(node.this, 'NOT')})", "boolean")

    def _is(self, node: exp.Expr) -> Typed:
        value, right = self.typed(node.this), node.expression
        if isinstance(right, exp.Null):
            return Typed(f"({value.sql} IS NULL)", "boolean")
        if isinstance(right, exp.Boolean):
            value = self.conversions.convert(value, "boolean", "IS")
            return Typed(f"({value.sql} IS {'TRUE' if right.this else 'FALSE'})", "boolean")
        raise errors.parse_error(f"{_describe(node)} is not supported by the local cloud")

    def _between(self, node: exp.Expr) -> Typed:
        low = self._compared([node.this, node.args["low"]])
        high = self._compared([node.this, node.args["high"]])
        return Typed(f"({low[0]} >= {low[1]} AND {high[0]} <= {high[1]})", "boolean")

    def _in(self, node: exp.Expr) -> Typed:
        query = node.args.get("query")
        if query is not None:
            return self._in_query(node.this, query)
        if not node.expressions:
            raise errors.parse_error("IN needs a list or a query")
        if isinstance(node.this, exp.Tuple):
            rows = (self._row(row) for row in node.expressions)
            return Typed(f"({' OR '.join(self._same_row(node.this, row) for row in rows)})", "boolean")
        value, *listed = self._compared([node.this, *node.expressions])
        return Typed(f"({value} IN ({', '.join(listed)}))", "boolean")

    def _row(self, node: exp.Expr) -> list[Typed]:
        """Return the values of ``(a, b)``."""
        if not isinstance(node, exp.Tuple):
            raise errors.semantic_error("a row is compared with a row")
        return [self.typed(item) for item in node.expressions]

    def _same_row(self, node: exp.Expr, other: Sequence[Typed]) -> str:
        """Return the condition that two rows are the same, unknown where NULLs leave it open."""
        values = self._row(node)
        if len(values) != len(other):
            raise errors.semantic_error(f"a row of {len(values)} values is compared with one of {len(other)}")
        pairs = (self.conversions.compared(pair, "IN") for pair in zip(values, other, strict=True))
        return f"({' AND '.join(f'{left.sql} = {right.sql}' for left, right in pairs)})"

    def _in_query(self, node: exp.Expr, query: exp.Expr) -> Typed:
        found = self.subquery(query, self.scope)
        if isinstance(node, exp.Tuple):
            row = [Typed(f"q.c{i}", kind) for i, (_, kind) in enumerate(found.columns)]
            same, exists = self._same_row(node, row), f"EXISTS (SELECT 1 FROM ({found.sql}) AS q WHERE"
            # Only a row with a NULL, there or here, leaves the answer open, so few are compared in full.
            has_null = (" OR ".join(f"{v.sql} IS NULL" for v in side) for side in (row, self._row(node)))
            unknown = " OR ".join(f"{exists} ({some}) AND {same} IS NULL)" for some in has_null)
            return Typed(
                f"CASE WHEN {exists} {same}) THEN true WHEN {unknown} THEN NULL ELSE false END", "boolean"
            )
        if len(found.columns) != 1:
            raise errors.semantic_error("the query of IN must have one column")
        value, item = self.conversions.compared([self.typed(node), Typed("q.c0", found.columns[0][1])], "IN")
        return Typed(f"({value.sql} IN (SELECT {item.sql} FROM ({found.sql}) AS q))", "boolean")

    def _like(self, node: exp.Expr) -> Typed:
        texts = [self._text(part, "LIKE") for part in (node.this, node.expression)]
        if texts[1].constant is not None and re.search(r"(?<!\\)(\\\\)*\\$", texts[1].constant):
            raise errors.semantic_error("the pattern of LIKE ends in a backslash")
        negation = "NOT " if node.args.get("negate") else ""
        # A backslash escapes without being declared.
        return Typed(f"({texts[0].sql} {negation}LIKE {texts[1].sql} ESCAPE '\\')", "boolean")

    def _rlike(self, node: exp.Expr) -> Typed:
        source, pattern = (self._text(part, "RLIKE") for part in (node.this, node.expression))
        if pattern.constant == "":
            raise errors.semantic_error("the pattern of RLIKE must not be empty")
        negation = "NOT " if node.args.get("negate") else ""
        checked = pattern.sql if pattern.constant else f"mc_pattern({pattern.sql})"
        return Typed(f"({negation}regexp_matches({source.sql}, {checked}))", "boolean")

    def _text(self, node: exp.Expr, what: str) -> Typed:
        value = self.typed(node)
        if not kinds.is_text(value.kind) and value.kind != kinds.VOID:
            raise errors.illegal_conversion(f"{what} takes strings only, not {value.name}")
        return self.conversions.cast(value, "string") if value.kind.startswith("char(") else value

    def _exists(self, node: exp.Expr) -> Typed:
        return Typed(f"EXISTS ({self.subquery(node.this, self.scope).sql})", "boolean")

    def _scalar_query(self, node: exp.Expr) -> Typed:
        found = self.subquery(node, self.scope)
        if len(found.columns) != 1:
            raise errors.semantic_error("a query in an expression must have one column")
        return Typed(f"({found.sql})", found.columns[0][1])

    def _case(self, node: exp.Expr) -> Typed:
        branches = node.args["ifs"]
        conditions = [
            self.condition(branch.this, "WHEN")
            if node.this is None
            else "({} = {})".format(*self._compared([node.this, branch.this]))
            for branch in branches
        ]
        default = node.args.get("default")
        results = [self.typed(branch.args["true"]) for branch in branches]
        results.append(Typed("NULL", kinds.VOID) if default is None else self.typed(default))
        values = self.conversions.unified(results, "CASE")
        whens = " ".join(f"WHEN {c} THEN {v.sql}" for c, v in zip(conditions, values, strict=False))
        return Typed(f"CASE {whens} ELSE {values[-1].sql} END", values[0].kind)

    # Casts and elements

    def _cast(self, node: exp.Expr) -> Typed:
        target = self.cast_target(node.args["to"])
        value = self.typed(node.this)
        is_literal = isinstance(node.this, exp.Literal) and not node.this.is_string
        found = self.conversions.cast(value, target)
        # A literal like 1L is a cast to the parser.
        return Typed(found.sql, found.kind, value.constant if is_literal else None)

    def cast_target(self, node: exp.Expr) -> str:
        """Return the type that a CAST names."""
        try:
            text = node.sql(dialect="hive")
        except ValueError as error:
            raise errors.parse_error(f"type {node} is not supported by the local cloud") from error
        if isinstance(node, exp.DataType) and node.this == exp.DType.DATETIME:
            text = "datetime"
        if isinstance(node, exp.DataType) and node.this == exp.DType.TIMESTAMPNTZ:
            text = "timestamp_ntz"
        return self.conversions.visible(kinds.canonical(text.replace(": ", ":")))

    def _element(self, node: exp.Expr) -> Typed:
        if len(node.expressions) != 1 or node.args.get("offset"):
            raise errors.parse_error("an index has one value")
        value, index = self.typed(node.this), self.typed(node.expressions[0])
        if kinds.is_array(value.kind):
            if index.kind not in kinds.INTEGERS:
                raise errors.semantic_error(f"an ARRAY has no element {index.name}")
            position = self.conversions.cast(index, "bigint").sql
            return Typed(f"mc_element({value.sql}, {position})", kinds.element(value.kind))
        if kinds.is_map(value.kind):
            key, inner = kinds.key_and_value(value.kind)
            found = self.conversions.convert(index, key, "key of a MAP")
            return Typed(f"map_extract_value({value.sql}, {found.sql})", inner)
        raise errors.semantic_error(f"{value.name} has no elements")

    # Functions

    def _if(self, node: exp.Expr) -> Typed:
        otherwise = node.args.get("false") or exp.Null()
        return self._call("IF", [node.this, node.args["true"], otherwise])

    def _extract(self, node: exp.Expr) -> Typed:
        return self._call("EXTRACT", [exp.Literal.string(node.name), node.expression])

    def _function(self, node: exp.Expr) -> Typed:
        name = node.name.upper()
        if name not in FUNCTIONS and name != "MAX_PT":
            raise errors.semantic_error(f"function {node.name} is not supported by the local cloud")
        return self._call(name, node.expressions)

    def _call(
        self,
        name: str,
        arguments: Sequence[exp.Expr],
        over: str | None = None,
        order: str = "",
        where: str = "",
    ) -> Typed:
        if name == "MAX_PT":
            if len(arguments) != 1 or not arguments[0].is_string:
                raise errors.semantic_error("function MAX_PT takes the name of a table")
            return string(self.max_partition(arguments[0].name))
        function = FUNCTIONS.get(name)
        if function is None:
            raise errors.semantic_error(f"function {name} is not supported by the local cloud")
        if function.role is Role.TABLE:
            raise errors.semantic_error(f"function {name} may stand alone or in a LATERAL VIEW only")
        if function.role is Role.WINDOW and over is None:
            raise errors.semantic_error(f"function {name} needs OVER (...)")
        if function.role is Role.SCALAR and over is not None:
            raise errors.semantic_error(f"function {name} takes no OVER (...)")
        if function.role is not Role.AGGREGATE and order:
            raise errors.semantic_error(f"function {name} takes no WITHIN GROUP")
        if function.role is not Role.AGGREGATE and where:
            raise errors.semantic_error(f"function {name} takes no FILTER")
        inner = replace(self, _in_aggregate=True) if function.role is Role.AGGREGATE else self
        return function.translate(inner.call(name, arguments, over or "", order, where))

    def call(
        self, name: str, arguments: Sequence[exp.Expr], over: str = "", order: str = "", where: str = ""
    ) -> Call:
        """Return a call with translated arguments."""
        distinct = len(arguments) == 1 and isinstance(arguments[0], exp.Distinct)
        if distinct:
            arguments = arguments[0].expressions
            if FUNCTIONS[name].role is not Role.AGGREGATE:
                raise errors.semantic_error(f"function {name} takes no DISTINCT")
        if name == "COUNT" and len(arguments) == 1 and isinstance(arguments[0], exp.Star):
            return Call(name, [Typed("*", "bigint", "*")], self.conversions, over=over, where=where)
        values: list[Typed] = []
        for argument in arguments:
            if isinstance(argument, exp.Lambda) and name in OVER_ELEMENTS:
                values.append(self._lambda(argument, values))
            elif isinstance(argument, exp.Interval) and name == "SEQUENCE":
                count, unit = _interval(argument)
                values.append(Typed(unit, kinds.INTERVAL, str(count)))
            else:
                values.append(self.typed(argument))
        return Call(name, values, self.conversions, distinct, over, order, where)

    def _lambda(self, node: exp.Expr, before: Sequence[Typed]) -> Typed:
        """Return ``x -> x + 1`` over the elements of the ARRAY before it."""
        if len(before) != 1 or not kinds.is_array(before[0].kind) or len(node.expressions) != 1:
            raise errors.parse_error(f"{_describe(node)} is not supported here by the local cloud")
        parameter = node.expressions[0].name.lower()
        # No name that the translation of a function uses.
        variable = quote_name(f"l_{parameter}")
        column = (parameter, Typed(variable, kinds.element(before[0].kind)))
        scope = Scope(self.scope, [Relation((), [column])])
        body = replace(self, scope=scope).typed(node.this)
        return Typed(f"lambda {variable}: {body.sql}", kinds.lambda_of(body.kind))

    def _name(self, node: exp.Expr) -> Typed:
        return self.scope.resolve([node.name])

    def _transform(self, node: exp.Expr) -> Typed:
        return self._call("TRANSFORM", [node.this, node.expression])

    def _ordered_group(self, node: exp.Expr) -> Typed:
        call = node.this
        if not isinstance(call, exp.Anonymous) or call.name.upper() not in ("WM_CONCAT", "COLLECT_LIST"):
            raise errors.parse_error("WITHIN GROUP is supported for WM_CONCAT and COLLECT_LIST only")
        return self._call(call.name.upper(), call.expressions, order=f" {self._order(node.expression)}")

    def _filtered(self, node: exp.Expr) -> Typed:
        call, where = self._call_and_filter(node)
        return self._call(call.name.upper(), call.expressions, where=where)

    def _window(self, node: exp.Expr) -> Typed:
        call, where = self._call_and_filter(node.this)
        name = call.name.upper()
        over = f" OVER ({self._window_definition(node, name)})"
        return self._call(name, call.expressions, over=over, where=where)

    def _call_and_filter(self, node: exp.Expr) -> tuple[exp.Expr, str]:
        """Return the call of an aggregate and the FILTER (WHERE ...) behind it, or nothing."""
        where = ""
        call = node
        if isinstance(node, exp.Filter):
            call = node.this
            condition = replace(self, _in_aggregate=True).condition(node.expression.this, "FILTER")
            where = f" FILTER (WHERE {condition})"
        if not isinstance(call, exp.Anonymous):
            raise errors.parse_error(f"{_describe(node)} is not supported by the local cloud")
        return call, where

    def _window_definition(self, node: exp.Expr, function: str) -> str:
        named = node.args.get("alias")
        if named is not None:
            definition = self.windows.get(named.name.lower())
            if definition is None or node.args.get("partition_by") or node.args.get("order"):
                raise errors.semantic_error(f"window {named.name} cannot be resolved")
            node = definition
        partition, order, spec = (node.args.get(k) for k in ("partition_by", "order", "spec"))
        parts = []
        if partition:
            parts.append(f"PARTITION BY {', '.join(self.typed(p).sql for p in partition)}")
        if order:
            parts.append(self._order(order))
        if spec is not None:
            parts.append(self._frame(spec))
        elif order and function in ROWS_BY_DEFAULT:
            parts.append("ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW")
        return " ".join(parts)

    def _order(self, node: exp.Expr) -> str:
        return f"ORDER BY {', '.join(direction(self.typed(o.this).sql, o) for o in node.expressions)}"

    def _frame(self, spec: exp.Expr) -> str:
        if spec.args.get("exclude"):
            raise errors.parse_error("EXCLUDE in a window is not supported by the local cloud")
        start = self._frame_side(spec, "start")
        end = self._frame_side(spec, "end") if spec.args.get("end") else "CURRENT ROW"
        return f"{spec.args['kind']} BETWEEN {start} AND {end}"

    def _frame_side(self, spec: exp.Expr, side: str) -> str:
        value, way = spec.args[side], spec.args.get(f"{side}_side") or ""
        if isinstance(value, str):
            if value not in _SIDES:
                raise errors.parse_error(f"window frame {value} is not supported")
            return f"{value} {way}".strip()
        found = self.typed(value)
        if found.constant is None or found.kind not in kinds.INTEGERS:
            raise errors.parse_error("a window frame counts with a constant number")
        return f"{found.constant} {way}"


def _interval(node: exp.Expr) -> tuple[int, str]:
    """Return number and unit of an INTERVAL."""
    unit = _INTERVALS.get(node.text("unit").upper().removesuffix("S"))
    if unit is None or not re.fullmatch(r"-?\d+", node.this.name):
        raise errors.parse_error(f"{_describe(node)} is not supported by the local cloud")
    return int(node.this.name), unit


def at_place(error: errors.OdpsError, node: exp.Expr) -> errors.OdpsError:
    """Return an error with the place of the first word of a part of the statement."""
    places = [part.meta for part in node.walk() if "line" in part.meta]
    if not places:
        return error
    first = min(places, key=lambda meta: meta["start"])
    # The parser notes the column of a word's last character.
    return error.at(first["line"], first["col"] - (first["end"] - first["start"]))


def direction(sql: str, ordered: exp.Expr) -> str:
    """Return an item of ORDER BY. NULL is the smallest value unless NULLS FIRST or LAST is written."""
    descending = bool(ordered.args.get("desc"))
    nulls_first = bool(ordered.args.get("nulls_first"))
    return f"{sql} {'DESC' if descending else 'ASC'} NULLS {'FIRST' if nulls_first else 'LAST'}"


def _describe(node: exp.Expr) -> str:
    return f"{type(node).__name__.upper()} ({node.sql(dialect='hive')[:60]})"


_RULES: dict[type[exp.Expr], Callable[[Expressions, exp.Expr], Typed]] = {
    exp.Add: Expressions._arithmetic,
    exp.And: Expressions._logic,
    exp.Anonymous: Expressions._function,
    exp.Between: Expressions._between,
    exp.BitwiseNot: Expressions._bit_not,
    exp.Boolean: Expressions._boolean,
    exp.Bracket: Expressions._element,
    exp.Case: Expressions._case,
    exp.Cast: Expressions._cast,
    exp.Column: Expressions._column,
    exp.Concat: Expressions._adjacent,
    exp.Div: Expressions._divide,
    exp.Dot: Expressions._dot,
    exp.DPipe: Expressions._join_texts,
    exp.Exists: Expressions._exists,
    exp.Extract: Expressions._extract,
    exp.Filter: Expressions._filtered,
    exp.Identifier: Expressions._name,
    exp.If: Expressions._if,
    exp.In: Expressions._in,
    exp.IntDiv: Expressions._whole_divide,
    exp.Is: Expressions._is,
    exp.Like: Expressions._like,
    exp.Literal: Expressions._literal,
    exp.Mod: Expressions._arithmetic,
    exp.Mul: Expressions._arithmetic,
    exp.Neg: Expressions._negative,
    exp.Not: Expressions._not,
    exp.Null: Expressions._null,
    exp.Or: Expressions._logic,
    exp.Paren: Expressions._paren,
    exp.RegexpLike: Expressions._rlike,
    exp.Select: Expressions._scalar_query,
    exp.Sub: Expressions._arithmetic,
    exp.Subquery: Expressions._scalar_query,
    exp.Transform: Expressions._transform,
    exp.Window: Expressions._window,
    exp.WithinGroup: Expressions._ordered_group,
}
