"""What must be true after the demo; pure: what was found in, what is not as it must be out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import (
    OssUri,
    Reason,
    StageCounts,
    Status,
    Verdict,
    image_id,
    video_id,
)
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.manifest import Manifest
from airflow_provider_drivepipe.pipelines.driving.models import IMAGE_EMBEDDING, LABEL

if TYPE_CHECKING:
    from maxcompute_local.samples.driving_videos import DemoVideo

MANIFEST_TASK = "manifest"
LABELS_TASK = "video_labels"
STAGES = (Manifest.name, FrameExtraction.name, LABEL, IMAGE_EMBEDDING)
"""Of both tasks, in order."""

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Expected:
    """What was put in.

    :param fps: frames per second of the scenario.
    :param dimension: length of the embeddings.
    :param root: URI of the bucket.
    """

    videos: Sequence[DemoVideo]
    fps: Fraction
    dimension: int
    root: OssUri

    @property
    def listed(self) -> list[DemoVideo]:
        """The videos that the manifest must hold: all but the empty one."""
        return [video for video in self.videos if video.expected_error != Reason.EMPTY_FILE]

    def frame_times(self, video: DemoVideo) -> list[int]:
        """Presentation times in milliseconds of a video's frames; empty for a broken one."""
        if video.expected_error is not None:
            return []
        count = 0
        while count / self.fps < Fraction(video.duration_sec):
            count += 1
        return [round(index * 1000 / self.fps) for index in range(count)]

    def uri(self, video: DemoVideo) -> str:
        """Full URI of a video."""
        return str(OssUri(self.root.endpoint, self.root.bucket, video.key))


@dataclass(frozen=True)
class Found:
    """What came out.

    :param xcoms: by task, then by key.
    :param frame_keys: keys of the JPEGs of this partition in OSS.
    :param messages: what our own code logged.
    :param logs: whole log files by name.
    """

    manifest: Sequence[Row]
    labels: Sequence[Row]
    xcoms: Mapping[str, Mapping[str, Any]]
    frame_keys: Sequence[str]
    messages: Sequence[str]
    logs: Mapping[str, str]

    def report(self, task: str) -> Mapping[str, Any]:
        """Return a task's stage report; empty when there is none."""
        value = self.xcoms.get(task, {}).get("return_value")
        return value if isinstance(value, dict) else {}

    def of_video(self, uri: str) -> list[Row]:
        """Return a video's rows by frame index."""
        return sorted((r for r in self.labels if r["video_path"] == uri), key=lambda r: int(r["frame_idx"]))


def problems(
    expected: Expected, found: Found, secrets: Iterable[str], local_paths: Iterable[str]
) -> list[str]:
    """Return a line for everything that is not as it must be."""
    checks: list[Callable[[Expected, Found], Iterable[str]]] = [
        _manifest,
        _videos,
        _frames_in_oss,
        _labels,
        _embeddings,
        _books,
    ]
    lines = [line for check in checks for line in check(expected, found)]
    texts = {
        "a row of the manifest": json.dumps([dict(r) for r in found.manifest], default=str),
        "a row of the labels": json.dumps([dict(r) for r in found.labels], default=str),
        "an XCom": json.dumps(found.xcoms, default=str),
        "a message of a task": "\n".join(found.messages),
    }
    return [*lines, *leaks(texts, found.logs, secrets, local_paths)]


def _manifest(expected: Expected, found: Found) -> Iterable[str]:
    want = {expected.uri(video) for video in expected.listed}
    have = [row["video_path"] for row in found.manifest]
    yield from (f"manifest: {uri} is missing" for uri in sorted(want - set(have)))
    yield from (f"manifest: {uri} was not uploaded by the demo" for uri in sorted(set(have) - want))
    if len(have) != len(set(have)):
        yield "manifest: a video is listed twice"
    empty = sum(video.expected_error == Reason.EMPTY_FILE for video in expected.videos)
    failures = found.report(MANIFEST_TASK).get("failures")
    wanted = {Manifest.name: {str(Reason.EMPTY_FILE): empty}}
    if failures != wanted:
        yield f"manifest: failures are {failures}, not {wanted}"


def _videos(expected: Expected, found: Found) -> Iterable[str]:
    known = {expected.uri(video) for video in expected.listed}
    yield from sorted(
        {f"labels: unknown video {r['video_path']}" for r in found.labels}
        - {f"labels: unknown video {uri}" for uri in known}
    )
    for video in expected.listed:
        rows = found.of_video(expected.uri(video))
        if video.expected_error is None:
            yield from _good_video(expected, video, rows)
        else:
            yield from _broken_video(video, rows)


def _good_video(expected: Expected, video: DemoVideo, rows: Sequence[Row]) -> Iterable[str]:
    times = expected.frame_times(video)
    if [row["frame_time_ms"] for row in rows] != times:
        yield f"{video.key}: frame times {[row['frame_time_ms'] for row in rows]}, not {times}"
    if [row["frame_idx"] for row in rows] != list(range(len(times))):
        yield f"{video.key}: frame indexes {[row['frame_idx'] for row in rows]}"
    for row in rows:
        where = f"{video.key}, frame {row['frame_idx']}"
        if row["status"] != Status.OK:
            yield f"{where}: {row['status']} at {row['error_stage']}: {row['error_type']}: {row['error_msg']}"
        if row["video_id"] != video_id(video.key):
            yield f"{where}: video_id {row['video_id']}, not {video_id(video.key)}"
        if row["image_id"] != image_id(video.key, row["frame_idx"]):
            yield f"{where}: image_id {row['image_id']}"


def _broken_video(video: DemoVideo, rows: Sequence[Row]) -> Iterable[str]:
    want = [(-1, str(Status.FAILED), FrameExtraction.name, str(video.expected_error))]
    have = [(r["frame_idx"], r["status"], r["error_stage"], r["error_type"]) for r in rows]
    if have != want:
        yield f"{video.key}: rows {have}, not {want}"
    if any(r["label_text"] is not None or r["image_embedding"] is not None for r in rows):
        yield f"{video.key}: a model was asked about a video without frames"


def _frames_in_oss(_expected: Expected, found: Found) -> Iterable[str]:
    urls = [row["image_url"] for row in found.labels if row["frame_idx"] >= 0]
    if len(urls) != len(set(urls)):
        yield "labels: two rows have the same image_url"
    want = {OssUri.parse(url).key for url in urls if url}
    have = set(found.frame_keys)
    yield from (f"OSS: {key} is named in a row and not there" for key in sorted(want - have))
    yield from (f"OSS: {key} is there and in no row" for key in sorted(have - want))


def _labels(_expected: Expected, found: Found) -> Iterable[str]:
    for row in _ok(found):
        try:
            label = json.loads(row["label_text"] or "")
        except ValueError:
            yield f"{row['image_url']}: the label is not JSON: {str(row['label_text'])[:80]!r}"
            continue
        if not isinstance(label, dict) or row["label_json_valid"] is not True:
            yield f"{row['image_url']}: the label does not fit its schema"


def _embeddings(expected: Expected, found: Found) -> Iterable[str]:
    for row in _ok(found):
        try:
            vector = json.loads(row["image_embedding"] or "")
        except ValueError:
            yield f"{row['image_url']}: the embedding is not JSON"
            continue
        numbers = isinstance(vector, list) and all(isinstance(value, float | int) for value in vector)
        if not numbers or len(vector) != expected.dimension or not any(vector):
            yield f"{row['image_url']}: not an embedding of {expected.dimension} numbers"


def _books(expected: Expected, found: Found) -> Iterable[str]:
    report = found.report(LABELS_TASK)
    broken = [video for video in expected.listed if video.expected_error is not None]
    frames = sum(len(expected.frame_times(video)) for video in expected.videos)
    listed = len(expected.listed)
    want = {
        FrameExtraction.name: StageCounts(listed, listed - len(broken), len(broken)),
        LABEL: StageCounts(frames, frames),
        IMAGE_EMBEDDING: StageCounts(frames, frames),
    }
    stages = report.get("stages") or {}
    for stage, counts in want.items():
        have = StageCounts(**stages[stage]) if stage in stages else None
        if have != counts:
            yield f"report of {LABELS_TASK}: {stage} is {have}, not {counts}"
    reasons: dict[str, int] = {}
    for video in broken:
        reasons[str(video.expected_error)] = reasons.get(str(video.expected_error), 0) + 1
    if report.get("failures") != {FrameExtraction.name: reasons}:
        yield f"report of {LABELS_TASK}: failures are {report.get('failures')}, not {reasons}"
    for task in (MANIFEST_TASK, LABELS_TASK):
        if found.xcoms.get(task, {}).get("verdict") != Verdict.COMPLETED_WITH_FAILURES:
            yield f"XCom 'verdict' of {task} is {found.xcoms.get(task, {}).get('verdict')}"
    failed = found.xcoms.get(LABELS_TASK, {}).get("failure_counts")
    if failed != {stage: counts.failed for stage, counts in want.items()}:
        yield f"XCom 'failure_counts' of {LABELS_TASK} is {failed}"
    tokens = report.get("tokens") or {}
    paid = bool(tokens.get("input") and tokens.get("output") and tokens.get("embedding"))
    if paid == (report.get("carried_over") == frames):
        yield f"report of {LABELS_TASK}: tokens {tokens} with {report.get('carried_over')} rows carried over"


def leaks(
    texts: Mapping[str, str], logs: Mapping[str, str], secrets: Iterable[str], local_paths: Iterable[str]
) -> Iterable[str]:
    """Yield a line for each secret in the named texts or logs, and for each local path in the texts."""
    for path in local_paths:
        yield from (f"{where} holds the local path {path}" for where, text in texts.items() if path in text)
    for secret in secrets:
        for where, text in {**texts, **logs}.items():
            if secret in text:
                # Which one is told by its beginning: the whole would be one more leak.
                yield f"{where} holds a secret ({secret[:3]}…)"


def _ok(found: Found) -> list[Row]:
    return [row for row in found.labels if row["status"] == Status.OK]
