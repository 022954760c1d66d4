import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from jaxgen.data import class_names, load
from jaxgen.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 6, 7, 3)).astype(np.uint8)
NAMES = ("zebra", "ant", "guinea pig", "größer", "7")  # in an order of their own


def prepare(data_dir, features, examples):
    """Prepare `toy`, a set unknown to TFDS, as ArrayRecord."""

    class Toy(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features)
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield from enumerate(examples)

    Toy(data_dir=data_dir, file_format="array_record").download_and_prepare()


def test_any_prepared_set_of_color_images(tmp_path):
    features = {
        "id": tfds.features.Text(),
        "image": tfds.features.Image(shape=(6, 7, 3)),
        "label": tfds.features.ClassLabel(names=NAMES),
    }
    examples = [
        {"id": str(i), "image": Image.fromarray(PIXELS[i]), "label": i} for i in range(len(PIXELS))
    ]
    prepare(tmp_path, features, examples)
    batch = load("toy", "train", data_dir=tmp_path)
    np.testing.assert_array_equal(batch.image, PIXELS[batch.label])
    assert sorted(batch.label) == list(range(5))
    assert class_names("toy", tmp_path) == NAMES
    with pytest.raises(InputError, match=r"^toy has no split 'test', only train"):
        load("toy", "test", data_dir=tmp_path)


def test_images_of_several_sizes(tmp_path):
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(num_classes=5),
    }
    prepare(tmp_path, features, [{"image": Image.fromarray(PIXELS[0]), "label": 0}])
    with pytest.raises(InputError, match=r"^toy has images of several sizes"):
        load("toy", "train", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("features", "example"),
    [
        ({"text": tfds.features.Text()}, {"text": "words"}),
        ({"image": tfds.features.Image(shape=(6, 7, 3))}, {"image": Image.fromarray(PIXELS[0])}),
    ],
)
def test_no_image_classification_set(features, example, tmp_path):
    prepare(tmp_path, features, [example])
    message = f"^toy is not an image classification set, .* {next(iter(features))}: choose another"
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
        class_names("mnist", tmp_path)
