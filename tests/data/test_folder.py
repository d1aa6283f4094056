from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lipscope.data import folder
from lipscope.data.folder import read_images
from lipscope.errors import DataError

CLASSES = ("cat", "dog", "frog")
SHAPE = (3, 32, 32)


def picture(seed: int, size: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (3, size, size), np.uint8)


def put(path: Path, pixels: np.ndarray, **options: object) -> Path:
    """A file of these pixels, (channels, height, width)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)).squeeze()).save(path, **options)
    return path


def png_by_hand(pixels: np.ndarray, depth: int = 8) -> bytes:
    """The PNG of an RGB picture, written from the format's definition."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    _, height, width = pixels.shape
    wide = pixels.astype(">u2") * 257 if depth == 16 else pixels
    lines = b"".join(b"\0" + row.tobytes() for row in np.ascontiguousarray(wide.transpose(1, 2, 0)))
    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def test_the_pixels_are_those_of_the_file(tmp_path):
    (tmp_path / "a.png").write_bytes(png_by_hand(picture(1)))
    found = read_images(tmp_path, SHAPE, CLASSES)
    np.testing.assert_array_equal(found.data.images, picture(1)[None])
    assert found.files == ("a.png",)
    assert (found.data.labelled, found.data.labels.tolist(), found.unknown, found.ignored) == (False, [-1], (), ())
    assert (found.data.name, found.data.split, found.data.classes) == (str(tmp_path), "images", CLASSES)


def test_jpeg_and_png_in_the_order_of_their_paths(tmp_path):
    put(tmp_path / "b.JPG", np.full((3, 32, 32), 200, np.uint8), format="JPEG")
    put(tmp_path / "a" / "z.png", picture(2))
    put(tmp_path / "c.jpeg", np.full((3, 32, 32), 10, np.uint8))
    found = read_images(tmp_path, SHAPE, CLASSES)
    assert found.files == ("a/z.png", "b.JPG", "c.jpeg")
    np.testing.assert_array_equal(found.data.images[0], picture(2))
    assert abs(found.data.images[1].astype(int) - 200).max() <= 2
    assert abs(found.data.images[2].astype(int) - 10).max() <= 2


def test_labels_are_the_names_of_subfolders(tmp_path):
    for number, name in enumerate(("dog", "0", "frog/deeper", "2")):
        put(tmp_path / name / "x.png", picture(number))
    found = read_images(tmp_path, SHAPE, CLASSES)
    assert dict(zip(found.files, found.data.labels.tolist(), strict=True)) == {
        "0/x.png": 0, "2/x.png": 2, "dog/x.png": 1, "frog/deeper/x.png": 2,
    }  # fmt: skip
    assert found.data.labelled


def test_subfolders_that_are_no_classes_label_nothing(tmp_path):
    put(tmp_path / "monday" / "x.png", picture(0))
    put(tmp_path / "y.png", picture(1))
    found = read_images(tmp_path, SHAPE, CLASSES)
    assert (found.data.labelled, found.unknown) == (False, ("monday",))


def test_the_folder_itself_is_no_label(tmp_path):
    put(tmp_path / "cat" / "x.png", picture(0))
    assert not read_images(tmp_path / "cat", SHAPE, CLASSES).data.labelled


def test_hidden_and_other_files_are_no_images(tmp_path):
    put(tmp_path / "x.png", picture(0))
    put(tmp_path / ".thumbnails" / "x.png", picture(0, 8))
    (tmp_path / ".hidden.png").write_bytes(b"no image")
    (tmp_path / "notes.txt").write_text("words")
    (tmp_path / "y.gif").write_bytes(b"GIF89a")
    found = read_images(tmp_path, SHAPE, CLASSES)
    assert (found.files, found.ignored) == (("x.png",), ("notes.txt", "y.gif"))


def test_a_model_of_another_size(tmp_path):
    put(tmp_path / "x.png", picture(0, 64))
    assert read_images(tmp_path, (3, 64, 64), CLASSES).data.images.shape == (1, 3, 64, 64)


def broken() -> dict[str, bytes]:
    png, jpeg = png_by_hand(picture(0)), io.BytesIO()
    Image.fromarray(picture(0).transpose(1, 2, 0)).save(jpeg, "JPEG")
    return {
        "empty": b"",
        "text": b"this is a text",
        "png cut": png[: len(png) // 2],
        "png header cut": png[:20],
        "png damaged": png[:60] + bytes(40) + png[100:],
        "png header damaged": png[:18] + b"\xff" + png[19:],
        "jpeg cut": jpeg.getvalue()[:700],
        "gif": b"GIF89a" + bytes(100),
    }


@pytest.mark.parametrize("name", broken())
def test_an_unreadable_file_is_named(tmp_path, name):
    put(tmp_path / "good.png", picture(1))
    (tmp_path / "x.png").write_bytes(broken()[name])
    with pytest.raises(DataError, match=r"x\.png: not a readable PNG or JPEG file") as caught:
        read_images(tmp_path, SHAPE, CLASSES)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("pixels", "said"), [(picture(0, 33), "33x33"), (np.zeros((3, 32, 31), np.uint8), "31x32")])
def test_another_size_is_named(tmp_path, pixels, said):
    put(tmp_path / "x.png", pixels)
    with pytest.raises(DataError, match=r"x\.png: an image of another size") as caught:
        read_images(tmp_path, SHAPE, CLASSES)
    assert caught.value.why == f"{said} pixels, the model takes 32x32"


def test_an_image_of_a_billion_pixels_is_another_size_and_never_decoded(tmp_path):
    small = png_by_hand(picture(0))
    head = struct.pack(">IIBBBBB", 12_000, 12_000, 8, 2, 0, 0, 0)
    (tmp_path / "x.png").write_bytes(small[:16] + head + struct.pack(">I", zlib.crc32(b"IHDR" + head)) + small[33:])
    with pytest.raises(DataError, match="12000x12000 pixels"):
        read_images(tmp_path, SHAPE, CLASSES)


def modes() -> dict[str, tuple[str, Image.Image]]:
    colour = Image.fromarray(picture(0).transpose(1, 2, 0))
    return {
        "gray": ("png", colour.convert("L")),
        "palette": ("png", colour.quantize(16)),
        "alpha": ("png", colour.convert("RGBA")),
        "one bit": ("png", colour.convert("1")),
        "gray jpeg": ("jpg", colour.convert("L")),
        "cmyk": ("jpg", colour.convert("CMYK")),
    }


@pytest.mark.parametrize("name", modes())
def test_another_mode_is_named(tmp_path, name):
    suffix, image = modes()[name]
    image.save(tmp_path / f"x.{suffix}")
    with pytest.raises(DataError, match="not an image of three channels of 8 bits") as caught:
        read_images(tmp_path, SHAPE, CLASSES)
    assert caught.value.why == f"its mode is {image.mode}"


def test_sixteen_bits_and_transparent_colours_are_not_cut_off(tmp_path):
    (tmp_path / "x.png").write_bytes(png_by_hand(picture(0), depth=16))
    with pytest.raises(DataError, match="of 16 bits"):
        read_images(tmp_path, SHAPE, CLASSES)
    put(tmp_path / "x.png", picture(0), transparency=(1, 2, 3))
    with pytest.raises(DataError, match="with transparency"):
        read_images(tmp_path, SHAPE, CLASSES)


def test_a_number_that_is_no_class(tmp_path):
    put(tmp_path / "3" / "x.png", picture(0))
    with pytest.raises(DataError, match="a label is out of range") as caught:
        read_images(tmp_path, SHAPE, CLASSES)
    assert (caught.value.where, caught.value.why) == (str(tmp_path / "3"), "classes go from 0 to 2")


@pytest.mark.parametrize(("other", "said"), [("doog/x.png", "'doog' is no class"), ("x.png", "in no subfolder")])
def test_labels_for_some_only(tmp_path, other, said):
    put(tmp_path / "cat" / "x.png", picture(0))
    put(tmp_path / other, picture(1))
    with pytest.raises(DataError, match="only some of the images have a label") as caught:
        read_images(tmp_path, SHAPE, CLASSES)
    assert said in caught.value.why


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        read_images(tmp_path / "no", SHAPE, CLASSES)
    (tmp_path / "notes.txt").write_text("words")
    with pytest.raises(DataError, match="no images in it"):
        read_images(tmp_path, SHAPE, CLASSES)


def test_names_that_are_no_text_are_shown_all_the_same(tmp_path):
    folder = tmp_path / os.fsdecode(b"m\xff")
    put(folder / os.fsdecode(b"d\xff") / os.fsdecode(b"x\xff.png"), picture(0))
    found = read_images(folder, SHAPE, CLASSES)
    assert (found.files, found.unknown) == (("d\ufffd/x\ufffd.png",), ("d\ufffd",))
    assert found.data.name == f"{tmp_path}/m\ufffd"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_and_a_dangling_link_are_named_and_not_waited_for(tmp_path):
    pipe, link = tmp_path / "a" / "pipe.png", tmp_path / "b" / "link.png"
    for path in (pipe, link):
        path.parent.mkdir()
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "nowhere.png")
    for path in (pipe, link):
        with pytest.raises(DataError, match="not a file") as caught:
            read_images(path.parent, SHAPE, CLASSES)
        assert caught.value.where == str(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_stand_as_viewers_show_them(tmp_path, orientation):
    upright = picture(5)[:, :32, :20]
    # What a camera that was held so stores, from the definition of the tag: where row 0 and column 0 are.
    stored = {
        1: upright, 2: upright[:, :, ::-1], 3: upright[:, ::-1, ::-1], 4: upright[:, ::-1, :],
        5: upright.transpose(0, 2, 1), 6: upright.transpose(0, 2, 1)[:, ::-1, :],
        7: upright.transpose(0, 2, 1)[:, ::-1, ::-1], 8: upright.transpose(0, 2, 1)[:, :, ::-1],
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    put(tmp_path / "a.png", stored, exif=exif)
    found = read_images(tmp_path, (3, 32, 20), CLASSES)
    np.testing.assert_array_equal(found.data.images[0], upright)
    assert found.turned == (("a.png",) if orientation != 1 else ())


def test_folders_match_classes_in_capitals_or_not(tmp_path):
    put(tmp_path / "CAT" / "a.png", picture(1))
    put(tmp_path / "cat" / "b.png", picture(2))
    put(tmp_path / "Dog" / "c.png", picture(3))
    found = read_images(tmp_path, SHAPE, ("dog", "cat"))
    assert dict(zip(found.files, found.data.labels.tolist(), strict=True)) == {
        "CAT/a.png": 1, "cat/b.png": 1, "Dog/c.png": 0,
    }  # fmt: skip
    found = read_images(tmp_path, SHAPE, ("Dog", "cat", "CAT"))
    assert dict(zip(found.files, found.data.labels.tolist(), strict=True))["CAT/a.png"] == 2
    (tmp_path / "Dog").rename(tmp_path / "DOG")
    with pytest.raises(DataError, match=r"DOG.*'Dog' or 'dog'\); name it exactly"):
        read_images(tmp_path, SHAPE, ("Dog", "dog", "cat", "CAT"))


@pytest.mark.parametrize("name", ["00000000002", "02", "00", "٢"])
def test_a_number_written_otherwise_is_no_class(tmp_path, name):
    put(tmp_path / name / "a.png", picture(1))
    found = read_images(tmp_path, SHAPE, CLASSES)
    assert (found.data.labelled, found.unknown) == (False, (name,))
    put(tmp_path / "2" / "a.png", picture(1))
    with pytest.raises(DataError):
        read_images(tmp_path, SHAPE, CLASSES)


def test_numbers_as_wide_as_the_largest(tmp_path):
    classes = tuple(f"class {number}" for number in range(100))
    for name in ("07", "7", "42"):
        put(tmp_path / name / "a.png", picture(1))
    assert read_images(tmp_path, SHAPE, classes).data.labels.tolist() == [7, 42, 7]


def test_images_of_any_size_are_cut_to_the_middle_and_resized(tmp_path):
    """Against numpy: the middle square of a picture of 2x2 blocks, halved by the mean of each block."""
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)
    wide = np.full((64, 100, 3), 7, np.uint8)
    wide[:, 18:82] = small.repeat(2, axis=0).repeat(2, axis=1)
    Image.fromarray(wide).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="another size"):
        read_images(tmp_path, SHAPE, CLASSES)
    (found,) = read_images(tmp_path, SHAPE, CLASSES, resized=True).data.images
    assert found.shape == (3, 32, 32)
    # Pillow's bilinear filter of a reduction by 2 reaches one pixel into the neighbouring blocks: constant inside.
    flat = np.full((64, 64, 3), 9, np.uint8)
    Image.fromarray(flat).save(tmp_path / "a.png")
    assert (read_images(tmp_path, SHAPE, CLASSES, resized=True).data.images == 9).all()
    assert np.abs(found.astype(int) - small.transpose(2, 0, 1)).mean() < np.abs(found.astype(int) - 7).mean()


def test_a_picture_of_too_many_pixels_is_not_resized(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MOST_PIXELS", 64 * 64 - 1)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="another size"):
        read_images(tmp_path, SHAPE, CLASSES, resized=True)
