"The network as an ONNX file (fusing.onnx); what needs the extra is skipped without it."
import logging, sys, warnings
from dataclasses import replace
from importlib.util import find_spec
import numpy as np
import pytest
import torch
from smfnet.fusing.api import fuse_batch
from smfnet.fusing.cli import main
from smfnet.fusing.onnx import OnnxNet, _without_notes, export_onnx, need_onnx
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.student import StudentConfig, StudentNet

extra = pytest.mark.skipif(not all(map(find_spec, ('onnx','onnxscript','onnxruntime'))), reason='the extra [onnx] is not installed')

@extra
@pytest.mark.parametrize('size', [(33,46), (64,48)])
def test_onnxruntime_gives_the_same_image(size, tmp_path):
    torch.manual_seed(0)
    net = SMFNet(replace(MODEL_PRESETS['smoke'], dim=8, detail_layers=1)).eval()
    fast = OnnxNet(export_onnx(net, tmp_path/'net.onnx', size))
    x,y = torch.rand(2,1,1,*size)
    assert np.abs(fast(x.numpy(), y.numpy()) - fuse_batch(x, y, net).numpy()).max() < 1e-4
    with pytest.raises(ValueError, match=f'{size[1]}×{size[0]} px'): fast(x[...,1:].numpy(), y[...,1:].numpy())

@extra
def test_a_file_of_the_small_network_takes_every_size(tmp_path):
    torch.manual_seed(0)
    net = StudentNet(StudentConfig(dim=8, blocks=2)).eval()
    for p in (net.gates[2].weight, net.head.weight): torch.nn.init.normal_(p, std=.1)
    any_size = OnnxNet(export_onnx(net, tmp_path/'net.onnx', (32,48)))
    for size in ((32,48), (33,51), (17,90), (64,19)):
        x,y = torch.rand(2,1,1,*size)
        assert np.abs(any_size(x.numpy(), y.numpy()) - fuse_batch(x, y, net).numpy()).max() < 1e-4
    assert any_size.size is None
    with pytest.raises(ValueError, match='of one size'): any_size(x[...,1:].numpy(), y.numpy())

@extra
def test_what_is_no_onnx_file(net, tmp_path):
    with pytest.raises(ValueError, match='ends in .onnx'): export_onnx(net, tmp_path/'net.pt', (65,83))
    with pytest.raises(ValueError, match='at least 16×16'): export_onnx(net, tmp_path/'net.onnx', (15,83))
    (tmp_path/'bad.onnx').write_bytes(b'no')
    with pytest.raises(ValueError, match='not a readable ONNX file'): OnnxNet(tmp_path/'bad.onnx')
    with pytest.raises(FileNotFoundError, match='does not exist'): OnnxNet(tmp_path/'none.onnx')

def test_a_missing_extra_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    monkeypatch.setitem(sys.modules, 'onnx', None)
    with pytest.raises(ImportError, match=r"ONNX files need smfnet\[onnx\]: pip install 'smfnet\[onnx\]'"): need_onnx()

def test_a_missing_extra_is_said_before_the_work(folders, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    monkeypatch.setitem(sys.modules, 'onnx', None)
    assert main('ir vi out --export-onnx net.onnx'.split()) == 1
    err = capsys.readouterr().err
    assert 'smfnet[onnx]' in err and err.count('\n') == 1 and not (folders/'out').exists()

def test_a_library_is_silenced_only_inside():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        with _without_notes(): warnings.warn('unheard'); logging.getLogger('exporter').warning('unheard')
        warnings.warn('heard')
    assert [str(o.message) for o in seen] == ['heard'] and logging.root.manager.disable == logging.NOTSET
