"""Whatever the input says, files are written below the declared output prefix and nowhere else."""

import dataclasses
import os
import threading
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_drivepipe import contracts
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.scenario.key_path import check_key_path
from airflow_provider_drivepipe.worker import paths
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.frames import FrameJob, extract_frames
from airflow_provider_drivepipe.worker.image_preparation import ImageJob, prepare_images, prepared_name
from airflow_provider_drivepipe.worker.images import TargetSize
from airflow_provider_drivepipe.worker.output_folder import OutputFolder
from airflow_provider_drivepipe.worker.paths import check_output_prefix, key_below_root, output_url
from tests.unit.image_samples import encoded, scene
from tests.unit.video_samples import write_video

BUCKET = "oss://oss-cn-x.aliyuncs.com/bucket"
ROOT = f"{BUCKET}/drives"
DAY = "ds=20261120"


@dataclasses.dataclass(frozen=True)
class Frames:
    """Frame extraction from ``video_path``."""

    prefix = f"frames/{DAY}"
    extension = ".mp4"

    def put(self, path):
        return write_video(path, frames=3)

    def run(self, mount, *urls, **changes):
        job = FrameJob(ROOT, str(mount), self.prefix, "1", None, "at_time", 90, 60, ("etag",))
        videos = pd.DataFrame({"video_path": pd.Series(urls, dtype=object), "etag": "../../x"})
        return extract_frames(videos, dataclasses.replace(job, **changes)).to_dict("records")

    def written(self, key):
        """What is written for an object, and what it is called until it is whole."""
        folder = f"{self.prefix}/{contracts.video_id(f'drives/{key}')}"
        return f"{folder}/{contracts.image_id(key, 0)}.jpg", f"{folder}/.frame-0000.tmp"


@dataclasses.dataclass(frozen=True)
class Images:
    """Image preparation from ``image_url``."""

    prefix = f"prepared/{DAY}"
    extension = ".jpg"

    def put(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(scene(size=(32, 20))))

    def run(self, mount, *urls, **changes):
        size = TargetSize()
        job = ImageJob(ROOT, str(mount), self.prefix, size, "lanczos", 85, 10**6, 10**6, 60, ("image_url",))
        images = pd.DataFrame({"image_url": pd.Series(urls, dtype=object)})
        return prepare_images(images, dataclasses.replace(job, **changes)).to_dict("records")

    def written(self, key):
        return f"{self.prefix}/{prepared_name(key)}", None


@pytest.fixture(params=[Frames(), Images()], ids=["frames", "images"])
def stage(request):
    return request.param


@pytest.fixture
def mount(tmp_path):
    """The mounted root, with objects and folders around it that nobody may touch."""
    folder = tmp_path / "drives"
    for around in ("drives-evil", "other", "drives/originals", "drives/frames-evil", "drives/prepared-evil"):
        (tmp_path / around).mkdir(parents=True)
        (tmp_path / around / "precious.jpg").write_bytes(b"precious")
    return folder


def tree(folder, without="-"):
    """Everything below a folder, by path: content of files, target of links."""
    found = {}
    for path in folder.rglob("*"):
        relative = str(path.relative_to(folder))
        if relative == without or relative.startswith(f"{without}/"):
            continue
        if path.is_symlink():
            found[relative] = str(path.readlink())
        else:
            found[relative] = path.read_bytes() if path.is_file() else None
    return found


def outcome(rows):
    return [(row["status"], row["error_type"]) for row in rows]


LEADS_OUT = {
    "path_outside_root": [
        f"{BUCKET}/drives-evil/x",
        f"{BUCKET}/drives%2fx",
        f"{BUCKET}/drivesx",
        f"{BUCKET}/other/x",
        f"{BUCKET}x/drives/x",
        "oss://evil.example.com/bucket/drives/x",
        "oss://oss-cn-x.aliyuncs.com@evil.example.com/bucket/drives/x",
        "oss://oss-cn-x.aliyuncs.com:80/bucket/drives/x",
        "oss://oss-cn-x.aliyuncs.com/other/drives/x",
        "oss://bucket/drives/x",
        "OSS://oss-cn-x.aliyuncs.com/bucket/drives/x",
        f" {ROOT}/x",
        "https://oss-cn-x.aliyuncs.com/bucket/drives/x",
        "file:///etc/passwd",
        "/etc/passwd",
        "//drives/x",
        "../x",
        "x",
        "",
        ROOT,
        f"{ROOT}/",
        None,
        7,
        float("nan"),
    ],
    "path_traversal": [
        f"{ROOT}/../other/x",
        f"{ROOT}/..",
        f"{ROOT}/a/../../other/x",
        f"{ROOT}/a/../x",
        f"{ROOT}/./x",
        f"{ROOT}/a/./x",
        f"{ROOT}//x",
        f"{ROOT}//etc/passwd",
        f"{ROOT}/a//x",
        f"{ROOT}/a/",
        f"{ROOT}/%2e%2e/other/x",
        f"{ROOT}/%2E%2E/x",
        f"{ROOT}/.%2e/x",
        f"{ROOT}/%2e./x",
        f"{ROOT}/a%2f..%2f..%2fx",
        f"{ROOT}/a%2f%2fx",
        f"{ROOT}/%2fetc/x",
        f"{ROOT}/%252e%252e/x",
        f"{ROOT}/%25252e%25252e/x",
        f"{ROOT}/%{'25' * 20}2e%{'25' * 20}2e/x",
        f"{ROOT}/..%5cx",
        f"{ROOT}/a\\..\\..\\x",
        f"{ROOT}/..\\x",
        f"{ROOT}/a\\\\x",
        f"{ROOT}/\uff0e\uff0e/x",
        f"{ROOT}/\u2025/x",
        f"{ROOT}/a\uff0f\uff0e\uff0e\uff0fx",
        f"{ROOT}/a\uff3c\uff0e\uff0e\uff3cx",
        f"{ROOT}/\uff052e\uff052e/x",
        f"{ROOT}/%ef%bc%8e%ef%bc%8e/x",
        f"{ROOT}/a\x00",
        f"{ROOT}/a\x00/../x",
        f"{ROOT}/a%00",
        f"{ROOT}/a\n",
        f"{ROOT}/a\r\nb",
        f"{ROOT}/a\x1b[2J",
        f"{ROOT}/a\x7f",
        f"{ROOT}/a\x85",
        f"{ROOT}/a\u2028b",
        f"{ROOT}/\ud800",
    ],
    "not_found": [
        f"{ROOT}/{'x' * 300}",
        f"{ROOT}/{'x' * 1100}",
        f"{ROOT}/{'x/' * 600}x",
        f"{ROOT}/{'字' * 400}",
        f"{ROOT}/{'x' * 1_000_000}",
    ],
}


def test_paths_that_lead_elsewhere_fail_for_themselves_only(stage, mount, tmp_path):
    stage.put(mount / f"good{stage.extension}")
    ours = f"drives/{stage.prefix.partition('/')[0]}"
    before = tree(tmp_path, ours)
    bad = [(path, reason) for reason, found in LEADS_OUT.items() for path in found]
    for ending in ("", stage.extension):
        named = [path + ending if isinstance(path, str) and path[-1:] == "x" else path for path, _ in bad]
        good = f"{ROOT}/good{stage.extension}"
        rows = stage.run(mount, good, *named, good)
        assert outcome(rows) == [("ok", ""), *(("failed", reason) for _, reason in bad), ("ok", "")]
        assert all(str(tmp_path) not in row["error_msg"] for row in rows)
        assert all(len(row["error_msg"]) <= contracts.MAX_ERROR_MESSAGE for row in rows)
    assert tree(tmp_path, ours) == before
    assert [path for path, content in tree(mount / stage.prefix).items() if content is not None] == [
        os.path.relpath(stage.written(f"good{stage.extension}")[0], stage.prefix)
    ]


def test_twins_of_a_name_do_not_overwrite_each_other(stage, mount):
    composed, decomposed = (unicodedata.normalize(form, "caméra") for form in ("NFC", "NFD"))
    stems = [
        composed,
        decomposed,
        "front",
        "Front",
        "FRONT",
        "fron\uff54",
        "a%2eb",
        "a.b",
        "100%",
        "夜/间",
        "a/front",
    ]
    stems += [
        "front ",
        " front",
        "-rf",
        "$(id)",
        "a;b",
        "a'b",
        'a"b',
        "...",
        "..a",
        "a..",
        "~",
        "*",
        "{b}",
        "?x=1#y",
    ]
    for stem in stems:
        stage.put(mount / f"{stem}{stage.extension}")
    rows = stage.run(mount, *(f"{ROOT}/{stem}{stage.extension}" for stem in stems))
    assert set(outcome(rows)) == {("ok", "")}
    urls = [row.get("image_url") if stage.extension == ".mp4" else row["prepared_url"] for row in rows]
    assert len({unicodedata.normalize("NFKC", url).casefold() for url in urls}) == len(stems)
    files = {f"{ROOT}/{stage.prefix}/{path}" for path, found in tree(mount / stage.prefix).items() if found}
    assert files == set(urls)


def links(stage, mount):
    """Every place of the way to what is written, with what it is."""
    final, unfinished = stage.written(f"v{stage.extension}")
    parts = final.split("/")
    folders = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    return [*((folder, True) for folder in folders), *((file, False) for file in (final, unfinished) if file)]


@pytest.mark.parametrize("where", ["inside", "outside"])
@pytest.mark.parametrize("dangling", [False, True])
@pytest.mark.parametrize("depth", range(5))
def test_links_on_the_way_are_never_written_through(stage, mount, tmp_path, depth, where, dangling):
    places = links(stage, mount)
    if depth >= len(places):
        depth = 0
    place, is_folder = places[depth]
    victims = (mount if where == "inside" else tmp_path) / "victims"
    victims.mkdir()
    victim = victims if is_folder else victims / "precious.jpg"
    (victims / "precious.jpg").write_bytes(b"precious")
    if dangling:
        victim = victims / "absent"
    stage.put(mount / f"v{stage.extension}")
    (mount / place).parent.mkdir(parents=True, exist_ok=True)
    (mount / place).symlink_to(victim)
    before = tree(victims)
    [row] = stage.run(mount, f"{ROOT}/v{stage.extension}")
    assert tree(victims) == before
    if is_folder:
        assert outcome([row]) == [("failed", "path_traversal")]
        assert (mount / place).readlink() == victim
    else:
        assert outcome([row]) == [("ok", "")]
        assert not (mount / stage.written(f"v{stage.extension}")[0]).is_symlink()


def test_a_folder_that_is_swapped_for_a_link_while_it_is_written_to(stage, mount, tmp_path, monkeypatch):
    stage.put(mount / f"v{stage.extension}")
    final = mount / stage.written(f"v{stage.extension}")[0]
    create = OutputFolder._create

    def swap_first(self, name, content):
        if not final.parent.is_symlink():
            final.parent.rename(final.parent.with_name("moved"))
            final.parent.symlink_to(tmp_path / "other")
        create(self, name, content)

    monkeypatch.setattr(OutputFolder, "_create", swap_first)
    stage.run(mount, f"{ROOT}/v{stage.extension}")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["precious.jpg"]
    assert (final.parent.with_name("moved") / final.name).is_file()


def test_a_folder_that_is_swapped_again_and_again(mount, tmp_path):
    """Whatever a write meets, it goes to the real folder or fails, on a link with one of two errors."""
    place, hidden, other = mount / "frames", mount / "hidden", tmp_path / "other"
    place.mkdir()
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            place.rename(hidden)
            place.symlink_to(other)
            place.unlink()
            hidden.rename(place)

    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(swap)
        try:
            for _ in range(2000):
                with (
                    suppress(VideoError, FileNotFoundError, NotADirectoryError),
                    OutputFolder(mount, ("frames",), create=False) as folder,
                ):
                    folder.write("a.jpg", ".a.tmp", b"x")
        finally:
            stop.set()
        swapping.result()
    assert [path.name for path in other.iterdir()] == ["precious.jpg"]


def test_a_link_that_comes_just_before_a_file_is_made_is_not_followed(stage, mount, tmp_path, monkeypatch):
    stage.put(mount / f"v{stage.extension}")
    remove = OutputFolder.remove

    def remove_and_plant(self, name):
        remove(self, name)
        os.symlink(tmp_path / "other" / "precious.jpg", name, dir_fd=self._folder)

    monkeypatch.setattr(OutputFolder, "remove", remove_and_plant)
    assert outcome(stage.run(mount, f"{ROOT}/v{stage.extension}")) == [("failed", "write_error")]
    assert (tmp_path / "other" / "precious.jpg").read_bytes() == b"precious"


def test_what_stands_in_the_place_of_a_file_is_a_write_error_or_gives_way(mount):
    stage = Frames()
    stage.put(mount / "v.mp4")
    final, unfinished = (mount / path for path in stage.written("v.mp4"))
    unfinished.parent.mkdir(parents=True)
    os.mkfifo(unfinished)
    assert outcome(stage.run(mount, f"{ROOT}/v.mp4")) == [("ok", "")]
    final.unlink()
    (final / "x").mkdir(parents=True)
    assert outcome(stage.run(mount, f"{ROOT}/v.mp4")) == [("failed", "write_error")]


def test_a_failed_video_removes_nothing_through_a_link(mount, tmp_path):
    stage = Frames()
    (mount / "v.mp4").write_bytes(b"no video " * 9)
    folder = (mount / stage.written("v.mp4")[0]).parent
    folder.parent.mkdir(parents=True)
    folder.symlink_to(mount / "originals")
    assert outcome(stage.run(mount, f"{ROOT}/v.mp4")) == [("failed", "not_a_video")]
    assert (mount / "originals" / "precious.jpg").is_file()


def test_keys_that_would_be_too_long_to_write_are_write_errors(mount):
    stage = Frames()
    prefix = "/".join(["p" * 240] * 4)
    stage.put(mount / "v.mp4")
    stage.put(mount / f"{'w' * 60}.mp4")
    rows = stage.run(mount, f"{ROOT}/v.mp4", f"{ROOT}/{'w' * 60}.mp4", output_prefix=prefix)
    assert outcome(rows) == [("ok", ""), ("failed", "write_error")]
    assert "1023 bytes" in rows[1]["error_msg"]


@pytest.mark.parametrize(
    "changes",
    [
        {"output_prefix": "../other"},
        {"output_prefix": "frames/../../other"},
        {"output_prefix": "/frames"},
        {"output_prefix": ""},
        {"output_prefix": "frames//ds"},
        {"output_prefix": "%2e%2e/x"},
        {"output_prefix": "frames\\..\\x"},
        {"output_prefix": "a\x00b"},
        {"output_prefix": "p" * 256},
        {"output_prefix": "p/" * 505 + "p"},
        {"oss_root": f"{BUCKET}/drives/../other"},
        {"oss_root": f"{BUCKET}//drives"},
        {"oss_root": f"{BUCKET}/%2e%2e"},
    ],
)
def test_output_prefixes_that_lead_elsewhere_fail_the_job(stage, mount, changes):
    with pytest.raises(ValueError, match=r"root|prefix"):
        stage.run(mount, **changes)


@pytest.mark.parametrize(
    "key",
    [
        {"frames_prefix": "../other"},
        {"frames_prefix": "/frames"},
        {"frames_prefix": ""},
        {"frames_prefix": "/"},
        {"frames_prefix": "frames//x"},
        {"frames_prefix": "frames//"},
        {"frames_prefix": "a/./b"},
        {"frames_prefix": "%2e%2e/x"},
        {"frames_prefix": "\uff0e\uff0e/x"},
        {"frames_prefix": "a\\..\\b"},
        {"frames_prefix": "a\x7f"},
        {"frames_prefix": "a\u2028b"},
        {"frames_prefix": "p" * 256},
        {"frames_prefix": "p/" * 300},
        {"prepared_prefix": "a/../b"},
        {"prepared_prefix": ""},
        {"prepared_prefix": "%2e%2e/x"},
        {"prepared_prefix": "p" * 256},
        {"oss_root": "oss://oss-cn-x.aliyuncs.com/my-bucket/a/../b"},
        {"oss_root": "oss://oss-cn-x.aliyuncs.com/my-bucket//a"},
        {"oss_root": "oss://oss-cn-x.aliyuncs.com/my-bucket/%2e%2e"},
        {"oss_root": "oss://oss-cn-x.aliyuncs.com/../my-bucket"},
        {"oss_root": "oss://oss-cn-x.aliyuncs.com/%2e%2e/x"},
        {"oss_root": "oss://me:secret@oss-cn-x.aliyuncs.com/my-bucket"},
        {"oss_root": "oss://oss-cn-x.aliyuncs.com?x/my-bucket"},
        {"oss_root": "oss://-/my-bucket"},
    ],
)
def test_a_scenario_cannot_write_elsewhere(key):
    with pytest.raises(ValueError, match=next(iter(key))):
        DrivingScenario(**SCENARIO, **key)


@pytest.mark.parametrize("prefix", ["frames", "frames/", "fleet-7/帧（测试）", "a b/ä"])
def test_plain_prefixes_and_roots_are_accepted(prefix):
    root = f"oss://oss-cn-x.aliyuncs.com:8080/my-bucket/{prefix}"
    accepted = DrivingScenario(**SCENARIO, frames_prefix=prefix, oss_root=root)
    assert accepted.frames_prefix == prefix.rstrip("/")
    assert accepted.oss_root == root.rstrip("/")


SCENARIO = {
    "scenario_name": "s",
    "input_shape": "video_table",
    "targets": ["frame-extraction"],
    "source_table": "v",
    "output_table": "o",
}
CHARACTERS = st.text(alphabet="a./\\%2eEfF05cC\uff0e\uff0f\u2025\uff05é\u0301\0 :=+~", max_size=24)


@given(CHARACTERS)
def test_an_accepted_key_stays_below_the_root_however_it_is_read(text):
    try:
        key = key_below_root(f"{ROOT}/{text}", ROOT)
    except VideoError:
        return
    assert key == text
    readings = {key}
    for _ in range(4):
        readings |= {paths.unquote(reading) for reading in readings}
        readings |= {unicodedata.normalize("NFKC", reading) for reading in readings}
        readings |= {reading.replace("\\", "/") for reading in readings}
    for reading in readings:
        assert os.path.normpath(f"/mnt/drives/{reading}").startswith("/mnt/drives/")
        assert "\0" not in reading


@given(CHARACTERS)
def test_prefixes_that_a_scenario_accepts_suit_the_workers(text):
    try:
        prefix = check_key_path(text)
    except ValueError:
        return
    check_output_prefix(f"{prefix}/{DAY}", ROOT, 60)
    assert check_key_path(prefix) == prefix


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300), st.integers(0, 10**6))
def test_what_is_written_has_a_key_that_oss_takes_or_is_refused(stem, number):
    name = f"{stem}_{number:04d}.jpg"
    if len(name.encode()) <= 255:
        assert output_url(ROOT, Frames.prefix, "0" * 16, name) == f"{ROOT}/{Frames.prefix}/{'0' * 16}/{name}"
    else:
        with pytest.raises(VideoError, match="255 bytes"):
            output_url(ROOT, Frames.prefix, "0" * 16, name)
