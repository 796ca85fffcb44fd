"""A request as OSS sees it, and the table of operations: which method and parameters mean what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

from starlette.requests import Request

from maxcompute_local.oss import errors
from maxcompute_local.oss.signature import SIGNING_PARAMETERS
from maxcompute_local.oss.signed_request import SignedRequest

MAX_XML_BYTES = 4 << 20
"""Longest request body that holds an XML document."""

COPY_SOURCE = "x-oss-copy-source"

NULL_VERSION = "null"
"""The version of every object of a bucket without versions."""

Level = Literal["service", "bucket", "object"]


@dataclass(frozen=True)
class Operation:
    """An operation of the API: ``marks`` are the query parameters that tell it from others of its method."""

    name: str
    level: Level
    method: str
    marks: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    copies: bool = False

    @property
    def versioned(self) -> bool:
        """Return whether a request may name the version of the object that it means."""
        return self.level == "object" and self.method in ("GET", "HEAD", "DELETE")

    @property
    def may_take_long(self) -> bool:
        """Return whether the answer, a document, may need more time than clients wait without a byte."""
        return self.name in _LONG


_LONG = {
    "ListObjects",
    "ListObjectsV2",
    "ListObjectVersions",
    "GetBucketStat",
    "CopyObject",
    "UploadPartCopy",
    "CompleteMultipartUpload",
    "DeleteMultipleObjects",
}


def _operation(
    name: str, level: Level, method: str, marks: str = "", parameters: str = "", copies: bool = False
) -> Operation:
    return Operation(name, level, method, frozenset(marks.split()), frozenset(parameters.split()), copies)


_LISTING = "prefix delimiter max-keys encoding-type"
_RESPONSE = " ".join(
    f"response-{name}"
    for name in (
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-type",
        "expires",
    )
)

# Of operations of one level and method, those with more marks come first.
OPERATIONS = (
    _operation("ListBuckets", "service", "GET", "", "prefix marker max-keys"),
    _operation("GetBucketInfo", "bucket", "GET", "bucketInfo"),
    _operation("GetBucketLocation", "bucket", "GET", "location"),
    _operation("GetBucketAcl", "bucket", "GET", "acl"),
    _operation("GetBucketStat", "bucket", "GET", "stat"),
    _operation("GetBucketVersioning", "bucket", "GET", "versioning"),
    _operation("ListObjectVersions", "bucket", "GET", "versions", f"{_LISTING} key-marker version-id-marker"),
    _operation("PutBucketAcl", "bucket", "PUT", "acl"),
    _operation(
        "ListMultipartUploads",
        "bucket",
        "GET",
        "uploads",
        "prefix delimiter key-marker upload-id-marker max-uploads encoding-type",
    ),
    _operation(
        "ListObjectsV2",
        "bucket",
        "GET",
        "list-type",
        f"{_LISTING} start-after continuation-token fetch-owner",
    ),
    _operation("ListObjects", "bucket", "GET", "", f"{_LISTING} marker"),
    _operation("PutBucket", "bucket", "PUT"),
    _operation("DeleteBucket", "bucket", "DELETE"),
    _operation("DeleteMultipleObjects", "bucket", "POST", "delete", "encoding-type"),
    _operation("PutObjectAcl", "object", "PUT", "acl"),
    _operation("GetObjectAcl", "object", "GET", "acl"),
    _operation("PutObjectTagging", "object", "PUT", "tagging"),
    _operation("GetObjectTagging", "object", "GET", "tagging"),
    _operation("DeleteObjectTagging", "object", "DELETE", "tagging"),
    _operation("UploadPartCopy", "object", "PUT", "uploadId partNumber", copies=True),
    _operation("UploadPart", "object", "PUT", "uploadId partNumber"),
    _operation("CopyObject", "object", "PUT", copies=True),
    _operation("PutObject", "object", "PUT"),
    _operation("AppendObject", "object", "POST", "append position"),
    _operation("InitiateMultipartUpload", "object", "POST", "uploads", "encoding-type"),
    _operation("CompleteMultipartUpload", "object", "POST", "uploadId", "encoding-type"),
    _operation("AbortMultipartUpload", "object", "DELETE", "uploadId"),
    _operation("DeleteObject", "object", "DELETE"),
    _operation("GetObjectMeta", "object", "HEAD", "objectMeta"),
    _operation("HeadObject", "object", "HEAD"),
    _operation("ListParts", "object", "GET", "uploadId", "max-parts part-number-marker encoding-type"),
    _operation("GetObject", "object", "GET", "", _RESPONSE),
)

# Headers that would change what an object is or what happens to it, in ways that the local OSS does not have.
_UNSUPPORTED_HEADERS = (
    "x-oss-callback",
    "x-oss-object-worm",
    "x-oss-server-side-encryption",
    "x-oss-server-side-data-encryption",
)
_PRIVATE_ACLS = ("default", "private")


@dataclass(frozen=True)
class OssRequest:
    """A request: decoded names and query, headers with lower-case names; no ``key`` at bucket level."""

    http: Request
    bucket: str | None
    key: str | None
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @classmethod
    def read(cls, http: Request) -> OssRequest:
        """Take a request apart; raises InvalidObjectName or InvalidArgument for bytes that are no UTF-8."""
        try:
            path = unquote(http.scope["raw_path"].decode(), errors="strict")
        except UnicodeDecodeError:
            raise errors.invalid_object_name("", "a key must be valid UTF-8") from None
        bucket, _, key = path.removeprefix("/").partition("/")
        if key and not bucket:
            raise errors.invalid_bucket_name(bucket)
        try:
            pairs = parse_qsl(http.scope["query_string"].decode(), True, errors="strict")
        except UnicodeDecodeError:
            message = "The query string must be valid UTF-8."
            raise errors.invalid_argument(message, "query string", "") from None
        return cls(http, bucket or None, key or None, dict(pairs), dict(http.headers.items()))

    @property
    def bucket_name(self) -> str:
        """The bucket of a request at bucket or object level."""
        if self.bucket is None:
            raise errors.invalid_bucket_name("")
        return self.bucket

    @property
    def object_key(self) -> str:
        """The key of a request at object level."""
        if self.key is None:
            raise errors.invalid_object_name("", "the key is empty")
        return self.key

    @property
    def signed(self) -> SignedRequest:
        """What of the request is signed."""
        resource = "/" if self.bucket is None else f"/{self.bucket}/{self.key or ''}"
        headers = {name: _as_signed(value) for name, value in self.headers.items()}
        query = self.http.scope["query_string"].decode()
        return SignedRequest(self.http.method, resource, query, headers)

    def operation(self) -> Operation:
        """Return what is asked for; raises NotImplemented for what the local OSS does not do."""
        level: Level = "service" if self.bucket is None else "object" if self.key else "bucket"
        given = self.query.keys() - SIGNING_PARAMETERS
        for operation in OPERATIONS:
            if (
                (operation.level, operation.method) == (level, self.http.method)
                and operation.marks <= given
                and operation.copies == (COPY_SOURCE in self.headers)
            ):
                self._require_supported(operation, given - operation.marks - operation.parameters)
                return operation
        shown = "&".join(sorted(given))
        raise errors.not_implemented(f"{self.http.method} of a {level} with the parameters '{shown}'")

    def _require_supported(self, operation: Operation, unknown: set[str]) -> None:
        if "versionId" in unknown and operation.versioned and self.query["versionId"] == NULL_VERSION:
            unknown = unknown - {"versionId"}
        if unknown:
            raise errors.not_implemented(f"the parameter '{min(unknown)}' of {operation.name}")
        for name, value in self.headers.items():
            if name.startswith(_UNSUPPORTED_HEADERS):
                raise errors.not_implemented(f"the header '{name}' of {operation.name}")
            if name in ("x-oss-acl", "x-oss-object-acl") and value not in _PRIVATE_ACLS:
                raise errors.not_implemented(f"access control lists other than private in {operation.name}")

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return a query parameter between ``low`` and ``high``; raises InvalidArgument."""
        text = self.query.get(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
            message = f"{name} must be an integer between {low} and {high}."
            raise errors.invalid_argument(message, name, text)
        return int(text)

    def wants_url_encoding(self) -> bool:
        """Return whether names in the answer shall be url encoded; raises InvalidArgument."""
        kind = self.query.get("encoding-type", "")
        if kind not in ("", "url"):
            raise errors.invalid_argument("Only encoding-type url exists.", "encoding-type", kind)
        return kind == "url"

    def forbids_overwrite(self) -> bool:
        """Return whether an existing object must stay."""
        return self.headers.get("x-oss-forbid-overwrite", "").lower() == "true"

    def may_create_bucket(self) -> bool:
        """Return whether the bucket need not exist: PutBucket, with or without an access control list."""
        given = self.query.keys() - SIGNING_PARAMETERS
        return self.key is None and self.http.method == "PUT" and given <= {"acl"}

    async def document(self) -> bytes:
        """Return a body that holds an XML document."""
        body = b""
        async for chunk in self.http.stream():
            body += chunk
            if len(body) > MAX_XML_BYTES:
                raise errors.malformed_xml(f"the body has more than {MAX_XML_BYTES} bytes")
        return body


def _as_signed(value: str) -> str:
    """Return a header's value as the signer had it: as text, not as the Latin-1 that HTTP made of it."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
