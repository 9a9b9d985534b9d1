"The fast forms: same weights, same results and gradients; sums that can be taken part by part; where half precision does not go."
from copy import deepcopy
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from smfnet.network.blocks import MDTA, channel_map
from smfnet.network.detail import CrossMDTA, InvertibleBlock
from smfnet.network.fast import (ALL, attention_matrix, attention_mix, attention_sums, channel_sums, cross_matrix, cross_mix, cross_sums, embed, faster, in_fp32,
                                 mixing_matrix, plainer)
from smfnet.network.model import MODEL_PRESETS, Shallow, SMFNet

small = MODEL_PRESETS['smoke']
TOP, REST = (slice(0,2), slice(None)), (slice(2,None), slice(None))

def run(net, x, y):
    "Both stages, and the gradient of everything."
    net.zero_grad()
    out = [*net(x, y, stage=1), net(x, y)]
    sum(o.square().mean() for o in out).backward()
    return [o.detach() for o in out] + [p.grad for p in net.parameters()]

@pytest.mark.parametrize('kind', ('pooled','dilated'))
def test_network_and_its_gradients_are_those_of_the_plain_form(kind):
    net = SMFNet(type(small)(**{**vars(small), 'graph_nodes': kind}))
    for p in net.parameters(): nn.init.normal_(p, std=.1)
    x,y = torch.rand(2,2,1,23,30)
    for a,b in zip(run(net, x, y), run(faster(deepcopy(net)), x, y)): assert_close(a, b)

def test_in_and_out_again():
    net, x = SMFNet(small).eval(), torch.rand(2,1,1,17,20)
    kinds, state = [type(m) for m in net.modules()], deepcopy(net.state_dict())
    with torch.no_grad(): want = net(*x)
    fast = faster(deepcopy(net))
    assert list(fast.state_dict()) == list(state) and [type(m) for m in fast.modules()] != kinds
    back = plainer(fast)
    assert [type(m) for m in back.modules()] == kinds
    assert all(torch.equal(v, state[k]) for k,v in back.state_dict().items())
    with torch.no_grad(): assert torch.equal(back(*x), want)

def test_sums_of_parts_add_up():
    q,k = torch.randn(2,1,16,6,7)
    assert_close(channel_sums(q[:,:,:2],k[:,:,:2]) + channel_sums(q[:,:,2:],k[:,:,2:]), channel_sums(q,k))

def test_matrix_is_map_and_projection():
    q,k = torch.randn(2,2,16,6,7)
    log_T, W = torch.tensor([0.,-1.]), torch.randn(6,16,1,1)
    for n in range(2):
        A = torch.block_diag(*channel_map(q, k, log_T)[n])
        assert_close(mixing_matrix(channel_sums(q,k), log_T, W)[n], W[:,:,0,0] @ A)

def test_sums_have_the_right_gradient():
    q,k = (torch.randn(1,4,2,3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(channel_sums, (q,k))

@torch.no_grad()
def test_self_attention_in_parts():
    "Sums of the rows above and below, matrix, mixed values: the attention of the whole image."
    m, x = MDTA(16,4), torch.randn(1,16,6,7)
    nn.init.normal_(m.log_T)
    sums = attention_sums(m, x, TOP) + attention_sums(m, x, REST)
    assert_close(sums, attention_sums(m, x, ALL))
    assert_close(attention_mix(m, x, attention_matrix(m, sums)), m(x))

@torch.no_grad()
def test_cross_attention_in_parts():
    m = CrossMDTA(16,4)
    for p in (m.log_T1, m.log_T2, m.norm1.weight, m.norm2.bias): nn.init.normal_(p)
    x1,x2 = torch.randn(2,1,16,6,7)
    matrix = cross_matrix(m, cross_sums(m, x1, x2, TOP) + cross_sums(m, x1, x2, REST))
    for a,b in zip(cross_mix(m, x1, x2, matrix), m(x1,x2)): assert_close(a, b)

def test_half_precision_stays_out_of_the_invertible_block():
    b, (f1,f2) = faster(InvertibleBlock(6, affine_both=True)), torch.randn(2,2,6,5,7)
    for way in (b, b.inverse):
        with torch.no_grad():
            with torch.autocast('cpu', torch.bfloat16): half = way(f1,f2)
            for a,c in zip(half, way(f1,f2)): assert torch.equal(a, c)

def test_half_precision_stays_out_of_the_first_convolution():
    s, x = faster(Shallow(small)), torch.rand(2,1,9,11)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16): y = embed(s, x)
    assert y.dtype == torch.float32 and torch.equal(y, s.conv(x))

def test_the_mark_changes_nothing_outside_autocast():
    class Product(nn.Linear):
        @in_fp32
        def exact(self, x): return self(x)
    f, x = Product(64,64), torch.randn(8,64)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16): half,exact = f(x), f.exact(x)
    assert (half.dtype, exact.dtype) == (torch.bfloat16, torch.float32) and torch.equal(exact, f(x))
    assert f.double().exact(x.double()).dtype == torch.float64
