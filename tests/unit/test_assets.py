"""Assets of tables, and what their events say."""

from urllib.parse import urlsplit

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_provider_drivepipe.assets import publish_asset_events, sanitize_uri, table_asset
from airflow_provider_drivepipe.contracts import StageReport, Verdict
from airflow_provider_drivepipe.scenario.partition import PartitionSpec

LABELS = table_asset("fleet.labels")


@pytest.mark.parametrize(
    ("table", "name", "uri"),
    [
        ("labels", "odps:labels", "odps://default/labels"),
        ("fleet.labels", "odps:fleet.labels", "odps://fleet/labels"),
        ("Fleet.Labels", "odps:fleet.labels", "odps://fleet/labels"),
    ],
)
def test_asset_of_a_table(table, name, uri):
    assert (table_asset(table).name, table_asset(table).uri) == (name, uri)
    assert sanitize_uri(urlsplit(uri)).geturl() == uri


def test_uri_has_one_form():
    assert sanitize_uri(urlsplit("odps://Fleet/Labels/")).geturl() == "odps://fleet/labels"


@pytest.mark.parametrize("uri", ["odps://fleet", "odps://fleet/", "odps:///labels"])
def test_uri_without_project_or_table_is_refused(uri):
    with pytest.raises(ValueError, match="expected odps://<project>/<table>"):
        sanitize_uri(urlsplit(uri))


def published(outlets):
    events = OutletEventAccessors()
    report = StageReport(
        "trips",
        "single_job",
        "fleet.labels",
        "ds=20261120,region=east",
        Verdict.COMPLETED,
        **dict.fromkeys(("rows_in", "ok", "failed", "filtered", "skipped", "carried_over"), 0),
        logview="https://logview/?token=abc",
    )
    partition = PartitionSpec(("ds", "region"), ("20261120", "east"))
    publish_asset_events({"outlet_events": events}, outlets, report.to_json(), partition)
    return events


def test_event_carries_the_partition_and_the_report():
    event = published([LABELS])[LABELS]
    assert event.partition_keys == {"20261120"}
    assert event.extra["partition"] == "ds=20261120,region=east"
    assert event.extra["report"]["verdict"] == "completed"
    assert "logview" not in event.extra["report"]


def test_every_asset_of_the_task_gets_it_and_nothing_else():
    own = Asset(name="mine", uri="x-mine://labels")
    events = published([LABELS, own, AssetAlias("alias"), "a table"])
    assert list(events) == [LABELS, own]
    assert events[own].partition_keys == {"20261120"}
