"""What users of the OSS SDK get when OSS has faults."""

from __future__ import annotations

import time
from collections.abc import Iterator

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2.retry import NopRetryer, StandardRetryer

from maxcompute_local.control_client import FaultControl, LocalCloudControl
from maxcompute_local.server import LocalCloud

BODY = bytes(range(256)) * 512
"""128 KiB."""


@pytest.fixture
def control(local_cloud: LocalCloud) -> Iterator[LocalCloudControl]:
    yield local_cloud.control
    local_cloud.control.faults.clear()


@pytest.fixture
def faults(control: LocalCloudControl) -> FaultControl:
    return control.faults


def client(cloud: LocalCloud, *, retries: bool) -> oss.Client:
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        cloud.access_key_id, cloud.access_key_secret
    )
    config.region, config.endpoint = cloud.region, cloud.oss_endpoint
    config.retryer = StandardRetryer(backoff_delayer=_NoDelay()) if retries else NopRetryer()
    return oss.Client(config)


class _NoDelay(oss.retry.BackoffDelayer):
    def backoff_delay(self, attempt: int, error: Exception) -> float:
        return 0


@pytest.fixture
def once(local_cloud: LocalCloud) -> oss.Client:
    """A client that does not try again."""
    return client(local_cloud, retries=False)


@pytest.fixture
def again(local_cloud: LocalCloud) -> oss.Client:
    """A client that tries up to three times, as the SDK does unless told otherwise."""
    return client(local_cloud, retries=True)


@pytest.fixture
def stored(once: oss.Client, bucket: str) -> oss.GetObjectRequest:
    once.put_object(oss.PutObjectRequest(bucket=bucket, key="a", body=BODY))
    return oss.GetObjectRequest(bucket=bucket, key="a")


def put(client: oss.Client, bucket: str, key: str = "b") -> None:
    client.put_object(oss.PutObjectRequest(bucket=bucket, key=key, body=BODY))


def failure(call, *args) -> Exception:
    with pytest.raises(oss.exceptions.OperationError) as caught:
        call(*args)
    return caught.value.unwrap()


@pytest.mark.parametrize(
    ("fault", "options", "status", "code"),
    [
        ("http", {"status": 500}, 500, "InternalError"),
        ("http", {}, 503, "ServiceUnavailable"),
        ("http", {"status": 429}, 429, "TooManyRequests"),
        ("expired_token", {}, 403, "SecurityTokenExpired"),
        ("wrong_signature", {}, 403, "SignatureDoesNotMatch"),
        ("forbidden", {}, 403, "AccessDenied"),
        ("clock_skew", {"seconds": 3600}, 403, "RequestTimeTooSkewed"),
        ("clock_skew", {"seconds": -3600}, 403, "RequestTimeTooSkewed"),
        ("disk_full", {}, 500, "InternalError"),
    ],
)
def test_refusals_are_service_errors(faults, once, bucket, fault, options, status, code) -> None:
    faults.add("oss.PutObject", fault, **options)
    error = failure(put, once, bucket)
    assert isinstance(error, oss.exceptions.ServiceError)
    assert (error.status_code, error.code) == (status, code)
    faults.clear()
    assert not once.is_object_exist(bucket, "b"), "a refused upload leaves nothing"


def test_a_small_clock_skew_is_fine(faults, once, bucket) -> None:
    faults.add("oss.*", "clock_skew", seconds=600)
    put(once, bucket)


def test_the_sdk_tries_again_what_may_work_later(control, again, bucket) -> None:
    control.faults.add("oss.PutObject", "http", status=503, count=2)
    with control.counting() as counted:
        put(again, bucket)
    assert (counted["fault.http"], counted["oss.PutObject"]) == (2, 1)


def test_the_sdk_gives_up_after_three(control, again, bucket) -> None:
    control.faults.add("oss.PutObject", "http", status=500)
    with control.counting() as counted:
        error = failure(put, again, bucket)
    assert error.code == "InternalError"
    assert (counted["fault.http"], counted.get("oss.PutObject", 0)) == (3, 0)


def test_the_sdk_does_not_try_again_with_a_wrong_signature(control, again, bucket) -> None:
    control.faults.add("oss.PutObject", "wrong_signature")
    with control.counting() as counted:
        failure(put, again, bucket)
    assert counted["fault.wrong_signature"] == 1


def test_an_upload_whose_answer_is_lost_is_there(control, once, again, bucket) -> None:
    control.faults.add("oss.PutObject", "drop", count=1)
    with control.counting() as counted:
        error = failure(put, once, bucket)
    assert isinstance(error, oss.exceptions.RequestError)
    assert (counted["oss.PutObject"], counted["fault.drop"]) == (1, 1)
    assert once.get_object(oss.GetObjectRequest(bucket=bucket, key="b")).body.content == BODY
    # With retries the caller does not notice, and the object is written twice.
    control.faults.add("oss.PutObject", "drop", count=1)
    with control.counting() as counted:
        put(again, bucket, "c")
    assert counted["oss.PutObject"] == 2


@pytest.mark.parametrize("fault", ["reset", "truncate"])
@pytest.mark.parametrize("after_bytes", [None, 0, 1000, 1 << 30])
def test_a_download_that_is_cut_off_is_an_error(control, once, stored, fault, after_bytes, caplog) -> None:
    control.faults.add("oss.GetObject", fault, after_bytes=after_bytes, count=1)
    with pytest.raises(Exception) as caught:
        once.get_object(stored).body.read()
    assert "IncompleteRead" in repr(caught.value) or "reset" in repr(caught.value), repr(caught.value)
    assert once.get_object(stored).body.read() == BODY
    (described,) = control.faults.list()
    assert (described["matched"], described["struck"]) == (2, 1)
    assert not [record for record in caplog.records if record.levelname == "ERROR"], "the server is fine"


def test_a_slow_body_arrives_whole(faults, once, stored) -> None:
    faults.add("oss.GetObject", "drip", bytes_per_second=len(BODY) * 4)
    began = time.monotonic()
    assert once.get_object(stored).body.read() == BODY
    assert time.monotonic() - began > 0.1


def test_a_late_answer_is_a_read_timeout_for_the_impatient(faults, local_cloud, stored) -> None:
    config = oss.config.load_default()
    config.credentials_provider = oss.credentials.StaticCredentialsProvider(
        local_cloud.access_key_id, local_cloud.access_key_secret
    )
    config.region, config.endpoint = local_cloud.region, local_cloud.oss_endpoint
    config.retryer, config.readwrite_timeout = NopRetryer(), 0.2
    faults.add("oss.GetObject", "latency", seconds=1.0, count=1)
    assert "timed out" in repr(failure(oss.Client(config).get_object, stored)).lower()


def test_control_routes_are_never_struck(control: LocalCloudControl) -> None:
    control.faults.add("*", "http", status=500)
    control.faults.add("*", "drop")
    assert len(control.faults.list()) == 2
    assert control.stats()
    assert control.faults.clear() == 2
