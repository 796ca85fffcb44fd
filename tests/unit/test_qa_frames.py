"""Folders of frames and files of embeddings: what is read, and that all that is wrong is named."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.qa_frames import read_frames, read_vectors, time_ms

VECTORS = np.array([[0.1, -2], [3e-9, 4], [5, 6]], dtype="float32")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "v" / "a").mkdir(parents=True)
    for number in (2, 0, 10):
        Image.new("RGB", (8, 4)).save(tmp_path / "v" / "a" / f"frame_{number}.jpg")
    (tmp_path / "v" / "a" / "notes.txt").write_text("")
    return tmp_path


def vectors_of(folder, names, vectors=VECTORS, end=".npz", dimension=2):
    problems = []
    frames = read_frames(folder, "v/a", problems)
    file = folder / f"v/a{end}"
    if end == ".npz":
        np.savez(file, filenames=names, embeddings=vectors)
    else:
        file.write_text(json.dumps({"filenames": names, "embeddings": vectors.tolist()}))
    return read_vectors(folder, "v/a", frames, dimension, problems), problems


def test_frames_come_by_number_not_by_name(folder):
    frames = read_frames(folder, "v/a", problems := [])
    assert ([frame.number for frame in frames], problems) == ([0, 2, 10], [])
    assert (frames[0].width, frames[0].height) == (8, 4)


def test_what_is_wrong_with_frames_is_named(folder):
    (folder / "v" / "a" / "frame_3.jpg").write_bytes(b"no picture")
    (folder / "v" / "a" / "frame_02.jpg").write_bytes((folder / "v" / "a" / "frame_2.jpg").read_bytes())
    (folder / "empty").mkdir()
    problems = []
    for key in ("v/a", "empty", "none"):
        read_frames(folder, key, problems)
    said = "\n".join(problems)
    assert "v/a: frame_3.jpg is no JPEG" in said
    assert "v/a: frame 2 is there in two spellings" in said
    assert "has no frame_<n>.jpg" in said
    assert "none: there is no folder" in said
    assert len(problems) == 4


@pytest.mark.parametrize("end", [".npz", ".json"])
def test_vectors_belong_to_frames_by_the_names_of_files(folder, end):
    made, problems = vectors_of(folder, ["/data/frame_10.jpg", "frame_0.jpg", "c:\\x\\frame_2.jpg"], end=end)
    assert problems == []
    assert {n: np.float32(json.loads(text)).tolist() for n, text in made.items()} == dict(
        zip((10, 0, 2), VECTORS.tolist(), strict=True)
    )


@pytest.mark.parametrize(
    ("names", "change", "problem"),
    [
        (["frame_0.jpg", "frame_2.jpg"], VECTORS, "has 2 filenames and 3 embeddings"),
        (["frame_0.jpg", "frame_2.jpg"], VECTORS[:2], "lacks 1 frames, the first is frame_10.jpg"),
        (["frame_0.jpg", "frame_2.jpg", "frame_2.jpg"], VECTORS, "lacks 1 frames, the first is frame_10.jpg"),
        (["frame_0.jpg", "frame_2.jpg", "frame_9.jpg"], VECTORS, "names frame_9.jpg, which is no frame"),
        (
            ["frame_0.jpg", "frame_2.jpg", "frame_10.jpg"],
            VECTORS[:, :1],
            "a vector of 1 numbers, 2 are wanted",
        ),
        (["frame_0.jpg", "frame_2.jpg", "frame_10.jpg"], VECTORS * np.inf, "not finite numbers"),
    ],
)
def test_what_is_wrong_with_vectors_is_named(folder, names, change, problem):
    _, problems = vectors_of(folder, names, change)
    assert any(problem in each for each in problems), problems


def test_a_file_that_is_none_is_named(folder):
    frames = read_frames(folder, "v/a", [])
    problems = []
    read_vectors(folder, "v/a", frames, None, problems)
    (folder / "v" / "a.npz").write_bytes(b"no archive")
    read_vectors(folder, "v/a", frames, None, problems)
    (folder / "v" / "a.npz").unlink()
    (folder / "v" / "a.json").write_text("{}")
    read_vectors(folder, "v/a", frames, None, problems)
    expected = ("there is no", "a.npz cannot be read", "a.json cannot be read")
    assert all(part in said for part, said in zip(expected, problems, strict=True))


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is here and reads them")
def test_a_file_of_torch_without_torch_says_how_to_convert_it(folder):
    (folder / "v" / "a.pt").write_bytes(b"")
    with pytest.raises(CommandError, match=r"torch, which is not installed here.*\n.*numpy.savez"):
        read_vectors(folder, "v/a", read_frames(folder, "v/a", []), None, [])


def test_times_are_counted_from_the_first_frame():
    assert [time_ms(n, 1 / 3) for n in (0, 1, 2, 3)] == [0, 333, 667, 1000]
