"""What is read out of the code for pages: parameters with their texts, docstrings as Markdown."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any

from airflow.sdk import BaseOperator

ROOT = Path(__file__).resolve().parents[2]

_PARAM = re.compile(r"^:param (\w+):(.*?)(?=^:|\Z|^\S)", re.MULTILINE | re.DOTALL)
_ROLE = re.compile(r":(?:class|func|meth):`([^`]+)`")


@dataclass(frozen=True)
class Parameter:
    """An argument of an operator, or a field; ``default`` is empty where it has to be given."""

    name: str
    type: str
    default: str
    text: str


@dataclass(frozen=True)
class Group:
    """Parameters that belong together, by the name of what declares them."""

    owner: str
    parameters: tuple[Parameter, ...]


def markdown(text: str) -> str:
    """Return a docstring's text as Markdown, a line for each paragraph."""
    text = _ROLE.sub(lambda role: f"`{role[1].removeprefix('~').rpartition('.')[2]}`", text).replace(
        "``", "`"
    )
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def description(thing: Any) -> str:
    """Return what a docstring says before its parameters, as Markdown."""
    return markdown(_prose(thing))


def _prose(thing: Any) -> str:
    doc = inspect.cleandoc(thing.__doc__ or "")
    return re.split(r"^:param ", doc, maxsplit=1, flags=re.MULTILINE)[0].strip()


def param_texts(thing: Any) -> dict[str, str]:
    """Return the texts of the ``:param:`` lines of a docstring, as Markdown."""
    doc = inspect.cleandoc(thing.__doc__ or "")
    return {name: markdown(text.strip()) for name, text in _PARAM.findall(doc)}


@cache
def field_texts(kind: type) -> Mapping[str, str]:
    """Return the texts of a data class's fields: the string behind each, or its ``:param:`` line."""
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = param_texts(kind)
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name):
            match after:
                case ast.Expr(ast.Constant(str(text))):
                    found[before.target.id] = markdown(text)
    return found


def fields(kind: Any) -> Iterator[Parameter]:
    """Yield the fields of a data class."""
    for field in dataclasses.fields(kind):
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        shown = "" if default is dataclasses.MISSING else _shown(default)
        yield Parameter(field.name, str(field.type), shown, field_texts(kind).get(field.name, ""))


def keywords(function: Any, texts: Mapping[str, str]) -> Iterator[Parameter]:
    """Yield the keyword-only arguments of a function."""
    for each in inspect.signature(function).parameters.values():
        if each.kind is inspect.Parameter.KEYWORD_ONLY:
            default = "" if each.default is inspect.Parameter.empty else _shown(each.default)
            yield Parameter(each.name, str(each.annotation), default, texts.get(each.name, ""))


def _shown(default: Any) -> str:
    return f'"{default}"' if isinstance(default, str) else repr(default)


def operator_groups(operator: type) -> list[Group]:
    """Return the arguments of an operator, those of its own first, then of what its docstring names, then of
    the classes it builds on, as far as they are ours."""
    ours = [kind for kind in operator.__mro__ if kind.__module__.startswith("airflow_provider_drivepipe")]
    texts: dict[str, str] = {}
    for kind in reversed(ours):
        texts |= param_texts(kind)
    found: list[tuple[str, list[Parameter]]] = []
    for kind in ours:
        if "__init__" in kind.__dict__:
            found.append((kind.__name__, list(keywords(kind.__init__, texts))))
        module = sys.modules[kind.__module__]
        for name in _ROLE.findall(_prose(kind)):
            named = getattr(module, name, None)
            if dataclasses.is_dataclass(named) and not issubclass(named, BaseOperator):
                found.append((name, list(fields(named))))
            elif isinstance(named, FunctionType):
                found.append((name, list(keywords(named, param_texts(named)))))
    seen: set[str] = set()
    groups = []
    for owner, parameters in found:
        new = tuple(each for each in parameters if each.name not in seen)
        seen |= {each.name for each in new}
        if new:
            groups.append(Group(owner, new))
    return groups


def parameter_table(parameters: tuple[Parameter, ...] | list[Parameter]) -> str:
    """Return parameters as a table in Markdown."""
    kinds = [f"{each.type} = {each.default}" if each.default else each.type for each in parameters]
    rows = [
        f"| `{each.name}`<br>`{kind}` | {'' if each.default else 'Required: '}{each.text} |"
        for each, kind in zip(parameters, kinds, strict=True)
    ]
    return "\n".join(["| parameter | meaning |", "|---|---|", *rows])


def link_to(path: str) -> str:
    """Return the address of a file of the repository on its code host."""
    return f"https://github.com/drivepipe/airflow-provider-drivepipe/blob/main/{path}"
