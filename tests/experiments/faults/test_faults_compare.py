"""The campaign's comparison: whatever differs between two runs is found."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.faults.compare import broken_promises, differences
from jaxgen.runs import directory, records
from jaxgen.training import checkpoint

STEPS = (10, 20, 30)


def write_run(run_dir):
    """What a run of three epochs leaves behind."""
    run_dir.mkdir()
    line = {}
    with checkpoint.open_checkpointer() as checkpointer:
        for epoch, step in enumerate(STEPS, 1):
            state = {"weights": jnp.arange(6.0) + step, "step": jnp.int32(step)}
            checkpoint.save(checkpointer, directory.checkpoints_path(run_dir), step, state)
            path = directory.checkpoints_path(run_dir)
            checkpoint.commit(checkpointer, path, step, 1 / step, "min")
            line = {
                "epoch": epoch,
                "step": step,
                "seconds": 0.5,
                "time": 7.0,
                "test/loss": 1 / step,
            }
            records.append_metrics(run_dir, [line])
    result = {"metrics": line, "environment": {"command": "x"}, "training_seconds": 1.5, "seed": 3}
    directory.result_path(run_dir).write_text(json.dumps(result))
    frames = [Image.fromarray(np.full((4, 4), gray, np.uint8)) for gray in (0, 128, 255)]
    directory.samples_path(run_dir, 1).parent.mkdir()
    frames[1].save(directory.samples_path(run_dir, 1))
    frames[0].save(run_dir / "training.gif", save_all=True, append_images=frames[1:], loop=0)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("compare") / "reference"
    write_run(run_dir)
    return run_dir


@pytest.fixture
def other(reference, tmp_path):
    """A copy, to be changed."""
    shutil.copytree(reference, tmp_path / "other")
    return tmp_path / "other"


def test_a_run_is_like_its_repetition_but_for_timing(reference, tmp_path):
    other = tmp_path / "again"
    write_run(other)
    lines = [{**line, "time": 99.0, "seconds": 3.0} for line in records.read_metrics(other)]
    directory.metrics_path(other).unlink()
    for line in lines:
        records.append_metrics(other, [line])
    result = json.loads(directory.result_path(other).read_text())
    result |= {"environment": {}, "training_seconds": 9.0, "metrics": lines[-1]}
    directory.result_path(other).write_text(json.dumps(result))
    assert differences(reference, other) == []


def test_a_changed_parameter_is_found(reference, other):
    path = directory.checkpoints_path(other)
    state = {"weights": jnp.arange(6.0) + 30, "step": jnp.int32(30)}
    state["weights"] = state["weights"].at[4].set(np.nextafter(np.float32(34), np.float32(99)))
    with checkpoint.open_checkpointer() as checkpointer:
        checkpoint.save(checkpointer, path, 30, state)
        checkpoint.commit(checkpointer, path, 30, 1 / 30, "min")
    assert differences(reference, other) == ["parameter ['weights']"]


def test_an_earlier_last_checkpoint_is_found(reference, other):
    (directory.checkpoints_path(other) / "30.json").unlink()
    assert "last checkpoints: [30] and [20]" in differences(reference, other)


def rewrite(run_dir, lines):
    directory.metrics_path(run_dir).unlink()
    for line in lines:
        records.append_metrics(run_dir, [line])


def test_changed_missing_and_doubled_lines_are_found(reference, other):
    first, second, last = records.read_metrics(other)
    rewrite(other, [first, {**second, "test/loss": 0.051}, last])
    assert differences(reference, other) == ["line 2"]
    rewrite(other, [first, last])
    assert differences(reference, other) == ["3 and 2 lines of metrics"]
    rewrite(other, [first, second, second, last])
    found = differences(reference, other)
    assert found == ["3 and 4 lines of metrics", "epoch 2 has 2 lines"]


def test_a_torn_line_is_found_unless_it_is_the_last(other):
    path = directory.metrics_path(other)
    text = path.read_text()
    path.write_text(text + '{"epoch": 4, "st')
    assert broken_promises(other) == []
    path.write_text(text + '{"epoch": 4, "st\n' + text)
    (found,) = broken_promises(other)
    assert found.startswith("torn: ")
    assert "line 4 is damaged" in found


def test_a_line_without_a_checkpoint_is_found(other):
    records.append_metrics(other, [{"epoch": 4, "step": 40}])
    (found,) = broken_promises(other)
    assert found == "the line of step 40 has no checkpoint: [10, 20, 30]" or "[20, 30]" in found


def test_a_changed_result_is_found(reference, other):
    path = directory.result_path(other)
    path.write_text(path.read_text().replace('"seed": 3', '"seed": 4'))
    assert differences(reference, other) == ["result.json"]
    path.unlink()
    (found,) = differences(reference, other)
    assert "result.json" in found


def test_a_flipped_pixel_and_a_missing_picture_are_found(reference, other):
    samples = directory.samples_path(other, 1)
    pixels = np.array(Image.open(samples))
    pixels[2, 3] ^= 1
    Image.fromarray(pixels).save(samples)
    assert differences(reference, other) == ["samples/epoch_0001.png"]
    samples.unlink()
    assert differences(reference, other) == ["samples/epoch_0001.png"]


def test_a_flipped_pixel_in_the_last_frame_of_an_animation_is_found(reference, other):
    frames = [Image.fromarray(np.full((4, 4), gray, np.uint8)) for gray in (0, 128, 255)]
    frames[2].putpixel((1, 2), 254)
    frames[0].save(other / "training.gif", save_all=True, append_images=frames[1:], loop=0)
    assert differences(reference, other) == ["training.gif"]


def test_a_picture_that_cannot_be_read_is_found(reference, other):
    (other / "training.gif").write_bytes(b"GIF89a")
    assert "training.gif" in differences(reference, other)[0]
