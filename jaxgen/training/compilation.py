"""The options with which XLA compiles the programs of a run."""

import jax

from jaxgen.training.sharding import Layout

Options = dict[str, str | bool]


def training_options(layout: Layout) -> Options:
    """Return the options of a training program.

    On a GPU, independent kernels of a single run execute concurrently, since each of them occupies
    a small part of the GPU. The kernels of a population occupy all of it, and would need more
    temporary memory if they were concurrent. On a CPU, fewer arrays are copied in each step.
    """
    match jax.default_backend():
        case "gpu" if layout.num_members is None:
            return {"xla_gpu_command_buffer_scheduling_mode": "CONCURRENT"}
        case "cpu":
            return {"xla_cpu_copy_insertion_use_region_analysis": True}
    return {}


def initialization_options() -> Options:
    """Return the options of a program that runs once.

    On a CPU, it is optimized less, since compiling it takes longer than running it. Initial values
    are bit-identical.
    """
    return {"xla_backend_optimization_level": "1"} if jax.default_backend() == "cpu" else {}
