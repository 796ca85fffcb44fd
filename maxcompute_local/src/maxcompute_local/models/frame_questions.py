"""Questions on frames of a video, by rules alone: which frames are needed, what those that are shown answer.

The prompt states a question and, one a line, options (``A. rain``); before each frame stand its number and
its time (``Frame 12 (00:06.0)``).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from maxcompute_local.models.asked_shape import Shape
from maxcompute_local.models.footage_measures import Seen, evidence
from maxcompute_local.models.images import Image
from maxcompute_local.models.notions import Notion, group_of, named, seen
from maxcompute_local.models.shaped_answers import clock
from maxcompute_local.models.videos import Footage, Frame

UNKNOWN = "unknown"

_ANSWER_KEYS = {"reasoning", "answer", "frames"}
_NUMBERED = re.compile(r"(\d+)\D{0,6}[(（](\d{1,3}:[0-5]\d(?:\.\d+)?)[)）]")
_ASKED = re.compile(
    r"(?:^|\n)(?:Question|问题)[:：] *(.+?)(?=\n(?:Options|选项)[:：]|\n[A-H][.．、:：)]|\n\n|$)", re.DOTALL
)
_OPTION = re.compile(r"^([A-H])[.．、:：)] ?(.+)$", re.MULTILINE)
_AT = re.compile(r"(?<![\d:.])(\d{1,3}):([0-5]\d(?:\.\d+)?)|(\d+(?:\.\d+)?) ?(?:s\b|sec|秒)", re.IGNORECASE)
_YES = re.compile(r"(?:yes|true)\b|是|对|有|会", re.IGNORECASE)
_NO = re.compile(r"(?:no|false)\b|不|否|没", re.IGNORECASE)
_SUBJECTS = {
    Notion.RAIN: re.compile(r"\bweather\b|天气", re.IGNORECASE),
    Notion.DAY: re.compile(r"\btime of day\b|一天中|什么时段", re.IGNORECASE),
    Notion.CITY: re.compile(r"\b(?:kind|type|sort) of road\b|\bwhere\b|什么道路|哪里", re.IGNORECASE),
    Notion.LIGHT: re.compile(r"\btraffic\b(?! light| sign)|车流", re.IGNORECASE),
    Notion.WET: re.compile(r"\broad surface\b|路面", re.IGNORECASE),
}
"""What open questions ask for, by one notion of the group."""
_MOST_REQUESTS = 4
_NEAR_MS = 1500
"""A frame further from the moment that a question is about does not show it."""
_SUDDEN = {Notion.STOP: "sudden stop", Notion.CUT_IN: "suddenly appears"}
_FEWEST_FOR_MOTION = 4
_WIDEST_GAP_MS = 1200
"""Frames further apart than this tell nothing of sudden changes."""


@dataclass(frozen=True)
class Question:
    """A question and its options by letter; no options for an open one."""

    text: str
    options: Mapping[str, str]

    @property
    def moment_ms(self) -> int | None:
        """The moment that it is about, None without one."""
        match = _AT.search(self.text)
        if match is None:
            return None
        if match[3]:
            return round(float(match[3]) * 1000)
        return int(match[1]) * 60_000 + round(float(match[2]) * 1000)


def read(text: str) -> Question:
    """Return the question of a prompt; its text is empty where the prompt states none."""
    asked = _ASKED.search(text)
    if asked is None:
        return Question("", {})
    return Question(asked[1].strip(), dict(_OPTION.findall(text, asked.start())))


def numbered(before: str) -> tuple[int, int] | None:
    """Return number and time, in milliseconds, of the frame that a text announces last."""
    found = _NUMBERED.findall(before)
    if not found:
        return None
    minutes, seconds = found[-1][1].split(":")
    return int(found[-1][0]), int(minutes) * 60_000 + round(float(seconds) * 1000)


def asks_for_answer(shape: Shape) -> bool:
    """Return whether a shape is that of an answer with the frames that it rests on."""
    return shape.fields.keys() == _ANSWER_KEYS


def asks_for_plan(shape: Shape) -> bool:
    """Return whether a shape is that of frames to look for."""
    requests = shape.fields.get("requests")
    return requests is not None and "reference_image_id" in _request_of(requests).fields


def names_people(question: Question) -> bool:
    """Return whether people matter to a question; to find them takes long."""
    return any(Notion.PERSON in named(text) for text in (question.text, *question.options.values()))


def plan(
    shape: Shape, question: Question, frames: Sequence[Frame], numbers: Sequence[int], tag: Tagger
) -> dict[str, Any]:
    """Return requests, one for each notion that the question or its options name.

    The frame named beside it is one that shows the notion, else any: the one nearest to the moment that the
    question is about, else to the middle.
    """
    asked = shape.fields["requests"]
    texts = [question.text, *question.options.values()]
    wanted: list[Notion | None] = list(
        dict.fromkeys(notion for text in texts for notion in sorted(named(text)))
    )
    labels = [seen(tag(frame.picture)) for frame in frames]
    moment = frames[len(frames) // 2].ms if question.moment_ms is None and frames else question.moment_ms
    requests = []
    for notion in wanted[: asked.most or _MOST_REQUESTS] or [None]:
        showing = [place for place, label in enumerate(labels) if notion in label] or range(len(frames))
        place = min(showing, key=lambda place: abs(frames[place].ms - (moment or 0)), default=None)
        prompt = question.text
        if notion is not None:
            beside = [] if place is None else sorted(labels[place] - set(group_of(notion)))
            prompt = f"A view from a car: {', '.join([notion, *beside])}"
        requests.append({"reference_image_id": 0 if place is None else numbers[place], "prompt": prompt})
    return {"requests": [_only(_request_of(asked), request) for request in requests]}


def answer(
    question: Question,
    footage: Footage | None,
    numbers: Sequence[int],
    tag: Tagger,
    look_of: Callable[[dict[str, Any]], Look],
) -> dict[str, Any]:
    """Return reasoning, a letter (of an open question a text) or ``unknown``, and the frames that show it.

    :param footage: None without a frame: then only the words of the question can tell.
    """
    if footage is None:
        telling = [
            letter
            for letter, text in question.options.items()
            if named(text) and named(text) <= named(question.text)
        ]
        if len(telling) == 1:
            said = "Local stand-in: the question itself says so; no frame was shown."
            return {"reasoning": said, "answer": telling[0], "frames": []}
        return _unknown("no frame is shown.")
    by_notion = _where(question, footage, tag, look_of)
    if question.options:
        right = [letter for letter, text in question.options.items() if _fits(text, question, by_notion)]
        if len(right) != 1:
            return _unknown("the measures of the frames do not tell the options apart.")
        said = right[0]
        wanted = named(question.options[said]) or named(question.text)
    else:
        subjects = {notion for notion, words in _SUBJECTS.items() if words.search(question.text)}
        wanted = named(question.text) | subjects
    about = {other for notion in wanted for other in group_of(notion)}
    shown = sorted(about & by_notion.keys())
    if not shown:
        return _unknown("what is asked for cannot be measured, or no frame shows it.")
    places = sorted({place for notion in shown for place in by_notion[notion]})
    when = ", ".join(f"{numbers[place]} ({clock(footage.frames[place].ms)})" for place in places[:4])
    told = ", ".join(shown)
    return {
        "reasoning": f"Local stand-in, by measures of light, colour, lines and motion: {told}; see {when}.",
        "answer": said if question.options else told,
        "frames": [numbers[place] for place in places],
    }


Tagger = Callable[[Image], dict[str, Any]]
"""Labels a picture as ``driving-scene/v1`` has it."""
Look = Callable[[Image], Seen]


def _request_of(requests: Shape) -> Shape:
    return requests.items or Shape("object")


def _only(shape: Shape, request: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in request.items() if name in shape.fields}


def _where(
    question: Question, footage: Footage, tag: Tagger, look_of: Callable[[dict[str, Any]], Look]
) -> dict[Notion, list[int]]:
    """Return the places of the frames that show each notion: of a group, the one that most of them show.

    Of a question about a moment, the frame nearest to it counts alone, if it is near enough.
    """
    frames, moment = footage.frames, question.moment_ms
    places = list(range(len(frames)))
    if moment is not None:
        places = sorted(places, key=lambda place: abs(frames[place].ms - moment))[:1]
        places = [place for place in places if abs(frames[place].ms - moment) <= _NEAR_MS]
    labels = {place: tag(frames[place].picture) for place in places}
    shown = {place: seen(label) for place, label in labels.items()}
    counts = Counter(notion for notions in shown.values() for notion in notions)
    found = {
        notion: [place for place in places if notion in shown[place]]
        for notion, count in counts.items()
        if count == max(counts[other] for other in group_of(notion))
        and (count * 2 >= len(places) or len(group_of(notion)) == 1)
    }
    label = next((label for label in labels.values() if not label["abstain"]), None)
    if moment is None and label is not None and _dense(frames):
        found |= _sudden(footage, label, look_of(label))
    return found


def _dense(frames: Sequence[Frame]) -> bool:
    gaps = [later.ms - earlier.ms for earlier, later in itertools.pairwise(frames)]
    return len(frames) >= _FEWEST_FOR_MOTION and max(gaps) <= _WIDEST_GAP_MS


def _sudden(footage: Footage, label: dict[str, Any], look: Look) -> dict[Notion, list[int]]:
    measured = evidence(footage, label, look)
    nearest = min(
        range(len(footage.frames)), key=lambda place: abs(footage.frames[place].ms - measured.moment_ms)
    )
    for notion, words in _SUDDEN.items():
        if measured.sudden and words in measured.reason:
            return {notion: [nearest]}
    return {} if measured.sudden else {Notion.CALM: list(range(len(footage.frames)))}


def _fits(option: str, question: Question, by_notion: Mapping[Notion, Sequence[int]]) -> bool | None:
    """Return whether an option is what is seen, None where that cannot be told."""
    says_yes, says_no = bool(_YES.match(option)), bool(_NO.match(option))
    own = named(option)
    if own:
        return _shown(own, by_notion)
    if says_yes or says_no:
        shown = _shown(named(question.text), by_notion)
        return None if shown is None else shown is says_yes
    return None


def _shown(wanted: frozenset[Notion], by_notion: Mapping[Notion, Sequence[int]]) -> bool | None:
    """Return whether all notions are seen; None where one of them cannot be told."""
    verdicts: set[bool | None] = set()
    for notion in wanted:
        group = [other for other in group_of(notion) if other in by_notion]
        verdicts.add(notion in group if group else None)
    if False in verdicts:
        return False
    return None if not verdicts or None in verdicts else True


def _unknown(why: str) -> dict[str, Any]:
    return {"reasoning": f"Local stand-in: {why}", "answer": UNKNOWN, "frames": []}
