"The network of the authors' release computes what their code computes, at any size and in any batch (network.release)."
import json, sys
from copy import deepcopy
from pathlib import Path
import numpy as np
import pytest
import torch
from torch.testing import assert_close
from smfnet.network.fast import faster, plainer
from smfnet.network.release import MixedCoupling, ReleaseBlock, ReleaseConfig, ReleaseGraph, ReleaseNet, ReleaseStep, SharedCrossMDTA
from smfnet.network.release_file import read_release

sys.path.insert(0, str(Path(__file__).parent))
from published import listed, made, missing, release_folder

GOLDEN = Path(__file__).with_name('release.json')
small = ReleaseConfig(dim=16, heads=2)

def from_file(parts, folder):
    "The network with the weights of a file that holds `parts`."
    torch.save(parts, folder/'model_VIF.pth')
    state,cfg,_ = read_release(folder/'model_VIF.pth')
    net = ReleaseNet(cfg).eval()
    net.load_state_dict(state)
    return net

@torch.no_grad()
def arrays(net, ir, vi):
    "Everything that the parity file names."
    fused,f = net(ir, vi, features=True)
    rec_ir,rec_vi = net(ir, vi, stage=1)
    return dict(f._asdict(), shallow_ir=net.encoder.shallow(ir), shallow_vi=net.encoder.shallow(vi), fuse_graph=net.fuse_graph(f.graph_ir, f.graph_vi),
                fuse_base=net.fuse_base(f.base_ir+f.base_vi), fuse_detail=net.fuse_detail(f.detail_ir+f.detail_vi), fused=fused, rec_ir=rec_ir, rec_vi=rec_vi)

@pytest.fixture(scope='module')
def net(tmp_path_factory): return from_file(made(), tmp_path_factory.mktemp('release'))

@pytest.mark.skipif(bool(missing('keys.csv', 'parity.npz')), reason=missing('keys.csv', 'parity.npz'))
def test_every_array_of_the_released_code(tmp_path):
    "Features, fusion layers, fused image and both reconstructions, to 1e-4 of each array's largest value."
    net = from_file(listed(release_folder()), tmp_path)
    want = {k: torch.from_numpy(v) for k,v in np.load(release_folder()/'parity.npz').items()}
    ir,vi = want.pop('ir'), want.pop('vi')
    for form in (lambda o: o, faster):
        got = arrays(form(net), ir, vi)
        assert got.keys() == want.keys()
        gaps = {k: ((got[k][:,:8]-v).abs().max()/v.abs().max()).item() for k,v in want.items()}
        assert max(gaps.values()) < 1e-4, gaps

def golden_arrays(net):
    "A few numbers of each array, for a batch of two pairs of odd size."
    rng = np.random.RandomState(0)
    ir,vi = (torch.from_numpy(rng.rand(2,1,19,23).astype(np.float32)) for _ in range(2))
    few = lambda x: [round(v, 6) for v in (x.mean().item(), x.std().item(), *x[:,0,::9,11].flatten().tolist())]
    return {k: few(v) for k,v in arrays(net, ir, vi).items()}

def test_what_it_computed_when_parity_was_last_measured(net):
    "The same without the parity file. After a change that the parity test accepts: `python tests/network/test_release.py`."
    want, got = json.loads(GOLDEN.read_text()), golden_arrays(net)
    assert got.keys() == want.keys()
    for k in want: assert got[k] == pytest.approx(want[k], rel=1e-4, abs=1e-4*max(map(abs, want[k]))), k

def test_a_pair_does_not_see_its_batch_mates(net):
    ir,vi = torch.rand(2,3,1,21,18)
    with torch.no_grad():
        together = net(ir, vi)
        assert_close(together, torch.cat([net(a[None], b[None]) for a,b in zip(ir, vi)]), atol=1e-5, rtol=0)
    assert together.shape == ir.shape and 0 < together.min() and together.max() < 1

def test_fast_forms_change_nothing(net):
    ir,vi = torch.rand(2,1,1,20,27)
    fast = faster(deepcopy(net))
    with torch.no_grad():
        want = net(ir, vi)
        assert_close(fast(ir, vi), want, atol=2e-5, rtol=0)
        assert_close(plainer(fast)(ir, vi), want, atol=2e-5, rtol=0)

def test_half_precision_stays_near(net):
    ir,vi = torch.rand(2,1,1,20,27)
    with torch.no_grad():
        want = net(ir, vi)
        with torch.autocast('cpu', torch.bfloat16): got = net(ir, vi).float()
    assert got.isfinite().all() and (got-want).abs().mean() < .05

def test_a_gradient_reaches_every_weight():
    net = ReleaseNet(small)
    for p in net.parameters(): p.data += .1*torch.randn_like(p)
    ir,vi = torch.rand(2,2,1,17,20)
    (sum(o.mean() for o in net(ir, vi, stage=1)) + net(ir, vi).mean()).backward()
    dead = [k for k,p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all() or not p.grad.any()]
    assert not dead

def test_channel_c_takes_gate_c_mod_2():
    step, (v,n1,n2) = ReleaseStep(6), torch.randn(3,2,6,4,5)
    w = step.edge.weight.data
    g = [torch.sigmoid(torch.einsum('c,bchw->bhw', w[i,:,0,0], v-n)) for i,n in enumerate((n1,n2))]
    want = torch.stack([(n1+n2)[:,c]*g[c%2] for c in range(6)], dim=1)
    with torch.no_grad(): assert_close(step.message(v, n1, n2), want)
    assert not torch.allclose(want, n1*g[0][:,None] + n2*g[1][:,None]) # what one would expect

def test_a_round_uses_the_values_before_it():
    step = ReleaseStep(4)
    step.gamma.data.fill_(.7)
    v = list(torch.randn(3,1,4,3,3))
    with torch.no_grad():
        want = [v[t] + .7*step.update(v[t], step.message(v[t], *(v[k] for k in range(3) if k != t))) for t in range(3)]
        assert_close(step(v), want)

def test_exchange_across_uses_the_values_before_it():
    graph, (ir,vi) = ReleaseGraph(4), torch.randn(2,1,4,3,3)
    with torch.no_grad():
        a,b = graph.cross(ir, vi)
        assert_close(a, ir + vi*torch.sigmoid(graph.to_ir(vi-ir)))
        assert_close(b, vi + ir*torch.sigmoid(graph.to_vi(ir-vi)))

def test_one_cross_attention_serves_both_halves():
    m, (x1,x2) = SharedCrossMDTA(8, 2), torch.randn(2,1,8,5,6)
    with torch.no_grad():
        f1,f2 = m(x1, x2)
        assert_close(m(x2, x1), (f2, f1)) # exchanged halves, exchanged results
        assert (f1-f2).abs().max() > 1e-3

def test_a_normalised_copy_is_added():
    block, x = ReleaseBlock(16, 2), torch.randn(1,16,9,9)
    for p in block.ffn.down.parameters(): p.data.zero_()
    with torch.no_grad():
        y = x + block.attn(block.norm1(x))
        assert_close(block(x), y + block.norm2(y))

def test_the_encoders_log_scale_has_no_bound_and_the_fusion_layers_has():
    free, bound = MixedCoupling(4), MixedCoupling(4, affine_both=True, clamp=2.)
    class Big(torch.nn.Module):
        def forward(self, f): return torch.full_like(f, 7.)
    f = torch.randn(1,4,3,3)
    assert free.scales(f, Big()).max() == 7 and 1.99 < bound.scales(f, Big()).max() < 2
    assert not free.scales(f, None).any()

def test_what_is_refused():
    with pytest.raises(ValueError, match='dim=18 must be a multiple of 4'): ReleaseConfig(dim=18)
    with pytest.raises(ValueError, match='heads=3'): ReleaseConfig(dim=16, heads=3)
    net = ReleaseNet(small)
    with pytest.raises(ValueError, match='at least 16×16 px; these are 20×15'): net(*torch.rand(2,1,1,15,20))
    with pytest.raises(ValueError, match='stage must be 1 or 2'): net(*torch.rand(2,1,1,16,16), stage=3)
    with pytest.raises(ValueError): net(torch.rand(1,1,16,16), torch.rand(1,1,16,17))

if __name__ == '__main__':
    import tempfile
    with tempfile.TemporaryDirectory() as folder: numbers = golden_arrays(from_file(made(), Path(folder)))
    GOLDEN.write_text(json.dumps(numbers, separators=(',',':')).replace('],"', '],\n"') + '\n')
