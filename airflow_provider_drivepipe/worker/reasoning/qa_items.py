"""Questions of videos: which are asked, and the items of training data that come of the answers.

Runs in DPE workers: standard library and pandas only. Every row that comes in gives at least one row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.worker.label_parse import encodable
from airflow_provider_drivepipe.worker.reasoning.letters import (
    LETTERS,
    chosen,
    names_others,
    relettered,
    same,
    shuffled,
    without_letters,
)
from airflow_provider_drivepipe.worker.reasoning.quality import (
    QUALITY_COLUMNS,
    QualityRules,
    measures,
)
from airflow_provider_drivepipe.worker.reasoning.times import (
    SLACK_MS,
    TimeRange,
    clock_times,
    in_video,
    read_range,
)
from airflow_provider_drivepipe.worker.reasoning.words import declines, lacks_answer, read_yes_no
from airflow_provider_drivepipe.worker.rows import OK_CELLS, expanded, failed_cells, text_of, unit_dtypes

TYPES_STAGE = "qa_types"
ITEMS_STAGE = "qa_parse"

TASKS = {
    "mcq": "mcq",
    "bcq": "bcq",
    "open_qa": "open_qa",
    "causal_linkage": "causal_linkage",
    "temporal_localization": "temporal_localization",
    "temporal_event_desc": "temporal_description",
    "scene_description": "scene_description",
    "event_summary": "video_summarization",
}
"""By type of question, the task that its items train."""
WHOLE_VIDEO = ("scene_description", "event_summary")
"""Types that ask about the whole video: their items have no times and need no reasoning."""
MODES = ("anomaly", "normal")

TYPE_COLUMNS: tuple[Column, ...] = (
    Column("qa_type", "string", "type of question, NULL for a failed video"),
    Column("qa_key", "string", "key of the prompt that asks, qa.<type>.<mode>"),
    Column("item_number", "bigint", "0-based place among the video's types, -1 for a failed video"),
)
ITEM_COLUMNS: tuple[Column, ...] = (
    Column("item_id", "string", "16 hex digits over video, type, number and content; NULL without an item"),
    Column("item_number", "bigint", "0-based place in the model's answer, -1 when no item could be read"),
    Column("task", "string", "what the item trains"),
    Column("question", "string", "the question, without options"),
    Column("options", "string", "JSON list of the options in their shuffled order, without letters"),
    Column("answer", "string", "full answer: of mcq '<letter>. <option>', of bcq 'Yes. <why>'"),
    Column("answer_short", "string", "of mcq the letter, of bcq the yes or no, else NULL"),
    Column("reasoning", "string", "how the answer follows; letters are those of the shuffled options"),
    Column("start_ms", "bigint", "start of what the item is about, NULL for the whole video"),
    Column("end_ms", "bigint", "its end; start and end are the answer of temporal_localization"),
    Column("item_said", "string", "what the model said, as JSON, of an item that failed; else NULL"),
    *QUALITY_COLUMNS,
)

_YES_NO = {"en": ("Yes. ", "No. "), "zh": ("是。", "否。")}
_SHOWN = 200
_LONGEST_SAID = 2_000_000


@dataclass(frozen=True)
class TypesJob:
    """What one call of :func:`qa_types` makes.

    :param types: of questions, in order.
    :param text: column without which there is nothing to ask about, the description.
    :param lineage: columns of the input that travel through.
    :param mode: of videos whose column ``mode`` says none.
    """

    types: tuple[str, ...]
    text: str
    lineage: tuple[str, ...]
    mode: str = "normal"


@dataclass(frozen=True)
class ItemsJob:
    """What one call of :func:`parse_items` makes.

    :param answer: column with the model's answer, JSON that fits the schema of the row's ``qa_type``.
    :param lineage: columns of the input that travel through; ``video_id``, ``qa_type`` and ``duration_ms``
        are read whether they do or not.
    :param language: en or zh, the language of yes and no.
    :param quality: what is measured against.
    """

    answer: str
    lineage: tuple[str, ...]
    language: str = "en"
    quality: QualityRules = field(default_factory=QualityRules)


class _Unusable(Exception):
    """Why an item, or a whole answer, is no training data."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class _Said:
    """An item as the model said it; ``yes`` is the answer where the place of the item says it."""

    fields: Mapping[str, Any]
    yes: bool | None = None


def qa_types(videos: Any, job: TypesJob) -> Any:
    """Return a row for each wanted type of question of each row of ``videos`` (a pandas DataFrame).

    A video without a text to ask about gives one row with ``item_number`` -1. Raises KeyError for an input
    without one of the job's columns.
    """

    def rows_of(video: Mapping[str, Any]) -> list[dict[str, Any]]:
        if not text_of(video[job.text]).strip():
            failed = failed_cells(TYPES_STAGE, Reason.EMPTY_INPUT, f"there is no text in {job.text}")
            return [{"item_number": -1, **failed}]
        mode = text_of(video.get("mode"))
        mode = mode if mode in MODES else job.mode
        return [
            {"qa_type": type_, "qa_key": f"qa.{type_}.{mode}", "item_number": number, **OK_CELLS}
            for number, type_ in enumerate(job.types)
        ]

    return expanded(videos, rows_of, TYPE_COLUMNS, job.lineage)


def type_dtypes(lineage_dtypes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every column that :func:`qa_types` gives, from those of lineage."""
    return unit_dtypes(TYPE_COLUMNS, lineage_dtypes)


def parse_items(answers: Any, job: ItemsJob) -> Any:
    """Return the items of ``answers`` (a pandas DataFrame), each a row; every answer gives at least one.

    A whole answer fails, as one row with ``item_number`` -1, when no item can be read from it:

    - ``empty_input``: there is no text; ``invalid_json``: it is no JSON;
    - ``schema_violation``: it holds no item, or the type of question is unknown;
    - ``not_visible``: the model abstained;
    - ``invalid_duration``: no time can be checked, for the video has no duration.

    An item fails alone, and the others of its answer are not touched. It keeps its number, has what the model
    said in ``item_said``, and no question:

    - ``schema_violation``: a text is missing, or two options are the same;
    - ``refusal``, ``not_visible``: it refuses, or says in the answer's place that nothing can be seen;
    - ``answer_outside_options``: its answer is none of the options, or neither yes nor no, or not the one of
      the two that was asked for;
    - ``time_outside_video``: its times, or the clocks in its texts, are not in the video, it does not start
      before it ends, or the question of a description is about other times;
    - ``names_option_letter``: options are called by letter or place, and it is not certain which are meant.

    Raises KeyError for an input without one of the job's columns.
    """

    def rows_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
        return _items_of(row, job)

    return expanded(answers, rows_of, ITEM_COLUMNS, job.lineage)


def item_dtypes(lineage_dtypes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dtype of every column that :func:`parse_items` gives, from those of lineage."""
    return unit_dtypes(ITEM_COLUMNS, lineage_dtypes)


def _items_of(row: Mapping[str, Any], job: ItemsJob) -> list[dict[str, Any]]:
    video, type_ = text_of(row["video_id"]), text_of(row["qa_type"])
    task = TASKS.get(type_)
    try:
        said = _said(text_of(row[job.answer]), type_)
        duration = _duration(row["duration_ms"])
    except _Unusable as error:
        return [{"item_number": -1, "task": task, **_failed(error)}]
    made = []
    for number, one in enumerate(said):
        text = encodable(_json(one.fields))
        item_id = _hash([video, type_, number, text])
        base = {"item_id": item_id, "item_number": number, "task": task}
        try:
            cells = _item(one, type_, item_id, duration, job)
        except _Unusable as error:
            made.append({**base, "item_said": text[:_LONGEST_SAID], **_failed(error)})
            continue
        made.append({**base, **cells, **measures(video, str(task), cells, job.quality), **OK_CELLS})
    return made


def _said(text: str, type_: str) -> list[_Said]:
    """Return the items of an answer: one object, the two of a pair, or a list; raise where there is none."""
    if type_ not in TASKS:
        raise _Unusable(Reason.SCHEMA_VIOLATION, f"no type of question is called {type_[:_SHOWN]!r}")
    if not text.strip():
        raise _Unusable(Reason.EMPTY_INPUT, "there is no answer")
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Unusable(Reason.INVALID_JSON, f"not JSON: {text[:_SHOWN]}") from error
    if isinstance(answer, dict):
        if answer.get("abstain") is True:
            raise _Unusable(Reason.NOT_VISIBLE, "the model abstained: there is nothing to ask about")
        pair = [(answer[key], key == "yes") for key in ("yes", "no") if key in answer]
        if type_ == "bcq" and pair:
            return [_Said(_fields(one), yes) for one, yes in pair]
    items = answer if isinstance(answer, list) else [answer]
    if not any(items):
        raise _Unusable(Reason.SCHEMA_VIOLATION, f"the answer holds no item: {text[:_SHOWN]}")
    return [_Said(_fields(one)) for one in items]


def _fields(said: Any) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {"": said}


def _duration(value: Any) -> int:
    try:
        duration = int(value)
    except (TypeError, ValueError, OverflowError):
        duration = 0
    if duration <= 0:
        raise _Unusable(Reason.INVALID_DURATION, "the video has no duration, so no time can be checked")
    return duration


def _item(said: _Said, type_: str, item_id: str, duration_ms: int, job: ItemsJob) -> dict[str, Any]:
    """Return the own cells of an item; raise where it is no training data."""
    fields = said.fields
    question = _text(fields, "question")
    reasoning = _text(fields, "reasoning", needed=type_ not in WHOLE_VIDEO)
    for text in (question, reasoning):
        if declines(text):
            raise _Unusable(Reason.REFUSAL, text)
    cells: dict[str, Any] = {"question": question, "reasoning": reasoning or None}
    if type_ == "mcq":
        cells |= _choice(fields, question, reasoning, item_id)
    elif type_ == "bcq":
        cells |= _yes_or_no(said, job.language)
    elif type_ != "temporal_localization":
        cells["answer"] = _answer(_text(fields, "answer"))
    if type_ not in WHOLE_VIDEO:
        part = _part(fields, type_, duration_ms)
        cells |= {"start_ms": part.start_ms, "end_ms": part.end_ms}
        if type_ == "temporal_event_desc":
            _check_window(question, part)
    # What a scene shows may be a clock.
    if type_ != "scene_description":
        _check_clocks((question, cells.get("answer"), reasoning), duration_ms)
    return cells


def _text(fields: Mapping[str, Any], name: str, *, needed: bool = True) -> str:
    value = fields.get(name)
    text = encodable(value).strip() if isinstance(value, str) else ""
    if needed and not text:
        raise _Unusable(Reason.SCHEMA_VIOLATION, f"the item has no {name}")
    return text


def _answer(text: str) -> str:
    """Return a text that answers; raise for one that does not."""
    reason = lacks_answer(text)
    if reason is not None:
        raise _Unusable(reason, text)
    return text


def _choice(fields: Mapping[str, Any], question: str, reasoning: str, item_id: str) -> dict[str, Any]:
    given = fields.get("options")
    texts = (
        [encodable(one).strip() for one in given if isinstance(one, str)] if isinstance(given, list) else []
    )
    if not 2 <= len(texts) <= len(LETTERS) or len(texts) != len(given or ()):
        raise _Unusable(Reason.SCHEMA_VIOLATION, f"the options are no list of 2 to {len(LETTERS)} texts")
    options, letters = without_letters(texts)
    if not all(options) or len({same(option) for option in options}) < len(options):
        raise _Unusable(Reason.SCHEMA_VIOLATION, "two options are the same, or one is empty")
    answer = _text(fields, "answer")
    right = chosen(answer, options, letters)
    if right is None:
        raise _Unusable(lacks_answer(answer) or Reason.ANSWER_OUTSIDE_OPTIONS, f"no option is {answer!r}")
    _answer(options[right])
    if any(names_others(text, letters) for text in (question, *options)):
        raise _Unusable(
            Reason.NAMES_OPTION_LETTER, "the question or an option calls options by letter or place"
        )
    order = shuffled(options, item_id)
    moves = {letters[at]: LETTERS[place] for place, at in enumerate(order)}
    moved = relettered(reasoning, moves, letters[right])
    if moved is None:
        raise _Unusable(Reason.NAMES_OPTION_LETTER, reasoning)
    letter = moves[letters[right]]
    return {
        "options": _json([options[at] for at in order]),
        "answer": f"{letter}. {options[right]}",
        "answer_short": letter,
        "reasoning": moved,
    }


def _yes_or_no(said: _Said, language: str) -> dict[str, Any]:
    """Return yes or no and why: by the place of the item in a pair, else by its own answer."""
    name = "answer" if said.yes is None else "explanation"
    text = _text(said.fields, name)
    read = read_yes_no(text)
    if read is None or said.yes is not None:
        reason = lacks_answer(text)
        if reason is not None:
            raise _Unusable(reason, text)
    yes = read if said.yes is None else said.yes
    if yes is None:
        raise _Unusable(Reason.ANSWER_OUTSIDE_OPTIONS, f"neither yes nor no: {text}")
    if read is not None and read != yes:
        raise _Unusable(Reason.ANSWER_OUTSIDE_OPTIONS, f"asked for as a {'yes' if yes else 'no'}: {text}")
    word = _YES_NO[language][0 if yes else 1]
    return {"answer": text if read is not None else word + text, "answer_short": word.strip(" .。")}


def _part(fields: Mapping[str, Any], type_: str, duration_ms: int) -> TimeRange:
    said = read_range(fields)
    if said is None and type_ == "temporal_localization":
        said = read_range(fields.get("answer"))
    if said is None:
        raise _Unusable(Reason.TIME_OUTSIDE_VIDEO, "no start and end that can be read")
    part = in_video(said, duration_ms)
    if part is None:
        shown = f"{said.start_ms} to {said.end_ms} ms"
        raise _Unusable(Reason.TIME_OUTSIDE_VIDEO, f"{shown} is no part of a video of {duration_ms} ms")
    return part


def _check_window(question: str, part: TimeRange) -> None:
    """Raise unless a question that has only times to tell what it is about names those of the item."""
    asked = clock_times(question)
    if not asked:
        raise _Unusable(Reason.TIME_OUTSIDE_VIDEO, f"the question names no time: {question}")
    if min(asked) < part.start_ms - SLACK_MS or max(asked) > part.end_ms + SLACK_MS:
        raise _Unusable(Reason.TIME_OUTSIDE_VIDEO, f"the question names times beside the item's: {question}")


def _check_clocks(texts: Sequence[str | None], duration_ms: int) -> None:
    for text in texts:
        if text and any(time > duration_ms + SLACK_MS for time in clock_times(text)):
            raise _Unusable(Reason.TIME_OUTSIDE_VIDEO, f"a time behind the end of {duration_ms} ms: {text}")


def _failed(error: _Unusable) -> dict[str, str]:
    return failed_cells(ITEMS_STAGE, error.reason, " ".join(encodable(str(error)).split()))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _hash(key: object) -> str:
    return hashlib.sha256(_json(key).encode()).hexdigest()[:16]
