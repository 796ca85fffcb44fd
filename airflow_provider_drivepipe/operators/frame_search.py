"""Publishes the frames of a partition that are most like a text or a picture."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe import sql
from airflow_provider_drivepipe.contracts import (
    STATUS_COLUMNS,
    Column,
    OssUri,
    Reason,
    StageCounts,
    StageReport,
    Status,
    Verdict,
)
from airflow_provider_drivepipe.exceptions import ConfigurationError, DataGateError, EmptyInputError
from airflow_provider_drivepipe.hooks import frame_search
from airflow_provider_drivepipe.hooks.frame_search import KEYS, Checked, FrameSearch, Query
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook
from airflow_provider_drivepipe.hooks.partition_lock import (
    drop_tables,
    leave_partition,
    same_task,
    tags_of,
    take_partition,
)
from airflow_provider_drivepipe.hooks.sessions import SessionTags
from airflow_provider_drivepipe.lifecycle.tables import WorkingTables
from airflow_provider_drivepipe.operators.base import PartitionOperator, run_params
from airflow_provider_drivepipe.operators.report import skip_downstream
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.run_params import RunParams
from airflow_provider_drivepipe.worker.frame_search import Outcome

if TYPE_CHECKING:
    from airflow.sdk import Context

STAGE = "search"
HIT_COLUMNS = (
    Column("query", "string", "the text, or image:<hash> of a picture"),
    Column("rank", "bigint", "1 for the frame that is most like the query, 0 when none was found"),
    Column("score", "double", "cosine of the vectors of query and frame"),
    *KEYS,
)


class FrameSearchOperator(PartitionOperator):
    """Finds the frames of one partition that are most like a query, and publishes them as a partition.

    Pays for one embedding. When the partition holds what the same search found in the same frames, nothing is
    done. A search that finds no frame publishes one row that says so: ``filtered``, ``no_frames``. Further
    arguments are those of :class:`PartitionOperator`.

    :param source_table: table with vectors in ``image_embedding``; the run's partition of it is searched.
    :param model: the model that made them.
    :param dimension: length of the vectors, where they were made with one.
    :param query: the text to look for.
    :param image: instead of a text, the OSS URI of a picture.
    :param where: condition on the frames, such as ``weather = 'rainy' and frame_time_ms >= 2000``.
    :param label_schema: schema of the labels, for properties that ``where`` names.
    :param top: how many frames at most.
    """

    template_fields: Sequence[str] = (
        *PartitionOperator.template_fields,
        "source_table",
        "query",
        "image",
        "where",
    )
    ui_color = "#d9d2e9"
    stage_name = STAGE

    def __init__(
        self,
        *,
        source_table: str,
        model: str,
        dimension: int | None = None,
        query: str = "",
        image: str = "",
        where: str = "",
        label_schema: str | None = None,
        top: int = 20,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if bool(query) == bool(image):
            raise ValueError("search either for a query or for an image")
        if not 1 <= top <= frame_search.MAX_TOP:
            raise ValueError(f"top is 1 to {frame_search.MAX_TOP}, not {top}")
        self.source_table = source_table
        self.model = model
        self.dimension = dimension
        self.query = query
        self.image = image
        self.where = where
        self.label_schema = label_schema
        self.top = top
        self._hook: MaxFrameHook | None = None
        self._owner: SessionTags | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Look whether the partition is there already; else search, publish, report."""
        started = time.time()
        ti = context["ti"]
        self._hook = hook = MaxFrameHook(
            self.conn_id, self.oss_conn_id, run_identity=f"{ti.dag_id}/{ti.run_id}"
        )
        partition = self.owned_partition(context)
        params = run_params(context)
        checked = frame_search.check(hook, self._search(hook, partition))
        if not checked.rows and not (self.gate.allow_empty or params.allow_empty):
            raise EmptyInputError(
                f"{self.source_table} has no rows in {partition.path()}; nothing was published. Run what "
                "makes it first; or, if this may be, set allow_empty"
            )
        self._owner = owner = tags_of(context)
        working = WorkingTables.of(self.output_table, partition, owner.text())
        dead, left = take_partition(context, hook, working, owner)
        hook.stop_sessions(lambda tags: any(same_task(tags, each) for each in (owner, dead) if each))
        drop_tables(hook, left)
        try:
            hits, counts = self._publish(hook, checked, partition, working, owner)
        finally:
            leave_partition(hook, working, owner)
        report = self._report(context, checked, partition, hits, counts, params, time.time() - started)
        self.publish_report(context, report, None, partition)
        if report.ok < self.gate.min_rows:
            raise DataGateError(f"{report.ok} frames found, at least {self.gate.min_rows} are wanted")
        skip_downstream(self, report, params)
        return report.to_json()

    def source_tables(self) -> Sequence[str]:
        """Return the table with the vectors."""
        return (self.source_table,)

    def on_kill(self) -> None:
        """Stop the session of this task."""
        hook, owner = self._hook, self._owner
        if hook is not None and owner is not None:
            hook.stop_sessions(lambda tags: tags == owner)

    def _search(self, hook: MaxFrameHook, partition: PartitionSpec) -> FrameSearch:
        if self.image:
            try:
                query = Query.of_picture(hook.read_object(OssUri.parse(self.image)))
            except ValueError as error:
                raise ConfigurationError(str(error)) from error
        else:
            query = Query(self.query)
        return FrameSearch(
            self.source_table,
            partition,
            query,
            self.model,
            self.dimension,
            self.where,
            self.label_schema,
            self.top,
        )

    def _publish(
        self,
        hook: MaxFrameHook,
        checked: Checked,
        partition: PartitionSpec,
        working: WorkingTables,
        owner: SessionTags,
    ) -> tuple[int, Mapping[Outcome, int] | None]:
        """Search and replace the partition, unless it is there already.

        Returns how many hits it holds, and what became of the frames, None when nothing was searched.
        """
        columns = (*HIT_COLUMNS, *STATUS_COLUMNS)
        self.require_table(hook, columns, partition)
        table, names = sql.quote_name(self.output_table), [column.name for column in columns]
        there = hook.execute_sql(
            "SELECT `fingerprint`, SUM(CASE WHEN `rank` > 0 THEN 1 ELSE 0 END) "
            f"FROM {table} WHERE {partition.sql(' AND ')} GROUP BY `fingerprint` LIMIT 2"
        )
        if [fingerprint for fingerprint, _ in there] == [checked.fingerprint]:
            self.log.info("the same search of the same frames is published already")
            return int(there[0][1]), None
        found = frame_search.run(hook, checked, working.staging, owner) if checked.rows else None
        rows = (
            self._hits_sql(checked, working.staging)
            if found is not None and found.hits
            else self._nothing_sql(checked, found.left_out() if found else "; there are no frames")
        )
        hook.execute_sql(
            f"INSERT OVERWRITE TABLE {table} PARTITION ({partition.sql()}) "
            f"SELECT {sql.column_list(names)} FROM ({rows}) r"
        )
        return (len(found.hits), found.counts) if found else (0, {})

    def _hits_sql(self, checked: Checked, staging: str) -> str:
        have = {name for name, _ in checked.job.keys}
        keys = [sql.quote_name(c.name) if c.name in have else sql.null_of(c) for c in KEYS]
        said = {"status": str(Status.OK), "error_stage": "", "error_type": "", "error_msg": ""}
        return (
            f"SELECT {sql.quote_text(checked.search.query.name)} AS `query`, `rank`, `score`, "
            f"{', '.join(keys)}, "
            f"{_status_sql(said, checked.fingerprint)} FROM ({frame_search.ranked(checked, staging)}) h"
        )

    def _nothing_sql(self, checked: Checked, left_out: str) -> str:
        said = {
            "status": str(Status.FILTERED),
            "error_stage": STAGE,
            "error_type": str(Reason.NO_FRAMES),
            "error_msg": f"no frame was found{left_out}",
        }
        nulls = ", ".join(sql.null_of(column) for column in HIT_COLUMNS[2:])
        return (
            f"SELECT {sql.quote_text(checked.search.query.name)} AS `query`, CAST(0 AS BIGINT) AS `rank`, "
            f"{nulls}, {_status_sql(said, checked.fingerprint)}"
        )

    def _report(
        self,
        context: Context,
        checked: Checked,
        partition: PartitionSpec,
        hits: int,
        counts: Mapping[Outcome, int] | None,
        params: RunParams,
        seconds: float,
    ) -> StageReport:
        """Return the report: at the top the rows of the table, in ``stages`` the frames of the source."""
        frames = counts or {}
        skipped = {
            str(o): n for o, n in frames.items() if o not in (Outcome.SEARCHED, Outcome.LEFT_OUT) and n
        }
        searched, left_out = (frames.get(o, 0) for o in (Outcome.SEARCHED, Outcome.LEFT_OUT))
        stage = StageCounts(sum(frames.values()), searched, 0, left_out, sum(skipped.values()))
        return StageReport(
            scenario=self.scenario or context["ti"].dag_id,
            stage=STAGE,
            table=self.output_table,
            partition=partition.path(),
            verdict=Verdict.COMPLETED if checked.rows else Verdict.EMPTY_INPUT,
            rows_in=max(hits, 1),
            ok=hits,
            failed=0,
            filtered=0 if hits else 1,
            skipped=0,
            carried_over=hits if counts is None else 0,
            filtered_reasons={} if hits else {str(Reason.NO_FRAMES): 1},
            skipped_reasons=skipped,
            stages={STAGE: asdict(stage)},
            params=dict(params.given),
            models={} if counts is None else {STAGE: self.model},
            seconds=round(seconds, 3),
        )


def _status_sql(said: Mapping[str, str], fingerprint: str) -> str:
    """Return the status columns of all rows of a search."""
    texts = [f"{sql.quote_text(text)} AS {sql.quote_name(name)}" for name, text in said.items()]
    return ", ".join(
        [*texts, "CAST(1 AS BIGINT) AS `attempt`", f"{sql.quote_text(fingerprint)} AS `fingerprint`"]
    )
