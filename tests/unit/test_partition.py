"""Partition values: decided in one place, safe everywhere."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.scenario.partition import (
    PartitionSpec,
    check_partition_value,
    resolve_partition_value,
)


def resolve(**given_values):
    defaults = {
        "partition_key": None,
        "conf": {},
        "params": {},
        "logical_date": None,
        "timezone": "Asia/Shanghai",
        "key_format": "%Y%m%d",
    }
    return resolve_partition_value(**{**defaults, **given_values})


def test_order_of_sources():
    date = datetime(2026, 11, 19, 17, tzinfo=UTC)
    everything = {"partition_key": "k", "conf": {"ds": "c"}, "params": {"ds": "p"}, "logical_date": date}
    assert resolve(**everything) == "k"
    assert resolve(**{**everything, "partition_key": None}) == "c"
    assert resolve(params={"ds": "p"}, logical_date=date) == "p"


def test_logical_date_counts_in_the_scenarios_time_zone():
    assert resolve(logical_date=datetime(2026, 11, 19, 17, tzinfo=UTC)) == "20261120"
    assert resolve(logical_date=datetime(2026, 11, 19, 17, tzinfo=UTC), timezone="UTC") == "20261119"


def test_no_source_says_how_to_give_one():
    with pytest.raises(ValueError, match="partition key"):
        resolve()


@pytest.mark.parametrize("bad", ["", "a/b", "..", "'", "a b", "a\n", "x=1", "a;b", "é'", "9" * 300, "\x00"])
def test_unsafe_values_are_refused(bad):
    with pytest.raises(ValueError, match="partition value"):
        check_partition_value(bad)


@given(st.text(max_size=300))
def test_accepted_values_cannot_leave_quotes_or_paths(value):
    try:
        check_partition_value(value)
    except ValueError:
        return
    spec = PartitionSpec(("ds",), (value,))
    assert spec.sql() == f"`ds`='{value}'"
    assert not set(value) & set("'\"\\/`\n\r\0 =,")
    assert spec.path() == f"ds={value}"
    assert value not in (".", "..")


def test_several_columns_in_order():
    spec = PartitionSpec(("ds", "region"), ("20261120", "cn"))
    assert spec.sql(" AND ") == "`ds`='20261120' AND `region`='cn'"
    assert spec.path() == "ds=20261120/region=cn"
    assert str(spec) == "ds=20261120,region=cn"
