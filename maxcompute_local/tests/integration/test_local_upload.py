"""``upload``: a folder of this machine, as objects of the local cloud."""

from __future__ import annotations

from pathlib import Path

import alibabacloud_oss_v2 as oss
import pytest

from maxcompute_local.cli import main
from maxcompute_local.clients import oss_client
from maxcompute_local.server import LocalCloud


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    for name in ("a.mp4", "trip 1/b.mp4", ".hidden/c.mp4", ".DS_Store"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 1000)
    return folder


def upload(cloud: LocalCloud, *arguments: str) -> int:
    return main(["upload", *arguments, "--root", str(cloud.root)])


def test_a_folder_keeps_its_paths_below_the_prefix_and_is_sent_once(
    local_cloud: LocalCloud, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upload(local_cloud, str(folder), "oss://own-clips/raw/20261120/") == 0
    assert capsys.readouterr().out == "2 uploaded, 0 were there: oss://own-clips/raw/20261120/\n"
    client = oss_client(local_cloud.settings)
    listed = client.list_objects_v2(oss.ListObjectsV2Request(bucket="own-clips")).contents or []
    assert [each.key for each in listed] == ["raw/20261120/a.mp4", "raw/20261120/trip 1/b.mp4"]

    (folder / "a.mp4").write_bytes(b"another cut")
    assert upload(local_cloud, str(folder), "oss://own-clips/raw/20261120") == 0
    assert capsys.readouterr().out.startswith("1 uploaded, 1 were there")
    found = client.get_object(oss.GetObjectRequest(bucket="own-clips", key="raw/20261120/a.mp4"))
    assert found.body is not None
    assert found.body.read() == b"another cut"

    assert upload(local_cloud, str(folder / "a.mp4"), "oss://own-clips") == 0
    assert client.is_object_exist("own-clips", "a.mp4")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere", "oss://own-clips/raw"), "nowhere is no folder"),
        (("{folder}", "own-clips/raw"), "'own-clips/raw' is not oss://bucket/prefix"),
        (("{folder}", "oss://127.0.0.1:8000/own-clips/raw"), "is not oss://bucket/prefix"),
        (("{folder}/.hidden/..", "oss://Own"), "is not oss://bucket/prefix"),
        (("{folder}/empty", "oss://own-clips"), "has no files"),
    ],
)
def test_what_cannot_be_uploaded_is_named(
    local_cloud: LocalCloud,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    said: str,
) -> None:
    (folder / "empty").mkdir()
    assert upload(local_cloud, *(each.format(folder=folder) for each in arguments)) == 1
    assert said in capsys.readouterr().err
