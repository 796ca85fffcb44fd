"""What scripts for OSS rely on beyond the integration tests, stated through the unmodified SDK."""

from __future__ import annotations

import io
import urllib.request
from datetime import timedelta
from pathlib import Path
from urllib.error import HTTPError

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2.crc import Crc64

ODD_KEYS = [
    "spaces and + signs",
    "per%cent%2Fcent",
    "中文/😀.jpg",
    "a&b=c?d#e;f,g:h@i$j",
    "quotes'\"<xml>",
    "dots...and..dots/.hidden",
    "tab\tand\x01control",
    "trailing space ",
    "back\\slash",
    "~tilde-_.!*()[]{}|^`",
]


def code_of(call, *args, **kwargs) -> str:
    with pytest.raises(oss.exceptions.OperationError) as caught:
        call(*args, **kwargs)
    return caught.value.unwrap().code


def put(client: oss.Client, bucket: str, key: str, body: bytes = b"x", **more) -> oss.PutObjectResult:
    return client.put_object(oss.PutObjectRequest(bucket, key, body=body, **more))


def read(client: oss.Client, bucket: str, key: str, **more) -> bytes:
    return client.get_object(oss.GetObjectRequest(bucket, key, **more)).body.content


@pytest.mark.parametrize("key", ODD_KEYS)
def test_odd_keys_go_everywhere(oss_client: oss.Client, bucket: str, key: str) -> None:
    put(oss_client, bucket, key, b"content")
    assert read(oss_client, bucket, key) == b"content"
    copied = oss.CopyObjectRequest(bucket, f"copy/{key}", source_bucket=bucket, source_key=key)
    oss_client.copy_object(copied)
    listed = oss_client.list_objects_v2(oss.ListObjectsV2Request(bucket)).contents
    assert sorted(one.key for one in listed) == sorted([key, f"copy/{key}"])
    older = oss_client.list_objects(oss.ListObjectsRequest(bucket)).contents
    assert [one.key for one in older] == [one.key for one in listed]
    address = oss_client.presign(oss.GetObjectRequest(bucket, key)).url
    assert urllib.request.urlopen(address).read() == b"content"
    keys = [oss.DeleteObject(key=one.key) for one in listed]
    gone = oss_client.delete_multiple_objects(
        oss.DeleteMultipleObjectsRequest(bucket, encoding_type="url", objects=keys)
    )
    assert sorted(one.key for one in gone.deleted_objects) == sorted(one.key for one in listed)
    assert not oss_client.is_object_exist(bucket, key)


def test_what_exists(oss_client: oss.Client, bucket: str) -> None:
    put(oss_client, bucket, "a")
    assert oss_client.is_bucket_exist(bucket)
    assert not oss_client.is_bucket_exist(f"{bucket}-not")
    assert oss_client.is_object_exist(bucket, "a")
    assert not oss_client.is_object_exist(bucket, "b")
    assert code_of(oss_client.is_object_exist, f"{bucket}-not", "a") == "NoSuchBucket"
    assert code_of(oss_client.get_object, oss.GetObjectRequest(bucket, "b")) == "NoSuchKey"


def test_a_wrong_key_tells_buckets_apart_all_the_same(oss_client: oss.Client, bucket: str) -> None:
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider("nobody", "nothing")
    options = oss_client._client._options
    config.region, config.endpoint = "cn-local", options.endpoint.geturl()
    stranger = oss.Client(config)
    assert stranger.is_bucket_exist(bucket)
    assert not stranger.is_bucket_exist(f"{bucket}-not")
    # What is not supported is not told to strangers either.
    versioning = oss.VersioningConfiguration(status="Enabled")
    request = oss.PutBucketVersioningRequest(bucket, versioning_configuration=versioning)
    assert code_of(stranger.put_bucket_versioning, request) == "InvalidAccessKeyId"


def test_buckets_describe_themselves(oss_client: oss.Client) -> None:
    configuration = oss.CreateBucketConfiguration(storage_class="IA")
    request = oss.PutBucketRequest("bucket-of-ia", acl="private", create_bucket_configuration=configuration)
    oss_client.put_bucket(request)
    oss_client.put_bucket(request)
    info = oss_client.get_bucket_info(oss.GetBucketInfoRequest("bucket-of-ia")).bucket_info
    assert (info.name, info.location, info.storage_class, info.acl) == (
        "bucket-of-ia",
        "oss-cn-local",
        "IA",
        "private",
    )
    put(oss_client, "bucket-of-ia", "a", b"abc")
    assert oss_client.head_object(oss.HeadObjectRequest("bucket-of-ia", "a")).storage_class == "IA"
    location = oss_client.get_bucket_location(oss.GetBucketLocationRequest("bucket-of-ia"))
    assert location.location == "oss-cn-local"
    stat = oss_client.get_bucket_stat(oss.GetBucketStatRequest("bucket-of-ia"))
    assert (stat.storage, stat.object_count, stat.live_channel_count) == (3, 1, 0)
    oss_client.put_bucket_acl(oss.PutBucketAclRequest("bucket-of-ia", acl="private"))
    assert oss_client.get_bucket_acl(oss.GetBucketAclRequest("bucket-of-ia")).acl == "private"
    versioning = oss_client.get_bucket_versioning(oss.GetBucketVersioningRequest("bucket-of-ia"))
    assert versioning.version_status is None
    assert code_of(oss_client.delete_bucket, oss.DeleteBucketRequest("bucket-of-ia")) == "BucketNotEmpty"
    oss_client.delete_object(oss.DeleteObjectRequest("bucket-of-ia", "a", version_id="null"))
    oss_client.delete_bucket(oss.DeleteBucketRequest("bucket-of-ia"))
    # A bucket of the same name begins anew.
    oss_client.put_bucket(oss.PutBucketRequest("bucket-of-ia"))
    put(oss_client, "bucket-of-ia", "a")
    assert oss_client.head_object(oss.HeadObjectRequest("bucket-of-ia", "a")).storage_class == "Standard"
    oss_client.delete_object(oss.DeleteObjectRequest("bucket-of-ia", "a"))
    oss_client.delete_bucket(oss.DeleteBucketRequest("bucket-of-ia"))


def test_endpoints_of_buckets_lead_back_here(oss_client: oss.Client, bucket: str) -> None:
    found = {one.name: one for one in oss_client.list_buckets(oss.ListBucketsRequest()).buckets}
    assert found[bucket].extranet_endpoint == oss_client._client._options.endpoint.geturl()


def test_tags(oss_client: oss.Client, bucket: str) -> None:
    put(oss_client, bucket, "a", tagging="k1=v1&k%202=%E4%B8%AD")

    def tags(key: str) -> dict[str, str | None]:
        answer = oss_client.get_object_tagging(oss.GetObjectTaggingRequest(bucket, key))
        return {tag.key: tag.value for tag in answer.tag_set.tags or []}

    assert tags("a") == {"k1": "v1", "k 2": "中"}
    assert oss_client.head_object(oss.HeadObjectRequest(bucket, "a")).tagging_count == 2
    copy = oss.CopyObjectRequest(bucket, "b", source_bucket=bucket, source_key="a")
    oss_client.copy_object(copy)
    assert tags("b") == tags("a")
    copy.tagging_directive, copy.tagging = "Replace", "x=y"
    oss_client.copy_object(copy)
    assert tags("b") == {"x": "y"}
    one = oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key="only", value="")]))
    oss_client.put_object_tagging(oss.PutObjectTaggingRequest(bucket, "a", tagging=one))
    assert tags("a") == {"only": None}
    oss_client.delete_object_tagging(oss.DeleteObjectTaggingRequest(bucket, "a"))
    assert tags("a") == {}
    assert oss_client.head_object(oss.HeadObjectRequest(bucket, "a")).tagging_count is None
    assert (
        code_of(put, oss_client, bucket, "c", tagging="&".join(f"t{n}=" for n in range(11))) == "InvalidTag"
    )
    missing = oss.GetObjectTaggingRequest(bucket, "not-there")
    assert code_of(oss_client.get_object_tagging, missing) == "NoSuchKey"


def test_access_control_lists_that_are_private(oss_client: oss.Client, bucket: str) -> None:
    def acl(key: str) -> str:
        return oss_client.get_object_acl(oss.GetObjectAclRequest(bucket, key)).acl

    put(oss_client, bucket, "a")
    assert acl("a") == "default"
    oss_client.put_object_acl(oss.PutObjectAclRequest(bucket, "a", acl="private"))
    assert acl("a") == "private"
    oss_client.copy_object(oss.CopyObjectRequest(bucket, "b", source_bucket=bucket, source_key="a"))
    assert acl("b") == "default"
    put(oss_client, bucket, "c", acl="private")
    assert acl("c") == "private"
    head = oss_client.head_object(oss.HeadObjectRequest(bucket, "c"))
    assert "x-oss-object-acl" not in head.headers


def test_copies_replace_metadata_but_not_the_content_type(oss_client: oss.Client, bucket: str) -> None:
    put(oss_client, bucket, "a", metadata={"who": "me"}, content_type="text/plain", cache_control="no-cache")
    oss_client.copy_object(
        oss.CopyObjectRequest(bucket, "b", source_bucket=bucket, source_key="a", metadata_directive="REPLACE")
    )
    copy = oss_client.head_object(oss.HeadObjectRequest(bucket, "b"))
    assert (copy.content_type, copy.cache_control, copy.metadata) == ("text/plain", None, None)


def test_every_object_has_one_version(oss_client: oss.Client, bucket: str) -> None:
    for number in range(5):
        put(oss_client, bucket, f"d/{number} &.txt")
    pages = list(
        oss_client.list_object_versions_paginator(limit=2).iter_page(
            oss.ListObjectVersionsRequest(bucket, prefix="d/")
        )
    )
    found = [one for page in pages for one in page.version or []]
    assert [len(page.version) for page in pages] == [2, 2, 1]
    assert [one.key for one in found] == [f"d/{number} &.txt" for number in range(5)]
    assert {(one.version_id, one.is_latest) for one in found} == {("null", True)}
    assert read(oss_client, bucket, "d/0 &.txt", version_id="null") == b"x"
    objects = [oss.DeleteObject(key=one.key, version_id=one.version_id) for one in found]
    oss_client.delete_multiple_objects(oss.DeleteMultipleObjectsRequest(bucket, objects=objects))
    assert not oss_client.list_objects_v2(oss.ListObjectsV2Request(bucket)).contents


def test_paginators(oss_client: oss.Client, bucket: str) -> None:
    keys = [f"{folder}/{number:02}" for folder in "abc" for number in range(7)]
    for key in keys:
        put(oss_client, bucket, key)
    for paginator, request in (
        (oss_client.list_objects_paginator, oss.ListObjectsRequest(bucket)),
        (oss_client.list_objects_v2_paginator, oss.ListObjectsV2Request(bucket)),
    ):
        pages = list(paginator(limit=4).iter_page(request))
        assert [one.key for page in pages for one in page.contents] == keys
        assert len(pages) == 6
    grouped = oss_client.list_objects_v2_paginator(limit=1).iter_page(
        oss.ListObjectsV2Request(bucket, delimiter="/")
    )
    assert [one.prefix for page in grouped for one in page.common_prefixes or []] == ["a/", "b/", "c/"]
    after = oss_client.list_objects_v2(oss.ListObjectsV2Request(bucket, start_after="c/04"))
    assert [one.key for one in after.contents] == ["c/05", "c/06"]
    started = [
        oss_client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket, f"up/{number}"))
        for number in range(5)
    ]
    uploads = oss_client.list_multipart_uploads_paginator(limit=2).iter_page(
        oss.ListMultipartUploadsRequest(bucket)
    )
    assert sorted(one.upload_id for page in uploads for one in page.uploads) == sorted(
        one.upload_id for one in started
    )
    for number in range(1, 6):
        part = oss.UploadPartRequest(
            bucket, "up/0", part_number=number, upload_id=started[0].upload_id, body=b"p"
        )
        assert oss_client.upload_part(part).content_md5
    parts = oss_client.list_parts_paginator(limit=2).iter_page(
        oss.ListPartsRequest(bucket, "up/0", upload_id=started[0].upload_id)
    )
    assert [one.part_number for page in parts for one in page.parts] == [1, 2, 3, 4, 5]
    for one in started:
        oss_client.abort_multipart_upload(
            oss.AbortMultipartUploadRequest(bucket, one.key, upload_id=one.upload_id)
        )
    assert not oss_client.list_multipart_uploads(oss.ListMultipartUploadsRequest(bucket)).uploads


def test_files_go_up_and_down_in_parallel(oss_client: oss.Client, bucket: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    source, target = tmp_path / "up.bin", tmp_path / "down.bin"
    source.write_bytes(content)
    seen: list[tuple[int, int, int]] = []
    uploaded = oss_client.uploader(part_size=200 * 1024, parallel_num=3).upload_file(
        oss.PutObjectRequest(bucket, "big", progress_fn=lambda *now: seen.append(now), tagging="a=b"),
        str(source),
        enable_checkpoint=True,
        checkpoint_dir=str(tmp_path),
    )
    assert seen[-1][1:] == (len(content), len(content))
    crc = Crc64(0)
    crc.update(content)
    assert uploaded.hash_crc64 == str(crc.sum64())
    head = oss_client.head_object(oss.HeadObjectRequest(bucket, "big"))
    assert (head.object_type, head.content_length, head.tagging_count) == ("Multipart", len(content), 1)
    oss_client.downloader(part_size=150 * 1024, parallel_num=4).download_file(
        oss.GetObjectRequest(bucket, "big"), str(target), enable_checkpoint=True, checkpoint_dir=str(tmp_path)
    )
    assert target.read_bytes() == content
    oss_client.copier(part_size=200 * 1024, parallel_num=3).copy(
        oss.CopyObjectRequest(bucket, "copy", source_bucket=bucket, source_key="big"),
        multipart_copy_threshold=1,
    )
    assert read(oss_client, bucket, "copy") == content
    assert read(oss_client, bucket, "copy", range_header="bytes=250-260") == content[250:261]
    oss_client.put_object_from_file(oss.PutObjectRequest(bucket, "whole"), str(source))
    oss_client.get_object_to_file(oss.GetObjectRequest(bucket, "whole"), str(target))
    assert target.read_bytes() == content
    with oss_client.open_file(bucket, "whole") as opened:
        opened.seek(1000)
        assert opened.read(24) == content[1000:1024]
    with oss_client.append_file(bucket, "log") as log:
        log.write(b"one ")
        log.write(b"two")
    assert read(oss_client, bucket, "log") == b"one two"
    streamed = oss_client.put_object(oss.PutObjectRequest(bucket, "stream", body=io.BytesIO(content)))
    assert streamed.hash_crc64 == uploaded.hash_crc64
    assert {path.name for path in tmp_path.iterdir()} == {"up.bin", "down.bin"}


def test_presigned_addresses(oss_client: oss.Client, bucket: str) -> None:
    request = oss.PutObjectRequest(bucket, "signed", content_type="text/plain", metadata={"who": "me"})
    signed = oss_client.presign(request, expires=timedelta(minutes=5))
    upload = urllib.request.Request(
        signed.url, data=b"by address", method=signed.method, headers=dict(signed.signed_headers)
    )
    assert urllib.request.urlopen(upload).status == 200
    head = oss_client.presign(oss.HeadObjectRequest(bucket, "signed"))
    answer = urllib.request.urlopen(urllib.request.Request(head.url, method="HEAD"))
    assert (answer.headers["x-oss-meta-who"], answer.headers["Content-Type"]) == ("me", "text/plain")
    address = oss_client.presign(oss.GetObjectRequest(bucket, "signed")).url
    assert urllib.request.urlopen(address).read() == b"by address"
    for wrong in (address.replace("signed", "other", 1), address[:-1] + ("0" if address[-1] != "0" else "1")):
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(wrong)
        assert refused.value.code == 403


def test_conditions(oss_client: oss.Client, bucket: str) -> None:
    etag = put(oss_client, bucket, "a").etag
    assert read(oss_client, bucket, "a", if_match=etag) == b"x"
    other = oss.GetObjectRequest(bucket, "a", if_match='"0"')
    assert code_of(oss_client.get_object, other) == "PreconditionFailed"
    with pytest.raises(oss.exceptions.OperationError) as unchanged:
        oss_client.get_object(oss.GetObjectRequest(bucket, "a", if_none_match=etag))
    assert unchanged.value.unwrap().status_code == 304
    assert code_of(put, oss_client, bucket, "a", forbid_overwrite=True) == "FileAlreadyExists"
    wrong = oss.AppendObjectRequest(bucket, "a", position=0, body=b"y")
    assert code_of(oss_client.append_object, wrong) == "ObjectNotAppendable"
