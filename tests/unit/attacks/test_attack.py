"""What every attack declares, and that what it declares is true."""

from __future__ import annotations

import dataclasses

import pytest

from raymeter.attacks import ATTACKS, Attack, Lira, Loss, Qmia, Rmia, Stack


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_of_the_table_cites_its_source(name):
    """A row of the table is a frozen dataclass that says whose attack it is, with a year."""
    kind = ATTACKS[name]
    assert issubclass(kind, Attack) and dataclasses.is_dataclass(kind)
    assert any(year in kind.source for year in map(str, range(1990, 2030))), kind.source
    with pytest.raises(dataclasses.FrozenInstanceError):
        kind().source = "changed"


def test_an_attack_without_scores_cannot_be_made():
    """`__call__` is what makes an attack."""

    class Half(Attack):
        source = "nobody"

    with pytest.raises(TypeError, match="abstract"):
        Half()


def test_defaults_are_those_of_an_attack_on_references():
    """A new attack that declares nothing needs references, all records at once, and can be swept."""
    declared = {
        name: (kind.needs_references, kind.needs_records, kind.sweepable, kind().needs_logits)
        for name, kind in ATTACKS.items()
    }
    assert declared["rmia"] == (True, False, True, False)
    assert {"loss", "entropy", "population", "qmia"} <= {name for name, values in declared.items() if not values[0]}
    assert declared["qmia"][1:3] == (True, False) and not declared["stack"][2]
    assert declared["entropy"][3]


def test_a_stack_needs_what_its_parts_need():
    """Logits are kept where any attack in a stack reads them."""
    assert not Stack().needs_logits
    assert Stack((Loss(), Rmia(temperature=2.0))).needs_logits


def test_blocks_are_declared():
    """Settings that are tuned on all records cannot go by blocks; LiRA learns its variances first."""
    assert Rmia().separable and not Rmia(offline_a="tuned").separable
    assert Lira().has_first_pass and not Lira().separable
    assert not Qmia().separable and not Stack().separable
