"""Partition values: decided in one place, safe everywhere."""

import re
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe.scenario.options import Granularity, PartitionOptions
from airflow_provider_drivepipe.scenario.partition import (
    PartitionSpec,
    check_partition_value,
    default_partition_value,
    key_pattern,
    parse_partition_key,
    resolve_partition_value,
)
from airflow_provider_drivepipe.worker.paths import key_below_root


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
    everything = {
        "partition_key": "20260101",
        "conf": {"ds": "20260102"},
        "params": {"ds": "20260103"},
        "logical_date": date,
    }
    assert resolve(**everything) == "20260101"
    assert resolve(**{**everything, "partition_key": None}) == "20260102"
    assert resolve(params={"ds": "20260103"}, logical_date=date) == "20260103"
    assert resolve(conf={"ds": ""}, params={"ds": None}, logical_date=date) == "20261120"
    assert resolve(conf={"ds": 20260102}) == "20260102"
    assert resolve(conf={"ds": "20260102"}, params={"dt": "20260103"}, column="dt") == "20260103"


@pytest.mark.parametrize(
    "given", ["2026-11-20", "2026112", "20261131", 2026, True, ["20261120"], "20261120 "]
)
@pytest.mark.parametrize("source", ["conf", "params"])
def test_values_that_people_give_must_fit_the_key_format(source, given):
    with pytest.raises(ValueError, match=rf"'ds' in the run's {source}: .*such as 20261120$"):
        resolve(**{source: {"ds": given}})


def test_keys_of_other_timetables_are_taken_as_they_are_but_never_unsafe():
    assert resolve(partition_key="2026-W47") == "2026-W47"
    with pytest.raises(ValueError, match="not allowed"):
        resolve(partition_key="x'; drop table t")


def test_hourly_values():
    hourly = {"key_format": "%Y%m%d%H"}
    assert resolve(conf={"ds": "2026112007"}, **hourly) == "2026112007"
    assert resolve(logical_date=datetime(2026, 11, 19, 17, 40, tzinfo=UTC), **hourly) == "2026112001"
    with pytest.raises(ValueError, match="such as 2026112007"):
        resolve(conf={"ds": "20261120"}, **hourly)


def test_a_run_that_names_nothing_owns_the_day_before_its_start_in_the_scenarios_zone():
    shanghai = PartitionOptions(default_lag=1)
    # 17:30 UTC is the next day in Shanghai.
    assert default_partition_value(datetime(2026, 11, 20, 17, 30, tzinfo=UTC), shanghai) == "20261120"
    assert default_partition_value(datetime(2026, 11, 20, 15, 30, tzinfo=UTC), shanghai) == "20261119"
    hourly = PartitionOptions(default_lag=2, granularity=Granularity.HOURLY, key_format="%Y%m%d%H")
    assert default_partition_value(datetime(2026, 11, 20, 17, 30, tzinfo=UTC), hourly) == "2026112023"
    assert default_partition_value(datetime(2026, 11, 20, tzinfo=UTC), PartitionOptions()) is None
    assert resolve(default="20261119") == "20261119"
    assert resolve(default="20261119", params={"ds": "20260103"}) == "20260103"


@pytest.mark.parametrize(
    ("key_format", "good", "bad"),
    [
        ("%Y%m%d", ["20261120", ""], ["2026-11-20", "2026112", "x20261120"]),
        ("%Y-%m-%d.%H", ["2026-11-20.07", ""], ["2026-11-20", "2026-11-20x07"]),
    ],
)
def test_the_form_refuses_values_that_the_run_would_refuse(key_format, good, bad):
    pattern = re.compile(key_pattern(key_format))
    assert all(pattern.search(value) for value in good)
    assert not any(pattern.search(value) for value in bad)


def test_a_key_format_with_names_has_no_pattern():
    assert key_pattern("%Y%b%d") is None


def test_unknown_time_zone_is_named():
    with pytest.raises(ValueError, match="Asia/Shangai"):
        resolve(logical_date=datetime(2026, 11, 19, tzinfo=UTC), timezone="Asia/Shangai")


def test_logical_date_counts_in_the_scenarios_time_zone():
    assert resolve(logical_date=datetime(2026, 11, 19, 17, tzinfo=UTC)) == "20261120"
    assert resolve(logical_date=datetime(2026, 11, 19, 17, tzinfo=UTC), timezone="UTC") == "20261119"


def test_no_source_says_how_to_give_one():
    with pytest.raises(ValueError, match="partition key"):
        resolve()


@pytest.mark.parametrize(
    "bad", ["", "a/b", "..", "'", "a b", "a\n", "x=1", "a;b", "é", "１", "9" * 300, "\x00"]
)
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


@pytest.mark.parametrize(
    "text",
    [
        "ds=20261120,region=cn",
        "ds=20261120/region=cn",
        "ds='20261120',region='cn'",
        ' ds = "20261120" , region = cn ',
    ],
)
def test_specs_are_read_as_people_and_sdks_write_them(text):
    assert PartitionSpec.parse(text) == PartitionSpec(("ds", "region"), ("20261120", "cn"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261120",
        "ds",
        "ds=",
        "=1",
        "ds=1,",
        "ds=1,,r=2",
        "ds=1,ds=2",
        "DS=1",
        "ds='1",
        "ds=a=b",
        "ds=../x",
    ],
)
def test_texts_that_are_no_spec_are_refused(text):
    with pytest.raises(ValueError, match="partition"):
        PartitionSpec.parse(text)


@given(
    st.lists(
        st.tuples(
            st.from_regex(r"[a-z_][a-z0-9_]{0,9}", fullmatch=True),
            st.from_regex(r"[A-Za-z0-9:+_-]{1,9}", fullmatch=True),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda pair: pair[0],
    )
)
def test_what_a_spec_writes_it_reads(pairs):
    spec = PartitionSpec(*(tuple(side) for side in zip(*pairs, strict=True)))
    assert PartitionSpec.parse(str(spec)) == PartitionSpec.parse(spec.path()) == spec


# Properties.

COLUMNS = st.from_regex(r"[a-z_][a-z0-9_]{0,20}", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9_.:+-]{1,40}", fullmatch=True).filter(lambda text: set(text) != {"."})
SPECS = st.lists(st.tuples(COLUMNS, VALUES), min_size=1, max_size=4, unique_by=lambda pair: pair[0]).map(
    lambda pairs: PartitionSpec(tuple(c for c, _ in pairs), tuple(v for _, v in pairs))
)


@given(SPECS)
def test_a_partition_reads_back_from_every_form(spec):
    assert PartitionSpec.parse(str(spec)) == spec
    assert PartitionSpec.parse(spec.path()) == spec
    quoted = ", ".join(f"{column} = '{value}'" for column, value in spec.items())
    assert PartitionSpec.parse(quoted) == spec


@given(SPECS)
def test_a_partition_in_sql_is_its_values_and_nothing_else(spec):
    where = sqlglot.parse_one(f"SELECT 1 WHERE {spec.sql(' AND ')}", read="hive").args["where"].this
    equations = list(where.find_all(sqlglot.exp.EQ))
    assert sorted((e.this.name, e.expression.name) for e in equations) == sorted(spec.items())
    assert all(e.expression.is_string for e in equations)
    assert not list(where.find_all(sqlglot.exp.Or))


@given(SPECS)
def test_a_partition_is_a_folder_of_its_own_below_any_prefix(spec):
    root = "oss://oss-cn-x.aliyuncs.com/bucket"
    assert key_below_root(f"{root}/frames/{spec.path()}/x", root) == f"frames/{spec.path()}/x"
    assert quote(spec.path(), safe="/=:+") == spec.path()


@given(SPECS, SPECS)
def test_different_partitions_have_different_names(one, other):
    assert (one == other) == (one.path() == other.path()) == (one.sql() == other.sql())


@given(st.text(max_size=30))
def test_text_is_a_checked_partition_or_refused(text):
    try:
        spec = PartitionSpec.parse(text)
    except ValueError:
        return
    assert PartitionSpec.parse(str(spec)) == spec
    assert all(check_partition_value(value) == value for value in spec.values)


@given(st.text(max_size=30))
def test_values_with_anything_that_means_something_elsewhere_are_refused(text):
    try:
        value = check_partition_value(text)
    except ValueError:
        return
    assert value.isascii()
    assert value == value.strip()
    assert not set(value) & set("/\\'\"`%=,;&?#$*{}()[]<>|!~^@ \t\r\n\0")
    assert value not in (".", "..")


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))
def test_a_key_of_a_format_reads_back_as_its_period(moment):
    for key_format, start in (
        ("%Y%m%d", moment.replace(hour=0, minute=0, second=0, microsecond=0)),
        ("%Y-%m-%d", moment.replace(hour=0, minute=0, second=0, microsecond=0)),
        ("%Y%m%d%H", moment.replace(minute=0, second=0, microsecond=0)),
    ):
        key = start.strftime(key_format)
        assert parse_partition_key(key, key_format) == start
        assert check_partition_value(key) == key


@pytest.mark.parametrize(("column", "value"), [("c" * 200, "v" * 60), ("ds", "v" * 253)])
def test_a_partition_that_is_too_long_for_a_folder_is_refused(column, value):
    with pytest.raises(ValueError, match="too long for a folder"):
        PartitionSpec((column,), (value,))
    assert PartitionSpec(("ds",), ("v" * 252,)).path() == "ds=" + "v" * 252
