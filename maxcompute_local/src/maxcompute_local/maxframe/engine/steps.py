"""Runs the generated code of operators one by one, and functions of the user in processes of their own."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import CodeType
from typing import Any

import pandas as pd

from .chunks import map_chunks
from .events import Events
from .limits import Limits
from .progress import Progress
from .spread import Spread, Table

_CALL = "engine_call"


@dataclass(frozen=True)
class Operator:
    """An operator's code and the names of the variables that it reads and sets.

    ``allowed`` are the limits of the process that runs its function; None when it has none to be watched.
    """

    name: str
    code: CodeType
    inputs: Sequence[str]
    outputs: Sequence[str]
    allowed: Limits | None


class Steps:
    """The operators of a DAG. ``run`` is called by the generated code, once for each, in order."""

    def __init__(self, directory: Path, progress: Progress, events: Events, spread: Spread) -> None:
        self._directory = directory
        self._progress = progress
        self._events = events
        self._spread = spread
        self._operators: list[Operator] = []

    def add(self, operator: Operator) -> int:
        """Add an operator; return its number."""
        self._operators.append(operator)
        return len(self._operators) - 1

    def run(self, number: int, variables: dict[str, Any]) -> None:
        """Run an operator on the variables of the DAG."""
        operator = self._operators[number]
        name = self._progress.next_step()
        try:
            for fault in self._events.begin(f"operator.{name}"):
                fault.strike()
            self._progress.rows(_rows(variables, operator.inputs), None)
            self._spread.begin(_tables(variables, operator.inputs))
            variables[_CALL] = partial(call_pandas, operator.name)
            if operator.allowed is None:
                with named_errors(operator.name):
                    exec(operator.code, variables)
            else:
                self._run_apart(operator, operator.allowed, variables)
            self._spread.end(_tables(variables, operator.outputs))
            self._progress.rows(_rows(variables, operator.inputs), _rows(variables, operator.outputs))
        finally:
            self._progress.limit_output()
            self._progress.end_step()

    def _run_apart(self, operator: Operator, allowed: Limits, variables: dict[str, Any]) -> None:
        """Run an operator that calls a function of the user in one process of its own."""

        def run(variables: dict[str, Any]) -> list[Any]:
            exec(operator.code, variables)
            return [variables[name] for name in operator.outputs]

        (values,) = map_chunks(
            run,
            [[variables]],
            workers=1,
            directory=self._directory,
            on_done=self._progress.step_fraction,
            on_poll=self._progress.limit_output,
            on_retry=self._progress.warn,
            allowed=allowed,
            operator=operator.name,
        )
        variables.update(zip(operator.outputs, values, strict=True))


_OWN_ERRORS = (AssertionError, AttributeError, TypeError, ValueError)
"""What pandas, numpy and the SDK's code raise without a word on the operator."""


@contextmanager
def named_errors(operator: str) -> Iterator[None]:
    """Put an operator's name before the text of an error, unless it is there."""
    try:
        yield
    except _OWN_ERRORS as error:
        if type(error) not in _OWN_ERRORS or operator in str(error):
            raise
        raise type(error)(f"{operator}: {error}") from error


def compiled(name: str, lines: Sequence[str]) -> CodeType:
    """Compile generated code. Methods with keyword arguments are called by :func:`call_pandas`."""
    tree = ast.fix_missing_locations(_KeywordCalls().visit(ast.parse("\n".join(lines))))
    return compile(tree, f"<{name}>", "exec")


class _KeywordCalls(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.keywords:
            return ast.Call(
                ast.Name(_CALL, ast.Load()),
                [node.func.value, ast.Constant(node.func.attr), *node.args],
                node.keywords,
            )
        return node


_MEANS_NOTHING: dict[str, tuple[Any, ...]] = {
    "axis": (0, "index", "rows"),
    "dropna": (True,),
    "skipna": (True,),
    "fill_axis": (0, "index"),
    "infer_datetime_format": (False,),
}
"""Values of arguments that say what pandas does without the argument. None always does."""


def call_pandas(operator: str, target: Any, method: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call a method that may lack arguments which other releases of pandas have.

    Raises NotImplementedError when such an argument would have changed the result.
    """
    function: Callable[..., Any] = getattr(target, method)
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return function(*args, **kwargs)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return function(*args, **kwargs)
    for name in [name for name in kwargs if name not in parameters]:
        value = kwargs.pop(name)
        if value is not None and not any(
            value is one or value == one for one in _MEANS_NOTHING.get(name, ())
        ):
            raise NotImplementedError(
                f"the local engine cannot run {operator} with {name}={value!r}: {method}() of pandas "
                f"{pd.__version__}, which it runs on, has no such argument"
            )
    return function(*args, **kwargs)


def _tables(variables: dict[str, Any], names: Sequence[str]) -> list[tuple[str, Any]]:
    return [(name, variables[name]) for name in names if isinstance(variables.get(name), Table)]


def _rows(variables: dict[str, Any], names: Sequence[str]) -> int | None:
    counts = [len(table) for _, table in _tables(variables, names)]
    return sum(counts) if counts else None
