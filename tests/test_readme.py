"""The README tells the truth: its code runs and its tables are those of the committed results."""

import importlib
import json
import re
from pathlib import Path

import pytest

from experiments import tables

README = Path(__file__).parent.parent / "README.md"


def test_tables_are_those_of_the_committed_results():
    text = README.read_text()
    assert tables.fill(text, tables.RESULTS) == text


def test_a_changed_result_changes_the_table(tmp_path):
    for path in tables.RESULTS.glob("*.json"):
        digits = re.sub(r'("test/negative_elbo_nats": )[\d.]+', r"\g<1>12.25", path.read_text())
        (tmp_path / path.name).write_text(digits)
    assert "**12.25**" in tables.fill(README.read_text(), tmp_path)


def test_the_seeds_of_a_command_share_a_row(tmp_path):
    for seed, share in enumerate((0.9, 0.8)):
        result = json.loads((tables.RESULTS / "cgan_builtin.json").read_text())
        result["environment"]["command"] = f"python -m experiments.cgan_mnist --seed {seed}"
        result["metrics"]["test/recognised"] = share
        result["config"]["seed"] = seed
        (tmp_path / f"cgan_{seed}.json").write_text(json.dumps(result))
    *_, row = tables.cgan_table(tmp_path).splitlines()
    assert row.startswith("| `python -m experiments.cgan_mnist` | **85.00%** ± 7.07% (96.40% of")
    assert "| 0, 1 |" in row


@pytest.mark.slow
def test_the_library_example_runs_as_it_stands(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names = {}
    exec(code.replace("num_epochs=3", "num_epochs=1"), names)
    assert names["images"].shape == (16, 32, 32, 1)
    assert "62" in capsys.readouterr().out


def test_what_the_course_table_names_exists():
    table = README.read_text().partition("## From the course")[2].partition("\n\nWhere")[0]
    names = re.findall(r"`(jaxgen\.[\w.]+)`", table)
    assert len(names) > 8
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name


def test_a_table_is_filled_in_and_nothing_else_changes(tmp_path):
    places = [f"<!-- table: {name} -->\n<!-- end -->\n" for name in tables.TABLES]
    text = "before\n" + "between\n".join(places) + "after\n"
    filled = tables.fill(text, tables.RESULTS)
    assert filled.startswith("before\n<!-- table: vae -->\n| command")
    assert "|\n<!-- end -->\nbetween\n<!-- table: benchmark -->\n| training step" in filled
    assert filled.endswith("|\n<!-- end -->\nafter\n")
    assert tables.fill(filled, tables.RESULTS) == filled
