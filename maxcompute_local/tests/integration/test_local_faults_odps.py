"""What users of pyodps get when MaxCompute has faults."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
import urllib3
from odps import ODPS, errors

from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.server import LocalCloud

ROWS = [[number, f"row {number}" * 20] for number in range(500)]


@pytest.fixture
def control(local_cloud: LocalCloud) -> Iterator[LocalCloudControl]:
    yield local_cloud.control
    local_cloud.control.faults.clear()


@pytest.fixture
def written(odps_client: ODPS, table: str) -> Iterator[str]:
    created = odps_client.create_table(table, "id bigint, text string")
    with created.open_writer() as writer:
        writer.write(ROWS)
    yield table
    odps_client.delete_table(table)


def rows(odps: ODPS, table: str) -> list[list[object]]:
    with odps.get_table(table).open_reader() as reader:
        return sorted(list(record.values) for record in reader)


@pytest.mark.parametrize(
    ("fault", "options", "expected"),
    [
        ("http", {"status": 500}, errors.InternalServerError),
        ("http", {"status": 429}, errors.QPSExceeded),
        ("expired_token", {}, errors.AuthenticationRequestExpired),
        ("wrong_signature", {}, errors.SignatureNotMatch),
        ("forbidden", {}, errors.NoPermission),
        ("clock_skew", {"seconds": 3600}, errors.RequestTimeTooSkewed),
    ],
)
def test_refusals_raise_the_sdks_own_classes(control, odps_client, written, fault, options, expected) -> None:
    control.faults.add("odps.get_table", fault, **options)
    with pytest.raises(expected) as caught:
        odps_client.get_table(written).reload()
    assert type(caught.value) is expected


def test_the_sdk_tries_503_again(control, odps_client, written) -> None:
    control.faults.add("odps.get_table", "http", status=503, count=2)
    with control.counting() as counted:
        odps_client.get_table(written).reload()
    assert (counted["fault.http"], counted["odps.get_table"]) == (2, 1)


def test_a_submission_is_not_tried_again(control, odps_client) -> None:
    control.faults.add("odps.create_instance", "http", status=503)
    with control.counting() as counted, pytest.raises(errors.ServiceUnavailable):
        odps_client.run_sql("SELECT 1")
    assert counted == {"fault.http": 1}


def test_a_submission_whose_answer_is_lost_runs(control, odps_client, table) -> None:
    control.faults.add("odps.create_instance", "drop", count=1)
    with control.counting() as counted, pytest.raises(requests.ConnectionError):
        odps_client.run_sql(f"CREATE TABLE {table} (id BIGINT)")
    assert counted["odps.create_instance"] == 1
    newest = next(iter(odps_client.list_instances()))
    newest.wait_for_success()
    assert odps_client.exist_table(table)


def test_a_failed_statement_is_a_failed_instance(control, odps_client) -> None:
    control.faults.add("odps.sql.select", "http", status=500, count=1)
    with pytest.raises(errors.InternalServerError, match="as asked for"):
        odps_client.execute_sql("SELECT 1")
    with odps_client.execute_sql("SELECT 1 AS one").open_reader() as reader:
        assert [record["one"] for record in reader] == [1]


def test_a_commit_whose_answer_is_lost_is_tried_again_and_published_once(
    control, odps_client, written
) -> None:
    control.faults.add("odps.tunnel.commit_upload", "drop", count=1)
    with control.counting() as counted, odps_client.get_table(written).open_writer() as writer:
        writer.write([[-1, "one more"]])
    assert (counted["odps.tunnel.commit_upload"], counted["fault.drop"]) == (2, 1)
    assert rows(odps_client, written)[0] == [-1, "one more"]
    assert len(rows(odps_client, written)) == len(ROWS) + 1


def test_tunnel_throttling_is_waited_for(control, odps_client, written) -> None:
    control.faults.add("odps.tunnel.create_download", "http", status=429, count=1)
    with control.counting() as counted:
        assert len(rows(odps_client, written)) == len(ROWS)
    assert counted["fault.http"] == 1


@pytest.mark.parametrize("fault", ["reset", "truncate"])
def test_a_cut_read_never_gives_fewer_rows(control, odps_client, written, fault) -> None:
    control.faults.add("odps.tunnel.read", fault)
    with pytest.raises((requests.ConnectionError, urllib3.exceptions.ProtocolError)):
        rows(odps_client, written)
    control.faults.clear()
    assert len(rows(odps_client, written)) == len(ROWS)


def test_a_disk_that_is_full_for_a_moment_costs_a_retry_and_no_row(control, odps_client, written) -> None:
    control.faults.add("odps.tunnel.upload_block", "disk_full", count=1)
    with control.counting() as counted, odps_client.get_table(written).open_writer() as writer:
        writer.write([[-1, "one more"]])
    assert (counted["odps.tunnel.upload_block"], counted["fault.disk_full"]) == (2, 1)
    assert len(rows(odps_client, written)) == len(ROWS) + 1
