"""The objects of a bucket: a page of a listing, and which objects become rows of the manifest.

Runs in DPE workers too: standard library, pandas and the SDK, which signs, sends and retries. The SDK's own
reading of a page, by reflection, is most of the work of a listing, and a tree of its elements takes ten times
as long as their texts. A page is flat, and with ``encoding-type=url`` no text holds a ``<``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from html import unescape
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from airflow_provider_drivepipe.contracts import MANIFEST_COLUMNS, Column, Reason, Status
from airflow_provider_drivepipe.worker.answers import scrub
from airflow_provider_drivepipe.worker.rows import pandas_dtype, text_of

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

FOLDER_MARKER = "folder_marker"
OTHER_EXTENSION = "other_extension"
PAGE = 1000
"""Most objects that OSS lists in one answer."""
LISTED_COLUMNS = (
    *MANIFEST_COLUMNS,
    Column("outcome", "string", "ok for a video, else why objects are left out"),
    Column("objects", "bigint", "how many objects the row counts"),
)
"""What workers say of a listing: a row for each video, one for each reason to leave objects out, and one that
counts none for each object that is named."""
_FIELDS = ("Key", "Size", "LastModified", "ETag", "StorageClass")
_COLUMNS = [re.compile(f"<{name}>([^<]*)</{name}>") for name in _FIELDS]
_FOLDER = re.compile("<CommonPrefixes>\\s*<Prefix>([^<]*)</Prefix>")


class UnreadablePage(Exception):
    """OSS gave an answer that is no listing; another try may help."""


class ListedObject(NamedTuple):
    """What OSS says of an object in a listing."""

    key: str
    size: int
    last_modified: str
    """UTC, ``2026-11-20T08:00:00.000Z``."""
    etag: str
    """With the quotation marks that belong to it."""
    storage_class: str


ManifestRow = tuple[str, int, str, str, str, str]
"""A row of the manifest: columns of ``MANIFEST_COLUMNS``."""


@dataclass(frozen=True)
class LeftOut:
    """An object that is not in the manifest: ``failed`` when it should have been a video."""

    reason: str
    failed: bool = False


@dataclass(frozen=True)
class Page:
    """One answer: objects, folders where they were asked for, and whether there is more."""

    objects: list[ListedObject]
    folders: list[str]
    goes_on: bool


@dataclass(frozen=True)
class OssAccess:
    """How the SDK reaches OSS; secrets are not in ``repr``."""

    endpoint: str
    region: str
    user_agent: str
    key_id: str
    key_secret: str = field(repr=False)
    security_token: str | None = field(repr=False)

    def client(self) -> OssClient:
        """Return the SDK's client."""
        import alibabacloud_oss_v2 as oss

        config = oss.config.load_default()
        config.credentials_provider = oss.credentials.StaticCredentialsProvider(
            self.key_id, self.key_secret, self.security_token
        )
        config.endpoint, config.region, config.user_agent = self.endpoint, self.region, self.user_agent
        return oss.Client(config)


@dataclass(frozen=True)
class ListJob:
    """What workers list.

    :param root: URI of the bucket.
    :param extensions: of videos, in lower case.
    :param named: at most so many of the objects that failed are named, in each range.
    """

    access: OssAccess
    bucket: str
    prefix: str
    root: str
    extensions: frozenset[str]
    named: int


def list_ranges(ranges: Any, job: ListJob) -> Any:
    """Return what is in ranges of keys, a pandas DataFrame, as rows of ``LISTED_COLUMNS``.

    :param ranges: ``after`` and ``until``, see :func:`range_pages`.

    Raises RuntimeError, which holds no secret, when one of them cannot be listed to its end.
    """
    import pandas as pd
    from alibabacloud_oss_v2.exceptions import BaseError

    client = job.access.client()
    made: list[tuple[Any, ...]] = []
    for after, until in zip(map(text_of, ranges["after"]), map(text_of, ranges["until"]), strict=True):
        try:
            made += _rows(range_pages(client, job.bucket, job.prefix, after, until), job)
        except (BaseError, UnreadablePage) as error:
            # Without its cause: the SDK's errors hold the request and its signature.
            raise RuntimeError(f"bucket {job.bucket} behind {after!r}: {scrub(str(error))}") from None
    cells = zip(*made, strict=True) if made else [()] * len(LISTED_COLUMNS)
    return pd.DataFrame(
        {
            column.name: pd.Series(values, dtype=pandas_dtype(column.type))
            for column, values in zip(LISTED_COLUMNS, cells, strict=True)
        }
    )


def _rows(pages: Iterator[list[ListedObject]], job: ListJob) -> Iterator[tuple[Any, ...]]:
    left_out, named = Counter[str](), 0
    for page in pages:
        for found in page:
            row = manifest_row(found, job.root, job.extensions)
            if not isinstance(row, LeftOut):
                yield (*row, str(Status.OK), 1)
                continue
            # As a plain text: what workers send back must not need this package.
            reason = str(row.reason)
            left_out[reason] += 1
            if row.failed and named < job.named:
                named += 1
                yield (f"{job.root}/{found.key}", 0, "", "", "", "", reason, 0)
    for reason, number in left_out.items():
        yield ("", 0, "", "", "", "", reason, number)


def range_pages(
    client: OssClient, bucket: str, prefix: str, after: str, until: str
) -> Iterator[list[ListedObject]]:
    """Yield a prefix's objects whose keys are behind ``after``, up to ``until`` unless that is empty."""
    goes_on = True
    while goes_on:
        page = list_page(client, bucket, prefix, after)
        found = within(page, until)
        goes_on = page.goes_on and len(found) == len(page.objects)
        after = found[-1].key if goes_on else ""
        yield found


def within(page: Page, until: str) -> list[ListedObject]:
    """Return a page's objects up to a key; all of them where it is empty."""
    return [each for each in page.objects if each.key <= until] if until else page.objects


def manifest_row(found: ListedObject, root: str, extensions: Collection[str]) -> ManifestRow | LeftOut:
    """Return the manifest row of an object, or why it is left out.

    OSS listings carry no CRC-64, so that column is empty.

    :param root: URI of the bucket.
    :param extensions: of videos, in lower case.
    """
    if found.key.endswith("/"):
        return LeftOut(FOLDER_MARKER)
    if _extension(found.key) not in extensions:
        return LeftOut(OTHER_EXTENSION)
    if found.size == 0:
        return LeftOut(Reason.EMPTY_FILE, failed=True)
    modified = found.last_modified[:19].replace("T", " ")
    uri = f"{root}/{found.key}"
    return (uri, found.size, modified, found.etag.strip('"'), "", found.storage_class)


def _extension(key: str) -> str:
    """Return what :class:`pathlib.PurePosixPath` calls the suffix, in lower case, in a tenth of its time."""
    name = key[key.rfind("/") + 1 :]
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""


def list_page(client: OssClient, bucket: str, prefix: str, after: str, delimiter: str = "") -> Page:
    """Return the objects behind a key, with a delimiter also the folders.

    Raises the SDK's errors, and UnreadablePage.
    """
    from alibabacloud_oss_v2.types import CaseInsensitiveDict, OperationInput

    asked = {"list-type": "2", "encoding-type": "url", "max-keys": str(PAGE), "prefix": prefix}
    asked |= {"start-after": after} if after else {}
    asked |= {"delimiter": delimiter} if delimiter else {}
    answer = client.invoke_operation(
        OperationInput(
            op_name="ListObjectsV2",
            method="GET",
            headers=CaseInsensitiveDict(),
            parameters=asked,
            bucket=bucket,
        )
    )
    return _read(answer.http_response.content.decode() if answer.http_response else "")


def _read(page: str) -> Page:
    start = page.find("<ListBucketResult")
    if start < 0 or not page.rstrip().endswith("</ListBucketResult>"):
        raise UnreadablePage(f"OSS gave no listing, or half of one: {page[:200]!r}")
    keys, sizes, times, etags, classes = (column.findall(page) for column in _COLUMNS)
    whole = {page.count("<Contents>"), *map(len, (keys, sizes, times, etags, classes))}
    if len(whole) > 1 or not all(keys) or not all(map(str.isdecimal, sizes)) or not all(times):
        raise UnreadablePage("OSS gave objects without key, size or time")
    objects = list(
        map(ListedObject, map(unquote, keys), map(int, sizes), times, map(unescape, etags), classes)
    )
    goes_on = "<IsTruncated>true</IsTruncated>" in page
    folders = [unquote(each) for each in _FOLDER.findall(page)]
    if goes_on and not objects and not folders:
        raise UnreadablePage("OSS gave a listing that goes on, without saying where")
    return Page(objects, folders, goes_on)
