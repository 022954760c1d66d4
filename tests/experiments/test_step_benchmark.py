"""Contenders side by side: who is left out, and what is made of their figures."""

import math

import jax
import pytest
from rich.console import Console

from experiments import contenders, floor, products, step_benchmark
from experiments.contenders import PYTORCH, WORKLOADS, Contender


@pytest.fixture
def measured(monkeypatch):
    """A comparison without measurements; gives the names of those who would be timed."""
    milliseconds = {"jaxgen": [8.0], "products": [4.0], "flop": [2e-9], "byte": [3e-8]}
    timed = []

    def interleave(subjects, rounds):
        timed.extend(subjects)
        return {name: milliseconds[name] for name in subjects}

    monkeypatch.setattr(floor, "rates", lambda: {"flop": None, "byte": None})
    monkeypatch.setattr(floor, "work", lambda workload: floor.Work(flops=10**9, bytes=10**8))
    monkeypatch.setattr(products, "alone", lambda workload: None)
    monkeypatch.setattr(step_benchmark, "build", lambda *args: {"jaxgen": None})
    monkeypatch.setattr(step_benchmark, "interleave", interleave)
    return timed


def test_the_floor_is_products_and_traffic_one_after_the_other(measured):
    least = step_benchmark.compare(WORKLOADS["cgan"], 1, Console())["floor"]
    assert (least["milliseconds"], least["share_of_step"]) == (5.0, 0.625)
    assert math.isclose(least["flops_per_second"], 5e11)
    assert math.isclose(least["bytes_per_second"], 1000 / 3e-8)


def test_products_are_timed_beside_the_step_on_a_cpu_only(measured, monkeypatch):
    record = step_benchmark.compare(WORKLOADS["cgan"], 1, Console())
    assert record["products"]["milliseconds"]["median"] == 4.0
    assert record["products"]["share_of_step"] == 0.5
    assert measured == ["jaxgen", "products", "flop", "byte"]
    measured.clear()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert "products" not in step_benchmark.compare(WORKLOADS["cgan"], 1, Console())
    assert measured == ["jaxgen", "flop", "byte"]


def test_a_compiler_that_does_not_work_is_named_and_left_out(monkeypatch, capsys):
    def broken():
        raise RuntimeError("No C++ compiler\n\nSet TORCH_LOGS for more")

    def makers(workload):
        return {"jaxgen": lambda: Contender(lambda: None, 1), "torch.compile": broken}

    monkeypatch.setattr(step_benchmark, "contenders", makers)
    assert list(step_benchmark.build(WORKLOADS["cgan"], Console())) == ["jaxgen"]
    assert "left out: No C++ compiler\n" in capsys.readouterr().out
    monkeypatch.setattr(step_benchmark, "contenders", lambda workload: {"jaxgen": broken})
    with pytest.raises(RuntimeError):
        step_benchmark.build(WORKLOADS["cgan"], Console())


def test_pytorch_for_another_device_is_left_out(monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    makers = contenders.contenders(WORKLOADS["mlp-vae"])
    theirs = {name: make for name, make in makers.items() if name != "jaxgen"}
    assert tuple(theirs) == PYTORCH
    monkeypatch.setattr(step_benchmark, "contenders", lambda workload: theirs)
    assert step_benchmark.build(WORKLOADS["mlp-vae"], Console(width=200)) == {}
    assert capsys.readouterr().out.count("left out: it is not installed for this GPU.") == 3
