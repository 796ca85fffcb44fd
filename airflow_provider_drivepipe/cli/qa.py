"""drivepipe qa: the files of a video QA evaluation, into tables (load) and back (results)."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_drivepipe.cli.child import signals_as_interrupts
from airflow_provider_drivepipe.cli.errors import CommandError
from airflow_provider_drivepipe.cli.evidence import of_retrieval
from airflow_provider_drivepipe.cli.page import open_partition
from airflow_provider_drivepipe.cli.qa_file import Question, keys_of, raise_problems, read_questions
from airflow_provider_drivepipe.cli.qa_frames import Frame, read_frames, read_vectors, time_ms
from airflow_provider_drivepipe.contracts import (
    FRAME_COLUMNS,
    STATUS_COLUMNS,
    Column,
    OssUri,
    Status,
    image_id,
    video_id,
)
from airflow_provider_drivepipe.exceptions import DrivepipeError
from airflow_provider_drivepipe.pipelines.driving.models import embedding_hashes
from airflow_provider_drivepipe.pipelines.loading import ScenarioError, load_scenario
from airflow_provider_drivepipe.pipelines.registry import plan
from airflow_provider_drivepipe.scenario.partition import PartitionSpec
from airflow_provider_drivepipe.sql import create_table
from airflow_provider_drivepipe.worker.errors import VideoError
from airflow_provider_drivepipe.worker.paths import key_below_root

if TYPE_CHECKING:
    from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook

QUESTION_COLUMNS = (
    Column("question_id", "string", "identity of the question"),
    Column("video_path", "string", "full OSS URI of the video"),
    Column("video_id", "string", "first 16 hex digits of SHA-256 over the object key"),
    Column("question", "string", "without its options"),
    Column("options", "string", "JSON object of letter and text, empty for an open question"),
    Column("answer", "string", "letter, or text of an open question; NULL where unknown"),
    Column("category", "string", "what the question is about"),
    Column("evidence_start_ms", "bigint", "start of what shows the answer, NULL where not annotated"),
    Column("evidence_end_ms", "bigint", "end of it"),
)
VECTOR_COLUMNS = (
    Column("image_embedding", "string", "JSON array of floats"),
    Column("image_embedding_total_token", "bigint", "tokens billed for the image embedding"),
)
_UPLOADS = 8


@dataclass(frozen=True)
class Place:
    """Where the data of a scenario lives, and which vectors it compares.

    :param root: full OSS URI below which videos are named.
    :param partition: of the questions.
    :param frames_partition: of the frames.
    """

    hook: DrivepipeHook
    root: OssUri
    questions_table: str
    partition: PartitionSpec
    frames_table: str
    frames_partition: PartitionSpec
    model: str
    dimension: int | None


@dataclass(frozen=True)
class Video:
    """A video of the evaluation."""

    key: str
    path: str
    id: str

    @classmethod
    def of(cls, key: str, root: OssUri) -> Video:
        """Return the video of a key: an OSS URI, or a name below the root. Raises VideoError for others."""
        uri = OssUri.parse(key if key.startswith("oss://") else f"{root}/{key}")
        key_below_root(str(uri), str(OssUri(uri.endpoint, uri.bucket)), "key")
        return cls(key, str(uri), video_id(uri.key))


def main(arguments: Sequence[str]) -> int:
    """Run one of the actions; return 1 when a file or a table does not fit."""
    options = _parser().parse_args(arguments)
    try:
        with signals_as_interrupts():
            _ACTIONS[options.action](options)
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 1
    except (CommandError, DrivepipeError) as error:
        print(f"drivepipe qa: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"drivepipe qa: {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="drivepipe qa", description=__doc__)
    actions = parser.add_subparsers(required=True, dest="action", metavar="load|results")
    load = actions.add_parser(
        "load",
        help="load a JSON file of questions, and frames and embeddings where they are given",
        description="Loads questions into a table; with --frames, frames into OSS and a table. A partition "
        "is replaced as a whole, or not at all where anything is wrong.",
    )
    load.add_argument("file", type=Path, metavar="FILE", help="JSON list of key, uid, question and answer")
    load.add_argument("--bucket", help="bucket of the videos, where the scenario names none")
    load.add_argument("--prefix", default="", help="key prefix below which the file's keys name videos")
    load.add_argument("--frames", type=Path, metavar="FOLDER", help="holds <key>/frame_<n>.jpg")
    time = load.add_mutually_exclusive_group()
    time.add_argument("--fps", type=_positive, metavar="N", help="frames in a second of video (default: 1)")
    time.add_argument("--seconds-per-frame", type=_positive, metavar="N", help="instead of --fps")
    goes = load.add_mutually_exclusive_group()
    goes.add_argument(
        "--embeddings",
        type=Path,
        metavar="FOLDER",
        help="holds <key>.npz, .json or .pt: filenames, embeddings; by the scenario's embedding_model",
    )
    goes.add_argument("--frames-table", metavar="TABLE", help="where frames go that have no embeddings yet")
    results = actions.add_parser(
        "results",
        help="write the answers of one arm as two files, …_results.json and …_metrics.json",
        description="Reads the tables of a retrieval scenario; writes "
        "<vlm_model>_<data>_image_retrieval_<initial_frames>frames_results.json and …_metrics.json.",
    )
    results.add_argument("--arm", required=True, help="for example planned_image")
    results.add_argument(
        "--data", type=Path, metavar="FILE", help="the file that was loaded: its items stand in the results"
    )
    results.add_argument(
        "-o", dest="folder", type=Path, default=Path(), metavar="FOLDER", help="default: here"
    )
    for action in (load, results):
        action.add_argument(
            "--scenario", type=Path, required=True, metavar="FILE", help="of pipeline retrieval"
        )
        action.add_argument("--partition", required=True, metavar="VALUE", help="for example 20261120")
    return parser


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"a number above 0, got {text!r}")
    return value


def _place(options: argparse.Namespace) -> Place:
    """Return where the data lives, as the scenario says. The one place that knows where that comes from."""
    scenario = of_retrieval(load_scenario(options.scenario))
    steps = plan(scenario)
    if steps.bucket and options.bucket:
        raise CommandError(f"--bucket has no effect: the scenario says {steps.bucket}")
    bucket = steps.bucket or options.bucket
    if not bucket:
        raise CommandError(
            "the scenario names no oss_bucket: which one are the videos in? Say it by --bucket"
        )
    hook, partition = open_partition(steps, options.partition, "qa load")
    frames = partition
    if fixed := scenario.retrieval.frames_partition:
        frames = PartitionSpec(partition.columns, (fixed, *partition.values[1:]))
    return Place(
        hook,
        hook.oss_root(bucket, scenario.oss_root).join(options.prefix.strip("/")),
        scenario.source_table or "",
        partition,
        options.frames_table or scenario.frames_table or "",
        frames,
        scenario.embedding_model or "",
        scenario.embedding_dim,
    )


def _results(options: argparse.Namespace) -> None:
    from airflow_provider_drivepipe.cli.qa_results import write_results

    scenario = of_retrieval(load_scenario(options.scenario))
    steps = plan(scenario)
    hook, partition = open_partition(steps, options.partition, "qa results")
    name = (
        f"{str(scenario.vlm_model).replace('/', '_')}_{options.data.stem if options.data else steps.scenario}"
        f"_image_retrieval_{scenario.retrieval.initial_frames}frames"
    )
    for file in write_results(hook, steps, partition, options.arm, options.data, options.folder, name):
        print(f"wrote {file}")


def _load(options: argparse.Namespace) -> None:
    if options.embeddings and not options.frames:
        raise CommandError("--embeddings needs --frames: whose vectors?")
    if options.frames and not (options.embeddings or options.frames_table):
        raise CommandError(
            "--frames needs --embeddings, or --frames-table for frames that have none yet: the scenario's "
            "frames_table holds frames with embeddings"
        )
    questions = read_questions(options.file)
    place = _place(options)
    problems: list[str] = []
    videos: dict[str, Video] = {}
    for key in keys_of(questions):
        try:
            videos[key] = Video.of(key, place.root)
        except (ValueError, VideoError) as error:
            problems.append(f"{key}: {error}")
    frames = {}
    if options.frames:
        frames = {key: read_frames(options.frames, key, problems) for key in videos}
    if options.embeddings:
        for key, of_video in frames.items():
            read_vectors(options.embeddings, key, of_video, place.dimension, problems)
    raise_problems(problems, f"{len(problems)} problems")
    if options.frames:
        _load_frames(place, options, videos, frames)
    rows = [_question_row(question, videos[question.key]) for question in questions]
    _replace(place.hook, place.questions_table, QUESTION_COLUMNS, place.partition, [rows])
    print(f"{place.questions_table} {place.partition.path()}: {len(rows)} questions, {len(videos)} videos")


def _load_frames(
    place: Place,
    options: argparse.Namespace,
    videos: dict[str, Video],
    frames: dict[str, list[Frame]],
) -> None:
    seconds = options.seconds_per_frame or 1 / (options.fps or 1)
    made_with = ""
    if options.embeddings:
        made_with = embedding_hashes(place.model, place.dimension, place.hook)[0]
    columns = (*FRAME_COLUMNS, *(VECTOR_COLUMNS if made_with else ()), *STATUS_COLUMNS)

    def rows(video: Video) -> list[list[Any]]:
        """Upload a video's frames and return their rows, one video's vectors in memory at a time."""
        of_video = frames[video.key]
        vectors = (
            read_vectors(options.embeddings, video.key, of_video, place.dimension, []) if made_with else {}
        )
        urls = _upload(place.hook, place.root.join("frames", video.id), video, of_video)
        return [
            [
                video.path,
                video.id,
                frame.number,
                time_ms(frame.number, seconds),
                image_id(video.key, frame.number),
                url,
                frame.width,
                frame.height,
                *([vectors[frame.number], 0] if made_with else []),
                str(Status.OK),
                "",
                "",
                "",
                1,
                f"frames={frame.sha256[:16]}" + (f";image_embedding={made_with}" if made_with else ""),
            ]
            for frame, url in zip(of_video, urls, strict=True)
        ]

    _replace(place.hook, place.frames_table, columns, place.frames_partition, map(rows, videos.values()))
    count = sum(map(len, frames.values()))
    print(
        f"{place.frames_table} {place.frames_partition.path()}: {count} frames; frame n is taken to be at "
        f"n × {seconds:g} s" + ("" if options.fps or options.seconds_per_frame else " (--fps says otherwise)")
    )
    if not made_with:
        print(
            f"The frames have no embeddings yet: run a scenario with input_shape: image_table, targets: "
            f"[embedding] and source_table: {place.frames_table}; its table is frames_table of this one."
        )


def _upload(hook: DrivepipeHook, folder: OssUri, video: Video, frames: Sequence[Frame]) -> list[str]:
    """Put frames into OSS and return their URIs; the same frames have the same ones each time."""
    import alibabacloud_oss_v2 as oss

    from airflow_provider_drivepipe.hooks.errors import oss_errors

    client, settings = hook.oss, hook.oss_settings.require_oss()

    def put(frame: Frame) -> str:
        uri = folder.join(f"{image_id(video.key, frame.number)}.jpg")
        client.put_object_from_file(oss.PutObjectRequest(bucket=uri.bucket, key=uri.key), str(frame.file))
        return str(uri)

    with (
        oss_errors(hook.oss_settings.conn_id, settings.endpoint, folder.bucket),
        ThreadPoolExecutor(_UPLOADS) as pool,
    ):
        return list(pool.map(put, frames))


def _question_row(question: Question, video: Video) -> list[Any]:
    options = json.dumps(question.options, ensure_ascii=False) if question.options else ""
    return [
        question.question_id,
        video.path,
        video.id,
        question.question,
        options,
        question.answer,
        question.category,
        *(question.evidence or (None, None)),
    ]


def _replace(
    hook: DrivepipeHook, table: str, columns: Sequence[Column], partition: PartitionSpec, batches: Any
) -> None:
    """Replace a partition by the rows of all batches: readers see it as it was until the last is there."""
    hook.execute_sql(create_table(table, columns, partition.columns))
    has = [column.name for column in hook.table_columns(table)[0]]
    if has != [column.name for column in columns]:
        raise CommandError(
            f"table {table} has other columns ({', '.join(has)}) than {', '.join(c.name for c in columns)}; "
            "name another table"
        )
    with (
        hook.errors(),
        hook.odps.get_table(table).open_writer(
            str(partition), create_partition=True, overwrite=True
        ) as writer,
    ):
        for batch in batches:
            writer.write(batch)


_ACTIONS: Mapping[str, Callable[[argparse.Namespace], None]] = {"load": _load, "results": _results}
