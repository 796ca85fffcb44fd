"""What holds when all tests of an Airflow have run: nothing is left and every partition's counts balance."""

from __future__ import annotations

from tests.system.cloud import Cloud


def assert_nothing_left(cloud: Cloud) -> None:
    """No working table, no live session; each picture of each published partition has one row."""
    assert cloud.live_sessions() == []
    assert cloud.working_tables() == []
    tables = {table.name for table in cloud.odps.list_tables()}
    labelled = sorted(name.removesuffix("_labels") for name in tables if name.endswith("_labels"))
    labelled = [name for name in labelled if f"{name}_images" in tables]
    # With one of the four statuses.
    checks = " UNION ALL ".join(
        f"SELECT '{name}' AS name, i.ds AS ds, i.image_url AS image_url, COUNT(o.image_url) AS n, "
        "SUM(CASE WHEN o.status IN ('ok', 'failed', 'filtered', 'skipped') THEN 1 ELSE 0 END) AS known, "
        "SUM(CASE WHEN (o.status = 'ok') = (o.error_stage = '') THEN 1 ELSE 0 END) AS said "
        f"FROM {name}_images i JOIN (SELECT DISTINCT ds FROM {name}_labels) p ON i.ds = p.ds "
        f"LEFT JOIN {name}_labels o ON i.ds = o.ds AND i.image_url = o.image_url "
        "GROUP BY i.ds, i.image_url"
        for name in labelled
    )
    if labelled:
        assert cloud.sql(f"SELECT * FROM ({checks}) c WHERE n <> 1 OR known <> 1 OR said <> 1") == []
