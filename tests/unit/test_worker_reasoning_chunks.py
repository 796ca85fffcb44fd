"""Cutting videos into chunks: nothing lost, nothing twice, times as they are, one failure at a time."""

import json
import os
import subprocess
import sys
import time
from fractions import Fraction

import av
import cloudpickle
import numpy as np
import pandas as pd
import pytest

from airflow_provider_drivepipe import contracts, worker
from airflow_provider_drivepipe.worker import video
from airflow_provider_drivepipe.worker.reasoning import footage, pieces
from airflow_provider_drivepipe.worker.reasoning.chunks import ChunkJob, chunk_dtypes, cut_chunks
from airflow_provider_drivepipe.worker.reasoning.clips import ClipRules
from airflow_provider_drivepipe.worker.reasoning.sheets import SheetRules
from airflow_provider_drivepipe.worker.reasoning.spans import chunk_length
from tests.unit.children import children
from tests.unit.reasoning_samples import PREFIX, ROOT, file_of, table, watch
from tests.unit.video_samples import (
    QUARTER_TURN,
    damage,
    detailed,
    set_display_matrix,
    write_audio,
    write_video,
)

EACH_SECOND = {"g": "25", "sc_threshold": "0"}
EACH_EIGHT_SECONDS = {"g": "200", "sc_threshold": "0"}


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
        "lineage": ("etag", "size_bytes"),
    }
    return ChunkJob(**{**values, **changes})


def cut(job, *names):
    return cut_chunks(table(*(f"{ROOT}/{name}" for name in names)), job)


def times(rows):
    return list(zip(rows["start_ms"], rows["end_ms"], strict=True))


def clips(mount, rows):
    return [watch(file_of(mount, url)) for url in rows["clip_url"]]


def files(mount):
    return sorted(str(f.relative_to(mount / PREFIX)) for f in (mount / PREFIX).rglob("*.*"))


@pytest.mark.parametrize("options", [EACH_SECOND, EACH_EIGHT_SECONDS], ids=["copied", "encoded"])
def test_defect_4_the_last_part_of_a_video_is_never_dropped(mount, options):
    write_video(mount / "v.mp4", frames=270, options=options, audio=True)
    rows = cut(job(mount), "v.mp4")
    assert times(rows) == [(0, 5000), (5000, 10800)]
    first, second = clips(mount, rows)
    assert first.numbers + second.numbers == [number % 60 for number in range(270)]
    assert first.times_ms == list(range(0, 5000, 40))
    assert second.times_ms == list(range(0, 5800, 40))
    assert first.audio_streams == second.audio_streams == 0


def test_rows_columns_and_identities(mount):
    write_video(mount / "a/front.mp4", frames=275, options=EACH_SECOND)
    write_video(mount / "b/front.mp4", frames=10)
    rows = cut(job(mount), "a/front.mp4", "b/front.mp4")
    assert list(rows["chunk_index"]) == [0, 1, 2, 0]
    # A rest of a second is a chunk.
    assert times(rows) == [(0, 5000), (5000, 10000), (10000, 11000), (0, 400)]
    assert rows["clip_url"].is_unique
    expected = chunk_dtypes({"etag": "object", "size_bytes": "int64"})
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == expected
    assert list(rows.columns) == list(expected)
    for row in rows.to_dict("records"):
        identity = contracts.video_id(row["video_path"].removeprefix(ROOT + "/"))
        assert row["video_id"] == identity
        assert row["clip_url"] == f"{ROOT}/{PREFIX}/{identity}/chunk_{row['chunk_index']:03d}.mp4"
    assert set(rows["status"]) == {"ok"}
    assert set(rows["attempt"]) == {2}
    assert set(rows["etag"]) == {"E"}


@pytest.mark.parametrize(
    ("duration", "length"),
    [
        (10, 5),
        ("49.9", 5),
        (50, 5),
        (51, 10),
        (100, 10),
        (101, 15),
        (150, 15),
        (299, 30),
        (300, 30),
        (301, 30),
    ],
)
def test_chunk_length_is_the_shortest_that_makes_few_enough(duration, length):
    options = [Fraction(each) for each in (5, 10, 15, 20, 30)]
    assert chunk_length(Fraction(duration), options, 10) == length


def packets_of(path):
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_clips_between_key_frames_are_copied(mount):
    source = write_video(mount / "v.mp4", frames=270, options={**EACH_SECOND, "bf": "2"})
    rows = cut(job(mount), "v.mp4")
    copied = [packet for url in rows["clip_url"] for packet in packets_of(file_of(mount, url))]
    assert copied == packets_of(source)


def test_boundaries_move_to_a_key_frame_within_a_second(mount):
    write_video(mount / "v.mp4", frames=300, options={"g": "45", "sc_threshold": "0"})
    rows = cut(job(mount), "v.mp4")
    # There is a key frame each 1.8 s: 5.4 s is nearest to 5 s, 10.8 s to 10 s.
    assert times(rows) == [(0, 5400), (5400, 10800), (10800, 12000)]
    assert [each.codec for each in clips(mount, rows)] == ["h264"] * 3


def test_far_key_frames_make_clips_of_exactly_the_length_and_bounded_size(mount):
    source = write_video(mount / "v.mp4", frames=300, options=EACH_EIGHT_SECONDS, size=(320, 180))
    rows = cut(job(mount, clip=ClipRules(max_side=97)), "v.mp4")
    assert times(rows) == [(0, 5000), (5000, 10000), (10000, 12000)]
    shown = clips(mount, rows)
    assert {each.size for each in shown} == {(96, 54)}
    assert [len(each.numbers) for each in shown] == [125, 125, 50]
    assert not set(packets_of(file_of(mount, rows["clip_url"][0]))) & set(packets_of(source))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("v.ts", {"options": EACH_SECOND}),
        ("v.mkv", {"options": EACH_SECOND}),
        ("v.avi", {"codec": "mpeg4"}),
        ("v.h264", {"options": EACH_SECOND}),
        (
            "open.mp4",
            {"codec": "libx264", "options": {"x264-params": "open-gop=1:keyint=25:scenecut=0:bframes=2"}},
        ),
        ("hevc.mp4", {"codec": "libx265", "options": {"x265-params": "keyint=25:log-level=none"}}),
    ],
)
def test_containers_and_codecs_lose_nothing_and_start_with_whole_pictures(mount, name, arguments):
    write_video(mount / name, frames=270, **arguments)
    rows = cut(job(mount), name)
    assert list(rows["status"]) == ["ok"] * 2
    assert rows["start_ms"][0] == 0
    assert rows["end_ms"][0] == rows["start_ms"][1]
    assert rows["end_ms"][1] == 10800
    numbers = [number for each in clips(mount, rows) for number in each.numbers]
    assert len(numbers) == 270
    # Grey levels survive encoding twice within a step.
    assert all(abs(number - at % 60) <= 1 for at, number in enumerate(numbers))


def test_key_frames_from_which_nothing_whole_can_be_decoded(mount):
    texture = np.random.default_rng(1).integers(0, 256, (192, 600, 1), np.uint8).repeat(3, axis=2)
    options = {"intra-refresh": "1", "g": "25", "bf": "0"}
    write_video(
        mount / "v.mp4",
        frames=270,
        options=options,
        size=(320, 192),
        picture=lambda number, width, height: texture[:height, number : number + width],
    )
    rows = cut(job(mount), "v.mp4")
    assert times(rows) == [(0, 5000), (5000, 10800)]
    for url, number in zip(rows["clip_url"], (0, 125), strict=True):
        with av.open(str(file_of(mount, url))) as clip:
            shown = [frame.to_ndarray(format="gray").astype(int) for frame in clip.decode(video=0)]
        assert len(shown) == (125 if number == 0 else 145)
        expected = texture[:, number : number + 320, 0]
        # Another part of the texture differs by 85.
        assert np.abs(shown[0] - expected).mean() < 40
    assert list(cut(job(mount, sheet=SheetRules()), "v.mp4")["status"]) == ["ok"] * 2


def test_times_are_those_of_a_variable_rate_and_a_stall_is_not_an_empty_chunk(mount):
    moments = (
        [Fraction(n, 10) for n in range(37)] + [Fraction(12)] + [12 + Fraction(n, 25) for n in range(1, 50)]
    )
    write_video(
        mount / "v.mp4", frames=len(moments), times=moments, options={"g": "1000", "sc_threshold": "0"}
    )
    rows = cut(job(mount), "v.mp4")
    assert list(rows["status"]) == ["ok"] * 2
    # Between 3.6 s and 12 s nothing new is shown: boundaries at 5 s and 10 s are the frame at 12 s.
    assert list(rows["start_ms"]) == [0, 12000]
    assert rows["end_ms"][0] == 12000
    assert abs(rows["end_ms"][1] - 14000) <= 100
    first, second = clips(mount, rows)
    assert first.times_ms == [round(moment * 1000) for moment in moments[:37]]
    assert second.times_ms == [round(moment * 1000) - 12000 for moment in moments[37:]]


@pytest.mark.parametrize("options", [EACH_SECOND, EACH_EIGHT_SECONDS], ids=["copied", "encoded"])
def test_videos_that_are_too_large_to_keep_are_read_again(mount, monkeypatch, options):
    write_video(mount / "v.mp4", frames=270, options=options)
    kept = cut(job(mount), "v.mp4")
    expected = clips(mount, kept)
    monkeypatch.setattr(video, "KEPT_BYTES", 0)
    assert clips(mount, cut(job(mount), "v.mp4")) == expected


@pytest.mark.parametrize("options", [EACH_SECOND, EACH_EIGHT_SECONDS], ids=["copied", "encoded"])
def test_defect_3_a_failed_middle_chunk_keeps_index_and_time(mount, options):
    source = write_video(mount / "v.mp4", frames=375, options=options, picture=detailed)
    with av.open(str(source)) as container:
        hit = [p for p in container.demux(video=0) if p.size and 6 <= p.pts * p.time_base < 7][3]
    damage(source, hit.pos + 50, hit.size - 50)
    rows = cut(job(mount), "v.mp4")
    assert list(rows["chunk_index"]) == [0, 1, 2]
    assert times(rows) == [(0, 5000), (5000, 10000), (10000, 15000)]
    assert list(rows["status"]) == ["ok", "failed", "ok"]
    assert (rows["error_stage"][1], rows["error_type"][1]) == ("chunk_cut", "decode_error")
    assert pd.isna(rows["clip_url"][1])
    assert watch(file_of(mount, rows["clip_url"][2])).numbers[0] == 250 % 60
    assert [name.rpartition("/")[2] for name in files(mount)] == ["chunk_000.mp4", "chunk_002.mp4"]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [(lambda: os._exit(77), "decode_error"), (lambda: time.sleep(600), "timeout")],
    ids=["crash", "hang"],
)
def test_a_chunk_that_crashes_or_hangs_fails_alone(mount, monkeypatch, trouble, reason):
    write_video(mount / "v.mp4", frames=375, options=EACH_SECOND)
    cut(job(mount), "v.mp4")
    before, real = children(), pieces.cut_clip
    monkeypatch.setattr(
        pieces,
        "cut_clip",
        lambda film, span, rules: trouble() if span.start_ms == 5000 else real(film, span, rules),
    )
    rows = cut(job(mount, timeout_sec=2), "v.mp4")
    assert list(rows["error_type"]) == ["", reason, ""]
    assert times(rows) == [(0, 5000), (5000, 10000), (10000, 15000)]
    # Of the run before, the chunk that fails now leaves nothing either.
    assert [name.rpartition("/")[2] for name in files(mount)] == ["chunk_000.mp4", "chunk_002.mp4"]
    assert children() == before


def test_a_video_that_cannot_be_read_is_one_row(mount):
    (mount / "empty.mp4").touch()
    write_audio(mount / "sound.mp4")
    (mount / "text.mp4").write_text("nothing to see here" * 9)
    whole = write_video(
        mount / "tail.mp4",
        frames=270,
        options={**EACH_SECOND, "movflags": ""},
        picture=detailed,
        container_options={"movflags": "faststart"},
    )
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    rows = cut(job(mount), "empty.mp4", "sound.mp4", "text.mp4", "tail.mp4", "absent.mp4", "../x.mp4")
    assert list(rows["error_type"]) == [
        "empty_file",
        "no_video_stream",
        "not_a_video",
        "truncated",
        "not_found",
        "path_traversal",
    ]
    assert set(rows["chunk_index"]) == {-1}
    assert set(rows["etag"]) == {"E"}
    assert rows["video_id"][0] == contracts.video_id("empty.mp4")
    assert pd.isna(rows["video_id"][5])


def test_half_a_second_is_one_chunk(mount):
    write_video(mount / "v.mp4", frames=50, rate=100)
    assert times(cut(job(mount), "v.mp4")) == [(0, 500)]


def test_a_rotated_video_gives_upright_clips(mount):
    def left_is_white(number, width, height):
        picture = detailed(0, width, height)
        picture[:, : width // 2] = 255
        return picture

    source = write_video(mount / "v.mp4", frames=50, options=EACH_SECOND, picture=left_is_white)
    set_display_matrix(source, QUARTER_TURN)
    [url] = cut(job(mount), "v.mp4")["clip_url"]
    with av.open(str(file_of(mount, url))) as clip:
        frame = next(clip.decode(video=0))
    assert (frame.width, frame.height, frame.rotation) == (64, 96, 0)
    pixels = frame.to_ndarray(format="gray")
    # Turned clockwise, what was left is up.
    assert pixels[:40].mean() > 200 > 50 > pixels[56:].mean()


def test_frames_that_are_too_large_are_not_decoded(mount, monkeypatch):
    write_video(mount / "v.mp4", frames=10)
    monkeypatch.setattr(footage, "MAX_PIXELS", 96 * 64 - 1)
    [row] = cut(job(mount), "v.mp4").to_dict("records")
    assert row["error_type"] == "image_too_large"
    assert "96 x 64" in row["error_msg"]


def test_nothing_is_written_beside_the_prefix(mount, tmp_path):
    write_video(mount / "v.mp4", frames=10)
    (tmp_path / "elsewhere").mkdir()
    (mount / PREFIX).parent.mkdir(parents=True)
    (mount / PREFIX).symlink_to(tmp_path / "elsewhere")
    [row] = cut(job(mount), "v.mp4").to_dict("records")
    assert row["error_type"] == "path_traversal"
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (mount / "w.mp4").symlink_to(write_video(tmp_path / "w.mp4", frames=10))
    assert list(cut(job(mount), "w.mp4")["error_type"]) == ["path_traversal"]


@pytest.mark.parametrize(
    "changes",
    [
        {"output_prefix": "../x"},
        {"output_prefix": ""},
        {"timeout_sec": 0},
        {"length_options_sec": ()},
        {"length_options_sec": (10, 5)},
        {"length_options_sec": (0, 5)},
        {"max_chunks": 0},
        {"clip": ClipRules(max_side=1)},
        {"clip": ClipRules(crf=60)},
        {"sheet": SheetRules(fps=Fraction(0))},
        {"sheet": SheetRules(max_frames=28)},
        {"sheet": SheetRules(jpeg_quality=0)},
    ],
)
def test_jobs_that_no_video_can_fulfil(mount, changes):
    with pytest.raises(ValueError):
        cut(job(mount, **changes))


def test_the_same_video_gives_the_same_bytes_and_replaces_what_was_there(mount):
    write_video(mount / "v.mp4", frames=375, options=EACH_EIGHT_SECONDS)
    cut(job(mount), "v.mp4")
    first = {name: (mount / PREFIX / name).read_bytes() for name in files(mount)}
    assert len(first) == 3
    folder = mount / PREFIX / contracts.video_id("v.mp4")
    (folder / "chunk_007.mp4").write_bytes(b"of an earlier run")
    (folder / ".chunk_001.mp4.tmp").write_bytes(b"half-written")
    (folder / "notes.txt").write_text("somebody else's")
    cut(job(mount), "v.mp4")
    (folder / "notes.txt").unlink()
    assert {name: (mount / PREFIX / name).read_bytes() for name in files(mount)} == first


def test_sheets_instead_of_clips(mount):
    write_video(mount / "v.mp4", frames=270, options=EACH_EIGHT_SECONDS)
    rows = cut(job(mount, sheet=SheetRules(max_frames=5)), "v.mp4")
    assert times(rows) == [(0, 5000), (5000, 10800)]
    assert rows["clip_url"].isna().all()
    assert [json.loads(each) for each in rows["sheet_times"]] == [
        [480, 1480, 2480, 3480, 4480],
        [5560, 6720, 7880, 9040, 10200],
    ]
    assert all(file_of(mount, url).suffix == ".jpg" for url in rows["sheet_url"])


def test_progress_is_one_line_per_video(mount, capfd):
    write_video(mount / "v.mp4", frames=30)
    cut_chunks(table(f"{ROOT}/v.mp4", "/etc/passwd\nsecret"), job(mount))
    captured = capfd.readouterr()
    first, second = captured.out.splitlines()
    assert first.startswith(f"{ROOT}/v.mp4: 1 chunks, 0 failed")
    assert second.startswith("row 1: 1 chunks, 1 failed")
    assert captured.err == ""


UNPICKLE = """
import sys, pickle

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("airflow", "airflow_provider_drivepipe"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import pandas as pd
function = pickle.load(open(sys.argv[1], "rb"))
rows = function(pd.DataFrame({"video_path": sys.argv[2:]}))
print(rows[["status", "error_type", "start_ms", "end_ms"]].to_json(orient="values"))
"""


def test_the_function_runs_where_this_package_is_not_installed(mount, tmp_path):
    write_video(mount / "v.mp4", frames=270, options=EACH_EIGHT_SECONDS)
    (mount / "empty.mp4").touch()
    cloudpickle.register_pickle_by_value(worker)
    cloudpickle.register_pickle_by_value(contracts)
    chunk_job = job(mount, lineage=())

    def cut_all(chunk):
        return cut_chunks(chunk, chunk_job)

    cut_all.__module__ = "__main__"
    pickled = tmp_path / "function.pickle"
    pickled.write_bytes(cloudpickle.dumps(cut_all))
    done = subprocess.run(
        [sys.executable, "-I", "-c", UNPICKLE, str(pickled), f"{ROOT}/v.mp4", f"{ROOT}/empty.mp4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["ok", "", 0, 5000],
        ["ok", "", 5000, 10800],
        ["failed", "empty_file", None, None],
    ]
