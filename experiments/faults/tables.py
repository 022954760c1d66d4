"""The result of a campaign as a Markdown table."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HEADER = "| fault | times | runs lost | silent changes |\n|---|---|---|---|"


def faults_table(results: Path) -> str:
    """Tabulate `faults.json`."""
    return table(json.loads((results / "faults.json").read_text()))


def table(record: Mapping[str, Any]) -> str:
    """Tabulate the record of a campaign.

    There is a row for each moment of a kill and each kind of file, and a last one for everything.
    """
    rows = {f"SIGKILL, {moment}": counts for moment, counts in record["kills"].items()}
    rows |= {f"altered: {k}": _sum(ways.values()) for k, ways in record["altered"].items()}
    rows["**all**"] = _sum(rows.values())
    return "\n".join([HEADER, *(_row(name, counts) for name, counts in rows.items())])


def _sum(all_counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    names, counts = ("times", "lost", "changed"), list(all_counts)
    return {name: sum(each.get(name, 0) for each in counts) for name in names}


def _row(name: str, counts: Mapping[str, int]) -> str:
    return f"| {name} | {counts['times']} | {counts['lost']} | {counts['changed']} |"
