"Four fusion methods: what each does to an image, and what none of them may do."
import pytest
import torch
import torch.nn.functional as F
from smfnet.scoring import baselines as B

close = torch.testing.assert_close

@pytest.mark.parametrize('name', B.BASELINES)
def test_range_shape_and_identity(pairs, name):
    f = B.BASELINES[name]
    for p in pairs[:2]:
        for ir,vi in ((p.ir, p.vi), (p.ir[:,:37,:50], p.vi[:,:37,:50])):
            o = f(ir, vi)
            assert (
                o.shape == ir.shape
                and o.dtype == torch.float32
                and 0 <= o.min()
                and o.max() <= 1
                and torch.isfinite(o).all()
            )
            close(f(vi, vi), vi, atol=1e-5, rtol=0)

def test_average_and_maximum_by_hand():
    a,b = torch.tensor([[[0.,1.],[.2,.4]]]), torch.tensor([[[1.,1.],[.4,0.]]])
    close(B.average(a,b), torch.tensor([[[.5,1.],[.3,.2]]]))
    assert torch.equal(B.average(a,b), B.average(b,a))
    assert torch.equal(B.maximum(a,b), torch.tensor([[[1.,1.],[.4,.4]]])) and torch.equal(B.maximum(a,a), a)

def test_the_pyramid_is_undone_exactly():
    for size in ((37,50), (64,64), (5,91)):
        x = torch.rand(1,*size)
        close(B._collapse(B._pyramid(x)), x)
    assert [tuple(o.shape[-2:]) for o in B._pyramid(torch.rand(1,37,50))] == [(37,50), (19,25), (10,13), (5,7), (3,4)]

def test_a_constant_image_has_no_band():
    for o in B._pyramid(torch.full((1,40,40), .3))[:-1]: close(o, torch.zeros_like(o), atol=1e-6, rtol=0)
    close(B._shrink(torch.full((1,6,6), .7)), torch.full((1,3,3), .7))

@pytest.mark.parametrize('name', ['laplacian','guided_filter'])
def test_structure_of_one_source_keeps_its_contrast(name):
    dots = torch.full((1,32,32), .5); dots[:,::4,::4] = .8
    kept = lambda f: (f(dots, torch.full_like(dots, .5)).std()/dots.std()).item()
    assert abs(kept(B.BASELINES[name]) - 1) < .05 and abs(kept(B.average) - .5) < 1e-5

def test_box_is_a_mean_over_windows_cut_at_the_border():
    x = torch.rand(1,20,27)
    close(B._box(x,3), F.avg_pool2d(x, 7, 1, 3, count_include_pad=False).double(), atol=1e-5, rtol=0)
    close(B._box(torch.full((1,5,5),.4),9), torch.full((1,5,5),.4).double(), atol=1e-6, rtol=0)

def test_guided_smoothing_keeps_edges_below_eps_and_blurs_above():
    x = torch.rand(1,20,27)
    close(B._guided(x, x, 3, 1e-12), x.double(), atol=1e-6, rtol=0)
    close(B._guided(x, x, 3, 1e6), B._box(B._box(x,3),3), atol=1e-5, rtol=0)
