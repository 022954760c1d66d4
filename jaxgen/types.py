"""The one interface at which models, data, training and experiments meet."""

from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import jax.numpy as jnp
import optax
from flax.training import train_state
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped, UInt8

Images = Float[Array, "n h w c"]  # in [0, 1]
Metrics = dict[str, Array]
State = Any  # a pytree with an int32 scalar `step`: how many updates it has seen
Optimizer = Callable[[Any], optax.GradientTransformation]  # from a learning rate, e.g. optax.adam


class Batch(NamedTuple):
    """Images and their labels, or a whole data set of them."""

    image: Shaped[Array, "b h w c"]  # uint8, 0...255
    label: Int[Array, "b"]  # int32


def no_encoder(state: State, image: UInt8[Array, "b h w c"], key: Key[Array, ""]) -> NoReturn:
    """The `reconstruct` of a model that cannot encode: raises NotImplementedError."""
    raise NotImplementedError("this model has no encoder")


class Learner(NamedTuple):
    """A model and its training algorithm as pure functions; what is static is closed over.

    Everything that may differ between the members of a population (parameters, statistics,
    learning rates, loss weights) is a leaf of the state, so every function can be vmapped.
    """

    init: Callable[[Key[Array, ""], Any], State]  # (key, hypers) -> state
    step: Callable[[State, Batch, Key[Array, ""]], tuple[State, Metrics]]  # scalar metrics
    evaluate: Callable[[State, Batch, Key[Array, ""]], Metrics]  # per example: each [b]
    generate: Callable[[State, Int[Array, "n"], Float[Array, "n d"]], Images]  # (state, labels, z)
    sample: Callable[[State, Int[Array, "n"], Key[Array, ""]], Images]  # `generate` of z ~ N(0, I)
    reconstruct: Callable[[State, UInt8[Array, "n h w c"], Key[Array, ""]], Images] = no_encoder


class TrainState(train_state.TrainState):
    """One network: parameters, optimizer state, step counter and BatchNorm statistics."""

    step: Any  # Flax's own annotations know neither shapes (`jax.eval_shape`) nor plain dicts
    params: PyTree
    batch_stats: PyTree

    @property
    def variables(self) -> dict[str, PyTree]:
        """The collections as `Module.apply` takes them."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def traced_learning_rate(optimizer: Optimizer) -> optax.GradientTransformation:
    """`optimizer` with its learning rate in its state, where vmap can vary it.

    Call it once per learner: two transformations are never equal, and unequal ones retrace.
    """
    return optax.inject_hyperparams(lambda learning_rate: optimizer(learning_rate))(
        learning_rate=0.0
    )


def create_train_state(
    apply_fn: Callable,
    variables: PyTree,
    optimizer: optax.GradientTransformation,
    learning_rate: float | Float[Array, ""],
) -> TrainState:
    """The state of a network before its first update.

    `optimizer` comes from `traced_learning_rate`. Step and rate are arrays from the start: as
    Python numbers they would be traced once more after the first update.
    """
    state = TrainState.create(
        apply_fn=apply_fn,
        params=variables["params"],
        tx=optimizer,
        batch_stats=variables.get("batch_stats", {}),
    )
    rate = jnp.asarray(learning_rate, float)
    opt_state = optax.tree.set(state.opt_state, learning_rate=rate)
    return state.replace(step=jnp.zeros((), jnp.int32), opt_state=opt_state)
