"""A set with MNIST's name and files, but of a few images, so that preparing it takes a moment."""

import functools
import hashlib
import http.server
import os
import threading
from pathlib import Path
from typing import NamedTuple

import idx
import numpy as np
import pytest
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums
from tensorflow_datasets.core.utils import Size

from jaxgen.data.mnist import IMAGES, LABELS, PREFIXES

SIZES = {"train": 37, "test": 11}


class Originals(NamedTuple):
    folder: Path
    image: dict[str, np.ndarray]
    label: dict[str, np.ndarray]


@pytest.fixture
def originals(tmp_path, monkeypatch) -> Originals:
    """Four tiny .gz files in MNIST's place, their server unreachable."""
    folder = tmp_path / "originals"
    folder.mkdir()
    generator = np.random.default_rng(0)
    image, label = {}, {}
    for split, n in SIZES.items():
        image[split] = generator.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        label[split] = (np.arange(n) % 10).astype(np.uint8)
        (folder / (PREFIXES[split] + IMAGES)).write_bytes(idx.encode(image[split]))
        (folder / (PREFIXES[split] + LABELS)).write_bytes(idx.encode(label[split]))
    register(monkeypatch, folder, "http://127.0.0.1:9/")
    return Originals(folder, image, label)


@pytest.fixture
def server(originals, monkeypatch):
    """An HTTP server that hands out the tiny originals, in place of MNIST's."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    handler = functools.partial(Handler, directory=originals.folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        register(monkeypatch, originals.folder, f"http://127.0.0.1:{httpd.server_port}/")
        yield httpd
        httpd.shutdown()
        thread.join()


def register(monkeypatch, folder: Path, url: str) -> None:
    """Tell TFDS that MNIST's originals are these files at this address."""
    url_infos = {}
    for path in folder.iterdir():
        contents = path.read_bytes()
        checksum = hashlib.sha256(contents).hexdigest()
        url_infos[url + path.name] = checksums.UrlInfo(Size(len(contents)), checksum, path.name)
    stock = tfds.image_classification.MNIST
    monkeypatch.setattr(stock, "URL", url)
    monkeypatch.setattr(stock, "url_infos", url_infos)


@pytest.fixture(scope="session")
def mnist_originals() -> Path:
    """The folder of MNIST's own four files; the test is skipped where there is none."""
    beside = Path(__file__).parents[3] / "shared" / "data" / "mnist"
    folder = Path(os.environ.get("JAXGEN_TEST_MNIST", beside))
    if not folder.is_dir():
        pytest.skip("set JAXGEN_TEST_MNIST to the folder of MNIST's four original .gz files")
    return folder
