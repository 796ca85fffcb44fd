"""The REST calls on projects, schemas, tables and partitions."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Sequence

import pyarrow as pa
from starlette.responses import Response

from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import (
    OWNER,
    Catalog,
    Column,
    Partition,
    Table,
    parse_partition_spec,
)
from maxcompute_local.odps.codec import wire_batch
from maxcompute_local.odps.paging import page
from maxcompute_local.odps.sql.result import to_csv
from maxcompute_local.odps.storage import Storage, cast_array
from maxcompute_local.odps.types import odps_type, storage_type
from maxcompute_local.odps.wire import Call, attribute, cdata, element, rfc822, xml
from maxcompute_local.stats import Stats

MAX_PREVIEW_ROWS = 10000

_PROJECT_PARTS = ("policy", "security_configuration")
_PROJECT_PROPERTIES = {
    "odps.sql.type.system.odps2": "false",
    "odps.sql.cfile2.field.maxsize": "8192",
}


class MetaApi:
    """Answers what clients ask about projects and tables."""

    def __init__(self, catalog: Catalog, storage: Storage, stats: Stats) -> None:
        self._catalog = catalog
        self._storage = storage
        self._stats = stats

    # Projects and schemas

    def projects(self, call: Call) -> Response:
        """List projects."""
        self._stats.count("odps.list_projects")
        names = [n for n in self._catalog.projects() if n.startswith(call.query.get("name", ""))]
        shown, marker = page(call, sorted(names), str)
        items = "".join(f"<Project>{element('Name', n)}{element('Owner', OWNER)}</Project>" for n in shown)
        return xml(f"<Projects>{marker}{items}</Projects>")

    def project(self, call: Call, name: str) -> Response:
        """Describe a project; NotImplemented for a change of it, and for its policy and security options."""
        asked = next((key for key in _PROJECT_PARTS if key in call.query), "")
        if asked or call.method not in ("GET", "HEAD"):
            raise errors.not_supported(f"{call.method} /projects/{name}{f'?{asked}' if asked else ''}")
        self._stats.count("odps.get_project")
        properties = "".join(
            f"<Property>{element('Name', key)}{element('Value', value)}</Property>"
            for key, value in _PROJECT_PROPERTIES.items()
        )
        headers = _ownership(time.time())
        if "extended" in call.query:
            body = (
                f"<Project>{element('Name', name)}"
                f"<ExtendedProperties>{properties}</ExtendedProperties></Project>"
            )
            return xml(body, headers)
        return xml(
            f"<Project>{element('Name', name)}{element('Type', 'managed')}{element('Comment', '')}"
            f"{element('State', 'AVAILABLE')}<Properties>{properties}</Properties><Clusters/></Project>",
            headers,
        )

    def schemas(self, call: Call, project: str) -> Response:
        """List schemas, or create one."""
        if call.method == "POST":
            self._stats.count("odps.create_schema")
            self._catalog.create_schema(project, call.xml().findtext("Name") or "")
            return Response(status_code=201)
        self._stats.count("odps.list_schemas")
        prefix, owner = call.query.get("name", "").lower(), call.query.get("owner")
        names = [
            n for n in self._catalog.schemas(project) if n.startswith(prefix) and owner in (None, "", OWNER)
        ]
        shown, marker = page(call, sorted(names), str)
        items = "".join(f"<Schema>{element('Name', n)}{element('Owner', OWNER)}</Schema>" for n in shown)
        return xml(f"<Schemas>{marker}{items}</Schemas>")

    def schema(self, call: Call, project: str, name: str) -> Response:
        """Describe a schema, or drop it."""
        if call.method == "DELETE":
            self._stats.count("odps.drop_schema")
            self._catalog.drop_schema(project, name)
            return Response(status_code=204)
        self._stats.count("odps.get_schema")
        created = self._catalog.schemas(project).get(name.lower())
        if created is None:
            raise errors.no_such_schema(name)
        body = f"<Schema>{element('Name', name.lower())}{element('Owner', OWNER)}</Schema>"
        return xml(body, _ownership(created))

    # Tables

    def tables(self, call: Call, project: str, schema: str) -> Response:
        """List tables."""
        self._stats.count("odps.list_tables")
        kind, owner = call.query.get("type"), call.query.get("owner")
        found = [
            table
            for table in self._catalog.tables(project, schema, call.query.get("name", ""))
            if kind in (None, "", table.definition.kind) and owner in (None, "", table.definition.owner)
        ]
        shown, marker = page(call, sorted(found, key=lambda table: table.name), lambda table: table.name)
        items = ""
        for table in shown:
            extended = self._schema_json(table, extended=True) if "extended" in call.query else ""
            schema_xml = f'<Schema format="Json">{cdata(extended)}</Schema>' if extended else ""
            items += (
                f"<Table>{element('Name', table.name)}{element('Type', table.definition.kind)}"
                f"{element('Owner', table.definition.owner)}{schema_xml}</Table>"
            )
        return xml(f"<Tables>{marker}{items}</Tables>")

    def table(self, call: Call, table: Table) -> Response:
        """Answer a GET on a table: what it is, its partitions, or its first rows."""
        query = call.query
        if "partitions" in query:
            self._stats.count("odps.list_partitions")
            return self._partitions(call, table)
        if "data" in query:
            self._stats.count("odps.head_table")
            return self._head(call, table)
        if "partition" in query:
            self._stats.count("odps.get_partition")
            return self._partition(call, table)
        self._stats.count("odps.get_table")
        definition = table.definition
        return xml(
            f"<Table>{element('Name', table.name)}{element('TableId', table.id)}"
            f'<Schema format="Json">{cdata(self._schema_json(table, "extended" in query))}</Schema>'
            f"{element('Comment', definition.comment)}{element('Owner', definition.owner)}"
            f"{element('Project', table.project)}<TableLabel/><CryptoAlgo/>"
            f"{element('CreationTime', rfc822(table.created))}"
            f"{element('LastModifiedTime', rfc822(table.modified))}{element('Type', definition.kind)}</Table>"
        )

    def _schema_json(self, table: Table, extended: bool) -> str:
        definition = table.definition
        partitions = self._catalog.partitions(table)
        size = sum(p.size for p in partitions)
        view = definition.view_text
        description: dict[str, object] = {
            "tableName": table.name,
            "comment": definition.comment,
            "owner": definition.owner,
            "createTime": int(table.created),
            "lastModifiedTime": int(table.modified),
            "lastDDLTime": int(table.ddl_time),
            "lifecycle": -1 if definition.lifecycle is None else definition.lifecycle,
            "isVirtualView": view is not None,
            "viewText": view or "",
            "viewExpandedText": view or "",
            "shardExist": False,
            "size": size,
            "recordNum": -1,
            "tableLabel": "0",
            "columns": [_column_json(c) for c in table.columns],
            "partitionKeys": [_column_json(c) for c in table.partition_columns],
        }
        if extended:
            description |= {
                "IsArchived": False,
                "PhysicalSize": size,
                "FileNum": sum(len(p.files) for p in partitions),
                "Reserved": json.dumps({"Transactional": "false"}),
            }
            if definition.properties:
                description["tableProperties"] = json.dumps(dict(definition.properties))
        return json.dumps(description)

    # Partitions

    def _partitions(self, call: Call, table: Table) -> Response:
        found = self._matching(table, call.query.get("partition"))
        reverse = "reverse" in call.query
        found.sort(key=lambda partition: partition.spec, reverse=reverse)
        shown, marker = page(call, found, lambda partition: partition.spec, reverse)
        items = ""
        for partition in shown:
            values = zip(table.partition_columns, partition.values, strict=True)
            columns = "".join(f"<Column Name={attribute(c.name)} Value={attribute(v)}/>" for c, v in values)
            items += (
                f"<Partition>{columns}{element('CreationTime', int(partition.created))}"
                f"{element('LastDDLTime', int(partition.ddl_time))}"
                f"{element('LastModifiedTime', int(partition.modified))}"
                f"{element('PartitionSize', partition.size)}"
                f"{element('PartitionRecordCount', partition.rows)}</Partition>"
            )
        return xml(f"<Partitions>{marker}{items}</Partitions>")

    def _partition(self, call: Call, table: Table) -> Response:
        values = table.partition_values(call.query.get("partition"))
        partition = self._catalog.partition(table, values)
        description: dict[str, object]
        if "extended" in call.query:
            # Without what the plain answer has: clients ask for that apart, and see that it is not loaded.
            description = {
                "IsArchived": False,
                "IsExstore": False,
                "LifeCycle": -1,
                "PhysicalSize": partition.size,
                "FileNum": len(partition.files),
                "Reserved": "{}",
            }
        else:
            description = {
                "createTime": int(partition.created),
                "lastDDLTime": int(partition.ddl_time),
                "lastModifiedTime": int(partition.modified),
                "partitionSize": partition.size,
                "partitionRecordNum": partition.rows,
            }
        return xml(f"<Partition><Schema>{cdata(json.dumps(description))}</Schema></Partition>")

    def _matching(self, table: Table, spec: str | None) -> list[Partition]:
        """Return the partitions that agree with a spec, which may name only some partition columns."""
        wanted = parse_partition_spec(spec) if spec else {}
        names = [c.name for c in table.partition_columns]
        unknown = set(wanted) - set(names)
        if unknown:
            raise errors.invalid_partition(f"{table.full_name} has no partition column {sorted(unknown)[0]}")
        partitions = self._catalog.partitions(table)
        if not names:
            return partitions
        return [
            p
            for p in partitions
            if all(dict(zip(names, p.values, strict=True))[name] == value for name, value in wanted.items())
        ]

    # First rows

    def preview(self, call: Call, table: Table) -> Response:
        """Return the first rows as a plain Arrow stream; nothing when there are none."""
        self._stats.count("odps.preview_table")
        limit = call.integer("limit", -1)
        columns = _wanted_columns(table, call.query.get("columns"))
        batches = self._first_rows(
            table, columns, limit if limit > 0 else MAX_PREVIEW_ROWS, call.query.get("partition")
        )
        sink = io.BytesIO()
        writer = None
        for batch in batches:
            wire = wire_batch(batch, columns, timestamp_structs=True)
            writer = writer or pa.ipc.new_stream(sink, wire.schema)
            writer.write_batch(wire)
        if writer is not None:
            writer.close()
        return Response(sink.getvalue())

    def _head(self, call: Call, table: Table) -> Response:
        columns = _wanted_columns(table, call.query.get("cols"))
        limit = min(call.integer("linenum", 100), MAX_PREVIEW_ROWS)
        batches = self._first_rows(table, columns, limit, call.query.get("partition"))
        return Response(to_csv(columns, batches), media_type="text/csv")

    def _first_rows(
        self, table: Table, columns: Sequence[Column], limit: int, spec: str | None
    ) -> Iterator[pa.RecordBatch]:
        partitions = self._matching(table, spec)
        if spec and not partitions:
            raise errors.no_such_partition(table.full_name, spec)
        in_files = [c for c in columns if c.id]
        for partition in partitions:
            if limit <= 0:
                return
            values = dict(zip((c.name for c in table.partition_columns), partition.values, strict=True))
            for batch in self._storage.read(partition.files, in_files or table.columns, 0, limit):
                limit -= batch.num_rows
                arrays = [
                    batch.column(c.name) if c.id else _repeated(values[c.name], c, batch.num_rows)
                    for c in columns
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])


def _repeated(value: str, column: Column, rows: int) -> pa.Array:
    return cast_array(pa.repeat(value, rows), storage_type(odps_type(column.type)))


def _wanted_columns(table: Table, names: str | None) -> list[Column]:
    by_name = {c.name: c for c in (*table.columns, *table.partition_columns)}
    if not names:
        return list(by_name.values())
    wanted = [name.strip().lower() for name in names.split(",")]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise errors.invalid_argument(f"{table.full_name} has no column {unknown[0]}")
    return [by_name[name] for name in wanted]


def _column_json(column: Column) -> dict[str, object]:
    return {
        "name": column.name,
        "type": column.type,
        "comment": column.comment,
        "label": "",
        "isNullable": column.nullable,
    }


def _ownership(created: float) -> dict[str, str]:
    return {
        "x-odps-owner": OWNER,
        "x-odps-creation-time": rfc822(created),
        "Last-Modified": rfc822(created),
    }
