"The probe: terms and gradients of one pass, shares of the total, pictures of gradients, pulls on correlations."
import io, re
from dataclasses import replace
import numpy as np
import pytest, torch
from PIL import Image
from smfnet.companion.probe import (
    _mean3, bar_html, contributions, gradient_limit, gradient_picture, image_gradient, probe, pulls, pulls_svg, signed_colours, to_png, with_weights)
from smfnet.data.images import to_bytes
from smfnet.losses.ours import OurLossWeights, make_loss
from smfnet.losses.stage_one import LossWeights

ODD = OurLossWeights(alpha1=3, alpha2=.5, alpha3=1, beta1=7, alpha4=4, alpha5=6, delta=1.3, structure=2)

@pytest.fixture(scope='module')
def one(pair, nets): return probe(pair, nets[1], 1)

@pytest.fixture(scope='module')
def two(pair, nets): return probe(pair, nets[2], 2)

@pytest.fixture
def cc(): return {k: torch.tensor(v) for k,v in dict(cc_base=.5, cc_detail=.2, cc_graph=.1).items()}

def test_gradient_of_the_intensity_term_is_the_sign_of_the_difference(two, pair):
    assert (two.grads['fused','intensity'] == np.sign(two.images['fused'] - torch.maximum(pair.ir[0], pair.vi[0]).numpy())).all()

def test_decomposition_has_no_gradient_at_the_image(two): assert {k for _,k in two.grads} == {'intensity','grad','structure'}

def test_each_reconstruction_answers_for_its_own_terms(one):
    assert {k for n,k in one.grads if n == 'rec_ir'} == {'ssim_ir','grad_ir','intensity'}
    assert {k for n,k in one.grads if n == 'rec_vi'} == {'ssim_vi','grad_vi','semantic'}
    assert all(np.isfinite(g).all() and np.abs(g).max() > 0 for g in one.grads.values())

@pytest.mark.parametrize('w', [LossWeights(), OurLossWeights(), ODD], ids=['printed', 'ours', 'odd'])
@pytest.mark.parametrize('stage', [1,2])
def test_contributions_add_up_to_the_total(one, two, stage, w):
    p = {1:one, 2:two}[stage]
    assert sum(contributions(p.terms, w, stage).values()) == pytest.approx(float(make_loss(stage, w).total(with_weights(p.terms, w, stage))), abs=1e-4)

def test_a_weight_moves_its_own_block_alone(two):
    a,b = (contributions(two.terms, LossWeights(alpha4=o), 2) for o in (2,4))
    assert b.pop('α₄ decomposition') == pytest.approx(2*a.pop('α₄ decomposition')) and a == b

def test_delta_and_graph_switch_by_hand(cc):
    assert float(with_weights(cc, LossWeights(delta=1.5), 2)['decomp']) == pytest.approx(.05/2)
    assert float(with_weights(cc, LossWeights(delta=1.5), 1)['decomp']) == pytest.approx(.04/2)

def test_bar_shares_are_a_hundred_and_zero_leaves_its_line(two):
    widths = lambda h: [float(o) for o in re.findall(r'width:([\d.]+)%;background', h)]
    full, less = (contributions(two.terms, OurLossWeights(alpha4=o, structure=1.), 2) for o in (2,0))
    assert sum(widths(bar_html(full, 2))) == pytest.approx(100, abs=.05) and len(widths(bar_html(less, 2))) == len(widths(bar_html(full, 2))) - 1
    assert 'α₄ decomposition: 0.000 (0.0 %)' in bar_html(less, 2)
    assert [bar_html(full, 2, mark=o).count('inset') for o in (None, 'α₄ decomposition')] == [0,1]

def test_image_gradient_is_that_of_the_weighted_loss(two, pair, nets):
    "The second route: differentiate the whole."
    with torch.no_grad(): fused,f = nets[2](pair.ir[None], pair.vi[None], features=True)
    fused.requires_grad_()
    make_loss(2, ODD)(fused, pair.ir[None], pair.vi[None], f)[0].backward()
    assert np.allclose(image_gradient(two, ODD)['fused'], (fused.grad[0,0]*fused.numel()).numpy(), atol=1e-3)
    assert (image_gradient(two, ODD)['fused'] == image_gradient(two, replace(ODD, alpha4=9.))['fused']).all()

def test_colours_of_a_signed_map():
    c = signed_colours(np.array([[0.,1.,-1.,5.]]), 1.)
    assert c[0,0].min() > .95 and c[0,1,0] > c[0,1,2] and c[0,2,2] > c[0,2,0]
    assert (c[0,1] == c[0,3]).all() and c.dtype == np.float32
    with pytest.raises(ValueError, match='above 0'): signed_colours(c[...,0], 0.)

def test_png_decodes_to_what_went_in():
    x = np.linspace(0, 1, 12, dtype=np.float32).reshape(3,4)
    back = np.asarray(Image.open(io.BytesIO(to_png(x, width=8))))
    assert back.shape == (6,8) and (back[::2,::2] == to_bytes(x)).all()

def test_mean_over_nine_pixels_keeps_to_the_image():
    assert np.allclose(_mean3(np.eye(3, dtype=np.float32)), [[1/2,1/3,1/4],[1/3,1/3,1/3],[1/4,1/3,1/2]], atol=1e-6)

def test_gradient_picture_deepens_with_the_weight(one, two):
    limit = gradient_limit(two)
    weak,strong = (Image.open(io.BytesIO(gradient_picture(two, LossWeights(alpha5=o), limit, width=64))) for o in (2.,10.))
    assert weak.size == (2*64+3, 48)
    assert Image.open(io.BytesIO(gradient_picture(one, LossWeights(), limit, width=64))).size == (2*64+3, 2*48+3)
    saturation = lambda im: np.ptp(np.asarray(im)[:,67:].astype(int), axis=-1).mean()
    assert saturation(strong) > 1.3*saturation(weak) > 0

def test_pulls_by_hand(cc):
    force = pulls(cc, LossWeights(alpha4=2, delta=1.5), 2)
    assert force['cc_detail'] == pytest.approx(-.4) and force['cc_base'] == pytest.approx(.025)
    assert set(pulls(cc, LossWeights(alpha4=0), 2).values()) == {0.} and pulls(cc, LossWeights(), 1)['cc_graph'] == 0.

def test_arrows_point_to_the_goals_and_thicken(cc):
    drawn = lambda o: pulls_svg(cc, pulls(cc, LossWeights(alpha4=o), 2))
    heads = lambda h: [float(x) for x in re.findall(r'path d="M([\d.]+) ', h)]
    thick = lambda h: [float(w) for w in re.findall(r'smf-pull"[^>]* stroke-width="([\d.]+)"', h)]
    assert heads(drawn(3.)) == [400., 230., 230.] and all(b > a for a,b in zip(thick(drawn(1.)), thick(drawn(3.))))
    assert (thick(drawn(0.)), heads(drawn(0.))) == ([0,0,0], [])
