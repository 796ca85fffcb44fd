"""Turns the audit of a partition into the counts of each stage and the report of the task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from airflow_provider_drivepipe.contracts import StageCounts, Status, Tokens, Verdict
from airflow_provider_drivepipe.exceptions import UnbalancedCountsError
from airflow_provider_drivepipe.lifecycle.publishing import WorkCounts
from airflow_provider_drivepipe.lifecycle.tables import StageTables, Work
from airflow_provider_drivepipe.stages.stage import Grain, Part

DUPLICATE = "duplicate"
"""Reason in reports for further input rows of a unit, which are left out."""


def masked_by(stage: str) -> str:
    """Return the reason in reports for a missing result on a row whose ``error_type`` is another stage's."""
    return f"masked_by_{stage}"


@dataclass(frozen=True)
class AuditRow:
    """One group of the audit query: rows that share origin, status, stage, reason and what they hold."""

    origin: str
    status: str
    error_stage: str
    error_type: str
    has: frozenset[str]
    """The stages whose results the rows hold."""
    failed_alone: bool
    """Whether these rows failed in a stage that counts in units, while their units did not."""
    rows: int

    @classmethod
    def read(cls, parts: Sequence[Part], values: Sequence[object]) -> AuditRow:
        """Read a row of ``audit`` of :func:`publishing.count_partition`."""
        origin, status, error_stage, error_type, has, alone, rows = values
        return cls(
            str(origin),
            str(status),
            str(error_stage or ""),
            str(error_type or ""),
            frozenset(part.stage for part, held in zip(parts, str(has or ""), strict=True) if held == "1"),
            bool(int(str(alone))),
            int(str(rows)),
        )


@dataclass(frozen=True)
class Counts:
    """Counts of a partition: of its rows, of each stage in that stage's own units, and what was paid now."""

    table: StageCounts
    carried_over: int
    """Rows that are ok and stay as they are; one that failed and is not tried again is just failed."""
    stages: dict[str, StageCounts]
    failures: dict[str, dict[str, int]]
    tokens: Tokens = field(default_factory=Tokens)
    filtered_reasons: dict[str, int] = field(default_factory=dict)
    normalised: int = 0
    """Values put right in the answers of the rows that the task worked on."""
    skipped_reasons: dict[str, int] = field(default_factory=dict)
    row_failure_rate: float = 0.0
    """Share of the rows of a stage that counts in units that failed alone, 0 to 1."""

    @property
    def verdict(self) -> Verdict:
        """What the stage as a whole came to."""
        if self.table.rows_in == 0:
            return Verdict.EMPTY_INPUT
        return Verdict.COMPLETED_WITH_FAILURES if self.failures else Verdict.COMPLETED

    @property
    def failure_rate(self) -> float:
        """The highest share of failed input units over all stages, 0 to 1, of those that were not skipped.

        Where rows of a unit failed alone, it is at least their share.
        """
        tried = {stage: counts.rows_in - counts.skipped for stage, counts in self.stages.items()}
        rates = [self.stages[stage].failed / n for stage, n in tried.items() if n]
        return max([*rates, self.row_failure_rate])

    def stages_json(self) -> dict[str, dict[str, int]]:
        """Return the counts of each stage as plain values."""
        return {stage: asdict(counts) for stage, counts in self.stages.items()}


def balance(
    tables: StageTables,
    counts: WorkCounts,
    published: Sequence[object],
    audit: Iterable[AuditRow],
    tokens: Sequence[object],
) -> Counts:
    """Return the counts of a partition; raise UnbalancedCountsError when rows went missing or came twice.

    :param counts: what the snapshot of the input holds.
    :param published: the row of ``whole`` of :func:`publishing.count_partition`.
    :param tokens: the row that :func:`publishing.count_tokens` gave, empty where nothing was paid.
    """
    units, rows, distinct_rows = (int(str(n or 0)) for n in published)
    if units != counts.total or rows != distinct_rows:
        raise UnbalancedCountsError(
            f"the input has {counts.total} units, the partition would have {units}, and {rows} rows of which "
            f"{rows - distinct_rows} are there twice; nothing was published to {tables.output} "
            f"{tables.partition.path()}"
        )
    groups = list(audit)
    table = StageCounts(
        sum(g.rows for g in groups), *(sum(g.rows for g in groups if g.status == status) for status in Status)
    )
    duplicates = counts.units.get(Work.DUPLICATE, 0)
    stages: dict[str, StageCounts] = {}
    failures: dict[str, dict[str, int]] = {}
    failed_alone = sum(g.rows for g in groups if g.failed_alone)
    for number, stage in enumerate(tables.stages):
        failures[stage] = _failures(groups, stage, tables.parts)
        failed = sum(failures[stage].values())
        left_out = duplicates if number == 0 else 0
        if stage == tables.unit and tables.grain is Grain.MANY:
            failed -= failed_alone
            skipped = sum(g.rows for g in groups if g.status == Status.SKIPPED and g.error_stage == stage)
            rows_in, filtered = counts.total, 0
        else:
            reached = [g for g in groups if _reached(g, stage, tables)]
            rows_in = sum(g.rows for g in reached)
            held_here = [g for g in reached if stage != tables.unit or g.error_stage == stage]
            filtered = sum(g.rows for g in held_here if g.status == Status.FILTERED)
            skipped = sum(g.rows for g in held_here if g.status == Status.SKIPPED)
        ok = rows_in - failed - filtered - skipped
        stages[stage] = StageCounts(rows_in + left_out, ok, failed, filtered + left_out, skipped)
    for name, count in {"table": table, **stages}.items():
        if not count.balanced() or min(asdict(count).values()) < 0:
            raise UnbalancedCountsError(f"counts of {name} do not balance: {count}; nothing was published")
    return Counts(
        table,
        sum(g.rows for g in groups if g.origin == "carried" and g.status == Status.OK),
        stages,
        {k: v for k, v in failures.items() if v},
        _tokens(tables, tokens[: len(tables.token_columns)]),
        _filtered(groups, duplicates),
        sum(int(str(total or 0)) for total in tokens[len(tables.token_columns) :]),
        _skipped(groups),
        failed_alone / (table.rows_in - table.skipped) if failed_alone else 0.0,
    )


def _filtered(groups: Sequence[AuditRow], duplicates: int) -> dict[str, int]:
    """What was left out on purpose, by reason: rows, and further input rows of a unit."""
    counts = {DUPLICATE: duplicates} if duplicates else {}
    for group in groups:
        if group.status == Status.FILTERED:
            counts[group.error_type] = counts.get(group.error_type, 0) + group.rows
    return counts


def _skipped(groups: Sequence[AuditRow]) -> dict[str, int]:
    """Skipped rows of the table by reason."""
    counts: dict[str, int] = {}
    for group in groups:
        if group.status == Status.SKIPPED:
            counts[group.error_type] = counts.get(group.error_type, 0) + group.rows
    return counts


def _tokens(tables: StageTables, sums: Sequence[object]) -> Tokens:
    kinds = {column: kind for part in tables.parts for column, kind in part.tokens.items()}
    paid: dict[str, int] = {}
    for column, total in zip(tables.token_columns, sums, strict=False):
        paid[kinds[column]] = paid.get(kinds[column], 0) + int(str(total or 0))
    return Tokens(**paid)


def _failures(groups: Sequence[AuditRow], stage: str, parts: Sequence[Part]) -> dict[str, int]:
    """Failed units of a stage by reason.

    A row names the first stage that failed it. That another one failed it too shows by its missing result.
    """
    part = next((each for each in parts if each.stage == stage), None)
    counts: dict[str, int] = {}
    for group in groups:
        if group.status != Status.FAILED:
            continue
        if group.error_stage == stage:
            reason = group.error_type
        elif part is not None and stage not in group.has and _was_tried(group, part, parts):
            reason = masked_by(group.error_stage)
        else:
            continue
        counts[reason] = counts.get(reason, 0) + group.rows
    return counts


def _was_tried(group: AuditRow, part: Part, parts: Sequence[Part]) -> bool:
    """Whether a part was tried on rows that another part failed: nothing that it needs is missing."""
    by_name = {each.stage: each for each in parts}
    return group.error_stage in by_name and _has_needs(group, part, by_name)


def _has_needs(group: AuditRow, part: Part, parts: dict[str, Part]) -> bool:
    return all(
        name in group.has and group.error_stage != name and _has_needs(group, parts[name], parts)
        for name in part.needs
        if name in parts
    )


def _reached(group: AuditRow, stage: str, tables: StageTables) -> bool:
    """Whether the group's rows came to ``stage``: no earlier stage held them back, and a later one may have.

    Parts are made side by side: one holds the other's rows back only where the other needs it.
    """
    if group.status == Status.OK or group.error_stage == stage:
        return True
    if group.error_stage not in tables.stages:
        return False
    part = next((each for each in tables.parts if each.stage == stage), None)
    if part is None:
        return True
    if group.error_stage == tables.unit:
        return False
    if group.status != Status.FAILED:
        return True
    return _has_needs(group, part, {each.stage: each for each in tables.parts})
