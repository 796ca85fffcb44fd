"""What a model answered to a question, and whether it is right. Runs in DPE workers: stdlib and pandas only.

Never a guess: an answer that names several options, none of them, or nothing that can be told apart from
prose, is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.worker.answers import Failure, declines
from airflow_provider_drivepipe.worker.label_normalise import fold
from airflow_provider_drivepipe.worker.label_parse import Found, encodable, objects, without_reasoning
from airflow_provider_drivepipe.worker.reasoning.letters import same
from airflow_provider_drivepipe.worker.reasoning.words import lacks_answer
from airflow_provider_drivepipe.worker.retrieval.choices import (
    answer_part,
    chosen_letter,
    claimed_letters,
    named_letters,
    plain,
)
from airflow_provider_drivepipe.worker.retrieval.frames import frame_numbers, shown_frames
from airflow_provider_drivepipe.worker.rows import Result, RowPart, text_of, with_results

READING_COLUMNS: tuple[Column, ...] = (
    Column("given_answer", "string", "letter of the chosen option, text of an open answer, NULL without one"),
    Column("given_reasoning", "string", "what the model says leads to it"),
    Column("given_frames", "string", "JSON list of the numbers of the shown frames that it rests on"),
    Column("abstained", "boolean", "whether the model says that it cannot tell"),
    Column("is_correct", "boolean", "whether it is right, NULL where none is known or nobody has judged it"),
    Column(
        "relied_on_evidence",
        "boolean",
        "whether a frame that it rests on is in the evidence, NULL without one",
    ),
)
_ANSWER = ("answer", "final_answer", "答案", "最终答案", "choice", "option")
_REASONING = ("reasoning", "reason", "explanation", "推理", "理由")
_FRAMES = ("frames", "frame", "evidence_frames", "帧")
_ABSTAINS = re.compile(
    r"\W*(?:(?:sorry|unfortunately|based on|from|given|with)\b[^.!?]{0,80}?[,\s]\s*)?"
    r"(?:(?:i|we|one|you|it)\s*(?:is|'s|'m|am|are)?\s+)?(?:simply |just |really )?"
    r"(?:can ?not|can't|could not|couldn't|unable to|impossible to|not possible to|do not|don't|no way to)\s+"
    r"(?:\w+ly )?(?:tell|say|determine|decide|know|judge)\b|"
    r"\W*the (?:\w+ )?(?:frames?|images?|pictures?) (?:do|does)(?: not|n't) (?:show|contain|provide|reveal)|"
    r"\W*(?:抱歉|对不起|很遗憾)?[,，\s]*(?:[^。，,]{0,20}?)(?:无法|不能|难以|无从)\w{0,8}?"
    r"(?:判断|确定|得知|辨认|分辨|看出|看清)|\W*我?(?:不知道|不确定|看不出)",
    re.IGNORECASE,
)
_JSON_STARTS = ("{", "[", "```")
_SHOWN = 200
_LONGEST_TEXT = 2_000_000


@dataclass(frozen=True)
class ReadingJob:
    """How answers are read.

    :param part: what they become, with the columns of ``READING_COLUMNS``; its result is ``abstained``.
    :param text: column with the model's answer.
    :param options: column with the options, a JSON object of letters and texts, empty for an open question.
    :param known: column with the known answer: a letter, or the text of an open question.
    :param frames: column with the lines of the frames that the model saw.
    :param evidence: column with the numbers of the shown frames in the evidence, separated by commas.
    :param annotated: column that is NULL where no evidence is annotated.
    """

    part: RowPart
    text: str = "answer_text"
    options: str = "options"
    known: str = "answer"
    frames: str = "frames"
    evidence: str = "evidence_frames"
    annotated: str = "evidence_start_ms"


@dataclass(frozen=True)
class Reading:
    """An answer.

    :param answer: the option's letter, or the text of an open answer; None where the model abstained.
    :param frames: numbers that it rests on, as the model said them.
    """

    answer: str | None
    reasoning: str = ""
    frames: tuple[int, ...] = ()

    @property
    def abstained(self) -> bool:
        """Whether the model says that it cannot tell."""
        return self.answer is None


def grade_answers(rows: Any, job: ReadingJob, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows``, a pandas DataFrame, with what was answered.

    For why an answer fails see :func:`read_answer`. An abstention is not correct where an answer is known. An
    open answer is correct when its text is the known one but for case, width, white space and punctuation at
    its ends; another text is not judged, and ``is_correct`` is NULL.
    """
    return with_results(rows, [_result(row, job) for row in rows.to_dict("records")], job.part, columns)


def read_answer(text: str, options: Mapping[str, str]) -> Reading | Failure:
    """Return what a model's answer means.

    Read are JSON objects with an answer, fenced or bare, whatever is around them; without one, a letter or an
    option's text alone, and prose that says which option is the answer. Without options the whole text is an
    open answer. Failures are

    - ``empty_response``: there is no text, or nothing in the answer's place;
    - ``refusal``: it declines;
    - ``ambiguous_answer``: it names several options;
    - ``answer_outside_options``: it names something that is none of them;
    - ``schema_violation``: JSON without an answer; ``invalid_json``: prose that names no option.

    :param options: letters and texts, empty for an open question.
    """
    said = without_reasoning(text[:_LONGEST_TEXT]).strip()
    if not said:
        return Failure(Reason.EMPTY_RESPONSE, "the model answered nothing")
    found = list(objects(said))
    answers = [(one, _member(one.value, _ANSWER)) for one in found]
    with_answer = [(one, answer) for one, answer in answers if answer is not _ABSENT]
    if with_answer:
        return _of_objects(with_answer, options)
    if any(one.value.get("abstain") is True or one.value.get("abstained") is True for one in found):
        return Reading(None)
    if not found:
        read = _of_text(said, options)
        if read is None or (not options and said.startswith(_JSON_STARTS)):
            return Failure(Reason.INVALID_JSON, f"neither JSON nor an option is named: {said[:_SHOWN]}")
        return read
    letters = claimed_letters(said, options) if options else set()
    if letters:
        return _only(letters, options)
    if any(declines(one.value, sees=True) for one in found):
        return Failure(Reason.REFUSAL, said)
    return Failure(Reason.SCHEMA_VIOLATION, f"the JSON object has no answer: {said[:_SHOWN]}")


_ABSENT = object()


def _of_objects(found: Sequence[tuple[Found, Any]], options: Mapping[str, str]) -> Reading | Failure:
    """Return what objects with an answer say together: the first, where all others say the same."""
    read = [_of_object(one, answer, options) for one, answer in found]
    first = read[0]
    meant = {one.answer for one in read if isinstance(one, Reading)}
    if len(meant) > 1:
        return Failure(Reason.AMBIGUOUS_ANSWER, "several answers stand beside each other, and differ")
    return next((one for one in read if isinstance(one, Reading)), first)


def _of_object(found: Found, answer: Any, options: Mapping[str, str]) -> Reading | Failure:
    if fold(found.twice) in _ANSWER:
        return Failure(Reason.AMBIGUOUS_ANSWER, f"the object holds two answers: {found.twice}")
    if isinstance(answer, list):
        answer = ", ".join(map(str, answer))
    if isinstance(answer, dict):
        return Failure(Reason.SCHEMA_VIOLATION, "the answer is an object, no text")
    said = "" if answer is None else str(answer).strip()
    if not said:
        return Failure(Reason.EMPTY_RESPONSE, "there is nothing in the answer's place")
    read = _of_text(said, options)
    if read is None:
        return Failure(Reason.ANSWER_OUTSIDE_OPTIONS, f"no option is {said[:_SHOWN]!r}")
    if isinstance(read, Failure):
        return read
    reasoning = _member(found.value, _REASONING)
    return Reading(
        read.answer,
        reasoning.strip()[:_LONGEST_TEXT] if isinstance(reasoning, str) else "",
        tuple(_frames(_member(found.value, _FRAMES))),
    )


def _of_text(said: str, options: Mapping[str, str]) -> Reading | Failure | None:
    """Return what a text answers, be it short or prose; None where there are options and it names none."""
    if options:
        letter = chosen_letter(said, options)
        letters = {letter} if letter else named_letters(said, options)
        # "The answer is A. No, the answer is B." starts like a letter with its text.
        letters |= claimed_letters(said, options)
        if letters:
            return _only(letters, options)
    return _lacking(said) or (None if options else Reading(encodable(said)))


def _only(letters: Collection[str], options: Mapping[str, str]) -> Reading | Failure:
    listed = ", ".join(sorted(letters))
    if len(letters) > 1:
        return Failure(Reason.AMBIGUOUS_ANSWER, f"several options are named: {listed}")
    if listed not in options:
        return Failure(
            Reason.ANSWER_OUTSIDE_OPTIONS, f"there is no option {listed}, only {', '.join(options)}"
        )
    return Reading(listed)


def _lacking(said: str) -> Reading | Failure | None:
    """Return an abstention or a refusal; None for a text that is neither."""
    text = answer_part(said).replace("\u2019", "'")
    if _ABSTAINS.match(text):
        return Reading(None)
    reason = lacks_answer(text)
    # "None" answers how many there are.
    if reason is None or same(text) == "none":
        return None
    return Failure(reason, said) if reason == Reason.REFUSAL else Reading(None)


def _member(value: Mapping[str, Any], names: Collection[str]) -> Any:
    """Return the member of an object that has one of the names, in any width and case."""
    for key, member in value.items():
        if fold(key) in names:
            return member
    return _ABSENT


def _frames(said: Any) -> list[int]:
    """Return the numbers of frames in a list of numbers or texts, or in a text."""
    if isinstance(said, list):
        return [number for one in said for number in _frames(one)]
    if isinstance(said, bool):
        return []
    if isinstance(said, int):
        return [said]
    if isinstance(said, float):
        return [int(said)] if said.is_integer() else []
    return frame_numbers(said) if isinstance(said, str) else []


def _result(row: Mapping[str, Any], job: ReadingJob) -> Result:
    options = json.loads(text_of(row[job.options]) or "{}")
    reading = read_answer(text_of(row[job.text]), options)
    if isinstance(reading, Failure):
        return {}, reading
    shown = shown_frames(text_of(row.get(job.frames)))
    frames = [number for number in shown if number in reading.frames]
    relied = None
    if shown and text_of(row.get(job.annotated)):
        evidence = {int(number) for number in text_of(row.get(job.evidence)).split(",") if number}
        relied = not evidence.isdisjoint(frames)
    return {
        "given_answer": reading.answer,
        "given_reasoning": reading.reasoning or None,
        "given_frames": json.dumps(frames),
        "abstained": reading.abstained,
        "is_correct": _is_correct(reading.answer, text_of(row.get(job.known)).strip(), bool(options)),
        "relied_on_evidence": relied,
    }, None


def _is_correct(given: str | None, known: str, has_options: bool) -> bool | None:
    if not known:
        return None
    if given is None or has_options:
        return given == known
    return True if same(plain(given)) == same(plain(known)) else None
