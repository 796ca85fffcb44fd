"""What tasks tell Airflow's OpenLineage provider: the tables and folders that they read and write.

The provider calls the methods of :class:`LineageOperator` in a task's process, and only then is anything of
OpenLineage imported. A table is named as its asset is: namespace ``odps://<project or default>``, name
``<table>``. A folder is named as those of other object stores are: ``oss://<bucket>``, ``<prefix>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_drivepipe.assets import table_uri
from airflow_provider_drivepipe.contracts import Column, OssUri

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import Asset
    from openlineage.client.event_v2 import Dataset


@dataclass(frozen=True)
class Data:
    """A table or a folder that a task reads or writes.

    :param columns: of the table, empty while they are not known.
    :param rows: how many the task has published, None while it has not.
    :param files: how many the task has written, None where that is not counted.
    """

    namespace: str
    name: str
    columns: Sequence[Column] = ()
    rows: int | None = None
    files: int | None = None

    @classmethod
    def of_table(cls, table: str, columns: Sequence[Column] = (), rows: int | None = None) -> Data:
        """Return a table, ``table`` or ``project.table``."""
        uri = urlsplit(table_uri(table))
        return cls(f"odps://{uri.netloc}", uri.path.strip("/"), columns, rows)

    @classmethod
    def of_folder(cls, root: str, prefix: str = "", files: int | None = None) -> Data:
        """Return a folder; what varies with the partition (``{ds}``) is not part of its name.

        :param root: a bucket, or a full root URI.
        """
        place = OssUri.parse(root) if root.startswith("oss://") else OssUri("", root)
        key = place.join(prefix.partition("{")[0]).key
        return cls(f"oss://{place.bucket}", key or "/", files=files)


class LineageOperator:
    """The contract of Airflow's OpenLineage provider, for operators that say what they read and write.

    Events of tasks that fail get their error message from the provider.
    """

    def lineage_inputs(self) -> Sequence[Data]:
        """Return what the task reads, as far as it is known by now."""
        return ()

    def lineage_outputs(self) -> Sequence[Data]:
        """Return what the task writes, as far as it is known by now."""
        return ()

    def get_openlineage_facets_on_start(self) -> OperatorLineage:
        """Return inputs and outputs."""
        from airflow.providers.openlineage.extractors import OperatorLineage
        from openlineage.client.event_v2 import InputDataset, OutputDataset

        return OperatorLineage(
            inputs=[
                InputDataset(data.namespace, data.name, facets=_schema(data))
                for data in self.lineage_inputs()
            ],
            outputs=[
                OutputDataset(data.namespace, data.name, facets=_schema(data), outputFacets=_statistics(data))
                for data in self.lineage_outputs()
            ],
        )

    def get_openlineage_facets_on_complete(self, task_instance: object) -> OperatorLineage:  # noqa: ARG002
        """Return inputs and outputs with their columns, and how many rows were published."""
        _mask_secrets_of_connections()
        return self.get_openlineage_facets_on_start()

    get_openlineage_facets_on_failure = get_openlineage_facets_on_complete


def asset_dataset(asset: Asset, lineage_context: object) -> Dataset:  # noqa: ARG001 - Airflow passes both
    """Return the dataset of a table's asset, for tasks of others that have it as inlet or outlet."""
    from openlineage.client.event_v2 import Dataset

    uri = urlsplit(asset.uri)
    return Dataset(f"{uri.scheme}://{uri.netloc}", uri.path.strip("/"))


def _mask_secrets_of_connections() -> None:
    """Have the event redacted by all secrets that the process knows by now.

    The provider's adapter copies them when it is made, before a task reads its connection.
    """
    from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
    from airflow.providers.openlineage.plugins.listener import get_openlineage_listener

    get_openlineage_listener().adapter = OpenLineageAdapter()


def _schema(data: Data) -> dict[str, object]:
    from openlineage.client.facet_v2 import schema_dataset

    fields = [
        schema_dataset.SchemaDatasetFacetFields(column.name, column.type, column.comment or None)
        for column in data.columns
    ]
    return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)} if fields else {}


def _statistics(data: Data) -> dict[str, object]:
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    if data.rows is None and data.files is None:
        return {}
    facet = statistics.OutputStatisticsOutputDatasetFacet(rowCount=data.rows, fileCount=data.files)
    return {"outputStatistics": facet}
