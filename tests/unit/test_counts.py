"""The counts of a partition: every unit is accounted for, per stage."""

import pytest

from airflow_provider_drivepipe.contracts import (
    FRAME_COLUMNS,
    STATUS_COLUMNS,
    StageCounts,
    Verdict,
    image_key,
)
from airflow_provider_drivepipe.exceptions import (
    ConfigurationError,
    PartitionShrinksError,
    UnbalancedCountsError,
)
from airflow_provider_drivepipe.lifecycle.counts import AuditRow, balance, masked_by
from airflow_provider_drivepipe.lifecycle.publishing import Shrinking, WorkCounts, require_complete
from airflow_provider_drivepipe.lifecycle.tables import StageTables, WorkingTables
from airflow_provider_drivepipe.pipelines.driving.models import image_embedding, label, label_embedding
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.stages.content import Image
from airflow_provider_drivepipe.stages.source import Source
from airflow_provider_drivepipe.stages.stage import Grain, UnitLayout

IMAGE = Image("image_url")
PARTS = {
    stage.name: stage.part()
    for stage in (
        label("m", "p", IMAGE),
        image_embedding("m", 8, IMAGE),
        label_embedding("m", 8, given=False),
    )
}
STAGES = ("frame_extraction", "label", "image_embedding")
DAY = PartitionSpec(("ds",), ("20261120",))


def tables(stages=STAGES):
    unit = stages[0] if stages[0] not in PARTS else ""
    return StageTables(
        source=Source.of_table("m"),
        output="o",
        working=WorkingTables.of("o", DAY, "d/r/t/-1/1"),
        partition=DAY,
        layout=UnitLayout(
            unit_key=("video_path",),
            row_key=("video_path", "frame_idx"),
            identity=("video_path",),
            source_columns=FRAME_COLUMNS[:1],
            columns=FRAME_COLUMNS,
        ),
        output_columns=(*FRAME_COLUMNS, *STATUS_COLUMNS),
        unit=unit,
        grain=Grain.MANY if unit in ("frame_extraction", "keyframe_expansion") else Grain.ROW,
        parts=tuple(PARTS[stage] for stage in stages if stage in PARTS),
    )


def group(origin="new", status="ok", stage="", reason="", lacks=(), rows=1, alone=False):
    """Rows that hold the results of all models but those that they lack."""
    return AuditRow(origin, status, stage, reason, frozenset(PARTS).difference(lacks), alone, rows)


NOTHING = tuple(PARTS)
"""What rows lack that no model saw."""


def counts_of(groups, units, stages=STAGES, tokens=(), published=None, **work):
    rows = sum(g.rows for g in groups)
    counts = WorkCounts({"run": units, **work})
    return balance(tables(stages), counts, published or (units, rows, rows), groups, tokens)


def test_each_stage_counts_in_its_own_units():
    groups = [
        group(rows=20),
        group(status="failed", stage="frame_extraction", reason="truncated", lacks=NOTHING),
        group(status="failed", stage="label", reason="refusal", rows=2),
        group(status="failed", stage="label", reason="model_error", lacks=["image_embedding"], rows=1),
        group(
            status="failed",
            stage="image_embedding",
            reason="dimension_mismatch",
            lacks=["image_embedding"],
            rows=3,
        ),
    ]
    counts = counts_of(groups, 5, tokens=(220, 42, 66))
    frames, label, embedding = (counts.stages[s] for s in STAGES)
    assert (frames.rows_in, frames.ok, frames.failed) == (5, 4, 1)
    assert (label.rows_in, label.ok, label.failed) == (26, 23, 3)
    assert (embedding.rows_in, embedding.ok, embedding.failed) == (26, 22, 4)
    assert counts.failures == {
        "frame_extraction": {"truncated": 1},
        "label": {"refusal": 2, "model_error": 1},
        "image_embedding": {masked_by("label"): 1, "dimension_mismatch": 3},
    }
    assert (counts.table.rows_in, counts.table.ok, counts.table.failed) == (27, 20, 7)
    assert (counts.tokens.input, counts.tokens.output, counts.tokens.embedding) == (220, 42, 66)
    assert counts.verdict is Verdict.COMPLETED_WITH_FAILURES
    assert counts.failure_rate == pytest.approx(0.2)


def test_keyframes_that_failed_alone_are_rows_and_not_clips():
    stages = ("keyframe_expansion", "label")
    alone = group(
        "new", "failed", "keyframe_expansion", "image_decode_error", lacks=NOTHING, rows=6, alone=True
    )
    groups = [
        group(rows=5),
        alone,
        group(status="failed", stage="keyframe_expansion", reason="not_found"),
        group(status="filtered", stage="keyframe_expansion", reason="too_dark", rows=3),
    ]
    counts = counts_of(groups, 3, stages)
    assert counts.stages["keyframe_expansion"] == StageCounts(3, 2, 1)
    assert counts.stages["label"] == StageCounts(5, 5)
    assert counts.table == StageCounts(15, 5, 7, 3)
    assert counts.failures == {"keyframe_expansion": {"image_decode_error": 6, "not_found": 1}}
    assert counts.failure_rate == pytest.approx(6 / 15)
    # No clip failed, but something did.
    counts = counts_of([group(rows=5), alone], 1, stages)
    assert counts.stages["keyframe_expansion"].failed == 0
    assert counts.verdict is Verdict.COMPLETED_WITH_FAILURES


def test_labels_that_failed_are_no_input_of_their_embedding():
    stages = ("image_preparation", "label", "image_embedding", "label_embedding")
    missing = group("new", "failed", "image_embedding", "timeout", ["image_embedding", "label_embedding"], 4)
    groups = [
        group(rows=20),
        group(status="failed", stage="image_preparation", reason="not_found", lacks=NOTHING, rows=2),
        group(status="failed", stage="label", reason="refusal", rows=3),
        missing,
        group(status="failed", stage="label_embedding", reason="rate_limited", rows=5),
    ]
    counts = counts_of(groups, 34, stages, published=(34, 34, 34))
    found = {stage: (c.rows_in, c.ok, c.failed) for stage, c in counts.stages.items()}
    assert found == {
        "image_preparation": (34, 32, 2),
        "label": (32, 29, 3),
        "image_embedding": (32, 28, 4),
        "label_embedding": (29, 20, 9),
    }
    assert counts.failures["label_embedding"] == {"rate_limited": 5, masked_by("image_embedding"): 4}


def test_images_beyond_the_budget_are_prepared_and_skipped_by_the_models_alone():
    stages = ("image_preparation", "label", "label_embedding")
    groups = [group(rows=2), group(status="skipped", stage="label", reason="budget", lacks=NOTHING, rows=3)]
    counts = counts_of(groups, 5, stages, published=(5, 5, 5))
    found = {stage: (c.rows_in, c.ok, c.skipped) for stage, c in counts.stages.items()}
    assert found == {"image_preparation": (5, 5, 0), "label": (5, 2, 3), "label_embedding": (5, 2, 3)}


def test_clips_count_as_units_and_their_keyframes_as_rows_of_the_models():
    failed = group(status="failed", stage="keyframe_expansion", reason="not_found", lacks=NOTHING)
    counts = counts_of([group(rows=9), failed], 4, ("keyframe_expansion", "label"))
    found = {stage: (c.rows_in, c.ok, c.failed) for stage, c in counts.stages.items()}
    assert found == {"keyframe_expansion": (4, 3, 1), "label": (9, 9, 0)}


def test_skipped_videos_are_counted_where_they_were_skipped_and_reach_no_model():
    groups = [group(rows=4), group("other", "skipped", "frame_extraction", "limit", NOTHING, 3)]
    counts = counts_of(groups, 5, published=(5, 7, 7))
    frames, label, _ = (counts.stages[s] for s in STAGES)
    assert (frames.rows_in, frames.ok, frames.skipped) == (5, 2, 3)
    assert (label.rows_in, label.skipped) == (4, 0)


def test_skipped_images_are_skipped_by_both_models():
    groups = [group(rows=4), group("other", "skipped", "label", "limit", NOTHING, 3)]
    counts = counts_of(groups, 7, STAGES[1:], published=(7, 7, 7))
    assert [(c.rows_in, c.ok, c.skipped) for c in counts.stages.values()] == [(7, 4, 3), (7, 4, 3)]


def test_duplicates_are_filtered_input_of_the_first_stage():
    counts = counts_of([group(rows=4)], 2, duplicate=3)
    assert (counts.stages["frame_extraction"].rows_in, counts.stages["frame_extraction"].filtered) == (5, 3)
    assert counts.stages["label"].filtered == 0
    assert counts.filtered_reasons == {"duplicate": 3}


def test_frames_that_a_rule_left_out_are_counted_by_reason_and_reach_no_model():
    groups = [
        group(rows=4),
        group(status="filtered", stage="frame_extraction", reason="too_dark", lacks=NOTHING, rows=3),
        group("carried", "filtered", "frame_extraction", "too_dark", NOTHING, 2),
        group(status="filtered", stage="frame_extraction", reason="frozen", lacks=NOTHING),
    ]
    counts = counts_of(groups, 2, duplicate=1)
    frames, label, _ = (counts.stages[s] for s in STAGES)
    assert (frames.rows_in, frames.ok, frames.filtered) == (3, 2, 1)
    assert (label.rows_in, label.ok, label.filtered) == (4, 4, 0)
    assert (counts.table.rows_in, counts.table.ok, counts.table.filtered) == (10, 4, 6)
    assert counts.filtered_reasons == {"duplicate": 1, "too_dark": 5, "frozen": 1}
    assert counts.verdict is Verdict.COMPLETED


def test_units_that_vanished_or_rows_that_came_twice_are_errors():
    with pytest.raises(UnbalancedCountsError, match="the input has 3 units, the partition would have 2"):
        counts_of([group(rows=4)], 3, published=(2, 4, 4))
    with pytest.raises(UnbalancedCountsError, match="1 are there twice"):
        counts_of([group(rows=4)], 3, published=(3, 4, 3))


def test_more_failed_videos_than_came_in_is_an_error():
    groups = [group(status="failed", stage="frame_extraction", reason="timeout", rows=3)]
    with pytest.raises(UnbalancedCountsError, match="frame_extraction"):
        counts_of(groups, 2)


def test_unknown_status_does_not_vanish():
    with pytest.raises(UnbalancedCountsError, match="table"):
        counts_of([group(status="odd")], 1)


def test_carried_over_are_the_rows_that_are_ok_and_stay_not_those_that_failed_for_good():
    gone = group("carried", "failed", "frame_extraction", "truncated", lacks=NOTHING, rows=2)
    counts = counts_of([group("carried", rows=32), gone, group(rows=1)], 9)
    assert counts.carried_over == 32
    assert (counts.table.ok, counts.table.failed) == (33, 2)


def test_nothing_in_is_an_empty_input():
    assert counts_of([], 0).verdict is Verdict.EMPTY_INPUT


def test_frames_that_failed_earlier_are_not_rows_of_the_label_stage():
    groups = [group("other", "failed", "frame_extraction", "timeout"), group(rows=4)]
    counts = counts_of(groups, 5, ("label",))
    assert counts.stages["label"].rows_in == 4
    assert counts.table.rows_in == 5


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
    counts = WorkCounts({"run": 2, "keep": 5}, todo=2, needs={"label": 2, "image_embedding": 1})
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
    published = [["stays ok", 5, 0], ["removed ok", 3, 0], ["removed failed", 1, 0]]
    counts = WorkCounts.read(tables(), {"units": [["run", 2, 0]], "published": published})
    assert (counts.total, counts.published_ok, counts.removed_ok, counts.removed) == (2, 8, 3, 4)
    assert "4 published rows whose input is gone" in counts.describe()


def test_rows_that_lack_results_are_counted_by_what_they_lack_and_work_by_waves():
    counts = WorkCounts.read(
        tables(), {"units": [["run", 1, 0], ["keep", 2, 0]], "rows": [["todo", 5, 2, 0, 5]]}
    )
    assert (counts.run, counts.todo, counts.total, counts.waves) == (1, 5, 3, 3)
    assert counts.needs == {"label": 0, "image_embedding": 5}
    assert counts.describe() == (
        "3 input units: 1 to do from the start, 2 kept, 5 rows that lack results (5 image_embedding)"
    )


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
