"""Files of arrays as users have them: .npz, .npy and IDX."""

import gzip

import idx as idx_format
import numpy as np
import pytest

from jaxgen.data import Preparation, class_names, find, holds_out, load
from jaxgen.errors import InputError

RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, (30, 6, 5, 3)).astype(np.uint8)
LABEL = np.arange(30) % 3


def names(path):
    return class_names(find(path, Preparation()))


def examples_of(*batches):
    """Pairs of image and label, whatever their order."""
    return sorted(
        (image.tobytes(), int(label))
        for batch in batches
        for image, label in zip(np.asarray(batch.image), np.asarray(batch.label), strict=True)
    )


def savez(path, arrays):
    np.savez(path, **arrays)


def both(path, **options):
    return [load(path, split, **options) for split in ("train", "test")]


@pytest.mark.parametrize(
    ("image", "label"),
    [("image", "label"), ("images", "labels"), ("x", "y"), ("arr_0", "arr_1"), ("data", "target")],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_images_and_labels_in_an_npz_file(tmp_path, image, label, compressed):
    path = tmp_path / "set.npz"
    (np.savez_compressed if compressed else np.savez)(path, **{image: IMAGE, label: LABEL})
    train, test = both(path)
    assert examples_of(train, test) == sorted(
        (i.tobytes(), int(n)) for i, n in zip(IMAGE, LABEL, strict=True)
    )
    assert set(test.label.tolist()) == {0, 1, 2}
    assert (train.image.dtype, train.label.dtype) == (np.uint8, np.int32)
    assert names(path) == ("0", "1", "2")


@pytest.mark.parametrize(
    "form",
    ["x_train y_train x_test y_test", "train_images train_labels test_images test_labels",
     "X_train Y_train X_val Y_val", "image_train label_train image_test label_test"],
)  # fmt: skip
def test_splits_in_an_npz_file(tmp_path, form):
    path = tmp_path / "set.npz"
    arrays = IMAGE[:20], LABEL[:20], IMAGE[20:], LABEL[20:]
    savez(path, dict(zip(form.split(), arrays, strict=True)))
    train, test = both(path)
    for batch, image, label in ((train, *arrays[:2]), (test, *arrays[2:])):
        np.testing.assert_array_equal(batch.image, image)
        np.testing.assert_array_equal(batch.label, label)
    assert not holds_out(find(path, Preparation()))


def test_an_array_alone_has_no_labels(tmp_path):
    np.save(tmp_path / "set.npy", IMAGE[..., 0])
    np.savez(tmp_path / "set.npz", IMAGE[..., 0])
    for name in ("set.npy", "set.npz"):
        train, test = both(tmp_path / name)
        assert examples_of(train, test) == sorted((i[..., 0].tobytes(), 0) for i in IMAGE)
        assert train.image.shape[1:] == (6, 5, 1)
        assert names(tmp_path / name) == ("unlabeled",)


def test_labels_of_a_single_column_with_gaps(tmp_path):
    """As MedMNIST has them; only 3 and 7 occur."""
    path = tmp_path / "set.npz"
    label = np.where(LABEL == 0, 3, 7).astype(np.uint8)
    np.savez(path, train_images=IMAGE, train_labels=label[:, None])
    train, test = both(path)
    assert names(path) == ("3", "7")
    assert examples_of(train, test) == sorted(
        (i.tobytes(), int(n == 7)) for i, n in zip(IMAGE, label, strict=True)
    )


def test_labels_of_bytes_are_text(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, image=IMAGE, label=np.array([b"owl", "Käse".encode(), b"ape"])[LABEL])
    assert class_names(find(path, Preparation(8))) == ("Käse", "ape", "owl")


def test_classes_with_names(tmp_path):
    path = tmp_path / "set.npz"
    class_names = np.array(["ant", "bee", "cat", "dog"])
    np.savez(path, image=IMAGE, label=LABEL + 1, class_names=class_names)
    assert names(path) == ("bee", "cat", "dog")
    np.savez(path, image=IMAGE, label=class_names[LABEL])
    assert names(path) == ("ant", "bee", "cat")
    np.savez(path, image=IMAGE, label=LABEL + 2, class_names=class_names)
    with pytest.raises(InputError, match="names 4 classes, but has labels from 2 to 4"):
        load(path, "train")


def test_a_class_to_test_that_training_lacks_is_named(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x_train=IMAGE, y_train=LABEL, x_test=IMAGE, y_test=LABEL + 4)
    with pytest.raises(
        InputError, match=r"has 30 image\(s\) of the class 4, 5, 6 to test, but none"
    ):
        load(path, "test")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": IMAGE / 255}, r"Images must be uint8 .* float64 .*\(image \* 255\)\.round\(\)"),
        ({"image": IMAGE > 9}, r"Images must be uint8 .* bool: use `255 \* image"),
        (
            {"image": IMAGE.reshape(30, -1)},
            r"must have the shape \[n, h, w, c\], but have \[30, 90\]",
        ),
        ({"image": IMAGE, "label": LABEL[:9]}, "There are 30 images and 9 labels"),
        (
            {"image": IMAGE, "label": LABEL / 2},
            r"labels in .* must be integers or text, but are float64 .* with `label\.astype",
        ),
        ({"image": IMAGE, "label": np.eye(3)[LABEL]}, r"one-hot labels with `label\.argmax"),
        ({"image": IMAGE, "label": LABEL - 1}, "has labels of -1: give the classes labels from 0"),
        ({"pictures": IMAGE}, "has the arrays pictures, and none is called like images: use image"),
        ({}, "has the arrays of nothing"),
        ({"image": np.array([object()])}, r"set\.npz cannot be read \(.*pickle"),
        ({"image": IMAGE[:0], "label": LABEL[:0]}, "There are no images"),
        ({"image": np.zeros((4, 6, 6, 9), np.uint8)}, "of 9 channels cannot be read"),
    ],
)
def test_what_is_no_set_of_images(tmp_path, arrays, message):
    path = tmp_path / "set.npz"
    savez(path, arrays)
    with pytest.raises(InputError, match=message) as error:
        load(path, "train")
    assert str(path) in str(error.value) or "channels" in message
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["set.npz", "set.npy"])
def test_a_damaged_file_is_named(tmp_path, name):
    path = tmp_path / name
    (np.savez if name.endswith("z") else np.save)(path, IMAGE)
    whole = path.read_bytes()
    for contents in (b"", b"nonsense", whole[: len(whole) // 2]):
        path.write_bytes(contents)
        with pytest.raises(InputError, match=rf"{name} cannot be read \(.*\): replace it"):
            load(path, "train")


def test_colors_grey_and_alpha(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, image=IMAGE)
    assert load(path, "train", channels=1).image.shape[-1] == 1
    alpha = np.concatenate([IMAGE, np.zeros_like(IMAGE[..., :1])], axis=-1)
    np.savez(path, image=alpha)
    train = load(path, "train")
    assert train.image.shape[-1] == 3
    assert (train.image == 255).all()


def test_arrays_are_padded_or_resized(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, image=IMAGE)
    assert load(path, "train", image_size=8).image.sum() == load(path, "train").image.sum()
    with pytest.raises(InputError, match=r"of 6x5 pixels do not fit --image-size 4"):
        load(path, "train", image_size=4)
    assert load(path, "train", image_size=4, resize="crop").image.shape[1:] == (4, 4, 3)


def test_a_file_is_read_anew_once_it_changes(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, image=IMAGE)
    first = load(path, "train", mapped=True)
    assert isinstance(first.image, np.memmap)
    np.savez(path, image=IMAGE[:20] ^ np.uint8(1))
    assert sum(len(batch.label) for batch in both(path)) == 20


GREY = IMAGE[..., 0]


def write_idx(folder, prefix, image, label, gzipped=True):
    for kind, array in {"images-idx3": image, "labels-idx1": label}.items():
        contents = idx_format.encode(array.astype(np.uint8))
        suffix = "-ubyte.gz" if gzipped else "-ubyte"
        (folder / f"{prefix}-{kind}{suffix}").write_bytes(
            contents if gzipped else gzip.decompress(contents)
        )


@pytest.mark.parametrize("gzipped", [True, False])
def test_idx_files_of_any_content(tmp_path, gzipped):
    write_idx(tmp_path, "train", GREY[:20], LABEL[:20] + 1, gzipped)
    write_idx(tmp_path, "t10k", GREY[20:], LABEL[20:] + 1, gzipped)
    images = next(tmp_path.glob("train-images*"))
    for path in (tmp_path, images):
        train, test = both(path)
        np.testing.assert_array_equal(train.image[..., 0], GREY[:20])
        np.testing.assert_array_equal(train.label, LABEL[:20])
        np.testing.assert_array_equal(test.image[..., 0], GREY[20:])
        assert names(path) == ("1", "2", "3")


def test_a_folder_of_several_idx_sets(tmp_path):
    """EMNIST comes like this."""
    for name in ("letters", "digits"):
        write_idx(tmp_path, f"emnist-{name}-train", GREY[:20], LABEL[:20])
        write_idx(tmp_path, f"emnist-{name}-test", GREY[20:], LABEL[20:])
    with pytest.raises(InputError, match=r"holds several sets: give one of emnist-digits-train-"):
        load(tmp_path, "train")
    path = tmp_path / "emnist-letters-train-images-idx3-ubyte.gz"
    train, test = both(path)
    assert (len(train.label), len(test.label)) == (20, 10)


def test_an_idx_file_alone_is_unlabeled(tmp_path):
    path = tmp_path / "faces.idx"
    path.write_bytes(gzip.decompress(idx_format.encode(GREY)))
    train, test = both(path)
    assert len(train.label) + len(test.label) == 30
    assert names(path) == ("unlabeled",)


def test_idx_of_other_numbers_says_what_to_do(tmp_path):
    path = tmp_path / "faces.idx"
    values = (GREY / 255).astype(">f4")
    path.write_bytes(
        bytes([0, 0, 13, 3]) + np.array(GREY.shape, ">u4").tobytes() + values.tobytes()
    )
    with pytest.raises(
        InputError, match=r"faces\.idx: Images must be uint8 .* float32 from 0 to 1"
    ):
        load(path, "train")


@pytest.mark.parametrize("damage", ["cut", "longer", "cut gzip"])
def test_a_damaged_idx_file_is_named(tmp_path, damage):
    path = tmp_path / "faces.idx"
    packed = idx_format.encode(GREY)
    plain = gzip.decompress(packed)
    path.write_bytes({"cut": plain[:-1], "longer": plain + b"0", "cut gzip": packed[:-40]}[damage])
    with pytest.raises(
        InputError, match=r"faces\.idx (is damaged: .* Replace|cannot be read .*replace)"
    ):
        load(path, "train")


@pytest.mark.parametrize("name", ["photo.jpg", "set.zip", "set.csv", "set.txt"])
def test_other_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(InputError, match=f"{name} is no data set: give a folder of images, or an"):
        load(tmp_path / name, "train")
