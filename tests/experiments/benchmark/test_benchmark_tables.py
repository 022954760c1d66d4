"""The Markdown tables of the benchmarks."""

import json

import pytest

from experiments.benchmark import tables


def record(**medians: float) -> dict:
    """The record of a workload with these medians."""
    steps = {
        name.replace("_", " "): {"median": ms, "min": 0.98 * ms, "max": 1.02 * ms, "rounds": [ms]}
        for name, ms in medians.items()
    }
    return {
        "title": "conv VAE 32x32x1, batch 64",
        "milliseconds_per_step": steps,
        "floor": {"milliseconds": 25.0, "share_of_step": 25.0 / medians["jaxgen"]},
    }


def rows(tmp_path, *records):
    environment = {"backend": "cpu", "cpu_count": 2, "device": "cpu", "num_devices": 1}
    workloads = {str(i): record for i, record in enumerate(records)}
    path = tmp_path / "benchmark_cpu.json"
    path.write_text(json.dumps({"environment": environment, "workloads": workloads}))
    _, _, *rows = tables.benchmark_table(tmp_path).splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_speedup_is_over_the_faster_of_eager_and_compiled_pytorch(tmp_path):
    others = {"torch.compile": 105.0, "plain Flax in scan": 2500.0}
    whole = record(jaxgen=50.0, PyTorch_eager=120.0, **others)
    (row,) = rows(tmp_path, whole | {"products": {"share_of_step": 0.6}})
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


def test_what_was_not_measured_is_left_empty(tmp_path):
    eager, neither = rows(tmp_path, record(jaxgen=50.0, PyTorch_eager=120.0), record(jaxgen=50.0))
    assert eager[2:6] == ["120", "", "**2.40**", ""]
    assert neither[2:7] == ["", "", "", "", ""]


def test_torch_compile_is_its_faster_mode(tmp_path):
    compiled = {"torch.compile": 7.5, "torch.compile, CUDA graphs": 3.5}
    (row,) = rows(tmp_path, record(jaxgen=0.5, PyTorch_eager=7.0, **compiled))
    assert row[1:5] == ["0.500 (0.490 to 0.510)", "7.00", "3.50", "**7.00**"]


def test_streams_are_compared_with_memory(tmp_path):
    steps = {"memory": {"median": 2.0}, "stream": {"median": 2.2}}
    record = {
        "title": "MLP VAE",
        "milliseconds_per_step": steps,
        "stream_to_memory": 1.1,
        "source_images_per_second": 1_280_000.4,
    }
    environment = {"backend": "gpu", "num_devices": 2, "device": "H100"}
    path = tmp_path / "stream_gpu.json"
    path.write_text(json.dumps({"environment": environment, "workloads": {"mlp-vae": record}}))
    *_, row = tables.stream_table(tmp_path).splitlines()
    assert row == "| MLP VAE, 2 x H100 | 2.00 | 2.20 | **1.100** | 1,280,000 |"


@pytest.mark.parametrize(
    ("number", "digits"), [(2074.3, "2074"), (104.6, "105"), (25.04, "25.0"), (0.4376, "0.438")]
)
def test_numbers_have_three_digits(number, digits):
    assert tables.three_digits(number) == digits
