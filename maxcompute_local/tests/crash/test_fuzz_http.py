"""Requests that no SDK sends: every one gets an answer that says why, and none leads out of the root folder.

FUZZ_SECONDS (default 8) says for how long, FUZZ_SEED repeats a run.
"""

# ruff: noqa: E501 - tables of odd requests read better unwrapped

from __future__ import annotations

import json
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote, unquote, urlsplit

import alibabacloud_oss_v2 as oss
import pytest
from alibabacloud_oss_v2.signer import SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext
from odps.accounts import CloudAccount
from odps.apis.storage_api import StorageApiClient, TableBatchScanRequest
from odps.tunnel import TableTunnel

from maxcompute_local import lifecycle
from maxcompute_local.control_client import LocalCloudControl
from maxcompute_local.settings import PROJECT, REGION, ServerSettings
from tests.crash.server import Clients, KilledServer

ANSWER_SECONDS = 20.0
REFUSALS = {501}
"""Statuses of the 5xx class that mean: understood, not supported."""

BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><Instance>&j;</Instance>"
)
FILE_ENTITY = (
    b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><Delete><Object><Key>&f;</Key></Object></Delete>'
)
DEEP_JSON = b'{"a":' * 100_000
DEEP_XML = b"<a>" * 50_000
JOB = (
    "<Instance><Job><Priority>9</Priority><Tasks><SQL><Name>t</Name><Config><Property><Name>settings</Name>"
    "<Value>{settings}</Value></Property></Config><Query><![CDATA[{query}]]></Query></SQL></Tasks></Job></Instance>"
)
QUERIES = (
    "SELECT 1;", "", ";", "SELECT", "SELECT '" + "x" * 100_000, "(" * 5_000 + "1", "SELECT " + "-" * 3001 + "1",
    "COPY t TO '/tmp/escaped'", "SELECT * FROM read_csv('/etc/passwd')", "SELECT * FROM '/etc/passwd'",
    "ATTACH '../outside.db'", "INSTALL httpfs", "LOAD 'x'", "CREATE TABLE `../../outside` (a BIGINT)",
    "SELECT getenv('HOME')", "PRAGMA database_list", "SELECT read_text('/etc/passwd')", "SET x=\0; SELECT 1",
    "CREATE TABLE p (a BIGINT) PARTITIONED BY (pt STRING); ALTER TABLE p ADD PARTITION (pt='../../../../outside')",
    "EXPORT DATABASE '/tmp/escaped'", "INSERT INTO t SELECT * FROM glob('/etc/*')", "\ud83d SELECT 1",
)  # fmt: skip
NAMES = (
    "t", "..", ".", "...", "%2e%2e", "%2e%2e%2f%2e%2e", "..%2f..%2f..%2foutside", "%00", "a%00b", "%", "%zz", "%ff",
    "%c0%ae%c0%ae", "a" * 300, "é", quote("é"), "%5c..%5c", ".maxcompute-local", ".maxcompute-local%2foss.sqlite", "a//b", "a/../b",
    "CON", "~", "$(id)", "`id`", "'", '"', "<x>", "a;b", "a?b", "a#b", "%0d%0aX-Injected:%201", "..;/", "fuzz-bucket",
)  # fmt: skip
ODPS_PATHS = (
    "/projects", f"/projects/{PROJECT}", f"/projects/{PROJECT}/tables", f"/projects/{PROJECT}/tables/%s",
    f"/projects/{PROJECT}/tables/t", f"/projects/{PROJECT}/instances", f"/projects/{PROJECT}/instances/%s",
    f"/projects/{PROJECT}/schemas", f"/projects/{PROJECT}/schemas/%s", "/projects/%s/tables/t", "/logview", "/tenants",
    f"/projects/{PROJECT}/authorization", f"/projects/{PROJECT}/tunnel", f"/projects/{PROJECT}/resources/%s",
    "/api/catalog/v1alpha/projects/%s/schemas/default/models", "/maxcompute-local/health", "/maxcompute-local/faults",
    "/maxcompute-local/model-rules", "/maxcompute-local/engine", "/models/v1/chat", "/models/v1/embed", "/%s", "*", "",
    f"/projects/{PROJECT}/tables/t/preview", f"/projects/{PROJECT}/schemas/%s/tables/t",
)  # fmt: skip
OSS_PATHS = (
    "/",
    "/fuzz-bucket/",
    "/fuzz-bucket/%s",
    "/%s/",
    "/%s/%s",
    "/fuzz-bucket/a/%s/b",
    "*",
    "",
    "//",
    "/%s",
)
QUERY_NAMES = (
    "uploads", "uploadid", "blockid", "downloads", "downloadid", "data", "rowrange", "arrow", "columns", "partition",
    "partitions", "extended", "instancestatus", "taskstatus", "result", "info", "taskname", "key", "source", "cached",
    "sign_bearer_token", "marker", "maxitems", "daterange", "limit", "linenum", "curr_schema", "overwrite", "p", "i",
    "token", "dagId", "list-type", "max-keys", "prefix", "delimiter", "continuation-token", "start-after", "uploadId",
    "partNumber", "append", "position", "delete", "encoding-type", "acl", "stat", "bucketInfo", "max-parts", "id",
    "response-content-type", "x-oss-process", "instance_tunnel_limit_enabled", "expires_in_hours", "name", "status",
)  # fmt: skip
VALUES = (
    "", "0", "1", "-1", "2", "99999999999999999999", "1e309", "nan", "NaN", "inf", "null", "true", "(0,10)", "(-5,3)",
    "(99999999999999999999,1)", "(0,-1)", "()", "pt=1", "pt=../../outside", "pt=%00", "a,b,c", "%ff%fe", "%00", "x" * 5000,
    "..%2f..", "url", "٣", "²", "+", "%20", "=", "&&", "%E2%80%AE", "1_000", "0x10", "\x7f",
)  # fmt: skip
HEADERS = (
    ("x-oss-copy-source", "/fuzz-bucket/../../etc/passwd"), ("x-oss-copy-source", "%ff"), ("x-oss-copy-source", "/"),
    ("Range", "bytes=0-"), ("Range", "bytes=99999999999999999999999-"), ("Range", "bytes=-0"), ("Range", "lines=1-2"),
    ("If-Modified-Since", "yesterday"), ("If-Match", '"' * 1000), ("Content-Encoding", "deflate"),
    ("Content-Encoding", "zstd"), ("Content-Encoding", "x-lz4-frame"), ("Content-Encoding", "br"),
    ("Content-MD5", "nonsense"), ("x-oss-meta-a", "\xff\xfe"), ("x-oss-meta-" + "k" * 200, "v" * 8000),
    ("If-Modified-Since", "Mon, 99 Foo 0000 99:99:99 GMT"), ("If-Unmodified-Since", "Thu, 01 Jan 10000 00:00:00 GMT"),
    ("x-oss-forbid-overwrite", "true"), ("x-oss-complete-all", "yes"), ("Expect", "100-continue"),
    ("x-oss-copy-source-range", "bytes=5-1"), ("Host", "evil.example"), ("x-odps-bearer-token", "\xff"),
    ("x-http-method-override", "DELETE"), ("Transfer-Encoding", "gzip"), ("X-Forwarded-Host", "evil.example"),
    ("Upgrade", "websocket"), ("x-oss-storage-class", "Archive"), ("Cookie", "a" * 30_000),
)  # fmt: skip


NEARLY_RIGHT = (
    "oss GET /fuzz-bucket/?list-type=2&max-keys={}&prefix={}&delimiter={}", "oss GET /fuzz-bucket/?max-keys={}&marker={}",
    "oss GET /fuzz-bucket/?list-type=2&continuation-token={}&start-after={}", "oss PUT /fuzz-bucket/{}", "oss GET /?marker={}",
    "oss GET /fuzz-bucket/k?response-content-type={}", "oss GET /fuzz-bucket/k", "oss HEAD /fuzz-bucket/k?objectMeta",
    "oss POST /fuzz-bucket/?delete", "oss POST /fuzz-bucket/{}?uploads", "oss GET /fuzz-bucket/?uploads&key-marker={}&max-uploads={}",
    "oss PUT /fuzz-bucket/k?uploadId={upload}&partNumber={}", "oss POST /fuzz-bucket/k?uploadId={upload}",
    "oss GET /fuzz-bucket/k?uploadId={upload}&max-parts={}&part-number-marker={}", "oss POST /fuzz-bucket/a?append&position={}",
    "odps POST /projects/local/instances", "odps GET /projects/local/instances?daterange={}&maxitems={}&marker={}",
    "odps GET /projects/local/instances/{instance}?{word}", "odps PUT /projects/local/instances/{instance}",
    "odps GET /projects/local/instances/{session}?info&taskname=t&key={}", "odps PUT /projects/local/instances/{session}?info&taskname=t",
    "odps POST /projects/local/instances/{instance}?downloads", "odps POST /projects/local/tables/t?uploads&partition={}",
    "odps PUT /projects/local/tables/t?uploadid={block}&blockid={}", "odps PUT /projects/local/tables/t?uploadid={block}&blockid=1&arrow",
    "odps POST /projects/local/tables/t?uploadid={block}", "odps POST /projects/local/tables/t?downloads&partition={}",
    "odps GET /projects/local/tables/t?downloadid={download}&data&rowrange={}&columns={}", "odps GET /projects/local/tables/t?data&linenum={}",
    "odps GET /projects/local/tables/t/preview?limit={}&columns={}", "odps GET /projects/local/tables/t?partitions&partition={}",
    "odps GET /projects/local/tables?name={}&marker={}", "odps POST /projects/local/authorization?sign_bearer_token",
    "odps POST /projects/local/authorization", "odps POST /maxcompute-local/faults", "odps POST /maxcompute-local/model-rules",
    "odps DELETE /maxcompute-local/faults?id={}", "odps POST /models/v1/chat", "odps POST /models/v1/embed", "odps POST /projects/local/schemas",
    "odps GET /logview?p=local&i={instance}&token={}",
    "odps POST /api/storage/v1/projects/local/schemas/default/tables/t/sessions?session_type=batch_read",
    "odps POST /api/storage/v1/projects/local/schemas/default/tables/t/sessions?session_type=batch_write",
    "odps GET /api/storage/v1/projects/local/schemas/default/tables/t/data?session_id={scan}&split_index={}&max_batch_rows={}",
    "odps POST /api/storage/v1/projects/local/schemas/default/tables/t/sessions/{block}/data?block_number={}&attempt_number={}",
    "odps POST /api/storage/v1/projects/local/schemas/default/tables/t/commit?session_id={block}",
)  # fmt: skip
WORDS = (
    "instancestatus",
    "taskstatus",
    "source",
    "result",
    "instanceprogress",
    "cached",
    "detail",
    "instancesummary",
)
STORAGE_NAMES = (
    "SplitOptions", "RequiredDataColumns", "RequiredPartitionColumns", "RequiredPartitions", "ArrowOptions", "PartitionSpec",
    "Overwrite", "CommitMessages", "FilterPredicate",
)  # fmt: skip
STORAGE_VALUES = (
    None, [], {}, "x", 1, ["a"], ["b", 1], ["1:0"], ["x"], ["1:0", "1:1"], {"SplitMode": "Parallelism", "SplitNumber": 10**30},
    {"SplitMode": "RowOffset"}, {"SplitNumber": -1}, {"SplitNumber": float("nan")}, {"TimestampUnit": "x"}, [f"{10**20}:0"],
)  # fmt: skip
SESSION = "<Instance><Job><Tasks><MaxFrame><Name>t</Name><Command>CREATE_SESSION</Command></MaxFrame></Tasks></Job></Instance>"


class Fuzzer:
    """Makes requests from a seed, in bytes."""

    def __init__(self, chooser: random.Random, settings: ServerSettings) -> None:
        self._chooser = chooser
        self._settings = settings
        self._clients = Clients(settings)
        self._known: dict[str, str] = {}

    def refresh(self) -> None:
        """Make anew what the requests may have destroyed."""
        client, odps = self._clients.oss, self._clients.odps
        client.put_bucket(oss.PutBucketRequest(bucket="fuzz-bucket"))
        client.put_object(oss.PutObjectRequest(bucket="fuzz-bucket", key="k", body=b"0123456789"))
        start = oss.InitiateMultipartUploadRequest(bucket="fuzz-bucket", key="k")
        odps.execute_sql("CREATE TABLE IF NOT EXISTS t (a BIGINT, b STRING)")
        odps.execute_sql("INSERT INTO t SELECT 1, 'x'")
        if "session" not in self._known:
            session = odps.rest.post(f"{odps.endpoint}/projects/{PROJECT}/instances", data=SESSION)
            self._known["session"] = session.headers["Location"].rpartition("/")[2]
        self._known |= {
            "upload": client.initiate_multipart_upload(start).upload_id,
            "instance": odps.execute_sql("SELECT a FROM t").id,
            "block": TableTunnel(odps).create_upload_session("t").id,
            "download": TableTunnel(odps).create_download_session("t").id,
            "scan": StorageApiClient(odps, odps.get_table("t"))
            .create_read_session(TableBatchScanRequest())
            .session_id,
        }

    def request(self) -> tuple[int, bytes, bool]:
        """Return a port, what to send to it, and whether it is a whole HTTP request."""
        choose = self._chooser
        is_oss = choose.random() < 0.5
        port = self._settings.oss_port if is_oss else self._settings.odps_port
        if choose.random() < 0.05:
            return port, choose.randbytes(choose.choice((1, 100, 5000))) + b"\r\n\r\n", False
        methods = ("GET", "PUT", "POST", "DELETE", "HEAD")
        method = choose.choice(
            (*methods, *methods, *methods, "OPTIONS", "PATCH", "TRACE", "CONNECT", "get", "X" * 50)
        )
        path = choose.choice(OSS_PATHS if is_oss else ODPS_PATHS)
        while "%s" in path:
            path = path.replace("%s", choose.choice(NAMES), 1)
        if not is_oss and choose.random() < 0.2:
            path = f"/api{path}"
        if choose.random() < 0.7:
            service, method, target = choose.choice(NEARLY_RIGHT).split(" ", 2)
            is_oss, port = (
                service == "oss",
                self._settings.oss_port if service == "oss" else self._settings.odps_port,
            )
            while "{}" in target:
                value = (
                    choose.choice(VALUES) if choose.random() < 0.5 else choose.choice(("1", "a", "(0,1)", ""))
                )
                target = target.replace("{}", value, 1)
            target = target.format(word=choose.choice(WORDS), **self._known)
            return (port, *self._finished(is_oss, method, target))
        chosen = [choose.choice(QUERY_NAMES) for _ in range(choose.choice((0, 1, 1, 2, 3)))]
        query = "&".join(
            name if choose.random() < 0.3 else f"{name}={choose.choice(VALUES)}" for name in chosen
        )
        return (port, *self._finished(is_oss, method, f"{path}?{query}" if query else path))

    def _finished(self, is_oss: bool, method: str, target: str) -> tuple[bytes, bool]:
        choose = self._chooser
        body = self._body()
        headers = [choose.choice(HEADERS) for _ in range(choose.choice((0, 0, 1, 2)))]
        given = dict(headers)
        if choose.random() < 0.85:
            self._sign(is_oss, method, target, given)
            if choose.random() < 0.1 and "Authorization" in given:
                cut = choose.randrange(len(given["Authorization"]))
                given["Authorization"] = given["Authorization"][:cut] + choose.choice(("", "A", "=", "\xff"))
        return self._framed(method, target, given, body)

    def _sign(self, is_oss: bool, method: str, target: str, headers: dict[str, str]) -> None:
        settings = self._settings
        if target.startswith(("/maxcompute-local", "/models")):
            headers["Authorization"] = f"Bearer {settings.control_token}"
            return
        try:
            if is_oss:
                self._sign_oss(method, target, headers)
            else:
                headers["Date"] = formatdate(usegmt=True)
                request = SimpleNamespace(method=method, url=target.removeprefix("/api"), headers=headers)
                account = CloudAccount(settings.access_key_id, settings.access_key_secret)
                account.sign_request(request, "", self._chooser.choice((None, REGION)))
        except (ValueError, IndexError):
            pass  # the SDK's own code cannot sign such an address

    def _sign_oss(self, method: str, target: str, headers: dict[str, str]) -> None:
        bucket, _, key = urlsplit(f"http://x{target}").path.removeprefix("/").partition("/")
        request = HttpRequest(method, f"http://x{target}", headers=dict(headers))
        settings = self._settings
        credentials = oss.credentials.Credentials(settings.access_key_id, settings.access_key_secret)
        context = SigningContext(
            "oss", REGION, unquote(bucket) or None, unquote(key) or None, request, credentials
        )
        SignerV4().sign(context)
        headers.update(request.headers)

    def _body(self) -> bytes:
        choose = self._chooser
        kind = choose.randrange(12)
        if kind == 0:
            return b""
        if kind == 1:
            return choose.choice((BOMB, FILE_ENTITY, BOMB.decode().encode("utf-16")))
        if kind == 2:
            return choose.choice((DEEP_JSON, DEEP_XML, b"[" * 100_000))
        if kind == 3:
            return choose.randbytes(choose.choice((1, 1000, 300_000)))
        if kind in (4, 5, 6):
            settings = choose.choice(
                ("{}", "[]", "null", "{", '{"odps.sql.timezone": "Mars/X"}', '{"a": 1e999}')
            )
            text = JOB.format(settings=settings, query=choose.choice(QUERIES))
            return text.encode("utf-8", "surrogatepass")
        if kind == 7:
            return json.dumps(
                {
                    "policy": choose.choice(({}, [], "x", None)),
                    "expires_in_hours": choose.choice(
                        (1, -1, 1e308, float("nan"), float("inf"), "x", None, 10**400, [], True)
                    ),
                    choose.choice(STORAGE_NAMES): choose.choice(STORAGE_VALUES),
                }
            ).encode()
        if kind == 8:
            keys = "".join(
                f"<Object><Key>{choose.choice(NAMES)}</Key></Object>"
                for _ in range(choose.choice((0, 1, 1001)))
            )
            return f"<Delete>{keys}</Delete>".encode()
        if kind == 9:
            number = choose.choice(VALUES)
            return f"<CompleteMultipartUpload><Part><PartNumber>{number}</PartNumber><ETag>x</ETag></Part></CompleteMultipartUpload>".encode()
        if kind == 10:
            if choose.random() < 0.3:
                method = choose.choice(
                    ("SUBMIT_DAG", "GET_DAG_INFO", "CANCEL_DAG", "GET_SESSION", "DECREF", "X")
                )
                value = choose.choice(
                    (
                        "{",
                        "[]",
                        "null",
                        "3",
                        "{}",
                        '{"dag": 3}',
                        '{"dag": "!"}',
                        '{"dag_id": []}',
                        '{"tileable_keys": 3}',
                        '{"output_format": "x"}',
                        '{"dag":"", "new_settings": "3"}',
                    )
                )
                return f"<Info><Key>{method}</Key><Value><![CDATA[{value}]]></Value></Info>".encode()
            return json.dumps(
                choose.choice(
                    (
                        {"match": "*", "fault": choose.choice(("nope", "", None, 3))},
                        {"add": {"x": "y"}},
                        {"begin": []},
                        [],
                        3,
                        {
                            "model": "local-scene-tagger",
                            "messages": choose.choice(("x", [], [{}], [{"role": 1}])),
                        },
                        {"model": {"a": 1}, "input": [{"type": "image", "data": "%%%"}], "kind": []},
                        {"id": "x"},
                        {
                            "model": "local-image-descriptor",
                            "kind": "multimodal",
                            "dimension": 10**30,
                            "input": [{"type": "image", "data": "AAAA"}],
                        },
                    )
                )
            ).encode()
        return (
            b"<Instance><Status>"
            + choose.choice((b"Terminated", b"\xff\xfe", b"&#0;", b""))
            + b"</Status></Instance>"
        )

    def _framed(self, method: str, target: str, headers: dict[str, str], body: bytes) -> tuple[bytes, bool]:
        choose = self._chooser
        lines = [
            f"{method} {target.replace(' ', '%20')} HTTP/1.1",
            *(f"{k}: {v}" for k, v in headers.items()),
        ]
        lines.append("Connection: close")
        if "Host" not in headers:
            lines.append("Host: 127.0.0.1")
        kind = choose.choice(
            ("plain", "plain", "plain", "plain", "chunked", "bad chunks", "long", "short", "twice", "none")
        )
        if kind == "chunked":
            lines.append("Transfer-Encoding: chunked")
            cuts = [body[n : n + 1000] for n in range(0, min(len(body), 20_000), 1000)]
            body = (
                b"".join(b"%x;ext=1\r\n%s\r\n" % (len(cut), cut) for cut in cuts) + b"0\r\nTrailer: x\r\n\r\n"
            )
        elif kind == "bad chunks":
            lines.append("Transfer-Encoding: chunked")
            body = choose.choice(
                (b"zz\r\nabc\r\n", b"-1\r\n", b"ffffffffffffffffff\r\nabc", b"3\r\nabcdef\r\n0\r\n\r\n", b"5")
            )
        elif kind == "long":
            lines.append(f"Content-Length: {len(body) + choose.choice((1, 1000, 10**6))}")
        elif kind == "short":
            lines.append(f"Content-Length: {max(0, len(body) - 3)}")
        elif kind == "twice":
            lines += [
                f"Content-Length: {len(body)}",
                choose.choice(("Content-Length: 0", "Transfer-Encoding: chunked")),
            ]
        elif kind == "plain":
            lines.append(f"Content-Length: {len(body)}")
        if choose.random() < 0.02:
            lines.append(f"X-Huge: {'h' * 2_000_000}")
        head = "\r\n".join(lines).encode("utf-8" if choose.random() < 0.5 else "latin-1", "replace")
        # A body of a request that says nothing of its length, or of another protocol, is none.
        whole = kind in ("plain", "chunked") and not {"Upgrade", "Transfer-Encoding"} & headers.keys()
        return head + b"\r\n\r\n" + body, whole


def exchange(port: int, data: bytes, whole: bool) -> tuple[int | None, bytes]:
    """Send bytes, and the end of input unless they are a whole request; return status and bytes of the answer.

    None for an end of the connection without an answer.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWER_SECONDS) as connection:
        try:
            connection.sendall(data)
            if not whole:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused before all of it was sent
        answer = bytearray()
        try:
            while len(answer) < 4 << 20 and (piece := connection.recv(65536)):
                answer += piece
        except ConnectionResetError:
            pass
    first = bytes(answer[:15]).split(b" ")
    return (int(first[1]) if len(first) > 1 and first[0].startswith(b"HTTP/") else None), bytes(answer)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[KilledServer]:
    root = tmp_path / "in" / "side" / "root"
    root.mkdir(parents=True)
    running = KilledServer(root)
    yield running
    running.stop()


def test_no_request_breaks_the_server(server: KilledServer, tmp_path: Path) -> None:
    seconds = float(os.environ.get("FUZZ_SECONDS", "8"))
    seed = int(os.environ.get("FUZZ_SEED", time.time()))
    settings = server.start()
    escaped = {Path("/tmp/escaped"), tmp_path / "outside"}
    assert not any(path.exists() for path in escaped)
    fuzzer = Fuzzer(random.Random(seed), settings)
    statuses: Counter[int | None] = Counter()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if sum(statuses.values()) % 300 == 0:
            LocalCloudControl(server.root).faults.clear()
            fuzzer.refresh()
        port, data, whole = fuzzer.request()
        shown = f"FUZZ_SEED={seed}, request {sum(statuses.values())}: {data[:600]!r}"
        try:
            status, answer = exchange(port, data, whole)
        except TimeoutError:
            raise AssertionError(f"no answer: {shown}") from None
        statuses[status] += 1
        assert status is None or status < 500 or status in REFUSALS, f"{status}: {answer[-600:]!r}\n{shown}"
        assert b"Traceback" not in answer, shown
        assert settings.access_key_secret.encode() not in answer, shown
    fuzzer.refresh()
    log = lifecycle.log_file(server.root).read_text()
    assert "Traceback" not in log, f"FUZZ_SEED={seed}\n{log[-3000:]}"
    for secret in (settings.access_key_secret, settings.control_token):
        assert secret not in log
    assert statuses[200] > 20, f"hardly anything was understood: {statuses}"
    assert statuses[400] > 20, f"hardly anything was refused: {statuses}"
    assert {path.name for path in tmp_path.rglob("*") if server.root not in (path, *path.parents)} == {
        "in",
        "side",
    }
    assert not any(path.exists() for path in escaped)
    print(f"FUZZ_SEED={seed}: {sum(statuses.values())} requests, {dict(statuses)}")  # noqa: T201 - the result
