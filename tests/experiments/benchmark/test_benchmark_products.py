"""The products of a training step: all of them, in the form in which it runs them."""

import jax
import pytest

from experiments.benchmark import floor, products
from experiments.benchmark.timing import NUM_SINGLE_STEPS
from experiments.benchmark.workloads import WORKLOADS


def flops(equation) -> float:
    """XLA's count for this product."""
    factors = [jax.ShapeDtypeStruct(v.aval.shape, v.aval.dtype) for v in equation.invars]
    bind = jax.jit(lambda *factors: equation.primitive.bind(*factors, **equation.params))
    cost = bind.lower(*factors).cost_analysis()
    assert cost is not None
    return cost["flops"]


@pytest.mark.parametrize(
    ("name", "most"),
    [("mlp-vae", 1), ("cgan", 1.002), pytest.param("conv-vae", 1.3, marks=pytest.mark.slow)],
)
def test_the_products_of_a_step_are_those_of_its_layers(name, most):
    """The cGAN also multiplies for gradients of embeddings, and convolutions multiply padding."""
    found = products.step_products(WORKLOADS[name])
    least = floor.work(WORKLOADS[name]).flops
    assert least <= sum(map(flops, found)) <= most * least


def test_results_overwrite_the_previous_ones(monkeypatch):
    """The operands stay as they are for the next step."""
    arrays, made = products._arrays, []

    def remember(variables):
        made.append(arrays(variables))
        return made[-1]

    monkeypatch.setattr(products, "_arrays", remember)
    contender = products.matmuls_only(WORKLOADS["mlp-vae"])
    contender.run()
    contender.run()
    assert contender.num_steps == NUM_SINGLE_STEPS
    num_products = len(products.step_products(WORKLOADS["mlp-vae"]))
    operands, first_results = made[:num_products], made[num_products:]
    assert len(first_results) == num_products
    assert all(array.is_deleted() for (array,) in first_results)
    assert not any(array.is_deleted() for factors in operands for array in factors)
