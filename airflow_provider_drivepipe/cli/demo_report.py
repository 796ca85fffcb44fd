"""The demo's summary, as text for a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_drivepipe.cli.demo_checks import LABELS_TASK, MANIFEST_TASK, STAGES, Found, Row
from airflow_provider_drivepipe.cli.text_table import table
from airflow_provider_drivepipe.contracts import OssUri

_CAPTION_WIDTH = 48


def stage_table(found: Found) -> str:
    """Return a line per stage: in, ok, failed by reason."""
    lines = []
    for task in (MANIFEST_TASK, LABELS_TASK):
        report = found.report(task)
        failures = report.get("failures") or {}
        # PostgreSQL keeps JSON objects in an order of its own.
        counted = report.get("stages") or {}
        for stage in filter(counted.__contains__, STAGES):
            counts = counted[stage]
            reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(failures.get(stage, {}).items()))
            numbers = [str(counts[name]) for name in ("rows_in", "ok", "failed", "filtered", "skipped")]
            lines.append([stage, *numbers, reasons])
    return table(["stage", "in", "ok", "failed", "filtered", "skipped", "failed by reason"], lines)


def totals(found: Found) -> str:
    """Return a line per task: rows, carried over, tokens, time."""
    lines = []
    for task in (MANIFEST_TASK, LABELS_TASK):
        report = found.report(task)
        tokens = report.get("tokens") or {}
        lines.append(
            [
                task,
                f"{report.get('table')} {report.get('partition')}",
                str(report.get("ok")),
                str(report.get("carried_over")),
                str(tokens.get("input", 0)),
                str(tokens.get("output", 0)),
                str(tokens.get("embedding", 0)),
                f"{float(report.get('seconds') or 0):.1f} s",
            ]
        )
    header = ["task", "partition written", "ok", "carried over", "tokens in", "out", "embedding", "time"]
    return table(header, lines)


def models(reports: Iterable[Mapping[str, Any]]) -> str:
    """Return a line per stage that asks a model: what its answers come from."""
    who = [pair for report in reports for pair in (report.get("models") or {}).items()]
    return "\n".join(f"  {stage}: {model}" for stage, model in who)


def sample(found: Found) -> str:
    """Return the middle frame of each video with its label, and the videos that failed with their reason."""
    by_video: dict[str, list[Row]] = {}
    for row in sorted(found.labels, key=lambda row: (row["video_path"], row["frame_idx"])):
        by_video.setdefault(row["video_path"], []).append(row)
    lines = [_sampled(rows[len(rows) // 2]) for rows in by_video.values()]
    return table(["video", "at", "weather", "time of day", "scene", "caption or failure"], lines)


def _sampled(row: Row) -> list[str]:
    video = "/".join(OssUri.parse(row["video_path"]).key.split("/")[-2:])
    if row["status"] != "ok":
        return [video, "", "", "", "", f"{row['status']} at {row['error_stage']}: {row['error_type']}"]
    label: Mapping[str, Any] = json.loads(row["label_text"])
    values = [str(label.get(name)) for name in ("weather", "time_of_day", "scene_type", "caption")]
    if len(values[-1]) > _CAPTION_WIDTH:
        values[-1] = values[-1][: _CAPTION_WIDTH - 1] + "…"
    return [video, f"{row['frame_time_ms'] / 1000:g} s", *values]
