"""Tags of sessions, and what the sessions command makes of its arguments, without any service."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import timedelta

import pytest

from airflow_provider_drivepipe.cli import sessions
from airflow_provider_drivepipe.hooks.maxframe import JobState, JobStatus
from airflow_provider_drivepipe.hooks.sessions import (
    TAGS_SETTING,
    SessionTags,
    installation,
    read_tags,
    tag_settings,
)

TAGS = SessionTags("driving", "manual__2026-11-20T00:00:00+00:00", "label", 3, 2)


def test_tags_are_read_as_they_were_written() -> None:
    written = json.dumps(tag_settings(TAGS, "https://airflow.example"))
    assert read_tags(written) == (TAGS, "https://airflow.example")


def test_job_identifiers_keep_to_the_documented_lengths() -> None:
    long = SessionTags("dag" * 80, "run" * 80, "tâche" * 50, -1, 1)
    settings = tag_settings(long, "")
    assert all(isinstance(value, str) for value in settings.values())
    assert len(settings["EXT_PLATFORM_ID"]) <= 32
    assert len(settings["EXT_NODE_ID"]) <= 64
    assert len(settings["EXT_NODE_NAME"]) <= 128
    assert settings["EXT_NODE_NAME"].isascii()
    assert settings["EXT_TASK_ID"].endswith(":-1:1")
    assert read_tags(json.dumps(settings)) == (long, "")


@pytest.mark.parametrize(
    "settings",
    [
        None,
        "",
        "no json",
        "[]",
        "{}",
        json.dumps({TAGS_SETTING: 5}),
        json.dumps({TAGS_SETTING: "no json"}),
        json.dumps({TAGS_SETTING: json.dumps({"dag_id": "d"})}),
        json.dumps({TAGS_SETTING: json.dumps({**asdict(TAGS), "installation": "", "map_index": "3"})}),
    ],
)
def test_anything_else_has_no_tags(settings: str | None) -> None:
    assert read_tags(settings) is None


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://airflow.example/team/", "https://airflow.example/team"),
        ("https://user:password@airflow.example", "https://airflow.example"),
        ("", ""),
    ],
)
def test_installation_is_the_base_url_without_credentials(
    base_url: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert installation() == expected


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1d", 86400)])
def test_ages_are_read(text: str, seconds: int) -> None:
    assert sessions.duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stop", "--yes"],
        ["--stop", "--all"],
        ["--stop", "--all", "--json"],
        ["--older-than", "2"],
        ["--older-than", "-2h"],
        ["--older-than", "two hours"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: "--json" in arguments, raising=False)
    with pytest.raises(SystemExit) as ended:
        sessions.main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "0m05s"), (125, "2m05s"), (7380, "2h03m"), (100_000, "1d03h"), (-3, "0m00s")]
)
def test_ages_are_shown(seconds: int, text: str) -> None:
    assert sessions._age_text(timedelta(seconds=seconds)) == text


def test_the_running_job_is_shown_else_the_last() -> None:
    done, running = JobStatus(JobState.SUCCEEDED, 1.0), JobStatus(JobState.RUNNING, 0.4)
    assert sessions._job_text(None) == "?"
    assert sessions._job_text({}) == "none"
    assert sessions._job_text({"a": running, "b": done}) == "running 40 %"
    assert sessions._job_text({"a": done, "b": JobStatus(JobState.FAILED)}) == "failed"


def test_tags_cannot_steer_the_terminal() -> None:
    assert sessions._printable("tâche 漢字") == "tâche 漢字"
    assert "\x1b" not in sessions._printable("task\x1b[2J")
