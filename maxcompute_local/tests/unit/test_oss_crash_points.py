"""A server that dies between two steps of a write: what the next one finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from maxcompute_local.oss import store as store_module
from maxcompute_local.oss import uploads as uploads_module
from maxcompute_local.oss.errors import OssError
from maxcompute_local.oss.store import OssStore
from maxcompute_local.oss.uploads import MIN_PART_BYTES, MultipartUploads, WantedPart


class Killed(BaseException):
    """Not an error that anything handles."""


def kill(*_args: object, **_kwargs: object) -> None:
    raise Killed


@pytest.fixture
def oss(tmp_path: Path) -> OssStore:
    opened = OssStore(tmp_path)
    opened.create_bucket("bucket")
    return opened


def put(oss: OssStore, content: bytes, version: str, key: str = "k") -> None:
    staged = oss.stage()
    staged.write(content)
    oss.put("bucket", key, staged, {"x-oss-meta-version": version})


def reopened(oss: OssStore) -> OssStore:
    oss.close()
    return OssStore(oss.root)


def state(oss: OssStore, key: str = "k") -> tuple[bytes, str]:
    with (opened := oss.open("bucket", key)).file as file:
        return file.read(), opened.info.headers.get("x-oss-meta-version", "none")


@pytest.mark.parametrize("key", ["k", "k//k"])
def test_killed_before_the_file_is_in_place(oss: OssStore, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    put(oss, b"old", "1", key)
    monkeypatch.setattr(store_module, "replace", kill)
    monkeypatch.setattr(oss.metadata, "drop_put", kill)
    with pytest.raises(Killed):
        put(oss, b"new", "2", key)
    again = reopened(oss)
    assert state(again, key) == (b"old", "1")
    assert again.metadata.pending_puts() == []
    assert list((again.private / "staging").iterdir()) == []


@pytest.mark.parametrize("key", ["k", "k//k"])
def test_killed_before_the_record_is_written(
    oss: OssStore, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    put(oss, b"old", "1", key)
    monkeypatch.setattr(oss.metadata, "end_put", kill)
    with pytest.raises(Killed):
        put(oss, b"new", "2", key)
    again = reopened(oss)
    assert state(again, key) == (b"new", "2")
    assert again.metadata.pending_puts() == []
    assert list(again.walk("bucket")) == [key]


def test_killed_while_an_object_moves_to_its_path(oss: OssStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put(oss, b"in the way", "0", "k/b")
    put(oss, b"old", "1")
    oss.delete("bucket", "k/b")
    monkeypatch.setattr(oss.metadata, "end_put", kill)
    with pytest.raises(Killed):
        put(oss, b"new", "2")
    again = reopened(oss)
    assert (oss.root / "bucket/k").is_file()
    assert state(again) == (b"new", "2")
    assert list(again.walk("bucket")) == ["k"]
    assert list((again.private / "pathless").iterdir()) == []
    again.delete("bucket", "k")
    assert not again.exists("bucket", "k")


def test_killed_while_an_object_without_a_path_is_removed(
    oss: OssStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(oss, b"old", "1", "k//k")
    monkeypatch.setattr(Path, "unlink", kill)
    with pytest.raises(Killed):
        oss.delete("bucket", "k//k")
    monkeypatch.undo()
    again = reopened(oss)
    assert not again.exists("bucket", "k//k")
    assert list((again.private / "pathless").iterdir()) == []


def test_failed_put_leaves_no_note(oss: OssStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(store_module, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        put(oss, b"new", "1")
    assert oss.metadata.pending_puts() == []


def part(uploads: MultipartUploads, oss: OssStore, upload, number: int, content: bytes):
    staged = oss.stage()
    staged.write(content)
    return uploads.put_part(upload, number, staged)


def completion(uploads: MultipartUploads, upload, *etags: str) -> Callable[[], object]:
    wanted = [WantedPart(number, etag) for number, etag in enumerate(etags, 1)]
    return lambda: uploads.complete(upload, wanted, forbid_overwrite=False)


def test_completion_and_end_of_the_upload_are_one(oss: OssStore, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = MultipartUploads(oss)
    upload = uploads.start("bucket", "k", {"x-oss-meta-version": "3"})
    one = part(uploads, oss, upload, 1, b"x" * 10)
    monkeypatch.setattr(oss.metadata, "end_put", kill)
    with pytest.raises(Killed):
        completion(uploads, upload, one.etag)()
    again = reopened(oss)
    assert state(again) == (b"x" * 10, "3")
    assert again.head("bucket", "k").etag.endswith("-1")
    assert MultipartUploads(again).count("bucket") == 0
    assert list((again.private / "uploads").iterdir()) == []


def test_part_that_was_not_replaced_stays_whole(oss: OssStore, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = MultipartUploads(oss)
    upload = uploads.start("bucket", "k", {})
    old = part(uploads, oss, upload, 1, b"a" * MIN_PART_BYTES)
    last = part(uploads, oss, upload, 2, b"b")
    with monkeypatch.context() as patch:
        patch.setattr(oss.metadata, "put_part", kill)
        with pytest.raises(Killed):
            part(uploads, oss, upload, 1, b"c" * (MIN_PART_BYTES + 1))
    again = reopened(oss)
    uploads = MultipartUploads(again)
    files = list((again.private / "uploads" / upload.id).iterdir())
    assert len(files) == 2, "the part without a record is gone"
    completion(uploads, upload, old.etag, last.etag)()
    assert state(again)[0] == b"a" * MIN_PART_BYTES + b"b"


def test_replaced_part_leaves_no_file(oss: OssStore) -> None:
    uploads = MultipartUploads(oss)
    upload = uploads.start("bucket", "k", {})
    for content in (b"one", b"two", b"two"):
        last = part(uploads, oss, upload, 1, content)
    assert len(list((oss.private / "uploads" / upload.id).iterdir())) == 1
    completion(uploads, upload, last.etag)()
    assert state(oss)[0] == b"two"


def test_stale_uploads_end_when_another_begins(oss: OssStore, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads = MultipartUploads(oss)
    stale, busy = uploads.start("bucket", "stale", {}), uploads.start("bucket", "busy", {})
    now = uploads_module.time.time()
    monkeypatch.setattr(uploads_module.time, "time", lambda: now + uploads_module.STALE_SECONDS - 1)
    part(uploads, oss, busy, 1, b"x")
    monkeypatch.setattr(uploads_module.time, "time", lambda: now + uploads_module.STALE_SECONDS + 1)
    uploads.start("bucket", "new", {})
    assert uploads.get("bucket", "busy", busy.id) == busy
    with pytest.raises(OssError, match="NoSuchUpload"):
        uploads.get("bucket", "stale", stale.id)
    assert not (oss.private / "uploads" / stale.id).exists()
