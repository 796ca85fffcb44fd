"""Not a benchmark: lists a bucket that is not there, each page after --latency-ms, as over a network."""

from __future__ import annotations

import argparse
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PER_FOLDER = 1000
OBJECT = (
    "<Contents><Key>drive_{folder:06d}%2Fframe_{n:010d}.mp4</Key><LastModified>2026-11-20T08:00:00.000Z</LastModified>"
    '<ETag>"{n:032X}"</ETag><Type>Normal</Type><Size>1</Size><StorageClass>Standard</StorageClass></Contents>'
)
FOLDER = "<CommonPrefixes><Prefix>drive_{folder:06d}%2F</Prefix></CommonPrefixes>"
PAGE = (
    "<ListBucketResult><Name>many</Name><MaxKeys>1000</MaxKeys><EncodingType>url</EncodingType>"
    "<IsTruncated>{more}</IsTruncated>{token}{entries}</ListBucketResult>"
)


def page(query: dict[str, list[str]], objects: int) -> str:
    """Return a page of keys ``drive_<n / 1000>/frame_<n>.mp4``."""
    after = query.get("continuation-token", query.get("start-after", [""]))[0]
    folder, _, name = after.partition("/")
    if "delimiter" in query:
        # The folder of the key is shown again, as OSS does.
        first = int(folder.removeprefix("drive_") or 0)
        folders = range(first, -(-objects // PER_FOLDER)) if query.get("prefix", [""]) == [""] else range(0)
        entries = [FOLDER.format(folder=n) for n in folders[:1000]]
        return PAGE.format(more=str(len(folders) > 1000).lower(), token="", entries="".join(entries))
    if name:
        start = int(name.removeprefix("frame_").removesuffix(".mp4")) + 1
    else:
        start = int(folder.removeprefix("drive_") or 0) * PER_FOLDER
    end = min(start + 1000, objects)
    last = f"drive_{(end - 1) // PER_FOLDER:06d}/frame_{end - 1:010d}.mp4"
    return PAGE.format(
        more=str(end < objects).lower(),
        token=f"<NextContinuationToken>{last}</NextContinuationToken>" if end < objects else "",
        entries="".join(OBJECT.format(folder=n // PER_FOLDER, n=n) for n in range(start, end)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, required=True)
    parser.add_argument("--latency-ms", type=int, default=0)
    options = parser.parse_args()

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # an answer in one piece

        def do_GET(self) -> None:  # the name is the standard library's
            body = page(parse_qs(urlsplit(self.path).query), options.objects).encode()
            time.sleep(options.latency_ms / 1000)
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
