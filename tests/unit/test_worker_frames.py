"""The frame-extraction UDF: identities, safety, deadlines, and nothing lost."""

import os
import subprocess
import sys
import time

import cloudpickle
import pandas as pd
import pytest

from airflow_provider_drivepipe import contracts, worker
from airflow_provider_drivepipe.worker import frames
from airflow_provider_drivepipe.worker.frames import FrameJob, extract_frames, frame_dtypes
from tests.unit.video_samples import write_video

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
            "video_path": list(paths),
            "etag": "E",
            "size_bytes": 5,
            "attempt": 2,
            "fingerprint": "f",
        }
    )
    return extract_frames(videos, job)


def test_literals_equal_the_contracts():
    assert tuple(c.name for c in contracts.FRAME_COLUMNS) == frames.OWN_NAMES
    assert tuple(c.name for c in contracts.STATUS_COLUMNS) == frames.STATUS_NAMES
    assert frames.STAGE == contracts.Stage.FRAME_EXTRACTION
    assert frames.MAX_ERROR_MESSAGE == contracts.MAX_ERROR_MESSAGE


def test_rows_identities_and_files(mount):
    write_video(mount / "trips/a/front.mp4", frames=55)
    write_video(mount / "trips/b/front.mp4", frames=30)
    rows = extract(job(mount), f"{ROOT}/trips/a/front.mp4", f"{ROOT}/trips/b/front.mp4")
    assert list(rows.columns) == list(frame_dtypes({"etag": "object", "size_bytes": "int64"}))
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
    ],
)
def test_paths_that_lead_elsewhere_are_failed_rows(mount, path, reason):
    [row] = extract(job(mount), path).to_dict("records")
    assert (row["status"], row["error_type"]) == ("failed", reason)
    assert str(mount) not in row["error_msg"]


def test_symlink_out_of_the_root_is_refused(mount, tmp_path):
    outside = write_video(tmp_path / "outside.mp4")
    (mount / "link.mp4").symlink_to(outside)
    [row] = extract(job(mount), f"{ROOT}/link.mp4").to_dict("records")
    assert row["error_type"] == "path_traversal"


def test_lower_rate_and_failure_leave_no_older_frames_behind(mount):
    video = write_video(mount / "v.mp4", frames=55)
    folder = mount / "frames/ds=20261120" / contracts.video_id("v.mp4")
    extract(job(mount, fps="5"), f"{ROOT}/v.mp4")
    assert len(list(folder.iterdir())) == 11
    extract(job(mount, fps="1"), f"{ROOT}/v.mp4")
    assert sorted(f.name for f in folder.iterdir()) == ["v_0000.jpg", "v_0001.jpg", "v_0002.jpg"]
    video.write_bytes(b"broken now" * 9)
    extract(job(mount), f"{ROOT}/v.mp4")
    assert list(folder.iterdir()) == []


def test_deadline_holds_when_the_decoder_hangs(mount, monkeypatch):
    write_video(mount / "v.mp4")
    monkeypatch.setattr(frames, "decode_samples", lambda *a: time.sleep(600))
    [row] = extract(job(mount, timeout_sec=1), f"{ROOT}/v.mp4").to_dict("records")
    assert row["error_type"] == "timeout"


def test_crash_of_the_decoder_fails_one_video_only(mount, monkeypatch):
    write_video(mount / "a.mp4")
    write_video(mount / "b.mp4")
    real = frames.decode_samples

    def crash(path, *rest):
        if path.endswith("a.mp4"):
            os._exit(77)
        return real(path, *rest)

    monkeypatch.setattr(frames, "decode_samples", crash)
    rows = extract(job(mount), f"{ROOT}/a.mp4", f"{ROOT}/b.mp4").to_dict("records")
    assert rows[0]["error_type"] == "decode_error"
    assert "77" in rows[0]["error_msg"]
    assert {r["status"] for r in rows[1:]} == {"ok"}


UNPICKLE = """
import sys, pickle

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("airflow", "airflow_provider_drivepipe"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
import pandas as pd
udf = pickle.load(open(sys.argv[1], "rb"))
rows = udf(pd.DataFrame({"video_path": [sys.argv[2]], "attempt": [1], "fingerprint": ["f"]}))
print(list(rows["status"]), list(rows["frame_time_ms"]))
"""


def test_the_udf_runs_where_this_package_is_not_installed(mount, tmp_path):
    write_video(mount / "v.mp4", frames=30)
    cloudpickle.register_pickle_by_value(worker)
    this = job(mount, lineage=())

    def udf(chunk):
        return extract_frames(chunk, this)

    udf.__module__ = "__main__"
    pickled = tmp_path / "udf.pickle"
    pickled.write_bytes(cloudpickle.dumps(udf))
    done = subprocess.run(
        [sys.executable, "-I", "-c", UNPICKLE, str(pickled), f"{ROOT}/v.mp4"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['ok', 'ok'] [0, 1000]"
