"""Pages of a listing as OSS sends them, and answers that are none."""

from types import SimpleNamespace

import pytest

from airflow_provider_drivepipe.exceptions import TransientError
from airflow_provider_drivepipe.hooks.listing import object_pages
from airflow_provider_drivepipe.pipelines.driving.manifest import ListedObject

OBJECT = """
<Contents><Key>{key}</Key><LastModified>2026-11-20T08:00:00.000Z</LastModified><ETag>"ABC"</ETag>
<Type>Normal</Type><Size>{size}</Size><StorageClass>Standard</StorageClass><Owner><ID>0</ID></Owner></Contents>
"""
PAGE = (
    "<ListBucketResult{space}><Name>bucket</Name>{objects}<IsTruncated>{more}</IsTruncated>{token}"
    "</ListBucketResult>"
)


class Answers:
    """Stands for the SDK's client: gives one answer after the other, and keeps what it was asked."""

    def __init__(self, *pages):
        self.pages, self.asked = list(pages), []

    def invoke_operation(self, asked):
        self.asked.append(dict(asked.parameters))
        return SimpleNamespace(http_response=SimpleNamespace(content=self.pages.pop(0).encode()))


def page(*keys, token="", space=""):
    return PAGE.format(
        space=space,
        objects="".join(OBJECT.format(key=key, size=5) for key in keys),
        more=str(bool(token)).lower(),
        token=token and f"<NextContinuationToken>{token}</NextContinuationToken>",
    )


@pytest.mark.parametrize("space", ["", ' xmlns="http://doc.oss-cn-hangzhou.aliyuncs.com"'])
def test_all_pages_with_keys_and_tokens_as_they_are(space):
    client = Answers(page("a%20b%2F%E5%89%8D.mp4", "x+y.mp4", token="t%2F1", space=space), page(space=space))
    first, second = object_pages(client, "bucket", "a b/")
    assert [found.key for found in first] == ["a b/前.mp4", "x+y.mp4"]
    assert first[0] == ListedObject("a b/前.mp4", 5, "2026-11-20T08:00:00.000Z", '"ABC"', "Standard")
    assert second == []
    asked = {"list-type": "2", "encoding-type": "url", "max-keys": "1000", "prefix": "a b/"}
    assert client.asked == [asked, {**asked, "continuation-token": "t/1"}]


@pytest.mark.parametrize(
    "answer",
    [
        "",
        page("a.mp4")[:-20],
        "<Error><Code>x</Code></Error>",
        page("a.mp4").replace("<Size>5</Size>", ""),
        page("a.mp4").replace("<Size>5</Size>", "<Size>many</Size>"),
        page("a.mp4").replace("false", "true"),
    ],
)
def test_an_answer_that_cannot_be_read_is_worth_another_try(answer):
    with pytest.raises(TransientError, match="OSS gave"):
        list(object_pages(Answers(answer), "bucket", ""))
