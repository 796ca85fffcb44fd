"""What a listing brings, against what the manifest table holds already: by path, and by content.

Objects of one entity tag and size have the same content. One without an entity tag is like no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_provider_drivepipe.contracts import (
    CHANGE_COLUMNS,
    MANIFEST_COLUMNS,
    MAX_ERROR_MESSAGE,
    Change,
    Reason,
    Status,
)
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.sql import Figures, column_list, quote_name, quote_text

_LISTED = [column.name for column in MANIFEST_COLUMNS]
_WORKED = f"COALESCE(`status`, {quote_text(Status.OK)}) = {quote_text(Status.OK)}"
"""Rows from before there was a status were worked on too."""


def _content(path: str) -> str:
    same = "CONCAT(`etag`, '|', CAST(`size_bytes` AS STRING))"
    return f"CASE WHEN COALESCE(`etag`, '') = '' THEN {path} ELSE {same} END"


def marked(table: str, staged: str, partition: PartitionSpec, below: str, stage: str) -> str:
    """Return the query for all listed videos, as rows of an incremental manifest.

    What the partition has stays. What another one has under the same path is ``known``, and not published.
    Of videos of one content one is worked on: in another partition, else one that stays, else the first.
    ``same_as`` of a video that moved within the partition is the path that it had first.

    :param table: the manifest table.
    :param staged: relation that holds the listing: a quoted name, or a query with an alias.
    :param below: full URI of the prefix that was listed: a path below that is not listed is gone.
    :param stage: name of the stage that leaves copies out.
    """
    held = partition.sql(" AND ")

    def rows(own: int, where: str) -> str:
        return (
            f"SELECT `video_path`, COALESCE(NULLIF(`same_as`, ''), `video_path`) AS origin, "
            f"{_content('`video_path`')} AS content, {own} AS is_own, "
            f"CASE WHEN {_WORKED} THEN 1 ELSE 0 END AS is_worked FROM {quote_name(table)} WHERE {where}"
        )

    known = f"{rows(1, held)} UNION ALL {rows(0, f'NOT ({held})')}"
    by_path = f"SELECT DISTINCT `video_path` FROM ({known}) a"
    by_both = (
        "SELECT `video_path`, content, MAX(is_own * is_worked) AS stays, MAX(1 - is_own) AS elsewhere "
        f"FROM ({known}) b GROUP BY `video_path`, content"
    )
    by_content = (
        "SELECT content, MIN(CASE WHEN is_own = 0 AND is_worked = 1 THEN k.`video_path` END) AS other_path, "
        "MAX(CASE WHEN is_own = 0 AND l.p IS NOT NULL THEN 1 ELSE 0 END) AS other_listed, "
        "MIN(CASE WHEN is_own = 1 AND is_worked = 1 AND l.p IS NULL THEN k.origin END) AS gone_path "
        f"FROM ({known}) k LEFT JOIN (SELECT DISTINCT `video_path` AS p FROM {staged}) l "
        "ON k.`video_path` = l.p GROUP BY content"
    )
    earlier = (
        f"SELECT `video_path`, MAX(`same_as`) AS `same_as` FROM {quote_name(table)} WHERE {held} "
        "GROUP BY `video_path`"
    )
    found = (
        f"SELECT {column_list(_LISTED, 's.')}, s.content AS content, COALESCE(b.stays, 0) AS stays, "
        "COALESCE(b.elsewhere, 0) AS elsewhere, p.`video_path` AS seen_path, c.other_path AS other_path, "
        "COALESCE(c.other_listed, 0) AS other_listed, c.gone_path AS gone_path, e.`same_as` AS earlier_same "
        f"FROM (SELECT {column_list(_LISTED)}, {_content('`video_path`')} AS content FROM {staged}) s "
        f"LEFT JOIN ({by_both}) b ON s.`video_path` = b.`video_path` AND s.content = b.content "
        f"LEFT JOIN ({by_path}) p ON s.`video_path` = p.`video_path` "
        f"LEFT JOIN ({by_content}) c ON s.content = c.content "
        f"LEFT JOIN ({earlier}) e ON s.`video_path` = e.`video_path`"
    )
    group = "OVER (PARTITION BY content ORDER BY stays DESC, elsewhere, `video_path`)"
    ranked = (
        f"SELECT f.*, ROW_NUMBER() {group} AS nth, FIRST_VALUE(`video_path`) {group} AS first_path "
        f"FROM ({found}) f"
    )
    other_gone = f"other_listed = 0 AND SUBSTR(other_path, 1, {len(below)}) = {quote_text(below)}"
    cases = (
        ("stays = 1", Change.UNCHANGED, "COALESCE(earlier_same, '')"),
        ("elsewhere = 1", Change.KNOWN, "''"),
        (f"other_path IS NOT NULL AND {other_gone}", Change.MOVED, "other_path"),
        ("other_path IS NOT NULL", Change.COPIED, "other_path"),
        ("nth > 1", Change.COPIED, "first_path"),
        ("gone_path IS NOT NULL", Change.MOVED, "gone_path"),
        ("seen_path IS NOT NULL", Change.CHANGED, "''"),
    )
    change = "".join(f" WHEN {when} THEN {quote_text(then)}" for when, then, _ in cases)
    same_as = "".join(f" WHEN {when} THEN {then}" for when, _, then in cases)
    is_copy = "stays + elsewhere = 0 AND (other_path IS NOT NULL OR nth > 1)"
    told = (
        f"SELECT {column_list(_LISTED)}, CASE{change} ELSE {quote_text(Change.NEW)} END AS `change`, "
        f"CASE{same_as} ELSE '' END AS `same_as`, CASE WHEN {is_copy} THEN 1 ELSE 0 END AS is_copy "
        f"FROM ({ranked}) r"
    )
    message = f"SUBSTR(CONCAT('the same content as ', `same_as`), 1, {MAX_ERROR_MESSAGE})"
    status = {
        "status": (quote_text(Status.FILTERED), quote_text(Status.OK)),
        "error_stage": (quote_text(stage), "''"),
        "error_type": (quote_text(Reason.DUPLICATE), "''"),
        "error_msg": (message, "''"),
    }
    values = "".join(
        f", CASE WHEN is_copy = 1 THEN {left_out} ELSE {otherwise} END AS {quote_name(name)}"
        for name, (left_out, otherwise) in status.items()
    )
    columns = column_list([*_LISTED, *(c.name for c in CHANGE_COLUMNS)])
    return f"SELECT {columns}{values}, CAST(1 AS BIGINT) AS `attempt`, '' AS `fingerprint` FROM ({told}) t"


@dataclass(frozen=True)
class Counted:
    """What a listing does to a partition, in videos.

    :param published: those that the partition has now; copies do not count.
    :param changes: listed ones by change, and those that the partition loses as ``deleted``; without
        ``incremental`` only the latter.
    :param copies: listed ones that no task is going to work on.
    """

    published: int
    changes: Mapping[str, int]
    copies: int = 0

    @classmethod
    def read(cls, figures: Mapping[str, Sequence[Sequence[object]]]) -> Counted:
        """Read what the queries of :func:`count_changes` found."""
        [[published, gone]] = figures["published"]
        changes = Counter[str]()
        copies = moved = 0
        for change, status, n in figures.get("changes", ()):
            number = int(str(n))
            changes[str(change)] += number
            copies += number if status == Status.FILTERED else 0
            moved += number if (change, status) == (Change.MOVED, Status.OK) else 0
        changes[str(Change.DELETED)] = int(str(gone or 0)) - moved
        return cls(int(str(published)), changes, copies)


def count_changes(table: str, staged: str, partition: PartitionSpec, marks: str | None) -> dict[str, Figures]:
    """Return the queries for what :meth:`Counted.read` reads.

    :param staged: see :func:`marked`.
    :param marks: the query of :func:`marked`, None for a manifest that is not incremental.
    """
    condition = partition.sql(" AND ") + (f" AND {_WORKED}" if marks else "")
    asked = {
        "published": Figures(
            ("COUNT(*)", "SUM(CASE WHEN s.`video_path` IS NULL THEN 1 ELSE 0 END)"),
            f"FROM (SELECT `video_path` FROM {quote_name(table)} WHERE {condition}) p LEFT JOIN "
            f"(SELECT DISTINCT `video_path` FROM {staged}) s ON p.`video_path` = s.`video_path`",
        )
    }
    if marks:
        by = "`change`, `status`"
        asked["changes"] = Figures(("`change`", "`status`", "COUNT(*)"), f"FROM ({marks}) m GROUP BY {by}")
    return asked


def publish(
    table: str, staged: str, partition: PartitionSpec, marks: str | None, order: Sequence[str]
) -> str:
    """Return the statement that replaces the partition.

    :param staged: see :func:`marked`.
    :param order: the table's columns.
    """
    rows = staged
    if marks:
        rows = f"({marks}) m WHERE `change` <> {quote_text(Change.KNOWN)}"
    return (
        f"INSERT OVERWRITE TABLE {quote_name(table)} PARTITION ({partition.sql(', ')}) "
        f"SELECT {column_list(order)} FROM {rows}"
    )
