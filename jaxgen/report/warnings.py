"""What somebody who reads a report must know before trusting it."""

from collections.abc import Sequence

import jax
import numpy as np

from jaxgen.report.contents import Contents, attempt
from jaxgen.runs import directory

FEW_IMAGES = 1000
NUM_DRAWN = 500  # test images that a task may draw from


def warnings(contents: Contents, shown_members: Sequence[int]) -> list[str]:
    """List the warnings about a run, and about those of its members that are shown."""
    found = []
    facts, epochs = contents.recorded.facts, contents.recorded.options.training.epochs
    last = contents.records[-1] if contents.records else None
    if last is None:
        found.append("No epoch has ended yet.")
    elif not directory.result_path(contents.path).exists():
        found.append(f"The run has not finished: it is at epoch {last['epoch']} of {epochs}.")
    if facts.num_images < FEW_IMAGES:
        found.append(
            f"There are only {facts.num_images} training images: the model may have learned them "
            "by heart, and figures vary from seed to seed."
        )
    if last is not None and (diverged := last.get("diverged")):
        steps = ", ".join(f"{member} at step {step}" for member, step in [*diverged.items()][:20])
        more = f", and {len(diverged) - 20} more" if len(diverged) > 20 else ""
        found.append(f"Members are frozen, since they diverged: {steps}{more}.")
    problems = contents.problems
    found += attempt(problems, "Collapse", lambda: _collapses(contents, shown_members)) or []
    found += attempt(problems, "The evaluation", lambda: _outdated(contents)) or []
    return found


def _outdated(contents: Contents) -> list[str]:
    if contents.run is None or not contents.evaluation:
        return []
    step, latest = contents.evaluation["run"]["step"], contents.run.step
    text = f"The evaluation is of step {step}, and the latest checkpoint of {latest}."
    return [] if step == latest else [text]


def _collapses(contents: Contents, shown_members: Sequence[int]) -> list[str]:
    run, test = contents.run, contents.test
    if run is None or test is None or not run.metrics:
        return []
    few = test._replace(image=test.image[:NUM_DRAWN], label=test.label[:NUM_DRAWN])
    draw, found = jax.jit(run.task.draw), []
    frozen = run.metrics[-1].get("diverged", {})
    for member in [None] if run.num_members is None else shown_members:
        if str(member) in frozen:
            continue
        own = run if member is None else run.member(member)
        drawn = {
            name: np.asarray(array)
            for name, array in draw(own.state, few, jax.random.key(0)).items()
        }
        if trouble := own.task.warn(own.metrics[-1], drawn):
            who = "" if member is None else f"member {member}: "
            found.append(f"Collapsed: {who}{trouble}")
    return found
