"Radar and grid: what is drawn, and where the patch lies."
import pytest
import torch
plt = pytest.importorskip('matplotlib.pyplot')
from smfnet.data.pairs import Pair
from smfnet.metrics.paper import METRICS
from smfnet.scoring.baselines import BASELINES
from smfnet.scoring.plots import _pick_patch, grid, radar

@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close('all')

def test_radar_reaches_the_rim_where_a_method_is_best():
    ax = radar({'a': dict.fromkeys(METRICS, 2.), 'b': dict.fromkeys(METRICS, 1.)})
    a,b = ax.get_lines()
    assert list(a.get_ydata()) == [1.]*10 and list(b.get_ydata()) == [.5]*10
    with pytest.raises(ValueError, match='no method'): radar({})

def test_radar_tells_methods_apart_in_three_ways():
    lines = radar({str(i): dict.fromkeys(METRICS, 1. + i) for i in range(4)}).get_lines()
    for look in (plt.Line2D.get_color, plt.Line2D.get_linestyle, plt.Line2D.get_marker):
        assert len({look(l) for l in lines}) == 4

def test_radar_of_negative_and_zero_means():
    ax = radar({'a': dict(SCD=-1., EN=0.), 'b': dict(SCD=.5, EN=0.)}, ['SCD','EN'])
    assert [list(l.get_ydata()) for l in ax.get_lines()] == [[0,0,0], [1,0,1]]

def test_the_patch_lies_where_both_modalities_have_contrast(pairs):
    y,x,s = _pick_patch(pairs[0])
    assert s == 18 and all(o[0, y:y+s, x:x+s].std() > .8*o.std() for o in (pairs[0].ir, pairs[0].vi))
    spot = Pair(torch.zeros(1,40,50), torch.zeros(1,40,50))
    spot.ir[:,20:30,5:15], spot.vi[:,20:30,10:15] = 1, 1 # alike in the right half, different in the left
    y,x,s = _pick_patch(spot, 10)
    assert s == 10 and 15 <= y <= 25 and 2 <= x <= 13

def test_grid_shows_functions_and_files(pairs, folders):
    from smfnet.data.pairs import list_images, match_pairs
    fig = grid(pairs[:2], BASELINES)
    assert len(fig.axes) == 2*6
    two = [p.read() for p in match_pairs(folders/'ir', folders/'vi')[:2]]
    fig = grid(two, {'saved': list_images(folders/'max')}, patches={'0': (1,2,9)})
    assert [ax.get_title() for ax in fig.axes[:3]] == ['ir','vi','saved']
    assert fig.axes[0].patches[0].get_xy() == (1.5, .5) and fig.axes[0].patches[0].get_width() == 9
    with pytest.raises(ValueError, match='no pair'): grid([], BASELINES)
