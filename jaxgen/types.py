"""The types that models, data, training and recipes share."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import jax.numpy as jnp
import optax
from flax import struct
from flax.training import train_state
from jax import lax
from jaxtyping import Array, Float, Int, Key, PyTree, Shaped, UInt8

from jaxgen.errors import InputError

UnitImages = Float[Array, "n h w c"]  # in [0, 1]
SymmetricImages = Float[Array, "n h w c"]  # in [-1, 1]
Labels = Int[Array, "n"]
Metrics = dict[str, Array]
JsonObject = Mapping[str, Any]
Scalar = float | Float[Array, ""]
CheckpointChoice = Literal["latest", "best"] | int  # an int is a step
Mode = Literal["min", "max"]  # whether the best value of a metric is the smallest or the largest
Optimizer = Callable[[Array], optax.GradientTransformation]  # from a rate: `optax.adam`


@runtime_checkable
class State(Protocol):
    """The state of a training algorithm: a pytree that counts its updates."""

    @property
    def step(self) -> Int[Array, "..."]:
        """The number of updates so far, int32."""
        ...


StateT = TypeVar("StateT", bound=State)
HypersT = TypeVar("HypersT")


class Batch(NamedTuple):
    """Images and their labels: a batch, or a whole data set."""

    image: Shaped[Array, "b h w c"]  # uint8, 0 to 255
    label: Int[Array, "b"]  # int32


@dataclasses.dataclass(frozen=True)
class Learner(Generic[StateT, HypersT]):
    """A model and its training algorithm as pure functions; static structure is closed over.

    Everything that may differ between the members of a population (parameters, statistics,
    learning rates, loss weights) is a leaf of the state, so every function can be vmapped. The
    functions that a model does not support, such as `encode` without an encoder, are None.
    """

    init: Callable[[Key[Array, ""], HypersT], StateT]
    """The state before the first update, from a key and hyperparameters."""
    step: Callable[[StateT, Batch, Key[Array, ""]], tuple[StateT, Metrics]]
    """One update, and its scalar metrics."""
    evaluate: Callable[[StateT, Batch, Key[Array, ""]], Metrics]
    """Metrics per example, each [b]."""
    generate: Callable[[StateT, Labels, Float[Array, "n d"]], UnitImages]
    """Images for the given latents; an unconditional model ignores the labels."""
    sample: Callable[[StateT, Labels, Key[Array, ""]], UnitImages]
    """Images for latents drawn from the prior, one for each label."""
    reconstruct: Callable[[StateT, UInt8[Array, "n h w c"], Key[Array, ""]], UnitImages] | None = (
        None
    )
    """Images, encoded and decoded again."""
    encode: (
        Callable[
            [StateT, UInt8[Array, "n h w c"], Key[Array, ""]],
            tuple[Float[Array, "n d"], Float[Array, "n d"]],
        ]
        | None
    ) = None
    """Mean and log-variance of q(z | x)."""
    observe: Callable[[UInt8[Array, "b h w c"], Key[Array, ""]], Float[Array, "b h w c"]] | None = (
        None
    )
    """x, the images as the model sees them; the key serves random binarization."""
    log_weights: (
        Callable[[StateT, Float[Array, "b h w c"], Key[Array, ""], int], Float[Array, "k b"]] | None
    ) = None
    """log p(x, z) - log q(z | x) in nats for k samples z ~ q(z | x) of each x."""
    log_joint: (
        Callable[[StateT, Float[Array, "b h w c"], Float[Array, "b d"]], Float[Array, "b"]] | None
    ) = None
    """log p(x, z) in nats, with p(z) = N(0, I)."""
    simulate: (
        Callable[[StateT, Float[Array, "b d"], Key[Array, ""]], Float[Array, "b h w c"]] | None
    ) = None
    """x ~ p(x | z)."""
    bits_per_dim: Callable[[Float[Array, "..."]], Float[Array, "..."]] | None = None
    """Convert -log p(x) in nats to bits per 8-bit value, if p is a likelihood of such values."""
    generate_mixture: (
        Callable[[StateT, Float[Array, "n k"], Float[Array, "n d"]], UnitImages] | None
    ) = None
    """Images between the classes, from the weight of each class; those of an image sum to 1."""
    latent_dim: int | None = None
    """The size of the latents that `generate` takes."""
    num_classes: int | None = None
    """The number of classes of a conditional model, whose labels are from 0 to num_classes - 1;
    None: labels are ignored."""


class TrainState(train_state.TrainState):
    """The parameters, optimizer state, step counter and variable collections of a network."""

    step: Any  # Flax annotates int, which excludes arrays and their shapes
    params: PyTree
    batch_stats: PyTree
    """Running averages, such as those of BatchNorm."""
    collections: PyTree = struct.field(default_factory=dict)
    """A dict of all other collections of the module."""

    @property
    def variables(self) -> dict[str, PyTree]:
        """The variable collections that `Module.apply` takes."""
        return {"params": self.params, "batch_stats": self.batch_stats, **self.collections}

    @property
    def mutable(self) -> list[str]:
        """The names of the collections that a training step updates by itself."""
        return ["batch_stats", *self.collections]

    def apply_gradients(self, *, grads: PyTree, **changes: Any) -> "TrainState":
        """Update the parameters, once all gradients are computed.

        Without this order, XLA:CPU copies each parameter that the rest of the backward pass reads.
        Raises InputError if the optimizer fails, such as one that also needs the loss.
        """
        grads = lax.platform_dependent(
            grads, cpu=lax.optimization_barrier, default=lambda grads: grads
        )
        try:
            return super().apply_gradients(grads=grads, **changes)
        except TypeError as error:
            raise InputError(
                f"The optimizer cannot update parameters from their gradients alone ({error}): "
                "choose one that can, such as optax.adam."
            ) from error

    def replace_variables(self, variables: Mapping[str, PyTree]) -> "TrainState":
        """Replace the given collections; the others are unchanged."""
        return self.replace(
            params=variables.get("params", self.params),
            batch_stats=variables.get("batch_stats", self.batch_stats),
            collections={name: variables.get(name, old) for name, old in self.collections.items()},
        )


def traced_learning_rate(optimizer: Optimizer) -> optax.GradientTransformation:
    """Move the learning rate of `optimizer` into its state, where `vmap` can vary it.

    Call this once per learner: two transformations never compare equal, so that a second one would
    cause a retrace. Raises InputError for anything but a function that returns a transformation,
    and therefore for a transformation whose rate is already set.
    """
    if not _makes_transformation(optimizer):
        raise InputError(
            "optimizer must be a function of the learning rate, which belongs to the Hypers: "
            "instead of optax.adam(1e-3), pass optax.adam or, with further arguments, "
            "lambda rate: optax.adam(rate, b1=0.5)."
        )
    return optax.inject_hyperparams(lambda learning_rate: optimizer(learning_rate))(
        learning_rate=0.0
    )


def _makes_transformation(optimizer: object) -> bool:
    if isinstance(optimizer, optax.GradientTransformation) or not callable(optimizer):
        return False
    try:
        inspect.signature(optimizer).bind(0.0)
    except (TypeError, ValueError):  # it takes no rate
        return False
    made = optimizer(jnp.zeros(()))
    return hasattr(made, "init") and hasattr(made, "update")


def create_train_state(
    apply_fn: Callable[..., PyTree],
    variables: PyTree,
    optimizer: optax.GradientTransformation,
    learning_rate: Scalar,
) -> TrainState:
    """Create the state of a network before its first update.

    `optimizer` comes from `traced_learning_rate`. Step and rate are arrays from the start, since
    Python numbers would cause a retrace after the first update.
    """
    known = ("params", "batch_stats")
    state = TrainState.create(
        apply_fn=apply_fn,
        params=variables["params"],
        tx=optimizer,
        batch_stats=variables.get("batch_stats", {}),
        collections={name: value for name, value in variables.items() if name not in known},
    )
    rate = jnp.asarray(learning_rate, float)
    opt_state = optax.tree.set(state.opt_state, learning_rate=rate)
    return state.replace(step=jnp.zeros((), jnp.int32), opt_state=opt_state)
