"The small network (network.student)."
import pytest
import torch
from torch import nn
from smfnet.network.student import StudentConfig, StudentNet
from smfnet.network.weights import load_model, save_checkpoint

def trained_like(cfg=StudentConfig(dim=8, blocks=3)):
    "A network whose last layers are not zero."
    torch.manual_seed(0)
    net = StudentNet(cfg).eval()
    for p in (net.gates[2].weight, net.head.weight): nn.init.normal_(p, std=.1)
    return net

@pytest.mark.parametrize('size', [(16,16), (17,16), (16,19), (33,51)])
def test_every_size_comes_back(size):
    net, (ir,vi) = trained_like(), torch.rand(2,2,1,*size)
    with torch.inference_mode(): out = net(ir, vi)
    assert out.shape == ir.shape and 0 <= out.min() and out.max() <= 1
    assert (out - torch.maximum(ir, vi)).abs().max() > .005

def test_it_starts_as_the_maximum():
    ir,vi = torch.rand(2,2,1,17,20)
    assert torch.equal(StudentNet(StudentConfig(dim=8)).eval()(ir, vi), torch.maximum(ir, vi))

def test_the_mean_is_all_that_reaches_far():
    "Far from a change nothing moves when the mean is given, and something moves when it is not."
    net, (ir,vi) = trained_like(), torch.rand(2,1,1,96,96)
    other = ir.clone()
    other[..., :8, :8] = 1 - other[..., :8, :8]
    with torch.inference_mode():
        mean = net.first(ir, vi).mean((2,3))
        far = (..., slice(8 + net.reach[1], None), slice(None))
        assert torch.equal(net(ir, vi, mean)[far], net(other, vi, mean)[far])
        assert not torch.equal(net(ir, vi, mean)[..., :8+net.reach[1]-2, :], net(other, vi, mean)[..., :8+net.reach[1]-2, :])
        assert not torch.equal(net(ir, vi)[far], net(other, vi)[far])

def test_a_batch_is_its_images_one_by_one():
    net, (ir,vi) = trained_like(), torch.rand(2,3,1,24,32)
    with torch.inference_mode():
        assert torch.allclose(net(ir, vi), torch.cat([net(a[None], b[None]) for a,b in zip(ir, vi)]), atol=1e-6)

def test_in_training_values_may_leave_the_range_and_every_weight_has_a_gradient():
    net, (ir,vi) = trained_like().train(), torch.rand(2,1,1,32,32)
    nn.init.constant_(net.head.bias, .5)
    out = net(ir, vi)
    assert out.max() > 1
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())

def test_a_checkpoint_says_which_network_it_is_of(tmp_path):
    net, (ir,vi) = trained_like(), torch.rand(2,1,1,33,32)
    again = load_model(save_checkpoint(net, tmp_path/'s.safetensors', step=3), device='cpu')
    assert isinstance(again, StudentNet) and again.cfg == net.cfg and again.info == dict(step=3)
    with torch.inference_mode(): assert torch.allclose(net(ir, vi), again(ir, vi), atol=1e-6)

@pytest.mark.parametrize('wrong', [dict(dim=0), dict(blocks=1)])
def test_configurations_that_make_no_sense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))): StudentConfig(**wrong)
