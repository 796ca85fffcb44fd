"""What a partition sensor is told to wait for."""

import pytest
from airflow.sdk import RetryAction

from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.scenario.options import PartitionOptions
from airflow_provider_drivepipe.sensors.odps_partition import OdpsPartitionSensor


def waited_for(params=None, **arguments):
    sensor = OdpsPartitionSensor(task_id="wait", table="trips", **arguments)
    return str(sensor._wait({"params": params or {}}))


@pytest.mark.parametrize(
    "spec", ["ds=20261120,region=east", "ds=20261120/region=east", "ds = '20261120', region = \"east\""]
)
def test_explicit_partition(spec):
    assert waited_for(partition_spec=spec) == "partition ds=20261120,region=east of table trips"


@pytest.mark.parametrize("spec", ["", "ds", "ds=", "ds=1,", "=1", "ds='x' OR '1'='1'", "ds=None;drop"])
def test_what_is_no_partition_is_a_configuration_error(spec):
    with pytest.raises(ConfigurationError, match="expected for example ds=20261120,region=east"):
        waited_for(partition_spec=spec)


def test_partition_of_the_run():
    assert waited_for({"ds": "20261120"}, min_rows=5) == (
        "partition ds=20261120 of table trips with at least 5 rows"
    )
    own = PartitionOptions(columns=("dt", "region"), fixed_values=("east",))
    assert waited_for({"dt": "20261120"}, partition=own) == "partition dt=20261120,region=east of table trips"


def test_run_without_a_partition_fails():
    with pytest.raises(ConfigurationError, match="has no partition"):
        waited_for()


def test_both_ways_at_once_are_refused():
    with pytest.raises(ValueError, match="exclude each other"):
        OdpsPartitionSensor(task_id="wait", table="t", partition=PartitionOptions(), partition_spec="ds=1")


def test_table_and_partition_are_templates():
    assert set(OdpsPartitionSensor.template_fields) == {"table", "partition_spec"}


def test_what_waiting_cannot_mend_is_not_retried():
    policy = OdpsPartitionSensor(task_id="wait", table="t").retry_policy
    decision = policy.evaluate(ConfigurationError("no such table"), 1, 3, None)
    assert decision.action is RetryAction.FAIL
