"""Lists the videos below an OSS prefix into one partition of the manifest table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe import sql
from airflow_provider_drivepipe.contracts import (
    CHANGE_COLUMNS,
    MANIFEST_COLUMNS,
    Change,
    OssUri,
    Reason,
    StageCounts,
    StageReport,
    Verdict,
)
from airflow_provider_drivepipe.exceptions import ConfigurationError, DataGateError, EmptyInputError
from airflow_provider_drivepipe.hooks import listing_job
from airflow_provider_drivepipe.hooks.errors import oss_errors
from airflow_provider_drivepipe.hooks.listing import object_pages
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.hooks.partition_lock import (
    drop_tables,
    leave_partition,
    same_task,
    tags_of,
    take_partition,
)
from airflow_provider_drivepipe.hooks.sessions import SessionTags
from airflow_provider_drivepipe.lifecycle.failures import SHOWN, FailedInput, FailureSample
from airflow_provider_drivepipe.lifecycle.manifest_changes import Counted, count_changes, marked, publish
from airflow_provider_drivepipe.lifecycle.publishing import Shrinking
from airflow_provider_drivepipe.lifecycle.tables import WORKING_TABLE_LIFECYCLE_DAYS, WorkingTables
from airflow_provider_drivepipe.lineage import Data
from airflow_provider_drivepipe.operators.base import PartitionOperator, run_params, take
from airflow_provider_drivepipe.operators.report import skip_downstream
from airflow_provider_drivepipe.pipelines.driving.manifest import Manifest
from airflow_provider_drivepipe.pipelines.driving.options import Listing, ManifestOptions
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.run_params import RunParams
from airflow_provider_drivepipe.stages.stage import Stage
from airflow_provider_drivepipe.worker.listing import LeftOut, ManifestRow, manifest_row

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.sdk import Context

_PAGES_PER_LOG = 100


class OssManifestOperator(PartitionOperator):
    """Writes one partition of the manifest: a row per video object below the prefix.

    Objects that are no videos (other extensions, folder markers) are left out as ``filtered``; videos of
    zero bytes are left out as ``failed`` with ``empty_file``. Both are counted by reason. The partition is
    replaced in one statement, unless it would lose too many of its videos, or the listing finds none.
    Arguments beside these are the fields of :class:`ManifestOptions` and those of :class:`PartitionOperator`.

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
        self._hook: MaxFrameHook | None = None
        self._owner: SessionTags | None = None

    @property
    def options(self) -> ManifestOptions:
        """Bucket, prefix and extensions, with the prefix as its template has become."""
        options = self.listing.options
        return options if self.prefix is None else replace(options, prefix=self.prefix)

    def execute(self, context: Context) -> dict[str, Any]:
        """List, stage, publish, report."""
        started = time.time()
        ti = context["ti"]
        self._hook = hook = MaxFrameHook(
            self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}"
        )
        partition = self.owned_partition(context)
        params = run_params(context)
        if self.later_models:
            hook.require_models(self.later_models)
        self._owner = owner = tags_of(context)
        working = WorkingTables.of(self.output_table, partition, owner.text())
        counts = Counter[str]()
        failed: list[FailedInput] = []
        dead, left = take_partition(context, hook, working, owner)
        if self.options.listing == Listing.MAXFRAME:
            hook.stop_sessions(lambda tags: any(same_task(tags, each) for each in (owner, dead) if each))
        drop_tables(hook, left)
        try:
            staged = self._stage(hook, self._prefix(partition), working.staging, owner, counts, failed)
            found = self._publish(hook, partition, staged, counts, params)
        finally:
            leave_partition(hook, working, owner)
        report = self._report(context, partition, counts, found, time.time() - started)
        sample = FailureSample(report.failures, tuple(failed)) if failed else None
        self.publish_report(context, report, sample, partition)
        self._check_gate(report)
        skip_downstream(self, report, params)
        return report.to_json()

    def on_kill(self) -> None:
        """Stop the session of this task."""
        hook, owner = self._hook, self._owner
        if hook is not None and owner is not None and self.options.listing == Listing.MAXFRAME:
            hook.stop_sessions(lambda tags: tags == owner)

    def published_rows(self, report: StageReport) -> int:
        """Return how many videos the partition holds: of what was left out, copies alone are rows."""
        return report.ok + report.filtered_reasons.get(Reason.DUPLICATE, 0)

    def lineage_inputs(self) -> Sequence[Data]:
        """Return the folder that is listed."""
        return [Data.of_folder(self.options.bucket, self.options.prefix)]

    def _stage(
        self,
        hook: MaxFrameHook,
        prefix: str,
        staging: str,
        owner: SessionTags,
        counts: Counter[str],
        failed: list[FailedInput],
    ) -> str:
        """Have the listing written into the staging table, and return where the videos are, for SQL.

        Counts the objects by what became of them, and keeps some that failed. Here pages are written as they
        come, so that memory does not grow with the bucket.
        """
        if self.options.listing == Listing.MAXFRAME:
            options = replace(self.options, prefix=prefix)
            for outcome, path, number in listing_job.run(hook, options, staging, owner):
                counts[outcome] += number
                if path and len(failed) < SHOWN:
                    failed.append(self._failed(path, outcome))
            return listing_job.videos(staging)
        hook.execute_sql(
            sql.create_table(
                staging, MANIFEST_COLUMNS, lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS, if_not_exists=False
            )
        )
        self.log.info("listing bucket %s below %r", self.options.bucket, prefix)
        with hook.errors(), hook.odps.get_table(staging).open_writer(arrow=True) as writer:
            for number, rows in enumerate(self._pages(hook, prefix, counts, failed), start=1):
                if rows:
                    writer.write(_block(rows))
                if number % _PAGES_PER_LOG == 0:
                    self.log.info("%d videos so far", counts["ok"])
        return sql.quote_name(staging)

    def _failed(self, path: str, reason: str) -> FailedInput:
        return FailedInput(path, self.stage_name, reason, "the object has 0 bytes")

    def _pages(
        self, hook: MaxFrameHook, prefix: str, counts: Counter[str], failed: list[FailedInput]
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
                        failed.append(self._failed(f"{root}/{found.key}", str(row.reason)))
                counts["ok"] += len(rows)
                yield rows

    def _prefix(self, partition: PartitionSpec) -> str:
        prefix = self.options.prefix
        for name, value in partition.items():
            prefix = prefix.replace(f"{{{name}}}", value)
        return prefix

    def _publish(
        self,
        hook: MaxFrameHook,
        partition: PartitionSpec,
        staged: str,
        counts: Counter[str],
        params: RunParams,
    ) -> Counted:
        """Replace the partition unless it would lose too much; return what the listing does to it.

        :param staged: where the videos are, for SQL.
        """
        hook.execute_sql(
            sql.create_table(
                self.output_table, self.listing.columns(), partition.columns, self.lifecycle_days
            )
        )
        have = [c.name for c in hook.table_columns(self.output_table)[0]]
        self._check_columns(have)
        marks = None
        if self.options.incremental:
            root = OssUri(hook.oss_settings.require_oss().netloc, self.options.bucket)
            below = f"{root}/{self._prefix(partition)}"
            marks = marked(self.output_table, staged, partition, below, self.stage_name)
        asked = count_changes(self.output_table, staged, partition, marks)
        found = Counted.read(sql.figures_apart(asked, hook.execute_sql(sql.figures_together(asked))))
        left_out = Counter({Reason.DUPLICATE: found.copies, Change.KNOWN: found.changes.get(Change.KNOWN, 0)})
        counts.update(+left_out)
        counts["ok"] -= left_out.total()
        self._check(partition, params, found, counts)
        hook.execute_sql(publish(self.output_table, staged, partition, marks, have))
        return found

    def _check_columns(self, have: Sequence[str]) -> None:
        """Raise ConfigurationError when the table has other columns than the manifest."""
        wanted = self.listing.columns()
        missing = [c for c in wanted if c.name not in have]
        others = sorted(set(have).difference(c.name for c in wanted))
        if others:
            lacks = f", and lacks {', '.join(c.name for c in missing)}" if missing else ""
            incremental = {c.name for c in CHANGE_COLUMNS}.issubset(others)
            raise ConfigurationError(
                f"table {self.output_table} is not a manifest table as this task writes it: it has "
                f"{', '.join(others)}{lacks}. "
                f"{'Set incremental: true, or name' if incremental else 'Name'} another table"
            )
        if missing:
            raise ConfigurationError(
                f"manifest table {self.output_table} lacks columns. Add them, or name another table: "
                f"{sql.add_columns(self.output_table, missing)}"
            )

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
        self, partition: PartitionSpec, params: RunParams, found: Counted, counts: Counter[str]
    ) -> None:
        """Raise before a slip in the prefix takes a published partition away."""
        place = f"oss://{self.options.bucket}/{self._prefix(partition)}"
        where = f"{self.output_table} {partition.path()}"
        if not params.allow_shrink:
            removed, empties = found.changes[Change.DELETED], found.published > 0 and not counts["ok"]
            shrinking = Shrinking(where, place, found.published, removed, counts["ok"], empties)
            shrinking.check(self.gate.max_shrink)
        may_be_empty = (
            self.gate.allow_empty or params.allow_empty or (found.published and params.allow_shrink)
        )
        if _found_nothing(counts) and not may_be_empty:
            raise EmptyInputError(
                f"no video found below {place}{_left_out(counts)}; {where} was not published. Mend "
                "oss_prefix or oss_bucket; or, if this may be, set allow_empty: true, in the scenario or for "
                "the run"
            )

    def _report(
        self, context: Context, partition: PartitionSpec, counts: Counter[str], found: Counted, seconds: float
    ) -> StageReport:
        failed = counts[Reason.EMPTY_FILE]
        total = StageCounts(counts.total(), counts["ok"], failed, counts.total() - counts["ok"] - failed)
        if not counts["ok"] and not failed:
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
            removed=found.changes[Change.DELETED],
            changes=dict(found.changes) if self.options.incremental else {},
            failures={self.stage_name: {str(Reason.EMPTY_FILE): failed}} if failed else {},
            filtered_reasons={
                reason: n for reason, n in sorted(counts.items()) if reason not in ("ok", Reason.EMPTY_FILE)
            },
            stages={self.stage_name: asdict(total)},
            seconds=round(seconds, 3),
        )


def _found_nothing(counts: Counter[str]) -> bool:
    """Whether there is no video, not even one of zero bytes, or one that is known."""
    return not any(counts[kind] for kind in ("ok", Reason.EMPTY_FILE, Reason.DUPLICATE, Change.KNOWN))


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
