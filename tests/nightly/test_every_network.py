"""Every network that timm names, as benchmarks/results/networks.csv has it; some in unit."""

import every_network
import pytest
import timm

KNOWN = every_network.read()
KINDS: set[str] = set()


@pytest.mark.parametrize("name", timm.list_models())
def test_it_works_or_says_in_one_line_why_not(name):
    found = {key: str(value) for key, value in every_network.row(name, KINDS).items()}

    assert found["outcome"] in ("works", "refused")
    assert found["outcome"] == "works" or found["why"].startswith("backbone")
    assert "\n" not in found.get("why", "")
    # A network of the table's may be cut for another of its kind here, and have no cuts.
    known = {key: value for key, value in KNOWN.get(name, {}).items() if value and key in found}
    assert known == {key: found[key] for key in known}
