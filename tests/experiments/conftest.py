"""What makes the conditional GAN's experiment quick enough to be tested in one process."""

from functools import partial

import pytest

from experiments import cgan_mnist
from jaxgen.evaluation import judge
from jaxgen.gan.models import Discriminator, Generator


@pytest.fixture(scope="module")
def small_gan(tmp_path_factory):
    """Small networks and a judge that knows little make the experiment quick.

    Runs go to the folder that is returned.
    """
    folder = tmp_path_factory.mktemp("experiment")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(judge, "NUM_STEPS", 40)
        patch.setattr(cgan_mnist, "NUM_JUDGED", 1000)
        patch.setattr(cgan_mnist, "Generator", partial(Generator, hidden_dims=(16, 16)))
        patch.setattr(cgan_mnist, "Discriminator", partial(Discriminator, hidden_dims=(16, 16)))
        yield folder
