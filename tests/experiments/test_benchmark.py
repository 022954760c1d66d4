"""The benchmark: its turns, its tables, and what it says without PyTorch."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from rich.console import Console

from experiments import alone, benchmark, contenders, launch, step_benchmark, tables, turns
from experiments.contenders import WORKLOADS, Contender
from jaxgen.errors import InputError


class Clock:
    """A clock that only contenders move, and the order in which they do."""

    def __init__(self):
        self.now, self.turns = 0.0, []

    def contender(self, name: str, seconds: float, num_steps: int) -> Contender:
        def run():
            self.turns.append(name)
            self.now += seconds

        return Contender(run, num_steps)


def test_contenders_take_turns_there_and_back(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(turns.time, "perf_counter", lambda: clock.now)
    subjects = {"slow": clock.contender("slow", 2.0, 4), "fast": clock.contender("fast", 0.25, 5)}
    figures = turns.interleave(subjects, rounds=3)
    there, back = ["slow", "fast", "fast", "fast"], ["fast", "fast", "fast", "slow"]
    assert clock.turns == there + back + there
    assert figures == {"slow": [500.0] * 3, "fast": [50.0] * 3}


def test_both_sides_train_models_of_one_size():
    pytest.importorskip("torch")
    from experiments import course

    models = {
        "conv-vae-64": [course.VanillaVAE((3, 64, 64))],
        "mlp-vae": [course.MLPVAE((1, 32, 32))],
        "cgan": [course.Generator((1, 32, 32)), course.Discriminator((1, 32, 32))],
    }
    for name, networks in models.items():
        learner, hypers = contenders.make_learner(WORKLOADS[name])
        state = jax.eval_shape(learner.init, jax.random.key(0), hypers)
        states = state[:2] if name == "cgan" else state[:1]
        ours = sum(leaf.size for s in states for leaf in jax.tree.leaves(s.params))
        assert ours == sum(p.numel() for network in networks for p in network.parameters())


def record(**medians: float) -> dict:
    """A workload's record with these medians."""
    steps = {
        name.replace("_", " "): {"median": ms, "min": 0.98 * ms, "max": 1.02 * ms, "rounds": [ms]}
        for name, ms in medians.items()
    }
    return {
        "title": "conv VAE 32x32x1, batch 64",
        "milliseconds_per_step": steps,
        "jaxgen_is_faster_by": {n: s["median"] / medians["jaxgen"] for n, s in steps.items()},
        "floor": {"milliseconds": 25.0, "share_of_step": 25.0 / medians["jaxgen"]},
    }


WHOLE = record(
    jaxgen=50.0, PyTorch_eager=120.0, **{"torch.compile": 105.0}, plain_Flax_in_scan=2500.0
)
PRODUCTS = {
    "milliseconds": {"median": 30.0, "min": 29.4, "max": 30.6, "rounds": [30.0]},
    "share_of_step": 0.6,
}
STARTS = {
    start: {"compile_seconds": s, "seconds_to_first_step": s + 2, "peak_memory_mib": 500.0}
    for start, s in (("cold", 9.0), ("cached", 1.5))
}


def test_the_printed_table_shows_all_figures(capsys):
    whole = WHOLE | {
        "alone": {"jaxgen": STARTS},
        "products": PRODUCTS,
        "epoch_images_per_second": 1234.5,
    }
    Console(width=80).print(step_benchmark.table({"conv-vae": whole}))
    printed = capsys.readouterr().out
    rows = {line[:20].strip(): line[20:].split() for line in printed.splitlines()}
    jaxgen = ["50.0", "49.0", "to", "51.0", "1.00", "9.0/1.5", "11.0/3.5", "500"]
    assert rows["jaxgen"] == jaxgen
    assert rows["torch.compile"] == ["105", "103", "to", "107", "2.10"]
    assert rows["plain Flax in scan"] == ["2500", "2450", "to", "2550", "50.00"]
    assert rows["its products"] == ["30.0", "29.4", "to", "30.6", "0.60"]
    assert rows["floor"] == ["25.0", "0.50"]
    assert rows["whole epoch"] == ["1,234", "img/s"]


def readme_rows(tmp_path, *records):
    environment = {"backend": "cpu", "cpu_count": 2, "device": "cpu", "num_devices": 1}
    workloads = {str(i): record for i, record in enumerate(records)}
    path = tmp_path / "benchmark_cpu.json"
    path.write_text(json.dumps({"environment": environment, "workloads": workloads}))
    _, _, *rows = tables.benchmark_table(tmp_path).splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_readme_s_table_compares_with_the_faster_of_pytorch_s_two(tmp_path):
    (row,) = readme_rows(tmp_path, WHOLE | {"products": PRODUCTS})
    assert row == [
        "conv VAE 32x32x1, batch 64, 2 CPU cores",
        "50.0 (49.0 to 51.0)",
        "120",
        "105",
        "**2.10**",
        "2500",
        "60%",
        "50%",
    ]


def test_the_readme_s_table_leaves_out_what_was_not_measured(tmp_path):
    eager, neither = readme_rows(
        tmp_path, record(jaxgen=50.0, PyTorch_eager=120.0), record(jaxgen=50.0)
    )
    assert eager[2:6] == ["120", "", "**2.40**", ""]
    assert neither[2:7] == ["", "", "", "", ""]


def test_the_readme_s_table_takes_the_faster_mode_of_torch_compile(tmp_path):
    compiled = {"torch.compile": 7.5, "torch.compile, CUDA graphs": 3.5}
    (row,) = readme_rows(tmp_path, record(jaxgen=0.5, PyTorch_eager=7.0, **compiled))
    assert row[1:5] == ["0.500 (0.490 to 0.510)", "7.00", "3.50", "**7.00**"]


@pytest.mark.parametrize(
    ("number", "digits"), [(2074.3, "2074"), (104.6, "105"), (25.04, "25.0"), (0.4376, "0.438")]
)
def test_numbers_have_three_digits(number, digits):
    assert tables.three_digits(number) == digits


def test_a_gpu_also_has_cuda_graphs_and_as_long_a_scan_for_flax(monkeypatch):
    monkeypatch.setattr(contenders, "has_torch", lambda: True)
    assert contenders.CUDA_GRAPHS not in contenders.contenders(WORKLOADS["cgan"])
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    makers = contenders.contenders(WORKLOADS["conv-vae"])
    assert makers[contenders.CUDA_GRAPHS].keywords == {"compiled": "reduce-overhead"}
    assert makers["plain Flax in scan"].args[-1] == contenders.CHUNK_STEPS


@pytest.fixture
def measured(monkeypatch):
    """`main` without measurements."""
    monkeypatch.setattr(launch, "keep_compiled_programs", lambda: None)
    monkeypatch.setattr(step_benchmark, "compare", lambda *args: WHOLE)


def test_without_pytorch_its_columns_are_left_out_with_a_note(monkeypatch, capsys, measured):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert list(contenders.contenders(WORKLOADS["cgan"])) == ["jaxgen"]
    benchmark.main(benchmark.Config(workloads=("cgan",), alone=False))
    assert "PyTorch is not installed, and left out" in capsys.readouterr().out


def test_the_results_are_written_with_their_environment(tmp_path, measured):
    output = tmp_path / "benchmark_cpu.json"
    benchmark.main(
        benchmark.Config(workloads=("cgan", "mlp-vae"), rounds=3, alone=False, output=output)
    )
    results = json.loads(output.read_text())
    assert results["workloads"] == {"cgan": WHOLE, "mlp-vae": WHOLE}
    assert results["rounds"] == 3
    assert results["environment"]["convolution"] == "matmul"
    assert results["environment"]["load_before"] >= 0


def test_what_was_measured_before_an_interruption_is_kept(tmp_path, measured, monkeypatch, capsys):
    def compare(workload, *args):
        if workload.model == "cGAN":
            raise KeyboardInterrupt
        return WHOLE

    monkeypatch.setattr(step_benchmark, "compare", compare)
    output = tmp_path / "benchmark_cpu.json"
    with pytest.raises(KeyboardInterrupt):
        benchmark.main(benchmark.Config(workloads=("mlp-vae", "cgan"), alone=False, output=output))
    assert json.loads(output.read_text())["workloads"] == {"mlp-vae": WHOLE}
    assert "2.10" in capsys.readouterr().out


def test_a_full_disk_costs_no_result(measured, capsys):
    with pytest.raises(OSError, match="No space left"):
        benchmark.main(benchmark.Config(workloads=("cgan",), alone=False, output=Path("/dev/full")))
    assert "2.10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [({"rounds": 0}, "--rounds"), ({"output": Path("nowhere/x.json")}, "no directory nowhere")],
)
def test_what_cannot_be_done_is_said_before_measuring(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        benchmark.main(benchmark.Config(**options))


def test_jaxgen_s_own_process_does_not_load_pytorch():
    program = (
        "import sys; from experiments import alone, contenders;"
        "contenders.contenders(contenders.WORKLOADS['cgan']);"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_peak_memory_is_that_of_this_process():
    block = bytearray(os.urandom(2**20)) * 64
    assert alone.peak_memory_mib() > len(block) / 2**20
    assert alone.peak_memory_mib() < 64 * 1024


@pytest.mark.slow
def test_a_benchmark_runs_as_its_user_runs_it(tmp_path):
    options = ["--workloads", "mlp-vae", "--rounds", "2", "--no-alone", "--output", "out.json"]
    command = [sys.executable, "-m", "experiments.benchmark", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "MLP VAE 32x32x1" in done.stdout
    workload = json.loads((tmp_path / "out.json").read_text())["workloads"]["mlp-vae"]
    steps = workload["milliseconds_per_step"]
    assert set(steps) == set(contenders.contenders(WORKLOADS["mlp-vae"]))
    for step in steps.values():
        assert 0 < step["min"] <= step["median"] <= step["max"]
        assert len(step["rounds"]) == 2
    for part in ("products", "floor"):
        assert 0.1 < workload[part]["share_of_step"] < 1.5  # more than 1 where others disturb
    assert math.isclose(workload["jaxgen_is_faster_by"]["jaxgen"], 1)


@pytest.mark.slow
def test_a_second_start_finds_what_the_first_has_compiled():
    starts = alone.two_starts("mlp-vae", "jaxgen")
    assert starts["cached"]["compile_seconds"] < starts["cold"]["compile_seconds"]
    for start in starts.values():
        assert start["seconds_to_first_step"] > start["compile_seconds"]
        assert start["peak_memory_mib"] > 100
