"Figure 2: the trace is what the network does, and the drawing is what the trace says."
import re
import pytest, torch
from smfnet.companion.figure2 import _columns, _places, _size, figure2, trace
from smfnet.network.blocks import MDTA
from smfnet.network.fast import faster
from smfnet.network.model import MODEL_PRESETS, SMFNet

@pytest.fixture(scope='module')
def net(): torch.manual_seed(0); return SMFNet(MODEL_PRESETS['smoke']).eval()

@pytest.fixture(scope='module')
def pair(): torch.manual_seed(0); return torch.rand(1,1,16,24), torch.rand(1,1,16,24)

def reads(nodes): return {n.name: {k.name: v for k,v in n.sources.items()} for n in nodes if n.name != '+'}

def test_who_reads_from_whom_in_stage_two(net, pair):
    got = reads(trace(net, *pair))
    for o in ('base','detail','graph'): assert got[f'encoder.{o}'] == {'encoder.shallow': 2}
    assert got['encoder.shallow'] == {'cat': 2} and got['cat'] == {'ir': 1, 'vi': 1}
    assert got['fuse_graph'] == {'encoder.graph': 2} and got['decoder'] == {'+': 1, 'max': 1} and got['fused'] == {'decoder': 1}

def test_the_fusion_layers_are_not_in_stage_one(net, pair):
    nodes = trace(net, *pair, stage=1)
    assert not [n.name for n in nodes if n.name.startswith('fuse')] and reads(nodes)['rebuilt'] == {'decoder': 2}

def test_a_changed_network_gives_another_figure(net, pair):
    class Crossed(SMFNet):
        def fuse(self, f, start=None): return self.decoder(self.fuse_base(f.detail_ir + f.base_vi))
    other = Crossed(MODEL_PRESETS['smoke']).eval()
    plus, = (n for n in trace(other, *pair) if n.name == '+')
    assert {k.name: v for k,v in plus.sources.items()} == {'encoder.detail': 1, 'encoder.base': 1}
    assert 'encoder.graph' not in reads(trace(other, *pair))   # what does not lead to the output is left out

def test_parts_can_be_opened(net, pair):
    nodes = trace(net, *pair, opened=('encoder','encoder.detail'))
    got = reads(nodes)
    assert got['encoder.detail.cross'] == {'encoder.detail.dense': 4} and got['encoder.detail.inn'] == {'encoder.detail.cross': 4}
    assert {n.group for n in nodes if n.name == 'encoder.detail.inn'} == {'encoder.detail'}
    with pytest.raises(ValueError, match='no part encoder.tail'): trace(net, *pair, opened=('encoder.tail',))

def test_the_trace_leaves_the_network_and_its_output_alone(net, pair):
    with torch.no_grad(): want = net(*pair)
    assert torch.equal(trace(net, *pair)[-1].outs[0], want)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())

def test_the_fast_form_has_the_same_figure_under_the_same_names(net, pair):
    quick = faster(SMFNet(MODEL_PRESETS['smoke']).eval())
    assert reads(trace(quick, *pair)) == reads(trace(net, *pair))
    assert [n.kind for n in trace(quick, *pair)] == [n.kind for n in trace(net, *pair)]

def test_a_reader_stands_right_of_what_it_reads_and_nothing_overlaps(net, pair):
    for opened in (('encoder',), ('encoder','encoder.graph')):
        nodes = trace(net, *pair, opened=opened)
        at, (centre, _, width, height) = _columns(nodes), _places(nodes)
        assert all(at[k] < at[n] for n in nodes for k in n.sources)
        half = {n: tuple(o/2 for o in _size(n, nodes[-1])) for n in nodes}
        for i,a in enumerate(nodes):
            (x,y),(w,h) = centre[a], half[a]
            assert 0 <= x-w and x+w <= width and 0 <= y-h and y+h <= height
            for b in nodes[:i]: assert abs(x-centre[b][0]) >= w+half[b][0]-1e-6 or abs(y-centre[b][1]) >= h+half[b][1]-1e-6

@pytest.mark.parametrize('lit,want', [(None, set()), ('encoder.detail', {'detail'}), ('encoder.base.0', {'base'}), (('decoder','fuse_base'), {'decoder','fuse_base'}),
                                      (MDTA, {'shallow','base','fuse_base','decoder'}), (('ir','fused'), {'ir','fused'})])
def test_the_part_that_is_meant_is_lit(net, pair, lit, want):
    boxes = figure2(net, *pair, lit=lit).svg.split('<g>')
    assert {re.search(r'font-weight="bold">(\w+)<', b)[1] for b in boxes if '#FFE8A3' in b} == want

def test_two_lines_for_two_images_and_words_for_who_cannot_see(net, pair):
    d = figure2(net, *pair)
    label = re.search(r'aria-label="([^"]+)"', d.svg)[1]
    assert 'decoder reads +' in label and 'fused reads decoder' in label and 'base reads shallow' in repr(d)
    lines = sum(2 if v > 1 else 1 for n in trace(net, *pair) for v in n.sources.values())
    assert len(re.findall(r'<path d="M[^"]+ C', d.svg)) == lines
