"What the tests of fusing share: a small network with random weights, a rendered scene, pairs in folders."
import shutil
import pytest
import torch
from smfnet.data.images import write_image
from smfnet.data.scenes.render import render_scene
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.weights import load_model, save_checkpoint

@pytest.fixture(scope='session')
def frozen():
    "Weights of the small network; tests take `net`, a copy of their own."
    torch.manual_seed(0)
    return SMFNet(MODEL_PRESETS['smoke']).state_dict()

@pytest.fixture
def net(frozen):
    net = SMFNet(MODEL_PRESETS['smoke']).eval()
    net.load_state_dict(frozen)
    return net

@pytest.fixture(scope='session')
def ivf(): return load_model('ivf', 'cpu')

@pytest.fixture(scope='session')
def weights(frozen, tmp_path_factory):
    "The small network as a file."
    net = SMFNet(MODEL_PRESETS['smoke'])
    net.load_state_dict(frozen)
    return save_checkpoint(net, tmp_path_factory.mktemp('w')/'w.safetensors')

@pytest.fixture(scope='session')
def scene(): return render_scene(4, size=(71,93))

@pytest.fixture
def pair(scene): return scene.pair()

@pytest.fixture(scope='session')
def drawn(tmp_path_factory):
    "Three pairs: IR_0.png and vis_0.jpg of 64×66 px, the next ones a row higher."
    folder = tmp_path_factory.mktemp('pairs')
    for k in range(3):
        s = render_scene(20+k, size=(64+k,66))
        write_image(folder/f'ir/IR_{k}.png', s.ir); write_image(folder/f'vi/vis_{k}.jpg', s.vi)
    return folder

@pytest.fixture
def folders(drawn, tmp_path, monkeypatch):
    "A folder of the test's own with `ir/` and `vi/`, as the working directory."
    shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
