"""Turns the audit of a partition into the books of each stage and the report of the task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from airflow_provider_drivepipe.contracts import Stage, StageCounts, Status, Tokens, Verdict
from airflow_provider_drivepipe.exceptions import UnbalancedBooksError

MASKED_BY_LABEL = "masked_by_label"
"""Reason in reports for an embedding that is missing on a row whose ``error_type`` is the label's."""

_TOKENS = {
    "label_input_token": "input",
    "label_output_token": "output",
    "image_embedding_total_token": "embedding",
}


@dataclass(frozen=True)
class AuditRow:
    """One group of the audit query: rows that share origin, status, stage, reason."""

    origin: str
    status: str
    error_stage: str
    error_type: str
    has_embedding: bool
    rows: int
    units: int
    tokens: tuple[int, ...]

    @classmethod
    def read(cls, values: Sequence[object]) -> AuditRow:
        """Read a row of :func:`stage_sql.audit`'s result."""
        origin, status, error_stage, error_type, has_embedding, rows, units, *tokens = values
        return cls(
            str(origin),
            str(status),
            str(error_stage or ""),
            str(error_type or ""),
            bool(int(str(has_embedding))),
            int(str(rows)),
            int(str(units)),
            tuple(int(str(t or 0)) for t in tokens),
        )


@dataclass(frozen=True)
class Books:
    """Counts of a partition: of its rows, of each stage in that stage's own units, and what was paid now."""

    table: StageCounts
    carried_over: int
    stages: dict[str, StageCounts]
    failures: dict[str, dict[str, int]]
    tokens: Tokens

    @property
    def verdict(self) -> Verdict:
        """What the stage as a whole came to."""
        if self.table.rows_in == 0:
            return Verdict.EMPTY_INPUT
        failed = any(counts.failed for counts in self.stages.values())
        return Verdict.COMPLETED_WITH_FAILURES if failed else Verdict.COMPLETED

    @property
    def failure_rate(self) -> float:
        """The highest share of failed input units over all stages, 0 to 1."""
        return max(
            (counts.failed / counts.rows_in for counts in self.stages.values() if counts.rows_in), default=0.0
        )

    def stages_json(self) -> dict[str, dict[str, int]]:
        """Return the books of each stage as plain values."""
        return {stage: asdict(counts) for stage, counts in self.stages.items()}


def balance(
    audit: Iterable[AuditRow], stages: Sequence[Stage], units_in: int, token_columns: Sequence[str]
) -> Books:
    """Return the books of a partition; raise UnbalancedBooksError when rows went missing.

    :param stages: the stages that the task ran, first to last.
    :param units_in: input units of the first stage (videos for frame extraction, else rows).
    """
    groups = list(audit)
    table = StageCounts(
        sum(g.rows for g in groups), *(sum(g.rows for g in groups if g.status == status) for status in Status)
    )
    books: dict[str, StageCounts] = {}
    failures: dict[str, dict[str, int]] = {}
    for stage in stages:
        failures[stage.value] = _failures(groups, stage)
        failed = sum(failures[stage.value].values())
        if stage is Stage.FRAME_EXTRACTION:
            books[stage.value] = StageCounts(units_in, units_in - failed, failed)
        else:
            tried = [g for g in groups if not _failed_before(g, stage, stages)]
            rows_in = sum(g.rows for g in tried)
            filtered = sum(g.rows for g in tried if g.status == Status.FILTERED)
            skipped = sum(g.rows for g in tried if g.status == Status.SKIPPED)
            books[stage.value] = StageCounts(
                rows_in, rows_in - failed - filtered - skipped, failed, filtered, skipped
            )
    for name, counts in {"table": table, **books}.items():
        if not counts.balanced() or min(asdict(counts).values()) < 0:
            raise UnbalancedBooksError(f"the books of {name} do not balance: {counts}; nothing was published")
    paid: dict[str, int] = {}
    for group in groups:
        if group.origin == "new":
            for column, count in zip(token_columns, group.tokens, strict=True):
                kind = _TOKENS[column]
                paid[kind] = paid.get(kind, 0) + count
    carried = sum(g.rows for g in groups if g.origin == "carried")
    return Books(table, carried, books, {k: v for k, v in failures.items() if v}, Tokens(**paid))


def _failures(groups: Sequence[AuditRow], stage: Stage) -> dict[str, int]:
    """Failed units of a stage by reason."""
    counts: dict[str, int] = {}
    for group in groups:
        if group.status != Status.FAILED:
            continue
        if group.error_stage == stage:
            reason, n = group.error_type, group.rows
        elif stage is Stage.IMAGE_EMBEDDING and group.error_stage == Stage.LABEL and not group.has_embedding:
            reason, n = MASKED_BY_LABEL, group.rows
        else:
            continue
        counts[reason] = counts.get(reason, 0) + n
    return counts


def _failed_before(group: AuditRow, stage: Stage, stages: Sequence[Stage]) -> bool:
    """Whether the group's rows never reached ``stage``: an earlier, non-model stage failed them."""
    if group.status != Status.FAILED or group.error_stage == stage:
        return False
    sides = (Stage.LABEL, Stage.IMAGE_EMBEDDING)
    if group.error_stage in sides and stage in sides:
        return False
    order = [str(s) for s in stages]
    return group.error_stage not in order or order.index(group.error_stage) < order.index(stage)
