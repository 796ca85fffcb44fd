"""Lists the videos below an OSS prefix into one partition of the manifest table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe import sql
from airflow_provider_drivepipe.contracts import (
    MANIFEST_COLUMNS,
    OssUri,
    Reason,
    StageCounts,
    StageReport,
    Verdict,
)
from airflow_provider_drivepipe.exceptions import ConfigurationError, DataGateError, EmptyInputError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.errors import oss_errors
from airflow_provider_drivepipe.hooks.listing import object_pages
from airflow_provider_drivepipe.hooks.partition_lock import (
    drop_tables,
    leave_partition,
    tags_of,
    take_partition,
)
from airflow_provider_drivepipe.lifecycle.failures import SHOWN, FailedInput, FailureSample
from airflow_provider_drivepipe.lifecycle.publishing import Shrinking
from airflow_provider_drivepipe.lifecycle.tables import WORKING_TABLE_LIFECYCLE_DAYS, WorkingTables
from airflow_provider_drivepipe.operators.base import PartitionOperator, take
from airflow_provider_drivepipe.operators.report import skip_downstream
from airflow_provider_drivepipe.pipelines.driving.manifest import LeftOut, Manifest, ManifestRow, manifest_row
from airflow_provider_drivepipe.pipelines.driving.options import ManifestOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.run_params import RunParams, read_params
from airflow_provider_drivepipe.stages.stage import Stage

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.sdk import Context

_PAGES_PER_LOG = 10


class OssManifestOperator(PartitionOperator):
    """Writes one partition of the manifest: a row per video object below the prefix.

    Objects that are no videos (other extensions, folder markers) are left out as ``filtered``; videos of
    zero bytes are left out as ``failed`` with ``empty_file``. Both are counted by reason. The partition is
    replaced in one statement, unless it would lose too many of its videos, or the listing finds none.
    Arguments beside these are the field ``video_extensions`` of :class:`ManifestOptions` and those of
    :class:`PartitionOperator`.

    :param bucket: bucket to list.
    :param prefix: key prefix to list, as a template. ``{<partition column>}`` becomes the partition's value
        too, so that ``trips/{ds}/`` lists one day.
    :param stages: the listing, instead of all of these.
    """

    template_fields: Sequence[str] = (*PartitionOperator.template_fields, "prefix")
    ui_color = "#d0e0e3"
    stage_name = Manifest.name

    def __init__(
        self, *, bucket: str = "", prefix: str | None = None, stages: Sequence[Stage] = (), **kwargs: Any
    ) -> None:
        listing = next((stage for stage in stages if isinstance(stage, Manifest)), None)
        if listing is None:
            if not bucket:
                raise ValueError("name a bucket")
            listing = Manifest(ManifestOptions(bucket, prefix or "", **take(ManifestOptions, kwargs)))
        super().__init__(**kwargs)
        self.listing = listing
        self.prefix = prefix

    @property
    def options(self) -> ManifestOptions:
        """Bucket, prefix and extensions, with the prefix as its template has become."""
        options = self.listing.options
        return options if self.prefix is None else replace(options, prefix=self.prefix)

    def execute(self, context: Context) -> dict[str, Any]:
        """List, stage, publish, report."""
        started = time.time()
        ti = context["ti"]
        hook = DrivepipeHook(self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}")
        partition = self.owned_partition(context)
        try:
            params, _ = read_params(context["params"])
        except ValueError as error:
            raise ConfigurationError(f"this run's params do not fit: {error}") from error
        if self.later_models:
            hook.require_models(self.later_models)
        owner = tags_of(context)
        working = WorkingTables.of(self.output_table, partition, owner.text())
        counts = Counter[str]()
        failed: list[FailedInput] = []
        _, left = take_partition(context, hook, working, owner)
        drop_tables(hook, left)
        try:
            self._stage(hook, partition, working.staging, counts, failed)
            removed = self._publish(hook, partition, working.staging, counts, params)
        finally:
            leave_partition(hook, working, owner)
        report = self._report(context, partition, counts, removed, time.time() - started)
        sample = FailureSample(report.failures, tuple(failed)) if failed else None
        self.publish_report(context, report, sample, partition)
        self._check_gate(report)
        skip_downstream(self, report, params)
        return report.to_json()

    def _stage(
        self,
        hook: DrivepipeHook,
        partition: PartitionSpec,
        staging: str,
        counts: Counter[str],
        failed: list[FailedInput],
    ) -> None:
        """Write the listing into the staging table, batch by batch; memory does not grow with the bucket.

        Counts the objects by what became of them, and keeps the first that failed.
        """
        hook.execute_sql(
            sql.create_table(
                staging, MANIFEST_COLUMNS, lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS, if_not_exists=False
            )
        )
        prefix = self._prefix(partition)
        self.log.info("listing bucket %s below %r", self.options.bucket, prefix)
        with hook.errors(), hook.odps.get_table(staging).open_writer(arrow=True) as writer:
            for number, rows in enumerate(self._pages(hook, prefix, counts, failed), start=1):
                if rows:
                    writer.write(_block(rows))
                if number % _PAGES_PER_LOG == 0:
                    self.log.info("%d videos so far", counts["ok"])

    def _pages(
        self, hook: DrivepipeHook, prefix: str, counts: Counter[str], failed: list[FailedInput]
    ) -> Iterator[list[ManifestRow]]:
        settings = hook.oss_settings.require_oss()
        root = str(OssUri(settings.netloc, self.options.bucket))
        extensions = {each.lower() for each in self.options.video_extensions}
        with oss_errors(hook.oss_settings.conn_id, settings.endpoint, self.options.bucket):
            for page in object_pages(hook.oss, self.options.bucket, prefix):
                rows = []
                for found in page:
                    row = manifest_row(found, root, extensions)
                    if not isinstance(row, LeftOut):
                        rows.append(row)
                        continue
                    counts[row.reason] += 1
                    if row.failed and len(failed) < SHOWN:
                        failed.append(
                            FailedInput(
                                f"{root}/{found.key}",
                                self.stage_name,
                                str(row.reason),
                                "the object has 0 bytes",
                            )
                        )
                counts["ok"] += len(rows)
                yield rows

    def _prefix(self, partition: PartitionSpec) -> str:
        prefix = self.options.prefix
        for name, value in partition.items():
            prefix = prefix.replace(f"{{{name}}}", value)
        return prefix

    def _publish(
        self,
        hook: DrivepipeHook,
        partition: PartitionSpec,
        staging: str,
        counts: Counter[str],
        params: RunParams,
    ) -> int:
        """Replace the partition unless it would lose too much; return how many videos it lost."""
        hook.execute_sql(
            sql.create_table(
                self.output_table,
                MANIFEST_COLUMNS,
                partition.columns,
                self.lifecycle_days,
            )
        )
        have = {c.name for c in hook.table_columns(self.output_table)[0]}
        want = {c.name for c in MANIFEST_COLUMNS}
        if have != want:
            raise ConfigurationError(
                f"table {self.output_table} is not a manifest table: it lacks columns "
                f"({', '.join(sorted(want - have))}) and has others ({', '.join(sorted(have - want))})"
            )
        table, staged = sql.quote_name(self.output_table), sql.quote_name(staging)
        [[published, gone]] = hook.execute_sql(
            "SELECT COUNT(*), SUM(CASE WHEN s.`video_path` IS NULL THEN 1 ELSE 0 END) FROM ("
            f"SELECT `video_path` FROM {table} WHERE {partition.sql(' AND ')}) p LEFT JOIN "
            f"(SELECT DISTINCT `video_path` FROM {staged}) s ON p.`video_path` = s.`video_path`"
        )
        removed = int(gone or 0)
        self._check(partition, params, int(published), removed, counts)
        columns = sql.column_list([c.name for c in MANIFEST_COLUMNS])
        hook.execute_sql(
            f"INSERT OVERWRITE TABLE {table} PARTITION ({partition.sql(', ')}) SELECT {columns} FROM {staged}"
        )
        return removed

    def _check_gate(self, report: StageReport) -> None:
        videos = report.ok + report.failed
        if videos and report.failed / videos > self.gate.max_failure_rate:
            raise DataGateError(
                f"{report.failed} of {videos} videos cannot be used ({report.failed / videos:.1%}, the limit "
                f"is {self.gate.max_failure_rate:.1%}): {report.failures[self.stage_name]}. "
                "The partition is published"
            )
        if report.ok < self.gate.min_rows:
            raise DataGateError(f"{report.ok} videos found, at least {self.gate.min_rows} are wanted")

    def _check(
        self, partition: PartitionSpec, params: RunParams, published: int, removed: int, counts: Counter[str]
    ) -> None:
        """Raise before a slip in the prefix takes a published partition away."""
        place = f"oss://{self.options.bucket}/{self._prefix(partition)}"
        where = f"{self.output_table} {partition.path()}"
        if not params.allow_shrink:
            empties = published > 0 and not counts["ok"]
            Shrinking(where, place, published, removed, counts["ok"], empties).check(self.gate.max_shrink)
        may_be_empty = self.gate.allow_empty or params.allow_empty or (published and params.allow_shrink)
        if _found_nothing(counts) and not may_be_empty:
            raise EmptyInputError(
                f"no video found below {place}{_left_out(counts)}; {where} was not published. Mend "
                "oss_prefix or oss_bucket; or, if this may be, set allow_empty: true, in the scenario or for "
                "the run"
            )

    def _report(
        self, context: Context, partition: PartitionSpec, counts: Counter[str], removed: int, seconds: float
    ) -> StageReport:
        failed = counts[Reason.EMPTY_FILE]
        total = StageCounts(counts.total(), counts["ok"], failed, counts.total() - counts["ok"] - failed)
        if _found_nothing(counts):
            verdict = Verdict.EMPTY_INPUT
        else:
            verdict = Verdict.COMPLETED_WITH_FAILURES if failed else Verdict.COMPLETED
        self.log.info(
            "%d objects: %d videos%s", total.rows_in, total.ok, _left_out(counts) or ", none left out"
        )
        return StageReport(
            scenario=self.scenario or context["ti"].dag_id,
            stage=self.stage_name,
            table=self.output_table,
            partition=partition.path(),
            verdict=verdict,
            rows_in=total.rows_in,
            ok=total.ok,
            failed=total.failed,
            filtered=total.filtered,
            skipped=total.skipped,
            carried_over=0,
            removed=removed,
            failures={self.stage_name: {str(Reason.EMPTY_FILE): failed}} if failed else {},
            filtered_reasons={
                reason: n for reason, n in sorted(counts.items()) if reason not in ("ok", Reason.EMPTY_FILE)
            },
            stages={self.stage_name: asdict(total)},
            seconds=round(seconds, 3),
        )


def _found_nothing(counts: Counter[str]) -> bool:
    """Whether there is no video, not even one of zero bytes."""
    return not counts["ok"] and not counts[Reason.EMPTY_FILE]


def _left_out(counts: Counter[str]) -> str:
    """Return what was left out, as the rest of a sentence; nothing where nothing was."""
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(counts.items()) if reason != "ok" and n)
    return f", left out: {reasons}" if reasons else ""


def _block(rows: list[ManifestRow]) -> pa.RecordBatch:
    """Return rows as the tunnel sends them."""
    import pyarrow as pa

    types = {"bigint": pa.int64(), "string": pa.string()}
    schema = pa.schema([(column.name, types[column.type]) for column in MANIFEST_COLUMNS])
    return pa.RecordBatch.from_arrays(
        [pa.array(values, kind) for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)],
        schema=schema,
    )
