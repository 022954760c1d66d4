"""Epochs as scans: the pure programs that a run consists of, and the loop that dispatches them.

Randomness is a function of (run key, step), so the state's step counter is the whole position of a
run: no key and no iterator is ever saved.
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
from jaxtyping import Array, Int, Key

from jaxgen.errors import InputError
from jaxgen.training import devices
from jaxgen.training.devices import Layout
from jaxgen.training.population import guarded
from jaxgen.types import Batch, Metrics, State

Step = Callable[[State, Batch, Key[Array, ""]], tuple[State, Metrics]]
Trainer = Any  # jitted (state, data, rows, key, start) -> (state, metrics)
Stream = Callable[[int], Iterator[Batch]]  # from a chunk on: [steps, b, ...] or [members, steps...]

CHUNK_STEPS = range(25, 51)


class RunKeys(NamedTuple):
    """The streams of randomness of a run."""

    init: Key[Array, ""]
    order: Key[Array, ""]
    step: Key[Array, ""]
    evaluate: Key[Array, ""]


def split_run_key(key: Key[Array, ""]) -> RunKeys:
    """The keys of a run, from its only one."""
    return RunKeys(*jax.random.split(key, 4))


class EpochShape(NamedTuple):
    """An epoch as chunks of equal length: another length would have to be compiled again."""

    num_chunks: int
    chunk_steps: int
    batch_size: int

    @property
    def num_steps(self) -> int:
        """Updates in an epoch."""
        return self.num_chunks * self.chunk_steps


def epoch_shape(num_examples: int, batch_size: int) -> EpochShape:
    """Chunks of 25 to 50 steps that leave the least of the set out; one chunk if it is small.

    Raises InputError if the set does not fill one batch.
    """
    num_steps = num_examples // batch_size
    if not num_steps:
        raise InputError(
            f"A batch of {batch_size} is larger than the training set of {num_examples} images: "
            "choose a smaller --batch-size."
        )
    lengths = CHUNK_STEPS if num_steps >= CHUNK_STEPS[0] else [num_steps]
    chunk_steps = min(lengths, key=lambda length: num_steps % length)
    return EpochShape(num_steps // chunk_steps, chunk_steps, batch_size)


def epoch_order(
    key: Key[Array, ""], epoch: int | Int[Array, ""], num_examples: int, shape: EpochShape
) -> Int[Array, "chunks steps b"]:
    """Which examples each step of an epoch sees: a permutation of all, anew for each epoch.

    What does not fill the last chunk is left out: other examples each epoch.
    """
    order = jax.random.permutation(jax.random.fold_in(key, epoch), num_examples)
    return order[: math.prod(shape)].reshape(shape)


def train_chunk(
    step: Step,
    state: State,
    data: Batch | None,
    rows: Int[Array, "steps b"] | Batch,
    key: Key[Array, ""],
) -> tuple[State, Metrics]:
    """One update for each row, as one scan; each metric comes back as `[steps]`.

    Rows are indices into `data` or, without it, the batches themselves.
    """

    def body(state: State, row: Int[Array, "b"] | Batch) -> tuple[State, Metrics]:
        batch: Any = row if data is None else jax.tree.map(lambda array: array[row], data)
        return step(state, batch, jax.random.fold_in(key, state.step))

    return lax.scan(body, state, rows)


def trainer(step: Step, layout: Layout | None = None) -> Trainer:
    """`train_chunk` of one run, or of a population, guarded and compiled: what `fit` runs.

    It gives its state away.
    """
    layout = layout or devices.layout()
    train = guarded(partial(train_chunk, step))
    members, shared, rows = layout.members, layout.shared, layout.rows
    return jax.jit(
        layout.lift_update(train, (0, None, 0, 0, None)),
        donate_argnums=0,
        in_shardings=(members, shared, rows, members, shared),
        out_shardings=(members, shared),
    )


def evaluate(
    evaluate_batch: Callable[[State, Batch, Key[Array, ""]], Metrics],
    state: State,
    data: Batch,
    key: Key[Array, ""],
    batch_size: int,
) -> Metrics:
    """Each per-example metric averaged over all of `data`, every example counted once."""
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
    """What a run has to show after some steps of an epoch."""

    state: State
    metrics: dict[str, np.ndarray]  # on the host, each [steps], or [members, steps]
    epoch: int  # counted from 0
    step: int  # updates so far
    seconds: float  # since the chunk before
    ends_epoch: bool


def steps(state: State, layout: Layout) -> Int[np.ndarray, "*m"]:
    """How many updates the run, or each member, has behind it."""
    return np.asarray(jax.jit(lambda step: step, out_shardings=layout.shared)(state.step))


def num_updates(state: State) -> int:
    """How many updates a run has behind it: of a population, those members that went on."""
    return int(jax.jit(jnp.max)(state.step))


def rows_in_memory(
    key: Key[Array, "..."], num_examples: int, shape: EpochShape, layout: Layout, first_chunk: int
) -> Iterator[Int[Array, "... steps b"]]:
    """Which examples each step of a chunk sees, from one chunk on without an end."""
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
) -> Iterator[Chunk]:
    """Trains from wherever `state` is to the end of epoch `num_epochs`, a chunk at a time.

    `train` comes from `trainer`, with the same layout. `data` lies on the device, or is streamed
    to it. The state of a chunk is given away to the next one: use it, or copy it, before asking
    for that.
    """
    layout = layout or devices.layout()
    state, keys = jax.device_put((state, keys), layout.members)
    first_chunk = num_updates(state) // shape.chunk_steps
    if isinstance(data, Batch):
        resident = jax.device_put(data, layout.shared)
        rows = rows_in_memory(keys.order, len(data.label), shape, layout, first_chunk)
    else:
        resident, rows = None, data(first_chunk)

    row = next(rows)
    for chunk in range(first_chunk, num_epochs * shape.num_chunks):
        start = time.perf_counter()
        step = chunk * shape.chunk_steps
        state, metrics = train(state, resident, row, keys.step, np.int32(step))
        row = next(rows)  # while the device is at work
        metrics = jax.device_get(metrics)
        seconds = time.perf_counter() - start
        epoch, position = divmod(chunk, shape.num_chunks)
        ends_epoch = position == shape.num_chunks - 1
        yield Chunk(state, metrics, epoch, step + shape.chunk_steps, seconds, ends_epoch)
