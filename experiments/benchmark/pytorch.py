"""The PyTorch contenders: the course's code as it is, and tuned by an expert. Imports PyTorch."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import torch
from torch import Tensor, nn

from experiments.benchmark import course
from experiments.benchmark.timing import NUM_SINGLE_STEPS, Contender
from experiments.benchmark.workloads import KL_WEIGHT, NUM_CLASSES, Workload, random_data
from jaxgen.runs.environment import num_usable_cpus

Step = Callable[[Tensor], Tensor]  # of the indices of a batch; returns a loss
Optimizer = Callable[..., torch.optim.Optimizer]
NUM_WARMUP_STEPS = 3  # which allocate the optimizer's state, outside of a CUDA graph


class Variant(NamedTuple):
    """How PyTorch runs a training step."""

    compile_mode: str | None = None  # of `torch.compile`; None is eager execution
    tuned: bool = False  # fused Adam, channels last, and all of the step compiled
    cuda_graph: bool = False  # the whole step is captured once, and replayed
    bfloat16: bool = False  # PyTorch's automatic mixed precision


def training(workload: Workload, variant: Variant) -> Contender:
    """Build the contender that runs training steps of the course's code.

    Without tuning, the models are compiled, and the optimizer is not. On a GPU, matrix products use
    TF32, which is JAX's default, but PyTorch's for convolutions only. Raises RuntimeError if this
    PyTorch cannot use the device that JAX uses.
    """
    torch.manual_seed(0)
    torch.set_num_threads(num_usable_cpus())
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError("this PyTorch cannot use the GPU.")
        torch.set_float32_matmul_precision("high")
    layout = torch.channels_last if variant.tuned else torch.contiguous_format
    images, labels, order = (torch.tensor(array, device=device) for array in random_data(workload))
    images = images.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    optimizer = partial(torch.optim.Adam, fused=variant.tuned, capturable=variant.cuda_graph)
    if workload.model == "cGAN":
        models, step = _cgan(workload, images, labels, optimizer)
    else:
        models, step = _vae(workload, images, optimizer)
    for model in models:
        model.to(memory_format=layout)  # pyright: ignore[reportCallIssue]  # missing in its stubs
    if variant.bfloat16:
        step = torch.autocast(device, torch.bfloat16)(step)
    if variant.compile_mode is not None:
        torch.compiler.reset()  # programs compiled for other shapes would make this one dynamic
        if variant.tuned:
            step = torch.compile(step, mode=variant.compile_mode)
        else:
            for model in models:
                model.compile(mode=variant.compile_mode)
    if variant.cuda_graph:
        step = _captured(step, order[0])

    def run() -> None:
        losses = [step(index) for index in order[:NUM_SINGLE_STEPS]]
        losses[-1].item()  # waits for the device

    return Contender(run, NUM_SINGLE_STEPS)


def _captured(step: Step, index: Tensor) -> Step:
    """Capture a step in a CUDA graph, whose replays read their indices from one place."""
    index = index.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(NUM_WARMUP_STEPS):
            step(index)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(index)

    def replay(other: Tensor) -> Tensor:
        index.copy_(other)
        graph.replay()
        return loss

    return replay


def _cgan(
    workload: Workload, images: Tensor, labels: Tensor, optimizer: Optimizer
) -> tuple[list[nn.Module], Step]:
    device, (_, channels, height, width) = images.device, images.shape
    shape = (channels, height, width)
    generator = course.Generator(shape).to(device)
    discriminator = course.Discriminator(shape).to(device)
    generator_adam, discriminator_adam = (
        optimizer(model.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for model in (generator, discriminator)
    )
    update = course.cgan_step(generator, discriminator, generator_adam, discriminator_adam)

    def step(index: Tensor) -> Tensor:
        x = images[index].float() / 127.5 - 1
        noise = torch.randn(workload.batch_size, 100, device=device)
        fake_labels = torch.randint(NUM_CLASSES, (workload.batch_size,), device=device)
        return update(x, labels[index], noise, fake_labels)[1]

    return [generator, discriminator], step


def _vae(workload: Workload, images: Tensor, optimizer: Optimizer) -> tuple[list[nn.Module], Step]:
    device, (_, channels, height, width) = images.device, images.shape
    is_mlp = workload.model == "MLP VAE"
    model = (course.MLPVAE if is_mlp else course.VanillaVAE)((channels, height, width)).to(device)
    latent_dim = 32 if is_mlp else 128
    update = course.vae_step(model, optimizer(model.parameters(), lr=1e-3), KL_WEIGHT)

    def step(index: Tensor) -> Tensor:
        x = images[index].float()
        x = x / 255 if is_mlp else x / 127.5 - 1
        return update(x, torch.randn(workload.batch_size, latent_dim, device=device))

    return [model], step
