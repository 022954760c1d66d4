"""The results of the campaign as a Markdown table."""

import json
from pathlib import Path
from typing import Any

HEADER = "| fault | times | runs lost | silent changes |\n|---|---|---|---|"


def faults_table(results: Path) -> str:
    """Tabulate `faults.json`: a row for each moment of a kill and each kind of file."""
    return table(json.loads((results / "faults.json").read_text()))


def table(record: dict[str, Any]) -> str:
    """Tabulate the record of a campaign, with a last row for the sum."""
    kills = {f"SIGKILL, {moment}": counts for moment, counts in record["kills"].items()}
    altered = {f"altered: {name}": _sum(ways.values()) for name, ways in record["altered"].items()}
    rows = kills | altered
    rows["**all**"] = _sum(rows.values())
    return "\n".join([HEADER, *(_row(name, counts) for name, counts in rows.items())])


def _sum(all_counts: Any) -> dict[str, int]:
    names = ("times", "lost", "changed")
    counts = list(all_counts)
    return {name: sum(each.get(name, 0) for each in counts) for name in names}


def _row(name: str, counts: dict[str, int]) -> str:
    return f"| {name} | {counts['times']} | {counts['lost']} | {counts['changed']} |"
