"""Decoding, resizing, hashing and measuring of single images."""

import io
import math

import numpy as np
import pytest
from PIL import Image

from airflow_provider_drivepipe.worker.images import (
    FORMATS,
    ImageError,
    TargetSize,
    decode,
    encode_jpeg,
    resize,
)
from airflow_provider_drivepipe.worker.phash import HASH_BITS, hamming_distance, perceptual_hash
from tests.unit.image_samples import encoded, scene, with_orientation

LIMIT = 1_000_000


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64)).mean())


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_gives_the_picture_as_rgb(format_):
    image = decode(encoded(scene(), format_), LIMIT)
    assert (image.format, image.pixels.mode, image.pixels.size) == (format_, "RGB", (320, 200))
    assert difference(image.pixels, scene()) < 6


@pytest.mark.parametrize("format_", ["TIFF", "GIF"])
def test_the_first_page_or_frame_counts(format_):
    pages = encoded(scene(0), format_, save_all=True, append_images=[scene(1)])
    assert difference(decode(pages, LIMIT).pixels, scene(0)) < 6


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(format_, orientation):
    # Undo the turn that the tag asks for: a viewer, and decode(), then see the scene as it was drawn.
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = scene().transpose(undo[orientation]) if orientation in undo else scene()
    upright = decode(with_orientation(stored, orientation, format_), LIMIT).pixels
    assert upright.size == (320, 200)
    assert difference(upright, scene()) < 6


def test_broken_metadata_does_not_make_good_pixels_bad():
    broken = encoded(scene(), exif=b"Exif\0\0II*\0\xff\xff\xff\xff garbage")
    assert difference(decode(broken, LIMIT).pixels, scene()) < 6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode):
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255) if mode != "LA" else (40, 40, 40, 255), (0, 0, 4, 8))
    options = {}
    if mode == "P":
        image = Image.new("P", (8, 8), 1)
        image.putpalette([255, 0, 0, 0, 0, 0])
        image.paste(0, (0, 0, 4, 8))
        options = {"transparency": 1}
    else:
        image = image.convert(mode)
    decoded = decode(encoded(image, "PNG", **options), LIMIT)
    assert decoded.mode == mode
    assert decoded.pixels.getpixel((7, 7)) == (255, 255, 255)
    assert decoded.pixels.getpixel((0, 0)) == ((40, 40, 40) if mode == "LA" else (255, 0, 0))


def test_half_transparent_pixels_are_laid_over_white():
    image = decode(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 128)), "PNG"), LIMIT)
    assert image.pixels.getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(format_):
    deep = Image.fromarray(np.linspace(0, 65535, 64, dtype=np.uint16).reshape(8, 8))
    decoded = decode(encoded(deep, format_), LIMIT)
    assert decoded.mode.startswith("I;16")
    grey = np.asarray(decoded.pixels)[:, :, 0].flatten()
    assert list(grey) == [round(v / 257) for v in np.linspace(0, 65535, 64, dtype=np.uint16)]


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "YCbCr"])
def test_other_pixel_formats_become_rgb(mode):
    format_ = "JPEG" if mode == "CMYK" else "TIFF"
    decoded = decode(encoded(scene().convert(mode), format_), LIMIT)
    assert (decoded.mode, decoded.pixels.mode) == (mode, "RGB")
    assert difference(decoded.pixels, scene().convert(mode).convert("RGB")) < 3


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_pixels_are_refused(mode):
    with pytest.raises(ImageError, match="no agreed range") as refused:
        decode(encoded(Image.new(mode, (4, 4)), "TIFF"), LIMIT)
    assert refused.value.reason == "image_decode_error"


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_files_that_are_cut_off_fail(format_, kept):
    whole = encoded(scene(), format_)
    with pytest.raises(ImageError) as refused:
        decode(whole[: int(len(whole) * kept)], LIMIT)
    assert refused.value.reason == "image_decode_error"


@pytest.mark.parametrize(
    "content",
    [b"no image at all", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"%PDF-1.4", b"\0" * 4096],
)
def test_what_is_no_image_fails_without_naming_objects_of_this_process(content):
    with pytest.raises(ImageError) as refused:
        decode(content, LIMIT)
    assert refused.value.reason == "image_decode_error"
    assert " object at 0x" not in str(refused.value)


def test_formats_beyond_the_list_are_refused():
    with pytest.raises(ImageError, match="none of the formats"):
        decode(encoded(scene(), "PPM"), LIMIT)


def test_pixel_limit_is_checked_before_decoding(monkeypatch):
    bomb = encoded(Image.new("1", (5000, 5000)), "PNG")
    assert len(bomb) < 10_000
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="5000 x 5000") as refused:
        decode(bomb, 24_999_999)
    assert refused.value.reason == "image_too_large"


def test_pillows_own_limit_gives_the_same_reason():
    header = bytearray(encoded(Image.new("1", (8, 8)), "BMP"))
    header[18:26] = (30_000).to_bytes(4, "little") * 2
    with pytest.raises(ImageError) as refused:
        decode(bytes(header), 10**12)
    assert refused.value.reason == "image_too_large"


@pytest.mark.parametrize(
    ("target", "size", "expected"),
    [
        (TargetSize(), (320, 200), (320, 200)),
        (TargetSize(longest_side=160), (320, 200), (160, 100)),
        (TargetSize(longest_side=160), (200, 320), (100, 160)),
        (TargetSize(longest_side=640), (320, 200), (320, 200)),
        (TargetSize(longest_side=640, enlarge=True), (320, 200), (640, 400)),
        (TargetSize(longest_side=10), (1000, 3), (10, 1)),
        (TargetSize(exact=(512, 512)), (320, 200), (512, 512)),
    ],
)
def test_target_sizes(target, size, expected):
    assert target.of(*size) == expected


def test_the_filter_decides_the_pixels():
    pixels = {
        name: resize(scene(), (50, 40), name).tobytes()
        for name in ("nearest", "bilinear", "bicubic", "lanczos")
    }
    assert len(set(pixels.values())) == 4
    assert resize(scene(), (50, 40), "lanczos").size == (50, 40)
    same = scene()
    assert resize(same, same.size, "nearest") is same


def test_jpegs_have_the_quality_asked_for_and_no_metadata():
    small, large = encode_jpeg(scene(), 30), encode_jpeg(scene(), 95)
    assert len(small) < len(large)
    with Image.open(io.BytesIO(small)) as image:
        assert image.format == "JPEG"
        assert not image.getexif()
    source = decode(with_orientation(scene(), 6), LIMIT)
    with Image.open(io.BytesIO(encode_jpeg(source.pixels, 80))) as image:
        assert not image.getexif()


def test_a_side_beyond_what_jpeg_holds_is_too_large():
    with pytest.raises(ImageError) as refused:
        encode_jpeg(Image.new("RGB", (65_501, 1)), 80)
    assert refused.value.reason == "image_too_large"


# Perceptual hash.


def reference_hash(image):
    """The definition, term by term."""
    grey = image.convert("L").resize((32, 32), Image.Resampling.LANCZOS)

    def coefficient(u, v):
        return sum(
            grey.getpixel((x, y))
            * math.cos(math.pi * v * (2 * y + 1) / 64)
            * math.cos(math.pi * u * (2 * x + 1) / 64)
            for x in range(32)
            for y in range(32)
        )

    values = [coefficient(u, v) for v in range(8) for u in range(8)]
    middle = sorted(values)[31:33]
    return f"{int(''.join('1' if value > sum(middle) / 2 else '0' for value in values), 2):016x}"


def test_hash_is_the_documented_one():
    assert perceptual_hash(scene()) == reference_hash(scene())


@pytest.mark.parametrize("seed", range(8))
def test_hash_survives_resizing_and_compression(seed):
    original = scene(seed)
    variants = [
        original.resize((160, 100)),
        original.resize((640, 400)),
        Image.open(io.BytesIO(encoded(original, quality=40))),
        original.convert("L"),
    ]
    assert max(hamming_distance(perceptual_hash(original), perceptual_hash(v)) for v in variants) <= 6


def test_hashes_of_other_pictures_are_far_away():
    hashes = [perceptual_hash(scene(seed)) for seed in range(12)]
    distances = [hamming_distance(a, b) for n, a in enumerate(hashes) for b in hashes[:n]]
    assert min(distances) > 12


@pytest.mark.parametrize("grey", [0, 77, 255])
def test_an_even_picture_has_a_stable_hash(grey):
    hashes = {perceptual_hash(Image.new("RGB", size, (grey,) * 3)) for size in [(32, 32), (640, 400), (1, 1)]}
    assert hashes == {"0000000000000000" if grey == 0 else "8000000000000000"}


def test_hamming_distance_counts_bits():
    assert hamming_distance("0" * 16, "f" * 16) == HASH_BITS
    assert hamming_distance("8000000000000001", "0000000000000003") == 2
