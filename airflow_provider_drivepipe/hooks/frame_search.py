"""Searches a partition of frames with vectors for those most like a text or a picture, in one MaxFrame job.

The query is embedded by the model that embedded the frames, and MaxCompute ranks: what the client does and
gets does not grow with the partition.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.exceptions import ConfigurationError, QuotaError, RemoteJobError
from airflow_provider_drivepipe.hooks.maxframe import MaxFrameHook, SessionTags
from airflow_provider_drivepipe.lifecycle.fingerprint import part_sql
from airflow_provider_drivepipe.pipelines.driving.models import embedding_hashes
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.sql import column_list, create_table, joined_text, quote_name, quote_text
from airflow_provider_drivepipe.stages.content import Image, TextColumn
from airflow_provider_drivepipe.stages.graph import ModelAccess, graph_building
from airflow_provider_drivepipe.stages.stage import digest
from airflow_provider_drivepipe.stages.where import WhereError, read_where
from airflow_provider_drivepipe.worker.frame_search import (
    HIT,
    LABEL,
    NO_QUERY,
    VECTOR,
    Comparison,
    Outcome,
    SearchJob,
    best_frames,
)

RESULT_VERSION = 1
"""Raised by hand when the same search starts to find something else."""
MAX_TOP = 1000

KEYS = (
    Column("video_path", "string", "full OSS URI of the video"),
    Column("video_id", "string", "identity of the video"),
    Column("clip_id", "string", "identity of the clip"),
    Column("frame_idx", "bigint", "0-based index of the frame"),
    Column("frame_time_ms", "bigint", "time of the frame in milliseconds"),
    Column("image_id", "string", "name of the image, for people"),
    Column("image_url", "string", "full OSS URI of the image"),
    Column(LABEL, "string", "label of the frame"),
)
"""What a hit says of its frame; NULL where the searched table has no such column."""
_ORDER = ("video_path", "clip_id", "frame_time_ms", "frame_idx", "image_url")
_NEEDED = ("image_url", VECTOR, "status", "fingerprint")
_WORKING_TABLE_DAYS = 1
_ROWS_PER_CALL = 1000
"""Most vectors that a worker holds at a time: of 1,024 numbers, they are some 20 MB of text."""
_LONGEST_SIDE = 1024
"""Pixels of a query's picture: models make larger ones smaller themselves."""
_QUERY, _JOIN = "drivepipe_query", "drivepipe_join"


@dataclass(frozen=True)
class Query:
    """What is looked for: a text, or a picture as a JPEG in Base64."""

    text: str = ""
    picture: str = ""

    @classmethod
    def of_picture(cls, content: bytes) -> Query:
        """Return the query of a picture in any usual format; raise ConfigurationError for what is none."""
        from PIL import Image as Pillow
        from PIL import ImageOps

        try:
            with Pillow.open(io.BytesIO(content)) as image:
                small = ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, Pillow.DecompressionBombError) as error:
            raise ConfigurationError(f"the picture to search for cannot be read: {error}") from error
        small.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
        output = io.BytesIO()
        small.save(output, "JPEG", quality=90)
        return cls(picture=base64.b64encode(output.getvalue()).decode())

    @property
    def name(self) -> str:
        """The text, or ``image:<hash>`` of a picture."""
        return self.text or f"image:{hashlib.sha256(self.picture.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class FrameSearch:
    """A search.

    :param table: partitioned table that holds vectors in ``image_embedding``.
    :param model: the model that made them, of ``dimension`` numbers.
    :param where: condition on frames, see :mod:`airflow_provider_drivepipe.stages.where`.
    :param label_schema: schema of the table's labels, for properties that the condition names.
    :param top: how many frames at most.
    """

    table: str
    partition: PartitionSpec
    query: Query
    model: str
    dimension: int | None = None
    where: str = ""
    label_schema: str | None = None
    top: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.top <= MAX_TOP:
            raise ConfigurationError(f"top is 1 to {MAX_TOP}, not {self.top}")
        if not self.query.name.strip() or (self.query.text and self.query.picture):
            raise ConfigurationError("search either for a text or for a picture")


@dataclass(frozen=True)
class Checked:
    """A search that fits its table.

    :param job: what workers do.
    :param columns: of the table, those that are read.
    :param rows: of the partition; 0 when there is none.
    :param fingerprint: what decides what is found: the search, and the rows that are searched.
    """

    search: FrameSearch
    job: SearchJob
    columns: tuple[str, ...]
    rows: int
    fingerprint: str


@dataclass(frozen=True)
class Found:
    """What a search found.

    :param hits: the best first: ``rank``, ``score`` and the columns ``KEYS``.
    :param counts: frames of the partition by what became of them.
    """

    hits: Sequence[Mapping[str, Any]]
    counts: Mapping[Outcome, int]

    def left_out(self) -> str:
        """Return which frames could not be or were not to be found, as the rest of a sentence."""
        said = {
            Outcome.LEFT_OUT: "do not fit the condition",
            Outcome.NOT_OK: "are not ok",
            Outcome.NO_VECTOR: "have no vector",
            Outcome.OTHER_MODEL: "have a vector of another model or dimension",
            Outcome.OTHER_LENGTH: "have a vector of another length than the query's",
        }
        return "".join(
            f"; {self.counts[each]} {text}" for each, text in said.items() if self.counts.get(each)
        )


def check(hook: MaxFrameHook, search: FrameSearch) -> Checked:
    """Look a search's table up; nothing is paid for that.

    Raises ConfigurationError when the table, the condition, the model or the dimension does not fit.
    """
    columns, partition_columns = hook.table_columns(search.table)
    types = {column.name: column.type for column in columns}
    lacking = [name for name in _NEEDED if name not in types]
    if lacking:
        raise ConfigurationError(
            f"table {search.table} cannot be searched: it lacks {', '.join(lacking)}. Search the table in "
            "which a scenario with the target embedding publishes"
        )
    if set(partition_columns) != set(search.partition.columns):
        raise ConfigurationError(
            f"table {search.table} is partitioned by {', '.join(partition_columns) or 'nothing'}, "
            f"not by {', '.join(search.partition.columns)}"
        )
    try:
        where = read_where(search.where, columns, search.label_schema)
    except WhereError as error:
        raise ConfigurationError("\n".join(f"condition: {problem}" for problem in error.problems)) from error
    hook.require_models([search.model])
    hashes = embedding_hashes(search.model, search.dimension, hook)
    keys = tuple((column.name, column.type) for column in KEYS if column.name in types)
    order = tuple(name for name in _ORDER if name in types)
    job = SearchJob(search.top, search.dimension, hashes, where, keys, order)
    read = dict.fromkeys((*dict(keys), *_NEEDED, *_read_by(where)))
    rows, content = _published(hook, search, tuple(name for name in read if name != VECTOR), hashes)
    made_with = digest("search", RESULT_VERSION, _content(search, where, hook))
    return Checked(search, job, tuple(read), rows, f"search={made_with};input={content}")


def _read_by(where: Sequence[Comparison]) -> list[str]:
    return [LABEL if each.of_label else each.name for each in where]


def _content(search: FrameSearch, where: Sequence[Comparison], hook: MaxFrameHook) -> dict[str, object]:
    """Return what decides what is found, beside the frames."""
    return {
        "query": [bool(search.query.picture), search.query.name],
        "model": search.model,
        "model_project": hook.model_project(),
        "dimension": search.dimension,
        "where": [asdict(each) for each in where],
        "top": search.top,
        "table": search.table,
        "partition": search.partition.path(),
    }


def _published(
    hook: MaxFrameHook, search: FrameSearch, columns: Sequence[str], hashes: Sequence[str]
) -> tuple[int, str]:
    """Return how many rows the partition has, and a hash that changes when they do.

    Raises ConfigurationError when none of them has a vector of the search's model and dimension.
    """
    # Nine hexadecimal digits: the sum over a hundred million rows is still a BIGINT.
    number = f"CAST(CONV(SUBSTR(MD5({joined_text(columns)}), 1, 9), 16, 10) AS BIGINT)"
    groups = hook.execute_sql(
        f"SELECT {part_sql('`fingerprint`', VECTOR)} AS made_with, COUNT(*), SUM({number}) "
        f"FROM {quote_name(search.table)} WHERE {search.partition.sql(' AND ')} "
        f"GROUP BY {part_sql('`fingerprint`', VECTOR)}"
    )
    known = [str(made_with) for made_with, _, _ in groups if made_with]
    if groups and not set(known) & set(hashes):
        dimension = f" with dimension {search.dimension}" if search.dimension else ""
        raise ConfigurationError(
            f"the vectors of {search.table} {search.partition.path()} were not made by {search.model}"
            f"{dimension} (their fingerprint says {VECTOR}={', '.join(known) or 'nothing'}; wanted is "
            f"{hashes[0]}): a query cannot be compared with them. Name the model and the dimension that made "
            "them, or make them anew"
        )
    content = digest("frames", RESULT_VERSION, {str(made_with): [n, sum_] for made_with, n, sum_ in groups})
    return sum(int(n) for _, n, _ in groups), content


def run(hook: MaxFrameHook, checked: Checked, working: str, tags: SessionTags) -> Found:
    """Embed the query, rank the frames and return the best; the session is closed however this ends.

    :param working: name of a table to make, which holds the best of each chunk afterwards; the caller drops
        it.
    :param tags: what the session says of itself.

    Raises an error of our tree; QuotaError when the model's rate limit was hit.
    """
    columns = [Column(name, type_) for name, type_ in checked.job.columns]
    hook.execute_sql(create_table(working, columns, lifecycle_days=_WORKING_TABLE_DAYS, if_not_exists=False))
    session = hook.open_session(tags)
    try:
        hook.run_job(session, [_graph(hook, checked, working)])
    finally:
        hook.stop_session(session)
    counts = {str(kind): (int(frames), str(note or "")) for kind, frames, note in _counted(hook, working)}
    if NO_QUERY in counts:
        reason, _, message = counts[NO_QUERY][1].partition(" ")
        kind = QuotaError if reason == Reason.RATE_LIMITED else RemoteJobError
        raise kind(f"the query cannot be embedded by {checked.search.model}: {reason}: {message}")
    names = ["rank", "score", *dict(checked.job.keys)]
    hits = hook.execute_sql(
        f"SELECT {column_list(names)} FROM ({ranked(checked, working)}) h "
        f"ORDER BY `rank` LIMIT {checked.search.top}"
    )
    return Found(
        [dict(zip(names, hit, strict=True)) for hit in hits],
        {outcome: counts[outcome][0] for outcome in Outcome if outcome in counts},
    )


def _counted(hook: MaxFrameHook, working: str) -> list[list[Any]]:
    return hook.execute_sql(
        f"SELECT `kind`, SUM(`frames`), MAX(`note`) FROM {quote_name(working)} GROUP BY `kind`"
    )


def ranked(checked: Checked, working: str) -> str:
    """Return a query of the best frames in the working table, with their ``rank`` from 1."""
    order = ", ".join(("`score` DESC", *map(quote_name, checked.job.order)))
    keys = column_list(["score", *dict(checked.job.keys)])
    return (
        f"SELECT * FROM (SELECT {keys}, ROW_NUMBER() OVER (ORDER BY {order}) AS `rank` FROM "
        f"{quote_name(working)} WHERE `kind` = {quote_text(HIT)}) r WHERE `rank` <= {checked.search.top}"
    )


def _graph(hook: MaxFrameHook, checked: Checked, working: str) -> Any:
    """Return the lazy job: the query's vector beside each frame, the best of each chunk into a table."""
    import maxframe.dataframe as md
    import pandas as pd
    from maxframe.dataframe.merge.merge import MapJoinHint

    from airflow_provider_drivepipe.stages import model_calls as calls
    from airflow_provider_drivepipe.stages.worker_call import apply_chunk
    from airflow_provider_drivepipe.worker.answer_rows import response_columns
    from airflow_provider_drivepipe.worker.rows import pandas_dtype

    search, job = checked.search, checked.job
    response, success = response_columns(0)
    of = Image(_QUERY, inline=True) if search.query.picture else TextColumn(_QUERY)
    with hook.session_options(), hook.errors(), graph_building(hook.odps):
        query = md.DataFrame(pd.DataFrame({_QUERY: [search.query.picture or search.query.text]}))
        vector = calls.vectors(query, search.model, of, search.dimension, ModelAccess(hook.model_project()))
        vector = vector.rename(columns={"response": response, "success": success})
        frames = md.read_odps_table(
            search.table,
            partitions=[str(search.partition)],
            columns=list(checked.columns),
            odps_entry=hook.odps,
        )
        frames[_JOIN] = 1
        vector[_JOIN] = 1
        # Each worker gets the vector: joined by its key alone, all frames would go to one of them.
        rows = frames.merge(vector, on=_JOIN, right_hint=MapJoinHint())
        rows = rows[[*checked.columns, response, success]]

        def best(chunk: Any) -> Any:
            return best_frames(chunk, job)

        found = apply_chunk(
            rows, best, {name: pandas_dtype(type_) for name, type_ in job.columns}, _ROWS_PER_CALL
        )
        return md.to_odps_table(found, working, overwrite=True, index=False)
