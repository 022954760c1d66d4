"""What the benchmark times: one model and batch as jaxgen, plain Flax and PyTorch train it.

Every side's step does all of the course's: it gathers a uint8 batch from memory, scales it, draws
the noise, and updates with Adam.
"""

import importlib.util
import math
import os
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxgen.gan import objectives as gan_objectives
from jaxgen.gan.learner import Hypers as GANHypers
from jaxgen.gan.learner import cgan
from jaxgen.gan.models import Discriminator, Generator
from jaxgen.layers import Form
from jaxgen.training import loop, memory
from jaxgen.training.devices import Layout, layout, place
from jaxgen.types import Batch, Learner, State
from jaxgen.vae import objectives as vae_objectives
from jaxgen.vae.learner import Hypers as VAEHypers
from jaxgen.vae.learner import vae
from jaxgen.vae.models import MLPVAE, ConvVAE

KLD_WEIGHT = 0.00025  # the course's
CHUNK_STEPS = loop.CHUNK_STEPS[0]
NUM_SINGLE_STEPS = 5  # between two looks at the clock, where steps are dispatched one by one
NUM_NAIVE_STEPS = 2  # XLA:CPU's own convolution in a loop takes seconds for each
EAGER = "PyTorch eager"
COMPILED = "torch.compile"
CUDA_GRAPHS = "torch.compile, CUDA graphs"
PYTORCH = (EAGER, COMPILED, CUDA_GRAPHS)
NUM_CLASSES = 10


WorkloadName = Literal["conv-vae", "conv-vae-64", "mlp-vae", "cgan"]


class Workload(NamedTuple):
    """What is trained."""

    model: Literal["conv VAE", "MLP VAE", "cGAN"]
    image_shape: tuple[int, int, int]  # height, width, channels
    batch_size: int

    @property
    def title(self) -> str:
        """For the tables."""
        return f"{self.model} {'x'.join(map(str, self.image_shape))}, batch {self.batch_size}"

    @property
    def has_experiment(self) -> bool:
        """Whether its images are of the digits' size, padded."""
        return self.image_shape == (32, 32, 1)


WORKLOADS: dict[WorkloadName, Workload] = {
    "conv-vae": Workload("conv VAE", (32, 32, 1), 64),
    "conv-vae-64": Workload("conv VAE", (64, 64, 3), 64),
    "mlp-vae": Workload("MLP VAE", (32, 32, 1), 128),
    "cgan": Workload("cGAN", (32, 32, 1), 64),
}


class Contender(NamedTuple):
    """Something to be timed."""

    run: Callable[[], None]  # returns when its steps are done
    num_steps: int


def has_torch() -> bool:
    """Whether PyTorch is installed. Does not import it: jaxgen's processes would pay for that."""
    return importlib.util.find_spec("torch") is not None


def contenders(workload: Workload) -> dict[str, Callable[[], Contender]]:
    """Who can train it, by name; each still to be built.

    Without convolutions plain Flax in a scan is what jaxgen runs, and no contender.
    """
    on_cpu = jax.default_backend() == "cpu"
    makers: dict[str, Callable[[], Contender]] = {"jaxgen": partial(in_scan, workload)}
    if has_torch():
        makers[EAGER] = partial(pytorch, workload)
        makers[COMPILED] = partial(pytorch, workload, compiled="default")
        if not on_cpu:
            makers[CUDA_GRAPHS] = partial(pytorch, workload, compiled="reduce-overhead")
    if workload.model == "conv VAE":
        num_steps = NUM_NAIVE_STEPS if on_cpu else CHUNK_STEPS
        makers["plain Flax by steps"] = partial(by_steps, workload, "lax")
        makers["plain Flax in scan"] = partial(in_scan, workload, "lax", num_steps)
    return makers


def make_learner(
    workload: Workload, form: Form | None = None
) -> tuple[Learner, VAEHypers | GANHypers]:
    """The learner, its convolutions in `form`, and its hyperparameters."""
    shape = workload.image_shape
    if workload.model == "cGAN":
        objective = gan_objectives.least_squares()
        return cgan(Generator(shape), Discriminator(shape), objective), GANHypers()
    if workload.model == "MLP VAE":
        return vae(MLPVAE(shape), vae_objectives.course("sigmoid", KLD_WEIGHT)), VAEHypers()
    model = ConvVAE(shape, conv=form)
    return vae(model, vae_objectives.course("tanh", KLD_WEIGHT)), VAEHypers()


def random_data(workload: Workload) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels, and which of them each step of a chunk sees."""
    rng = np.random.default_rng(0)
    num_images = CHUNK_STEPS * workload.batch_size
    images = rng.integers(0, 256, (num_images, *workload.image_shape), dtype=np.uint8)
    labels = rng.integers(0, NUM_CLASSES, num_images, dtype=np.int32)
    return images, labels, rng.permutation(num_images).reshape(-1, workload.batch_size)


def in_scan(
    workload: Workload,
    form: Form | None = None,
    num_steps: int = CHUNK_STEPS,
    where: Layout | None = None,
) -> Contender:
    """The program that the experiments run: a scan over steps, its state given away.

    Of one run or, with a layout for it, of a population; then each member's steps count. Raises
    MemoryError if the device has not enough for it.
    """
    where = where or layout()
    members = () if where.num_members is None else (where.num_members,)
    learner, hypers = make_learner(workload, form)
    images, labels, order = random_data(workload)
    data = Batch(*place((images, labels), where.shared))
    rows = place(
        np.broadcast_to(order[:num_steps], (*members, *order[:num_steps].shape)), where.rows
    )
    seeds = np.arange(math.prod(members), dtype=np.uint32).reshape(members)
    keys = jax.jit(
        where.lift(lambda seed: loop.split_run_key(jax.random.key(seed)), (0,)),
        out_shardings=where.members,
    )(seeds)
    hypers = jax.tree.map(lambda value: np.full(members, value, np.float32), hypers)
    init = jax.jit(where.lift(learner.init, (0, 0)), out_shardings=where.members)
    shapes = jax.eval_shape(init, keys.init, hypers)
    train = loop.trainer(learner.step, where).lower(shapes, data, rows, keys.step, np.int32(0))
    train = train.compile()
    if (need := memory.needed(train).total) > memory.device_bytes():
        raise MemoryError(f"{need / 1e9:.1f} GB are more than the device has")
    state, step = init(keys.init, hypers), 0

    def run() -> None:
        nonlocal state, step
        state, metrics = train(state, data, rows, keys.step, np.int32(step))
        step += num_steps
        jax.device_get(metrics)

    return Contender(run, num_steps * math.prod(members))


def by_steps(workload: Workload, form: Form) -> Contender:
    """A training loop in Python around a jitted step, its state given away."""
    learner, hypers = make_learner(workload, form)
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


def pytorch(workload: Workload, *, compiled: str | None = None) -> Contender:
    """The course's PyTorch code as it stands, or its models through this mode of `torch.compile`.

    On a GPU with the TF32 products that are JAX's default there, and PyTorch's for convolutions.
    Raises RuntimeError if PyTorch is not built for the device that JAX uses.
    """
    import torch

    from experiments import course

    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError("it is not installed for this GPU.")
        torch.set_float32_matmul_precision("high")
    images, labels, order = random_data(workload)
    images, labels, order = (
        torch.tensor(array, device=device)
        for array in (images.transpose(0, 3, 1, 2), labels, order)
    )
    height, width, channels = workload.image_shape
    shape, batch_size = (channels, height, width), workload.batch_size

    if workload.model == "cGAN":
        generator = course.Generator(shape).to(device)
        discriminator = course.Discriminator(shape).to(device)
        models = generator, discriminator
        adams = [torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in models]
        gan_step = course.cgan_step(generator, discriminator, *adams)

        def step(index: torch.Tensor) -> torch.Tensor:
            x = images[index].float() / 127.5 - 1
            noise = torch.randn(batch_size, 100, device=device)
            fake_labels = torch.randint(NUM_CLASSES, (batch_size,), device=device)
            return gan_step(x, labels[index], noise, fake_labels)[1]

    else:
        is_mlp = workload.model == "MLP VAE"
        model = (course.MLPVAE if is_mlp else course.VanillaVAE)(shape).to(device)
        models = (model,)
        latent_dim = 32 if is_mlp else 128
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        vae_step = course.vae_step(model, adam, KLD_WEIGHT)

        def step(index: torch.Tensor) -> torch.Tensor:
            x = images[index].float()
            x = x / 255 if is_mlp else x / 127.5 - 1
            return vae_step(x, torch.randn(batch_size, latent_dim, device=device))

    if compiled:
        torch.compiler.reset()  # or what it compiled for other shapes makes this one general
        for model in models:
            model.compile(mode=compiled)

    def run() -> None:
        losses = [step(index) for index in order[:NUM_SINGLE_STEPS]]
        losses[-1].item()  # waits for the device

    return Contender(run, NUM_SINGLE_STEPS)
