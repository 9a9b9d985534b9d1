"Nodes, edges, messages, update and readout of the interaction branch (Sec. 2.2.3, Eqs. 11-16)."
import math
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close
from smfnet.network.graph import GR, GraphStep, NodePyramid, neighbours, pool, resize

size = lambda m: sum(p.numel() for p in m.parameters())

# resolution

def test_pool_by_hand():
    nine = torch.arange(9.).reshape(1,1,3,3)
    assert pool(nine,2).flatten().tolist() == [2.,3.5,6.5,8.]
    assert pool(nine,1) is nine

def test_a_constant_stays_constant():
    assert_close(pool(torch.ones(1,1,11,14),4), torch.ones(1,1,3,4))
    assert_close(resize(torch.ones(1,2,3,4),(11,14)), torch.ones(1,2,11,14))

def test_resize_by_hand():
    nine = torch.arange(9.).reshape(1,1,3,3)
    assert resize(torch.tensor([[[[0.,4.]]]]),(1,4)).flatten().tolist() == [0.,1.,3.,4.]
    assert resize(nine,(3,3)) is nine

# nodes

def averaging(kind):
    n = NodePyramid(1, kind)
    for conv in n.convs: nn.init.constant_(conv[0].weight, 1/9); nn.init.ones_(conv[1].weight); nn.init.zeros_(conv[1].bias)
    return n

@pytest.mark.parametrize('kind,want', [('dilated', [[14,16,18],[12,16,20],[8,16,24]]), ('pooled', [range(15,18),range(13,21),range(10,26)])])
def test_what_a_node_sees(kind, want):
    "Columns that one bright node pixel reaches; rates 4, 8 and 16 px are 2, 4 and 8 on the grid."
    bump = torch.zeros(1,1,64,64); bump[...,32,32] = 4
    columns = [(o[0,0].abs() > 1e-9).any(0).nonzero().flatten().tolist() for o in averaging(kind)(bump)]
    assert columns == [list(w) for w in want]

@pytest.mark.parametrize('kind', ('pooled','dilated'))
def test_nodes_are_pooled_convolved_resized(kind):
    "Eq. 11 at sizes that are no multiples of four."
    n, x = NodePyramid(8,kind), torch.randn(2,8,11,14)
    for node,conv,s in zip(n(x), n.convs, (1,2,4)):
        y = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        if kind == 'pooled' and s > 1: y = F.avg_pool2d(y, s, ceil_mode=True, count_include_pad=False)
        y = conv[1](conv[0](y)); y = torch.where(y > 0, y, .2*y)
        assert_close(node, F.interpolate(y, size=(6,7), mode='bilinear', align_corners=False))

def test_node_grid():
    x = torch.randn(2,8,11,14)
    assert [o.shape for o in NodePyramid(8)(x)] == [(2,8,6,7)]*3
    assert [o.shape for o in NodePyramid(8,stride=1)(x)] == [(2,8,11,14)]*3
    assert [c[0].dilation for c in NodePyramid(8,'dilated',stride=1).convs] == [(4,4),(8,8),(16,16)]

def test_unknown_nodes_are_refused():
    with pytest.raises(ValueError, match="nodes must be 'pooled' or 'dilated', not 'other'"): NodePyramid(8,'other')

# edges

def test_neighbours():
    assert neighbours(0) == [(1,False),(2,False),(3,True)]
    assert neighbours(4) == [(3,False),(5,False),(1,True)]
    assert neighbours(1, n=1) == [(0,True)]
    edges = {(k,l): across for l in range(6) for k,across in neighbours(l)}
    assert (len(edges), sum(edges.values())) == (18,6)
    assert all(edges[l,k] == across for (k,l),across in edges.items()) # each edge has its opposite

# messages

def toy():
    "Edges within a modality: weight 1; across: weight 0 and a gate of 3/4; everything else 0."
    s = GraphStep(1)
    for p in s.parameters(): nn.init.zeros_(p)
    nn.init.ones_(s.edge_same.weight); nn.init.constant_(s.edge_cross.bias, math.log(3))
    return s

def test_messages_by_hand():
    v = [torch.full((1,1,1,1), o) for o in (math.log(3),0.,0.,2.,0.,0.)]
    assert [o.item() for o in toy().messages(v)] == pytest.approx([1.5,.2747,.2747,.8240,.2384,.2384], abs=1e-4)

def test_messages_edge_by_edge():
    s, v = GraphStep(8), list(torch.randn(6,2,8,5,7))
    for l,m in enumerate(s.messages(v)):
        slow = 0
        for k,across in neighbours(l):
            e = (s.edge_cross if across else s.edge_same)(v[l] - v[k]) # Eqs. 12-13
            slow = slow + torch.sigmoid(e)*v[k]                        # Eq. 15
        assert_close(m, slow)

def test_equal_nodes_meet_gates_at_the_offset():
    s, v = GraphStep(8), torch.randn(2,8,5,7)
    gate = 2*torch.sigmoid(s.edge_same.bias) + torch.sigmoid(s.edge_cross.bias)
    for m in s.messages([v]*6): assert_close(m, gate[:,None,None]*v)

# update

@pytest.mark.parametrize('z,r,want', [(-50.,0.,1.), (50.,-50.,math.tanh(.5)), (50.,50.,math.tanh(1.5)), (0.,0.,.8808)], ids=('keep','replace','with the old value','halfway'))
def test_update_by_hand(z, r, want):
    "Logits of z and r; v = 1, m = 0.5, all weights of the candidate 1."
    s = toy()
    nn.init.ones_(s.cand.weight); s.gates.bias.data = torch.tensor([z,r])
    assert s.update(torch.ones(1,1,1,1), torch.full((1,1,1,1),.5)).item() == pytest.approx(want, abs=1e-4)

def test_update_formula():
    s = GraphStep(8)
    v,m = torch.randn(2,3,8,4,5)
    zr = s.gates(torch.cat([v,m],1)).sigmoid()
    z,r = zr[:,:8], zr[:,8:]
    assert_close(s.update(v,m), v + z*(s.cand(torch.cat([r*v,m],1)).tanh() - v))

def test_step_updates_each_node_once_with_its_message():
    "D-12: one update, not one for each sender."
    s, v = GraphStep(8), list(torch.randn(6,2,8,5,7))
    m = s.messages(v)
    for l,o in enumerate(s(v)): assert_close(o, s.update(v[l], m[l]))

def test_step_gradient():
    s = GraphStep(1).double()
    v = [torch.randn(1,1,2,1, dtype=torch.float64, requires_grad=True) for _ in range(6)]
    assert torch.autograd.gradcheck(lambda *o: tuple(s(list(o))), v)

# the branch

def test_swapped_inputs_give_swapped_outputs():
    g = GR(8)
    a,b = torch.randn(2,2,8,11,14)
    (ga,gb),(gb2,ga2) = g(a,b), g(b,a)
    assert_close(ga,ga2); assert_close(gb,gb2)
    assert (ga-gb).abs().max() > .01

@pytest.mark.parametrize('nodes', ('pooled','dilated'))
def test_branch_is_nodes_steps_readout(nodes):
    g = GR(8, nodes=nodes)
    a,b = torch.randn(2,2,8,11,14)
    v = g.nodes(a) + g.nodes(b)
    for t in range(2): v = g.steps[t](v)
    for got,o in zip(g(a,b), (v[:3],v[3:])):
        assert_close(got, F.interpolate(g.readout(torch.cat(o,1)), size=(11,14), mode='bilinear', align_corners=False))

def test_without_messages_the_modalities_do_not_meet():
    a,b = torch.randn(2,2,8,11,14)
    moved = {T: (net(a,b)[0]-net(a,b+1)[0]).abs().mean().item() for T in (0,1,2) for net in [GR(8,steps=T)]}
    assert moved[0] == 0 < 1e-4 < min(moved[1], moved[2])

def test_what_the_modalities_tell_each_other(night):
    "An edge across with weight -12 opens where the sender is brighter than the receiver, and the two nodes come nearer to each other."
    s = GraphStep(1)
    for p in s.parameters(): nn.init.zeros_(p)
    nn.init.constant_(s.edge_same.bias, -50); nn.init.constant_(s.edge_cross.weight, -12); nn.init.constant_(s.cand.weight, 1.2)
    a,b = (pool(o,2) for o in night)
    v, bright = [a,a,a,b,b,b], a > b+.3
    m = s.messages(v)
    assert (m[3]/a)[bright].mean() > .9 and (m[0]/b.clamp_min(1e-3))[bright].mean() < .1
    told, silent = s(v), (s.update(b,0*b) - s.update(a,0*a)).abs().mean()
    assert (told[3]-told[0]).abs().mean() < silent/2 and silent < (b-a).abs().mean()

def test_unequal_inputs_are_refused():
    with pytest.raises(ValueError, match=r'f_ir \(2, 8, 11, 14\) and f_vi'): GR(8)(torch.randn(2,8,11,14), torch.randn(2,8,11,13))

def test_fields_and_sizes():
    g = GR(64)
    assert (len(g.steps), g.nodes.kind, g.nodes.stride, GR(8,stride=1).nodes.stride) == (2,'pooled',2,1)
    for kind in ('pooled','dilated'): assert size(NodePyramid(64,kind)) == 3*(64*9 + 64*64+64)
    assert size(GraphStep(64)) == 2*(64*64+64) + (128*128+128) + (128*64+64)
    assert size(g) == size(g.nodes) + 2*size(GraphStep(64)) + 3*64*64+64
