"What the tests of the losses share: a seed before each, a pair of scenes, and features with gradients."
import pytest
import torch
from smfnet.data.scenes.render import render_scene
from smfnet.network.model import Features

@pytest.fixture(autouse=True)
def seed(): torch.manual_seed(0)

@pytest.fixture(scope='session')
def night():
    "An infrared and a visible image (1 1 96 128) of one street."
    pair = render_scene(4, size=(96,128), time='night').pair()
    return pair.ir[None], pair.vi[None]

@pytest.fixture
def leaves(): return lambda: Features(*(torch.randn(1,4,16,16).requires_grad_() for _ in range(6)))

@pytest.fixture
def reached(leaves):
    "Which features a loss moves, given the images that it compares."
    def names(loss, out, ir, vi):
        f = leaves()
        loss(out, ir, vi, f)[0].backward()
        return {k for k,o in zip(Features._fields, f) if o.grad is not None and o.grad.isfinite().all() and o.grad.any()}
    return names
