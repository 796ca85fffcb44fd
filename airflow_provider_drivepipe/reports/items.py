"""A page to read some items of a training set: question, answer, reasoning, flags, frames at their times."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Any

from airflow_provider_drivepipe.contracts import OssUri, Status
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.reasoning.quality import CHECKED_COLUMNS, Check, flags_of
from airflow_provider_drivepipe.reports.page import (
    DEFAULT_COUNT,
    Query,
    Read,
    jpeg_uri,
    render_page,
    short_name,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.sql import column_list, quote_name, quote_text
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.reasoning.clock import clock_text
from airflow_provider_drivepipe.worker.reasoning.footage import Footage, Picture, open_footage, upright_pixels

_SHOWN = (
    "item_id",
    "video_path",
    "task",
    "question",
    "options",
    "answer",
    "answer_short",
    "reasoning",
    "start_ms",
    "end_ms",
)
_REPEATS = ("same_question", "same_text")
"""Of the items with a hash, in the order in which the export compares them, the how many-th this is."""
_FRAMES = 4
_WIDTH = 480
_QUALITY = 80


@dataclass(frozen=True)
class Frame:
    """A frame of a video; ``image`` is a ``data:`` URI."""

    at: str
    image: str


@dataclass(frozen=True)
class Item:
    """An item as the page shows it.

    :param options: texts in their order; empty for a question without.
    :param right: place of the right one.
    :param trouble: why there are no frames.
    """

    item_id: str
    task: str
    video: str
    when: str
    question: str
    options: tuple[str, ...]
    right: int
    answer: str
    reasoning: str
    flags: tuple[str, ...]
    frames: tuple[Frame, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class ItemPage:
    """What a page shows. ``counts`` are rows of the whole partition by status, ``tasks`` ok ones by task."""

    scenario: str
    table: str
    partition: str
    counts: Mapping[str, int]
    tasks: Mapping[str, int]
    items: Sequence[Item]


def read_items(
    scenario: str,
    table: str,
    columns: Sequence[str],
    checks: Sequence[Check],
    partition: PartitionSpec,
    query: Query,
    read: Read,
    count: int = DEFAULT_COUNT,
) -> ItemPage:
    """Read what a page of a table of items shows: two queries, and the videos of its items.

    The first item of each task by ``item_id``, which is a hash, then the second of each: an even choice that
    is the same each time.

    :param columns: those of the table.
    :param checks: whose flags are shown.
    """
    source = f"FROM {quote_name(table)} WHERE {partition.sql(' AND ')}"
    counted = query(f"SELECT status, task, COUNT(*) {source} GROUP BY status, task")
    counts, tasks = Counter[str](), Counter[str]()
    for status, task, n in counted:
        counts[str(status)] += int(n)
        tasks[str(task)] += int(n) if status == Status.OK else 0
    marks = [c.name for check in checks for c in CHECKED_COLUMNS[check] if c.name in columns]
    names = [*_SHOWN, *marks]
    place = "ORDER BY video_path, qa_type, item_number"
    chosen = query(
        f"SELECT {column_list([*names, *_REPEATS])} FROM (SELECT {column_list(names)}, "
        f"ROW_NUMBER() OVER (PARTITION BY question_hash {place}) AS same_question, "
        f"ROW_NUMBER() OVER (PARTITION BY text_hash {place}) AS same_text, "
        f"ROW_NUMBER() OVER (PARTITION BY task ORDER BY item_id) AS nth {source} "
        f"AND status = {quote_text(Status.OK)}) i ORDER BY nth, task LIMIT {count}"
    )
    rows = [dict(zip([*names, *_REPEATS], row, strict=True)) for row in chosen]
    rows.sort(key=lambda row: (row["video_path"], row["start_ms"] or 0, row["task"]))
    shown = [check for check in checks if {c.name for c in CHECKED_COLUMNS[check]} <= set(columns)]
    items = [
        _item(row, shown, **cut)
        for video in dict.fromkeys(row["video_path"] for row in rows)
        for row, cut in _with_frames(video, [row for row in rows if row["video_path"] == video], read)
    ]
    return ItemPage(scenario, table, partition.path(), counts, +tasks, items)


def _item(row: Mapping[str, Any], checks: Sequence[Check], **cut: Any) -> Item:
    start, end = clock_text(row["start_ms"]), clock_text(row["end_ms"])
    options = tuple(json.loads(row["options"] or "[]"))
    flags: list[str] = list(flags_of(row, checks))
    if Check.DUPLICATE in checks and any(int(row[name]) > 1 for name in _REPEATS):
        flags.append(Check.DUPLICATE)
    return Item(
        item_id=row["item_id"],
        task=row["task"],
        video=short_name(row["video_path"]),
        when=f"{start} to {end}" if start and end else "the whole video",
        question=row["question"],
        options=options,
        right=ord(row["answer_short"]) - ord("A") if options else -1,
        answer=row["answer"] or f"{start} to {end}",
        reasoning=row["reasoning"] or "",
        flags=tuple(flags),
        **cut,
    )


def _with_frames(
    video: str, rows: Sequence[Mapping[str, Any]], read: Read
) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """Yield the rows of a video, each with its frames, or with why there are none."""
    try:
        with tempfile.NamedTemporaryFile(suffix=PurePosixPath(video).suffix) as file:
            file.write(read(OssUri.parse(video)))
            file.flush()
            with open_footage(file.name) as footage:
                frames = [_frames(footage, row["start_ms"], row["end_ms"]) for row in rows]
    except (DrivepipeError, VideoError, OSError, ValueError) as error:
        yield from ((row, {"trouble": f"the frames cannot be shown: {error}"}) for row in rows)
        return
    yield from ((row, {"frames": cut}) for row, cut in zip(rows, frames, strict=True))


def _frames(footage: Footage, start_ms: int | None, end_ms: int | None) -> tuple[Frame, ...]:
    """Return the frames at the start, at the end and between, in equal steps; of the whole video for None."""
    start = Fraction(start_ms or 0, 1000)
    end = footage.duration if end_ms is None else Fraction(end_ms, 1000)
    times = (start + (end - start) * step / (_FRAMES - 1) for step in range(_FRAMES))
    numbers = sorted({footage.number_at(time) for time in times})

    def drawn(pictures: Iterator[Picture]) -> tuple[Frame, ...]:
        return tuple(
            Frame(clock_text(footage.time_ms(picture.number)) or "", _image(footage, picture))
            for picture in pictures
        )

    return footage.decode(numbers, drawn)


def _image(footage: Footage, picture: Picture) -> str:
    from PIL import Image

    width = min(_WIDTH, footage.width)
    height = max(1, round(footage.height * width / footage.width))
    pixels = upright_pixels(picture.frame, width, height, footage.rotation)
    return jpeg_uri(Image.fromarray(pixels), _QUALITY)


def render(page: ItemPage) -> str:
    """Return the page."""
    return render_page(
        "items.html",
        title=f"{page.scenario} {page.partition}: items",
        page=page,
        counts=", ".join(f"{page.counts[status]} {status}" for status in Status if status in page.counts),
        tasks=", ".join(f"{n} {task}" for task, n in sorted(page.tasks.items())),
    )
