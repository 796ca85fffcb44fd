"""``maxcompute-local upload``: files of this machine into the local cloud's OSS, through the real SDK."""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from maxcompute_local import lifecycle
from maxcompute_local.clients import oss_client
from maxcompute_local.errors import LocalCloudError

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

_TARGET = re.compile(r"oss://(?P<bucket>[a-z0-9][a-z0-9-]{1,61}[a-z0-9])(?:/(?P<prefix>.*))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give ``upload`` its arguments, beside ``--root``."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder with files, or one file")
    parser.add_argument("target", metavar="oss://BUCKET/PREFIX", help="the bucket is made if it is missing")


def main(options: argparse.Namespace) -> int:
    """Upload a folder, or one file; files that OSS has already stay as they are."""
    target = _TARGET.fullmatch(options.target)
    if target is None:
        raise LocalCloudError(f"{options.target!r} is not oss://bucket/prefix, such as oss://my-videos/trips")
    prefix = (target["prefix"] or "").strip("/")
    files = {f"{prefix}/{key}" if prefix else key: file for key, file in _files(options.folder).items()}
    settings = lifecycle.require_running(options.root.absolute())
    uploaded = upload(oss_client(settings), target["bucket"], files)
    print(f"{uploaded} uploaded, {len(files) - uploaded} were there: {options.target}")
    return 0


def upload(client: OssClient, bucket: str, files: Mapping[str, Path]) -> int:
    """Put files, by their keys, into a bucket that is made if need be; return how many were not there yet.

    One that is there with the same bytes is left alone.
    """
    import alibabacloud_oss_v2 as oss

    client.put_bucket(oss.PutBucketRequest(bucket=bucket))
    missing = [key for key, file in files.items() if not _is_there(client, bucket, key, file)]
    for key in missing:
        client.put_object_from_file(oss.PutObjectRequest(bucket=bucket, key=key), str(files[key]))
    return len(missing)


def _files(folder: Path) -> dict[str, Path]:
    """Return the files to upload by their path in the folder; hidden ones and hidden folders stay."""
    if folder.is_file():
        return {folder.name: folder}
    if not folder.is_dir():
        raise LocalCloudError(f"{folder} is no folder and no file")
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    files = {
        path.as_posix(): file
        for path, file in found.items()
        if not any(part.startswith(".") for part in path.parts)
    }
    if not files:
        raise LocalCloudError(f"{folder} has no files")
    return files


def _is_there(client: OssClient, bucket: str, key: str, file: Path) -> bool:
    """Return whether OSS has exactly this file's bytes."""
    import alibabacloud_oss_v2 as oss

    if not client.is_object_exist(bucket, key):
        return False
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    etag = client.head_object(oss.HeadObjectRequest(bucket=bucket, key=key)).etag
    return str(etag).strip('"').lower() == digest
