"""Imports run in one direction, and the public names are found without importing everything."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import jaxgen

ROOT = Path(__file__).parent.parent
# Each level may import those before it, and files of the same name among themselves.
LEVELS = [
    {"errors"},
    {"console", "types"},
    {"batch", "networks", "pixels"},
    {"primitives"},
    {"matmul", "torch_layers", "windows"},
    {"convolution"},
    {"layers"},
    {"normalization"},
    {"data", "vae", "gan"},
    {"training"},
    {"evaluation", "interop"},
    {"runs"},
    {"pictures"},
    {"recipes"},
    {"runner"},
    {"report"},
    {"commands"},
    {"experiments"},
]
WITHOUT_FILES = ("vae", "gan", "evaluation", "training")
LEVEL_OF = {name: level for level, names in enumerate(LEVELS) for name in names}


def part_of(module):
    """The part of the project that a module belongs to, or None."""
    head, *rest = module.split(".")
    if head == "experiments":
        return head
    return rest[0] if head == "jaxgen" and rest else None


@cache
def imports():
    """All imports between two parts of the project: file, part, imported part."""
    found = []
    for folder in ("jaxgen", "experiments"):
        for path in (ROOT / folder).rglob("*.py"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            part = part_of(module)
            if module == "jaxgen.__init__":
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
                found += [(path, part, target) for n in names if (target := part_of(n))]
    return [edge for edge in found if edge[1] != edge[2] and edge[2] in LEVEL_OF]


def test_the_check_sees_the_imports_that_there_are():
    edges = {(part, target) for _, part, target in imports()}
    assert {("vae", "types"), ("runner", "training"), ("experiments", "commands")} <= edges
    assert all(part in LEVEL_OF for part, _ in edges)


def test_no_import_runs_upwards_or_sideways():
    wrong = {
        f"{path.relative_to(ROOT)} imports {target}"
        for path, part, target in imports()
        if LEVEL_OF[target] >= LEVEL_OF[part]
    }
    assert not wrong


@pytest.mark.parametrize("part", WITHOUT_FILES)
def test_the_mathematics_does_not_touch_files(part):
    for path in (ROOT / "jaxgen" / part).glob("*.py"):
        if path.name in ("checkpoint.py", "saved_arrays.py", "torch_names.py"):
            continue
        names = {
            name
            for node in ast.walk(ast.parse(path.read_text()))
            for name in (
                [node.func.id]
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert not names & {"open", "print", "pathlib", "shutil", "json"}, path


@pytest.mark.parametrize("folder", ["commands", "runner", "runs", "report"])
def test_nothing_is_decided_by_the_name_of_a_recipe(folder):
    for path in (ROOT / "jaxgen" / folder).glob("*.py"):
        strings = {
            node.value.lower()
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        assert not strings & {"vae", "cgan", "gan"}, path
        edges = {target for file, _, target in imports() if file == path}
        assert not edges & {"vae", "gan"}, path
        assert "recipes.vae" not in path.read_text(), path
        assert "recipes.cgan" not in path.read_text(), path


def test_public_names_are_there():
    assert set(jaxgen.__all__) == set(jaxgen._MODULES)
    assert 10 <= len(jaxgen.__all__) <= 20
    for name in jaxgen.__all__:
        assert getattr(jaxgen, name).__name__ == name
        assert name in dir(jaxgen)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = jaxgen.nothing


def test_importing_jaxgen_alone_imports_nothing_else():
    program = (
        "import sys, jaxgen; print(*sorted({'jax', 'flax', 'orbax', 'tyro'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_a_run_starts_without_importing_orbax():
    program = "import sys; import jaxgen.runner.train; print('orbax' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
