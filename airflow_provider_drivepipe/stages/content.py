"""What a model gets to see and to read of a row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Image:
    """An image that a model sees.

    :param column: holds its OSS URI, or with ``inline`` a JPEG in Base64.
    """

    column: str
    inline: bool = False


@dataclass(frozen=True)
class Images:
    """Any number of images that a model sees, each behind a text of its own.

    A message has the same parts for all rows of a call, so rows are asked in groups of equal numbers.

    :param column: holds the images, one per line: the text, a tab, the OSS URI.
    :param number: column that holds how many they are, as text; the input's, not one that the job makes.
    """

    column: str
    number: str


@dataclass(frozen=True)
class Video:
    """A video that a model sees; ``column`` holds its OSS URI."""

    column: str


@dataclass(frozen=True)
class Text:
    """A text that stands in the message as it is."""

    text: str


@dataclass(frozen=True)
class TextColumn:
    """A text of the row, whatever it holds: it is data, never part of a template."""

    column: str


@dataclass(frozen=True)
class TextBy:
    """A text that is chosen by a value of the row.

    :param column: holds the value.
    :param texts: pieces of text for each value; those of the empty value are for all others.
    """

    column: str
    texts: tuple[tuple[str, tuple[Text | TextColumn, ...]], ...]


Content = Image | Images | Video | Text | TextColumn | TextBy
