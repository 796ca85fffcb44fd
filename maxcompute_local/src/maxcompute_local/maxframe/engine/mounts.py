"""Object storage as a folder: what ``maxframe.udf.with_fs_mount`` asks for.

A private mount namespace gives every DAG its own view, so two DAGs can mount different buckets at one path.
Where the system forbids namespaces (a container's default seccomp profile, macOS), a symbolic link stands in;
DAGs that want different targets at one path then wait for each other.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol
from urllib.parse import urlsplit

from .job import LINKS_FILE, Job, read_json, write_json

logger = logging.getLogger("maxcompute_local")

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000

_LINK_RETRY_SECONDS = 0.2
_ROLE = re.compile(r"acs:ram::\d+:role/[\w.-]+")


class FsMount(Protocol):
    """The part of ``maxframe.udf.FsMountOptions`` that matters here."""

    path: str
    mount_path: str
    storage_options: Mapping[str, Any]


@dataclass(frozen=True)
class Mount:
    """A folder that is to appear at ``target``, an absolute path."""

    source: Path
    target: Path


def mount_all(wanted: Iterable[FsMount], job: Job, *, warn: Callable[[str], None]) -> None:
    """Make all mounts of a DAG visible to this process and its children. Call before any thread is started.

    Raises ValueError, PermissionError or FileNotFoundError for a mount that the service would refuse, OSError
    for one that the local system does not allow.
    """
    mounts = resolve_all(wanted, oss_root=Path(job.oss_root), oss_endpoint=job.oss_endpoint)
    if not mounts:
        return
    for mount in mounts:
        mount.source.mkdir(parents=True, exist_ok=True)
    if _enter_private_namespace():
        for mount in mounts:
            _bind(mount, needed=(Path(job.directory), Path(job.oss_root)))
    else:
        warn("this system allows no private mount namespaces; mounts are symbolic links")
        write_json(job.path(LINKS_FILE), [[str(mount.source), str(mount.target)] for mount in mounts])
        for mount in mounts:
            link(mount)
    for mount in mounts:
        logger.info("mounted %s at %s", mount.source.relative_to(job.oss_root), mount.target)


def resolve_all(wanted: Iterable[FsMount], *, oss_root: Path, oss_endpoint: str) -> list[Mount]:
    """Return the distinct mounts, outer ones first; ValueError when one path is to show two places."""
    by_target: dict[Path, Mount] = {}
    for options in wanted:
        mount = resolve(options, oss_root=oss_root, oss_endpoint=oss_endpoint)
        other = by_target.setdefault(mount.target, mount)
        if other != mount:
            raise ValueError(f"two different OSS locations are to be mounted at {mount.target}")
    return sorted(by_target.values(), key=lambda mount: len(mount.target.parts))


def resolve(options: FsMount, *, oss_root: Path, oss_endpoint: str) -> Mount:
    """Return the folder behind ``oss://<endpoint>/<bucket>/<prefix>``; the prefix need not exist yet."""
    role = (options.storage_options or {}).get("role_arn")
    if not role:
        raise PermissionError(
            f"mount of {options.path} at {options.mount_path}: storage_options has no 'role_arn'; MaxFrame "
            "assumes that RAM role to reach the bucket"
        )
    if not _ROLE.fullmatch(role):
        raise PermissionError(
            f"mount of {options.path} at {options.mount_path}: MaxCompute cannot assume the role {role!r}; "
            "expected acs:ram::<account>:role/<name>"
        )
    if not options.path.startswith("oss://"):
        raise ValueError(f"cannot mount {options.path!r}: expected oss://<endpoint>/<bucket>[/<prefix>]")
    # An endpoint that was given with its scheme is commonly pasted into the URI as it is.
    location = options.path.removeprefix("oss://").removeprefix("http://").removeprefix("https://")
    endpoint, _, rest = location.partition("/")
    bucket, _, prefix = rest.partition("/")
    if endpoint != urlsplit(oss_endpoint).netloc:
        raise ValueError(
            f"cannot mount {options.path!r}: its endpoint {endpoint!r} is not that of this local cloud "
            f"({urlsplit(oss_endpoint).netloc!r}); expected oss://<endpoint>/<bucket>[/<prefix>]"
        )
    if not bucket or bucket.startswith(".") or not (oss_root / bucket).is_dir():
        raise FileNotFoundError(f"cannot mount {options.path!r}: there is no bucket {bucket!r}")
    segments = [segment for segment in prefix.split("/") if segment]
    target = PurePosixPath(options.mount_path)
    if ".." in segments or "." in segments:
        raise ValueError(f"cannot mount {options.path!r}: its prefix leaves the bucket")
    if not target.is_absolute() or ".." in target.parts or len(target.parts) < 2:
        raise ValueError(f"cannot mount at {options.mount_path!r}: expected an absolute path below /")
    return Mount(oss_root.joinpath(bucket, *segments), Path(target))


def _enter_private_namespace() -> bool:
    """Move this process into a mount namespace of its own; return False where the system forbids that."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(_CLONE_NEWNS) != 0:
        if libc.unshare(_CLONE_NEWNS | _CLONE_NEWUSER) != 0:
            logger.info("no private mount namespace: %s", os.strerror(ctypes.get_errno()))
            return False
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    if libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None) != 0:
        raise _os_error("cannot make the mount namespace private")
    return True


def _bind(mount: Mount, needed: Iterable[Path]) -> None:
    try:
        mount.target.mkdir(parents=True, exist_ok=True)
    except PermissionError:
        _cover_with_tmpfs(mount.target, needed)
        mount.target.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(mount.source), os.fsencode(mount.target), None, _MS_BIND, None) != 0:
        raise _os_error(f"cannot mount at {mount.target}")


def _cover_with_tmpfs(target: Path, needed: Iterable[Path]) -> None:
    """Put an empty writable file system over the nearest existing parent, for this namespace only.

    Raises PermissionError when that would hide a folder that is ``needed``.
    """
    parent = next(parent for parent in target.parents if parent.is_dir())
    if any(folder.is_relative_to(parent) for folder in needed):
        raise PermissionError(f"cannot create the mount path {target}; choose one that this user may create")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", os.fsencode(parent), b"tmpfs", 0, b"mode=0755") != 0:
        raise _os_error(f"cannot create the mount path {target}")


def _os_error(text: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{text}: {os.strerror(code)}")


def link(mount: Mount) -> int:
    """Let a symbolic link stand in for a mount, and hold its lock for as long as this process lives.

    Waits while other DAGs use another target at that path. Returns the lock's file descriptor.
    """
    mount.target.parent.mkdir(parents=True, exist_ok=True)
    lock = os.open(_lock_path(mount.target), os.O_RDWR | os.O_CREAT, 0o666)
    waiting = False
    while True:
        if _try_lock(lock, fcntl.LOCK_EX):
            _point(mount)
        fcntl.flock(lock, fcntl.LOCK_SH)
        # Between the two locks, another DAG may have taken the path.
        if mount.target.is_symlink() and mount.target.readlink() == mount.source:
            return lock
        fcntl.flock(lock, fcntl.LOCK_UN)
        if not waiting:
            logger.info("waiting: another DAG has %s mounted elsewhere", mount.target)
            waiting = True
        time.sleep(_LINK_RETRY_SECONDS)


def remove_links(job_directory: Path) -> None:
    """Remove the links that a DAG has left, unless other DAGs use them."""
    for source, target in read_json(job_directory / LINKS_FILE) or []:
        mount = Mount(Path(source), Path(target))
        if not _lock_path(mount.target).exists():
            continue
        lock = os.open(_lock_path(mount.target), os.O_RDWR)
        try:
            if not _try_lock(lock, fcntl.LOCK_EX):
                continue
            if mount.target.is_symlink() and mount.target.readlink() == mount.source:
                mount.target.unlink()
        finally:
            os.close(lock)


def _lock_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.maxcompute-local-lock")


def _try_lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _point(mount: Mount) -> None:
    if mount.target.is_symlink():
        if mount.target.readlink() == mount.source:
            return
        mount.target.unlink()
    else:
        with contextlib.suppress(FileNotFoundError):
            # Only an empty folder gives way.
            mount.target.rmdir()
    mount.target.symlink_to(mount.source, target_is_directory=True)
