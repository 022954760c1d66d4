"""Runs that exceed the memory of their devices are refused with a size that fits."""

import re

import pytest
from rich.console import Console

from jaxgen.errors import InputError
from jaxgen.recipes import vae
from jaxgen.runner.check_fits import check_fits
from jaxgen.runner.command_line import defaults, parse
from jaxgen.runner.setup import prepare
from jaxgen.runner.state import initial_state, run_keys
from jaxgen.training import loop, memory


def check(*args):
    """The notice of a run with these options, and the size of its program."""
    options = [
        "--dataset",
        "mnist_5k",
        "--model",
        "mlp",
        "--hidden-dims",
        "64",
        "--latent-dim",
        "4",
    ]
    parsed = parse(vae.RECIPE, defaults(vae.RECIPE), "test", [*options, *map(str, args)])
    setup = prepare(vae.RECIPE, parsed, Console(quiet=True))
    keys = run_keys(setup, setup.layout.members)
    train = loop.trainer(setup.task.learner.step, setup.layout)
    state = initial_state(setup).shapes
    return check_fits(train, state, setup, keys.step)


@pytest.fixture
def limit(monkeypatch):
    """Sets the memory of a device."""

    def limit(num_bytes):
        monkeypatch.setattr(memory, "device_bytes", lambda: num_bytes)

    return limit


@pytest.fixture
def use(monkeypatch):
    """The memory that each compiled program takes, in order."""
    uses, memory_use = [], memory.memory_use

    def recorded(compiled):
        uses.append(memory_use(compiled))
        return uses[-1]

    monkeypatch.setattr(memory, "memory_use", recorded)
    return uses


def test_a_run_that_fits_well_gets_no_notice():
    assert check("--batch-size", 500) == ""


def test_a_run_that_nearly_fills_the_device_gets_a_notice(limit, use):
    check("--batch-size", 500)
    limit(int(1.1 * use[0].total))
    assert re.match(r"training \w+ 0.0\d GB of the 0.0\d GB (of|on) each device", check(
        "--batch-size", 500))  # fmt: skip


def suggestion(limit, use, share, name, *options):
    """The suggested size for a device with a share of the memory that a run needs."""
    check(*options)
    limit(int(share * use[0].total))
    with pytest.raises(InputError) as raised:
        check(*options)
    found = re.search(rf"about (\d+) {name}|--batch-size of about (\d+)", str(raised.value))
    assert found, raised.value
    return int(found[1] or found[2])


def test_the_suggested_batch_size_fits(limit, use):
    size = suggestion(limit, use, 0.9, "x", "--batch-size", 1000)
    assert 100 < size < 1000
    check("--batch-size", size)


@pytest.mark.parametrize("strategy", ["map", pytest.param("vmap", marks=pytest.mark.slow)])
def test_the_suggested_number_of_members_fits(limit, use, strategy):
    options = ["--batch-size", 400, "--strategy", strategy]
    num = suggestion(limit, use, 0.7, "members", *options, "--num-seeds", 24)
    assert 2 < num < 24
    check(*options, "--num-seeds", num)


def test_a_data_set_that_is_too_large_is_named(limit):
    limit(1_000_000)
    with pytest.raises(InputError, match="not even one fits: choose a smaller model or data set"):
        check("--batch-size", 500, "--data-mode", "memory")
