"""Listings: pages as OSS sends them, answers that are none, and folders that are listed side by side."""

import random
from bisect import bisect_right
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from airflow_provider_drivepipe.exceptions import TransientError
from airflow_provider_drivepipe.hooks import listing
from airflow_provider_drivepipe.hooks.listing import key_ranges, object_pages
from airflow_provider_drivepipe.worker import listing as worker_listing
from airflow_provider_drivepipe.worker.listing import ListedObject, range_pages

OBJECT = """
<Contents><Key>{key}</Key><LastModified>2026-11-20T08:00:00.000Z</LastModified><ETag>&quot;ABC&quot;</ETag>
<Type>Normal</Type><Size>{size}</Size><StorageClass>Standard</StorageClass><Owner><ID>0</ID></Owner></Contents>
"""
FOLDER = "<CommonPrefixes>\n<Prefix>{folder}</Prefix></CommonPrefixes>"
PAGE = (
    "<ListBucketResult{space}><Name>bucket</Name>{objects}<IsTruncated>{more}</IsTruncated>{folders}"
    "</ListBucketResult>"
)


class Bucket:
    """Stands for the SDK's client of a bucket; keeps what it was asked."""

    def __init__(self, *keys, space=""):
        self.keys, self.space, self.asked = sorted(keys), space, []

    def invoke_operation(self, asked):
        self.asked.append(dict(asked.parameters))
        prefix, delimiter = asked.parameters["prefix"], asked.parameters.get("delimiter")
        limit = int(asked.parameters["max-keys"])
        found, folders, more = [], [], False
        for key in self.keys[bisect_right(self.keys, asked.parameters.get("start-after", "")) :]:
            if not key.startswith(prefix):
                continue
            head, cut, _ = key[len(prefix) :].partition(delimiter or "\0")
            if cut and [prefix + head + cut] == folders[-1:]:
                continue
            if len(found) + len(folders) == limit:
                more = True
                break
            folders.append(prefix + head + cut) if cut else found.append(key)
        return answer(found, folders, more, self.space)


def answer(keys=(), folders=(), more=False, space=""):
    page = PAGE.format(
        space=space,
        objects="".join(OBJECT.format(key=quote(key, safe=""), size=5) for key in keys),
        more=str(more).lower(),
        folders="".join(
            f"<CommonPrefixes>\n<Prefix>{quote(f, safe='')}</Prefix></CommonPrefixes>" for f in folders
        ),
    )
    return SimpleNamespace(http_response=SimpleNamespace(content=page.encode()))


@pytest.fixture
def short_pages(monkeypatch):
    monkeypatch.setattr(worker_listing, "PAGE", 5)


@pytest.mark.parametrize("space", ["", ' xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com"'])
def test_objects_with_keys_as_they_are(space):
    client = Bucket("a b/前.mp4", "a b/x+y<&.mp4", "b.mp4", space=space)
    [page] = object_pages(client, "bucket", "a b/")
    assert [found.key for found in page] == ["a b/x+y<&.mp4", "a b/前.mp4"]
    assert page[1] == ListedObject("a b/前.mp4", 5, "2026-11-20T08:00:00.000Z", '"ABC"', "Standard")
    assert client.asked == [{"list-type": "2", "encoding-type": "url", "max-keys": "1000", "prefix": "a b/"}]


def layouts():
    some = random.Random(14)
    yield "flat", [f"v/{n:03d}.mp4" for n in range(60)]
    yield "nothing", []
    yield "one folder within the other", [f"v/a/b/c/d{n:02d}/x.mp4" for n in range(60)]
    yield "more folders than a page", [f"v/{n:02d}/{m}.mp4" for n in range(40) for m in range(4)]
    yield "two large ones", [f"v/{side}/{n:03d}.mp4" for side in ("front", "rear") for n in range(60)]
    yield "objects between folders", [f"v/{n:02d}{end}" for n in range(30) for end in ("", "/", "/x", "0")]
    names = ("a", "a0", "b", "前", "\U0001f697", "a!", "b/")
    yield "anything", {"v/" + "/".join(some.choices(names, k=some.randint(1, 6))) for _ in range(400)}


@pytest.mark.parametrize("keys", [keys for _, keys in layouts()], ids=[name for name, _ in layouts()])
def test_each_object_once_in_an_order_of_its_own_and_few_requests_more(short_pages, keys):
    client = Bucket(*keys, "u/x.mp4", "v", "w/x.mp4")
    pages = [[found.key for found in page] for page in object_pages(client, "bucket", "v/")]
    assert sorted(key for page in pages for key in page) == sorted(keys)
    assert all(page == sorted(page) for page in pages)
    again = [[found.key for found in page] for page in object_pages(client, "bucket", "v/")]
    assert again == pages
    needed = len(keys) // 5 + 1
    assert len(client.asked) // 2 <= needed * 1.5 + 12


@pytest.mark.parametrize("keys", [keys for _, keys in layouts()], ids=[name for name, _ in layouts()])
@pytest.mark.parametrize("number", [1, 3, 40])
def test_ranges_hold_each_object_once(short_pages, keys, number):
    client = Bucket(*keys, "u/x.mp4", "v", "w/x.mp4")
    ranges = key_ranges(client, "bucket", "v/", number)
    assert 1 <= len(ranges) <= number
    found = [
        [each.key for page in range_pages(client, "bucket", "v/", one.after, one.until) for each in page]
        for one in ranges
    ]
    assert [key for of_range in found for key in of_range] == sorted(keys)


def test_ranges_are_alike_where_folders_are(short_pages):
    hours = [f"v/{day:02d}/{hour:02d}" for day in range(30) for hour in range(24)]
    client = Bucket(*(f"{hour}/{n}.mp4" for hour in hours for n in (1, 2)))
    sizes = [
        sum(map(len, range_pages(client, "bucket", "v/", one.after, one.until)))
        for one in key_ranges(client, "bucket", "v/", 100)
    ]
    assert len(sizes) == 100
    assert max(sizes) <= 2 * (len(hours) / 100 + 1)


def test_looking_for_ranges_is_bounded(short_pages, monkeypatch):
    monkeypatch.setattr(listing, "_LOOKS", 9)
    client = Bucket(*(f"v/{n:04d}.mp4" for n in range(400)), "v/x/y.mp4")
    assert len(key_ranges(client, "bucket", "v/", 4)) == 1
    assert len(client.asked) == 9


def test_looking_for_folders_adds_an_eighth_to_the_requests(short_pages):
    client = Bucket(*(f"v/{n:03d}.mp4" for n in range(400)))
    list(object_pages(client, "bucket", "v/"))
    assert sum("delimiter" in asked for asked in client.asked) == 400 // 5 // 8


@pytest.mark.parametrize("below", ["v/", "v/2026/11/"])
def test_folders_are_listed_side_by_side(short_pages, below):
    keys = [f"{below}{n:02d}/{m:02d}.mp4" for n in range(8) for m in range(25)]
    pages = [page[0].key for page in object_pages(Bucket(*keys), "bucket", "v/") if page]
    assert {key.removeprefix(below)[:2] for key in pages[1:5]} == {"00", "02", "03", "04"}


def test_no_more_requests_under_way_than_listers_and_no_page_ahead_of_need(short_pages):
    client = Bucket(*(f"v/{n:02d}/{m:02d}.mp4" for n in range(40) for m in range(25)))
    pages = object_pages(client, "bucket", "v/")
    for number in range(1, 30):
        next(pages)
        assert len(client.asked) <= number + number // 8 + 2 + 2 * listing.LISTERS
    pages.close()


@pytest.mark.parametrize(
    "change",
    [
        ("<ListBucketResult>", ""),
        ("</ListBucketResult>", ""),
        ("ListBucketResult", "Error"),
        ("<Size>5</Size>", ""),
        ("<Size>5</Size>", "<Size>many</Size>"),
        ("a.mp4", ""),
        ("</Contents>", "</Contents><Contents></Contents>"),
    ],
)
def test_an_answer_that_cannot_be_read_is_worth_another_try(change):
    given = answer(["a.mp4"])
    given.http_response.content = given.http_response.content.replace(*map(str.encode, change))
    with pytest.raises(TransientError, match="OSS gave"):
        list(object_pages(SimpleNamespace(invoke_operation=lambda _: given), "bucket", ""))


def test_a_listing_that_goes_on_from_nowhere_is_worth_another_try():
    client = SimpleNamespace(invoke_operation=lambda _: answer(more=True))
    with pytest.raises(TransientError, match="OSS gave"):
        list(object_pages(client, "bucket", ""))
