"""Incremental manifests: what is new, changed, moved, copied, known or gone."""

import alibabacloud_oss_v2 as oss
import pytest

from airflow_provider_drivepipe.contracts import CHANGE_COLUMNS, MANIFEST_COLUMNS, STATUS_COLUMNS, video_id
from airflow_provider_drivepipe.exceptions import ConfigurationError, EmptyInputError, PartitionShrinksError
from airflow_provider_drivepipe.hooks.drivepipe import DrivepipeHook
from airflow_provider_drivepipe.operators import (
    AiFuncLabelOperator,
    MaxFrameFrameExtractOperator,
    MaxFrameSingleJobOperator,
    OssManifestOperator,
)
from airflow_provider_drivepipe.sql import create_table
from tests.integration.operator_context import Run
from tests.unit.video_samples import write_video


class Listing:
    """A bucket whose objects are set at will, and its incremental manifest."""

    def __init__(self, client, bucket, table, hook):
        self.client, self.bucket, self.table, self.hook = client, bucket, f"{table}_m", hook

    def put(self, **contents):
        for name, content in contents.items():
            request = oss.PutObjectRequest(bucket=self.bucket, key=f"v/{name}.mp4", body=content)
            self.client.put_object(request)

    def delete(self, *names):
        for name in names:
            self.client.delete_object(oss.DeleteObjectRequest(bucket=self.bucket, key=f"v/{name}.mp4"))

    def operator(self, prefix="v/", incremental=True):
        return OssManifestOperator(
            task_id="manifest",
            scenario="s",
            output_table=self.table,
            bucket=self.bucket,
            prefix=prefix,
            incremental=incremental,
        )

    def run(self, ds="20261120", **more):
        report = Run(ds=ds, params=more).execute(self.operator())
        assert report["rows_in"] == report["ok"] + report["failed"] + report["filtered"]
        return {change: n for change, n in report["changes"].items() if n}

    def rows(self, ds="20261120"):
        """Return by name: change, what it is the same as, status, reason."""

        def name(path):
            return path.rpartition("/")[2].removesuffix(".mp4")

        found = self.hook.execute_sql(
            f"SELECT video_path, `change`, same_as, status, error_type FROM {self.table} WHERE ds='{ds}'"
        )
        return {name(path): (change, name(same), *rest) for path, change, same, *rest in found}


@pytest.fixture
def listing(oss_client, bucket, table, airflow_connection):
    return Listing(oss_client, bucket, table, DrivepipeHook())


@pytest.fixture
def job(listing, local_cloud):
    """Runs frames and labels in one job; returns the report and what was paid for."""

    def run(**more):
        operator = MaxFrameSingleJobOperator(
            task_id="video_labels",
            scenario="s",
            source_table=listing.table,
            output_table=f"{listing.table}_o",
            bucket=listing.bucket,
            model="qwen3-vl-plus",
            prompt="Label it",
            deferrable=False,
            poll_interval=0.2,
            **more,
        )
        with local_cloud.control.counting() as counted:
            report = Run().execute(operator)
        names = ("model.chat", "maxframe.mounted_udf.rows_in", "odps.create_instance")
        return report, [counted.get(name, 0) for name in names]

    return run


def ok(change, same_as=""):
    return change, same_as, "ok", ""


def copy(change, same_as):
    return change, same_as, "filtered", "duplicate"


def test_a_partition_that_is_listed_again(listing):
    listing.put(a="one", b="two", c="three", d="four")
    assert listing.run() == {"new": 4}
    listing.put(b="TWO", e="five")
    listing.client.copy_object(
        oss.CopyObjectRequest(bucket=listing.bucket, key="v/z.mp4", source_key="v/c.mp4")
    )
    listing.delete("c", "d")
    assert listing.run() == {"unchanged": 1, "changed": 1, "moved": 1, "new": 1, "deleted": 1}
    after = {"a": ok("unchanged"), "b": ok("changed"), "z": ok("moved", "c"), "e": ok("new")}
    assert listing.rows() == after
    assert listing.run() == {"unchanged": 4}
    assert listing.rows()["z"] == ok("unchanged", "c")


def test_of_copies_the_first_is_worked_on_and_stays_the_one(listing):
    listing.put(b="same", c="same", d="sane")
    assert listing.run() == {"new": 2, "copied": 1}
    assert listing.rows() == {"b": ok("new"), "c": copy("copied", "b"), "d": ok("new")}
    listing.put(a="same")
    assert listing.run() == {"unchanged": 2, "copied": 2}
    assert listing.rows()["a"] == copy("copied", "b")
    listing.delete("b")
    assert listing.run() == {"unchanged": 1, "moved": 1, "copied": 1}
    assert listing.rows() == {"a": ok("moved", "b"), "c": copy("copied", "a"), "d": ok("unchanged")}


def test_a_video_is_in_one_partition(listing):
    listing.put(a="one", b="two", c="three")
    listing.run("20261119")
    listing.put(b="TWO", d="four", e="one")
    listing.client.copy_object(
        oss.CopyObjectRequest(bucket=listing.bucket, key="v/f.mp4", source_key="v/c.mp4")
    )
    listing.delete("c")
    assert listing.run() == {"known": 1, "changed": 1, "new": 1, "copied": 1, "moved": 1}
    today = {"b": ok("changed"), "d": ok("new"), "e": copy("copied", "a"), "f": copy("moved", "c")}
    assert listing.rows() == today
    assert listing.run() == {"known": 1, "unchanged": 2, "copied": 1, "moved": 1}
    before = listing.rows("20261119")
    assert set(before) == {"a", "b", "c"}
    assert listing.run("20261121") == {"known": 5}
    assert listing.rows("20261121") == {}


def test_nothing_new_is_no_error_and_nothing_at_all_is_one(listing):
    listing.put(a="one")
    listing.run("20261119")
    report = Run().execute(listing.operator())
    assert (report["verdict"], report["ok"]) == ("empty_input", 0)
    assert report["filtered_reasons"] == {"known": 1}
    with pytest.raises(EmptyInputError):
        Run().execute(listing.operator("elsewhere/"))


def test_what_is_deleted_counts_as_shrinking_and_what_moved_does_not(listing):
    listing.put(a="one", b="two", c="three")
    listing.run()
    listing.put(d="one", e="two", f="three")
    listing.delete("a", "b", "c")
    assert listing.run() == {"moved": 3}
    listing.delete("d", "e")
    with pytest.raises(PartitionShrinksError, match="would hold 1"):
        listing.run()
    assert listing.run(allow_shrink=True) == {"unchanged": 1, "deleted": 2}


def test_one_query_counts_and_none_is_added(listing, local_cloud):
    listing.put(a="one")

    def statements(incremental, table):
        operator = listing.operator(incremental=incremental)
        operator.output_table = table
        with local_cloud.control.counting() as counted:
            Run().execute(operator)
        return counted["odps.create_instance"]

    assert statements(True, f"{listing.table}i") == statements(False, f"{listing.table}p")


def test_a_table_without_the_columns_gets_them_by_the_statement_that_is_said(listing):
    listing.put(a="one", b="two")
    Run().execute(listing.operator(incremental=False))
    with pytest.raises(ConfigurationError, match="lacks columns") as caught:
        listing.run()
    statement = str(caught.value).partition(": ")[2]
    assert statement.startswith("ALTER TABLE")
    listing.hook.execute_sql(statement)
    listing.put(c="one")
    assert listing.run() == {"unchanged": 2, "copied": 1}
    with pytest.raises(ConfigurationError, match="Set incremental: true"):
        Run().execute(listing.operator(incremental=False))


def test_columns_are_written_by_name(listing):
    columns = [*MANIFEST_COLUMNS, *CHANGE_COLUMNS, *STATUS_COLUMNS][::-1]
    listing.hook.execute_sql(create_table(listing.table, columns, ["ds"]))
    listing.put(a="one")
    listing.run()
    assert listing.rows() == {"a": ok("new")}


@pytest.mark.slow
def test_results_follow_a_video_that_moved_and_copies_are_not_paid(listing, job, tmp_path):
    body = write_video(tmp_path / "x.mp4", frames=50).read_bytes()
    other = write_video(tmp_path / "y.mp4", frames=25).read_bytes()
    listing.put(a=body, b=body, c=other, d=other)
    listing.run()
    report, (labels, videos, _) = job()
    assert (labels, videos) == (3, 2)
    assert (report["ok"], report["filtered"], report["filtered_reasons"]) == (3, 2, {"duplicate": 2})
    table, root = f"{listing.table}_o", f"{listing.hook.oss_root(listing.bucket)}/v"

    def rows(of):
        return listing.hook.execute_sql(
            "SELECT frame_idx, video_id, image_url, label_text, etag, same_as, attempt "
            f"FROM {table} WHERE ds='20261120' AND status = 'ok' AND video_path = '{root}/{of}.mp4' "
            "ORDER BY frame_idx"
        )

    before = {name: rows(name) for name in "ac"}
    listing.delete("a", "c", "d")
    listing.put(z=other)
    assert listing.run() == {"moved": 2}
    report, (labels, videos, _) = job()
    assert (labels, videos) == (0, 0)
    assert (report["ok"], report["carried_over"], report["filtered"], report["removed"]) == (3, 3, 0, 1)
    for now, was in (("b", "a"), ("z", "c")):
        moved = [video_id(f"v/{now}.mp4"), f"{root}/{was}.mp4"]
        assert rows(was) == []
        assert rows(now) == [[row[0], moved[0], *row[2:5], moved[1], row[6]] for row in before[was]]
    _, paid = job()
    assert paid[:2] == [0, 0]


@pytest.mark.slow
def test_results_follow_from_table_to_table_and_only_those_of_the_content_that_moved(
    listing, local_cloud, tmp_path
):
    first, second, third = (write_video(tmp_path / f"{n}.mp4", frames=n).read_bytes() for n in (25, 26, 50))
    common = {"scenario": "s", "deferrable": False, "poll_interval": 0.2}
    frames = {"source_table": listing.table, "output_table": f"{listing.table}_f", "bucket": listing.bucket}
    labels = {"source_table": f"{listing.table}_f", "output_table": f"{listing.table}_l"}
    asked = {"model": "qwen3-vl-plus", "prompt": "Label it"}

    def paid():
        with local_cloud.control.counting() as counted:
            Run().execute(MaxFrameFrameExtractOperator(task_id="frames", **frames, **common))
            Run().execute(AiFuncLabelOperator(task_id="labels", **labels, **asked, **common))
        return [counted.get(name, 0) for name in ("model.chat", "maxframe.mounted_udf.rows_in")]

    listing.put(a=first, b=second)
    listing.run()
    assert paid() == [3, 2]
    for before, now in ("az", "zy"):
        listing.delete(before)
        listing.put(**{now: first})
        assert listing.run() == {"unchanged": 1, "moved": 1}
        assert listing.rows()[now] == ok("moved", "a")
        assert paid() == [0, 0]
        assert listing.hook.execute_sql(
            f"SELECT SUBSTR(video_path, -5, 1), COUNT(label_text) FROM {listing.table}_l WHERE ds='20261120' "
            "GROUP BY SUBSTR(video_path, -5, 1) ORDER BY COUNT(label_text)"
        ) == [[now, 1], ["b", 2]]
    listing.put(y=third)
    listing.run()
    listing.delete("y")
    listing.put(c=third)
    assert listing.run() == {"unchanged": 1, "moved": 1}
    assert paid() == [2, 1]
