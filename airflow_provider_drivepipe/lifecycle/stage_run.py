"""One partition of one task, from the snapshot of its input to its report: its life as SQL. No Airflow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from airflow_provider_drivepipe.contracts import Column, Reason, Spending, StageReport
from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    DataGateError,
    DrivepipeError,
    PartitionShrinksError,
)
from airflow_provider_drivepipe.lifecycle import counts as counting
from airflow_provider_drivepipe.lifecycle import keeping, publishing, selection
from airflow_provider_drivepipe.lifecycle import spending as spent
from airflow_provider_drivepipe.lifecycle.budget import Budget
from airflow_provider_drivepipe.lifecycle.failures import FailureSample, first_failed_rows
from airflow_provider_drivepipe.lifecycle.fingerprint import Fingerprint, fingerprint_of
from airflow_provider_drivepipe.lifecycle.publishing import Shrinking, WorkCounts
from airflow_provider_drivepipe.lifecycle.tables import (
    WAVE_COLUMN,
    StageTables,
    Work,
    WorkingTables,
    lay_out,
)
from airflow_provider_drivepipe.scenario.options import (
    GateOptions,
    PriceOptions,
    Reprocess,
    SelectionOptions,
    TableOptions,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.prices import spending_of
from airflow_provider_drivepipe.scenario.run_params import RunParams
from airflow_provider_drivepipe.sql import Figures, create_table, figures_apart, figures_together
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.source import Source
from airflow_provider_drivepipe.stages.stage import Build, PictureFolder, RowStage, Site, Stage, UnitStage

logger = logging.getLogger(__name__)


class Project(Site, Protocol):
    """What a run needs of MaxCompute; errors are of our tree."""

    @property
    def odps(self) -> Any:
        """The pyodps entry."""

    def errors(self) -> AbstractContextManager[None]:
        """Return a context in which the SDKs' errors become ours."""

    def session_options(self) -> AbstractContextManager[None]:
        """Return a context in which graphs are built."""

    def execute_sql(self, sql: str) -> list[list[Any]]:
        """Run a statement and return the rows of a query."""

    def execute_script(self, statements: Sequence[str]) -> None:
        """Run statements that make tables, and then such as fill them, as one instance."""

    def table_columns(self, table: str) -> tuple[list[Column], list[str]]:
        """Return a table's columns and the names of its partition columns."""

    def table_comment(self, table: str) -> str | None:
        """Return a table's comment, None when there is no such table."""

    def has_partition(self, table: str, partition: PartitionSpec) -> bool:
        """Whether there is such a table with such a partition."""


@dataclass(frozen=True)
class Task:
    """What a task is told: by a plan, or by somebody who writes a DAG.

    :param scenario: name of the scenario, for reports.
    :param name: what the task is called in reports.
    :param stages: what it does, in order.
    :param source: where input units come from.
    :param output: table to write; made when it is missing.
    :param partition_columns: of source and output.
    :param unit_key: columns that tell input rows apart, where they are not those of images.
    :param image_root: full OSS URI; images may be at its endpoint too.
    """

    scenario: str
    name: str
    stages: tuple[Stage, ...]
    source: Source
    output: TableOptions
    partition_columns: tuple[str, ...]
    gate: GateOptions = field(default_factory=GateOptions)
    prices: PriceOptions | None = None
    unit_key: tuple[str, ...] = ()
    image_root: str | None = None


@dataclass(frozen=True)
class Audit:
    """What a partition comes to.

    :param counts: what the snapshot of the input holds.
    :param found: what the partition holds.
    :param spending: rows that models were asked about, and hours of video, None where they are not known.
    """

    counts: WorkCounts
    found: counting.Counts
    spending: tuple[int, float | None] = (0, None)


class StageRun:
    """One run of a task over one partition.

    :param stages: the task's, as the run's params want them.
    :param working: names of the run's working tables.
    :param attached: whether it goes on with what an earlier try began.
    :param resumes_all: whether ``reprocess: all`` goes on with what an earlier try made and kept.
    """

    def __init__(
        self,
        project: Project,
        task: Task,
        partition: PartitionSpec,
        params: RunParams,
        stages: Sequence[Stage],
        chosen: SelectionOptions,
        working: WorkingTables,
        attached: bool = False,
        resumes_all: bool = False,
    ) -> None:
        self.project = project
        self.task = task
        self.partition = partition
        self.params = params
        self.stages = tuple(stages)
        self.attached = attached
        self.resumes_all = resumes_all
        self.chosen = replace(chosen, reprocess=Reprocess.CHANGED) if resumes_all else chosen
        self.wanted: Fingerprint = fingerprint_of(stages, project)
        self.tables = self._lay_out(working)
        if chosen.reprocess is Reprocess.ALL and self.budget is not None:
            raise ConfigurationError(
                "reprocess: all makes all rows anew, and max_rows or max_calls would stop every such run at "
                "the same row; take the caps out of the scenario for this, or run with reprocess: changed"
            )

    @property
    def budget(self) -> Budget | None:
        """What this run may have from the models at most."""
        return Budget.of(self.chosen, self.tables)

    @property
    def where(self) -> str:
        """Output table and partition, for messages."""
        return f"{self.tables.output} {self.partition.path()}"

    @cached_property
    def pictures(self) -> PictureFolder | None:
        """Where the run writes pictures, None where it writes none."""
        unit = next((stage for stage in self.stages if isinstance(stage, UnitStage)), None)
        if unit is None:
            return None
        return unit.pictures(self.project, self.partition.path(), self.wanted.hashes)

    def _lay_out(self, working: WorkingTables) -> StageTables:
        tables = lay_out(
            self.stages,
            self.task.source,
            self._source_columns(),
            self.task.output.name,
            self.partition,
            working,
            self.task.unit_key,
            self.chosen.rows_per_job,
            self.chosen.workers,
        )
        if tables.image_columns:
            places = self.project.image_places()
            if self.task.image_root is not None:
                places += (self.task.image_root.removeprefix("oss://").partition("/")[0],)
            tables = replace(tables, image_roots=tuple(f"oss://{place}/" for place in dict.fromkeys(places)))
        return replace(tables, recalls=self._recalls(tables))

    def _recalls(self, tables: StageTables) -> bool:
        """Whether rows that are kept beside the output count as published: the run that began decides."""
        if self.chosen.reprocess is Reprocess.ALL:
            return False
        if self.attached:
            return self.project.table_comment(tables.working.earlier) is not None
        return self.project.has_partition(tables.kept, tables.partition)

    def _source_columns(self) -> Sequence[Column]:
        source, first = self.task.source, None
        for table in source.tables:
            columns, partition_columns = self.project.table_columns(table)
            source.check(table, [c.name for c in columns], partition_columns, self.task.partition_columns)
            first = first or columns
        return source.unit_columns(first or ())

    # Look.

    def ensure_output(self) -> None:
        """Make the output where it is missing; raise ConfigurationError when it does not fit the task."""
        tables, output = self.tables, self.task.output
        if self.project.table_comment(tables.output) is None:
            self.project.execute_sql(
                create_table(
                    tables.output, tables.output_columns, self.task.partition_columns, output.lifecycle_days
                )
            )
        existing, partition_columns = self.project.table_columns(tables.output)
        have = {c.name: c.type for c in existing}
        want = {c.name: c.type for c in tables.output_columns}
        if have != want:
            missing = [f"{n} {kind}" for n, kind in want.items() if have.get(n) != kind]
            extra = [f"{n} {kind}" for n, kind in have.items() if want.get(n) != kind]
            said = [f"it lacks {', '.join(missing)}"] if missing else []
            said += [f"it has {', '.join(extra)}, which this task does not write"] if extra else []
            raise ConfigurationError(
                f"table {tables.output} does not fit this task: {'; '.join(said)}. "
                "Name another output table, or change the table"
            )
        if partition_columns != list(self.task.partition_columns):
            raise ConfigurationError(
                f"table {tables.output} is partitioned by ({', '.join(partition_columns)}), this task "
                f"writes partitions of ({', '.join(self.task.partition_columns)}). Name another output table"
            )

    def look(self) -> Audit | None:
        """Return what the published partition holds if the task would publish the same again, else None.

        It takes no snapshot: one statement sees input and partition at one moment.
        """
        tables = self.tables
        renews = self.chosen.reprocess is Reprocess.ALL or self.resumes_all or tables.renewed_columns
        if renews or tables.recalls or not self.project.has_partition(tables.output, self.partition):
            return None
        figures = self._figures(
            {
                **selection.look(tables, self.wanted, self.chosen, self.budget),
                **publishing.count_partition(tables, {"carried": publishing.published_rows(tables)}),
            }
        )
        counts = WorkCounts.read(tables, figures)
        if not counts.stays_as_it_is:
            return None
        logger.info("partition %s: %s; there is nothing to do", self.partition.path(), counts.describe())
        return Audit(counts, self._balance(counts, figures))

    # Select.

    def select(self) -> WorkCounts:
        """Take the snapshot of the input; return what is in it, by what has to be done with it."""
        kept = self.tables.recalls
        if self._follows():
            self.tables = replace(self.tables, recalls=True)
        tables = self.tables
        if tables.recalls:
            have = self.project.table_columns(tables.kept)[0] if kept else None
            self.project.execute_script(
                [
                    keeping.create_earlier(tables),
                    keeping.fill_earlier(tables, self.wanted, self.chosen.reprocess, have, self.resumes_all),
                ]
            )
        self.project.execute_script(
            [
                *selection.create_working_tables(tables),
                selection.fill_units(tables, self.wanted, self.chosen, self.budget),
            ]
        )
        some = tables.recalls or self.project.has_partition(tables.output, self.partition)
        if some and tables.expands and tables.parts:
            self.project.execute_sql(selection.fill_rows(tables, self.wanted, self.chosen, self.budget))
        if self.chosen.reprocess is Reprocess.ALL and self.project.has_partition(tables.kept, self.partition):
            have = self.project.table_columns(tables.kept)[0]
            self.project.execute_sql(keeping.forget(tables, have))
        counts = self.counts()
        logger.info("partition %s: %s", self.partition.path(), counts.describe())
        self._check_shrink(counts, None)
        return counts

    def _follows(self) -> bool:
        """Whether units have moved whose rows are published under their earlier key."""
        tables = self.tables
        if not tables.follows or tables.recalls or self.chosen.reprocess is Reprocess.ALL:
            return False
        if not self.project.has_partition(tables.output, self.partition):
            return False
        [[moved]] = self.project.execute_sql(keeping.count_moved(tables))
        if int(moved):
            logger.info("%s input units have moved; their rows are taken over", moved)
        return bool(int(moved))

    def counts(self) -> WorkCounts:
        """Return what the snapshot holds."""
        return WorkCounts.read(self.tables, self._figures(selection.count_snapshot(self.tables)))

    @property
    def splits(self) -> dict[str, int]:
        """Tables that jobs read as they are, each with the number of workers that share it.

        Units and rows are few when they are read, and are spread behind that.
        """
        units = (stage for stage in self.stages if isinstance(stage, UnitStage))
        tables = [table for stage in units for table in stage.looked_up]
        return {} if self.chosen.workers is None else dict.fromkeys(tables, self.chosen.workers)

    def unit_of_work(self, counts: WorkCounts) -> str:
        """Return what one of the units or rows is called that jobs work on."""
        return "row" if self.tables.expands and counts.todo else self.stages[0].guide().unit

    def _figures(self, asked: Mapping[str, Figures]) -> dict[str, list[list[object]]]:
        """Ask for figures in one statement."""
        return figures_apart(asked, self.project.execute_sql(figures_together(asked)))

    # Run.

    def sink(self, counts: WorkCounts, wave: int) -> Any:
        """Return the lazy sink of one wave: its rows, into its partition of the staging table."""
        import maxframe.dataframe as md

        from airflow_provider_drivepipe.lifecycle.job_graph import job_rows
        from airflow_provider_drivepipe.stages.graph import graph_building

        project, tables = self.project, self.tables
        left, build = self._rows_left(counts, wave), self._build(wave)
        with project.errors(), project.session_options(), graph_building(project.odps):
            rows = job_rows(project.odps, tables, self.stages, build, counts, wave, left)
            return md.to_odps_table(
                rows[[c.name for c in tables.output_columns]],
                tables.working.staging,
                partition=f"{WAVE_COLUMN.name}={wave}",
                overwrite=True,
                index=False,
            )

    def _rows_left(self, counts: WorkCounts, wave: int) -> int | None:
        """Return how many new rows of a wave are within the budget, None without one."""
        if self.budget is None or not counts.has(Work.RUN, wave):
            return None
        left = self.budget.rows_left(counts.todo, counts.needs)
        if wave:
            asked, _ = spent.read_spending(self.project.execute_sql(spent.count_new(self.tables).sql)[0])
            left = max(0, left - asked)
        return left

    def _groups(self, wave: int) -> dict[str, tuple[str, ...]]:
        """Return by stage the groups in which rows of a wave go through it."""
        grouped = (s for s in self.stages if isinstance(s, RowStage) and s.grouped_by)
        return {
            stage.name: tuple(
                str(value)
                for (value,) in self.project.execute_sql(
                    selection.find_groups(self.tables, stage.part(), stage.grouped_by, wave)
                )
            )
            for stage in grouped
        }

    def _build(self, wave: int) -> Build:
        behind: dict[str, list[str]] = {part.stage: [] for part in self.tables.parts}
        for part in self.tables.parts:
            for needed in _all_needs(part.stage, {p.stage: p.needs for p in self.tables.parts}):
                behind[needed].append(part.flag)
        return Build(
            site=self.project,
            partition_path=self.partition.path(),
            hashes=self.wanted.hashes,
            source_columns=tuple(c.name for c in self.tables.source_columns),
            flags_behind={stage: tuple(flags) for stage, flags in behind.items()},
            groups=self._groups(wave),
        )

    # What ended early.

    def keep_ended_waves(self, working: WorkingTables | None = None, recalls: bool | None = None) -> int:
        """Keep what jobs have staged that ended, for the next run; return how many.

        :param working: the working tables of another try of this partition; those of this run unless given.
        :param recalls: whether that try had rows that were kept.
        """
        tables = self.tables if working is None else replace(self.tables, working=working)
        if recalls is not None:
            tables = replace(tables, recalls=recalls)
        if not self._is_of_this_shape(tables):
            return 0
        waves = [
            str(wave)
            for wave, wanted, staged in self.project.execute_sql(keeping.count_ended(tables))
            if int(wanted) == int(staged or 0)
        ]
        if waves:
            self._keep(lambda _, have: keeping.keep_staged(tables, have, sorted(waves)))
        return len(waves)

    def _is_of_this_shape(self, tables: StageTables) -> bool:
        """Whether there are working tables, with the columns that this run gives them."""
        wanted = {tables.working.units: tables.unit_columns, tables.working.staging: tables.output_columns}
        for table, columns in wanted.items():
            if self.project.table_comment(table) is None:
                return False
            have = [(c.name, c.type) for c in self.project.table_columns(table)[0]]
            if have != [(c.name, c.type) for c in columns]:
                return False
        return True

    def counts_so_far(self) -> str:
        """Return what the jobs were given and what is published; never in the way of the error itself."""
        try:
            counts = self.counts().describe()
            published = self.project.execute_sql(publishing.count_statuses(self.tables))
        except DrivepipeError as error:
            return f"Row counts cannot be read: {error}"
        rows = ", ".join(f"{n} {status}" for status, n in published) or "no rows"
        return f"This run: {counts}. Published in {self.where}, unchanged by it: {rows}"

    # Audit and publish.

    def audit(self, ran: bool) -> Audit:
        """Return what the partition to be holds.

        Raises UnbalancedCountsError when rows went missing or came twice, and PartitionShrinksError when the
        partition would lose too much; what jobs made is kept then.

        :param ran: whether there was a job.
        """
        tables = self.tables
        asked = {**selection.count_snapshot(tables), **publishing.count_partition(tables)}
        if ran:
            asked["staged"] = publishing.check_staging(tables)
            if tables.token_columns:
                asked["tokens"] = publishing.count_tokens(tables)
            if self._calls_models:
                asked["spending"] = spent.count_spending(tables)
        figures = self._figures(asked)
        counts = WorkCounts.read(tables, figures)
        if ran:
            publishing.require_complete(tables, counts, figures["staged"][0])
        found = self._balance(counts, figures)
        try:
            self._check_shrink(counts, found.table.ok + found.skipped_reasons.get(Reason.BUDGET, 0))
        except PartitionShrinksError:
            if ran and tables.parts:
                self._keep(keeping.keep_unpublished)
            raise
        return Audit(counts, found, spent.read_spending(figures.get("spending", [(0, 0, 0, 0)])[0]))

    def _balance(self, counts: WorkCounts, figures: Mapping[str, list[list[object]]]) -> counting.Counts:
        groups = [counting.AuditRow.read(self.tables.parts, row) for row in figures["audit"]]
        tokens = figures.get("tokens", [[]])[0]
        return counting.balance(self.tables, counts, figures["whole"][0], groups, tokens)

    @property
    def _calls_models(self) -> bool:
        return any(part.calls for part in self.tables.parts)

    def publish(self, counts: WorkCounts) -> None:
        """Replace the partition in one statement; keep the results of rows that leave it."""
        if counts.removed and self.tables.parts:
            self._keep(keeping.keep_removed)
        order = [c.name for c in self.project.table_columns(self.tables.output)[0]]
        self.project.execute_sql(publishing.publish(self.tables, order))
        logger.info("published %s", self.where)

    def _check_shrink(self, counts: WorkCounts, left: int | None) -> None:
        """Raise PartitionShrinksError when the partition would lose too much; ``left`` are its rows then."""
        if not self.params.allow_shrink:
            Shrinking(
                self.where,
                f"{self.task.source.name} {self.partition.path()}",
                counts.published_ok,
                counts.removed_ok,
                left,
                empties=bool(counts.published) and not counts.total,
            ).check(self.task.gate.max_shrink)

    def _keep(self, statement: Callable[[StageTables, Sequence[Column]], str]) -> None:
        """Keep rows that are not going to be in the partition, with what was paid for them."""
        tables, project = self.tables, self.project
        project.execute_sql(keeping.create_kept(tables))
        have = project.table_columns(tables.kept)[0]
        widen = keeping.widen_kept(tables, have)
        if widen is not None:
            project.execute_sql(widen)
            have = project.table_columns(tables.kept)[0]
        project.execute_sql(statement(tables, have))
        logger.info("results kept for %d days in %s", keeping.KEPT_DAYS, tables.kept)

    # Report.

    def report(self, audit: Audit, **of_job: Any) -> tuple[StageReport, FailureSample | None]:
        """Return the report, and the first inputs that failed, None when none has.

        :param of_job: ``seconds``, ``session_id`` and ``logview``.
        """
        found, models = audit.found, self._who_answers()
        report = StageReport(
            scenario=self.task.scenario,
            stage=self.task.name,
            table=self.tables.output,
            partition=self.partition.path(),
            verdict=found.verdict,
            **asdict(found.table),
            carried_over=found.carried_over,
            removed=audit.counts.removed,
            failures=found.failures,
            stages=found.stages_json(),
            filtered_reasons=found.filtered_reasons,
            skipped_reasons=found.skipped_reasons,
            params=dict(self.params.given),
            tokens=found.tokens,
            normalised=found.normalised,
            prompts={stage.name: stage.report() for stage in self.stages if isinstance(stage, Generate)},
            models=models,
            spending=self._spending(audit, models),
            **of_job,
        )
        failed = None
        if found.failures:
            rows = self.project.execute_sql(first_failed_rows(self.tables))
            failed = FailureSample.of_rows(self.tables, found.failures, rows)
        return report, failed

    def _models(self) -> dict[str, str]:
        return {stage.name: stage.model for stage in self.stages if stage.model is not None}

    def _who_answers(self) -> dict[str, str]:
        from airflow_provider_drivepipe.stages.graph import who_answers

        models = self._models()
        if not models:
            return {}
        with self.project.errors():
            return who_answers(self.project.odps, self.project.model_project(), models)

    def _spending(self, audit: Audit, models: Mapping[str, str]) -> Spending | None:
        """Return what the run had from the models, None when it has none to ask."""
        if not self._calls_models:
            return None
        # The prices are those of the models that were asked for, not of what stands in for them.
        prices = self.task.prices if models == self._models() else None
        return spending_of(*audit.spending, audit.found.tokens, prices)


def _all_needs(stage: str, needs: Mapping[str, Sequence[str]]) -> set[str]:
    """Return the stages of this task that a stage needs, directly or through others."""
    found: set[str] = set()
    for needed in needs[stage]:
        if needed in needs:
            found |= {needed} | _all_needs(needed, needs)
    return found


def check_gate(found: counting.Counts, gate: GateOptions) -> None:
    """Raise DataGateError when a published partition has too many failures or too few rows."""
    if found.failure_rate > gate.max_failure_rate:
        raise DataGateError(
            f"{found.failure_rate:.1%} of the input failed, the limit is {gate.max_failure_rate:.1%}: "
            f"{found.failures}. The partition is published; a Clear works on the failed rows only"
        )
    waiting = found.skipped_reasons.get(Reason.BUDGET, 0)
    if found.table.ok + waiting < gate.min_rows:
        raise DataGateError(
            f"{found.table.ok} rows are ok, at least {gate.min_rows} are wanted. The partition is published"
        )
