"""What the QA items of a partition become: ten task files in ``tao-vl-reason-v1.0``, one JSONL, one Parquet.

Reads and writes nothing but a local folder. Times are milliseconds everywhere else; here they become clock
times.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import islice
from pathlib import Path
from string import ascii_uppercase
from typing import Any, TextIO

from airflow_provider_drivepipe.contracts import Column, Reason
from airflow_provider_drivepipe.pipelines.reasoning.quality import CHECKED_COLUMNS, FLAGS, Check
from airflow_provider_drivepipe.stages.stage import InputColumn, Site, Stage, StageGuide
from airflow_provider_drivepipe.worker.reasoning.times import with_plain_clocks, with_plain_tenths

FORMAT = "tao-vl-reason-v1.0"
MCQ, BCQ, TEMPORAL, SCENE = "mcq", "bcq", "temporal_localization", "scene_description"
ITEMS_JSONL, ITEMS_PARQUET = "items.jsonl", "items.parquet"

READS = (
    InputColumn("item_id", True, "identity of the item"),
    InputColumn("video_path", True, "full OSS URI of the video"),
    InputColumn("qa_type", True, "kind of question: one of the eight `qa_types`"),
    InputColumn("item_number", True, "place among the items of its video and type, which orders the files"),
    InputColumn(
        "question",
        True,
        "the question alone; here and in the other texts, `{start}` and `{end}` stand for the item's times",
    ),
    InputColumn("options", True, "JSON list of texts in the order in which they are shown; only for `mcq`"),
    InputColumn(
        "answer",
        True,
        "`mcq`: the letter of the right option, alone or as `B. <option>`; `bcq`: `Yes` or `No` (是, 否), "
        "alone or before a full stop and an explanation; `temporal_localization`: not read, the times are "
        "the answer; else free text",
    ),
    InputColumn("reasoning", True, "how one comes to the answer; may be empty"),
    InputColumn("start_ms", True, "start of what the item speaks of, in milliseconds; may be NULL"),
    InputColumn("end_ms", True, "its end"),
)

FILE_COLUMNS = (
    Column("file", "string", "name of the file"),
    Column("task", "string", "task of the file, NULL for the files of all items"),
    Column("items", "bigint", "items in the file"),
    Column("size_bytes", "bigint", "size of the file in bytes"),
    Column("sha256", "string", "SHA-256 of the file, 64 hex digits"),
    Column("url", "string", "full OSS URI of the file"),
)

_VERSION = 2
"""Raised by hand when the same items start to give other files."""
_BATCH = 5000
_MARKERS = ("{start}", "{end}")
_YES_NO = re.compile(r"(yes|no|是|否)((?:[.,;:!。，；：！].*)?)", re.IGNORECASE | re.DOTALL)
_ENGLISH = {"是": "Yes", "否": "No"}
"""What the question asks for, whatever its language."""


@dataclass(frozen=True)
class ExportOptions:
    """What is exported, and where to.

    :param bucket: bucket that holds the videos and receives the files.
    :param root: full URI ``oss://<endpoint>/<bucket>[/<prefix>]`` instead of the connection's endpoint.
        Videos are below it, and ``video_id`` is their path from it.
    :param output_prefix: key prefix of the files below the root; empty: the output table's name.
    :param license: licence of the data, for the metadata of each file.
    :param description_extra: text behind the description of each file.
    :param media_root: what the files say of where the videos are, such as ``/mnt/videos``; None: in the
        folder of the files, wherever that is copied to.
    :param checks: what the items are checked for; each reads its columns of ``CHECKED_COLUMNS``.
    :param exclude: flags, each of one of ``checks``, whose items are in no file.
    :param min_item_quality: smallest share of items without a flag, 0 to 1, with which files are published.
    """

    bucket: str = ""
    root: str | None = None
    output_prefix: str = ""
    license: str = ""
    description_extra: str = ""
    media_root: str | None = None
    checks: tuple[Check, ...] = ()
    exclude: tuple[Check, ...] = ()
    min_item_quality: float = 0.0

    def __post_init__(self) -> None:
        if not self.bucket and self.root is None:
            raise ValueError("name a bucket, or a root")
        if unknown := set(self.checks).difference(Check):
            raise ValueError(f"there is no check {min(unknown)!r}; there are {', '.join(Check)}")
        if unflagged := set(self.exclude).difference(set(self.checks) & set(FLAGS)):
            raise ValueError(f"no check is on that flags items as {min(unflagged)!r}")

    @property
    def checked_columns(self) -> tuple[InputColumn, ...]:
        """The columns that its checks read."""
        return tuple(column for check in self.checks for column in CHECKED_COLUMNS[check])


class UnfitItem(Exception):
    """An item that cannot become training data; ``reason`` is one of the typed reasons of the contracts."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class QaItem:
    """A question with its answer, see ``READS``; texts hold its times as clock times.

    :param flags: names of the checks that flag it.
    :param duplicate_of: ``item_id`` of the item that it repeats.
    """

    item_id: str
    video_path: str
    qa_type: str
    question: str
    options: tuple[str, ...]
    answer: str
    reasoning: str
    start_ms: int | None
    end_ms: int | None
    flags: tuple[str, ...] = ()
    duplicate_of: str | None = None

    @classmethod
    def of_row(cls, row: Mapping[str, Any], flags: tuple[str, ...] = ()) -> QaItem:
        """Return the item of a row; raise UnfitItem when it does not fit its type."""
        names = ("item_id", "video_path", "qa_type", "question", "answer", "reasoning")
        texts = {name: str(row[name] or "").strip() for name in names}
        options = _options(row["options"])
        if texts["qa_type"] == MCQ:
            texts["answer"] = _letter(texts["answer"], options)
        item = cls(
            **texts,
            options=options,
            start_ms=row["start_ms"],
            end_ms=row["end_ms"],
            flags=flags,
        )
        item._check()
        return item._told()

    @classmethod
    def read(cls, line: str) -> QaItem:
        """Return the item that :meth:`line` wrote."""
        values = json.loads(line)
        return cls(**{**values, "options": tuple(values["options"]), "flags": tuple(values["flags"])})

    def line(self) -> str:
        """Return the item as JSON in one line."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @property
    def task(self) -> str:
        """What it trains, the first of the task files that it goes to."""
        return TASKS_OF[self.qa_type][0].name

    @property
    def choices(self) -> tuple[str, ...]:
        """What the answer is one of: letters, ``Yes`` and ``No``; nothing for a free answer."""
        if self.qa_type == MCQ:
            return tuple(ascii_uppercase[: len(self.options)])
        return tuple(_ENGLISH.values()) if self.qa_type == BCQ else ()

    @property
    def choice(self) -> str:
        """Which of ``choices`` the answer is; empty for a free answer."""
        if self.qa_type == MCQ:
            return self.answer
        return self.decision()[0] if self.qa_type == BCQ else ""

    @property
    def times(self) -> tuple[str, str]:
        """Its times as ``MM:SS``, or ``HH:MM:SS`` where one is past the first hour.

        In whole seconds, the start rounded down and the end up: what is named holds what is meant.
        """
        start, end = (self.start_ms or 0) // 1000, -(-(self.end_ms or 0) // 1000)
        return _clock(start, self.has_hours), _clock(end, self.has_hours)

    @property
    def has_hours(self) -> bool:
        """Whether its end is past the first hour."""
        return (self.end_ms or 0) > 3_599_000

    def right_option(self) -> int:
        """Return the index of the option that the answer's letter names; raise UnfitItem without one."""
        place = ascii_uppercase.find(self.answer) if len(self.answer) == 1 else -1
        if not 0 <= place < len(self.options):
            raise _unfit(f"the answer {self.answer[:40]!r} is not the letter of one of the options")
        return place

    def decision(self) -> tuple[str, str]:
        """Return ``Yes`` or ``No`` and what follows it; raise UnfitItem where the answer is neither."""
        found = _YES_NO.fullmatch(self.answer)
        if found is None:
            raise _unfit(f"the answer {self.answer[:40]!r} is neither Yes nor No")
        return _ENGLISH.get(found[1], found[1].capitalize()), found[2]

    def _told(self) -> QaItem:
        """Return the item with its times in its texts."""

        def told(text: str) -> str:
            for marker, time in zip(_MARKERS, self.times, strict=True):
                text = text.replace(marker, time)
            return text

        def plain(text: str) -> str:
            return with_plain_tenths(told(text)) if self.qa_type == SCENE else with_plain_clocks(told(text))

        options = tuple(map(plain, self.options))
        if len(set(options)) < len(options):
            # They differ by less than a second.
            options = tuple(map(told, self.options))
        return replace(
            self,
            question=plain(self.question),
            options=options,
            answer=plain(self.answer),
            reasoning=plain(self.reasoning),
        )

    def _check(self) -> None:
        if self.qa_type not in TASKS_OF:
            raise _unfit(f"qa_type {self.qa_type!r} is none of {', '.join(TASKS_OF)}")
        for name in ("item_id", "question", *(() if self.qa_type == TEMPORAL else ("answer",))):
            if not getattr(self, name):
                raise _unfit(f"{name} is empty")
        if self.qa_type == MCQ:
            different = {" ".join(option.split()).casefold() for option in self.options} - {""}
            if len(different) < max(2, len(self.options)):
                raise _unfit("there are fewer than two options, or some are empty or alike")
            self.right_option()
        if self.qa_type == BCQ:
            self.decision()
        self._check_times()

    def _check_times(self) -> None:
        start, end = self.start_ms, self.end_ms
        texts = "".join((self.question, self.answer, self.reasoning, *self.options))
        needed = self.qa_type == TEMPORAL or any(marker in texts for marker in _MARKERS)
        if start is None and end is None and not needed:
            return
        is_span = start is not None and end is not None and 0 <= start <= end
        if not is_span or (start == end and self.qa_type == TEMPORAL):
            raise UnfitItem(Reason.INVALID_TIME_RANGE, f"{start} to {end} ms is no span of time")


def _unfit(message: str) -> UnfitItem:
    return UnfitItem(Reason.SCHEMA_VIOLATION, message)


def _options(text: object) -> tuple[str, ...]:
    try:
        found = json.loads(str(text)) if text else []
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(option, str) for option in found):
        raise _unfit("options are no JSON list of texts")
    return tuple(found)


def _letter(answer: str, options: Sequence[str]) -> str:
    """Return the letter of an answer that repeats its option behind it, else the answer as it is."""
    full = (f"{letter}. {option}" for letter, option in zip(ascii_uppercase, options, strict=False))
    return answer[0] if answer in full else answer


def _clock(seconds: int, hours: bool) -> str:
    text = f"{seconds // 60 % 60 if hours else seconds // 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 3600:02d}:{text}" if hours else text


# The answers of the task files, by item.


def _text(item: QaItem) -> str:
    return item.answer


def _letter_and_option(item: QaItem) -> str:
    return _shown_options(item)[item.right_option()]


def _yes_or_no(item: QaItem) -> str:
    return item.decision()[0]


def _yes_or_no_explained(item: QaItem) -> str | None:
    said, rest = item.decision()
    return said + rest if rest[1:].strip() else None


def _span(item: QaItem) -> str:
    start, end = item.times
    return json.dumps({"start": start, "end": end})


def _shown_options(item: QaItem) -> list[str]:
    """Return the options with their letters, each in one line."""
    shown = zip(ascii_uppercase, item.options, strict=False)
    return [f"{letter}. {' '.join(option.split())}" for letter, option in shown]


@dataclass(frozen=True)
class OutputTask:
    """One of the task files.

    :param ask: what stands behind the question: the form of the answer.
    :param answer: gives the answer of an item, None for an item that this file cannot have.
    """

    name: str
    qa_type: str
    description: str
    ask: str = ""
    answer: Callable[[QaItem], str | None] = _text

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.json"

    def entry(self, item: QaItem, root: str) -> dict[str, str] | None:
        """Return an item as the file has it, None where it cannot.

        Beside what the format knows it has ``video_path``, the full OSS URI of the video.

        :param root: full OSS URI that all videos are below.
        """
        answer = self.answer(item)
        if answer is None:
            return None
        ask = self.ask
        if self.qa_type == TEMPORAL and item.has_hours:
            ask = ask.replace("MM:SS", "HH:MM:SS")
        options = _shown_options(item) if self.qa_type == MCQ else []
        entry = {
            "video_id": item.video_path.removeprefix(f"{root}/"),
            "question": "\n".join(filter(None, [item.question, *options, ask])),
            "answer": answer,
            "reasoning": item.reasoning,
            "item_index": item.item_id,
            "video_path": item.video_path,
        }
        return {name: value for name, value in entry.items() if value or name != "reasoning"}


TASKS = (
    OutputTask(
        "mcq",
        MCQ,
        "Multiple-choice QA (single letter answer).",
        "Answer with a single letter.",
    ),
    OutputTask(
        "mcq_openended",
        MCQ,
        "Multiple-choice QA with open-ended explanation (letter + explanation).",
        "Answer with the correct option letter followed by a brief explanation.",
        _letter_and_option,
    ),
    OutputTask(
        "bcq",
        BCQ,
        "Binary choice QA (Yes/No answer only).",
        "Answer with Yes or No.",
        _yes_or_no,
    ),
    OutputTask(
        "bcq_openended",
        BCQ,
        "Binary choice QA with open-ended explanation (Yes/No + explanation).",
        "Answer with Yes or No followed by a brief explanation.",
        _yes_or_no_explained,
    ),
    OutputTask("open_qa", "open_qa", "Open-ended QA (free-text answer)."),
    OutputTask(
        "causal_linkage", "causal_linkage", "Causal linkage QA: relationship between two timestamped events."
    ),
    OutputTask(
        "temporal_localization",
        TEMPORAL,
        "Temporal localization: predict start and end time of the anomaly.",
        'Answer with the start and end timestamps in the format {"start": "MM:SS", "end": "MM:SS"}.',
        _span,
    ),
    OutputTask(
        "temporal_description",
        "temporal_event_desc",
        "Temporal description: describe what happens in a given time window.",
    ),
    OutputTask(
        SCENE,
        SCENE,
        "Scene description: describe the scene and its environment.",
    ),
    OutputTask(
        "video_summarization",
        "event_summary",
        "Video summarization: summarize events and anomalies observed.",
    ),
)

TASKS_OF = {task.qa_type: [t for t in TASKS if t.qa_type == task.qa_type] for task in TASKS}
"""The task files that the items of a type go to."""


# The files.


@dataclass(frozen=True)
class ExportFile:
    """A file of a set.

    :param task: of a task file; None for the files of all items.
    """

    name: str
    task: str | None
    items: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class ExportSet:
    """The files of a set; ``digest``, 16 hex digits, is over all they hold except for their date."""

    digest: str
    items: int
    files: tuple[ExportFile, ...]


def write_set(
    folder: Path, items: Iterable[QaItem], options: ExportOptions, root: str, day: date
) -> ExportSet:
    """Write the files of items into a local folder; files without items are not written.

    Memory does not grow with the number of items.

    :param root: full OSS URI that all videos are below.
    :param day: the date in the metadata.
    """
    said = [options.license, options.description_extra, options.media_root, root, options.checks]
    digest = hashlib.sha256(json.dumps([_VERSION, *said]).encode())
    counts = Counter[str]()
    with ExitStack() as stack:
        opened: dict[str, TextIO] = {}

        def write(name: str, text: str, head: str = "", between: str = "") -> None:
            if name not in opened:
                opened[name] = stack.enter_context((folder / name).open("w", encoding="utf-8"))
                between = head
            counts[name] += 1
            opened[name].write(between + text)

        for item in items:
            line = f"{item.line()}\n"
            digest.update(line.encode())
            write(ITEMS_JSONL, line)
            for task in TASKS_OF[item.qa_type]:
                entry = task.entry(item, root)
                if entry is not None:
                    text = json.dumps(entry, ensure_ascii=False)
                    write(task.file, text, _head(task, options, day), ",\n    ")
        for name, file in opened.items():
            if name != ITEMS_JSONL:
                file.write("\n  ]\n}\n")
    if counts[ITEMS_JSONL]:
        _write_parquet(folder)
        counts[ITEMS_PARQUET] = counts[ITEMS_JSONL]
    tasks = {task.file: task.name for task in TASKS}
    files = tuple(
        _described(folder / name, tasks.get(name), counts[name])
        for name in (*tasks, ITEMS_JSONL, ITEMS_PARQUET)
        if counts[name]
    )
    return ExportSet(digest.hexdigest()[:16], counts[ITEMS_JSONL], files)


def _head(task: OutputTask, options: ExportOptions, day: date) -> str:
    """Return a task file up to its first item."""
    envelope: dict[str, Any] = {
        "format": FORMAT,
        "metadata": {
            "type": "annotation",
            "task": task.name,
            "date": day.isoformat(),
            "description": " ".join(filter(None, [task.description, options.description_extra])),
            "license": options.license,
        },
        "media_root": options.media_root,
        "items": [],
    }
    return json.dumps(envelope, ensure_ascii=False, indent=2).removesuffix("]\n}") + "\n    "


def _write_parquet(folder: Path) -> None:
    """Write the Parquet file of the JSONL file beside it."""
    import pyarrow as pa
    from pyarrow import parquet

    texts, numbers, lists = pa.string(), pa.int64(), pa.list_(pa.string())
    kinds = {"start_ms": numbers, "end_ms": numbers, "options": lists, "flags": lists}
    schema = pa.schema([(name, kinds.get(name, texts)) for name in QaItem.__dataclass_fields__])
    with (
        (folder / ITEMS_JSONL).open(encoding="utf-8") as lines,
        parquet.ParquetWriter(folder / ITEMS_PARQUET, schema) as writer,
    ):
        while batch := [json.loads(line) for line in islice(lines, _BATCH)]:
            writer.write_batch(pa.RecordBatch.from_pylist(batch, schema))


def _described(path: Path, task: str | None, items: int) -> ExportFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ExportFile(path.name, task, items, path.stat().st_size, digest)


@dataclass(frozen=True)
class QaExport(Stage):
    """Writes the items of a partition as training files; the last task of the family."""

    options: ExportOptions

    name = "qa_export"
    model = None

    def content(self, site: Site) -> Mapping[str, object]:  # noqa: ARG002 - the same for all stages
        """Return the options."""
        return asdict(self.options)

    def guide(self) -> StageGuide:
        """Return the texts for people."""
        return StageGuide(
            does=f"writes the items of a partition to OSS as training files in the format `{FORMAT}`",
            unit="item",
            gives="files",
            reads=(*READS, *self.options.checked_columns),
            fails=(
                "An item that does not fit its type, or whose video is not there, is counted as `failed` and "
                "is in no file."
            ),
            reasons=(
                Reason.SCHEMA_VIOLATION,
                Reason.INVALID_TIME_RANGE,
                Reason.PATH_OUTSIDE_ROOT,
                Reason.PATH_TRAVERSAL,
                Reason.NOT_FOUND,
            ),
            again="The files are made again; when nothing changed, none is written. No model is called.",
            leaves_out=(
                "Items that are not `ok`, and those with a flag of `exclude`, are in no file; they are "
                "counted by reason."
            ),
            settings={
                "quality_checks": ", ".join(self.options.checks) or "none",
                "exclude": ", ".join(self.options.exclude) or "none",
                "min_item_quality": str(self.options.min_item_quality),
            },
        )
