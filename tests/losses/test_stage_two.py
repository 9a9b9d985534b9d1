"The objective that makes the network fuse (Eqs. 27-30)."
import kornia
import pytest
import torch
from torch.testing import assert_close
from smfnet.losses.stage_one import LossWeights, corrcoef, feature_cc
from smfnet.losses.stage_two import StageTwoLoss
from smfnet.network.model import Features, MODEL_PRESETS, SMFNet

two = StageTwoLoss()
steep = lambda x: kornia.filters.spatial_gradient(x, 'sobel', 1, normalized=False).abs().sum(2)

def test_total_by_hand():
    "As printed, decomposition counts 10 times and the gradient twice (D-18)."
    t = dict(intensity=.3, decomp=.2, grad=.05)
    assert two.total(t) == pytest.approx(2.4, abs=1e-9)
    assert StageTwoLoss(LossWeights(alpha4=2., alpha5=10.)).total(t) == pytest.approx(1.2, abs=1e-9)

def test_intensity_by_hand(leaves):
    "Fused .5 between .2 and .9: it misses the brighter one by .4 (Eq. 29)."
    f,i,v = (torch.full((1,1,16,16), o) for o in (.5,.2,.9))
    assert two.terms(f, i, v, leaves())['intensity'].item() == pytest.approx(.4, abs=1e-6)
    assert two.terms(f, v, i, leaves())['intensity'].item() == pytest.approx(.4, abs=1e-6)

def test_gradient_by_hand(leaves):
    "Ramps of .1 and .2 a pixel have Sobel answers .8 and 1.6, half of it in the two border columns; a flat image misses the steeper one (Eq. 30)."
    ramp, flat = torch.arange(16.).expand(1,1,16,16)/10, torch.zeros(1,1,16,16)
    assert two.terms(flat, ramp, 2*ramp, leaves())['grad'].item() == pytest.approx(1.6*15/16, abs=1e-5)
    assert two.terms(2*ramp, 2*ramp, ramp, leaves())['grad'] == 0

def test_terms_pixel_by_pixel(night, leaves):
    ir,vi = night
    x, f = torch.rand_like(ir), leaves()
    t = two.terms(x, ir, vi, f)
    assert_close(t['intensity'], (x - torch.where(ir > vi, ir, vi)).abs().mean())
    assert_close(t['grad'], (steep(x) - torch.where(steep(ir) > steep(vi), steep(ir), steep(vi))).abs().mean())
    cc = [corrcoef(*o) for o in (f[0:2], f[2:4], f[4:6])]
    assert_close(t['decomp'], (cc[1]**2 + cc[2]**2)/(cc[0] + 1.01))
    assert set(t) == {'intensity','grad','decomp','cc_base','cc_detail','cc_graph'}

def test_no_image_meets_both_targets(night, leaves):
    ir,vi = night
    t = two.terms(torch.maximum(ir,vi), ir, vi, leaves())
    assert t['intensity'] == 0 < t['grad']

def test_an_area_gives_way_when_it_is_narrower_than_8_alpha5_pixels(leaves):
    "60 px of sky and 30 px of wall: .2 and .5 in the infrared image, .8 and .2 in the visible one."
    row = lambda sky, wall: torch.cat([torch.full((60,),sky), torch.full((30,),wall)]).expand(1,1,16,90)
    f = leaves()
    cost = {n: [90*two.terms(o, row(.2,.5), row(.8,.2), f)[k].item() for k in ('intensity','grad')] for n,o in dict(brighter=row(.8,.5), wall=row(.8,.2), sky=row(.2,.5)).items()}
    assert [v for c in cost.values() for v in c] == pytest.approx([0,2.4, 9,0, 36,2.4], abs=1e-3)

def test_a_negative_keeps_every_edge(night, leaves):
    "With bars around all gradients (D-47) only the intensity notices."
    x, f = torch.rand_like(night[0]), leaves()
    a,b = (two.terms(o, *night, f) for o in (x, 1-x))
    assert_close(a['grad'], b['grad']); assert (a['intensity'] - b['intensity']).abs() > 1e-3

def test_swapped_modalities_cost_the_same(night, leaves):
    ir,vi = night
    f = leaves(); swap = Features(*(f[i] for i in (1,0,3,2,5,4)))
    assert_close(two(ir, ir, vi, f)[0], two(ir, vi, ir, swap)[0])

def test_what_the_objective_reaches(night, reached):
    "The fused image and all six features; without `graph_stage2` the four of Eq. 26."
    fused = torch.rand_like(night[0]).requires_grad_()
    assert reached(two, fused, *night) == set(Features._fields)
    assert fused.grad.isfinite().all() and fused.grad.any()
    assert reached(StageTwoLoss(LossWeights(graph_stage2=False)), fused, *night) == {'base_ir','base_vi','detail_ir','detail_vi'}

def test_the_graphs_correlation_counts(night):
    "D-17: the release adds the detail's square twice and drops the graph's."
    b,d,e,g = torch.randn(4,1,4,16,16)
    f = Features(b, b, d, e, g, g); cc = feature_cc(f)
    ours = two.terms(*night[:1]*3, f)['decomp']
    assert ours > 10 * 2*cc['cc_detail'].square()/(cc['cc_base']+1.01)

def test_a_network_without_a_graph(night):
    f = Features(*torch.randn(4,1,4,8,8), None, None)
    cc = feature_cc(f)
    assert_close(two.terms(*night[:1]*3, f)['decomp'], cc['cc_detail']**2/(cc['cc_base']+1.01))

def test_one_step_reaches_every_parameter(night):
    net, (ir,vi) = SMFNet(MODEL_PRESETS['smoke']), (o[...,:32,:32] for o in night)
    out,f = net(ir, vi, features=True)
    two(out, ir, vi, f)[0].backward()
    assert [n for n,p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
