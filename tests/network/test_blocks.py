"Layer norm, convolutions, attention between channels, LeFF, the transformer block, residual blocks, Sobel (Sec. 2.2)."
import math
import kornia
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode
from smfnet.network.blocks import BRB, GRDB, LayerNorm2d, LeFF, MDTA, Sobel, TransformerBlock, attend, channel_map, depthwise, pointwise

leaky = lambda o: torch.where(o > 0, o, .2*o)
size = lambda m: sum(p.numel() for p in m.parameters())

def changed(f, x, y=4, z=3):
    "Pixels of f(x) that move when the pixel (y, z) of x does."
    p = x.clone(); p[:,:,y,z] += torch.randn(x.shape[1])
    return ((f(p) - f(x)).abs().amax((0,1)) > 1e-6).nonzero().tolist()

# layer norm

@pytest.mark.parametrize('x,want', [((1.,3.), 1.), ((-1e-3,1e-3), .3015)]) # deviations of 1e-3 are damped by eps
def test_layer_norm_by_hand(x, want):
    assert LayerNorm2d(2)(torch.tensor(x).reshape(1,2,1,1)).flatten().tolist() == pytest.approx([-want,want], abs=1e-4)

def test_layer_norm_takes_its_statistics_over_the_channels_of_one_pixel():
    n, x = LayerNorm2d(64), torch.randn(2,64,6,7)
    assert_close(n(x).mean(1), torch.zeros(2,6,7))
    assert_close(n(x).var(1, unbiased=False), torch.ones(2,6,7), atol=1e-3, rtol=0)
    assert changed(n, x) == [[4,3]]

def test_layer_norm_formula():
    n, x = LayerNorm2d(8), torch.randn(2,8,5,7)
    nn.init.normal_(n.weight); nn.init.normal_(n.bias)
    mu,var = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    assert_close(n(x), n.weight[:,None,None]*(x-mu)/(var+1e-5).sqrt() + n.bias[:,None,None])

# convolutions

@pytest.mark.parametrize('conv,taps', [
    (pointwise(2,2), [[0,4,4],[1,4,4]]),
    (depthwise(2), [[0,i,j] for i in (3,4,5) for j in (3,4,5)]),
    (depthwise(2,3), [[0,i,j] for i in (1,4,7) for j in (1,4,7)])], ids=('pointwise','depthwise','dilated'))
def test_what_a_convolution_reaches(conv, taps):
    x = torch.zeros(1,2,9,9); x[0,0,4,4] = 1
    nn.init.ones_(conv.weight)
    assert conv(x)[0].nonzero().tolist() == taps

def test_sizes():
    c = 64
    assert (size(pointwise(4,8)), size(pointwise(4,8,bias=True)), size(depthwise(4)), size(depthwise(4,bias=True))) == (32, 40, 36, 40)
    assert size(MDTA(c)) == 8 + c*3*c + 3*c*9 + c*c
    assert size(LeFF(c)) == 2*c*2*c + 2*c*9
    assert size(TransformerBlock(c)) == size(MDTA(c)) + size(LeFF(c)) + 4*c
    assert size(BRB(32)) == 2*32*64 + 64*9
    assert size(GRDB(c)) == (c*32*9+32) + ((c+32)*32*9+32) + 2*c*c + c*c

# attention between channels

def slow_map(q, k, log_T):
    "Softmax of the cosines over T, with loops."
    (b,c,*_), heads = q.shape, len(log_T)
    d = c//heads
    A = torch.zeros(b,heads,d,d)
    for n in range(b):
        for head in range(heads):
            for i in range(d):
                row = [F.cosine_similarity(q[n,head*d+i].flatten(), k[n,head*d+j].flatten(), dim=0)/log_T[head].exp() for j in range(d)]
                A[n,head,i] = torch.stack(row).softmax(0)
    return A

def test_map_by_hand():
    e = torch.eye(2).reshape(1,2,1,2)
    one = channel_map(e, e, torch.zeros(1))
    assert_close(one[0,0], torch.tensor([[.7311,.2689],[.2689,.7311]]), atol=1e-4, rtol=0)
    assert channel_map(e, e, torch.tensor([.5]).log())[0,0,0].tolist() == pytest.approx([.8808,.1192], abs=1e-4)
    assert_close(channel_map(9*e, .1*e, torch.zeros(1)), one) # gains do not matter

def test_map_is_the_one_of_the_loops():
    q,k = torch.randn(2,2,16,5,7)
    log_T = torch.tensor([0.,-1.])
    assert_close(channel_map(q, k, log_T), slow_map(q, k, log_T))

def test_map_has_rows_of_shares_over_the_keys():
    "Rows, not columns, sum to one; two queries of opposite sign do not attend alike."
    q,k = torch.randn(2,2,16,5,7)
    A = channel_map(q, k, torch.tensor([-1.,-1.]))
    assert_close(A.sum(-1), torch.ones(2,2,8))
    assert (A.sum(-2)-1).abs().max() > .05
    assert (channel_map(-q, k, torch.tensor([-1.,-1.])) - A).abs().max() > .05

def test_map_limits_of_temperature():
    q,k = torch.randn(2,3,16,5,7)
    assert_close(channel_map(q, k, torch.tensor([12.,12.])), torch.full((3,2,8,8), 1/8))
    assert_close(channel_map(q, q, torch.tensor([-9.,-9.])), torch.eye(8).expand(3,2,8,8))

def test_map_of_an_empty_channel_is_even_and_finite():
    q,k = torch.randn(2,3,16,5,7)
    for a,b in ((0*q,k), (q,0*k)): assert_close(channel_map(a, b, torch.zeros(2)), torch.full((3,2,8,8), 1/8))

def test_map_gradient():
    q,k = (torch.randn(1,4,2,3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(channel_map, (q, k, torch.zeros(2, dtype=torch.float64, requires_grad=True)))

def test_map_hardly_depends_on_the_size_of_the_picture(night):
    stem, m = nn.Conv2d(1,16,3,padding=1), MDTA(16,2)
    def attention(img):
        q,k,_ = m.qkv(stem(img)).chunk(3, dim=1)
        return channel_map(q, k, m.log_T-1.5).detach()
    small, large = attention(F.avg_pool2d(night[0],2)), attention(night[0])
    assert small.shape == large.shape == (1,2,8,8)
    assert torch.corrcoef(torch.stack([small.flatten(), large.flatten()]))[0,1] > .8

def test_values_are_mixed_within_a_head():
    q,k,v = torch.randn(3,2,16,5,7)
    log_T = torch.tensor([0.,-1.])
    A, mixed = slow_map(q, k, log_T), torch.zeros_like(v)
    for head in range(2):
        for i in range(8):
            for j in range(8): mixed[:,head*8+i] += A[:,head,i,j,None,None]*v[:,head*8+j]
    assert_close(attend(q, k, v, log_T), mixed)
    assert_close(attend(q, q, v, torch.tensor([-9.,-9.])), v) # each channel finds itself

def test_MDTA_is_map_times_values_projected():
    m, x = MDTA(16,4), torch.randn(2,16,9,7)
    nn.init.normal_(m.log_T)
    q,k,v = m.qkv(x).chunk(3, dim=1)
    Av = torch.einsum('nhij,nhjyx->nhiyx', slow_map(q, k, m.log_T), v.unflatten(1,(4,4))).flatten(1,2)
    assert_close(m(x), m.proj(Av))

def test_MDTA_refuses_heads_that_do_not_divide():
    with pytest.raises(ValueError, match='heads=3 must divide the channels dim=16'): MDTA(16,3)

@torch.no_grad()
def test_MDTA_costs_the_same_for_each_pixel():
    m, cost = MDTA(64).to('meta'), []
    for side in (32,256):
        with FlopCounterMode(display=False) as count: m(torch.empty(1,64,side,side, device='meta'))
        cost.append(count.get_total_flops()/side**2)
    assert cost[0] == pytest.approx(cost[1], rel=.02)

# LeFF and the transformer block

def test_LeFF_by_hand():
    f = LeFF(1, expansion=1)
    for p in f.parameters(): nn.init.ones_(p)
    assert f(torch.ones(1,1,1,1)).item() == pytest.approx(.6730, abs=1e-4)

def test_LeFF_reaches_one_pixel():
    assert changed(LeFF(16), torch.randn(2,16,9,7)) == [[i,j] for i in (3,4,5) for j in (2,3,4)]

def test_LeFF_formula():
    f, x = LeFF(16), torch.randn(2,16,9,7)
    gelu = lambda o: o*(1+torch.erf(o/math.sqrt(2)))/2
    assert_close(f(x), f.down(gelu(f.local(gelu(f.up(x))))))

def test_transformer_block_adds_attention_then_LeFF():
    t, x = TransformerBlock(16,4), torch.randn(2,16,9,7)
    for n in (t.norm1, t.norm2): nn.init.normal_(n.weight); nn.init.normal_(n.bias)
    y = x + t.attn(t.norm1(x))
    assert_close(t(x), y + t.ffn(t.norm2(y)))

@pytest.mark.parametrize('silent', ('attn','ffn','both'))
def test_transformer_block_keeps_its_input(silent):
    "With a last projection at zero that half adds nothing; with both, the block is the identity."
    t, x = TransformerBlock(16,4), torch.randn(2,16,9,7)
    if silent != 'ffn': nn.init.zeros_(t.attn.proj.weight)
    if silent != 'attn': nn.init.zeros_(t.ffn.down.weight)
    want = dict(attn=lambda: x + t.ffn(t.norm2(x)), ffn=lambda: x + t.attn(t.norm1(x)), both=lambda: x)[silent]
    assert torch.equal(t(x), want())

# residual blocks

def test_BRB_by_hand():
    b = BRB(1)
    with torch.no_grad():
        b.body[0].weight.copy_(torch.tensor([1.,-1]).reshape(2,1,1,1)); b.body[4].weight.fill_(1)
        b.body[2].weight.zero_()[:,0,1,1] = 1
        assert b(torch.tensor([2.,-2]).reshape(2,1,1,1)).flatten().tolist() == pytest.approx([3.92,-.08], abs=1e-6)

def test_BRB_limits():
    b, x = BRB(8), torch.randn(2,8,5,7)
    assert torch.equal(b(0*x), 0*x)  # no offsets
    nn.init.zeros_(b.body[-1].weight)
    assert torch.equal(b(x), x)

def test_GRDB_by_hand():
    g = GRDB(1,1)
    for n,p in g.named_parameters(): nn.init.zeros_(p) if 'bias' in n else nn.init.ones_(p)
    assert g(-torch.ones(1,1,1,1)).item() == pytest.approx(-1.44, abs=1e-5)

def test_GRDB_is_a_dense_block_plus_edges():
    g, x = GRDB(8,4), torch.randn(2,8,5,7)
    a = leaky(g.conv1(x))
    b = leaky(g.conv2(torch.cat([x,a],1)))
    gx,gy = kornia.filters.spatial_gradient(x, 'sobel', normalized=False).unbind(2)
    assert_close(g(x), g.mix(torch.cat([x,a,b],1)) + g.edge(gx.abs()+gy.abs()))

def test_GRDB_edge_path_alone():
    g, x = GRDB(8,4), torch.randn(2,8,5,7)
    nn.init.zeros_(g.mix.weight)
    gx,gy = kornia.filters.spatial_gradient(x, 'sobel', normalized=False).unbind(2)
    assert_close(g(x), torch.einsum('oc,bchw->bohw', g.edge.weight[:,:,0,0], gx.abs()+gy.abs()))
    assert not g(torch.ones(1,8,5,7)).any()

# Sobel

def test_sobel_of_a_ramp():
    gx,gy = Sobel()(torch.arange(6.).expand(1,2,5,6))
    assert_close(gx[...,1:-1], torch.full((1,2,5,4), 8.))
    assert_close(gx[...,0], torch.full((1,2,5), 4.)) # the edge pixel is repeated
    assert not gy.any() and not any(o.any() for o in Sobel()(torch.ones(1,3,4,5)))

def test_sobel_is_kornias():
    x = torch.randn(2,3,6,5)
    want = kornia.filters.spatial_gradient(x, 'sobel', normalized=False)
    for got,w in zip(Sobel()(x), want.unbind(2)): assert_close(got, w)

def test_sobel_is_fixed_and_not_stored():
    s = Sobel()
    assert (list(s.state_dict()), list(s.parameters())) == ([],[])
    assert s.double()(torch.rand(1,1,4,4).double())[0].dtype == torch.float64
