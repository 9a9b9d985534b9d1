"What the tests of the network share: a seed before each, and a pair of scenes."
import pytest
import torch
from smfnet.data.scenes.render import render_scene

@pytest.fixture(autouse=True)
def seed(): torch.manual_seed(0)

@pytest.fixture(scope='session')
def night():
    "An infrared and a visible image (1 1 96 128) of one street."
    pair = render_scene(7, size=(96,128), time='night').pair()
    return pair.ir[None], pair.vi[None]
