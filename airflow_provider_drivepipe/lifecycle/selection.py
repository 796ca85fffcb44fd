"""The first step of a task's life as SQL: a snapshot of the input, sorted by what has to be done with it.

Everything later (the job, the audit, the publishing) reads the snapshot, never the input again: an input that
changes while the job runs changes nothing until the next run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_provider_drivepipe.contracts import STATUS_COLUMNS, Reason, Status
from airflow_provider_drivepipe.lifecycle.budget import BUDGET_MESSAGE, Budget
from airflow_provider_drivepipe.lifecycle.fingerprint import INPUT, Fingerprint, fingerprint_sql, part_sql
from airflow_provider_drivepipe.lifecycle.tables import (
    NOT_TRIED,
    REMOVED,
    STAYS,
    WAVE_COLUMN,
    WORK_COLUMN,
    WORKING_TABLE_LIFECYCLE_DAYS,
    StageTables,
    Work,
)
from airflow_provider_drivepipe.scenario.options import Reprocess, SelectionOptions
from airflow_provider_drivepipe.sql import Figures, column_list, create_table, quote_name, quote_text
from airflow_provider_drivepipe.stages.stage import RULES, Part

_STATUS = [c.name for c in STATUS_COLUMNS]


def create_working_tables(tables: StageTables) -> list[str]:
    """Return the statements that make the empty tables of a try."""
    partitioned = [(tables.working.units, tables.unit_columns)]
    if tables.expands and tables.parts:
        partitioned.append((tables.working.rows, (*tables.output_columns, *tables.flags)))
    working = (WORK_COLUMN.name, WAVE_COLUMN.name)
    of_try = [
        *((name, columns, working) for name, columns in partitioned),
        (tables.working.staging, tables.output_columns, (WAVE_COLUMN.name,)),
    ]
    return [
        create_table(name, columns, by, WORKING_TABLE_LIFECYCLE_DAYS, if_not_exists=False)
        for name, columns, by in of_try
    ]


def fill_units(
    tables: StageTables, wanted: Fingerprint, options: SelectionOptions, budget: Budget | None = None
) -> str:
    """Return the statement that takes the snapshot."""
    query = units_sql(tables, wanted, options, budget)
    per_job = tables.units_per_job if tables.expands else tables.rows_per_job
    columns = [c.name for c in tables.unit_columns]
    return _insert(tables.working.units, columns, query, tables.unit_key, per_job)


def units_sql(
    tables: StageTables, wanted: Fingerprint, options: SelectionOptions, budget: Budget | None = None
) -> str:
    """Return the query for the input units, with what is done with each.

    ``budget`` counts where a unit is a row; how many rows come of a video is known only after the job.
    """
    if tables.expands:
        return _expanding_units(tables, wanted, options)
    return _row_units(tables, wanted, options, budget)


def count_work(table: str, sums: Sequence[str] = ()) -> Figures:
    """Return the query for what is done, how many rows of a working table it is, the last wave, and sums."""
    work = quote_name(WORK_COLUMN.name)
    last = f"MAX(CAST({quote_name(WAVE_COLUMN.name)} AS BIGINT))"
    added = (f"SUM({column})" for column in sums)
    return Figures((work, "COUNT(*)", last, *added), f"FROM {quote_name(table)} GROUP BY {work}")


def find_groups(tables: StageTables, part: Part, column: str, wave: int) -> str:
    """Return the query for the values that a column has in rows of a wave that need a part."""
    return (
        f"SELECT DISTINCT COALESCE({quote_name(column)}, '0') AS `value` "
        f"FROM {quote_name(tables.rows_to_do)} "
        f"WHERE {quote_name(WORK_COLUMN.name)} = {quote_text(Work.TODO)} "
        f"AND {quote_name(WAVE_COLUMN.name)} = {quote_text(str(wave))} AND {part.flag} = 1 ORDER BY `value`"
    )


def count_snapshot(tables: StageTables) -> dict[str, Figures]:
    """Return the queries for what :meth:`WorkCounts.read` reads."""
    flags = [part.flag for part in tables.parts]
    weight = (quote_name(tables.weight),) if tables.weight else ()
    asked = {
        "units": count_work(tables.working.units, weight if tables.expands else flags),
        "published": count_fates(tables, quote_name(tables.working.units)),
    }
    if tables.expands and tables.parts:
        asked["rows"] = count_work(tables.working.rows, flags)
    return asked


def look(
    tables: StageTables, wanted: Fingerprint, options: SelectionOptions, budget: Budget | None = None
) -> dict[str, Figures]:
    """Return the queries of :func:`count_snapshot`, to be answered from what the snapshot would hold."""
    units = f"({units_sql(tables, wanted, options, budget)}) w"
    work = quote_name(WORK_COLUMN.name)
    asked = {
        "units": Figures((work, "COUNT(*)", "0"), f"FROM {units} GROUP BY {work}"),
        "published": count_fates(tables, units),
    }
    if tables.expands and tables.parts:
        rows = rows_sql(tables, wanted, options, budget, units)
        asked["rows"] = Figures((quote_text(Work.TODO), "COUNT(*)", "0"), f"FROM ({rows}) r")
    return asked


def count_fates(tables: StageTables, units: str) -> Figures:
    """Return the query for how many rows are published, by what becomes of them.

    They count as ``stays <status>``, or ``removed <status>`` where their unit is not in the input any more.

    :param units: the input units: a table, quoted, or a query in parentheses with a name.
    """
    gone = "u.k IS NULL"
    joins = (
        f"LEFT JOIN (SELECT DISTINCT {tables.unit_key_sql()} AS k FROM {units}) u ON o.drivepipe_key = u.k"
    )
    identity = ""
    if tables.follows:
        gone += " AND v.k IS NULL"
        joins += f" LEFT JOIN ({identities(units)}) v ON o.drivepipe_input = v.k"
        identity = f", {part_sql('`fingerprint`', INPUT)} AS drivepipe_input"
    fates = (
        f"SELECT CONCAT(CASE WHEN {gone} THEN {quote_text(REMOVED)} ELSE {quote_text(STAYS)} END, "
        f"o.`status`) AS fate FROM (SELECT `status`, {tables.unit_key_sql()} AS drivepipe_key{identity} "
        f"FROM {quote_name(tables.output)} WHERE {tables.partition_filter}) o {joins}"
    )
    return Figures(("fate", "COUNT(*)"), f"FROM ({fates}) p GROUP BY fate")


def identities(units: str) -> str:
    """Return the query for the identities ``k`` of units, by which those are found that moved."""
    identity = part_sql("`fingerprint`", INPUT)
    return f"SELECT DISTINCT {identity} AS k FROM {units} WHERE {identity} <> ''"


def _insert(target: str, columns: Sequence[str], query: str, key: Sequence[str], per_job: int) -> str:
    """Return the statement that fills a working table; what is to do is numbered by wave, in key order."""
    work, wave = quote_name(WORK_COLUMN.name), quote_name(WAVE_COLUMN.name)
    done = f"{work} IN ({quote_text(Work.RUN)}, {quote_text(Work.TODO)})"
    place = f"ROW_NUMBER() OVER (PARTITION BY {work} ORDER BY {column_list(key)}) - 1"
    number = f"CAST(CAST(FLOOR(({place}) / {int(per_job)}) AS BIGINT) AS STRING)"
    return (
        f"INSERT INTO TABLE {quote_name(target)} PARTITION ({work}, {wave}) "
        f"SELECT {column_list(columns)}, {work}, CASE WHEN {done} THEN {number} ELSE '0' END AS {wave} "
        f"FROM ({query}) w"
    )


def _source(tables: StageTables, options: SelectionOptions) -> str:
    """The input rows with their unit's key and identity, their number within it and, with a limit, its place.

    Names of our own start with ``drivepipe_``, which no input column may.
    """
    columns = column_list([c.name for c in tables.source_columns])
    usable, status_columns = "1", ""
    if tables.layout.has_status:
        status_columns = "".join(
            f", {quote_name(c)} AS {quote_name(f'drivepipe_earlier_{c}')}" for c in _STATUS
        )
        usable = f"CASE WHEN `status` = {quote_text(Status.OK)} THEN 1 ELSE 0 END"
    place = ""
    if options.limit is not None:
        counted = quote_name(options.limit_by) if options.limit_by else "drivepipe_key"
        rank = f"DENSE_RANK() OVER (PARTITION BY drivepipe_usable ORDER BY {counted})"
        place = f", {rank} AS drivepipe_place"
    earlier = (
        column_list([f"drivepipe_earlier_{c}" for c in _STATUS]) + ", " if tables.layout.has_status else ""
    )
    return (
        f"SELECT {columns}, {earlier}drivepipe_key, drivepipe_identity, drivepipe_usable, "
        "ROW_NUMBER() OVER (PARTITION BY drivepipe_key ORDER BY drivepipe_identity) AS drivepipe_nth"
        f"{place} FROM (SELECT {columns}{status_columns}, {tables.unit_key_sql()} AS drivepipe_key, "
        f"{usable} AS drivepipe_usable, "
        f"SUBSTR(MD5({tables.identity_sql()}), 1, 16) AS drivepipe_identity "
        f"FROM {tables.source.sql(tables.partition_filter)}) r"
    )


def _work(
    options: SelectionOptions,
    unpublished: str,
    needed: str,
    otherwise: str,
    earlier: bool,
    name: str = WORK_COLUMN.name,
    foreign: str | None = None,
) -> str:
    """The CASE that sorts a unit; ``needed`` is a condition with what it gives, or a whole WHEN list."""
    whens = [f"WHEN s.drivepipe_nth > 1 THEN {quote_text(Work.DUPLICATE)}"]
    if earlier:
        whens.append(f"WHEN s.drivepipe_usable = 0 THEN {quote_text(Work.EARLIER)}")
    if foreign is not None:
        whens.append(f"WHEN {foreign} THEN {quote_text(Work.FOREIGN)}")
    if options.limit is not None:
        beyond = f"s.drivepipe_place > {int(options.limit)}"
        whens.append(f"WHEN {beyond} AND ({unpublished}) THEN {quote_text(Work.SKIP)}")
        whens.append(f"WHEN {beyond} THEN {quote_text(Work.OVER)}")
    return f"CASE {' '.join(whens)} {needed} ELSE {quote_text(otherwise)} END AS {quote_name(name)}"


def _status_values(tables: StageTables, attempt: str, fingerprint: str, options: SelectionOptions) -> str:
    """The status columns of the snapshot: of a unit that is tried, skipped, held back or refused."""
    work = quote_name(WORK_COLUMN.name)
    foreign = quote_text(Work.FOREIGN)
    skipped = f"{work} IN ({quote_text(Work.SKIP)}, {quote_text(Work.BUDGET)})"
    message = f"not tried: this run works on the first {options.limit} input units"

    def said(of_limit: str, of_budget: str) -> str:
        beyond = f"{work} = {quote_text(Work.BUDGET)}"
        return f"CASE WHEN {beyond} THEN {quote_text(of_budget)} ELSE {quote_text(of_limit)} END"

    values = {
        "status": (quote_text(Status.SKIPPED), quote_text(Status.OK)),
        "error_stage": (quote_text(tables.stages[0]), "''"),
        "error_type": (said(Reason.LIMIT, Reason.BUDGET), "''"),
        "error_msg": (said(message, BUDGET_MESSAGE), "''"),
        "attempt": ("CAST(0 AS BIGINT)", attempt),
        "fingerprint": (fingerprint, fingerprint),
    }
    refused = {
        "status": Status.FAILED,
        "error_stage": tables.stages[0],
        "error_type": Reason.PATH_OUTSIDE_ROOT,
        "error_msg": (f"{' or '.join(tables.image_columns)} is not below {' or '.join(tables.image_roots)}"),
    }
    whens = []
    for name, (when_skipped, otherwise) in values.items():
        earlier = ""
        if tables.layout.has_status:
            kept = quote_name(f"drivepipe_earlier_{name}")
            earlier = f"WHEN {work} = {quote_text(Work.EARLIER)} THEN {kept} "
        if tables.image_columns and name in refused:
            earlier += f"WHEN {work} = {foreign} THEN {quote_text(refused[name])} "
        whens.append(f"CASE {earlier}WHEN {skipped} THEN {when_skipped} ELSE {otherwise} END AS `{name}`")
    return ", ".join(whens)


# Units that expand: a video and its frames.


def _expanding_units(tables: StageTables, wanted: Fingerprint, options: SelectionOptions) -> str:
    published = "d.drivepipe_key IS NOT NULL AND d.skipped = 0"
    hashes = {name: quote_text(hash_) for name, hash_ in wanted.hashes.items()}
    hashes |= {part.stage: _wanted_hash(tables, wanted, part, "s.") for part in tables.parts}
    content = _content(
        {name: quote_text(wanted[name]) for name in tables.unit_hashes} | {INPUT: "s.drivepipe_identity"}
    )
    same = f"d.content_min = d.content_max AND d.content_max = {content}"
    needs = {
        Reprocess.ALL: "TRUE",
        Reprocess.FAILED: f"NOT ({published}) OR d.failed > 0",
        Reprocess.CHANGED: (
            f"NOT ({published}) OR NOT ({same}) "
            f"OR (d.failed > 0 AND d.attempt < {int(options.max_row_attempts)})"
        ),
    }[options.reprocess]
    source_columns = [c.name for c in tables.source_columns]
    run = f"WHEN {needs} THEN {quote_text(Work.RUN)}"
    work = _work(options, f"NOT ({published})", run, Work.KEEP, earlier=tables.layout.has_status)
    earlier = [f"drivepipe_earlier_{c}" for c in _STATUS] if tables.layout.has_status else []
    sorted_units = (
        f"SELECT {column_list([*source_columns, *earlier], 's.')}, "
        f"{fingerprint_sql({**hashes, INPUT: 's.drivepipe_identity'})} AS drivepipe_wanted, "
        f"CASE WHEN {same} THEN d.attempt + 1 ELSE 1 END AS drivepipe_attempt, {work} "
        f"FROM ({_source(tables, options)}) s LEFT JOIN ({_published_units(tables)}) d "
        "ON s.drivepipe_key = d.drivepipe_key"
    )
    status = _status_values(tables, "CAST(drivepipe_attempt AS BIGINT)", "drivepipe_wanted", options)
    return (
        f"SELECT {column_list(source_columns)}, {status}, {quote_name(WORK_COLUMN.name)} "
        f"FROM ({sorted_units}) u"
    )


def _content(hashes: Mapping[str, str]) -> str:
    return "CONCAT({})".format(", '.', ".join(hashes.values()))


def _published_units(tables: StageTables) -> str:
    """One row per published unit: how its first stage went, how often it was tried, from which content.

    A unit that an earlier stage held back was not tried here: it counts as skipped. A row that failed
    alone makes its unit a failed one only where no results of models would be paid again with it.
    """
    first = quote_text(tables.stages[0])
    stages = ", ".join(quote_text(stage) for stage in tables.stages)

    def is_status(status: Status) -> str:
        condition = f"`status` = {quote_text(status)} AND `error_stage` = {first}"
        if status is Status.SKIPPED and tables.layout.has_status:
            held_back = f"`status` <> {quote_text(Status.OK)} AND `error_stage` NOT IN ({stages})"
            condition = f"({condition}) OR ({held_back})"
        if status is Status.FAILED and tables.parts:
            condition = f"({condition}) AND NOT ({tables.row_failed_sql()})"
        return f"CASE WHEN {condition} THEN 1 ELSE 0 END"

    content = _content({name: part_sql("`fingerprint`", name) for name in (*tables.unit_hashes, INPUT)})
    return (
        "SELECT drivepipe_key, MAX(`attempt`) AS `attempt`, MIN(content) AS content_min, "
        "MAX(content) AS content_max, SUM(failed) AS failed, SUM(skipped) AS skipped FROM ("
        f"SELECT {tables.unit_key_sql()} AS drivepipe_key, `attempt`, {content} AS content, "
        f"{is_status(Status.FAILED)} AS failed, {is_status(Status.SKIPPED)} AS skipped "
        f"FROM {tables.earlier_sql}) p GROUP BY drivepipe_key"
    )


def fill_rows(
    tables: StageTables, wanted: Fingerprint, options: SelectionOptions, budget: Budget | None = None
) -> str:
    """Return the statement that finds published rows of kept units that lack results of models."""
    query = rows_sql(tables, wanted, options, budget, quote_name(tables.working.units))
    columns = [c.name for c in (*tables.output_columns, *tables.flags)]
    return _insert(tables.working.rows, columns, query, tables.row_key, tables.rows_per_job)


def rows_sql(
    tables: StageTables,
    wanted: Fingerprint,
    options: SelectionOptions,
    budget: Budget | None,
    units: str,
) -> str:
    """Return the query for published rows of kept units that lack results of models.

    What a row has already, and is current, stays in it: only what is missing is asked for again. Rows beyond
    the budget stay as they are.

    :param units: the input units: a table, quoted, or a query in parentheses with a name.
    """
    hashes = {part: _wanted_hash(tables, wanted, part, "") for part in tables.parts}
    of_rows = {part: _wanted_hash(tables, wanted, part, "o.") for part in tables.parts}
    needs = _with_needs({part: _needed(part, "o.", of_rows, options) for part in tables.parts})
    flagged = (
        f"SELECT {tables.output_names('o.')}, {_flags_sql(needs)} "
        f"FROM (SELECT {tables.output_names()} FROM {tables.earlier_sql}) o "
        f"LEFT SEMI JOIN (SELECT {tables.unit_key_sql()} AS drivepipe_key "
        f"FROM {units} WHERE {quote_name(WORK_COLUMN.name)} = {quote_text(Work.KEEP)}) k "
        f"ON {tables.unit_key_sql('o.')} = k.drivepipe_key "
        f"WHERE (o.`status` = {quote_text(Status.OK)} "
        f"OR (o.`status` <> {quote_text(Status.OK)} "
        f"AND o.`error_stage` <> {quote_text(tables.unit)}))"
    )
    kept = {name: part_sql("`fingerprint`", name) for name in (*tables.unit_hashes, INPUT)}
    if not wanted[RULES]:
        kept.pop(RULES, None)
    fingerprint = _next_fingerprint(kept, hashes)
    work = quote_name(WORK_COLUMN.name)
    needed = (
        f"SELECT {tables.output_names()}, {_flags(tables)}, {fingerprint} AS drivepipe_next, "
        f"{quote_text(Work.TODO)} AS {work} FROM ({flagged}) g WHERE {_any_needed(tables)} > 0"
    )
    within = ""
    if budget is not None:
        needed = _with_running_totals(tables, needed)
        within = f" WHERE NOT ({_beyond(budget)})"
    return (
        f"SELECT {_kept_columns(tables)}, {_tried('f.')}, {_flags(tables)}, {work} FROM ({needed}) f{within}"
    )


# Rows that are within the budget: the first ones, in the order of their keys.


def _with_running_totals(tables: StageTables, rows: str, asked: str = "1") -> str:
    """``rows`` with the rows and the calls that they and all before them take; ``asked`` is 0 for none."""
    calls = " + ".join(f"{part.flag} * {part.calls}" for part in tables.parts)
    running = (
        f"OVER (ORDER BY {column_list(tables.row_key)} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    return (
        f"SELECT a.*, SUM({asked}) {running} AS drivepipe_rows_so_far, "
        f"SUM(({asked}) * ({calls})) {running} AS drivepipe_calls_so_far FROM ({rows}) a"
    )


def _beyond(budget: Budget) -> str:
    caps = {"drivepipe_rows_so_far": budget.rows, "drivepipe_calls_so_far": budget.calls}
    return " OR ".join(f"{total} > {int(cap)}" for total, cap in caps.items() if cap is not None)


# Rows and the results of models that they hold.


def _flags(tables: StageTables) -> str:
    return ", ".join(part.flag for part in tables.parts)


def _flags_sql(needs: Mapping[Part, str]) -> str:
    cases = (f"CASE WHEN {need} THEN 1 ELSE 0 END AS {part.flag}" for part, need in needs.items())
    return ", ".join(cases)


def _any_needed(tables: StageTables) -> str:
    return " + ".join(part.flag for part in tables.parts)


def _held_off(row: str) -> str:
    """Whether the model had no time for a published row: that was no try of the row."""
    return f"{row}`error_type` = {quote_text(Reason.RATE_LIMITED)}"


def _next_attempt(row: str) -> str:
    """The number of the try that is to come; it counts tries under one fingerprint."""
    tried = f"{row}`attempt` + CASE WHEN {_held_off(row)} THEN 0 ELSE 1 END"
    return f"CAST(CASE WHEN {row}`fingerprint` = drivepipe_next THEN {tried} ELSE 1 END AS BIGINT)"


def _missing(part: Part, row: str) -> str:
    failed = (
        f"{row}`status` <> {quote_text(Status.FILTERED)} AND {row}`error_stage` = {quote_text(part.stage)}"
    )
    return f"(({failed}) OR {row}{quote_name(part.result)} IS NULL)"


def _needed(
    part: Part,
    row: str,
    hashes: Mapping[Part, str],
    options: SelectionOptions,
    identity_current: str | None = None,
) -> str:
    """Whether a published row needs a part again; NULL where there is no published row.

    :param hashes: expressions for the wanted hashes.
    """
    fingerprint = f"{row}`fingerprint`"
    missing = _missing(part, row)
    if options.reprocess is Reprocess.FAILED:
        return missing
    current = [f"{part_sql(fingerprint, other.stage)} = {hash_}" for other, hash_ in hashes.items()]
    if identity_current is not None:
        current.append(identity_current)
    same = " AND ".join(current)
    tries = f"{row}`attempt` < {int(options.max_row_attempts)} OR {_held_off(row)}"
    again = f"({tries} OR NOT ({same}))"
    changed = f"{part_sql(fingerprint, part.stage)} <> {hashes[part]}"
    return f"({changed} OR ({missing} AND {again}))"


def _with_needs(conditions: Mapping[Part, str]) -> dict[Part, str]:
    """The conditions of all parts, with that a part is made again when one is that it is made from."""
    complete: dict[str, str] = {}
    for part, condition in conditions.items():
        behind = [complete[name] for name in part.needs if name in complete]
        complete[part.stage] = f"({' OR '.join([*behind, condition])})" if behind else condition
    return {part: complete[part.stage] for part in conditions}


def _next_fingerprint(kept: Mapping[str, str], hashes: Mapping[Part, str]) -> str:
    """The fingerprint after the work: parts that are done again take the wanted hash, others keep theirs.

    :param kept: expressions of what is no result of a model, the input's identity among them.
    """
    made = {
        part.stage: f"CASE WHEN {part.flag} = 1 THEN {hash_} ELSE {part_sql('`fingerprint`', part.stage)} END"
        for part, hash_ in hashes.items()
    }
    first = {name: hash_ for name, hash_ in kept.items() if name != INPUT}
    return fingerprint_sql({**first, **made, INPUT: kept[INPUT]})


def _kept_columns(tables: StageTables) -> str:
    """Output columns but the status ones; what is asked for again is NULL."""
    flag_of = {column: part.flag for part in tables.parts for column in part.column_names}
    columns = [c.name for c in tables.output_columns if c.name not in _STATUS]
    return ", ".join(
        f"CASE WHEN {flag_of[c]} = 1 THEN NULL ELSE {quote_name(c)} END AS {quote_name(c)}"
        if c in flag_of
        else quote_name(c)
        for c in columns
    )


def _tried(row: str) -> str:
    """Status columns of a row that is tried again."""
    return (
        f"'ok' AS `status`, '' AS `error_stage`, '' AS `error_type`, '' AS `error_msg`, "
        f"{_next_attempt(row)} AS `attempt`, drivepipe_next AS `fingerprint`"
    )


# Units that are rows: images.


def _row_units(
    tables: StageTables, wanted: Fingerprint, options: SelectionOptions, budget: Budget | None
) -> str:
    work = quote_name(WORK_COLUMN.name)
    source_columns = [c.name for c in tables.source_columns]
    part_columns = [name for part in tables.parts for name in part.column_names]
    current = f"{part_sql('d.`fingerprint`', INPUT)} = s.drivepipe_identity"
    any_missing = " OR ".join(_missing(part, "d.") for part in tables.parts)
    hashes = {part: _wanted_hash(tables, wanted, part, "s.", reads=True) for part in tables.parts}
    needs = {}
    for part in tables.parts:
        need = _needed(part, "d.", hashes, options, current)
        same = current
        if tables.reads(part):
            same = f"{current} AND {part_sql('d.`fingerprint`', part.stage)} = {hashes[part]}"
        if options.reprocess is Reprocess.ALL:
            need = "TRUE"
        elif options.reprocess is Reprocess.FAILED:
            need = f"d.drivepipe_key IS NULL OR {need} OR (NOT ({same}) AND ({any_missing}))"
        else:
            need = f"d.drivepipe_key IS NULL OR NOT ({current}) OR {need}"
        needs[part] = f"({need})"
    needs = _with_needs(needs)
    earlier = [f"drivepipe_earlier_{c}" for c in _STATUS] if tables.layout.has_status else []
    place = ["drivepipe_place"] if options.limit is not None else []
    taken = [*source_columns, *earlier, "drivepipe_identity", "drivepipe_usable", "drivepipe_nth", *place]
    flagged = (
        f"SELECT {column_list(taken, 's.')}, {column_list(part_columns, 'd.')}, "
        f"d.`fingerprint` AS `fingerprint`, d.`attempt` AS `attempt`, d.`error_type` AS `error_type`, "
        f"d.`status` AS drivepipe_status, "
        f"{_flags_sql(needs)} FROM ({_source(tables, options)}) s LEFT JOIN ("
        f"SELECT {tables.unit_key_sql()} AS drivepipe_key, "
        f"{column_list([*part_columns, 'status', 'error_stage', 'error_type', 'attempt', 'fingerprint'])} "
        f"FROM {tables.earlier_sql}) d "
        "ON s.drivepipe_key = d.drivepipe_key"
    )
    unpublished = f"s.drivepipe_status IS NULL OR s.drivepipe_status = {quote_text(Status.SKIPPED)}"
    todo = f"WHEN {_any_needed(tables)} > 0 THEN {quote_text(Work.TODO)}"
    sorted_as = WORK_COLUMN.name if budget is None else "drivepipe_asked"
    sort = _work(
        options,
        unpublished,
        todo,
        Work.KEEP,
        earlier=tables.layout.has_status,
        name=sorted_as,
        foreign=tables.foreign_sql("s."),
    )
    fingerprint = _next_fingerprint({INPUT: "drivepipe_identity"}, hashes)
    decided = f"SELECT s.*, {fingerprint} AS drivepipe_next, {sort} FROM ({flagged}) s"
    if budget is not None:
        asked = f"drivepipe_asked = {quote_text(Work.TODO)}"
        beyond = f"{asked} AND ({_beyond(budget)})"
        totals = _with_running_totals(tables, decided, f"CASE WHEN {asked} THEN 1 ELSE 0 END")
        decided = (
            f"SELECT s.*, CASE WHEN {beyond} AND ({unpublished}) THEN {quote_text(Work.BUDGET)} "
            f"WHEN {beyond} THEN {quote_text(Work.OVER)} ELSE drivepipe_asked END AS {work} FROM ({totals}) s"
        )
    status = _status_values(tables, _next_attempt(""), "drivepipe_next", options)
    works = ", ".join(quote_text(work_) for work_ in NOT_TRIED)
    passing = f"{work} IN ({works})"
    flag_of = {column: part.flag for part in tables.parts for column in part.column_names}
    kept = ", ".join(
        f"CASE WHEN {flag_of[c]} = 1 OR {passing} THEN NULL ELSE {quote_name(c)} END AS {quote_name(c)}"
        for c in part_columns
    )
    flags = ", ".join(
        f"CASE WHEN {work} = {quote_text(Work.TODO)} THEN {part.flag} ELSE 0 END AS {part.flag}"
        for part in tables.parts
    )
    return f"SELECT {column_list(source_columns)}, {kept}, {status}, {flags}, {work} FROM ({decided}) u"


def _wanted_hash(tables: StageTables, wanted: Fingerprint, part: Part, row: str, reads: bool = False) -> str:
    """The wanted hash of a part, with what differs from row to row.

    :param row: prefix of the row's columns.
    :param reads: whether the values of the input that it reads count. They are not part of the row's identity
        then: another text leaves what other parts made of the row as it is.
    """
    hash_ = quote_text(wanted[part.stage])
    differs = []
    if part.by:
        cases = "".join(
            f" WHEN {quote_text(value)} THEN {quote_text(each)}" for value, each in part.hashes_by.items()
        )
        differs.append(f"CASE COALESCE({row}{quote_name(part.by)}, ''){cases} ELSE '' END")
    if reads:
        differs += [f"COALESCE({row}{quote_name(column)}, '')" for column in tables.reads(part)]
    return f"SUBSTR(MD5(CONCAT({', '.join([hash_, *differs])})), 1, 16)" if differs else hash_
