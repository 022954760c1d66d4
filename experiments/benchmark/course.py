"""The course's PyTorch code, generalized to any image size: the reference for comparisons.

Parameter names are those of the course's classes, and of the public PyTorch-VAE and PyTorch-GAN
that the course follows. Images are [b, c, h, w]. Noise is an argument, so that both sides of a
comparison can use the same. Needs the extra `torch`; nothing in `jaxgen` imports this module.
"""

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VanillaVAE(nn.Module):
    """The convolutional VAE (course, sec. 3), without its fixed 2x2 maps and 512 channels."""

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 32, 32),
        latent_dim: int = 128,
        hidden_dims: tuple[int, ...] = (32, 64, 128, 256, 512),
    ):
        super().__init__()
        channels, height, width = image_shape
        factor = 2 ** len(hidden_dims)
        self.map_shape = (hidden_dims[-1], height // factor, width // factor)
        flat = math.prod(self.map_shape)

        sizes = zip((channels, *hidden_dims), hidden_dims, strict=False)
        self.encoder = nn.Sequential(*(_halve(i, o) for i, o in sizes))
        self.fc_mu = nn.Linear(flat, latent_dim)
        self.fc_var = nn.Linear(flat, latent_dim)

        self.decoder_input = nn.Linear(latent_dim, flat)
        back = hidden_dims[::-1]
        self.decoder = nn.Sequential(*(_double(i, o) for i, o in itertools.pairwise(back)))
        last = nn.Conv2d(back[-1], channels, kernel_size=3, padding=1)
        self.final_layer = nn.Sequential(*_double(back[-1], back[-1]), last, nn.Tanh())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z | x)."""
        x = torch.flatten(self.encoder(x), start_dim=1)
        return self.fc_mu(x), self.fc_var(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return images in [-1, 1]."""
        x = self.decoder_input(z).view(-1, *self.map_shape)
        return self.final_layer(self.decoder(x))

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction, mean and log-variance."""
        return _forward(self, x, eps)


class MLPVAE(nn.Module):
    """The MLP VAE (course, sec. 1): ReLU layers in encoder and decoder, and a sigmoid output."""

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 32, 32),
        latent_dim: int = 32,
        hidden_dims: tuple[int, ...] = (512, 512),
    ):
        super().__init__()
        self.image_shape = image_shape
        flat, back = math.prod(image_shape), hidden_dims[::-1]
        encoder = zip((flat, *hidden_dims), hidden_dims, strict=False)
        decoder = zip((latent_dim, *back), back, strict=False)
        self.encoder = nn.Sequential(*(_relu_layer(i, o) for i, o in encoder))
        self.fc_mu = nn.Linear(hidden_dims[-1], latent_dim)
        self.fc_var = nn.Linear(hidden_dims[-1], latent_dim)
        self.decoder = nn.Sequential(*(_relu_layer(i, o) for i, o in decoder))
        self.final_layer = nn.Sequential(nn.Linear(back[-1], flat), nn.Sigmoid())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance of q(z | x)."""
        x = self.encoder(torch.flatten(x, start_dim=1))
        return self.fc_mu(x), self.fc_var(x)

    def decode(self, z: Tensor) -> Tensor:
        """Return images in [0, 1]."""
        return self.final_layer(self.decoder(z)).view(-1, *self.image_shape)

    def forward(self, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the reconstruction, mean and log-variance."""
        return _forward(self, x, eps)


class Generator(nn.Module):
    """Map noise and a label to an image in [-1, 1] (course, part 2, sec. 4.1)."""

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 32, 32),
        latent_dim: int = 100,
        num_classes: int = 10,
        hidden_dims: tuple[int, ...] = (128, 256, 512, 1024),
    ):
        super().__init__()
        self.image_shape = image_shape
        self.label_emb = nn.Embedding(num_classes, num_classes)

        def block(num_in: int, num_out: int, normalize: bool = True) -> list[nn.Module]:
            norm = [nn.BatchNorm1d(num_out, 0.8)] if normalize else []
            return [nn.Linear(num_in, num_out), *norm, nn.LeakyReLU(0.2, inplace=True)]

        layers = block(latent_dim + num_classes, hidden_dims[0], normalize=False)
        for num_in, num_out in itertools.pairwise(hidden_dims):
            layers += block(num_in, num_out)
        self.model = nn.Sequential(
            *layers, nn.Linear(hidden_dims[-1], math.prod(image_shape)), nn.Tanh()
        )

    def forward(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return images."""
        images = self.model(torch.cat((self.label_emb(labels), noise), -1))
        return images.view(-1, *self.image_shape)


class Discriminator(nn.Module):
    """Map an image and its label to a logit (course, part 2, sec. 4.2)."""

    def __init__(
        self,
        image_shape: tuple[int, int, int] = (1, 32, 32),
        num_classes: int = 10,
        hidden_dims: tuple[int, ...] = (512, 512, 512),
        dropout_rate: float = 0.4,
    ):
        super().__init__()
        self.label_embedding = nn.Embedding(num_classes, num_classes)
        layers = [nn.Linear(num_classes + math.prod(image_shape), hidden_dims[0])]
        layers += [nn.LeakyReLU(0.2, inplace=True)]
        for num_in, num_out in itertools.pairwise(hidden_dims):
            layers += [nn.Linear(num_in, num_out), nn.Dropout(dropout_rate)]
            layers += [nn.LeakyReLU(0.2, inplace=True)]
        self.model = nn.Sequential(*layers, nn.Linear(hidden_dims[-1], 1))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return logits, [b, 1]."""
        return self.model(torch.cat((images.flatten(1), self.label_embedding(labels)), -1))


def vae_loss(
    reconstruction: Tensor, x: Tensor, mean: Tensor, logvar: Tensor, kl_weight: float
) -> Tensor:
    """Compute the mean squared error + kl_weight * KL (course, sec. 3.6)."""
    kl = torch.mean(-0.5 * torch.sum(1 + logvar - mean**2 - logvar.exp(), dim=1), dim=0)
    return F.mse_loss(reconstruction, x) + kl_weight * kl


def vae_step(
    model: VanillaVAE | MLPVAE, optimizer: torch.optim.Optimizer, kl_weight: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return a function that updates a VAE from images and noise, and returns the loss."""

    def step(x: Tensor, eps: Tensor) -> Tensor:
        optimizer.zero_grad()
        reconstruction, mean, logvar = model(x, eps)
        loss = vae_loss(reconstruction, x, mean, logvar, kl_weight)
        loss.backward()
        optimizer.step()
        return loss

    return step


def cgan_step(
    generator: Generator,
    discriminator: Discriminator,
    generator_optimizer: torch.optim.Optimizer,
    discriminator_optimizer: torch.optim.Optimizer,
) -> Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the body of the training loop (course, part 2, sec. 4.3), with squared errors.

    The function updates each network once from real images, their labels, noise and the labels of
    the fakes, and returns both losses.
    """

    def step(
        images: Tensor, labels: Tensor, noise: Tensor, fake_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        valid = images.new_ones(len(images), 1)
        fake = images.new_zeros(len(images), 1)

        generator_optimizer.zero_grad()
        fakes = generator(noise, fake_labels)
        generator_loss = F.mse_loss(discriminator(fakes, fake_labels), valid)
        generator_loss.backward()
        generator_optimizer.step()

        discriminator_optimizer.zero_grad()
        real_loss = F.mse_loss(discriminator(images, labels), valid)
        fake_loss = F.mse_loss(discriminator(fakes.detach(), fake_labels), fake)
        discriminator_loss = (real_loss + fake_loss) / 2
        discriminator_loss.backward()
        discriminator_optimizer.step()
        return generator_loss, discriminator_loss

    return step


def _forward(model: VanillaVAE | MLPVAE, x: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean, logvar = model.encode(x)
    return model.decode(mean + eps * torch.exp(0.5 * logvar)), mean, logvar


def _halve(num_in: int, num_out: int) -> nn.Sequential:
    convolution = nn.Conv2d(num_in, num_out, kernel_size=3, stride=2, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(num_out), nn.LeakyReLU())


def _double(num_in: int, num_out: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(
        num_in, num_out, kernel_size=3, stride=2, padding=1, output_padding=1
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(num_out), nn.LeakyReLU())


def _relu_layer(num_in: int, num_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_in, num_out), nn.ReLU())
