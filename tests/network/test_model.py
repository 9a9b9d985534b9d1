"Configuration, encoder, fusion layers, decoder and the two stages (Sec. 2.1, Fig. 2)."
import dataclasses, shutil
from copy import deepcopy
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from torch.utils.flop_counter import FlopCounterMode
from smfnet.network.detail import FuseDetail
from smfnet.network.model import Decoder, Encoder, Features, FuseBase, FuseGraph, MODEL_PRESETS, ModelConfig, Shallow, SMFNet
from smfnet.network.weights import load_model

small = MODEL_PRESETS['smoke']
size = lambda m: sum(p.numel() for p in m.parameters())

@pytest.fixture
def net():
    "A small random network whose picture is not nearly one grey."
    net = SMFNet(small).eval()
    for p in net.parameters(): p.data += .05*torch.randn_like(p)
    net.decoder.conv3.weight.data *= 20
    return net

@pytest.fixture
def pair(): return torch.rand(2,2,1,19,26)

# configuration

@pytest.mark.parametrize('fields,message', [
    (dict(dim=20), 'heads=8 must divide half the width dim=20'), (dict(dim=15, heads=1), 'must divide half'),
    (dict(graph_nodes='spectral'), "must be 'pooled' or 'dilated', not 'spectral'"),
    *((dict([(k,0)]), 'must be at least 1') for k in ('base_blocks','base_layers','graph_steps','graph_stride','detail_layers'))])
def test_impossible_configurations_are_refused(fields, message):
    with pytest.raises(ValueError, match=message): ModelConfig(**fields)

def test_configuration_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError): ModelConfig().dim = 32

def test_presets():
    differ = lambda a,b: [k for k,v in dataclasses.asdict(a).items() if dataclasses.asdict(b)[k] != v]
    assert differ(MODEL_PRESETS['paper'], ModelConfig()) == []
    assert differ(MODEL_PRESETS['as_released'], MODEL_PRESETS['paper']) == ['graph_nodes']

SWITCHES = dict(cross_attention=False, base_residual=False, graph=False, swap_fusion=True, graph_nodes='dilated', graph_steps=2, base_layers=2, base_blocks=2, detail_layers=1, expansion=1., residual=.5)

@pytest.mark.parametrize('k', SWITCHES)
def test_each_switch_arrives_and_runs(k, pair):
    net, plain = SMFNet(dataclasses.replace(small, **{k: SWITCHES[k]})).eval(), SMFNet(small)
    shapes = lambda n: {k: p.shape for k,p in n.named_parameters()}
    if k not in ('graph_nodes','residual'): assert shapes(net) != shapes(plain)
    assert net.encoder.graph is None or net.encoder.graph.nodes.kind == net.cfg.graph_nodes
    assert net.decoder.residual == net.cfg.residual
    with torch.no_grad(): assert net(*pair).shape == pair[0].shape

def test_rows_of_the_ablation():
    make = lambda **k: SMFNet(dataclasses.replace(small, **k))
    swapped, bare = make(swap_fusion=True), make(graph=False)
    assert (type(swapped.fuse_base), type(swapped.fuse_detail)) == (FuseDetail, FuseBase)
    assert bare.fuse_graph is None and bare(*torch.rand(2,1,1,16,16), features=True)[1].graph_ir is None
    assert make(cross_attention=False).encoder.detail.cross is None and make(base_residual=False).encoder.base[0].conv is None

def test_size_of_the_papers_network():
    with torch.device('meta'): net = SMFNet()
    parts = [net.encoder.shallow, net.encoder.base, net.encoder.detail, net.encoder.graph, net.fuse_base, net.fuse_detail, net.fuse_graph, net.decoder]
    assert sum(map(size, parts)) == size(net) == 506761

# encoder

def test_shallow_is_a_convolution_and_a_block():
    s, x = Shallow(small), torch.rand(2,1,17,23)
    assert_close(s(x), s.block(s.conv(x)))
    assert s.conv.weight.shape == nn.Conv2d(16, 16, 3, groups=16).weight.shape # from one channel, depthwise and full are the same (D-30)

def test_base_and_detail_see_one_modality_and_the_graph_both():
    enc = Encoder(small).eval()
    ir,vi,other = torch.rand(3,1,1,20,24)
    with torch.no_grad(): f,changed = enc(ir,vi), enc(ir,other)
    assert_close(f.base_ir, enc.base(enc.shallow(ir))); assert_close(f.detail_vi, enc.detail(enc.shallow(vi)))
    for k in ('base','detail'): assert_close(getattr(f,k+'_ir'), getattr(changed,k+'_ir'))
    assert (f.graph_ir - changed.graph_ir).abs().max() > 1e-4

def test_exchanged_images_give_exchanged_features():
    enc = Encoder(small).eval()
    ir,vi = torch.rand(2,1,1,20,24)
    with torch.no_grad(): f,swapped = enc(ir,vi), enc(vi,ir)
    for k in ('base','detail','graph'):
        assert_close(getattr(f,k+'_ir'), getattr(swapped,k+'_vi'))
        assert (getattr(f,k+'_ir') - getattr(f,k+'_vi')).abs().max() > 1e-3

# fusion layers and decoder

@torch.no_grad()
def test_only_the_graphs_fusion_tells_the_images_apart(net, pair):
    "Base and detail are added over the modalities; the graph's maps are concatenated."
    assert (net(*pair) - net(*pair[[1,0]])).abs().max() > 1e-4
    torch.manual_seed(0)
    without = SMFNet(dataclasses.replace(small, graph=False)).eval()
    assert_close(without(*pair), without(*pair[[1,0]]), atol=1e-5, rtol=0)

def test_base_fusion_keeps_the_sum():
    f, x = FuseBase(16,2), torch.randn(1,16,8,9)
    assert (f(x) - x).abs().max() > 1e-3
    for w in (f.attn.proj.weight, f.ffn.down.weight): nn.init.zeros_(w)
    assert torch.equal(f(x), x)

def test_graph_fusion_by_hand():
    "A quarter and three quarters of the identity make it the weighted mean."
    f = FuseGraph(3)
    f.mix.weight.data = torch.cat([.25*torch.eye(3), .75*torch.eye(3)], 1)[...,None,None]
    a,b = torch.randn(2,1,3,4,5)
    assert_close(f(a,b), .25*a+.75*b)

def test_decoder_is_block_convolutions_sigmoid():
    d, x = Decoder(small), torch.randn(2,16,12,9)
    leaky = lambda o: torch.where(o > 0, o, .2*o)
    assert_close(d(x), torch.sigmoid(d.conv3(leaky(d.conv2(leaky(d.conv1(d.block(x))))))))
    assert [c.out_channels for c in (d.conv1,d.conv2,d.conv3)] == [8,4,1]

def test_decoder_adds_no_input():
    "With the last weights at zero the image is the sigmoid of the offset."
    d = Decoder(small)
    nn.init.zeros_(d.conv3.weight); nn.init.constant_(d.conv3.bias, torch.tensor(3.).log().item())
    assert_close(d(10*torch.randn(1,16,5,6)), torch.full((1,1,5,6), .75))

@torch.no_grad()
def test_residual_starts_from_the_brighter_source(pair):
    "D-50: with the last weights at zero, a residual of 1 gives the brighter source and of 0 a flat grey; stage I takes no part in it."
    ir,vi = pair
    for residual,want in ((1., torch.maximum(ir,vi).clamp(.004,.996)), (0., torch.full_like(ir, .5))):
        net = SMFNet(dataclasses.replace(small, residual=residual)).eval()
        for p in net.decoder.conv3.parameters(): p.zero_()
        assert_close(net(ir,vi), want)
        for rec in net(ir, vi, stage=1): assert_close(rec, torch.full_like(ir, .5))

# the whole

@torch.no_grad()
def test_stage_one_decodes_the_sum_of_a_modalitys_branches(net, pair):
    out,f = net(*pair, stage=1, features=True)
    for rec,m in zip(out, ('ir','vi')): assert_close(rec, net.decoder(sum(getattr(f, f'{b}_{m}') for b in ('base','detail','graph'))))
    assert_close(net(*pair, stage=1)[1], out[1])

@torch.no_grad()
def test_stage_two_fuses_each_branch_and_decodes_the_sum(net, pair):
    fused,f = net(*pair, features=True)
    branches = net.fuse_base(f.base_ir+f.base_vi), net.fuse_detail(f.detail_ir+f.detail_vi), net.fuse_graph(f.graph_ir, f.graph_vi)
    assert_close(fused, net.decoder(sum(branches)))
    assert_close(net(*pair), fused)

@torch.no_grad()
def test_each_branch_matters(net, pair):
    "Zeroing the features of one branch moves the picture, in both stages."
    f = net.encode(*pair)
    for b in ('base','detail','graph'):
        g = f._replace(**{f'{b}_{m}': 0*getattr(f, f'{b}_{m}') for m in ('ir','vi')})
        assert (net.fuse(g) - net.fuse(f)).abs().max() > 1e-3
        assert all((a-c).abs().max() > 1e-3 for a,c in zip(net.reconstruct(g), net.reconstruct(f)))

@pytest.mark.parametrize('h,w', [(16,16), (17,23), (31,16), (33,50)])
@torch.no_grad()
def test_any_size_from_16_on(net, h, w):
    y = net(*torch.rand(2,1,1,h,w))
    assert y.shape == (1,1,h,w) and 0 < y.min() and y.max() < 1

@pytest.mark.parametrize('change,error,message', [
    (lambda a,b: dict(ir=a, vi=b, stage=3), ValueError, 'stage must be 1 or 2, not 3'),
    (lambda a,b: dict(ir=a[...,:8], vi=b[...,:8]), ValueError, 'at least 16×16 px; these are 19×8'),
    (lambda a,b: dict(ir=a, vi=b[...,:-1]), ValueError, r'ir \(2, 1, 19, 26\) and vi \(2, 1, 19, 25\) differ in shape'),
    (lambda a,b: dict(ir=a[0], vi=b[0]), ValueError, 'ir must have the four axes'),
    (lambda a,b: dict(ir=a, vi=b.expand(2,3,19,26)), ValueError, 'vi must have c=1'),
    (lambda a,b: dict(ir=(255*a).byte(), vi=b), TypeError, 'ir must be floating point')])
def test_bad_input_is_refused(net, pair, change, error, message):
    with pytest.raises(error, match=message): net(**change(*pair))

def test_shapes_of_the_features(net, pair):
    out,f = net(*pair, stage=1, features=True)
    assert [o.shape for o in out] == [(2,1,19,26)]*2 and isinstance(f, Features) and all(o.shape == (2,16,19,26) for o in f)

@pytest.mark.parametrize('stage', (1,2))
def test_what_a_loss_on_the_images_reaches(net, pair, stage):
    "Stage I trains encoder and decoder, stage II everything."
    out = net(*pair, stage=stage)
    sum((o - pair[1]).abs().mean() for o in (out if stage == 1 else [out])).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
    names = {n for n,_ in net.named_parameters()}
    fusion = {n for n in names if n.startswith('fuse_')}
    assert fusion and {n for n,p in net.named_parameters() if p.grad is not None and p.grad.any()} == (names - fusion if stage == 1 else names)

@pytest.mark.slow
@torch.no_grad()
def test_bfloat16_moves_the_shipped_networks_picture_by_less_than_five_grey_levels(night):
    net, x = load_model('ivf', 'cpu'), [o[...,32:64,40:80] for o in night]
    y = net(*x)
    with torch.autocast('cpu', torch.bfloat16): low = net(*x).float()
    assert 0 < (low - y).abs().max() < 5/255

def test_constants_are_buffers_and_not_stored(net):
    assert {n.split('.')[-1] for n,_ in net.named_buffers()} == {'kernel'}
    assert not any('kernel' in k for k in net.state_dict())
    assert [n for n,m in net.named_modules() if any(torch.is_tensor(v) for v in vars(m).values())] == []

@torch.no_grad()
def test_four_times_the_pixels_cost_four_times_as_much():
    with torch.device('meta'): net, cost = SMFNet(), []
    for h,w in ((240,320),(480,640)):
        with FlopCounterMode(display=False) as count, torch.device('meta'): net(*torch.rand(2,1,1,h,w))
        cost.append(count.get_total_flops())
    assert cost[1]/cost[0] == pytest.approx(4, abs=.01)

@pytest.mark.slow
@pytest.mark.skipif(shutil.which('g++') is None, reason='needs a C++ compiler')
@torch.no_grad()
def test_network_is_one_graph(net, pair):
    assert_close(torch.compile(deepcopy(net), fullgraph=True)(*pair), net(*pair), atol=1e-4, rtol=0)
