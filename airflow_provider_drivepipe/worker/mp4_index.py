"""The packets of an MP4's or MOV's video, as its index lists them. Runs in DPE workers: standard library.

FFmpeg gives each packet's place, size, decoding time and key flag; what its frame's time differs by stands in
the track's own tables. Only what is plain is read here: all else has to be read from the packets.
"""

from __future__ import annotations

import itertools
import pathlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.worker.media_file import top_level_boxes

_LARGEST_INDEX = 64 << 20
"""Bytes; a day of video needs fewer."""


@dataclass(frozen=True)
class IndexedPacket:
    """One packet in decoding order: where its bytes are, when its frame is shown and for how long, in the
    stream's time base, and whether decoding can start at it."""

    pos: int
    size: int
    pts: int
    duration: int
    is_key: bool


def indexed_packets(path: str, stream: Any, size: int) -> list[IndexedPacket]:
    """Return the packets that reading ``stream`` of a file of ``size`` bytes would give.

    Empty where the index does not tell that for certain: other formats, fragments, several decoder
    configurations, an edit list that cuts or repeats, bytes that are not there.
    """
    entries = list(stream.index_entries)
    if not _are_plain(entries, size):
        return []
    times = _times(_moov(path), stream.id, len(entries))
    if times is None:
        return []
    durations, offsets = times
    # Where this holds, no edit list cuts, repeats or moves a part of the video.
    steps = [after.timestamp - before.timestamp for before, after in itertools.pairwise(entries)]
    if steps != durations[:-1]:
        return []
    # No frame is shown before it is decoded: where offsets say so, FFmpeg moves all of them.
    shift = max(0, -min(offsets))
    return [
        IndexedPacket(entry.pos, entry.size, entry.timestamp + shift + offset, duration, entry.is_keyframe)
        for entry, offset, duration in zip(entries, offsets, durations, strict=True)
    ]


def _are_plain(entries: Sequence[Any], size: int) -> bool:
    return (
        len(entries) > 0
        and entries[0].is_keyframe
        and all(e.size > 0 and e.pos + e.size <= size and not e.is_discard for e in entries)
        and len({e.pos for e in entries}) == len(entries)
    )


def _moov(path: str) -> memoryview:
    """Return the content of the file's index; nothing where it is not the only one."""
    with pathlib.Path(path).open("rb") as file:
        found = [box for box in top_level_boxes(file) if box.name in ("moov", "moof")]
        if len(found) != 1 or found[0].name != "moov" or found[0].stop - found[0].start > _LARGEST_INDEX:
            return memoryview(b"")
        file.seek(found[0].start)
        return memoryview(file.read(found[0].stop - found[0].start))


def _times(moov: memoryview, track_id: int, count: int) -> tuple[list[int], list[int]] | None:
    """Return the durations of a track's packets, and how much later than decoded each is shown."""
    boxes = _boxes(moov)
    tracks = [track for track in map(_boxes, boxes.get("trak", [])) if _id(track) == track_id]
    if "mvex" in boxes or len(tracks) != 1:
        return None
    tables = _boxes(_only(_boxes(_only(_boxes(_only(tracks[0], "mdia")), "minf")), "stbl"))
    if _number(_only(tables, "stsd"), 4) != 1:
        return None
    durations = _expanded(_only(tables, "stts"), count)
    offsets = _expanded(_only(tables, "ctts"), count) if "ctts" in tables else [0] * count
    if durations is None or offsets is None or min(durations) < 1:
        return None
    return durations, offsets


def _expanded(table: memoryview, count: int) -> list[int] | None:
    """Return one value per packet of a table of (how many, value); None if they are not ``count``."""
    content = table[8 : 8 + 8 * _number(table, 4)]
    rows = list(struct.iter_unpack(">Ii", content[: len(content) // 8 * 8]))
    if sum(many for many, _ in rows) != count:
        return None
    return [value for many, value in rows for _ in range(many)]


def _id(track: dict[str, list[memoryview]]) -> int:
    header = _only(track, "tkhd")
    return _number(header, 20 if _number(header, 0) >> 24 == 1 else 12)


def _number(content: memoryview, position: int) -> int:
    return int.from_bytes(content[position : position + 4], "big")


def _only(boxes: dict[str, list[memoryview]], name: str) -> memoryview:
    """Return the content of the only box of a name; nothing if there are others or none."""
    found = boxes.get(name, [])
    return found[0] if len(found) == 1 else memoryview(b"")


def _boxes(content: memoryview) -> dict[str, list[memoryview]]:
    found: dict[str, list[memoryview]] = {}
    position = 0
    while position + 8 <= len(content):
        size = _number(content, position)
        name = bytes(content[position + 4 : position + 8]).decode("latin-1")
        found.setdefault(name, []).append(content[position + 8 : position + size])
        position += max(8, size)
    return found
