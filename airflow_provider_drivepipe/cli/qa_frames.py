"""Frames and embeddings of videos as folders hold them: ``<key>/frame_<n>.jpg``, and one file per video."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_provider_drivepipe.cli.errors import CommandError

_NAME = re.compile(r"frame_(\d{1,9})\.jpg")
FORMATS = (".npz", ".json", ".pt")
_CONVERT = (
    "import sys, numpy, torch; "
    "[numpy.savez(f[:-3] + '.npz', filenames=d['filenames'], embeddings=d['embeddings'].float().numpy()) "
    "for f in sys.argv[1:] for d in [torch.load(f, map_location='cpu')]]"
)


@dataclass(frozen=True)
class Frame:
    """A frame of a video; ``number`` is that of its file's name."""

    number: int
    file: Path
    width: int
    height: int
    sha256: str


def read_frames(folder: Path, key: str, problems: list[str]) -> list[Frame]:
    """Return the frames of a video, by number; what is wrong with them is added to ``problems``."""
    from PIL import Image

    found: list[Frame] = []
    place = folder / key
    if not place.is_dir():
        problems.append(f"{key}: there is no folder {place}")
        return found
    for file in place.iterdir():
        match = _NAME.fullmatch(file.name)
        if match is None:
            continue
        try:
            with Image.open(file, formats=["JPEG"]) as image:
                width, height = image.size
        except (OSError, ValueError, Image.DecompressionBombError):
            problems.append(f"{key}: {file.name} is no JPEG")
            continue
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        found.append(Frame(int(match[1]), file, width, height, digest))
    found.sort(key=lambda frame: frame.number)
    twice = {a.number for a, b in pairwise(found) if a.number == b.number}
    problems += [f"{key}: frame {number} is there in two spellings" for number in sorted(twice)]
    if not found:
        problems.append(f"{key}: {place} has no frame_<n>.jpg")
    return found


def read_vectors(
    folder: Path, key: str, frames: Sequence[Frame], dimension: int | None, problems: list[str]
) -> dict[int, str]:
    """Return the vector of each frame as JSON, by its number; what is wrong is added to ``problems``."""
    file = next((path for end in FORMATS if (path := folder / f"{key}{end}").is_file()), None)
    if file is None:
        problems.append(f"{key}: there is no {folder / key}{' or '.join(FORMATS)}")
        return {}
    try:
        names, vectors = _read(file)
    except (KeyError, TypeError, ValueError, OSError) as error:
        problems.append(f"{key}: {file.name} cannot be read ({type(error).__name__}: {error})")
        return {}
    if len(names) != len(vectors):
        problems.append(f"{key}: {file.name} has {len(names)} filenames and {len(vectors)} embeddings")
        return {}
    known, before = {frame.number for frame in frames}, len(problems)
    made: dict[int, str] = {}
    for name, vector in zip(names, vectors, strict=True):
        base = PurePosixPath(str(name).replace("\\", "/")).name
        match = _NAME.fullmatch(base)
        if match is None or int(match[1]) not in known:
            problems.append(f"{key}: {file.name} names {base}, which is no frame of the video")
        elif dimension is not None and len(vector) != dimension:
            problems.append(f"{key}: {base} has a vector of {len(vector)} numbers, {dimension} are wanted")
        elif not all(map(math.isfinite, vector)):
            problems.append(f"{key}: the vector of {base} has values that are not finite numbers")
        else:
            made[int(match[1])] = _vector_json(vector)
    lacking = sorted(known - made.keys())
    if lacking and len(problems) == before:
        problems.append(
            f"{key}: {file.name} lacks {len(lacking)} frames, the first is frame_{lacking[0]}.jpg"
        )
    return made


def _vector_json(vector: Sequence[float]) -> str:
    # Nine digits are all that a single-precision number has; models give no more.
    return "[{}]".format(",".join(format(value, ".9g") for value in vector))


def _read(file: Path) -> tuple[list[Any], list[list[float]]]:
    """Return file names and vectors."""
    if file.suffix == ".json":
        content: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
        return list(content["filenames"]), [list(map(float, each)) for each in content["embeddings"]]
    if file.suffix == ".npz":
        import numpy as np

        with np.load(file, allow_pickle=False) as arrays:
            return arrays["filenames"].tolist(), arrays["embeddings"].astype("float64").tolist()
    if find_spec("torch") is None:
        raise CommandError(
            f"{file} is a file of torch, which is not installed here. Where it is, make .npz files of all:\n"
            f'  python -c "{_CONVERT}" {file.parent}/*.pt'
        )
    import torch  # type: ignore[import-not-found,unused-ignore]

    loaded = torch.load(file, map_location="cpu", weights_only=True)
    return list(loaded["filenames"]), loaded["embeddings"].double().tolist()


def time_ms(number: int, seconds_per_frame: float) -> int:
    """Return when a frame is shown: frame 0 at 0, and then one every so many seconds."""
    return round(number * seconds_per_frame * 1000)
