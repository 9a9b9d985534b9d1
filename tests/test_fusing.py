"Fusing across notebooks: kinds of images, odd sizes, folders with mistakes in them, the run notebook."
import json, os, subprocess, sys, tempfile
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from smfnet.core.devices import set_seed
from smfnet.fusing.api import fuse, fuse_batch
from smfnet.fusing.folders import fuse_files, plan_jobs
from smfnet.network.weights import load_model
from smfnet.fusing.cli import main
from smfnet.data.images import image_size, read_image, write_image
from smfnet.data.colour import luma, split_colour
from smfnet.network.model import MODEL_PRESETS, SMFNet
from smfnet.network.weights import save_checkpoint
from smfnet.data.scenes.render import render_scene
from smfnet.fusing.tiles import stream

root = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent

@pytest.fixture(scope='module')
def model():
    set_seed(0)
    return SMFNet(MODEL_PRESETS['smoke']).eval()

@pytest.fixture(scope='module')
def scene(): return render_scene(4, size=(71,93))

@pytest.mark.parametrize('size', [(16,16), (17,16), (16,45), (33,21), (64,47), (71,93)])
def test_the_size_is_kept(model, scene, size):
    h,w = size
    assert fuse(scene.ir[:h,:w], scene.vi[:h,:w], model).shape == (h,w,3)
    assert fuse(torch.rand(2,1,h,w), torch.rand(2,1,h,w), model).shape == (2,1,h,w)

def test_colour_is_the_visible_one(model, scene):
    out = fuse(scene.ir, scene.vi, model)
    inside = ((out > 0) & (out < 1)).all(-1)
    assert inside.mean() > .5
    assert np.abs(split_colour(out)[1] - split_colour(scene.vi)[1])[inside].max() < 1e-5

def test_grey_in_grey_out(model, scene):
    grey = luma(scene.vi)
    out = fuse(scene.ir, grey, model)
    assert out.shape == grey.shape and out.dtype == np.float32
    assert np.abs(out - luma(fuse(scene.ir, scene.vi, model))).mean() < .01
    alike = np.repeat(grey[...,None], 3, -1)                   # three equal channels: shape of the input, no colour
    assert np.abs(fuse(scene.ir, alike, model) - out[...,None]).max() < 1e-6

def test_paths_arrays_and_tensors_agree(model, scene, tmp_path):
    ir,vi = write_image(tmp_path/'a.png', scene.ir), write_image(tmp_path/'b.png', luma(scene.vi))
    x,y = read_image(ir), read_image(vi)
    out = fuse(ir, str(vi), model)
    assert np.abs(out - fuse(x, y, model)).max() < 1e-6
    assert np.abs(out - fuse(torch.from_numpy(x), torch.from_numpy(y), model).numpy()).max() < 1e-6
    assert np.abs(out - fuse((x*255).round().astype('uint8'), y, model)).max() < 1e-6

def test_results_can_be_trained_on(model):
    out = fuse_batch(model, torch.rand(1,1,16,16), torch.rand(1,1,16,16))
    (out*torch.ones(1, requires_grad=True)).sum().backward()
    assert not out.requires_grad

def test_modes_return_even_after_an_error(model):
    model.train(); model.decoder.eval()
    with pytest.raises(ValueError): fuse_batch(model, torch.rand(1,1,8,8), torch.rand(1,1,8,8))
    assert model.training and not model.decoder.training and model.encoder.training
    model.eval()

@pytest.fixture
def folders(tmp_path, scene):
    "Three pairs, cut from one scene."
    for k in range(3):
        write_image(tmp_path/f'ir/IR_{k}.png', scene.ir[k:64+2*k,:66]); write_image(tmp_path/f'vi/vis_{k}.png', scene.vi[k:64+2*k,:66])
    return tmp_path

def test_folder_pairs_by_scene(folders, model):
    jobs = fuse_files(folders/'ir', folders/'vi', folders/'out', model, progress=False)
    assert [j.status for j in jobs] == ['fused']*3
    assert {p.name: image_size(p) for p in (folders/'out').iterdir()} == {f'{k}.png': (64+k,66) for k in range(3)}

def test_resume_redoes_what_is_older_than_its_source(folders, model):
    args = folders/'ir', folders/'vi', folders/'out', model
    fuse_files(*args, progress=False)
    os.utime(folders/'out/1.png', (1,1))
    assert [j.status for j in fuse_files(*args, resume=True, progress=False)] == ['kept','fused','kept']

def test_interrupt_leaves_whole_files(folders, model, monkeypatch):
    calls = []
    def forward(*args, **kw):
        calls.append(1)
        if len(calls) == 2: raise KeyboardInterrupt
        return SMFNet.forward(model, *args, **kw)
    monkeypatch.setattr(model, 'forward', forward)
    with pytest.raises(KeyboardInterrupt): fuse_files(folders/'ir', folders/'vi', folders/'out', model, progress=False)
    assert [p.name for p in (folders/'out').iterdir()] == ['0.png']

def test_a_full_disk_leaves_no_partial_file(folders, model, monkeypatch):
    def save(self, path, **kw):
        Path(path).write_bytes(b'half'); raise OSError(28, 'No space left on device')
    monkeypatch.setattr(Image.Image, 'save', save)
    jobs = fuse_files(folders/'ir', folders/'vi', folders/'out', model, progress=False)
    assert {j.status for j in jobs} == {'failed'} and 'No space left' in jobs[0].error
    assert not list((folders/'out').iterdir())

def test_a_folder_that_takes_no_files_is_one_error_before_the_work(folders, model, monkeypatch):
    def refuse(*args, dir=None, **kw): raise PermissionError(13, 'Permission denied', f'{dir}/.0-temporary.png')
    monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
    with pytest.raises(PermissionError, match="cannot write into '.*out': Permission denied; give another output folder"):
        fuse_files(folders/'ir', folders/'vi', folders/'out', model, progress=False)

def test_no_source_is_overwritten_through_a_link(folders):
    (folders/'out').mkdir()
    (folders/'out/1.png').symlink_to(folders/'vi/vis_1.png')
    with pytest.raises(ValueError, match='would be overwritten'): plan_jobs(folders/'ir', folders/'vi', folders/'out')

def test_weights_are_read_again_when_they_change(tmp_path):
    path = tmp_path/'w.safetensors'
    set_seed(1); save_checkpoint(SMFNet(MODEL_PRESETS['smoke']), path)
    first = load_model(path, 'cpu')
    set_seed(2); save_checkpoint(SMFNet(MODEL_PRESETS['smoke']), path)
    os.utime(path, (10,10))
    assert load_model(path, 'cpu') is not first

@pytest.mark.parametrize('size', [(65,83), (97,131), (64,101), (71,95), (128,67), (99,100)])
def test_tiles_equal_the_whole_image(model, size):
    "Sizes that no tile divides; in memory and in files."
    p = render_scene(6, size=size).pair()
    with torch.inference_mode(): whole = model(p.ir[None], p.vi[None])
    for side,folder in ((32,None), (40,tempfile.gettempdir())):
        with torch.inference_mode(): assert (stream(model, p.ir[None], p.vi[None], side, folder) - whole).abs().max() < 1e-4

def test_shipped_weights_in_tiles():
    net, p = load_model('ivf', 'cpu'), render_scene(6, size=(65,79)).pair()
    whole = fuse_batch(net, p.ir[None], p.vi[None])
    with torch.inference_mode(): assert (stream(net, p.ir[None], p.vi[None], 48) - whole).abs().max() < 1e-4

@pytest.mark.parametrize('seed,size', [(6,(65,79)), (3,(64,64)), (11,(64,64))])
def test_shipped_weights_in_half_precision(seed, size):
    "Of 255 grey levels at most one on average and three at the worst pixel; the coupling, left in bf16, made it five."
    net, p = load_model('ivf', 'cpu'), render_scene(seed, size=size).pair()
    gap = (fuse_batch(net, p.ir[None], p.vi[None], precision='bf16') - fuse_batch(net, p.ir[None], p.vi[None])).abs()
    assert gap.mean() <= 1/255 and gap.max() <= 3/255

def test_a_gpu_without_memory_falls_back_to_tiles(model, scene, monkeypatch):
    want = fuse(scene.ir, scene.vi, model)
    def full(*args): raise torch.OutOfMemoryError('CUDA out of memory')
    monkeypatch.setattr(model, 'forward', full)
    assert np.abs(fuse(scene.ir, scene.vi, model) - want).max() < 1e-5

def test_resume_notices_weights_and_options(folders, model):
    args = folders/'ir', folders/'vi', folders/'out'
    set_seed(9); other = SMFNet(MODEL_PRESETS['smoke']).eval()
    status = lambda net, **kw: {j.status for j in fuse_files(*args, net, progress=False, resume=True, **kw)}
    assert status(model) == {'fused'} and status(model, workers=2) == {'kept'}
    assert status(model, resize='ir') == {'fused'} and status(other, resize='ir') == {'fused'} and status(other, resize='ir') == {'kept'}

def test_workers_give_the_same_images(folders, model):
    a,b = (fuse_files(folders/'ir', folders/'vi', folders/f'out{n}', model, progress=False, workers=n) for n in (1,3))
    for i,j in zip(a, b): assert (read_image(i.out) == read_image(j.out)).all()

@pytest.mark.parametrize('size', [(33,46), (64,48)])
def test_onnxruntime_gives_the_same_image(size, tmp_path):
    for o in ('onnx', 'onnxscript', 'onnxruntime'): pytest.importorskip(o, reason='the extra [onnx] is not installed')
    from smfnet.fusing.onnx import OnnxNet, export_onnx
    set_seed(0)
    model = SMFNet(replace(MODEL_PRESETS['smoke'], dim=8, detail_layers=1)).eval()
    net = OnnxNet(export_onnx(model, tmp_path/'net.onnx', size))
    x,y = torch.rand(2,1,1,*size)
    assert np.abs(net(x.numpy(), y.numpy()) - fuse_batch(model, x, y).numpy()).max() < 1e-4
    with pytest.raises(ValueError, match=f'{size[0]}×{size[1]} px'): net(x[...,1:].numpy(), y[...,1:].numpy())

def test_a_missing_extra_is_said_before_the_work(folders, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    assert main([str(folders/o) for o in ('ir','vi','out')] + ['--export-onnx', str(folders/'net.onnx')]) == 1
    err = capsys.readouterr().err
    assert "smfnet[onnx]" in err and err.count('\n') == 1 and not (folders/'out').exists()

def papermill(out, *params, cwd=root):
    cmd = [BIN/'papermill', '--log-level', 'WARNING', '--no-progress-bar', '-k', 'python3', root/'nbs/fuse.ipynb', out]
    for k,v in params: cmd += ['-p', k, v]
    return subprocess.run([str(o) for o in cmd], cwd=cwd, capture_output=True, text=True)

def test_run_notebook_fuses_an_embedded_scene(model, tmp_path):
    "Paths are relative to where papermill was started; the folder of the results is made."
    save_checkpoint(model, tmp_path/'w.safetensors')
    r = papermill(tmp_path/'f.ipynb', ('weights','w.safetensors'), ('out','new/fused'), ('device','cpu'), ('seed',11), cwd=tmp_path)
    assert r.returncode == 0, r.stderr
    assert image_size(tmp_path/'new/fused/scene00011.png') == image_size(tmp_path/'new/scene/scene00011_vi.png')
    got = json.loads((tmp_path/'new/fuse.json').read_text())
    assert got['parameters']['seed'] == 11 and list(got['mean']) == 'EN SD SF MI SCD VIF Qabf AG SSIM'.split()
    assert image_size(tmp_path/'new/fuse_figure.png') and (tmp_path/'new/fuse.txt').read_text().startswith('fused 1 of 1 pair: ')
    assert 'embedded scene 11' in (tmp_path/'f.ipynb').read_text()

def test_run_notebook_refuses_a_typo_and_a_wrong_type(tmp_path):
    r = papermill(tmp_path/'f.ipynb', ('outt',tmp_path/'x'), ('seed','three'))
    assert r.returncode == 1
    assert 'there is no parameter outt (is out meant?)' in r.stderr and "parameter seed must be int, not 'three'" in r.stderr
    assert not (tmp_path/'x').exists()

def test_run_notebook_takes_what_the_command_takes(model, tmp_path):
    "16-bit thermal beside larger colour images: stretched, resampled, two at once, within a budget; a second run keeps the results."
    weights = save_checkpoint(model, tmp_path/'w.safetensors')
    for k in range(2):
        s = render_scene(30+k, size=(64,72))
        (tmp_path/'ir').mkdir(exist_ok=True)
        Image.fromarray((29000 + 2000*s.ir[::2,::2]).astype(np.uint16)).save(tmp_path/f'ir/{k}_thermal.tif')
        write_image(tmp_path/f'vi/{k}_rgb.jpg', s.vi)
    args = ('ir','ir'), ('vi','vi'), ('out','out/'), ('weights','w.safetensors'), ('device','cpu'), ('stretch','1,99'), ('resize','ir'), ('max_memory','200M'), ('workers',2), ('resume','True')
    want = fuse_files(tmp_path/'ir', tmp_path/'vi', tmp_path/'want', weights, 'cpu', resize='ir', stretch=(1,99), progress=False)
    for status in ('fused', 'kept'):
        r = papermill(tmp_path/'f.ipynb', *args, cwd=tmp_path)
        assert r.returncode == 0, r.stderr
        assert [o['status'] for o in json.loads((tmp_path/'fuse.json').read_text())['pairs']] == [status]*2
    for j in want: assert (read_image(j.out) == read_image(tmp_path/'out'/j.out.name)).all()

@pytest.mark.parametrize('name,value,words', [('stretch','99,1','0 <= low < high <= 100'), ('max_memory','much','like 800M or 2G'), ('workers',0,'workers must be 1 or more')])
def test_run_notebook_refuses_a_wrong_value(tmp_path, name, value, words):
    r = papermill(tmp_path/'f.ipynb', ('out',tmp_path/'x/y.png'), (name,value))
    assert r.returncode == 1 and words in r.stderr and not (tmp_path/'x').exists()

@pytest.mark.skipif('SMFNET_DATA' not in os.environ, reason='needs the TNO pairs in SMFNET_DATA')
def test_real_pairs(model, tmp_path):
    "The first two TNO pairs, cut to a quarter so that the test stays short."
    tno = Path(os.environ['SMFNET_DATA'])/'TNO/test'
    for f in sorted((tno/'ir').iterdir())[:2]:
        for m in ('ir','vi'):
            x = read_image(next((tno/m).glob(f.stem+'.*')))
            write_image(tmp_path/m/f'{f.stem}.png', x[:x.shape[0]//2-1, :x.shape[1]//2])
    jobs = fuse_files(tmp_path/'ir', tmp_path/'vi', tmp_path/'out', model, progress=False)
    assert [j.status for j in jobs] == ['fused']*2
    for j in jobs: assert image_size(j.out) == image_size(j.files.ir)
