"""The first stage of this family: questions that can be asked, each with the frames of its video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.lifecycle.fingerprint import part_sql
from airflow_provider_drivepipe.pipelines.driving.models import IMAGE_EMBEDDING, embedding_hashes
from airflow_provider_drivepipe.pipelines.retrieval.options import FramesTable
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
from airflow_provider_drivepipe.stages.worker_call import apply_chunk
from airflow_provider_drivepipe.worker.retrieval.questions import (
    QUESTION_COLUMNS,
    QuestionJob,
    check_questions,
    question_dtypes,
)

_TIME = "COALESCE(CAST(`frame_time_ms` AS STRING), '')"
_FRAME = f"CONCAT(CAST(`frame_idx` AS STRING), '|', {_TIME}, '|', `image_url`)"
_CONTENT = "SUBSTR(MD5(CONCAT(`image_url`, `image_embedding`)), 1, 16)"
_IN_ORDER = "WITHIN GROUP (ORDER BY `frame_idx`)"
FRAMES_VERSION = Column("frames_version", "string", "changes when a frame of the video, or its vector, does")
LOOKED_UP: Mapping[Column, str] = {
    Column("frames_listed", "string"): (
        f"WM_CONCAT('\\n', CASE WHEN `image_embedding` IS NOT NULL THEN {_FRAME} END) {_IN_ORDER}"
    ),
    FRAMES_VERSION: f"MD5(WM_CONCAT(',', {_CONTENT}) {_IN_ORDER})",
    Column("frames_dimensions", "string"): (
        "ARRAY_JOIN(SORT_ARRAY(COLLECT_SET(CAST(SIZE(SPLIT(`image_embedding`, ',')) AS STRING))), ',')"
    ),
    Column("frames_models", "string"): (
        f"ARRAY_JOIN(SORT_ARRAY(COLLECT_SET({part_sql('`fingerprint`', IMAGE_EMBEDDING)})), ',')"
    ),
}
"""What is asked of the frames of a video, before anything is paid."""
_QUESTION_TEXT = ("question_id", "question", "options", "answer", "category")


def lookup_of(frames: FramesTable) -> Lookup:
    """Return what a table of frames says of the video of each question."""
    reads = ("frame_idx", "frame_time_ms", "image_id", "image_url", "image_embedding")
    return Lookup(frames.table, (frames.key,), LOOKED_UP, reads, frames.partition)


@dataclass(frozen=True)
class QuestionCheck(UnitStage):
    """Checks each question and looks its frames up; costs nothing.

    :param initial_frames: evenly spaced frames from which models plan.
    :param language: en or zh, of what is said before a frame.
    """

    frames: FramesTable
    initial_frames: int = 8
    language: str = "en"

    name = "question_check"
    grain = Grain.ROW
    with_parts = "questions"
    units_per_job = 100_000

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        return QUESTION_COLUMNS

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are questions, one row each."""
        types = {c.name: c.type.lower() for c in source}
        for name in (*_QUESTION_TEXT, *(n for n in types if n.startswith("option_"))):
            if types.get(name, "string") != "string":
                raise ConfigurationError(
                    f"column {name} of table {table} is {types[name]}, not string; cast it in a view"
                )
        own = {c.name for c in QUESTION_COLUMNS}
        reads = [name for name in types if name in own or name.startswith(("option_", "frames_"))]
        return unit_layout(
            table,
            source,
            QUESTION_COLUMNS,
            ("question_id",),
            ("question", self.frames.key, *reads),
            left=[column.name for column in LOOKED_UP],
        )

    def content(self, site: Site) -> Mapping[str, object]:
        """Return how frames are chosen and checked."""
        return {
            "initial_frames": self.initial_frames,
            "language": self.language,
            "dimension": self.frames.dimension,
            "models": embedding_hashes(self.frames.model, self.frames.dimension, site),
        }

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy rows of lazy questions."""
        own = {c.name for c in QUESTION_COLUMNS} | {c.name for c in LOOKED_UP}
        lineage = tuple(name for name in build.source_columns if name not in own)
        job = QuestionJob(
            lineage=lineage,
            initial_frames=self.initial_frames,
            language=self.language,
            image_roots=tuple(f"oss://{place}/" for place in build.site.image_places()),
            models=embedding_hashes(self.frames.model, self.frames.dimension, build.site),
            dimension=self.frames.dimension,
        )

        def question_check(chunk: Any) -> Any:
            return check_questions(chunk, job)

        dtypes = question_dtypes({name: units.dtypes[name] for name in lineage})
        return apply_chunk(units, question_check, dtypes).reset_index(drop=True)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="checks each question, and looks up the frames of its video",
            unit="question",
            gives="questions that can be asked",
            reads=(
                InputColumn("question_id", True, "tells questions apart"),
                InputColumn(self.frames.key, True, "which video it is about, as the frames table says"),
                InputColumn("question", True, "the question; options may stand in it as lines `A. …`"),
                InputColumn("options", False, "JSON list of options, or object of letters and options"),
                InputColumn("option_a", False, "options one by one instead, with `option_b`, `option_c` …"),
                InputColumn("answer", False, "letter or text of the right option"),
                InputColumn("category", False, "questions are compared by it too"),
                InputColumn("evidence_start_ms", False, "start of what answers it, with `evidence_end_ms`"),
            ),
            fails="A question that cannot be asked keeps its row, and no model is asked about it.",
            reasons=(
                Reason.INVALID_QUESTION,
                Reason.NO_FRAMES,
                Reason.MODEL_MISMATCH,
                Reason.DIMENSION_MISMATCH,
                Reason.PATH_OUTSIDE_ROOT,
            ),
            again="Nothing is paid here. Questions that changed, or whose frames did, are checked again.",
        )
