"""Python source for standalone scripts: functions of this package with all that they need, and literals."""

from __future__ import annotations

import ast
import builtins
import json
import re
import sys
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import cache
from importlib import resources
from typing import Any

PACKAGE = "airflow_provider_drivepipe"
WIDTH = 110
_STEP = 4
_LINT_MARK = re.compile(r"\s*# (noqa(?!: F401)|type: ignore)\b.*")
_REFERENCE = re.compile(rf"~{PACKAGE}\.[\w.]*\.(?=\w)")

Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


class Code(str):
    """An expression that stands in a literal as it is."""

    __slots__ = ()


# Literals.


def literal(value: Any, indent: int = 0, before: int = 0) -> str:
    """Return a value as Python source, as ruff formats it: on one line where that fits, else one item a line.

    Data classes become calls that name the fields which differ from their defaults.

    :param indent: spaces before the line that it stands on.
    :param before: characters before it on that line, and behind it, beside these.
    """
    flat = _flat(value)
    if _width(flat) + indent + before <= WIDTH or isinstance(value, Code | bool | int | float | None):
        return flat
    if isinstance(value, str):
        return _long_text(value, indent)
    opening, closing, items = _items(value)
    inner = indent + _STEP
    lines = [f"{' ' * inner}{name}{literal(item, inner, _width(name) + 1)}," for name, item in items]
    return "\n".join([opening, *lines, " " * indent + closing])


def _flat(value: Any) -> str:
    if isinstance(value, Code):
        return value
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    opening, closing, items = _items(value)
    text = ", ".join(f"{name}{_flat(item)}" for name, item in items)
    comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
    return f"{opening}{text}{comma}{closing}"


def _items(value: Any) -> tuple[str, str, list[tuple[str, Any]]]:
    """Return how a value opens and closes, and what is in it, each with what stands before it."""
    if is_dataclass(value) and not isinstance(value, type):
        given = [(f"{f.name}=", getattr(value, f.name)) for f in fields(value) if not _is_default(value, f)]
        return f"{type(value).__name__}(", ")", given
    if isinstance(value, Mapping):
        return "{", "}", [(f"{_flat(key)}: ", item) for key, item in value.items()]
    if isinstance(value, tuple):
        return "(", ")", [("", item) for item in value]
    if isinstance(value, list):
        return "[", "]", [("", item) for item in value]
    raise TypeError(f"no literal for {type(value).__name__}")


def _is_default(value: Any, field: Any) -> bool:
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(getattr(value, field.name) == default)


def _width(text: str) -> int:
    """Return how many columns a text takes on a screen: some characters take two."""
    return len(text) + sum(unicodedata.east_asian_width(character) in "FW" for character in text)


def _long_text(text: str, indent: int) -> str:
    """Return a text as pieces that are put together, each a line: whole words, and no more than one line."""
    room = WIDTH - indent - _STEP
    pieces = [""]
    for word in re.findall(r"\n|[^\n ]* ?", text):
        if pieces[-1].endswith("\n") or _width(_flat(pieces[-1] + word)) > room:
            pieces.append("")
        pieces[-1] += word
    lines = [" " * (indent + _STEP) + _flat(piece) for piece in pieces if piece]
    return "\n".join(["(", *lines, " " * indent + ")"])


# Functions with all that they need.


@dataclass(frozen=True)
class _Module:
    """What a module defines and imports at its top level, by name."""

    name: str
    doc: str
    lines: tuple[str, ...]
    body: tuple[ast.stmt, ...]
    definitions: Mapping[str, Definition]
    imports: Mapping[str, tuple[str, str]]
    """Module, and name in it; an empty name for a module itself."""


@dataclass(frozen=True)
class Bundle:
    """What a script is put together of, beside what it says itself.

    :param imports: of modules that are not of this package, sorted.
    :param code: the definitions of each module, below what the module is.
    """

    imports: str
    code: str


def bundle(story: str, known: Mapping[str, str], imports: Mapping[str, str]) -> Bundle:
    """Return what a script needs beside its own code.

    :param story: the script's own code; what it defines takes the place of what has the same name here.
    :param known: module, below this package, of each name that it may take from there.
    :param imports: import statement of each other name.

    Raises ValueError for a name that nobody defines.
    """
    tree = ast.parse(story)
    own = _top_level(tree.body)
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    wanted = _names(tree) - set(own) - functions - _bound(tree) - set(dir(builtins)) - {"__name__"}
    unknown = wanted - set(known) - set(imports)
    if unknown:
        raise ValueError(f"nobody defines {', '.join(sorted(unknown))}")
    todo = [(f"{PACKAGE}.{known[name]}", name) for name in sorted(wanted & set(known))]
    lines = {imports[name] for name in wanted & set(imports)}
    taken: dict[tuple[str, str], None] = {}
    while todo:
        place = module_name, name = todo.pop(0)
        if place in taken or name in own:
            continue
        taken[place] = None
        module = _module(module_name)
        for used in sorted(_used(module.definitions[name])):
            origin, original = module.imports.get(used, ("", ""))
            if used in module.definitions:
                todo.append((module_name, used))
            elif origin.startswith(PACKAGE):
                todo.append((origin, original))
            elif origin:
                lines.add(f"from {origin} import {original}" if original else f"import {origin}")
    return Bundle(_sorted_imports(lines), _sections(taken, own))


@cache
def _module(name: str) -> _Module:
    package, _, file = name.rpartition(".")
    text = resources.files(package).joinpath(f"{file}.py").read_text("utf-8")
    tree = ast.parse(text)
    imports = {}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom):
            found = {alias.asname or alias.name: alias.name for alias in statement.names}
            imports.update({alias: (statement.module or "", each) for alias, each in found.items()})
        elif isinstance(statement, ast.Import):
            imports.update({alias.name: (alias.name, "") for alias in statement.names})
    doc = (ast.get_docstring(tree) or name).partition("\n")[0]
    return _Module(name, doc, tuple(text.splitlines()), tuple(tree.body), _top_level(tree.body), imports)


def _top_level(body: Iterable[ast.stmt]) -> dict[str, Definition]:
    found: dict[str, Definition] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            found.update({name: statement for target in targets for name in _names(target)})
    return found


def _names(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _used(statement: ast.stmt) -> set[str]:
    """Return the names that a definition does not bind itself."""
    if isinstance(statement, ast.ClassDef):
        outside = [*statement.bases, *statement.decorator_list]
        return {name for each in statement.body for name in _used(each)}.union(*map(_names, outside))
    own = _bound(statement) if isinstance(statement, ast.FunctionDef) else set()
    return _names(statement) - own


def _bound(tree: ast.AST) -> set[str]:
    """Return the names of variables and arguments in it."""
    nodes = list(ast.walk(tree))
    stored = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return stored | {node.arg for node in nodes if isinstance(node, ast.arg)}


def _sorted_imports(lines: Iterable[str]) -> str:
    """Return import statements as ruff sorts them."""
    plain = {line for line in lines if line.startswith("import ")}
    members: dict[tuple[str, str], set[str]] = {}
    for line in set(lines) - plain:
        origin, _, name = line.removeprefix("from ").partition(" import ")
        members.setdefault((origin, name if " as " in name else ""), set()).add(name)
    joined = {origin: ", ".join(sorted(names, key=_member_order)) for origin, names in members.items()}
    whole = [f"from {origin} import {names}" for (origin, _), names in sorted(joined.items())]
    statements = [*sorted(plain), *whole]
    standard = [s for s in statements if s.split()[1].partition(".")[0] in sys.stdlib_module_names]
    others = [s for s in statements if s not in standard]
    return "\n\n".join("\n".join(block) for block in (standard, others) if block)


def _member_order(name: str) -> tuple[int, str]:
    """Constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _sections(taken: Iterable[tuple[str, str]], own: Iterable[str]) -> str:
    """Return the definitions that are taken, module by module, each name for one thing alone."""
    names = _final_names(taken, own)
    members = {
        (node.value.id, node.attr)
        for module, name in names
        for node in ast.walk(_module(module).definitions[name])
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    sections = []
    written: set[str] = set()
    for module in map(_module, _in_order({module for module, _ in names})):
        of_module = {name: final for (origin, name), final in names.items() if origin == module.name}
        statements = sorted({module.definitions[name] for name in of_module}, key=lambda each: each.lineno)
        renamed = {name: final for name, final in of_module.items() if name != final}
        for alias, origin in module.imports.items():
            if origin in names and names[origin] != alias:
                renamed[alias] = names[origin]
        text, after_block = "", True
        for statement in statements:
            source = _renamed(_source(module, statement, members), renamed)
            if source in written:
                continue  # a constant that another module has too
            written.add(source)
            is_block = isinstance(statement, ast.FunctionDef | ast.ClassDef)
            text += ("\n\n\n" if is_block or after_block else "\n") + source
            after_block = is_block
        if text:
            sections.append(f"# {module.doc}{text}")
    return "\n\n\n".join(sections)


def _final_names(taken: Iterable[tuple[str, str]], own: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return what each definition is called: a name that another one has already gets its module's too."""
    holders: dict[str, str] = dict.fromkeys(own, "")
    final = {}
    for module, name in taken:
        definition = _module(module).definitions[name]
        source = ast.dump(definition)
        place = module.rpartition(".")[2]
        called = name
        if holders.setdefault(name, source) != source:
            start = "_" if name.startswith("_") else ""
            called = f"{start}{place.upper() if name.isupper() else place}_{name.lstrip('_')}"
        final[module, name] = called
    return final


def _in_order(modules: Collection[str]) -> list[str]:
    """Return modules, each behind those that it imports from."""
    ordered: list[str] = []

    def add(name: str) -> None:
        for origin, _ in _module(name).imports.values():
            if origin in modules and origin not in ordered:
                add(origin)
        if name not in ordered:
            ordered.append(name)

    for name in sorted(modules):
        add(name)
    return ordered


def _source(module: _Module, statement: Definition, members: Collection[tuple[str, str]]) -> str:
    """Return a definition with the comment before it; of an enumeration, the members that are named."""
    first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", ()))]) - 1
    while module.lines[first - 1].startswith("#"):
        first -= 1
    left_out: set[int] = set()
    if isinstance(statement, ast.ClassDef) and "StrEnum" in {getattr(b, "id", "") for b in statement.bases}:
        for member in statement.body:
            if isinstance(member, ast.Assign):
                named = any((statement.name, name) in members for name in _names(member.targets[0]))
                left_out |= set() if named else set(range(member.lineno - 1, _end(statement.body, member)))
    lines = [module.lines[n] for n in range(first, _end(module.body, statement)) if n not in left_out]
    return "\n".join(_REFERENCE.sub("", _LINT_MARK.sub("", line)) for line in lines)


def _end(body: Sequence[ast.stmt], statement: ast.stmt) -> int:
    """Return the last line of a statement, with the string behind an assignment that says what it is."""
    behind = body[body.index(statement) + 1 :]
    is_text = bool(behind) and isinstance(behind[0], ast.Expr) and isinstance(behind[0].value, ast.Constant)
    is_assignment = isinstance(statement, ast.Assign | ast.AnnAssign)
    return (behind[0] if is_assignment and is_text else statement).end_lineno or 0


def _renamed(source: str, names: Mapping[str, str]) -> str:
    """Return a definition in which global names are others.

    Raises ValueError where a function has such a name for something of its own.
    """
    tree = ast.parse(source)
    inner = {name for top in tree.body for node in ast.iter_child_nodes(top) for name in _bound(node)}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    if functions and inner & set(names):
        raise ValueError(f"{', '.join(sorted(inner & set(names)))} is the name of several things")
    lines = [line.encode() for line in source.splitlines()]
    places = [(n.lineno - 1, n.col_offset, n.id) for n in ast.walk(tree) if isinstance(n, ast.Name)]
    for each in functions:
        place = lines[each.lineno - 1].index(each.name.encode(), len("def "))
        places.append((each.lineno - 1, place, each.name))
    for line, column, name in sorted(places, reverse=True):
        if name in names:
            before, behind = lines[line][:column], lines[line][column + len(name) :]
            lines[line] = before + names[name].encode() + behind
    return b"\n".join(lines).decode()
