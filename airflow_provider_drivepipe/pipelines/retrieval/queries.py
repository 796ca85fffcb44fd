"""The stages that make queries of questions and plans, and draw what a plan would like to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.pipelines.driving.options import OssOptions
from airflow_provider_drivepipe.pipelines.retrieval.options import DrawOptions, QueryKind
from airflow_provider_drivepipe.stages.source import Lookup
from airflow_provider_drivepipe.stages.stage import (
    Build,
    Grain,
    InputColumn,
    Part,
    RowStage,
    Site,
    StageGuide,
    UnitLayout,
    UnitStage,
    unit_layout,
)
from airflow_provider_drivepipe.stages.worker_call import (
    PILLOW_REQUIREMENT,
    MountOptions,
    WorkerCall,
    apply_chunk,
    row_part,
)
from airflow_provider_drivepipe.worker.retrieval.drawing import DRAW_COLUMNS, DrawJob, draw_images
from airflow_provider_drivepipe.worker.retrieval.queries import (
    QUERY_COLUMNS,
    QueryJob,
    make_queries,
    query_dtypes,
)

REQUESTS = Column("requests", "string", "what the plan asks for")
_LEFT = (
    "options",
    "options_text",
    "answer",
    "evidence_start_ms",
    "evidence_end_ms",
    "frames_count",
    "frames_version",
    "initial_frames",
    "initial_count",
    REQUESTS.name,
)
"""Columns of questions that queries do not need."""


def plans_of(table: str) -> Lookup:
    """Return what a table of plans says of each question."""
    return Lookup(table, ("question_id",), {REQUESTS: "MAX(`requests`)"})


@dataclass(frozen=True)
class QueryMake(UnitStage):
    """Makes the queries of each question; costs nothing."""

    kinds: tuple[QueryKind, ...]

    name = "query_make"
    grain = Grain.MANY
    with_parts = "queries"
    units_per_job = 100_000

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        return QUERY_COLUMNS

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are questions, any number of rows each."""
        reads = ["question", *(c.name for c in source if c == REQUESTS)]
        return unit_layout(table, source, QUERY_COLUMNS, ("question_id",), reads, "query_number", _LEFT)

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return the kinds of queries."""
        return {"kinds": self.kinds}

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy queries of lazy questions."""
        own = {c.name for c in QUERY_COLUMNS} | set(_LEFT)
        lineage = tuple(name for name in build.source_columns if name not in own)
        job = QueryJob(tuple(str(kind) for kind in self.kinds), lineage)

        def query_make(chunk: Any) -> Any:
            return make_queries(chunk, job)

        dtypes = query_dtypes({name: units.dtypes[name] for name in lineage})
        return apply_chunk(units, query_make, dtypes).reset_index(drop=True)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="makes the queries of each question: its own text, and what its plan asks for",
            unit="question",
            gives="queries",
            reads=(InputColumn("question", True, "the question"),),
            fails="A question whose plan failed has the query of its own text.",
            reasons=(),
            again="Nothing is paid here.",
        )


@dataclass(frozen=True)
class Draw(RowStage):
    """Draws a picture of each frame that a plan asks for; where that fails, the frame it names stands in.

    :param oss: bucket (or full root URI) that holds frames and receives pictures.
    :param prefix: key prefix of the pictures below it.
    """

    oss: OssOptions
    prefix: str
    draw: DrawOptions

    name = "draw"
    model = None
    mounts = True

    def part(self) -> Part:
        """Return what it adds to a row."""
        return Part(self.name, DRAW_COLUMNS, "draw_outcome", calls=1)

    def content(self, site: Site) -> Mapping[str, object]:
        """Return what decides the pictures."""
        return {
            "oss_root": str(site.oss_root(self.oss.bucket, self.oss.root)),
            "prefix": self.prefix,
            "model": self.draw.model,
            "size": self.draw.size,
        }

    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows`` with pictures."""
        dtypes = dict(rows.dtypes)
        root, endpoint = (
            build.site.oss_root(self.oss.bucket, self.oss.root),
            build.site.endpoint(self.draw.conn_id),
        )
        job = DrawJob(
            part=row_part(self.part(), build.flags_behind),
            oss_root=str(root),
            mount_path=self.oss.mount_path,
            output_prefix=f"{self.prefix}/{build.partition_path}/{build.hashes[self.hash_name]}",
            base_url=endpoint.url,
            api_key=endpoint.key,
            model=self.draw.model,
            size=self.draw.size,
        )

        def draw(chunk: Any) -> Any:
            return draw_images(chunk, job, tuple(dtypes))

        mount = MountOptions(str(root), self.oss.mount_path, build.site.role_arn())
        call = WorkerCall(batch_rows=8, requirements=(PILLOW_REQUIREMENT,), mount=mount)
        return call.rows(rows, draw, dtypes)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="draws a picture of each frame that a plan asks for: "
            f"model `{self.draw.model}` of connection `{self.draw.conn_id}`",
            unit="request",
            gives="drawn pictures",
            reads=(),
            fails="Where drawing fails, the frame that the plan names stands in, and `draw_error` says why.",
            reasons=(Reason.NOT_FOUND, Reason.WRITE_ERROR),
            again="A picture is drawn once; also one that a frame stands in for is not drawn again.",
        )
