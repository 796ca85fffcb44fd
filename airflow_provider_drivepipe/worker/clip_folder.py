"""What a clip's directory holds: its images in natural order, and what is left out. Runs in DPE workers."""

from __future__ import annotations

import errno
import os
import pathlib
import re
from collections import Counter
from dataclasses import dataclass, field

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.paths import MAX_KEY_BYTES, inside, key_below_root

SIDECAR_NAMES = ("timestamps.txt", "timestamps.csv", "timestamps.json")
"""Files of timestamps, in lower case."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
_NUMBERS = re.compile(r"([0-9]+)")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_SAID: dict[str, str] = {
    Reason.PATH_OUTSIDE_ROOT: "the clip's directory is not below the declared OSS root",
    Reason.PATH_TRAVERSAL: (
        "the clip's directory has empty, '.' or '..' segments, or control characters, "
        "as it is written or after decoding"
    ),
    Reason.NOT_FOUND: f"there is no such directory: OSS keys have {MAX_KEY_BYTES} bytes",
}


@dataclass
class ClipFolder:
    """The images of a directory.

    :param names: every image file in natural order, also those that cannot be used: recorders write a
        timestamp for these too.
    :param unusable: those of ``names`` that are no keyframes: empty files, links, unsafe names.
    :param sidecars: files of timestamps.
    :param left_out: how many entries are no keyframes, by kind.
    """

    names: list[str] = field(default_factory=list)
    unusable: set[str] = field(default_factory=set)
    sidecars: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def describe(self) -> str:
        """Return what is left out as one line; empty when nothing is."""
        return ", ".join(f"{n} {kind}" for kind, n in sorted(self.left_out.items()))


def clip_key(clip_dir: object, oss_root: str) -> str:
    """Return a clip directory's key relative to ``oss_root``; raise VideoError for one that leads elsewhere.

    :param clip_dir: a full OSS URI below ``oss_root``, or a path relative to it; one ``/`` may end it.
    """
    root = oss_root.rstrip("/")
    path = clip_dir.removesuffix("/") if isinstance(clip_dir, str) else ""
    first = path.partition("/")[0]
    if path.startswith("oss://"):
        if not path.startswith(root + "/"):
            raise VideoError(Reason.PATH_OUTSIDE_ROOT, _SAID[Reason.PATH_OUTSIDE_ROOT])
        path = path[len(root) + 1 :]
    elif not first or first.endswith(":"):
        raise VideoError(Reason.PATH_OUTSIDE_ROOT, _SAID[Reason.PATH_OUTSIDE_ROOT])
    try:
        key_below_root(f"{root}/{path}", root)
    except VideoError as error:
        raise VideoError(error.reason, _SAID[error.reason]) from error
    return path


def list_clip(mount: pathlib.Path, key: str, extensions: tuple[str, ...], max_files: int) -> ClipFolder:
    """Return what a clip's directory holds; sub-folders are not entered.

    Links are never followed: on OSS, a link is an object without the image's bytes. Raises VideoError for a
    directory that is absent or unreadable, for more than ``max_files`` entries, and for links that lead out
    of ``mount``.
    """
    try:
        return _list(mount, inside(mount, *key.split("/")), extensions, max_files)
    except OSError as error:
        if error.errno in _ABSENT:
            raise VideoError(Reason.NOT_FOUND, "there is no such directory") from error
        raise VideoError(Reason.ACCESS_DENIED, f"the directory cannot be read: {error.strerror}") from error


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Return what sorts ``frame2`` before ``frame10``; the name itself breaks ties such as ``frame02``."""
    parts = _NUMBERS.split(name)
    return [int(part) if at % 2 else part for at, part in enumerate(parts)], name


def choose(total: int, count: int | None, stride: int | None) -> list[int]:
    """Return the positions of the keyframes among ``total`` images: by count, by stride, or all.

    ``count`` positions are spread evenly, the first and the last included; one alone is the first.
    """
    if stride is not None:
        return list(range(0, total, stride))
    if count is None or count >= total:
        return list(range(total))
    gaps = max(1, count - 1)
    return [(2 * at * (total - 1) + gaps) // (2 * gaps) for at in range(count)]


def _list(
    mount: pathlib.Path, folder: pathlib.Path, extensions: tuple[str, ...], max_files: int
) -> ClipFolder:
    found = ClipFolder()
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries, 1):
            if number > max_files:
                raise VideoError(Reason.TOO_MANY_FILES, f"the directory holds more than {max_files} files")
            kind = _kind(entry, mount, extensions)
            if kind == "sidecar":
                found.sidecars.append(entry.name)
                continue
            if kind != "image":
                found.left_out[kind] += 1
            if kind not in ("hidden", "folders", "other files"):
                found.names.append(entry.name)
                if kind != "image":
                    found.unusable.add(entry.name)
    found.names.sort(key=natural_key)
    return found


def _kind(entry: os.DirEntry[str], mount: pathlib.Path, extensions: tuple[str, ...]) -> str:
    name = entry.name
    lower = name.lower()
    if name.startswith("."):
        return "hidden"
    is_link = entry.is_symlink()
    if is_link and _leads_out(entry, mount):
        raise VideoError(Reason.PATH_TRAVERSAL, "a link in the clip's directory leads outside the OSS root")
    if lower in SIDECAR_NAMES and (is_link or entry.is_file(follow_symlinks=False)):
        return "sidecar"
    if entry.is_dir(follow_symlinks=False):
        return "folders"
    if not lower.endswith(extensions):
        return "other files"
    if is_link:
        return "links"
    if not entry.is_file(follow_symlinks=False):
        return "other files"
    if not _PLAIN_NAME.fullmatch(name) and not _is_safe(name):
        return "unsafe names"
    return "image" if entry.stat(follow_symlinks=False).st_size else "empty files"


def _leads_out(entry: os.DirEntry[str], mount: pathlib.Path) -> bool:
    try:
        return mount.resolve() not in pathlib.Path(entry.path).resolve().parents
    except (OSError, RuntimeError):
        # Links that form a circle lead nowhere.
        return False


def _is_safe(name: str) -> bool:
    """Return whether a file name stays a file name when somebody decodes or normalises it."""
    try:
        key_below_root(f"oss://endpoint/bucket/{name}", "oss://endpoint/bucket")
    except VideoError:
        return False
    return True
