"""A recipe outside of the project trains, resumes, sweeps and is opened like a built-in one."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data import load
from jaxgen.runs import records

JAXGEN = str(Path(sys.executable).parent / "jaxgen")
OPTIONS = ["--dataset", "mnist_5k", "--batch-size", "400"]
ENTRY_POINTS = "[jaxgen.recipes]\nmean = my_package.my_recipe:RECIPE\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with the recipe's module in it."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(Path(__file__).with_name("my_recipe.py"), folder)
    return folder


def jaxgen(*options, cwd, path=None, code=0):
    import os

    env = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(
        [JAXGEN, *map(str, options)], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def test_a_module_trains_resumes_sweeps_and_is_extracted(folder):
    own = ["--recipe", "my_recipe"]
    output = jaxgen("train", *own, *OPTIONS, "--num-seeds", 2, "--run-dir", "run", cwd=folder)
    assert "the mean image is learned after 2 epochs on mnist_5k" in output
    jaxgen("train", *own, "--resume", "run", "--epochs", 3, cwd=folder)
    first, *_, last = records.read_metrics(folder / "run")
    assert last["summary"]["test/error"]["mean"] < first["summary"]["test/error"]["mean"]
    jaxgen("extract", "run", 1, "member", *own, cwd=folder)
    assert "has no names for PyTorch" in jaxgen(
        "export", "member", "x.safetensors", *own, cwd=folder, code=2
    )


def test_it_is_opened_by_the_library(folder, monkeypatch):
    if not (folder / "run").exists():
        jaxgen("train", "--recipe", "my_recipe", *OPTIONS, "--num-seeds", 2, "--epochs", 3,
               "--run-dir", "run", cwd=folder)  # fmt: skip
    monkeypatch.syspath_prepend(folder)
    import my_recipe

    from jaxgen import InputError, load_run

    run = load_run(folder / "run", recipe=my_recipe.RECIPE).member(0)
    mean = load("mnist_5k", "train", image_size=32).image.mean(axis=0) / 255
    np.testing.assert_allclose(run.sample(1)[0], mean, atol=0.15)
    with pytest.raises(InputError, match="has no encoder"):
        run.encode(np.zeros((1, 32, 32, 1), np.uint8))
    with pytest.raises(InputError, match="There is no recipe 'mean', only vae, cgan"):
        load_run(folder / "run")


def test_an_entry_point_is_found_by_name_and_from_the_run(folder, tmp_path):
    """As `pip install` would lay it out."""
    package = tmp_path / "site" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(folder / "my_recipe.py", package)
    info = tmp_path / "site" / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    site = {"path": package.parent, "cwd": tmp_path}
    assert "jaxgen train mean" in jaxgen("train", **site)
    jaxgen("train", "mean", *OPTIONS, "--epochs", 1, "--run-dir", "run", **site)
    jaxgen("train", "--resume", "run", "--epochs", 2, **site)
    assert len(records.read_metrics(tmp_path / "run")) == 2


def test_older_runs_stay_readable_when_a_recipe_gains_an_option(folder, tmp_path):
    own = ["--recipe", "my_recipe"]
    shutil.copy(folder / "my_recipe.py", tmp_path)
    jaxgen("train", *own, *OPTIONS, "--epochs", 1, "--run-dir", "run", cwd=tmp_path)
    code = (tmp_path / "my_recipe.py").read_text()
    gained = code.replace('"""Of Adam."""', '"""Of Adam."""\n    new: int = 5\n    """New."""')
    (tmp_path / "my_recipe.py").write_text(gained)
    jaxgen("train", *own, "--resume", "run", "--epochs", 2, cwd=tmp_path)
    assert len(records.read_metrics(tmp_path / "run")) == 2
    (tmp_path / "my_recipe.py").write_text(code)  # and the older recipe names what it lacks
    message = jaxgen("train", *own, "--resume", "run", "--epochs", 3, cwd=tmp_path, code=2)
    assert "config has new, which this version" in message


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (["--recipe", "nowhere"], "--recipe nowhere: No module named 'nowhere'"),
        (["--recipe", "json"], "--recipe json: the module has no RECIPE"),
        (["--recipe", "typed"], "its RECIPE is not a jaxgen.Recipe"),
        (["nowhere"], "There is no recipe 'nowhere', only vae, cgan"),
        (["--epochs", "3"], "Name a recipe first: vae, cgan, or --recipe MODULE"),
    ],
)
def test_a_recipe_that_is_not_there_is_named(tmp_path, options, hint):
    (tmp_path / "typed.py").write_text("RECIPE = 'a string'\n")
    message = jaxgen("train", *options, cwd=tmp_path, code=2)
    assert hint in " ".join(message.split())


def test_no_module_is_imported_from_a_run_directory(tmp_path, folder):
    """Whatever a run directory says or holds, the code that opens it comes from elsewhere."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "evil.py").write_text("open('pwned', 'w')\n")
    (run_dir / "config.json").write_text('{"format": 2, "recipe": "evil", "module": "evil"}')
    jaxgen("train", "--resume", "run", cwd=tmp_path, code=2)
    jaxgen("extract", "run", 0, "new", cwd=tmp_path, code=2)
    assert not list(tmp_path.rglob("pwned"))
