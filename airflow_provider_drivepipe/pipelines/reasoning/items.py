"""The stages that make questions of descriptions, and items of training data of the answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.pipelines.reasoning.options import QaType
from airflow_provider_drivepipe.stages.stage import (
    Build,
    Grain,
    InputColumn,
    Part,
    RowsMade,
    RowStage,
    Site,
    StageGuide,
    UnitLayout,
    UnitStage,
    unit_layout,
)
from airflow_provider_drivepipe.stages.worker_call import apply_chunk, row_part
from airflow_provider_drivepipe.worker.reasoning.qa_items import (
    ITEM_COLUMNS,
    TYPE_COLUMNS,
    ItemsJob,
    TypesJob,
    item_dtypes,
    parse_items,
    qa_types,
    type_dtypes,
)
from airflow_provider_drivepipe.worker.reasoning.quality import BlindJob, QualityRules, judge_blind

_NUMBER = "item_number"


@dataclass(frozen=True)
class QaTypes(UnitStage):
    """Makes a row of each video for each type of question; costs nothing.

    :param mode: of videos whose column ``mode`` says none.
    """

    types: tuple[str, ...]
    mode: str = "normal"

    name = "qa_types"
    grain = Grain.MANY
    with_parts = "qa_questions"
    units_per_job = 2000

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        return TYPE_COLUMNS

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are described videos."""
        return unit_layout(
            table, source, self.columns(), ("video_path",), ("description_text", "mode"), _NUMBER
        )

    def rows_made(self) -> RowsMade:
        """Return how many types of questions there are."""
        return RowsMade(len(self.types), note=f"{len(self.types)} types of questions")

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return the types."""
        return {"types": self.types, "mode": self.mode}

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy rows of lazy videos."""
        lineage = tuple(name for name in build.source_columns if name not in {c.name for c in TYPE_COLUMNS})
        job = TypesJob(self.types, "description_text", lineage, self.mode)

        def types_of_questions(chunk: Any) -> Any:
            return qa_types(chunk, job)

        dtypes = type_dtypes({name: units.dtypes[name] for name in lineage})
        return apply_chunk(units, types_of_questions, dtypes).reset_index(drop=True)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="makes a row of each video for each type of question",
            unit="video",
            gives="questions to ask for",
            reads=(InputColumn("description_text", True, "the description of the video"),),
            fails="A video without a description has one row that says so.",
            reasons=(Reason.EMPTY_INPUT,),
            again="Nothing is paid here.",
        )


@dataclass(frozen=True)
class QaParse(UnitStage):
    """Takes answers apart into items, checks them, shuffles options; costs nothing.

    :param types: of questions that answers are there for: for estimates, no answer depends on it.
    """

    types: tuple[str, ...]
    language: str = "en"

    name = "qa_parse"
    grain = Grain.MANY
    with_parts = "qa_items"
    units_per_job = 20_000

    def columns(self) -> tuple[Column, ...]:
        """Return the columns that it makes."""
        return ITEM_COLUMNS

    def layout(self, table: str, source: Sequence[Column]) -> UnitLayout:
        """Return how rows are told apart; input units are answers, one for each video and type."""
        return unit_layout(
            table, source, self.columns(), ("video_path", "qa_type"), ("qa_text", "duration_ms"), _NUMBER
        )

    def rows_made(self) -> RowsMade:
        """Return how many items come of an answer, on average over the types."""
        items = [2 if type_ == QaType.BCQ else 1 for type_ in self.types]
        return RowsMade(Fraction(sum(items), len(items)), note=f"{sum(items)} items of {len(items)} answers")

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return the language."""
        return {"language": self.language}

    def build(self, units: Any, build: Build) -> Any:
        """Return the lazy items of lazy answers."""
        lineage = tuple(name for name in build.source_columns if name not in {c.name for c in ITEM_COLUMNS})
        job = ItemsJob("qa_text", lineage, self.language, QualityRules(self.language))

        def items_of_answers(chunk: Any) -> Any:
            return parse_items(chunk, job)

        dtypes = item_dtypes({name: units.dtypes[name] for name in lineage})
        return apply_chunk(units, items_of_answers, dtypes).reset_index(drop=True)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="takes each answer apart into items, checks times and options, and shuffles options",
            unit="answer",
            gives="items",
            reads=(InputColumn("qa_text", True, "the model's answer"),),
            fails="An item that cannot be used fails alone, with what the model said in `item_said`.",
            reasons=(
                Reason.EMPTY_INPUT,
                Reason.SCHEMA_VIOLATION,
                Reason.NOT_VISIBLE,
                Reason.REFUSAL,
                Reason.ANSWER_OUTSIDE_OPTIONS,
                Reason.TIME_OUTSIDE_VIDEO,
                Reason.NAMES_OPTION_LETTER,
            ),
            again="Answers that are new or that changed are taken apart again; nothing is paid here.",
        )


@dataclass(frozen=True)
class BlindJudge(RowStage):
    """Says of each item whether the model's blind answer is right; costs nothing."""

    name = "blind_check"
    model = None

    def part(self) -> Part:
        """Return what it adds to a row."""
        return Part(
            self.name,
            (Column("blind_answerable", "boolean", "whether the item is answered without the video"),),
            "blind_answerable",
            needs=("blind",),
        )

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return nothing: item and answer alone decide."""
        return {}

    def build(self, rows: Any, build: Build) -> Any:
        """Return lazy ``rows`` with the judgement."""
        dtypes = dict(rows.dtypes)
        job = BlindJob(row_part(self.part(), build.flags_behind), "blind_text")

        def blind_check(chunk: Any) -> Any:
            return judge_blind(chunk, job, tuple(dtypes))

        return apply_chunk(rows, blind_check, dtypes)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does="compares the blind answer with the item's own",
            unit="item",
            gives="judged items",
            reads=(),
            fails="An item whose blind answer failed is not judged.",
            reasons=(),
            again="The judgement follows from the blind answer, without a call.",
        )
