"""How good items are, as columns: lengths, language, and whether they need the video at all.

Runs in DPE workers: standard library and pandas only. No measure fails an item: rules that are switched off,
and items that failed, leave their columns NULL. Which items repeat others is not known here, where only a
part of them is; the hashes are what the export finds them by.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.worker.answers import Failure
from airflow_provider_drivepipe.worker.reasoning.letters import LETTERS, chosen
from airflow_provider_drivepipe.worker.reasoning.times import TimeRange, read_range
from airflow_provider_drivepipe.worker.reasoning.words import lacks_answer, read_yes_no
from airflow_provider_drivepipe.worker.rows import Result, RowPart, text_of, with_results

QUALITY_COLUMNS: tuple[Column, ...] = (
    Column("question_chars", "bigint", "characters of the question"),
    Column("answer_chars", "bigint", "characters of the full answer, NULL where the times are the answer"),
    Column("length_ok", "boolean", "whether both are within their limits"),
    Column(
        "text_language", "string", "en, zh, other or mixed, by the script of question, answer and reasoning"
    ),
    Column("language_ok", "boolean", "whether that is the wanted language"),
    Column("mentions_source", "boolean", "whether it speaks of captions or a description, not of the video"),
    Column("question_hash", "string", "16 hex digits; the same for the same question of one video and task"),
    Column("text_hash", "string", "16 hex digits; the same for the same question and answer, in any video"),
)
BLIND_OVERLAP = 0.5
"""A range of times is right when it shares more than this of the two ranges together."""
BLIND_F1 = 0.5
"""An open answer is right from this F1 of its words up (of its characters, in Chinese)."""

_CJK = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f]+")
_OTHER_SCRIPT = re.compile(r"[\u0370-\u1fff\u3040-\u30ff\uac00-\ud7af]")
_TOKEN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+")
_ARTICLES = frozenset(("a", "an", "the"))
_ONE_LANGUAGE = 0.6
"""Share of a language's words from which a text is in that language: names and units may be foreign."""
_SOURCE = r"(captions?|descriptions?|transcripts?|annotations?|chunks?|metadata)"
_MENTIONS = re.compile(
    rf"\b(according to|based on|as (stated|described|mentioned|noted) in|in|from|per) (the|this|these|its)? ?"
    rf"([\w-]+ ){{0,2}}{_SOURCE}\b|"
    rf"\b(the|this|these) ([\w-]+ ){{0,2}}{_SOURCE} "
    r"(say|state|mention|note|indicate|describe|show|confirm|report)s?\b|"
    r"\b(dense|global|chunk|video|highlight) captions?\b|"
    r"\baccording to the (provided |given )?(text|summary)\b|"
    r"(根据|按照|依据|由|从)[^，。,.]{0,6}(描述|字幕|文字说明|标注|文本)|"
    r"(描述|字幕|文字说明|标注)[中里]?(提到|提及|指出|显示|表明|说明|写道|可知|可见)|(描述|字幕)[中里]",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class QualityRules:
    """What items are measured against; None switches a rule off.

    :param language: en or zh.
    :param question_chars: fewest and most characters of a question.
    :param answer_chars: of a full answer.
    """

    language: str | None = None
    question_chars: tuple[int, int] | None = (5, 1000)
    answer_chars: tuple[int, int] | None = (1, 4000)


@dataclass(frozen=True)
class BlindJob:
    """How :func:`judge_blind` judges.

    :param part: what it makes: one column, boolean.
    :param answer: column with what the model answered without the video, as text or as JSON with ``answer``;
        NULL where the call failed.
    :param overlap: see :data:`BLIND_OVERLAP`.
    :param f1: see :data:`BLIND_F1`.
    """

    part: RowPart
    answer: str
    overlap: float = BLIND_OVERLAP
    f1: float = BLIND_F1


def measures(video: str, task: str, item: Mapping[str, Any], rules: QualityRules) -> dict[str, Any]:
    """Return the quality columns of a usable item; ``item`` holds its own cells."""
    question, answer = item["question"], item.get("answer") or ""
    options = json.loads(item["options"]) if item.get("options") else []
    # The letter before an option is no part of what it says.
    said = answer.partition(". ")[2] if options else answer
    times = [item.get("start_ms"), item.get("end_ms")] if not answer else []
    asked = [task, _plain(question), sorted(_plain(option) for option in options)]
    texts = (question, "\n".join(options) or answer, item.get("reasoning") or "")
    language = language_of(texts)
    return {
        "question_chars": len(question),
        "answer_chars": len(answer) if answer else None,
        "length_ok": _lengths_ok(question, answer, rules),
        "text_language": language,
        "language_ok": None if rules.language is None else language in (rules.language, None),
        "mentions_source": any(_MENTIONS.search(text) for text in texts),
        "question_hash": _hash([video, *asked]),
        "text_hash": _hash([*asked, _plain(said), times]),
    }


def language_of(texts: Sequence[str]) -> str | None:
    """Return ``en``, ``zh`` or ``other`` when all texts are in it, ``mixed`` when not; None without words.

    By script: a Chinese character counts as a word, and so does a run of Latin letters.
    """
    found = {language for language in map(_language, texts) if language is not None}
    return found.pop() if len(found) == 1 else "mixed" if found else None


def judge_blind(rows: Any, job: BlindJob, columns: Sequence[str]) -> Any:
    """Return ``columns`` of ``rows`` with whether the answer without the video is right.

    A row without such an answer fails with ``empty_input`` unless it has failed before.
    """
    return with_results(rows, [_judged(row, job) for row in rows.to_dict("records")], job.part, columns)


def blind_right(
    item: Mapping[str, Any], said: str, overlap: float = BLIND_OVERLAP, f1: float = BLIND_F1
) -> bool:
    """Return whether ``said``, answered without the video, is right.

    Of mcq the letter or the option's text, of bcq the yes or no, of temporal_localization a range that shares
    more than ``overlap`` with the item's, of all others a text whose words have at least ``f1`` with the
    answer's. A refusal, and what cannot be read, is wrong.

    :param item: ``task``, ``options``, ``answer``, ``answer_short``, ``start_ms`` and ``end_ms`` of the item.
    """
    task, said = item["task"], said.strip()
    if task == "mcq":
        options = json.loads(item["options"])
        letters = list(LETTERS[: len(options)])
        at = chosen(said, options, letters)
        return at is not None and letters[at] == item["answer_short"]
    if task == "bcq":
        read = read_yes_no(said)
        return read is not None and read == read_yes_no(item["answer_short"])
    if task == "temporal_localization":
        part = read_range(_from_json(said))
        return (
            part is not None and part.overlap(TimeRange(int(item["start_ms"]), int(item["end_ms"]))) > overlap
        )
    return lacks_answer(said) is None and token_f1(said, item["answer"]) >= f1


def token_f1(one: str, other: str) -> float:
    """Return the F1 of the words of two texts, of characters in Chinese; case and articles do not count."""
    first, second = _tokens(one), _tokens(other)
    shared = sum((first & second).values())
    return 2 * shared / (sum(first.values()) + sum(second.values())) if shared else 0.0


def _judged(row: Mapping[str, Any], job: BlindJob) -> Result:
    said = text_of(row[job.answer]).strip()
    if not said:
        return {}, Failure(Reason.EMPTY_INPUT, f"there is no answer in {job.answer}")
    answer = _from_json(said)
    if isinstance(answer, Mapping) and "answer" in answer:
        answer = answer["answer"]
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return {job.part.result: blind_right(row, text, job.overlap, job.f1)}, None


def _from_json(text: str) -> Any:
    """Return the object or list that a text is, else the text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict | list) else text


def _lengths_ok(question: str, answer: str, rules: QualityRules) -> bool | None:
    limits = [(question, rules.question_chars), (answer, rules.answer_chars if answer else None)]
    checks = [limit[0] <= len(text) <= limit[1] for text, limit in limits if limit is not None]
    return all(checks) if checks else None


def _language(text: str) -> str | None:
    chinese, latin = len(_CJK.findall(text)), len(_LATIN.findall(text))
    other = len(_OTHER_SCRIPT.findall(text))
    words = chinese + latin + other
    if not words:
        return None
    shares = {"zh": chinese / words, "en": latin / words, "other": other / words}
    return next((name for name, share in shares.items() if share >= _ONE_LANGUAGE), "mixed")


def _tokens(text: str) -> Counter[str]:
    words = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    return Counter(word for word in words if word not in _ARTICLES)


def _plain(text: str) -> str:
    """Return a text as duplicates are compared: its words alone."""
    return " ".join(_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()))


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]
