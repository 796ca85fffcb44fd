"""What operators have in common that write a partition to OSS as training files, all of a set or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_drivepipe.contracts import OssUri, StageCounts, StageReport, Status, Verdict
from airflow_provider_drivepipe.exceptions import ConfigurationError, DataGateError, UnbalancedCountsError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.whole_folder import WholeFolder
from airflow_provider_drivepipe.lifecycle.failures import SHOWN, FailedInput, FailureSample
from airflow_provider_drivepipe.lifecycle.publishing import Shrinking
from airflow_provider_drivepipe.lineage import Data
from airflow_provider_drivepipe.operators.base import PartitionOperator
from airflow_provider_drivepipe.operators.report import skip_downstream
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.run_params import RunParams
from airflow_provider_drivepipe.worker.paths import check_output_prefix

if TYPE_CHECKING:
    from airflow.sdk import Context

_BATCH = 5000


@dataclass
class Books:
    """What became of the rows of the partition.

    :param stage: name of the stage that exports.
    :param unit: what a row is, plural.
    :param earlier: rows that were not ok when they came, by status and reason.
    :param excluded: units that were left out, by reason.
    :param failures: units that cannot be exported, by reason.
    :param failed: the first of them.
    """

    stage: str
    unit: str
    rows_in: int = 0
    ok: int = 0
    earlier: Counter[tuple[str, str]] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    failed: list[FailedInput] = field(default_factory=list)

    def fail(self, name: str, reason: str, message: str) -> None:
        """Count a unit that cannot be exported."""
        self.failures[str(reason)] += 1
        if len(self.failed) < SHOWN:
            self.failed.append(FailedInput(name, self.stage, str(reason), message))

    def reasons(self, status: Status) -> dict[str, int]:
        """Return the reasons of rows that came with a status."""
        return {reason: n for (of, reason), n in sorted(self.earlier.items()) if of == status}

    def exported(self) -> StageCounts:
        """Return the counts of the units that came to the export."""
        failed, excluded = self.failures.total(), self.excluded.total()
        return StageCounts(self.ok + failed + excluded, self.ok, failed, excluded)

    def table(self) -> StageCounts:
        """Return the counts of all rows."""
        own = self.exported()
        failed, filtered, skipped = (
            sum(self.reasons(status).values()) for status in (Status.FAILED, Status.FILTERED, Status.SKIPPED)
        )
        return StageCounts(self.rows_in, own.ok, own.failed + failed, own.filtered + filtered, skipped)

    def check(self) -> None:
        """Raise UnbalancedCountsError when rows went missing or were counted twice."""
        if not self.table().balanced():
            raise UnbalancedCountsError(f"counts do not balance: {self.table()}; nothing was published")


class FolderOptions(Protocol):
    """Where files go: see :class:`ExportOptions`."""

    @property
    def bucket(self) -> str:
        """The bucket."""

    @property
    def root(self) -> str | None:
        """A full root URI instead."""

    @property
    def output_prefix(self) -> str:
        """Key prefix below it; empty: the output table's name."""


class FolderExportOperator(PartitionOperator):
    """Writes files below ``<output_prefix>/<partition path>/``; see :class:`WholeFolder`.

    :param source_table: table that is exported.
    """

    template_fields: Sequence[str] = (*PartitionOperator.template_fields, "source_table")
    ui_color = "#d0e0e3"
    options: FolderOptions

    def __init__(self, *, source_table: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.source_table = source_table
        self.files = 0

    def source_tables(self) -> Sequence[str]:
        """Return the table that is exported."""
        return (self.source_table,)

    def published_rows(self, report: StageReport) -> int:  # noqa: ARG002 - its counts are not those of files
        """Return how many files there are, which is how many rows the partition holds."""
        return self.files

    def lineage_outputs(self) -> Sequence[Data]:
        """Return the table of the files, and the folder that they are in."""
        root, prefix = self.options.root or self.options.bucket, self.options.output_prefix
        files = None if self._published is None else self.files
        return [*super().lineage_outputs(), Data.of_folder(root, prefix or self.output_table, files)]

    def place(self, root: str, partition: PartitionSpec, longest_name: int) -> OssUri:
        """Return where the files go; raise ConfigurationError for a prefix that nothing can be written to.

        :param longest_name: of a file, in bytes, with the folder of its version.
        """
        prefix = f"{self.options.output_prefix.strip('/') or self.output_table}/{partition.path()}"
        try:
            check_output_prefix(prefix, root, longest_name)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return OssUri.parse(f"{root}/{prefix}")

    def rows(
        self, hook: DrivepipeHook, partition: PartitionSpec, columns: Sequence[str], kind: str, books: Books
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of the partition that are ok, batch by batch, and count the others.

        :param kind: what the table holds, for the ConfigurationError when it lacks a column.
        """
        has = {column.name for column in hook.table_columns(self.source_table)[0]}
        lacking = [name for name in columns if name not in has]
        if lacking:
            raise ConfigurationError(
                f"table {self.source_table} is not one of {kind}: it lacks {', '.join(lacking)}"
            )
        if not hook.has_partition(self.source_table, partition):
            return
        table = hook.odps.get_table(self.source_table)
        with hook.errors(), table.open_reader(str(partition), columns=list(columns)) as reader:
            books.rows_in = reader.count
            for start in range(0, reader.count, _BATCH):
                for record in reader.read(start, _BATCH):
                    if record["status"] != Status.OK:
                        books.earlier[record["status"], record["error_type"] or ""] += 1
                    else:
                        yield {name: record[name] for name in columns}

    def check_before(
        self, target: WholeFolder, partition: PartitionSpec, params: RunParams, unit: str, made: int
    ) -> str:
        """Return what the pointer says of the table; raise where the folder is another table's, or would
        lose too much.

        :param unit: the pointer's name for the number of units.
        """
        where, source = (f"{table} {partition.path()}" for table in (self.output_table, self.source_table))
        before = target.pointer() or {"table": where, unit: 0}
        if before.get("table") != where:
            raise ConfigurationError(f"{target.place} holds {before.get('table')}; choose another prefix")
        published = int(before[unit])
        if not params.allow_shrink:
            empties = published > 0 and not made
            Shrinking(where, source, published, 0, made, empties).check(self.gate.max_shrink)
        return where

    def finish(
        self,
        context: Context,
        partition: PartitionSpec,
        books: Books,
        params: RunParams,
        seconds: float,
        quality: dict[str, Any],
    ) -> dict[str, Any]:
        """Report what was published; raise DataGateError when it does not pass the gate."""
        own = books.exported()
        verdict = Verdict.COMPLETED_WITH_FAILURES if books.failures else Verdict.COMPLETED
        report = StageReport(
            scenario=self.scenario or context["ti"].dag_id,
            stage=books.stage,
            table=self.output_table,
            partition=partition.path(),
            verdict=verdict if books.rows_in else Verdict.EMPTY_INPUT,
            **asdict(books.table()),
            carried_over=0,
            failures={books.stage: dict(books.failures)} if books.failures else {},
            filtered_reasons=books.reasons(Status.FILTERED) | dict(books.excluded),
            skipped_reasons=books.reasons(Status.SKIPPED),
            stages={books.stage: asdict(own)},
            params=dict(params.given),
            quality=quality,
            seconds=round(seconds, 3),
        )
        sample = FailureSample(report.failures, tuple(books.failed)) if books.failed else None
        self.publish_report(context, report, sample, partition)
        if own.failed > self.gate.max_failure_rate * own.rows_in:
            raise DataGateError(
                f"{own.failed} of {own.rows_in} {books.unit} cannot be exported "
                f"({own.failed / own.rows_in:.1%}, the limit is {self.gate.max_failure_rate:.1%}): "
                f"{report.failures[books.stage]}. The others are published"
            )
        if report.ok < self.gate.min_rows:
            raise DataGateError(
                f"{report.ok} {books.unit} exported, at least {self.gate.min_rows} are wanted"
            )
        skip_downstream(self, report, params)
        return report.to_json()
