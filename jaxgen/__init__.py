"""Variational autoencoders and a conditional GAN as pure functions, in JAX and Flax."""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from jaxgen.batch import make_batch as make_batch
    from jaxgen.data.load import load as load
    from jaxgen.errors import InputError as InputError
    from jaxgen.gan.convolutional import ConvDiscriminator as ConvDiscriminator
    from jaxgen.gan.convolutional import ConvGenerator as ConvGenerator
    from jaxgen.gan.models import Discriminator as Discriminator
    from jaxgen.gan.models import Generator as Generator
    from jaxgen.recipes.recipe import Recipe as Recipe
    from jaxgen.recipes.recipe import Task as Task
    from jaxgen.runner.load import Run as Run
    from jaxgen.runner.load import load_run as load_run
    from jaxgen.training.loop import epoch_shape as epoch_shape
    from jaxgen.training.loop import run as run
    from jaxgen.types import Batch as Batch
    from jaxgen.types import Learner as Learner
    from jaxgen.vae.models import MLPVAE as MLPVAE
    from jaxgen.vae.models import ConvVAE as ConvVAE

# Imported on first use, so that a script that only reads data does not wait for Flax or Orbax.
_MODULES = {
    "Batch": "jaxgen.types",
    "ConvDiscriminator": "jaxgen.gan.convolutional",
    "ConvGenerator": "jaxgen.gan.convolutional",
    "ConvVAE": "jaxgen.vae.models",
    "Discriminator": "jaxgen.gan.models",
    "Generator": "jaxgen.gan.models",
    "InputError": "jaxgen.errors",
    "Learner": "jaxgen.types",
    "MLPVAE": "jaxgen.vae.models",
    "Recipe": "jaxgen.recipes.recipe",
    "Run": "jaxgen.runner.load",
    "Task": "jaxgen.recipes.recipe",
    "epoch_shape": "jaxgen.training.loop",
    "load": "jaxgen.data.load",
    "load_run": "jaxgen.runner.load",
    "make_batch": "jaxgen.batch",
    "run": "jaxgen.training.loop",
}
__all__ = [
    "MLPVAE",
    "Batch",
    "ConvDiscriminator",
    "ConvGenerator",
    "ConvVAE",
    "Discriminator",
    "Generator",
    "InputError",
    "Learner",
    "Recipe",
    "Run",
    "Task",
    "epoch_shape",
    "load",
    "load_run",
    "make_batch",
    "run",
]


def __getattr__(name: str) -> object:
    """Import one of the names in `__all__` (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
