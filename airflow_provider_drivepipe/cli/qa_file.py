"""The data file of a video QA evaluation: a JSON list of items with key, uid, question and answer.

The options stand in the question's text, as ``A. …``, ``(A) …`` or ``A) …``, each on a line or all in one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_provider_drivepipe.cli.errors import CommandError

LETTERS = "ABCDEFGH"
_SHOWN = 20
_STYLES = {
    "(A)": re.compile(r"[(（]([A-H])[)）]"),
    "A)": re.compile(r"(?<![A-Za-z0-9(（])([A-H])\s*[)）]"),
    "A.": re.compile(r"(?<![A-Za-z0-9.(（])([A-H])\s*[.．、:：](?![A-Za-z0-9]\.)"),
}
_SPACED = re.compile(r"[(（]\s*([A-H])\s*[)）]")
_HEADING = re.compile(r"(?:options|choices|选项|选择)\s*[:：]?\s*$", re.IGNORECASE)
_BETWEEN = " \t\r\n,，;；"


@dataclass(frozen=True)
class Question:
    """A question as its table has it.

    :param key: the video, as the file names it.
    :param options: letter to text, in order; none for an open question.
    :param answer: a letter, or for an open question a text; None where it is not known.
    :param evidence: start and end in milliseconds of what shows the answer, None where not annotated.
    """

    question_id: str
    key: str
    question: str
    options: Mapping[str, str] = field(hash=False)
    answer: str | None
    category: str | None = None
    evidence: tuple[int, int] | None = None


def raise_problems(problems: Sequence[str], what: str) -> None:
    """Raise CommandError that names all problems, when there are any."""
    if problems:
        shown = [*problems[:_SHOWN], *([f"and {len(problems) - _SHOWN} more"] if problems[_SHOWN:] else [])]
        raise CommandError(f"nothing was loaded, {what}:\n" + "\n".join(f"  {each}" for each in shown))


def read_items(file: Path) -> list[dict[str, Any]]:
    """Return the items as they are; raise CommandError when the file is no list of objects."""
    try:
        items = json.loads(file.read_text("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{file} is not JSON: {error}") from error
    if not isinstance(items, list) or not items or not all(isinstance(item, dict) for item in items):
        raise CommandError(f"{file} is not a list of objects, each with key, uid, question and answer")
    return items


def read_questions(file: Path) -> list[Question]:
    """Return the questions of a file; raise CommandError that names every item that cannot be used."""
    found: list[Question] = []
    problems: list[str] = []
    for number, item in enumerate(read_items(file), 1):
        try:
            found.append(_question(item))
        except ValueError as error:
            problems.append(f"item {number} (uid {item.get('uid')}): {error}")
    ids = [question.question_id for question in found]
    problems += [f"uid {each} stands more than once" for each in dict.fromkeys(ids) if ids.count(each) > 1]
    raise_problems(problems, f"{len(problems)} problems in {file}")
    return found


def _question(item: Mapping[str, Any]) -> Question:
    texts = {name: item.get(name) for name in ("key", "uid", "question")}
    if isinstance(texts["uid"], int):
        texts["uid"] = str(texts["uid"])
    missing = [name for name, text in texts.items() if not isinstance(text, str) or not text.strip()]
    if missing:
        raise ValueError(f"it has no {', '.join(missing)}")
    answer = item.get("answer")
    if answer is not None and not isinstance(answer, str):
        raise ValueError(f"its answer is no text: {answer!r}")
    answer = (answer or "").strip() or None
    question, options = split_options(str(texts["question"]))
    letter = (answer or "").strip("()（）.． ").upper()
    if options and answer is not None and letter not in options:
        raise ValueError(f"its answer {answer!r} is none of the options {', '.join(options)}")
    if not options and len(letter) == 1 and letter in LETTERS:
        raise ValueError(f"its answer is {answer}, but no options A, B, … were found in its question")
    return Question(
        str(texts["uid"]),
        str(texts["key"]),
        question,
        options,
        letter if options and answer else answer,
        item.get("category"),
        _evidence(item),
    )


def _evidence(item: Mapping[str, Any]) -> tuple[int, int] | None:
    window = item.get("evidence_start_ms"), item.get("evidence_end_ms")
    match window:
        case None, None:
            return None
        case int(start), int(end) if 0 <= start <= end:
            return start, end
    raise ValueError(f"its evidence is no time range in milliseconds: {window[0]!r} to {window[1]!r}")


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """Return the question and its options by letter; no options where no marks of any are there.

    Marks at the starts of lines go before others. Options begin at the last A and follow in order. Raises
    ValueError for marks that can be read in several ways, or are out of order, and for an option without a
    text.
    """
    text = _SPACED.sub(r"(\1)", text)
    for starts_line in (True, False):
        found = {
            name: marks for name, style in _STYLES.items() if (marks := _marks(text, style, starts_line))
        }
        if len(found) > 1:
            raise ValueError(f"its options are marked in several ways: {' and '.join(found)}")
        for marks in found.values():
            return _split(text, marks)
    return text.strip(), {}


def _marks(text: str, style: re.Pattern[str], starts_line: bool) -> list[re.Match[str]]:
    """Return the marks of a list of options, from the last A on; none where there is no A with a B behind."""
    marks = [
        mark
        for mark in style.finditer(text)
        if not starts_line or not text[: mark.start()].rpartition("\n")[2].strip()
    ]
    first = max((n for n, mark in enumerate(marks) if mark[1] == "A"), default=None)
    return marks[first:] if first is not None and len(marks) > first + 1 else []


def _split(text: str, marks: Sequence[re.Match[str]]) -> tuple[str, dict[str, str]]:
    letters = "".join(mark[1] for mark in marks)
    if letters != LETTERS[: len(letters)]:
        raise ValueError(f"its options are not in order: {', '.join(letters)}")
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    texts = [text[mark.end() : end].strip(_BETWEEN) for mark, end in zip(marks, ends, strict=True)]
    options = dict(zip(letters, texts, strict=True))
    empty = [letter for letter, option in options.items() if not option]
    if empty:
        raise ValueError(f"its option {', '.join(empty)} has no text")
    question = _HEADING.sub("", text[: marks[0].start()].strip()).strip()
    if not question:
        raise ValueError("there is no question before its options")
    return question, options


def options_text(options: Mapping[str, str]) -> str:
    """Return options one per line, ``A. red``."""
    return "\n".join(f"{letter}. {text}" for letter, text in options.items())


def keys_of(questions: Sequence[Question]) -> Iterator[str]:
    """Yield the videos that are asked about, each once, in order."""
    yield from dict.fromkeys(question.key for question in questions)
