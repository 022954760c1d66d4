"""Verify and resume runs of which one file is altered, as processes."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.faults import compare, subjects
from experiments.faults.alterations import WAYS, Way, alter
from experiments.faults.openings import Outcome, Trial, judge_refusal
from experiments.faults.subjects import Subject
from jaxgen.runs import directory, lock
from jaxgen.runs.records import read_metrics

NUM_ALTERED_PROGRAMS = 8


def stopped_run(subject: Subject, room: Path) -> Path:
    """Train a run until most of its epochs are done, and return what a kill leaves."""
    run_dir = room / f"{subject.name}-stopped"
    with subjects.started(
        subjects.train(subject, run_dir), room, run_dir.with_suffix(".log")
    ) as run:
        while len(read_metrics(run_dir)) < subject.num_epochs - 2 and run.poll() is None:
            time.sleep(0.01)
        run.kill()
    with lock.hold(run_dir):
        pass
    return run_dir


def attempt_resume(stopped: Path, reference: Path, copy: Path, rng: np.random.Generator) -> Trial:
    """Alter one file of a copy of a stopped run, then verify and resume it."""
    shutil.copytree(stopped, copy)
    path, target = _choose(copy, rng)
    way = WAYS[rng.integers(len(WAYS))]
    alter(path, way, rng)
    before = {file for file in path.parent.iterdir() if ".orbax-checkpoint-tmp" not in file.name}
    outcome, detail = _judge(path, reference, copy, is_replaceable=target == "a checkpoint")
    if outcome == "refused" and (deleted := before - set(path.parent.iterdir())):
        outcome, detail = "lost", f"deleted {sorted(deleted)}"
    shutil.rmtree(copy)
    detail = f"{path.relative_to(copy)} {way}: {detail}" if detail else ""
    return Trial(f"{target}, resumed by a process", way, outcome, detail)


def attempt_with_altered_programs(
    subject: Subject, reference: Path, room: Path, rng: np.random.Generator
) -> list[Trial]:
    """Train with a cache of compiled programs of which some are altered."""
    shutil.copytree(reference.parent / "cache", room / "cache")
    programs = sorted((room / "cache" / "jaxgen" / "xla").glob("*-cache"))
    chosen = rng.choice(len(programs), min(NUM_ALTERED_PROGRAMS, len(programs)), replace=False)
    ways: list[Way] = [WAYS[rng.integers(len(WAYS))] for _ in chosen]
    for i, way in zip(chosen, ways, strict=True):
        alter(programs[i], way, rng)
    run_dir = room / subject.name
    done = subjects.finished(subjects.train(subject, run_dir), room)
    outcome: Outcome = "rebuilt"
    detail = ""
    if done.returncode or "Error reading" in done.stderr:
        outcome, detail = "lost", done.stdout + done.stderr
    elif found := compare.differences(reference, run_dir):
        outcome, detail = "changed", ", ".join(found)
    shutil.rmtree(room)
    return [Trial("compiled program", way, outcome, detail) for way in ways]


def _choose(run_dir: Path, rng: np.random.Generator) -> tuple[Path, str]:
    """Choose a file of the latest checkpoint or, as often, a record."""
    checkpoints = directory.checkpoints_path(run_dir)
    if rng.random() < 0.5:
        manifest = max(checkpoints.glob("*.json"), key=lambda path: int(path.stem))
        files = [manifest, *(checkpoints / manifest.stem).rglob("*")]
        files = sorted(file for file in files if file.is_file() and file.stat().st_size)
        return files[rng.integers(len(files))], "a checkpoint"
    paths: Sequence[Path] = (
        directory.config_path(run_dir),
        directory.metrics_path(run_dir),
        directory.environment_path(run_dir),
        lock.lock_path(run_dir),
    )
    path = paths[rng.integers(len(paths))]
    return path, path.name


def _judge(path: Path, reference: Path, copy: Path, *, is_replaceable: bool) -> tuple[Outcome, str]:
    room = reference.parent
    verified = subjects.finished((*subjects.JAXGEN, "verify", str(copy)), room)
    resumed = subjects.finished(subjects.resume(copy), room)
    output = resumed.stdout + resumed.stderr
    if "Traceback" in verified.stderr + output or resumed.returncode not in (0, 2):
        return "lost", verified.stderr + output
    if resumed.returncode == 2:
        if is_replaceable:
            return "lost", output
        return judge_refusal(path, output)
    found = compare.differences(reference, copy)
    is_same_state = not any(text.startswith("parameter") for text in found)
    if path.name == "metrics.jsonl" and f"{path} lacks" in output and is_same_state:
        return "incomplete", ""
    if found:
        return "changed", ", ".join(found)
    if not is_replaceable:
        return "unaffected", ""
    if str(path) in output and verified.returncode == 1:
        return "earlier checkpoint", ""
    return "changed", f"nothing names the file: {verified.stdout}{output}"
