"SSIM, gradients, Gram, Lovász, correlation, decomposition, and the objective of stage I (Sec. 2.3, Eqs. 17-26)."
import itertools, math
import kornia
import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch.testing import assert_close
from smfnet.losses.stage_one import (GradMagnitude, LossWeights, StageOneLoss, as_patches, corrcoef, decomposition_loss, feature_cc, gaussian_window, gram, gram_loss, lovasz,
                                     lovasz_grad, semantic_loss, ssim)
from smfnet.network.model import Features, MODEL_PRESETS, SMFNet

grad = GradMagnitude()
tensors = lambda *v: [torch.tensor(o) for o in v]

# SSIM

def test_window_is_a_normalised_gaussian():
    g = gaussian_window(7,2.)
    assert_close(g.sum(), torch.tensor(1.)); assert torch.equal(g, g.flip(0))
    assert (g[5]/g[3]).item() == pytest.approx(math.exp(-.5), abs=1e-6) # one sigma from the middle

def test_ssim_by_hand():
    "Flat images have no variance: only the factor of the means is left."
    x,y = torch.full((1,1,16,16),.2), torch.full((1,1,16,16),.4)
    assert ssim(x,y).item() == pytest.approx((.16+1e-4)/(.2+1e-4), abs=1e-4)

def test_ssim_of_an_image_with_itself_and_its_symmetry(night):
    ir,vi = night
    assert ssim(ir,ir).item() == pytest.approx(1, abs=1e-5)
    assert_close(ssim(ir,vi), ssim(vi,ir))

def test_ssim_is_scikit_images_and_kornias(night):
    ir,vi = night
    ref = structural_similarity(*(o[0,0].double().numpy() for o in night), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)
    assert ssim(ir.double(), vi.double()).item() == pytest.approx(ref, abs=1e-5)
    assert_close(ssim(ir,vi), kornia.metrics.ssim(ir, vi, 11, padding='valid').mean(), atol=1e-4, rtol=0)

def test_ssim_without_luminance():
    "A brighter copy scores 1, half the contrast 0.8, a negative -1, each but for c2."
    x = .4 + .1*torch.randn(1,1,64,64)
    alike = lambda y: ssim(x, y, luminance=False).item()
    assert alike(x+.3) == pytest.approx(1, abs=1e-4)
    assert alike(.4 + (x-.4)/2) == pytest.approx(.8, abs=.02)
    assert alike(.8-x) == pytest.approx(-1, abs=.1)

def test_ssim_without_luminance_is_scikit_images(night):
    "Its factor of the means is brought to 1 by a large constant."
    ref = structural_similarity(*(o[0,0].double().numpy() for o in night), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1, K1=1e4)
    assert ssim(*(o.double() for o in night), luminance=False).item() == pytest.approx(ref, abs=1e-5)

def test_ssim_gradient_leads_upwards(night):
    target, x = night[0][...,:32,:32], night[1][...,:32,:32].clone().requires_grad_()
    before = ssim(x, target); before.backward()
    assert x.grad.isfinite().all() and x.grad.all()
    assert ssim(x + .05*x.grad/x.grad.abs().max(), target) > before

def test_ssim_refuses_small_and_unequal_images(night):
    ir,vi = night
    with pytest.raises(ValueError, match='11×11 window needs images at least that large, not 96×8'): ssim(ir[...,:8], vi[...,:8])
    with pytest.raises(ValueError, match='differ in shape'): ssim(ir, vi[...,1:])

# gradient magnitude

def test_gradient_by_hand():
    ramp = torch.arange(6.).expand(1,1,5,6)/10
    assert_close(grad(ramp)[...,1:-1], torch.full((1,1,5,4), .8))
    assert not grad(torch.ones(1,1,5,5)).any()

def test_gradient_is_kornias_and_turns_with_the_image(night):
    _,vi = night
    assert_close(grad(vi), kornia.filters.spatial_gradient(vi, 'sobel', 1, normalized=False).abs().sum(2))
    assert_close(grad(vi.rot90(1,(2,3))), grad(vi).rot90(1,(2,3)))

def test_gradient_is_a_fixed_filter_that_passes_gradients(night):
    ir,vi = night
    assert list(grad.parameters()) == [] and GradMagnitude().double()(vi.double()).dtype == torch.float64
    x = vi.clone().requires_grad_()
    (grad(x) - grad(ir)).abs().mean().backward()
    assert x.grad.isfinite().all() and x.grad.any()

# Gram

def test_gram_by_hand():
    x = torch.tensor([[1.,2],[3,4]]).reshape(1,2,1,2)
    assert torch.equal(gram(x), torch.tensor([[[2.5,5.5],[5.5,12.5]]]))

def test_gram_of_one_channel_is_the_mean_energy(night):
    assert_close(gram(night[0]).flatten(), night[0].square().mean((1,2,3)))

def test_patches_are_cut_row_by_row():
    x = torch.arange(35.).reshape(1,1,5,7)
    p = as_patches(x,2)
    assert p.shape == (1,4,2,3)
    assert torch.equal(p[0,:,0,0], x[0,0,:2,:2].flatten()) and torch.equal(p[0,:,1,2], x[0,0,2:4,4:6].flatten())

def test_gram_loss_by_hand():
    "A checkerboard has energy 1/2, its negative the same; a batch counts as the mean of its images."
    a = torch.tensor([[0.,1],[1,0]]).reshape(1,1,2,2)
    assert gram_loss(a, a*0).item() == pytest.approx(.5)
    assert gram_loss(a, 1-a).item() == pytest.approx(0, abs=1e-7)
    assert gram_loss(torch.cat([a,a]), torch.cat([a,a*0])).item() == pytest.approx(.25, abs=1e-6)
    with pytest.raises(ValueError, match="gram must be 'literal' or 'patches', not 'rows'"): gram_loss(a, a, kind='rows')

def test_what_the_two_gram_losses_do_not_see(night):
    "Shuffled pixels are nothing to the literal form and much to the patches; shuffled patches are nothing to either."
    x = night[0]
    shuffled = x.flatten()[torch.randperm(x.numel())].reshape(x.shape)
    q = as_patches(x)
    moved = torch.nn.functional.pixel_shuffle(q.flatten(2)[...,torch.randperm(q[0,0].numel())].reshape(q.shape), 8)
    assert gram_loss(x, shuffled) < 1e-6 < 1e-3 < gram_loss(x, shuffled, 'patches')
    assert gram_loss(x, moved, 'patches') < 1e-6

def test_what_the_literal_gram_loss_teaches(night):
    "The reconstruction itself, times -2/n where it is too dark."
    x, rec = night[0], (.8*night[0]).requires_grad_()
    gram_loss(x, rec).backward()
    assert_close(rec.grad, -2*rec.detach()/rec.numel(), atol=1e-9, rtol=1e-4)

def test_gram_loss_of_equal_images_has_a_finite_gradient():
    x = torch.rand(2,1,16,16)
    for kind in ('literal','patches'):
        y = x.clone().requires_grad_()
        gram_loss(x, y, kind).backward()
        assert y.grad.isfinite().all()

# Lovász

def test_lovasz_growth_by_hand():
    "Truth 1, 0, 1: with the first pixel wrong 1 of 2 is in common, then 1 of 3, then none."
    assert_close(lovasz_grad(torch.tensor([1.,0,1])), torch.tensor([1/2, 2/3-1/2, 1/3]))

def test_lovasz_growth_is_never_negative_and_sums_to_one():
    for y in (torch.rand(20,50) > .6).float():
        assert lovasz_grad(y).sum().item() == pytest.approx(1, abs=1e-5) and (lovasz_grad(y) > -1e-6).all()

def test_lovasz_growth_is_the_jaccard_loss_of_the_mispredicted_set():
    "Eqs. 21, 24: Delta(M) = 1 - |y without M| / |y or M|, with M the pixels up to i, and 0 for none (D-31, D-32)."
    y = (torch.rand(12) > .5).float()
    truth = {i for i in range(12) if y[i]}
    delta = lambda M: 1 - len(truth-M)/len(truth|M)
    want = [delta(set(range(i+1))) - delta(set(range(i))) for i in range(12)]
    assert lovasz_grad(y).tolist() == pytest.approx(want, abs=1e-6)

def test_lovasz_by_hand():
    "Errors .6 (third pixel), .2, .1 meet the growths 1/2, 1/6, 1/3."
    p,y = torch.tensor([.9,.2,.4]), torch.tensor([1.,0,1])
    assert lovasz(p,y).item() == pytest.approx(.6/2 + .2/6 + .1/3, abs=1e-6)
    assert lovasz(y,y) == 0

def test_lovasz_is_one_minus_iou_of_sets():
    corners = list(itertools.product((0,1), repeat=4))
    for p,y in itertools.product(corners, corners[1:]):
        iou = sum(a&b for a,b in zip(p,y)) / sum(a|b for a,b in zip(p,y))
        assert lovasz(torch.tensor(p).float(), torch.tensor(y).float()).item() == pytest.approx(1-iou, abs=1e-6)

def test_lovasz_does_not_depend_on_where_pixels_are_stored():
    p,y,order = torch.rand(60), (torch.rand(60) > .5).float(), torch.randperm(60)
    assert_close(lovasz(p,y), lovasz(p[order],y[order]))

def test_lovasz_is_convex():
    "The extension of a submodular function: the loss of a mean is at most the mean of the losses."
    y = (torch.rand(60) > .5).float()
    for a,b in torch.rand(20,2,60): assert lovasz((a+b)/2, y) <= (lovasz(a,y) + lovasz(b,y))/2 + 1e-6

def test_semantic_loss_is_kornias_on_one_image(night):
    x = night[1]; r = (x + .2*torch.randn_like(x)).clamp(0,1)
    t = x.mean((1,2,3), keepdim=True); z = (r-t)/.1; y = (x > t)[:,0].long()
    assert_close(semantic_loss(x,r), kornia.losses.lovasz_softmax_loss(torch.cat([0*z,z],1), y))
    p = z.sigmoid() # with hinge errors, 1 - (2p-1) and 1 + (2p-1), each twice ours
    assert_close(2*lovasz(p.flatten(), y.flatten()), kornia.losses.lovasz_hinge_loss(2*p-1, y))

def test_semantic_loss_takes_a_batch_as_one_set():
    "Thresholds are those of each image, pixels are counted together (D-15)."
    x,r = torch.rand(2,2,1,12,12); x = x*torch.tensor([.5,1.]).reshape(2,1,1,1)
    t = x.mean((1,2,3), keepdim=True)
    p,y = ((r-t)/.1).sigmoid().flatten(), (x > t).float().flatten()
    assert_close(semantic_loss(x,r), (lovasz(p,y) + lovasz(1-p,1-y))/2)
    assert (semantic_loss(x,r) - (semantic_loss(x[:1],r[:1]) + semantic_loss(x[1:],r[1:]))/2).abs() > 1e-5

def test_semantic_loss_orders_copy_blur_negative(night):
    vi = night[1]
    losses = [semantic_loss(vi,o).item() for o in (vi, kornia.filters.gaussian_blur2d(vi, (15,15), (4.,4.)), 1-vi)]
    assert 0 < losses[0] < losses[1] < losses[2]
    assert semantic_loss(vi, vi, softness=1e-6) < 1e-3

def test_semantic_loss_raises_the_contrast():
    r, x = torch.rand(2,1,12,12).requires_grad_(), torch.rand(2,1,12,12)
    semantic_loss(x,r).backward()
    fore = x > x.mean((1,2,3), keepdim=True)
    assert r.grad.isfinite().all() and (r.grad[fore] < 0).all() and (r.grad[~fore] > 0).all()
    with pytest.raises(ValueError, match='differ in shape'): semantic_loss(x, r[...,1:])

def test_a_softmax_over_one_channel_teaches_nothing():
    "The release's form (D-15)."
    r, y = torch.rand(1,1,12,12).requires_grad_(), (torch.rand(144) > .5).float()
    lovasz(r.softmax(dim=1).flatten(), y).backward()
    assert not r.grad.any()

# correlation and decomposition

def test_correlation_by_hand():
    a,b = torch.tensor([1.,2,3,4]).reshape(1,1,2,2), torch.tensor([2.,1,4,3]).reshape(1,1,2,2)
    assert corrcoef(a,b).item() == pytest.approx(.6, abs=1e-6)
    assert corrcoef(a,3*a+7).item() == pytest.approx(1, abs=1e-6) and corrcoef(a,-a).item() == pytest.approx(-1, abs=1e-6)
    assert corrcoef(a, torch.ones_like(a)) == 0
    with pytest.raises(ValueError, match='a .* and b .* differ in shape'): corrcoef(a, b[...,:1])

def test_correlation_is_the_mean_of_numpys():
    f,g = torch.randn(2,2,3,4,5)
    ref = np.mean([np.corrcoef(f[i,j].flatten(), g[i,j].flatten())[0,1] for i in range(2) for j in range(3)])
    assert corrcoef(f,g).item() == pytest.approx(ref, abs=1e-6)

def test_correlation_gradient():
    f,g = (torch.randn(2,3,4,5, dtype=torch.float64).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(corrcoef, (f,g))
    def plain(a, b):
        a,b = (o - o.mean((2,3), keepdim=True) for o in (a,b))
        return ((a*b).sum((2,3)) / (a.square().sum((2,3))*b.square().sum((2,3))).sqrt()).mean()
    for want,got in zip(torch.autograd.grad(plain(f,g), (f,g)), torch.autograd.grad(corrcoef(f,g), (f,g))): assert_close(got, want)

def test_correlation_of_flat_maps_has_a_finite_gradient():
    f,g = torch.ones(1,2,4,5).requires_grad_(), torch.randn(1,2,4,5).requires_grad_()
    corrcoef(f,g).backward()
    assert f.grad.isfinite().all() and g.grad.isfinite().all()

@pytest.mark.parametrize('cc,want', [((.99,.5), 1/8), ((.99,.5,.5), 1/4), ((.99,.3,-.4), .25/2), ((.2,0.,0.), 0), ((.99,-.5), 1/8)])
def test_decomposition_by_hand(cc, want):
    "CC(base) = 0.99 makes the denominator 2."
    assert decomposition_loss(*tensors(*cc)).item() == pytest.approx(want, abs=1e-6)

def test_decomposition_wants_bases_alike_and_details_apart():
    loss = lambda *cc: decomposition_loss(*tensors(*cc)).item()
    assert loss(.1,.5) > loss(.9,.5) > loss(.9,.4) > 0
    assert loss(-1.,.5) == pytest.approx(25, rel=1e-3) # the denominator never falls below 0.01

def test_decomposition_can_be_zero_where_something_is_shared():
    "Channels with CC +1 and -1 average to 0 before they are squared."
    a = torch.randn(1,1,8,8)
    d_ir, d_vi = torch.cat([a,a],1), torch.cat([a,-a],1)
    assert decomposition_loss(torch.tensor(.5), corrcoef(d_ir,d_vi)) < 1e-10

def test_decomposition_trains_as_long_as_cc_is_a_tensor():
    (bb,bv),(db,dv) = torch.randn(2,2,1,4,8,8)
    bb.requires_grad_(); db.requires_grad_()
    loss = decomposition_loss(corrcoef(bb,bv), corrcoef(db,dv)); loss.backward()
    assert all(o.grad.isfinite().all() and o.grad.all() for o in (db,bb))
    number = decomposition_loss(*tensors(corrcoef(bb,bv).item(), corrcoef(db,dv).item())) # as in the release (D-16)
    assert number.item() == pytest.approx(loss.item(), abs=1e-6) and not number.requires_grad

def test_feature_correlations():
    b,d,g,h = torch.randn(4,1,2,6,6)
    cc = feature_cc(Features(b, b, d, -d, g, h))
    assert (cc['cc_base'].item(), cc['cc_detail'].item()) == pytest.approx((1,-1), abs=1e-5) and cc['cc_graph'] == corrcoef(g,h)
    assert list(feature_cc(Features(b, b, d, -d, None, None))) == ['cc_base','cc_detail']

# weights

def test_default_weights_are_the_printed_ones():
    w = LossWeights()
    assert (w.alpha1, w.alpha2, w.alpha3, w.beta1, w.alpha4, w.alpha5, w.delta) == (2,5,8,10,10,2,1.01)

@pytest.mark.parametrize('bad,message', [*((dict([(k,-1)]), f'loss weight {k} must be 0 or larger, not -1') for k in ('alpha1','alpha2','alpha3','alpha4','alpha5','beta1')),
                                         (dict(alpha1=math.nan), 'alpha1 must be 0'), (dict(delta=1), 'delta must exceed 1'), (dict(gram='full'), "gram must be 'literal' or 'patches', not 'full'")])
def test_impossible_weights_are_refused(bad, message):
    with pytest.raises(ValueError, match=message): LossWeights(**bad)

# the objective

one = StageOneLoss()

def test_total_by_hand():
    "Visible 1.1, infrared 2.1, decomposition 1, visible gradient again 0.05."
    t = dict(ssim_vi=.1, semantic=.2, grad_vi=.01, ssim_ir=.2, intensity=.3, grad_ir=.02, decomp=.5)
    assert one.total(t) == pytest.approx(4.25, abs=1e-9)

@pytest.mark.parametrize('term,weight', dict(ssim_vi=8, ssim_ir=8, semantic=1, intensity=1, grad_vi=10+5, grad_ir=10, decomp=2).items())
def test_weight_of_each_term(term, weight):
    t = dict.fromkeys(('ssim_vi','semantic','grad_vi','ssim_ir','intensity','grad_ir','decomp'), 0.)
    assert one.total(t | {term: 1.}) == pytest.approx(weight)

def test_terms_are_their_functions(night, leaves):
    ir,vi = night
    rec_ir,rec_vi = torch.rand_like(ir), torch.rand_like(vi)
    f = leaves(); t = one.terms(rec_ir, rec_vi, ir, vi, f)
    want = dict(ssim_ir=1-ssim(ir,rec_ir), ssim_vi=1-ssim(vi,rec_vi), grad_ir=(grad(ir)-grad(rec_ir)).abs().mean(), grad_vi=(grad(vi)-grad(rec_vi)).abs().mean(),
                intensity=gram_loss(ir,rec_ir), semantic=semantic_loss(vi,rec_vi),
                decomp=corrcoef(f.detail_ir,f.detail_vi)**2/(corrcoef(f.base_ir,f.base_vi)+1.01))
    for k,v in want.items(): assert_close(t[k], v)
    assert set(t) == set(want) | {'cc_base','cc_detail','cc_graph'}

def test_a_flawless_reconstruction_costs_softness_and_decomposition(night, leaves):
    ir,vi = night
    total,t = one((ir,vi), ir, vi, leaves())
    for k in ('ssim_ir','ssim_vi','grad_ir','grad_vi','intensity'): assert abs(t[k].item()) < 1e-5
    assert total.item() == pytest.approx((t['semantic'] + 2*t['decomp']).item(), abs=1e-3)

def test_switches_remove_terms(night, leaves):
    off = StageOneLoss(LossWeights(semantic=False, intensity=False)).terms(*night, *night, leaves())
    assert not {'semantic','intensity'} & set(off)
    patches = StageOneLoss(LossWeights(gram='patches')).terms(*night[::-1], *night, leaves())
    assert patches['intensity'] == gram_loss(*night, 'patches')

def test_what_the_objective_reaches(night, reached):
    "Both reconstructions, bases and details; the graph's features only with `graph_stage1`."
    rec = tuple(torch.rand_like(night[0]).requires_grad_() for _ in range(2))
    assert reached(one, rec, *night) == {'base_ir','base_vi','detail_ir','detail_vi'}
    assert all(o.grad.isfinite().all() and o.grad.any() for o in rec)
    assert reached(StageOneLoss(LossWeights(graph_stage1=True)), rec, *night) == set(Features._fields)

def test_one_step_reaches_what_stage_one_trains(night):
    net, (ir,vi) = SMFNet(MODEL_PRESETS['smoke']), (o[...,:32,:32] for o in night)
    out,f = net(ir, vi, stage=1, features=True)
    one(out, ir, vi, f)[0].backward()
    silent = {n.split('.')[0] for n,p in net.named_parameters() if p.grad is None or not p.grad.any()}
    assert silent == {'fuse_base','fuse_detail','fuse_graph'}
