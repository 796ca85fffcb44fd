"""A page of video QA: how the arms compare, then questions with what each arm showed and what it answered."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import Any

from airflow_provider_drivepipe.cli.page import DEFAULT_COUNT, Query, Read, html, short_name, thumbnail
from airflow_provider_drivepipe.contracts import OssUri, Reason, Status
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.retrieval.retrieve import Retrieve
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
    introduction = (
        f"How the arms compare, and {len(page.questions)} of {page.total} questions, spread over the "
        "categories; those whose arms disagree come first, the same ones each time."
    )
    marks = " ".join(f"<span>{_mark(outcome)} {outcome.word}</span>" for outcome in Outcome)
    legend = (
        f"{marks}. Frames are in order of time, each with its number, time and score. An answer names those "
        'that it <span class="relied">relied on</span>; <span class="evidence">evidence</span> is what lies '
        "within the annotated time."
    )
    content = "\n".join(
        (
            f"<section><h2>Arms</h2>{_figures_html(page)}</section>",
            f"<section><h2>Questions</h2><p>{legend}</p>{_overview_html(page)}</section>",
            *(_question_html(number, question) for number, question in enumerate(page.questions, 1)),
        )
    )
    return html(f"{page.scenario} {page.partition}: evidence", introduction, content, _STYLE)


def _mark(outcome: Outcome) -> str:
    return f'<b class="{outcome.name.lower()}" role="img" aria-label="{outcome.word}">{outcome}</b>'


def _scrolled(name: str, table: str) -> str:
    """Return a table that is reached by keyboard where it is wider than the window."""
    return f'<div class="wide" role="region" tabindex="0" aria-label="{name}">{table}</div>'


def _figures_html(page: EvidencePage) -> str:
    if not page.figures:
        return "<p>There are no figures yet: the task metrics has not run.</p>"
    rows = "".join(map(_figure_html, sorted(page.figures, key=lambda row: -(row["accuracy"] or 0))))
    return (
        _scrolled(
            "Arms",
            "<table><thead><tr><th>arm</th><th>accuracy</th><th>95 % interval</th><th>correct</th>"
            "<th>of answered</th><th>evidence shown</th><th>per correct answer</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>",
        )
        + "<p>Accuracy is of all questions with a known answer, also those that failed or that the model did "
        "not answer. Rows of the metrics with <code>other_arm</code> say how sure a difference is.</p>"
    )


def _figure_html(row: Row) -> str:
    bar = said = ""
    if row["accuracy"] is not None:
        value, low, high = (100 * float(row[f"accuracy{end}"]) for end in ("", "_low", "_high"))
        bar = (
            f'<span class="bar" aria-hidden="true"><i style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
            f'<b style="left:{value:.1f}%"></b></span>'
        )
        said = f"{value:.0f} % ({low:.0f} to {high:.0f})"
    answered, hits = (
        "" if row[name] is None else f"{100 * row[name]:.0f} %" for name in ("accuracy_answered", "hit_rate")
    )
    each = row["cost_per_correct"]
    cost = "" if each is None else f"{each:.4f} {escape(row['currency'] or '')}"
    cells = [said, f"{row['correct']} of {row['questions']}", answered, hits, cost]
    numbers = "".join(f"<td>{cell or '–'}</td>" for cell in cells)
    return f'<tr><th scope="row">{escape(row["arm"])}</th><td>{bar}</td>{numbers}</tr>'


def _overview_html(page: EvidencePage) -> str:
    """Return a line per question, with a mark per arm."""
    header = "".join(f'<th scope="col">{escape(arm)}</th>' for arm in page.arms)
    rows = []
    for number, question in enumerate(page.questions, 1):
        outcomes = {answer.arm: answer.outcome for answer in question.answers}
        cells = "".join(f"<td>{_mark(outcomes.get(arm, Outcome.FAILED))}</td>" for arm in page.arms)
        link = f'<a href="#q{number}">{escape(question.question or question.question_id)}</a>'
        rows.append(f'<tr><th scope="row">{link} <small>{escape(question.video)}</small></th>{cells}</tr>')
    return _scrolled(
        "Questions",
        f"<table><thead><tr><th>question</th>{header}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
    )


def _question_html(number: int, question: Question) -> str:
    category = f'<span class="category">{escape(question.category)}</span> ' if question.category else ""
    about = ", ".join(map(escape, filter(None, (question.video, question.when))))
    trouble = (
        f'<p class="trouble">It could not be asked: {escape(question.trouble)}</p>'
        if question.trouble
        else ""
    )
    answers = "".join(map(_answer_html, question.answers))
    return (
        f'<article id="q{number}"><p class="what">{category}{about}</p>'
        f"<h2>{escape(question.question or question.question_id)}</h2>{_options_html(question)}{trouble}"
        f'<div class="arms">{answers}</div><p class="id">{escape(question.question_id)}</p></article>'
    )


def _options_html(question: Question) -> str:
    if not question.options:
        return f'<p class="answer"><b>Right</b> {escape(question.answer or "not known")}</p>'
    options = "".join(
        f'<li class="right">{escape(f"{letter}. {text}")} <b>✓ right</b></li>'
        if letter == question.answer
        else f"<li>{escape(f'{letter}. {text}')}</li>"
        for letter, text in question.options.items()
    )
    return f"<ul>{options}</ul>"


def _answer_html(answer: ArmAnswer) -> str:
    frames = "".join(map(_frame_html, answer.frames))
    said = f": {escape(answer.said)}" if answer.said else ""
    reasoning = f"<p>{escape(answer.reasoning)}</p>" if answer.reasoning else ""
    return (
        f"<section><h3>{escape(answer.arm)}</h3>"
        f"<p>{_mark(answer.outcome)} <b>{answer.outcome.word}</b>{said}</p>"
        f'<div class="frames">{frames}</div>{reasoning}</section>'
    )


def _frame_html(frame: Frame) -> str:
    name = f"Frame {frame.number}" + (f" at {frame.clock}" if frame.clock else "")
    picture = (
        f'<img src="{frame.image}" alt="{escape(name)}">'
        if frame.image
        else f'<p class="trouble">{escape(frame.trouble)}</p>'
    )
    score = "" if frame.score is None else f" <span>score {frame.score:.3f}</span>"
    marks = [
        f'<span class="{kind}">{words}</span>'
        for kind, words, shown in (
            ("relied", "relied on", frame.relied),
            ("evidence", "evidence", frame.evidence),
        )
        if shown
    ]
    kind = ' class="rests"' if frame.relied else ""
    at = " · ".join(filter(None, (str(frame.number), escape(frame.clock))))
    return f"<figure{kind}>{picture}<figcaption>{at}{score} {' '.join(marks)}</figcaption></figure>"


_STYLE = """
main { display: grid; gap: 16px; padding: 16px 24px; max-width: 1240px; }
main > * { min-width: 0; padding: 12px 16px; border-radius: 8px; overflow-wrap: anywhere;
  background: light-dark(#fff, #23262c); box-shadow: 0 1px 3px #0003; scroll-margin-top: 8px; }
main p, ul { margin: 8px 0 0; max-width: 75ch; }
p.what { margin: 0; }
h2 { margin: 8px 0 0; font-size: 16px; max-width: 65ch; }
section > h2 { margin: 0; }
ul { padding: 0; list-style: none; }
a { color: light-dark(#1f4fa3, #9dbdf5); }
.category, .relied, .evidence { display: inline-block; padding: 0 7px; border-radius: 9px; }
p > span, figcaption > span { white-space: nowrap; }
.category { background: light-dark(#e3ecfb, #2c3f63); }
.relied { background: light-dark(#d6f0de, #1d4a2e); }
.evidence { background: light-dark(#fdeccc, #5b4313); }
.wide { overflow-x: auto; margin-top: 8px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 3px 12px 3px 0; text-align: left; font-weight: normal; }
thead th { opacity: .75; font-size: 12px; white-space: nowrap; }
td { white-space: nowrap; }
tbody th small { opacity: .75; }
.bar { display: block; position: relative; width: 180px; height: 14px; border-radius: 3px;
  background: light-dark(#e8eaee, #34383f); }
.bar i { position: absolute; top: 4px; height: 6px; border-radius: 3px;
  background: light-dark(#7ea4e3, #5b84c9); }
.bar b { position: absolute; top: 0; width: 3px; height: 14px; margin-left: -1px;
  background: light-dark(#16181c, #fff); }
.right, .right b { color: light-dark(#1c6e3a, #7fd69c); }
li.right { font-weight: 600; }
.wrong, .failed, .trouble { color: light-dark(#b02a1c, #ff8a7a); }
.abstained, .unjudged, .left_out { color: light-dark(#6a5200, #e3c46a); }
.arms { display: grid; gap: 8px 24px; margin-top: 10px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); }
.arms section { padding-top: 8px; border-top: 1px solid light-dark(#dfe2e7, #3a3f47); }
h3 { margin: 0; font-size: 14px; }
.arms p { margin-top: 2px; }
.frames { display: grid; gap: 8px; margin-top: 6px;
  grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); }
figure { margin: 0; font-size: 12px; }
figcaption { margin-top: 4px; }
figure img { width: 100%; display: block; border-radius: 4px; }
.rests img { outline: 2px solid light-dark(#1c6e3a, #7fd69c); }
.id { font: 12px ui-monospace, monospace; opacity: .7; }
@media (max-width: 600px) {
  header, main { padding-left: 12px; padding-right: 12px; }
  .bar { width: 80px; }
}
"""
