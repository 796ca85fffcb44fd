"""What must be true after the reasoning demo; pure: what was found in, what is not as it must be out."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.cli.demo_checks import Row, leaks
from airflow_provider_drivepipe.contracts import Reason, StageCounts, Status
from airflow_provider_drivepipe.pipelines.reasoning.export import FORMAT, ITEMS_JSONL, ITEMS_PARQUET

MANIFEST, FILTER, CAPTIONS, HIGHLIGHTS, ITEMS, EXPORT = (
    "manifest",
    "video_filter",
    "video_captions",
    "highlights",
    "qa_items",
    "qa_export",
)
"""The tasks that are looked at by name."""
_ONE_ROW_EACH = (MANIFEST, FILTER, CAPTIONS, HIGHLIGHTS, "descriptions")

_FINE_TIMES = re.compile(r"\b[0-9]{2}:[0-9]{2}\.[0-9]")

Fate = tuple[Status, str, Reason]
"""Status, stage and reason of a video that must not come through."""


@dataclass(frozen=True)
class Expected:
    """What was put in: by the URI of each video, what must become of it; None where models decide."""

    videos: Mapping[str, Fate | None]
    root: str

    @property
    def stopped(self) -> dict[str, Fate]:
        """The videos that must not come through."""
        return {video: fate for video, fate in self.videos.items() if fate is not None}


@dataclass(frozen=True)
class Found:
    """What came out.

    :param tables: rows by task, of all tasks but the export, in order.
    :param xcoms: by task, then by key.
    :param pointer: what ``manifest.json`` of the export says; empty when there is none.
    :param files: content of the exported files that it names, by name; those that are not there are left out.
    :param calls: model calls that the local cloud counted.
    :param messages: what our own code logged.
    :param logs: whole log files by name.
    """

    tables: Mapping[str, Sequence[Row]]
    xcoms: Mapping[str, Mapping[str, Any]]
    pointer: Mapping[str, Any]
    files: Mapping[str, bytes]
    calls: int
    messages: Sequence[str]
    logs: Mapping[str, str]

    @property
    def reports(self) -> dict[str, Mapping[str, Any]]:
        """The stage report of each task; empty for one that left none."""
        tasks = (*self.tables, EXPORT)
        return {task: self.xcoms.get(task, {}).get("return_value") or {} for task in tasks}

    @property
    def items(self) -> list[dict[str, Any]]:
        """The exported items."""
        return [json.loads(line) for line in self.files.get(ITEMS_JSONL, b"").splitlines()]

    @property
    def tokens(self) -> int:
        """Tokens that the tasks say they paid."""
        return sum(sum((report.get("tokens") or {}).values()) for report in self.reports.values())

    @property
    def all_kept(self) -> bool:
        """Whether every row that is ok was there before this run, and no model has failed a row."""
        asking = [report for report in self.reports.values() if report.get("models")]
        return all(
            report["carried_over"] == report["ok"] and not set(report["failures"]) & set(report["models"])
            for report in asking
        )


def problems(
    expected: Expected, found: Found, secrets: Iterable[str], local_paths: Iterable[str]
) -> list[str]:
    """Return a line for everything that is not as it must be."""
    checks: list[Callable[[Expected, Found], Iterable[str]]] = [
        _accounted_for,
        _stopped,
        _balanced,
        _times,
        _export,
        _paid,
    ]
    texts = {
        **{f"a row of {task}": json.dumps(rows, default=str) for task, rows in found.tables.items()},
        "an exported file": b"\n".join(found.files.values()).decode(errors="replace"),
        "an XCom": json.dumps(found.xcoms, default=str),
        "a message of a task": "\n".join(found.messages),
    }
    lines = [line for check in checks for line in check(expected, found)]
    return [*lines, *leaks(texts, found.logs, secrets, local_paths)]


def _accounted_for(expected: Expected, found: Found) -> Iterable[str]:
    anomalies = {row["video_path"] for row in found.tables[CAPTIONS] if row["filter_mode"] == "anomaly"}
    for task, rows in found.tables.items():
        want = anomalies if task == HIGHLIGHTS else set(expected.videos)
        have = Counter(row["video_path"] for row in rows)
        yield from (f"{task}: {video} is missing" for video in sorted(want - set(have)))
        yield from (f"{task}: {video} does not belong there" for video in sorted(set(have) - want))
        if task in _ONE_ROW_EACH:
            yield from (f"{task}: {video} is there {n} times" for video, n in have.items() if n > 1)


def _stopped(expected: Expected, found: Found) -> Iterable[str]:
    for row in found.tables[FILTER]:
        fate = expected.stopped.get(row["video_path"])
        have = (row["status"], row["error_stage"], row["error_type"])
        if fate is not None and have != fate:
            yield f"{FILTER}: {row['video_path']} is {have}, not {tuple(map(str, fate))}"
    for task, rows in found.tables.items():
        if task != MANIFEST:
            through = {row["video_path"] for row in rows if row["status"] == Status.OK}
            yield from (f"{task}: {video} came through" for video in sorted(through & set(expected.stopped)))


def _balanced(_expected: Expected, found: Found) -> Iterable[str]:
    names = StageCounts.__dataclass_fields__
    for task, report in found.reports.items():
        if not report:
            yield f"{task} left no report"
            continue
        for stage, counts in {"rows": {name: report[name] for name in names}, **report["stages"]}.items():
            if not StageCounts(**counts).balanced():
                yield f"report of {task}: {stage} do not balance: {counts}"
        if task not in (MANIFEST, EXPORT):
            have = Counter(row["status"] for row in found.tables[task])
            want = {str(status): report[status] for status in Status if report[status]}
            if have != want:
                yield f"report of {task}: counts are {want}, those of the table {dict(have)}"


def _times(_expected: Expected, found: Found) -> Iterable[str]:
    for row in found.tables[ITEMS]:
        start, end = row["start_ms"], row["end_ms"]
        has_times = row["status"] == Status.OK and start is not None
        if has_times and not 0 <= start < (end or 0) <= row["duration_ms"]:
            yield f"item {row['item_id']}: {start} to {end} ms of {row['duration_ms']} ms"


def _export(expected: Expected, found: Found) -> Iterable[str]:
    ok = {row["item_id"] for row in found.tables[ITEMS] if row["status"] == Status.OK}
    if not ok:
        yield "not one item came out"
    for file in found.pointer.get("files", []):
        content = found.files.get(file["name"])
        if content is None:
            yield f"export: {file['name']} is named in manifest.json and not there"
        elif hashlib.sha256(content).hexdigest() != file["sha256"]:
            yield f"export: {file['name']} is not what manifest.json says"
        elif file["name"] not in (ITEMS_JSONL, ITEMS_PARQUET):
            yield from _task_file(expected, file, json.loads(content))
    exported = {item["item_id"] for item in found.items}
    if exported != ok:
        yield f"export: {len(exported)} items, {len(ok)} are ok in the table"


def _task_file(expected: Expected, file: Mapping[str, Any], content: Mapping[str, Any]) -> Iterable[str]:
    if content["format"] != FORMAT or len(content["items"]) != file["items"]:
        yield f"export: {file['name']} holds {len(content['items'])} items in {content['format']}"
    unknown = {f"{expected.root}/{item['video_id']}" for item in content["items"]} - set(expected.videos)
    yield from (f"export: {file['name']} speaks of {video}" for video in sorted(unknown))
    times = _FINE_TIMES.findall(json.dumps(content))
    yield from (f"export: {file['name']} has the time {time}, not MM:SS" for time in sorted(set(times)))


def _paid(_expected: Expected, found: Found) -> Iterable[str]:
    if (found.calls > 0) != (found.tokens > 0):
        yield f"{found.calls} model calls were counted, and {found.tokens} tokens reported"
    if found.all_kept and found.calls:
        yield f"everything was there, and models were called {found.calls} times"
