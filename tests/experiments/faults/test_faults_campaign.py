"""The campaign itself: a short one, its record and its table."""

import json

import numpy as np
import pytest

import experiments.faults.__main__ as campaign
from experiments.faults import tables
from experiments.faults.campaign import _divide
from experiments.faults.kills import Kill, Survival
from experiments.faults.openings import Trial
from jaxgen.errors import InputError


@pytest.mark.slow
def test_a_short_campaign_loses_and_changes_nothing(tmp_path):
    output = tmp_path / "faults.json"
    campaign.main(campaign.Config(kills=6, altered=120, output=output))
    record = json.loads(output.read_text())
    assert record["problems"] == []
    assert sum(counts["times"] for counts in record["kills"].values()) >= 6
    altered = [counts for ways in record["altered"].values() for counts in ways.values()]
    assert sum(counts["times"] for counts in altered) >= 120
    for counts in [*record["kills"].values(), *altered]:
        assert counts.get("lost", 0) == counts.get("changed", 0) == 0
    assert "| **all** | " in tables.faults_table(tmp_path)
    assert tables.faults_table(tmp_path).endswith("| 0 | 0 |")


def test_what_befalls_a_run_is_counted_with_its_last_kill():
    kills = [Kill("vae", "training", 1.0), Kill("vae", "saving", 2.0)]
    survivals = [Survival(kills, [], []), Survival(kills[:1], ["code 1"], [])]
    survivals.append(Survival(kills, [], ["parameter x", "line 2"]))
    trials = [
        Trial("manifest", "flipped", "earlier checkpoint"),
        Trial("manifest", "flipped", "changed", "7.json flipped: other weights"),
        Trial("manifest", "emptied", "lost", "KeyError"),
    ]
    record = campaign.summarize(survivals, trials)
    assert record["kills"]["training"] == {"times": 3, "lost": 1, "changed": 0}
    assert record["kills"]["saving"] == {"times": 2, "lost": 0, "changed": 1}
    flipped = {"times": 2, "earlier checkpoint": 1, "changed": 1}
    assert record["altered"]["manifest"]["flipped"] == flipped
    assert len(record["problems"]) == 5
    *_, manifest, everything = tables.table(record).splitlines()
    assert manifest == "| altered: manifest | 3 | 1 | 1 |"
    assert everything == "| **all** | 8 | 2 | 2 |"


@pytest.mark.parametrize("options", [{"kills": -1}, {"altered": -1}, {"parallel": 0}])
def test_options_out_of_range_are_named(options):
    with pytest.raises(InputError, match="--kills and --altered"):
        campaign.Config(**options)


@pytest.mark.parametrize("total", [0, 1, 7, 2100])
def test_a_number_is_divided_by_shares(total):
    parts = _divide(total, np.array([8, 2, 1, 1]))
    assert sum(parts) == total
    assert parts == sorted(parts, reverse=True) or total < 12
