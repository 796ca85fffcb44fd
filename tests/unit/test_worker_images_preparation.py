"""The image-preparation UDF: identities, safety, crashes and hangs, and nothing lost."""

import base64
import hashlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unicodedata

import cloudpickle
import pandas as pd
import pytest
from PIL import Image

from airflow_provider_drivepipe import contracts, worker
from airflow_provider_drivepipe.pipelines.driving.options import ResizeFilter
from airflow_provider_drivepipe.worker import image_preparation, images
from airflow_provider_drivepipe.worker.image_preparation import (
    ImageJob,
    image_dtypes,
    prepare_images,
    prepared_name,
)
from airflow_provider_drivepipe.worker.images import TargetSize
from airflow_provider_drivepipe.worker.output_folder import OutputFolder
from airflow_provider_drivepipe.worker.phash import perceptual_hash
from tests.unit.children import children
from tests.unit.image_samples import encoded, scene, with_orientation

ROOT = "oss://oss-cn-x.aliyuncs.com/bucket"
PREFIX = "prepared/ds=20261120"


@pytest.fixture
def mount(tmp_path):
    folder = tmp_path / "mount"
    folder.mkdir()
    return folder


def put(mount, key, content=None):
    path = mount / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(scene()) if content is None else content)
    return f"{ROOT}/{key}"


def job(mount, **changes):
    values = {
        "oss_root": ROOT,
        "mount_path": str(mount),
        "output_prefix": PREFIX,
        "size": TargetSize(longest_side=160),
        "resize_filter": "lanczos",
        "jpeg_quality": 85,
        "max_pixels": 1_000_000,
        "max_bytes": 1_000_000,
        "timeout_sec": 30,
        "lineage": ("image_id", "image_url"),
    }
    return ImageJob(**{**values, **changes})


def prepare(job, *urls):
    rows = pd.DataFrame(
        {
            "image_id": [str(n) for n in range(len(urls))],
            "image_url": pd.Series(list(urls), dtype=object),
            "attempt": 2,
            "fingerprint": "f",
        }
    )
    return prepare_images(rows, job).to_dict("records")


def prepared(mount):
    """Everything below the output prefix, and no file may be anywhere else."""
    folder = mount / "prepared"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def file_of(mount, row):
    return mount / row["prepared_url"].removeprefix(ROOT + "/")


def test_filters_are_those_of_the_options():
    assert tuple(ResizeFilter) == images.FILTERS


def test_features_are_of_the_file_and_the_prepared_image_is_another(mount):
    content = with_orientation(scene(size=(200, 320)).transpose(Image.Transpose.ROTATE_90), 6)
    url = put(mount, "trip/a.jpg", content)
    [row] = prepare(job(mount), url)
    assert list(row) == list(image_dtypes({"image_id": "object", "image_url": "object"}))
    assert (row["width"], row["height"], row["format"], row["mode"]) == (200, 320, "JPEG", "RGB")
    assert (row["size_bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert row["phash"] == perceptual_hash(images.decode(content, 10**6).pixels)
    assert row["prepared_url"] == f"{ROOT}/{PREFIX}/{prepared_name('trip/a.jpg')}"
    assert (row["status"], row["error_type"], row["attempt"], row["fingerprint"]) == ("ok", "", 2, "f")
    with Image.open(file_of(mount, row)) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (100, 160))


def test_without_write_back_the_image_stays_where_it_is(mount):
    url = put(mount, "a.png", encoded(scene(), "PNG"))
    [row] = prepare(job(mount, output_prefix=None), url)
    assert (row["status"], row["prepared_url"], row["format"]) == ("ok", url, "PNG")
    assert [p.name for p in mount.iterdir()] == ["a.png"]


def test_images_of_one_name_do_not_meet(mount):
    composed, decomposed = (unicodedata.normalize(form, "caméra") for form in ("NFC", "NFD"))
    keys = [
        "a/front.jpg",
        "b/front.jpg",
        "a/front.png",
        "a_front.jpg",
        f"{composed}.jpg",
        f"{decomposed}.jpg",
    ]
    keys += ["A/Front.jpg", "a/front%2ejpg", "100%.jpg", "x" * 200 + ".jpg", "夜间/路口.jpg"]
    rows = prepare(job(mount), *(put(mount, key) for key in keys))
    assert {row["status"] for row in rows} == {"ok"}
    assert len({row["prepared_url"] for row in rows}) == len(prepared(mount)) == len(keys)
    assert all(row["prepared_url"].isascii() for row in rows)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"{ROOT}-evil/x.jpg", "path_outside_root"),
        (ROOT.replace("/bucket", "/bucket2") + "/x.jpg", "path_outside_root"),
        ("/etc/passwd", "path_outside_root"),
        ("https://example.com/x.jpg", "path_outside_root"),
        (None, "path_outside_root"),
        (float("nan"), "path_outside_root"),
        (5, "path_outside_root"),
        ("", "path_outside_root"),
        (ROOT, "path_outside_root"),
        (f"{ROOT}/", "path_outside_root"),
        (f"{ROOT}/../x.jpg", "path_traversal"),
        (f"{ROOT}/a/%2e%2e/x.jpg", "path_traversal"),
        (f"{ROOT}/a/%252e%252e%252fx.jpg", "path_traversal"),
        (f"{ROOT}/a\\..\\x.jpg", "path_traversal"),
        (f"{ROOT}/a\x00.jpg", "path_traversal"),
        (f"{ROOT}/a\n.jpg", "path_traversal"),
        (f"{ROOT}/\ud800.jpg", "path_traversal"),
        (f"{ROOT}//etc/passwd", "path_traversal"),
        (f"{ROOT}/missing.jpg", "not_found"),
        (f"{ROOT}/folder", "not_found"),
        (f"{ROOT}/{'x' * 1100}.jpg", "not_found"),
        (f"{ROOT}/{'x/' * 5000}y.jpg", "not_found"),
        (f"{ROOT}/empty.jpg", "empty_file"),
        (f"{ROOT}/text.jpg", "image_decode_error"),
        (f"{ROOT}/cut.jpg", "image_decode_error"),
        (f"{ROOT}/large.png", "image_too_large"),
        (f"{ROOT}/heavy.jpg", "image_too_large"),
    ],
)
def test_what_cannot_be_prepared_is_a_failed_row_that_keeps_its_identifiers(mount, url, reason):
    (mount / "folder").mkdir()
    put(mount, "empty.jpg", b"")
    put(mount, "text.jpg", b"no image")
    put(mount, "cut.jpg", encoded(scene())[:-100])
    put(mount, "large.png", encoded(Image.new("1", (1001, 1000)), "PNG"))
    put(mount, "heavy.jpg", b"x" * 1_000_001)
    [row] = prepare(job(mount), url)
    assert (row["status"], row["error_stage"], row["error_type"]) == ("failed", "image_preparation", reason)
    assert reason in set(contracts.Reason)
    assert row["error_msg"]
    assert str(mount) not in row["error_msg"]
    assert (row["image_id"], row["attempt"], row["fingerprint"]) == ("0", 2, "f")
    assert all(pd.isna(row[name]) for name in (c.name for c in contracts.IMAGE_COLUMNS))
    assert prepared(mount) == []


def test_unreadable_objects_are_access_denied(mount, monkeypatch):
    url = put(mount, "a.jpg")

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(pathlib.Path, "read_bytes", refuse)
    [row] = prepare(job(mount), url)
    assert row["error_type"] == "access_denied"
    assert str(mount) not in row["error_msg"]


def test_links_out_of_the_root_are_not_read(mount, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(encoded(scene()))
    (mount / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (mount / "folder").symlink_to(tmp_path)
    (mount / "circle.jpg").symlink_to("circle.jpg")
    rows = prepare(job(mount), *(f"{ROOT}/{k}" for k in ("link.jpg", "folder/secret.jpg", "circle.jpg")))
    assert [row["error_type"] for row in rows] == ["path_traversal", "path_traversal", "not_found"]


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("link", ["prepared", "prepared/ds=20261120"])
def test_nothing_is_written_through_a_link_in_the_output_prefix(mount, tmp_path, link, inside):
    elsewhere = (mount if inside else tmp_path) / "elsewhere"
    elsewhere.mkdir()
    (mount / link).parent.mkdir(exist_ok=True)
    (mount / link).symlink_to(elsewhere)
    [row] = prepare(job(mount), put(mount, "a.jpg"))
    assert (row["status"], row["error_type"]) == ("failed", "path_traversal")
    assert list(elsewhere.iterdir()) == []


def test_a_link_in_the_place_of_a_prepared_image_is_replaced_not_followed(mount, tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    target = mount / PREFIX / prepared_name("a.jpg")
    target.parent.mkdir(parents=True)
    target.symlink_to(victim)
    [row] = prepare(job(mount), put(mount, "a.jpg"))
    assert row["status"] == "ok"
    assert victim.read_text() == "mine"
    assert not target.is_symlink()


def test_what_cannot_be_written_is_a_write_error(mount):
    (mount / "prepared").write_text("a file where the folder should be")
    rows = prepare(job(mount), put(mount, "a.jpg"), put(mount, "b.jpg"))
    assert [row["error_type"] for row in rows] == ["write_error"] * 2
    assert str(mount) not in rows[0]["error_msg"]


def test_a_failed_image_has_no_prepared_image_of_an_earlier_run(mount):
    url = put(mount, "a.jpg")
    prepare(job(mount), url)
    assert len(prepared(mount)) == 1
    put(mount, "a.jpg", b"broken now")
    [row] = prepare(job(mount), url)
    assert row["status"] == "failed"
    assert prepared(mount) == []


def test_a_second_run_replaces_whole_files_and_leaves_nothing_unfinished(mount):
    url = put(mount, "a.jpg")
    prepare(job(mount), url)
    [row] = prepare(job(mount, size=TargetSize(exact=(31, 17))), url)
    assert len(prepared(mount)) == 1
    with Image.open(file_of(mount, row)) as image:
        assert image.size == (31, 17)


# One child for many images, and still each image for itself.


@pytest.fixture
def trouble(monkeypatch):
    """Decoding does what the content of an image says, else what it always does."""
    real = images.decode

    def decode(data, max_pixels):
        if data == b"crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if data == b"exit":
            os._exit(3)
        if data == b"hang":
            time.sleep(3600)
        if data == b"raise":
            raise RecursionError("maximum recursion depth exceeded in /some/path")
        if data == b"memory":
            raise MemoryError
        return real(data, max_pixels)

    monkeypatch.setattr(image_preparation, "decode", decode)


def test_a_crash_or_a_hang_fails_that_image_only(mount, trouble):
    before = children()
    bad = ["crash", "exit", "raise", "memory", "hang"]
    urls = []
    for number, what in enumerate(bad):
        urls += [put(mount, f"good{number}.jpg"), put(mount, f"{what}.jpg", what.encode())]
    urls.append(put(mount, "last.jpg"))
    rows = prepare(job(mount, timeout_sec=3), *urls)
    assert [row["error_type"] for row in rows] == [
        *("", "image_decode_error"),
        *("", "image_decode_error"),
        *("", "image_decode_error"),
        *("", "image_too_large"),
        *("", "timeout"),
        "",
    ]
    assert "SIGKILL" in rows[1]["error_msg"]
    assert "exit code 3" in rows[3]["error_msg"]
    assert "/some/path" not in rows[5]["error_msg"]
    assert len(prepared(mount)) == 6
    assert children() <= before


def test_one_child_does_all_that_goes_well(mount, monkeypatch):
    pids = mount / "pids"
    real = images.decode

    def decode(data, max_pixels):
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return real(data, max_pixels)

    monkeypatch.setattr(image_preparation, "decode", decode)
    prepare(job(mount), *(put(mount, f"{n}.jpg") for n in range(5)))
    seen = pids.read_text().split()
    assert len(seen) == 5
    assert len(set(seen)) == 1
    assert seen[0] != str(os.getpid())


def test_leftovers_of_a_killed_child_are_removed(mount, monkeypatch):
    create = OutputFolder._create

    def write_half(self, name, content):
        create(self, name, content[:10])
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(OutputFolder, "_create", write_half)
    older = mount / PREFIX / prepared_name("a.jpg")
    older.parent.mkdir(parents=True)
    older.write_bytes(b"older")
    [row] = prepare(job(mount), put(mount, "a.jpg"))
    assert row["status"] == "failed"
    assert prepared(mount) == []


def test_no_process_is_a_failed_row(mount, monkeypatch):
    def no_fork():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", no_fork)
    [row] = prepare(job(mount), put(mount, "a.jpg"))
    assert (row["status"], row["error_type"]) == ("failed", "image_decode_error")
    assert "no decoder process" in row["error_msg"]


# Jobs and types.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": TargetSize(longest_side=0)}, "at least 1 pixel"),
        ({"size": TargetSize(exact=(10, 0))}, "at least 1 pixel"),
        ({"size": TargetSize(longest_side=5, exact=(1, 1))}, "both"),
        ({"resize_filter": "mitchell"}, "lanczos"),
        ({"jpeg_quality": 0}, "1 to 100"),
        ({"max_pixels": 0}, "pixel limit"),
        ({"timeout_sec": 0}, "deadline"),
        ({"output_prefix": "../up"}, "the output prefix"),
        ({"output_prefix": "/absolute"}, "the output prefix"),
        ({"output_prefix": ""}, "the output prefix"),
        ({"output_prefix": "a/%2e%2e/b"}, "the output prefix"),
    ],
)
def test_jobs_that_no_image_can_fulfil_are_refused(mount, changes, message):
    with pytest.raises(ValueError, match=message):
        prepare(job(mount, **changes), put(mount, "a.jpg"))


def test_lineage_keeps_its_types_and_no_rows_give_none(mount):
    url = put(mount, "a.jpg")
    rows = pd.DataFrame({"image_url": [url, None], "n": pd.array([1, None], dtype="Int64")}, index=[7, 7])
    wanted = job(mount, lineage=("n", "image_url"))
    out = prepare_images(rows, wanted)
    assert list(out.dtypes.astype(str)) == [
        str(pd.api.types.pandas_dtype(t))
        for t in image_dtypes({"n": "Int64", "image_url": rows["image_url"].dtype}).values()
    ]
    assert list(out["attempt"]) == [1, 1]
    assert list(out.index) == [0, 1]
    assert prepare_images(rows[:0], wanted).shape == (0, len(out.columns))


def test_the_function_runs_where_this_package_is_not(mount, tmp_path):
    """As a DPE worker would run it: shipped by value, in an interpreter that cannot import the package."""
    cloudpickle.register_pickle_by_value(worker)
    cloudpickle.register_pickle_by_value(contracts)
    url, wanted = put(mount, "a.jpg"), job(mount)
    rows = pd.DataFrame({"image_id": ["1"], "image_url": [url]})

    def chunk(images):
        return prepare_images(images, wanted).to_json(orient="records")

    shipped = tmp_path / "udf.pickle"
    shipped.write_bytes(cloudpickle.dumps((chunk, rows)))
    code = (
        "import sys, pickle\n"
        "sys.modules['airflow_provider_drivepipe'] = None\n"
        f"chunk, rows = pickle.load(open({str(shipped)!r}, 'rb'))\n"
        "print(chunk(rows))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert done.returncode == 0, done.stderr
    [row] = json.loads(done.stdout.splitlines()[-1])
    assert row["status"] == "ok"


def test_inline_images_are_in_the_row_prepared_and_nothing_is_written(mount):
    rows = prepare(
        job(mount, output_prefix=None, inline=True, size=TargetSize(longest_side=64)),
        put(mount, "a.jpg"),
        put(mount, "broken.jpg", b"no image"),
    )
    with Image.open(io.BytesIO(base64.b64decode(rows[0]["drivepipe_image"]))) as image:
        assert (image.format, image.mode, max(image.size)) == ("JPEG", "RGB", 64)
    assert pd.isna(rows[1]["drivepipe_image"])
    assert rows[1]["error_type"] == "image_decode_error"
    assert rows[0]["prepared_url"] == rows[0]["image_url"]
    assert prepared(mount) == []
