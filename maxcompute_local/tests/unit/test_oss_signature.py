"""Signatures of both versions: what the SDK signs is accepted, and nothing else."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, urlsplit

import pytest
from alibabacloud_oss_v2.signer import SignerV1, SignerV4
from alibabacloud_oss_v2.types import Credentials, HttpRequest, SigningContext

from maxcompute_local.oss.errors import OssError
from maxcompute_local.oss.signature import verify
from maxcompute_local.oss.signed_request import SignedRequest

KEYS = {"id-a": "secret-a", "id-b": "secret-b"}
REGION = "cn-test"
SIGNED_AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
V1, V4 = SignerV1(), SignerV4()


def sign(
    query="",
    headers=None,
    *,
    in_query=False,
    key_id="id-a",
    additional=None,
    key="a b/ü+%.mp4",
    signer=V4,
    **extra,
):
    """Return a request as the SDK signs it, as the server sees it."""
    url = "http://127.0.0.1/bucket/" + quote(key) + (f"?{query}" if query else "")
    request = HttpRequest("GET", url)
    request.headers.update(headers or {})
    context = SigningContext(
        product=extra.get("product", "oss"),
        region=extra.get("region", REGION),
        bucket="bucket",
        key=key,
        request=request,
        credentials=Credentials(key_id, extra.get("secret", KEYS.get(key_id, "?")), extra.get("token")),
        signing_time=SIGNED_AT,
    )
    context.auth_method_query = in_query
    context.additional_headers = additional
    context.expiration_time = SIGNED_AT + 5 * MINUTE
    signer.sign(context)
    sent = {name.lower(): value for name, value in request.headers.items()}
    return SignedRequest("GET", f"/bucket/{key}", urlsplit(request.url).query, sent)


def code(request, now=SIGNED_AT):
    with pytest.raises(OssError) as caught:
        verify(request, KEYS, REGION, now)
    return caught.value.code


@pytest.mark.parametrize("signer", [V1, V4])
@pytest.mark.parametrize("in_query", [False, True])
@pytest.mark.parametrize(
    "query", ["", "prefix=a%20b%2Fc&list-type=2&delete", "b=2&a=1&B=0", "response-content-type=text%2Fplain"]
)
@pytest.mark.parametrize("key_id", sorted(KEYS))
def test_what_the_sdk_signs_is_accepted(query, in_query, key_id, signer):
    headers = {"x-oss-meta-name": "值", "Content-Type": "video/mp4", "Range": "bytes=0-1"}
    request = sign(
        query,
        headers,
        in_query=in_query,
        key_id=key_id,
        additional={"range"},
        token="sts token/+",
        signer=signer,
    )
    assert verify(request, KEYS, REGION, SIGNED_AT) == key_id


@pytest.mark.parametrize("in_query", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, method="PUT"),
        lambda one: replace(one, resource="/bucket/other"),
        lambda one: replace(one, resource="/other/a b/ü+%.mp4"),
        lambda one: replace(one, query=one.query + "&response-content-type=x"),
        lambda one: replace(one, headers={**one.headers, "x-oss-meta-a": "2"}),
        lambda one: replace(one, headers={**one.headers, "x-oss-forbid-overwrite": "true"}),
        lambda one: replace(one, headers={**one.headers, "content-type": "text/html"}),
        lambda one: replace(one, headers={**one.headers, "range": "bytes=5-"}),
    ],
)
def test_any_change_of_what_is_signed_is_noticed(change, in_query):
    headers = {"x-oss-meta-a": "1", "range": "bytes=0-1"}
    request = sign("list-type=2", headers, in_query=in_query, additional={"range"})
    assert code(change(request)) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("in_query", [False, True])
def test_wrong_secret_unknown_key_wrong_scope(in_query):
    assert code(sign(secret="other", in_query=in_query)) == "SignatureDoesNotMatch"
    assert code(sign(key_id="unknown", in_query=in_query)) == "InvalidAccessKeyId"
    assert code(sign(region="cn-other", in_query=in_query)) == "InvalidArgument"
    assert code(sign(product="oss-cloudbox", in_query=in_query)) == "InvalidArgument"


def test_clock_of_a_signed_request():
    for offset in (-15 * MINUTE, 15 * MINUTE):
        assert verify(sign(), KEYS, REGION, SIGNED_AT + offset) == "id-a"
    for offset in (-16 * MINUTE, 16 * MINUTE):
        assert code(sign(), SIGNED_AT + offset) == "RequestTimeTooSkewed"


def test_presigned_urls_hold_for_their_time_only():
    request = sign(in_query=True)
    assert verify(request, KEYS, REGION, SIGNED_AT + 5 * MINUTE) == "id-a"
    assert code(request, SIGNED_AT + 5 * MINUTE + timedelta(seconds=1)) == "AccessDenied"
    assert code(request, SIGNED_AT - 16 * MINUTE) == "AccessDenied"
    longer = replace(request, query=request.query.replace("x-oss-expires=300", "x-oss-expires=3000"))
    assert code(longer) == "SignatureDoesNotMatch"
    for expires in ("0", "604801", "-1", "x", ""):
        query = request.query.replace("x-oss-expires=300", f"x-oss-expires={expires}")
        assert code(replace(request, query=query)) == "InvalidArgument"


def test_no_signature():
    assert code(SignedRequest("GET", "/", "", {})) == "AccessDenied"
    assert code(SignedRequest("GET", "/", "x-oss-signature-version=OSS5", {})) == "AccessDenied"
    assert code(SignedRequest("GET", "/", "", {"authorization": "OSS5 id-a:c2ln"})) == "AccessDenied"


@pytest.mark.parametrize("in_query", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, method="PUT"),
        lambda one: replace(one, resource="/bucket/other"),
        lambda one: replace(one, query=one.query + "&acl"),
        lambda one: replace(one, query=one.query.replace("uploadId=1", "uploadId=2")),
        lambda one: replace(one, headers={**one.headers, "x-oss-meta-a": "2"}),
        lambda one: replace(one, headers={**one.headers, "content-type": "text/html"}),
        lambda one: replace(one, headers={**one.headers, "content-md5": "x"}),
    ],
)
def test_any_change_of_what_version_1_signs_is_noticed(change, in_query):
    request = sign("uploadId=1", {"x-oss-meta-a": "1"}, in_query=in_query, signer=V1)
    assert verify(request, KEYS, REGION, SIGNED_AT) == "id-a"
    assert code(change(request)) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("in_query", [False, True])
def test_version_1_with_a_wrong_secret_or_an_unknown_key(in_query):
    assert code(sign(secret="other", in_query=in_query, signer=V1)) == "SignatureDoesNotMatch"
    assert code(sign(key_id="unknown", in_query=in_query, signer=V1)) == "InvalidAccessKeyId"


def test_time_of_version_1():
    request = sign(signer=V1)
    for offset in (-15 * MINUTE, 15 * MINUTE):
        assert verify(request, KEYS, REGION, SIGNED_AT + offset) == "id-a"
    for offset in (-16 * MINUTE, 16 * MINUTE):
        assert code(request, SIGNED_AT + offset) == "RequestTimeTooSkewed"
    for date in ("", "yesterday", "2026-03-04T05:06:07Z"):
        assert code(replace(request, headers={**request.headers, "date": date})) == "AccessDenied"
    presigned = sign(in_query=True, signer=V1)
    assert verify(presigned, KEYS, REGION, SIGNED_AT + 5 * MINUTE) == "id-a"
    assert code(presigned, SIGNED_AT + 5 * MINUTE + timedelta(seconds=1)) == "AccessDenied"
    expires = int((SIGNED_AT + 5 * MINUTE).timestamp())
    later = presigned.query.replace(str(expires), str(expires + 1))
    assert code(replace(presigned, query=later)) == "SignatureDoesNotMatch"
    for wrong in ("", "x", "9" * 5000):
        query = presigned.query.replace(str(expires), wrong)
        assert code(replace(presigned, query=query)) == "AccessDenied"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("authorization", "OSS nothing"),
        ("authorization", "OSS4-HMAC-SHA256 nothing"),
        ("authorization", "OSS4-HMAC-SHA256 Credential=id-a/20260304/cn-test/oss,Signature=00"),
        (
            "authorization",
            "OSS4-HMAC-SHA256 Credential=id-a/20260305/cn-test/oss/aliyun_v4_request,Signature=0",
        ),
        ("authorization", "OSS4-HMAC-SHA256 Credential=id-a/20260304/cn-test/oss/other,Signature=00"),
        (
            "authorization",
            "OSS4-HMAC-SHA256 Credential=id-a/20260304/cn-test/oss/aliyun_v4_request,Signature=ü",
        ),
        ("x-oss-date", "yesterday"),
        ("x-oss-content-sha256", "0" * 64),
    ],
)
def test_malformed_signatures_are_the_clients_fault(header, value):
    request = sign()
    assert code(replace(request, headers={**request.headers, header: value})) == "InvalidArgument"


def test_errors_hold_no_secret():
    for request in (sign(secret="other"), sign(key_id="unknown"), sign(region="cn-other")):
        with pytest.raises(OssError) as caught:
            verify(request, KEYS, REGION, SIGNED_AT)
        shown = f"{caught.value}{caught.value.details}{caught.value.headers}"
        assert not any(secret in shown for secret in KEYS.values())


def test_query_may_be_encoded_otherwise_than_it_was_signed():
    """The SDK's asynchronous client signs ``%2F`` and ``%20``, and sends ``/`` and ``+``."""
    request = sign("marker=b%2Bc&prefix=a%2Fb%20c~")
    sent = replace(request, query="marker=b%2bc&prefix=a/b+c~")
    verify(sent, KEYS, REGION, SIGNED_AT)
    assert code(replace(request, query="marker=b%2Bc&prefix=a/b-c~")) == "SignatureDoesNotMatch"
