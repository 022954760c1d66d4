import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxgen.data import Preparation, class_names, find, load
from jaxgen.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3)).astype(np.uint8)
NAMES = ("zebra", "ant", "guinea pig", "größer", "7")  # in an order of their own


def prepare(data_dir, features, examples, others=(), second="test"):
    """Prepare `toy`, a set unknown to TFDS, as ArrayRecord, with a second split if it has any."""

    class Toy(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            splits = {"train": examples} | ({second: others} if others else {})
            return {name: self._generate_examples(part) for name, part in splits.items()}

        def _generate_examples(self, examples):
            yield from enumerate(examples)

    Toy(data_dir=data_dir, file_format="array_record").download_and_prepare()


IMAGE = tfds.features.Image(shape=(6, 7, 3))


def labeled(labels, class_label):
    """Features and examples of a set in which image i % 5 has the i-th label."""
    features = {"id": tfds.features.Text(), "image": IMAGE, "label": class_label}
    examples = [
        {"id": str(i), "image": Image.fromarray(PIXELS[i % 5] ^ np.uint8(i // 5)), "label": label}
        for i, label in enumerate(labels)
    ]
    return features, examples


def both_splits(data_dir, **options):
    return [load("toy", split, data_dir=data_dir, **options) for split in ("train", "test")]


def test_any_prepared_set_of_color_images(tmp_path):
    """All labels lose an image to the test set, which they lack, and none is lost."""
    labels = [i % 5 for i in range(25)]
    prepare(tmp_path, *labeled(labels, tfds.features.ClassLabel(names=NAMES)))
    train, test = both_splits(tmp_path)
    assert len(train.label) + len(test.label) == 25
    for batch in (train, test):
        assert set(batch.label.tolist()) == set(range(5))
        for image, label in zip(batch.image, batch.label, strict=True):
            assert any((image == PIXELS[label] ^ np.uint8(i)).all() for i in range(5))
    seen = {image.tobytes() for image in np.concatenate([train.image, test.image])}
    assert len(seen) == 25
    assert class_names(find("toy", Preparation(), data_dir=tmp_path)) == NAMES
    with pytest.raises(InputError, match=r"^toy has no split 'validation', only train"):
        load("toy", "validation", data_dir=tmp_path)


def test_classes_without_images_do_not_count(tmp_path):
    """Labels 1, 2 and 4 of 5 become 0, 1 and 2, under the names that they had."""
    labels = [1, 2, 4] * 8
    prepare(tmp_path, *labeled(labels, tfds.features.ClassLabel(names=NAMES)))
    train, test = both_splits(tmp_path)
    assert set(train.label.tolist()) == set(test.label.tolist()) == {0, 1, 2}
    assert np.bincount(np.concatenate([train.label, test.label])).tolist() == [8, 8, 8]
    names = class_names(find("toy", Preparation(), data_dir=tmp_path))
    assert names == ("ant", "guinea pig", "7")
    original = np.array([1, 2, 4])[train.label]
    for image, label in zip(train.image, original, strict=True):
        index = next(i for i in range(24) if (PIXELS[i % 5] ^ np.uint8(i // 5) == image).all())
        assert labels[index] == label


def test_a_class_to_test_that_training_lacks_is_named(tmp_path):
    class_label = tfds.features.ClassLabel(names=NAMES)
    features, examples = labeled([0, 1, 0, 1, 4, 4], class_label)
    prepare(tmp_path, features, examples[:4], examples[4:])
    message = r"^toy has 2 image\(s\) of the class 7 to test, but none to train on: add some"
    with pytest.raises(InputError, match=message):
        load("toy", "test", data_dir=tmp_path)
    assert load("toy", "train", data_dir=tmp_path).label.tolist().count(0) == 2


def test_a_validation_split_serves_as_the_test_set(tmp_path):
    features, examples = labeled([0, 1, 0, 1, 0], tfds.features.ClassLabel(num_classes=2))
    prepare(tmp_path, features, examples[:3], examples[3:], second="validation")
    train, test = both_splits(tmp_path)
    assert (len(train.label), len(test.label)) == (3, 2)


def test_images_of_several_sizes_are_cropped(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    examples = [
        {"image": Image.fromarray(PIXELS[i % 5][: 4 + i % 3]), "label": i % 2} for i in range(12)
    ]
    prepare(tmp_path, features, examples)
    for batch in both_splits(tmp_path, image_size=8):
        assert batch.image.shape[1:] == (8, 8, 3)
    with pytest.raises(InputError, match=r"images have several sizes, .* --image-size"):
        load("toy", "train", data_dir=tmp_path)


def test_a_set_without_labels_has_one_class(tmp_path):
    prepare(tmp_path, {"image": IMAGE}, [{"image": Image.fromarray(pixels)} for pixels in PIXELS])
    train, test = both_splits(tmp_path)
    assert len(train.label) + len(test.label) == 5
    assert not train.label.any()
    assert class_names(find("toy", Preparation(), data_dir=tmp_path)) == ("unlabeled",)


def test_colors_become_grey_on_request(tmp_path):
    prepare(tmp_path, *labeled([0, 1] * 5, tfds.features.ClassLabel(num_classes=2)))
    train, _ = both_splits(tmp_path, channels=1)
    assert train.image.shape[1:] == (6, 7, 1)


@pytest.mark.parametrize(
    ("features", "example"),
    [
        ({"text": tfds.features.Text()}, {"text": "words"}),
        (
            {"image": IMAGE, "label": tfds.features.Text()},
            {"image": Image.fromarray(PIXELS[0]), "label": "cat"},
        ),
    ],
)
def test_no_set_of_images(features, example, tmp_path):
    prepare(tmp_path, features, [example])
    message = f"(toy is not a set of images .* {next(iter(features))}|cannot be read)"
    with pytest.raises(InputError, match=message):
        load("toy", "train", data_dir=tmp_path)


@pytest.mark.parametrize("damage", ["record", "features.json", "dataset_info.json"])
def test_damaged_prepared_set(damage, tmp_path, originals):
    load("mnist", "test", data_dir=tmp_path, manual_dir=originals.folder)
    folder = tmp_path / "mnist" / "3.0.1"
    for path in folder.glob("*test.array_record*" if damage == "record" else damage):
        path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"cannot be read .*delete it"):
        load("mnist", "test", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("file", "contents"),
    [("features.json", b"{"), ("features.json", b"[]"), ("label.labels.txt", b"\xff\n")],
)
def test_class_names_of_a_damaged_set(file, contents, tmp_path, originals):
    load("mnist", "test", data_dir=tmp_path, manual_dir=originals.folder)
    (tmp_path / "mnist" / "3.0.1" / file).write_bytes(contents)
    with pytest.raises(InputError, match=r"3\.0\.1 cannot be read .*delete it"):
        find("mnist", Preparation(), data_dir=tmp_path)
