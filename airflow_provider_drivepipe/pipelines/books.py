"""Turns the audit of a partition into the books of each stage and the report of the task."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from airflow_provider_drivepipe.contracts import Stage, StageCounts, Status, Tokens, Verdict
from airflow_provider_drivepipe.exceptions import UnbalancedBooksError
from airflow_provider_drivepipe.pipelines.publishing import WorkCounts
from airflow_provider_drivepipe.pipelines.stage_tables import StageTables, Work

MASKED_BY_LABEL = "masked_by_label"
"""Reason in reports for an embedding that is missing on a row whose ``error_type`` is the label's."""
MASKED_BY_IMAGE_EMBEDDING = "masked_by_image_embedding"
"""The same for the label's embedding, where ``error_type`` is the image embedding's."""
DUPLICATE = "duplicate"
"""Reason in reports for further input rows of a unit, which are left out."""

_TOKENS = {
    "label_input_token": "input",
    "label_output_token": "output",
    "image_embedding_total_token": "embedding",
    "label_embedding_total_token": "embedding",
}
_MODEL_STAGES = (Stage.LABEL, Stage.IMAGE_EMBEDDING, Stage.LABEL_EMBEDDING)


@dataclass(frozen=True)
class AuditRow:
    """One group of the audit query: rows that share origin, status, stage, reason."""

    origin: str
    status: str
    error_stage: str
    error_type: str
    has_embedding: bool
    rows: int
    has_label_embedding: bool = True
    image_failed: bool = False
    """Whether these are images that failed alone, in a stage that counts in videos or clips."""

    @classmethod
    def read(cls, values: Sequence[object]) -> AuditRow:
        """Read a row of :func:`publishing.audit`'s result."""
        origin, status, error_stage, error_type, has_embedding, rows, has_label_embedding, alone = values
        return cls(
            str(origin),
            str(status),
            str(error_stage or ""),
            str(error_type or ""),
            bool(int(str(has_embedding))),
            int(str(rows)),
            bool(int(str(has_label_embedding))),
            bool(int(str(alone))),
        )


@dataclass(frozen=True)
class Books:
    """Counts of a partition: of its rows, of each stage in that stage's own units, and what was paid now."""

    table: StageCounts
    carried_over: int
    """Rows that are ok and stay as they are; one that failed and is not tried again is just failed."""
    stages: dict[str, StageCounts]
    failures: dict[str, dict[str, int]]
    tokens: Tokens = field(default_factory=Tokens)
    filtered_reasons: dict[str, int] = field(default_factory=dict)
    label_normalised: int = 0
    skipped_reasons: dict[str, int] = field(default_factory=dict)
    image_failure_rate: float = 0.0
    """Share of the rows of a stage that counts in videos or clips that failed alone, 0 to 1."""

    @property
    def verdict(self) -> Verdict:
        """What the stage as a whole came to."""
        if self.table.rows_in == 0:
            return Verdict.EMPTY_INPUT
        return Verdict.COMPLETED_WITH_FAILURES if self.failures else Verdict.COMPLETED

    @property
    def failure_rate(self) -> float:
        """The highest share of failed input units over all stages, 0 to 1, of those that were not skipped.

        Where images of a unit failed alone, it is at least their share.
        """
        tried = {stage: counts.rows_in - counts.skipped for stage, counts in self.stages.items()}
        rates = [self.stages[stage].failed / n for stage, n in tried.items() if n]
        return max([*rates, self.image_failure_rate])

    def stages_json(self) -> dict[str, dict[str, int]]:
        """Return the books of each stage as plain values."""
        return {stage: asdict(counts) for stage, counts in self.stages.items()}


def balance(
    tables: StageTables,
    counts: WorkCounts,
    published: Sequence[object],
    audit: Iterable[AuditRow],
    tokens: Sequence[object],
) -> Books:
    """Return the books of a partition; raise UnbalancedBooksError when rows went missing or came twice.

    :param counts: what the snapshot of the input holds.
    :param published: the row that :func:`publishing.count_published` gave.
    :param tokens: the row that :func:`publishing.count_tokens` gave.
    """
    units, rows, distinct_rows = (int(str(n or 0)) for n in published)
    if units != counts.total or rows != distinct_rows:
        raise UnbalancedBooksError(
            f"the input has {counts.total} units, the partition would have {units}, and {rows} rows of which "
            f"{rows - distinct_rows} are there twice; nothing was published to {tables.output} "
            f"{tables.partition.path()}"
        )
    groups = list(audit)
    table = StageCounts(
        sum(g.rows for g in groups), *(sum(g.rows for g in groups if g.status == status) for status in Status)
    )
    duplicates = counts.units.get(Work.DUPLICATE, 0)
    books: dict[str, StageCounts] = {}
    failures: dict[str, dict[str, int]] = {}
    images_failed = sum(g.rows for g in groups if g.image_failed)
    for number, stage in enumerate(tables.stages):
        failures[stage.value] = _failures(groups, stage)
        failed = sum(failures[stage.value].values())
        left_out = duplicates if number == 0 else 0
        if number == 0 and tables.gives_images:
            failed -= images_failed
            skipped = sum(g.rows for g in groups if g.status == Status.SKIPPED and g.error_stage == stage)
            rows_in, filtered = counts.total, 0
        else:
            reached = [g for g in groups if _reached(g, stage, tables.stages)]
            rows_in = sum(g.rows for g in reached)
            held_here = [g for g in reached if not _done_before(g, stage)]
            filtered = sum(g.rows for g in held_here if g.status == Status.FILTERED)
            skipped = sum(g.rows for g in held_here if g.status == Status.SKIPPED)
        ok = rows_in - failed - filtered - skipped
        books[stage.value] = StageCounts(rows_in + left_out, ok, failed, filtered + left_out, skipped)
    for name, count in {"table": table, **books}.items():
        if not count.balanced() or min(asdict(count).values()) < 0:
            raise UnbalancedBooksError(f"the books of {name} do not balance: {count}; nothing was published")
    return Books(
        table,
        sum(g.rows for g in groups if g.origin == "carried" and g.status == Status.OK),
        books,
        {k: v for k, v in failures.items() if v},
        _tokens(tables.token_columns, tokens[: len(tables.token_columns)]),
        _filtered(groups, duplicates),
        sum(int(str(total or 0)) for total in tokens[len(tables.token_columns) :]),
        _skipped(groups),
        images_failed / (table.rows_in - table.skipped) if images_failed else 0.0,
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


def _tokens(columns: Sequence[str], sums: Sequence[object]) -> Tokens:
    paid: dict[str, int] = {}
    for column, total in zip(columns, sums, strict=True):
        kind = _TOKENS[column]
        paid[kind] = paid.get(kind, 0) + int(str(total or 0))
    return Tokens(**paid)


def _failures(groups: Sequence[AuditRow], stage: Stage) -> dict[str, int]:
    """Failed units of a stage by reason."""
    counts: dict[str, int] = {}
    for group in groups:
        if group.status != Status.FAILED:
            continue
        if group.error_stage == stage:
            reason = group.error_type
        elif stage is Stage.IMAGE_EMBEDDING and group.error_stage == Stage.LABEL and not group.has_embedding:
            reason = MASKED_BY_LABEL
        elif (
            stage is Stage.LABEL_EMBEDDING
            and group.error_stage == Stage.IMAGE_EMBEDDING
            and not group.has_label_embedding
        ):
            reason = MASKED_BY_IMAGE_EMBEDDING
        else:
            continue
        counts[reason] = counts.get(reason, 0) + group.rows
    return counts


def _done_before(group: AuditRow, stage: Stage) -> bool:
    """Whether a row that models held back had come through ``stage``: an image is prepared before them."""
    return group.error_stage in _MODEL_STAGES and stage not in _MODEL_STAGES


def _reached(group: AuditRow, stage: Stage, stages: Sequence[Stage]) -> bool:
    """Whether the group's rows came to ``stage``: no earlier stage held them back, and a later one may have.

    Labels and embeddings of images are made side by side: neither holds the other's rows back. The embedding
    of a label comes after it: where the label failed there is nothing to embed.
    """
    if group.status == Status.OK or group.error_stage == stage:
        return True
    if stage is Stage.LABEL_EMBEDDING and group.error_stage == Stage.LABEL and group.status == Status.FAILED:
        return False
    if group.error_stage not in stages:
        return False
    if group.error_stage in _MODEL_STAGES and stage in _MODEL_STAGES:
        return True
    return [str(s) for s in stages].index(group.error_stage) > stages.index(stage)
