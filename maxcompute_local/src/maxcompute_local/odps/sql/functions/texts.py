"""Functions of strings."""

from __future__ import annotations

import re

from maxcompute_local.odps.sql import kinds
from maxcompute_local.odps.sql.convert import Typed, duck_cast, quote_text
from maxcompute_local.odps.sql.functions.registry import MANY, Call, Role, declare, define

define("LOWER TOLOWER", "string", "string", "lower({0})")
define("UPPER TOUPPER", "string", "string", "upper({0})")
define("LENGTH", "string", "bigint", "length({0})")
define("LENGTHB", "string", "bigint", "strlen({0})")
define("REVERSE", "string", "string", "reverse({0})")
define("TRIM", "string string", "string", "trim({0}, ' ') | trim({0}, {1})", optional=1)
define("LTRIM", "string string", "string", "ltrim({0}, ' ') | ltrim({0}, {1})", optional=1)
define("RTRIM", "string string", "string", "rtrim({0}, ' ') | rtrim({0}, {1})", optional=1)
define("LPAD", "string bigint string", "string", "mc_lpad({0}, {1}, {2})")
define("RPAD", "string bigint string", "string", "mc_rpad({0}, {1}, {2})")
define("REPEAT", "string bigint", "string", "repeat({0}, {1})")
define("SPACE", "bigint", "string", "repeat(' ', {0})")
define("REPLACE", "string string string", "string", "replace({0}, {1}, {2})")
define("TRANSLATE", "string string string", "string", "translate({0}, {1}, {2})")
define(
    "ASCII",
    "string",
    "bigint",
    "CASE WHEN {0} = '' THEN 0 WHEN ord({0}) > 127 THEN error('not an ASCII character') ELSE ord({0}) END",
)
define("CHR", "bigint", "string", "chr(CAST({0} AS INTEGER))")
define("MD5", "string", "string", "md5({0})")
define("SHA SHA1", "string", "string", "sha1({0})")
define(
    "SPLIT_PART",
    "string string bigint bigint",
    "string",
    "mc_part({0}, {1}, {2}) | mc_parts({0}, {1}, {2}, {3})",
    optional=1,
)
define("CRC32", "string", "bigint", "py_crc32({0})")
define("BASE64", "binary", "string", "base64({0})")
define("UNBASE64", "string", "binary", "from_base64({0})")
define("LOCATE", "string string bigint", "bigint", "strpos({1}, {0}) | mc_instr({1}, {0}, {2})", optional=1)
for _name in ("URL_ENCODE", "URL_DECODE"):
    define(
        _name,
        "string string",
        "string",
        f"py_{_name.lower()}({{0}}, 'UTF-8') | py_{_name.lower()}({{0}}, {{1}})",
        optional=1,
    )
define(
    "PARSE_URL",
    "string string string",
    "string",
    "py_parse_url({0}, {1}) | py_parse_url_key({0}, {1}, {2})",
    optional=1,
)
define("SUBSTRING_INDEX", "string string int", "string", "py_substring_index({0}, {1}, {2})")
define("INITCAP", "string", "string", "py_initcap({0})")
define(
    "CHAR_MATCHCOUNT",
    "string string",
    "bigint",
    "len(list_filter(string_split({0}, ''), lambda c: contains({1}, c)))",
)
define(
    "FIND_IN_SET",
    "string string string",
    "bigint",
    "mc_find_in_set({0}, {1}, ',') | mc_find_in_set({0}, {1}, {2})",
    optional=1,
)
define("STARTSWITH", "string string", "boolean", "starts_with({0}, {1})")
define("ENDSWITH", "string string", "boolean", "ends_with({0}, {1})")


@declare("SUBSTR SUBSTRING", 2, 3)
def _substr(call: Call) -> Typed:
    rest = f", {call.bigint(2)}" if call.has(2) else ""
    return Typed(f"mc_substr({call.text(0)}, {call.bigint(1)}{rest})", "string")


@declare("INSTR", 2, 4)
def _instr(call: Call) -> Typed:
    source, part = call.text(0), call.text(1)
    if not call.has(3):
        start = f"mc_instr({source}, {part}, {call.bigint(2)})" if call.has(2) else ""
        return Typed(f"CAST({start or f'strpos({source}, {part})'} AS BIGINT)", "bigint")
    text = call.constant(1)
    if not text or any(text[:n] == text[-n:] for n in range(1, len(text))):
        raise call.refusal("counts matches only of texts that cannot overlap themselves in the local cloud")
    sql = f"mc_instr_nth({source}, {part}, {call.bigint(2)}, {call.bigint(3)})"
    return Typed(f"CAST({sql} AS BIGINT)", "bigint")


@declare("CONCAT", 1, MANY)
def _concat(call: Call) -> Typed:
    if any(kinds.is_array(a.kind) for a in call.args):
        arrays = call.arrays()
        return Typed(f"({' || '.join(a.sql for a in arrays)})", arrays[0].kind)
    return Typed(f"({' || '.join(call.text(i) for i in range(len(call.args)))})", "string")


@declare("CONCAT_WS", 2, MANY)
def _concat_ws(call: Call) -> Typed:
    if any(kinds.is_array(a.kind) for a in call.args):
        if len(call.args) > 2 or call.args[1].kind != "array<string>":
            raise call.refusal("takes strings or one ARRAY<STRING> in the local cloud")
        return Typed(f"mc_join({call.args[1].sql}, {call.text(0)})", "string")
    separator, *parts = (call.text(i) for i in range(len(call.args)))
    return Typed(f"({f' || {separator} || '.join(parts)})", "string")


@declare("STR_TO_MAP", 1, 4)
def _str_to_map(call: Call) -> Typed:
    """Split a text at two regular expressions; the first argument may say what repeated keys do."""
    policy = call.args[0].constant if len(call.args) > 1 else None
    first = 1 if policy in ("exception", "last_win") else 0
    text, *separators = (call.text(i) for i in range(first, len(call.args)))
    if len(separators) > 2:
        raise call.refusal("the first of 4 arguments must be 'exception' or 'last_win'")
    pairs, inner = [*separators, "','", "'='"][:2] if not separators else [*separators, "'='"][:2]
    policy_sql = quote_text(policy if first and policy else "last_win")
    return Typed(f"py_str_to_map({text}, {pairs}, {inner}, {policy_sql})", "map<string,string>")


@declare("KEYVALUE", 2, 4)
def _keyvalue(call: Call) -> Typed:
    if len(call.args) == 3:
        raise call.refusal("takes 2 or 4 arguments, not 3")
    pairs, inner = (call.text(1), call.text(2)) if call.has(3) else ("';'", "':'")
    key = call.text(len(call.args) - 1)
    return Typed(f"py_key_value({call.text(0)}, {pairs}, {inner}, {key})", "string")


@declare("SHA2", 2, 2)
def _sha2(call: Call) -> Typed:
    bits = {"0": "256"}.get(call.constant(1), call.constant(1))
    if bits not in ("224", "256", "384", "512"):
        raise call.refusal("argument 2 must be 0, 224, 256, 384 or 512")
    return Typed(f"py_sha2({call.text(0)}, {bits})", "string")


# Regular expressions. DuckDB's are RE2's; what RE2 does not know is an error there.


def _pattern(call: Call, i: int) -> str:
    constant = call.args[i].constant
    if constant is None:
        return f"mc_pattern({call.text(i)})"
    if constant == "":
        raise call.refusal("the pattern must not be empty")
    return quote_text(constant)


@declare("REGEXP_EXTRACT", 2, 3)
def _regexp_extract(call: Call) -> Typed:
    return Typed(f"regexp_extract({call.text(0)}, {_pattern(call, 1)}, {_group(call)})", "string")


def _group(call: Call) -> int:
    """Return argument 2, the number of a group in the pattern."""
    pattern, group = call.constant(1), _whole(call, 2, 1, least=0)
    try:
        groups = re.compile(re.sub(r"\[\[:\w+:\]", "[x", pattern)).groups
    except re.error as error:
        raise call.refusal(f"cannot read the pattern {pattern!r}: {error}") from error
    if group > groups:
        raise call.refusal(f"the pattern {pattern!r} has no group {group}")
    return group


@declare("REGEXP_REPLACE", 3, 4)
def _regexp_replace(call: Call) -> Typed:
    occurrence = _whole(call, 3, 0, least=0)
    source, pattern, new = call.text(0), _pattern(call, 1), call.text(2)
    if occurrence > 1:
        if call.args[2].constant is None or "\\" in call.args[2].constant:
            raise call.refusal(
                "replaces a later occurrence by a constant without references only in the local cloud"
            )
        return Typed(f"mc_replace_nth({source}, {pattern}, {new}, {occurrence})", "string")
    every = ", 'g'" if occurrence == 0 else ""
    replaced = f"regexp_replace({source}, {pattern}, {new}{every})"
    if call.args[2].constant is None:
        # A replacement of NULL only matters where there is something to replace.
        untouched = f"{new} IS NULL AND NOT regexp_matches({source}, {pattern})"
        replaced = f"CASE WHEN {untouched} THEN {source} ELSE {replaced} END"
    return Typed(replaced, "string")


def _whole(call: Call, i: int, default: int, least: int = 1) -> int:
    """Return an argument that is a constant whole number."""
    if not call.has(i):
        return default
    if call.args[i].kind not in kinds.INTEGERS:
        raise call.refusal(f"argument {i + 1} must be a BIGINT, not {call.args[i].name}")
    number = int(call.constant(i))
    if number < least:
        raise call.refusal(f"argument {i + 1} must be at least {least}")
    return number


def _searched(call: Call) -> tuple[str, str, int]:
    """Return the part of argument 0 that is searched, the pattern, and the place where the part starts."""
    source, pattern, start = call.text(0), _pattern(call, 1), _whole(call, 2, 1)
    if start == 1:
        return source, pattern, start
    written = "" if call.args[1].kind == kinds.VOID else call.args[1].constant
    if written is None or re.search(r"\^|\\[AbB]", written):
        raise call.refusal(
            "with a start position takes a constant pattern without ^, \\A, \\b and \\B in the local cloud"
        )
    return f"substr({source}, {start})", pattern, start


@declare("REGEXP_COUNT", 2, 3)
def _regexp_count(call: Call) -> Typed:
    source, pattern, _ = _searched(call)
    return Typed(f"CAST(len(regexp_extract_all({source}, {pattern})) AS BIGINT)", "bigint")


@declare("REGEXP_SUBSTR", 2, 4)
def _regexp_substr(call: Call) -> Typed:
    source, pattern, _ = _searched(call)
    return Typed(f"regexp_extract_all({source}, {pattern})[{_whole(call, 3, 1)}]", "string")


@declare("REGEXP_INSTR", 2, 5)
def _regexp_instr(call: Call) -> Typed:
    source, pattern, start = _searched(call)
    occurrence, option = _whole(call, 3, 1), _whole(call, 4, 0, least=0)
    if option > 1:
        raise call.refusal("argument 5 must be 0 or 1")
    end = f" + length(regexp_extract_all({source}, {pattern})[{occurrence}])" if option else ""
    found = f"mc_nth_start({source}, {pattern}, {occurrence})"
    return Typed(
        f"CAST(CASE WHEN {found} = 0 THEN 0 ELSE {found} + {start - 1}{end} END AS BIGINT)", "bigint"
    )


@declare("REGEXP_EXTRACT_ALL", 2, 3)
def _regexp_extract_all(call: Call) -> Typed:
    group = _group(call)
    return Typed(f"regexp_extract_all({call.text(0)}, {_pattern(call, 1)}, {group})", "array<string>")


@declare("SPLIT", 2, 3)
def _split(call: Call) -> Typed:
    """Split at a regular expression. Empty strings at the end go, unless the third argument is false."""
    parts = f"string_split_regex({call.text(0)}, {_pattern(call, 1)})"
    keep = call.has(2) and call.constant(2).lower() == "false"
    return Typed(parts if keep else f"mc_trim_tail({parts})", "array<string>")


# JSON in strings.


def _json_path(call: Call, i: int) -> str:
    path = call.constant(i)
    if not re.fullmatch(r"\$(\.[^.\[\]*'\"$]+|\[\d+\])*", path):
        raise call.refusal(f"does not know the path {path!r} in the local cloud")
    return quote_text(re.sub(r"\.([^.\[\]]+)", r'."\1"', path))


@declare("GET_JSON_OBJECT", 2, 2)
def _get_json_object(call: Call) -> Typed:
    return Typed(f"mc_json({call.text(0)}, {_json_path(call, 1)})", "string")


@declare("FROM_JSON", 2, 2)
def _from_json(call: Call) -> Typed:
    """Return a JSON text as an ARRAY, MAP or STRUCT; what does not fit is left out."""
    written = call.constant(1).strip()
    if not re.match(r"(?i)(array|map|struct)\s*<", written):
        # Fields as in CREATE TABLE.
        members = [re.sub(r"^(`?)(\w+)\1\s*:?\s+", r"\2:", part.strip()) for part in kinds.split(written)]
        if not all(re.fullmatch(r"\w+:.+", member) for member in members):
            raise call.refusal(f"does not know the schema {written!r}")
        written = f"struct<{','.join(members)}>"
    kind = call.convert.visible(kinds.canonical(written))
    unknown = re.search(r"\b(var)?char\(|\b(binary|datetime|timestamp\w*|json)\b", kind)
    if unknown or re.search(r"map<(?!string,)", kind):
        raise call.refusal(f"does not know the schema {kind} in the local cloud")
    # JSON's names have capital letters, those of a STRUCT's fields lose them.
    names = iter(re.findall(r"(\w+)`?\s*:", written))
    exact = re.sub(r"\w+:", lambda _: f"{next(names)}:", kind)
    fitted = f"py_from_json({call.text(0)}, {quote_text(exact)})"
    return Typed(duck_cast(f"CAST({fitted} AS JSON)", kind), kind)


@declare("TO_JSON", 1, 1)
def _to_json(call: Call) -> Typed:
    value = call.args[0]
    if not kinds.is_nested(value.kind):
        raise call.refusal(f"takes an ARRAY, MAP or STRUCT, not {value.name}")
    if re.search(r"\b(binary|datetime|timestamp\w*|char\(\d+\))", value.kind):
        raise call.refusal(f"does not write {value.name} in the local cloud")
    return Typed(f"py_to_json(CAST(to_json({value.sql}) AS VARCHAR), {quote_text(value.kind)})", "string")


@declare("JSON_TUPLE", 2, MANY, Role.TABLE)
def _json_tuple(call: Call) -> Typed:
    # A struct with one field per column; the row source takes it apart.
    members = [f'$."{call.constant(i)}"' for i in range(1, len(call.args))]
    source = call.text(0)
    packed = ", ".join(f"c{i} := mc_json({source}, {quote_text(path)})" for i, path in enumerate(members))
    return Typed(f"struct_pack({packed})", kinds.struct_of((f"c{i}", "string") for i in range(len(members))))
