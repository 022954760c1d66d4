"""Reading a folder of images in bounded memory."""

import json

import numpy as np
import pytest

from experiments.benchmark import folders


def test_the_results_are_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(folders, "STREAM_SECONDS", 0.1)
    output = tmp_path / "folder.json"
    folders.main(folders.Config(num_images=300, size=16, output=output))
    record = json.loads(output.read_text())
    assert record == json.loads(capsys.readouterr().out)
    results = record["results"]
    assert results["num_images"] == 300
    assert results["second_read_seconds"] < results["first_read_seconds"]
    assert results["streamed_images_per_second"] > 0
    assert results["peak_anonymous_bytes"] >= results["peak_anonymous_bytes_of_reading"] > 1e7


def test_memory_that_is_freed_again_is_seen():
    with folders.peak_memory() as peak:
        before = peak()
        block = np.ones(200_000_000, np.uint8)
        del block
        assert peak() - before == pytest.approx(200e6, rel=0.2)


@pytest.mark.slow
def test_a_folder_is_read_in_less_memory_than_its_images_take(tmp_path):
    """At most a few chunks, and not the 66 MB of all."""
    folders.write_images(tmp_path / "images", 6000, 64)
    with folders.peak_memory() as peak:
        before = peak()
        source = folders.data.find(tmp_path / "images", folders.data.Preparation(64))
        train = folders.data.read(source, "train", mapped=True)
        assert train.image.nbytes > 60e6
        assert peak() - before < 40e6
