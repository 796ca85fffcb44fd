"""What the translated queries call in Python: exact decimals, URLs, hashes and JSON, which DuckDB lacks."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from functools import wraps
from typing import Any
from urllib.parse import quote_plus, unquote_plus

import duckdb

from maxcompute_local.odps.sql import kinds

_EXACT = Context(prec=80, rounding=ROUND_HALF_UP)
_CHARSETS = ("UTF-8", "GBK")
_URL = re.compile(
    r"(?P<protocol>[A-Za-z][A-Za-z0-9+.-]*):(?://(?P<authority>[^/?#\s]*))?"
    r"(?P<path>[^?#\s]*)(?:\?(?P<query>[^#\s]*))?(?:#(?P<ref>\S*))?"
)
_HOST = re.compile(r"(?:(?P<userinfo>.*)@)?(?P<host>\[[^\]]*\]|[^:]*)(?::\d*)?")
_URL_PARTS = ("HOST", "PATH", "QUERY", "REF", "PROTOCOL", "AUTHORITY", "FILE", "USERINFO")
_DIGITS = "0123456789ABCDEF"
_MAX_UNSIGNED = 2**64 - 1


def _rounded(value: Decimal, scale: int) -> str:
    return str(value.quantize(Decimal(1).scaleb(-scale), context=_EXACT))


def multiply(left: str, right: str, scale: int) -> str:
    """Return the product of two decimals with a number of digits behind the point, half rounded up."""
    return _rounded(_EXACT.multiply(Decimal(left), Decimal(right)), scale)


def divide(left: str, right: str, scale: int) -> str:
    """Return the quotient of two decimals as ``multiply`` does; the divisor is not zero."""
    return _rounded(_EXACT.divide(Decimal(left), Decimal(right)), scale)


def _invalid(why: str) -> ValueError:
    return ValueError(f"ODPS-0121095:Invalid arguments - {why}")


def _charset(name: str) -> str:
    if name.upper() not in _CHARSETS:
        raise _invalid(f"unknown encoding {name}, use {' or '.join(_CHARSETS)}")
    return name


def url_encode(text: str, charset: str) -> str:
    """Return a text as a value in a URL's query."""
    return quote_plus(text, safe=".-*_", encoding=_charset(charset)).replace("~", "%7E")


def url_decode(text: str, charset: str) -> str:
    """Return the text of a value in a URL's query."""
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise _invalid(f"{text} is no encoded text")
    return unquote_plus(text, encoding=_charset(charset))


def url_part(url: str, part: str) -> str | None:
    """Return a part of a URL as it is written, None if the URL lacks it."""
    return parse_url(url, part, None)


def parse_url(url: str, part: str, key: str | None) -> str | None:
    """Return a part of a URL as ``url_part`` does; ``key`` names a value in the query."""
    wanted = part.upper()
    if wanted not in _URL_PARTS:
        raise _invalid(f"{part} is no part of a URL")
    found = _URL.fullmatch(url)
    if found is None:
        raise _invalid(f"{url} is no URL")
    query = found["query"]
    if key is not None:
        value = re.search(f"(?:^|&){re.escape(key)}=([^&]*)", query or "")
        return value[1] if value and wanted == "QUERY" else None
    if wanted == "FILE":
        return str(found["path"]) + ("" if query is None else f"?{query}")
    if wanted in ("HOST", "USERINFO"):
        host = _HOST.fullmatch(found["authority"] or "")
        return (host[wanted.lower()] or None) if host else None
    return found[wanted.lower()]


def convert_base(digits: str, source: int, target: int) -> str | None:
    """Return an unsigned number of 64 bits in another base, None for what is no such number."""
    allowed = _DIGITS[:source]
    if not digits or any(digit not in allowed for digit in digits.upper()):
        return None
    number = int(digits, source)
    if number > _MAX_UNSIGNED:
        return None
    if number == 0:
        return "0"
    found = ""
    while number:
        number, rest = divmod(number, target)
        found = _DIGITS[rest] + found
    return found


def substring_index(text: str, separator: str, count: int) -> str:
    """Return what stands before the separator with this number, or behind it, counted from the end."""
    if count == 0 or separator == "":
        return ""
    if count > 0:
        end = -len(separator)
        for _ in range(count):
            end = text.find(separator, end + len(separator))
            if end < 0:
                return text
        return text[:end]
    end = len(text)
    for _ in range(-count):
        end = text.rfind(separator, 0, end)
        if end < 0:
            return text
    return text[end + len(separator) :]


def sha2(text: str, bits: int) -> str:
    """Return the SHA-2 sum of a text in base 16."""
    return hashlib.new(f"sha{bits}", text.encode()).hexdigest()


def crc32(text: str) -> int:
    """Return the CRC-32 of a text."""
    return zlib.crc32(text.encode())


def initcap(text: str) -> str:
    """Return a text whose words begin with a capital letter and go on with small ones."""
    return re.sub(r"\S+", lambda word: word[0][0].upper() + word[0][1:].lower(), text)


def string_to_map(text: str, pairs: str, inner: str, policy: str) -> dict[str, str | None]:
    """Return the pairs of a text, which two regular expressions separate."""
    found: dict[str, str | None] = {}
    for pair in re.split(pairs, text):
        key, *value = re.split(inner, pair, maxsplit=1)
        if policy == "exception" and key in found:
            raise _invalid(f"the key {key} is there twice")
        found[key] = value[-1] if value else None
    return found


def key_value(text: str, pairs: str, inner: str, key: str) -> str | None:
    """Return the value behind a key in pairs that texts separate, None without it."""
    for pair in text.split(pairs):
        name, separator, value = pair.partition(inner)
        if separator and name == key:
            return value
    return None


def hash_text(text: str) -> int:
    """Return Java's hash of a string, of its UTF-8 bytes."""
    found = 0
    for byte in text.encode():
        found = 31 * found + (byte if byte < 128 else byte - 256)
    return _signed(found)


def hash_double(number: float) -> int:
    """Return Java's hash of a double."""
    (bits,) = struct.unpack(">q", struct.pack(">d", number + 0.0))
    return hash_whole(bits)


def hash_whole(number: int) -> int:
    """Return Java's hash of a long."""
    return _signed(number ^ (number % 2**64 >> 32))


def hash_all(hashes: list[int]) -> int:
    """Return the hash of several values from theirs."""
    found = 0
    for one in hashes:
        found = 31 * found + one
    return _signed(found)


def _signed(number: int) -> int:
    return (number + 2**31) % 2**32 - 2**31


class _Number(str):
    """A number as JSON writes it."""


def from_json(text: str, kind: str) -> str | None:
    """Return a JSON text cut to a type, with all fields of its STRUCTs; what does not fit becomes null."""
    try:
        value = json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_Number)
    except ValueError:
        return None
    fitted = _fitted(value, kind)
    return None if fitted is None else _json(fitted)


def _fitted(value: Any, kind: str) -> Any:
    """Return a JSON value as its type takes it; None if it does not."""
    if kinds.is_text(kind):
        return None if value is None else value if type(value) is str else _json(value)
    if kinds.is_array(kind):
        if not isinstance(value, list):
            return None
        items = [(item, _fitted(item, kinds.element(kind))) for item in value]
        return [fitted for item, fitted in items if item is None or fitted is not None]
    if kinds.is_map(kind):
        inner = kinds.key_and_value(kind)[1]
        return {k: _fitted(v, inner) for k, v in value.items()} if isinstance(value, dict) else None
    if kinds.is_struct(kind):
        if not isinstance(value, dict):
            return None
        return {name.lower(): _fitted(value.get(name), inner) for name, inner in kinds.fields(kind)}
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if kind == "date":
        return value if type(value) is str and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value) else None
    if not isinstance(value, _Number):
        return None
    whole = kind in kinds.INTEGERS
    return value if re.fullmatch(r"-?\d+" if whole else r"-?[\d.]+([eE][+-]?\d+)?", value) else None


def to_json(text: str, kind: str) -> str:
    """Return a JSON text without the fields of STRUCTs that are null."""
    value = json.loads(text, parse_float=_Number, parse_int=_Number, parse_constant=_Number)
    return _json(_without_nulls(value, kind))


def _without_nulls(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kinds.is_array(kind):
        return [_without_nulls(item, kinds.element(kind)) for item in value]
    if kinds.is_map(kind):
        inner = kinds.key_and_value(kind)[1]
        return {k: _without_nulls(v, inner) for k, v in value.items()}
    if kinds.is_struct(kind):
        members = ((name, value[name], inner) for name, inner in kinds.fields(kind))
        return {name: _without_nulls(v, inner) for name, v, inner in members if v is not None}
    return value


def _json(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{_json(str(k))}:{_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


_ROUTINES: tuple[tuple[str, Callable[..., Any], str, str], ...] = (
    ("py_multiply", multiply, "VARCHAR VARCHAR INTEGER", "VARCHAR"),
    ("py_divide", divide, "VARCHAR VARCHAR INTEGER", "VARCHAR"),
    ("py_url_encode", url_encode, "VARCHAR VARCHAR", "VARCHAR"),
    ("py_url_decode", url_decode, "VARCHAR VARCHAR", "VARCHAR"),
    ("py_parse_url", url_part, "VARCHAR VARCHAR", "VARCHAR"),
    ("py_parse_url_key", parse_url, "VARCHAR VARCHAR VARCHAR", "VARCHAR"),
    ("py_conv", convert_base, "VARCHAR BIGINT BIGINT", "VARCHAR"),
    ("py_substring_index", substring_index, "VARCHAR VARCHAR BIGINT", "VARCHAR"),
    ("py_sha2", sha2, "VARCHAR INTEGER", "VARCHAR"),
    ("py_crc32", crc32, "VARCHAR", "BIGINT"),
    ("py_initcap", initcap, "VARCHAR", "VARCHAR"),
    ("py_str_to_map", string_to_map, "VARCHAR VARCHAR VARCHAR VARCHAR", "MAP(VARCHAR, VARCHAR)"),
    ("py_key_value", key_value, "VARCHAR VARCHAR VARCHAR VARCHAR", "VARCHAR"),
    ("py_hash_text", hash_text, "VARCHAR", "BIGINT"),
    ("py_hash_double", hash_double, "DOUBLE", "BIGINT"),
    ("py_hash_whole", hash_whole, "BIGINT", "BIGINT"),
    ("py_hash_all", hash_all, "BIGINT[]", "BIGINT"),
    ("py_from_json", from_json, "VARCHAR VARCHAR", "VARCHAR"),
    ("py_to_json", to_json, "VARCHAR VARCHAR", "VARCHAR"),
)


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Give a database these functions; a NULL among their arguments makes their result NULL."""
    for name, function, parameters, result in _ROUTINES:
        connection.create_function(
            name, _of_values(function), parameters.split(), result, null_handling="special"
        )


def _of_values(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def called(*values: Any) -> Any:
        return None if None in values else function(*values)

    return called
