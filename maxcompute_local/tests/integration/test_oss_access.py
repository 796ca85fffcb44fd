"""Who may do what, what is refused, and what stays inside the root."""

import os
import urllib.error
import urllib.request
from datetime import timedelta
from xml.etree import ElementTree

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2.signer import SignerV4
from alibabacloud_oss_v2.types import Credentials, HttpRequest, SigningContext

from tests.integration.oss_cloud import BUCKET, KEY_ID, REGION, SECRET, failure, oss_cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    with oss_cloud(tmp_path_factory.mktemp("oss")) as running:
        running.client().put_bucket(oss.PutBucketRequest(bucket=BUCKET))
        yield running


def signed(cloud, method, path, body=b"", bucket=None, key=None, headers=None):
    """Sign and send a request that the SDK's own calls would not make; return status, code and body."""
    request = HttpRequest(method, cloud.endpoint + path)
    request.headers.update(headers or {})
    SignerV4().sign(
        SigningContext(
            product="oss",
            region=REGION,
            bucket=bucket,
            key=key,
            request=request,
            credentials=Credentials(KEY_ID, SECRET),
        )
    )
    status, _, content = cloud.raw(method, path, body, dict(request.headers))
    code = ElementTree.fromstring(content).findtext("Code") if status >= 400 and content else None
    return status, code, content


def object_call(cloud, key, method="GET", quoted=None, **extra):
    return signed(
        cloud, method, f"/{BUCKET}/{key if quoted is None else quoted}", bucket=BUCKET, key=key, **extra
    )


def list_request():
    return oss.ListObjectsV2Request(bucket=BUCKET)


def test_wrong_secret(cloud):
    refused = failure(cloud.client(secret="wrong").list_objects_v2, list_request())
    assert (refused.status_code, refused.code) == (403, "SignatureDoesNotMatch")
    assert SECRET not in str(refused)


def test_unknown_key(cloud):
    refused = failure(cloud.client(key_id="nobody").list_objects_v2, list_request())
    assert (refused.status_code, refused.code) == (403, "InvalidAccessKeyId")


def test_wrong_region(cloud):
    refused = failure(cloud.client(region="cn-elsewhere").list_objects_v2, list_request())
    assert (refused.status_code, refused.code) == (400, "InvalidArgument")
    assert "region" in refused.message


def test_security_token_is_accepted(cloud):
    client = cloud.client(security_token="a-token")
    assert client.list_objects_v2(list_request()).status_code == 200


def test_anonymous_requests_are_denied(cloud):
    for headers in ({}, {"Authorization": f"OSS {KEY_ID}:c2ln"}, {"Authorization": "Basic eDp5"}):
        status, _, body = cloud.raw("GET", f"/{BUCKET}/x", headers=headers)
        assert (status, ElementTree.fromstring(body).findtext("Code")) == (403, "AccessDenied")


def test_signatures_of_version_1(cloud):
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(KEY_ID, SECRET, "a-token")
    config.region, config.endpoint, config.signature_version = REGION, cloud.endpoint, "v1"
    client = oss.Client(config)
    client.put_object(
        oss.PutObjectRequest(bucket=BUCKET, key="a b/ü+%", body=b"x", metadata={"m": "v"}, tagging="k=v")
    )
    started = client.initiate_multipart_upload(oss.InitiateMultipartUploadRequest(bucket=BUCKET, key="parts"))
    client.upload_part(
        oss.UploadPartRequest(
            bucket=BUCKET, key="parts", upload_id=started.upload_id, part_number=1, body=b"p"
        )
    )
    listed = client.list_objects_v2(
        oss.ListObjectsV2Request(bucket=BUCKET, prefix="a b/", continuation_token=None)
    )
    assert [one.key for one in listed.contents] == ["a b/ü+%"]
    get = oss.GetObjectRequest(bucket=BUCKET, key="a b/ü+%", response_content_type="text/plain")
    url = client.presign(get, expires=timedelta(minutes=1)).url
    assert "OSSAccessKeyId=" in url
    assert urllib.request.urlopen(url).read() == b"x"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(url.replace("text%2Fplain", "text%2Fhtml"))


def test_errors_of_head_are_in_a_header(cloud):
    refused = failure(
        cloud.client(secret="wrong").head_object, oss.HeadObjectRequest(bucket=BUCKET, key="any")
    )
    assert refused.code == "SignatureDoesNotMatch"


def test_denied_upload_of_a_large_body_says_why(cloud):
    request = oss.PutObjectRequest(bucket=BUCKET, key="big", body=b"x" * 20_000_000)
    assert failure(cloud.client(secret="wrong").put_object, request).code == "SignatureDoesNotMatch"
    assert not (cloud.folder / "big").exists()


@pytest.mark.parametrize("key", ["/", "/etc/passwd", "\\windows", "a\0b", "d/" * 500 + "x" * 24])
def test_keys_that_oss_refuses(cloud, key):
    quoted = "".join(f"%{byte:02X}" for byte in key.encode())
    for method in ("GET", "PUT", "HEAD", "DELETE"):
        status, code, _ = object_call(cloud, key, method, quoted)
        assert (status, code) == (400, None if method == "HEAD" else "InvalidObjectName")
    client = cloud.client()
    copy = oss.CopyObjectRequest(bucket=BUCKET, key="copied", source_key=key)
    assert failure(client.copy_object, copy).code == "InvalidObjectName"
    assert object_call(cloud, key, "POST", f"{quoted}?uploads")[:2] == (400, "InvalidObjectName")
    assert object_call(cloud, key, "POST", f"{quoted}?append&position=0")[:2] == (400, "InvalidObjectName")
    assert {path.name for path in cloud.store.root.iterdir()} == {BUCKET, ".maxcompute-local"}


@pytest.mark.parametrize(
    "key",
    [
        "../videos-outside/x",
        "..",
        ".",
        "a/../../outside",
        "./a",
        "a/./b",
        "a//b",
        "a//",
        "a/..",
        "../.maxcompute-local/oss.sqlite",
        "x" * 256,
        "名" * 86 + "/y",
    ],
)
def test_keys_that_no_path_can_stand_for(cloud, key):
    quoted = "".join(f"%{byte:02X}" for byte in key.encode())
    before = {path.name for path in cloud.folder.iterdir()}
    assert object_call(cloud, key, "GET", quoted)[:2] == (404, "NoSuchKey")
    assert object_call(cloud, key, "POST", f"{quoted}?append&position=0", body=b"content")[0] == 200
    assert object_call(cloud, key, "GET", quoted)[::2] == (200, b"content")
    copy = oss.CopyObjectRequest(bucket=BUCKET, key="copied", source_key=key)
    assert cloud.client().copy_object(copy).status_code == 200
    assert (cloud.folder / "copied").read_bytes() == b"content"
    (cloud.folder / "copied").unlink()
    listed = cloud.client().list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix=key))
    assert [(one.key, one.size) for one in listed.contents] == [(key, 7)]
    assert object_call(cloud, key, "DELETE", quoted)[0] == 204
    assert object_call(cloud, key, "GET", quoted)[:2] == (404, "NoSuchKey")
    assert {path.name for path in cloud.store.root.iterdir()} == {BUCKET, ".maxcompute-local"}
    assert {path.name for path in cloud.folder.iterdir()} == before


@pytest.mark.parametrize("prefix", ["../", "../.maxcompute-local/", "/", "./", "a\0/", "x" * 300 + "/"])
def test_listing_does_not_leave_the_bucket(cloud, prefix):
    request = oss.ListObjectsV2Request(bucket=BUCKET, prefix=prefix)
    assert not cloud.client().list_objects_v2(request).contents


@pytest.mark.parametrize("bucket", ["..", ".maxcompute-local", "UPPER", "a", "-ab", "a_b", "x" * 64])
def test_names_that_are_no_buckets(cloud, bucket):
    for method in ("GET", "PUT", "DELETE"):
        status, code, _ = signed(cloud, method, f"/{bucket}/", bucket=bucket)
        assert (status, code) == (400, "InvalidBucketName")
    status, code, _ = signed(cloud, "GET", f"/{bucket}/oss.sqlite", bucket=bucket, key="oss.sqlite")
    assert (status, code) == (400, "InvalidBucketName")


def test_symbolic_links_are_never_followed(cloud, tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    (cloud.folder / "linked").symlink_to(tmp_path)
    (cloud.folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    (cloud.store.root / "linked-bucket").symlink_to(tmp_path)
    os.mkfifo(cloud.folder / "pipe")
    client = cloud.client()
    for key in ("linked/secret.txt", "link.txt", "linked/new"):
        for call in (
            lambda key=key: client.get_object(oss.GetObjectRequest(bucket=BUCKET, key=key)),
            lambda key=key: client.put_object(oss.PutObjectRequest(bucket=BUCKET, key=key, body=b"x")),
            lambda key=key: client.delete_object(oss.DeleteObjectRequest(bucket=BUCKET, key=key)),
        ):
            assert failure(call).code == "AccessDenied"
    assert failure(client.get_object, oss.GetObjectRequest(bucket=BUCKET, key="pipe")).code == "NoSuchKey"
    request = oss.ListObjectsV2Request(bucket="linked-bucket")
    assert failure(client.list_objects_v2, request).code == "NoSuchBucket"
    listed = client.list_objects_v2(list_request())
    assert not {one.key for one in listed.contents or []} & {"linked/secret.txt", "link.txt", "pipe"}
    assert not client.list_objects_v2(oss.ListObjectsV2Request(bucket=BUCKET, prefix="linked/")).contents
    assert [one.name for one in client.list_buckets(oss.ListBucketsRequest()).buckets] == [BUCKET]
    assert (tmp_path / "secret.txt").read_text() == "secret"
    assert [path.name for path in tmp_path.iterdir()] == ["secret.txt"]
    for path in (
        *(cloud.folder / name for name in ("linked", "link.txt", "pipe")),
        cloud.store.root / "linked-bucket",
    ):
        path.unlink()


def test_unsupported_operations_say_so(cloud):
    client = cloud.client()
    client.put_object(oss.PutObjectRequest(bucket=BUCKET, key="k", body=b"x"))
    calls = [
        (client.get_bucket_tags, oss.GetBucketTagsRequest(bucket=BUCKET), "tagging"),
        (client.get_bucket_lifecycle, oss.GetBucketLifecycleRequest(bucket=BUCKET), "lifecycle"),
        (client.get_symlink, oss.GetSymlinkRequest(bucket=BUCKET, key="k"), "symlink"),
        (
            client.get_object,
            oss.GetObjectRequest(bucket=BUCKET, key="k", process="image/resize,w_1"),
            "x-oss-process",
        ),
        (client.get_object, oss.GetObjectRequest(bucket=BUCKET, key="k", version_id="v"), "versionId"),
        (client.delete_object, oss.DeleteObjectRequest(bucket=BUCKET, key="k", version_id="v"), "versionId"),
        (client.put_object, oss.PutObjectRequest(bucket=BUCKET, key="k", acl="public-read"), "private"),
        (client.put_object, oss.PutObjectRequest(bucket=BUCKET, key="k", storage_class="Archive"), "Archive"),
        (
            client.put_object,
            oss.PutObjectRequest(bucket=BUCKET, key="k", server_side_encryption="AES256"),
            "x-oss-server-side-encryption",
        ),
        (client.put_symlink, oss.PutSymlinkRequest(bucket=BUCKET, key="s", symlink_target="k"), "symlink"),
    ]
    before = cloud.counted("NotImplemented")
    for call, request, named in calls:
        refused = failure(call, request)
        assert (refused.status_code, refused.code) == (501, "NotImplemented"), named
        assert named in refused.message
    assert cloud.counted("NotImplemented") >= before + 8
    assert client.get_object(oss.GetObjectRequest(bucket=BUCKET, key="k")).body.read() == b"x"


@pytest.mark.parametrize("method", ["OPTIONS", "PATCH", "TRACE"])
def test_unknown_methods_say_so(cloud, method):
    assert object_call(cloud, "k", method)[:2] == (501, "NotImplemented")


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [
        ("POST", "delete", b"<Delete><Object>"),
        ("POST", "delete", b""),
        ("POST", "delete", b"<Delete></Delete>"),
        ("POST", "delete", b"<Other/>"),
        ("POST", "delete", b"<Delete><Object></Object></Delete>"),
        ("POST", "delete", b"\xff\xfe\x00"),
        ("POST", "delete", b'<?xml version="1.0" encoding="nonsense"?><Delete/>'),
        ("POST", "delete", b'<!DOCTYPE x [<!ENTITY a "b">]><Delete><Object><Key>&a;</Key></Object></Delete>'),
        ("PUT", "", b"<CreateBucket"),
        ("GET", "list-type=3", b""),
        ("GET", "list-type=2&max-keys=0", b""),
        ("GET", "list-type=2&max-keys=1001", b""),
        ("GET", "list-type=2&max-keys=-1", b""),
        ("GET", "list-type=2&max-keys=%C2%B2", b""),
        ("GET", "list-type=2&max-keys=abc", b""),
        ("GET", "list-type=2&continuation-token=%21%21", b""),
        ("GET", "list-type=2&continuation-token=%E4%B8%AD", b""),
        ("GET", "list-type=2&encoding-type=base64", b""),
        ("GET", "list-type=2&prefix=%FF", b""),
        ("GET", "uploads&max-uploads=x", b""),
    ],
)
def test_malformed_requests_are_the_clients_fault(cloud, method, query, body):
    path = f"/{BUCKET}/" + (f"?{query}" if query else "")
    status, code, _ = signed(cloud, method, path, body, bucket=BUCKET)
    assert status == 400
    assert code in {"MalformedXML", "InvalidArgument"}


@pytest.mark.parametrize("path", ["/%FF%FE", f"/{BUCKET}/%FF", "//x", "/", "/?", f"/{BUCKET}/%zz"])
def test_odd_paths_are_answered(cloud, path):
    status, _, body = cloud.raw("GET", path)
    assert 400 <= status < 500
    assert ElementTree.fromstring(body).tag == "Error"


@pytest.mark.parametrize(
    "authorization",
    [
        "OSS4-HMAC-SHA256",
        "OSS4-HMAC-SHA256 Credential=a",
        "OSS4-HMAC-SHA256 Credential=a/b,Signature=c",
        f"OSS4-HMAC-SHA256 Credential={KEY_ID}/20260101/{REGION}/oss/aliyun_v4_request,Signature=c",
    ],
)
def test_malformed_signatures(cloud, authorization):
    headers = {
        "Authorization": authorization,
        "x-oss-date": "20260101T000000Z",
        "x-oss-content-sha256": "UNSIGNED-PAYLOAD",
    }
    status, _, body = cloud.raw("GET", f"/{BUCKET}/", headers=headers)
    assert status in (400, 403)
    assert ElementTree.fromstring(body).findtext("Code") in {"InvalidArgument", "RequestTimeTooSkewed"}
