"Every command of the README is run, on the files that it names."
import os, re, shlex, subprocess, sys
from pathlib import Path
import numpy as np
import pytest
from smfnet.data.images import read_image, write_image
from smfnet.data.scenes.render import render_scene

root = Path(__file__).resolve().parent.parent
blocks = re.findall(r'```(sh|python)\n(.*?)```', (root/'README.md').read_text(), re.S)
commands = [l.split('#')[0].strip() for kind,b in blocks if kind == 'sh' for l in b.splitlines()]
commands = [c for c in commands if c]

@pytest.fixture(scope='module')
def place(tmp_path_factory):
    "A folder that looks like a clone to someone who has put two pairs into it."
    d = tmp_path_factory.mktemp('readme')
    (d/'nbs').symlink_to(root/'nbs'); (d/'results').symlink_to(root/'results'); (d/'Makefile').symlink_to(root/'Makefile')
    (d/'.venv').mkdir(); (d/'.venv/bin').symlink_to(Path(sys.executable).parent)
    for i in range(2):
        s = render_scene(i, size=(72,96))
        for folder,x in (('ir',s.ir), ('vi',s.vi)): write_image(d/folder/f'{i}.png', x)
    write_image(d/'my_ir.png', s.ir); write_image(d/'my_vi.png', s.vi)
    return d

def shell(command, cwd):
    r = subprocess.run(command, shell=True, cwd=cwd, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1', 'SMFNET_DATA': ''})
    assert r.returncode == 0, f'{command}\n{r.stdout[-2000:]}\n{r.stderr[-3000:]}'
    return r.stdout

def test_commands_were_found():
    text = '\n'.join(commands)
    for word in ('make demo', 'make test', 'smfnet_fuse', 'smfnet_evaluate', 'fuse.ipynb', 'train.ipynb', '-p stage 2'): assert word in text

@pytest.mark.parametrize('command', [c for c in commands if c.startswith('make')])
def test_make_knows_the_target(command):
    "These two run everything, this test among it, so that they are only looked up here."
    assert 'No rule' not in shell(command.replace('make', 'make -n', 1), root)

@pytest.mark.slow
def test_shell_commands(place):
    for c in (c for c in commands if not c.startswith('make')): shell(c, place)
    assert read_image(place/'fused.png').shape == (72,96,3)
    assert {p.name for p in (place/'out').iterdir()} >= {'0.png', '1.png'}
    rows = (place/'scores.csv').read_text().splitlines()
    assert len(rows) == 3 and 'Qabf' in rows[0]
    for nb in ('fuse', 'train-1', 'train-2', 'evaluate'): assert (place/f'runs/{nb}.ipynb').stat().st_size > 5000
    assert "stage1.safetensors of stage1 (6 steps)" in (place/'runs/train-2.ipynb').read_text()

def test_python_lines(place, monkeypatch):
    monkeypatch.chdir(place)
    code, = (b for kind,b in blocks if kind == 'python')
    ns = {}
    exec(code, ns)
    assert ns['fused'].shape == (72,96,3) and ns['fused'].dtype == np.float32 and 0 <= ns['fused'].min() and ns['fused'].max() <= 1

def test_an_apostrophe_in_a_path_reaches_the_notebook():
    "make demo IR=... hands any name on as one word."
    r = subprocess.run(['make', '-n', 'demo', "IR=it's ir.png", 'VI=v.png'], cwd=root, capture_output=True, text=True)
    words = shlex.split(next(l for l in r.stdout.replace('\\\n', ' ').splitlines() if 'nbs/fuse.ipynb' in l))
    assert words[words.index('ir')+1] == "it's ir.png" and words[words.index('vi')+1] == 'v.png'
