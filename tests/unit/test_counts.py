"""The books of a partition: every unit is accounted for, per stage."""

import pytest

from airflow_provider_drivepipe.contracts import FRAME_COLUMNS, STATUS_COLUMNS, Stage, StageCounts, Verdict
from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    PartitionShrinksError,
    UnbalancedCountsError,
)
from airflow_provider_drivepipe.lifecycle.counts import (
    MASKED_BY_IMAGE_EMBEDDING,
    MASKED_BY_LABEL,
    AuditRow,
    balance,
)
from airflow_provider_drivepipe.lifecycle.publishing import Shrinking, WorkCounts, require_complete
from airflow_provider_drivepipe.lifecycle.tables import StageTables, WorkingTables, image_key
from airflow_provider_drivepipe.scenario.partition import PartitionSpec

STAGES = (Stage.FRAME_EXTRACTION, Stage.LABEL, Stage.IMAGE_EMBEDDING)
DAY = PartitionSpec(("ds",), ("20261120",))


def tables(stages=STAGES, expands=True):
    return StageTables(
        source="m",
        output="o",
        working=WorkingTables.of("o", DAY, "d/r/t/-1/1"),
        partition=DAY,
        expands=expands,
        unit_key=("video_path",),
        row_key=("video_path", "frame_idx"),
        identity=("video_path",),
        source_columns=FRAME_COLUMNS[:1],
        output_columns=(*FRAME_COLUMNS, *STATUS_COLUMNS),
        stages=stages,
    )


def group(origin="new", status="ok", stage="", reason="", embedded=True, rows=1):
    return AuditRow(origin, status, stage, reason, embedded, rows)


def books_of(groups, units, stages=STAGES, tokens=(0, 0, 0), published=None, **work):
    rows = sum(g.rows for g in groups)
    counts = WorkCounts({"run": units, **work}, {})
    return balance(tables(stages), counts, published or (units, rows, rows), groups, tokens)


def test_each_stage_counts_in_its_own_units():
    groups = [
        group(rows=20),
        group(status="failed", stage="frame_extraction", reason="truncated", embedded=False),
        group(status="failed", stage="label", reason="refusal", rows=2),
        group(status="failed", stage="label", reason="model_error", embedded=False, rows=1),
        group(status="failed", stage="image_embedding", reason="dimension_mismatch", embedded=False, rows=3),
    ]
    books = books_of(groups, 5, tokens=(220, 42, 66))
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


def test_keyframes_that_failed_alone_are_rows_and_not_clips():
    stages = (Stage.KEYFRAME_EXPANSION, Stage.LABEL)
    alone = AuditRow("new", "failed", "keyframe_expansion", "image_decode_error", False, 6, image_failed=True)
    groups = [
        group(rows=5),
        alone,
        group(status="failed", stage="keyframe_expansion", reason="not_found"),
        group(status="filtered", stage="keyframe_expansion", reason="too_dark", rows=3),
    ]
    books = books_of(groups, 3, stages, tokens=(0, 0))
    assert books.stages["keyframe_expansion"] == StageCounts(3, 2, 1)
    assert books.stages["label"] == StageCounts(5, 5)
    assert books.table == StageCounts(15, 5, 7, 3)
    assert books.failures == {"keyframe_expansion": {"image_decode_error": 6, "not_found": 1}}
    assert books.failure_rate == pytest.approx(6 / 15)
    # No clip failed, but something did.
    books = books_of([group(rows=5), alone], 1, stages, tokens=(0, 0))
    assert books.stages["keyframe_expansion"].failed == 0
    assert books.verdict is Verdict.COMPLETED_WITH_FAILURES


def test_labels_that_failed_are_no_input_of_their_embedding():
    stages = (Stage.IMAGE_PREPARATION, Stage.LABEL, Stage.IMAGE_EMBEDDING, Stage.LABEL_EMBEDDING)
    missing = AuditRow("new", "failed", "image_embedding", "timeout", False, 4, has_label_embedding=False)
    groups = [
        group(rows=20),
        group(status="failed", stage="image_preparation", reason="not_found", embedded=False, rows=2),
        group(status="failed", stage="label", reason="refusal", rows=3),
        missing,
        group(status="failed", stage="label_embedding", reason="rate_limited", rows=5),
    ]
    books = books_of(groups, 34, stages, tokens=(0, 0, 0, 0), published=(34, 34, 34))
    counts = {stage: (c.rows_in, c.ok, c.failed) for stage, c in books.stages.items()}
    assert counts == {
        "image_preparation": (34, 32, 2),
        "label": (32, 29, 3),
        "image_embedding": (32, 28, 4),
        "label_embedding": (29, 20, 9),
    }
    assert books.failures["label_embedding"] == {"rate_limited": 5, MASKED_BY_IMAGE_EMBEDDING: 4}


def test_images_beyond_the_budget_are_prepared_and_skipped_by_the_models_alone():
    stages = (Stage.IMAGE_PREPARATION, Stage.LABEL, Stage.LABEL_EMBEDDING)
    groups = [group(rows=2), group(status="skipped", stage="label", reason="budget", embedded=False, rows=3)]
    books = books_of(groups, 5, stages, published=(5, 5, 5))
    counts = {stage: (c.rows_in, c.ok, c.skipped) for stage, c in books.stages.items()}
    assert counts == {"image_preparation": (5, 5, 0), "label": (5, 2, 3), "label_embedding": (5, 2, 3)}


def test_clips_count_as_units_and_their_keyframes_as_rows_of_the_models():
    failed = group(status="failed", stage="keyframe_expansion", reason="not_found", embedded=False)
    books = books_of([group(rows=9), failed], 4, (Stage.KEYFRAME_EXPANSION, Stage.LABEL), tokens=(0, 0))
    counts = {stage: (c.rows_in, c.ok, c.failed) for stage, c in books.stages.items()}
    assert counts == {"keyframe_expansion": (4, 3, 1), "label": (9, 9, 0)}


def test_skipped_videos_are_counted_where_they_were_skipped_and_reach_no_model():
    groups = [group(rows=4), group("other", "skipped", "frame_extraction", "limit", False, 3)]
    books = books_of(groups, 5, published=(5, 7, 7))
    frames, label, _ = (books.stages[s] for s in STAGES)
    assert (frames.rows_in, frames.ok, frames.skipped) == (5, 2, 3)
    assert (label.rows_in, label.skipped) == (4, 0)


def test_skipped_images_are_skipped_by_both_models():
    groups = [group(rows=4), group("other", "skipped", "label", "limit", False, 3)]
    books = books_of(groups, 7, STAGES[1:], published=(7, 7, 7))
    assert [(c.rows_in, c.ok, c.skipped) for c in books.stages.values()] == [(7, 4, 3), (7, 4, 3)]


def test_duplicates_are_filtered_input_of_the_first_stage():
    books = books_of([group(rows=4)], 2, duplicate=3)
    assert (books.stages["frame_extraction"].rows_in, books.stages["frame_extraction"].filtered) == (5, 3)
    assert books.stages["label"].filtered == 0
    assert books.filtered_reasons == {"duplicate": 3}


def test_frames_that_a_rule_left_out_are_counted_by_reason_and_reach_no_model():
    groups = [
        group(rows=4),
        group(status="filtered", stage="frame_extraction", reason="too_dark", embedded=False, rows=3),
        group("carried", "filtered", "frame_extraction", "too_dark", False, 2),
        group(status="filtered", stage="frame_extraction", reason="frozen", embedded=False),
    ]
    books = books_of(groups, 2, duplicate=1)
    frames, label, _ = (books.stages[s] for s in STAGES)
    assert (frames.rows_in, frames.ok, frames.filtered) == (3, 2, 1)
    assert (label.rows_in, label.ok, label.filtered) == (4, 4, 0)
    assert (books.table.rows_in, books.table.ok, books.table.filtered) == (10, 4, 6)
    assert books.filtered_reasons == {"duplicate": 1, "too_dark": 5, "frozen": 1}
    assert books.verdict is Verdict.COMPLETED


def test_units_that_vanished_or_rows_that_came_twice_are_errors():
    with pytest.raises(UnbalancedCountsError, match="the input has 3 units, the partition would have 2"):
        books_of([group(rows=4)], 3, published=(2, 4, 4))
    with pytest.raises(UnbalancedCountsError, match="1 are there twice"):
        books_of([group(rows=4)], 3, published=(3, 4, 3))


def test_more_failed_videos_than_came_in_is_an_error():
    groups = [group(status="failed", stage="frame_extraction", reason="timeout", rows=3)]
    with pytest.raises(UnbalancedCountsError, match="frame_extraction"):
        books_of(groups, 2)


def test_unknown_status_does_not_vanish():
    with pytest.raises(UnbalancedCountsError, match="table"):
        books_of([group(status="odd")], 1)


def test_carried_over_are_the_rows_that_are_ok_and_stay_not_those_that_failed_for_good():
    gone = group("carried", "failed", "frame_extraction", "truncated", embedded=False, rows=2)
    books = books_of([group("carried", rows=32), gone, group(rows=1)], 9)
    assert books.carried_over == 32
    assert (books.table.ok, books.table.failed) == (33, 2)


def test_nothing_in_is_an_empty_input():
    assert books_of([], 0).verdict is Verdict.EMPTY_INPUT


def test_frames_that_failed_earlier_are_not_rows_of_the_label_stage():
    groups = [group("other", "failed", "frame_extraction", "timeout"), group(rows=4)]
    books = books_of(groups, 5, (Stage.LABEL,), tokens=(0, 0))
    assert books.stages[Stage.LABEL].rows_in == 4
    assert books.table.rows_in == 5


@pytest.mark.parametrize(
    "staged",
    [
        (9, 8, 1, 1, 1),  # a video is missing
        (10, 8, 2, 2, 1),  # a repaired row came twice
        (9, 8, 2, 1, 1),  # a repaired row is missing
        (11, 8, 2, 2, 2),  # a row that nobody asked for
    ],
)
def test_staging_must_hold_exactly_what_was_asked_for(staged):
    counts = WorkCounts({"run": 2, "keep": 5}, {"todo-label": 1, "todo-label-image_embedding": 1})
    require_complete(tables(), counts, (10, 8, 2, 2, 2))
    with pytest.raises(UnbalancedCountsError, match="Nothing was published to o ds=20261120"):
        require_complete(tables(), counts, staged)


def test_working_tables_of_tries_differ_but_share_the_partitions_prefix():
    one, two = (WorkingTables.of("p.o", DAY, owner) for owner in ("d/r/t/-1/1", "d/r/t/-1/2"))
    other = WorkingTables.of("p.o", PartitionSpec(("ds",), ("20261121",)), "d/r/t/-1/1")
    assert one.lock == two.lock != other.lock
    assert not {*one.all()} & {*two.all()}
    assert all(name.startswith(one.prefix) for name in (*one.all(), *two.all(), one.lock))
    assert not any(name.startswith(one.prefix) for name in other.all())
    with pytest.raises(ConfigurationError, match="Use at most 97"):
        WorkingTables.of("x" * 98, DAY, "d")


@pytest.mark.parametrize(
    ("published", "removed", "left", "max_shrink", "fails"),
    [
        (26, 0, 26, 0.5, False),
        (26, 13, None, 0.5, False),
        (26, 14, None, 0.5, True),
        (26, 14, 26, 0.5, True),
        (26, 13, 13, 0.5, False),
        (26, 0, 12, 0.5, True),
        (26, 0, 25, 0.0, True),
        (26, 26, None, 1.0, False),
        (26, 26, 26, 1.0, False),
        (26, 0, 0, 1.0, True),
        (0, 0, 0, 0.5, False),
    ],
)
def test_a_partition_loses_no_more_than_it_may(published, removed, left, max_shrink, fails):
    shrinking = Shrinking("t ds=1", "m ds=1", published, removed, left, empties=False)
    if not fails:
        shrinking.check(max_shrink)
        return
    with pytest.raises(PartitionShrinksError, match=rf"t ds=1 holds {published} ok rows.*allow_shrink: true"):
        shrinking.check(max_shrink)


def test_rows_of_which_none_is_ok_are_not_replaced_by_nothing_either():
    with pytest.raises(PartitionShrinksError):
        Shrinking("t", "m", 0, 0, None, empties=True).check(1.0)


def test_published_rows_are_counted_beside_what_is_to_be_done():
    counts = WorkCounts.read([["run", 2], ["stays ok", 5], ["removed ok", 3], ["removed failed", 1]])
    assert (counts.total, counts.published_ok, counts.removed_ok, counts.removed) == (2, 8, 3, 4)
    assert "4 published rows whose input is gone" in counts.describe()


@pytest.mark.parametrize(
    ("names", "key"),
    [
        ("video_path frame_idx image_id image_url fingerprint", "video_path frame_idx"),
        ("clip_id clip_dir frame_idx image_url fingerprint", "clip_id clip_dir frame_idx"),
        ("video_path frame_idx image_url", "video_path frame_idx image_url"),
        ("frame_idx image_url fingerprint", "frame_idx image_url"),
        ("image_id image_url fingerprint", "image_id image_url"),
        ("trip", ""),
    ],
)
def test_rows_of_our_own_frames_are_told_apart_by_their_place(names, key):
    assert image_key(names.split()) == tuple(key.split())
