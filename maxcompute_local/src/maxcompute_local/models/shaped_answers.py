"""Fills the shape that a prompt asks for with what a stand-in has measured or read. Rules, nothing else."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maxcompute_local.models.asked_shape import Shape


@dataclass(frozen=True)
class Span:
    """What happens from ``start_ms`` to ``end_ms``."""

    start_ms: int
    end_ms: int
    text: str


@dataclass(frozen=True)
class Evidence:
    """All that a stand-in knows when it answers. Times are milliseconds within the duration."""

    summary: str
    spans: tuple[Span, ...]
    """In order, at least one."""
    moment_ms: int
    """Time of the largest sudden change."""
    sudden: bool
    """Whether that change is large."""
    reason: str
    """Why it is, or is not."""
    in_domain: bool = True
    """Whether it is about traffic."""
    known: Mapping[str, Any] = field(default_factory=dict)
    """Values by the usual names of their keys."""

    @property
    def span(self) -> Span:
        """The shortest span in which the moment is; the first one when it is in none."""
        within = (span for span in self.spans if span.start_ms <= self.moment_ms <= span.end_ms)
        return min(within, key=lambda span: span.end_ms - span.start_ms, default=self.spans[0])

    @property
    def after(self) -> Span:
        """The span behind that one; the same at the end."""
        return self.spans[min(self.spans.index(self.span) + 1, len(self.spans) - 1)]


_ABOUT_DOMAIN = re.compile("domain|relevant|valid|driving|traffic|road")
_ABOUT_REASON = re.compile("reason|analysis|cause|explanation")
_ANOMALY = re.compile("anomal|abnormal|incident|异常")
_NORMAL = re.compile("normal|none|正常")
_ANSWER = re.compile("(correct_)?(answer|option)(_index|_letter)?|correct")
_START, _END = re.compile("(^|_)start"), re.compile("(^|_)end")
_TIME = re.compile("(^|_)(start|end)|moment|time|_ms|_sec")
_CLOCK = "_mmss"
_MOMENT = re.compile("moment|时刻")
"""What is said of a start that is a moment, not where something begins."""
_WRONG = (
    "all vehicles drive backwards",
    "the road is empty of everything but snow",
    "a train crosses the road",
    "the picture stays black",
    "an aeroplane lands ahead",
    "the road ends at the sea",
    "a herd of elephants walks by",
)
"""Options that are never right: none of it is ever measured."""


def fill(shape: Shape, found: Evidence) -> dict[str, Any]:
    """Return an object of the shape."""
    answer = _object(shape, found, found.span, found.summary, 0)
    # An anomaly's moment is asked for, and there is none.
    if "abstain" in answer and "moment_mmss" in answer and not found.sudden:
        answer["abstain"] = True
    return answer


def clock(ms: int) -> str:
    """Return ``MM:SS.s``; a tenth that has begun counts."""
    minutes, tenths = divmod(ms // 100, 600)
    return f"{minutes:02}:{tenths // 10:02}.{tenths % 10}"


def _object(
    shape: Shape, found: Evidence, span: Span, text: str, number: int, name: str = ""
) -> dict[str, Any]:
    drafted = _question(shape.fields, found, span, number, name) if "question" in shape.fields else {}
    return {
        name: drafted[name] if name in drafted else _value(name, inner, found, span, text)
        for name, inner in shape.fields.items()
    }


def _value(name: str, shape: Shape, found: Evidence, span: Span, text: str) -> Any:
    known = found.known.get(name)
    if name.endswith(_CLOCK):
        return clock(_time(name, found, span))
    if shape.kind == "choice":
        return known if known in shape.options else _choice(name, shape.options, found)
    if shape.kind == "boolean":
        return known if isinstance(known, bool) else _is(name, found)
    if shape.kind in ("integer", "number"):
        return _number(name, shape, found, span)
    if shape.kind == "list":
        return _list(name, shape, found)
    if shape.kind == "object":
        return _object(shape, found, span, text, 0, name)
    return (known if isinstance(known, str) else _text(name, found, text))[: shape.most]


def _is(name: str, found: Evidence) -> bool:
    return found.in_domain if _ABOUT_DOMAIN.search(name) else found.sudden


def _choice(name: str, options: tuple[Any, ...], found: Evidence) -> Any:
    for option in options:
        said = str(option).lower()
        if said in ("yes", "no") and (said == "yes") == _is(name, found):
            return option
        if (_ANOMALY if found.sudden else _NORMAL).match(said):
            return option
    if "unknown" in options:
        return "unknown"
    # Nothing tells one from another: a guess, always the same one for the same text.
    return options[hashlib.sha256(found.summary.encode(errors="replace")).digest()[0] % len(options)]


def _number(name: str, shape: Shape, found: Evidence, span: Span) -> int:
    if _TIME.search(name):
        value = _time(name, found, span)
    else:
        known = found.known.get(name, 0)
        value = known if isinstance(known, int) else 0
    if "sec" in name:
        value //= 1000
    value = value if shape.least is None else max(value, shape.least)
    return value if shape.most is None else min(value, shape.most)


def _time(name: str, found: Evidence, span: Span) -> int:
    if _START.search(name):
        return span.start_ms
    return span.end_ms if _END.search(name) else found.moment_ms


def _list(name: str, shape: Shape, found: Evidence) -> list[Any]:
    items, known = shape.items, found.known.get(name)
    if isinstance(known, list):
        return known
    if items is None:
        return []
    if items.kind not in ("object", "text"):
        return [_value(name, items, found, found.span, found.summary)]
    count = max(len(found.spans), shape.least or 0)
    count = count if shape.most is None else min(count, shape.most)
    # Where there is no room for all spans, the one with the moment is among them.
    first = max(0, min(found.spans.index(found.span), len(found.spans) - count))
    spans = itertools.islice(itertools.cycle(found.spans), first, first + count)
    if items.kind == "text":
        return [span.text[: items.most] for span in spans]
    return [_object(items, found, span, span.text, number) for number, span in enumerate(spans)]


def _text(name: str, found: Evidence, text: str) -> str:
    if _ABOUT_REASON.search(name):
        return found.reason
    place = found.spans.index(found.span)
    if re.match("before|pre", name):
        return found.spans[max(place - 1, 0)].text
    if re.match("after", name):
        return found.after.text
    return found.span.text if re.search("moment|critical|event", name) else text


def _question(
    fields: Mapping[str, Shape], found: Evidence, span: Span, number: int, name: str
) -> dict[str, Any]:
    """Return question, options, answer and reasoning about a span, as far as the fields want them.

    ``name`` is the key under which all that stands; below ``no`` the question is one to be answered with no.
    """
    key = next((key for key in fields if _ANSWER.fullmatch(key)), "answer")
    answer = fields.get(key, Shape("text"))
    start, end = clock(span.start_ms), clock(span.end_ms)
    when = f"from {start} to {end}"
    seen = span.text.rstrip(".")
    told = f"What is seen {when} is this: {seen}."
    drafted: dict[str, Any] = {"reasoning": told, "explanation": told}
    listed = next((each for each in ("options", "choices") if each in fields), None)
    said = {str(option).lower() for option in answer.options}
    first = next((fields[each] for each in fields if _START.search(each)), None)
    if listed is not None:
        shape = fields[listed]
        count = len(shape.fields) or min(shape.least or 4, len(_WRONG) + 1)
        right = number % count
        texts = list(_WRONG[: count - 1])
        texts.insert(right, seen)
        drafted["question"] = f"Which of these is seen {when}?"
        drafted[listed] = dict(zip(shape.fields, texts, strict=True)) if shape.fields else texts
        if answer.kind == "integer":
            drafted[key] = right + (answer.least or 0)
        elif answer.kind == "choice":
            drafted[key] = answer.options[right % len(answer.options)]
        else:
            letters = (answer.most or 80) < 3
            drafted[key] = "ABCDEFGH"[right] if letters else seen
    elif answer.kind == "boolean" or said == {"yes", "no"} or name in ("yes", "no"):
        is_right = name == "yes" if name in ("yes", "no") else number % 2 == 0
        shown = seen if is_right else _WRONG[number % len(_WRONG)]
        drafted["question"] = f"Is this seen {when}: {shown}?"
        if answer.kind == "boolean":
            drafted[key] = is_right
        elif answer.options:
            drafted[key] = next(o for o in answer.options if (str(o).lower() == "yes") == is_right)
    elif key not in fields:
        drafted["question"] = f"When is this seen: {seen}?"
    elif first is None:
        drafted["question"] = "What does the whole video show?"
        drafted[key] = found.summary[: answer.most]
    elif _MOMENT.search(first.note):
        drafted["question"] = f"How is what happens at {start} linked to what happens at {end}?"
        drafted[key] = f"At {start}: {seen}. At {end}: {found.after.text.rstrip('.')}. One follows the other."
    else:
        drafted["question"] = f"What is seen {when}?"
        drafted[key] = seen[: answer.most]
    return drafted
