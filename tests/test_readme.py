"""The README files tell the truth: code runs, and tables are those of the committed results."""

import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import jaxgen
from experiments import readme_tables
from jaxgen.commands.train import main
from jaxgen.recipes import vae

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.parametrize(
    "path", readme_tables.DOCUMENTS, ids=lambda path: str(path.relative_to(README.parent))
)
def test_tables_are_those_of_the_committed_results(path):
    text = path.read_text()
    assert readme_tables.fill(text, readme_tables.RESULTS) == text


@pytest.mark.parametrize("name", readme_tables.TABLES)
def test_every_table_stands_in_a_document(name):
    texts = [path.read_text() for path in readme_tables.DOCUMENTS if path.exists()]
    assert any(f"<!-- table: {name} -->" in text for text in texts)


def marked(*names: str) -> str:
    return "".join(f"<!-- table: {name} -->\n<!-- end -->\n" for name in names)


def test_a_table_is_filled_and_nothing_else_changes():
    text = f"before\n{marked('vae')}between\n{marked('benchmark', 'vae')}after\n"
    filled = readme_tables.fill(text, readme_tables.RESULTS)
    assert filled.startswith("before\n<!-- table: vae -->\n| command")
    assert "|\n<!-- end -->\nbetween\n<!-- table: benchmark -->\n| training step" in filled
    assert filled.count("| command |") == 2
    assert filled.endswith("|\n<!-- end -->\nafter\n")
    assert readme_tables.fill(filled, readme_tables.RESULTS) == filled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (marked("vea"), "no table vea: choose from main,"),
        (f"<!-- table: vae -->\n{marked('cgan')}", "has no end: add the line <!-- end -->"),
        (f"{marked('vae')}<!-- table: cgan -->\n", "has no end: add the line <!-- end -->"),
    ],
)
def test_unknown_and_unfinished_tables_are_errors(text, message):
    with pytest.raises(ValueError, match=message):
        readme_tables.fill(text, readme_tables.RESULTS)


def test_a_changed_result_changes_its_table(tmp_path):
    result = json.loads((readme_tables.RESULTS / "vae_builtin.json").read_text())
    result["metrics"]["test/negative_elbo_nats"] = 12.25
    result["training"]["seed"] = 7
    (tmp_path / "vae_builtin.json").write_text(json.dumps(result))
    *_, row = readme_tables.vae_table(tmp_path).splitlines()
    command = result["environment"]["command"]
    assert row.startswith(f"| `{command}` | **12.25** | mnist_5k, seed 7, ")


def test_the_seeds_of_a_command_share_a_row(tmp_path):
    result = json.loads((readme_tables.RESULTS / "cgan_builtin.json").read_text())
    for seed, share in enumerate((0.9, 0.8)):
        result["environment"]["command"] = f"python -m experiments.cgan_mnist --seed {seed}"
        result["metrics"] |= {"test/recognized": share, "test/recognized_real": 0.964}
        result["training"]["seed"] = seed
        (tmp_path / f"cgan_{seed}.json").write_text(json.dumps(result))
    *_, row = readme_tables.cgan_table(tmp_path).splitlines()
    assert row.startswith("| `python -m experiments.cgan_mnist` | **85.00%** ± 7.07% (96.40% of")
    assert "| 0, 1 |" in row


def test_a_study_is_summarized_over_its_members(tmp_path):
    result = json.loads((readme_tables.RESULTS / "study_vae_mlp.json").read_text())
    score = {"mean": 116.0, "std": 0.5, "min": 115.25, "max": 117.75}
    result["metrics"]["summary"]["test/negative_elbo_nats"] = score
    result["training"]["num_seeds"] = 4
    (tmp_path / "study_vae_mlp.json").write_text(json.dumps(result))
    *_, row = readme_tables.study_table(tmp_path).splitlines()
    assert "| **116.00** ± 0.50 | 115.25, 117.75 | mnist_5k, 4 seeds, " in row


def test_the_main_table_has_single_runs_and_populations(tmp_path):
    population = json.loads((readme_tables.RESULTS / "main_vae_mnist_5k.json").read_text())
    score = {"mean": 100.0, "std": 2.5}
    population["metrics"]["summary"]["test/negative_elbo_nats"] = score
    population["training_seconds"] = 360.0
    single = json.loads((readme_tables.RESULTS / "main_cgan_mnist.json").read_text())
    single["metrics"]["test/recognized"] = 0.9876
    for name, result in {"main_b": population, "main_a": single}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(result))
    _, _, first, second = readme_tables.main_table(tmp_path).splitlines()
    assert "| negative ELBO **100.00** ± 2.50 nats | 3 | mnist_5k, 25 epochs, 2.0 min" in first
    assert "--num-seeds" not in first
    assert "| **98.8%** of samples recognized | 1 | mnist, 12 epochs, " in second


def code_with(word):
    """The Python example that contains a word."""
    (code,) = (
        c for c in re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL) if word in c
    )
    return code


def test_the_library_example_trains_eight_seeds(capsys):
    names = {}
    code = code_with("vmap").replace("num_epochs=3", "num_epochs=1")
    exec(code.replace("MLPVAE()", "MLPVAE(latent_dim=4, hidden_dims=(32,))"), names)
    assert names["images"].shape == (8, 16, 32, 32, 1)
    bounds = np.array(capsys.readouterr().out.strip(" []\n").split(), float)
    assert bounds.shape == (8,)
    assert (bounds < 650).all()  # an untrained model is at 700


def test_the_notebook_example_opens_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = [
        "--dataset",
        "mnist_5k",
        "--model",
        "mlp",
        "--hidden-dims",
        "8",
        "--batch-size",
        "400",
        "--epochs",
        "1",
        "--no-report",
    ]
    main(vae.RECIPE, program="test", args=options)
    names: dict[str, Any] = {"jaxgen": jaxgen}
    exec(code_with("load_run"), names)
    assert names["images"].shape == (64, 32, 32, 1)


def test_what_the_course_table_names_exists():
    table = README.read_text().partition("## From the course")[2].partition("\n\nWhere")[0]
    names = re.findall(r"`(jaxgen\.[\w.]+)`", table)
    assert len(names) > 8
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
