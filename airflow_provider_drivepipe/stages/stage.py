"""The stage contract: a stage is declared once, and selection, repair, counts and documents follow from it.

A task runs an ordered tuple of stages over one partition. The first may be a :class:`UnitStage`, which makes
rows of input units (frames of videos). All others are :class:`RowStage`, each of which adds one *part* to a
row: a result that the row holds, or still lacks and gets in a later run.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Any, Protocol

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, OssUri, Reason
from airflow_provider_drivepipe.exceptions import ConfigurationError


class Grain(StrEnum):
    """What one input unit becomes."""

    ROW = "row"
    """One row: an image that is prepared."""
    MANY = "many"
    """Any number of rows: the frames of a video."""


class KeyPair(Protocol):
    """An access key pair."""

    @property
    def id(self) -> str:
        """The id."""

    @property
    def secret(self) -> str:
        """The secret."""


@dataclass(frozen=True)
class Endpoint:
    """A service that workers call: its address, and the key that it wants; empty where it wants none."""

    url: str
    key: str = field(repr=False)


class Site(Protocol):
    """What stages need of the connection, asked only when they need it. Each raises ConfigurationError."""

    def oss_root(self, bucket: str, root: str | None = None) -> OssUri:
        """Return the root of all inputs and outputs: ``root`` if given, else the whole bucket."""

    def role_arn(self) -> str:
        """Return the RAM role with which workers mount OSS."""

    def model_project(self) -> str:
        """Return the project that holds the models."""

    def oss_key(self) -> KeyPair:
        """Return the key pair with which the model service reads media."""

    def image_places(self) -> tuple[str, ...]:
        """Return the endpoints of OSS at which that key pair can read images."""

    def endpoint(self, conn_id: str) -> Endpoint:
        """Return the service that another connection, of type ``http``, is to."""


@dataclass(frozen=True)
class InputColumn:
    """A column that a stage reads from its task's input table."""

    name: str
    needed: bool
    meaning: str


@dataclass(frozen=True)
class StageGuide:
    """One stage, explained.

    :param does: what it does, one sentence.
    :param unit: what it works on, one at a time.
    :param gives: what comes out, plural.
    :param reads: columns of the input table, when the stage is the first of its task.
    :param fails: what becomes of a unit that fails.
    :param reasons: the ``error_type`` of such units.
    :param again: what a retry, a Clear or a second run does again, and pays again.
    :param leaves_out: which rows it leaves out on purpose, and what else fails alone, if anything.
    :param lists: what it looks through, when it reads no table.
    :param absent: columns that it could have made, why they are not there, and what brings them.
    :param settings: keys of a scenario that decide how it works, with their values.
    """

    does: str
    unit: str
    gives: str
    reads: tuple[InputColumn, ...]
    fails: str
    reasons: tuple[Reason, ...]
    again: str
    leaves_out: str = ""
    lists: str = ""
    absent: tuple[tuple[str, str, str], ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class RowsMade:
    """How many rows come of an input, for estimates.

    :param per_unit: rows of one input unit, at most or on average, None when only a run tells.
    :param per_hour: rows of an hour of video, None where its length does not matter.
    :param of_length: rows of a video of so many seconds, goes before ``per_unit`` where that is known.
    :param note: where the number comes from, for people.
    """

    per_unit: int | Fraction | None = None
    per_hour: Fraction | None = None
    of_length: Callable[[Fraction], int] | None = None
    note: str = ""


ONE_OF_EACH = RowsMade(1, note="one of each input row")


@dataclass(frozen=True)
class RunParam:
    """A param of a run that overrules an option of a stage for that run.

    :param title: over its field in the trigger form.
    :param description: below it.
    :param pattern: regular expression that a value matches.
    """

    name: str
    title: str
    description: str = "for this run. Empty: as the scenario says"
    pattern: str | None = None
    multiline: bool = False


@dataclass(frozen=True)
class PictureFolder:
    """Where a run writes pictures: each configuration has a folder of its own, named by its hash.

    :param column: output column that says where a row's picture is.
    :param partition: the folder of the partition.
    :param own: name of the folder that this run writes.
    """

    column: str
    partition: OssUri
    own: str


@dataclass(frozen=True)
class PicturePlace:
    """Where a stage writes pictures, as far as a scenario says.

    :param key: the scenario's key that says so.
    :param root: bucket or full root URI.
    :param prefix: key prefix below it.
    """

    key: str
    root: str
    prefix: str


@dataclass(frozen=True)
class Part:
    """One result that a row holds, or still lacks.

    :param stage: name of the stage that makes it: its ``error_stage`` and its key in the fingerprint.
    :param columns: what it adds to the row, in order.
    :param result: the column that is NULL where the result is lacking.
    :param tokens: its columns with tokens, each with what they are: ``input``, ``output`` or ``embedding``.
    :param needs: parts that it is made from: made anew when these are, not tried where these failed.
    :param calls: of models, per row, at most; 0 is free.
    :param reads: columns of the input whose values decide the result, row by row.
    :param sums: its columns with values put right, which reports add up.
    :param by: column of the input by whose value rows are made differently, empty without one.
    :param hashes_by: for each such value, the hash of what is different.
    """

    stage: str
    columns: tuple[Column, ...]
    result: str
    tokens: Mapping[str, str] = field(default_factory=dict, hash=False)
    needs: tuple[str, ...] = ()
    calls: int = 0
    reads: tuple[str, ...] = ()
    sums: tuple[str, ...] = ()
    by: str = ""
    hashes_by: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of its columns."""
        return tuple(c.name for c in self.columns)

    @property
    def flag(self) -> str:
        """Working column that is 1 on rows that need the part in this run, else 0."""
        return f"drivepipe_need_{self.stage}"


@dataclass(frozen=True)
class UnitLayout:
    """How the units of a task are told apart, and which columns its rows have before any part.

    :param unit_key: input columns that tell one unit from another; in the output too, see ``renamed``.
    :param row_key: output columns that tell one row from another.
    :param identity: input columns that decide whether a unit's content is still the same.
    :param source_columns: input columns that the snapshot of the input keeps.
    :param columns: of the output, without parts and status columns, in order.
    :param has_status: whether the input was written by a stage, so that rows may have failed there.
    :param values: SQL for columns of a unit that becomes a row as it stands, by name; others are NULL.
    :param number: column that counts the rows of a unit from 0, and is -1 on the row of a failed unit.
    """

    unit_key: tuple[str, ...]
    row_key: tuple[str, ...]
    identity: tuple[str, ...]
    source_columns: tuple[Column, ...]
    columns: tuple[Column, ...]
    has_status: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    number: str | None = None


@dataclass(frozen=True)
class Build:
    """What the graph of one run is built with.

    :param site: see :class:`Site`.
    :param partition_path: of the partition that is written, ``ds=20261120``.
    :param hashes: what the run's results are made with, by name, see :meth:`Stage.hashes`.
    :param source_columns: names of the columns of the rows that come in.
    :param flags_behind: by stage, the flags of the parts that are made from its part.
    :param groups: by stage, the values that its column ``grouped_by`` has in rows that need its part.
    """

    site: Site
    partition_path: str
    hashes: Mapping[str, str]
    source_columns: tuple[str, ...]
    flags_behind: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def check_names(columns: Sequence[Column], taken: Collection[str]) -> None:
    """Raise ConfigurationError when input columns have names that the output needs for something else."""
    clashes = [c.name for c in columns if c.name in taken or c.name.startswith("drivepipe_")]
    if clashes:
        raise ConfigurationError(
            f"input columns {', '.join(clashes)} have names that the output needs for itself; rename them in "
            "the input, or read it through a view"
        )


def unit_layout(
    table: str,
    source: Sequence[Column],
    own: Sequence[Column],
    key: tuple[str, ...],
    reads: Sequence[str] = (),
    number: str | None = None,
    left: Collection[str] = (),
) -> UnitLayout:
    """Return the layout of a unit stage whose units are the rows of a table, told apart by ``key``.

    :param own: columns that the stage makes.
    :param reads: further columns of the table that decide what it makes.
    :param number: column of ``own`` that counts the rows of a unit, None where each is one row.
    :param left: columns of the table that do not travel through.

    Raises ConfigurationError when the table lacks a column.
    """
    names = [c.name for c in source]
    missing = sorted({*key, *reads}.difference(names))
    if missing:
        raise ConfigurationError(
            f"table {table} has no column {missing[0]} (its columns: {', '.join(names)})"
        )
    has_status = set(names) >= STATUS_NAMES
    status = STATUS_NAMES if has_status else frozenset()
    made = {c.name for c in own}
    kept = tuple(c for c in source if c.name not in status)
    lineage = tuple(c for c in kept if c.name not in {*made, *left})
    check_names(lineage, STATUS_NAMES)
    return UnitLayout(
        unit_key=key,
        row_key=(*key, number) if number else key,
        identity=tuple(dict.fromkeys((*key, *reads))),
        source_columns=kept,
        columns=(*own, *lineage),
        has_status=has_status,
        values={number: "CAST(-1 AS BIGINT)"} if number else {},
        number=number,
    )


RULES = "rules"
"""Key in the fingerprint of the rules that leave rows out: what stays is the same when only rules change."""

STATUS_NAMES = frozenset(c.name for c in STATUS_COLUMNS)


def digest(kind: str, version: int, content: Mapping[str, object]) -> str:
    """Return 16 hex digits over what decides a result.

    :param version: raised by hand when the same content starts to give other results. It is not the
        package's version: an upgrade does not pay for everything again.
    """
    text = json.dumps([kind, version, dict(content)], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Stage(ABC):
    """What unit stages and row stages have in common. Stages are frozen data classes."""

    name: str
    """In ``error_stage``, reports and XCom."""
    result_version: int = 1
    """Raised by hand when the same options start to give other results."""
    model: str | None
    """The model that it calls, None without one."""
    mounts: bool = False
    """Whether workers mount OSS for it, with the connection's role."""

    @property
    def hash_name(self) -> str:
        """The key of its hash in the fingerprint."""
        return self.name

    @abstractmethod
    def content(self, site: Site) -> Mapping[str, object]:
        """Return what decides the result, and nothing that does not."""

    def hashes(self, site: Site) -> dict[str, str]:
        """Return what its results are made with: a hash by name in the fingerprint."""
        return {self.hash_name: digest(self.hash_name, self.result_version, self.content(site))}

    def param(self) -> RunParam | None:
        """Return the param of a run that overrules one of its options, None without one."""
        return None

    def with_param(self, value: object) -> Stage:
        """Return the stage as a run's param wants it; raise ValueError when the value does not fit."""
        raise NotImplementedError(f"{self.name} has no param")

    @abstractmethod
    def guide(self) -> StageGuide:
        """Return the texts for people."""

    def facts(self) -> Mapping[str, str]:
        """Return for people how it is set up: what is said of what, in few words."""
        return {}


class UnitStage(Stage):
    """Makes rows of input units, before any part. Its results are kept or made anew per unit."""

    grain: Grain
    model = None
    with_parts: str
    """What the task is called when parts follow in the same job."""
    units_per_job: int
    """Most units that one job works on unless the scenario says so."""
    weighed_by: tuple[str, ...] = ()
    """Columns of the input of which the first that is there tells how much work a unit is; whole numbers."""

    @property
    def looked_up(self) -> tuple[str, ...]:
        """Tables that it reads beside its input."""
        return ()

    @abstractmethod
    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""

    @abstractmethod
    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how units and rows are told apart; ``source`` are the columns of the input ``table``.

        Raises ConfigurationError when the input does not fit.
        """

    def rows_made(self) -> RowsMade:
        """Return how many rows come of an input."""
        return ONE_OF_EACH if self.grain is Grain.ROW else RowsMade()

    @property
    def passed_on(self) -> tuple[str, ...]:
        """Columns of its rows that parts read and that no table holds."""
        return ()

    @property
    def hash_names(self) -> tuple[str, ...]:
        """The keys of :meth:`hashes` that decide what becomes of a unit."""
        return (self.hash_name,)

    @abstractmethod
    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy rows, with status columns and a fresh index, of lazy ``units``."""

    def again(self, rows: Any, build: Build) -> Any:  # noqa: ARG002 - stages that need it have their own
        """Return lazy published ``rows`` with whatever parts need and no table holds."""
        return rows

    def pictures_below(self) -> PicturePlace | None:
        """Return where it writes pictures, None where it writes none."""
        return None

    def pictures(
        self,
        site: Site,  # noqa: ARG002 - stages that write pictures need all three
        partition_path: str,  # noqa: ARG002
        hashes: Mapping[str, str],  # noqa: ARG002
    ) -> PictureFolder | None:
        """Return where a run writes pictures, None where it writes none."""
        return None


class RowStage(Stage):
    """Adds one part to rows."""

    @abstractmethod
    def part(self) -> Part:
        """Return what it adds to a row."""

    @abstractmethod
    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows``, all of which need the part, with it; columns and their order stay."""

    @property
    def image_columns(self) -> tuple[str, ...]:
        """Columns with OSS URIs that the model service fetches with the connection's key pair."""
        return ()

    @property
    def fetches(self) -> bool:
        """Whether the model service fetches anything with the connection's key pair."""
        return bool(self.image_columns)

    @property
    def grouped_by(self) -> str:
        """Column of the input by whose values rows go through it in groups, empty without one."""
        return ""
