"""Buckets and listings through the real SDK, also of files that arrive beside it."""

import hashlib
import os
import time

import alibabacloud_oss_v2 as oss
import pytest

from maxcompute_local.oss import patience, walk
from tests.integration.oss_cloud import BUCKET, failure, oss_cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with oss_cloud(tmp_path_factory.mktemp("oss")) as running:
        yield running


@pytest.fixture(scope="module")
def client(cloud):
    return cloud.client()


@pytest.fixture
def bucket(cloud, client, request):
    """A fresh bucket's name; its folder is ``cloud.store.root / bucket``."""
    name = "b-" + hashlib.md5(request.node.name.encode()).hexdigest()
    client.put_bucket(oss.PutBucketRequest(bucket=name))
    return name


def drop(cloud, bucket, *keys):
    for key in keys:
        path = cloud.store.root / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(key.encode())


def pages_v2(client, bucket, **extra):
    request = oss.ListObjectsV2Request(bucket=bucket, **extra)
    return list(client.list_objects_v2_paginator().iter_page(request))


def pages_v1(client, bucket, **extra):
    request = oss.ListObjectsRequest(bucket=bucket, **extra)
    return list(client.list_objects_paginator().iter_page(request))


def names(pages):
    """Return keys and common prefixes in the order of listing: within a page they are two sorted lists."""
    found = []
    for page in pages:
        entries = [one.key for one in page.contents or []]
        entries += [one.prefix for one in page.common_prefixes or []]
        found += sorted(entries, key=str.encode)
    return found


def test_buckets(cloud, client):
    client.put_bucket(oss.PutBucketRequest(bucket="lot-a"))
    client.put_bucket(oss.PutBucketRequest(bucket="lot-b"))
    client.put_bucket(oss.PutBucketRequest(bucket="lot-b"))
    assert client.is_bucket_exist("lot-a")
    assert not client.is_bucket_exist("lot-c")
    first = client.list_buckets(oss.ListBucketsRequest(prefix="lot-", max_keys=1))
    assert ([one.name for one in first.buckets], first.is_truncated) == (["lot-a"], True)
    rest = client.list_buckets(oss.ListBucketsRequest(prefix="lot-", marker=first.next_marker))
    assert ([one.name for one in rest.buckets], rest.is_truncated) == (["lot-b"], False)
    assert rest.buckets[0].location == "oss-cn-local"
    info = client.get_bucket_info(oss.GetBucketInfoRequest(bucket="lot-a")).bucket_info
    assert (info.name, info.acl, info.storage_class) == ("lot-a", "private", "Standard")
    assert info.creation_date.year >= 2024
    assert client.get_bucket_location(oss.GetBucketLocationRequest(bucket="lot-a")).location == "oss-cn-local"
    assert client.get_bucket_acl(oss.GetBucketAclRequest(bucket="lot-a")).acl == "private"
    drop(cloud, "lot-a", "x/y", "z")
    stat = client.get_bucket_stat(oss.GetBucketStatRequest(bucket="lot-a"))
    assert (stat.object_count, stat.storage, stat.multi_part_upload_count) == (2, 4, 0)
    client.put_object(oss.PutObjectRequest(bucket="lot-a", key="k//ia", body=b"123", storage_class="IA"))
    stat = client.get_bucket_stat(oss.GetBucketStatRequest(bucket="lot-a"))
    assert (stat.object_count, stat.storage, stat.standard_storage) == (3, 7, 4)
    assert (stat.infrequent_access_object_count, stat.infrequent_access_storage) == (1, 3)
    empty = client.get_bucket_stat(oss.GetBucketStatRequest(bucket="lot-b"))
    assert (empty.object_count, empty.last_modified_time, empty.archive_storage) == (0, 0, 0)


def test_bucket_is_deleted_only_when_empty(cloud, client, bucket):
    delete = oss.DeleteBucketRequest(bucket=bucket)
    drop(cloud, bucket, "deep/er/file")
    refused = failure(client.delete_bucket, delete)
    assert (refused.status_code, refused.code) == (409, "BucketNotEmpty")
    assert (cloud.store.root / bucket / "deep/er/file").exists()
    client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key="deep/er/file"))
    upload = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=bucket, key="k"))
    assert failure(client.delete_bucket, delete).code == "BucketNotEmpty"
    client.abort_multipart_upload(
        oss.AbortMultipartUploadRequest(bucket=bucket, key="k", upload_id=upload.upload_id)
    )
    assert client.delete_bucket(delete).status_code == 204
    assert not (cloud.store.root / bucket).exists()
    assert failure(client.delete_bucket, delete).code == "NoSuchBucket"
    assert failure(client.list_objects_v2, oss.ListObjectsV2Request(bucket=bucket)).code == "NoSuchBucket"


def test_2500_objects_are_paged_completely_and_in_order(cloud, client, bucket):
    keys = [f"{shard}/{index:04d}.jpg" for shard in ("a", "b-c", "b", "ü") for index in range(625)]
    drop(cloud, bucket, *keys)
    expected = sorted(keys, key=str.encode)
    full = pages_v2(client, bucket, max_keys=1000)
    assert [len(page.contents) for page in full] == [1000, 1000, 500]
    assert [page.key_count for page in full] == [1000, 1000, 500]
    assert names(full) == expected
    assert names(pages_v2(client, bucket, max_keys=7, prefix="b")) == [
        one for one in expected if one[0] == "b"
    ]
    assert names(pages_v1(client, bucket, max_keys=999)) == expected
    assert cloud.counted("ListObjectsV2") >= 3


def test_order_is_that_of_utf8_bytes(cloud, client, bucket):
    keys = ["a!x", "a/x", "a0", "a-/x", "a.b", "A", "a/!", "é", "z", "中", "\U0001f697", "\uff5e", "a /b"]
    drop(cloud, bucket, *keys)
    expected = sorted(keys, key=str.encode)
    assert names(pages_v2(client, bucket)) == expected
    for size in (1, 2, 3):
        assert names(pages_v2(client, bucket, max_keys=size)) == expected
        assert names(pages_v1(client, bucket, max_keys=size)) == expected
    for index, key in enumerate(expected):
        assert names(pages_v2(client, bucket, start_after=key)) == expected[index + 1 :]
        assert names(pages_v1(client, bucket, marker=key)) == expected[index + 1 :]


def rolled_up(keys, prefix, delimiter):
    """What a listing must show, worked out naively."""
    shown = []
    for key in sorted((key for key in keys if key.startswith(prefix)), key=str.encode):
        cut = key.find(delimiter, len(prefix))
        entry = key if cut < 0 else key[: cut + len(delimiter)]
        if entry not in shown:
            shown.append(entry)
    return shown


@pytest.mark.parametrize("prefix", ["", "d", "d/", "d/a", "d/a/", "d/a/1", "none", "d b/+"])
@pytest.mark.parametrize("delimiter", ["/", "a", ".j", "+ "])
def test_delimiters_roll_up_at_any_page_size(cloud, client, bucket, prefix, delimiter):
    keys = ["d/a/1.jpg", "d/a/2.jpg", "d/a-1", "d/b/c/3.jpg", "d/b/4.jpg", "d/z", "e", "d b/+ 5.jpg", "d.j"]
    drop(cloud, bucket, *keys)
    expected = rolled_up(keys, prefix, delimiter)
    for size in (1, 2, 1000):
        shape = {"prefix": prefix, "delimiter": delimiter, "max_keys": size}
        assert names(pages_v2(client, bucket, **shape)) == expected
        assert names(pages_v1(client, bucket, **shape)) == expected


def test_listing_of_a_folder_with_its_own_marker(client, bucket):
    for key in ("f/", "f/a", "f/g/", "f/g/x"):
        client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=b""))
    for size in (1, 2, 100):
        shape = {"prefix": "f/", "delimiter": "/", "max_keys": size}
        assert names(pages_v2(client, bucket, **shape)) == ["f/", "f/a", "f/g/"]
        assert names(pages_v1(client, bucket, **shape)) == ["f/", "f/a", "f/g/"]
    assert names(pages_v2(client, bucket)) == ["f/", "f/a", "f/g/", "f/g/x"]


def test_listing_says_what_head_says(client, bucket):
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="k +%/ü", body=b"content", storage_class="IA"))
    listed = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket, fetch_owner=True)).contents[0]
    head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="k +%/ü"))
    assert (listed.key, listed.etag, listed.size) == ("k +%/ü", head.etag, head.content_length)
    assert (listed.storage_class, listed.object_type) == (head.storage_class, head.object_type)
    assert listed.last_modified == head.last_modified
    assert listed.owner.id
    plain = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket)).contents[0]
    assert plain.owner is None


def test_files_that_come_and_go_beside_the_server(cloud, client, bucket):
    path = cloud.store.root / bucket / "in/dropped.mp4"
    drop(cloud, bucket, "in/dropped.mp4")

    def state():
        """What listing, HEAD and GET say; they must agree."""
        listed = client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket)).contents[0]
        head = client.head_object(oss.HeadObjectRequest(bucket=bucket, key="in/dropped.mp4"))
        got = client.get_object(oss.GetObjectRequest(bucket=bucket, key="in/dropped.mp4"))
        body = got.body.read()
        assert listed.etag == head.etag == got.etag == f'"{hashlib.md5(body).hexdigest().upper()}"'
        assert listed.size == head.content_length == len(body)
        return body

    assert state() == b"in/dropped.mp4"
    client.get_object_to_file(
        oss.GetObjectRequest(bucket=bucket, key="in/dropped.mp4"), str(cloud.store.root.parent / "copy")
    )
    path.write_bytes(b"rewritten in place")
    assert state() == b"rewritten in place"
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="in/dropped.mp4", body=b"put over it"))
    assert (path.read_bytes(), state()) == (b"put over it", b"put over it")
    beside = path.with_name("beside")
    beside.write_bytes(b"PUT OVER IT")
    os.utime(beside, ns=(0, 1_000_000_007))
    beside.replace(path)
    assert state() == b"PUT OVER IT", "same size, other content"
    path.unlink()
    assert not client.is_object_exist(bucket, "in/dropped.mp4")
    assert not client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket)).contents


def test_touching_a_file_keeps_its_metadata(cloud, client, bucket):
    request = oss.PutObjectRequest(bucket=bucket, key="t", body=b"x", metadata={"a": "1"})
    client.put_object(request)
    os.utime(cloud.store.root / bucket / "t", ns=(0, 0))
    assert client.head_object(oss.HeadObjectRequest(bucket=bucket, key="t")).metadata == {"a": "1"}
    (cloud.store.root / bucket / "t").write_bytes(b"y")
    assert not client.head_object(oss.HeadObjectRequest(bucket=bucket, key="t")).metadata


def test_a_file_is_hashed_once(cloud, client, bucket, monkeypatch):
    from maxcompute_local.oss import store

    hashed = []
    real = store.checksums_of
    monkeypatch.setattr(store, "checksums_of", lambda file: hashed.append(file) or real(file))
    drop(cloud, bucket, "one", "two")
    for _ in range(3):
        client.list_objects_v2(oss.ListObjectsV2Request(bucket=bucket))
    assert len(hashed) == 2


def test_metadata_survives_a_restart(tmp_path):
    with oss_cloud(tmp_path) as running:
        client = running.client()
        client.put_bucket(oss.PutBucketRequest(bucket=BUCKET))
        client.put_object(oss.PutObjectRequest(bucket=BUCKET, key="k", body=b"x", metadata={"a": "1"}))
        request = oss.InitiateMultipartUploadRequest(bucket=BUCKET, key="m")
        upload_id = client.initiate_multipart_upload(request).upload_id
    (tmp_path / ".maxcompute-local/staging/left-over").write_bytes(b"of a killed server")
    with oss_cloud(tmp_path) as running:
        client = running.client()
        assert client.head_object(oss.HeadObjectRequest(bucket=BUCKET, key="k")).metadata == {"a": "1"}
        uploads = client.list_multipart_uploads(oss.ListMultipartUploadsRequest(bucket=BUCKET)).uploads
        assert [one.upload_id for one in uploads] == [upload_id]
        assert list((tmp_path / ".maxcompute-local/staging").iterdir()) == []


def test_every_request_is_counted_by_its_operation(cloud, client, bucket):
    before = cloud.stats.snapshot()
    client.put_object(oss.PutObjectRequest(bucket=bucket, key="k", body=b"x"))
    client.get_object(oss.GetObjectRequest(bucket=bucket, key="k")).body.read()
    client.get_object(oss.GetObjectRequest(bucket=bucket, key="k")).body.read()
    failure(client.head_object, oss.HeadObjectRequest(bucket=bucket, key="none"))
    failure(cloud.client(secret="wrong").list_objects_v2, oss.ListObjectsV2Request(bucket=bucket))
    after = cloud.stats.snapshot()
    grown = {kind: n - before.get(kind, 0) for kind, n in after.items() if n != before.get(kind, 0)}
    assert grown == {"oss.PutObject": 1, "oss.GetObject": 2, "oss.HeadObject": 1, "oss.ListObjectsV2": 1}


def test_a_listing_that_takes_long_says_so_in_time(cloud, client, bucket, monkeypatch):
    """While an answer is made, white space comes: the client waits less for each byte than for the whole."""
    drop(cloud, bucket, "a", "b")
    monkeypatch.setattr(patience, "PATIENT_SECONDS", 0.1)
    real = cloud.store.describe
    monkeypatch.setattr(cloud.store, "describe", lambda *given: time.sleep(1.5) or real(*given))
    config = cloud.config()
    config.readwrite_timeout = 0.7
    impatient = oss.Client(config)
    assert names(pages_v2(impatient, bucket)) == ["a", "b"]
    assert names(pages_v1(impatient, bucket)) == ["a", "b"]
    monkeypatch.setattr(cloud.store, "describe", lambda *given: time.sleep(1) or 1 / 0)
    with pytest.raises(oss.exceptions.OperationError) as caught:
        pages_v2(impatient, bucket)
    assert isinstance(caught.value.unwrap(), oss.exceptions.RequestError), "no half of a listing"


def test_files_from_outside_are_listed_while_others_come(cloud, client, bucket, monkeypatch):
    """A folder large enough for an index; each file shows in the next listing, whoever writes it."""
    monkeypatch.setattr(walk, "LARGE", 20)
    drop(cloud, bucket, *(f"in/{number:03d}" for number in range(30)))
    expected = {f"in/{number:03d}" for number in range(30)}
    assert names(pages_v2(client, bucket, max_keys=7)) == sorted(expected)
    for number in range(30, 60):
        key = f"in/{number % 50:03d}-{number}"
        if number % 2:
            drop(cloud, bucket, key)
        else:
            client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=b"x"))
        gone = f"in/{number - 30:03d}"
        client.delete_object(oss.DeleteObjectRequest(bucket=bucket, key=gone))
        expected = (expected | {key}) - {gone}
        assert names(pages_v2(client, bucket, max_keys=9)) == sorted(expected)
        assert names(pages_v1(client, bucket, prefix="in/0")) == sorted(
            one for one in expected if "in/0" in one
        )
