"""The answers of one arm as the two files of the original evaluation: results and metrics."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.qa_file import options_text, read_items
from airflow_provider_drivepipe.contracts import Status
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import Plan
from airflow_provider_drivepipe.sql import column_list, quote_name, quote_text

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook

_DRAWS = "planned_image"
"""The arm that has pictures drawn."""
Row = Mapping[str, Any]


def write_results(
    hook: DrivepipeHook,
    steps: Plan,
    partition: PartitionSpec,
    arm: str,
    data: Path | None,
    folder: Path,
    name: str,
) -> tuple[Path, Path]:
    """Write both files and return them; raise CommandError when a table lacks what is needed.

    :param data: the file that was loaded, whose items stand in the results.
    :param name: what the files' names begin with.
    """
    given = {str(item.get("uid")): item for item in read_items(data)} if data else {}
    results = _results(_Tables(hook, steps, partition), arm, given)
    files = folder / f"{name}_results.json", folder / f"{name}_metrics.json"
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in zip(files, (results, metrics(results)), strict=True):
        file.write_text(json.dumps(content, indent=4, ensure_ascii=False), "utf-8")
    return files


def metrics(results: Sequence[Row]) -> dict[str, float]:
    """Return the original's figures: items with an error do not count, accuracy is over those answered."""
    valid = [result for result in results if "error" not in result]
    if not valid:
        return {"accuracy": 0.0}
    answered = sum(result["model_answer"] is not None for result in valid)
    correct = sum(bool(result["is_correct"]) for result in valid)
    return {
        "total_samples": len(valid),
        "answered_samples": answered,
        "correct_answers": correct,
        "accuracy": correct / answered if answered else 0.0,
    }


class _Tables:
    """The tables of a retrieval scenario, one partition of each."""

    def __init__(self, hook: DrivepipeHook, steps: Plan, partition: PartitionSpec) -> None:
        self._hook = hook
        self._names = {task.task_id: task.output_table.name for task in steps.tasks}
        self._partition = partition

    def rows(self, task: str, columns: str, where: str = "") -> list[Row]:
        """Return columns, named between blanks, of a task's table; no rows without such a task."""
        if task not in self._names:
            return []
        names = columns.split()
        found = self._hook.execute_sql(
            f"SELECT {column_list(names)} FROM {quote_name(self._names[task])} "
            f"WHERE {self._partition.sql(' AND ')}{where}"
        )
        return [dict(zip(names, row, strict=True)) for row in found]


def _results(tables: _Tables, arm: str, given: Mapping[str, Row]) -> list[dict[str, Any]]:
    of_arm = f" AND `arm` = {quote_text(arm)}"
    columns = "question_id status error_type error_msg answer_text given_answer is_correct"
    answers = {row["question_id"]: row for row in tables.rows("answers", columns, of_arm)}
    if not answers:
        raise CommandError(f"there are no answers of arm {arm!r} in this partition")
    columns = "question_id video_path question options answer status error_type error_msg"
    questions = sorted(tables.rows("questions", columns), key=lambda row: str(row["question_id"]))
    plans = {row["question_id"]: row["requests"] for row in tables.rows("plan", "question_id requests")}
    drawn = defaultdict[str, list[str]](list)
    if arm == _DRAWS:
        kind = f" AND `query_kind` = {quote_text(arm)} AND `drawn_url` IS NOT NULL"
        queries = tables.rows("queries", "question_id request_number drawn_url", kind)
        for row in sorted(queries, key=lambda row: row["request_number"] or 0):
            drawn[row["question_id"]].append(row["drawn_url"])
    frames = defaultdict[str, list[tuple[int, int, str]]](list)
    columns = "question_id frame_time_ms frame_idx image_url"
    for row in tables.rows("retrieve", columns, f"{of_arm} AND `image_url` IS NOT NULL"):
        frame = (row["frame_time_ms"] or 0, row["frame_idx"] or 0, row["image_url"])
        frames[row["question_id"]].append(frame)
    return [
        _result(
            {**_item(question), **given.get(question["question_id"], {})},
            # A question that could not be asked has no answer of any arm.
            answers.get(question["question_id"], {**question, "answer_text": None}),
            plans.get(question["question_id"]),
            drawn[question["question_id"]],
            [url for _, _, url in sorted(frames[question["question_id"]])],
        )
        for question in questions
        if question["question_id"] in answers or question["status"] != Status.OK
    ]


def _item(question: Row) -> dict[str, Any]:
    options = json.loads(question["options"] or "{}")
    text = question["question"] + (f"\n{options_text(options)}" if options else "")
    key = question["video_path"].rpartition("/")[2]
    return {"key": key, "uid": question["question_id"], "question": text, "answer": question["answer"]}


def _result(
    item: dict[str, Any], answer: Row, requests: str | None, drawn: Sequence[str], frames: Sequence[str]
) -> dict[str, Any]:
    """Return an item with its answer; one that never got one, as the original writes what went wrong.

    An answer that cannot be read is an item that is not answered, in the original too.
    """
    said = answer["answer_text"]
    if answer["status"] != Status.OK and said is None:
        error = f"{answer['error_type']}: {answer['error_msg']}"
        return {"key": item["key"], "uid": item["uid"], "error": error, "traceback": ""}
    plan = json.loads(requests or "[]")
    return {
        **item,
        "workflow_steps": {
            "step1_planning_requests": [
                {"reference_image_id": each["reference_frame_idx"], "prompt": each["prompt"]} for each in plan
            ],
            "step2_generated_images": list(drawn),
            "step2_retrieved_frame_paths": list(frames),
            "step3_final_reasoning_and_answer": said,
        },
        "model_answer": answer["given_answer"],
        "is_correct": bool(answer["is_correct"]),
    }
