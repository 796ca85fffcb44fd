"""The stage that chooses frames for each question, in all ways that are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.pipelines.retrieval.options import FramesTable, RetrievalOptions
from airflow_provider_drivepipe.stages.source import Lookup
from airflow_provider_drivepipe.stages.stage import (
    Build,
    Grain,
    InputColumn,
    Site,
    StageGuide,
    UnitLayout,
    UnitStage,
    unit_layout,
)
from airflow_provider_drivepipe.stages.worker_call import apply_chunk, apply_groups
from airflow_provider_drivepipe.worker.retrieval.retrieve import (
    EVIDENCE_COLUMNS,
    FRAME_COLUMNS,
    FRAME_ROW,
    QUESTION_ROW,
    RetrieveJob,
    evidence_dtypes,
    group_dtypes,
    retrieve,
    tagged,
)

QUERIES = Column("queries", "string", "the vectors of the question's queries")
_QUERY = "CONCAT(CAST(`query_number` AS STRING), '|', `query_kind`, '|', `query_embedding`)"
_READS = ("frames_version", "evidence_start_ms", "evidence_end_ms")
_LEFT = (QUERIES.name, "frames_version", "initial_frames", "initial_count", "frames_count")


def vectors_of(table: str) -> Lookup:
    """Return what a table of query vectors says of each question."""
    lines = f"WM_CONCAT('\\n', {_QUERY}) WITHIN GROUP (ORDER BY `query_number`)"
    return Lookup(table, ("question_id",), {QUERIES: lines})


@dataclass(frozen=True)
class Retrieve(UnitStage):
    """Chooses frames of the question's own video by each arm; costs nothing.

    Frames and questions meet by video: a frame is read once, however many questions there are, and no
    question meets frames of another video.
    """

    frames: FramesTable
    options: RetrievalOptions

    name = "retrieve"
    grain = Grain.MANY
    with_parts = "evidence"
    units_per_job = 100_000

    @property
    def looked_up(self) -> tuple[str, ...]:
        """The table of the frames."""
        return (self.frames.table,)

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        return EVIDENCE_COLUMNS

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are questions, a row for each arm and frame."""
        reads = [*_READS, self.frames.key, *(c.name for c in source if c == QUERIES)]
        return unit_layout(table, source, EVIDENCE_COLUMNS, ("question_id",), reads, "evidence_number", _LEFT)

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return how frames are chosen."""
        return {**asdict(self.options), "frames": self.frames.table}

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy evidence of lazy questions."""
        import maxframe.dataframe as md

        key, own = self.frames.key, {c.name for c in EVIDENCE_COLUMNS} | set(_LEFT)
        lineage = tuple(name for name in build.source_columns if name not in own)
        job = RetrieveJob(
            arms=tuple(str(arm) for arm in self.options.arms),
            video_key=key,
            lineage=lineage,
            top_k=self.options.top_k,
            max_frames=self.options.max_frames,
            min_gap_ms=self.options.min_gap_ms,
        )
        partition = ",".join(f"{name}={value}" for name, value in self.frames.partition.items())
        frames = md.read_odps_table(
            self.frames.table,
            partitions=[partition or build.partition_path.replace("/", ",")],
            columns=[key, *FRAME_COLUMNS, "status"],
        )
        types = group_dtypes(dict(frames.dtypes), dict(units.dtypes))

        def tag_frames(chunk: Any) -> Any:
            return tagged(chunk, FRAME_ROW, types)

        def tag_questions(chunk: Any) -> Any:
            return tagged(chunk, QUESTION_ROW, types)

        def retrieve_frames(rows: Any) -> Any:
            return retrieve(rows, job)

        usable = frames[(frames["status"] == "ok") & frames["image_embedding"].notna()]
        # Frames of videos without a question end here, before their vectors travel to their groups.
        usable = usable.merge(units[[key]].drop_duplicates(), on=key)
        both = [apply_chunk(usable, tag_frames, types), apply_chunk(units, tag_questions, types)]
        made = evidence_dtypes({name: units.dtypes[name] for name in lineage})
        found = apply_groups(md.concat(both, ignore_index=True), key, retrieve_frames, made)
        return found.reset_index(drop=True)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="chooses the frames of the question's video that each arm shows, "
            f"from table `{self.frames.table}`",
            unit="question",
            gives="evidence",
            reads=(InputColumn("question_id", True, "the question"),),
            fails="An arm without a query to choose by has one row that says so; other arms go on.",
            reasons=(Reason.NO_FRAMES, Reason.NO_QUERY, Reason.DIMENSION_MISMATCH),
            again="Nothing is paid here.",
            leaves_out="The arm `oracle` leaves out questions without an annotated time, as `no_evidence`.",
        )
