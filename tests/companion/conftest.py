"What the companion's tests share: a small pair, the shipped networks, and a tiny one with random weights."
import pytest, torch
from smfnet.data.pairs import resize_pair
from smfnet.data.scenes.render import render_scene
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.weights import load_model

@pytest.fixture(scope='session')
def scene(): return render_scene(7, size=(120,160), time='night')

@pytest.fixture(scope='session')
def pair(scene): return resize_pair(scene.pair(), (48,64))

@pytest.fixture(scope='session')
def nets(): return {1: load_model('stage1', 'cpu'), 2: load_model('ivf', 'cpu')}

@pytest.fixture
def small():
    torch.manual_seed(0)
    return SMFNet(MODEL_PRESETS['smoke']).eval()
