"Residual transformer blocks (Sec. 2.2.2, Eqs. 9-10)."
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode
from smfnet.network.base import BFE, BFEBlock
from smfnet.network.blocks import TransformerBlock, depthwise, pointwise

size = lambda m: sum(p.numel() for p in m.parameters())

def slow(block, F0):
    Fij = F0
    for j in range(len(block.layers)): Fij = block.layers[j](Fij)  # Eq. 9
    d1,_,d2,_,p = block.conv
    leaky = lambda o: torch.where(o > 0, o, .2*o)
    return p(leaky(d2(leaky(d1(Fij))))) + F0                       # Eq. 10

@pytest.mark.parametrize('L', (1,3))
def test_block_with_the_papers_indices(L):
    b, x = BFEBlock(16, 4, layers=L), torch.randn(2,16,7,9)
    assert len(b.layers) == L
    assert_close(b(x), slow(b,x))

def test_block_by_hand():
    "Layer norm of one channel is 0, so Eq. 9 returns its input; the tail turns 2 into 6 and -2 into -0.24."
    b, two = BFEBlock(1, heads=1), torch.tensor([2.,-2]).reshape(2,1,1,1)
    with torch.no_grad():
        for i in (0,2): b.conv[i].weight.zero_()[:,0,1,1] = 1; b.conv[i].bias.zero_()
        b.conv[4].weight.fill_(3)
        assert_close(b.layers(two), two)
        assert b(two).flatten().tolist() == pytest.approx([8.,-2.24], abs=1e-5)

def test_a_silent_tail_leaves_the_identity():
    b, x = BFE(16,4), torch.randn(2,16,7,9)
    for o in b: nn.init.zeros_(o.conv[-1].weight)
    assert torch.equal(b(x), x)

def test_without_residual_the_layers_are_left():
    b, x = BFE(16, 4, residual=False), torch.randn(2,16,7,9)
    assert all(o.conv is None for o in b)
    assert torch.equal(b(x), b[1].layers(b[0].layers(x)))

def test_branch_is_a_row_of_blocks():
    b, x = BFE(16,2), torch.randn(2,16,7,9)
    assert_close(b(x), slow(b[1], slow(b[0],x)))

def test_fields_arrive():
    b = BFE(16, 2, blocks=3, layers=1, expansion=1.)
    assert (len(b), len(b[0].layers), len(b[0].layers[0].attn.log_T), b[2].layers[0].ffn.up.out_channels) == (3,1,2,16)

def test_sizes():
    tail = 2*(64*9+64) + 64*64
    assert size(BFEBlock(64)) == 2*size(TransformerBlock(64)) + tail
    assert size(BFEBlock(64)) - size(BFEBlock(64, residual=False)) == tail
    assert size(BFE(64)) == 2*size(BFEBlock(64))

def test_every_pixel_is_within_reach():
    "Six convolutions reach six pixels; one block reaches the whole picture, because every pixel has a part in the channel map."
    def influence(net, n=33, mid=16):
        x = torch.randn(1,16,n,n, dtype=torch.float64, requires_grad=True)
        return torch.autograd.grad(net(x)[0,:,mid,mid].square().sum(), x)[0].abs().sum((0,1))
    near = influence(nn.Sequential(*(nn.Sequential(pointwise(16,16), depthwise(16), nn.LeakyReLU(.2)) for _ in range(6))).double())
    far = influence(BFEBlock(16,4).double())
    outside = torch.ones(33,33, dtype=torch.bool); outside[10:23,10:23] = False
    assert not near[outside].any() and near[10:23,10:23].min() > 0
    assert 0 < far[outside].min() and far[outside].max() < far.max()/10

@torch.no_grad()
def test_cost_of_a_pixel_does_not_depend_on_the_picture():
    net, cost = BFE(64).to('meta'), []
    for h,w in ((64,64),(768,1024)):
        with FlopCounterMode(display=False) as count: net(torch.empty(1,64,h,w, device='meta'))
        cost.append(count.get_total_flops()/(h*w))
    assert cost[0] == pytest.approx(cost[1], rel=.02)
