"Optimizers: Muon beside torch's own and a singular value decomposition, the table of names, the moving average."
import pytest
import torch
from torch import nn
from smfnet.training.optim import OPTIMIZERS, Muon, make_optimizer, orthogonal, update_ema

def test_orthogonal_keeps_directions_and_evens_values():
    torch.manual_seed(0)
    m = torch.randn(64,32) @ torch.diag(torch.logspace(0,-2,32))
    u,s,v = torch.linalg.svd(m, full_matrices=False)
    got = u.T @ orthogonal(m) @ v.T
    assert .6 < got.diagonal().min() and got.diagonal().max() < 1.25 and s.max()/s.min() > 100
    assert (got - torch.diag(got.diagonal())).abs().max() < 1e-4
    assert torch.allclose(orthogonal(m.T), orthogonal(m).T, atol=1e-6)
    assert torch.allclose(
        orthogonal(torch.stack([m, 7 * m.flip(0)])), torch.stack([orthogonal(m), orthogonal(m.flip(0))]), atol=1e-5
    )


def test_muon_is_torchs_rule_on_matrices_and_adam_elsewhere():
    torch.manual_seed(0)
    a,b = torch.randn(64,32), torch.randn(64)
    w1, w2, b1, b2 = (
        nn.Parameter(a[..., None, None].clone()),
        nn.Parameter(a.clone()),
        nn.Parameter(b.clone()),
        nn.Parameter(b.clone()),
    )
    ours = Muon([w1,b1], 1e-2)
    theirs = torch.optim.Muon([w2], 1e-2, weight_decay=0, adjust_lr_fn='match_rms_adamw'), torch.optim.Adam([b2], 1e-2)
    for _ in range(3):
        gw,gb = torch.randn(64,32), torch.randn(64)
        w1.grad,w2.grad,b1.grad,b2.grad = gw[...,None,None].clone(), gw, gb.clone(), gb
        for o in (ours, *theirs): o.step()
    moved = (w2-a).norm()
    assert (w1.flatten(1)-w2).norm() < .03*moved and moved > .1 # theirs computes in bf16
    assert torch.allclose(b1, b2, atol=1e-6)

def test_depthwise_and_small_kernels_are_no_matrices():
    sizes = {(64,32,1,1): True, (64,1,3,3): False, (16,16,3,3): True, (8,32,1,1): False, (64,32): False}
    assert [Muon.mixes(torch.empty(s)) for s in sizes] == list(sizes.values())

@pytest.mark.parametrize('name', OPTIMIZERS)
def test_every_named_optimizer_steps_downhill(name):
    torch.manual_seed(0)
    net = nn.Conv2d(16, 16, 1)
    opt, x, losses = make_optimizer(name, net.parameters(), 1e-2), torch.randn(4,16,8,8), []
    for _ in range(10):
        losses.append(net(x).square().mean()); opt.zero_grad(); losses[-1].backward(); opt.step()
    assert losses[-1] < .99*losses[0]

def test_the_average_starts_fast():
    one = nn.Linear(1, 1)
    ema = {k: torch.zeros_like(v) for k,v in one.state_dict().items()}
    for step,want in ((10**6, .1), (0, .91)):
        update_ema(ema, one, .9, step)
        assert torch.allclose(ema['weight'], want*one.weight.data)
