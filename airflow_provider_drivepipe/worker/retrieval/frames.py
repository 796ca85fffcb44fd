"""Frames of a video as models are shown them: lines, one image each. Runs in DPE workers: stdlib only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_drivepipe.worker.reasoning.clock import clock_text

NAMES = {"en": "Frame {}", "zh": "第 {} 帧"}
_LONGEST = 2000
_NUMBER = re.compile(r"\d+")
_TIMES = re.compile(
    r"[(（][^()（）]*[)）]|\d+(?:[:：]\d+)+(?:\.\d+)?|\d+(?:\.\d+)?\s*(?:ms|s|sec|seconds?|秒|毫秒)\b"
)


@dataclass(frozen=True)
class Frame:
    """A frame of a video: its number there, its time in milliseconds where it is known, its OSS URI."""

    index: int
    time_ms: int | None
    url: str

    def line(self, language: str) -> str:
        """Return what is said before the image, a tab, and the image's URI.

        :param language: en or zh.
        """
        clock = clock_text(self.time_ms)
        return f"{NAMES[language].format(self.index)}{f' ({clock})' if clock else ''}\t{self.url}"


def listed_frames(text: str) -> list[Frame]:
    """Return the frames of lines ``frame_idx|frame_time_ms|image_url``, in order of time, each once.

    Frames of a video with an unknown time are in order of their numbers. Raises ValueError for other lines.
    """
    found: dict[int, Frame] = {}
    for line in text.split("\n") if text else ():
        index, time_ms, url = line.split("|", 2)
        found.setdefault(int(index), Frame(int(index), int(time_ms) if time_ms else None, url))
    timed = all(frame.time_ms is not None for frame in found.values())
    return sorted(found.values(), key=lambda frame: ((frame.time_ms or 0) if timed else 0, frame.index))


def shown_frames(lines: str) -> dict[int, str]:
    """Return the URIs of the frames in lines of :meth:`Frame.line`, by frame number, in their order."""
    shown = (line.partition("\t") for line in lines.split("\n") if "\t" in line)
    return {number: url for said, _, url in shown for number in frame_numbers(said)[:1]}


def frame_numbers(text: str) -> list[int]:
    """Return the numbers of frames in a text such as ``Frame 12 (00:06.0), 15``; times are none."""
    return [int(number) for number in _NUMBER.findall(_TIMES.sub(" ", text[:_LONGEST])) if len(number) < 10]


def spread(count: int, wanted: int) -> list[int]:
    """Return the places of at most ``wanted`` of ``count`` things, evenly spaced, none of them twice."""
    wanted = min(wanted, count)
    return [number * count // wanted for number in range(wanted)]


def lines_of(frames: Sequence[Frame], language: str) -> str:
    """Return the lines of frames, see :meth:`Frame.line`."""
    return "\n".join(frame.line(language) for frame in frames)
