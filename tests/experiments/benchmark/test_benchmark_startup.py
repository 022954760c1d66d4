"""Processes of their own: compile time, memory, whole epochs and studies, at known cost."""

import json
import os
from itertools import chain, repeat

import pytest

from experiments.benchmark import startup
from experiments.benchmark.workloads import WORKLOADS
from jaxgen.errors import InputError


def test_the_second_run_tells_what_the_first_took_to_compile(monkeypatch, clock):
    """5 s to build, 8 to compile, and 2 for a run of four steps."""

    def make():
        clock.now += 5
        return clock.contender("jaxgen", [8 + 2, 2], num_steps=4)

    monkeypatch.setattr(startup, "contenders", lambda workload: {"jaxgen": make})
    record = startup.measure("jaxgen", WORKLOADS["cgan"])
    assert record["compile_seconds"] == 5 + 8
    assert record["first_step_at"] == 5 + 8 + 0.5


def test_an_epoch_s_throughput_counts_its_images_in_its_whole_time(monkeypatch):
    def run(command, **rest):
        run_dir = command[command.index("--run-dir") + 1]
        os.makedirs(run_dir)
        with open(f"{run_dir}/metrics.jsonl", "w") as file:
            for step, time in ((30, 100.0), (60, 109.0), (90, 112.0)):  # the first epochs compile
                file.write(json.dumps({"epoch": step // 30, "step": step, "time": time}) + "\n")

    monkeypatch.setattr(startup.subprocess, "run", run)
    assert startup.epoch_images_per_second(WORKLOADS["mlp-vae"]) == 30 * 128 / 3.0


def test_a_study_is_timed_against_one_process_per_seed(monkeypatch, clock):
    commands = []
    seconds = chain([25.0], repeat(10.0))  # the study, then its seeds

    def run(command, env, **rest):
        commands.append((command, env["XDG_CACHE_HOME"]))
        clock.now += next(seconds)

    monkeypatch.setattr(startup.subprocess, "run", run)
    figures = startup.study_versus_processes(WORKLOADS["mlp-vae"], 3)
    assert figures == {"seconds": 25, "processes_seconds": 30}
    (study, cold), *processes = commands
    assert study[study.index("--num-seeds") + 1] == "3"
    assert [command[command.index("--seed") + 1] for command, _ in processes] == ["0", "1", "2"]
    (shared,) = {cache for _, cache in processes}
    assert shared != cold


def test_peak_memory_is_that_of_this_process():
    block = bytearray(os.urandom(2**20)) * 64
    assert startup.peak_memory_mib() > len(block) / 2**20
    assert startup.peak_memory_mib() < 64 * 1024


def test_an_unknown_contender_is_refused_with_those_that_there_are():
    with pytest.raises(InputError, match="no contender flax: choose from jaxgen"):
        startup.main("cgan", "flax")


@pytest.mark.slow
def test_a_second_start_finds_what_the_first_has_compiled():
    starts = startup.measure_starts("mlp-vae", "jaxgen")
    assert starts["cached"]["compile_seconds"] < starts["cold"]["compile_seconds"]
    for start in starts.values():
        assert start["seconds_to_first_step"] > start["compile_seconds"]
        assert start["peak_memory_mib"] > 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp-vae", "cgan"])
def test_the_experiments_take_the_benchmark_s_options(name):
    assert startup.epoch_images_per_second(WORKLOADS[name]) > 0
