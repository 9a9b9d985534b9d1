"Checkpoints: out and in again, verified, never unpickled; the shipped weights by name."
from dataclasses import replace
import dataclasses, json
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.testing import assert_close
from smfnet.network.fast import faster
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.student import StudentConfig
from smfnet.network.weights import FORMAT, NETWORKS, is_network, list_weights, load_model, make_network, network_name, read_checkpoint, save_checkpoint, weights_hash, weights_path

@pytest.fixture
def net(): return SMFNet(MODEL_PRESETS['smoke']).eval()

@pytest.fixture
def saved(net, tmp_path): return save_checkpoint(net, tmp_path/'a.safetensors', stage=2, step=7)

def test_hash_sees_values_names_shapes_and_types():
    a = torch.rand(2,3,4,5)
    h = weights_hash(dict(a=a, b=a+1))
    assert weights_hash(dict(b=a+1, a=a.contiguous(memory_format=torch.channels_last))) == h # neither order matters
    others = dict(a=a, b=a+1.0001), dict(a=a, c=a+1), dict(a=a.reshape(6,20), b=a+1), dict(a=a.double(), b=a+1)
    assert h not in map(weights_hash, others)

def test_out_and_in_again(net, saved):
    again, x = load_model(saved, 'cpu'), torch.rand(2,1,1,24,32)
    assert weights_hash(again.state_dict()) == weights_hash(net.state_dict())
    assert (again.cfg, again.info, again.training) == (net.cfg, dict(stage=2, step=7), False)
    with torch.no_grad(): assert_close(again(*x), net(*x))

def test_fast_weights_are_saved_like_plain_ones(net, saved, tmp_path):
    (a,*known),(b,*same) = read_checkpoint(saved), read_checkpoint(save_checkpoint(faster(net), tmp_path/'b.safetensors', stage=2, step=7))
    assert weights_hash(a) == weights_hash(b) and known == same

def test_each_call_gives_a_network_of_its_own(saved):
    a,b = load_model(saved, 'cpu'), load_model(saved, 'cpu')
    for p in a.parameters(): p.data.zero_()
    a.info['step'] = 0
    assert all(p.any() for p in b.parameters() if p.ndim > 1) and b.info['step'] == 7

def test_what_is_wrong_with_a_file_is_said(net, saved, tmp_path):
    raw, bad = saved.read_bytes(), tmp_path/'bad.safetensors'
    flip = bytearray(raw); flip[-3] ^= 1
    torch.save(net.state_dict(), bad); pickled = bad.read_bytes()
    save_file({'w': torch.ones(2)}, str(bad)); foreign = bad.read_bytes()
    for content,message in ((raw[:500], 'truncated or damaged'), (raw[:-40], 'truncated or damaged'), (flip, 'fails its hash'), (pickled, 'not a readable'), (foreign, 'not an smfnet checkpoint')):
        bad.write_bytes(content)
        with pytest.raises(ValueError, match=f'bad.safetensors.*{message}'): load_model(bad, 'cpu')
    with pytest.raises(FileNotFoundError, match='none.safetensors.*does not exist'): load_model(tmp_path/'none.safetensors', 'cpu')

@pytest.mark.parametrize('changes,message', [(dict(wavelets=3), 'another configuration'), (dict(graph_steps=0), 'another configuration'),
                                             (dict(dim=32), 'does not fit its own configuration'), (dict(graph=False), 'does not fit its own configuration')])
def test_a_file_that_contradicts_itself_is_refused(saved, tmp_path, changes, message):
    state,cfg,_ = read_checkpoint(saved)
    meta = dict(format=FORMAT, config=json.dumps(dataclasses.asdict(cfg) | changes), sha256=weights_hash(state))
    save_file(state, str(tmp_path/'bad.safetensors'), metadata=meta)
    with pytest.raises(ValueError, match=message): load_model(tmp_path/'bad.safetensors', 'cpu')

def test_a_save_that_fails_leaves_the_earlier_file(net, saved):
    raw = saved.read_bytes()
    with pytest.raises(TypeError): save_checkpoint(net, saved, note=object())
    assert [p.name for p in saved.parent.iterdir()] == [saved.name] and saved.read_bytes() == raw

def test_shipped_weights_are_known_by_name():
    assert {'fast','ivf','mif','paper','stage1'} <= set(list_weights())
    for name in list_weights():
        state,cfg,info = read_checkpoint(weights_path(name))
        assert info and (cfg == StudentConfig() if name == 'fast' else replace(cfg, residual=0.) == MODEL_PRESETS['paper']), name
    with pytest.raises(ValueError, match="no shipped weights are called 'ifv'; there are fast, ivf"): load_model('ifv')

def test_the_class_knows_the_loader(saved):
    assert SMFNet.from_pretrained(saved, 'cpu').info['step'] == 7

def test_a_file_names_its_network_and_an_old_one_need_not(net, saved, tmp_path):
    state,cfg,_ = read_checkpoint(saved)
    def write(**config):
        save_file(state, str(tmp_path/'b.safetensors'), metadata=dict(format=FORMAT, config=json.dumps(dataclasses.asdict(cfg) | config), sha256=weights_hash(state)))
        return tmp_path/'b.safetensors'
    with safe_open(str(saved), framework='pt') as f: assert json.loads(f.metadata()['config'])['network'] == 'smfnet'
    assert type(load_model(write(), 'cpu')) is SMFNet and read_checkpoint(write())[1] == cfg
    with pytest.raises(ValueError, match="b.safetensors.*no network 'unet', only smfnet, "): load_model(write(network='unet'), 'cpu')

@pytest.mark.parametrize('name', NETWORKS)
def test_every_network_is_saved_and_loaded_as_what_it_is(name, tmp_path):
    cls,config = NETWORKS[name]
    small = next(c for c in (dict(dim=16, heads=2), dict(dim=8)) if {*c} <= {f.name for f in dataclasses.fields(config)})
    net = make_network(config(**small)).eval()
    again, x = load_model(save_checkpoint(net, tmp_path/'a.safetensors', step=3), 'cpu'), torch.rand(2,1,1,18,21)
    assert type(again) is cls and again.cfg == net.cfg and again.info == dict(step=3) and is_network(again) and network_name(again.cfg) == name
    with torch.no_grad(): assert_close(again(*x), net(*x), atol=1e-5, rtol=0)

def test_what_is_no_network():
    assert not is_network('ivf') and not is_network(torch.nn.Conv2d(1, 1, 1))
    with pytest.raises(TypeError, match='one of the networks smfnet, .*, not Conv2d'): network_name(torch.nn.Conv2d(1, 1, 1))
