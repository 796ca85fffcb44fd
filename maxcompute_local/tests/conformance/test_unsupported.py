"""docs/UNSUPPORTED.md, row by row: every call that it lists fails as it says, and none is untried."""

from __future__ import annotations

import functools
import re
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import alibabacloud_oss_v2 as oss
import maxframe.dataframe as md
import maxframe.remote as mr
import pandas as pd
import pyarrow as pa
import pytest
from alibabacloud_oss_v2.retry import NopRetryer
from maxframe.errors import TileableNotExecutedError
from maxframe.session import new_session
from odps import ODPS, errors, options
from odps.apis.storage_api import (
    SplitOptions,
    StorageApiClient,
    TableBatchScanRequest,
    TableBatchWriteRequest,
)
from odps.tunnel import TableTunnel

from maxcompute_local.server import LocalCloud

_PAGE = Path(__file__).parents[2] / "docs" / "UNSUPPORTED.md"
_ROW = re.compile(r"^\| (.+?) \| (\S+) \| (.+?) \|$", re.MULTILINE)


def rows() -> dict[str, tuple[str, str]]:
    found = _ROW.findall(_PAGE.read_text("utf-8"))
    return {what: (error, says) for what, error, says in found if (error, says) != ("Error", "Says")}


class Unsupported:
    """The calls, by the first cell of their row."""

    def __init__(
        self, cloud: LocalCloud, odps: ODPS, client: oss.Client, bucket: str, table: str, session: Any
    ) -> None:
        self.cloud, self.odps, self.client, self.bucket = cloud, odps, client, bucket
        self.session = session
        self.table = odps.create_table(table, "a bigint, b string")

    def sql(self, statement: str) -> Callable[[], object]:
        return lambda: self.odps.execute_sql(statement)

    def put(self, key: str = "k", **more: str) -> Callable[[], object]:
        return lambda: self.client.put_object(oss.PutObjectRequest(self.bucket, key, body=b"x", **more))

    def narrow_token(self) -> object:
        statement = {"Action": ["odps:Read"], "Resource": "acs:odps:*:*", "Effect": "Allow"}
        policy = {"Version": "1", "Statement": [statement]}
        return self.odps.get_project().generate_auth_token(policy, "bearer", 1)

    def view(self) -> object:
        self.odps.execute_sql(
            f"CREATE VIEW IF NOT EXISTS {self.table.name}_v AS SELECT a FROM {self.table.name}"
        )
        return self.odps.get_table(f"{self.table.name}_v").open_reader()

    def binary_strings(self) -> None:
        options.tunnel.string_as_binary = True
        with self.table.open_writer() as writer:
            writer.write([[1, b"\xff\xfe"]])

    def scan(self, **request: object) -> Callable[[], object]:
        api = StorageApiClient(self.odps, self.table)
        return lambda: api.create_read_session(TableBatchScanRequest(**request))

    def dynamic_partitions(self) -> object:
        name = f"{self.table.name}_p"
        self.odps.execute_sql(f"CREATE TABLE IF NOT EXISTS {name} (a BIGINT) PARTITIONED BY (pt STRING)")
        api = StorageApiClient(self.odps, self.odps.get_table(name))
        return api.create_write_session(TableBatchWriteRequest())

    def storage_api_v2(self) -> object:
        rest = StorageApiClient(self.odps, self.table).tunnel_rest
        path = (
            f"/api/storage/v2/projects/{self.odps.project}/schemas/default/tables/{self.table.name}/sessions"
        )
        return rest.post(rest.endpoint + path, data="{}")

    def snappy(self) -> object:
        # The SDK itself needs python-snappy for it, which may be missing.
        session = TableTunnel(self.odps).create_upload_session(self.table.name)
        resource = session._table.table_resource(client=session._client)
        return session._client.put(
            resource,
            data=b"any",
            params={"uploadid": session.id, "blockid": 0},
            headers={"Content-Encoding": "x-snappy-framed"},
        )

    def anonymous(self) -> object:
        return urllib.request.urlopen(f"{self.cloud.settings.oss_endpoint}/{self.bucket}/k")

    def calls(self) -> dict[str, Callable[[], object]]:
        odps, table, client, bucket = self.odps, self.table, self.client, self.bucket
        tunnel = TableTunnel(odps)
        return {
            "`odps.create_resource`": lambda: odps.create_resource("r.py", "py", fileobj=b"pass"),
            "`odps.get_function`": lambda: odps.get_function("f").reload(),
            "`odps.create_parted_volume`": lambda: odps.create_parted_volume("v"),
            "`odps.list_xflows`": lambda: list(odps.list_xflows()),
            "`odps.list_offline_models`": lambda: list(odps.list_offline_models()),
            "`odps.list_instance_queueing_infos`": lambda: list(odps.list_instance_queueing_infos()),
            "`project.policy`": lambda: odps.get_project().policy,
            "`project.security_options`": lambda: odps.get_project().security_options.label_security,
            "`odps.run_security_query`": lambda: odps.run_security_query("list users"),
            "`odps.execute_sql_cost`": lambda: odps.execute_sql_cost(f"SELECT * FROM {table.name}"),
            "`odps.run_sql_interactive`": lambda: odps.run_sql_interactive("SELECT 1"),
            "`odps.run_merge_files`": lambda: odps.run_merge_files(table.name),
            "`project.generate_auth_token` for less than everything": self.narrow_token,
            "`tunnel.create_stream_upload_session`": lambda: tunnel.create_stream_upload_session(table.name),
            "`tunnel.create_upsert_session`": lambda: tunnel.create_upsert_session(table.name),
            "`table.open_writer` with strings that are not UTF-8": self.binary_strings,
            "`table.open_reader` of a view": self.view,
            "filters in the storage API": self.scan(filter_predicate="a > 1"),
            "splits by buckets in the storage API": self.scan(
                split_options=SplitOptions.get_default_options(SplitOptions.SplitMode.BUCKET)
            ),
            "dynamic partitions in the storage API": self.dynamic_partitions,
            "version 2 of the storage API": self.storage_api_v2,
            "writing through the tunnel with snappy": self.snappy,
            "columns of the type `vector`": self.sql("CREATE TABLE nope (a vector(float, 3))"),
            "columns of the type `blob`": self.sql("CREATE TABLE nope (a blob)"),
            "tables with a primary key": self.sql("CREATE TABLE nope (a bigint NOT NULL, PRIMARY KEY (a))"),
            "transactional tables": self.sql(
                "CREATE TABLE nope (a bigint) TBLPROPERTIES ('transactional'='true')"
            ),
            "`CREATE TABLE … INTO n SHARDS`": self.sql("CREATE TABLE nope (a bigint) INTO 8 SHARDS"),
            "a column with a `DEFAULT`": self.sql("CREATE TABLE nope (a bigint DEFAULT 5)"),
            "clustered tables": self.sql("CREATE TABLE nope (a bigint) CLUSTERED BY (a) INTO 8 BUCKETS"),
            "`AUTO PARTITIONED` tables": self.sql(
                "CREATE TABLE nope (a datetime) AUTO PARTITIONED BY (TRUNC_TIME(a, 'day') AS d)"
            ),
            "external tables": self.sql("CREATE EXTERNAL TABLE nope (a bigint) LOCATION 'oss://b/k/'"),
            "materialized views": self.sql("CREATE MATERIALIZED VIEW nope AS SELECT 1 AS a"),
            "`UPDATE`, `DELETE`, `MERGE`": self.sql(f"UPDATE {table.name} SET a = 1"),
            "`client.put_bucket_versioning`": lambda: client.put_bucket_versioning(
                oss.PutBucketVersioningRequest(
                    bucket, versioning_configuration=oss.VersioningConfiguration(status="Enabled")
                )
            ),
            "`client.get_object` with a `version_id`": lambda: client.get_object(
                oss.GetObjectRequest(bucket, "k", version_id="v1")
            ),
            "`client.put_bucket_acl` other than private": lambda: client.put_bucket_acl(
                oss.PutBucketAclRequest(bucket, acl="public-read")
            ),
            "`client.put_object_acl` other than private or default": lambda: client.put_object_acl(
                oss.PutObjectAclRequest(bucket, "k", acl="public-read")
            ),
            "`client.put_bucket` of the class Archive": lambda: client.put_bucket(
                oss.PutBucketRequest(
                    "nope-archive",
                    create_bucket_configuration=oss.CreateBucketConfiguration(storage_class="Archive"),
                )
            ),
            "`client.put_object` of the class Archive": self.put(storage_class="Archive"),
            "`client.put_object` with server-side encryption": self.put(server_side_encryption="AES256"),
            "`client.put_object` with a callback": self.put(callback="e30="),
            "`client.get_object` with `process`": lambda: client.get_object(
                oss.GetObjectRequest(bucket, "k", process="image/resize,w_1")
            ),
            "`client.restore_object`": lambda: client.restore_object(oss.RestoreObjectRequest(bucket, "k")),
            "`client.put_symlink`": lambda: client.put_symlink(
                oss.PutSymlinkRequest(bucket, "s", symlink_target="k")
            ),
            "`client.put_bucket_tags`": lambda: client.put_bucket_tags(
                oss.PutBucketTagsRequest(
                    bucket, tagging=oss.Tagging(tag_set=oss.TagSet(tags=[oss.Tag(key="a", value="b")]))
                )
            ),
            "`client.put_bucket_lifecycle`, and every other configuration of a bucket": lambda: (
                client.put_bucket_lifecycle(
                    oss.PutBucketLifecycleRequest(
                        bucket, lifecycle_configuration=oss.LifecycleConfiguration(rules=[])
                    )
                )
            ),
            "`client.select_object`": lambda: client.select_object(
                oss.SelectObjectRequest(
                    bucket, "k", process="csv/select", select_request=oss.models.SelectRequest()
                )
            ),
            "`client.list_multipart_uploads` with a delimiter": lambda: client.list_multipart_uploads(
                oss.ListMultipartUploadsRequest(bucket, delimiter="/")
            ),
            "`client.describe_regions`": lambda: client.describe_regions(oss.DescribeRegionsRequest()),
            "anonymous requests": self.anonymous,
            **{what: functools.partial(self.run, operation) for what, operation in LAZY.items()},
        }

    def run(self, operation: Callable[[Any], Any]) -> object:
        self.odps.to_global()
        result = operation(md.DataFrame(FRAME)).execute(session=self.session)
        return result.fetch(session=self.session)


FRAME = pd.DataFrame(
    {"k": ["a", "b", "a"], "n": [1, 1, 2], "x": [1.5, 2.5, None], "kv": ["a:1"] * 3, "js": ['{"a": 1}'] * 3}
)
_KIND = pd.Series({"a": "int64"})
_STRUCT = pd.ArrowDtype(pa.struct([("a", pa.int64())]))

LAZY: dict[str, Callable[[Any], Any]] = {
    "`md.read_parquet`": lambda _: md.read_parquet("oss://host/b/k", dtypes=_KIND),
    "`md.read_csv`": lambda _: md.read_csv("oss://host/b/k", dtypes=_KIND),
    "`md.read_json`": lambda _: md.read_json("oss://host/b/k", dtypes=_KIND),
    "`md.read_lance`": lambda _: md.read_lance("oss://host/b/k", dtypes=_KIND),
    "`frame.to_parquet`": lambda f: f.to_parquet("oss://host/b/*.parquet"),
    "`frame.to_csv`": lambda f: f.to_csv("oss://host/b/*.csv"),
    "`frame.to_json`": lambda f: f.to_json("oss://host/b/*.json"),
    "`frame.to_lance`": lambda f: f.to_lance("oss://host/b/k"),
    "`series.url`": lambda f: f["k"].url.download(),
    "`series.image`": lambda f: f["k"].image.width,
    "`series.audio`": lambda f: f["k"].audio.duration,
    "`series.struct`": lambda _: md.Series(pd.Series([{"a": 1}], dtype=_STRUCT)).struct.field("a"),
    "`frame.mf.cartesian_chunk`": lambda f: f.mf.cartesian_chunk(
        f, lambda left, _: left, dtypes=f.dtypes, output_type="dataframe", skip_infer=True
    ),
    "`frame.mf.extract_kv`": lambda f: f.mf.extract_kv(columns=["kv"], kv_delim=":", item_delim=","),
    "`frame.mf.collect_kv`": lambda f: f.mf.collect_kv(columns=["n", "x"]),
    "`series.mf.flatjson`": lambda f: f["js"].mf.flatjson(["$.a AS a"], dtypes=_KIND),
    "windows of `groupby` with `order_cols`": lambda f: (
        f.groupby("k")["n"].rolling(2, order_cols=["n"]).sum()
    ),
    "windows of `groupby` on an index with duplicates": lambda _: (
        md.DataFrame(FRAME.set_axis([0, 0, 0])).groupby("k")["n"].rolling(2).sum()
    ),
    "`series.rank` of integers with ties": lambda f: f["n"].rank(),
    "`frame.filter(items=…)`": lambda f: f.filter(items=["k", "n"]),
    "`frame.combine_first` of other columns": lambda f: f[["k", "n"]].combine_first(f[["x"]]),
    "`frame.T` after `set_index`": lambda f: f.set_index("k")[["n"]].T,
    "`frame.compare`": lambda f: f[["n", "x"]].compare(f[["n", "x"]] + 1),
    "`series.kurt(bias=True)`": lambda f: f["x"].kurt(bias=True),
    "`md.to_numeric` of text": lambda f: md.to_numeric(f["k"].str.len().astype("str")),
    "`series.unstack`": lambda f: f.set_index(["k", "n"])["x"].unstack(),
    "results of `mr.spawn`": lambda _: mr.spawn(lambda: {"a": 1}),
    "`series.str.cat` into one text": lambda f: f["k"].str.cat(sep="-"),
    "`series.reindex` of rows, and arrays that are uploaded or returned": lambda f: f["n"].reindex([0, 9]),
}
"""Calls of MaxFrame on a lazy :data:`FRAME`."""


def without_retries(client: oss.Client) -> oss.Client:
    client._client._options.retryer = NopRetryer()
    return client


@pytest.fixture(scope="module")
def maxframe_session(local_cloud: LocalCloud) -> Iterator[Any]:
    odps = ODPS(
        local_cloud.access_key_id,
        local_cloud.access_key_secret,
        project=local_cloud.project,
        endpoint=local_cloud.odps_endpoint,
        overwrite_global=False,
    )
    session = new_session(odps, default=False)
    yield session
    session.destroy()


@pytest.fixture
def unsupported(
    local_cloud: LocalCloud,
    odps_client: ODPS,
    oss_client: oss.Client,
    bucket: str,
    table: str,
    maxframe_session: Any,
) -> Iterator[Unsupported]:
    made = Unsupported(local_cloud, odps_client, without_retries(oss_client), bucket, table, maxframe_session)
    made.put()()
    yield made
    odps_client.execute_sql(f"DROP VIEW IF EXISTS {table}_v")
    made.table.drop()


def failure(call: Callable[[], object]) -> tuple[str, str]:
    """Return the code and the text of the error that a call ends in."""
    try:
        call()
    except errors.BaseODPSError as error:
        return error.code or type(error).__name__, str(error)
    except oss.exceptions.OperationError as error:
        inner = error.unwrap()
        assert isinstance(inner, oss.exceptions.ServiceError), inner
        return inner.code, inner.message
    except (NotImplementedError, TileableNotExecutedError) as error:
        return type(error).__name__, str(error)
    except HTTPError as error:
        text = error.read().decode()
        return text.partition("<Code>")[2].partition("</Code>")[0], text
    raise AssertionError("the call did not fail")


@pytest.mark.parametrize("what", rows())
def test_every_listed_call_fails_as_the_page_says(unsupported: Unsupported, what: str) -> None:
    error, says = rows()[what]
    code, text = failure(unsupported.calls()[what])
    assert (code, says in text) == (error, True), text


def test_every_call_tried_here_is_listed(unsupported: Unsupported) -> None:
    assert set(unsupported.calls()) == set(rows())


def test_refused_calls_leave_nothing_behind(unsupported: Unsupported) -> None:
    for name in ("nope",):
        assert not unsupported.odps.exist_table(name)
    names = [found.name for found in unsupported.client.list_buckets(oss.ListBucketsRequest()).buckets]
    assert "nope-archive" not in names
