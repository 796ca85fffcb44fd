"""The books of a partition: every unit is accounted for, per stage."""

import pytest

from airflow_provider_drivepipe.contracts import Stage, Verdict
from airflow_provider_drivepipe.exceptions import UnbalancedBooksError
from airflow_provider_drivepipe.pipelines.books import MASKED_BY_LABEL, AuditRow, balance

STAGES = (Stage.FRAME_EXTRACTION, Stage.LABEL, Stage.IMAGE_EMBEDDING)
TOKENS = ("label_input_token", "label_output_token", "image_embedding_total_token")


def group(origin="new", status="ok", stage="", reason="", embedded=True, rows=1, units=1, tokens=(0, 0, 0)):
    return AuditRow(origin, status, stage, reason, embedded, rows, units, tokens)


def test_each_stage_counts_in_its_own_units():
    groups = [
        group(rows=20, units=4, tokens=(200, 40, 60)),
        group(status="failed", stage="frame_extraction", reason="truncated", embedded=False),
        group(status="failed", stage="label", reason="refusal", rows=2, tokens=(20, 2, 6)),
        group(status="failed", stage="label", reason="model_error", embedded=False, rows=1),
        group(status="failed", stage="image_embedding", reason="dimension_mismatch", embedded=False, rows=3),
    ]
    books = balance(groups, STAGES, units_in=5, token_columns=TOKENS)
    frames, label, embedding = (books.stages[s] for s in STAGES)
    assert (frames.rows_in, frames.ok, frames.failed) == (5, 4, 1)
    assert (label.rows_in, label.ok, label.failed) == (26, 23, 3)
    assert (embedding.rows_in, embedding.ok, embedding.failed) == (26, 22, 4)
    assert books.failures == {
        "frame_extraction": {"truncated": 1},
        "label": {"refusal": 2, "model_error": 1},
        "image_embedding": {MASKED_BY_LABEL: 1, "dimension_mismatch": 3},
    }
    assert (books.table.rows_in, books.table.ok, books.table.failed) == (27, 20, 7)
    assert (books.tokens.input, books.tokens.output, books.tokens.embedding) == (220, 42, 66)
    assert books.verdict is Verdict.COMPLETED_WITH_FAILURES
    assert books.failure_rate == pytest.approx(0.2)


def test_carried_rows_count_but_are_not_paid_again():
    groups = [group(origin="carried", rows=9, tokens=(90, 9, 9)), group(rows=1, tokens=(10, 1, 1))]
    books = balance(groups, STAGES, units_in=2, token_columns=TOKENS)
    assert books.carried_over == 9
    assert books.tokens.input == 10
    assert books.verdict is Verdict.COMPLETED


def test_more_failed_videos_than_came_in_is_an_error():
    groups = [group(status="failed", stage="frame_extraction", reason="timeout", rows=3, units=3)]
    with pytest.raises(UnbalancedBooksError, match="frame_extraction"):
        balance(groups, STAGES, units_in=2, token_columns=TOKENS)


def test_unknown_status_does_not_vanish():
    with pytest.raises(UnbalancedBooksError, match="table"):
        balance([group(status="odd")], STAGES, units_in=1, token_columns=TOKENS)


def test_nothing_in_is_an_empty_input():
    assert balance([], STAGES, units_in=0, token_columns=TOKENS).verdict is Verdict.EMPTY_INPUT


def test_frames_that_failed_earlier_are_not_rows_of_the_label_stage():
    groups = [
        group(origin="earlier", status="failed", stage="frame_extraction", reason="timeout", tokens=()),
        group(rows=4, tokens=()),
    ]
    books = balance(groups, (Stage.LABEL,), units_in=4, token_columns=())
    assert books.stages[Stage.LABEL].rows_in == 4
    assert books.table.rows_in == 5
