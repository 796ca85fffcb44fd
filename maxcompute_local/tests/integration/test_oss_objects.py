"""Objects through the real SDK: write, read, describe, copy, append, delete, presign."""

import base64
import hashlib
import os
import threading
import urllib.request
from datetime import timedelta
from email.utils import formatdate

import alibabacloud_oss_v2 as oss
import pytest
import requests
from alibabacloud_oss_v2.crc import Crc64

from tests.integration.oss_cloud import BUCKET, failure, oss_cloud

CONTENT = b"0123456789"
ODD_KEYS = [
    "plain.txt",
    "with space/and more.mp4",
    "plus+sign/a+b.mp4",
    "per%cent/100%25.mp4",
    "中文/视频 1.mp4",
    "émoji-🚗/x.mp4",
    "quotes'\"&<>;=?#.mp4",
    "tilde~star*paren().mp4",
    "new\nline.mp4",
]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with oss_cloud(tmp_path_factory.mktemp("oss")) as running:
        running.client().put_bucket(oss.PutBucketRequest(bucket=BUCKET))
        yield running


@pytest.fixture(scope="module")
def client(cloud):
    return cloud.client()


def put(client, key, body=CONTENT, **extra):
    return client.put_object(oss.PutObjectRequest(bucket=BUCKET, key=key, body=body, **extra))


def get(client, key, **extra):
    result = client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key, **extra))
    return result, result.body.read()


def head(client, key, **extra):
    return client.head_object(oss.HeadObjectRequest(bucket=BUCKET, key=key, **extra))


def crc_of(data: bytes) -> str:
    crc = Crc64(0)
    crc.update(data)
    return str(crc.sum64())


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest().upper()}"'


@pytest.mark.parametrize("key", ODD_KEYS)
def test_any_key_round_trips_and_is_the_file_of_that_name(cloud, client, key):
    result = put(client, key, key.encode())
    assert (result.etag, result.hash_crc64) == (etag_of(key.encode()), crc_of(key.encode()))
    assert get(client, key)[1] == key.encode()
    assert (cloud.folder / key).read_bytes() == key.encode()
    listed = client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix=key))
    assert [(one.key, one.etag) for one in listed.contents] == [(key, result.etag)]
    client.delete_object(oss.DeleteObjectRequest(bucket=BUCKET, key=key))
    assert not client.is_object_exist(BUCKET, key)
    assert not (cloud.folder / key).exists()


def test_headers_and_user_metadata_come_back(client):
    put(
        client,
        "meta.bin",
        content_type="video/mp4",
        cache_control="no-cache",
        content_disposition='attachment; filename="x.mp4"',
        storage_class="IA",
        metadata={"camera": "front", "empty": "", "latin": "é"},
    )
    described = head(client, "meta.bin")
    assert described.content_type == "video/mp4"
    assert described.cache_control == "no-cache"
    assert described.content_disposition == 'attachment; filename="x.mp4"'
    assert described.storage_class == "IA"
    assert described.object_type == "Normal"
    assert described.content_length == len(CONTENT)
    assert described.metadata["camera"] == "front"
    result, body = get(client, "meta.bin")
    assert (result.content_type, result.metadata["latin"], body) == ("video/mp4", "é", CONTENT)
    put(client, "meta.bin")
    assert not head(client, "meta.bin").metadata, "an overwrite replaces the metadata, too"


def test_object_meta_has_size_and_etag(client):
    put(client, "m")
    meta = client.get_object_meta(oss.GetObjectMetaRequest(bucket=BUCKET, key="m"))
    assert (meta.content_length, meta.etag, meta.hash_crc64) == (10, etag_of(CONTENT), crc_of(CONTENT))


def test_empty_and_large_objects(client):
    put(client, "empty", b"")
    result, body = get(client, "empty")
    assert (result.content_length, body) == (0, b"")
    large = os.urandom(5_000_001)
    put(client, "large", large)
    assert get(client, "large")[1] == large
    put(client, "chunked", iter([large[:100], b"", large[100:]]))
    assert get(client, "chunked")[1] == large


def test_missing_key_is_told_from_a_missing_bucket(client):
    assert (failure(head, client, "none").status_code, failure(head, client, "none").code) == (
        404,
        "NoSuchKey",
    )
    assert failure(get, client, "none").code == "NoSuchKey"
    request = oss.HeadObjectRequest(bucket="no-bucket", key="x")
    assert failure(client.head_object, request).code == "NoSuchBucket"
    assert (
        failure(client.put_object, oss.PutObjectRequest(bucket="no-bucket", key="x")).code == "NoSuchBucket"
    )
    assert failure(get, client, "none").request_id


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ("bytes=0-0", b"0"),
        ("bytes=2-4", b"234"),
        ("bytes=7-", b"789"),
        ("bytes=-3", b"789"),
        ("bytes=0-9", CONTENT),
        ("bytes=5-100", b"56789"),
        ("bytes=-100", CONTENT),
    ],
)
def test_ranges_inside_are_partial_content(client, header, body):
    put(client, "range")
    result, content = get(client, "range", range_header=header, range_behavior="standard")
    first = CONTENT.index(body)
    assert (result.status_code, content) == (206, body)
    assert result.content_range == f"bytes {first}-{first + len(body) - 1}/10"
    assert result.content_length == len(body)


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-20", "bytes=-0"])
def test_range_outside_fails_only_with_standard_behaviour(client, header):
    put(client, "range")
    refused = failure(get, client, "range", range_header=header, range_behavior="standard")
    assert (refused.status_code, refused.code) == (416, "InvalidRange")
    result, content = get(client, "range", range_header=header)
    assert (result.status_code, content) == (200, CONTENT)


@pytest.mark.parametrize(
    "header", ["bytes=5-100", "bytes=4-2", "bytes=", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1"]
)
def test_ranges_that_oss_ignores(client, header):
    put(client, "range")
    result, content = get(client, "range", range_header=header)
    assert (result.status_code, content) == (200, CONTENT)


def test_conditions(client):
    etag = put(client, "cond").etag
    past, future = formatdate(0, usegmt=True), formatdate(4_000_000_000, usegmt=True)
    assert get(client, "cond", if_match=etag)[1] == CONTENT
    assert get(client, "cond", if_none_match='"other"')[1] == CONTENT
    assert get(client, "cond", if_modified_since=past, if_unmodified_since=future)[1] == CONTENT
    for conditions, status in [
        ({"if_match": '"other"'}, 412),
        ({"if_unmodified_since": past}, 412),
        ({"if_none_match": etag}, 304),
        ({"if_modified_since": future}, 304),
    ]:
        assert failure(get, client, "cond", **conditions).status_code == status
        assert failure(head, client, "cond", **conditions).status_code == status
    assert failure(head, client, "cond", if_match='"other"').code == "PreconditionFailed"
    for call in (get, head):
        # oss2 makes a server error of a 304 with a code, and what it is of one without.
        unchanged = failure(call, client, "cond", if_none_match=etag)
        assert unchanged.code == "BadErrorResponse"
        assert not {name for name in unchanged.headers if name.lower() in ("x-oss-err", "x-oss-ec")}


def test_response_headers_can_be_overridden_but_not_injected(client):
    put(client, "over")
    result, _ = get(client, "over", response_content_type="text/x-test", response_cache_control="中")
    assert result.content_type == "text/x-test"
    refused = failure(get, client, "over", response_content_type="a\r\nSet-Cookie: b")
    assert (refused.status_code, refused.code) == (400, "InvalidArgument")


def test_forbid_overwrite(client):
    put(client, "once", b"first", forbid_overwrite=True)
    refused = failure(put, client, "once", b"second", forbid_overwrite=True)
    assert (refused.status_code, refused.code) == (409, "FileAlreadyExists")
    assert get(client, "once")[1] == b"first"


def test_wrong_md5_writes_nothing(cloud, client):
    wrong = base64.b64encode(hashlib.md5(b"else").digest()).decode()
    for value in (wrong, "no base64"):
        refused = failure(put, client, "digest", CONTENT, content_md5=value)
        assert (refused.status_code, refused.code) == (400, "InvalidDigest")
    assert not (cloud.folder / "digest").exists()
    assert list((cloud.store.private / "staging").iterdir()) == []


def test_key_that_is_a_folder_of_another_key(cloud, client):
    put(client, "tree/leaf")
    for key in ("tree", "tree/leaf/below", "tree/leaf/"):
        put(client, key, key.encode())
        assert get(client, key)[1] == key.encode()
    assert get(client, "tree/leaf")[1] == CONTENT
    listed = client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix="tree"))
    assert [one.key for one in listed.contents] == ["tree", "tree/leaf", "tree/leaf/", "tree/leaf/below"]
    assert [path.name for path in (cloud.folder / "tree").iterdir()] == ["leaf"]
    client.delete_object(oss.DeleteObjectRequest(bucket=BUCKET, key="tree/leaf"))
    assert (cloud.folder / "tree").is_dir(), "a mount may be showing the folder"
    assert get(client, "tree")[1] == b"tree"
    put(client, "tree")
    assert get(client, "tree")[1] == (cloud.folder / "tree").read_bytes() == CONTENT
    client.delete_object(oss.DeleteObjectRequest(bucket=BUCKET, key="tree"))
    assert not client.is_object_exist(BUCKET, "tree")


def test_folder_markers(client):
    put(client, "folder/", b"")
    put(client, "folder/a")
    assert head(client, "folder/").content_length == 0
    assert not client.is_object_exist(BUCKET, "folder")
    listed = client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix="folder/", delimiter="/"))
    assert [one.key for one in listed.contents] == ["folder/", "folder/a"]
    client.delete_object(oss.DeleteObjectRequest(bucket=BUCKET, key="folder/"))
    assert not client.is_object_exist(BUCKET, "folder/")
    assert client.is_object_exist(BUCKET, "folder/a")
    put(client, "folder/", b"content")
    assert get(client, "folder/")[1] == b"content"
    put(client, "folder/", b"")
    assert get(client, "folder/")[1] == b""


def test_copy_keeps_or_replaces_headers(client):
    put(client, "from 源.bin", content_type="video/mp4", metadata={"a": "1"})
    copied = client.copy_object(oss.CopyObjectRequest(bucket=BUCKET, key="to", source_key="from 源.bin"))
    assert (copied.etag, copied.hash_crc64) == (etag_of(CONTENT), crc_of(CONTENT))
    assert (head(client, "to").content_type, head(client, "to").metadata) == ("video/mp4", {"a": "1"})
    client.copy_object(
        oss.CopyObjectRequest(
            bucket=BUCKET, key="to", source_key="to", metadata_directive="REPLACE", metadata={"b": "2"}
        )
    )
    assert head(client, "to").metadata == {"b": "2"}
    assert get(client, "to")[1] == CONTENT


def test_copy_refusals(client):
    put(client, "source")
    copy = client.copy_object
    missing = oss.CopyObjectRequest(bucket=BUCKET, key="to", source_key="missing")
    assert failure(copy, missing).code == "NoSuchKey"
    unmatched = oss.CopyObjectRequest(bucket=BUCKET, key="to", source_key="source", if_match='"other"')
    assert failure(copy, unmatched).code == "PreconditionFailed"
    version = oss.CopyObjectRequest(bucket=BUCKET, key="to", source_key="source", source_version_id="v1")
    assert failure(copy, version).code == "NotImplemented"
    existing = oss.CopyObjectRequest(bucket=BUCKET, key="source", source_key="source", forbid_overwrite=True)
    assert failure(copy, existing).code == "FileAlreadyExists"


def test_append(client):
    def append(position, body, key="log", **extra):
        request = oss.AppendObjectRequest(bucket=BUCKET, key=key, position=position, body=body, **extra)
        return client.append_object(request)

    first = append(0, b"one,", content_type="text/plain")
    assert first.next_position == 4
    second = append(4, b"two")
    assert (second.next_position, second.hash_crc64) == (7, crc_of(b"one,two"))
    result, body = get(client, "log")
    assert (body, result.object_type, result.content_type) == (b"one,two", "Appendable", "text/plain")
    refused = failure(append, 4, b"again")
    assert (refused.status_code, refused.code) == (409, "PositionNotEqualToLength")
    assert refused.headers["x-oss-next-append-position"] == "7"
    assert failure(append, 3, b"x", key="new-log").code == "PositionNotEqualToLength"
    put(client, "normal")
    assert failure(append, 10, b"x", key="normal").code == "ObjectNotAppendable"
    assert get(client, "log")[1] == b"one,two"


def test_file_like_access(client):
    with client.append_file(BUCKET, "notes.txt") as file:
        file.write(b"hello ")
        file.write(b"world")
    with client.open_file(BUCKET, "notes.txt") as file:
        file.seek(6)
        assert file.read() == b"world"


def test_delete_many(client):
    keys = ["del/a b", "del/ü", "del/<&>"]
    for key in keys:
        put(client, key)
    objects = [oss.DeleteObject(key=key) for key in [*keys, "del/never-there"]]
    result = client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket=BUCKET, objects=objects))
    assert [one.key for one in result.deleted_objects] == [*keys, "del/never-there"]
    assert not any(client.is_object_exist(BUCKET, key) for key in keys)
    put(client, keys[0])
    request = oss.DeleteMultipleObjectsRequest(bucket=BUCKET, objects=objects[:1], quiet=True)
    assert not client.delete_multiple_objects(request).deleted_objects
    assert not client.is_object_exist(BUCKET, keys[0])


def test_presigned_urls(cloud, client):
    put(client, "signed/ü b+c.txt")
    signed = client.presign(
        oss.GetObjectRequest(bucket=BUCKET, key="signed/ü b+c.txt"), expires=timedelta(minutes=5)
    )
    with urllib.request.urlopen(signed.url) as answer:
        assert answer.read() == CONTENT
    path = signed.url.removeprefix(cloud.endpoint)
    assert cloud.raw("GET", path.replace("signed/", "other/"))[0] == 403
    assert cloud.raw("PUT", path, b"x")[0] == 403
    assert b"SignatureDoesNotMatch" in cloud.raw("GET", f"{path}&response-content-type=text/html")[2]
    upload = client.presign(
        oss.PutObjectRequest(bucket=BUCKET, key="signed/up"), expires=timedelta(minutes=5)
    )
    status, _, _ = cloud.raw(
        "PUT", upload.url.removeprefix(cloud.endpoint), b"uploaded", upload.signed_headers
    )
    assert (status, get(client, "signed/up")[1]) == (200, b"uploaded")


def test_a_reader_keeps_its_version_while_the_object_is_replaced(client):
    old, new = b"o" * 3_000_000, b"n" * 2_000_000
    put(client, "versions", old)
    reading = client.get_object(oss.GetObjectRequest(bucket=BUCKET, key="versions")).body
    stream = reading.iter_bytes(block_size=100_000)
    received = next(stream)
    put(client, "versions", new)
    assert received + b"".join(stream) == old
    assert get(client, "versions")[1] == new


@pytest.mark.parametrize("key", [*ODD_KEYS, "é" * 511 + "x"])
def test_plain_clients_resume_presigned_downloads(client, key):
    """What browsers, curl and FFmpeg send: suffixes, several ranges, If-Range; no header of OSS."""
    put(client, key)
    url = client.presign(oss.GetObjectRequest(bucket=BUCKET, key=key)).url

    def fetched(**headers):
        answer = requests.get(url, headers={n.replace("_", "-"): v for n, v in headers.items()}, timeout=10)
        return answer.status_code, answer.content

    whole, tail = (200, CONTENT), (206, CONTENT[-3:])
    modified = requests.get(url, timeout=10).headers["last-modified"]
    assert fetched() == whole
    assert fetched(range="bytes=-3") == fetched(range="bytes=7-") == tail
    assert fetched(range="bytes=0-1,4-5") == whole
    assert fetched(range="bytes=7-", if_range=etag_of(CONTENT)) == tail
    assert fetched(range="bytes=7-", if_range=modified) == tail
    assert fetched(range="bytes=7-", if_range='"of another version"') == whole
    assert fetched(range="bytes=7-", if_range="Thu, 01 Jan 1970 00:00:00 GMT") == whole


def test_downloads_are_of_one_version_while_others_write(cloud, client):
    stop, size = threading.Event(), 2_000_000

    def overwrite():
        version, writer = 0, cloud.client()
        while not stop.is_set():
            version = (version + 1) % 250
            put(writer, "busy", bytes([version]) * size)

    put(client, "busy", bytes(size))
    thread = threading.Thread(target=overwrite)
    thread.start()
    try:
        for _ in range(15):
            result, body = get(client, "busy")
            assert (len(body), len(set(body))) == (size, 1)
            assert (result.etag, result.hash_crc64) == (etag_of(body), crc_of(body))
    finally:
        stop.set()
        thread.join()
