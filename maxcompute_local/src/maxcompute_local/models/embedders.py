"""The built-in embedders, without weights: one of pictures and texts, one of texts alone."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections import Counter
from collections.abc import Collection
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from maxcompute_local.models.backend import (
    INVALID_PARAMETER,
    Backend,
    EmbedAnswer,
    EmbedRequest,
    ImagePart,
    ModelError,
    Part,
    TextPart,
)
from maxcompute_local.models.images import Image, decode_image
from maxcompute_local.models.notions import Notion, block, named, seen
from maxcompute_local.models.tagger import tag_scene
from maxcompute_local.models.tokens import image_tokens, text_tokens

DEFAULT_DIMENSION = 256
MAX_DIMENSION = 2048

IMAGE_CARD = (
    "Image descriptor of the local cloud. A vector of any dimension from 1 to 2048 (256 unless told), of "
    "length 1, in two parts. Of a picture, the larger one is colour layout, gradient histograms, low "
    "frequencies and a colour histogram, projected by fixed signs; the smaller one (at most a quarter) is "
    "what the scene tagger of the local cloud sees: weather, time of day, place, traffic, a car ahead. Of a "
    "text, the smaller part is what a list of English and Chinese words finds named of these, and the "
    "larger one holds its words, hashed, with a small weight. No neural network, no weights, no network "
    "access. Pictures that look alike are near each other by cosine; a text is nearer to pictures on which "
    "the tagger sees what it names, seldom above 0.4. Weak: a text that names none of these is near to "
    "nothing; dimensions below 100 have no room for all that can be named; people, lorries and lights "
    "can be named but are not seen. Deterministic. Token counts are estimates."
)
TEXT_CARD = (
    "Text hasher of the local cloud. Words, pairs of words and character n-grams, hashed with a sign to any "
    "dimension from 1 to 2048 (256 unless told) and scaled to length 1; no neural network, no weights, no "
    "network access. Texts that share words are near each other by cosine; synonyms and translations are "
    "not. Deterministic. Token counts are estimates."
)

_Vector = NDArray[np.float64]
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")
_TAGGED_SIDE = 640
_NOTIONS_OF_PICTURE = 0.6
"""Weight of what is seen beside what a picture looks like."""
_WORDS_OF_TEXT = 0.1
"""Weight of a text's words beside the notions that it names."""
_GRID = (64, 36)
"""Columns and rows to which a picture is averaged before it is described."""


class ImageDescriptor(Backend):
    """Backend that embeds pictures and texts into one space."""

    def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """Return one unit vector per part."""
        dimension = _dimension(request.dimension)
        vectors, tokens = [], 0
        for part in request.parts:
            if isinstance(part, ImagePart):
                picture = decode_image(part.data)
                vectors.append(describe_image(picture, dimension))
                height, width = picture.shape[:2]
                tokens += image_tokens(width, height)
            else:
                text = _text(part)
                vectors.append(describe_text(text, dimension))
                tokens += text_tokens(text)
        return EmbedAnswer(tuple(vectors), tokens)


class TextHasher(Backend):
    """Backend that embeds text."""

    def embed(self, request: EmbedRequest) -> EmbedAnswer:
        """Return one unit vector per text; raise ModelError on pictures and empty texts."""
        dimension = _dimension(request.dimension)
        texts = [_text(part) for part in request.parts]
        return EmbedAnswer(tuple(hash_text(text, dimension) for text in texts), sum(map(text_tokens, texts)))


def describe_image(picture: Image, dimension: int = DEFAULT_DIMENSION) -> tuple[float, ...]:
    """Return the unit vector of a BGR picture."""
    small = cv2.resize(picture, _GRID, interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.float64) - 128
    features = np.concatenate(
        [
            1.0 * _unit(_colour_layout(lab)),
            0.9 * _unit(_gradients(lab[..., 0])),
            0.6 * _unit(_low_frequencies(lab[..., 0])),
            0.7 * _unit(_colour_histogram(small)),
        ]
    )
    own = _dimension_of_notions(dimension)
    looks = _unit(_signs(dimension - own, len(features)) @ features)
    return _joined(looks, _NOTIONS_OF_PICTURE * _unit(_notions(seen(tag_scene(_enlarged(picture))), own)))


def describe_text(text: str, dimension: int = DEFAULT_DIMENSION) -> tuple[float, ...]:
    """Return the unit vector of a text, in the space of ``describe_image``."""
    own = _dimension_of_notions(dimension)
    words = np.array(hash_text(text, dimension - own))
    return _joined(_WORDS_OF_TEXT * words, _unit(_notions(named(text), own)))


def hash_text(text: str, dimension: int = DEFAULT_DIMENSION) -> tuple[float, ...]:
    """Return the unit vector of a text."""
    words = _WORD.findall(text.lower())
    grams = Counter(words)
    grams.update(" ".join(pair) for pair in itertools.pairwise(words))
    for word in words:
        padded = f"<{word}>"
        grams.update(padded[start : start + 3] for start in range(len(padded) - 2))
    if not grams:
        # Punctuation only: the text itself is all there is.
        grams[text] = 1
    vector = np.zeros(dimension)
    for gram, count in grams.items():
        number = int.from_bytes(hashlib.blake2b(gram.encode(), digest_size=8).digest(), "big")
        vector[(number >> 1) % dimension] += (1 if number & 1 else -1) * (1 + math.log(count))
    if not vector.any():
        # Signs can cancel out when there are few dimensions; a unit vector is promised.
        vector[0] = 1
    return _rounded(_unit(vector))


def _dimension_of_notions(dimension: int) -> int:
    return min(len(Notion), dimension // 4)


def _notions(notions: Collection[Notion], dimension: int) -> _Vector:
    """Return a block of notions in a dimension; where that is too small, some share a place."""
    vector = np.zeros(dimension)
    for place, value in enumerate(block(notions) if dimension else ()):
        vector[place % dimension] += value
    return vector


def _enlarged(picture: Image) -> Image:
    """Return a small picture in the size in which the tagger sees most."""
    scale = _TAGGED_SIDE / max(picture.shape[:2])
    if scale <= 1:
        return picture
    result: Image = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    return result


def _joined(looks: _Vector, notions: _Vector) -> tuple[float, ...]:
    return _rounded(_unit(np.concatenate([notions, looks])))


def _dimension(wanted: int | None) -> int:
    if wanted is None:
        return DEFAULT_DIMENSION
    if not 1 <= wanted <= MAX_DIMENSION:
        raise ModelError(400, INVALID_PARAMETER, f"dimension must be 1 to {MAX_DIMENSION}, not {wanted}")
    return wanted


def _text(part: Part) -> str:
    if not isinstance(part, TextPart):
        kind = "pictures" if isinstance(part, ImagePart) else "videos"
        raise ModelError(400, INVALID_PARAMETER, f"this model does not embed {kind}")
    if not part.text.strip():
        raise ModelError(400, INVALID_PARAMETER, "the text to embed is empty")
    return part.text


def _colour_layout(lab: _Vector) -> _Vector:
    """Mean colour of 8 by 6 cells: where it is light, dark and which colour."""
    cells: _Vector = cv2.resize(lab, (8, 6), interpolation=cv2.INTER_AREA)
    return cells.ravel()


def _gradients(lightness: _Vector) -> _Vector:
    """Histograms of edge directions in 4 by 3 cells, less their mean."""
    dx, dy = cv2.Sobel(lightness, cv2.CV_64F, 1, 0), cv2.Sobel(lightness, cv2.CV_64F, 0, 1)
    strength, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % math.pi
    place = np.minimum((angle / math.pi * 8).astype(int), 7)
    columns, rows = _GRID
    histograms = [
        np.bincount(
            place[y : y + rows // 3, x : x + columns // 4].ravel(),
            strength[y : y + rows // 3, x : x + columns // 4].ravel(),
            minlength=8,
        )
        for y in range(0, rows, rows // 3)
        for x in range(0, columns, columns // 4)
    ]
    return _centred(np.sqrt(np.concatenate(histograms)))


def _low_frequencies(lightness: _Vector) -> _Vector:
    """The 8 by 8 lowest frequencies without the mean, as perceptual hashes use them."""
    square = cv2.resize(lightness, (32, 32), interpolation=cv2.INTER_AREA)
    result: _Vector = cv2.dct(square)[:8, :8].ravel()[1:]
    return result


def _colour_histogram(small: Image) -> _Vector:
    """How often which hue and saturation occurs, less the mean."""
    hsv = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)
    counts = cv2.calcHist([hsv], [0, 1, 2], None, [8, 3, 3], [0, 180, 0, 256, 0, 256]).ravel()
    return _centred(np.sqrt(counts.astype(np.float64)))


@lru_cache(maxsize=8)
def _signs(rows: int, columns: int) -> _Vector:
    """Return a fixed matrix of -1 and 1 (a random projection that is the same everywhere, forever)."""
    bits = np.frombuffer(
        hashlib.shake_256(b"image-descriptor/1").digest(math.ceil(rows * columns / 8)), np.uint8
    )
    signs: _Vector = np.unpackbits(bits)[: rows * columns].reshape(rows, columns) * 2.0 - 1.0
    return signs


def _centred(vector: _Vector) -> _Vector:
    result: _Vector = vector - vector.mean()
    return result


def _unit(vector: _Vector) -> _Vector:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def _rounded(vector: _Vector) -> tuple[float, ...]:
    # Six digits: beyond them, results may differ between processors.
    return tuple(float(value) for value in np.round(vector, 6))
