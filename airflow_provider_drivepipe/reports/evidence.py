"""A page of video QA: how the arms compare, then questions with what each arm showed and what it answered."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from airflow_provider_drivepipe.contracts import OssUri, Reason, Status
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.retrieval.retrieve import Retrieve
from airflow_provider_drivepipe.reports.page import (
    DEFAULT_COUNT,
    Query,
    Read,
    render_page,
    short_name,
    thumbnail,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import Plan
from airflow_provider_drivepipe.sql import column_list, quote_name, quote_text
from airflow_provider_drivepipe.worker.reasoning.clock import clock_text

_FIGURES = (
    "arm questions correct accuracy accuracy_low accuracy_high accuracy_answered hit_rate "
    "cost_per_correct currency"
)
_QUESTION = (
    "question_id category video question options answer evidence_start_ms evidence_end_ms "
    "status error_stage error_type error_msg"
)
_ANSWER = (
    "question_id arm status error_stage error_type error_msg answer_text given_answer given_reasoning "
    "given_frames abstained is_correct"
)
_EVIDENCE = "question_id arm frame_idx frame_time_ms frame_clock image_url score in_evidence"
_WIDTH = 200
_QUALITY = 72
_READERS = 8
Row = Mapping[str, Any]


class Outcome(StrEnum):
    """What became of a question in an arm; the value is the mark that says so."""

    RIGHT = "✓"
    WRONG = "✗"
    UNJUDGED = "•"
    ABSTAINED = "?"
    FAILED = "!"
    LEFT_OUT = "–"

    @property
    def word(self) -> str:
        """Its name, for people."""
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Frame:
    """A frame that an arm showed.

    :param image: a ``data:`` URI, empty where it cannot be shown; ``trouble`` says why.
    :param relied: whether the answer rests on it.
    :param evidence: whether it is within the annotated time.
    """

    number: int
    clock: str
    score: float | None
    image: str
    trouble: str
    relied: bool
    evidence: bool

    @property
    def name(self) -> str:
        """What people know it by."""
        return f"Frame {self.number}" + (f" at {self.clock}" if self.clock else "")


@dataclass(frozen=True)
class ArmAnswer:
    """What an arm made of a question.

    :param said: the answer, or why there is none.
    """

    arm: str
    outcome: Outcome
    said: str
    reasoning: str
    frames: Sequence[Frame]


@dataclass(frozen=True)
class Question:
    """A question with the answers of the arms; ``trouble`` says why it could not be asked."""

    question_id: str
    category: str
    video: str
    question: str
    options: Mapping[str, str]
    answer: str
    when: str
    answers: Sequence[ArmAnswer]
    trouble: str

    def outcome(self, arm: str) -> Outcome:
        """What became of it in an arm."""
        return next((each.outcome for each in self.answers if each.arm == arm), Outcome.FAILED)


@dataclass(frozen=True)
class EvidencePage:
    """What a page shows.

    :param arms: in the order of the scenario.
    :param figures: of all questions, by arm; none before the metrics are there.
    :param total: questions of the partition.
    """

    scenario: str
    partition: str
    arms: Sequence[str]
    figures: Sequence[Row]
    total: int
    questions: Sequence[Question]

    @property
    def ranked(self) -> list[Row]:
        """The figures, the best arm first."""
        return sorted(self.figures, key=lambda row: -(row["accuracy"] or 0))


def read_evidence(
    steps: Plan, partition: PartitionSpec, query: Query, read: Read, count: int = DEFAULT_COUNT
) -> EvidencePage:
    """Read what a page of a partition shows: six queries of small results, and each picture once.

    Of each category the question whose answers differ most is chosen, then the second of each. Equal ones are
    ordered by a hash: an even choice that is the same each time.
    """
    tables = {task.task_id: task.output_table.name for task in steps.tasks}
    choose = next(found for task in steps.tasks if (found := task.find(Retrieve)))
    where = partition.sql(" AND ")

    def rows(task: str, columns: str, condition: str) -> list[dict[str, Any]]:
        names = columns.split()
        found = query(
            f"SELECT {column_list(names)} FROM {quote_name(tables[task])} WHERE {where} AND {condition}"
        )
        return [dict(zip(names, row, strict=True)) for row in found]

    [[total]] = query(f"SELECT COUNT(*) FROM {quote_name(tables['questions'])} WHERE {where}")
    choice = query(_choice(tables["questions"], tables["answers"], where, count))
    ids = [name for name, _ in sorted(choice, key=lambda row: -row[1])]
    if not ids:
        return EvidencePage(steps.scenario, partition.path(), (), (), 0, ())
    chosen = f"`question_id` IN ({', '.join(map(quote_text, ids))})"
    key = choose.frames.key
    questions = {
        row["question_id"]: {**row, "video": row[key]}
        for row in rows("questions", _QUESTION.replace("video", key), chosen)
    }
    answers = {(row["question_id"], row["arm"]): row for row in rows("answers", _ANSWER, chosen)}
    frames = defaultdict[tuple[str, str], list[Row]](list)
    for row in rows("retrieve", _EVIDENCE, f"{chosen} AND `image_url` IS NOT NULL"):
        frames[row["question_id"], row["arm"]].append(row)
    pictures = _pictures({row["image_url"] for of_arm in frames.values() for row in of_arm}, read)
    arms = [str(arm) for arm in choose.options.arms]
    return EvidencePage(
        steps.scenario,
        partition.path(),
        arms,
        rows("metrics", _FIGURES, "`category` = '' AND `other_arm` = ''"),
        int(total),
        [
            _question(
                questions[name],
                [
                    _answer(answers[name, arm], frames[name, arm], pictures)
                    for arm in arms
                    if (name, arm) in answers
                ],
            )
            for name in ids
        ],
    )


def _choice(questions: str, answers: str, where: str, count: int) -> str:
    """Return the query for the questions that are shown: id, and how many different answers there are."""
    said = (
        f"CASE WHEN `status` = {quote_text(Status.OK)} THEN COALESCE(`given_answer`, '') "
        f"WHEN `error_type` <> {quote_text(Reason.NO_EVIDENCE)} THEN '!' END"
    )
    differ = (
        f"SELECT `question_id`, COUNT(DISTINCT {said}) AS `said` FROM {quote_name(answers)} "
        f"WHERE {where} GROUP BY `question_id`"
    )
    asked = (
        "SELECT `question_id`, COALESCE(`category`, '') AS `category` "
        f"FROM {quote_name(questions)} WHERE {where}"
    )
    return (
        "SELECT `question_id`, `said` FROM (SELECT q.`question_id` AS `question_id`, "
        "q.`category` AS `category`, COALESCE(a.`said`, 0) AS `said`, ROW_NUMBER() OVER (PARTITION BY "
        "q.`category` ORDER BY COALESCE(a.`said`, 0) DESC, MD5(q.`question_id`), q.`question_id`) AS `nth` "
        f"FROM ({asked}) q LEFT JOIN ({differ}) a ON q.`question_id` = a.`question_id`) c "
        f"ORDER BY `nth`, `category` LIMIT {count}"
    )


def _pictures(urls: set[str], read: Read) -> dict[str, tuple[str, str]]:
    """Return each picture as a ``data:`` URI, or why there is none."""

    def picture(url: str) -> tuple[str, str]:
        try:
            return thumbnail(read(OssUri.parse(url)), _WIDTH, _QUALITY), ""
        except (DrivepipeError, OSError, ValueError) as error:
            return "", f"the picture cannot be shown: {error}"

    with ThreadPoolExecutor(_READERS) as readers:
        return dict(zip(urls, readers.map(picture, urls), strict=True))


def _question(row: Row, answers: Sequence[ArmAnswer]) -> Question:
    start, end = clock_text(row["evidence_start_ms"]), clock_text(row["evidence_end_ms"])
    return Question(
        question_id=row["question_id"],
        category=row["category"] or "",
        video=short_name(str(row["video"])),
        question=row["question"] or "",
        options=json.loads(row["options"] or "{}"),
        answer=row["answer"] or "",
        when=f"annotated from {start} to {end}" if start and end else "",
        answers=answers,
        trouble="" if row["status"] == Status.OK else _why(row),
    )


def _answer(row: Row, frames: Sequence[Row], pictures: Mapping[str, tuple[str, str]]) -> ArmAnswer:
    outcome = _outcome(row)
    match outcome:
        case Outcome.FAILED:
            said = " ".join(
                filter(None, (_why(row), f"It said: {row['answer_text']}" if row["answer_text"] else ""))
            )
        case Outcome.LEFT_OUT:
            said = "no time is annotated"
        case Outcome.ABSTAINED:
            said = ""
        case _:
            said = f"answers {row['given_answer']}"
    relied = set(json.loads(row["given_frames"] or "[]"))
    return ArmAnswer(
        arm=row["arm"],
        outcome=outcome,
        said=said,
        reasoning=row["given_reasoning"] or "",
        frames=[
            Frame(
                frame["frame_idx"],
                frame["frame_clock"] or "",
                frame["score"],
                *pictures[frame["image_url"]],
                relied=frame["frame_idx"] in relied,
                evidence=bool(frame["in_evidence"]),
            )
            for frame in sorted(frames, key=lambda row: (row["frame_time_ms"] or 0, row["frame_idx"]))
        ],
    )


def _outcome(row: Row) -> Outcome:
    if row["status"] != Status.OK:
        return Outcome.LEFT_OUT if row["error_type"] == Reason.NO_EVIDENCE else Outcome.FAILED
    if row["abstained"]:
        return Outcome.ABSTAINED
    if row["is_correct"] is None:
        return Outcome.UNJUDGED
    return Outcome.RIGHT if row["is_correct"] else Outcome.WRONG


def _why(row: Row) -> str:
    return f"{row['error_type']} at {row['error_stage']}: {row['error_msg']}"


def render(page: EvidencePage) -> str:
    """Return the page."""
    title = f"{page.scenario} {page.partition}: evidence"
    return render_page("evidence.html", title=title, page=page, outcomes=Outcome)
