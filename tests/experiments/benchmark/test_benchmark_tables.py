"""The Markdown tables of the benchmarks."""

import json

import pytest

from experiments.benchmark import step_tables, tables

PROCESSOR = {"name": "AMD EPYC 9R14", "family_model_stepping": "25/17/1"}
STEPS = {
    "jaxgen": 50.0,
    "jaxgen, bfloat16": 40.0,
    "PyTorch eager": 120.0,
    "torch.compile": 105.0,
    "torch.compile, tuned": 75.0,
    "PyTorch eager, tuned, bfloat16": 70.0,
    "torch.compile, tuned, bfloat16": 60.0,
    "plain Flax in scan": 2500.0,
}


def record(medians, floor=25.0):
    steps = {
        name: {"median": time, "min": time - 1, "max": time + 1} for name, time in medians.items()
    }
    ours = medians["jaxgen"]
    return {
        "title": "conv VAE 32x32x1, batch 64",
        "milliseconds_per_step": steps,
        "jaxgen_is_faster_by": {name: time / ours for name, time in medians.items()},
        "floor": {"milliseconds": floor, "share_of_step": floor / ours},
    }


def write(results, name, *records, **environment):
    environment = {"backend": "cpu", "cpu_count": 2, "num_devices": 1, **environment}
    workloads = {str(i): record for i, record in enumerate(records)}
    path = results / f"benchmark_{name}.json"
    path.write_text(json.dumps({"environment": environment, "workloads": workloads}))


def rows(results):
    _, _, *rows = step_tables.step_table(results).splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_speedup_is_over_the_fastest_pytorch(tmp_path):
    whole = record(STEPS) | {"products": {"share_of_step": 0.6}}
    write(tmp_path, "cpu", whole, processor=PROCESSOR)
    assert rows(tmp_path) == [
        [
            "conv VAE 32x32x1, batch 64",
            "2 cores of AMD EPYC 9R14 (25/17/1)",
            "50.0 (49.0 to 51.0)",
            "75.0 (torch.compile, tuned)",
            "**1.50** (3.00)",
            "40.0, 60.0 (**1.50**)",
            "120",
            "2500",
            "60%",
            "50%",
        ]
    ]


def test_what_was_not_measured_is_left_empty(tmp_path):
    write(
        tmp_path, "cpu", record({"jaxgen": 50.0, "PyTorch eager": 120.0}), record({"jaxgen": 50.0})
    )
    eager, neither = rows(tmp_path)
    assert eager[1] == "2 CPU cores"
    assert eager[3:9] == ["120 (PyTorch eager)", "**2.40** (4.80)", "", "120", "", ""]
    assert neither[3:9] == ["", "", "", "", "", ""]


def test_in_bfloat16_jaxgen_may_be_alone(tmp_path):
    write(tmp_path, "cpu", record({"jaxgen": 50.0, "jaxgen, bfloat16": 40.0}))
    ((*_, bfloat16, _, _, _, _),) = rows(tmp_path)
    assert bfloat16 == "40.0"


def test_the_headline_is_the_range_over_the_rows_with_a_tuned_pytorch(tmp_path):
    slower = record(STEPS | {"torch.compile, tuned": 60.0}, floor=30.0)
    write(tmp_path, "cpu", record(STEPS), slower)
    untuned = record({"jaxgen": 1.0, "PyTorch eager": 50.0})
    write(tmp_path, "gpu", untuned, backend="gpu", device="H100")
    assert step_tables.headline(tmp_path) == (
        "Training steps are **1.20 to 1.50 times** as fast as the fastest PyTorch; "
        "the floor is 50% to 60% of a step (2 CPU cores)."
    )


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
