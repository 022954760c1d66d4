"""A recipe outside of the project trains, resumes, sweeps and is opened like a built-in one."""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import my_recipe
import numpy as np
import pytest

from jaxgen import InputError, load_run
from jaxgen.commands.main import main
from jaxgen.data import load
from jaxgen.runs import records

JAXGEN = str(Path(sys.executable).parent / "jaxgen")
OPTIONS = ["--dataset", "mnist_5k", "--batch-size", "400"]
ENTRY_POINTS = "[jaxgen.recipes]\nmean = my_package.my_recipe:RECIPE\n"


def jaxgen(*options, cwd, path=None, code=0):
    """The output of the command in a process."""
    env = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
    done = subprocess.run(
        [JAXGEN, *map(str, options)], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def here(monkeypatch, capsys):
    """The same in this process."""

    def here(*options, cwd, path=None, code=0):
        with monkeypatch.context() as patch:
            patch.chdir(cwd)
            patch.setattr(sys, "path", [*([] if path is None else [str(path)]), *sys.path])
            patch.setattr(sys, "argv", ["jaxgen", *map(str, options)])
            with contextlib.nullcontext() if code == 0 else pytest.raises(SystemExit) as stop:
                main()
        if stop is not None:
            assert stop.value.code == code
        return "".join(capsys.readouterr())

    return here


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A working directory with the recipe's module, a run of it, and the output of that."""
    folder = tmp_path_factory.mktemp("own")
    shutil.copy(Path(__file__).with_name("my_recipe.py"), folder)
    own = ["--recipe", "my_recipe", *OPTIONS, "--num-seeds", 2, "--run-dir", "run"]
    return folder, jaxgen("train", *own, cwd=folder)


def test_a_module_trains_resumes_sweeps_and_is_extracted(trained, here, tmp_path):
    folder, output = trained
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    own = ["--recipe", "my_recipe"]
    assert "the mean image is learned after 2 epochs on mnist_5k" in output
    jaxgen("train", *own, "--resume", "run", "--epochs", 3, cwd=tmp_path)
    first, *_, last = records.read_metrics(tmp_path / "run")
    assert last["summary"]["test/error"]["mean"] < first["summary"]["test/error"]["mean"]
    at_the_end = (tmp_path / "run" / "report.html").read_text()
    here("report", "run", *own, "--output", "again.html", cwd=tmp_path)
    for text in (at_the_end, (tmp_path / "again.html").read_text()):
        assert "The mean image is learned." in text
        assert "Missing from this report" not in text
    here("extract", "run", 1, "member", *own, cwd=tmp_path)
    message = here("export", "member", "x.safetensors", *own, cwd=tmp_path, code=2)
    assert "define its torch_names" in message


def test_it_is_opened_by_the_library(trained):
    folder, _ = trained
    run = load_run(folder / "run", recipe=my_recipe.RECIPE).member(0)
    mean = load("mnist_5k", "train", image_size=32).image.mean(axis=0) / 255
    np.testing.assert_allclose(run.sample(1)[0], mean, atol=0.3)
    with pytest.raises(InputError, match="has no encoder"):
        run.encode(np.zeros((1, 32, 32, 1), np.uint8))
    with pytest.raises(InputError, match="There is no recipe 'mean', only vae, cgan"):
        load_run(folder / "run")


def test_an_entry_point_is_found_by_name_and_from_the_run(here, tmp_path):
    """As `pip install` would lay it out."""
    package = tmp_path / "site" / "my_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    shutil.copy(Path(__file__).with_name("my_recipe.py"), package)
    info = tmp_path / "site" / "my_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    site = {"path": package.parent, "cwd": tmp_path}
    assert "jaxgen train mean" in here("train", **site)
    here("train", "mean", *OPTIONS, "--epochs", 1, "--run-dir", "run", **site)
    jaxgen("train", "--resume", "run", "--epochs", 2, **site)
    assert len(records.read_metrics(tmp_path / "run")) == 2


@pytest.mark.slow
def test_older_runs_stay_readable_when_a_recipe_gains_an_option(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path, dirs_exist_ok=True)
    resume = ["train", "--recipe", "my_recipe", "--resume", "run"]
    code = (tmp_path / "my_recipe.py").read_text()
    gained = code.replace('"""Of Adam."""', '"""Of Adam."""\n    new: int = 5\n    """New."""')
    (tmp_path / "my_recipe.py").write_text(gained)
    jaxgen(*resume, "--epochs", 3, cwd=tmp_path)
    assert len(records.read_metrics(tmp_path / "run")) == 3
    (tmp_path / "my_recipe.py").write_text(code)  # and the older recipe names what it lacks
    message = jaxgen(*resume, "--epochs", 4, cwd=tmp_path, code=2)
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
def test_a_recipe_that_is_not_there_is_named(here, tmp_path, options, hint):
    (tmp_path / "typed.py").write_text("RECIPE = 'a string'\n")
    message = here("train", *options, cwd=tmp_path, code=2)
    assert hint in " ".join(message.split())


def test_no_module_is_imported_from_a_run_directory(here, tmp_path):
    """Whatever a run directory says or holds, the code that opens it comes from elsewhere."""
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "evil.py").write_text("open('pwned', 'w')\n")
    (run_dir / "config.json").write_text('{"format": 2, "recipe": "evil", "module": "evil"}')
    here("train", "--resume", "run", cwd=tmp_path, code=2)
    here("extract", "run", 0, "new", cwd=tmp_path, code=2)
    assert not list(tmp_path.rglob("pwned"))
