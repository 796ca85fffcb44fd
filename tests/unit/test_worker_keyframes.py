"""The keyframe-expansion UDF: order, choice, times, safety, deadlines, and nothing lost."""

import hashlib
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import cloudpickle
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe import contracts, worker
from airflow_provider_drivepipe.pipelines.driving.keyframes import KeyframeExpansion
from airflow_provider_drivepipe.pipelines.driving.options import KeyframeOptions, OssOptions, TimestampUnit
from airflow_provider_drivepipe.stages.stage import Build
from airflow_provider_drivepipe.stages.worker_call import MountOptions
from airflow_provider_drivepipe.worker import clip_folder
from airflow_provider_drivepipe.worker.clip_folder import choose, clip_key, natural_key
from airflow_provider_drivepipe.worker.clip_times import MAX_SIDECAR_BYTES, times_in_names
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.keyframes import expand_clips, keyframe_dtypes

ROOT = "oss://oss-cn-x.aliyuncs.com/bucket/root"
EPOCH = 1532402927612


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "mount"
    folder.mkdir()
    return folder


def job(mount, lineage=("car",), start="start_ms", end="end_ms", timeout_sec=None, **options):
    columns = ("clip_id", "clip_dir", *lineage)
    made = KeyframeExpansion(OssOptions("b"), KeyframeOptions(**options)).job(
        MountOptions(ROOT, str(mount), "role"), Build(None, "", {}, columns)
    )
    changed = {"start_column": start, "end_column": end, "lineage": lineage}
    return replace(made, **changed, timeout_sec=timeout_sec or made.timeout_sec)


def clip_of(folder, *names, sidecar=None):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"image")
    for name, content in (sidecar or {}).items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def table(*clips):
    """Clips as (id, directory[, start, end]); ``car`` is lineage, an integer with NULLs."""
    rows = [(*clip, None, None)[:4] for clip in clips]
    return pd.DataFrame(
        {
            "clip_id": pd.Series([row[0] for row in rows], dtype=object),
            "clip_dir": pd.Series([row[1] for row in rows], dtype=object),
            "start_ms": pd.array([row[2] for row in rows], dtype="Int64"),
            "end_ms": pd.array([row[3] for row in rows], dtype="Int64"),
            "car": pd.array([None] * len(rows), dtype="Int64"),
            "attempt": 2,
            "fingerprint": "f",
        }
    )


def expand(job, *clips):
    return expand_clips(table(*clips), job)


def names_of(rows):
    return [url.rpartition("/")[2] for url in rows["image_url"]]


def failure_of(rows):
    """The reason and message of the one row of a failed clip."""
    assert list(rows["frame_idx"]) == [-1]
    row = rows.iloc[0]
    assert (row["status"], row["error_stage"]) == ("failed", "keyframe_expansion")
    assert row["keyframe_id"] is None
    assert row["image_url"] is None
    assert pd.isna(row["frame_time_ms"])
    assert row["error_type"] in {str(reason) for reason in contracts.Reason}
    assert 0 < len(row["error_msg"]) <= contracts.MAX_ERROR_MESSAGE
    return row["error_type"], row["error_msg"]


def reason_of(rows):
    return failure_of(rows)[0]


def test_rows_identities_and_lineage(mount):
    for clip in ("a", "b"):
        clip_of(mount / clip, "frame10.jpg", "frame2.jpg", "frame1.PNG")
    rows = expand(job(mount), ("x", "a"), ("y", f"{ROOT}/b/"), ("z", "a"), ("x", "gone"))
    assert list(rows.columns) == list(keyframe_dtypes({"car": "Int64"}))
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == keyframe_dtypes({"car": "Int64"})
    assert names_of(rows[:3]) == ["frame1.PNG", "frame2.jpg", "frame10.jpg"]
    assert list(rows["image_url"][3:5]) == [f"{ROOT}/b/frame1.PNG", f"{ROOT}/b/frame2.jpg"]
    assert list(rows["image_id"][:3]) == ["frame1", "frame2", "frame10"]
    assert list(rows["frame_idx"]) == [0, 1, 2] * 3 + [-1]
    assert list(rows["clip_dir"]) == ["a"] * 3 + [f"{ROOT}/b/"] * 3 + ["a"] * 3 + ["gone"]
    assert rows["frame_time_ms"].isna().all()
    ok = rows[:9]
    assert ok["keyframe_id"].is_unique
    assert set(ok["keyframe_id"].str.len()) == {16}
    assert set(rows["attempt"]) == {2}
    assert set(rows["fingerprint"]) == {"f"}
    assert list(rows["status"]) == ["ok"] * 9 + ["failed"]


def test_an_image_keeps_its_id_whatever_else_is_chosen(mount):
    clip_of(mount / "a", *(f"f{n}.jpg" for n in range(9)))
    whole = expand(job(mount), ("x", "a"))
    some = expand(job(mount, stride=4), ("x", "a"))
    assert list(some["keyframe_id"]) == list(whole["keyframe_id"][::4])
    # Ids that are in tables already must not change: a literal, not a computation.
    assert some["keyframe_id"][0] == hashlib.sha256(b'["x", "a"]\0f0.jpg').hexdigest()[:16]


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["frame10.jpg", "frame2.jpg"], ["frame2.jpg", "frame10.jpg"]),
        (["f2.jpg", "f02.jpg", "f1.jpg"], ["f1.jpg", "f02.jpg", "f2.jpg"]),
        (["b1.jpg", "10.jpg", "9.jpg", "a.jpg"], ["9.jpg", "10.jpg", "a.jpg", "b1.jpg"]),
        (["s2_f10.jpg", "s10_f1.jpg", "s2_f9.jpg"], ["s2_f9.jpg", "s2_f10.jpg", "s10_f1.jpg"]),
        (["f٣.jpg", "f2.jpg"], ["f2.jpg", "f٣.jpg"]),
        (["9" * 200 + ".jpg", "1.jpg"], ["1.jpg", "9" * 200 + ".jpg"]),
    ],
)
def test_natural_order(names, ordered):
    assert sorted(names, key=natural_key) == ordered


@given(st.lists(st.text(alphabet="a1290._٣é", min_size=1, max_size=12), unique=True))
def test_natural_order_tells_all_names_apart(names):
    keys = sorted(map(natural_key, names))
    assert all(earlier < later for earlier, later in itertools.pairwise(keys))


def test_choice_by_count_stride_and_all():
    assert choose(10, 4, None) == [0, 3, 6, 9]
    assert choose(10, 2, None) == [0, 9]
    assert choose(10, 1, None) == [0]
    assert choose(3, 5, None) == [0, 1, 2]
    assert choose(10, None, 4) == [0, 4, 8]
    assert choose(3, None, None) == [0, 1, 2]


@given(st.integers(1, 500), st.integers(1, 500))
def test_chosen_by_count_are_distinct_even_and_span_all(total, count):
    chosen = choose(total, count, None)
    assert len(chosen) == min(total, count)
    assert chosen[0] == 0
    assert chosen[-1] == (total - 1 if count > 1 else 0)
    gaps = {later - earlier for earlier, later in itertools.pairwise(chosen)}
    assert not gaps or (min(gaps) >= 1 and max(gaps) - min(gaps) <= 1)


@pytest.mark.parametrize("options", [{"count": 2, "stride": 2}, {"count": 0}, {"stride": -1}])
def test_a_choice_that_makes_no_sense_fails_the_job(mount, options):
    with pytest.raises(ValueError, match="keyframes"):
        expand(job(mount, **options), ("x", "a"))


def test_what_is_no_image_is_left_out_and_counted(mount, capsys):
    folder = clip_of(mount / "a", "2.jpg", "1.webp", "3.JPEG", ".4.jpg", "5.jpg.tmp", "notes.txt", "jpg")
    (folder / "6.jpg").touch()
    (folder / "7.jpg").mkdir()
    os.mkfifo(folder / "8.jpg")
    (folder / "9.jpg").symlink_to("2.jpg")
    (folder / "a\nb.jpg").write_bytes(b"x")
    (folder / "x%2f..%2f..%2fsecret.jpg").write_bytes(b"x")
    (folder / "．．／secret.jpg").write_bytes(b"x")
    pathlib.Path(os.fsdecode(bytes(folder) + b"/\xff.jpg")).write_bytes(b"x")
    rows = expand(job(mount), ("x", "a"))
    assert names_of(rows) == ["1.webp", "2.jpg", "3.JPEG"]
    left_out = "1 empty files, 1 folders, 1 hidden, 1 links, 4 other files, 4 unsafe names"
    assert f"{ROOT}/a: 3 of 3 images; left out: {left_out}" in capsys.readouterr().out


def test_names_that_look_alike_are_different_images(mount):
    clip_of(mount / "a", "caf\u00e9.jpg", "cafe\u0301.jpg", "路口 1#?.jpg")
    rows = expand(job(mount), ("x", "a"))
    assert len(rows) == 3
    assert rows["image_url"].is_unique
    assert rows["keyframe_id"].is_unique
    assert f"{ROOT}/a/路口 1#?.jpg" in set(rows["image_url"])


def test_a_clip_without_images_says_what_is_there(mount):
    (mount / "empty").mkdir()
    clip_of(mount / "other", ".a.jpg", "b.txt", "c.txt")
    assert failure_of(expand(job(mount), ("x", "empty"))) == (
        "no_frames",
        "the directory holds no images (it is empty)",
    )
    assert failure_of(expand(job(mount), ("x", "other"))) == (
        "no_frames",
        "the directory holds no images (1 hidden, 2 other files)",
    )


# Paths.


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (None, "path_outside_root"),
        ("", "path_outside_root"),
        ("/", "path_outside_root"),
        (float("nan"), "path_outside_root"),
        ("/a", "path_outside_root"),
        ("file:///a", "path_outside_root"),
        ("http://oss-cn-x.aliyuncs.com/bucket/root/a", "path_outside_root"),
        ("oss:/a", "path_outside_root"),
        ("OSS://oss-cn-x.aliyuncs.com/bucket/root/a", "path_outside_root"),
        ("oss://bucket/root/a", "path_outside_root"),
        ("oss://oss-cn-y.aliyuncs.com/bucket/root/a", "path_outside_root"),
        (ROOT, "path_outside_root"),
        (f"{ROOT}/", "path_outside_root"),
        (f"{ROOT}-evil/a", "path_outside_root"),
        (f"{ROOT}\u200b/a", "path_outside_root"),
        (f"{ROOT}/../other", "path_traversal"),
        ("..", "path_traversal"),
        (".", "path_traversal"),
        ("a/../b", "path_traversal"),
        ("a//b", "path_traversal"),
        ("a//", "path_traversal"),
        ("a/./b", "path_traversal"),
        ("..\\other", "path_traversal"),
        ("%2e%2e/other", "path_traversal"),
        ("%252e%252e%252fother", "path_traversal"),
        ("a/..%2fb", "path_traversal"),
        ("%2fetc", "path_traversal"),
        ("a\0b", "path_traversal"),
        ("a%00b", "path_traversal"),
        ("a\nb", "path_traversal"),
        ("a\ud800", "path_traversal"),
        ("．．/other", "path_traversal"),
        ("a／．．／other", "path_traversal"),
        ("%EF%BC%8E%EF%BC%8E/other", "path_traversal"),
        ("n" * 300, "not_found"),
        ("n/" * 600 + "n", "not_found"),
        ("a/b.jpg", "not_found"),
        ("cafe\u0301", "not_found"),
    ],
)
def test_directories_that_lead_elsewhere_or_nowhere(mount, path, reason):
    for folder in (mount / "a", mount / "other", mount.parent / "other", mount / "caf\u00e9"):
        clip_of(folder, "b.jpg")
    (mount.parent / "mount-evil").mkdir()
    rows = expand(job(mount), ("x", path))
    found, message = failure_of(rows)
    assert found == reason
    assert str(mount) not in message
    assert rows["clip_id"][0] == "x"


def test_a_path_that_only_an_object_store_could_hold_is_not_found():
    # Of the key's 1023 bytes, the root has "root/".
    longest = "n/" * 508 + "nn"
    with pytest.raises(VideoError) as error:
        clip_key(longest + "n", ROOT)
    assert error.value.reason == "not_found"
    assert clip_key(longest, ROOT) == longest


@given(st.text(alphabet="a./\\%2eEfF05cC．／\0 é:", max_size=20))
def test_accepted_paths_stay_below_the_root_however_they_are_decoded(path):
    try:
        key = clip_key(path, ROOT)
    except VideoError:
        return
    assert not key.startswith("/")
    assert not {"..", ".", ""} & set(key.split("/"))


def test_links_that_lead_out_fail_the_clip_and_show_nothing(mount):
    outside = clip_of(mount.parent / "outside", "secret.jpg", sidecar={"times": "password: 1\n"})
    (mount / "link").symlink_to(outside)
    clip_of(mount / "image", "1.jpg")
    (mount / "image" / "2.jpg").symlink_to(outside / "secret.jpg")
    clip_of(mount / "times", "1.jpg")
    (mount / "times" / "timestamps.txt").symlink_to(outside / "times")
    (mount / "circle").symlink_to(mount / "circle")
    for clip in ("link", "image", "times"):
        reason, message = failure_of(expand(job(mount), ("x", clip)))
        assert reason == "path_traversal"
        assert "password" not in message
    assert reason_of(expand(job(mount), ("x", "circle"))) == "not_found"


def test_a_sidecar_that_is_a_link_is_not_followed(mount):
    clip_of(mount / "a", "1.jpg", sidecar={"times": f"{EPOCH}\n"})
    (mount / "a" / "timestamps.txt").symlink_to("times")
    assert failure_of(expand(job(mount), ("x", "a"))) == (
        "invalid_timestamps",
        "timestamps.txt: it is a link",
    )


def test_a_directory_that_may_not_be_read(mount, monkeypatch):
    clip_of(mount / "a", "1.jpg")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    assert failure_of(expand(job(mount), ("x", "a"))) == (
        "access_denied",
        "the directory cannot be read: Permission denied",
    )


@pytest.mark.parametrize("clip_id", [None, "", float("nan")])
def test_a_clip_without_an_id(mount, clip_id):
    clip_of(mount / "a", "1.jpg")
    assert reason_of(expand(job(mount), (clip_id, "a"))) == "no_clip_id"


# Times.


def timed(mount, sidecar, *names, **options):
    clip_of(mount / "a", *(names or ("1.jpg", "2.jpg", "10.jpg")), sidecar=sidecar)
    return expand(job(mount, **options), ("x", "a"))


NS = [EPOCH * 10**6 + 499_999, (EPOCH + 50) * 10**6, (EPOCH + 100) * 10**6]


@pytest.mark.parametrize(
    "sidecar",
    [
        {"timestamps.txt": "\n".join(map(str, NS))},
        {"timestamps.txt": "# recorded by x\r\n" + "\r\n".join(map(str, NS)) + "\r\n\r\n"},
        {"TimeStamps.TXT": "\ufeff" + "\n".join(f"{ns // 1000}.25" for ns in NS)},
        {"timestamps.txt": "\n".join(f"{ns / 10**9:.18e}" for ns in NS)},
        {"timestamps.txt": "2018-07-24 03:28:47.6115\n2018-07-24T03:28:47.662Z\n2018-07-24 03:28:47.712"},
        {"timestamps.csv": "\n".join(f"{ns // 10**6}" for ns in NS)},
        {"timestamps.csv": "timestamp\n" + "\n".join(map(str, NS))},
        {"timestamps.csv": "File,gps,timestamp_ns\n"
         + "".join(f'"{name}",0,{ns}\n' for name, ns in zip(["1.jpg", "2.jpg", "10.jpg"], NS, strict=True))},
        {"timestamps.csv": f"timestamp,file\n{NS[2]},10.jpg\n{NS[0]},1.jpg\n{NS[1]},2.jpg\n{NS[1]},gone.jpg"},
        {"timestamps.json": json.dumps(NS)},
        {"timestamps.json": json.dumps([str(ns) for ns in NS])},
        {"timestamps.json": json.dumps({"10.jpg": NS[2], "2.jpg": NS[1], "1.jpg": NS[0], "gone.jpg": NS[0]})},
    ],
)  # fmt: skip
def test_files_of_timestamps(mount, sidecar):
    rows = timed(mount, sidecar)
    assert list(rows["frame_time_ms"]) == [EPOCH, EPOCH + 50, EPOCH + 100]


@pytest.mark.parametrize(
    ("unit", "text", "expected"),
    [
        ("s", "0\n0.0335\n1.5", [0, 34, 1500]),
        ("ms", "0\n33.9\n1500", [0, 34, 1500]),
        ("us", "0\n33499\n1500000", [0, 33, 1500]),
        ("ns", "0\n33499999\n1500000000", [0, 33, 1500]),
    ],
)
def test_the_unit_can_be_said(mount, unit, text, expected):
    rows = timed(mount, {"timestamps.txt": text}, timestamp_unit=TimestampUnit(unit))
    assert list(rows["frame_time_ms"]) == expected


def test_a_csv_column_that_says_its_unit_needs_no_option(mount):
    rows = timed(mount, {"timestamps.csv": "timestamp_s\n0\n0.5\n1\n"})
    assert list(rows["frame_time_ms"]) == [0, 500, 1000]


def test_empty_images_have_a_line_of_their_own(mount):
    clip_of(mount / "a", "1.jpg", "3.jpg", sidecar={"timestamps.txt": "0\n50\n100"})
    (mount / "a" / "2.jpg").touch()
    rows = expand(job(mount, timestamp_unit=TimestampUnit.MILLISECONDS), ("x", "a"))
    assert names_of(rows) == ["1.jpg", "3.jpg"]
    assert list(rows["frame_time_ms"]) == [0, 100]


@pytest.mark.parametrize(
    ("sidecar", "said"),
    [
        ({"timestamps.txt": ""}, "it holds no times|time 1 is not a number"),
        ({"timestamps.txt": "0\n1\n2"}, "the unit cannot be told"),
        ({"timestamps.txt": f"{EPOCH}\n{EPOCH}"}, "2 times for 3 images"),
        ({"timestamps.txt": f"{EPOCH}\n\n{EPOCH}"}, "time 2 is not a number"),
        ({"timestamps.txt": f"{EPOCH}\n-5\n{EPOCH}"}, "time 2 is not a number"),
        ({"timestamps.txt": f"{EPOCH}\nnan\n{EPOCH}"}, "time 2 is not a number"),
        ({"timestamps.txt": f"{EPOCH} 1.jpg\n{EPOCH}\n{EPOCH}"}, "time 1 is not a number"),
        ({"timestamps.txt": f"{EPOCH}\n{EPOCH}e90\n{EPOCH}"}, "the unit cannot be told"),
        ({"timestamps.txt": f"{EPOCH}\n{EPOCH * 1000}\n{EPOCH}"}, "the unit cannot be told"),
        ({"timestamps.txt": f"{EPOCH}\n{EPOCH - 1}\n{EPOCH}"}, "times go back"),
        ({"timestamps.txt": "2018-07-24 03:28:47\n5\n6"}, "time 2 is not a date"),
        ({"timestamps.txt": "2018-07-24 03:28:47\n2018-02-30 03:28:47\n"}, "time 2 does not exist"),
        ({"timestamps.txt": b"\xff\xfe1\x00"}, "not UTF-8"),
        ({"timestamps.txt": "1" * (MAX_SIDECAR_BYTES + 1)}, "more than"),
        ({"timestamps.csv": "a,b\n1,2\n"}, "0 columns are called timestamp"),
        ({"timestamps.csv": "timestamp,timestamp_ms\n1,2\n"}, "2 columns are called timestamp"),
        ({"timestamps.csv": "timestamp_min\n1\n"}, "the unit of a timestamp column"),
        ({"timestamps.csv": "timestamp,file\n1\n"}, "line 2 has 1 cells, not 2"),
        ({"timestamps.csv": 'timestamp\n"1'}, "not a CSV file"),
        ({"timestamps.csv": ""}, "."),
        ({"timestamps.csv": f"file,timestamp\n1.jpg,{EPOCH}\n1.jpg,{EPOCH}\n"}, "names a file twice"),
        ({"timestamps.csv": f"file,timestamp\n1.jpg,{EPOCH}\n"}, "2 of 3 images have no timestamp"),
        ({"timestamps.json": "{"}, "not JSON"),
        ({"timestamps.json": "[" * 100_000}, "not JSON"),
        ({"timestamps.json": "[NaN]"}, "not JSON"),
        ({"timestamps.json": "[true]"}, "neither an array"),
        ({"timestamps.json": "[[1]]"}, "neither an array"),
        ({"timestamps.json": "7"}, "neither an array"),
        ({"timestamps.json": '"7"'}, "neither an array"),
        ({"timestamps.json": "[]"}, "no times"),
        ({"timestamps.json": f'{{"1.jpg": {EPOCH}, "1.jpg": {EPOCH}}}'}, "names a file twice"),
        ({"timestamps.txt": "1", "timestamps.csv": "1"}, "2 files of timestamps"),
    ],
)  # fmt: skip
def test_a_malformed_file_of_timestamps_fails_its_clip(mount, sidecar, said):
    reason, message = failure_of(timed(mount, sidecar))
    assert reason == "invalid_timestamps"
    assert re.search(said, message)
    assert str(mount) not in message


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([f"{EPOCH}.jpg", f"{EPOCH + 5}.jpg"], [EPOCH, EPOCH + 5]),
        ([f"CAM_FRONT__{EPOCH}460.jpg"], [EPOCH]),
        ([f"x-{EPOCH}499.png", f"x-{EPOCH}500.png"], [EPOCH, EPOCH + 1]),
        ([f"{EPOCH}.jpg", f"{EPOCH}000.jpg"], None),
        ([f"{EPOCH}.jpg", "thumb.jpg"], None),
        (["0000000000012.jpg", "0000000000013.jpg"], None),
        (["frame_00001532402927612.jpg"], None),
        ([f"{EPOCH}_left.jpg"], None),
        (["20260101120000.jpg"], None),
    ],
)
def test_epoch_times_in_file_names(names, expected):
    times = times_in_names(names)
    assert [times[name] for name in names] == expected if expected else times == {}


def test_a_file_of_timestamps_counts_more_than_file_names(mount):
    rows = timed(mount, {"timestamps.txt": str(EPOCH + 7)}, f"{EPOCH}.jpg")
    assert list(rows["frame_time_ms"]) == [EPOCH + 7]


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, [0, 1, 2, 3]),
        (EPOCH, EPOCH + 200, [0, 1]),
        (EPOCH + 1, None, [1, 2, 3]),
        (None, EPOCH + 300, [0, 1, 2]),
    ],
)
def test_a_time_range_includes_its_start_and_not_its_end(mount, start, end, expected):
    clip_of(mount / "a", *(f"{EPOCH + 100 * n}.jpg" for n in range(4)))
    rows = expand(job(mount), ("x", "a", start, end))
    assert list(rows["frame_time_ms"]) == [EPOCH + 100 * n for n in expected]
    assert list(rows["frame_idx"]) == list(range(len(expected)))


def test_keyframes_are_chosen_within_the_range(mount):
    clip_of(mount / "a", *(f"{EPOCH + 100 * n}.jpg" for n in range(10)))
    rows = expand(job(mount, count=2), ("x", "a", EPOCH + 100, EPOCH + 600))
    assert list(rows["frame_time_ms"]) == [EPOCH + 100, EPOCH + 500]


def test_ranges_that_cannot_be_applied(mount):
    clip_of(mount / "timeless", "1.jpg")
    clip_of(mount / "timed", f"{EPOCH}.jpg")
    made = job(mount)
    assert reason_of(expand(made, ("x", "timeless", 0, 5))) == "no_timestamps"
    assert reason_of(expand(made, ("x", "timed", 5, 5))) == "invalid_time_range"
    assert failure_of(expand(made, ("x", "timed", 0, 5))) == (
        "no_frames",
        "none of 1 images is in the time range",
    )
    odd = table(("x", "timed"))
    for value in ("soon", 1.5, True, float("inf"), 10**17):
        odd["start_ms"] = pd.Series([value], dtype=object)
        assert reason_of(expand_clips(odd, made)) == "invalid_time_range"
    assert len(expand(job(mount, start=None, end=None), ("x", "timeless", 0, 5))) == 1


# Deadlines, size, and where it runs.


def test_a_directory_that_hangs_fails_only_its_clip(mount, monkeypatch):
    clip_of(mount / "hangs", "1.jpg")
    clip_of(mount / "works", "1.jpg")
    scan = clip_folder.os.scandir

    def slow(path):
        if str(path).endswith("hangs"):
            time.sleep(600)
        return scan(path)

    monkeypatch.setattr(clip_folder.os, "scandir", slow)
    rows = expand(job(mount, timeout_sec=0.3), ("x", "hangs"), ("y", "works"))
    assert list(rows["error_type"]) == ["timeout", ""]


def test_more_files_than_allowed(mount):
    clip_of(mount / "a", "1.jpg", "2.jpg", "3.txt")
    assert reason_of(expand(job(mount, max_files=2), ("x", "a"))) == "too_many_files"
    assert len(expand(job(mount, max_files=3), ("x", "a"))) == 2


def test_a_hundred_thousand_files(mount, monkeypatch):
    """The directory is not made for real: its listing is what counts."""

    class Entry:
        def __init__(self, number):
            self.name = f"frame{number}.jpg"
            self.path = f"a/{self.name}"

        def is_symlink(self):
            return False

        def is_dir(self, **_):
            return False

        def is_file(self, **_):
            return True

        def stat(self, **_):
            return os.stat_result([1] * 10)

    class Scan:
        def __init__(self, path):
            pass

        def __enter__(self):
            return (Entry(number) for number in range(99_999, -1, -1))

        def __exit__(self, *_):
            pass

    clip_of(mount / "a", "1.jpg")
    monkeypatch.setattr(clip_folder.os, "scandir", Scan)
    rows = expand(job(mount, count=3), ("x", "a"))
    assert names_of(rows) == ["frame0.jpg", "frame50000.jpg", "frame99999.jpg"]


def test_no_clips_give_no_rows_of_the_right_types(mount):
    rows = expand(job(mount))
    assert len(rows) == 0
    assert {name: str(dtype) for name, dtype in rows.dtypes.items()} == keyframe_dtypes({"car": "Int64"})


def test_runs_where_this_package_is_absent(mount, tmp_path):
    clip_of(mount / "a", "1.jpg")
    cloudpickle.register_pickle_by_value(worker)
    cloudpickle.register_pickle_by_value(contracts)
    (tmp_path / "udf").write_bytes(cloudpickle.dumps((expand_clips, job(mount), table(("x", "a")))))
    program = (
        "import sys, pickle; sys.modules['airflow_provider_drivepipe'] = None\n"
        "call, job, clips = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(call(clips, job)['status'][0]); print('av' in sys.modules, 'PIL' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "udf")], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["ok", "False False"]


def test_the_fingerprint_changes_with_what_comes_out_and_with_nothing_else():
    def hash_of(root=ROOT, **options):
        site = SimpleNamespace(oss_root=lambda bucket, given: root)
        return KeyframeExpansion(OssOptions("b"), KeyframeOptions(**options)).hashes(site)

    same = hash_of()
    for other in ({"timeout_sec": 1}, {"batch_rows": 1}, {"max_files": 1}, {"clip_dir_column": "x"}):
        assert hash_of(**other) == same
    for other in ({"count": 1}, {"stride": 1}, {"image_extensions": (".jpg",)}, {"timestamp_unit": "s"}):
        assert hash_of(**other) != same
    assert hash_of(ROOT + "x") != same
