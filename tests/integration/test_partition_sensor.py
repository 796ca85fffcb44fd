"""OdpsPartitionSensor and its trigger against the local cloud."""

import asyncio
import json
import os
import time

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException, TaskDeferred
from odps import options

from airflow_provider_drivepipe.exceptions import AuthenticationError, ConfigurationError
from airflow_provider_drivepipe.hooks.partition_wait import PartitionWait
from airflow_provider_drivepipe.scenario.options import PartitionOptions
from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor
from airflow_provider_drivepipe.triggers.odps_partition import OdpsPartitionTrigger
from tests.integration.operator_context import Run

pytestmark = pytest.mark.usefixtures("airflow_connection")
FOUND = {"end": "found", "message": ""}


@pytest.fixture
def upstream(odps_client, table):
    """A table of somebody else, with no partition yet."""
    odps_client.create_table(table, ("id bigint", "ds string, region string"))
    return table


def fill(odps_client, table, *ids, region="east"):
    values = ", ".join(f"({i})" for i in ids)
    odps_client.execute_sql(
        f"INSERT INTO TABLE {table} PARTITION (ds='20261120', region='{region}') VALUES {values}"
    )


def sensor(table, **arguments):
    if "partition" not in arguments:
        arguments.setdefault("partition_spec", "ds=20261120,region=east")
    return OdpsPartitionSensor(task_id="wait", table=table, **{"deferrable": True, **arguments})


def deferred(operator):
    with pytest.raises(TaskDeferred) as caught:
        Run().execute(operator)
    return caught.value


def watch(defer, **changes):
    """Run the trigger of a deferral as a triggerer does: from its serialized form, here without delays."""
    path, arguments = defer.trigger.serialize()
    assert path.endswith(".OdpsPartitionTrigger")
    arguments = json.loads(json.dumps(arguments)) | {"first_poll_delay": 0, "poll_interval": 0.01} | changes

    async def events():
        return [event.payload async for event in OdpsPartitionTrigger(**arguments).run()]

    [event] = asyncio.run(events())
    return event


def resume(operator, defer, event):
    return operator.resume_execution(
        defer.method_name, {**defer.kwargs, "event": event}, Run().context(operator)
    )


def test_partition_that_is_there_is_found_without_deferring(odps_client, upstream):
    fill(odps_client, upstream, 1)
    assert Run().execute(sensor(upstream)) == {"table": upstream, "partition": "ds=20261120,region=east"}


def test_another_region_is_another_partition(odps_client, upstream):
    fill(odps_client, upstream, 1, region="west")
    deferred(sensor(upstream))


def test_the_runs_own_partition_is_waited_for(odps_client, upstream):
    fill(odps_client, upstream, 1)
    own = PartitionOptions(columns=("ds", "region"), fixed_values=("east",))
    found = Run(ds="20261120").execute(sensor(upstream, partition=own))
    assert found["partition"] == "ds=20261120,region=east"
    with pytest.raises(TaskDeferred):
        Run(ds="20261121").execute(sensor(upstream, partition=own))


def test_partition_that_comes_later(odps_client, upstream):
    operator = sensor(upstream)
    defer = deferred(operator)
    fill(odps_client, upstream, 1)
    event = watch(defer)
    assert event == FOUND
    assert resume(operator, defer, event)["partition"] == "ds=20261120,region=east"


def test_trigger_goes_on_looking_until_the_partition_comes(monkeypatch, odps_client, upstream):
    defer = deferred(sensor(upstream))
    looks = []
    look = PartitionWait.look

    def third_time_lucky(wait, hook):
        looks.append(wait)
        if len(looks) == 3:
            fill(odps_client, upstream, 1)
        return look(wait, hook)

    monkeypatch.setattr(PartitionWait, "look", third_time_lucky)
    assert watch(defer) == FOUND
    assert len(looks) == 3


def test_min_rows(odps_client, upstream):
    fill(odps_client, upstream, 1)
    operator = sensor(upstream, min_rows=2)
    defer = deferred(operator)
    timed_out = watch(defer, deadline=time.time())
    assert timed_out == {"end": "timed_out", "message": "the partition holds 1 rows"}
    fill(odps_client, upstream, 2)
    assert watch(defer) == FOUND


def test_empty_partition_exists(odps_client, upstream):
    odps_client.get_table(upstream).create_partition("ds=20261120,region=east")
    assert Run().execute(sensor(upstream))["table"] == upstream
    deferred(sensor(upstream, min_rows=1))


@pytest.mark.parametrize(
    ("soft_fail", "raised"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)]
)
def test_timeout(upstream, soft_fail, raised):
    operator = sensor(upstream, soft_fail=soft_fail, timeout=3600)
    before = time.time()
    defer = deferred(operator)
    assert before + 3600 <= defer.trigger.deadline <= time.time() + 3600
    event = watch(defer, deadline=time.time())
    assert event["end"] == "timed_out"
    with pytest.raises(AirflowSkipException if soft_fail else AirflowSensorTimeout) as caught:
        resume(operator, defer, event)
    cause = caught.value.__cause__ if soft_fail else caught.value
    assert f"partition ds=20261120,region=east of table {upstream} did not come within 3600 s" in str(cause)
    assert "the partition does not exist" in str(cause)


def test_first_look_of_the_trigger_is_late(upstream):
    assert deferred(sensor(upstream, poke_interval=1)).trigger.first_poll_delay == 10
    assert deferred(sensor(upstream, poke_interval=60)).trigger.first_poll_delay == 60


def test_missing_table_fails_at_once_also_with_soft_fail(table):
    with pytest.raises(ConfigurationError, match=f"there is no table {table}; set wait_for_table"):
        Run().execute(sensor(table, soft_fail=True))


def test_missing_table_can_be_waited_for(odps_client, table):
    defer = deferred(sensor(table, wait_for_table=True))
    odps_client.create_table(table, ("id bigint", "ds string, region string"))
    assert watch(defer, deadline=time.time())["message"] == "the partition does not exist"
    fill(odps_client, table, 1)
    assert watch(defer) == FOUND


def test_table_that_goes_while_waiting_ends_the_wait(odps_client, upstream):
    operator = sensor(upstream, soft_fail=True)
    defer = deferred(operator)
    odps_client.delete_table(upstream)
    event = watch(defer)
    with pytest.raises(ConfigurationError, match=rf"waiting for .* since .* UTC: .*no table {upstream}"):
        resume(operator, defer, event)


def test_other_partition_columns_are_an_error(odps_client, upstream):
    with pytest.raises(ConfigurationError, match=r"by \(ds, region\), which ds=20261120 does not"):
        Run().execute(sensor(upstream, partition_spec="ds=20261120"))


def connection(monkeypatch, **changes):
    value = json.loads(os.environ["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"]) | changes
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", json.dumps(value))


def test_refused_access_ends_the_wait(monkeypatch, upstream):
    operator = sensor(upstream)
    defer = deferred(operator)
    connection(monkeypatch, password="wrong")
    event = watch(defer)
    with pytest.raises(AuthenticationError, match="drivepipe_default"):
        resume(operator, defer, event)


def test_service_that_cannot_be_reached_is_waited_for(monkeypatch, odps_client, upstream):
    options.retry_times = 0
    good = os.environ["AIRFLOW_CONN_DRIVEPIPE_DEFAULT"]
    connection(monkeypatch, host="http://127.0.0.1:1/api")
    operator = sensor(upstream)
    defer = deferred(operator)
    event = watch(defer, deadline=time.time())
    assert event["end"] == "timed_out"
    assert "cannot be reached" in event["message"]
    monkeypatch.setenv("AIRFLOW_CONN_DRIVEPIPE_DEFAULT", good)
    fill(odps_client, upstream, 1)
    assert watch(defer) == FOUND


def test_waiting_in_the_worker(odps_client, upstream):
    waits = []

    class Worker(OdpsPartitionSensor):
        def _get_next_poke_interval(self, *arguments):
            waits.append(self.poke_interval)
            fill(odps_client, upstream, 1)
            return 0

    operator = Worker(
        task_id="wait", table=upstream, partition_spec="ds=20261120,region=east", deferrable=False
    )
    assert Run().execute(operator) == {"table": upstream, "partition": "ds=20261120,region=east"}
    assert waits == [60]


def test_waiting_in_the_worker_times_out(upstream):
    with pytest.raises(AirflowSensorTimeout, match=rf"of table {upstream} did not come: .*timed out"):
        Run().execute(sensor(upstream, deferrable=False, timeout=0))
    with pytest.raises(AirflowSkipException):
        Run().execute(sensor(upstream, deferrable=False, timeout=0, soft_fail=True))
    with pytest.raises(ConfigurationError):
        Run().execute(sensor("no_such_table", deferrable=False, timeout=0, soft_fail=True))
