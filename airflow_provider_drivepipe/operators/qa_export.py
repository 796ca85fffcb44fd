"""Writes the QA items of a partition to OSS as training files, so that a reader sees all of a set or none."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe import sql
from airflow_provider_drivepipe.contracts import (
    STATUS_COLUMNS,
    OssUri,
    Reason,
    StageCounts,
    StageReport,
    Status,
    Verdict,
)
from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    DataGateError,
    ItemQualityError,
    UnbalancedCountsError,
)
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.errors import oss_errors
from airflow_provider_drivepipe.hooks.partition_lock import (
    drop_tables,
    leave_partition,
    tags_of,
    take_partition,
)
from airflow_provider_drivepipe.hooks.whole_folder import WholeFolder
from airflow_provider_drivepipe.lifecycle.failures import SHOWN, FailedInput, FailureSample
from airflow_provider_drivepipe.lifecycle.publishing import Shrinking
from airflow_provider_drivepipe.lifecycle.tables import WORKING_TABLE_LIFECYCLE_DAYS, WorkingTables
from airflow_provider_drivepipe.lineage import Data
from airflow_provider_drivepipe.operators.base import PartitionOperator, take
from airflow_provider_drivepipe.operators.report import skip_downstream
from airflow_provider_drivepipe.pipelines.reasoning.export import (
    FILE_COLUMNS,
    READS,
    ExportOptions,
    ExportSet,
    QaExport,
    QaItem,
    UnfitItem,
    write_set,
)
from airflow_provider_drivepipe.pipelines.reasoning.quality import Check, Tally, flags_of
from airflow_provider_drivepipe.pipelines.reasoning.spool import Place, Spool
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.run_params import RunParams, read_params
from airflow_provider_drivepipe.stages.stage import Stage
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.paths import check_output_prefix, key_below_root, object_key

if TYPE_CHECKING:
    from airflow.sdk import Context

_BATCH = 5000
_LOOKUPS = 16
"""How many videos are looked up at a time."""
_LONGEST_NAME = len("/0123456789abcdef/temporal_localization.json")


class QaExportOperator(PartitionOperator):
    """Writes the items of one partition below ``<output_prefix>/<partition path>/``, and a row per file.

    The files are in a folder that is named by what they hold; ``manifest.json`` beside it is put last and
    names it, with the sizes and hashes of the files (see :class:`WholeFolder`). When nothing changed, no
    object is written.

    Items that are not ok, that have a flag of ``exclude``, that do not fit their type, or whose video is not
    in OSS, are counted and are in no file. An item is a duplicate of the first one in the files that asks the
    same, whatever the order of the table. Each video is looked up: ``video_id`` below the root is an
    object. Arguments beside these are the fields of :class:`ExportOptions` and those of
    :class:`PartitionOperator`.

    :param source_table: table of the items, with the columns ``READS`` and the status columns.
    :param stages: the export, instead of the fields of :class:`ExportOptions`.
    """

    template_fields: Sequence[str] = (*PartitionOperator.template_fields, "source_table")
    ui_color = "#d0e0e3"
    stage_name = QaExport.name

    def __init__(self, *, source_table: str, stages: Sequence[Stage] = (), **kwargs: Any) -> None:
        export = next((stage for stage in stages if isinstance(stage, QaExport)), None)
        export = export or QaExport(ExportOptions(**take(ExportOptions, kwargs)))
        super().__init__(**kwargs)
        self.options = export.options
        self.source_table = source_table
        self._files = 0

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, check, write, publish, report."""
        started = time.time()
        ti = context["ti"]
        self._hook = hook = DrivepipeHook(
            self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}"
        )
        partition = self.owned_partition(context)
        try:
            params, _ = read_params(context["params"])
        except ValueError as error:
            raise ConfigurationError(f"this run's params do not fit: {error}") from error
        root = str(hook.oss_root(self.options.bucket, self.options.root)).rstrip("/")
        target = WholeFolder(hook, self._place(root, partition))
        owner = tags_of(context)
        working = WorkingTables.of(self.output_table, partition, owner.text())
        books = _Books(Tally(self.options.checks))
        _, left = take_partition(context, hook, working, owner)
        drop_tables(hook, left)
        try:
            with tempfile.TemporaryDirectory(prefix="drivepipe-") as local:
                made = self._write_files(hook, root, partition, Path(local), books)
                self._check_quality(books.tally)
                self._publish(target, root, partition, params, Path(local), made, books.tally)
            self._write_table(hook, partition, working.staging, target.place.join(made.digest), made)
            self._files = len(made.files)
        finally:
            leave_partition(hook, working, owner)
        report = self._report(context, partition, books, params, time.time() - started)
        sample = FailureSample(report.failures, tuple(books.failed)) if books.failed else None
        self.publish_report(context, report, sample, partition)
        self._check_gate(report)
        skip_downstream(self, report, params)
        return report.to_json()

    def source_tables(self) -> Sequence[str]:
        """Return the table of the items."""
        return (self.source_table,)

    def published_rows(self, report: StageReport) -> int:  # noqa: ARG002 - its counts are those of items
        """Return how many files there are, which is how many rows the partition holds."""
        return self._files

    def lineage_outputs(self) -> Sequence[Data]:
        """Return the table of the files, and the folder that they are in."""
        options = self.options
        prefix = options.output_prefix or self.output_table
        files = None if self._published is None else self._files
        return [*super().lineage_outputs(), Data.of_folder(options.root or options.bucket, prefix, files)]

    def _place(self, root: str, partition: PartitionSpec) -> OssUri:
        prefix = f"{self.options.output_prefix.strip('/') or self.output_table}/{partition.path()}"
        try:
            check_output_prefix(prefix, root, _LONGEST_NAME)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        return OssUri.parse(f"{root}/{prefix}")

    def _write_files(
        self, hook: DrivepipeHook, root: str, partition: PartitionSpec, local: Path, books: _Books
    ) -> ExportSet:
        """Write the files of the partition's items into a local folder."""
        with Spool(local / "items.db") as spool:
            for item, place in self._items(hook, partition, books):
                spool.put(item, place)
            unusable = _unusable_videos(hook, root, spool.videos())

            def usable() -> Iterator[QaItem]:
                for item, hashes in spool.items():
                    if item.video_path in unusable:
                        books.fail(item.video_path, item.item_id, *unusable[item.video_path])
                        continue
                    compared = spool.compared(item, hashes)
                    if compared.duplicate_of and Check.DUPLICATE in self.options.exclude:
                        books.excluded[Check.DUPLICATE] += 1
                        continue
                    books.ok += 1
                    books.tally.add(compared.task, compared.flags, compared.choices, compared.choice)
                    yield compared

            made = write_set(local, usable(), self.options, root, datetime.now(UTC).date())
        books.check()
        return made

    def _items(
        self, hook: DrivepipeHook, partition: PartitionSpec, books: _Books
    ) -> Iterator[tuple[QaItem, Place]]:
        """Yield what can become training data; count the rest."""
        for row in self._rows(hook, partition, books):
            flags = flags_of(row, self.options.checks)
            excluded = next((flag for flag in flags if flag in self.options.exclude), None)
            if row["status"] != Status.OK:
                books.earlier[row["status"], row["error_type"] or ""] += 1
            elif excluded:
                books.excluded[excluded] += 1
            else:
                try:
                    item = QaItem.of_row(row, flags)
                except UnfitItem as error:
                    books.fail(row["video_path"], row["item_id"], error.reason, str(error))
                    continue
                yield item, Place(row["item_number"], row.get("question_hash"), row.get("text_hash"))

    def _rows(
        self, hook: DrivepipeHook, partition: PartitionSpec, books: _Books
    ) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of the partition, batch by batch: memory does not grow with them."""
        has = {column.name for column in hook.table_columns(self.source_table)[0]}
        status = [column.name for column in STATUS_COLUMNS]
        columns = [*(column.name for column in (*READS, *self.options.checked_columns)), *status]
        lacking = [name for name in columns if name not in has]
        if lacking:
            raise ConfigurationError(
                f"table {self.source_table} is not one of QA items: it lacks {', '.join(lacking)}"
            )
        if not hook.has_partition(self.source_table, partition):
            return
        table = hook.odps.get_table(self.source_table)
        with hook.errors(), table.open_reader(str(partition), columns=columns) as reader:
            books.rows_in = reader.count
            for start in range(0, reader.count, _BATCH):
                for record in reader.read(start, _BATCH):
                    yield {name: record[name] for name in columns}

    def _publish(
        self,
        target: WholeFolder,
        root: str,
        partition: PartitionSpec,
        params: RunParams,
        local: Path,
        made: ExportSet,
        tally: Tally,
    ) -> None:
        where, source = (f"{table} {partition.path()}" for table in (self.output_table, self.source_table))
        before = target.pointer() or {"table": where, "items": 0}
        if before.get("table") != where:
            raise ConfigurationError(f"{target.place} holds {before.get('table')}; choose another prefix")
        published = int(before["items"])
        if not params.allow_shrink:
            empties = published > 0 and not made.items
            Shrinking(where, source, published, 0, made.items, empties).check(self.gate.max_shrink)
        said = {
            "table": where,
            "source": source,
            "video_root": root,
            "items": made.items,
            "quality": tally.to_json(),
            "files": [asdict(file) for file in made.files],
        }
        changed = target.publish(made.digest, [local / file.name for file in made.files], said)
        self.log.info(
            "%s: %d items %s", target.place, made.items, "written" if changed else "are there already"
        )

    def _write_table(
        self, hook: DrivepipeHook, partition: PartitionSpec, staging: str, place: OssUri, made: ExportSet
    ) -> None:
        """Replace the partition by the rows of the files, in one statement."""
        names = [column.name for column in FILE_COLUMNS]
        hook.execute_sql(
            sql.create_table(self.output_table, FILE_COLUMNS, partition.columns, self.lifecycle_days)
        )
        if [column.name for column in hook.table_columns(self.output_table)[0]] != names:
            raise ConfigurationError(f"table {self.output_table} has other columns than {', '.join(names)}")
        hook.execute_sql(
            sql.create_table(
                staging, FILE_COLUMNS, lifecycle_days=WORKING_TABLE_LIFECYCLE_DAYS, if_not_exists=False
            )
        )
        with hook.errors(), hook.odps.get_table(staging).open_writer() as writer:
            for file in made.files:
                writer.write([*asdict(file).values(), str(place.join(file.name))])
        hook.execute_sql(
            f"INSERT OVERWRITE TABLE {sql.quote_name(self.output_table)} PARTITION ({partition.sql()}) "
            f"SELECT {sql.column_list(names)} FROM {sql.quote_name(staging)}"
        )

    def _check_quality(self, tally: Tally) -> None:
        self.log.info(
            "%.1f%% of %d items have no flag: %s", 100 * tally.share, tally.items.total(), tally.text()
        )
        if tally.share < self.options.min_item_quality:
            raise ItemQualityError(
                f"{tally.share:.1%} of {tally.items.total()} items have no flag, at least "
                f"{self.options.min_item_quality:.1%} are wanted (min_item_quality): {tally.text()}. Nothing "
                f"was published. Read some of {self.source_table} with drivepipe items; then mend the "
                "prompts, leave flagged items out (exclude), or lower min_item_quality"
            )

    def _check_gate(self, report: StageReport) -> None:
        own = StageCounts(**report.stages[self.stage_name])
        if own.failed > self.gate.max_failure_rate * own.rows_in:
            raise DataGateError(
                f"{own.failed} of {own.rows_in} items cannot be exported ({own.failed / own.rows_in:.1%}, "
                f"the limit is {self.gate.max_failure_rate:.1%}): {report.failures[self.stage_name]}. "
                "The others are published"
            )
        if report.ok < self.gate.min_rows:
            raise DataGateError(f"{report.ok} items exported, at least {self.gate.min_rows} are wanted")

    def _report(
        self, context: Context, partition: PartitionSpec, books: _Books, params: RunParams, seconds: float
    ) -> StageReport:
        verdict = Verdict.COMPLETED_WITH_FAILURES if books.failures else Verdict.COMPLETED
        return StageReport(
            scenario=self.scenario or context["ti"].dag_id,
            stage=self.stage_name,
            table=self.output_table,
            partition=partition.path(),
            verdict=verdict if books.rows_in else Verdict.EMPTY_INPUT,
            **asdict(books.table()),
            carried_over=0,
            failures={self.stage_name: dict(books.failures)} if books.failures else {},
            filtered_reasons=books.reasons(Status.FILTERED) | dict(books.excluded),
            skipped_reasons=books.reasons(Status.SKIPPED),
            stages={self.stage_name: asdict(books.stage())},
            params=dict(params.given),
            quality=books.tally.to_json(),
            seconds=round(seconds, 3),
        )


@dataclass
class _Books:
    """What became of the rows of the partition.

    :param tally: what the items in the files are like.
    :param earlier: rows that were not ok when they came, by status and reason.
    :param excluded: items that were left out, by their flag.
    :param failures: items that cannot be exported, by reason.
    :param failed: the first of them.
    """

    tally: Tally
    rows_in: int = 0
    ok: int = 0
    earlier: Counter[tuple[str, str]] = field(default_factory=Counter)
    excluded: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    failed: list[FailedInput] = field(default_factory=list)

    def fail(self, video: str, item: str, reason: str, message: str) -> None:
        self.failures[str(reason)] += 1
        if len(self.failed) < SHOWN:
            self.failed.append(FailedInput(f"{video} {item}", QaExport.name, str(reason), message))

    def reasons(self, status: Status) -> dict[str, int]:
        return {reason: n for (of, reason), n in sorted(self.earlier.items()) if of == status}

    def stage(self) -> StageCounts:
        """Return the counts of the items that came to the export."""
        failed, excluded = self.failures.total(), self.excluded.total()
        return StageCounts(self.ok + failed + excluded, self.ok, failed, excluded)

    def table(self) -> StageCounts:
        """Return the counts of all rows."""
        own = self.stage()
        failed, filtered, skipped = (
            sum(self.reasons(status).values()) for status in (Status.FAILED, Status.FILTERED, Status.SKIPPED)
        )
        return StageCounts(self.rows_in, own.ok, own.failed + failed, own.filtered + filtered, skipped)

    def check(self) -> None:
        """Raise UnbalancedCountsError when rows went missing or were counted twice."""
        if not self.table().balanced():
            raise UnbalancedCountsError(f"counts do not balance: {self.table()}; nothing was published")


def _unusable_videos(hook: DrivepipeHook, root: str, videos: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return which videos are not objects below the root, each with a reason and a text for people."""
    client, settings = hook.oss, hook.oss_settings
    bucket = OssUri.parse(root).bucket

    def trouble(video: str) -> tuple[str, str] | None:
        try:
            key_below_root(video, root)
        except VideoError as error:
            return error.reason, str(error)
        if client.is_object_exist(bucket, object_key(video, root)):
            return None
        return Reason.NOT_FOUND, "there is no such video any more"

    found: dict[str, tuple[str, str]] = {}
    left = iter(videos)
    with (
        oss_errors(settings.conn_id, settings.require_oss().endpoint, bucket),
        ThreadPoolExecutor(_LOOKUPS) as pool,
    ):
        while names := list(islice(left, _BATCH)):
            said = zip(names, pool.map(trouble, names), strict=True)
            found |= {name: reason for name, reason in said if reason is not None}
    return found
