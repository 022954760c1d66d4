"""The keys and the initial state of a run, or of each member of a population."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding
from jaxtyping import Array, PyTree

from jaxgen.errors import InputError
from jaxgen.runner.setup import Setup
from jaxgen.runner.sweep import members
from jaxgen.runner.weights import Weights, load_weights
from jaxgen.training import compilation
from jaxgen.training.loop import RunKeys, split_run_key


def run_keys(setup: Setup, sharding: NamedSharding | None = None) -> RunKeys:
    """Derive the PRNG keys of all members; without a sharding, as this process's own copy."""
    keys = jax.jit(setup.layout.lift(_keys, (0,)), out_shardings=sharding)
    return keys(_seeds(setup))


class InitialState(NamedTuple):
    """The state before the first update, which is not created before its size is known."""

    shapes: PyTree[jax.ShapeDtypeStruct]
    create: Callable[[], PyTree]


def initial_state(setup: Setup, networks: dict[str, PyTree] | None = None) -> InitialState:
    """Trace the state before the first update; all members start at `networks` if given.

    Its program compiles in the background, while the caller traces others.
    """

    def init(seed: Array, hypers: Any, networks: dict[str, PyTree] | None) -> PyTree:
        state = setup.task.learner.init(_keys(seed).init, hypers)
        if networks is None or setup.recipe.networks is None:
            return state
        return setup.recipe.networks.put(state, networks)

    layout = setup.layout
    hypers = _stack(setup, [setup.recipe.hypers(m.config) for m in members(setup.options)])
    arguments = (_seeds(setup), hypers, networks)
    lifted = jax.jit(layout.lift(init, (0, 0, None)), out_shardings=layout.members)
    lowered = lifted.lower(*arguments)
    background = ThreadPoolExecutor(1)
    compiled = background.submit(lowered.compile, compilation.initialization_options())
    background.shutdown(wait=False)
    return InitialState(lowered.out_info, lambda: compiled.result()(*arguments))


def initial_weights(setup: Setup) -> Weights | None:
    """Load the weights that --init-from names; None without it."""
    output, recipe = setup.options.output, setup.recipe
    if output.init_from is None:
        return None
    if recipe.networks is None:
        raise InputError(
            f"The recipe {recipe.name} cannot start from weights: define its networks."
        )
    hypers = recipe.hypers(setup.options.config)
    state = jax.eval_shape(setup.task.learner.init, jax.random.key(0), hypers)
    like = recipe.networks.get(state)
    return load_weights(
        recipe, setup.options, setup.facts, like, output.init_from, output.checkpoint
    )


def _keys(seed: Array) -> RunKeys:
    return split_run_key(jax.random.key(seed))


def _seeds(setup: Setup) -> Any:
    return _stack(setup, [np.uint32(m.training.seed) for m in members(setup.options)])


def _stack(setup: Setup, values: list[Any]) -> Any:
    if not setup.is_population:
        return values[0]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *values)
