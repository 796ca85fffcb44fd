"""Errors as OSS reports them: an HTTP status, a code that clients compare, a text for people."""

from __future__ import annotations

from collections.abc import Mapping


class OssError(Exception):
    """A failure that the client sees.

    ``headers`` go into the HTTP response; ``details`` become further elements of the error document.
    Neither may hold a credential.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})
        self.details = dict(details or {})


def access_denied(message: str) -> OssError:
    """Return the error for a request that is not allowed."""
    return OssError(403, "AccessDenied", message)


def invalid_argument(message: str, name: str, value: str) -> OssError:
    """Return the error for a parameter or header with an impossible value."""
    details = {"ArgumentName": name, "ArgumentValue": value}
    return OssError(400, "InvalidArgument", message, details=details)


def malformed_xml(message: str) -> OssError:
    """Return the error for a request body that is not the document it must be."""
    return OssError(400, "MalformedXML", f"The XML you provided was not well-formed or valid: {message}")


def invalid_bucket_name(name: str) -> OssError:
    """Return the error for a name that no bucket can have."""
    message = "The specified bucket is not valid: 3 to 63 of a-z, 0-9 and -, not starting or ending with -."
    return OssError(400, "InvalidBucketName", message, details={"BucketName": name})


def invalid_object_name(key: str, reason: str) -> OssError:
    """Return the error for a key that OSS, or a directory tree, cannot hold."""
    message = f"The specified object is not valid: {reason}."
    return OssError(400, "InvalidObjectName", message, details={"ObjectName": key})


def no_such_bucket(name: str) -> OssError:
    """Return the error for an unknown bucket."""
    return OssError(404, "NoSuchBucket", "The specified bucket does not exist.", details={"BucketName": name})


def bucket_not_empty(name: str) -> OssError:
    """Return the error for deleting a bucket that still holds objects or unfinished uploads."""
    message = "The bucket has objects or unfinished multipart uploads. Delete them first."
    return OssError(409, "BucketNotEmpty", message, details={"BucketName": name})


def no_such_key(key: str) -> OssError:
    """Return the error for an unknown object."""
    return OssError(404, "NoSuchKey", "The specified key does not exist.", details={"Key": key})


def no_such_upload(upload_id: str) -> OssError:
    """Return the error for a multipart upload that is unknown, completed or aborted."""
    message = "The specified upload does not exist. The upload ID may be invalid, aborted or completed."
    return OssError(404, "NoSuchUpload", message, details={"UploadId": upload_id})


def object_exists(key: str) -> OssError:
    """Return the error for a write that forbids to overwrite."""
    message = "The object you specified already exists and can not be overwritten."
    return OssError(409, "FileAlreadyExists", message, details={"Key": key})


def path_conflict(key: str) -> OssError:
    """Return the error for a key that needs a file where there is a folder, or the other way round.

    OSS itself allows the keys ``a`` and ``a/b`` side by side; objects kept as plain files cannot.
    """
    message = (
        "The local OSS keeps objects as files, so one key cannot be another key's folder: "
        "'a' and 'a/b' cannot both exist. Choose another key or delete the other object."
    )
    return OssError(409, "PathConflict", message, details={"Key": key})


def position_mismatch(length: int) -> OssError:
    """Return the error for an append anywhere but at the end (``length``, in bytes)."""
    headers = {"x-oss-next-append-position": str(length)}
    return OssError(409, "PositionNotEqualToLength", "Position is not equal to file length.", headers=headers)


def not_implemented(what: str) -> OssError:
    """Return the error for an operation of OSS that the local cloud does not have."""
    return OssError(501, "NotImplemented", f"The local OSS does not implement {what}.")
