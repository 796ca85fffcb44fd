"""The demo's own checks: a good outcome passes, and every kind of damage is named."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from airflow_provider_drivepipe.cli.airflow_log import Progress
from airflow_provider_drivepipe.cli.demo_checks import Expected, Found, problems
from airflow_provider_drivepipe.cli.demo_report import models, sample, stage_table, totals
from airflow_provider_drivepipe.contracts import OssUri, Reason, image_id, video_id
from maxcompute_local.samples.driving_videos import DemoVideo

VIDEOS = [
    DemoVideo("trips/a/front.mp4", "day", 4),
    DemoVideo("trips/b/front.mp4", "night", 3),
    DemoVideo("trips/b/notes.mp4", "text", 0, expected_error=Reason.NOT_A_VIDEO),
    DemoVideo("trips/b/empty.mp4", "empty", 0, expected_error=Reason.EMPTY_FILE),
]
EXPECTED = Expected(VIDEOS, Fraction(1, 2), 2, OssUri("127.0.0.1:1", "bucket"))


def frame_row(video: DemoVideo, index: int) -> dict[str, Any]:
    image = image_id(video.key, index)
    return {
        "video_path": EXPECTED.uri(video),
        "video_id": video_id(video.key),
        "frame_idx": index,
        "frame_time_ms": index * 2000,
        "image_id": image,
        "image_url": f"oss://127.0.0.1:1/bucket/frames/ds=1/{video_id(video.key)}/{image}.jpg",
        "label_text": '{"weather": "clear", "caption": "a road"}',
        "label_json_valid": True,
        "image_embedding": "[0.5, 0.25]",
        "status": "ok",
        "error_stage": "",
        "error_type": "",
        "error_msg": "",
    }


def failed_row(video: DemoVideo) -> dict[str, Any]:
    row = frame_row(video, -1)
    row.update(dict.fromkeys(("image_url", "label_text", "image_embedding", "frame_time_ms")))
    row.update(status="failed", error_stage="frame_extraction", error_type="not_a_video")
    return row


def good() -> Found:
    rows = [
        frame_row(VIDEOS[0], 0),
        frame_row(VIDEOS[0], 1),
        frame_row(VIDEOS[1], 0),
        frame_row(VIDEOS[1], 1),
    ]
    counts = {"rows_in": 4, "ok": 4, "failed": 0, "filtered": 0, "skipped": 0}
    labels = {
        "table": "labels",
        "partition": "ds=1",
        "ok": 4,
        "carried_over": 0,
        "seconds": 1.5,
        "failures": {"frame_extraction": {"not_a_video": 1}},
        "tokens": {"input": 10, "output": 20, "embedding": 30},
        "stages": {
            "frame_extraction": {"rows_in": 3, "ok": 2, "failed": 1, "filtered": 0, "skipped": 0},
            "label": counts,
            "image_embedding": dict(counts),
        },
    }
    manifest = {
        "failures": {"manifest": {"empty_file": 1}},
        "stages": {"manifest": {"rows_in": 4, "ok": 3, "failed": 1, "filtered": 0, "skipped": 0}},
    }
    return Found(
        manifest=[{"video_path": EXPECTED.uri(video)} for video in EXPECTED.listed],
        labels=[*rows, failed_row(VIDEOS[2])],
        xcoms={
            "manifest": {"return_value": manifest, "verdict": "completed_with_failures"},
            "video_labels": {
                "return_value": labels,
                "verdict": "completed_with_failures",
                "failure_counts": {"frame_extraction": 1, "label": 0, "image_embedding": 0},
            },
        },
        frame_keys=[OssUri.parse(row["image_url"]).key for row in rows],
        messages=["8 videos"],
        logs={"server.log": "started"},
    )


def test_a_good_outcome_passes() -> None:
    assert problems(EXPECTED, good(), ["s3cret"], ["/home/me/"]) == []


def test_frame_times_are_those_of_the_rate() -> None:
    assert EXPECTED.frame_times(VIDEOS[0]) == [0, 2000]
    assert EXPECTED.frame_times(VIDEOS[1]) == [0, 2000]
    assert replace(EXPECTED, fps=Fraction(1)).frame_times(VIDEOS[1]) == [0, 1000, 2000]
    assert EXPECTED.frame_times(VIDEOS[2]) == []


DAMAGE: dict[str, Callable[[Any], object]] = {
    "frame times": lambda f: f.labels[1].update(frame_time_ms=2040),
    "is missing": lambda f: f.manifest.pop(),
    "not uploaded by the demo": lambda f: f.manifest.append({"video_path": "oss://127.0.0.1:1/bucket/x.mp4"}),
    "listed twice": lambda f: f.manifest.append(f.manifest[0]),
    "frame indexes": lambda f: f.labels.pop(1),
    "unknown video": lambda f: f.labels.append({**f.labels[0], "video_path": "oss://127.0.0.1:1/bucket/y"}),
    "failed at label: invalid_json": lambda f: f.labels[0].update(
        status="failed", error_stage="label", error_type="invalid_json"
    ),
    "video_id": lambda f: f.labels[0].update(video_id="0" * 16),
    "'decode_error'": lambda f: f.labels[4].update(error_type="decode_error"),
    "a model was asked": lambda f: f.labels[4].update(label_text="{}"),
    "same image_url": lambda f: f.labels[0].update(image_url=f.labels[1]["image_url"]),
    "named in a row and not there": lambda f: f.frame_keys.pop(),
    "there and in no row": lambda f: f.frame_keys.append("frames/ds=1/stale.jpg"),
    "the label is not JSON": lambda f: f.labels[0].update(label_text="clear"),
    "does not fit its schema": lambda f: f.labels[0].update(label_json_valid=False),
    "not an embedding of 2": lambda f: f.labels[0].update(image_embedding="[0.5]"),
    "label is StageCounts": lambda f: f.xcoms["video_labels"]["return_value"]["stages"]["label"].update(ok=3),
    "XCom 'verdict' of manifest": lambda f: f.xcoms["manifest"].update(verdict="completed"),
    "XCom 'failure_counts'": lambda f: f.xcoms["video_labels"].update(failure_counts={}),
    "rows carried over": lambda f: f.xcoms["video_labels"]["return_value"].update(tokens={}),
    "a row of the labels holds a secret": lambda f: f.labels[4].update(error_msg="key s3cret"),
    "an XCom holds a secret": lambda f: f.xcoms["manifest"].update(note="s3cret"),
    "server.log holds a secret": lambda f: f.logs.update({"server.log": "key=s3cret"}),
    "a row of the labels holds the local path": lambda f: f.labels[4].update(error_msg="in /home/me/x"),
    "a message of a task holds the local path": lambda f: f.messages.append("wrote /home/me/x"),
}


@pytest.mark.parametrize("said", DAMAGE)
def test_every_damage_is_named(said: str) -> None:
    found = copy.deepcopy(good())
    DAMAGE[said](found)
    lines = problems(EXPECTED, found, ["s3cret"], ["/home/me/"])
    assert any(said in line for line in lines), lines
    assert not any("s3cret" in line for line in lines)


def test_a_repeated_run_may_have_paid_nothing() -> None:
    found = good()
    report = found.xcoms["video_labels"]["return_value"]
    report.update(tokens={"input": 0, "output": 0, "embedding": 0}, carried_over=4)
    assert problems(EXPECTED, found, [], []) == []


def test_summary_shows_stages_reasons_and_rows() -> None:
    found = good()
    assert "frame_extraction   3   2       1         0        0  1 not_a_video" in stage_table(found)
    assert "labels ds=1" in totals(found)
    assert "failed at frame_extraction: not_a_video" in sample(found)
    assert "a road" in sample(found)


def log_line(**entry: object) -> str:
    return json.dumps({"level": "info", "logger": "airflow", **entry})


def test_progress_shows_our_messages_and_keeps_the_failure() -> None:
    progress = Progress()
    ours = "airflow.task.operators.airflow_provider_drivepipe.operators.oss_manifest.OssManifestOperator"
    lines = [
        "not json",
        log_line(event="DagBag filled"),
        log_line(event="[DAG TEST] starting task_id=manifest map_index=-1"),
        log_line(event="8 videos", logger=ours),
        log_line(event="slow", logger=ours, level="warning"),
        log_line(event="LogView: http://x", logger=ours),
        log_line(
            event="Task failed with exception",
            level="error",
            exception=[{"exc_type": "TransientError", "exc_value": "connection 'c' cannot be reached"}],
        ),
        log_line(event="[DAG TEST] starting task_id=manifest map_index=-1"),
    ]
    assert [shown for line in lines if (shown := progress.read(line))] == [
        "  manifest",
        "    8 videos",
        "    warning: slow",
        "    failed: TransientError: connection 'c' cannot be reached",
        "  manifest, try 2",
    ]
    assert progress.failure == "TransientError: connection 'c' cannot be reached"
    assert "LogView: http://x" in progress.messages


def test_summary_names_what_answered() -> None:
    reports = [{}, {"models": {"label": "local stand-in for m"}}]
    assert models(reports) == "  label: local stand-in for m"
