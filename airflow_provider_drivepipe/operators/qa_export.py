"""Writes the QA items of a partition to OSS as training files, so that a reader sees all of a set or none."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import (
    STATUS_COLUMNS,
    OssUri,
    Reason,
)
from airflow_provider_drivepipe.exceptions import (
    ItemQualityError,
)
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.errors import oss_errors
from airflow_provider_drivepipe.hooks.whole_folder import WholeFolder
from airflow_provider_drivepipe.operators.base import run_params, take
from airflow_provider_drivepipe.operators.folder_export import Books, FolderExportOperator
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
from airflow_provider_drivepipe.scenario.run_params import RunParams
from airflow_provider_drivepipe.stages.stage import Stage
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.paths import key_below_root, object_key

if TYPE_CHECKING:
    from airflow.sdk import Context

_BATCH = 5000
_LOOKUPS = 16
"""How many videos are looked up at a time."""
_LONGEST_NAME = len("/0123456789abcdef/temporal_localization.json")


class QaExportOperator(FolderExportOperator):
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

    options: ExportOptions
    stage_name = QaExport.name

    def __init__(self, *, stages: Sequence[Stage] = (), **kwargs: Any) -> None:
        export = next((stage for stage in stages if isinstance(stage, QaExport)), None)
        export = export or QaExport(ExportOptions(**take(ExportOptions, kwargs)))
        super().__init__(**kwargs)
        self.options = export.options

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, check, write, publish, report."""
        started = time.time()
        ti = context["ti"]
        self._hook = hook = DrivepipeHook(
            self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}"
        )
        partition = self.owned_partition(context)
        params = run_params(context)
        root = str(hook.oss_root(self.options.bucket, self.options.root)).rstrip("/")
        target = WholeFolder(hook, self.place(root, partition, _LONGEST_NAME))
        books, tally = Books(self.stage_name, "items"), Tally(self.options.checks)
        with self.taken_partition(context, hook, partition) as staging:
            with tempfile.TemporaryDirectory(prefix="drivepipe-") as local:
                made = self._write_files(hook, root, partition, Path(local), books, tally)
                self._check_quality(tally)
                self._publish(target, root, partition, params, Path(local), made, tally)
            place = target.place.join(made.digest)
            files = [[*asdict(file).values(), str(place.join(file.name))] for file in made.files]
            self.replace_rows(hook, partition, staging, FILE_COLUMNS, files)
            self.files = len(files)
        return self.finish(context, partition, books, params, time.time() - started, tally.to_json())

    def _write_files(
        self,
        hook: DrivepipeHook,
        root: str,
        partition: PartitionSpec,
        local: Path,
        books: Books,
        tally: Tally,
    ) -> ExportSet:
        """Write the files of the partition's items into a local folder."""
        with Spool(local / "items.db") as spool:
            for item, place in self._items(hook, partition, books):
                spool.put(item, place)
            unusable = _unusable_videos(hook, root, spool.videos())

            def usable() -> Iterator[QaItem]:
                for item, hashes in spool.items():
                    if item.video_path in unusable:
                        books.fail(f"{item.video_path} {item.item_id}", *unusable[item.video_path])
                        continue
                    compared = spool.compared(item, hashes)
                    if compared.duplicate_of and Check.DUPLICATE in self.options.exclude:
                        books.excluded[Check.DUPLICATE] += 1
                        continue
                    books.ok += 1
                    tally.add(compared.task, compared.flags, compared.choices, compared.choice)
                    yield compared

            made = write_set(local, usable(), self.options, root, datetime.now(UTC).date())
        books.check()
        return made

    def _items(
        self, hook: DrivepipeHook, partition: PartitionSpec, books: Books
    ) -> Iterator[tuple[QaItem, Place]]:
        """Yield what can become training data; count the rest."""
        items = (*READS, *self.options.checked_columns)
        columns = [column.name for column in items] + [column.name for column in STATUS_COLUMNS]
        for row in self.rows(hook, partition, columns, "QA items", books):
            flags = flags_of(row, self.options.checks)
            excluded = next((flag for flag in flags if flag in self.options.exclude), None)
            if excluded:
                books.excluded[excluded] += 1
            else:
                try:
                    item = QaItem.of_row(row, flags)
                except UnfitItem as error:
                    books.fail(f"{row['video_path']} {row['item_id']}", error.reason, str(error))
                    continue
                yield item, Place(row["item_number"], row.get("question_hash"), row.get("text_hash"))

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
        where = self.check_before(target, partition, params, "items", made.items)
        said = {
            "table": where,
            "source": f"{self.source_table} {partition.path()}",
            "video_root": root,
            "items": made.items,
            "quality": tally.to_json(),
            "files": [asdict(file) for file in made.files],
        }
        changed = target.publish(made.digest, [local / file.name for file in made.files], said)
        self.log.info(
            "%s: %d items %s", target.place, made.items, "written" if changed else "are there already"
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
