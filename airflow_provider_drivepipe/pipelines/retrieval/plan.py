"""plan(scenario): the tasks from questions to metrics, in order. Pure: scenario in, plan out."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.pipelines.driving.options import OssOptions
from airflow_provider_drivepipe.pipelines.retrieval.models import (
    Reading,
    Requests,
    answer_stage,
    plan_stage,
    query_embedding,
)
from airflow_provider_drivepipe.pipelines.retrieval.options import (
    Arm,
    DrawOptions,
    FramesTable,
    QueryKind,
    RetrievalOptions,
    query_kinds,
)
from airflow_provider_drivepipe.pipelines.retrieval.prompts import PROMPTS
from airflow_provider_drivepipe.pipelines.retrieval.qa_metrics import (
    METRIC_COLUMNS,
    MetricsOptions,
    QaMetrics,
)
from airflow_provider_drivepipe.pipelines.retrieval.queries import Draw, QueryMake, plans_of
from airflow_provider_drivepipe.pipelines.retrieval.questions import QuestionCheck, lookup_of
from airflow_provider_drivepipe.pipelines.retrieval.retrieve import Retrieve, vectors_of
from airflow_provider_drivepipe.pipelines.retrieval.scenario import RetrievalScenario
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan, columns_of
from airflow_provider_drivepipe.sql import quote_name, quote_text
from airflow_provider_drivepipe.stages.source import Gathered, Source
from airflow_provider_drivepipe.stages.stage import Stage
from airflow_provider_drivepipe.worker.retrieval.frames import NAMES

_QUESTION = Column("question_id", "string", "identity of the question")
_ARM = Column("arm", "string", "way in which the frames were chosen")
_FRAMES = Column("frames", "string", "a line for each frame: number and time, tab, OSS URI")
_EVIDENCE = {
    Column("question", "string", "the question, without options"): "MAX(`question`)",
    Column(
        "options", "string", "JSON object of letters and texts, empty for an open question"
    ): "MAX(`options`)",
    Column("options_text", "string", "the options as models read them"): "MAX(`options_text`)",
    Column("answer", "string", "the right answer, NULL where unknown"): "MAX(`answer`)",
    Column("category", "string", "what the question is about"): "MAX(`category`)",
    Column("frames_count", "string", "how many these are"): (
        "CAST(SUM(CASE WHEN `rank` > 0 THEN 1 ELSE 0 END) AS STRING)"
    ),
    Column("evidence_start_ms", "bigint", "start of the annotated time"): "MAX(`evidence_start_ms`)",
    Column("evidence_frames", "string", "numbers of the frames of the annotated time, with commas"): (
        "WM_CONCAT(',', CASE WHEN `in_evidence` THEN CAST(`frame_idx` AS STRING) END) "
        "WITHIN GROUP (ORDER BY `frame_idx`)"
    ),
    Column("evidence_shown", "bigint", "1 where a frame is of the annotated time, 0 where none is"): (
        "MAX(CASE WHEN `in_evidence` THEN 1 WHEN NOT `in_evidence` THEN 0 END)"
    ),
}
"""What a table of evidence says of a question and an arm."""


def frame_lines(language: str) -> str:
    """Return the aggregate of evidence that makes the lines of frames, in order of time."""
    before, after = (quote_text(text) for text in NAMES[language].split("{}"))
    clock = "CASE WHEN `frame_clock` IS NULL THEN '' ELSE CONCAT(' (', `frame_clock`, ')') END"
    line = f"CONCAT({before}, CAST(`frame_idx` AS STRING), {after}, {clock}, '\\t', `image_url`)"
    shown = f"CASE WHEN `rank` > 0 THEN {line} END"
    return f"COALESCE(WM_CONCAT('\\n', {shown}) WITHIN GROUP (ORDER BY `frame_time_ms`, `frame_idx`), '')"


def plan(scenario: RetrievalScenario) -> Plan:
    """Return the plan of a validated scenario."""
    return Plan.of(scenario, _Tasks(scenario).all(), limit_by=_QUESTION.name)


class _Tasks:
    """The tasks of video QA, each of one step."""

    def __init__(self, scenario: RetrievalScenario) -> None:
        options = scenario.retrieval
        self._scenario = scenario
        self._options = options
        self._prompts = PROMPTS[options.language]
        self._kinds = query_kinds(options.arms)
        fixed = options.frames_partition
        self._frames = FramesTable(
            scenario.frames_table or "",
            scenario.video_key,
            scenario.embedding_model or "",
            scenario.embedding_dim,
            {scenario.partition_col: fixed, **scenario.partition_fixed} if fixed else {},
        )

    def all(self) -> list[TaskPlan]:
        """Return the tasks that the arms need, in order."""
        tasks = [self._questions()]
        if any(kind is not QueryKind.TEXT for kind in self._kinds):
            tasks.append(self._plan())
        if self._kinds:
            tasks += [self._queries(), self._query_embeddings()]
        return [*tasks, self._retrieve(), self._answers(), self._metrics()]

    def _name(self, task: str) -> str:
        return self._scenario.table(task)

    @property
    def _plans(self) -> bool:
        return any(kind is not QueryKind.TEXT for kind in self._kinds)

    def _questions(self) -> TaskPlan:
        check = QuestionCheck(self._frames, self._options.initial_frames, self._options.language)
        source = Source.of_table(self._scenario.source_table or "", lookup_of(self._frames))
        return self._task("questions", source, (check,))

    def _plan(self) -> TaskPlan:
        scenario, most = self._scenario, self._options.max_requests
        ask = plan_stage(
            scenario.vlm_model or "", self._prompts, most, scenario.max_tokens, scenario.repair_rounds
        )
        source = Source.of_table(self._name("questions"))
        return self._task("plan", source, (ask, Requests(most)), ("question_id",))

    def _queries(self) -> TaskPlan:
        scenario, options = self._scenario, self._options
        stages: list[Stage] = [QueryMake(self._kinds)]
        if Arm.PLANNED_IMAGE in options.arms:
            oss = OssOptions(scenario.bucket or "", scenario.oss_root, scenario.oss_mount_path)
            draw = DrawOptions(options.image_conn_id or "", options.image_model or "", options.image_size)
            stages.append(Draw(oss, scenario.output_prefix or scenario.scenario_name, draw))
        lookups = (plans_of(self._name("plan")),) if self._plans else ()
        return self._task("queries", Source.of_table(self._name("questions"), *lookups), stages)

    def _query_embeddings(self) -> TaskPlan:
        drawn = Arm.PLANNED_IMAGE in self._options.arms
        embed = query_embedding(self._frames.model, self._frames.dimension, drawn)
        source = Source.of_table(self._name("queries"))
        return self._task("query_embeddings", source, (embed,), ("question_id", "query_number"))

    def _retrieve(self) -> TaskPlan:
        options = self._options
        choose = RetrievalOptions(options.arms, options.top_k, options.max_frames, options.min_gap_ms)
        lookups = (vectors_of(self._name("query_embeddings")),) if self._kinds else ()
        source = Source.of_table(self._name("questions"), *lookups)
        stage = Retrieve(self._frames, choose)
        return self._task("retrieve", source, (stage,), table="evidence")

    def _answers(self) -> TaskPlan:
        ask = answer_stage(self._scenario.vlm_model or "", self._prompts, self._scenario.max_tokens)
        key = self._frames.key
        shown = {
            Column(key, "string", "which video it is about"): f"MAX({quote_name(key)})",
            **_EVIDENCE,
            _FRAMES: frame_lines(self._options.language),
        }
        source = Source.gather([_QUESTION, _ARM], Gathered(self._name("evidence"), shown))
        return self._task("answers", source, (ask, Reading()))

    def _metrics(self) -> TaskPlan:
        scenario = self._scenario
        options = MetricsOptions(
            questions=self._name("questions"),
            plan=self._name("plan") if self._plans else None,
            queries=self._name("query_embeddings") if self._kinds else None,
            arms=self._options.arms,
            prices=scenario.price_options,
        )
        return TaskPlan(
            task_id="metrics",
            operator="QaMetricsOperator",
            stages=(QaMetrics(options),),
            source=self._name("answers"),
            output_table=scenario.output(self._name("metrics"), METRIC_COLUMNS),
            lineage_known=True,
            gate=self._scenario.gate(),
        )

    def _task(
        self,
        name: str,
        source: Source,
        stages: Sequence[Stage],
        key: tuple[str, ...] = (),
        table: str = "",
    ) -> TaskPlan:
        return TaskPlan(
            task_id=name,
            operator="MaxFrameStageOperator",
            stages=tuple(stages),
            source=source.name,
            gather=source if source.gathered or source.lookups else None,
            output_table=self._scenario.output(self._name(table or name), columns_of(stages)),
            lineage_known=False,
            gate=self._scenario.gate(),
            image_root=self._scenario.oss_root,
            unit_key=key,
        )
