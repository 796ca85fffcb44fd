"""The stages of this family that ask models: what they need to see, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_drivepipe.contracts import Reason
from airflow_provider_drivepipe.pipelines.retrieval.options import Arm
from airflow_provider_drivepipe.pipelines.retrieval.prompts import Prompts
from airflow_provider_drivepipe.stages.content import Image, Images, TextColumn
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate, Variant
from airflow_provider_drivepipe.stages.stage import Build, Part, RowStage, Site, StageGuide
from airflow_provider_drivepipe.stages.worker_call import apply_chunk, row_part
from airflow_provider_drivepipe.worker.retrieval.answers import READING_COLUMNS, ReadingJob, grade_answers
from airflow_provider_drivepipe.worker.retrieval.plans import REQUEST_COLUMNS, PlanJob, read_requests
from airflow_provider_drivepipe.worker.rows import RowPart


def plan_stage(model: str, prompts: Prompts, max_requests: int, max_tokens: int, rounds: int) -> Generate:
    """Return the stage that asks which frames would be needed to answer a question."""
    return Generate(
        "plan",
        model,
        prompts.plan,
        media=(Images("initial_frames", "initial_count"),),
        columns=("question", "options_text"),
        schema=prompts.plan_schema(max_requests),
        prompt_name=f"retrieval-plan/v{prompts.version}",
        max_tokens=max_tokens,
        repair_rounds=rounds,
    )


def answer_stage(model: str, prompts: Prompts, max_tokens: int) -> Generate:
    """Return the stage that answers questions from frames; what it says is read by :class:`Reading`."""
    return Generate(
        "answer",
        model,
        prompts.answer,
        media=(Images("frames", "frames_count"),),
        columns=("question", "options_text"),
        by="arm",
        variants=(Variant(str(Arm.BLIND), prompts.blind),),
        prompt_name=f"retrieval-answer/v{prompts.version}",
        max_tokens=max_tokens,
    )


def query_embedding(model: str, dimension: int | None, drawn: bool) -> Embed:
    """Return the stage that turns queries into vectors of the frames' space.

    :param drawn: whether some queries are pictures.
    """
    if drawn:
        return Embed("query_embedding", model, Image("query_url"), dimension, or_text="query_text")
    return Embed("query_embedding", model, TextColumn("query_text"), dimension)


def _part_of(stage: RowStage, asked: str, build: Build) -> RowPart:
    """Return what workers need of a part that is read from what a model said.

    What cannot be read has failed where the model was asked: trying again means asking again.
    """
    return replace(row_part(stage.part(), build.flags_behind), stage=asked)


@dataclass(frozen=True)
class Requests(RowStage):
    """Reads which frames a plan asks for; costs nothing."""

    max_requests: int = 4

    name = "requests"
    model = None

    def part(self) -> Part:
        """Return what it adds to a row."""
        return Part(self.name, REQUEST_COLUMNS, "requests", needs=("plan",), sums=("requests_moved",))

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return how many are taken; the plan is what else decides."""
        return {"max_requests": self.max_requests}

    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows`` with what is asked for."""
        dtypes = dict(rows.dtypes)
        job = PlanJob(_part_of(self, "plan", build), max_requests=self.max_requests)

        def requests(chunk: Any) -> Any:
            return read_requests(chunk, job, tuple(dtypes))

        return apply_chunk(rows, requests, dtypes)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="reads which frames the plan asks for; a reference that was not shown becomes the nearest "
            "frame that was",
            unit="plan",
            gives="requests",
            reads=(),
            fails="A plan that asks for nothing fails; arms that need no plan go on.",
            reasons=(Reason.SCHEMA_VIOLATION,),
            again="The requests follow from the plan, without a call.",
        )


@dataclass(frozen=True)
class Reading(RowStage):
    """Reads what a model answered: the option it means, or that it does not know; costs nothing."""

    name = "reading"
    model = None

    def part(self) -> Part:
        """Return what it adds to a row."""
        return Part(self.name, READING_COLUMNS, "abstained", needs=("answer",))

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return nothing: the answer alone decides."""
        return {}

    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows`` with the answers as read."""
        dtypes = dict(rows.dtypes)
        job = ReadingJob(_part_of(self, "answer", build))

        def reading(chunk: Any) -> Any:
            return grade_answers(chunk, job, tuple(dtypes))

        return apply_chunk(rows, reading, dtypes)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="reads which option the answer means, and compares it with the right one",
            unit="answer",
            gives="judged answers",
            reads=(),
            fails="An answer that means no option, or several, fails with what it said; it is never guessed.",
            reasons=(
                Reason.EMPTY_RESPONSE,
                Reason.REFUSAL,
                Reason.AMBIGUOUS_ANSWER,
                Reason.ANSWER_OUTSIDE_OPTIONS,
                Reason.SCHEMA_VIOLATION,
                Reason.INVALID_JSON,
            ),
            again="The reading follows from the answer, without a call.",
        )
