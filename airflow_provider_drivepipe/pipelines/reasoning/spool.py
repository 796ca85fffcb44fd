"""The items of a partition in one order, whatever the order in which they came, and which repeat others."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from airflow_provider_drivepipe.pipelines.reasoning.export import QaItem
from airflow_provider_drivepipe.pipelines.reasoning.quality import Check

_TABLES = """
CREATE TABLE items (video TEXT, type TEXT, number INTEGER, question TEXT, text TEXT, line TEXT);
CREATE TABLE seen (hash TEXT PRIMARY KEY, item TEXT);
"""


@dataclass(frozen=True)
class Place:
    """Where an item stands, and what it is compared by.

    :param number: its place among the items of its video and type.
    :param question_hash: the same for the same question of one video; None: not compared.
    :param text_hash: the same for the same question and answer, in any video; None: not compared.
    """

    number: int | None
    question_hash: str | None = None
    text_hash: str | None = None


class Spool:
    """A database on disk that sorts items: a table has no order, files have one. A context manager."""

    def __init__(self, file: Path) -> None:
        self._database = sqlite3.connect(file)
        self._database.executescript(_TABLES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def put(self, item: QaItem, place: Place) -> None:
        """Add an item."""
        hashes = (place.question_hash, place.text_hash)
        values = (item.video_path, item.qa_type, place.number, *hashes, item.line())
        self._database.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?)", values)

    def videos(self) -> Iterator[str]:
        """Yield each video once."""
        for (video,) in self._database.execute("SELECT DISTINCT video FROM items"):
            yield str(video)

    def items(self) -> Iterator[tuple[QaItem, tuple[str, ...]]]:
        """Yield items by video, type and number, each with its hashes."""
        rows = self._database.execute(
            "SELECT question, text, line FROM items ORDER BY video, type, number, line"
        )
        for question, text, line in rows:
            yield QaItem.read(line), tuple(filter(None, (question, text)))

    def compared(self, item: QaItem, hashes: tuple[str, ...]) -> QaItem:
        """Return an item, flagged when it repeats one that was compared before it: the first of them.

        :param hashes: an item with one of them is repeated.
        """
        wanted = f"SELECT item FROM seen WHERE hash IN ({', '.join('?' * len(hashes))}) ORDER BY rowid"
        found = self._database.execute(wanted, hashes).fetchone()
        original = str(found[0]) if found else item.item_id
        self._database.executemany(
            "INSERT OR IGNORE INTO seen VALUES (?, ?)", [(each, original) for each in hashes]
        )
        if not found:
            return item
        return replace(item, duplicate_of=original, flags=(*item.flags, Check.DUPLICATE))
