"""The objects of a bucket, page by page: the SDK signs, sends and retries, a parser in C reads its answers.

The SDK's own reading of a page, by reflection, is most of the work of a listing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote
from xml.etree import ElementTree

from airflow_provider_drivepipe.exceptions import TransientError
from airflow_provider_drivepipe.pipelines.driving.manifest import ListedObject

if TYPE_CHECKING:
    from alibabacloud_oss_v2 import Client as OssClient

PAGE = 1000
"""Most objects that OSS lists in one answer."""


def object_pages(client: OssClient, bucket: str, prefix: str) -> Iterator[list[ListedObject]]:
    """Yield the objects below a prefix, in the order of their keys.

    Raises the SDK's errors, and TransientError for an answer that cannot be read.
    """
    from alibabacloud_oss_v2.types import CaseInsensitiveDict, OperationInput

    asked = {"list-type": "2", "encoding-type": "url", "max-keys": str(PAGE), "prefix": prefix}
    while True:
        answer = client.invoke_operation(
            OperationInput(
                op_name="ListObjectsV2",
                method="GET",
                headers=CaseInsensitiveDict(),
                parameters=asked,
                bucket=bucket,
            )
        )
        found, following = _read(answer.http_response.content if answer.http_response else b"")
        yield found
        if not following:
            return
        asked["continuation-token"] = following


def _read(page: bytes) -> tuple[list[ListedObject], str]:
    """Return the objects of an answer, and the token of the page behind it, empty at the end."""
    try:
        root = ElementTree.fromstring(page)
    except ElementTree.ParseError as error:
        raise TransientError(f"OSS gave a listing that cannot be read: {error}") from error
    brace, _, name = root.tag.rpartition("}")
    if name != "ListBucketResult":
        raise TransientError(f"OSS gave {name} instead of a listing")
    space = f"{brace}}}" if brace else ""
    names = [f"{space}{field}" for field in ("Key", "Size", "LastModified", "ETag", "StorageClass")]
    found = []
    for element in root.iterfind(f"{space}Contents"):
        key, size, modified, etag, storage_class = map(element.findtext, names)
        if not key or not size or not size.isdecimal() or not modified:
            raise TransientError(f"OSS gave an object without key, size or time: {key}")
        found.append(ListedObject(unquote(key), int(size), modified, etag or "", storage_class or ""))
    if root.findtext(f"{space}IsTruncated") != "true":
        return found, ""
    following = root.findtext(f"{space}NextContinuationToken")
    if not following:
        raise TransientError("OSS gave a listing that goes on, without saying where")
    return found, unquote(following)
