"Free pixels under the objective of stage II, and the table drawn from them."
import numpy as np, pytest, torch
from smfnet.data.datasets import find_pairs, split_validation
from smfnet.data.images import write_image
from smfnet.data.scenes.render import render_scene
from smfnet.losses.ours import OurLossWeights
from smfnet.metrics.picture import edge_distance, intensity_distance
from smfnet.scoring.score import read_rows
from smfnet.studies.tradeoff import MEASURES, best_pixels, held_out_crops, record_tradeoff

@pytest.fixture(scope='module')
def pair():
    "A dark tree before a sky that only the visible camera sees bright."
    g = torch.Generator().manual_seed(0)
    ir, vi = torch.full((1,1,32,32), .2), torch.full((1,1,32,32), .9)
    ir[..., 16:, :], vi[..., 16:, :] = .6, .1
    return (ir + .02*torch.rand(ir.shape, generator=g)), (vi + .02*torch.rand(vi.shape, generator=g))

def test_without_a_weight_on_edges_the_brighter_source_stays(pair):
    out = best_pixels(*pair, OurLossWeights(alpha5=0.), steps=5)
    assert torch.allclose(out, torch.maximum(*pair), atol=1e-6)

@pytest.mark.parametrize('edges', ['magnitude', 'signed'])
def test_a_larger_weight_buys_edges_with_brightness(pair, edges):
    none, little, much = (best_pixels(*pair, OurLossWeights(alpha5=a, edges=edges), steps=60) for a in (0., .5, 10.))
    of = lambda f: [d(f, *pair).item() for d in (intensity_distance, edge_distance)]
    (b0,e0),(b1,e1),(b2,e2) = map(of, (none, little, much))
    assert b0 <= b1 < b2
    if edges == 'magnitude': assert e2 < e1 < e0 # signed edges are another distance than Eq. 30's

def test_sources_are_left_alone_and_pixels_stay_in_range(pair):
    before = [x.clone() for x in pair]
    out = best_pixels(*pair, OurLossWeights(alpha5=10., structure=.5), steps=10)
    assert all(torch.equal(a, b) for a,b in zip(before, pair))
    assert out.shape == pair[0].shape and 0 <= out.min() and out.max() <= 1 and not out.requires_grad

@pytest.fixture
def root(tmp_path):
    "A data root with three TNO pairs and a few training pairs, smaller than the real ones."
    s = render_scene(0, size=(64,80))
    for name,n in (('TNO/test', 3), ('RoadScene/train', 10), ('MSRS/train', 10)):
        for i in range(n):
            for folder,x in (('ir',s.ir), ('vi',s.vi)): write_image(tmp_path/name/folder/f'{i+1:02d}.png', np.roll(x, 3*i, 1))
    return tmp_path

def test_crops_are_of_pairs_that_are_held_out(root):
    (ir,vi), = held_out_crops(48, (('RoadScene/train', 2),), root) # a tenth of ten is one
    held, = split_validation(find_pairs('RoadScene/train', root))[1]
    q = held.read()
    assert torch.equal(ir, q.ir[:,:48,16:64]) and torch.equal(vi, q.vi[:,:48,16:64])

def test_table_has_every_curve_and_every_method(root, tmp_path):
    for k in ('01','02','03'): write_image(tmp_path/'dark'/f'{k}.png', np.zeros((64,80), np.float32))
    out = record_tradeoff(tmp_path/'t.csv', methods=dict(dark=tmp_path/'dark'), data=root, alphas=(2.,), steps=2, side=48)
    rows = read_rows(out, MEASURES)
    curves = {(r['pairs'], r['edges'], r['floor'], r['structure']) for r in rows if not r['method']}
    assert len(curves) == 3*2 + 3 and {r['alpha5'] for r in rows if not r['method']} == {'2.0000'}
    best = {r['pairs']: r for r in rows if r['method'] == 'maximum'}
    assert all(r['Eq29'] == 0 for r in best.values())
    dark, = (r for r in rows if r['method'] == 'dark')
    assert dark['Eq29'] > 20

def test_method_without_images_is_named(root, tmp_path):
    write_image(tmp_path/'m/01.png', np.zeros((64,80), np.float32))
    with pytest.raises(FileNotFoundError, match='02, 03'):
        record_tradeoff(tmp_path/'t.csv', methods=dict(m=tmp_path/'m'), data=root, alphas=(2.,), steps=1, side=48)
    assert not (tmp_path/'t.csv').exists()
