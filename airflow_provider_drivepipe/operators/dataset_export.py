"""Writes labelled images of a partition to OSS as a data set, so that a reader sees all of it or nothing."""

from __future__ import annotations

import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import file_digest
from importlib.util import find_spec
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.contracts import OssUri, Reason
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.hooks.errors import oss_errors
from airflow_provider_drivepipe.hooks.whole_folder import WholeFolder
from airflow_provider_drivepipe.operators.base import run_params, take
from airflow_provider_drivepipe.operators.folder_export import Books, FolderExportOperator
from airflow_provider_drivepipe.pipelines.driving.export import (
    CARD,
    FILE_COLUMNS,
    NEEDED,
    README,
    DatasetOptions,
    ExportFormat,
    Sample,
    SampleSpool,
    SampleTable,
    card_text,
    make_card,
    write_files,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.worker.images import ImageError

if TYPE_CHECKING:
    from airflow.sdk import Context

_BATCH = 1000
_AT_ONCE = 16
"""How many pictures are looked up, or read, at a time."""
_LONGEST_NAME = 128
_DUPLICATE, _WHERE = "duplicate", "where"


class DatasetExportOperator(FolderExportOperator):
    """Writes the labelled images of one partition below ``<output_prefix>/<partition path>/``.

    The files, with ``card.json`` and ``README.md`` that say what they hold, are in a folder named by their
    content; ``manifest.json`` beside it is put last and names it (see :class:`WholeFolder`). The output table
    gets a row per file. When nothing changed, no picture is read and no object is written.

    Rows that are not ok, for which ``where`` does not hold, whose label does not fit ``label_schema``, whose
    picture is not in OSS or is there twice, are counted and are in no file. Arguments beside these are the
    fields of :class:`DatasetOptions` and those of :class:`PartitionOperator`.

    :param bucket: bucket that receives the files.
    """

    options: DatasetOptions
    stage_name = "dataset_export"

    def __init__(self, *, bucket: str = "", **kwargs: Any) -> None:
        options = DatasetOptions(bucket, **take(DatasetOptions, kwargs))
        super().__init__(**kwargs)
        self.options = options

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
        table = self._table(hook)
        books = Books(self.stage_name, "samples")
        with self.taken_partition(context, hook, partition) as staging:
            with (
                tempfile.TemporaryDirectory(prefix="drivepipe-") as local,
                closing(SampleSpool(Path(local) / "samples.db")) as spool,
            ):
                self._collect(hook, partition, table, target.place, spool, books)
                said = {
                    "table": self.check_before(target, partition, params, "samples", len(spool)),
                    "source": f"{self.source_table} {partition.path()}",
                    "left_out": _left_out(books),
                    **self._made_with(context, partition),
                }
                card = make_card(spool, table, self.options, said)
                files = self._publish(hook, target, Path(local), spool, table, card)
            place = target.place.join(card["fingerprint"])
            rows = [[*file.values(), str(place.join(file["name"]))] for file in files]
            self.replace_rows(hook, partition, staging, FILE_COLUMNS, rows)
            self.files = len(rows)
        return self.finish(context, partition, books, params, time.time() - started, {})

    def _table(self, hook: DrivepipeHook) -> SampleTable:
        if self.options.format == ExportFormat.LANCE and find_spec("lance") is None:
            raise ConfigurationError(
                "the format lance needs a library that is not here: pip install pylance, where tasks run"
            )
        try:
            return SampleTable.of(hook.table_columns(self.source_table)[0], self.options)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def _collect(
        self,
        hook: DrivepipeHook,
        partition: PartitionSpec,
        table: SampleTable,
        place: OssUri,
        spool: SampleSpool,
        books: Books,
    ) -> None:
        """Put what can become training data into the spool; count the rest."""
        places, _ = hook.image_places(), hook.oss

        def sample_of(row: Mapping[str, Any]) -> tuple[Sample, str] | ImageError | None:
            try:
                sample = table.sample(row)
                return None if sample is None else (sample, _etag(hook, row["image_url"], places))
            except ImageError as error:
                return error

        columns = dict.fromkeys([*NEEDED, *(c.name for c in table.columns), *table.where_columns])
        rows = self.rows(hook, partition, list(columns), "labelled images", books)
        settings, put = hook.oss_settings, 0
        with (
            oss_errors(settings.conn_id, settings.require_oss().endpoint),
            ThreadPoolExecutor(_AT_ONCE) as pool,
        ):
            while batch := list(islice(rows, _BATCH)):
                for row, found in zip(batch, pool.map(sample_of, batch), strict=True):
                    if str(row["image_url"]).startswith(f"{place}/"):
                        raise ConfigurationError(
                            f"{place} holds the pictures themselves; choose another output_prefix"
                        )
                    if found is None:
                        books.excluded[_WHERE] += 1
                    elif isinstance(found, ImageError):
                        books.fail(str(row["image_url"]), found.reason, str(found))
                    else:
                        spool.put(*found)
                        put += 1
        books.ok = len(spool)
        if put > books.ok:
            books.excluded[_DUPLICATE] = put - books.ok
        books.check()

    def _made_with(self, context: Context, partition: PartitionSpec) -> dict[str, Any]:
        """Return prompts and models by stage, as the report says of what was published in the source table.

        It is that of a task right before this one, or comes with the asset event that started the run.
        """
        before = sorted(self.upstream_task_ids)
        reports = [context["ti"].xcom_pull(task_ids=task_id) for task_id in before]
        events = (context.get("triggering_asset_events") or {}).values()
        reports += [event.extra.get("report") for event in chain.from_iterable(events)]
        wanted = (self.source_table, partition.path())
        found = (each for each in reports if isinstance(each, dict))
        report = next((r for r in found if (r.get("table"), r.get("partition")) == wanted), {})
        prompts = {
            stage: {name: prompt[name] for name in ("name", "version", "sha256")}
            for stage, prompt in report.get("prompts", {}).items()
        }
        return {"prompts": prompts, "models": report.get("models", {})}

    def _publish(
        self,
        hook: DrivepipeHook,
        target: WholeFolder,
        local: Path,
        spool: SampleSpool,
        table: SampleTable,
        card: Mapping[str, Any],
    ) -> list[dict[str, Any]]:
        """Make the data set the present one; return its files. A file leaves the disk when it is in OSS."""
        version, count = card["fingerprint"], card["samples"]
        before = target.pointer() or {"folder": None, "files": []}
        files: list[dict[str, Any]] = before["files"]
        if before["folder"] == version and target.holds(version, [file["name"] for file in files]):
            self.log.info("%s: %d samples are there already", target.place, count)
            return files
        files = []

        def put(name: str, samples: int | None) -> None:
            path = local / name
            with path.open("rb") as file:
                sha256 = file_digest(file, "sha256").hexdigest()
            size = path.stat().st_size
            files.append({"name": name, "samples": samples, "size_bytes": size, "sha256": sha256})
            target.put(version, name, path)
            path.unlink()

        with ThreadPoolExecutor(_AT_ONCE) as pool:

            def read(urls: Sequence[str]) -> Iterable[bytes]:
                return pool.map(lambda url: hook.read_object(OssUri.parse(url)), urls)

            if count:
                for made in write_files(local, spool.samples(), table, self.options, read):
                    put(*made)
        texts = {
            CARD: json.dumps({**card, "files": files}, ensure_ascii=False, indent=2),
            README: card_text(card),
        }
        for name, text in texts.items():
            (local / name).write_text(text, "utf-8")
            put(name, None)
        target.point(version, {"table": card["table"], "samples": count, "files": files})
        target.tidy()
        self.log.info("%s: %d samples written", target.place, count)
        return files


def _etag(hook: DrivepipeHook, url: str, places: Sequence[str]) -> str:
    """Return which version of a picture is there; raise ImageError where none is.

    :param places: endpoints of the connection's OSS.
    """
    import alibabacloud_oss_v2 as oss
    from alibabacloud_oss_v2.exceptions import OperationError, ServiceError

    try:
        uri = OssUri.parse(url)
    except ValueError as error:
        raise ImageError(Reason.PATH_OUTSIDE_ROOT, str(error)) from error
    if uri.endpoint not in places:
        raise ImageError(Reason.PATH_OUTSIDE_ROOT, "image_url is not in the connection's OSS")
    try:
        found = hook.oss.get_object_meta(oss.GetObjectMetaRequest(bucket=uri.bucket, key=uri.key))
    except OperationError as error:
        cause = error.unwrap()
        if isinstance(cause, ServiceError) and cause.status_code == 404:
            raise ImageError(Reason.NOT_FOUND, "there is no such picture any more") from error
        raise
    return str(found.etag)


def _left_out(books: Books) -> dict[str, int]:
    """Return how many rows are in no file, by reason."""
    counts = Counter({reason or status: n for (status, reason), n in books.earlier.items()})
    counts.update(books.excluded)
    counts.update(books.failures)
    return dict(sorted(counts.items()))
