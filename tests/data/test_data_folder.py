"""Folders of images as users keep them."""

import numpy as np
import photos
import pytest
from PIL import Image

from jaxgen.data import Preparation, class_names, examples, find, holds_out, load
from jaxgen.data import files as image_files
from jaxgen.errors import InputError


def names(folder):
    return class_names(find(folder, Preparation(8)))


def splits(folder, image_size=24, **options):
    return [load(folder, split, image_size=image_size, **options) for split in ("train", "test")]


def contents(batch):
    return [image.tobytes() for image in np.asarray(batch.image)]


def test_a_folder_for_each_class(tmp_path):
    photos.write_classes(tmp_path, dog=12, cat=15)
    train, test = splits(tmp_path)
    assert names(tmp_path) == ("cat", "dog")
    for number, (folder, size) in enumerate({"cat": 15, "dog": 12}.items()):
        expected = {
            np.asarray(Image.open(path)).tobytes() for path in (tmp_path / folder).glob("*.png")
        }
        parts = [
            {c for c, label in zip(contents(b), b.label, strict=True) if label == number}
            for b in (train, test)
        ]
        assert parts[0] | parts[1] == expected
        assert not parts[0] & parts[1]
        assert len(expected) == size
    assert train.image.dtype == np.uint8
    assert train.label.dtype == np.int32


def test_images_without_folders_have_no_labels(tmp_path):
    photos.write(tmp_path, [photos.noise(i) for i in range(20)])
    train, test = splits(tmp_path)
    assert len(train.label) + len(test.label) == 20
    assert len(test.label) > 0
    assert not train.label.any()
    assert names(tmp_path) == ("unlabeled",)


@pytest.mark.parametrize("test_name", ["test", "val", "Validation", "TEST"])
@pytest.mark.parametrize("train_name", ["train", "Training"])
def test_folders_for_train_and_test(tmp_path, train_name, test_name):
    photos.write_classes(tmp_path / train_name, cat=4, dog=3)
    photos.write_classes(tmp_path / test_name, dog=2)
    train, test = splits(tmp_path)
    assert train.label.tolist() == [0, 0, 0, 0, 1, 1, 1]
    assert test.label.tolist() == [1, 1]
    assert not holds_out(find(tmp_path, Preparation(8)))


def test_flat_folders_for_train_and_test(tmp_path):
    photos.write(tmp_path / "train", [photos.noise(i) for i in range(3)])
    photos.write(tmp_path / "test", [photos.noise(9)])
    train, test = splits(tmp_path)
    assert (len(train.label), len(test.label)) == (3, 1)


def test_test_comes_before_val_and_what_is_not_used_is_said(tmp_path):
    for name, size in {"train": 3, "val": 5, "test": 2, "masks": 1}.items():
        photos.write_classes(tmp_path / name, cat=size)
    assert len(splits(tmp_path)[1].label) == 2
    notice = find(tmp_path, Preparation(8)).notice
    assert "beside train and test, masks, val is not used" in notice


def test_train_alone_has_a_share_held_out(tmp_path):
    photos.write_classes(tmp_path / "train", cat=6, dog=6)
    train, test = splits(tmp_path)
    assert len(train.label) + len(test.label) == 12
    assert set(test.label.tolist()) == {0, 1}


def test_vehicles_may_be_trains(tmp_path):
    photos.write_classes(tmp_path, bus=3, train=4, tram=3)
    assert names(tmp_path) == ("bus", "train", "tram")


def test_a_class_to_test_that_training_lacks_is_named(tmp_path):
    photos.write_classes(tmp_path / "train", cat=2, dog=2)
    photos.write_classes(tmp_path / "test", cat=1, horse=3)
    with pytest.raises(InputError, match=r"has 3 image\(s\) of the class horse to test, but none"):
        splits(tmp_path)


def test_an_empty_class_does_not_count(tmp_path):
    photos.write_classes(tmp_path, a=3, c=3)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").touch()
    assert names(tmp_path) == ("a", "c")


def test_classes_named_by_numbers_are_in_their_order(tmp_path):
    photos.write_classes(tmp_path, **{"10": 2, "9": 2, "x": 2, "1": 2})
    assert names(tmp_path) == ("1", "9", "10", "x")


def test_images_anywhere_below_a_class_belong_to_it(tmp_path):
    photos.write(tmp_path / "cat" / "2021" / "may", [photos.noise(i) for i in range(4)])
    photos.write(tmp_path / "cat", [photos.noise(10 + i) for i in range(3)])
    photos.write(tmp_path / "dog", [photos.noise(20 + i) for i in range(3)])
    train, test = splits(tmp_path)
    assert np.bincount(np.concatenate([train.label, test.label])).tolist() == [7, 3]


def test_stray_files_are_ignored(tmp_path):
    photos.write_classes(tmp_path, cat=5, dog=5)
    for name in (
        ".DS_Store",
        "Thumbs.db",
        "readme.txt",
        "labels.csv",
        "cat/._0.png",
        "cat/Thumbs.db",
    ):
        (tmp_path / name).write_bytes(b"\0\1")
    for folder in ("__MACOSX", ".git", "cat/.ipynb_checkpoints"):
        photos.write(tmp_path / folder, [photos.noise(0)])
    train, test = splits(tmp_path)
    assert len(train.label) + len(test.label) == 10
    assert names(tmp_path) == ("cat", "dog")


def test_photos_that_cannot_be_read_are_counted(tmp_path):
    photos.write_classes(tmp_path, cat=5, dog=5)
    for name in ("cat/a.HEIC", "dog/b.heic", "dog/c.nef", "dog/d.txt"):
        (tmp_path / name).write_bytes(b"of a camera")
    notice = find(tmp_path, Preparation(8)).notice
    assert notice == "3 files (.heic, .nef) are left out, since Pillow cannot read them"


def test_a_test_folder_without_classes(tmp_path):
    """As Kaggle has them."""
    photos.write_classes(tmp_path / "train", cat=2, dog=2)
    photos.write(tmp_path / "test", [photos.noise(7)])
    with pytest.raises(
        InputError, match=r"has 1 image\(s\) of the class unlabeled to test, but none"
    ):
        splits(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path):
    photos.write_classes(tmp_path / "real", cat=3)
    photos.write_classes(tmp_path / "set", dog=3)
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "real" / "cat")
    (tmp_path / "set" / "dog" / "again").symlink_to(tmp_path / "set")
    assert names(tmp_path / "set") == ("cat", "dog")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "is empty"),
        (
            ["a.txt", "b.csv"],
            r"holds no images that Pillow reads, only files of the kind \.csv, \.txt: give",
        ),
        (["cats/a.txt"], r"holds no images that Pillow reads, only files of the kind \.txt: give"),
        (
            ["a.png", "cats/b.png"],
            r"holds images, such as a\.png, beside class folders, such as cats",
        ),
        (["test/a.png", "val/b.png"], "holds only images to test, in test and val: add a folder"),
    ],
)
def test_what_is_no_folder_of_images(tmp_path, files, message):
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(photos.encode(photos.noise(0)))
    with pytest.raises(InputError, match=message):
        splits(tmp_path)


def test_a_single_image_cannot_be_held_out(tmp_path):
    photos.write(tmp_path, [photos.noise(0)] * 3)
    with pytest.raises(InputError, match="has no image to test: give at least two that differ"):
        splits(tmp_path)


def test_grey_images_have_one_channel_until_one_is_colored(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "CHUNK", 4)
    photos.write(tmp_path, [photos.noise(i, channels=1) for i in range(10)])
    assert load(tmp_path, "train", image_size=8).image.shape[1:] == (8, 8, 1)
    assert load(tmp_path, "train", image_size=8, channels=3).image.shape[1:] == (8, 8, 3)
    photos.noise(0).save(tmp_path / "z.png")
    assert load(tmp_path, "train", image_size=8).image.shape[1:] == (8, 8, 3)
    assert load(tmp_path, "train", image_size=8, channels=1).image.shape[1:] == (8, 8, 1)


@pytest.mark.parametrize("chunk", [1, 100])
def test_images_of_several_sizes_need_a_size(tmp_path, monkeypatch, chunk):
    """Within a chunk, and from one to the next."""
    monkeypatch.setattr(examples, "CHUNK", chunk)
    photos.write(tmp_path, [photos.noise(i, 10 + i // 5) for i in range(10)])
    with pytest.raises(InputError, match=r"have several sizes, .*--image-size, or .* image_size"):
        load(tmp_path, "train")
    photos.write(tmp_path, [photos.noise(i, 7, 5) for i in range(10)])
    assert load(tmp_path, "train").image.shape[1:] == (7, 5, 3)


BROKEN = {
    "empty": b"",
    "nonsense": b"\xff\xd8\xff nonsense",
    "text": b"<html>404 Not Found</html>",
    "cut": photos.encode(photos.noise(0, 64, 64), "JPEG")[:-200],
    "cut png": photos.encode(photos.noise(0, 64, 64))[:-2000],
    "flipped": photos.encode(photos.noise(0, 64, 64)).replace(b"IDAT", b"IDAT\0\0\0\0", 1),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_or_left_out(tmp_path, kind):
    photos.write_classes(tmp_path, cat=5, dog=5)
    (tmp_path / "cat" / "worse.jpg").write_bytes(BROKEN[kind])
    message = r"cat/worse\.jpg cannot be read \(.+\): repair it, .* with --skip-broken"
    with pytest.raises(InputError, match=message) as error:
        splits(tmp_path)
    assert "\n" not in str(error.value)
    train, test = splits(tmp_path, skip_broken=True)
    assert len(train.label) + len(test.label) == 10
    assert find(tmp_path, Preparation(24), skip_broken=True).num_files == 11
    with pytest.raises(InputError, match=message):  # and is not in the cache of the sound ones
        splits(tmp_path)


def test_a_decompression_bomb_is_broken_and_a_large_photo_is_not(tmp_path, monkeypatch):
    """Pillow warns of more pixels than this, and refuses twice as many."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    photos.write(tmp_path, [photos.noise(i, 30, 30) for i in range(5)])
    photos.write(tmp_path / "large", [])
    photos.noise(7, 40, 40).save(tmp_path / "large.png")
    assert sum(len(batch.label) for batch in splits(tmp_path)) == 6
    photos.noise(8, 60, 60).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"bomb\.png cannot be read \(.*pixels"):
        splits(tmp_path)


def test_a_folder_whose_images_are_all_broken(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no image" + name.encode())
    with pytest.raises(InputError, match="has no image to"):
        splits(tmp_path, skip_broken=True)


def test_the_split_is_the_same_wherever_and_however_the_files_lie(tmp_path):
    """By contents: not by names, order, times, classes or the machine."""
    images = [photos.noise(i) for i in range(60)]
    photos.write(tmp_path / "one", images)
    order = np.random.default_rng(0).permutation(60)
    photos.write(tmp_path / "two" / "cat", [images[i] for i in order[:20]])
    photos.write(tmp_path / "two" / "dog", [images[i] for i in order[20:]])
    one, two = (splits(tmp_path / folder) for folder in ("one", "two"))
    assert sorted(contents(one[1])) == sorted(contents(two[1]))
    assert sorted(contents(one[0])) == sorted(contents(two[0]))
