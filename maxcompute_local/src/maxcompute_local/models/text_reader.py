"""The built-in text reader: answers prompts with sentences and times that stand in them."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from maxcompute_local.models.asked_shape import split_prompt
from maxcompute_local.models.backend import Backend, ChatAnswer, ChatRequest
from maxcompute_local.models.shaped_answers import Evidence, Span, fill
from maxcompute_local.models.tokens import limited, text_tokens

CARD = (
    "Text reader of the local cloud. Regular expressions; no neural network, no weights, no network. It "
    "looks in the prompt for times (also MM:SS.s) and for JSON objects with a text and start_ms and end_ms, "
    "or start_mmss and end_mmss, and puts what it finds into the keys that the prompt asks for (stated as '- "
    "key: values' below 'Its keys and their allowed values:'); without such keys it repeats what it has "
    "found. Times in its texts are MM:SS.s. The same prompt always gets the same answer, in English. Good "
    "for: trying a pipeline end to end. Cannot: understand anything, reason, translate. Options of its "
    "questions other than the right one are fixed sentences, and where nothing tells one option from another "
    "it guesses. Do not train on it. Token counts are estimates."
)

_UNITS = {"ms": 1, "毫秒": 1, "s": 1000, "sec": 1000, "second": 1000, "seconds": 1000, "秒": 1000}
_UNIT = "|".join(sorted(_UNITS, key=len, reverse=True))
_TIME = rf"(\d{{1,3}}:[0-5]\d(?:\.\d+)?|\d+(?:\.\d+)?)[ ]?({_UNIT})?(?!\w|:\d)"
_AT = re.compile(_TIME)
_DURATION = re.compile(
    rf"(?:duration|length|lasts|ends at|时长|开始，到)[^\d\n]{{0,20}}\n?{_TIME}", re.IGNORECASE
)
_SPAN = re.compile(rf"[^\w\n]*(?:\w+ \d+ )?[\[(]?{_TIME} ?(?:-|–|to|至) ?{_TIME}[\]): ]*(.+)")
_PART = re.compile(rf"(?:from|从) ?{_TIME} ?(?:to|到) ?{_TIME}")
_OPTIONS = re.compile(r'^\[".*"\]$', re.MULTILINE)
_SUDDEN = re.compile(r"sudden|brak|cut.in|collision|crash|abrupt|突然|急刹|急停|加塞|碰撞", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:no|not|nothing|without|never)\b|没有|未|无", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_HEAD = "Local stand-in"
_MARK = re.compile(r"</?\w+>")
_SHORTEST_TEXT = 8
"""Texts of fewer characters in JSON objects are words such as ``unknown``, not told of anything."""


class TextReader(Backend):
    """Backend that answers from the text of a request."""

    def chat(self, request: ChatRequest) -> ChatAnswer:
        """Return an object of the shape that is asked for, else a text."""
        text, shape = split_prompt(request.text)
        found = read(text)
        content = json.dumps(fill(shape, found), ensure_ascii=False) if shape else found.summary
        return limited(content, text_tokens(request.text), request.params.get("max_tokens"))


def read(text: str) -> Evidence:
    """Return what a text says; no time is beyond the duration that it states."""
    documents = list(_documents(text))
    objects = [one for document in documents for one in _within(document)]
    # Lines tell the same as events, more coarsely.
    spans = list(_timed(objects)) or list(_lines(text))
    duration = stated_duration(text) or max((span.end_ms for span in spans), default=0)
    within = {replace(span, end_ms=min(span.end_ms, duration)) for span in spans}
    spans = sorted(
        (span for span in within if 0 <= span.start_ms < span.end_ms),
        key=lambda s: (s.start_ms, s.end_ms, s.text),
    )
    told = [sentences for document in documents if (sentences := list(_sentences(document)))]
    nothing = not told and not spans
    told = told or [[span.text for span in spans] or [_last_paragraph(text)]]
    sudden = next((s for each in told for s in each if _SUDDEN.search(s) and not _NEGATED.search(s)), None)
    # The first document is an overview, or an account of everything.
    summary = " ".join(dict.fromkeys(told[0]))[:1000]
    head = "" if summary.startswith(_HEAD) else f"{_HEAD}'s reading of the text: "
    return Evidence(
        summary=f"{head}{summary}",
        spans=tuple(spans) or (Span(0, duration, told[0][0] or "nothing is told"),),
        moment_ms=_moment(sudden, spans, duration),
        sudden=sudden is not None,
        reason=sudden or "Nothing changes suddenly.",
        known={"abstain": nothing, "answer": _guess(text)},
    )


def stated_duration(text: str) -> int:
    """Return the longest duration that a text states, in milliseconds; 0 without one."""
    # Smaller numbers without a unit count words or sentences.
    return max(
        (ms for match in _DURATION.finditer(text) if (ms := _ms(match[1], match[2])) >= 1000), default=0
    )


def stated_part(text: str) -> tuple[int, int] | None:
    """Return start and end, in milliseconds, of the part of a video that a text is about, if it says so."""
    for match in _PART.finditer(text):
        if match[4] or ":" in match[3]:
            return _ms(match[1], match[2] or match[4]), _ms(match[3], match[4])
    return None


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects in a text that are in no other one."""
    decoder, at = json.JSONDecoder(), text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
            yield value
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)


def _within(value: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a JSON value, each before those within it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            value = list(value.values())
        if isinstance(value, list):
            waiting += reversed(value)


def _texts(one: dict[str, Any]) -> list[str]:
    return [value for key, value in one.items() if isinstance(value, str) and not key.endswith("_mmss")]


def _sentences(document: Any) -> Iterator[str]:
    for text in itertools.chain(*map(_texts, _within(document))):
        if len(text) >= _SHORTEST_TEXT:
            yield from filter(None, _SENTENCE.split(text))


def _timed(objects: list[dict[str, Any]]) -> Iterator[Span]:
    for one in objects:
        start, end, texts = _named_time(one, "start"), _named_time(one, "end"), _texts(one)
        if start is not None and end is not None and texts:
            yield Span(start, end, max(texts, key=len))


def _named_time(one: dict[str, Any], name: str) -> int | None:
    ms, said = one.get(f"{name}_ms"), one.get(f"{name}_mmss")
    match = _AT.fullmatch(said) if isinstance(said, str) else None
    if match:
        return _ms(match[1], match[2] or "s")
    return ms if isinstance(ms, int) else None


def _lines(text: str) -> Iterator[Span]:
    """Yield lines that begin with two times, such as ``Chunk 2 (5000-10000 ms): …``."""
    for line in text.split("\n"):
        match = _SPAN.fullmatch(line)
        if match and (match[4] or ":" in match[3]):
            told = [text for document in _documents(match[5]) for text in _texts(document)] or [match[5]]
            yield Span(_ms(match[1], match[2] or match[4]), _ms(match[3], match[4]), max(told, key=len))


def _ms(number: str, unit: str | None) -> int:
    minutes, colon, seconds = number.partition(":")
    if colon:
        return int(minutes) * 60_000 + round(float(seconds) * 1000)
    return round(float(number) * _UNITS[unit or "ms"])


def _guess(text: str) -> str | None:
    """Return one of the options, a JSON list on a line of its own, that a text gives; None without any."""
    for match in _OPTIONS.finditer(text):
        try:
            options = json.loads(match[0])
        except ValueError:
            continue
        return str(options[hashlib.sha256(text.encode(errors="replace")).digest()[0] % len(options)])
    return None


def _last_paragraph(text: str) -> str:
    return _MARK.sub("", text).strip().rpartition("\n\n")[2]


def _moment(sudden: str | None, spans: list[Span], duration: int) -> int:
    """Return the time in a sentence, else the middle of the span that tells it, else of everything."""
    for match in _AT.finditer(sudden or ""):
        if (match[2] or ":" in match[1]) and _ms(match[1], match[2]) <= duration:
            return _ms(match[1], match[2])
    within = (span for span in spans if sudden is not None and sudden in span.text)
    span = next(within, Span(0, duration, ""))
    return (span.start_ms + span.end_ms) // 2
