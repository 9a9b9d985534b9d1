"Differences, intervals and tables of a sweep whose numbers are made up, so that the answers are known."
import numpy as np
import pytest
from smfnet.metrics.paper import METRICS
from smfnet.scoring.score import write_rows
from smfnet.scoring.stats import bootstrap
from smfnet.studies.ablation import (
    TABLE5, ablation_costs, ablation_differences, ablation_means, agreement, budget_text, differences, gather, grid_interval, paper_differences, plot_differences)
from smfnet.studies.budgets import ABLATION, MEDICAL

def made_up(row, shift, seeds=(0,1), n=6, **over):
    about = dict(row=row, protocol='minmax', test_data='x', parameters_M='1', gflops='2', ms='3') | over
    return [{**about, 'seed':str(s), 'name':str(i), **{m: i + 10*s + shift for m in METRICS}} for s in seeds for i in range(n)]

ROWS3 = made_up('default', 0) + made_up('no_graph', -.5) + made_up('plain_inn', 0.)

def test_gather_orders_rows_as_the_table_does(tmp_path):
    for row in ('no_graph', 'default'): write_rows(tmp_path/row/'seed0'/'scores.csv', made_up(row, 0, seeds=(0,)))
    assert [r['row'] for r in gather(tmp_path)] == ['default']*6 + ['no_graph']*6
    with pytest.raises(ValueError, match='no run below'): gather(tmp_path/'nothing')

def test_grid_interval_covers_seeds_and_images():
    by_image = np.random.default_rng(0).normal(size=20)
    width = lambda d: np.diff(grid_interval(d))[0]
    assert grid_interval(by_image[None]) == bootstrap(by_image, draws=4000)
    assert width(np.tile(by_image, (3,1))) == pytest.approx(width(by_image[None]), abs=.1)
    assert width(np.tile([[-1.],[1.]], (1,1000))) > 1.9
    assert grid_interval(np.full((2,5), .25)) == (.25, .25)
    with pytest.raises(ValueError, match='grid'): grid_interval(by_image)

def test_differences_pair_seeds_and_images():
    d = {(r['row'], r['metric']): r for r in differences(ROWS3)}
    assert d['no_graph','EN']['difference'] == pytest.approx(-.5)
    assert [d[k,'SSIM']['verdict'] for k in ('no_graph','plain_inn')] == ['lower','undecided']
    assert {(r['seeds'], r['images']) for r in d.values()} == {(2,6)}
    less = differences(made_up('default', 0) + made_up('no_graph', 1, seeds=(1,2)))
    assert {r['seeds'] for r in less} == {1} and {r['verdict'] for r in less} == {'higher'}

def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match='different images'): differences(ROWS3 + made_up('gram_patches', 0, test_data='y'))
    with pytest.raises(ValueError, match='which the others are compared with'): differences(made_up('no_graph', 0))
    with pytest.raises(ValueError, match='occurs twice'): differences(ROWS3 + made_up('no_graph', 1))

def test_the_paper_is_read_as_differences():
    p = paper_differences()
    assert len(p) == 28 and max(p.values()) < 0 and p['no_graph','SSIM'] == pytest.approx(.9102 - .9554, abs=1e-6)

def test_agreement_counts_signs():
    a = agreement(differences(ROWS3))
    assert [len(a[k]) for k in ('same','opposite','undecided')] == [4, 0, 4]
    assert agreement(differences(made_up('default', 0) + made_up('no_graph', 1)))['opposite'] == [('no_graph', m) for m in TABLE5]

def test_tables():
    text = ablation_means(ROWS3)
    assert len(text.splitlines()) == 2 + 3 + 8
    assert '| w/o graph reasoning | published | 7.3692 |' in text and '| default | measured | **7.5000** |' in text
    text = ablation_differences(differences(ROWS3), TABLE5)
    assert '| w/o graph reasoning | 2 | **-0.500** [-0.500, -0.500]' in text and '| +0.000 [+0.000, +0.000]' in text
    assert ablation_costs(ROWS3).splitlines()[2] == '| default | 1.000 | 2.00 | 3 |'

def test_picture_names_its_rows():
    fig = plot_differences(differences(ROWS3))
    assert len(fig.axes) == 4 and [t.get_text() for t in fig.axes[0].get_yticklabels()] == ['w/o graph reasoning', 'CAI → invertible block']

def test_captions_state_the_budget():
    text = budget_text(ABLATION['small'])
    for part in ('30 updates in stage I, then 40 updates in stage II', 'α₄ = 2, α₅ = 10', 'dim = 32', '8 pairs of RoadScene/test at 1/2', 'Seeds: 0, 1'): assert part in text, part
    assert '40 epochs in stage I, then 80 epochs' in budget_text(ABLATION['paper'])
    text = budget_text(MEDICAL['small'])
    assert 'weights of ivf, then 60 updates in stage II; α₄ = 2, α₅ = 0.8, edges with their sign, floor 0.3, structure 0.25. Network: that of ivf' in text
