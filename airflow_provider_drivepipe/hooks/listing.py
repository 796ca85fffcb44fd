"""The objects of a bucket, page by page, and the ranges of keys that share a listing out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow_provider_drivepipe.exceptions import TransientError
from airflow_provider_drivepipe.worker.listing import ListedObject, Page, UnreadablePage, list_page, within

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

LISTERS = 4
"""Requests under way at once; memory holds twice as many pages at most."""
_PAGES_PER_LOOK = 8
"""Looking for folders adds about an eighth to the requests at most."""
_DEPTH = 8
"""Folders within each other that one look goes through."""
_LOOKS = 256
"""Most requests for folders before the keys are shared out."""


@dataclass(frozen=True)
class Stretch:
    """Keys in their order: those behind ``after``, up to ``until`` where that is not empty.

    :param folder: what all of them start with.
    """

    folder: str
    after: str = ""
    until: str = ""

    def cut(self, folders: list[str], parts: int) -> list[Stretch]:
        """Return it in so many parts at most, which start at folders, given in their order."""
        inside = [each for each in folders if each > self.after and (not self.until or each < self.until)]
        places = {len(inside) * part // parts for part in range(1, parts)} if inside else ()
        ends = [self.after, *(inside[place] for place in sorted(places)), self.until]
        return [replace(self, after=after, until=until) for after, until in pairwise(ends)]


def object_pages(client: OssClient, bucket: str, prefix: str) -> Iterator[list[ListedObject]]:
    """Yield the objects below a prefix, each once; what is in a bucket decides the order of the pages.

    Where there is more than a page, folders are listed side by side. A page is in the order of its keys.

    Raises the SDK's errors, and TransientError for an answer that cannot be read.
    """
    running: deque[tuple[Stretch, Future[Page]]] = deque()
    pages = looks = 0
    with ThreadPoolExecutor(LISTERS, thread_name_prefix="listing") as listers:

        def go_on(stretch: Stretch) -> None:
            running.append((stretch, listers.submit(_list, client, bucket, prefix, stretch.after)))

        go_on(Stretch(prefix))
        while running:
            stretch, listed = running.popleft()
            page = listed.result()
            pages += 1
            found = within(page, stretch.until)
            if page.goes_on and len(found) == len(page.objects):
                rest = replace(stretch, after=found[-1].key)
                parts = [rest]
                if len(running) < LISTERS - 1 and looks * _PAGES_PER_LOOK < pages:
                    parts, asked = _apart(client, bucket, rest)
                    looks += asked
                for part in parts:
                    go_on(part)
            yield found


def _apart(client: OssClient, bucket: str, stretch: Stretch) -> tuple[list[Stretch], int]:
    """Return a stretch in parts that start at folders, and how many requests it took to find these."""
    for asked in range(1, _DEPTH + 1):
        page = _list(client, bucket, stretch.folder, stretch.after, "/")
        parts = stretch.cut(page.folders, LISTERS)
        if len(parts) > 1:
            return parts, asked
        if not page.folders or not stretch.after.startswith(page.folders[0]):
            break
        stretch = replace(stretch, folder=page.folders[0])
    return [stretch], asked


def key_ranges(client: OssClient, bucket: str, prefix: str, number: int) -> list[Stretch]:
    """Return the keys below a prefix in so many stretches at most, each with about as many folders.

    Folders are looked for level by level until there are enough, with a bounded number of requests.

    Raises the SDK's errors, and TransientError for an answer that cannot be read.
    """
    looks = iter(range(_LOOKS))

    def inside(folder: str) -> Iterator[str]:
        page = Page([], [], goes_on=True)
        after = ""
        while page.goes_on and next(looks, None) is not None:
            page = _list(client, bucket, folder, after, "/")
            yield from page.folders
            last = max([*page.folders[-1:], *(each.key for each in page.objects[-1:])], default="")
            # Behind all that is in the folder: "0" comes next to "/".
            after = f"{last[:-1]}0" if last.endswith("/") else last

    found: list[str] = []
    level = [prefix]
    while level and len(found) < number:
        level = [each for folder in level for each in inside(folder)]
        found += level
    return Stretch(prefix).cut(sorted(found), number)


def _list(client: OssClient, bucket: str, prefix: str, after: str, delimiter: str = "") -> Page:
    try:
        return list_page(client, bucket, prefix, after, delimiter)
    except UnreadablePage as error:
        raise TransientError(str(error)) from error
