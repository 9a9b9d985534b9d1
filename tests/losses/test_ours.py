"Beyond the paper: signed edges, edges at several scales, structure, a floor, and the presets (D-47 to D-49, D-58)."
import math
import kornia
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close
from smfnet.losses.ours import EdgeLoss, LOSS_PRESETS, OurLossWeights, OurStageTwoLoss, make_loss, named_loss_weights, structure_loss
from smfnet.losses.stage_one import GradMagnitude, LossWeights, StageOneLoss, ssim
from smfnet.losses.stage_two import StageTwoLoss
from smfnet.network.model import Features

magnitude, signed = EdgeLoss(), EdgeLoss('signed')
grad = GradMagnitude()
ramp = torch.arange(7.).expand(1,1,7,7)/10
flat, steep = torch.zeros_like(ramp), 3*ramp.mT

def test_magnitude_is_equation_30(night):
    x = torch.rand_like(night[0])
    assert_close(magnitude(x, *night), StageTwoLoss().edges(x, *night))

def test_signed_edges_by_hand():
    "Falling instead of rising costs nothing as a magnitude, and twice the ramp with a sign."
    assert signed(ramp, flat, ramp) == signed(ramp, ramp, flat) == 0
    assert magnitude(-ramp, ramp, flat).item() == pytest.approx(0)
    assert_close(signed(-ramp, ramp, flat), 2*grad(ramp).mean())

def test_signed_edges_follow_the_steeper_source_alone():
    assert signed(steep, steep, ramp) == signed(steep, ramp, steep) == 0
    assert_close(signed(ramp, steep, ramp), grad(ramp).mean() + grad(steep).mean())

def test_signed_edges_pixel_by_pixel(night):
    ir,vi = night
    x = torch.rand_like(ir)
    (fx,fy),(ix,iy),(vx,vy) = (kornia.filters.spatial_gradient(o, 'sobel', 1, normalized=False).unbind(2) for o in (x,ir,vi))
    i = ix.abs()+iy.abs() > vx.abs()+vy.abs()
    assert_close(signed(x,ir,vi), ((fx - torch.where(i,ix,vx)).abs() + (fy - torch.where(i,iy,vy)).abs()).mean())

def test_a_floor_leaves_noise_of_the_infrared_out():
    "Below a flat sky of 2, a ramp of 0.8 is less than half of that, and one of 2.4 is more; in a third of the light 0.8 is enough, and its half at the border. A visible ramp counts in any warmth."
    calm, sky = EdgeLoss('signed', floor=.5), flat + 2
    assert calm(sky, ramp, sky) == 0 and signed(sky, ramp, sky) > .5
    assert calm(ramp, sky, ramp) == 0 and calm(sky, sky, ramp) == signed(sky, sky, ramp) > .5
    assert_close(calm(sky, steep, sky), grad(steep).mean()); assert calm(steep, steep, sky) == 0
    assert_close(calm(sky, ramp, sky-1.3), grad(ramp).mean()); assert calm(ramp, ramp, sky-1.3) == 0
    assert_close(EdgeLoss(floor=.5)(flat, steep, sky), grad(steep).mean()); assert EdgeLoss(floor=.5)(flat, ramp, sky) == 0

@pytest.mark.parametrize('edges', ('magnitude','signed'))
def test_edges_with_a_floor_pixel_by_pixel(night, edges):
    "Of the steeper source, but where the visible image is brighter it must be beaten by a share of its brightness; a huge share leaves it alone there."
    (ir,vi), x = night, torch.rand_like(night[0])
    f,i,v = (kornia.filters.spatial_gradient(o, 'sobel', 1, normalized=False)[:,0] for o in (x,ir,vi))
    size = lambda o: o.abs().sum(1, keepdim=True)
    far = lambda t: ((size(f)-size(t)).abs() if edges == 'magnitude' else size(f-t)).mean()
    steeper, over = torch.where(size(i) > size(v), i, v), size(i) > size(v) + .3*vi
    want = torch.where(ir > vi, steeper, torch.where(over, i, v))
    assert (over & (ir < vi)).any() and (~over & (size(i) > size(v)) & (ir < vi)).any()
    assert_close(EdgeLoss(edges, floor=.3)(x,ir,vi), far(want))
    assert_close(EdgeLoss(edges, floor=99.)(x,ir,vi), far(torch.where(ir > vi, steeper, v)))

def test_a_sign_asks_for_more(night):
    ir,vi = night
    for x in (torch.rand_like(ir), vi, (ir+vi)/2): assert signed(x,ir,vi) >= magnitude(x,ir,vi) > 0
    assert magnitude(1-ir, ir, ir) < 1e-5 and signed(1-ir, ir, ir) > .1 # a negative

def test_two_scales_by_hand():
    "16 columns that rise by 0.1: 0.8 · 15/16, and half of 1.6 · 7/8 in the copy; stripes of two pixels are not in the copy."
    two, slope = EdgeLoss('signed',2), torch.arange(16.).expand(1,1,16,16)/10
    flat = torch.zeros_like(slope)
    assert signed(flat, slope, flat).item() == pytest.approx(.75, abs=1e-5)
    assert two(flat, slope, flat).item() == pytest.approx(.75+.7, abs=1e-5)
    stripes = .1*(1 - 2*((torch.arange(16)+1)//2 % 2)).expand(1,1,16,16)
    assert_close(two(stripes, flat, flat), signed(stripes, flat, flat))
    assert signed(stripes, flat, flat) > .1

@pytest.mark.parametrize('edges', ('magnitude','signed'))
def test_scales_are_halves_of_halves(night, edges):
    x, one = torch.rand_like(night[0]), EdgeLoss(edges)
    copies = [[F.interpolate(o, scale_factor=.5**k, mode='area') for o in (x,*night)] for k in range(3)]
    assert_close(EdgeLoss(edges,3)(x,*night), sum(.5**k*one(*c) for k,c in enumerate(copies)))

def test_scales_make_a_slow_error_dear(night):
    vi = night[1]
    wave = vi + .05*torch.linspace(0, 4*math.pi, vi.shape[-1]).sin()
    paler = vi - .3*kornia.filters.gaussian_blur2d(vi, (49,49), (8.,8.))
    for o in (wave,paler):
        share = [(EdgeLoss('signed',S)(o,vi,vi)/EdgeLoss('signed',S)(flat.new_zeros(vi.shape),vi,vi)).item() for S in (1,2,3,4)]
        assert share == sorted(share) and share[0] < share[-1]

def test_images_smaller_than_a_pixel_of_the_smallest_copy_are_refused():
    with pytest.raises(ValueError, match=r'edge_scales=3 needs images of at least 4×4 pixels, not \(3, 9\)'): EdgeLoss('signed',3)(*torch.rand(3,1,1,3,9))

def test_sobel_does_not_see_a_checkerboard():
    board = torch.tensor([[0.,1],[1,0]]).tile(4,4)[None,None]
    assert not grad(board)[...,1:-1,1:-1].any()

# structure

def test_structure_is_the_second_factor_of_ssim(night):
    ir,vi = night
    x = torch.rand_like(ir)
    assert_close(structure_loss(x,ir,vi), 1 - (ssim(x,ir,luminance=False) + ssim(x,vi,luminance=False))/2)

def test_structure_is_nothing_to_equal_sources_of_any_brightness(night):
    vi = night[1]
    assert structure_loss(vi,vi,vi).item() == pytest.approx(0, abs=1e-5) and structure_loss(vi+.1,vi,vi).item() == pytest.approx(0, abs=1e-5)

def test_structure_prefers_the_average_to_either_source(night):
    ir,vi = night
    cost = {n: structure_loss(o,ir,vi).item() for n,o in dict(ir=ir, vi=vi, brighter=torch.maximum(ir,vi), average=(ir+vi)/2).items()}
    assert cost['ir'] == pytest.approx(cost['vi'], abs=1e-5) # either is 1 to itself, and SSIM is symmetric
    assert 0 < cost['average'] < min(cost['ir'], cost['brighter'])

def test_structure_gradient_leads_to_a_better_image(night):
    x = torch.maximum(*night).requires_grad_()
    before = structure_loss(x,*night); before.backward()
    assert structure_loss(x - .02*x.grad/x.grad.abs().max(), *night) < before

# the objective

def test_defaults_are_the_papers_objective(night, leaves):
    f, x = leaves(), torch.rand_like(night[0])
    (a,s),(b,t) = StageTwoLoss()(x,*night,f), OurStageTwoLoss()(x,*night,f)
    assert_close(a, b); assert s.keys() == t.keys()

def test_options_arrive(night, leaves):
    x, f, w = torch.rand_like(night[0]), leaves(), OurLossWeights(edges='signed', edge_scales=3, edge_floor=.1, structure=8.)
    total,t = OurStageTwoLoss(w)(x,*night,f)
    assert_close(t['grad'], EdgeLoss('signed',3,.1)(x,*night)); assert_close(t['structure'], structure_loss(x,*night))
    assert_close(total, t['intensity'] + 10*t['decomp'] + 2*t['grad'] + 8*t['structure'])

def test_total_by_hand():
    t = dict(intensity=.3, decomp=.2, grad=.05, structure=.1)
    assert make_loss(2, OurLossWeights(alpha4=2., alpha5=10., structure=8.)).total(t) == pytest.approx(1.2+.8, abs=1e-9)

def test_signed_objective_is_symmetric_and_reaches_all_features(night, leaves, reached):
    ir,vi = night
    loss, f = OurStageTwoLoss(OurLossWeights(edges='signed', structure=1.)), leaves()
    assert_close(loss(ir,ir,vi,f)[0], loss(ir,vi,ir,Features(*(f[i] for i in (1,0,3,2,5,4))))[0])
    assert reached(loss, torch.rand_like(ir).requires_grad_(), ir, vi) == set(Features._fields)

@pytest.mark.parametrize('bad,message', [(dict(structure=-1), 'structure must be 0 or larger'), (dict(edge_floor=-.1), 'edge_floor must be 0 or larger'), (dict(edges='both'), "edges must be 'magnitude' or 'signed', not 'both'"),
                                         (dict(edge_scales=0), 'edge_scales must be a whole number'), (dict(edge_scales=2.), 'edge_scales must be a whole number'), (dict(alpha1=-1), 'alpha1 must be')])
def test_impossible_weights_are_refused(bad, message):
    with pytest.raises(ValueError, match=message): OurLossWeights(**bad)

# presets and names

def test_presets_are_what_they_are_called():
    assert LOSS_PRESETS['printed'] == LossWeights() and (LOSS_PRESETS['printed'].alpha4, LOSS_PRESETS['printed'].alpha5) == (10,2)
    assert (LOSS_PRESETS['swapped'].alpha4, LOSS_PRESETS['swapped'].alpha5) == (2,10)
    assert isinstance(LOSS_PRESETS['picture'], OurLossWeights)

def test_weights_by_name_by_fields_or_as_they_are():
    w = OurLossWeights(structure=1.)
    assert named_loss_weights() == LossWeights() and named_loss_weights('picture') is LOSS_PRESETS['picture'] and named_loss_weights(w) is w
    assert type(named_loss_weights(dict(alpha5=4.))) is LossWeights and named_loss_weights(dict(alpha5=4., structure=2.)) == OurLossWeights(alpha5=4., structure=2.)
    with pytest.raises(ValueError, match="one of printed, swapped, picture, or fields and values, not 'paper'"): named_loss_weights('paper')
    with pytest.raises(ValueError, match='unknown loss weight alpha6; there are alpha1'): named_loss_weights(dict(alpha6=1.))

def test_the_objective_of_a_stage():
    assert [type(make_loss(s,w)) for s,w in ((1,LossWeights()), (1,OurLossWeights()), (2,LossWeights()), (2,OurLossWeights()))] == [StageOneLoss, StageOneLoss, StageTwoLoss, OurStageTwoLoss]
