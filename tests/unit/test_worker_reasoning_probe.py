"""Measuring videos: what the file holds, not what it says; a row for each."""

import json
import os
import time
from fractions import Fraction

import pandas as pd
import pytest

from airflow_provider_drivepipe import contracts
from airflow_provider_drivepipe.worker.reasoning import pieces, probe
from airflow_provider_drivepipe.worker.reasoning.footage import Footage
from airflow_provider_drivepipe.worker.reasoning.probe import ProbeJob, probe_dtypes, probe_videos
from airflow_provider_drivepipe.worker.reasoning.sheets import SheetRules
from tests.unit.reasoning_samples import PREFIX, ROOT, file_of, table
from tests.unit.video_samples import QUARTER_TURN, set_display_matrix, write_audio, write_video


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "mount"
    folder.mkdir()
    return folder


def job(mount, **changes):
    values = {
        "oss_root": ROOT,
        "mount_path": str(mount),
        "output_prefix": PREFIX,
        "timeout_sec": 60,
        "max_duration_ms": 300_000,
        "lineage": ("etag", "size_bytes"),
    }
    return ProbeJob(**{**values, **changes})


def look(job, *names):
    return probe_videos(table(*(f"{ROOT}/{name}" for name in names)), job)


def test_measures_rows_and_columns(mount):
    write_video(mount / "a.mp4", frames=60, rate=Fraction(30000, 1001), audio=True)
    moments = [Fraction(n, 10) for n in range(10)] + [Fraction(5), Fraction(6)]
    write_video(mount / "vfr.mkv", frames=12, times=moments)
    write_video(mount / "raw.h264", frames=50)
    turned = write_video(mount / "turned.mp4", frames=50)
    set_display_matrix(turned, QUARTER_TURN)
    rows = look(job(mount), "a.mp4", "vfr.mkv", "raw.h264", "turned.mp4")
    assert list(rows["status"]) == ["ok"] * 4
    assert rows["duration_ms"][0] == 2002
    assert abs(rows["duration_ms"][1] - 6000) <= 100
    assert rows["duration_ms"][2] == rows["duration_ms"][3] == 2000
    assert rows["fps"][0] == pytest.approx(29.97, abs=0.001)
    assert list(zip(rows["width"], rows["height"], strict=True)) == [(96, 64)] * 3 + [(64, 96)]
    expected = probe_dtypes({"etag": "object", "size_bytes": "int64"})
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == expected
    assert list(rows.columns) == list(expected)
    assert rows["video_id"][0] == contracts.video_id("a.mp4")
    assert rows["sheet_url"].isna().all()
    assert not (mount / PREFIX).exists()


def test_pictures_are_not_decoded_to_measure(mount, monkeypatch):
    write_video(mount / "v.mp4", frames=250)
    monkeypatch.setattr(Footage, "decode", lambda *_: pytest.fail("decoded"))
    assert list(look(job(mount), "v.mp4")["duration_ms"]) == [10_000]


def test_too_long_is_filtered_with_its_measures(mount):
    write_video(mount / "v.mp4", frames=51)
    write_video(mount / "short.mp4", frames=50)
    rows = look(job(mount, max_duration_ms=2000, sheet=SheetRules()), "v.mp4", "short.mp4")
    assert list(rows["status"]) == ["filtered", "ok"]
    assert (rows["error_stage"][0], rows["error_type"][0]) == ("video_probe", "too_long")
    assert rows["duration_ms"][0] == 2040
    assert "2040 ms" in rows["error_msg"][0]
    assert pd.isna(rows["sheet_url"][0])
    assert len(list(mount.rglob("*.jpg"))) == 1


def test_unreadable_videos_keep_their_rows(mount):
    (mount / "empty.mp4").touch()
    write_audio(mount / "sound.mp4")
    (mount / "text.mp4").write_text("nothing to see here" * 9)
    rows = look(job(mount), "empty.mp4", "sound.mp4", "text.mp4", "absent.mp4", "a/../b.mp4")
    assert list(rows["error_type"]) == [
        "empty_file",
        "no_video_stream",
        "not_a_video",
        "not_found",
        "path_traversal",
    ]
    assert set(rows["status"]) == {"failed"}
    assert set(rows["etag"]) == {"E"}
    assert rows["duration_ms"].isna().all()


def test_sheet_of_the_whole_video(mount):
    write_video(mount / "a/v.mp4", frames=100)
    write_video(mount / "b/v.mp4", frames=100)
    rows = look(job(mount, sheet=SheetRules(fps=Fraction(1))), "a/v.mp4", "b/v.mp4")
    assert json.loads(rows["sheet_times"][0]) == [480, 1480, 2480, 3480]
    assert rows["sheet_url"][0] == f"{ROOT}/{PREFIX}/{contracts.video_id('a/v.mp4')}/sheet.jpg"
    first, second = (file_of(mount, url).read_bytes() for url in rows["sheet_url"])
    # Drawn from two equal videos, in files of their own.
    assert first == second
    assert rows["sheet_url"].is_unique
    (mount / "a/v.mp4").write_bytes(b"broken now")
    look(job(mount, sheet=SheetRules()), "a/v.mp4")
    assert not file_of(mount, rows["sheet_url"][0]).exists()


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (lambda: os._exit(77), "decode_error"),
        (lambda: time.sleep(600), "timeout"),
        (lambda: _throw(MemoryError()), "decode_error"),
        (lambda: _throw(ValueError("odd")), "decode_error"),
        (lambda: _throw(OSError(28, "No space left on device", "/somewhere/local")), "write_error"),
    ],
    ids=["crash", "hang", "memory", "odd", "disk"],
)
def test_whatever_goes_wrong_fails_one_video_without_naming_local_paths(mount, monkeypatch, trouble, reason):
    write_video(mount / "a.mp4", frames=10)
    write_video(mount / "b.mp4", frames=20)
    real = probe._measure
    monkeypatch.setattr(
        probe, "_measure", lambda film, *rest: trouble() if film.frame_count == 10 else real(film, *rest)
    )
    rows = look(job(mount, timeout_sec=2), "a.mp4", "b.mp4")
    assert list(rows["error_type"]) == [reason, ""]
    assert "/somewhere" not in rows["error_msg"][0]


def _throw(error):
    raise error


def test_no_process_to_be_had_fails_the_video(mount, monkeypatch):
    write_video(mount / "v.mp4", frames=10)

    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(pieces.os, "fork", refuse)
    assert list(look(job(mount), "v.mp4")["error_type"]) == ["decode_error"]
