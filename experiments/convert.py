"""PyTorch weights become a run that can be looked at and resumed, and a run's become a file."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro
from rich.progress import Progress

from experiments import cgan_mnist, vae_mnist
from experiments.experiment import adopt, initial_state, open_manager
from experiments.launch import DataSets
from experiments.options import RunOptions, is_record, read_config
from jaxgen import console, runs
from jaxgen.errors import InputError
from jaxgen.gan.models import Generator
from jaxgen.interop import torch
from jaxgen.interop.layouts import StateDict, model_for
from jaxgen.training import checkpoint
from jaxgen.types import State
from jaxgen.vae.models import MLPVAE, ConvVAE

Networks = dict[str, StateDict]

GAN_NETWORKS = ("generator.", "discriminator.", "ema.")


def convert(
    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")],
    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")],
    discriminator: Path | None = None,
    objective: Literal["bernoulli", "gaussian", "gaussian-learned", "course"] = "course",
    dataset: str | None = None,
    data_dir: Path | None = None,
    manual_dir: Path | None = None,
) -> None:
    """Turns a file of PyTorch weights into a run directory, or a run directory into such a file.

    The file is .pt, .pth, .ckpt or .safetensors, with the parameter names of the course's classes.
    A run that comes out of it begins with these weights, a new optimizer and no history. A cGAN's
    networks are entries `generator.` and `discriminator.` of one file, or files of their own.

    Args:
        source: The file, or the run directory.
        target: A new run directory, or a file to write.
        discriminator: The file with the discriminator, if `source` holds a generator alone.
        objective: What a VAE is to minimise from here on.
        dataset: What to go on with; None: mnist if it can be had, else mnist_5k.
        data_dir: Where TensorFlow Datasets keeps prepared sets.
        manual_dir: A directory with the original .gz files of MNIST or its kin.
    """
    if target.exists():
        raise InputError(f"{target} exists already: choose another name.")
    if source.is_dir():
        save_weights(source, target)
        print(f"weights: {target}")
        return
    networks = split_networks(torch.load(source), discriminator)

    def placed(config: Any) -> Any:
        options = {"dataset": dataset, "data_dir": data_dir, "manual_dir": manual_dir}
        run = dataclasses.replace(config.run, run_dir=target, **options)
        return dataclasses.replace(config, run=run)

    with console.progress_bar() as progress:
        if "vae" in networks:
            begin_vae(placed(vae_config(networks["vae"], objective)), networks["vae"], progress)
        else:
            begin_cgan(placed(cgan_config(networks["generator"])), networks, progress)
    print(f"a run that begins with these weights: {target}")


def split_networks(weights: StateDict, discriminator: Path | None) -> Networks:
    """State dicts of a `vae`, or of a `generator`, a `discriminator` and perhaps an `ema`."""
    networks: Networks = {}
    if weights and all(name.startswith(GAN_NETWORKS) for name in weights):
        for prefix in GAN_NETWORKS:
            names = [name for name in weights if name.startswith(prefix)]
            if names:
                networks[prefix[:-1]] = {name.removeprefix(prefix): weights[name] for name in names}
    elif isinstance(model_for(weights), ConvVAE | MLPVAE):
        return {"vae": weights}
    else:
        networks["generator"] = weights
    if discriminator is not None:
        networks["discriminator"] = torch.load(discriminator)
    if not networks.keys() >= {"generator", "discriminator"}:
        raise InputError(
            "A conditional GAN has two networks: give the generator's file, and the "
            "discriminator's as --discriminator FILE."
        )
    return networks


def vae_config(weights: StateDict, objective: Any) -> vae_mnist.Config:
    """A run of a VAE as large as the weights."""
    model = model_for(weights)
    assert isinstance(model, ConvVAE | MLPVAE)
    return vae_mnist.Config(
        model="conv" if isinstance(model, ConvVAE) else "mlp",
        hidden_dims=model.hidden_dims,
        latent_dim=model.latent_dim,
        objective=objective,
        run=RunOptions(image_size=model.image_shape[0]),
    )


def cgan_config(generator: StateDict) -> cgan_mnist.Config:
    """A run of a cGAN as large as the generator's weights."""
    model = model_for(generator)
    if not isinstance(model, Generator):
        raise InputError("The generator's weights are those of another network.")
    return cgan_mnist.Config(
        latent_dim=model.latent_dim,
        run=RunOptions(image_size=model.image_shape[0]),
    )


def begin_vae(config: vae_mnist.Config, weights: StateDict, progress: Progress) -> None:
    """Makes the run directory of a VAE with the weights."""
    experiment = vae_mnist.prepare(config, progress)
    model = vae_mnist.make_model(config, experiment.sets.image_shape)
    variables = torch.from_torch(model, weights)
    state = initial_state(experiment)
    network = state.network.replace(**variables)
    adopt(experiment, state._replace(network=network), progress)


def begin_cgan(config: cgan_mnist.Config, networks: Networks, progress: Progress) -> None:
    """Makes the run directory of a cGAN with the weights; the average begins with them, too."""
    experiment = cgan_mnist.prepare(config, progress)
    sets = experiment.sets
    generator, discriminator = cgan_mnist.make_models(config, sets.image_shape, sets.num_classes)
    variables = torch.from_torch(generator, networks["generator"])
    state = initial_state(experiment)
    state = state._replace(
        generator=state.generator.replace(**variables),
        discriminator=state.discriminator.replace(
            **torch.from_torch(discriminator, networks["discriminator"])
        ),
        ema=torch.from_torch(generator, networks.get("ema", networks["generator"])),
    )
    adopt(experiment, state, progress)


def save_weights(run_dir: Path, path: Path) -> None:
    """Writes the weights that the run has reached."""
    record = runs.read_config(run_dir)
    module = vae_mnist if is_record(vae_mnist.Config, record) else cgan_mnist
    config = read_config(module.Config, run_dir)
    with console.progress_bar() as progress:
        experiment = module.prepare(config, progress)
    with open_manager(experiment, run_dir) as manager:
        if manager.latest_step() is None:
            raise InputError(f"{run_dir} has no checkpoint yet: finish an epoch of it first.")
        state = checkpoint.restore_latest(manager, initial_state(experiment))
    torch.save(path, state_dict(config, experiment.sets, state))


def state_dict(config: Any, sets: DataSets, state: State) -> dict[str, np.ndarray]:
    """A training state's weights under the names of the course's classes."""
    if isinstance(config, vae_mnist.Config):
        return torch.to_numpy(
            vae_mnist.make_model(config, sets.image_shape), state.network.variables
        )
    generator, discriminator = cgan_mnist.make_models(config, sets.image_shape, sets.num_classes)
    networks = {
        "generator": torch.to_numpy(generator, state.generator.variables),
        "discriminator": torch.to_numpy(discriminator, state.discriminator.variables),
    }
    if state.ema is not None:
        networks["ema"] = torch.to_numpy(generator, state.ema)
    return {
        f"{network}.{name}": array
        for network, arrays in networks.items()
        for name, array in arrays.items()
    }
