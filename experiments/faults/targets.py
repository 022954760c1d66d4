"""The files that the campaign alters: those of a run, of the caches, and of weights."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from experiments.faults.compare import arrays_of, same_bits
from experiments.faults.openings import Outcome, Target
from jaxgen.data import builtin, cache
from jaxgen.errors import InputError
from jaxgen.interop import files
from jaxgen.runner.load import Run, load_run
from jaxgen.runs import caches, directory, environment, lock, records
from jaxgen.training import checkpoint
from jaxgen.types import JsonObject

Arrays = Mapping[str, np.ndarray]


def run_targets(run_dir: Path) -> list[Target]:
    """List the files of a run that has at least two checkpoints."""
    path, intact = directory.checkpoints_path(run_dir), load_run(run_dir)
    states = {n: arrays_of(load_run(run_dir, n).state) for n in checkpoint.steps(path)}
    state_files = [
        file
        for step in states
        for file in sorted((path / str(step)).rglob("*"))
        if file.is_file() and file.stat().st_size
    ]
    with lock.hold(run_dir):
        pass
    open_checkpoint = partial(_open_checkpoint, run_dir, intact, states)
    open_run = partial(_open_run, run_dir, intact, states)
    open_record = partial(_open_record, run_dir, intact, states)
    return [
        Target("file of a checkpoint", state_files, open_checkpoint),
        Target("manifest", [path / f"{step}.json" for step in states], open_run),
        Target("config.json", [directory.config_path(run_dir)], open_record),
        Target("metrics.jsonl", [directory.metrics_path(run_dir)], open_record),
        _json_target(directory.environment_path(run_dir), lambda: environment.read_starts(run_dir)),
        _json_target(directory.result_path(run_dir), lambda: [records.read_result(run_dir)]),
        Target("lock.json", [lock.lock_path(run_dir)], partial(_open_lock, run_dir)),
    ]


def _json_target(path: Path, read: Callable[[], Sequence[JsonObject]]) -> Target:
    return Target(path.name, [path], partial(_open_json, read, read()))


def cache_targets(room: Path) -> list[Target]:
    """Write caches of the built-in digits and of a small tree, and list them."""
    image, label = (array[:100] for array in builtin.read("train"))
    place = cache.Place((room / "images",), "fingerprint")
    cache.write(place, "train", iter([(image, label)]))
    (data,) = place.of("train")
    tree = {"params": {"kernel": image[0].astype(np.float32)}, "accuracy": np.float32(0.5)}
    result = room / "evaluation.msgpack"
    caches.load_or_compute(result, lambda: tree)
    return [
        Target(
            "cache of data", [data], partial(_open_data, place, {"image": image, "label": label})
        ),
        Target("cache of the classifier", [result], partial(_open_result, tree)),
    ]


def weight_targets(room: Path) -> list[Target]:
    """Write a PyTorch file, and list it. The format has checksums."""
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(8, 8)).astype(np.float32) for name in ("a.weight", "b.weight")}
    path = room / "weights.pt"
    files.save(path, arrays)
    return [Target("PyTorch file", [path], partial(_open_weights, arrays))]


def _open_checkpoint(
    run_dir: Path, intact: Run, states: Mapping[int, Arrays], path: Path
) -> tuple[Outcome, str]:
    checkpoints = directory.checkpoints_path(run_dir)
    try:
        step, damaged = checkpoint.find_step(checkpoints, "latest", intact.recipe.mode)
        best, _ = checkpoint.find_step(checkpoints, "best", intact.recipe.mode)
        state = checkpoint.restore(checkpoints, step, intact.state)
    except InputError as error:
        return "lost", f"another checkpoint is sound: {error}"
    for _, reason in damaged:
        warnings.warn(reason, stacklevel=1)
    if not _same(arrays_of(state), states[step]) or checkpoint.damage(checkpoints, best):
        return "changed", f"other weights at step {step}"
    return ("unaffected" if step == intact.step else "earlier checkpoint"), ""


def _open_run(
    run_dir: Path, intact: Run, states: Mapping[int, Arrays], path: Path
) -> tuple[Outcome, str]:
    try:
        run = load_run(run_dir)
    except InputError as error:
        return "lost", f"another checkpoint is sound: {error}"
    if not _same(arrays_of(run.state), states[run.step]):
        return "changed", f"other weights at step {run.step}"
    return ("unaffected" if run.step == intact.step else "earlier checkpoint"), ""


def _open_record(
    run_dir: Path, intact: Run, states: Mapping[int, Arrays], path: Path
) -> tuple[Outcome, str]:
    run = load_run(run_dir)
    if run.options != intact.options or run.facts != intact.facts:
        return "changed", f"{run.options}, {run.facts}"
    if run.step != intact.step or not _same(arrays_of(run.state), states[run.step]):
        return "changed", "other weights"
    if any(line not in intact.metrics for line in run.metrics):
        return "changed", "other metrics"
    return ("unaffected" if run.metrics == intact.metrics else "incomplete"), ""


def _open_json(
    read: Callable[[], Sequence[JsonObject]], intact: Sequence[JsonObject], path: Path
) -> tuple[Outcome, str]:
    found = read()
    if len(found) == len(intact) and all(
        one.get(key) == value
        for one, other in zip(found, intact, strict=True)
        for key, value in other.items()
    ):
        return "unaffected", ""
    return "changed", f"{found}"


def _open_lock(run_dir: Path, path: Path) -> tuple[Outcome, str]:
    with lock.hold(run_dir):
        return "unaffected", ""


def _open_data(place: cache.Place, intact: Arrays, path: Path) -> tuple[Outcome, str]:
    found = cache.read(place, "train")
    if found is None:
        return "rebuilt", ""
    is_same = _same(dict(zip(("image", "label"), found, strict=True)), intact)
    return ("unaffected", "") if is_same else ("changed", "other images")


def _open_result(intact: dict[str, object], path: Path) -> tuple[Outcome, str]:
    computed = []

    def compute() -> dict[str, object]:
        computed.append(True)
        return intact

    found = caches.load_or_compute(path, compute)
    if not _same(arrays_of(found), arrays_of(intact)):
        return "changed", "other parameters"
    return ("rebuilt" if computed else "unaffected"), ""


def _open_weights(intact: Arrays, path: Path) -> tuple[Outcome, str]:
    found = {name: np.asarray(array) for name, array in files.load(path).arrays.items()}
    return ("unaffected", "") if _same(found, intact) else ("changed", "other weights")


def _same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(same_bits(one[k], other[k]) for k in one)
