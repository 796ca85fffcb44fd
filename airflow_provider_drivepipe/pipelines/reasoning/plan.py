"""plan(scenario): the tasks from videos to a training set, in order. Pure: scenario in, plan out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from airflow_provider_drivepipe.contracts import Column
from airflow_provider_drivepipe.pipelines.driving.manifest import Manifest
from airflow_provider_drivepipe.pipelines.driving.options import ManifestOptions, OssOptions
from airflow_provider_drivepipe.pipelines.reasoning.export import FILE_COLUMNS, ExportOptions, QaExport
from airflow_provider_drivepipe.pipelines.reasoning.guide import worded
from airflow_provider_drivepipe.pipelines.reasoning.items import BlindJudge, QaParse, QaTypes
from airflow_provider_drivepipe.pipelines.reasoning.models import MODE, Admit, Asking
from airflow_provider_drivepipe.pipelines.reasoning.options import (
    ChunkOptions,
    HighlightOptions,
    Mode,
    SheetOptions,
    Step,
    VideoAs,
)
from airflow_provider_drivepipe.pipelines.reasoning.packs import load_pack
from airflow_provider_drivepipe.pipelines.reasoning.quality import Check
from airflow_provider_drivepipe.pipelines.reasoning.scenario import (
    InputShape,
    ReasoningScenario,
    Target,
)
from airflow_provider_drivepipe.pipelines.reasoning.videos import (
    ChunkCut,
    Footage,
    HighlightCut,
    VideoProbe,
)
from airflow_provider_drivepipe.scenario.plan import Plan, TaskPlan, columns_of
from airflow_provider_drivepipe.stages.content import Content, Image, Video
from airflow_provider_drivepipe.stages.source import Gathered, Source
from airflow_provider_drivepipe.stages.stage import Stage

_VIDEO = Column("video_path", "string", "full OSS URI of the video")
_GROUPS = dict.fromkeys(("video_captions", "chunk_captions", "highlights"), "captions")
_GROUPS |= dict.fromkeys(("qa_questions", "qa_answers", "qa_items"), "questions")
_FILTERED_MODE = "filter_mode"
_CHUNK_CAPTIONS = Column("chunk_captions", "string", "what each chunk shows, with its times")
_HIGHLIGHT = Column("highlight", "string", "what the clip around the critical moment shows")
_NOTHING = "MAX('')"
"""What a prompt is told where the step is left out that would tell it."""


def plan(scenario: ReasoningScenario) -> Plan:
    """Return the plan of a validated scenario."""
    tasks = [_manifest_task(scenario)] if scenario.input_shape is InputShape.OSS_PREFIX else []
    if Target.REASONING_ANNOTATION in scenario.targets:
        tasks += _Tasks(scenario).all()
    return Plan.of(scenario, tasks, limit_by=_VIDEO.name)


def _listing(scenario: ReasoningScenario) -> Manifest:
    return Manifest(
        ManifestOptions(
            scenario.bucket or "",
            scenario.oss_prefix,
            scenario.video_extensions,
            scenario.incremental,
            scenario.listing,
            scenario.workers,
        )
    )


def _manifest_task(scenario: ReasoningScenario) -> TaskPlan:
    listing = _listing(scenario)
    return TaskPlan(
        task_id="manifest",
        operator="OssManifestOperator",
        stages=(listing,),
        source=f"oss://{listing.options.bucket}/{listing.options.prefix}",
        output_table=scenario.output(scenario.video_input_table or "", listing.columns()),
        lineage_known=True,
        gate=scenario.gate(scenario.allow_empty),
    )


class _Tasks:
    """The tasks of the annotation, each of one step."""

    def __init__(self, scenario: ReasoningScenario) -> None:
        options = scenario.reasoning
        self._scenario = scenario
        self._options = options
        self._mode = None if options.mode is Mode.AUTO else str(options.mode)
        sheet = SheetOptions(options.max_frames)
        self._whole = Footage(
            OssOptions(scenario.bucket or "", scenario.oss_root, scenario.oss_mount_path),
            scenario.output_prefix or scenario.scenario_name,
            None if options.video_as is VideoAs.VIDEO else sheet,
        )
        self._pieces = replace(self._whole, sheet=sheet if options.video_as is VideoAs.FRAMES else None)
        self._asking = Asking(
            scenario.vlm_model or "",
            scenario.llm_model or "",
            load_pack(options.prompt_pack, options.language),
            self._mode,
            scenario.max_tokens,
            scenario.repair_rounds,
        )

    def all(self) -> list[TaskPlan]:
        """Return the tasks of the wanted steps, in order."""
        made = {
            Step.VIDEO_FILTER: (self._video_filter,),
            Step.VIDEO_CAPTIONS: (self._video_captions,),
            Step.CHUNK_CAPTIONS: (self._chunk_captions,),
            Step.HIGHLIGHTS: (self._highlights,) if self._mode != Mode.NORMAL else (),
            Step.DESCRIPTIONS: (self._descriptions,),
            Step.QA_ITEMS: (self._qa_questions, self._qa_answers, self._qa_items),
            Step.QA_EXPORT: (self._qa_export,),
        }
        return [task() for step in Step if step in self._options.steps for task in made[step]]

    def _name(self, task: str) -> str:
        return self._scenario.table(task)

    def _has(self, step: Step) -> bool:
        wanted = step in self._options.steps
        return wanted and (step is not Step.HIGHLIGHTS or self._mode != Mode.NORMAL)

    @property
    def _whole_video(self) -> Content:
        return Video("video_path") if self._whole.sheet is None else Image("sheet_url")

    def _video_filter(self) -> TaskPlan:
        listed = self._scenario.input_shape is InputShape.OSS_PREFIX
        source = (self._scenario.video_input_table if listed else self._scenario.source_table) or ""
        ask = self._asking.watch("filter", sees=self._whole_video)
        probe = VideoProbe(self._whole, self._options.max_video_length_sec)
        return self._task("video_filter", source, (probe, ask, Admit()))

    def _video_captions(self) -> TaskPlan:
        asked = [
            self._asking.watch(step, sees=self._whole_video, by=_FILTERED_MODE)
            for step in ("global_caption", "dense_caption")
        ]
        return self._task("video_captions", self._name("video_filter"), asked)

    def _chunk_captions(self) -> TaskPlan:
        sees = Video("clip_url") if self._pieces.sheet is None else Image("sheet_url")
        ask = self._asking.watch("chunk_caption", sees=sees, by=_FILTERED_MODE)
        cut = ChunkCut(self._pieces, ChunkOptions(self._options.chunk_lengths_sec, self._options.max_chunks))
        return self._task("chunk_captions", self._name("video_filter"), (cut, ask))

    def _highlights(self) -> TaskPlan:
        options = HighlightOptions(self._options.highlight_before_sec, self._options.highlight_after_sec)
        cut = HighlightCut(self._pieces, options)
        sees = Video("highlight_url") if self._pieces.sheet is None else Image("highlight_url")
        stages = (
            self._asking.read("moment"),
            cut,
            self._asking.watch("highlight", sees=sees, needs=(cut.name,)),
        )
        where = f"`{_FILTERED_MODE}` = 'anomaly'" if self._mode is None else ""
        return self._task("highlights", Source.gather([_VIDEO], self._watched(where)), stages)

    def _descriptions(self) -> TaskPlan:
        line = "CONCAT(`start`, '-', `end`, ': ', `chunk_caption_text`)"
        chunks = {_CHUNK_CAPTIONS: f"WM_CONCAT('\\n', {line}) WITHIN GROUP (ORDER BY `chunk_index`)"}
        highlight = {_HIGHLIGHT: "COALESCE(MAX(`highlight_text`), '')"}
        told = {
            Step.CHUNK_CAPTIONS: Gathered(self._name("chunk_captions"), chunks, optional=True),
            Step.HIGHLIGHTS: Gathered(self._name("highlights"), highlight, optional=True),
        }
        optional = [each for step, each in told.items() if self._has(step)]
        left_out = [column for step, each in told.items() if not self._has(step) for column in each.columns]
        source = Source.gather([_VIDEO], self._watched(left_out=left_out), *optional)
        return self._task("descriptions", source, (self._asking.read("description"),))

    def _qa_questions(self) -> TaskPlan:
        types = tuple(str(type_) for type_ in self._options.qa_types)
        wanted = QaTypes(types, self._mode or str(Mode.NORMAL))
        return self._task("qa_questions", self._name("descriptions"), (wanted,))

    def _qa_answers(self) -> TaskPlan:
        types = tuple(str(type_) for type_ in self._options.qa_types)
        ask = self._asking.questions(types)
        return self._task("qa_answers", self._name("qa_questions"), (ask,), ("video_path", "qa_type"))

    def _qa_items(self) -> TaskPlan:
        types = tuple(str(type_) for type_ in self._options.qa_types)
        stages: list[Stage] = [QaParse(types, self._options.language)]
        if Check.BLIND in self._options.quality_checks:
            stages += [self._asking.read("blind"), BlindJudge()]
        return self._task("qa_items", self._name("qa_answers"), stages)

    def _qa_export(self) -> TaskPlan:
        scenario, options = self._scenario, self._options
        export = ExportOptions(
            bucket=scenario.bucket or "",
            root=scenario.oss_root,
            output_prefix=f"{scenario.output_prefix or scenario.scenario_name}_export",
            license=options.license,
            description_extra=options.description_extra,
            checks=options.quality_checks,
            exclude=options.exclude,
            min_item_quality=options.min_item_quality,
        )
        return TaskPlan(
            task_id="qa_export",
            operator="QaExportOperator",
            stages=(QaExport(export),),
            source=self._name("qa_items"),
            output_table=scenario.output(self._name("qa_export"), FILE_COLUMNS),
            lineage_known=True,
            gate=scenario.gate(scenario.allow_empty),
        )

    def _watched(self, where: str = "", left_out: Sequence[Column] = ()) -> Gathered:
        """Each captioned video, with what is said of it as a whole; ``left_out`` are columns without text."""
        mode = f"MAX(`{_FILTERED_MODE}`)" if self._mode is None else f"MAX('{self._mode}')"
        videos = {
            Column("video_id", "string", "identity of the video"): "MAX(`video_id`)",
            Column("duration_ms", "bigint", "length of the video"): "MAX(`duration_ms`)",
            Column("duration", "string", "length of the video as a clock shows it"): "MAX(`duration`)",
            Column(MODE, "string", "anomaly or normal"): mode,
            Column("global_caption", "string", "what the video shows"): "MAX(`global_caption_text`)",
            Column("dense_caption", "string", "what happens, with times"): "MAX(`dense_caption_text`)",
            **dict.fromkeys(left_out, _NOTHING),
        }
        return Gathered(self._name("video_captions"), videos, where=where)

    def _task(
        self, name: str, source: str | Source, stages: Sequence[Stage], key: tuple[str, ...] = ()
    ) -> TaskPlan:
        return TaskPlan(
            task_id=name,
            operator="MaxFrameStageOperator",
            stages=tuple(worded(stage) for stage in stages),
            source=source if isinstance(source, str) else source.name,
            gather=None if isinstance(source, str) else source,
            output_table=self._scenario.output(self._name(name), columns_of(stages)),
            lineage_known=False,
            gate=self._scenario.gate(self._scenario.allow_empty),
            image_root=self._scenario.oss_root,
            unit_key=key,
            group=_GROUPS.get(name, ""),
        )
