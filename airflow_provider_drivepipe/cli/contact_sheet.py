"""A contact sheet: one HTML page with everything in it, of bounded size.

Of a partition it shows what failed, as tiles with the reason, then frames with labels as chips, spread evenly
over the videos. Of a search it shows the frames that were found, the best first.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html import escape
from typing import Any

from airflow_provider_drivepipe.cli.page import Query, Read, html, short_name, thumbnail
from airflow_provider_drivepipe.contracts import OssUri, Status
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.sql import column_list, quote_name, quote_text

IMAGE_COLUMNS = ("prepared_url", "image_url")
"""Where a table of images has them; the first one that is there."""
MAX_FRAMES = 96
MAX_FAILURES = 32

_UNITS = ("video_path", "clip_id")
_SHOWN = (
    *_UNITS,
    "image_id",
    "frame_idx",
    "frame_time_ms",
    "label_text",
    "error_stage",
    "error_type",
    "error_msg",
)
_WIDTH = 320
_QUALITY = 78
_SHORT = 24
"""Characters of a label's value that make a chip; longer ones are text."""
_SAYS_NOTHING = ("", "none", "unknown")
_READERS = 8


@dataclass(frozen=True)
class Tile:
    """One row of the partition. ``failure`` is empty for a frame that is ok."""

    name: str
    at: str = ""
    image: str = ""
    """A ``data:`` URI."""
    chips: tuple[tuple[str, str], ...] = ()
    """Field and value of a label."""
    text: str = ""
    failure: str = ""


@dataclass(frozen=True)
class Sheet:
    """What a page shows.

    :param says: what stands below the title.
    :param counts: rows of the whole partition by status; none when there is no such partition.
    """

    title: str
    says: str
    tiles: Sequence[Tile]
    counts: Mapping[str, int]


def read_sheet(
    scenario: str, table: str, columns: Sequence[str], partition: PartitionSpec, query: Query, read: Read
) -> Sheet:
    """Read what a sheet of a table's partition shows: three queries, and the pictures of its frames.

    :param columns: those of the table; one of :data:`IMAGE_COLUMNS` is among them.
    """
    url = next(name for name in IMAGE_COLUMNS if name in columns)
    names = [url, *(name for name in _SHOWN if name in columns)]
    unit = next((name for name in _UNITS if name in columns), url)
    order = "frame_idx" if "frame_idx" in columns else url
    source = f"FROM {quote_name(table)} WHERE {partition.sql(' AND ')}"
    counted = query(f"SELECT status, COUNT(*) {source} GROUP BY status")
    of_status = f"{source} AND status = "
    # The first frame of each video, then the second of each: no video crowds out another.
    ok = query(
        f"SELECT {column_list(names)} FROM (SELECT {column_list(names)}, ROW_NUMBER() OVER "
        f"(PARTITION BY {quote_name(unit)} ORDER BY {quote_name(order)}) AS nth {of_status}"
        f"{quote_text(Status.OK)}) f ORDER BY nth LIMIT {MAX_FRAMES}"
    )
    failed = query(
        f"SELECT {column_list(names)} {of_status}{quote_text(Status.FAILED)} "
        f"ORDER BY error_stage, error_type LIMIT {MAX_FAILURES}"
    )
    frames = [dict(zip(names, row, strict=True)) for row in ok]
    frames.sort(key=lambda row: (str(row[unit]), row[order]))
    rows = [*(dict(zip(names, row, strict=True)) for row in failed), *frames]
    tiles = _tiles(rows, url, read)
    counts = {str(status): int(n) for status, n in counted}
    shown = sum(not tile.failure for tile in tiles)
    said = ", ".join(f"{n} {status}" for status, n in sorted(counts.items(), reverse=True))
    return Sheet(
        f"{scenario} {partition.path()}",
        f"Table {table}: {sum(counts.values())} rows, {said}. Here are {shown} frames that are ok and "
        f"{len(tiles) - shown} rows that are not.",
        tiles,
        counts,
    )


def sheet_of_hits(title: str, says: str, hits: Sequence[Mapping[str, Any]], read: Read) -> Sheet:
    """Return a sheet of frames that a search found, in their order, each with its rank and score."""
    return Sheet(title, says, _tiles(hits, "image_url", read), {Status.OK: len(hits)})


def _tiles(rows: Sequence[Mapping[str, Any]], url: str, read: Read) -> list[Tile]:
    with ThreadPoolExecutor(_READERS) as readers:
        return list(readers.map(lambda row: _tile(row, url, read), rows))


def _tile(row: Mapping[str, Any], url: str, read: Read) -> Tile:
    failure = ""
    if row.get("error_type"):
        failure = f"{row['error_type']} at {row['error_stage']}"
    chips, text = _label(row.get("label_text"))
    image = ""
    if row[url]:
        try:
            image = thumbnail(read(OssUri.parse(row[url])), _WIDTH, _QUALITY)
        except (DrivepipeError, OSError, ValueError) as error:
            failure = failure or f"the picture cannot be shown: {error}"
    time_ms = row.get("frame_time_ms")
    found = f"#{row['rank']} {row['score']:.3f}" if "rank" in row else ""
    return Tile(
        name=_name(row, url),
        at=" ".join(filter(None, ("" if time_ms is None else f"{time_ms / 1000:g} s", found))),
        image=image,
        chips=chips,
        text=str(row.get("error_msg") or "") if failure else text,
        failure=failure,
    )


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


def render(sheet: Sheet) -> str:
    """Return the page."""
    tiles = "\n".join(map(_tile_html, sheet.tiles))
    return html(sheet.title, escape(sheet.says), tiles, _STYLE)


def _tile_html(tile: Tile) -> str:
    chips = "".join(
        f'<span class="chip" title="{escape(field)}">{escape(value)}</span>' for field, value in tile.chips
    )
    picture = f'<img src="{tile.image}" alt="">' if tile.image else '<div class="nothing"></div>'
    failure = f'<p class="failure">{escape(tile.failure)}</p>' if tile.failure else ""
    text = f"<p>{escape(tile.text)}</p>" if tile.text else ""
    kind = "tile failed" if tile.failure else "tile"
    return (
        f'<article class="{kind}">{picture}<h2>{escape(tile.name)} <small>{escape(tile.at)}</small></h2>'
        f'{failure}<div class="chips">{chips}</div>{text}</article>'
    )


_STYLE = """
main { display: grid; gap: 12px; padding: 16px 24px;
  grid-template-columns: repeat(auto-fill, minmax(240px, 1fr)); }
.tile { overflow: hidden; overflow-wrap: anywhere; padding-bottom: 8px; border-radius: 8px;
  background: light-dark(#fff, #23262c); box-shadow: 0 1px 3px #0003; }
.tile img { width: 100%; display: block; }
.nothing { aspect-ratio: 16 / 9;
  background: repeating-linear-gradient(45deg, #8882, #8882 8px, #8884 8px, #8884 16px); }
.tile h2, .tile p { margin: 6px 10px 0; font-size: 13px; }
.tile h2 small { font-weight: normal; opacity: .7; }
.tile p { font-size: 12px; opacity: .85; }
.chips { margin: 4px 8px 0; }
.chip { display: inline-block; margin: 2px; padding: 0 7px; border-radius: 9px; font-size: 12px;
  background: light-dark(#e3ecfb, #2c3f63); }
.failed { outline: 2px solid #c0392b; }
.tile .failure { color: light-dark(#b02a1c, #ff8a7a); font-weight: 600; opacity: 1; }
"""
