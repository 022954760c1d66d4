"""What a run computes after each epoch: its metrics on the test set, and what it draws."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PyTree

from jaxgen.recipes.recipe import Drawn
from jaxgen.runner.epochs import Values
from jaxgen.runner.setup import Setup
from jaxgen.runs import caches
from jaxgen.training import loop
from jaxgen.training.population import member_args
from jaxgen.training.sharding import put

Evaluate = Callable[[PyTree], Values]  # of a state; of a population, for all members
Draw = Callable[[PyTree, int | None], Drawn]  # of a state, or of one member of a population


class AfterEpoch(NamedTuple):
    """Compiled functions of a state that return arrays on the host."""

    evaluate: Evaluate
    draw: Draw


def make_after_epoch(setup: Setup, keys: loop.RunKeys) -> AfterEpoch:
    """Jit the evaluation of all members, and the drawing of one.

    Members are drawn one at a time, so that the pictures of a population need no more memory than
    those of a single run.
    """
    layout, task, data = setup.layout, setup.task, setup.data
    aux = None
    if task.prepare_evaluation is not None:
        prepare = task.prepare_evaluation
        key = f"{setup.facts.fingerprint} {task.evaluation_key or setup.recipe.name}"
        aux = caches.load_or_compute(
            caches.path_for("evaluation", key), lambda: prepare(data.train, data.test)
        )
    test, aux = put((data.test, aux), layout.shared)
    evaluate = jax.jit(layout.lift(task.evaluate, (0, None, None, 0)), out_shardings=layout.shared)

    def draw(state: PyTree, draw_keys: PyTree, member: Int[Array, ""] | None) -> dict[str, Array]:
        args = (state, test, draw_keys)
        own = args if member is None else member_args(args, (0, None, 0), member)
        return task.draw(*own)

    drawer = jax.jit(draw, out_shardings=layout.shared)
    return AfterEpoch(
        lambda state: jax.device_get(evaluate(state, test, aux, keys.evaluate)),
        lambda state, member: jax.device_get(
            drawer(state, keys.draw, None if member is None else jnp.int32(member))
        ),
    )
