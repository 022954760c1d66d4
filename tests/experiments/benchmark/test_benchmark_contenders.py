"""Contenders: the same models on both sides, those that a machine allows, and their memory."""

import subprocess
import sys
from functools import partial

import jax
import pytest

from experiments.benchmark import contenders
from experiments.benchmark.workloads import (
    CHUNK_STEPS,
    WORKLOADS,
    Workload,
    WorkloadName,
    make_learner,
)
from jaxgen.training import memory
from jaxgen.training.sharding import layout


def test_both_sides_train_models_of_one_size():
    pytest.importorskip("torch")
    from experiments.benchmark import course

    models: dict[WorkloadName, list] = {
        "conv-vae-64": [course.VanillaVAE((3, 64, 64))],
        "mlp-vae": [course.MLPVAE((1, 32, 32))],
        "cgan": [course.Generator((1, 32, 32)), course.Discriminator((1, 32, 32))],
    }
    for name, networks in models.items():
        learner, hypers = make_learner(WORKLOADS[name])
        state = jax.eval_shape(learner.init, jax.random.key(0), hypers)
        states = state[:2] if name == "cgan" else state[:1]
        ours = sum(leaf.size for s in states for leaf in jax.tree.leaves(s.params))
        assert ours == sum(p.numel() for network in networks for p in network.parameters())


@pytest.mark.parametrize(
    "variant", [contenders.EAGER, contenders.TUNED_EAGER, f"{contenders.TUNED_EAGER}, bfloat16"]
)
@pytest.mark.parametrize("name", ["mlp-vae", "cgan"])
def test_pytorch_s_steps_train_its_models(name, variant, monkeypatch):
    torch = pytest.importorskip("torch")
    made = []

    class Adam(torch.optim.Adam):
        def __init__(self, params, **options):
            params = list(params)
            self.start = [p.detach().clone() for p in params]
            super().__init__(params, **options)
            made.append(self)

        def step(self, *args, **options):
            self.is_autocast = torch.is_autocast_enabled("cpu")
            return super().step(*args, **options)

    monkeypatch.setattr(torch.optim, "Adam", Adam)
    contender = contenders.pytorch(WORKLOADS[name], **contenders.PYTORCH[variant])
    contender.run()
    assert len(made) == (2 if name == "cgan" else 1)
    for adam in made:
        (group,) = adam.param_groups
        assert group["fused"] == (variant != contenders.EAGER)
        assert adam.is_autocast == variant.endswith("bfloat16")
        for parameter, start in zip(group["params"], adam.start, strict=True):
            assert adam.state[parameter]["step"] == contender.num_steps
            assert not torch.equal(parameter, start)


def test_a_gpu_also_has_cuda_graphs_and_as_long_a_scan_for_flax(monkeypatch):
    monkeypatch.setattr(contenders, "has_torch", lambda: True)
    cuda = {contenders.CUDA_GRAPHS, contenders.CUDA_GRAPH}
    assert not cuda & contenders.contenders(WORKLOADS["cgan"]).keys()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    makers = contenders.contenders(WORKLOADS["conv-vae"])
    assert cuda < makers.keys()
    scan = makers["plain Flax in scan"]
    assert isinstance(scan, partial)
    assert scan.args[-1] == CHUNK_STEPS


def test_a_program_that_exceeds_the_memory_is_not_run(monkeypatch):
    monkeypatch.setattr(memory, "device_bytes", lambda: 1_000_000)
    small = Workload("MLP VAE", (8, 8, 1), batch_size=4)  # 0.6 million parameters
    with pytest.raises(MemoryError, match="GB, more than the device has"):
        contenders.in_scan(small, where=layout(2, "map"))


def test_the_steps_of_all_members_count():
    small = Workload("MLP VAE", (8, 8, 1), batch_size=4)
    contender = contenders.in_scan(small, num_steps=3, where=layout(2, "vmap"))
    contender.run()
    contender.run()  # the state that the first run returned
    assert contender.num_steps == 2 * 3


def test_jaxgen_s_own_process_does_not_load_pytorch():
    program = (
        "import sys; from experiments.benchmark import contenders, startup, workloads;"
        "contenders.contenders(workloads.WORKLOADS['cgan']);"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_tuned_model_computes_what_the_course_s_does():
    """From the same seed, fused Adam and channels last change no result.

    Biases before BatchNorm have no gradient but rounding errors, which Adam scales up.
    """
    torch = pytest.importorskip("torch")
    from experiments.benchmark import course

    small = Workload("conv VAE", (32, 32, 1), batch_size=4)
    found = []
    for variant in (contenders.EAGER, contenders.TUNED_EAGER):
        made = []

        class VAE(course.VanillaVAE):
            def __init__(self, shape, made=made):
                super().__init__(shape, hidden_dims=(4, 8, 8, 8, 8))
                made.append(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(course, "VanillaVAE", VAE)
            contenders.pytorch(small, **contenders.PYTORCH[variant]).run()
        found.append([*made[0].fc_mu.parameters(), *made[0].final_layer[-2].parameters()])
    for plain, tuned in zip(*found, strict=True):
        torch.testing.assert_close(tuned, plain, rtol=0, atol=1e-4)  # ten times less than a step
