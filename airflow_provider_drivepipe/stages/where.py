"""Conditions on rows as people write them: ``weather = 'rainy' and frame_time_ms >= 2000``.

    condition:   comparison { "and" comparison }
    comparison:  name ( = | != | < | <= | > | >= ) value  |  name in ( value { , value } )
    value:       'text' or "text", with the quote doubled inside; a number; true, false

A name is a column of the table, or a property of the label where the label has a schema. What comes out is
data for workers: no part of a condition becomes SQL or code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema
from airflow_provider_drivepipe.worker.frame_search import LABEL, Comparison

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\")|(?P<number>[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\b|"
    r"(?P<op>!=|<=|>=|=|<|>)|(?P<word>[A-Za-z_]\w*)|(?P<mark>[(),])|(?P<other>\S))"
)
_NUMBERS = ("bigint", "int", "smallint", "tinyint", "double", "float", "integer", "number")
_KINDS = {"string": "text", "boolean": "boolean", **dict.fromkeys(_NUMBERS, "number")}
_EXAMPLES = {"text": "a text in quotes", "number": "a number", "boolean": "true or false"}
_NOT_FILTERED = frozenset({"image_embedding", "label_embedding"})


class WhereError(ValueError):
    """A condition that cannot be used; ``problems`` lists everything that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True)
class _Name:
    """What a name stands for: its kind of value, empty where it cannot be compared, and allowed values."""

    of_label: bool
    kind: str
    type: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str


def read_where(text: str, columns: Sequence[Column], label_schema: str | None) -> tuple[Comparison, ...]:
    """Return the comparisons of a condition; none for an empty one.

    :param columns: those of the table.
    :param label_schema: name or JSON of the schema of ``label_text``, None where labels have none.

    Raises WhereError that names every problem.
    """
    if not text.strip():
        return ()
    names = _names(columns, label_schema)
    found: list[Comparison] = []
    problems: list[str] = []
    for tokens in _comparisons(text):
        try:
            found.append(_comparison(tokens, names))
        except WhereError as error:
            problems += error.problems
    if problems:
        raise WhereError(list(dict.fromkeys(problems)))
    return tuple(found)


def _names(columns: Sequence[Column], label_schema: str | None) -> Mapping[str, _Name]:
    own = {c.name: _Name(False, _KINDS.get(c.type, ""), c.type) for c in columns}
    own = {name: known for name, known in own.items() if name not in _NOT_FILTERED}
    if label_schema is None or LABEL not in own:
        return own
    properties = load_answer_schema(label_schema).get("properties", {})
    return {**{name: _property(content) for name, content in properties.items()}, **own}


def _property(content: Mapping[str, Any]) -> _Name:
    type_ = _type(content)
    one = content.get("items", {}) if type_ == "array" else content
    values = tuple(value for value in one.get("enum", ()) if isinstance(value, str))
    of = f"list of {_type(one)}s" if type_ == "array" else type_
    return _Name(True, _KINDS.get(_type(one), ""), of, values)


def _type(content: Mapping[str, Any]) -> str:
    type_ = content.get("type", "")
    return next((each for each in type_ if each != "null"), "") if isinstance(type_, list) else str(type_)


def _comparisons(text: str) -> Iterator[list[_Token]]:
    """Yield the tokens of each comparison."""
    tokens: list[_Token] = []
    for match in _TOKEN.finditer(text):
        token = _Token(str(match.lastgroup), match[str(match.lastgroup)])
        if token.kind == "word" and token.text.lower() == "and":
            yield tokens
            tokens = []
        else:
            tokens.append(token)
    yield tokens


def _comparison(tokens: Sequence[_Token], names: Mapping[str, _Name]) -> Comparison:
    said = " ".join(token.text for token in tokens)
    match [(token.kind, token.text) for token in tokens]:
        case []:
            raise WhereError(["a comparison is missing beside 'and'"])
        case [("word", name), ("op", op), ("text" | "number" | "word", _)]:
            values = [tokens[2]]
        case [("word", name), ("word", word), ("mark", "("), *_, ("mark", ")")] if word.lower() == "in":
            op, values = "in", _listed(tokens[3:-1], said)
        case _:
            raise WhereError(
                [f"{said!r} is no comparison: write name = 'text', name >= 3 or name in ('a', 'b')"]
            )
    known = names.get(name)
    if known is None:
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
        raise WhereError([f"there is no {name!r}; {hint}"])
    if not known.kind:
        raise WhereError([f"{name} is of type {known.type}, which cannot be compared"])
    read = [_value(token, name, known) for token in values]
    if known.kind == "boolean" and op not in ("=", "!=", "in"):
        raise WhereError([f"{name} is true or false: {op} says nothing of it"])
    return Comparison(name, known.of_label, op, tuple(read))


def _listed(tokens: Sequence[_Token], said: str) -> list[_Token]:
    """Return the values of a list: every other token, with commas between."""
    values, commas = tokens[::2], tokens[1::2]
    if len(tokens) % 2 == 0 or any(c.text != "," for c in commas) or any(v.kind == "mark" for v in values):
        raise WhereError([f"{said!r} is no list: write name in ('a', 'b')"])
    return list(values)


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else float(text)


def _value(token: _Token, name: str, known: _Name) -> str | float | bool:
    value: str | float | bool
    match token.kind:
        case "text":
            kind, quote = "text", token.text[0]
            value = token.text[1:-1].replace(quote * 2, quote)
        case "number":
            kind, value = "number", _number(token.text)
        case "word" if token.text.lower() in ("true", "false"):
            kind, value = "boolean", token.text.lower() == "true"
        case _:
            raise WhereError([f"{token.text!r} is no value: texts stand in quotes"])
    if kind != known.kind:
        raise WhereError([f"{name} is of type {known.type}: compare it with {_EXAMPLES[known.kind]}"])
    if known.values and value not in known.values:
        close = get_close_matches(str(value), known.values, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known.values)}"
        raise WhereError([f"{name} is never {value!r}; {hint}"])
    return value
