"""The matrix products of a training step, with nothing between them.

The floor counts them at the rate of a large square product, which long and narrow matrices do not
reach. The rest of a step is copies, normalization, activations and Adam.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn
from jaxtyping import Array

from experiments.benchmark.timing import NUM_SINGLE_STEPS, Contender
from experiments.benchmark.workloads import Workload, make_learner
from jaxgen.matmul import product_p
from jaxgen.types import Batch

PRIMITIVES = ("dot_general", product_p.name)


def step_products(workload: Workload) -> list[JaxprEqn]:
    """List the products of jaxgen's training step in program order, with their shapes."""
    learner, hypers = make_learner(workload)
    key, batch_size = jax.random.key(0), workload.batch_size
    state = jax.eval_shape(learner.init, key, hypers)
    image = jnp.zeros((batch_size, *workload.image_shape), jnp.uint8)
    batch = Batch(image, jnp.zeros(batch_size, jnp.int32))
    equations = jax.make_jaxpr(learner.step)(state, batch, key).eqns
    return [equation for equation in equations if equation.primitive.name in PRIMITIVES]


def matmuls_only(workload: Workload) -> Contender:
    """Build a contender that computes each product of a training step once, on its own operands.

    Each step is a separate program, since XLA would move constant work out of a loop. The timing is
    therefore meaningful only on a CPU: an accelerator would wait for the next program.
    """
    equations = step_products(workload)

    # Results overwrite the previous ones, as in a training step: fresh memory would cost more.
    @partial(jax.jit, donate_argnums=0, keep_unused=True)
    def multiply(last: list[Array], operands: list[list[Array]]) -> list[Array]:
        del last
        return [
            equation.primitive.bind(*factors, **equation.params)
            for equation, factors in zip(equations, operands, strict=True)
        ]

    operands = [_arrays(equation.invars) for equation in equations]
    results = [_arrays(equation.outvars)[0] for equation in equations]

    def run() -> None:
        nonlocal results
        for _ in range(NUM_SINGLE_STEPS):
            results = multiply(results, operands)
        jax.block_until_ready(results)

    return Contender(run, NUM_SINGLE_STEPS)


def _arrays(variables: Sequence[Any]) -> list[Array]:
    return [jnp.ones(variable.aval.shape, variable.aval.dtype) for variable in variables]
