"""The PyTorch contenders: the course's code, eager or through `torch.compile`. Imports PyTorch."""

import os
from collections.abc import Callable

import jax
import torch
from torch import Tensor, nn

from experiments.benchmark import course
from experiments.benchmark.timing import NUM_SINGLE_STEPS, Contender
from experiments.benchmark.workloads import KL_WEIGHT, NUM_CLASSES, Workload, random_data

Step = Callable[[Tensor], Tensor]  # of the indices of a batch; returns a loss


def training(workload: Workload, mode: str | None) -> Contender:
    """Build the contender that runs training steps of the course's code.

    `mode` is that of `torch.compile`; None is eager execution. On a GPU, matrix products use TF32,
    which is JAX's default, but PyTorch's for convolutions only. Raises RuntimeError if this PyTorch
    cannot use the device that JAX uses.
    """
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    if device == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError("this PyTorch cannot use the GPU.")
        torch.set_float32_matmul_precision("high")
    images, labels, order = random_data(workload)
    images, labels, order = (
        torch.tensor(array, device=device)
        for array in (images.transpose(0, 3, 1, 2), labels, order)
    )
    if workload.model == "cGAN":
        models, step = _cgan(workload, images, labels)
    else:
        models, step = _vae(workload, images)
    if mode is not None:
        torch.compiler.reset()  # programs compiled for other shapes would make this one dynamic
        for model in models:
            model.compile(mode=mode)

    def run() -> None:
        losses = [step(index) for index in order[:NUM_SINGLE_STEPS]]
        losses[-1].item()  # waits for the device

    return Contender(run, NUM_SINGLE_STEPS)


def _cgan(workload: Workload, images: Tensor, labels: Tensor) -> tuple[list[nn.Module], Step]:
    device, (_, channels, height, width) = images.device, images.shape
    shape = (channels, height, width)
    generator = course.Generator(shape).to(device)
    discriminator = course.Discriminator(shape).to(device)
    generator_adam, discriminator_adam = (
        torch.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for model in (generator, discriminator)
    )
    update = course.cgan_step(generator, discriminator, generator_adam, discriminator_adam)

    def step(index: Tensor) -> Tensor:
        x = images[index].float() / 127.5 - 1
        noise = torch.randn(workload.batch_size, 100, device=device)
        fake_labels = torch.randint(NUM_CLASSES, (workload.batch_size,), device=device)
        return update(x, labels[index], noise, fake_labels)[1]

    return [generator, discriminator], step


def _vae(workload: Workload, images: Tensor) -> tuple[list[nn.Module], Step]:
    device, (_, channels, height, width) = images.device, images.shape
    is_mlp = workload.model == "MLP VAE"
    model = (course.MLPVAE if is_mlp else course.VanillaVAE)((channels, height, width)).to(device)
    latent_dim = 32 if is_mlp else 128
    update = course.vae_step(model, torch.optim.Adam(model.parameters(), lr=1e-3), KL_WEIGHT)

    def step(index: Tensor) -> Tensor:
        x = images[index].float()
        x = x / 255 if is_mlp else x / 127.5 - 1
        return update(x, torch.randn(workload.batch_size, latent_dim, device=device))

    return [model], step
