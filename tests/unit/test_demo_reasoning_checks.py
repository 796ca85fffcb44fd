"""The checks of the reasoning demo: a good outcome passes, and every kind of damage is named."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_drivepipe.cli.demo_reasoning_checks import Expected, Found, problems
from airflow_provider_drivepipe.cli.demo_reasoning_report import calls, files, quality, sample, tasks
from airflow_provider_drivepipe.contracts import Reason, Status

ROOT = "oss://127.0.0.1:1/bucket"
STOP, GARDEN = f"{ROOT}/reasoning/stop.mp4", f"{ROOT}/reasoning/garden.mp4"
EXPECTED = Expected({STOP: None, GARDEN: (Status.FILTERED, "admit", Reason.OUT_OF_DOMAIN)}, ROOT)
ITEM = {
    "item_id": "a1",
    "video_path": STOP,
    "qa_type": "bcq",
    "question": "Does the car stop?",
    "options": [],
    "answer": "Yes. It stands from 00:06 on.",
    "reasoning": "It slows down.",
    "start_ms": 5000,
    "end_ms": 6000,
}


def row(video: str, **cells: Any) -> dict[str, Any]:
    out = {"status": "filtered", "error_stage": "admit", "error_type": "out_of_domain"}
    ok = {"status": "ok", "error_stage": "", "error_type": ""}
    mode = "anomaly" if video == STOP else "normal"
    return {"video_path": video, "filter_mode": mode, **(ok if video == STOP else out), **cells}


def report(rows: list[dict[str, Any]], **told: Any) -> dict[str, Any]:
    ok = sum(row["status"] == "ok" for row in rows)
    counts = {"rows_in": len(rows), "ok": ok, "failed": 0, "filtered": len(rows) - ok, "skipped": 0}
    return {**counts, "stages": {"s": dict(counts)}, "failures": {}, "carried_over": 0, **told}


def good() -> Found:
    rows = {task: [row(STOP), row(GARDEN)] for task in ("video_filter", "video_captions", "descriptions")}
    rows["highlights"] = [row(STOP)]
    rows["qa_items"] = [
        row(STOP, **ITEM, duration_ms=8000),
        row(GARDEN, item_id=None, start_ms=None, end_ms=None),
    ]
    reports = {task: report(rows[task]) for task in rows}
    asked = {"models": {"blind": "local stand-in"}, "tokens": {"input": 3, "output": 4, "embedding": 0}}
    reports["qa_items"] |= asked
    entry = {"video_id": "reasoning/stop.mp4"}
    contents = {
        "bcq.json": json.dumps({"format": "tao-vl-reason-v1.0", "items": [entry]}).encode(),
        "items.jsonl": json.dumps(ITEM).encode() + b"\n",
    }
    reports = {"manifest": report([row(STOP), row(STOP)]), **reports, "qa_export": report([])}
    listed = [{"video_path": STOP}, {"video_path": GARDEN}]
    return Found(
        {"manifest": listed, **rows},
        {task: {"return_value": value} for task, value in reports.items()},
        {"files": [described(name, content) for name, content in contents.items()]},
        contents,
        5,
        ["6 videos"],
        {"server.log": "started"},
    )


def described(name: str, content: bytes) -> dict[str, Any]:
    sha256 = hashlib.sha256(content).hexdigest()
    return {"name": name, "items": 1, "size_bytes": len(content), "sha256": sha256}


def put(found: Any, name: str, content: bytes) -> None:
    found.files[name] = content
    found.pointer["files"] = [described(n, c) for n, c in found.files.items()]


def report_of(found: Any, task: str) -> dict[str, Any]:
    value: dict[str, Any] = found.xcoms[task]["return_value"]
    return value


def kept(found: Any) -> None:
    report_of(found, "qa_items")["carried_over"] = 1


def test_a_good_outcome_passes() -> None:
    assert problems(EXPECTED, good(), ["s3cret"], ["/home/me/"]) == []


DAMAGE: dict[str, Callable[[Any], object]] = {
    "manifest: oss://127.0.0.1:1/bucket/reasoning/garden.mp4 is missing": lambda f: f.tables[
        "manifest"
    ].pop(),
    "qa_items: oss://127.0.0.1:1/bucket/reasoning/garden.mp4 is missing": lambda f: f.tables[
        "qa_items"
    ].pop(),
    "highlights: oss://127.0.0.1:1/bucket/reasoning/stop.mp4 is missing": lambda f: f.tables[
        "highlights"
    ].pop(),
    "garden.mp4 does not belong there": lambda f: f.tables["highlights"].append(row(GARDEN)),
    "is there 2 times": lambda f: f.tables["descriptions"].append(row(STOP)),
    "not ('filtered', 'admit', 'out_of_domain')": lambda f: f.tables["video_filter"][1].update(
        error_type="too_long"
    ),
    "garden.mp4 came through": lambda f: f.tables["qa_items"][1].update(status="ok"),
    "qa_export left no report": lambda f: f.xcoms.pop("qa_export"),
    "rows do not balance": lambda f: report_of(f, "descriptions").update(ok=2),
    "s do not balance": lambda f: report_of(f, "descriptions")["stages"]["s"].update(ok=2),
    "those of the table": lambda f: f.tables["video_captions"][0].update(status="failed"),
    "item a1: 5000 to 9000 ms of 8000 ms": lambda f: f.tables["qa_items"][0].update(end_ms=9000),
    "not one item came out": lambda f: f.tables["qa_items"][0].update(status="failed"),
    "named in manifest.json and not there": lambda f: f.files.pop("bcq.json"),
    "is not what manifest.json says": lambda f: f.files.update({"bcq.json": b"{}"}),
    "holds 0 items": lambda f: put(f, "bcq.json", b'{"format": "tao-vl-reason-v1.0", "items": []}'),
    "speaks of": lambda f: put(
        f, "bcq.json", b'{"format": "tao-vl-reason-v1.0", "items": [{"video_id": "other.mp4"}]}'
    ),
    "has the time 00:06.0, not MM:SS": lambda f: put(
        f,
        "bcq.json",
        b'{"format": "tao-vl-reason-v1.0", "items": [{"video_id": "a", "answer": "At 00:06.0: it stops."}]}',
    ),
    "0 items, 1 are ok": lambda f: put(f, "items.jsonl", b""),
    "5 model calls were counted, and 0 tokens": lambda f: report_of(f, "qa_items").update(tokens={}),
    "everything was there, and models were called 5 times": kept,
    "a row of highlights holds a secret": lambda f: f.tables["highlights"][0].update(error_msg="s3cret"),
    "an exported file holds the local path": lambda f: put(f, "items.parquet", b"/home/me/x"),
    "server.log holds a secret": lambda f: f.logs.update({"server.log": "s3cret"}),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_every_damage_is_named(said: str) -> None:
    found = copy.deepcopy(good())
    DAMAGE[said](found)
    lines = problems(EXPECTED, found, ["s3cret"], ["/home/me/"])
    assert any(said in line for line in lines), lines


def test_a_repeated_run_may_pay_for_what_a_model_failed_alone() -> None:
    found = good()
    kept(found)
    report_of(found, "qa_items")["failures"] = {"qa_parse": {"time_outside_video": 1}}
    assert "everything was there" in problems(EXPECTED, found, [], [])[0]
    report_of(found, "qa_items")["failures"] = {"blind": {"refusal": 1}}
    assert problems(EXPECTED, found, [], []) == []


def test_summary_shows_tasks_files_and_items() -> None:
    found = good()
    assert "1 out_of_domain" in tasks(found)
    assert "bcq.json" in files(found)
    assert "bcq of stop.mp4, 5.0 s to 6.0 s" in sample(found)
    assert "Does the car stop?" in sample(found)
    assert calls(found).startswith("5 model calls, 7 tokens")
    of_bcq = {"items": 2, "flags": {"duplicate": {"items": 1, "share": 0.5}}}
    said = {"tasks": {"bcq": of_bcq}, "answers": {"bcq": {"Yes": 2, "No": 0}}}
    found.reports["qa_export"]["quality"] = said
    assert quality(found).split()[:3] == ["task", "items", "duplicate"]
    assert quality(found).endswith("right answers of bcq: 0 No, 2 Yes")
