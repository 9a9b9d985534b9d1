"Amounts of memory, plans within a budget, and a process that does not grow with its folder (fusing.memory)."
import os, subprocess, sys, tempfile
import pytest
from smfnet.fusing.memory import memory_free, memory_need, parse_memory, plan_memory
from smfnet.network.model import MODEL_PRESETS, SMFNet

@pytest.fixture(scope='module')
def full(): return SMFNet()

@pytest.mark.parametrize('text,want', [('800M', 800*2**20), ('2G', 2**31), ('1.5 GB', 3*2**29), ('1.5GiB', 3*2**29), ('300', 300*2**20), (4096, 4096), (None, None), ('2k', 2048)])
def test_amounts(text, want): assert parse_memory(text) == want

@pytest.mark.parametrize('text', ['much', '-1G', '0', '', '1X', 0, -5])
def test_what_is_no_amount(text):
    with pytest.raises(ValueError, match='like 800M or 2G'): parse_memory(text)

def test_free_memory():
    free = memory_free()
    assert free is None or 0 < free < 2**50

def test_a_wider_network_and_a_larger_image_need_more(full):
    small = SMFNet(MODEL_PRESETS['smoke'])
    assert memory_need((480,640), small) < memory_need((480,640), full) < memory_need((960,1280), full)
    assert memory_need((480,640), full, 96) < memory_need((480,640), full, 160) < 1.5e9

def test_plans(full):
    assert plan_memory((480,640), full, '1G') == dict(side=160, folder=None)
    assert plan_memory((480,640), full, '600M') == dict(side=96, folder=None)
    disk = plan_memory((4320,7680), full, '1G')
    assert disk['side'] == 96 and os.path.isdir(disk['folder'])
    assert plan_memory((4320,7680), full, '50M')['side'] == 64
    with pytest.raises(ValueError, match='max_memory=1M is too little: even the smallest tiles take'): plan_memory((480,640), full, '1M')

def test_files_go_where_tmpdir_says(full, tmp_path, monkeypatch):
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    monkeypatch.setattr(tempfile, 'tempdir', None)
    assert plan_memory((4320,7680), full, '1G')['folder'] == str(tmp_path)

HOLES = """
import ctypes, torch
from smfnet.fusing.memory import release_memory
def resident(): return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS'))/1024
holes = [torch.ones(2**14) for _ in range(2000)]
stay = torch.ones(2**8)
del holes
kept = resident()
assert release_memory()
print(kept, resident())
"""

FOLDER = """
import sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from smfnet.data.images import write_image
from smfnet.fusing.folders import fuse_folder
from smfnet.network.model import MODEL_PRESETS, SMFNet
def resident(): return next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS'))/1024
net = SMFNet(replace(MODEL_PRESETS['smoke'], detail_layers=1, graph=False)).eval()
print(resident())
for k in range(10):
    for m in ('ir','vi'): write_image(f'{m}{k}.png', np.random.rand(190 + 37*k%61, 230 + 53*k%71))
    assert fuse_folder(f'ir{k}.png', f'vi{k}.png', f'out{k}.png', weights=net)[0].status == 'fused'
    print(resident())
"""

def numbers(code, cwd):
    "What a process of its own prints."
    r = subprocess.run([sys.executable, '-c', code], cwd=cwd, capture_output=True, text=True, env={**os.environ, 'OMP_NUM_THREADS': '1'})
    assert r.returncode == 0, r.stderr
    return [float(o) for o in r.stdout.split()]

glibc = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='looks at the heap of glibc')

@glibc
def test_pages_inside_the_heap_are_given_back(tmp_path):
    kept,left = numbers(HOLES, tmp_path)
    assert left < kept - 100 # of 125 MB

@glibc
@pytest.mark.slow
def test_a_process_does_not_grow_with_its_folder(tmp_path):
    "Ten pairs of ten sizes. What stays are the caches of oneDNN and torch, of 1024 shapes at most: some MB a size."
    start,*after = numbers(FOLDER, tmp_path)
    assert after[-1] < 1.15*after[2] and after[-1] - start < 100
