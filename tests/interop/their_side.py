"""The course's networks in the comparison with ours. Needs PyTorch."""

import torch
from our_side import KL_WEIGHT, from_torch, model_for

from experiments.benchmark import course

torch.set_num_threads(1)  # tests run side by side
BATCH_NORMS = torch.nn.BatchNorm1d | torch.nn.BatchNorm2d


def pair(make_network, dtype):
    """The course's network, with all of its parameters and statistics different, and ours."""
    torch.manual_seed(0)
    network = make_network().to(dtype)
    for module in network.modules():
        if isinstance(module, BATCH_NORMS):
            assert module.running_mean is not None
            assert module.running_var is not None
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 2)
            for tensor in (module.bias.data, module.running_mean):
                tensor.uniform_(-1, 1)
    model = model_for(network.state_dict())
    return network, model, from_torch(model, network.state_dict())


def to_tensor(array):
    """Images become [b, c, h, w]."""
    return torch.tensor(array.transpose(0, 3, 1, 2).copy() if array.ndim == 4 else array)


def to_array(tensor):
    """Images become [b, h, w, c]; a discriminator's [b, 1] becomes [b]."""
    tensor = tensor.detach()
    return (tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor.squeeze(-1)).numpy()


def their_outputs(network, inputs):
    outputs = network(*map(to_tensor, inputs))
    return [to_array(out) for out in (outputs if isinstance(outputs, tuple) else (outputs,))]


def their_loss(network, inputs):
    """The course's loss of a VAE; least squares for the output of another."""
    image, other = map(to_tensor, inputs)
    outputs = network(image, other)
    if isinstance(outputs, tuple):
        return course.vae_loss(outputs[0], image, outputs[1], outputs[2], KL_WEIGHT)
    return torch.nn.functional.mse_loss(outputs, torch.ones_like(outputs))


def count_normalized(network):
    """Filled by the next forward pass: how many numbers each BatchNorm averages in a channel."""
    counts = {}
    for name, module in network.named_modules():
        if isinstance(module, BATCH_NORMS):

            def count(module, inputs, output, name=name):
                counts[name] = output.numel() // output.shape[1]

            module.register_forward_hook(count)
    return counts


def biases_before_norms(network):
    """Names of the biases that BatchNorm's mean takes out again."""
    return {
        f"{name}.{position}.bias"
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Sequential)
        for position, after in enumerate(list(module)[1:])
        if isinstance(after, BATCH_NORMS)
    }
