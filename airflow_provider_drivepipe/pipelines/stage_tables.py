"""The tables of one partition of one stage: what it reads and writes, and what it works with meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from airflow_provider_drivepipe.contracts import (
    IMAGE_EMBEDDING_COLUMNS,
    LABEL_COLUMNS,
    LABEL_EMBEDDING_COLUMNS,
    RAW_RESPONSE_COLUMN,
    STATUS_COLUMNS,
    Column,
    Stage,
    Status,
)
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.pipelines.fingerprint import PART_NAMES, RULES, without_part_sql
from airflow_provider_drivepipe.pipelines.stage_sql import (
    MAX_TABLE_NAME,
    column_list,
    joined_text,
    quote_name,
    quote_text,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec

WORKING_TABLE_LIFECYCLE_DAYS = 1
"""MaxCompute itself removes working tables that nobody came back for."""

WORK_COLUMN = Column("drivepipe_work", "string", "what the stage does with the row")
_HASH_LENGTH = 10
_MANY_IMAGES_OF_A_UNIT = (Stage.FRAME_EXTRACTION, Stage.KEYFRAME_EXPANSION)


class Work(StrEnum):
    """What a run does with an input unit; the partitions of the units table.

    Rows that need models have a partition ``todo-<part>-<part>`` instead, see :class:`ModelPart`.
    """

    RUN = "run"
    """From the start: a video is cut into frames, all of which go through the models."""
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


@dataclass(frozen=True)
class ModelPart:
    """One kind of paid result that a row holds, in which columns."""

    stage: Stage
    result_column: str
    columns: tuple[str, ...]
    token_columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name in fingerprints and in the partitions of rows that lack it."""
        return PART_NAMES[self.stage]


LABEL_PART = ModelPart(
    Stage.LABEL,
    "label_text",
    (*(c.name for c in LABEL_COLUMNS), RAW_RESPONSE_COLUMN.name),
    ("label_input_token", "label_output_token"),
)
IMAGE_EMBEDDING_PART = ModelPart(
    Stage.IMAGE_EMBEDDING,
    "image_embedding",
    tuple(c.name for c in IMAGE_EMBEDDING_COLUMNS),
    ("image_embedding_total_token",),
)
LABEL_EMBEDDING_PART = ModelPart(
    Stage.LABEL_EMBEDDING,
    "label_embedding",
    tuple(c.name for c in LABEL_EMBEDDING_COLUMNS),
    ("label_embedding_total_token",),
)
MODEL_PARTS = (LABEL_PART, IMAGE_EMBEDDING_PART, LABEL_EMBEDDING_PART)

STAYS, REMOVED = "stays ", "removed "
"""Starts of what published rows are counted as; their status follows."""

TODO = "todo"
"""Start of the partitions of rows that lack results of models; the names of the parts follow."""


def parts_of_todo(work: str) -> tuple[ModelPart, ...]:
    """Return the parts that rows of a partition such as ``todo-label-image_embedding`` lack."""
    names = work.split("-")[1:]
    return tuple(part for part in MODEL_PARTS if part.name in names)


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
        """Published rows that lack results of models, partitioned by which."""
        return f"{self.prefix}{self.owner}_rows"

    @property
    def staging(self) -> str:
        """What the job writes."""
        return f"{self.prefix}{self.owner}_staging"

    @property
    def earlier(self) -> str:
        """What is there already, where rows that are kept elsewhere count as published."""
        return f"{self.prefix}{self.owner}_earlier"

    @property
    def lock(self) -> str:
        """Exists while a run owns the partition."""
        return f"{self.prefix}lock"

    def all(self) -> tuple[str, ...]:
        """Return the tables of this try."""
        return (self.units, self.rows, self.staging, self.earlier)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]


_OWNERS = ("video_path", "clip_id", "clip_dir")
IMAGE_KEY = (*_OWNERS, "frame_idx", "image_id", "image_url")


def image_key(names: Collection[str]) -> tuple[str, ...]:
    """Return which columns tell the rows of a table of images apart.

    A row of our own frames or keyframes has its place: the address says too which configuration made it.
    """
    key = tuple(c for c in IMAGE_KEY if c in names)
    placed = {"frame_idx", "fingerprint"} <= set(names) and not set(key).isdisjoint(_OWNERS)
    return tuple(c for c in key if c not in ("image_id", "image_url")) if placed else key


@dataclass(frozen=True)
class StageTables:
    """Where a stage reads, works and writes, and how its units and rows are told apart.

    :param expands: whether units go through a stage of their own before any model: a video becomes many rows
        (its frames), an image is prepared and stays one; else a unit is a row that models add to.
    :param unit_key: columns that tell one input unit from another; in the input and in the output.
    :param row_key: columns that tell one output row from another.
    :param identity: input columns that decide whether a unit's content is still the same.
    :param source_columns: input columns that travel through.
    :param source_has_status: whether the input was written by a stage, so that rows may have failed there.
    :param stages: what the task does, first to last.
    :param image_column: input column with the OSS URIs that go to models as they stand, None without one.
    :param image_roots: what such a URI starts with, one of them.
    :param recalls: whether kept rows count as published in this run, see ``pipelines/keeping.py``.
    """

    source: str
    output: str
    working: WorkingTables
    partition: PartitionSpec
    expands: bool
    unit_key: tuple[str, ...]
    row_key: tuple[str, ...]
    identity: tuple[str, ...]
    source_columns: tuple[Column, ...]
    output_columns: tuple[Column, ...]
    stages: tuple[Stage, ...]
    source_has_status: bool = False
    image_column: str | None = None
    image_roots: tuple[str, ...] = ()
    recalls: bool = False

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

    @property
    def embeds_given_labels(self) -> bool:
        """Whether labels that the input holds are embedded; else they are made in the same task."""
        return Stage.LABEL_EMBEDDING in self.stages and Stage.LABEL not in self.stages

    @property
    def gives_images(self) -> bool:
        """Whether a unit, a video or a clip, becomes many rows, each of which may fail alone."""
        return self.stages[0] in _MANY_IMAGES_OF_A_UNIT

    def image_failed_sql(self, prefix: str = "") -> str:
        """Return the condition that an image of a unit failed in the first stage, and not the unit."""
        if not self.gives_images:
            return "1 = 0"
        return (
            f"{prefix}`status` = {quote_text(Status.FAILED)} AND {prefix}`frame_idx` >= 0 "
            f"AND {prefix}`error_stage` = {quote_text(self.stages[0])}"
        )

    @property
    def partition_filter(self) -> str:
        """Condition that picks the partition, of input and output."""
        return self.partition.sql(" AND ")

    @property
    def parts(self) -> tuple[ModelPart, ...]:
        """The paid results that the rows hold, each with those of its columns that the output has."""
        return tuple(
            replace(part, columns=self._columns_of(part)) for part in MODEL_PARTS if part.stage in self.stages
        )

    def _columns_of(self, part: ModelPart) -> tuple[str, ...]:
        """Columns of a part in the output's order; a label may be flattened into any ``label_<field>``."""
        taken = {column.name for column in self.source_columns}
        others = {name for other in MODEL_PARTS if other.stage is not part.stage for name in other.columns}
        return tuple(
            column.name
            for column in self.output_columns
            if column.name in part.columns
            or (
                part.stage is Stage.LABEL
                and column.name.startswith("label_")
                and column.name not in taken | others
            )
        )

    @property
    def token_columns(self) -> tuple[str, ...]:
        """The token columns that this stage writes."""
        return tuple(column for part in self.parts for column in part.token_columns)

    @property
    def unit_columns(self) -> tuple[Column, ...]:
        """Columns of the units table; those of the output when a unit is a row."""
        return (*self.source_columns, *STATUS_COLUMNS) if self.expands else self.output_columns

    @property
    def rows_to_do(self) -> str:
        """The table whose ``todo`` partitions hold rows that only lack results of models."""
        return self.working.rows if self.expands else self.working.units

    def unit_key_sql(self, prefix: str = "") -> str:
        """Return one text that identifies a unit."""
        return joined_text(self.unit_key, prefix)

    def identity_sql(self) -> str:
        """Return one text that changes when the content of an input row does.

        Of a fingerprint, the rules that left frames out do not count: a frame that stays is the same picture.
        """
        columns = joined_text(self.identity)
        if "fingerprint" not in self.identity:
            return columns
        return without_part_sql(columns, RULES)

    def foreign_sql(self, prefix: str = "") -> str | None:
        """Return the condition that an input row's image is below none of the roots, None without images."""
        if self.image_column is None:
            return None
        image = f"COALESCE({prefix}{quote_name(self.image_column)}, '')"
        return " AND ".join(
            f"SUBSTR({image}, 1, {len(root)}) <> {quote_text(root)}" for root in self.image_roots
        )

    def row_key_sql(self, prefix: str = "") -> str:
        """Return one text that identifies an output row."""
        return joined_text(self.row_key, prefix)

    def output_names(self, prefix: str = "") -> str:
        """Return the output's column names, quoted."""
        return column_list([c.name for c in self.output_columns], prefix)
