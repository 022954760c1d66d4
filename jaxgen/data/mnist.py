"""Prepare MNIST, Fashion-MNIST and KMNIST as TFDS does, but without TensorFlow."""

import contextlib
import gzip
import hashlib
import http.client
import threading
import urllib.request
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.data.quiet import quiet
from jaxgen.errors import InputError

# The sets, and the names of TFDS's builder classes.
BUILDERS = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "kmnist": "KMNIST"}
PREFIXES = {"train": "train", "test": "t10k"}  # of the files of each split
IMAGES, LABELS = "-images-idx3-ubyte.gz", "-labels-idx1-ubyte.gz"
# The sha256 of uncompressed files. Debian's package of Fashion-MNIST has compressed them again.
CONTENTS = {
    "mnist": {
        "train-images": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion_mnist": {
        "train-images": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}


def prepare(name: str, data_dir: Path, manual_dir: Path | None) -> Path:
    """Prepare a set as ArrayRecord, in TFDS's order, and return its folder.

    The four original files come from `manual_dir` or from the network; their sha256 is checked, or
    that of their contents if they were compressed again.
    Raises InputError if they are unavailable or not the originals, or if `data_dir` is not
    writable.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    builder = _builder(name, data_dir, manual_dir)
    if manual_dir is not None:
        _check_originals(name, builder.url_infos, manual_dir)
    elif not reachable(name):
        raise InputError(
            f"{name} is not prepared in {data_dir}, and {builder.URL} cannot be reached: give its "
            "four original .gz files with --manual-dir, choose another --data-dir, or use "
            "--dataset mnist_5k."
        )
    try:
        with quiet():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(try_download_gcs=False)
            )
    except (tfds.download.DownloadError, NonMatchingChecksumError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{name} could not be downloaded ({reason.rstrip(':.')}): try again, or give its four "
            "original .gz files with --manual-dir."
        ) from error
    except OSError as error:
        if not builder.is_prepared():  # it is if another process was faster
            raise InputError(
                f"{name} cannot be prepared in {data_dir} ({error}): choose another --data-dir."
            ) from error
    return Path(builder.data_path)


def reachable(name: str, seconds: float = 3.0) -> bool:
    """Check whether the server of the set answers; TFDS itself would retry for minutes."""
    request = urllib.request.Request(_stock(name).URL + PREFIXES["test"] + LABELS, method="HEAD")
    answers = []

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            urllib.request.urlopen(request, timeout=seconds).close()
            answers.append(True)

    # In a thread, since the timeout does not cover the DNS lookup.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers)


def _stock(name: str) -> Any:
    import tensorflow_datasets as tfds

    return getattr(tfds.image_classification, BUILDERS[name])


def _builder(name: str, data_dir: Path, manual_dir: Path | None) -> Any:
    from PIL import Image

    stock = _stock(name)

    class WithoutTensorFlow(stock, skip_registration=True):  # pyright: ignore
        """The stock builder, except that NumPy reads the original files."""

        name = stock.name
        url_infos = stock.url_infos

        def _split_generators(self, dl_manager):
            def get(filename: str) -> Any:
                if manual_dir is not None:  # TFDS would refuse files that were compressed again
                    return manual_dir / filename
                return dl_manager.download(self.URL + filename)

            return {
                split: self._generate_examples(get(prefix + IMAGES), get(prefix + LABELS))
                for split, prefix in PREFIXES.items()
            }

        def _generate_examples(self, images, labels):
            image = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16)
            label = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)
            # TFDS would encode arrays with TensorFlow, but not PIL images.
            for i, pixels in enumerate(image.reshape(len(label), 28, 28)):
                yield i, {"image": Image.fromarray(pixels), "label": int(label[i])}

    return WithoutTensorFlow(data_dir=data_dir, file_format="array_record")


def _check_originals(name: str, url_infos: Any, manual_dir: Path) -> None:
    for url, info in url_infos.items():
        path = manual_dir / info.filename
        if not path.is_file():
            raise InputError(f"{path} is missing: download it from {url}.")
        archive = path.read_bytes()
        checksum = hashlib.sha256(archive).hexdigest()
        if checksum != info.checksum and not _is_original(archive, name, info.filename):
            raise InputError(
                f"{path} is damaged or belongs to another set (its sha256 is {checksum}, not "
                f"{info.checksum}): download {url} again."
            )


def _is_original(archive: bytes, name: str, filename: str) -> bool:
    """Check the contents of an archive whose own checksum is unknown."""
    try:
        content = gzip.decompress(archive)
    except (OSError, EOFError, zlib.error):
        return False
    known = CONTENTS.get(name, {}).get(filename.partition("-idx")[0])
    return hashlib.sha256(content).hexdigest() == known
