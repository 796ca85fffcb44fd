"""The built-in text reader: answers prompts with sentences and times that stand in them."""

from __future__ import annotations

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
    "looks in the prompt for times and for JSON objects with start_ms, end_ms and a text, and puts what it "
    "finds into the keys that the prompt asks for (stated as '- key: values' below 'Its keys and their "
    "allowed values:'); without such keys it repeats what it has found. The same prompt always gets the "
    "same answer, in English. Good for: trying a pipeline end to end. Cannot: understand anything, reason, "
    "translate. Options of its questions other than the right one are fixed sentences, and where nothing "
    "tells one option from another it guesses. Do not train on it. Token counts are estimates."
)

_UNITS = {"ms": 1, "毫秒": 1, "s": 1000, "sec": 1000, "second": 1000, "seconds": 1000, "秒": 1000}
_TIME = (
    rf"(\d{{1,3}}:[0-5]\d|\d+(?:\.\d+)?)[ ]?({'|'.join(sorted(_UNITS, key=len, reverse=True))})?(?!\w|:\d)"
)
_AT = re.compile(_TIME)
_DURATION = re.compile(rf"(?:duration|length|lasts|时长)[^\d\n]{{0,20}}\n?{_TIME}", re.IGNORECASE)
_SPAN = re.compile(rf"[^\w\n]*(?:\w+ \d+ )?[\[(]?{_TIME} ?(?:-|–|to|至) ?{_TIME}[\]): ]*(.+)")
_OBJECT = re.compile(r"\{[^{}]*\}")
_SUDDEN = re.compile(r"sudden|brak|cut.in|collision|crash|abrupt|突然|急刹|急停|加塞|碰撞", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:no|not|nothing|without|never)\b|没有|未|无", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
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
    objects = list(_objects(text))
    spans = [*_timed(objects), *_lines(text)]
    duration = stated_duration(text) or max((span.end_ms for span in spans), default=0)
    within = {replace(span, end_ms=min(span.end_ms, duration)) for span in spans}
    spans = sorted(
        (span for span in within if 0 <= span.start_ms < span.end_ms),
        key=lambda s: (s.start_ms, s.end_ms, s.text),
    )
    told = [value for one in objects for value in one.values() if isinstance(value, str)]
    told = [text for text in told if len(text) >= _SHORTEST_TEXT]
    told = told or [span.text for span in spans] or [_last_paragraph(text)]
    sentences = [sentence for each in told for sentence in _SENTENCE.split(each) if sentence]
    sudden = next((s for s in sentences if _SUDDEN.search(s) and not _NEGATED.search(s)), None)
    summary = " ".join(dict.fromkeys(sentences))[:1000]
    return Evidence(
        summary=f"Local stand-in's reading of the text: {summary}",
        spans=tuple(spans) or (Span(0, duration, sentences[0] if sentences else "nothing is told"),),
        moment_ms=_moment(sudden, spans, duration),
        sudden=sudden is not None,
        reason=sudden or "The text tells of no sudden change.",
    )


def stated_duration(text: str) -> int:
    """Return the longest duration that a text states, in milliseconds; 0 without one."""
    # Smaller numbers without a unit count words or sentences.
    return max(
        (ms for match in _DURATION.finditer(text) if (ms := _ms(match[1], match[2])) >= 1000), default=0
    )


def _objects(text: str) -> Iterator[dict[str, Any]]:
    for match in _OBJECT.finditer(text):
        try:
            yield json.loads(match[0])
        except (ValueError, RecursionError):
            continue


def _timed(objects: list[dict[str, Any]]) -> Iterator[Span]:
    for one in objects:
        start, end = one.get("start_ms"), one.get("end_ms")
        texts = [value for value in one.values() if isinstance(value, str)]
        if isinstance(start, int) and isinstance(end, int) and texts:
            yield Span(start, end, max(texts, key=len))


def _lines(text: str) -> Iterator[Span]:
    """Yield lines that begin with two times, such as ``Chunk 2 (5000-10000 ms): …``."""
    for line in text.split("\n"):
        match = _SPAN.fullmatch(line)
        if match and (match[4] or ":" in match[3]):
            yield Span(_ms(match[1], match[2] or match[4]), _ms(match[3], match[4]), match[5])


def _ms(number: str, unit: str | None) -> int:
    minutes, colon, seconds = number.partition(":")
    if colon:
        return (int(minutes) * 60 + int(seconds)) * 1000
    return round(float(number) * _UNITS[unit or "ms"])


def _last_paragraph(text: str) -> str:
    return text.strip().rpartition("\n\n")[2]


def _moment(sudden: str | None, spans: list[Span], duration: int) -> int:
    """Return the time in a sentence, else the middle of the span that tells it, else of everything."""
    for match in _AT.finditer(sudden or ""):
        if (match[2] or ":" in match[1]) and _ms(match[1], match[2]) <= duration:
            return _ms(match[1], match[2])
    within = (span for span in spans if sudden is not None and sudden in span.text)
    span = next(within, Span(0, duration, ""))
    return (span.start_ms + span.end_ms) // 2
