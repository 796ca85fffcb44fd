"""Assets of MaxCompute tables, and what an event says of the partition that was published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult

from airflow.sdk import Asset

from airflow_provider_drivepipe.scenario.partition import PartitionSpec

if TYPE_CHECKING:
    from airflow.sdk import Context

DEFAULT_PROJECT = "default"
"""Stands for the project of whatever connection is used."""


def table_asset(table: str) -> Asset:
    """Return the asset of a table (``table`` or ``project.table``): ``odps://<project or default>/<table>``.

    The same name always gives the same asset, in every DAG; case does not matter, as in MaxCompute.
    """
    return Asset(name=f"odps:{table.lower()}", uri=table_uri(table))


def table_uri(table: str) -> str:
    """Return the URI of the asset of a table."""
    project, _, name = table.lower().rpartition(".")
    return f"odps://{project or DEFAULT_PROJECT}/{name}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Return the normal form of an ``odps://<project>/<table>`` URI, as Airflow asks of a scheme's provider.

    Names are in lower case, MaxCompute's own. Raises ValueError when the project or the table is missing.
    """
    path = uri.path.strip("/")
    if not uri.netloc or not path:
        raise ValueError(f"not the URI of a table: {uri.geturl()!r}; expected odps://<project>/<table>")
    return uri._replace(netloc=uri.netloc.lower(), path=f"/{path.lower()}")


def publish_asset_events(
    context: Context, outlets: Iterable[object], report: Mapping[str, Any], partition: PartitionSpec
) -> None:
    """Say in the asset event of each outlet which partition was published, and how it went.

    The event's partition key is the value of the first partition column, also when the run has no key because
    its partition came from a parameter or a date: DAGs that listen through ``PartitionedAssetTimetable`` then
    run once per partition. ``extra`` holds the whole partition and the report, without the LogView address:
    it opens a job to whoever has it, and events are kept and read across DAGs.

    Airflow sends the events when the task succeeds, and only then.

    :param outlets: the task's outlets; those that are no assets are left out.
    :param report: a stage report as JSON, see :meth:`StageReport.to_json`.
    """
    extra: dict[str, Any] = {
        "partition": str(partition),
        "report": {key: value for key, value in report.items() if key != "logview"},
    }
    for outlet in outlets:
        if isinstance(outlet, Asset):
            event = context["outlet_events"][outlet]
            event.extra = extra
            event.add_partitions(partition.values[0])
