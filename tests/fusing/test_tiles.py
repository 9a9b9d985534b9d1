"The network tile by tile: maps that wait, tiles, sweeps, and the same picture as the whole (fusing.tiles)."
import tempfile
from dataclasses import replace
import pytest
import torch
from torch import nn
from torch.testing import assert_close
from smfnet.data.scenes.render import render_scene
from smfnet.fusing.tiles import FeatureMap, Sweeps, resize_window, shrink, sweep_base, sweep_branch, sweep_detail, sweep_graph, sweep_pools, taps, tiles, transform
from smfnet.fusing.streams import stream
from smfnet.network.blocks import TransformerBlock
from smfnet.network.fast import ALL
from smfnet.network.graph import GR, resize
from smfnet.network.model import MODEL_PRESETS, SMFNet

small = MODEL_PRESETS['smoke']
H,W = 37,45

@pytest.fixture(autouse=True)
def seed(): torch.manual_seed(0)

@pytest.fixture(scope='session')
def scene():
    pair = render_scene(7, size=(65,99)).pair()
    return pair.ir[None], pair.vi[None]

@pytest.fixture
def sweep(): return Sweeps((H,W), side=16)

@pytest.fixture
def maps(sweep):
    "Two maps of 16 channels, and what they hold."
    f = [sweep.new(16) for _ in range(2)]
    for o in f: o[ALL] = torch.randn(1,16,H,W)
    return f, [o[ALL].clone() for o in f]

# maps and tiles

@pytest.mark.parametrize('on_disk', (False,True))
def test_windows_of_a_map_are_read_and_written(on_disk):
    x, window = torch.rand(1,3,5,7), (slice(1,4),slice(2,7))
    m = FeatureMap((5,7), 3, tempfile.gettempdir() if on_disk else None)
    m[ALL] = x
    m.rest()
    assert torch.equal(m[window], x[(..., *window)]) and m.data.shape == (5,7,3) and (m.file is not None) == on_disk
    m.add(window, x[(..., *window)])
    want = x.clone(); want[(..., *window)] *= 2
    assert_close(m[ALL], want)
    assert m[ALL].is_contiguous(memory_format=torch.channels_last)

def test_a_folder_that_does_not_exist_is_an_error():
    with pytest.raises(OSError): FeatureMap((5,7), 3, '/nonexistent')

def test_tiles_cover_the_image_once_and_have_rims_inside_it():
    count, x = torch.zeros(50,74), torch.rand(50,74)
    for own,wide,inside in tiles((50,74), 24, 4):
        count[own] += 1
        assert torch.equal(x[wide][inside], x[own])
        assert all(w.start == max(0,o.start-4) and w.stop == min(n,o.stop+4) for o,w,n in zip(own, wide, (50,74)))
    assert (count == 1).all()
    assert next(tiles((50,74), 24, 4)) == ((slice(0,24),)*2, (slice(0,28),)*2, (slice(0,24),)*2)

@torch.no_grad()
def test_a_sweep_gives_the_convolution_of_the_whole(sweep):
    img, conv = sweep.new(4), nn.Conv2d(4, 6, 3, padding=1)
    img[ALL] = torch.rand(1,4,H,W)
    y = sweep.map(conv, img, halo=1, out=sweep.new(6))[ALL]
    assert_close(y, conv(img[ALL]))
    out = sweep.new(6); out[ALL] = torch.ones(1,6,H,W)
    assert_close(sweep.map(conv, img, halo=1, out=out, add=True)[ALL], 1+y)
    assert (sweep.map(conv, img, halo=0, out=sweep.new(6))[ALL] - y).abs().max() > 1e-2 # without a rim the seams show

def test_a_sum_counts_each_pixel_once(sweep, maps):
    (m,_),(x,_) = maps
    assert_close(sweep.sum(lambda o,inside: o[(..., *inside)].sum((0,2,3)), m, halo=3), x.sum((0,2,3)), atol=1e-3, rtol=0)

# interpolation

@pytest.mark.parametrize('size', [(11,17), (12,18), (6,9), (24,33)])
def test_a_window_is_enlarged_as_in_the_whole(size):
    coarse = FeatureMap((6,9), 2); coarse[ALL] = torch.rand(1,2,6,9)
    whole = resize(coarse[ALL], size)
    for own,_,_ in tiles(size, 5, 0): assert_close(resize_window(coarse, size, own), whole[(..., *own)])

def test_where_pixels_come_from():
    assert [o.tolist() for o in taps(2, 4, slice(0,4))] == [[0,0,0,1],[1,1,1,1],[0.,.25,.75,.25]]
    assert shrink((slice(8,24),slice(16,21)), 8) == (slice(1,3),slice(2,3))

# parts of the network

@torch.no_grad()
def test_transformer_block(sweep, maps):
    (a,b),(x,y) = maps
    block, conv = TransformerBlock(16,4), nn.Conv2d(16, 6, 3, padding=1)
    assert_close(transform(sweep, block, a, out=sweep.new(16))[ALL], block(x))
    assert_close(transform(sweep, block, a, b, after=conv, reach=(0,1), out=sweep.new(6))[ALL], conv(block(x+y)))
    pre = nn.Conv2d(16, 16, 3, padding=1)
    assert_close(transform(sweep, block, a, before=pre, reach=(1,0), out=sweep.new(16))[ALL], block(pre(x)))

def close(a, b): assert (a-b).abs().max() < 1e-5*b.abs().max()

@torch.no_grad()
def test_branches_and_fusion_layers(sweep, maps):
    f,(x,y) = maps
    net = SMFNet(small)
    zero = lambda: sweep.map(torch.zeros_like, f[0], halo=0, out=sweep.new(16))
    close(sweep_detail(sweep, net.encoder.detail, *f)[ALL], net.encoder.detail(x) + net.encoder.detail(y))
    for layer in (net.fuse_detail, net.fuse_base): close(sweep_branch(sweep, layer, *f, out=zero())[ALL], layer(x+y))
    close(sweep_base(sweep, net.encoder.base, f[0])[ALL], net.encoder.base(x))

@pytest.mark.parametrize('kind', ('pooled','dilated'))
@torch.no_grad()
def test_graph(sweep, maps, kind):
    f,(x,y) = maps
    graph, fuse = GR(16, steps=2, nodes=kind), SMFNet(small).fuse_graph
    for m,want in zip(sweep_pools(sweep, graph.nodes, f[0]), graph.nodes.pools(x)): assert_close(m[ALL], want)
    assert_close(resize(sweep_graph(sweep, graph, fuse, *f)[ALL], (H,W)), fuse(*graph(x,y)), atol=1e-4, rtol=0)

# the whole

def contrasty(cfg):
    "A random network whose picture is not nearly one grey."
    torch.manual_seed(1)
    net = SMFNet(cfg).eval()
    for p in net.parameters(): p.data += .05*torch.randn_like(p)
    net.decoder.conv3.weight.data *= 40
    return net

def gap(scene, cfg=small, size=(65,99), **kw):
    "Largest difference from the picture of the whole."
    net, (ir,vi) = contrasty(cfg), (o[...,:size[0],:size[1]] for o in scene)
    with torch.inference_mode(): whole, parts = net(ir,vi), stream(ir, vi, net, **kw)
    assert whole.std() > .05
    return (parts-whole).abs().max().item()

@pytest.mark.parametrize('size', [(65,99), (16,16), (17,45), (33,96), (64,67), (63,17), (64,98)])
def test_tiles_equal_the_whole_at_any_size(scene, size): assert gap(scene, size=size, side=24) < 1e-4

ROWS = dict(cross_attention=False, base_residual=False, graph=False, swap_fusion=True, graph_nodes='dilated', graph_steps=2, graph_stride=1, base_layers=2, detail_layers=1, residual=.5)

@pytest.mark.parametrize('k', ROWS)
def test_tiles_equal_the_whole_for_every_row_of_the_ablation(scene, k): assert gap(scene, replace(small, **{k: ROWS[k]}), side=32) < 1e-4

@pytest.mark.parametrize('side', (24, 100))
def test_maps_may_wait_on_disk(scene, side): assert gap(scene, side=side, folder=tempfile.gettempdir()) < 1e-4

@torch.inference_mode()
def test_tiles_alone_would_not_do(scene):
    "Without common statistics the seams show."
    net, (ir,vi) = contrasty(small), scene
    whole, alone = net(ir,vi), torch.empty_like(ir)
    for own,wide,inside in tiles(ir.shape[-2:], 34, 12): alone[(..., *own)] = net(ir[(..., *wide)], vi[(..., *wide)])[(..., *inside)]
    assert (alone-whole).abs().max() > 1e-3

@pytest.mark.parametrize('a,b,message', [((1,1,15,40), (1,1,15,40), r'one pair of at least 16×16 px; the shape is \(1, 1, 15, 40\)'), ((2,1,16,16), (2,1,16,16), 'one pair'),
                                         ((1,1,16,16), (1,1,16,17), 'differ in shape'), ((1,3,16,16), (1,3,16,16), 'ir must have c=1')])
def test_bad_input_is_refused(a, b, message):
    with pytest.raises(ValueError, match=message): stream(torch.rand(a), torch.rand(b), SMFNet(small).eval())
