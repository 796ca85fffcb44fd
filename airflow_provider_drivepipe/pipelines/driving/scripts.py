"""Standalone scripts of a scenario: plain maxframe, pyodps and alibabacloud_oss_v2, one file per task."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, OssUri
from airflow_provider_drivepipe.exceptions import ConfigurationError
from airflow_provider_drivepipe.lifecycle.tables import CHUNKS_PER_JOB, ROWS_PER_CHUNK
from airflow_provider_drivepipe.pipelines.driving.frames import FrameExtraction
from airflow_provider_drivepipe.pipelines.driving.images import ImagePreparation
from airflow_provider_drivepipe.pipelines.driving.keyframes import KeyframeExpansion
from airflow_provider_drivepipe.pipelines.driving.manifest import Manifest
from airflow_provider_drivepipe.pipelines.driving.plan import plan
from airflow_provider_drivepipe.pipelines.driving.scenario import DrivingScenario
from airflow_provider_drivepipe.pipelines.driving.script_code import WIDTH, Code, bundle, literal
from airflow_provider_drivepipe.scenario.plan import TaskPlan
from airflow_provider_drivepipe.stages.answer_schemas import load_answer_schema
from airflow_provider_drivepipe.stages.content import Image, Text
from airflow_provider_drivepipe.stages.embed import Embed
from airflow_provider_drivepipe.stages.generate import Generate
from airflow_provider_drivepipe.stages.stage import STATUS_NAMES, Build, RowStage
from airflow_provider_drivepipe.stages.worker_call import PILLOW_REQUIREMENT, PYAV_REQUIREMENT, MountOptions

_KINDS = {
    "manifest": "video_manifest",
    "frames": "video_frame_extraction",
    "video_labels": "video_labeling",
    "keyframes": "clip_keyframe_expansion",
    "clip_labels": "clip_labeling",
    "images": "image_preparation",
    "image_labels": "image_labeling",
    "labels": "image_labeling",
    "embeddings": "image_labeling",
}
"""What a script is called behind the scenario's name, by task id."""

_KNOWN = {
    "STATUS_NAMES OK_CELLS dtypes_of failed_cells start_rows": "worker.rows",
    "Column MANIFEST_COLUMNS image_key": "contracts",
    "LeftOut ListedObject manifest_row": "worker.listing",
    "check_partition_value": "scenario.partition",
    "quote_name": "sql",
    "FrameJob extract_frames": "worker.frames",
    "QualityRules": "worker.frame_quality",
    "KeyframeJob expand_clips keyframe_dtypes": "worker.keyframes",
    "KeyframeQuality": "worker.keyframe_quality",
    "ImageJob INLINE_NAME prepare_images image_dtypes": "worker.image_preparation",
    "TargetSize": "worker.images",
    "RowPart": "worker.rows",
    "AnswerJob REPAIR_TEXT read_answers mark_repairs": "worker.answer_rows",
    "VectorJob EMBED_TEXT read_vectors mark_texts": "worker.vectors",
    "ask_some escape_braces with_answers": "stages.model_calls",
}
"""What scripts take from this package."""

_IMPORTS = {
    "Counter": "from collections import Counter",
    "ODPS": "from odps import ODPS",
    "TableSchema": "from odps.models import TableSchema",
    "cloudpickle": "import cloudpickle",
    "md": "import maxframe.dataframe as md",
    "new_session": "from maxframe import new_session",
    "odps_options": "from odps import options as odps_options",
    "options": "from maxframe.config import options",
    "os": "import os",
    "oss": "import alibabacloud_oss_v2 as oss",
    "pd": "import pandas as pd",
    "read_odps_model": "from maxframe.learn.utils import read_odps_model",
    "sys": "import sys",
    "uuid": "import uuid",
    **{n: f"from maxframe.learn.contrib.llm import {n}" for n in ("ContentPart", "ImageContentType")},
    **{
        n: f"from maxframe.udf import {n}"
        for n in ("with_fs_mount", "with_python_requirements", "with_running_options")
    },
}


@dataclass(frozen=True)
class Setting:
    """An environment variable that scripts read.

    :param value: what it is in the scenario; None for what a connection says.
    :param expression: how a script reads it; empty for what only its last lines do.
    """

    name: str
    meaning: str
    value: str | None = None
    expression: str = ""


@dataclass(frozen=True)
class Script:
    """A file, and what it reads from the environment."""

    name: str
    text: str
    settings: tuple[Setting, ...]


def scripts(scenario: DrivingScenario) -> tuple[Script, ...]:
    """Return the scripts that do what the tasks of a scenario do, in the order in which they run.

    Raises ConfigurationError for a scenario that they could not keep.
    """
    caps = [key for key in ("max_rows", "max_calls") if getattr(scenario, key) is not None]
    if caps:
        raise ConfigurationError(
            f"a script asks models about all rows, and would not keep {' and '.join(caps)}: take the cap out "
            "of the scenario, or run its DAG"
        )
    if scenario.incremental:
        raise ConfigurationError(
            "a script lists the bucket as it is, and would not keep incremental: take it out of the "
            "scenario, or run its DAG"
        )
    tasks = plan(scenario).tasks
    return tuple(_script(scenario, task, tasks[number + 1 : number + 2]) for number, task in enumerate(tasks))


def script_name(scenario: DrivingScenario, task: TaskPlan) -> str:
    """Return ``<scenario>_<what it does>.py``."""
    return f"{scenario.scenario_name}_{_KINDS[task.task_id]}.py"


def _script(scenario: DrivingScenario, task: TaskPlan, behind: tuple[TaskPlan, ...]) -> Script:
    settings = tuple(_settings(scenario, task))
    context = {
        "output": _table_name(scenario, task.output_table.name),
        "source": _table_name(scenario, task.source),
        "lifecycle": task.output_table.lifecycle_days,
        "workers": scenario.workers,
        "rows_per_chunk": _rows_per_chunk(task),
        "constants": _constants(scenario, task),
        "settings": settings,
        **({} if task.is_listing else _job(task)),
    }
    template = "manifest.j2" if task.is_listing else "job.j2"
    known = {name: module for names, module in _KNOWN.items() for name in names.split()}
    head = _render("settings.j2", context)
    story, foot = _render(template, context), _render("foot.j2", context)
    schema = _label_schema(task)
    found = bundle("\n".join((head, story, schema, foot)), known, _IMPORTS)
    doc = _render("doc.j2", {**context, **_words(scenario, task, behind)})
    parts = (f"{doc}{found.imports}\n\n{head}".strip(), story.strip(), schema, found.code, foot.strip())
    return Script(script_name(scenario, task), "\n\n\n".join(filter(None, parts)) + "\n", settings)


def _rows_per_chunk(task: TaskPlan) -> int:
    """Return how many input rows are worth a chunk, and so a worker, of their own."""
    return ROWS_PER_CHUNK if task.unit is None else -(-task.unit.units_per_job // CHUNKS_PER_JOB)


def _render(template: str, context: Mapping[str, object]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__, "script_templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(template).render(context)


# Words.


def _words(scenario: DrivingScenario, task: TaskPlan, behind: tuple[TaskPlan, ...]) -> dict[str, Any]:
    """Return what the script's docstring says."""
    does = "; ".join(stage.guide().does for stage in task.stages)
    follows = ""
    if behind:
        images = (
            ": ``image_url`` is what models see, and ``status`` says which rows have one"
            if not task.is_listing
            else ""
        )
        follows = f"{script_name(scenario, behind[0])} reads its table{images}; run it next."
    further = "" if task.lineage_known else ", and all further columns of the input"
    return {
        "title": f"{scenario.scenario_name}: {_KINDS[task.task_id].replace('_', ' ')}.",
        "does": textwrap.fill(f"It {does}. {follows}".strip(), WIDTH),
        "entries": [_entry(setting.name, setting.meaning) for setting in _settings(scenario, task)],
        "table": f"Columns of the table{further}",
        "columns": [
            _entry(c.name, f"{c.type}{f', {c.comment}' if c.comment else ''}")
            for c in task.output_table.columns
        ],
        "notes": [textwrap.fill(note, WIDTH) for note in _notes(task)],
    }


def _notes(task: TaskPlan) -> Iterator[str]:
    """Yield what a script does not do, and what it wants."""
    job = "" if task.is_listing else ", in one job"
    anew = "every model is asked, and paid, again" if task.models else "all is made again"
    yield (
        "Written by drivepipe script from a scenario; no package of drivepipe is needed to run it. It "
        f"replaces the partition of its table as a whole (INSERT OVERWRITE){job}. It knows nothing of "
        f"earlier runs: nothing is repaired, and {anew} each time. It holds no lock, and does not fail for "
        "bad rows: it prints how many there are. The DAG of the scenario does all that."
    )
    if not task.is_listing:
        yield (
            "Its rows have no ``fingerprint``: the DAG would make them anew, so give the script a table of "
            "its own. Functions travel to MaxCompute's workers as byte code: run it on their Python, 3.11."
        )


def _entry(name: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"    {name:<28} ", subsequent_indent=" " * 33)


# Settings.


def _table_name(scenario: DrivingScenario, table: str) -> str:
    """Return the variable that names a table: the same one in all scripts of a scenario."""
    names = {
        scenario.frames_table: "FRAMES_TABLE",
        scenario.prepared_table: "PREPARED_TABLE",
        scenario.source_table: "SOURCE_TABLE",
        scenario.video_input_table: "VIDEO_INPUT_TABLE",
        scenario.final_table: "OUTPUT_TABLE",
    }
    return names.get(table, "")


def _settings(scenario: DrivingScenario, task: TaskPlan) -> Iterator[Setting]:
    """Yield what the script of a task reads from the environment."""
    for name, what in (
        ("ODPS_ACCESS_ID", "access key of MaxCompute, where no ``o`` is given"),
        ("ODPS_ACCESS_KEY", "its secret"),
        ("ODPS_PROJECT", "project of the tables"),
        ("ODPS_ENDPOINT", "endpoint of MaxCompute"),
    ):
        yield Setting(name, what)
    for column in scenario.partition_columns:
        name, fixed = f"PARTITION_{column.upper()}", scenario.partition_fixed.get(column)
        yield _with_default(name, f"value of the partition column {column}", fixed)
    if not task.is_listing:
        yield _table(scenario, task.source, "table that is read")
    yield _table(scenario, task.output_table.name, "table that is written")
    models = [stage for stage in task.row_stages if isinstance(stage, Generate | Embed)]
    fetches, mounts = any(stage.fetches for stage in models), task.unit is not None and task.unit.mounts
    if task.is_listing or fetches or mounts:
        yield from _oss_settings(scenario, task, keys=task.is_listing or fetches, mounts=mounts)
    if models:
        yield _read("MODEL_PROJECT", "project of the models")
    for stage in models:
        name, key = _model_variable(stage)
        yield _read(name, f"model of the stage {stage.name}", stage.model)
        if key is not None and isinstance(stage, Embed) and stage.dimension is not None:
            yield Setting(
                key,
                f"length of its vectors, {stage.dimension} unless given",
                str(stage.dimension),
                f'int(os.environ.get("{key}", "{stage.dimension}"))',
            )
    yield Setting(
        "SKILL_SESSION_ID",
        "32 hex digits by which calls are told apart, made up unless given",
        None,
        'os.environ.get("SKILL_SESSION_ID") or uuid.uuid4().hex',
    )


def _oss_settings(scenario: DrivingScenario, task: TaskPlan, keys: bool, mounts: bool) -> Iterator[Setting]:
    if mounts and scenario.oss_root:
        yield _read("OSS_ROOT", "``oss://<endpoint>/<bucket>[/<prefix>]`` of all inputs", scenario.oss_root)
    else:
        yield _read("OSS_ENDPOINT", "endpoint of OSS, as in the URIs of the tables")
    if task.is_listing:
        yield _read("OSS_REGION", "its region")
    if task.is_listing or (mounts and not scenario.oss_root):
        yield _read("OSS_BUCKET", "bucket", scenario.bucket)
    if task.is_listing:
        prefix = "prefix below which videos are; {ds} in it is the partition's value"
        yield _with_default("OSS_PREFIX", prefix, scenario.oss_prefix)
    if keys:
        reads = "that lists the bucket" if task.is_listing else "with which the model service reads images"
        yield _read("OSS_ACCESS_KEY_ID", f"access key {reads}")
        yield _read("OSS_ACCESS_KEY_SECRET", "its secret")
    if mounts:
        yield _read("OSS_ROLE_ARN", "RAM role with which workers mount the bucket")


def _read(name: str, meaning: str, value: str | None = None) -> Setting:
    return Setting(name, meaning, value, f'os.environ["{name}"]')


def _with_default(name: str, meaning: str, default: str | None) -> Setting:
    if default is None:
        return _read(name, meaning)
    shown = f"{default} unless given" if default else "the whole bucket unless given"
    read = f'os.environ.get("{name}", {literal(default)})'
    return Setting(name, f"{meaning}; {shown}", default, read)


def _table(scenario: DrivingScenario, table: str, meaning: str) -> Setting:
    """Return the setting of a table; one of another project has no default, which would name the project."""
    name = _table_name(scenario, table)
    return _read(name, meaning, table) if "." in table else _with_default(name, meaning, table)


def _model_variable(stage: RowStage) -> tuple[str, str | None]:
    """Return the variables of a stage's model and of the length of its vectors."""
    if isinstance(stage, Generate):
        return "LABEL_MODEL", None
    image = isinstance(stage, Embed) and isinstance(stage.of, Image)
    return ("EMBEDDING_MODEL", "EMBEDDING_DIM") if image else ("LABEL_EMBEDDING_MODEL", "LABEL_EMBEDDING_DIM")


def _constants(scenario: DrivingScenario, task: TaskPlan) -> dict[str, str]:
    """Return what stands in the script itself, as Python source, by name."""
    partition = {column: Code(f"PARTITION_{column.upper()}") for column in scenario.partition_columns}
    found: dict[str, Any] = {"PARTITION": partition}
    names = {setting.name for setting in _settings(scenario, task)}
    if "OSS_ENDPOINT" in names:
        found["OSS_HOST"] = Code('OSS_ENDPOINT.split("://")[-1]')
    if "OSS_BUCKET" in names:
        found["OSS_ROOT"] = Code('f"oss://{OSS_HOST}/{OSS_BUCKET}"')
    listing, unit = task.find(Manifest), task.unit
    if listing is not None:
        found["VIDEO_EXTENSIONS"] = tuple(each.lower() for each in listing.options.video_extensions)
    else:
        found |= {"OSS_MOUNT_PATH": scenario.oss_mount_path} if unit is not None else {}
        found |= {"OWN_COLUMNS": {c.name: c.type for c in unit.columns()}} if unit is not None else {}
        if isinstance(unit, ImagePreparation):
            found["REPLACED_COLUMNS"] = tuple(sorted(STATUS_NAMES | unit.replaced))
        added = (c for stage in task.row_stages for c in stage.part().columns)
        found["RESULT_COLUMNS"] = {c.name: c.type for c in (*added, *STATUS_COLUMNS)}
    if task.row_stages:
        found["FLAGS"] = [stage.part().flag for stage in task.row_stages]
    for stage in task.row_stages:
        if isinstance(stage, Generate):
            found["LABEL_PROMPT"] = "".join(each.text for each in stage.message if isinstance(each, Text))
    return {name: literal(value, before=len(name) + 3) for name, value in found.items()}


def _label_schema(task: TaskPlan) -> str:
    """Return what answers have to fit, empty for free text. It is long, so it stands below the job."""
    label = task.find(Generate)
    if label is None or not label.schema:
        return ""
    return f"LABEL_SCHEMA = {literal(load_answer_schema(label.schema), before=len('LABEL_SCHEMA = '))}"


# The job.


class _Elsewhere:
    """The site of a script: what it is called there. Jobs are built with it, for their literals."""

    def oss_root(self, bucket: str, root: str | None = None) -> OssUri:  # noqa: ARG002 - as of all sites
        return OssUri("endpoint", "bucket")

    def role_arn(self) -> str:
        return "OSS_ROLE_ARN"

    def model_project(self) -> str:
        return "MODEL_PROJECT"


def _job(task: TaskPlan) -> dict[str, Any]:
    """Return what the template of a job needs to know."""
    parts = [stage.part() for stage in task.row_stages]
    behind = {part.stage: tuple(p.flag for p in parts if part.stage in p.needs) for part in parts}
    site: Any = _Elsewhere()
    hashes = {name: hash_ for stage in task.stages for name, hash_ in stage.hashes(site).items()}
    build = Build(site, "partition", hashes, (), flags_behind=behind)
    stages = [_row_stage(stage, build) for stage in task.row_stages]
    shown = next((image for stage in task.row_stages if (image := _image(stage)) is not None), None)
    return {
        "unit": _unit(task, build),
        "key": _key(task),
        "stages": stages,
        "image": shown,
        "image_columns": dict.fromkeys(c for stage in task.row_stages for c in stage.image_columns),
    }


def _image(stage: RowStage) -> Image | None:
    """Return what a stage's model sees."""
    seen = stage.media[0] if isinstance(stage, Generate) else stage.of if isinstance(stage, Embed) else None
    return seen if isinstance(seen, Image) else None


def _key(task: TaskPlan) -> str:
    """Return the columns that tell input rows apart, as Python source."""
    if isinstance(task.unit, FrameExtraction):
        return '["video_path"]'
    if isinstance(task.unit, KeyframeExpansion):
        return literal([task.unit.keyframes.clip_id_column, task.unit.keyframes.clip_dir_column])
    return "list(image_key(list(rows.dtypes.index)))"


def _unit(task: TaskPlan, build: Build) -> dict[str, Any] | None:
    """Return what the template of a stage that makes rows needs to know."""
    unit = task.unit
    mount = MountOptions(str(build.site.oss_root("")), "/mnt", "")
    here = {"oss_root": Code("OSS_ROOT"), "mount_path": Code("OSS_MOUNT_PATH"), "lineage": Code("lineage")}
    if isinstance(unit, FrameExtraction):
        options: Any = unit.frames
        here["output_prefix"] = _folder(options.frames_prefix, build.hashes[unit.hash_name])
        own: dict[str, Any] = {
            "template": "frames.j2",
            "function": "cut_into_frames",
            "job": _job_literal(unit.job(mount, build), here),
            "requirements": f'"{PYAV_REQUIREMENT}", "{PILLOW_REQUIREMENT}"',
        }
    elif isinstance(unit, KeyframeExpansion):
        options = unit.keyframes
        here |= {"start_column": _if_there(options.start_column), "end_column": _if_there(options.end_column)}
        own = {
            "template": "keyframes.j2",
            "function": "expand_into_keyframes",
            "job": _job_literal(unit.job(mount, build), here),
            "requirements": f'"{PILLOW_REQUIREMENT}"' if unit.quality else "",
            "measured": unit.quality is not None,
        }
    elif isinstance(unit, ImagePreparation):
        options = unit.images
        if options.write_back:
            here["output_prefix"] = _folder(options.prepared_prefix, build.hashes[unit.hash_name])
        own = {
            "template": "images.j2",
            "function": "prepare",
            "job": _job_literal(unit.job(mount, build, ()), here),
            "requirements": f'"{PILLOW_REQUIREMENT}"',
            "inline": options.inline,
        }
    else:
        return None
    resources = {"cpu": options.cpu, "memory": options.memory_gb, "batch_rows": options.batch_rows}
    return {**own, **resources, "is_preparation": isinstance(unit, ImagePreparation)}


def _folder(prefix: str, configuration: str) -> Code:
    """Return the folder of a run's pictures as Python source; in the prefix, a brace is a brace."""
    start = literal(prefix.strip("/"))[1:-1].replace("{", "{{").replace("}", "}}")
    return Code(f'f"{start}/{{partition}}/{configuration}"')


def _if_there(column: str | None) -> Code:
    return Code("None" if column is None else f"{literal(column)} if {literal(column)} in names else None")


def _job_literal(job: Any, said: Mapping[str, object]) -> str:
    """Return what a worker needs to know as Python source, with what the script calls otherwise."""
    return literal(replace(job, **said), indent=4, before=len("job = "))


def _row_stage(stage: RowStage, build: Build) -> dict[str, Any]:
    """Return what the template of a stage that calls a model needs to know."""
    part = stage.part()
    common = {"name": stage.name, "flag": part.flag}
    if isinstance(stage, Generate):
        said = {"schema": Code("LABEL_SCHEMA") if stage.schema else None}
        job = _job_literal(stage.job(build), said)
        return {
            **common,
            "template": "generate.j2",
            "job": job,
            "rounds": stage.rounds,
            "max_tokens": stage.max_tokens,
        }
    if not isinstance(stage, Embed):
        raise ConfigurationError(f"there is no script for the stage {stage.name}")
    said = {"dimension": Code(_model_variable(stage)[1] or "") if stage.dimension else None}
    template = "embed_image.j2" if isinstance(stage.of, Image) else "embed_text.j2"
    job = _job_literal(stage.job(build), said)
    return {**common, "template": template, "job": job, "dimension": stage.dimension}
