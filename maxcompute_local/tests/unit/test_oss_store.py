"""The store without its protocol: order of keys, bounded reading of folders, races with mounts."""

import os
import random
import shutil
import threading
import time
from itertools import islice

import pytest

from maxcompute_local.oss import (
    folder_index,
    folder_watch,
    names,
    pathless,
    sorted_names,
    store,
    walk,
)
from maxcompute_local.oss.append import append
from maxcompute_local.oss.errors import OssError
from maxcompute_local.oss.folder_index import FolderIndexes
from maxcompute_local.oss.listing_api import list_page
from maxcompute_local.oss.sorted_names import entries as folder_entries
from maxcompute_local.oss.store import OssStore
from maxcompute_local.oss.walk import KeyWalk, first_key_after, first_key_beyond


@pytest.fixture
def files(tmp_path):
    """A bucket's folder with keys of every awkward order; yields (folder, keys in byte order)."""
    chooser = random.Random(7)
    segments = ["a", "a!", "a.", "a-b", "a0", "ab", "é", "z", "中", "\U0001f697"]
    keys = set()
    while len(keys) < 150:
        key = "/".join(chooser.choice(segments) for _ in range(chooser.randint(1, 4)))
        path = tmp_path / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        except OSError:
            continue  # a file is where a folder would have to be, or the other way round
        if path.is_file():
            keys.add(key)
    return tmp_path, sorted(keys, key=str.encode)


def walked(folder, prefix="", start=b"", index=None):
    return list(KeyWalk(folder, prefix.encode(), start, lambda key: False, index))


@pytest.fixture(params=["read", "watched", "unwatched"])
def index(request, tmp_path_factory, monkeypatch):
    """None, or indexes that think every folder worth it; the system tells what changes, or does not."""
    if request.param == "read":
        yield None
        return
    monkeypatch.setattr(walk, "LARGE", 0)
    monkeypatch.setattr(folder_index, "SETTLED_SECONDS", 0)
    if request.param == "unwatched":
        monkeypatch.setattr(folder_index, "FolderWatch", no_watch)
    monkeypatch.setattr(folder_index, "_write_runs", write_at_once)
    indexes = FolderIndexes(tmp_path_factory.mktemp("cache") / "folders")
    yield indexes
    indexes.close()


def write_at_once(folder, target):
    """Do what a process of its own does, which takes too long for many small folders."""
    sorted_names._write_run(list(folder_entries(folder)), target / "0.names")
    return True


def no_watch():
    raise OSError("this system tells nothing")


@pytest.mark.parametrize("batch", [1, 2, 3, 1001])
def test_walk_is_in_byte_order_from_any_start(files, monkeypatch, batch, index):
    monkeypatch.setattr(walk, "BATCH", batch)
    folder, keys = files

    def walked(folder, prefix="", start=b""):
        return list(KeyWalk(folder, prefix.encode(), start, lambda key: False, index))

    assert walked(folder) == keys
    for start in [*keys[::7], "a", "a/", "a/zz", "b", "\U0010ffff"]:
        assert walked(folder, start=start.encode()) == [one for one in keys if one.encode() >= start.encode()]
        after = first_key_after(start.encode())
        assert walked(folder, start=after) == [one for one in keys if one.encode() > start.encode()]
    for prefix in ("a", "a/", "a!/a", "é/", "none"):
        assert walked(folder, prefix) == [one for one in keys if one.startswith(prefix)]
        beyond = first_key_beyond(prefix.encode())
        assert walked(folder, start=beyond) == [one for one in keys if one.encode() >= beyond]


@pytest.mark.parametrize("batch", [1, 2, 1001])
def test_walk_can_skip_ahead(files, monkeypatch, batch, index):
    monkeypatch.setattr(walk, "BATCH", batch)
    folder, keys = files
    walked(folder, index=index)
    iterated, seen = KeyWalk(folder, b"", b"", lambda key: False, index), []
    for key in iterated:
        top = key.split("/")[0] + "/"
        seen.append(top)
        iterated.start = first_key_beyond(top.encode())
    expected = dict.fromkeys(key.split("/")[0] + "/" for key in keys)
    assert seen == list(expected)


def test_walk_reads_folders_in_bounded_batches(tmp_path, monkeypatch):
    for index in range(50):
        (tmp_path / f"{index:02d}").touch()
    sizes = []
    real = walk.heapq.nsmallest
    monkeypatch.setattr(walk, "BATCH", 10)
    monkeypatch.setattr(walk.heapq, "nsmallest", lambda n, names: sizes.append(n) or real(n, names))
    iterator = iter(KeyWalk(tmp_path, b"", b"", lambda key: False))
    for _ in range(15):
        next(iterator)
    assert sizes == [10, 10], "two batches are enough for fifteen keys"


def counted_builds(monkeypatch):
    builds, real = [], folder_index._write_runs
    monkeypatch.setattr(folder_index, "_write_runs", lambda *given: builds.append(given) or real(*given))
    return builds


def test_index_saves_reading_the_folder(tmp_path, monkeypatch, index):
    folder = tmp_path / "bucket"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02d}").touch()
    monkeypatch.setattr(walk, "BATCH", 10)
    reads, builds = [], counted_builds(monkeypatch)
    monkeypatch.setattr(walk, "entries", lambda path: reads.append(path) or folder_entries(path))
    for _ in range(2):
        assert len(walked(folder, index=index)) == 30
    pages = 4  # the last one finds nothing
    assert len(reads) == (1 if index else 2 * pages), "to see that it is large"
    assert len(builds) == (1 if index else 0)


def test_index_follows_every_change_of_the_folder(tmp_path, index):
    folder = tmp_path / "bucket"
    folder.mkdir()
    (folder / "file").touch()
    watched = index is None or index._watch is not None
    chooser, names = random.Random(3), {"file"}
    for step in range(200 if watched else 10):
        name = f"{chooser.randrange(20):02d}"
        beside = tmp_path / "beside"
        match chooser.randrange(3) if name in names else 3:
            case 0:
                (folder / name).unlink()
            case 1:
                (folder / name).rename(folder / f"new-{step}")
                names.add(f"new-{step}")
            case 2:
                (folder / name).rename(beside)
                beside.unlink()
            case 3:
                beside.touch()
                beside.rename(folder / name)
        names ^= {name}
        if not watched:
            time.sleep(0.01)  # longer than the file system's clock stands still
        assert walked(folder, index=index) == sorted(names), step


def test_index_follows_files_and_folders_of_one_name(tmp_path, index):
    if index is not None and index._watch is None:
        time.sleep(0.01)
    for _ in range(2):
        (tmp_path / "a").touch()
        assert walked(tmp_path, index=index) == ["a"]
        (tmp_path / "a").unlink()
        (tmp_path / "a").mkdir()
        assert walked(tmp_path, index=index) == []
        (tmp_path / "a/b").touch()
        (tmp_path / "link").symlink_to("a")
        assert walked(tmp_path, index=index) == ["a/b"]
        (tmp_path / "a").rename(tmp_path / "c")
        assert walked(tmp_path, index=index) == ["c/b"]
        (tmp_path / "link").unlink()
        shutil.rmtree(tmp_path / "c")
        time.sleep(0.01)
        assert walked(tmp_path, index=index) == []


def test_folder_that_another_one_replaces(tmp_path, index):
    for name in ("bucket", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"of-{name}").touch()
    assert walked(tmp_path / "bucket", index=index) == ["of-bucket"]
    (tmp_path / "bucket").rename(tmp_path / "away")
    assert walked(tmp_path / "bucket", index=index) == []
    (tmp_path / "away/more").touch()
    (tmp_path / "other").rename(tmp_path / "bucket")
    assert walked(tmp_path / "bucket", index=index) == ["of-other"]
    (tmp_path / "bucket").rename(tmp_path / "other")
    (tmp_path / "away").rename(tmp_path / "bucket")
    assert walked(tmp_path / "bucket", index=index) == ["more", "of-bucket"]


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Make a folder's index and leave it to a later server; returns a function that opens what was left."""
    folder, builds = tmp_path / "bucket", counted_builds(monkeypatch)
    folder.mkdir()
    monkeypatch.setattr(walk, "LARGE", 2)

    def listed(before_close=lambda: None):
        indexes = FolderIndexes(tmp_path / "cache")
        found = walked(folder, index=indexes)
        before_close()
        indexes.close()
        return found, len(builds)

    return folder, listed


def test_index_outlives_the_server_when_nothing_changes(kept, monkeypatch):
    folder, listed = kept
    for name in "abc":
        (folder / name).touch()
    assert listed() == (["a", "b", "c"], 1)
    assert listed() == (["a", "b", "c"], 2), "the folder had changed too short a time ago"
    monkeypatch.setattr(folder_index, "SETTLED_SECONDS", 0)

    def change():
        (folder / "d").touch()
        (folder / "a").unlink()

    listed(change)
    assert listed() == (["b", "c", "d"], 3), "what changed after it was made was kept too"
    time.sleep(0.01)
    (folder / "e").touch()
    assert listed() == (["b", "c", "d", "e"], 4)
    (store_of := folder.parent / "cache").joinpath(next(store_of.iterdir()), "changed.sqlite").write_bytes(
        b"torn by a crash of the machine" * 99
    )
    assert listed() == (["b", "c", "d", "e"], 5)


def test_index_is_made_anew_after_many_removals(tmp_path, index, monkeypatch):
    monkeypatch.setattr(folder_index, "MOST_REMOVED", 3)
    for number in range(10):
        (tmp_path / str(number)).touch()
    for number in range(10):
        assert walked(tmp_path, index=index) == [str(one) for one in range(number, 10)]
        (tmp_path / str(number)).unlink()
        time.sleep(0.01)
    if index is not None and (open_indexes := list(index._indexes.values())):
        assert open_indexes[0].removed <= 4


def test_lost_changes_are_read_from_the_folder(tmp_path, index, monkeypatch):
    (tmp_path / "a").touch()
    assert walked(tmp_path, index=index) == ["a"]
    if index is None or index._watch is None:
        return

    def lose():
        monkeypatch.undo()
        raise folder_watch.ChangesLost

    (tmp_path / "b").touch()
    index._watch.changes()
    monkeypatch.setattr(index._watch, "changes", lose)
    assert walked(tmp_path, index=index) == ["a", "b"]


def test_changing_folder_is_read_where_changes_are_not_told(tmp_path, index, monkeypatch):
    monkeypatch.setattr(folder_index, "SETTLED_SECONDS", 1000)
    (tmp_path / "one").touch()
    for name in ("two", "three"):
        assert walked(tmp_path, index=index)
        (tmp_path / name).touch()
        assert name in walked(tmp_path, index=index)


def test_no_key_is_missing_or_twice_while_others_write(tmp_path, index, monkeypatch):
    """Writers and deleters work while pages are read; what was there all the time is listed once."""
    monkeypatch.setattr(folder_index, "SETTLED_SECONDS", 1)
    staying = {f"stay-{number:04d}" for number in range(0, 1000, 7)}
    for name in staying:
        (tmp_path / name).touch()
    stop, threads = threading.Event(), []

    def change(seed):
        chooser = random.Random(seed)
        while not stop.is_set():
            name = f"stay-{chooser.randrange(1000):04d}"
            beside = tmp_path.parent / f"{tmp_path.name}-{seed}"
            if name in staying:  # overwritten
                beside.touch()
                beside.replace(tmp_path / name)
            elif (tmp_path / f"{name}-{seed}").exists():
                (tmp_path / f"{name}-{seed}").unlink()
            else:
                (tmp_path / f"{name}-{seed}").touch()

    for seed in range(3):
        threads.append(threading.Thread(target=change, args=(seed,)))
        threads[-1].start()
    try:
        for _ in range(3):
            listed, start = [], b""
            while page := list(islice(KeyWalk(tmp_path, b"", start, lambda key: False, index), 50)):
                listed += page
                start = first_key_after(page[-1].encode())
            assert listed == sorted(set(listed))
            assert staying <= set(listed)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert walked(tmp_path, index=index) == sorted(path.name for path in tmp_path.iterdir())


def test_runs_are_sorted_and_whole(tmp_path, monkeypatch):
    names = {f"ü{number:03d}" for number in range(500)}
    (folder := tmp_path / "folder").mkdir()
    (target := tmp_path / "target").mkdir()
    for name in names:
        (folder / name).touch()
    monkeypatch.setattr(sorted_names, "RUN_NAMES", 150)
    sorted_names.write_runs(os.fsencode(folder), target)
    runs = [sorted_names.Run(path) for path in target.glob("*.names")]
    assert sorted(map(len, runs)) == [50, 150, 150, 150]
    found = [name for run in runs for name in run.names(b"")]
    assert sorted(found) == sorted(name.encode() for name in names)
    for run in runs:
        assert list(run.names(b"")) == sorted(run.names(b""))
        assert list(run.names(least := "ü300".encode())) == [one for one in run.names(b"") if one >= least]
        run.close()


def test_names_that_are_no_text_are_left_out(tmp_path):
    (tmp_path / "good").touch()
    os.close(os.open(os.fsencode(tmp_path) + b"/bad-\xff", os.O_CREAT | os.O_WRONLY))
    assert walked(tmp_path) == ["good"]


def test_first_key_beyond():
    assert first_key_beyond(b"a/") == b"a0"
    assert first_key_beyond("\U0010ffff".encode()) > "\U0010ffff\U0010ffff".encode()


@pytest.fixture
def oss(tmp_path):
    opened = OssStore(tmp_path)
    opened.create_bucket("bucket")
    yield opened
    opened.close()


def put(oss, key, content=b"x", **extra):
    with oss.stage() as staged:
        staged.write(content)
        return oss.put("bucket", key, staged, {}, **extra)


def test_lengths_of_keys(tmp_path):
    longest = "d/" * 384 + "x" * 255
    assert names.object_path(tmp_path, longest) == tmp_path / longest
    for key in ("x" * 256, "ü" * 128):
        assert names.object_path(tmp_path, key) is None
    for key in ("d/" * 384 + "x" * 256, "x" * 1024):
        with pytest.raises(OssError, match="InvalidObjectName"):
            names.object_path(tmp_path, key)


def test_object_gives_way_only_to_folders_without_objects(oss, tmp_path):
    (tmp_path / "bucket/a/b/c").mkdir(parents=True)
    put(oss, "a")
    assert (tmp_path / "bucket/a").is_file()
    put(oss, "m/n/", b"")
    put(oss, "m", b"beside")
    assert (oss.head("bucket", "m/n/").size, oss.head("bucket", "m").size) == (0, 6)
    (tmp_path / "bucket/f/g").mkdir(parents=True)
    (tmp_path / "bucket/f/g/h").touch()
    put(oss, "f")
    assert (tmp_path / "bucket/f/g/h").exists()


@pytest.mark.parametrize("batch", [1, 3, 1001])
def test_any_keys_side_by_side(oss, monkeypatch, batch):
    """Compare with a dict: keys with and without a path, put and deleted in any order, and all listings."""
    for module in (walk, pathless):
        monkeypatch.setattr(module, "BATCH", batch)
    chooser, expected = random.Random(11), {}
    segments = ["a", "a!", "b", "", ".", "..", "é", "x" * 256]

    def any_key():
        return ("a" + "/".join(chooser.choice(segments) for _ in range(chooser.randint(1, 4)))).lstrip("/")

    for number in range(400):
        key = any_key()
        if chooser.random() < 0.3:
            oss.delete("bucket", key)
            expected.pop(key, None)
        else:
            expected[key] = f"{number}".encode() * chooser.randint(0, 1)
            put(oss, key, expected[key])
    keys = sorted(expected, key=str.encode)
    assert len(keys) > 100
    for key in {*keys, *(any_key() for _ in range(50))}:
        assert oss.exists("bucket", key) == (key in expected)
        assert oss._size("bucket", key) == (len(expected[key]) if key in expected else None)
    for key in keys:
        opened = oss.open("bucket", key)
        with opened.file:
            assert opened.file.read() == expected[key]
    for prefix in ("", "a", "aa/", "aa//", "a/", "a/.", "none"):
        for start in ("", *keys[::20]):
            listed = list(oss.walk("bucket", prefix, start.encode()))
            wanted = [one for one in keys if one.startswith(prefix) and one.encode() >= start.encode()]
            assert listed == wanted
        for limit in (1, 7):
            assert pages(oss, prefix, limit) == groups(keys, prefix)
    assert [one.key for one in oss.describe("bucket", keys)] == keys
    for key in keys:
        oss.delete("bucket", key)
    assert list((oss.private / "pathless").iterdir()) == []
    oss.delete_bucket("bucket")


def pages(oss, prefix, limit):
    """Return what a listing with delimiter shows, page by page."""
    shown, start = [], b""
    while start is not None:
        page = list_page(oss, "bucket", prefix, "/", start, limit)
        assert len(page) <= limit
        shown += sorted([*(one.key for one in page.objects), *page.prefixes], key=str.encode)
        start = page.next_start
    return shown


def groups(keys, prefix):
    def shown(key):
        head, slash, _ = key[len(prefix) :].partition("/")
        return prefix + head + slash

    return list(dict.fromkeys(shown(key) for key in keys if key.startswith(prefix)))


def test_keys_without_a_path_outlive_the_server(oss, tmp_path):
    put(oss, "a//b", b"content")
    (oss.private / "pathless" / "left by a killed server").touch()
    oss.close()
    again = OssStore(tmp_path)
    assert again.head("bucket", "a//b").size == 7
    assert len(list((again.private / "pathless").iterdir())) == 1
    again.close()


def test_failed_write_leaves_the_old_object(oss, tmp_path):
    put(oss, "k", b"old")

    def interrupted_write():
        with oss.stage() as staged:
            staged.write(b"half of the new")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        interrupted_write()
    assert (tmp_path / "bucket/k").read_bytes() == b"old"
    assert list((tmp_path / ".maxcompute-local/staging").iterdir()) == []


def test_file_that_grows_while_it_is_hashed(oss, tmp_path, monkeypatch):
    path = tmp_path / "bucket/growing"
    path.write_bytes(b"1")
    real = store.checksums_of

    def hash_and_grow(file):
        sums = real(file)
        with path.open("ab") as more:
            more.write(b"2")
        return sums

    monkeypatch.setattr(store, "checksums_of", hash_and_grow)
    oss.head("bucket", "growing")
    assert oss.metadata.find_object("bucket", "growing") is None, "what may be wrong is not kept"
    monkeypatch.setattr(store, "checksums_of", real)
    assert oss.head("bucket", "growing").size == 4


def test_object_replaced_while_its_file_is_hashed(oss, tmp_path, monkeypatch):
    (tmp_path / "bucket/k").write_bytes(b"dropped")
    real = store.checksums_of

    def hash_and_replace(file):
        sums = real(file)
        put(oss, "k", b"DROPPED")
        os.utime(tmp_path / "bucket/k", ns=(0, os.fstat(file.fileno()).st_mtime_ns))
        return sums

    monkeypatch.setattr(store, "checksums_of", hash_and_replace)
    described = oss.head("bucket", "k")
    monkeypatch.setattr(store, "checksums_of", real)
    assert described.etag != oss.head("bucket", "k").etag
    assert oss.open("bucket", "k").file.read() == b"DROPPED"


def test_append_notices_a_concurrent_write(oss, monkeypatch):
    def add(position, text):
        with oss.stage() as staged:
            staged.write(text)
            return append(oss, "bucket", "log", position, staged, {})

    add(0, b"one")
    real = oss.stage

    def stage_after_someone_else():
        monkeypatch.setattr(oss, "stage", real)
        staged = real()
        add(3, b"two")
        return staged

    content = oss.stage()
    with content:
        content.write(b"xyz")
        monkeypatch.setattr(oss, "stage", stage_after_someone_else)
        with pytest.raises(OssError) as caught:
            append(oss, "bucket", "log", 3, content, {})
    assert caught.value.headers["x-oss-next-append-position"] == "6"
    assert oss.open("bucket", "log").file.read() == b"onetwo"
