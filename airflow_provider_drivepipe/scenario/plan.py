"""The plan of a scenario: its tasks in order, each with its stages and tables. Pure data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column
from airflow_provider_drivepipe.scenario.model import Scenario
from airflow_provider_drivepipe.scenario.options import (
    GateOptions,
    PartitionOptions,
    PriceOptions,
    SelectionOptions,
    TableOptions,
)
from airflow_provider_drivepipe.stages.source import Source
from airflow_provider_drivepipe.stages.stage import RowStage, RunParam, Stage, UnitStage

AnyStage = TypeVar("AnyStage", bound=Stage)


@dataclass(frozen=True)
class TaskPlan:
    """One task of the DAG.

    :param operator: name of the operator that runs it, see ``operators``.
    :param stages: what it does, in order.
    :param source: what it reads: a table, or the OSS prefix of a listing.
    :param lineage_known: False when further columns of ``source`` travel through that are only known at run
        time.
    :param gather: instead of one table, a query that gathers units; ``source`` names its tables then.
    :param unit_key: columns that tell input rows apart, where they are not those of images.
    :param image_root: full OSS URI where images are when they are not in the connection's OSS.
    :param group: what the UI shows as one with its neighbours of the same group; empty for a task by itself.
    """

    task_id: str
    operator: str
    stages: tuple[Stage, ...]
    source: str
    output_table: TableOptions
    lineage_known: bool
    gate: GateOptions
    gather: Source | None = None
    unit_key: tuple[str, ...] = ()
    image_root: str | None = None
    group: str = ""

    @property
    def stage_names(self) -> tuple[str, ...]:
        """The names of its stages, in order."""
        return tuple(stage.name for stage in self.stages)

    @property
    def unit(self) -> UnitStage | None:
        """The stage that makes rows of input units, if there is one."""
        return next((stage for stage in self.stages if isinstance(stage, UnitStage)), None)

    @property
    def row_stages(self) -> tuple[RowStage, ...]:
        """The stages that add parts to rows, in order."""
        return tuple(stage for stage in self.stages if isinstance(stage, RowStage))

    @property
    def is_listing(self) -> bool:
        """Whether it reads no table."""
        return self.source.startswith("oss://")

    @property
    def tables_read(self) -> tuple[str, ...]:
        """The tables that it reads, or the OSS prefix of a listing."""
        return self.gather.tables if self.gather else (self.source,)

    @property
    def is_job(self) -> bool:
        """Whether MaxFrame jobs do the work."""
        return self.unit is not None or bool(self.row_stages)

    @property
    def models(self) -> dict[str, str]:
        """The models that the task calls, by stage."""
        return {stage.name: stage.model for stage in self.stages if stage.model is not None}

    def find(self, kind: type[AnyStage], name: str | None = None) -> AnyStage | None:
        """Return its stage of a class, and of a name where one is given; None without one."""
        return next(
            (s for s in self.stages if isinstance(s, kind) and name in (None, s.name)),
            None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the task as JSON-serialisable values."""
        return {
            "task_id": self.task_id,
            "operator": self.operator,
            "stages": [{"stage": stage.name, **_options(stage)} for stage in self.stages],
            "source": self.source,
            "output_table": asdict(self.output_table),
            "lineage_known": self.lineage_known,
            "gate": asdict(self.gate),
            "image_root": self.image_root,
        }


def _options(stage: Stage) -> dict[str, Any]:
    """Return the options of a stage; its texts are for documents."""
    options: Mapping[str, Any] = asdict(stage)  # type: ignore[call-overload]  # all stages are data classes
    return {name: value for name, value in options.items() if name not in ("name", "texts")}


@dataclass(frozen=True)
class Plan:
    """The ordered tasks of a scenario; each task reads what the one before it published."""

    scenario: str
    dag_id: str
    conn_id: str
    partition: PartitionOptions
    selection: SelectionOptions
    tasks: tuple[TaskPlan, ...]
    prices: PriceOptions | None = None
    bucket: str | None = None
    """The OSS bucket that the tasks read and write, None when they work on tables alone."""
    oss_root: str | None = None
    """Where in it, None for the whole bucket of the connection's OSS."""

    @classmethod
    def of(cls, scenario: Scenario, tasks: Sequence[TaskPlan], limit_by: str | None = None) -> Plan:
        """Return the plan of a scenario's tasks.

        :param limit_by: column whose values the param ``limit`` counts, None for input units.
        """
        return cls(
            scenario.scenario_name,
            scenario.dag_id,
            scenario.conn_id,
            PartitionOptions(
                columns=scenario.partition_columns,
                timezone=scenario.timezone,
                key_format=scenario.key_format,
                fixed_values=tuple(scenario.partition_fixed.values()),
                granularity=scenario.partition_granularity,
                default_lag=scenario.partition_lag,
            ),
            SelectionOptions(
                scenario.reprocess,
                scenario.max_row_attempts,
                limit_by=limit_by,
                max_rows=scenario.max_rows,
                max_calls=scenario.max_calls,
                rows_per_job=scenario.rows_per_job,
                workers=scenario.workers,
            ),
            tuple(tasks),
            prices=scenario.price_options,
            bucket=scenario.bucket,
            oss_root=scenario.oss_root,
        )

    @property
    def models(self) -> dict[str, str]:
        """The models that all tasks call, by stage."""
        return {stage: model for task in self.tasks for stage, model in task.models.items()}

    @property
    def run_params(self) -> dict[str, RunParam]:
        """The params of a run that overrule options of stages, by name."""
        found = (stage.param() for task in self.tasks for stage in task.stages)
        return {param.name: param for param in found if param is not None}

    def models_behind(self, task: TaskPlan) -> tuple[str, ...]:
        """Return the models that the tasks behind one call."""
        behind = self.tasks[self.tasks.index(task) + 1 :]
        return tuple(dict.fromkeys(model for later in behind for model in later.models.values()))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON-serialisable values."""
        return {
            **{name: getattr(self, name) for name in ("scenario", "dag_id", "conn_id", "bucket")},
            "partition": asdict(self.partition),
            "selection": asdict(self.selection),
            "tasks": [task.to_json() for task in self.tasks],
            "prices": asdict(self.prices) if self.prices else None,
        }


def columns_of(stages: Sequence[Stage]) -> tuple[Column, ...]:
    """Return the columns that stages make; those of their input travel through beside them."""
    made = [c for stage in stages if isinstance(stage, UnitStage) for c in stage.columns()]
    made += [c for stage in stages if isinstance(stage, RowStage) for c in stage.part().columns]
    return (*made, *STATUS_COLUMNS)
