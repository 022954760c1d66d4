"""The contenders: a workload as trained by jaxgen, by plain Flax and by PyTorch.

Every step does the same work as the course's: it gathers a uint8 batch from memory, scales it,
draws the noise, and updates with Adam.
"""

import importlib.util
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.typing import Dtype
from jaxtyping import Array, Int

from experiments.benchmark.timing import NUM_SINGLE_STEPS, Contender
from experiments.benchmark.workloads import CHUNK_STEPS, Workload, make_learner, random_data
from jaxgen.convolution import Implementation
from jaxgen.training import loop, memory
from jaxgen.training.sharding import Layout, layout, put
from jaxgen.types import Batch, State

NUM_NAIVE_STEPS = 2  # each takes seconds with XLA:CPU's own convolution in a loop
BFLOAT16 = "jaxgen, bfloat16"
EAGER = "PyTorch eager"
COMPILED = "torch.compile"
TUNED_EAGER = "PyTorch eager, tuned"
TUNED = "torch.compile, tuned"
CUDA_GRAPHS = "torch.compile, CUDA graphs"
CUDA_GRAPH = "torch.compile, tuned, CUDA graph"
FLAX_IN_SCAN = "plain Flax in scan"
# The arguments of `experiments.benchmark.pytorch.Variant`.
PYTORCH_FLOAT32: dict[str, dict[str, Any]] = {
    EAGER: {},
    COMPILED: {"compile_mode": "default"},
    TUNED_EAGER: {"tuned": True},
    TUNED: {"compile_mode": "default", "tuned": True},
    CUDA_GRAPHS: {"compile_mode": "reduce-overhead"},
    CUDA_GRAPH: {"compile_mode": "default", "tuned": True, "cuda_graph": True},
}
PYTORCH_BFLOAT16: dict[str, dict[str, Any]] = {
    f"{name}, bfloat16": PYTORCH_FLOAT32[name] | {"bfloat16": True} for name in (TUNED_EAGER, TUNED)
}
PYTORCH = PYTORCH_FLOAT32 | PYTORCH_BFLOAT16


def contenders(workload: Workload) -> dict[str, Callable[[], Contender]]:
    """Return a builder of each contender, by name.

    Without convolutions, plain Flax in a scan is the same program as jaxgen's, and is left out.
    """
    on_cpu = jax.default_backend() == "cpu"
    makers: dict[str, Callable[[], Contender]] = {
        "jaxgen": partial(in_scan, workload),
        BFLOAT16: partial(in_scan, workload, dtype=jnp.bfloat16),
    }
    if has_torch():
        for name, variant in PYTORCH.items():
            if not (on_cpu and "CUDA" in name):
                makers[name] = partial(pytorch, workload, **variant)
    if workload.model == "conv VAE":
        num_steps = NUM_NAIVE_STEPS if on_cpu else CHUNK_STEPS
        makers["plain Flax by steps"] = partial(in_python_loop, workload, "lax")
        makers[FLAX_IN_SCAN] = partial(in_scan, workload, "lax", num_steps)
    return makers


def has_torch() -> bool:
    """Check whether PyTorch is installed, without importing it, which takes time and memory."""
    return importlib.util.find_spec("torch") is not None


def pytorch(workload: Workload, **variant: Any) -> Contender:
    """Build the contender that runs the course's PyTorch code, which is imported only here."""
    from experiments.benchmark.pytorch import Variant, training

    return training(workload, Variant(**variant))


def in_scan(
    workload: Workload,
    implementation: Implementation | None = None,
    num_steps: int = CHUNK_STEPS,
    where: Layout | None = None,
    dtype: Dtype | None = None,
) -> Contender:
    """Build the contender that runs the experiments' program: a scan that donates its state.

    With the layout of a population, the steps of all members count. Raises MemoryError if the
    device does not have enough memory.
    """
    where = where or layout()
    members = () if where.num_members is None else (where.num_members,)
    learner, hypers = make_learner(workload, implementation, dtype)
    images, labels, order = random_data(workload)
    data = Batch(*put((images, labels), where.shared))
    rows = put(np.broadcast_to(order[:num_steps], (*members, *order[:num_steps].shape)), where.rows)
    keys = jax.jit(
        where.lift(lambda seed: loop.split_run_key(jax.random.key(seed)), (0,)),
        out_shardings=where.members,
    )(np.arange(math.prod(members), dtype=np.uint32).reshape(members))
    hypers = jax.tree.map(lambda value: np.full(members, value, np.float32), hypers)
    init = jax.jit(where.lift(learner.init, (0, 0)), out_shardings=where.members)
    shapes = jax.eval_shape(init, keys.init, hypers)
    trainer: Any = loop.trainer(learner.step, where)
    train = trainer.lower(shapes, data, rows, keys.step, np.int32(0)).compile()
    if (use := memory.memory_use(train).total) > memory.device_bytes():
        raise MemoryError(f"it needs {use / 1e9:.1f} GB, more than the device has")
    state, step = init(keys.init, hypers), 0

    def run() -> None:
        nonlocal state, step
        state, metrics = train(state, data, rows, keys.step, np.int32(step))
        step += num_steps
        jax.device_get(metrics)

    return Contender(run, num_steps * math.prod(members))


def in_python_loop(workload: Workload, implementation: Implementation) -> Contender:
    """Build the contender that calls a jitted step, which donates its state, in a Python loop."""
    learner, hypers = make_learner(workload, implementation)
    images, labels, order = random_data(workload)
    data, rows = Batch(jnp.asarray(images), jnp.asarray(labels)), list(jnp.asarray(order))
    keys = loop.split_run_key(jax.random.key(0))
    state = jax.jit(learner.init)(keys.init, hypers)

    @partial(jax.jit, donate_argnums=0)
    def step(state: State, indices: Int[Array, "b"]) -> tuple[State, dict[str, Array]]:
        batch = jax.tree.map(lambda array: array[indices], data)
        return learner.step(state, batch, jax.random.fold_in(keys.step, state.step))

    def run() -> None:
        nonlocal state
        for row in rows[:NUM_SINGLE_STEPS]:
            state, _ = step(state, row)
        jax.block_until_ready(state)

    return Contender(run, NUM_SINGLE_STEPS)
