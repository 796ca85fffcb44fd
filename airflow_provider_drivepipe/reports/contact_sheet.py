"""A contact sheet: pictures of a partition with their labels, in groups of what is worth a look.

What failed comes first, with its reason; then frames beside the one that they repeat, rare labels, labels
that are not sure of themselves, and ordinary ones, spread evenly over the videos. Of a search it shows the
frames that were found, the best first. The same rows are chosen each time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import md5
from typing import Any

from airflow_provider_drivepipe.contracts import OssUri, Reason, Status
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.reports.drift import Sums
from airflow_provider_drivepipe.reports.fields import (
    VIDEO_COLUMNS,
    ChoiceField,
    choice_fields,
    count_choices,
    doubt,
    owner_text,
    read_choices,
)
from airflow_provider_drivepipe.reports.page import (
    Query,
    Read,
    render_page,
    short_name,
    thumbnail,
    thumbnails,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.scenario.plan import TaskPlan
from airflow_provider_drivepipe.sql import column_list, joined_text, quote_name, quote_text

IMAGE_COLUMNS = ("prepared_url", "image_url")
"""Where a table of images has them; the first one that is there."""
MAX_PICTURES = 9_000_000
"""Bytes of a page that pictures take at most; beyond, the large ones and those around are left out."""

_SHOWN = (
    *VIDEO_COLUMNS[:2],
    *(
        "image_id",
        "frame_idx",
        "frame_time_ms",
        "label_text",
        "phash",
        "error_stage",
        "error_type",
        "error_msg",
    ),
)
_GROUPS = {
    "failed": ("What failed", 6, 24),
    "repeats": ("Left out as near duplicates, each beside the frame before it", 12, 12),
    "twins": ("The same picture several times", 12, 12),
    "rare": ("Rare labels", 3, 24),
    "unsure": ("Labels that are least sure", 12, 12),
    "usual": ("Others", 24, 24),
}
"""By kind of row: what the group is called, most rows of each reason or value, and of all."""
RARE = 0.02
"""A value of fewer rows is rare."""
_RARE_VALUES = 8
_AROUND = (-2, -1, 1, 2)
_SMALL, _LARGE = 320, 640
_AROUND_WIDTH = 160
_QUALITY = 72
_SHORT = 24
"""Characters of a label's value that make a chip; longer ones are text."""
_SAYS_NOTHING = ("", "none", "unknown")
_READERS = 8
_MOST_ROWS = 500
Row = Mapping[str, Any]
Near = Mapping[tuple[str, int], tuple[str, int | None]]
"""Address and time of frames, by what they come from and their number."""


@dataclass(frozen=True)
class Picture:
    """A frame near another one, and when it is; ``image`` is a ``data:`` URI."""

    at: str
    image: str


@dataclass(frozen=True)
class Tile:
    """One row of the partition. ``failure`` is empty for a frame that is ok.

    :param image: small, as a ``data:`` URI; empty where it cannot be shown. ``large`` is the same.
    :param chips: field and value of a label.
    :param before: the frame before, where the two are to be compared.
    :param around: frames of the same video before and after.
    :param label: the whole label.
    :param path: what identifies the row.
    """

    name: str
    at: str = ""
    image: str = ""
    chips: tuple[tuple[str, str], ...] = ()
    text: str = ""
    failure: str = ""
    id: str = ""
    large: str = ""
    before: Picture | None = None
    around: tuple[Picture, ...] = ()
    label: str = ""
    path: str = ""


@dataclass(frozen=True)
class Sheet:
    """What a page shows: ``says`` stands below the title, then groups of tiles by what they are."""

    title: str
    says: str
    groups: Sequence[tuple[str, Sequence[Tile]]]


def rare_values(counted: Sequence[tuple[ChoiceField, Mapping[str, Sums]]]) -> list[tuple[ChoiceField, str]]:
    """Return the values that few rows have, the rarest first."""
    found = [
        (sums.hits, field.name, value, field)
        for field, values in counted
        for value, sums in values.items()
        if 0 < sums.hits <= RARE * sums.rows and field.name != "abstain"
    ]
    return [(field, value) for _, _, value, field in sorted(found, key=lambda each: each[:3])[:_RARE_VALUES]]


def read_groups(
    task: TaskPlan,
    columns: Sequence[str],
    partition: PartitionSpec,
    query: Query,
    read: Read,
    rare: Sequence[tuple[ChoiceField, str]] = (),
) -> list[tuple[str, list[Tile]]]:
    """Read the groups of a task's partition: two queries, and the pictures.

    :param columns: those of the task's table; one of :data:`IMAGE_COLUMNS` is among them.
    """
    url = next(name for name in IMAGE_COLUMNS if name in columns)
    names = [url, *(name for name in _SHOWN if name in columns)]
    source = f"FROM {quote_name(task.output_table.name)} WHERE {partition.sql(' AND ')}"
    found = query(_choice(source, columns, url, names, task.stages, rare))
    rows = [dict(zip(["kind", *names], row, strict=True)) for row in found]
    chosen = {}
    for kind, (_, _, most) in _GROUPS.items():
        if of_kind := [row for row in rows if row["kind"].partition(":")[0] == kind]:
            chosen[kind] = of_kind[:most]
    shown = [row for of_kind in chosen.values() for row in of_kind]
    near = _read_near(source, names, url, query, shown)
    tiles = iter(_tiles(shown, url, read, near))
    return [(_GROUPS[kind][0], [next(tiles) for _ in of_kind]) for kind, of_kind in chosen.items()]


def _choice(
    source: str,
    columns: Sequence[str],
    url: str,
    names: Sequence[str],
    stages: Sequence[object],
    rare: Sequence[tuple[ChoiceField, str]],
) -> str:
    """Return the query for the rows that are shown: kind, with its reason or value, and columns."""
    image, is_ok = f"{quote_name(url)} IS NOT NULL", f"`status` = {quote_text(Status.OK)}"
    failed = f"`status` = {quote_text(Status.FAILED)}"
    kinds = [
        f"WHEN {failed} THEN CONCAT('failed:', `error_stage`, ' ', `error_type`)",
        f"WHEN `error_type` = {quote_text(Reason.NEAR_DUPLICATE)} AND {image} THEN 'repeats'",
        f"WHEN NOT {is_ok} THEN ''",
        *(
            f"WHEN {field.has(field.text, value)} THEN {quote_text(f'rare:{n}')}"
            for n, (field, value) in enumerate(rare)
        ),
        f"WHEN alike IS NOT NULL AND {image} THEN 'twins'",
        "WHEN doubt >= 1 THEN 'unsure' ELSE 'usual'",
    ]
    twin = f"(`phash`) OVER (PARTITION BY `phash` ORDER BY {quote_name(url)})" if "phash" in columns else ""
    alike = f"COALESCE(LAG{twin}, LEAD{twin})" if twin else "NULL"
    mixed = f"MD5({joined_text([n for n in names if n in (*VIDEO_COLUMNS, 'frame_idx', url)])})"
    rows = (
        f"SELECT *, {alike} AS alike, {owner_text(columns)} AS owner, {mixed} AS mixed, "
        f"{doubt(stages, columns)} AS doubt {source}"
    )
    # What is alike stays together; else no video crowds out another.
    of_kind = f"SELECT *, CASE {' '.join(kinds)} END AS kind FROM ({rows}) r"
    of_video = (
        "SELECT *, CASE WHEN kind <> 'twins' THEN ROW_NUMBER() OVER (PARTITION BY kind, owner ORDER BY "
        f"doubt DESC, mixed) END AS nth_of_video FROM ({of_kind}) s WHERE kind <> ''"
    )
    twins = "CASE WHEN kind = 'twins' THEN `phash` END, " if "phash" in columns else ""
    numbered = (
        f"SELECT *, ROW_NUMBER() OVER (PARTITION BY kind ORDER BY {twins}doubt DESC, nth_of_video, mixed) "
        f"AS nth FROM ({of_video}) v"
    )
    most = " ".join(f"WHEN kind LIKE '{kind}%' THEN {each}" for kind, (_, each, _) in _GROUPS.items())
    return (
        f"SELECT kind, {column_list(names)} FROM ({numbered}) n WHERE nth <= CASE {most} END "
        f"ORDER BY kind, nth LIMIT {_MOST_ROWS}"
    )


def _read_near(source: str, names: Sequence[str], url: str, query: Query, rows: Sequence[Row]) -> Near:
    """Return address and time of the frames around rows that are shown, by video and frame.

    Videos are named by hashes: their names may be such as no statement can hold.
    """
    video = next((name for name in VIDEO_COLUMNS if name in names), "")
    placed = [row for row in rows if video and row[url] and row.get("frame_idx") is not None]
    if not placed:
        return {}
    near = " OR ".join(
        f"(MD5({quote_name(video)}) = '{md5(row[video].encode()).hexdigest()}' AND `frame_idx` BETWEEN "
        f"{row['frame_idx'] + _AROUND[0]} AND {row['frame_idx'] + _AROUND[-1]})"
        for row in placed
    )
    wanted = column_list([video, "frame_idx", url, "frame_time_ms"])
    found = query(f"SELECT {wanted} {source} AND {quote_name(url)} IS NOT NULL AND ({near})")
    return {(owner, number): (address, time_ms) for owner, number, address, time_ms in found}


def sheet_of_hits(title: str, says: str, hits: Sequence[Mapping[str, Any]], read: Read) -> Sheet:
    """Return a sheet of frames that a search found, in their order, each with its rank and score."""
    return Sheet(title, says, [("", _tiles(hits, "image_url", read, {}))])


def _tiles(rows: Sequence[Row], url: str, read: Read, near: Near) -> list[Tile]:
    def tile(row: Row) -> Tile:
        return _tile(row, url, read)

    def around(row: Row) -> dict[int, Picture]:
        return _around(row, near, read)

    with ThreadPoolExecutor(_READERS) as readers:
        tiles, others = list(readers.map(tile, rows)), list(readers.map(around, rows))
    room = MAX_PICTURES - sum(len(each.image) for each in tiles)
    shown = []
    for number, (row, each, pictures) in enumerate(zip(rows, tiles, others, strict=True), 1):
        room -= len(each.large) + sum(len(picture.image) for picture in pictures.values())
        if room < 0:
            each, pictures = replace(each, large=""), {}
        before = pictures.get(-1) if row.get("kind") == "repeats" else None
        shown.append(replace(each, id=f"tile{number}", around=tuple(pictures.values()), before=before))
    return shown


def _around(row: Row, near: Near, read: Read) -> dict[int, Picture]:
    """Return the frames before and after that can be shown, by their distance."""
    found = {}
    for step in _AROUND:
        number = row.get("frame_idx")
        place = near.get((_path(row), number + step)) if number is not None else None
        if place is not None:
            with suppress(DrivepipeError, OSError, ValueError):
                picture = thumbnail(read(OssUri.parse(place[0])), _AROUND_WIDTH, _QUALITY)
                found[step] = Picture(_time(place[1]), picture)
    return found


def _tile(row: Row, url: str, read: Read) -> Tile:
    failure, (chips, text) = "", _label(row.get("label_text"))
    if row.get("error_type"):
        reason, text = f"{row['error_type']} at {row['error_stage']}", str(row.get("error_msg") or "")
        # What a rule left out has not failed.
        failure, text = ("", f"{reason}: {text}") if row.get("kind") == "repeats" else (reason, text)
    large = image = ""
    if row[url]:
        try:
            large, image = thumbnails(read(OssUri.parse(row[url])), (_LARGE, _SMALL), _QUALITY)
        except (DrivepipeError, OSError, ValueError) as error:
            failure = failure or f"the picture cannot be shown: {error}"
    found = f"#{row['rank']} {row['score']:.3f}" if "rank" in row else ""
    return Tile(
        name=_name(row, url),
        at=" ".join(filter(None, (_time(row.get("frame_time_ms")), found))),
        image=image,
        chips=chips,
        text=text,
        failure=failure,
        large=large,
        label=row.get("label_text") or "",
        path=_path(row) or str(row[url] or ""),
    )


def _path(row: Row) -> str:
    """Return the video or clip of a row, empty for an image by itself."""
    return str(row.get("video_path") or row.get("clip_id") or "")


def _time(time_ms: int | None) -> str:
    return "" if time_ms is None else f"{time_ms / 1000:g} s"


def _name(row: Mapping[str, Any], url: str) -> str:
    """Return what people know a row by: the last two parts of the video's key, the clip, or the image."""
    named = next((row[name] for name in ("video_path", "clip_id", "image_id", url) if row.get(name)), "?")
    return short_name(str(named))


def _label(label: str | None) -> tuple[tuple[tuple[str, str], ...], str]:
    """Return chips and text of a label: the short values of a JSON object, and the long ones."""
    try:
        values = json.loads(label or "{}")
    except ValueError:
        values = label
    if not isinstance(values, dict):
        return (), str(values)
    found = [(str(key), text) for key, value in values.items() for text in _texts(value)]
    counted = Counter((key, text) for key, text in found if len(text) <= _SHORT)
    chips = tuple((key, text if n == 1 else f"{n} × {text}") for (key, text), n in counted.items())
    return chips, " ".join(text for _, text in found if len(text) > _SHORT)


def _texts(value: object) -> Iterator[str]:
    """Yield the texts of a value; the first one of each object in a list, which is its class."""
    if isinstance(value, str) and value not in _SAYS_NOTHING:
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from list(_texts(each))[:1]
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)


def read_sheet(
    scenario: str,
    task: TaskPlan,
    columns: Sequence[str],
    partition: PartitionSpec,
    query: Query,
    read: Read,
) -> Sheet:
    """Read what a sheet of a task's partition shows: at most four queries, and the pictures.

    :param columns: those of the task's table; one of :data:`IMAGE_COLUMNS` is among them.
    """
    table, where, fields = task.output_table.name, partition.sql(" AND "), choice_fields(task.stages)
    counted = query(f"SELECT status, COUNT(*) FROM {quote_name(table)} WHERE {where} GROUP BY status")
    counts = {str(status): int(n) for status, n in counted}
    rare: Sequence[tuple[ChoiceField, str]] = ()
    if fields and counts:
        counted = query(count_choices(table, columns, where, partition.columns[0], fields).sql)
        found = read_choices(fields, counted)
        rare = rare_values([(f, c) for each in found.values() for f, c in zip(fields, each, strict=True)])
    groups = read_groups(task, columns, partition, query, read, rare)
    said = ", ".join(f"{n} {status}" for status, n in sorted(counts.items(), reverse=True))
    return Sheet(
        f"{scenario} {partition.path()}",
        f"Table {table}: {sum(counts.values())} rows, {said}. Here are "
        f"{sum(len(tiles) for _, tiles in groups)} of them.",
        groups,
    )


def render(sheet: Sheet) -> str:
    """Return the page."""
    return render_page("frames.html", title=sheet.title, sheet=sheet)
