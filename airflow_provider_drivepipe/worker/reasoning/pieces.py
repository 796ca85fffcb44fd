"""Pieces of videos for models to look at: shown as a clip or as a sheet, written to OSS, in a child process.

Runs in DPE workers: standard library, numpy, PyAV and Pillow.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from airflow_provider_drivepipe.contracts import Reason, video_id
from airflow_provider_drivepipe.worker.child import ChildDiedError, ChildTimeoutError, run_in_child
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.output_folder import OutputFolder
from airflow_provider_drivepipe.worker.paths import (
    check_output_prefix,
    inside,
    key_below_root,
    object_key,
    output_url,
)
from airflow_provider_drivepipe.worker.reasoning.clips import ClipRules, cut_clip
from airflow_provider_drivepipe.worker.reasoning.footage import Footage, Span, open_footage
from airflow_provider_drivepipe.worker.reasoning.sheets import SheetRules, draw_sheet
from airflow_provider_drivepipe.worker.serving_child import ServingChild
from airflow_provider_drivepipe.worker.video import load_decoder

_CLEANUP_SEC = 30.0
_NAME_ROOM = len("/0123456789abcdef/chunk_0000.mp4")


@dataclass(frozen=True, kw_only=True)
class VideoJob:
    """What all jobs on videos have in common.

    ``oss_root`` (a full OSS URI) is mounted at ``mount_path``; pieces go to
    ``<oss_root>/<output_prefix>/<video_id>/``. ``timeout_sec`` is the deadline for opening and measuring a
    video, and for each of its pieces. With ``sheet`` pieces are sheets of frames, without it clips.
    """

    oss_root: str
    mount_path: str
    output_prefix: str
    timeout_sec: int
    sheet: SheetRules | None = None

    def check(self) -> None:
        """Raise ValueError for a job that no video can fulfil."""
        check_output_prefix(self.output_prefix, self.oss_root, _NAME_ROOM)
        if self.timeout_sec < 1:
            raise ValueError("the deadline is at least 1 second")
        if self.sheet is not None:
            self.sheet.check()


@dataclass(frozen=True, kw_only=True)
class CutJob(VideoJob):
    """What jobs have in common that show parts of videos; ``clip`` is how clips are encoded."""

    clip: ClipRules = field(default_factory=ClipRules)

    def check(self) -> None:
        """Raise ValueError for a job that no video can fulfil."""
        super().check()
        self.clip.check()


@dataclass(frozen=True)
class VideoPlace:
    """Where a video is: its key below the root, and its identity."""

    key: str
    video_id: str


def place_of(path: object, job: VideoJob) -> VideoPlace:
    """Return where the video of a row is; raise VideoError for a path that leads elsewhere."""
    key = key_below_root(path, job.oss_root)
    return VideoPlace(key, video_id(object_key(str(path), job.oss_root)))


@dataclass(frozen=True)
class Writer:
    """Writes the pieces of one video, in the child process that works on it; ``parent`` waits for that."""

    place: VideoPlace
    job: VideoJob
    parent: int

    def sheet(self, footage: Footage, span: Span, stem: str, rules: SheetRules) -> dict[str, Any]:
        """Write a sheet of ``span``; return its file name, its URI, and the times on it as JSON."""
        sheet = draw_sheet(footage, span, rules)
        return self._written(f"{stem}.jpg", sheet.content, json.dumps(sheet.times_ms))

    def piece(self, footage: Footage, span: Span, stem: str, job: CutJob) -> dict[str, Any]:
        """Write ``span`` as a clip or as a sheet; return as :meth:`sheet` does, no times for a clip."""
        if job.sheet is not None:
            return self.sheet(footage, span, stem, job.sheet)
        return self._written(f"{stem}.mp4", cut_clip(footage, span, job.clip), None)

    def _written(self, name: str, content: bytes, times: str | None) -> dict[str, Any]:
        if os.getppid() != self.parent:
            # Nobody waits any more; another try may be writing this piece.
            os._exit(1)
        url = output_url(self.job.oss_root, self.job.output_prefix, self.place.video_id, name)
        with _folder(self.place, self.job, create=True) as folder:
            folder.write(name, f".{name}.tmp", content)
        return {"name": name, "url": url, "times": times}


class VideoProcess:
    """A child process that works on one video: a decoder that hangs or crashes takes nothing else with it.

    A context manager. After a request that hung or crashed, the next one opens the video again.
    """

    def __init__(
        self, place: VideoPlace, job: VideoJob, work: Callable[[Footage, Writer, int], dict[str, Any]]
    ) -> None:
        """``work`` gets the number of the request too; it returns what JSON can carry."""
        self._place = place
        self._job = job
        self._work = work
        self._writer = Writer(place, job, os.getpid())
        self._opened = contextlib.ExitStack()
        self._footage: Footage | None = None
        load_decoder()
        self._child = ServingChild(self._answer, job.timeout_sec)

    def __enter__(self) -> VideoProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close()

    def ask(self, number: int) -> dict[str, Any]:
        """Return what ``work`` makes of request ``number``; raise VideoError."""
        try:
            answer: dict[str, Any] = self._child.ask(number)
        except ChildTimeoutError as error:
            raise VideoError(Reason.TIMEOUT, f"not done within {self._job.timeout_sec} seconds") from error
        except ChildDiedError as error:
            raise VideoError(Reason.DECODE_ERROR, f"the decoder process {error}") from error
        except OSError as error:
            raise VideoError(
                Reason.DECODE_ERROR, f"no decoder process can be started: {error.strerror}"
            ) from error
        if "reason" in answer:
            message = " ".join(answer["message"].replace(self._job.mount_path, "").split())
            raise VideoError(answer["reason"], message)
        return answer

    def _answer(self, number: int) -> dict[str, Any]:
        """Return what the work gives or the reason why not; runs in the child."""
        try:
            if self._footage is None:
                source = inside(pathlib.Path(self._job.mount_path), *self._place.key.split("/"))
                self._footage = self._opened.enter_context(open_footage(str(source)))
            return self._work(self._footage, self._writer, number)
        except VideoError as error:
            return {"reason": error.reason, "message": str(error)}
        except MemoryError:
            return {"reason": Reason.DECODE_ERROR, "message": "out of memory while decoding"}
        except OSError as error:
            return {"reason": Reason.WRITE_ERROR, "message": f"a piece cannot be written: {error.strerror}"}
        except Exception as error:  # noqa: BLE001  (one broken video must not fail the others of its chunk)
            return {"reason": Reason.DECODE_ERROR, "message": f"decoding failed: {type(error).__name__}"}


def remove_others(place: VideoPlace, job: VideoJob, kind: str, kept: Collection[str]) -> None:
    """Remove pieces of an earlier run, and what was left half-written; in a child, for a mount may hang.

    :param kind: regular expression of the stems of the pieces in question.
    """
    ours = re.compile(rf"(?:{kind})\.(?:mp4|jpg)|\.(?:{kind})\.(?:mp4|jpg)\.tmp")

    def remove() -> str:
        try:
            with _folder(place, job, create=False) as folder:
                for name in folder.names():
                    if name not in kept and ours.fullmatch(name):
                        folder.remove(name)
        except FileNotFoundError:
            return ""
        except (VideoError, OSError) as error:
            return type(error).__name__
        return ""

    try:
        problem = run_in_child(remove, _CLEANUP_SEC)
    except (ChildTimeoutError, ChildDiedError, OSError) as error:
        problem = type(error).__name__
    if problem:
        print(f"{place.video_id}: older pieces could not be removed: {problem}", flush=True)  # noqa: T201


def tried(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a row of input that say which try it is, 1 where it does not say, and of what."""
    path, fingerprint = row.get("video_path"), row.get("fingerprint")
    try:
        attempt = max(1, int(row.get("attempt", 1)))
    except (TypeError, ValueError, OverflowError):
        attempt = 1
    return {
        # Text that a table can hold; half a surrogate pair becomes a question mark.
        "video_path": path.encode(errors="replace").decode() if isinstance(path, str) else None,
        "attempt": attempt,
        "fingerprint": fingerprint if isinstance(fingerprint, str) else None,
    }


def _folder(place: VideoPlace, job: VideoJob, *, create: bool) -> OutputFolder:
    segments = (*job.output_prefix.split("/"), place.video_id)
    return OutputFolder(pathlib.Path(job.mount_path), segments, create=create)
