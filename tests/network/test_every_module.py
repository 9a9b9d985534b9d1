"What every module of the network owes: gradients, independence of its batch mates, the same numbers in any layout and nearly the same in half precision."
from copy import deepcopy
from dataclasses import replace
import pytest
import torch
from torch.testing import assert_close
from smfnet.network.base import BFE, BFEBlock
from smfnet.network.blocks import BRB, GRDB, LayerNorm2d, LeFF, MDTA, TransformerBlock
from smfnet.network.detail import CAI, CrossMDTA, FuseDetail, InvertibleBlock
from smfnet.network.fast import faster
from smfnet.network.graph import GR, GraphStep, NodePyramid
from smfnet.network.model import Decoder, Encoder, FuseBase, FuseGraph, MODEL_PRESETS, Shallow, SMFNet

small = MODEL_PRESETS['smoke']
maps = lambda n, c=16: lambda: [torch.randn(2,c,7,10) for _ in range(n)]
images = lambda n: lambda: [torch.rand(2,1,17,22) for _ in range(n)]
MODULES = dict( # name: (module, its inputs, largest relative change in bfloat16)
    LayerNorm2d=(lambda: LayerNorm2d(16), maps(1), .03), MDTA=(lambda: MDTA(16,4), maps(1), .03), LeFF=(lambda: LeFF(16), maps(1), .03),
    TransformerBlock=(lambda: TransformerBlock(16,4), maps(1), .03), BRB=(lambda: BRB(16), maps(1), .03), GRDB=(lambda: GRDB(16,4), maps(1), .03),
    CrossMDTA=(lambda: CrossMDTA(16,2), maps(2), .03), InvertibleBlock=(lambda: InvertibleBlock(16), maps(2), .03),
    affine_both=(lambda: InvertibleBlock(16, affine_both=True), maps(2), .03), CAI=(lambda: CAI(16,2), maps(1), .05),
    without_cross=(lambda: CAI(16, 2, cross=False), maps(1), .05), FuseDetail=(lambda: FuseDetail(16), maps(1), .05),
    BFEBlock=(lambda: BFEBlock(16,4), maps(1), .03), one_wide=(lambda: BFEBlock(16, 4, expansion=1), maps(1), .03), BFE=(lambda: BFE(16,2), maps(1), .03),
    without_residual=(lambda: BFE(16, 2, residual=False), maps(1), .03),
    pooled=(lambda: NodePyramid(16), maps(1), .03), dilated=(lambda: NodePyramid(16, 'dilated'), maps(1), .03),
    GraphStep=(lambda: GraphStep(16), lambda: [list(torch.randn(6,2,16,5,7))], .03),
    GR=(lambda: GR(16), maps(2), .05), GR_dilated=(lambda: GR(16, nodes='dilated'), maps(2), .05),
    Shallow=(lambda: Shallow(small), images(1), .03), FuseBase=(lambda: FuseBase(16,2), maps(1), .03), FuseGraph=(lambda: FuseGraph(16), maps(2), .03),
    Encoder=(lambda: Encoder(small), images(2), .05), Decoder=(lambda: Decoder(small), maps(1), .03), SMFNet=(lambda: SMFNet(small), images(2), .03),
    residual=(lambda: SMFNet(replace(small, residual=.5)), images(2), .03))

@pytest.fixture(params=MODULES)
def case(request):
    make, inputs, limit = MODULES[request.param]
    module = make()
    for p in module.parameters(): p.data += .1*torch.randn_like(p) # no gain is 1 and no offset 0
    return module, inputs(), limit

def flat(o): return o.flatten() if torch.is_tensor(o) else torch.cat([flat(i) for i in o])
def each(f, o): return [each(f, i) for i in o] if isinstance(o, (list,tuple)) else f(o)
def apart(a, b): return ((a-b).norm()/(b-b.mean()).norm()).item()

def test_a_gradient_reaches_every_parameter(case):
    module,xs,_ = case
    y = flat(module(*xs))
    (y*torch.randn_like(y)).sum().backward()
    assert [n for n,p in module.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()] == []

@torch.no_grad()
def test_an_item_does_not_see_its_batch_mates(case):
    module,xs,_ = case
    both = each(lambda o: o[1:], module(*xs))
    assert_close(flat(module(*each(lambda o: o[1:], xs))), flat(both))

@torch.no_grad()
def test_the_order_in_memory_does_not_matter(case):
    module,xs,_ = case
    y = flat(module(*xs))
    last = each(lambda o: o.contiguous(memory_format=torch.channels_last), xs)
    turned = each(lambda o: o.transpose(2,3).contiguous().transpose(2,3), xs)
    for other in (last, turned): assert apart(flat(module(*other)), y) < 1e-5
    assert apart(flat(module.to(memory_format=torch.channels_last)(*xs)), y) < 1e-5

@torch.no_grad()
def test_half_precision_is_near(case):
    module,xs,limit = case
    y = flat(module(*xs))
    with torch.autocast('cpu', torch.bfloat16): half = flat(module(*xs)).float()
    assert apart(half, y) < limit

def test_gradients_stay_finite_in_half_precision(case):
    module,xs,_ = case
    with torch.autocast('cpu', torch.bfloat16): y = flat(module(*xs))
    y.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in module.parameters())

@torch.no_grad()
def test_double_precision_stays_double(case):
    module,xs,_ = case
    y, z = flat(module(*xs)), flat(deepcopy(module).double()(*each(torch.Tensor.double, xs)))
    assert z.dtype == torch.float64 and apart(y.double(), z) < 1e-5

@torch.no_grad()
def test_the_fast_form_gives_the_same(case):
    module,xs,_ = case
    y = flat(module(*xs))
    assert apart(flat(faster(deepcopy(module))(*xs)), y) < 1e-5
