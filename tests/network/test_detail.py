"Cross attention of two halves, soft clamp, invertible block, CAI, detail fusion (Sec. 2.2.1, Eqs. 1-8)."
import math
from copy import deepcopy
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from smfnet.network.blocks import BRB
from smfnet.network.detail import CAI, CrossMDTA, FuseDetail, InvertibleBlock, soft_clamp

size = lambda m: sum(p.numel() for p in m.parameters())

# cross attention

def attention(Q, K, V, log_T):
    "Eq. 3 for one image, head by head: row i of A is a channel of the question, its entries the shares of the answering channels."
    out = []
    for Qh,Kh,Vh,t in zip(*(o.flatten(1).chunk(len(log_T)) for o in (Q,K,V)), log_T):
        A = (F.normalize(Qh,dim=1) @ F.normalize(Kh,dim=1).T / t.exp()).softmax(1)
        out.append(sum(A[:,j,None]*Vh[j] for j in range(len(Vh))))
    return torch.cat(out).unflatten(1, V.shape[1:])

@pytest.fixture
def cross():
    c = CrossMDTA(8,2)
    for p in (c.log_T1, c.log_T2, c.norm1.weight, c.norm2.bias): nn.init.normal_(p)
    return c, *torch.randn(2,3,8,5,7)

def test_cross_attention_in_the_papers_letters(cross):
    c,x1,x2 = cross
    (Q1,K1,V1),(Q2,K2,V2) = (qkv(norm(x))[0].chunk(3) for qkv,norm,x in ((c.qkv1,c.norm1,x1), (c.qkv2,c.norm2,x2)))
    F1,F2 = c(x1,x2)
    assert_close(F1[0], c.proj1(attention(Q2,K1,V1,c.log_T1)))
    assert_close(F2[0], c.proj2(attention(Q1,K2,V2,c.log_T2)))

@pytest.mark.parametrize('half', (1,2))
def test_who_asks_and_who_answers(cross, half):
    "F of a half needs its own K and V and the other half's Q, and nothing else (D-02)."
    c,x1,x2 = cross
    F = c(x1,x2)[half-1]
    def without(part, of):
        z, rows = deepcopy(c), slice('QKV'.index(part)*8, 'QKV'.index(part)*8+8)
        z.get_submodule(f'qkv{of}')[0].weight.data[rows] = 0
        return z(x1,x2)[half-1]
    other = 3-half
    for part,of in (('V',other), ('K',other), ('Q',half)): assert torch.equal(without(part,of), F), (part,of)
    for part,of in (('Q',other), ('K',half)): assert (without(part,of)-F).abs().max() > 1e-3, (part,of)
    assert not without('V',half).any()

def test_cross_attention_refuses_heads_that_do_not_divide():
    with pytest.raises(ValueError, match='heads=3 must divide the channels dim=8 of one half'): CrossMDTA(8,3)

def test_sizes():
    assert size(CrossMDTA(32)) == 2*(8 + 2*32 + 32*96 + 96*9 + 32*32)
    for both in (False,True): assert size(InvertibleBlock(32,both)) == (3+both)*size(BRB(32))
    assert size(CAI(64)) - size(CAI(64, cross=False)) == size(CrossMDTA(32))
    assert size(FuseDetail(64)) == 2*4*size(BRB(32))

# soft clamp

def test_soft_clamp_by_hand():
    assert soft_clamp(torch.tensor([0.,math.log(3),-50,50])).tolist() == pytest.approx([0,1,-2,2], abs=1e-6)

def test_soft_clamp_is_a_tanh_with_slope_half_c():
    s = torch.linspace(-6,6,61, dtype=torch.float64, requires_grad=True)
    assert_close(soft_clamp(s,3.), 3*torch.tanh(s/2))
    assert torch.autograd.grad(soft_clamp(s,3.).sum(), s)[0][30].item() == pytest.approx(1.5)
    assert torch.autograd.gradcheck(soft_clamp, s)

# the invertible block

class Times(nn.Module):
    def __init__(self, n): super().__init__(); self.n = n
    def forward(self, x): return self.n*x

@pytest.mark.parametrize('both,f2,want', [(False, 0., (5.1835,1.0986)), (True, 1., (None,3.8169))])
def test_coupling_by_hand(both, f2, want):
    "psi(x) = x, psi3(x) = 2x, F1 = ln 3: alpha(ln 3) = 1."
    b, ln3 = InvertibleBlock(1,both), torch.full((1,1,1,1), math.log(3))
    for n in (1,2,3,4): setattr(b, f'psi{n}', Times(2 if n == 3 else 1) if n < 4 or both else None)
    g1,g2 = b(ln3, 0*ln3+f2)
    assert g2.item() == pytest.approx(want[1], abs=1e-4)
    if want[0]: assert g1.item() == pytest.approx(want[0], abs=1e-4)

def wild(dim, both, dtype, seed):
    torch.manual_seed(seed)
    b = InvertibleBlock(dim, both)
    for p in b.parameters(): p.data *= 1.5
    return b.to(dtype)

def test_coupling_takes_the_additive_half_first():
    "Eq. 6, then Eq. 5 on its result (D-04)."
    b = wild(6, False, torch.float32, 0)
    x1,x2 = torch.randn(2,2,6,5,7)
    g1,g2 = b(x1,x2)
    assert_close(g2, x2 + b.psi1(x1))
    assert_close(g1, x1*soft_clamp(b.psi2(g2)).exp() + b.psi3(g2))

@pytest.mark.parametrize('dtype,limit', [(torch.float32,1e-5), (torch.float64,1e-12)])
@pytest.mark.parametrize('both', (False,True))
def test_there_and_back(both, dtype, limit):
    for seed,hw in enumerate(((5,7),(1,1),(9,4),(3,11))):
        b = wild(6, both, dtype, seed)
        x1,x2 = torch.randn(2,2,6,*hw, dtype=dtype)
        with torch.no_grad():
            for ways in (b.inverse(*b(x1,x2)), b(*b.inverse(x1,x2))):
                for y,x in zip(ways, (x1,x2)): assert ((y-x).abs()/(1+x.abs())).max() < limit

def test_the_printed_form_sends_two_inputs_to_one_output():
    "D-04: with psi(x) = -x and equal halves, Eqs. 5-6 as printed are not one-to-one; the additive half first tells them apart."
    psi = lambda x: -x
    printed = lambda x: (x*math.exp(psi(x)) + psi(x), x + psi(x))
    lo,hi = -1.,0.
    for _ in range(60): lo,hi = ((lo+hi)/2, hi) if printed((lo+hi)/2)[0] < printed(1.)[0] else (lo, (lo+hi)/2)
    assert lo == pytest.approx(-.6668, abs=1e-4)
    assert printed(lo) == pytest.approx(printed(1.), abs=1e-9)
    b = InvertibleBlock(1)
    b.psi1, b.psi2, b.psi3 = Times(-1), Times(-1), Times(-1)
    a,c = (b(*2*[torch.full((1,1,1,1), o)]) for o in (lo,1.))
    assert max((i-j).abs().item() for i,j in zip(a,c)) > 1

@pytest.mark.parametrize('both', (False,True))
def test_volume_is_the_product_of_the_scales(both):
    b = wild(2, both, torch.float64, 3)
    x = torch.randn(2,1,2,2,2, dtype=torch.float64)
    J = torch.autograd.functional.jacobian(lambda o: torch.stack(b(*o)), x).reshape(16,16)
    with torch.no_grad(): logs = b.scales(b(*x)[1], b.psi2).sum() + b.scales(x[0], b.psi4).sum()
    assert_close(torch.linalg.slogdet(J)[1], logs)
    assert logs.abs() > .1

def test_scales_are_bounded_and_none_is_zero():
    b, x = InvertibleBlock(8), torch.randn(3,8,5,7)
    s = b.scales(100*x, b.psi2)
    assert 1.9 < s.abs().max() <= 2
    assert not b.scales(x, None).any()

# CAI

@pytest.mark.parametrize('cross', (True,False))
def test_CAI_is_dense_block_attention_coupling(cross):
    m, x = CAI(16,2,cross), torch.randn(2,16,6,9)
    d = m.dense(x)
    f1,f2 = d[:,:8], d[:,8:]
    if cross: f1,f2 = m.cross(f1,f2)
    assert (m.cross is not None) == cross
    g2 = f2 + m.inn.psi1(f1)
    g1 = f1*soft_clamp(m.inn.psi2(g2)).exp() + m.inn.psi3(g2)
    assert_close(m(x), torch.cat([g1,g2],1))

def test_CAI_has_no_residual_around_it():
    "D-13: with the attention silent nothing is left, since psi(0) = 0."
    m = CAI(16,2)
    nn.init.zeros_(m.cross.proj1.weight); nn.init.zeros_(m.cross.proj2.weight)
    assert not m(torch.randn(1,16,6,9)).any()

# detail fusion

def test_detail_fusion_is_equations_7_and_8():
    f, x = FuseDetail(16, layers=1), torch.randn(2,16,6,9)
    (f1,f2),l = x.chunk(2,1), f.layers[0]
    out1 = (f1 - l.psi3(f2)) * torch.exp(-soft_clamp(l.psi2(f2)))      # Eq. 7
    out2 = (f2 - l.psi1(out1)) * torch.exp(-soft_clamp(l.psi4(out1)))  # Eq. 8
    assert_close(f(x), torch.cat([out1,out2],1))

def test_detail_fusion_can_be_run_backwards():
    f, x = FuseDetail(16, layers=3).double(), torch.randn(2,16,6,9).double()
    g = f(x).chunk(2,1)
    assert len(f.layers) == 3 and len({id(l.psi1) for l in f.layers}) == 3
    for layer in reversed(f.layers): g = layer(*g)
    assert_close(torch.cat(g,1), x)
