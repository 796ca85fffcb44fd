"""Multipart uploads, and the SDK's transfer managers, through the real SDK."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2.crc import Crc64

from tests.integration.oss_cloud import BUCKET, failure, oss_cloud

PART = 100 * 1024
CONTENT = os.urandom(3 * PART + 17)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with oss_cloud(tmp_path_factory.mktemp("oss")) as running:
        running.client().put_bucket(oss.PutBucketRequest(bucket=BUCKET))
        yield running


@pytest.fixture(scope="module")
def client(cloud):
    return cloud.client()


def start(client, key, **extra):
    request = oss.InitiateMultipartUploadRequest(bucket=BUCKET, key=key, **extra)
    result = client.initiate_multipart_upload(request)
    assert (result.key, result.bucket) == (key, BUCKET)
    return result.upload_id


def upload(client, key, upload_id, number, body):
    request = oss.UploadPartRequest(
        bucket=BUCKET, key=key, upload_id=upload_id, part_number=number, body=body
    )
    return oss.UploadPart(part_number=number, etag=client.upload_part(request).etag)


def complete(client, key, upload_id, parts, **extra):
    return client.complete_multipart_upload(
        oss.CompleteMultipartUploadRequest(
            bucket=BUCKET,
            key=key,
            upload_id=upload_id,
            complete_multipart_upload=oss.CompleteMultipartUpload(parts=parts) if parts is not None else None,
            **extra,
        )
    )


def read(client, key):
    return client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key)).body.read()


def crc_of(data: bytes) -> str:
    crc = Crc64(0)
    crc.update(data)
    return str(crc.sum64())


def pieces(content=CONTENT):
    return [content[at : at + PART] for at in range(0, len(content), PART)]


def test_upload_in_parts(cloud, client):
    key = "multi/视频 +1.mp4"
    upload_id = start(client, key, content_type="video/mp4", metadata={"a": "1"})
    upload(client, key, upload_id, 2, b"replaced below")
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda one: upload(client, key, upload_id, *one), enumerate(pieces(), start=1)))
    assert not client.is_object_exist(BUCKET, key)
    result = complete(client, key, upload_id, parts)
    digests = b"".join(hashlib.md5(one).digest() for one in pieces())
    assert result.etag == f'"{hashlib.md5(digests).hexdigest().upper()}-4"'
    assert (result.key, result.hash_crc64) == (key, crc_of(CONTENT))
    assert read(client, key) == CONTENT
    head = client.head_object(oss.HeadObjectRequest(bucket=BUCKET, key=key))
    assert (head.object_type, head.content_type, head.metadata) == ("Multipart", "video/mp4", {"a": "1"})
    listed = client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix=key)).contents[0]
    assert (listed.etag, listed.object_type) == (result.etag, "Multipart")
    assert failure(complete, client, key, upload_id, parts).code == "NoSuchUpload"
    assert not any((cloud.store.private / "uploads").iterdir())


def test_completion_is_checked(client):
    key = "checked"
    upload_id = start(client, key)
    first, second = (upload(client, key, upload_id, number, b"x" * PART) for number in (1, 2))
    small = upload(client, key, upload_id, 3, b"small")
    last = upload(client, key, upload_id, 4, b"last")
    wrong = oss.UploadPart(part_number=1, etag='"0000"')
    missing = oss.UploadPart(part_number=9, etag=first.etag)
    for parts, code in [
        ([second, first], "InvalidPartOrder"),
        ([first, first], "InvalidPartOrder"),
        ([wrong], "InvalidPart"),
        ([first, missing], "InvalidPart"),
        ([first, small, last], "EntityTooSmall"),
        ([], "MalformedXML"),
    ]:
        refused = failure(complete, client, key, upload_id, parts)
        assert (refused.status_code, refused.code) == (400, code)
    assert not client.is_object_exist(BUCKET, key)
    complete(client, key, upload_id, [first, last])
    assert read(client, key) == b"x" * PART + b"last"


def test_complete_all(client):
    upload_id = start(client, "all")
    for number, piece in enumerate(pieces(), start=1):
        upload(client, "all", upload_id, number * 7, piece)
    complete(client, "all", upload_id, None, complete_all="yes")
    assert read(client, "all") == CONTENT


def test_forbidden_overwrite_keeps_object_and_upload(client):
    client.put_object(oss.PutObjectRequest(bucket=BUCKET, key="kept", body=b"old"))
    upload_id = start(client, "kept")
    part = upload(client, "kept", upload_id, 1, b"new")
    assert (
        failure(complete, client, "kept", upload_id, [part], forbid_overwrite=True).code
        == "FileAlreadyExists"
    )
    assert read(client, "kept") == b"old"
    complete(client, "kept", upload_id, [part])
    assert read(client, "kept") == b"new"


def test_only_one_of_many_completions_wins(client):
    upload_id = start(client, "race")
    part = upload(client, "race", upload_id, 1, CONTENT)

    def attempt(_):
        try:
            return complete(client, "race", upload_id, [part]).status_code
        except oss.exceptions.OperationError as error:
            return error.unwrap().code

    with ThreadPoolExecutor(6) as pool:
        outcomes = sorted(map(str, pool.map(attempt, range(6))))
    assert outcomes == ["200", *["NoSuchUpload"] * 5]


def test_abort(cloud, client):
    upload_id = start(client, "aborted")
    part = upload(client, "aborted", upload_id, 1, b"x")
    request = oss.AbortMultipartUploadRequest(bucket=BUCKET, key="aborted", upload_id=upload_id)
    assert client.abort_multipart_upload(request).status_code == 204
    assert failure(client.abort_multipart_upload, request).code == "NoSuchUpload"
    assert failure(upload, client, "aborted", upload_id, 2, b"x").code == "NoSuchUpload"
    assert failure(complete, client, "aborted", upload_id, [part]).code == "NoSuchUpload"
    assert not (cloud.store.private / "uploads" / upload_id).exists()


def test_an_upload_belongs_to_its_key(client):
    upload_id = start(client, "mine")
    assert failure(upload, client, "other", upload_id, 1, b"x").code == "NoSuchUpload"
    for foreign in ("../../x", "", "x"):
        refused = failure(upload, client, "mine", foreign or "0", 1, b"x")
        assert (refused.status_code, refused.code) == (404, "NoSuchUpload")


@pytest.mark.parametrize("number", [0, 10_001, -1, "x"])
def test_part_numbers_are_checked(client, number):
    refused = failure(upload, client, "numbers", start(client, "numbers"), number, b"x")
    assert (refused.status_code, refused.code) == (400, "InvalidArgument")


def test_part_listing_is_paged(client):
    key = "parts ü"
    upload_id = start(client, key)
    for number in (3, 1, 20, 7, 10_000):
        upload(client, key, upload_id, number, str(number).encode())
    paginator = client.list_parts_paginator(limit=2)
    pages = list(paginator.iter_page(oss.ListPartsRequest(bucket=BUCKET, key=key, upload_id=upload_id)))
    parts = [part for page in pages for part in page.parts]
    assert [part.part_number for part in parts] == [1, 3, 7, 20, 10_000]
    assert len(pages) == 3
    assert pages[0].key == key
    assert (parts[0].size, parts[0].hash_crc64) == (1, crc_of(b"1"))
    assert parts[0].etag == f'"{hashlib.md5(b"1").hexdigest().upper()}"'


def test_upload_listing_is_paged(client):
    keys = ["list/a", "list/a", "list/a", "list/b +", "list/ü"]
    expected = sorted((key, start(client, key)) for key in keys)
    for limit in (1, 2, 1000):
        pages = client.list_multipart_uploads_paginator(limit=limit).iter_page(
            oss.ListMultipartUploadsRequest(bucket=BUCKET, prefix="list/")
        )
        assert [(one.key, one.upload_id) for page in pages for one in page.uploads or []] == expected
    beyond = oss.ListMultipartUploadsRequest(bucket=BUCKET, prefix="list/", key_marker="list/a")
    assert [one.key for one in client.list_multipart_uploads(beyond).uploads] == ["list/b +", "list/ü"]
    flat = oss.ListMultipartUploadsRequest(bucket=BUCKET, prefix="list/", delimiter="")
    assert [one.key for one in client.list_multipart_uploads(flat).uploads] == [key for key, _ in expected]
    rolled = oss.ListMultipartUploadsRequest(bucket=BUCKET, delimiter="/")
    assert failure(client.list_multipart_uploads, rolled).code == "NotImplemented"


def test_parts_copied_from_another_object(client):
    client.put_object(oss.PutObjectRequest(bucket=BUCKET, key="copy/source ü", body=CONTENT))
    upload_id = start(client, "copy/target")

    def copy(number, source_range=None, **extra):
        request = oss.UploadPartCopyRequest(
            bucket=BUCKET,
            key="copy/target",
            source_key="copy/source ü",
            upload_id=upload_id,
            part_number=number,
            source_range=source_range,
            **extra,
        )
        copied = client.upload_part_copy(request)
        assert copied.headers["ETag"] == copied.etag
        return oss.UploadPart(part_number=number, etag=copied.etag)

    parts = [copy(1, f"bytes={PART}-{2 * PART - 1}"), copy(2)]
    assert failure(copy, 3, "nonsense").code == "InvalidArgument"
    assert failure(copy, 3, f"bytes={len(CONTENT)}-").code == "InvalidRange"
    assert failure(copy, 3, if_match='"other"').code == "PreconditionFailed"
    complete(client, "copy/target", upload_id, parts)
    assert read(client, "copy/target") == CONTENT[PART : 2 * PART] + CONTENT


def test_transfer_managers(cloud, client, tmp_path):
    content = os.urandom(2_500_000)
    source, target = tmp_path / "source.mp4", tmp_path / "target.mp4"
    source.write_bytes(content)
    uploader = client.uploader(
        part_size=512 * 1024, parallel_num=3, enable_checkpoint=True, checkpoint_dir=str(tmp_path)
    )
    result = uploader.upload_file(oss.PutObjectRequest(bucket=BUCKET, key="big.mp4"), str(source))
    assert result.hash_crc64 == crc_of(content)
    assert (cloud.folder / "big.mp4").read_bytes() == content
    copier = client.copier(part_size=512 * 1024, multipart_copy_threshold=1024, disable_shallow_copy=True)
    copier.copy(oss.CopyObjectRequest(bucket=BUCKET, key="copy.mp4", source_key="big.mp4"))
    downloader = client.downloader(part_size=300_000, parallel_num=3, verify_data=True)
    written = downloader.download_file(oss.GetObjectRequest(bucket=BUCKET, key="copy.mp4"), str(target))
    assert (written.written, target.read_bytes()) == (len(content), content)
    client.put_object(oss.PutObjectRequest(bucket=BUCKET, key="empty", body=b""))
    downloader.download_file(oss.GetObjectRequest(bucket=BUCKET, key="empty"), str(target))
    assert target.read_bytes() == b""


def test_parallel_writers_and_readers_see_whole_versions(cloud, client):
    versions = [bytes([65 + index]) * (200_000 + index) for index in range(6)]
    client.put_object(oss.PutObjectRequest(bucket=BUCKET, key="shared/hot", body=versions[0]))

    def write(index):
        for _ in range(5):
            client.put_object(
                oss.PutObjectRequest(
                    bucket=BUCKET, key="shared/hot", body=versions[index], metadata={"v": str(index)}
                )
            )

    def check(_):
        for _ in range(15):
            result = client.get_object(oss.GetObjectRequest(bucket=BUCKET, key="shared/hot"))
            body = result.body.read()
            assert body in versions
            assert result.etag == f'"{hashlib.md5(body).hexdigest().upper()}"'
            if result.metadata:
                assert versions[int(result.metadata["v"])] == body

    with ThreadPoolExecutor(8) as pool:
        work = [pool.submit(write, index) for index in range(6)] + [pool.submit(check, n) for n in range(2)]
        for one in work:
            one.result()
    assert (cloud.folder / "shared/hot").read_bytes() in versions
    assert list((cloud.store.private / "staging").iterdir()) == []
