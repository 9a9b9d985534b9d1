"The command smfnet_fuse as its user meets it: one line for every mistake, nothing half written (fusing.cli)."
import argparse, os, shutil, subprocess, sys
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from smfnet.data.images import image_size, read_image, write_image
from smfnet.data.scenes.render import render_scene
from smfnet.fusing import cli
from smfnet.fusing.api import fuse
from smfnet.fusing.cli import _make_parser, _usage, main, parse_stretch

BIN = Path(sys.executable).parent

@pytest.fixture(scope='module')
def pairs(tmp_path_factory):
    "Two pairs of 64×70 and 65×70 px."
    folder = tmp_path_factory.mktemp('pairs')
    for k in range(2):
        s = render_scene(20+k, size=(64+k,70))
        write_image(folder/f'ir/{k}.png', s.ir); write_image(folder/f'vi/{k}.jpg', s.vi)
    return folder

@pytest.fixture
def here(pairs, tmp_path, monkeypatch):
    "A folder of its own with the pairs, as the working directory."
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, '_SLOW', 1e9) # s; no hint about a slow machine among the others
    shutil.copytree(pairs, tmp_path, dirs_exist_ok=True)
    return tmp_path

@pytest.fixture
def command(here, weights, capsys):
    def run(*args):
        status = main([str(a) for a in args] + ['--weights', str(weights), '--device', 'cpu'])
        return status, *capsys.readouterr()
    return run

def files(folder): return sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file())

def test_two_files(command, here):
    status,out,err = command('ir/0.png', 'vi/0.jpg', 'new/fused.png')
    assert (status, err) == (0, '') and out.endswith('new/fused.png\n')
    assert image_size(here/'new/fused.png') == (64,70)

def test_two_folders(command, here):
    status,out,err = command('ir/', 'vi/', 'out/')
    assert (status, err) == (0, '')
    assert '2 pairs: 0.png + 0.jpg, 1.png + 1.jpg' in out
    assert files(here/'out') == ['0.png','1.png']

MISTAKES = {
    'wrong size':       (['ir/0.png', 'vi/1.jpg', 'o.png'], '70×64 px and vi/1.jpg is 70×65 px'),
    'no such file':     (['ir/9.png', 'vi/1.jpg', 'o.png'], "no file or folder 'ir/9.png'"),
    'file and folder':  (['ir/0.png', 'vi', 'o.png'], 'two files or two folders'),
    'same file':        (['ir/0.png', 'ir/0.png', 'o.png'], 'the same file'),
    'no such format':   (['ir/0.png', 'vi/0.jpg', 'o.doc'], 'must be a folder/ or end in one of'),
    'onto a source':    (['ir/0.png', 'vi/0.jpg', './ir/0.png'], 'would be overwritten'),
    'into the sources': (['ir', 'vi', 'vi/'], 'a folder of sources'),
    'onto a file':      (['ir', 'vi', 'note'], 'two folders make a folder'),
    'unreadable':       (['note.png', 'vi/0.jpg', 'o.png'], 'note.png is not an image'),
    'below a file':     (['ir/0.png', 'vi/0.jpg', 'note/o.png'], 'note'),
    'too small':        (['tiny_ir.png', 'tiny_vi.png', 'o.png'], 'tiny'),
    'no such weights':  (['ir/0.png', 'vi/0.jpg', 'o.png', '--weights', 'xyz'], "'xyz'"),
    'bad weights':      (['ir/0.png', 'vi/0.jpg', 'o.png', '--weights', 'bad.safetensors'], 'bad.safetensors'),
    'no such device':   (['ir/0.png', 'vi/0.jpg', 'o.png', '--device', 'toaster'], "'toaster'"),
}

@pytest.mark.parametrize('name', MISTAKES)
def test_a_mistake_is_one_line(here, weights, capsys, name):
    args,words = MISTAKES[name]
    Path('note').write_text('hello'); Path('note.png').write_text('hello'); Path('bad.safetensors').write_bytes(b'\x08'*99)
    for m in ('ir','vi'): write_image(f'tiny_{m}.png', np.full((9,9), .5))
    before = {f: (here/f).read_bytes() for f in files(here)}
    status = main(['--weights', str(weights), '--device', 'cpu'] + args)
    out,err = capsys.readouterr()
    assert (status, out, err.count('\n')) == (1, '', 1) and err.startswith('smfnet_fuse: ') and words in err
    assert {f: (here/f).read_bytes() for f in files(here)} == before

def test_a_missing_partner_stops_the_folder(command, here):
    os.remove('vi/1.jpg')
    status,out,err = command('ir', 'vi', 'out')
    assert status == 1 and 'without a partner: infrared 1.png' in err and not (here/'out').exists()

def test_a_damaged_file_stops_nothing(command, here):
    whole = Path('vi/0.jpg').read_bytes()
    Path('vi/0.jpg').write_bytes(whole[:len(whole)//2])
    status,out,err = command('ir', 'vi', 'out')
    assert status == 1 and 'vi/0.jpg is damaged' in err and '1 of 2 pairs failed' in err and 'Traceback' not in err
    assert files(here/'out') == ['1.png'] and '1 fused' in out

def test_resize_resamples(command, here):
    status,_,err = command('ir/0.png', 'vi/1.jpg', 'o.png', '--resize', 'ir')
    assert status == 0 and image_size('o.png') == (65,70)

def test_a_shifted_pair_is_fused_with_a_hint(command, here):
    s = render_scene(3, size=(200,260))
    write_image('a_ir.png', s.ir[10:-10,10:-10]); write_image('a_vi.png', s.vi[3:-17,15:-5])
    status,_,err = command('a_ir.png', 'a_vi.png', 'o.png')
    assert status == 0 and 'seems to be moved by' in err and Path('o.png').exists()

def test_resume_and_quiet(command, here):
    command('ir', 'vi', 'out')
    assert command('ir', 'vi', 'out', '--resume', '--quiet') == (0, '', '')
    assert '0 fused, 2 kept' in command('ir', 'vi', 'out', '--resume')[1]

def test_unknown_options_are_a_usage_error(here, capsys):
    with pytest.raises(SystemExit) as e: main(['ir', 'vi', 'out', '--colour'])
    assert e.value.code == 2 and '--colour' in capsys.readouterr().err

def test_options_and_their_defaults():
    o = _make_parser().parse_args('a.png b.png c.png --resize ir'.split())
    assert (o.ir, o.vi, o.out, o.resize, o.precision, o.weights, o.workers, o.threads) == ('a.png','b.png','c.png','ir','fp32',None,1,None)
    assert not (o.minmax or o.resume or o.quiet or o.compile)

@pytest.mark.parametrize('text,want', [('1,99.5', (1,99.5)), ('', None), (None, None)])
def test_percentiles(text, want): assert parse_stretch(text) == want

@pytest.mark.parametrize('text', ['1', '99,1', 'a,b', '1,2,3', '-1,5', '1,nan'])
def test_what_are_no_percentiles(text):
    with pytest.raises(ValueError, match='percentiles'): parse_stretch(text)
    with pytest.raises(argparse.ArgumentTypeError, match='percentiles'): _usage(parse_stretch)(text)

@pytest.mark.parametrize('option', [('--workers','0'), ('--threads','two'), ('--max-memory','much'), ('--stretch','99,1')])
def test_a_wrong_value_is_a_usage_error_with_its_reason(here, capsys, option):
    with pytest.raises(SystemExit) as e: main(['ir', 'vi', 'out', *option])
    err = capsys.readouterr().err
    assert e.value.code == 2 and option[0] in err and any(o in err for o in ('from 1 on', 'like 800M', '0 <= low < high')) and not (here/'out').exists()

def test_threads_reach_torch(command, monkeypatch):
    seen = []
    monkeypatch.setattr(torch, 'set_num_threads', seen.append)
    assert command('ir/0.png', 'vi/0.jpg', 'o.png', '--threads', '3')[0] == 0 and seen == [3]
    assert command('ir/0.png', 'vi/0.jpg', 'o.png')[0] == 0 and seen == [3] # as a function it leaves its caller's threads alone

@pytest.mark.parametrize('args,omp,want', [([], None, [5]), ([], '2', []), (['--threads','3'], None, [3])])
def test_threads_of_the_process(here, weights, monkeypatch, args, omp, want):
    "As a process, the command takes the idle cores, unless the user or OMP_NUM_THREADS says how many."
    seen = []
    monkeypatch.setattr(torch, 'set_num_threads', seen.append)
    monkeypatch.setattr(cli, 'idle_threads', lambda: 5)
    monkeypatch.setattr(cli.signal, 'signal', lambda *a: None)
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if omp: monkeypatch.setenv('OMP_NUM_THREADS', omp)
    monkeypatch.setattr(sys, 'argv', ['smfnet_fuse', 'ir/0.png', 'vi/0.jpg', 'o.png', '--weights', str(weights), '--device', 'cpu', *args])
    assert main() == 0 and seen == want

def test_a_slow_run_says_that_fast_exists(command, here, monkeypatch, capsys):
    assert 'fast' not in command('ir', 'vi', 'out')[2]
    monkeypatch.setattr(cli, '_SLOW', 0)
    assert 'took' in (said := command('ir', 'vi', 'out')[2]) and '--weights fast' in said
    assert 'fast' not in command('ir', 'vi', 'out', '--quiet')[2] and 'fast' not in command('ir', 'vi', 'out', '--resume')[2]
    assert main('ir vi out --weights fast --device cpu'.split()) == 0 and '--weights' not in capsys.readouterr().err

def test_the_network_is_loaded_once_and_compiled_on_request(command, monkeypatch):
    loaded, compiled, load = [], [], cli.load_model
    monkeypatch.setattr(cli, 'load_model', lambda *a: loaded.append(a) or load(*a))
    monkeypatch.setattr(torch.nn.Module, 'compile', lambda self: compiled.append(self))
    assert command('ir', 'vi', 'out', '--compile', '--workers', '2')[0] == 0
    assert len(loaded) == len(compiled) == 1

def test_a_faint_infrared_gets_a_hint(command):
    write_image('f_ir.png', .5 + .05*render_scene(3, size=(64,70)).ir)
    status,_,err = command('f_ir.png', 'vi/0.jpg', 'o.png')
    assert status == 0 and '% of its scale; stretch=(1, 99) (--stretch 1,99) would spread it' in err
    assert 'of its scale' not in command('f_ir.png', 'vi/0.jpg', 'o.png', '--stretch', '1,99')[2]

def test_interrupted(command, monkeypatch):
    def stop(*a, **kw): raise KeyboardInterrupt
    monkeypatch.setattr(cli, 'run_jobs', stop)
    status,_,err = command('ir', 'vi', 'out')
    assert status == 130 and '--resume goes on' in err and err.count('\n') == 1

def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as e: main(['--help'])
    said = capsys.readouterr().out
    assert e.value.code == 0 and 'smfnet_fuse ir.png vi.png fused.png' in said and '--resume' in said and '--threads' in said

def test_the_installed_command(here, weights):
    "As a process of its own: one success, one mistake."
    run = lambda *a: subprocess.run([str(o) for o in (BIN/'smfnet_fuse', *a, '--weights', weights)], capture_output=True, text=True)
    r = run('ir/0.png', 'vi/0.jpg', 'fused.png')
    assert (r.returncode, r.stderr) == (0, '') and r.stdout.startswith('1 fused in') and image_size('fused.png') == (64,70)
    r = run('ir/0.png', 'vi/1.jpg', 'other.png')
    assert r.returncode == 1 and r.stdout == '' and r.stderr.count('\n') == 1 and not Path('other.png').exists()

# what users of many machines meet

@pytest.mark.parametrize('encoding', ['ascii', 'cp1252'])
def test_names_that_cannot_be_printed(here, weights, encoding):
    "A pair was fused and the command exited 1, because its name could not be shown."
    name = os.fsdecode(b'a\xff\xc3\xa9')
    for m,s in (('ir','.png'), ('vi','.jpg')):
        (here/m/f'0{s}').rename(here/m/f'{name}{s}')
    env = os.environ | dict(PYTHONIOENCODING=encoding, PYTHONUTF8='0')
    run = lambda *a: subprocess.run([str(o) for o in (BIN/'smfnet_fuse', *a, '--weights', weights, '--device', 'cpu')], capture_output=True, env=env)
    r = run(f'ir/{name}.png', f'vi/{name}.jpg', f'{name}.png')
    assert r.returncode == 0 and (here/f'{name}.png').exists() and b'1 fused' in r.stdout and b'\\udcff' in r.stdout
    r = run('ir', 'vi', 'out')
    assert r.returncode == 0 and files(here/'out') == sorted([f'{name}.png', '1.png'])

def test_the_advice_about_kelvin_can_be_followed(command, here):
    Image.fromarray((280 + 30*render_scene(20, size=(64,70)).ir).astype('f4')).save('k.tif')
    status,_,err = command('k.tif', 'vi/0.jpg', 'o.png')
    assert status == 1 and err.startswith('smfnet_fuse: k.tif has values')
    advice = err[err.index('(--stretch')+1:err.index('), whatever')].split()
    assert command('k.tif', 'vi/0.jpg', 'o.png', *advice)[0] == 0

def test_more_options(command, here, weights):
    x = (280 + 30*render_scene(20, size=(64,70)).ir).astype('f4'); x[:5,:5] = -9999
    Image.fromarray(x).save('k.tif')
    assert command('k.tif', 'vi/0.jpg', 'o.tif', '--stretch', '1,99', '--nodata', '-9999', '--bits', '16') [0] == 0
    want = fuse('k.tif', 'vi/0.jpg', weights=weights, device='cpu', stretch=(1,99), nodata=-9999)
    assert np.abs(read_image('o.tif') - want).max() < 1/255
    assert command('ir', 'vi', 'out', '--format', 'webp')[0] == 0 and files(here/'out') == ['0.webp','1.webp']
    os.remove('vi/1.jpg')
    status,out,err = command('ir', 'vi', 'out2', '--skip-unmatched')
    assert status == 0 and files(here/'out2') == ['0.png'] and 'passed over: files without a partner: infrared 1.png' in err

@pytest.mark.parametrize('device', ['meta', *(d for d in ('mps','xpu') if not getattr(torch, d).is_available())])
def test_a_device_that_is_not_there_is_one_line(here, weights, capsys, device):
    status = main(['ir/0.png', 'vi/0.jpg', 'o.png', '--weights', str(weights), '--device', device])
    err = capsys.readouterr().err
    assert status == 1 and err.startswith(f"smfnet_fuse: device '{device}' was asked for") and err.count('\n') == 1

def test_a_full_disk_is_not_the_fault_of_a_source(command, here, monkeypatch):
    def full(self, path, **kw): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(Image.Image, 'save', full)
    status,out,err = command('ir', 'vi', 'out')
    assert status == 1 and err == ('smfnet_fuse: out/0.png: No space left on device\n'
                                   'smfnet_fuse: 1 of 2 pairs failed, 1 were not tried; what is fused is in out\n')
