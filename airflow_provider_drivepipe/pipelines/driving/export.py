"""What labelled images of a partition become as a data set: JSONL, Parquet, COCO, WebDataset, Lance.

Reads and writes nothing but a local folder; a picture's bytes come from the function that is given.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import sqlite3
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Column, OssUri, Reason
from airflow_provider_drivepipe.stages.answer_schemas import (
    AnswerField,
    answer_fields,
    load_answer_schema,
    schema_name,
    schema_text,
)
from airflow_provider_drivepipe.stages.where import read_where
from airflow_provider_drivepipe.worker.answer_rows import flat_value
from airflow_provider_drivepipe.worker.frame_search import LABEL, Comparison, is_chosen
from airflow_provider_drivepipe.worker.images import ImageError
from airflow_provider_drivepipe.worker.label_check import violations

LABEL_KEY = "label"
CARD, README = "card.json", "README.md"

FILE_COLUMNS = (
    Column("file", "string", "name of the file"),
    Column("samples", "bigint", "samples in the file, NULL for files that describe others"),
    Column("size_bytes", "bigint", "size of the file in bytes"),
    Column("sha256", "string", "SHA-256 of the file, 64 hex digits"),
    Column("url", "string", "full OSS URI of the file"),
)
NEEDED = ("image_url", LABEL, *(column.name for column in STATUS_COLUMNS))
"""Columns that a table of labelled images has."""

_VERSION = 1
"""Raised by hand when the same samples start to give other files."""
_BATCH = 1000
_PICTURES = 16
"""How many pictures are in memory at a time."""
_VECTORS = ("image_embedding", "image_embedding_total_token")
_ARROW = {"string": "string", "bigint": "int64", "int": "int64", "double": "float64", "boolean": "bool_"}
_NAMES = {"time_of_day": "timeofday", "scene_type": "scene"}
_VALUES = {
    "city_street": "city street",
    "dawn_dusk": "dawn/dusk",
    "gas_station": "gas stations",
    "parking_lot": "parking lot",
    "partly_cloudy": "partly cloudy",
    "unknown": "undefined",
}
"""Where BDD100K has another word for a field of our schema, or for a value of its three fields."""

Sample = dict[str, Any]
"""Columns of the row, ``fingerprint``, and the label: an object where it has a schema, else a text."""


class ExportFormat(StrEnum):
    """What the files are."""

    JSONL = "jsonl"
    PARQUET = "parquet"
    COCO = "coco"
    WEBDATASET = "webdataset"
    LANCE = "lance"


@dataclass(frozen=True)
class DatasetOptions:
    """What is exported, and where to.

    :param bucket: bucket that receives the files.
    :param root: full URI ``oss://<endpoint>/<bucket>[/<prefix>]`` instead, below which the files go.
    :param output_prefix: key prefix of the files below the root; empty: the output table's name.
    :param format: ``jsonl``, ``parquet``, ``coco``, ``webdataset`` or ``lance``.
    :param label_schema: name or JSON of the schema of the labels; without one a label is a text.
    :param where: condition on the samples, such as ``weather = 'rainy' and abstain = false``.
    :param license: licence of the data, for the card.
    :param shard_size: most samples in a file of ``jsonl``, ``parquet`` or ``webdataset``.
    """

    bucket: str = ""
    root: str | None = None
    output_prefix: str = ""
    format: str = ExportFormat.JSONL
    label_schema: str | None = None
    where: str = ""
    license: str = ""
    shard_size: int = 5000

    def __post_init__(self) -> None:
        if not self.bucket and self.root is None:
            raise ValueError("name a bucket, or a root")
        if self.format not in set(ExportFormat):
            raise ValueError(f"there is no format {self.format!r}; there are {', '.join(ExportFormat)}")
        if self.shard_size < 1:
            raise ValueError("shard_size is 1 or more")
        if self.label_schema is not None:
            load_answer_schema(self.label_schema)
            if self.format in (ExportFormat.PARQUET, ExportFormat.LANCE):
                answer_fields(self.label_schema, LABEL_KEY)
        elif self.format == ExportFormat.COCO:
            raise ValueError("coco has the fields of a label as attributes: name its label_schema")


@dataclass(frozen=True)
class SampleTable:
    """How rows of a table become samples.

    :param columns: those of the table that samples have.
    :param schema: of the labels, None where they are texts.
    :param fields: the label's properties as columns, where these are wanted.
    :param where: what holds for a sample.
    """

    columns: tuple[Column, ...]
    schema: dict[str, Any] | None
    fields: tuple[AnswerField, ...]
    where: tuple[Comparison, ...]

    @classmethod
    def of(cls, columns: Sequence[Column], options: DatasetOptions) -> SampleTable:
        """Return how a table is exported; raise ValueError where it does not fit the options."""
        status = {column.name for column in STATUS_COLUMNS} - {"fingerprint"}
        taken = tuple(
            column
            for column in columns
            if column.type in _ARROW
            and column.name not in status
            and column.name not in _VECTORS
            and not column.name.startswith(f"{LABEL_KEY}_")
        )
        if any(column.name == LABEL_KEY for column in taken):
            raise ValueError(f"the table's column {LABEL_KEY!r} has the name of the label: rename it")
        where = read_where(options.where, columns, options.label_schema)
        if options.label_schema is None:
            return cls(taken, None, (), where)
        flat = options.format in (ExportFormat.PARQUET, ExportFormat.LANCE)
        fields = answer_fields(options.label_schema, LABEL_KEY) if flat else ()
        schema = load_answer_schema(options.label_schema)
        return cls(taken, schema, fields, where)

    def sample(self, row: Mapping[str, Any]) -> Sample | None:
        """Return the sample of a row, None where the condition does not hold; raise ImageError."""
        if not row["image_url"]:
            raise ImageError(Reason.NOT_FOUND, "the row has no image_url")
        label = self._label(row[LABEL])
        if not is_chosen(row, self.where):
            return None
        return {**{c.name: _plain(row[c.name]) for c in self.columns}, LABEL_KEY: label}

    def _label(self, text: str | None) -> object:
        if not text:
            raise ImageError(Reason.NO_LABEL, "the row has no label")
        if self.schema is None:
            return text
        try:
            label = json.loads(text)
        except (ValueError, RecursionError):
            raise ImageError(Reason.INVALID_JSON, "the label is no JSON") from None
        wrong = next(violations(label, self.schema), None)
        if wrong is not None and not (isinstance(label, dict) and label.get("abstain") is True):
            raise ImageError(Reason.SCHEMA_VIOLATION, wrong)
        return label

    @property
    def where_columns(self) -> tuple[str, ...]:
        """The columns that the condition speaks of."""
        return tuple(each.name for each in self.where if not each.of_label)

    def flat(self, sample: Sample) -> dict[str, Any]:
        """Return a sample with a column for each property of its label."""
        columns = {name: value for name, value in sample.items() if name != LABEL_KEY}
        label = sample[LABEL_KEY]
        if self.schema is None:
            return {**columns, LABEL: label}
        return {**columns, **{f.column: flat_value(label.get(f.property), f.type) for f in self.fields}}

    @property
    def flat_columns(self) -> dict[str, str]:
        """Name and MaxCompute type of the columns of :meth:`flat`."""
        fields = {LABEL: "string"} if self.schema is None else {f.column: f.type for f in self.fields}
        return {**{column.name: column.type for column in self.columns}, **fields}

    def counted(self, label: object) -> Iterator[tuple[str, str]]:
        """Yield the fields of a label whose values are few, each with its value."""
        for name, content in (self.schema or {}).get("properties", {}).items():
            value = label.get(name) if isinstance(label, dict) else None
            one = content.get("items", {}) if isinstance(value, list) else content
            if value is not None and ("enum" in one or one.get("type") == "boolean"):
                for each in value if isinstance(value, list) else [value]:
                    yield name, each if isinstance(each, str) else json.dumps(each)

    def attributes(self, sample: Sample) -> dict[str, str]:
        """Return the label's fields that have one of few values, in BDD100K's words where it has them."""
        label, made = sample[LABEL_KEY], {}
        for name, content in (self.schema or {}).get("properties", {}).items():
            if "enum" in content and name in label:
                own = name == "weather" or name in _NAMES
                made[_NAMES.get(name, name)] = _VALUES.get(label[name], label[name]) if own else label[name]
        return made


def _plain(value: Any) -> Any:
    """Return a cell as JSON can hold it."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


class SampleSpool:
    """Samples on disk in the order of their pictures, whatever the order in which they came, each once."""

    def __init__(self, file: Path) -> None:
        # Lance reads from a thread of its own, while this one waits.
        self._database = sqlite3.connect(file, check_same_thread=False)
        self._database.execute("CREATE TABLE samples (url TEXT PRIMARY KEY, line TEXT, etag TEXT)")

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def __len__(self) -> int:
        return int(self._database.execute("SELECT COUNT(*) FROM samples").fetchone()[0])

    def put(self, sample: Sample, etag: str) -> None:
        """Add a sample; of several with one picture, the first in the order of their texts stays.

        :param etag: which version of the picture is there.
        """
        self._database.execute(
            "INSERT INTO samples VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET line = MIN(line, excluded.line)",
            (sample["image_url"], json.dumps(sample, ensure_ascii=False), etag),
        )

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield the samples as JSON, each with the version of its picture."""
        yield from self._database.execute("SELECT line, etag FROM samples ORDER BY url")

    def samples(self) -> Iterator[Sample]:
        """Yield the samples."""
        return (json.loads(line) for line, _ in self.lines())


def make_card(
    spool: SampleSpool, table: SampleTable, options: DatasetOptions, said: Mapping[str, object]
) -> dict[str, Any]:
    """Return what a data set holds; ``fingerprint`` is the same for the same samples, pictures and options.

    :param said: what it says besides, such as the table and the prompts.
    """
    schema = options.label_schema
    digest = hashlib.sha256()
    values: dict[str, Counter[str]] = {}
    made: Counter[str] = Counter()
    for line, etag in spool.lines():
        digest.update(f"{line}\n{etag}\n".encode())
        sample = json.loads(line)
        parts = str(sample["fingerprint"] or "").split(";")
        made[";".join(part for part in parts if not part.startswith("input="))] += 1
        for name, value in table.counted(sample[LABEL_KEY]):
            values.setdefault(name, Counter())[value] += 1
    card = {
        **said,
        "format": str(options.format),
        "samples": len(spool),
        "license": options.license,
        "label_schema": schema_name(schema) if schema else None,
        "where": options.where,
        "label_values": {name: dict(sorted(found.items())) for name, found in values.items()},
        "made_by": dict(sorted(made.items())),
    }
    # A run may not know prompts and models, which the rows' fingerprints speak of anyway.
    known = {name: value for name, value in card.items() if name not in ("prompts", "models")}
    settled = [_VERSION, options.shard_size, schema_text(schema) if schema else "", known]
    digest.update(json.dumps(settled, sort_keys=True).encode())
    return {**card, "fingerprint": digest.hexdigest()[:16]}


def card_text(card: Mapping[str, Any]) -> str:
    """Return a card for people, as Markdown."""
    prompts = [f"{each['name']} ({each['sha256'][:12]})" for each in card["prompts"].values()]
    facts = {
        "Samples": card["samples"],
        "Format": card["format"],
        "Licence": card["license"] or "not stated",
        "Source": card["source"],
        "Condition": card["where"] or "none",
        "Left out": _counts(card["left_out"]),
        "Label schema": card["label_schema"] or "none: labels are texts",
        "Models": ", ".join(card["models"].values()) or "not known",
        "Prompts": ", ".join(prompts) or "not known",
        "Fingerprint": card["fingerprint"],
        **{f"`{name}`": _counts(found) for name, found in card["label_values"].items()},
    }
    rows = (f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in facts.items())
    return "\n".join([f"# {card['table']}", "", "| | |", "|---|---|", *rows, ""])


def _counts(of: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in of.items()) or "none"


Read = Callable[[Sequence[str]], Iterable[bytes]]
"""Gives the bytes of pictures by their URIs, in order."""
Made = Iterator[tuple[str, int | None]]
"""Files that are complete: names below the folder, each with its samples."""


def write_files(
    folder: Path, samples: Iterator[Sample], table: SampleTable, options: DatasetOptions, read: Read
) -> Made:
    """Write samples into a local folder and yield each file when it is complete: it may be moved then.

    Memory does not grow with the number of samples beyond a shard's rows.
    """
    kind = ExportFormat(options.format)
    match kind:
        case ExportFormat.COCO:
            yield "coco.json", _write_coco(folder / "coco.json", samples, table, options)
        case ExportFormat.LANCE:
            yield from _write_lance(folder / "samples.lance", samples, table)
        case _:
            for number, shard in enumerate(_batches(samples, options.shard_size)):
                path = folder / f"samples-{number:05d}.{'tar' if kind is ExportFormat.WEBDATASET else kind}"
                if kind is ExportFormat.JSONL:
                    path.write_text("".join(f"{json.dumps(s, ensure_ascii=False)}\n" for s in shard), "utf-8")
                elif kind is ExportFormat.PARQUET:
                    _write_parquet(path, shard, table)
                else:
                    _write_tar(path, shard, read)
                yield path.name, len(shard)


def _batches(samples: Iterator[Sample], size: int) -> Iterator[list[Sample]]:
    while batch := list(islice(samples, size)):
        yield batch


def _write_coco(path: Path, samples: Iterable[Sample], table: SampleTable, options: DatasetOptions) -> int:
    """Write images with attributes, and no boxes, which labels do not have; return how many there are."""
    licenses = [{"id": 1, "name": options.license or "not stated", "url": ""}]
    start = {"info": {}, "licenses": licenses, "annotations": [], "categories": []}
    number = 0
    with path.open("w", encoding="utf-8") as file:
        file.write(f'{json.dumps(start, ensure_ascii=False)[:-1]}, "images": [')
        for number, sample in enumerate(samples, start=1):
            url = sample["image_url"]
            image = {"id": number, "license": 1, "file_name": OssUri.parse(url).key, "coco_url": url}
            size = {name: sample[name] for name in ("width", "height") if sample.get(name) is not None}
            text = json.dumps({**image, **size, "attributes": table.attributes(sample)}, ensure_ascii=False)
            file.write((",\n" if number > 1 else "\n") + text)
        file.write("\n]}\n")
    return number


def _arrow_schema(table: SampleTable) -> Any:
    import pyarrow as pa

    return pa.schema([(name, getattr(pa, _ARROW[kind])()) for name, kind in table.flat_columns.items()])


def _write_parquet(path: Path, shard: Sequence[Sample], table: SampleTable) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist([table.flat(s) for s in shard], _arrow_schema(table)), path)


def _write_lance(path: Path, samples: Iterator[Sample], table: SampleTable) -> Made:
    import lance
    import pyarrow as pa

    schema = _arrow_schema(table)
    flat = ([table.flat(s) for s in batch] for batch in _batches(samples, _BATCH))
    batches = (pa.RecordBatch.from_pylist(rows, schema) for rows in flat)
    lance.write_dataset(pa.RecordBatchReader.from_batches(schema, batches), str(path))
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        yield str(file.relative_to(path.parent)), None


def _write_tar(path: Path, shard: Sequence[Sample], read: Read) -> None:
    """Write a shard of WebDataset: the picture and the sample of each key, one behind the other."""
    with tarfile.open(path, "w") as tar:
        for batch in _batches(iter(shard), _PICTURES):
            for sample, picture in zip(batch, read([s["image_url"] for s in batch]), strict=True):
                url = sample["image_url"]
                key = hashlib.sha256(url.encode()).hexdigest()[:16]
                suffix = PurePosixPath(url).suffix.lower().replace(".jpeg", ".jpg") or ".jpg"
                text = json.dumps(sample, ensure_ascii=False).encode()
                for name, content in ((f"{key}{suffix}", picture), (f"{key}.json", text)):
                    info = tarfile.TarInfo(name)
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
