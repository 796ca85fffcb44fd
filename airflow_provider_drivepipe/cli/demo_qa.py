"""``drivepipe demo-qa``: questions about the demo's videos, answered from frames chosen in eight ways."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.cli.demo import SCENARIO_FILE
from airflow_provider_drivepipe.cli.demo_checks import Row, leaks
from airflow_provider_drivepipe.cli.demo_data import upload_demo_videos
from airflow_provider_drivepipe.cli.demo_report import models
from airflow_provider_drivepipe.cli.demo_run import PARTITION, Demo, DemoRun
from airflow_provider_drivepipe.cli.text_table import table
from airflow_provider_drivepipe.contracts import OssUri, Reason, Status
from airflow_provider_drivepipe.pipelines.retrieval.retrieve import Retrieve
from airflow_provider_drivepipe.reports.page import short_name
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from maxcompute_local import lifecycle
from maxcompute_local.clients import odps_client
from maxcompute_local.settings import PROJECT, ServerSettings

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

    from airflow_provider_drivepipe.reports.evidence import EvidencePage

_ASKED = "video_qa_demo_asked"
_COLUMNS = (
    "question_id string, video_path string, question string, options string, answer string, category string, "
    "evidence_start_ms bigint, evidence_end_ms bigint"
)
_BROKEN = {"without-frames": Reason.NO_FRAMES, "one-option": Reason.INVALID_QUESTION}
"""Questions that cannot be asked, and why."""
_WIDTH = 100
_SAMPLES = 4


class QaDemo(Demo):
    """Questions to answers with evidence, and which way to choose frames is worth its cost."""

    command = "demo-qa"
    description = "Run the video QA example in Airflow over drawn driving videos; check and show the figures."
    scenario_file = "video_qa_demo.yaml"
    scenarios_before = (SCENARIO_FILE,)

    def upload(self, oss: OssClient, bucket: str) -> None:
        """Make the videos and put them into the bucket."""
        upload_demo_videos(self.home.parent / "demo-videos", oss, bucket)

    def prepare(self, settings: ServerSettings, bucket: str) -> None:
        """Write the table of questions."""
        from maxcompute_local.samples.driving_questions import DEMO_QUESTIONS

        root = OssUri(settings.oss_endpoint.removeprefix("http://"), bucket)
        rows: list[list[Any]] = [
            [
                *(q.question_id, str(root.join(q.video_key)), q.question),
                *(json.dumps(q.options), q.answer, str(q.category), q.evidence_start_ms, q.evidence_end_ms),
            ]
            for q in DEMO_QUESTIONS
        ]
        nowhere, video = str(root.join("trips/nowhere.mp4")), rows[0][1]
        rows.append(["without-frames", nowhere, "Does it rain?", '["yes", "no"]', "A", "weather", None, None])
        rows.append(["one-option", video, "Does it rain?", '["yes"]', "A", "weather", None, None])
        asked = odps_client(settings).create_table(_ASKED, (_COLUMNS, "ds string"), if_not_exists=True)
        asked.delete_partition(f"ds={PARTITION}", if_exists=True)
        with asked.open_writer(partition=f"ds={PARTITION}", create_partition=True) as writer:
            writer.write(rows)
        self._step(f"{len(rows)} questions in table {_ASKED}, two of which cannot be asked")

    def examine(self, run: DemoRun) -> list[str]:
        """Show the figures and some answers with their evidence; check them."""
        tables = {task.task_id: run.rows(task.output_table.name) for task in run.steps.tasks}
        page, shown = self._page(run)
        self._show(run, tables, page)
        texts = {
            **{f"a row of {task}": json.dumps(rows, default=str) for task, rows in tables.items()},
            "an XCom": json.dumps(run.xcoms, default=str),
            "a message of a task": "\n".join(run.messages),
        }
        return [
            *_problems(run, tables),
            *_page_problems(shown, tables),
            *leaks(texts, run.logs, run.secrets, run.local_paths),
        ]

    def _page(self, run: DemoRun) -> tuple[Path, EvidencePage]:
        """Write the page that ``drivepipe evidence`` writes; return its file and what it shows."""
        from airflow_provider_drivepipe.reports.evidence import read_evidence, render

        steps = run.steps
        partition = PartitionSpec(steps.partition.columns, (PARTITION,))
        shown = read_evidence(steps, partition, run.query, lambda uri: run.object(uri.key))
        page = self.home / f"{steps.scenario}_{PARTITION}_evidence.html"
        page.write_text(render(shown), "utf-8")
        return page, shown

    def _show(self, run: DemoRun, tables: Mapping[str, Sequence[Row]], page: Path) -> None:
        reports = {task.task_id: run.xcoms[task.task_id]["return_value"] for task in run.steps.tasks}
        print(f"\nTasks of partition {run.partition}\n")
        print(_tasks(reports, tables))
        print(f"\n{_calls(run.calls)}")
        print("\nWho answered\n")
        print(models(reports.values()))
        print("\nWays to choose frames, the accuracy of all questions with its 95 % interval\n")
        print(_figures(tables["metrics"]))
        print(
            "\n  blind shows no frame; oracle shows those of the annotated time, of questions that have one."
        )
        print("\nSome answers and the frames that they rest on\n")
        print("\n\n".join(_sample(tables["answers"])))
        print("\nWhere it is\n")
        names = [task.output_table.name for task in run.steps.tasks]
        print(f"  tables   {names[0]} to {names[-1]} in project {PROJECT}")
        print(f"  look     {page}: ten questions, what each arm showed and answered")
        print(f"  log      {run.log} and {lifecycle.log_file(self.root)}")


def _tasks(reports: Mapping[str, Mapping[str, Any]], tables: Mapping[str, Sequence[Row]]) -> str:
    counts = ("rows_in", "ok", "failed", "filtered", "skipped", "carried_over")
    lines = []
    for task, report in reports.items():
        reasons = Counter(row.get("error_type") for row in tables[task] if row.get("error_type"))
        tokens = report.get("tokens") or {}
        paid = [str(tokens.get(kind, 0)) for kind in ("input", "output", "embedding")]
        why = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
        lines.append([task, *(str(report[name]) for name in counts), *paid, why])
    header = ["task", "rows", "ok", "failed", "filtered", "skipped", "kept", "tokens in", "out", "embedded"]
    return table([*header, "why not ok"], lines)


def _calls(calls: int) -> str:
    if calls == 0:
        return "0 model calls: every answer was there from an earlier run."
    return f"{calls} model calls. Run it again: no answer is paid for twice."


def _figures(rows: Sequence[Row]) -> str:
    lines = []
    for row in sorted(_of_arms(rows), key=lambda row: -row["accuracy"]):
        low, high = (f"{100 * row[f'accuracy_{end}']:.0f}" for end in ("low", "high"))
        each = row["cost_per_correct"]
        lines.append(
            [
                row["arm"],
                *(str(row[name]) for name in ("questions", "correct", "abstained", "failed")),
                f"{100 * row['accuracy']:.0f} % ({low} to {high})",
                "-" if row["accuracy_answered"] is None else f"{100 * row['accuracy_answered']:.0f} %",
                "-" if row["hit_rate"] is None else f"{100 * row['hit_rate']:.0f} %",
                "-" if each is None else f"{each:.4f} {row['currency']}",
            ]
        )
    header = [
        "arm",
        "questions",
        "correct",
        "abstained",
        "failed",
        "accuracy",
        "of answered",
        "evidence shown",
    ]
    return table([*header, "per correct answer"], lines)


def _of_arms(rows: Sequence[Row]) -> list[Row]:
    """The figures of all questions, of each arm."""
    return [row for row in rows if not row["category"] and not row["other_arm"]]


def _sample(answers: Sequence[Row]) -> Iterator[str]:
    """Yield answers to different questions by different arms, those that rest on a frame first."""
    seen: set[str] = set()
    for row in sorted(answers, key=lambda row: (row["given_frames"] in (None, "[]"), str(row))):
        if row["status"] != Status.OK or row["question"] in seen or row["arm"] in seen:
            continue
        seen |= {row["question"], row["arm"]}
        said = "does not know" if row["abstained"] else f"answers {row['given_answer']}"
        right = "" if row["is_correct"] is None else f", right is {row['answer']}"
        options = " | ".join((row["options_text"] or "").splitlines())
        frames = ", ".join(map(str, json.loads(row["given_frames"] or "[]"))) or "none"
        texts = [
            f"{short_name(row['video_path'])}: {row['question']} | {options}",
            f"  {row['arm']} {said}{right}; {row['frames_count']} frames shown, relied on {frames}",
            f"  {row['given_reasoning'] or 'no reasoning'}",
        ]
        yield "\n".join(
            fill(f"  {text}", _WIDTH, subsequent_indent=" " * 6 if text[0] == " " else " " * 4)
            for text in texts
        )
        if len(seen) >= 2 * _SAMPLES:
            return


def _problems(run: DemoRun, tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield a line for everything that is not as it must be."""
    questions = {row["question_id"]: row for row in tables["questions"]}
    for name, row in questions.items():
        have, want = row["error_type"] or "", str(_BROKEN.get(name, ""))
        if have != want:
            yield f"question {name}: {have or 'ok'}, not {want or 'ok'}"
    good = set(questions) - set(_BROKEN)
    options = next(stage for task in run.steps.tasks if (stage := task.find(Retrieve)) is not None).options
    arms = {str(arm) for arm in options.arms}
    asked = {(row["question_id"], row["arm"]) for row in tables["answers"] if row["arm"]}
    lacking = [(name, arm) for name in sorted(good) for arm in sorted(arms) if (name, arm) not in asked]
    yield from (f"answers: {name} of {arm} is missing" for name, arm in lacking)
    for row in tables["retrieve"]:
        if row["image_url"] and row["video_path"] != questions[row["question_id"]]["video_path"]:
            yield f"evidence of {row['question_id']}: a frame of another video, {row['image_url']}"
    shown = Counter((r["question_id"], r["arm"]) for r in tables["retrieve"] if r["image_url"])
    yield from (f"evidence of {key}: {n} frames" for key, n in shown.items() if n > options.max_frames)
    for row in _of_arms(tables["metrics"]):
        right = sum(1 for a in tables["answers"] if a["arm"] == row["arm"] and a["is_correct"])
        if row["correct"] != right:
            yield f"metrics of {row['arm']}: {row['correct']} correct, the answers say {right}"
    reports = [values["return_value"] for values in run.xcoms.values()]
    tokens = sum(sum((report.get("tokens") or {}).values()) for report in reports)
    if run.calls and not tokens:
        yield f"{run.calls} model calls were counted, and no tokens reported"


def _page_problems(page: EvidencePage, tables: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    """Yield a line for everything that the page of evidence lacks."""
    if {row["arm"] for row in page.figures} != set(page.arms):
        yield f"page of evidence: figures of {len(page.figures)} arms, not of {len(page.arms)}"
    asked = {(row["question_id"], row["arm"]) for row in tables["answers"]}
    frames = Counter((row["question_id"], row["arm"]) for row in tables["retrieve"] if row["image_url"])
    for question in page.questions:
        found = {(question.question_id, answer.arm): answer.frames for answer in question.answers}
        yield from (
            f"page of evidence: {question.question_id} lacks {arm}"
            for arm in page.arms
            if (question.question_id, arm) in asked - found.keys()
        )
        for key, shown in found.items():
            if sum(bool(frame.image) for frame in shown) != frames[key]:
                yield f"page of evidence: {key} has not all of its {frames[key]} pictures"


main = QaDemo.main
