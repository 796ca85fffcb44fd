"""The objects of a bucket, page by page: the SDK signs, sends and retries, regular expressions read answers.

The SDK's own reading of a page, by reflection, is most of the work of a listing, and a tree of its elements
takes ten times as long as their texts. A page is flat, and with ``encoding-type=url`` no text holds a ``<``.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from html import unescape
from itertools import pairwise
from typing import TYPE_CHECKING
from urllib.parse import unquote

from airflow_provider_drivepipe.exceptions import TransientError
from airflow_provider_drivepipe.pipelines.driving.manifest import ListedObject

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

PAGE = 1000
"""Most objects that OSS lists in one answer."""
LISTERS = 4
"""Requests under way at once; memory holds twice as many pages at most."""
_PAGES_PER_LOOK = 8
"""Looking for folders adds about an eighth to the requests at most."""
_DEPTH = 8
"""Folders within each other that one look goes through."""
_FIELDS = ("Key", "Size", "LastModified", "ETag", "StorageClass")
_COLUMNS = [re.compile(f"<{name}>([^<]*)</{name}>") for name in _FIELDS]
_FOLDER = re.compile("<CommonPrefixes>\\s*<Prefix>([^<]*)</Prefix>")


@dataclass(frozen=True)
class _Stretch:
    """Keys in their order: those behind ``after``, up to ``until`` where that is not empty.

    :param folder: what all of them start with.
    """

    folder: str
    after: str = ""
    until: str = ""

    def cut(self, folders: list[str]) -> list[_Stretch]:
        """Return it in parts that start at folders, at most as many as there are listers."""
        inside = [each for each in folders if each > self.after and (not self.until or each < self.until)]
        places = {len(inside) * part // LISTERS for part in range(1, LISTERS)} if inside else ()
        ends = [self.after, *(inside[place] for place in sorted(places)), self.until]
        return [replace(self, after=after, until=until) for after, until in pairwise(ends)]


@dataclass(frozen=True)
class _Page:
    objects: list[ListedObject]
    folders: list[str]
    goes_on: bool


def object_pages(client: OssClient, bucket: str, prefix: str) -> Iterator[list[ListedObject]]:
    """Yield the objects below a prefix, each once; what is in a bucket decides the order of the pages.

    Where there is more than a page, folders are listed side by side. A page is in the order of its keys.

    Raises the SDK's errors, and TransientError for an answer that cannot be read.
    """
    running: deque[tuple[_Stretch, Future[_Page]]] = deque()
    pages = looks = 0
    with ThreadPoolExecutor(LISTERS, thread_name_prefix="listing") as listers:

        def go_on(stretch: _Stretch) -> None:
            running.append((stretch, listers.submit(_list, client, bucket, prefix, stretch.after)))

        go_on(_Stretch(prefix))
        while running:
            stretch, listed = running.popleft()
            page = listed.result()
            pages += 1
            found = page.objects
            if stretch.until:
                found = [each for each in found if each.key <= stretch.until]
            if page.goes_on and len(found) == len(page.objects):
                rest = replace(stretch, after=found[-1].key)
                parts = [rest]
                if len(running) < LISTERS - 1 and looks * _PAGES_PER_LOOK < pages:
                    parts, asked = _apart(client, bucket, rest)
                    looks += asked
                for part in parts:
                    go_on(part)
            yield found


def _apart(client: OssClient, bucket: str, stretch: _Stretch) -> tuple[list[_Stretch], int]:
    """Return a stretch in parts that start at folders, and how many requests it took to find these."""
    for asked in range(1, _DEPTH + 1):
        page = _list(client, bucket, stretch.folder, stretch.after, "/")
        parts = stretch.cut(page.folders)
        if len(parts) > 1:
            return parts, asked
        if not page.folders or not stretch.after.startswith(page.folders[0]):
            break
        stretch = replace(stretch, folder=page.folders[0])
    return [stretch], asked


def _list(client: OssClient, bucket: str, prefix: str, after: str, delimiter: str = "") -> _Page:
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


def _read(page: str) -> _Page:
    start = page.find("<ListBucketResult")
    if start < 0 or not page.rstrip().endswith("</ListBucketResult>"):
        raise TransientError(f"OSS gave no listing, or half of one: {page[:200]!r}")
    keys, sizes, times, etags, classes = (column.findall(page) for column in _COLUMNS)
    whole = {page.count("<Contents>"), *map(len, (keys, sizes, times, etags, classes))}
    if len(whole) > 1 or not all(keys) or not all(map(str.isdecimal, sizes)) or not all(times):
        raise TransientError("OSS gave objects without key, size or time")
    objects = list(
        map(ListedObject, map(unquote, keys), map(int, sizes), times, map(unescape, etags), classes)
    )
    goes_on = "<IsTruncated>true</IsTruncated>" in page
    folders = [unquote(each) for each in _FOLDER.findall(page)]
    if goes_on and not objects and not folders:
        raise TransientError("OSS gave a listing that goes on, without saying where")
    return _Page(objects, folders, goes_on)
