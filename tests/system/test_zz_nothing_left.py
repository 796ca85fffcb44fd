"""Runs last: whatever the other tests did, nothing is left and every partition's books balance."""

from __future__ import annotations


def test_no_working_table_no_live_session_and_balanced_books(system):
    assert system.cloud.live_sessions() == []
    assert system.cloud.working_tables() == []
    tables = {table.name for table in system.cloud.odps.list_tables()}
    labelled = sorted(name.removesuffix("_labels") for name in tables if name.endswith("_labels"))
    assert labelled
    # Each picture of each published partition has exactly one row, with one of the four statuses.
    checks = " UNION ALL ".join(
        f"SELECT '{name}' AS name, i.ds AS ds, i.image_url AS image_url, COUNT(o.image_url) AS n, "
        "SUM(CASE WHEN o.status IN ('ok', 'failed', 'filtered', 'skipped') THEN 1 ELSE 0 END) AS known, "
        "SUM(CASE WHEN (o.status = 'ok') = (o.error_stage = '') THEN 1 ELSE 0 END) AS said "
        f"FROM {name}_images i JOIN (SELECT DISTINCT ds FROM {name}_labels) p ON i.ds = p.ds "
        f"LEFT JOIN {name}_labels o ON i.ds = o.ds AND i.image_url = o.image_url "
        "GROUP BY i.ds, i.image_url"
        for name in labelled
        if f"{name}_images" in tables
    )
    assert system.cloud.sql(f"SELECT * FROM ({checks}) c WHERE n <> 1 OR known <> 1 OR said <> 1") == []
    assert int(system.cloud.sql(f"SELECT COUNT(*) FROM ({checks}) c")[0][0]) > 400
