"""Contenders of known cost, compared; contenders that do not work, skipped; and the table."""

import math
from itertools import chain, repeat

import jax
import pytest
from rich.console import Console

from experiments.benchmark import contenders, floor, products, steps
from experiments.benchmark.contenders import PYTORCH
from experiments.benchmark.timing import Contender
from experiments.benchmark.workloads import WORKLOADS


@pytest.fixture
def known(monkeypatch, clock):
    """10 ms per step of jaxgen, 30 of PyTorch, 5 of Flax, 4 for the products; compiling takes 60 s.

    The machine computes 1e12 operations per second, and moves 1e10 bytes.
    """

    def make(name, seconds, num_steps):
        return lambda *_: clock.contender(name, seconds, num_steps)

    makers = {
        "jaxgen": make("jaxgen", [60, 1, 5, 1], 100),  # disturbed in the second round
        "PyTorch eager": make("PyTorch eager", chain([60], repeat(1.5)), 50),
        "plain Flax in scan": make("plain Flax in scan", chain([60], repeat(1)), 200),
    }
    monkeypatch.setattr(steps, "contenders", lambda workload: makers)
    monkeypatch.setattr(products, "matmuls_only", make("products", repeat(1), 250))
    rates = {"flop": make("flop", repeat(1), 10**12)(), "byte": make("byte", repeat(1), 10**10)()}
    monkeypatch.setattr(floor, "rates", lambda: rates)
    return clock


def test_the_ratio_of_a_contender_is_its_time_over_jaxgen_s(known):
    record = steps.compare(WORKLOADS["cgan"], 3, Console())
    milliseconds = {name: step["median"] for name, step in record["milliseconds_per_step"].items()}
    assert milliseconds == {"jaxgen": 10, "PyTorch eager": 30, "plain Flax in scan": 5}
    ratios = {"jaxgen": 1, "PyTorch eager": 3, "plain Flax in scan": 0.5}
    assert record["jaxgen_is_faster_by"] == pytest.approx(ratios)
    assert record["milliseconds_per_step"]["jaxgen"]["max"] == 50


def test_the_floor_is_the_time_of_all_operations_and_then_of_all_traffic(known):
    least = steps.compare(WORKLOADS["mlp-vae"], 3, Console())["floor"]
    work = floor.work(WORKLOADS["mlp-vae"])
    seconds = work.flops / 1e12 + work.bytes / 1e10
    assert math.isclose(least["milliseconds"], 1000 * seconds)
    assert math.isclose(least["share_of_step"], seconds / 0.010)
    assert math.isclose(least["flops_per_second"], 1e12)
    assert math.isclose(least["bytes_per_second"], 1e10)


def test_products_are_timed_in_turns_with_the_step_on_a_cpu_only(known, monkeypatch):
    record = steps.compare(WORKLOADS["cgan"], 1, Console())
    assert record["products"]["milliseconds"]["median"] == 4
    assert record["products"]["share_of_step"] == pytest.approx(0.4)
    names = ["jaxgen", "PyTorch eager", "plain Flax in scan"]
    assert known.turns == [*names, *names, "products", "flop", "byte"]


def test_products_are_not_timed_on_a_gpu(known, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "products" not in steps.compare(WORKLOADS["cgan"], 1, Console())
    assert "products" not in known.turns


def test_a_compiler_that_does_not_work_is_named_and_skipped(monkeypatch, capsys):
    def broken():
        raise RuntimeError("No C++ compiler\n\nSet TORCH_LOGS for more")

    def makers(workload):
        return {"jaxgen": lambda: Contender(lambda: None, 1), "torch.compile": broken}

    monkeypatch.setattr(steps, "contenders", makers)
    assert list(steps.build(WORKLOADS["cgan"], Console(width=200))) == ["jaxgen"]
    assert "Skipping torch.compile, which does not work here: No C++" in capsys.readouterr().out
    monkeypatch.setattr(steps, "contenders", lambda workload: {"jaxgen": broken})
    with pytest.raises(RuntimeError):
        steps.build(WORKLOADS["cgan"], Console())


def test_pytorch_for_another_device_is_skipped(monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    makers = contenders.contenders(WORKLOADS["mlp-vae"])
    theirs = {name: make for name, make in makers.items() if not name.startswith("jaxgen")}
    assert theirs.keys() == PYTORCH.keys()
    monkeypatch.setattr(steps, "contenders", lambda workload: theirs)
    assert steps.build(WORKLOADS["mlp-vae"], Console(width=200)) == {}
    assert capsys.readouterr().out.count("this PyTorch cannot use the GPU.") == len(PYTORCH)


def test_the_printed_table_shows_all_figures(known, capsys):
    record = steps.compare(WORKLOADS["mlp-vae"], 3, Console())
    starts = {
        start: {"compile_seconds": s, "seconds_to_first_step": s + 2, "peak_memory_mib": 500.0}
        for start, s in (("cold", 9.0), ("cached", 1.5))
    }
    record |= {"startup": {"jaxgen": starts}, "epoch_images_per_second": 1234.5}
    Console(width=80).print(steps.table({"mlp-vae": record}))
    printed = capsys.readouterr().out
    rows = {line[:20].strip(): line[20:].split() for line in printed.splitlines()}
    assert rows["jaxgen"] == ["10.0", "10.0", "to", "50.0", "1.00", "9.0/1.5", "11.0/3.5", "500"]
    assert rows["PyTorch eager"] == ["30.0", "30.0", "to", "30.0", "3.00"]
    assert rows["plain Flax in scan"] == ["5.00", "5.00", "to", "5.00", "0.50"]
    assert rows["products only"] == ["4.00", "4.00", "to", "4.00", "0.40"]
    # 1.111e9 operations and 48.7 MB, counted by hand
    assert rows["floor"] == ["5.98", "0.60"]
    assert rows["whole epoch"] == ["1,234", "img/s"]
