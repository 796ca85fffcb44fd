"""The summary of the reasoning demo, as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from textwrap import fill
from typing import Any

from airflow_provider_drivepipe.cli.demo_reasoning_checks import EXPORT, Found
from airflow_provider_drivepipe.cli.text_table import table
from airflow_provider_drivepipe.contracts import OssUri
from airflow_provider_drivepipe.pipelines.reasoning.quality import FLAGS

_WIDTH = 100
_SAMPLES = 3


def tasks(found: Found) -> str:
    """Return a line per task: its rows by status, why some are not ok, what was kept and what was paid."""
    lines = []
    for task, report in found.reports.items():
        reasons = Counter(row.get("error_type") for row in found.tables.get(task, ()))
        tokens = report.get("tokens") or {}
        counts = ("rows_in", "ok", "failed", "filtered", "skipped", "carried_over")
        lines.append(
            [
                task,
                *(str(report.get(name)) for name in counts),
                str(tokens.get("input", 0)),
                str(tokens.get("output", 0)),
                f"{float(report.get('seconds') or 0):.1f} s",
                ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items(), key=str) if reason),
            ]
        )
    header = ["task", "rows", "ok", "failed", "filtered", "skipped", "kept", "tokens in", "out", "time"]
    return table([*header, "why not ok"], lines)


def files(found: Found) -> str:
    """Return a line per exported file."""
    lines = [
        [file["name"], str(file["items"]), str(file["size_bytes"])] for file in found.pointer.get("files", [])
    ]
    return table(["file", "items", "bytes"], lines)


def quality(found: Found) -> str:
    """Return a line per task: its items, and how many have which flag; then how answers are balanced."""
    said = found.reports[EXPORT].get("quality") or {"tasks": {}}
    flags = [flag for flag in FLAGS if any(flag in of["flags"] for of in said["tasks"].values())]
    lines = [
        [task, str(of["items"]), *(str(of["flags"][flag]["items"]) for flag in flags)]
        for task, of in sorted(said["tasks"].items())
    ]
    balance = [
        f"\n  right answers of {task}: {', '.join(f'{n} {choice}' for choice, n in sorted(counts.items()))}"
        for task, counts in said.get("answers", {}).items()
    ]
    return table(["task", "items", *flags], lines) + "".join(balance)


def sample(found: Found) -> str:
    """Return a few items of different types and videos, those with times first."""
    chosen: list[Mapping[str, Any]] = []
    for item in sorted(found.items, key=lambda item: item["start_ms"] is None):
        if all(item["video_path"] != c["video_path"] and item["qa_type"] != c["qa_type"] for c in chosen):
            chosen.append(item)
    return "\n\n".join(map(_shown, chosen[:_SAMPLES]))


def calls(found: Found) -> str:
    """Return what the run paid, as a sentence."""
    if found.calls == 0:
        return "0 model calls: every answer was there from an earlier run."
    return f"{found.calls} model calls, {found.tokens} tokens. Run it again: no answer is paid for twice."


def _shown(item: Mapping[str, Any]) -> str:
    video = OssUri.parse(item["video_path"]).key.rpartition("/")[2]
    start, end = item["start_ms"], item["end_ms"]
    when = "the whole video" if start is None else f"{start / 1000:.1f} s to {end / 1000:.1f} s"
    options = [f"{letter}. {option}" for letter, option in zip("ABCDEFGH", item["options"], strict=False)]
    said = {
        "question": " | ".join([item["question"], *options]),
        "answer": item["answer"],
        "reasoning": item["reasoning"],
    }
    lines = [
        fill(f"    {name:<10} {text}", _WIDTH, subsequent_indent=" " * 15)
        for name, text in said.items()
        if text
    ]
    return "\n".join([f"  {item['qa_type']} of {video}, {when}", *lines])
