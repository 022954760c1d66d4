"""The package as it is installed: from a wheel, in an empty folder, beside the user's own files."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from running import SMALL

from jaxgen.runs import records

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip install .` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", str(folder), str(ROOT)], check=True)
    (path,) = folder.glob("jaxgen-*.whl")
    return path


def test_it_holds_jaxgen_alone(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"jaxgen"}
    assert "jaxgen/py.typed" in names
    assert "jaxgen/data/mnist_5k.npz" in names
    assert {"jaxgen/report/script.js", "jaxgen/report/style.css"} <= set(names)


def test_it_trains_in_an_empty_folder_beside_a_folder_of_the_name_experiments(wheel, tmp_path):
    site, cwd = tmp_path / "site", tmp_path / "empty"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site)]
    subprocess.run([*pip, str(wheel)], check=True)
    (cwd / "experiments").mkdir(parents=True)
    (cwd / "experiments" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    env = os.environ | {"PYTHONPATH": f"{site}{os.pathsep}{cwd}"}
    for options in (
        ["train", "vae", *SMALL, "--model", "mlp", "--hidden-dims", "8", "--epochs", "1"],
        ["export", "runs/vae-1", "weights.safetensors"],
    ):
        command = [sys.executable, str(site / "bin" / "jaxgen"), *options]
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert len(records.read_metrics(cwd / "runs" / "vae-1")) == 1
    assert (cwd / "weights.safetensors").is_file()
