"""The memory of a compiled program, on one whose arrays are counted by hand."""

import jax
import jax.numpy as jnp

from jaxgen.training import memory

MEGA = jnp.ones((1024, 256))  # 2^20 bytes


def test_what_a_program_holds_is_its_inputs_and_outputs():
    add = jax.jit(lambda x, y: (x + y, x - y))
    assert memory.memory_use(add.lower(MEGA, MEGA).compile()).held >= 4 * 2**20


def test_what_is_given_away_counts_once():
    kept, given = (jax.jit(lambda x: x + 1, donate_argnums=n) for n in ((), 0))
    held = [memory.memory_use(f.lower(MEGA).compile()).held for f in (kept, given)]
    assert held[0] - held[1] == 2**20


def test_a_device_has_memory():
    assert 2**28 < memory.device_bytes() < 2**50
