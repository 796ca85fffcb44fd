"""The frame-extraction UDF: identities, safety, deadlines, and nothing lost."""

import json
import os
import subprocess
import sys
import time

import av
import cloudpickle
import numpy as np
import pandas as pd
import PIL.Image
import pyarrow as pa
import pytest

from airflow_provider_drivepipe import contracts, worker
from airflow_provider_drivepipe.worker import frames
from airflow_provider_drivepipe.worker.answer_rows import AnswerJob, read_answers
from airflow_provider_drivepipe.worker.frame_quality import MEASURE_NAMES, QualityRules
from airflow_provider_drivepipe.worker.frames import FrameJob, extract_frames
from airflow_provider_drivepipe.worker.rows import RowPart
from tests.unit.image_samples import blurred, scene
from tests.unit.video_samples import damage, detailed, media_range, write_video

FASTSTART = {"movflags": "faststart"}
ROOT = "oss://oss-cn-x.aliyuncs.com/bucket"


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "mount"
    folder.mkdir()
    return folder


def job(mount, **changes):
    values = {
        "oss_root": ROOT,
        "mount_path": str(mount),
        "output_prefix": "frames/ds=20261120",
        "fps": "1",
        "sample_count": None,
        "sampling_rule": "at_time",
        "jpeg_quality": 90,
        "timeout_sec": 60,
        "lineage": ("etag", "size_bytes"),
    }
    return FrameJob(**{**values, **changes})


def extract(job, *paths):
    videos = pd.DataFrame(
        {
            "video_path": pd.Series(list(paths), dtype=object),
            "etag": "E",
            "size_bytes": 5,
            "attempt": 2,
            "fingerprint": "f",
        }
    )
    return extract_frames(videos, job)


def test_rows_identities_and_files(mount):
    write_video(mount / "trips/a/front.mp4", frames=55)
    write_video(mount / "trips/b/front.mp4", frames=30)
    rows = extract(job(mount), f"{ROOT}/trips/a/front.mp4", f"{ROOT}/trips/b/front.mp4")
    assert list(rows.columns) == list(job(mount).dtypes({"etag": "object", "size_bytes": "int64"}))
    assert list(rows["frame_time_ms"]) == [0, 1000, 2000, 0, 1000]
    assert rows["video_id"].nunique() == 2
    assert rows["image_url"].is_unique
    for row in rows.to_dict("records"):
        key = row["video_path"].removeprefix(ROOT + "/")
        assert row["video_id"] == contracts.video_id(key)
        assert row["image_id"] == contracts.image_id(key, row["frame_idx"])
        expected = f"{ROOT}/frames/ds=20261120/{row['video_id']}/{row['image_id']}.jpg"
        assert row["image_url"] == expected
        assert (mount / expected.removeprefix(ROOT + "/")).stat().st_size > 0
    assert set(rows["status"]) == {"ok"}
    assert set(rows["attempt"]) == {2}
    assert set(rows["etag"]) == {"E"}


def test_frames_as_webp_replace_those_of_another_format(mount):
    write_video(mount / "v.mp4", frames=30, picture=detailed)
    extract(job(mount), f"{ROOT}/v.mp4")
    rows = extract(job(mount, image_format="webp"), f"{ROOT}/v.mp4")
    files = [mount / url.removeprefix(ROOT + "/") for url in rows["image_url"]]
    assert sorted(files[0].parent.iterdir()) == files
    assert [file.name for file in files] == ["v_0000.webp", "v_0001.webp"]
    with PIL.Image.open(files[1]) as image:
        assert (image.format, image.size) == ("WEBP", (96, 64))


def test_frames_are_made_smaller_but_never_larger(mount):
    write_video(mount / "v.mp4", frames=3, picture=detailed)
    for longest_side, size in ((48, (48, 32)), (1000, (96, 64)), (None, (96, 64))):
        [row] = extract(job(mount, longest_side=longest_side), f"{ROOT}/v.mp4").to_dict("records")
        assert (row["width"], row["height"]) == size
        with PIL.Image.open(mount / row["image_url"].removeprefix(ROOT + "/")) as image:
            assert image.size == size


def test_video_that_was_cut_off_gives_whole_frames_where_that_is_asked_for(mount):
    whole = write_video(mount / "whole.mp4", frames=100, picture=detailed, container_options=FASTSTART)
    content = whole.read_bytes()
    (mount / "cut.mp4").write_bytes(content[: len(content) * 60 // 100])
    (mount / "no_index.mp4").write_bytes(content[: len(content) * 3 // 100])
    paths = [f"{ROOT}/{name}.mp4" for name in ("whole", "cut", "no_index")]
    assert list(extract(job(mount), *paths)["error_type"]) == ["", "", "", "", "truncated", "truncated"]
    asked = job(mount, allow_partial=True)
    rows = extract(asked, *paths)
    assert list(rows.columns) == list(asked.dtypes({"etag": "object", "size_bytes": "int64"}))
    assert list(rows["error_type"]) == ["", "", "", "", "", "", "", "truncated"]
    assert list(rows["frame_time_ms"].dropna()) == [0, 1000, 2000, 3000, 0, 1000, 2000]
    assert list(rows["decode_note"].isna()) == [True] * 4 + [False] * 3 + [True]
    assert set(rows["decode_note"].dropna()) == {"the file was cut off: it holds 2.2 of 4.0 seconds"}


def test_failed_video_is_one_row_that_keeps_its_identifiers(mount):
    (mount / "bad.mp4").write_bytes(b"nope" * 9)
    [row] = extract(job(mount), f"{ROOT}/bad.mp4").to_dict("records")
    assert (row["status"], row["error_stage"], row["error_type"]) == (
        "failed",
        "frame_extraction",
        "not_a_video",
    )
    assert (row["frame_idx"], row["etag"], row["video_id"]) == (-1, "E", contracts.video_id("bad.mp4"))
    assert all(pd.isna(row[c]) for c in ("frame_time_ms", "image_id", "image_url", "width", "height"))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (f"{ROOT}-evil/x.mp4", "path_outside_root"),
        ("oss://other/bucket/x.mp4", "path_outside_root"),
        ("/etc/passwd", "path_outside_root"),
        (None, "path_outside_root"),
        (f"{ROOT}/../x.mp4", "path_traversal"),
        (f"{ROOT}/a/../../x.mp4", "path_traversal"),
        (f"{ROOT}/a/%2e%2e/x.mp4", "path_traversal"),
        (f"{ROOT}/a/%252e%252e/x.mp4", "path_traversal"),
        (f"{ROOT}/a\x00.mp4", "path_traversal"),
        (f"{ROOT}//etc/passwd", "path_traversal"),
        (f"{ROOT}/missing.mp4", "not_found"),
        (f"{ROOT}/{'x' * 300}.mp4", "not_found"),
        (f"{ROOT}/a%2F..%2Fx.mp4", "path_traversal"),
        (f"{ROOT}/a\\..\\x.mp4", "path_traversal"),
        (f"{ROOT}/a\x7f.mp4", "path_traversal"),
        (f"{ROOT}/\ud800.mp4", "path_traversal"),
        (f"{ROOT}/", "path_outside_root"),
        (ROOT, "path_outside_root"),
        (ROOT.replace("/bucket", "/bucket2") + "/x.mp4", "path_outside_root"),
        ("", "path_outside_root"),
        (float("nan"), "path_outside_root"),
        (5, "path_outside_root"),
    ],
)
def test_paths_that_lead_elsewhere_are_failed_rows(mount, path, reason):
    [row] = extract(job(mount), path).to_dict("records")
    assert (row["status"], row["error_type"]) == ("failed", reason)
    assert str(mount) not in row["error_msg"]


def test_percent_signs_that_lead_nowhere_are_plain_names(mount):
    write_video(mount / "100%.mp4", frames=3)
    write_video(mount / "a%20b.mp4", frames=3)
    rows = extract(job(mount), f"{ROOT}/100%.mp4", f"{ROOT}/a%20b.mp4")
    assert list(rows["image_id"]) == ["100%_0000", "a%20b_0000"]
    for url in rows["image_url"]:
        assert (mount / url.removeprefix(ROOT + "/")).is_file()


def test_symlinks_out_of_the_root_are_refused(mount, tmp_path):
    outside = write_video(tmp_path / "outside.mp4")
    (mount / "link.mp4").symlink_to(outside)
    (mount / "folder").symlink_to(tmp_path)
    (mount / "circle.mp4").symlink_to("circle.mp4")
    rows = extract(
        job(mount), f"{ROOT}/link.mp4", f"{ROOT}/folder/outside.mp4", f"{ROOT}/circle.mp4"
    ).to_dict("records")
    assert [row["error_type"] for row in rows] == ["path_traversal", "path_traversal", "not_found"]


def test_output_folder_that_leads_out_of_the_root_is_refused(mount, tmp_path):
    write_video(mount / "v.mp4")
    (tmp_path / "elsewhere").mkdir()
    (mount / "frames").symlink_to(tmp_path / "elsewhere")
    [row] = extract(job(mount), f"{ROOT}/v.mp4").to_dict("records")
    assert row["error_type"] == "path_traversal"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_root_with_a_prefix_and_a_slash_at_its_end(mount):
    write_video(mount / "a/v.mp4", frames=3)
    root = f"{ROOT}/fleet/"
    [row] = extract(job(mount, oss_root=root), f"{root}a/v.mp4").to_dict("records")
    assert row["video_id"] == contracts.video_id("fleet/a/v.mp4")
    assert row["image_url"] == f"{root}frames/ds=20261120/{row['video_id']}/v_0000.jpg"


def test_name_too_long_for_its_frames_is_a_failed_row(mount):
    name = "x" * 250 + ".mp4"
    write_video(mount / name, frames=3)
    [row] = extract(job(mount), f"{ROOT}/{name}").to_dict("records")
    assert (row["error_type"], row["status"]) == ("write_error", "failed")
    assert len(row["error_msg"]) <= contracts.MAX_ERROR_MESSAGE


@pytest.mark.parametrize("attempt", [None, float("nan"), pd.NA, "x", -3, float("inf")])
def test_garbage_beside_the_path_loses_no_row(mount, attempt):
    videos = pd.DataFrame({"video_path": [None], "attempt": pd.Series([attempt], dtype=object)})
    [row] = extract_frames(videos, job(mount, lineage=())).to_dict("records")
    assert (row["status"], row["attempt"], row["fingerprint"]) == ("failed", 1, None)


def test_no_videos_give_no_rows_of_the_right_types(mount):
    videos = pd.DataFrame({"video_path": [], "etag": [], "size_bytes": [], "attempt": [], "fingerprint": []})
    rows = extract_frames(videos, job(mount))
    assert list(rows.columns) == list(job(mount).dtypes({"etag": "object", "size_bytes": "int64"}))
    assert rows["frame_idx"].dtype == "Int64"


def test_null_stays_null_and_integers_stay_integers(mount):
    write_video(mount / "v.mp4", frames=3)
    large = (1 << 60) + 1
    videos = pd.DataFrame(
        {
            "video_path": [f"{ROOT}/v.mp4", None],
            "etag": ["E", None],
            "size_bytes": pd.Series([large, None], dtype="Int64"),
            "attempt": [1, 2],
            "fingerprint": ["f", "g"],
        }
    )
    table = pa.Table.from_pandas(extract_frames(videos, job(mount)), preserve_index=False)
    for name in ("frame_idx", "frame_time_ms", "width", "height", "attempt", "size_bytes"):
        assert table.schema.field(name).type == pa.int64()
    assert table["size_bytes"].to_pylist() == [large, None]
    assert table["frame_time_ms"].to_pylist() == [0, None]
    assert table["width"].to_pylist() == [96, None]
    assert table["image_url"].to_pylist()[1] is None


def test_job_that_no_video_can_fulfil_is_refused_at_once(mount):
    with pytest.raises(ValueError, match="positive"):
        extract(job(mount, fps="0"), f"{ROOT}/v.mp4")


def test_lower_rate_and_failure_leave_no_older_frames_behind(mount):
    video = write_video(mount / "v.mp4", frames=55)
    folder = mount / "frames/ds=20261120" / contracts.video_id("v.mp4")
    extract(job(mount, fps="5"), f"{ROOT}/v.mp4")
    assert len(list(folder.iterdir())) == 11
    extract(job(mount, fps="1"), f"{ROOT}/v.mp4")
    assert sorted(f.name for f in folder.iterdir()) == ["v_0000.jpg", "v_0001.jpg", "v_0002.jpg"]
    (folder / "notes.txt").write_text("somebody else's")
    video.write_bytes(b"broken now" * 9)
    extract(job(mount), f"{ROOT}/v.mp4")
    assert [f.name for f in folder.iterdir()] == ["notes.txt"]


def test_video_that_breaks_half_way_leaves_no_frames(mount):
    video = write_video(
        mount / "v.mp4", frames=75, picture=detailed, options={"g": "25", "sc_threshold": "0"}
    )
    _, last = media_range(video)
    with av.open(str(video)) as container:
        keys = [p.pos for p in container.demux(video=0) if p.is_keyframe]
    damage(video, keys[-1] + 100, min(400, last - keys[-1] - 100))
    [row] = extract(job(mount), f"{ROOT}/v.mp4").to_dict("records")
    assert row["error_type"] == "decode_error"
    assert list((mount / "frames").rglob("*.*")) == []


def test_deadline_holds_when_the_decoder_hangs(mount, monkeypatch):
    write_video(mount / "v.mp4")
    extract(job(mount), f"{ROOT}/v.mp4")
    assert list((mount / "frames").rglob("*.jpg")) != []
    monkeypatch.setattr(frames, "decode_samples", lambda *_, **__: time.sleep(600))
    [row] = extract(job(mount, timeout_sec=1), f"{ROOT}/v.mp4").to_dict("records")
    assert row["error_type"] == "timeout"
    # Frames of an earlier run are gone as well.
    assert list((mount / "frames").rglob("*.jpg")) == []


def test_one_process_serves_all_videos_of_a_chunk_until_it_hangs(mount, monkeypatch):
    for name in "abcd":
        write_video(mount / f"{name}.mp4", frames=3)
    forks, real_fork, real = [], os.fork, frames.decode_samples

    def counted():
        forks.append("av" in sys.modules and "PIL.JpegImagePlugin" in sys.modules)
        return real_fork()

    def hang(path, *rest, **more):
        if path.endswith("b.mp4"):
            time.sleep(600)
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "fork", counted)
    paths = [f"{ROOT}/{name}.mp4" for name in "abcd"]
    assert set(extract(job(mount), *paths)["status"]) == {"ok"}
    # What it needs is there before it is forked, and is not loaded again for each.
    assert forks == [True]
    monkeypatch.setattr(frames, "decode_samples", hang)
    rows = extract(job(mount, timeout_sec=2), *paths)
    assert list(rows["error_type"]) == ["", "timeout", "", ""]
    # One more to clean up, and one in place of the one that hung.
    assert len(forks) == 1 + 3


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_videos_are_decoded_side_by_side_on_the_cores_of_a_worker(mount, tmp_path, monkeypatch, names):
    for name in names:
        write_video(mount / f"{name}.mp4", frames=30)
    real = frames.decode_samples

    def meet(path, *rest, **more):
        name = path[-5]
        (tmp_path / name).touch()
        # Only who is at work at the same time can see the other one come.
        while name != "c" and not all((tmp_path / other).exists() for other in "ab"):
            time.sleep(0.01)
        return real(path, *rest, **more)

    monkeypatch.setattr(frames, "decode_samples", meet)
    rows = extract(job(mount, cpu=2), *(f"{ROOT}/{name}.mp4" for name in names))
    assert list(rows["error_type"]) == [""] * 2 * len(names)
    assert list(rows["image_id"]) == [f"{name}_{index:04d}" for name in names for index in (0, 1)]


def test_side_by_side_one_that_hangs_is_killed_and_the_others_are_not(mount, monkeypatch):
    for name in "abcd":
        write_video(mount / f"{name}.mp4", frames=3)
    real = frames.decode_samples

    def hang(path, *rest, **more):
        if path.endswith("a.mp4"):
            time.sleep(600)
        return real(path, *rest, **more)

    monkeypatch.setattr(frames, "decode_samples", hang)
    rows = extract(job(mount, cpu=2, timeout_sec=2), *(f"{ROOT}/{name}.mp4" for name in "abcd"))
    assert list(rows["error_type"]) == ["timeout", "", "", ""]


def test_cores_decode_one_video_side_by_side_and_write_the_same_files(mount):
    write_video(mount / "v.mp4", frames=100, picture=detailed, options={"g": "10"})
    written = []
    for cpu in (1, 3):
        rows = extract(job(mount, fps="5", cpu=cpu, quality=QualityRules()), f"{ROOT}/v.mp4")
        files = [mount / url.removeprefix(ROOT + "/") for url in rows["image_url"]]
        written.append((rows.to_csv(), [file.read_bytes() for file in files]))
    assert written[0] == written[1]


def test_crash_of_the_decoder_fails_one_video_only(mount, monkeypatch):
    write_video(mount / "a.mp4")
    write_video(mount / "b.mp4")
    real = frames.decode_samples

    def crash(path, *rest, **more):
        if path.endswith("a.mp4"):
            os._exit(77)
        return real(path, *rest, **more)

    monkeypatch.setattr(frames, "decode_samples", crash)
    rows = extract(job(mount), f"{ROOT}/a.mp4", f"{ROOT}/b.mp4").to_dict("records")
    assert rows[0]["error_type"] == "decode_error"
    assert "77" in rows[0]["error_msg"]
    assert {r["status"] for r in rows[1:]} == {"ok"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "decode_error"),
        (ValueError("odd"), "decode_error"),
        (OSError(28, "No space left on device", "/somewhere/local"), "write_error"),
    ],
)
def test_whatever_goes_wrong_fails_one_video_without_naming_local_paths(mount, monkeypatch, error, reason):
    write_video(mount / "v.mp4", frames=3)

    def broken(*_, **__):
        raise error

    monkeypatch.setattr(frames, "decode_samples", broken)
    [row] = extract(job(mount), f"{ROOT}/v.mp4").to_dict("records")
    assert row["error_type"] == reason
    assert "/somewhere" not in row["error_msg"]


def test_no_process_to_be_had_fails_the_video(mount, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    [row] = extract(job(mount), f"{ROOT}/v.mp4").to_dict("records")
    assert row["error_type"] == "decode_error"


def test_mount_that_cannot_rename_is_written_directly(mount, monkeypatch):
    write_video(mount / "v.mp4", frames=30)

    def refuse(*_, **__):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(os, "replace", refuse)
    rows = extract(job(mount), f"{ROOT}/v.mp4")
    assert set(rows["status"]) == {"ok"}
    written = [f for f in (mount / "frames").rglob("*") if f.is_file()]
    assert sorted(f.name for f in written) == ["v_0000.jpg", "v_0001.jpg"]
    assert all(f.stat().st_size > 100 for f in written)


def test_progress_is_one_line_per_video(mount, capfd):
    write_video(mount / "v.mp4", frames=30)
    extract(job(mount), f"{ROOT}/v.mp4", "/etc/passwd\nsecret")
    captured = capfd.readouterr()
    refused, read = captured.out.splitlines()
    assert refused.startswith("row 1: path_outside_root")
    assert read.startswith(f"{ROOT}/v.mp4: 2 frames")
    assert str(mount) not in captured.out
    assert captured.err == ""


UNPICKLE = """
import sys, pickle

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("airflow", "airflow_provider_drivepipe"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import json
import pandas as pd
extract, finish = pickle.load(open(sys.argv[1], "rb"))
frames = extract(pd.DataFrame({"video_path": sys.argv[2:], "attempt": 1, "fingerprint": "f"}))
answer = {"choices": [{"message": {"content": '{"weather": "clear"}'}}]}
frames["drivepipe_response_0"] = json.dumps(answer)
frames["drivepipe_success_0"] = frames["status"] == "ok"
rows = finish(frames)
print(rows[["status", "error_type", "brightness", "frame_time_ms", "label_text"]].to_json(orient="values"))
"""


def test_the_functions_run_where_this_package_is_not_installed(mount, tmp_path):
    write_video(mount / "v.mp4", frames=30)
    (mount / "empty.mp4").touch()
    cloudpickle.register_pickle_by_value(worker)
    cloudpickle.register_pickle_by_value(contracts)
    frame_job = job(mount, lineage=(), quality=QualityRules(min_brightness=1.0))
    columns = (*frame_job.own_names(), "label_text", *(c.name for c in contracts.STATUS_COLUMNS))
    part = RowPart("label", (("label_text", "string"),), "label_text")
    answer_job = AnswerJob(part, {"type": "object", "required": ["weather"]})

    def extract_chunk(chunk):
        return extract_frames(chunk, frame_job)

    def check_answers(chunk):
        return read_answers(chunk, answer_job, columns)

    for function in (extract_chunk, check_answers):
        function.__module__ = "__main__"
    pickled = tmp_path / "functions.pickle"
    pickled.write_bytes(cloudpickle.dumps((extract_chunk, check_answers)))
    done = subprocess.run(
        [sys.executable, "-I", "-c", UNPICKLE, str(pickled), f"{ROOT}/v.mp4", f"{ROOT}/empty.mp4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    label = '{"weather":"clear"}'
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["ok", "", 8.0, 0, label],
        ["ok", "", 108.0, 1000, label],
        ["failed", "empty_file", None, None, None],
    ]


# Frame quality.


def each_second(*pictures):
    """What a video of 25 frames per second shows, one picture for each second."""
    return lambda number, width, height: np.asarray(pictures[number // 25].resize((width, height)))


def write_mixed(path):
    """Seven seconds: good, dark, good, frozen, blurred, near-duplicate of the last good one, good."""
    lighter = scene(1).point(lambda level: min(255, level + 12))
    pictures = (scene(0), scene(0).point(lambda _: 2), scene(1), scene(1), blurred(scene(2), 9), lighter)
    return write_video(path, frames=175, size=(320, 200), picture=each_second(*pictures, scene(3)))


RULES = QualityRules(10.0, 60.0, 0.2, 3)


def test_frames_that_a_rule_refuses_are_filtered_rows_with_their_measures(mount):
    write_mixed(mount / "v.mp4")
    rows = extract(job(mount, quality=RULES), f"{ROOT}/v.mp4")
    assert list(rows["error_type"]) == ["", "too_dark", "", "frozen", "too_blurred", "near_duplicate", ""]
    assert list(rows["status"]) == ["filtered" if reason else "ok" for reason in rows["error_type"]]
    assert set(rows.loc[rows["status"] == "filtered", "error_stage"]) == {"frame_extraction"}
    dtypes = job(mount, quality=RULES).dtypes({"etag": "object", "size_bytes": "int64"})
    assert list(rows.columns) == list(dtypes)
    assert rows["brightness"][1] < 10 < rows["brightness"][0]
    assert rows["sharpness"][4] < 60 < rows["sharpness"][0]
    assert pd.isna(rows["frame_change"][0])
    assert rows["phash"].str.fullmatch("[0-9a-f]{16}").all()
    # The pictures stay: other thresholds may want them.
    assert all((mount / url.removeprefix(ROOT + "/")).is_file() for url in rows["image_url"])


def test_frames_are_measured_without_any_rule_and_failed_videos_have_no_measures(mount):
    write_mixed(mount / "v.mp4")
    (mount / "bad.mp4").write_bytes(b"nope" * 9)
    rows = extract(job(mount, quality=QualityRules()), f"{ROOT}/v.mp4", f"{ROOT}/bad.mp4")
    assert list(rows["status"]) == ["ok"] * 7 + ["failed"]
    table = pa.Table.from_pandas(rows, preserve_index=False)
    assert table.schema.field("sharpness").type == pa.float64()
    assert [table[name].null_count for name in MEASURE_NAMES] == [1, 1, 2, 1]


def test_the_frame_before_is_one_of_the_same_video(mount):
    for name in ("a", "b"):
        write_video(mount / f"{name}.mp4", frames=25, size=(320, 200), picture=each_second(scene(0)))
    rows = extract(job(mount, quality=RULES), f"{ROOT}/a.mp4", f"{ROOT}/b.mp4")
    assert list(rows["status"]) == ["ok", "ok"]
