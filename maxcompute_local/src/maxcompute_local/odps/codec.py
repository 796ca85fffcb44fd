"""The two payload formats of the tunnel: protobuf-like records, and Arrow batches in checksummed chunks.

Decoding reuses the SDK's own readers, which verify the checksums.
"""

from __future__ import annotations

import decimal
import io
import json
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import IO, Any, NoReturn

import pandas as pd
import pyarrow as pa
from odps import types as odps_types
from odps.models import TableSchema
from odps.tunnel.checksum import Checksum
from odps.tunnel.io.reader import ArrowStreamReader, TunnelRecordReader
from odps.tunnel.io.types import TIMESTAMP_STRUCT_TYPE, odps_schema_to_arrow_schema
from odps.tunnel.pb.encoder import Encoder
from odps.tunnel.pb.errors import DecodeError
from odps.tunnel.wireconstants import ProtoWireConstants

from maxcompute_local.odps import errors
from maxcompute_local.odps.catalog import Column
from maxcompute_local.odps.storage import BATCH_BYTES, BATCH_ROWS, cast_array
from maxcompute_local.odps.types import odps_type, storage_schema

try:
    from odps.tunnel.checksum_c import Checksum
    from odps.tunnel.pb.encoder_c import Encoder
except ImportError:  # The SDK was installed without its compiled parts: slower, same bytes.
    pass

_CHUNK_BYTES = 65536
_RECORDS_PER_WRITE = 4096
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_NANOS = 1_000_000_000

Convert = Callable[[Any], Any]
Write = Callable[[Any], None]


def decompressed(body: IO[bytes], encoding: str | None) -> IO[bytes]:
    """Return the readable plain form of a request body; InvalidArgument for unknown encodings."""
    name = (encoding or "identity").lower()
    if name == "identity":
        return body
    if name == "deflate":
        return io.BufferedReader(_Inflated(body), _CHUNK_BYTES)
    arrow_codec = {"zstd": "zstd", "x-lz4-frame": "lz4", "x-odps-lz4-frame": "lz4"}.get(name)
    if arrow_codec is None:
        raise errors.invalid_argument(f"content encoding {encoding} is not supported by the local cloud")
    stream: IO[bytes] = pa.CompressedInputStream(body, arrow_codec)
    return stream


class _Inflated(io.RawIOBase):
    def __init__(self, body: IO[bytes]) -> None:
        self._body = body
        self._inflate = zlib.decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            pending = self._inflate.unconsumed_tail or self._body.read(_CHUNK_BYTES)
            plain = self._inflate.decompress(pending, len(buffer)) if pending else self._inflate.flush()
            if plain or not pending:
                buffer[: len(plain)] = plain
                return len(plain)


def wire_schema(columns: Sequence[Column]) -> TableSchema:
    """Return the SDK's schema object of some columns."""
    return TableSchema.from_lists([c.name for c in columns], [c.type for c in columns])


# Records


def read_records(body: IO[bytes], columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """Yield the records of an uploaded block as batches of stored types."""
    schema = storage_schema(columns)
    converters = [_to_arrow(odps_type(c.type)) for c in columns]
    reader = TunnelRecordReader(wire_schema(columns), _once(body))
    rows: list[Sequence[Any]] = []
    begin = 0
    while (record := _next_record(reader)) is not None:
        rows.append(record.values)
        if len(rows) == BATCH_ROWS or reader.n_bytes - begin >= BATCH_BYTES:
            yield _rows_to_batch(rows, converters, schema)
            rows = []
            begin = reader.n_bytes
    if rows:
        yield _rows_to_batch(rows, converters, schema)


def _next_record(reader: TunnelRecordReader) -> Any:
    try:
        return reader.read()
    except (OSError, ValueError, DecodeError) as error:
        # The reader reports bad bytes as input/output errors.
        _refuse_block(error)


def _once(body: IO[bytes]) -> Callable[..., IO[bytes]]:
    """Return what opens a body for the SDK's reader, which after a failure wants to read it once more."""

    def open_body(*_args: object, **_kwargs: object) -> IO[bytes]:
        failure = sys.exception()
        if isinstance(failure, Exception):
            _refuse_block(failure)
        return body

    return open_body


def _refuse_block(error: Exception) -> NoReturn:
    if isinstance(error, UnicodeDecodeError):
        raise errors.invalid_argument(
            f"strings that are not UTF-8 are not supported by the local cloud: {error}"
        ) from error
    raise errors.invalid_argument(f"the block cannot be read: {error}") from error


def _rows_to_batch(
    rows: Sequence[Sequence[Any]], converters: Sequence[Convert | None], schema: pa.Schema
) -> pa.RecordBatch:
    arrays = []
    for i, (field, convert) in enumerate(zip(schema, converters, strict=True)):
        values = [row[i] for row in rows]
        if convert is not None:
            values = [None if value is None else convert(value) for value in values]
        arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _to_arrow(data_type: odps_types.DataType) -> Convert | None:
    """Return what turns a value of the SDK's record reader into one that Arrow takes; None if it does."""
    if isinstance(data_type, odps_types.String | odps_types.Char | odps_types.Varchar):
        return lambda value: value.decode() if isinstance(value, bytes) else value
    if isinstance(data_type, odps_types.Json):
        return lambda value: json.dumps(value, ensure_ascii=False)
    if isinstance(data_type, odps_types.Decimal):
        return _quantizer(data_type.scale if data_type.precision else 18)
    if isinstance(data_type, odps_types.Datetime):
        return _epoch_milliseconds
    if isinstance(data_type, odps_types.Timestamp):
        return _epoch_nanoseconds
    if isinstance(data_type, odps_types.TimestampNTZ):
        return lambda value: pd.Timestamp(value).value
    if isinstance(data_type, odps_types.Array):
        inner = _or_none(_to_arrow(data_type.value_type))
        return lambda value: [inner(item) for item in value]
    if isinstance(data_type, odps_types.Map):
        key, item = _or_none(_to_arrow(data_type.key_type)), _or_none(_to_arrow(data_type.value_type))
        return lambda value: [(key(k), item(v)) for k, v in value.items()]
    if isinstance(data_type, odps_types.Struct):
        fields = [(name, _or_none(_to_arrow(inner))) for name, inner in data_type.field_types.items()]
        return lambda value: {
            name: convert(value[name] if isinstance(value, dict) else value[i])
            for i, (name, convert) in enumerate(fields)
        }
    return None


def _or_none(convert: Convert | None) -> Convert:
    if convert is None:
        return lambda value: value
    return lambda value: None if value is None else convert(value)


def _quantizer(scale: int) -> Convert:
    unit = decimal.Decimal(1).scaleb(-scale)
    context = decimal.Context(prec=76)
    return lambda value: decimal.Decimal(str(value)).quantize(unit, context=context)


def _epoch_milliseconds(value: datetime) -> int:
    # The reader answers in the local zone, with or without saying so.
    return round(value.astimezone().timestamp() * 1000)


def _epoch_nanoseconds(value: Any) -> int:
    stamp = pd.Timestamp(value)
    if stamp.tzinfo is None:
        stamp = stamp.tz_localize(datetime.now().astimezone().tzinfo)
    return int(stamp.value)


def write_records(batches: Iterable[pa.RecordBatch], columns: Sequence[Column]) -> Iterator[bytes]:
    """Yield the record stream of batches that hold exactly ``columns``, in that order."""
    data_types = [odps_type(c.type) for c in columns]
    total = 0
    checksums = Checksum()
    for batch in batches:
        total += batch.num_rows
        values = [_as_integers(column).to_pylist() for column in batch.columns]
        for start in range(0, batch.num_rows, _RECORDS_PER_WRITE):
            rows = zip(*(column[start : start + _RECORDS_PER_WRITE] for column in values), strict=True)
            yield _encode(rows, data_types, checksums)
    encoder = Encoder()
    encoder.append_tag(ProtoWireConstants.TUNNEL_META_COUNT, _VARINT)
    encoder.append_sint64(total)
    encoder.append_tag(ProtoWireConstants.TUNNEL_META_CHECKSUM, _VARINT)
    encoder.append_uint64(checksums.getvalue() & 0xFFFFFFFF)
    yield encoder.tostring()


def _encode(
    rows: Iterable[Sequence[Any]], data_types: Sequence[odps_types.DataType], checksums: Any
) -> bytes:
    encoder, checksum = Encoder(), Checksum()
    writers = [(i, *_writer(t, encoder, checksum)) for i, t in enumerate(data_types, 1)]
    for row in rows:
        for (index, wire_type, write), value in zip(writers, row, strict=True):
            if value is not None:
                checksum.update_int(index)
                encoder.append_tag(index, wire_type)
                write(value)
        of_record = checksum.getvalue() & 0xFFFFFFFF
        encoder.append_tag(ProtoWireConstants.TUNNEL_END_RECORD, _VARINT)
        # Not append_uint32: the compiled encoder sign-extends values from 2**31 on to ten bytes, which the
        # pure Python reader rejects.
        encoder.append_uint64(of_record)
        checksum.reset()
        checksums.update_int(of_record - (1 << 32) if of_record >> 31 else of_record)
    encoded: bytes = encoder.tostring()
    return encoded


def _as_integers(array: pa.Array) -> pa.Array:
    """Return an array with timestamps and dates, at any depth, as integers, which is how they travel."""
    wanted = _integer_type(array.type)
    if wanted == array.type:
        return array
    if pa.types.is_timestamp(array.type) or pa.types.is_date32(array.type):
        return array.view(wanted)
    return array.cast(wanted) if not pa.types.is_map(array.type) else pa.array(_integers(array), wanted)


def _integers(array: pa.MapArray) -> list[Any]:
    keys, items = _as_integers(array.keys).to_pylist(), _as_integers(array.items).to_pylist()
    offsets = array.offsets.to_pylist()
    return [
        list(zip(keys[start:end], items[start:end], strict=True)) if valid else None
        for valid, start, end in zip(array.is_valid().to_pylist(), offsets, offsets[1:], strict=False)
    ]


def _integer_type(data_type: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(data_type):
        return pa.int64()
    if pa.types.is_date32(data_type):
        return pa.int32()
    if pa.types.is_list(data_type):
        return pa.list_(_integer_type(data_type.value_type))
    if pa.types.is_map(data_type):
        return pa.map_(_integer_type(data_type.key_type), _integer_type(data_type.item_type))
    if pa.types.is_struct(data_type):
        return pa.struct([(field.name, _integer_type(field.type)) for field in data_type])
    return data_type


def _writer(data_type: odps_types.DataType, encoder: Any, checksum: Any) -> tuple[int, Write]:
    """Return the wire type of a column and what appends one of its values."""
    if isinstance(data_type, odps_types.String | odps_types.Char | odps_types.Varchar | odps_types.Json):

        def write_text(value: str) -> None:
            encoded = value.encode()
            checksum.update(encoded)
            encoder.append_string(encoded)

        return _LENGTH, write_text
    if isinstance(data_type, odps_types.Binary):

        def write_bytes(value: bytes) -> None:
            checksum.update(value)
            encoder.append_string(value)

        return _LENGTH, write_bytes
    if isinstance(data_type, odps_types.Boolean):

        def write_bool(value: bool) -> None:
            checksum.update_bool(value)
            encoder.append_bool(value)

        return _VARINT, write_bool
    if isinstance(data_type, odps_types.Double):

        def write_double(value: float) -> None:
            checksum.update_double(value)
            encoder.append_double(value)

        return _FIXED64, write_double
    if isinstance(data_type, odps_types.Float):

        def write_float(value: float) -> None:
            checksum.update_float(value)
            encoder.append_float(value)

        return _FIXED32, write_float
    if isinstance(data_type, odps_types.Decimal):

        def write_decimal(value: decimal.Decimal) -> None:
            encoded = format(value, "f").encode()
            checksum.update(encoded)
            encoder.append_string(encoded)

        return _LENGTH, write_decimal
    if isinstance(data_type, odps_types.Timestamp | odps_types.TimestampNTZ):

        def write_timestamp(value: int) -> None:
            seconds, nanos = divmod(value, _NANOS)
            checksum.update_long(seconds)
            encoder.append_sint64(seconds)
            checksum.update_int(nanos)
            encoder.append_sint32(nanos)

        return _LENGTH, write_timestamp
    if isinstance(data_type, odps_types.Array):
        return _LENGTH, _array_writer(data_type.value_type, encoder, checksum)
    if isinstance(data_type, odps_types.Map):
        write_keys = _array_writer(data_type.key_type, encoder, checksum)
        write_items = _array_writer(data_type.value_type, encoder, checksum)

        def write_map(value: Sequence[tuple[Any, Any]]) -> None:
            write_keys([key for key, _ in value])
            write_items([item for _, item in value])

        return _LENGTH, write_map
    if isinstance(data_type, odps_types.Struct):
        fields = [(n, _writer(t, encoder, checksum)[1]) for n, t in data_type.field_types.items()]

        def write_struct(value: dict[str, Any]) -> None:
            for name, write in fields:
                encoder.append_bool(value[name] is None)
                if value[name] is not None:
                    write(value[name])

        return _LENGTH, write_struct

    def write_integer(value: int) -> None:
        checksum.update_long(value)
        encoder.append_sint64(value)

    return _VARINT, write_integer


def _array_writer(item_type: odps_types.DataType, encoder: Any, checksum: Any) -> Write:
    _, write = _writer(item_type, encoder, checksum)

    def write_array(value: Sequence[Any]) -> None:
        encoder.append_uint32(len(value))
        for item in value:
            encoder.append_bool(item is None)
            if item is not None:
                write(item)

    return write_array


# Arrow


def read_arrow(body: IO[bytes], columns: Sequence[Column]) -> Iterator[pa.RecordBatch]:
    """Yield the batches of an uploaded Arrow block."""
    wire = odps_schema_to_arrow_schema(wire_schema(columns))
    head = body.read(4)
    if not head:
        return
    yield from pa.ipc.open_stream(ArrowStreamReader(_Prepended(head, body), wire))


class _Prepended:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, body: IO[bytes]) -> None:
        self._head = head
        self._body = body

    def read(self, size: int) -> bytes:
        parts = [self._head[:size]]
        self._head = self._head[size:]
        missing = size - len(parts[0])
        while missing:
            part = self._body.read(missing)
            if not part:
                break
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)


def wire_batch(batch: pa.RecordBatch, columns: Sequence[Column], timestamp_structs: bool) -> pa.RecordBatch:
    """Return a batch in the types that travel; previews and query results send timestamps as structs."""
    schema = odps_schema_to_arrow_schema(wire_schema(columns))
    arrays = []
    fields = []
    for array, field, column in zip(batch.columns, schema, columns, strict=True):
        is_timestamp = isinstance(odps_type(column.type), odps_types.Timestamp | odps_types.TimestampNTZ)
        if timestamp_structs and is_timestamp:
            arrays.append(_timestamp_struct(array))
            fields.append(pa.field(field.name, TIMESTAMP_STRUCT_TYPE))
        else:
            arrays.append(cast_array(array, field.type))
            fields.append(field)
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def _timestamp_struct(array: pa.Array) -> pa.StructArray:
    nanoseconds = cast_array(array, pa.timestamp("ns", array.type.tz)).view(pa.int64()).to_pylist()
    parts = [
        None if n is None else dict(zip(("sec", "nano"), divmod(n, _NANOS), strict=True)) for n in nanoseconds
    ]
    return pa.array(parts, TIMESTAMP_STRUCT_TYPE)


def write_arrow(
    batches: Iterable[pa.RecordBatch], columns: Sequence[Column], timestamp_structs: bool = False
) -> Iterator[bytes]:
    """Yield the Arrow stream of batches that hold exactly ``columns``.

    Format: the chunk size, chunks each followed by its CRC-32C, and a last, shorter chunk followed by the
    CRC-32C of everything.
    """
    of_chunk, of_all = Checksum(), Checksum()
    yield struct.pack("!I", _CHUNK_BYTES)
    buffer = bytearray()
    for batch in batches:
        buffer += wire_batch(batch, columns, timestamp_structs).serialize()
        while len(buffer) >= _CHUNK_BYTES:
            chunk = bytes(buffer[:_CHUNK_BYTES])
            del buffer[:_CHUNK_BYTES]
            of_chunk.update(chunk)
            of_all.update(chunk)
            yield chunk + struct.pack("!I", of_chunk.getvalue() & 0xFFFFFFFF)
            of_chunk.reset()
    tail = bytes(buffer)
    of_all.update(tail)
    yield tail + struct.pack("!I", of_all.getvalue() & 0xFFFFFFFF)
