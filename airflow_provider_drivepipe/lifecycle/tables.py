"""The tables of one partition of one task: what it reads and writes, and what it works with meanwhile."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from airflow_provider_drivepipe.contracts import (
    CHANGE_COLUMNS,
    IMAGE_KEY,
    STATUS_COLUMNS,
    Column,
    Status,
    image_key,
)
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.lifecycle.fingerprint import input_sql
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.sql import (
    MAX_TABLE_NAME,
    column_list,
    joined_text,
    quote_name,
    quote_text,
)
from airflow_provider_drivepipe.stages.source import Source
from airflow_provider_drivepipe.stages.stage import (
    STATUS_NAMES,
    Grain,
    Part,
    RowStage,
    Stage,
    UnitLayout,
    UnitStage,
    check_names,
)

WORKING_TABLE_LIFECYCLE_DAYS = 7
"""MaxCompute itself removes working tables that nobody came back for; until then the next run finds in them
what a killed one had paid for."""

WORK_COLUMN = Column("drivepipe_work", "string", "what the task does with the row")
WAVE_COLUMN = Column("drivepipe_wave", "string", "which job of the run, from 0")
ROWS_PER_JOB = 10_000
"""Most rows that one job adds parts to unless the scenario says so."""
CHUNKS_PER_JOB = 125
"""Chunks of a job of a stage's own size, such as four videos each, unless its rows are worth more of them, or
the scenario says how many."""
ROWS_PER_CHUNK = ROWS_PER_JOB // CHUNKS_PER_JOB
_HASH_LENGTH = 10


class Work(StrEnum):
    """What a run does with an input unit or a row; the partitions of the working tables."""

    RUN = "run"
    """From the start: a video is cut into frames, all of which go through the models."""
    TODO = "todo"
    """A row that lacks parts; its flags say which."""
    KEEP = "keep"
    """The published rows stay."""
    OVER = "over"
    """Beyond the limit or the budget of this run; the published rows stay."""
    SKIP = "skip"
    """Beyond the limit of this run, and nothing is published yet."""
    BUDGET = "budget"
    """Beyond what this run may spend, and nothing is published yet."""
    EARLIER = "earlier"
    """An earlier stage failed it; it passes by."""
    FOREIGN = "foreign"
    """Its image is at a place that the connection's key pair is not for; it fails, and no model sees it."""
    DUPLICATE = "duplicate"
    """A further row of the same unit; counted, not worked on."""


NOT_TRIED = (Work.SKIP, Work.BUDGET, Work.EARLIER, Work.FOREIGN)
"""Units that become rows as they stand in the snapshot, without results of models."""


STAYS, REMOVED = "stays ", "removed "
"""Starts of what published rows are counted as; their status follows."""


@dataclass(frozen=True)
class WorkingTables:
    """Names of what a try makes and drops again.

    All names of a partition share a prefix, by which the next run finds what a killed one left. Each try has
    names of its own, so that cleaning up after a cleared try cannot touch the next one's.
    """

    output: str
    partition: str
    """Hash of the partition, part of every name."""
    owner: str
    """Hash of the try."""

    @classmethod
    def of(cls, output: str, partition: PartitionSpec, owner: str) -> WorkingTables:
        """Return the names for a partition and a try; ``owner`` identifies the try.

        Raises ConfigurationError when the output table's name leaves no room for them.
        """
        tables = cls(output, _hash(partition.path()), _hash(owner))
        name = tables.staging.rpartition(".")[2]
        if len(name) > MAX_TABLE_NAME:
            longest = MAX_TABLE_NAME - (len(name) - len(output.rpartition(".")[2]))
            raise ConfigurationError(
                f"the table name {output!r} is too long: working tables add to it, and a name has at most "
                f"{MAX_TABLE_NAME} characters. Use at most {longest}"
            )
        return tables

    @property
    def prefix(self) -> str:
        """What all working tables of the partition, and no other tables, start with."""
        return f"{self.output}__{self.partition}_"

    @property
    def units(self) -> str:
        """Snapshot of the input units, partitioned by what is done with them."""
        return f"{self.prefix}{self.owner}_units"

    @property
    def rows(self) -> str:
        """Published rows of kept units, those that lack parts."""
        return f"{self.prefix}{self.owner}_rows"

    @property
    def staging(self) -> str:
        """What the jobs write, partitioned by wave."""
        return f"{self.prefix}{self.owner}_staging"

    @property
    def earlier(self) -> str:
        """What is there already, where rows that are kept elsewhere count as published."""
        return f"{self.prefix}{self.owner}_earlier"

    @property
    def lock(self) -> str:
        """Exists while a run owns the partition."""
        return f"{self.prefix}lock"

    def others(self, names: Sequence[str]) -> list[WorkingTables]:
        """Return the working tables of other tries of the partition, as far as ``names`` shows them."""
        found = re.compile(rf"{re.escape(self.prefix)}([0-9a-f]{{{_HASH_LENGTH}}})_staging")
        return [replace(self, owner=match[1]) for name in names if (match := found.fullmatch(name))]

    def all(self) -> tuple[str, ...]:
        """Return the tables of this try."""
        return (self.units, self.rows, self.staging, self.earlier)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


@dataclass(frozen=True)
class StageTables:
    """Where a task reads, works and writes, and how its units and rows are told apart.

    :param source: where input units come from.
    :param layout: see :class:`UnitLayout`.
    :param output_columns: all columns of the output, in order.
    :param unit: name of the stage that makes rows of units; empty where a unit is a row that parts are added
        to.
    :param unit_hashes: keys in the fingerprint of what decides the outcome of that stage.
    :param grain: what a unit becomes.
    :param parts: what rows hold beside that, in order; each with its columns in the output's order.
    :param image_columns: input columns with the OSS URIs that go to models as they stand.
    :param image_roots: what such a URI starts with, one of them.
    :param units_per_job: most units that one job makes rows of.
    :param rows_per_job: most rows that one job adds parts to.
    :param units_per_chunk: units that are worth a chunk of their own.
    :param weight: column of the units that tells how much work each is, empty where all are alike.
    :param workers: see :class:`SelectionOptions`.
    :param recalls: whether kept rows count as published in this run, see ``lifecycle/keeping.py``.
    """

    source: Source
    output: str
    working: WorkingTables
    partition: PartitionSpec
    layout: UnitLayout
    output_columns: tuple[Column, ...]
    unit: str = ""
    unit_hashes: tuple[str, ...] = ()
    grain: Grain = Grain.ROW
    parts: tuple[Part, ...] = ()
    image_columns: tuple[str, ...] = ()
    image_roots: tuple[str, ...] = ()
    units_per_job: int = ROWS_PER_JOB
    rows_per_job: int = ROWS_PER_JOB
    units_per_chunk: int = ROWS_PER_CHUNK
    weight: str = ""
    workers: int | None = None
    recalls: bool = False

    @property
    def expands(self) -> bool:
        """Whether units go through a stage of their own before any part."""
        return bool(self.unit)

    @property
    def stages(self) -> tuple[str, ...]:
        """The names of the stages, in order."""
        return (*((self.unit,) if self.unit else ()), *(part.stage for part in self.parts))

    @property
    def unit_key(self) -> tuple[str, ...]:
        """Columns that tell one input unit from another; in the input and in the output."""
        return self.layout.unit_key

    @property
    def row_key(self) -> tuple[str, ...]:
        """Columns that tell one output row from another."""
        return self.layout.row_key

    @property
    def source_columns(self) -> tuple[Column, ...]:
        """Input columns that the snapshot keeps."""
        return self.layout.source_columns

    @property
    def kept(self) -> str:
        """Table of rows that are in no partition, with what was paid for them."""
        return f"{self.output}__kept"

    @property
    def earlier_sql(self) -> str:
        """Return what follows ``FROM``, with a condition, to read the rows that are there already."""
        if self.recalls:
            return f"{quote_name(self.working.earlier)} WHERE 1 = 1"
        return f"{quote_name(self.output)} WHERE {self.partition_filter}"

    def row_failed_sql(self, prefix: str = "") -> str:
        """Return the condition that a row of a unit failed alone in the unit's stage, and not the unit."""
        number = self.layout.number
        if self.grain is not Grain.MANY or number is None:
            return "1 = 0"
        return (
            f"{prefix}`status` = {quote_text(Status.FAILED)} AND {prefix}{quote_name(number)} >= 0 "
            f"AND {prefix}`error_stage` = {quote_text(self.unit)}"
        )

    @property
    def partition_filter(self) -> str:
        """Condition that picks the partition, of input and output."""
        return self.partition.sql(" AND ")

    @property
    def token_columns(self) -> tuple[str, ...]:
        """The token columns that this task writes."""
        return tuple(column for part in self.parts for column in part.tokens)

    @property
    def flags(self) -> tuple[Column, ...]:
        """The columns of working tables that say which parts a row needs."""
        return tuple(Column(part.flag, "bigint") for part in self.parts)

    @property
    def unit_columns(self) -> tuple[Column, ...]:
        """Columns of the units table; those of the output, and flags, when a unit is a row."""
        if self.expands:
            return (*self.source_columns, *STATUS_COLUMNS)
        return (*self.output_columns, *self.flags)

    @property
    def rows_to_do(self) -> str:
        """The table whose ``todo`` partition holds rows that only lack parts."""
        return self.working.rows if self.expands else self.working.units

    def unit_key_sql(self, prefix: str = "") -> str:
        """Return one text that identifies a unit."""
        return joined_text(self.unit_key, prefix)

    def identity_sql(self) -> str:
        """Return one text that changes when the content of an input row does.

        Of a fingerprint, the input that a picture was made of counts: how it was made stands in its address,
        and what else was made of the row does not change the picture. A video that moved is what it was.
        """
        columns = [name for name in self.layout.identity if name != "fingerprint"]
        identity = joined_text(columns)
        if self.follows:
            identity = identity.replace("`video_path`", "COALESCE(NULLIF(`same_as`, ''), `video_path`)")
        if len(columns) == len(self.layout.identity):
            return identity
        return f"CONCAT({identity}, '|', {input_sql('`fingerprint`')})"

    def reads(self, part: Part) -> tuple[str, ...]:
        """Return the input columns whose values decide a part, row by row."""
        held = {c.name for c in self.source_columns}
        return tuple(column for column in part.reads if column in held)

    @property
    def follows(self) -> bool:
        """Whether results follow a video that moved: the input says what it was first."""
        names = {c.name for c in self.source_columns}
        told = names.issuperset(c.name for c in CHANGE_COLUMNS)
        return told and "video_path" in self.unit_key and self.source.is_table

    @property
    def renewed_columns(self) -> tuple[str, ...]:
        """Columns of gathered units that no part reads: as in the input also where parts are kept."""
        if self.source.is_table or self.expands:
            return ()
        decisive = {*self.unit_key, *self.layout.identity, *(c for part in self.parts for c in part.reads)}
        return tuple(c.name for c in self.source_columns if c.name not in decisive)

    def foreign_sql(self, prefix: str = "") -> str | None:
        """Return the condition that an input row's image is below none of the roots, None without images."""
        if not self.image_columns:
            return None
        foreign = []
        for column in self.image_columns:
            image = f"COALESCE({prefix}{quote_name(column)}, '')"
            foreign.append(
                " AND ".join(
                    f"SUBSTR({image}, 1, {len(root)}) <> {quote_text(root)}" for root in self.image_roots
                )
            )
        return foreign[0] if len(foreign) == 1 else " OR ".join(f"({each})" for each in foreign)

    def row_key_sql(self, prefix: str = "") -> str:
        """Return one text that identifies an output row."""
        return joined_text(self.row_key, prefix)

    def output_names(self, prefix: str = "") -> str:
        """Return the output's column names, quoted."""
        return column_list([c.name for c in self.output_columns], prefix)


def lay_out(
    stages: Sequence[Stage],
    source: Source,
    columns: Sequence[Column],
    output: str,
    partition: PartitionSpec,
    working: WorkingTables,
    unit_key: Sequence[str] = (),
    rows_per_job: int | None = None,
    workers: int | None = None,
) -> StageTables:
    """Return the tables of a task.

    :param columns: those of the source.
    :param unit_key: columns that tell the rows of the input apart, where no stage makes rows of units; else
        those that images have.
    :param rows_per_job: see :class:`SelectionOptions`; ``workers`` as well.

    Raises ConfigurationError when the source does not fit the stages.
    """
    unit = next((stage for stage in stages if isinstance(stage, UnitStage)), None)
    rows = [stage for stage in stages if isinstance(stage, RowStage)]
    parts = tuple(stage.part() for stage in rows)
    made = {name for part in parts for name in part.column_names}
    grouped = next((stage for stage in rows if stage.grouped_by), None)
    if unit is not None and grouped is not None:
        raise ConfigurationError(
            f"stage {grouped.name} asks rows in groups by {grouped.grouped_by}, which are not known before "
            f"stage {unit.name} has made them: give it a task of its own"
        )
    layout = (
        unit.layout(source.name, columns)
        if unit is not None
        else _row_layout(source, columns, rows, tuple(unit_key))
    )
    check_names(layout.source_columns, made | STATUS_NAMES)
    held = {c.name for c in (*layout.source_columns, *layout.columns)} | (
        set(unit.passed_on) if unit is not None else set()
    )
    types = {c.name: c.type.lower() for c in columns}
    for part in parts:
        missing = [c for c in part.reads if c not in held | made]
        if missing:
            raise ConfigurationError(
                f"table {source.name} has no column {missing[0]}, which stage {part.stage} reads "
                f"(its columns: {', '.join(types)})"
            )
        for column in part.reads:
            if column in types and types[column] != "string":
                raise ConfigurationError(
                    f"column {column} of table {source.name} is {types[column]}, not string; "
                    "cast it in a view"
                )
    if unit is not None:
        given = [c for part in parts for c in part.reads if c in types and c not in layout.identity]
        layout = replace(layout, identity=(*layout.identity, *dict.fromkeys(given)))
    added = tuple(column for part in parts for column in part.columns)
    seen = [c for stage in rows for c in stage.image_columns if unit is None and c not in made]
    numbers = {c.name for c in layout.source_columns if c.type.lower() == "bigint"}
    per_chunk = ROWS_PER_CHUNK if unit is None else -(-unit.units_per_job // CHUNKS_PER_JOB)
    return StageTables(
        source=source,
        output=output,
        working=working,
        partition=partition,
        layout=layout,
        output_columns=(*layout.columns, *added, *STATUS_COLUMNS),
        unit=unit.name if unit is not None else "",
        unit_hashes=unit.hash_names if unit is not None else (),
        grain=unit.grain if unit is not None else Grain.ROW,
        parts=parts,
        image_columns=tuple(dict.fromkeys(seen)),
        units_per_job=rows_per_job or (unit.units_per_job if unit is not None else ROWS_PER_JOB),
        rows_per_job=rows_per_job or ROWS_PER_JOB,
        units_per_chunk=per_chunk,
        weight=next((c for c in unit.weighed_by if c in numbers), "") if unit is not None else "",
        workers=workers,
    )


def _row_layout(
    source: Source, columns: Sequence[Column], rows: Sequence[RowStage], unit_key: tuple[str, ...]
) -> UnitLayout:
    """Return the layout of a task whose input rows get parts and stay one row each."""
    names = [c.name for c in columns]
    made = {name for stage in rows for name in stage.part().column_names}
    shown = (column for stage in rows for column in stage.image_columns)
    images = [column for column in dict.fromkeys(shown) if column not in made]
    for wanted in sorted({*unit_key, *images}.difference(names)):
        raise ConfigurationError(
            f"table {source.name} has no column {wanted} (its columns: {', '.join(names)})"
        )
    has_status = set(names) >= STATUS_NAMES
    key = unit_key or source.key or image_key(names)
    if not key:
        raise ConfigurationError(
            f"table {source.name} has none of the columns that tell its rows apart "
            f"({', '.join(IMAGE_KEY)}; its columns: {', '.join(names)}); name them as unit_key"
        )
    travelling = tuple(c for c in columns if not (has_status and c.name in STATUS_NAMES))
    seen = list(dict.fromkeys([*(["image_url"] if "image_url" in names else []), *images]))
    # Of a picture, the fingerprint says what made it. Texts count by themselves, for parts that read them.
    made_by = ["fingerprint"] if has_status and images and source.is_table else []
    return UnitLayout(
        unit_key=key,
        row_key=key,
        identity=(*seen, *made_by) or key,
        source_columns=travelling,
        columns=travelling,
        has_status=has_status,
    )
