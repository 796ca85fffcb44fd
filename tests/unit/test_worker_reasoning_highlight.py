"""The part of a video around a moment."""

import json

import pandas as pd
import pytest

from airflow_provider_drivepipe import contracts
from airflow_provider_drivepipe.worker.reasoning.highlight import (
    HIGHLIGHT_COLUMNS,
    HighlightJob,
    cut_highlights,
)
from airflow_provider_drivepipe.worker.reasoning.sheets import SheetRules
from airflow_provider_drivepipe.worker.rows import OK_CELLS, RowPart
from tests.unit.reasoning_samples import PREFIX, ROOT, file_of, table, watch
from tests.unit.video_samples import write_video

PART = RowPart(
    "highlight_cut",
    tuple((column.name, column.type) for column in HIGHLIGHT_COLUMNS),
    "highlight_url",
    ("drivepipe_need_highlight",),
)
NAMES = (
    "video_path",
    "moment_ms",
    *(c.name for c in HIGHLIGHT_COLUMNS),
    *OK_CELLS,
    "drivepipe_need_highlight",
)


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "mount"
    folder.mkdir()
    return folder


def cut(mount, moments, path=f"{ROOT}/v.mp4", **changes):
    values = {
        "oss_root": ROOT,
        "mount_path": str(mount),
        "output_prefix": PREFIX,
        "timeout_sec": 60,
        "part": PART,
    }
    made = dict.fromkeys(name for name, _ in PART.columns)
    rows = table(path, **{**made, **OK_CELLS, "drivepipe_need_highlight": 1}, moment_ms=moments)
    return cut_highlights(rows, HighlightJob(**{**values, **changes}), NAMES).to_dict("records")[0]


def span(row):
    return row["highlight_start_ms"], row["highlight_end_ms"]


@pytest.mark.parametrize(
    ("moment", "around", "expected"),
    [
        (5000, 3000, (2000, 8000)),
        (0, 3000, (0, 3000)),
        (1000, 3000, (0, 4000)),
        (9000, 3000, (6000, 10000)),
        (10000, 3000, (7000, 10000)),
        # At least two seconds, which go backwards where they can.
        (5000, 500, (3480, 5520)),
        (10000, 0, (8000, 10000)),
        (200, 500, (0, 2000)),
        (5010, 3000, (2000, 8040)),
    ],
)
def test_the_span_is_clamped_and_long_enough(mount, moment, around, expected):
    write_video(mount / "v.mp4", frames=250, options={"g": "1000", "sc_threshold": "0"})
    row = cut(mount, [moment], before_ms=around, after_ms=around)
    assert span(row) == expected
    shown = watch(file_of(mount, row["highlight_url"]))
    assert shown.times_ms == list(range(0, expected[1] - expected[0], 40))
    assert shown.numbers[0] == expected[0] // 40 % 60
    assert row["highlight_url"] == f"{ROOT}/{PREFIX}/{contracts.video_id('v.mp4')}/highlight.mp4"
    assert (row["status"], row["drivepipe_need_highlight"]) == ("ok", 1)


def test_a_short_video_is_shown_whole(mount):
    write_video(mount / "v.mp4", frames=25)
    assert span(cut(mount, [500])) == (0, 1000)


def test_a_sheet_instead_of_a_clip(mount):
    write_video(mount / "v.mp4", frames=250)
    row = cut(mount, [5000], sheet=SheetRules(max_frames=3))
    assert row["highlight_url"].endswith("/highlight.jpg")
    assert json.loads(row["highlight_times"]) == [3000, 5000, 7000]
    assert span(row) == (2000, 8000)


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (-1, "time_outside_video"),
        (10001, "time_outside_video"),
        (None, "invalid_time_range"),
        (pd.NA, "invalid_time_range"),
        (float("nan"), "invalid_time_range"),
    ],
)
def test_moments_that_the_video_does_not_have_fail_the_row(mount, moment, reason):
    write_video(mount / "v.mp4", frames=250)
    cut(mount, [5000])
    row = cut(mount, pd.Series([moment], dtype=object))
    assert (row["status"], row["error_stage"], row["error_type"]) == ("failed", "highlight_cut", reason)
    assert row["highlight_url"] is None
    assert pd.isna(row["highlight_start_ms"])
    assert row["drivepipe_need_highlight"] == 0
    # The clip of a run before is gone.
    assert list((mount / PREFIX).rglob("*.mp4")) == []


def test_unreadable_videos_and_paths_fail_the_row(mount):
    (mount / "v.mp4").touch()
    assert cut(mount, [5000])["error_type"] == "empty_file"
    assert cut(mount, [5000], path=f"{ROOT}/../x.mp4")["error_type"] == "path_traversal"


def test_times_around_a_moment_are_not_negative(mount):
    with pytest.raises(ValueError):
        cut(mount, [5000], before_ms=-1)
