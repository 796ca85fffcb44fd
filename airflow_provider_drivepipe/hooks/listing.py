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
    if _name(root) != "ListBucketResult":
        raise TransientError(f"OSS gave {_name(root)} instead of a listing")
    found = []
    said = {}
    for element in root:
        name = _name(element)
        if name != "Contents":
            said[name] = element.text or ""
            continue
        fields = {_name(field): field.text or "" for field in element}
        try:
            found.append(
                ListedObject(
                    unquote(fields["Key"]),
                    int(fields["Size"]),
                    fields["LastModified"],
                    fields["ETag"],
                    fields["StorageClass"],
                )
            )
        except (KeyError, ValueError) as error:
            raise TransientError(f"OSS gave a listing that cannot be read: {error!r}") from error
    truncated = said.get("IsTruncated") == "true"
    if truncated and not said.get("NextContinuationToken"):
        raise TransientError("OSS gave a listing that goes on, without saying where")
    return found, unquote(said["NextContinuationToken"]) if truncated else ""


def _name(element: ElementTree.Element) -> str:
    """Return an element's name without its namespace."""
    return element.tag.rpartition("}")[2]
