"Words for sliders: every weight has them, and the share that they tell is the one in the bar."
from dataclasses import fields
import pytest
from smfnet.companion.probe import contributions, probe
from smfnet.companion.words import LETTERS, explain, summand
from smfnet.losses.ours import OurLossWeights

@pytest.fixture(scope='module')
def probes(pair, nets): return {k: probe(pair, nets[k], k) for k in (1,2)}

def test_every_weight_has_its_words(probes):
    assert set(LETTERS) == {f.name for f in fields(OurLossWeights) if f.type in (float,'float')} - {'edge_floor'} # shapes a term, weighs none
    for k,l in LETTERS.items():
        for s in l.stages: assert f'{l.symbol} = ' in explain(k, probes[s], OurLossWeights())

def test_share_is_that_of_the_bar(probes):
    w = OurLossWeights(alpha4=2.)
    c, text = contributions(probes[2].terms, w, 2), explain('alpha4', probes[2], w)
    assert f"{100*c['α₄ decomposition']/sum(c.values()):.1f} % of the total" in text and "with the paper's α₄ = 10 it would be" in text

def test_the_printed_value_is_not_compared_with_itself(probes): assert 'it would be' not in explain('alpha4', probes[2], OurLossWeights())

def test_delta_stands_in_the_decomposition_of_both_stages(): assert [summand('delta', o).weight for o in (1,2)] == ['alpha1','alpha4']
