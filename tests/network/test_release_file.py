"The authors' file: recognised by its keys, read without running anything, and every fault one clear error (network.release_file, convert in network.weights)."
import json, pickle, sys
from pathlib import Path
import pytest
import torch
from torch.testing import assert_close
from safetensors import safe_open
from smfnet.network.release import ReleaseConfig, ReleaseNet
from smfnet.network.release_file import _UNUSED, read_release, release_key
from smfnet.network.weights import convert, load_model, read_checkpoint, weights_hash

sys.path.insert(0, str(Path(__file__).parent))
from published import listed, made, missing, release_folder

BLOCK = 'module.encoder_level1.0.attn.'

@pytest.fixture(scope='module')
def published(): return made()

@pytest.fixture
def parts(published): return {p: dict(o) for p,o in published.items()}

@pytest.fixture
def write(tmp_path):
    def write(content):
        torch.save(content, tmp_path/'model_VIF.pth')
        return tmp_path/'model_VIF.pth'
    return write

def test_no_tensor_of_the_file_is_used_twice():
    names = list(ReleaseNet(ReleaseConfig(dim=16, heads=2)).state_dict())
    assert len({release_key(n) for n in names}) == len(names)

@pytest.mark.skipif(bool(missing('keys.csv')), reason=missing('keys.csv'))
def test_every_tensor_of_the_published_file_is_used_or_known_to_be_unused():
    held = {(p, k.removeprefix('module.')): v for p,o in listed(release_folder()).items() for k,v in o.items()}
    used = {release_key(n) for n in ReleaseNet(ReleaseConfig(dim=16, heads=2)).state_dict()}
    assert used <= set(held) and sum(v.numel() for v in held.values()) == 3_150_366
    assert all(k.startswith(_UNUSED[p]) for p,k in set(held) - used)
    assert all(any(k.startswith(o) for q,k in set(held) - used if q == p) for p,ends in _UNUSED.items() for o in ends) # no idle entry

def test_out_of_the_file_and_ready_to_fuse(parts, write):
    net = load_model(write(parts), 'cpu')
    assert type(net) is ReleaseNet and not net.training and net.cfg == ReleaseConfig()
    assert net.info['source'].startswith('model_VIF.pth') and len(net.info['source_sha256']) == 64
    assert_close(net.decoder.paint[2].weight.contiguous(), parts['DIDF_Decoder']['module.output.2.weight'])
    assert_close(net.encoder.graph.to_vi.weight.contiguous(), parts['GraphModel']['module.graph.graph.C_pa.0.weight'])

def test_keys_without_their_prefix_are_the_same_file(parts, write):
    bare = {p: {k.removeprefix('module.'): v for k,v in o.items()} for p,o in parts.items()}
    assert weights_hash(read_release(write(bare))[0]) == weights_hash(read_release(write(parts))[0])

def test_scores_are_multiplied_by_the_temperature_also_below_zero(parts, write):
    "softmax(τ q·k), from the file's own tensors and written out, with heads of both signs and one of zero."
    p = parts['DIDF_Encoder']
    p[f'{BLOCK}temperature'] = tau = torch.tensor([1.3,-.7,0.,2.,-1.1,.9,1.,-3.]).reshape(8,1,1)
    attn, x = load_model(write(parts), 'cpu').encoder.shallow.block.attn, torch.randn(1,64,6,7)
    conv = torch.nn.functional.conv2d
    q,k,v = conv(conv(x, p[f'{BLOCK}qkv.weight']), p[f'{BLOCK}qkv_dwconv.weight'], padding=1, groups=192).reshape(3,8,8,42)
    q,k = (o/o.norm(dim=-1, keepdim=True) for o in (q,k))
    out = ((q@k.mT*tau).softmax(-1) @ v).reshape(1,64,6,7)
    with torch.no_grad(): assert_close(attn(x), conv(out, p[f'{BLOCK}project_out.weight']), atol=1e-4, rtol=1e-4)

def test_the_cross_attention_too(parts, write):
    "With offsets: the sign must reach the query's offset as well."
    p, c = parts['DIDF_Encoder'], 'module.detailFeature.TCA.'
    p[f'{c}temperature'] = tau = torch.tensor([1.3,-.7,.5,2.,-1.1,.9,1.,-3.]).reshape(8,1,1)
    cross, (guide,x) = load_model(write(parts), 'cpu').encoder.detail.cross, torch.randn(2,1,32,6,7)
    def conv(o, name, **kw): return torch.nn.functional.conv2d(o, p[f'{c}{name}.weight'], p[f'{c}{name}.bias'], **kw)
    q = conv(conv(guide, 'q'), 'q_dwconv', padding=1, groups=32).reshape(8,4,42)
    k,v = conv(conv(x, 'kv'), 'kv_dwconv', padding=1, groups=64).reshape(2,8,4,42)
    q,k = (o/o.norm(dim=-1, keepdim=True) for o in (q,k))
    out = ((q@k.mT*tau).softmax(-1) @ v).reshape(1,32,6,7)
    with torch.no_grad(): assert_close(cross.ask(guide, x), conv(out, 'project_out'), atol=1e-4, rtol=1e-4)

def test_the_gru_has_the_message_first_and_the_reset_gate_first(parts, write):
    p, c = parts['GraphModel'], 'module.graph.graph.graph_dep.ConvGRU.'
    step, (state,message) = load_model(write(parts), 'cpu').encoder.graph.step_vi, torch.randn(2,1,64,3,4)
    def conv(o, name): return torch.nn.functional.conv2d(o, p[f'{c}{name}.weight'], p[f'{c}{name}.bias'])
    reset,update = torch.sigmoid(conv(torch.cat([message,state],1), 'ConvGates')).chunk(2, dim=1)
    cand = torch.tanh(conv(torch.cat([message,reset*state],1), 'Conv_ct'))
    with torch.no_grad(): assert_close(step.update(state, message), (1-update)*state + update*cand, atol=1e-5, rtol=1e-5)

class Trap:
    "What leaves a trace when it is unpickled."
    def __init__(self, trace): self.trace = trace
    def __reduce__(self): return Path.touch, (self.trace,)

@pytest.mark.parametrize('where', ('alone','as a part','beside the weights','plain pickle'))
def test_a_file_that_would_run_code_is_refused_untouched(parts, tmp_path, where):
    bad, trace = tmp_path/'model_VIF.pth', tmp_path/'it_ran'
    trap = Trap(trace)
    content = {'alone': trap, 'as a part': parts | dict(GraphModel=trap), 'beside the weights': parts | dict(note=trap), 'plain pickle': trap}[where]
    if where == 'plain pickle': bad.write_bytes(pickle.dumps(content))
    else: torch.save(content, bad)
    before = bad.read_bytes()
    with pytest.raises(ValueError, match='model_VIF.pth.*nothing in it was run'): load_model(bad, 'cpu')
    with pytest.raises(ValueError, match='nothing in it was run'): convert(bad, tmp_path/'out.safetensors')
    assert not trace.exists() and bad.read_bytes() == before and not (tmp_path/'out.safetensors').exists()
    torch.load(bad, weights_only=False) if where != 'plain pickle' else pickle.loads(before)
    assert trace.exists() # the trap is a real one

def test_damaged_files(parts, write, tmp_path):
    path = write(parts)
    whole = path.read_bytes()
    for content in (whole[:len(whole)//2], b'', b'version https://git-lfs', whole[:40]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match='model_VIF.pth.*is damaged or holds more than weights'): load_model(path, 'cpu')
    with pytest.raises(FileNotFoundError, match='none.pth.*does not exist'): load_model(tmp_path/'none.pth', 'cpu')

def change(part, **keys):
    "A fault: keys of one part that are other values, or None for missing."
    def fault(parts):
        for k,v in keys.items():
            if v is None: del parts[part][f'module.{k}']
            else: parts[part][f'module.{k}'] = v
        return parts
    return fault

@pytest.mark.parametrize('fault,message', [
    (lambda p: p['DIDF_Encoder'], r"does not hold the authors' release of SMFNet: it should have the parts DIDF_Encoder, .*, and has module\."),
    (lambda p: [1,2], 'and has a list'), (lambda p: torch.ones(2), 'and has a Tensor'), (lambda p: {}, 'and has a dict'),
    (lambda p: {k: v for k,v in p.items() if k != 'GraphModel'}, r'lacks GraphModel of .*; files of CDDFuse are so, and their network is not supported'),
    (lambda p: p | dict(BaseFuseLayer=3, DIDF_Decoder=None), "lacks DIDF_Decoder, BaseFuseLayer of the authors' release of SMFNet$"),
    (change('GraphModel', **{'C_cls.bias': None}), r'lacks 1 tensor, the first of them GraphModel\.C_cls\.bias'),
    (change('DIDF_Decoder', **{'output.0.weight': None, 'output.2.weight': None}), r'lacks 2 tensors, the first of them DIDF_Decoder\.output\.0\.weight'),
    (change('DIDF_Decoder', **{'output.6.weight': torch.ones(1)}), r'holds what .* does not: 1 tensor, the first of them DIDF_Decoder\.output\.6\.weight'),
    (change('DIDF_Decoder', **{'output.4.weight': torch.ones(1,16,5,5)}), r'DIDF_Decoder\.output\.4\.weight is \(1, 16, 5, 5\), and a tensor \(1, 16, 3, 3\) is needed'),
    (change('DIDF_Decoder', **{'output.4.weight': [1.]}), r'DIDF_Decoder\.output\.4\.weight is list'),
    (change('DIDF_Encoder', **{'encoder_level1.0.attn.temperature': torch.ones(8)}), r'attn\.temperature is \(8,\), and a tensor \(8, 1, 1\) is needed'),
])
def test_other_content_is_one_sentence(parts, write, fault, message):
    with pytest.raises(ValueError, match=f'model_VIF.pth.*{message}') as e: load_model(write(fault(parts)), 'cpu')
    assert '\n' not in str(e.value)

def test_convert_keeps_the_weights_and_notes_their_source(parts, write, tmp_path):
    path = write(parts)
    out = convert(path, tmp_path/'authors.safetensors')
    a,b = load_model(path, 'cpu'), load_model(out, 'cpu')
    assert type(b) is ReleaseNet and b.info == a.info and weights_hash(a.state_dict()) == weights_hash(b.state_dict())
    with safe_open(str(out), framework='pt') as f: assert json.loads(f.metadata()['config']) == dict(network='release', dim=64, heads=8)
    assert read_checkpoint(out)[1] == ReleaseConfig() and out.stat().st_size < path.stat().st_size
    with pytest.raises(ValueError, match='authors.pth.*ends in .safetensors'): convert(path, tmp_path/'authors.pth')
