"""Training as scans over steps: the pure programs of a run, and their dispatch.

Randomness is a function of (run key, step). The step counter of the state is therefore the complete
position of a run, and neither keys nor iterators are ever saved.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, Key, PyTree

from jaxgen.batch import check_batch
from jaxgen.errors import InputError
from jaxgen.training import compilation, sharding
from jaxgen.training.population import freeze_if_not_finite
from jaxgen.training.sharding import Layout
from jaxgen.types import Batch, HypersT, Learner, Metrics, State, StateT

Step = Callable[[StateT, Batch, Key[Array, ""]], tuple[StateT, Metrics]]
Trainer = jax.stages.Wrapped  # of (state, data, rows, key, start) to (state, metrics)
# The chunks from a given one on, each a Batch of shape [*members, steps, b, ...].
Stream = Callable[[int], Iterator[Batch]]

CHUNK_LENGTHS = range(25, 51)  # in steps


class RunKeys(NamedTuple):
    """The PRNG keys of a run, one for each purpose.

    `evaluate` and `draw` are the same after each epoch, so that epochs are compared on the same
    noise. Epoch e is shuffled with `fold_in(order, e)`, and step t uses `fold_in(step, t)`.
    """

    init: Key[Array, ""]
    order: Key[Array, ""]
    step: Key[Array, ""]
    evaluate: Key[Array, ""]
    draw: Key[Array, ""]


def split_run_key(key: Key[Array, ""]) -> RunKeys:
    """Derive all keys of a run from a single key."""
    return RunKeys(*jax.random.split(key, len(RunKeys._fields)))


class EpochShape(NamedTuple):
    """An epoch as chunks of equal length, since each length needs a compilation of its own."""

    num_chunks: int
    chunk_steps: int
    batch_size: int

    @property
    def num_steps(self) -> int:
        """The number of updates in an epoch."""
        return self.num_chunks * self.chunk_steps


def epoch_shape(num_examples: int, batch_size: int) -> EpochShape:
    """Divide an epoch into equal chunks of 25 to 50 steps, so that the fewest steps are dropped.

    An epoch of fewer steps is one chunk. Raises InputError if the examples do not fill one batch.
    """
    num_steps = num_examples // batch_size
    if not num_steps:
        raise InputError(
            f"A batch of {batch_size} is larger than the training set of {num_examples} images: "
            "choose a smaller --batch-size."
        )
    lengths = CHUNK_LENGTHS if num_steps >= CHUNK_LENGTHS[0] else [num_steps]
    chunk_steps = min(lengths, key=lambda length: num_steps % length)
    return EpochShape(num_steps // chunk_steps, chunk_steps, batch_size)


def epoch_order(
    key: Key[Array, ""], epoch: int | Int[Array, ""], num_examples: int, shape: EpochShape
) -> Int[Array, "chunks steps b"]:
    """Shuffle the indices of the examples, and divide them among the steps of an epoch.

    Examples that do not fill the last chunk are dropped, different ones in each epoch.
    """
    order = jax.random.permutation(jax.random.fold_in(key, epoch), num_examples)
    return order[: math.prod(shape)].reshape(shape)


def train_chunk(
    step: Step[StateT],
    state: StateT,
    data: Batch | None,
    rows: Int[Array, "steps b"] | Batch,
    key: Key[Array, ""],
) -> tuple[StateT, Metrics]:
    """Update the state once per row, in one scan; each metric is stacked to `[steps]`.

    Rows are indices into `data`, or the batches themselves if `data` is None.
    """

    def body(state: StateT, row: Int[Array, "b"] | Batch) -> tuple[StateT, Metrics]:
        batch: Any = row if data is None else jax.tree.map(lambda array: array[row], data)
        return step(state, batch, jax.random.fold_in(key, state.step))

    return lax.scan(body, state, rows)


def run(
    learner: Learner[StateT, HypersT],
    data: Batch,
    key: Key[Array, ""],
    hypers: HypersT,
    *,
    shape: EpochShape,
    num_epochs: int,
) -> tuple[StateT, Metrics]:
    """Train from scratch: a whole run as one pure function of a key and hyperparameters.

    Each metric is `[num_epochs, steps]`. The function can be jitted, and vmapped over `key` and
    `hypers`. On a CPU it is bit-identical to `fit`, whose chunks it uses.

    A run that diverges is frozen: its state is that before the first chunk with a metric that is
    not finite, so that `state.step` is less than `num_epochs * shape.num_steps`, and all metrics of
    later chunks are NaN.

    Raises InputError, as `check_batch` does, if `data` are no 8-bit images or, outside of `jit`, if
    labels are out of range.
    """
    check_batch(data, learner.num_classes)
    keys = split_run_key(key)
    train = freeze_if_not_finite(partial(train_chunk, learner.step))

    def chunk(state: StateT, inputs: tuple[Array, Array]) -> tuple[StateT, Metrics]:
        rows, start = inputs
        return train(state, data, rows, keys.step, start)

    def epoch(state: StateT, number: Int[Array, ""]) -> tuple[StateT, Metrics]:
        order = epoch_order(keys.order, number, len(data.label), shape)
        starts = number * shape.num_steps + shape.chunk_steps * jnp.arange(shape.num_chunks)
        state, metrics = lax.scan(chunk, state, (order, starts))
        return state, jax.tree.map(jnp.ravel, metrics)

    return lax.scan(epoch, learner.init(keys.init, hypers), jnp.arange(num_epochs))


def trainer(step: Step[StateT], layout: Layout | None = None) -> Trainer:
    """Return a jitted `train_chunk` for a single run or a population, for use with `fit`.

    A chunk with a metric that is not finite leaves the state unchanged. Donates `state`.
    """
    layout = layout or sharding.layout()
    train = freeze_if_not_finite(partial(train_chunk, step))
    members, shared, rows = layout.members, layout.shared, layout.rows
    return jax.jit(
        layout.lift_update(train, (0, None, 0, 0, None)),
        donate_argnums=0,
        in_shardings=(members, shared, rows, members, shared),
        out_shardings=(members, shared),
        compiler_options=compilation.training_options(layout),
    )


def evaluate(
    evaluate_batch: Callable[[PyTree, Batch, Key[Array, ""]], Metrics],
    state: PyTree,
    data: Batch,
    key: Key[Array, ""],
    batch_size: int,
) -> Metrics:
    """Average each per-example metric over all of `data`, every example counted once.

    Raises InputError, as `check_batch` does, if `data` are no 8-bit images.
    """
    check_batch(data)
    num_examples = data.label.shape[0]
    num_batches = -(-num_examples // batch_size)
    rows = jnp.arange(num_batches * batch_size).reshape(num_batches, batch_size)

    def body(batch: tuple[Int[Array, ""], Int[Array, "b"]]) -> Metrics:
        index, row = batch
        examples = jax.tree.map(lambda array: array[row % num_examples], data)
        metrics = evaluate_batch(state, examples, jax.random.fold_in(key, index))
        return jax.tree.map(lambda values: jnp.sum(values * (row < num_examples)), metrics)

    sums = lax.map(body, (jnp.arange(num_batches), rows))
    return jax.tree.map(lambda values: values.sum() / num_examples, sums)


class Chunk(NamedTuple):
    """The outcome of one chunk of steps."""

    state: PyTree
    metrics: dict[str, np.ndarray]  # on the host, each [steps], or [members, steps]
    epoch: int  # counted from 0
    step: int  # updates so far, of members that are not frozen
    seconds: float  # wall time
    ends_epoch: bool

    @property
    def first_not_finite(self) -> Int[np.ndarray, "*members"]:
        """The first step, within the chunk, with a metric that is not finite; -1 if there is none.

        Such a chunk freezes the state of its run or member.
        """
        finite = np.all([np.isfinite(values) for values in self.metrics.values()], axis=0)
        return np.where(finite.all(-1), -1, finite.argmin(-1))

    @property
    def has_diverged(self) -> Bool[np.ndarray, "*members"]:
        """Whether the run or member has diverged, in this chunk or before.

        Its state is frozen: that before the first chunk with a metric that is not finite. Metrics
        of later chunks are NaN.
        """
        return np.asarray(self.first_not_finite >= 0)


def steps(state: State, layout: Layout) -> Int[np.ndarray, "*members"]:
    """Return the number of updates of the run, or of each member, on the host."""
    return np.asarray(jax.jit(lambda step: step, out_shardings=layout.shared)(state.step))


def num_updates(state: State) -> int:
    """Return the number of updates of a run; in a population, of members that are not frozen."""
    return int(jax.jit(jnp.max)(state.step))


def chunk_indices(
    key: Key[Array, "..."], num_examples: int, shape: EpochShape, layout: Layout, first_chunk: int
) -> Iterator[Int[Array, "... steps b"]]:
    """Iterate without end over the indices of each chunk's steps, from `first_chunk` on."""
    make_order = jax.jit(
        layout.lift(partial(epoch_order, num_examples=num_examples, shape=shape), (0, None))
    )
    pick = jax.jit(
        layout.lift(lambda order, position: order[position], (0, None)), out_shardings=layout.rows
    )
    order = None
    for chunk in itertools.count(first_chunk):
        epoch, position = divmod(chunk, shape.num_chunks)
        if order is None or position == 0:
            order = make_order(key, epoch)
        yield pick(order, position)


def fit(
    train: Trainer,
    state: State,
    data: Batch | Stream,
    keys: RunKeys,
    *,
    shape: EpochShape,
    num_epochs: int,
    layout: Layout | None = None,
    num_classes: int | None = None,
) -> Iterator[Chunk]:
    """Train from the step of `state` to the end of epoch `num_epochs`, one chunk at a time.

    `train` comes from `trainer` with the same layout. `data` is kept on the device, or streamed to
    it. The state of each chunk is donated to the next one: use or copy it before continuing. Stop
    when `chunk.has_diverged`: from then on the state is frozen. Raises InputError, as `check_batch`
    does, if `data` are no 8-bit images, or if labels are out of range for the learner's
    `num_classes`.
    """
    if isinstance(data, Batch):
        check_batch(data, num_classes)
    layout = layout or sharding.layout()
    state, keys = jax.device_put((state, keys), layout.members)
    first_chunk = num_updates(state) // shape.chunk_steps
    if isinstance(data, Batch):
        resident = jax.device_put(data, layout.shared)
        chunks = chunk_indices(keys.order, len(data.label), shape, layout, first_chunk)
    else:
        resident, chunks = None, data(first_chunk)

    rows = next(chunks)
    for number in range(first_chunk, num_epochs * shape.num_chunks):
        start = time.perf_counter()
        step = number * shape.chunk_steps
        state, metrics = train(state, resident, rows, keys.step, np.int32(step))
        rows = next(chunks)  # while the device is busy
        metrics = jax.device_get(metrics)
        seconds = time.perf_counter() - start
        epoch, position = divmod(number, shape.num_chunks)
        ends_epoch = position == shape.num_chunks - 1
        yield Chunk(state, metrics, epoch, step + shape.chunk_steps, seconds, ends_epoch)
