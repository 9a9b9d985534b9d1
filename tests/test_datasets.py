"Data sets and patch archives where processes, crashes and real folders meet."
import multiprocessing, os, signal, time
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from smfnet.core.files import data_root
from smfnet.data.datasets import DATASETS, check_pairs, find_labels, find_pairs, shared_content, split_validation
from smfnet.data.patches import load_patches, pack_patches
from smfnet.data.pairs import PairFiles
from smfnet.data.images import write_image

def make_set(folder, n=12, size=(64,80)):
    rng = np.random.default_rng(0)
    for i in range(n):
        for s in ('ir', 'vi'): write_image(folder/s/f'{i:03d}.png', rng.random(size))
    return folder

@pytest.fixture(scope='module')
def folder(tmp_path_factory): return make_set(tmp_path_factory.mktemp('set'))

def pack(folder, out): pack_patches(find_pairs(folder), out, size=32, stride=16)

def start(folder, out):
    p = multiprocessing.get_context('fork').Process(target=pack, args=(folder, out)) # a forked process need not import torch again
    p.start()
    return p

def test_two_processes_build_one_archive(folder, tmp_path):
    out = tmp_path/'cache'/'p.npy'
    both = [start(folder, out) for _ in range(2)]
    for p in both: p.join(60)
    assert [p.exitcode for p in both] == [0, 0]
    alone = pack_patches(find_pairs(folder), tmp_path/'q.npy', size=32, stride=16)
    assert out.read_bytes() == alone.read_bytes()
    assert [p.name for p in out.parent.iterdir()] == ['p.npy']
    assert len(load_patches(out)) == 12*3*4

def test_killed_pack_leaves_the_old_archive(tmp_path):
    "SIGKILL in the middle of writing: the name holds the old patches, or nothing, but never half of the new ones."
    few, many = make_set(tmp_path/'few', 2), make_set(tmp_path/'many', 24, (300,400))
    out = pack_patches(find_pairs(few), tmp_path/'cache'/'p.npy', size=32, stride=16)
    old = out.read_bytes()
    p = start(many, out)
    part = lambda: [o for o in out.parent.iterdir() if o != out and o.stat().st_size > 50_000]
    end = time.time() + 60
    while not part() and p.is_alive() and time.time() < end: time.sleep(.002)
    p.kill()
    p.join(60)
    assert p.exitcode == -signal.SIGKILL and part(), 'the process was done before it was killed'
    assert out.read_bytes() == old and len(load_patches(out)) == 2*3*4
    for o in part(): os.utime(o, (0, 0))
    pack_patches(find_pairs(few), out, size=32, stride=8)
    assert [o.name for o in out.parent.iterdir()] == ['p.npy'] and len(load_patches(out)) > 2*3*4

def test_cut_off_archives_are_found_out(folder, tmp_path):
    f = pack_patches(find_pairs(folder), tmp_path/'p.npy', size=32, stride=16)
    whole = f.read_bytes()
    for n in (0, 1, 64, 128, len(whole)//2, len(whole)-1):
        f.write_bytes(whole[:n])
        with pytest.raises(ValueError, match='p.npy is not a whole patch archive'): load_patches(f)
    pack_patches(find_pairs(folder), f, size=32, stride=16)
    assert f.read_bytes() == whole

def test_full_disk_keeps_the_old_archive(folder, tmp_path, monkeypatch):
    f = pack_patches(find_pairs(folder), tmp_path/'p.npy', size=32, stride=16)
    old = f.read_bytes()
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr('smfnet.datasets.cut_patches', full)
    with pytest.raises(OSError, match='No space'): pack_patches(find_pairs(folder), f, size=32, stride=8)
    assert f.read_bytes() == old and [o.name for o in tmp_path.iterdir()] == ['p.npy']

def test_damaged_pictures_are_named_and_nothing_is_written(tmp_path):
    d = make_set(tmp_path/'set', 8)
    for i in (1, 3): (d/'ir'/f'{i:03d}.png').write_bytes(b'\x89PNG')
    (d/'vi'/'005.png').write_bytes((d/'vi'/'005.png').read_bytes()[:2000])
    with pytest.raises(ValueError, match='2 of 8 pairs cannot be used: 001: .*; 003: '): pack_patches(find_pairs(d), tmp_path/'p.npy', size=32)
    for i in (1, 3): write_image(d/'ir'/f'{i:03d}.png', np.random.rand(64,80))
    with pytest.raises(ValueError, match='1 of 8 pairs cannot be used: 005: .*005.png is damaged'): check_pairs(find_pairs(d), decode=True)
    with pytest.raises(ValueError, match='005.png is damaged'): pack_patches(find_pairs(d), tmp_path/'p.npy', size=32)
    assert [p.name for p in tmp_path.iterdir()] == ['set']
    (d/'vi'/'007.png').unlink()
    with pytest.raises(ValueError, match='without a partner: infrared 007.png; visible none'): find_pairs(d)

def test_workers_see_the_same_patches(folder, tmp_path):
    "Batches do not depend on the number of worker processes."
    ds = load_patches(pack_patches(find_pairs(folder), tmp_path/'p.npy', size=32, stride=16))
    get = lambda workers: torch.stack([torch.stack(b) for b in DataLoader(ds, batch_size=6, num_workers=workers)])
    assert torch.equal(get(0), get(2))

real = pytest.mark.skipif(not os.environ.get('SMFNET_DATA'), reason='SMFNET_DATA is not set: the real data sets are not at hand')

def present(kind):
    return '+'.join(n for n in DATASETS if n.endswith(kind) and (data_root()/n).is_dir())

@real
def test_training_sets_share_no_picture_with_test_sets():
    train, test = find_pairs(present('train')), find_pairs(present('test'))
    assert len(train) > 100 and len(test) > 50
    assert shared_content(train, test) == []
    assert shared_content(train[:3], [PairFiles('same', train[1].vi, train[1].ir)]) == [(train[1].name, 'same')]   # it would be noticed

@real
def test_real_pairs_are_whole():
    for name in filter(None, present('test').split('+') + present('train').split('+')):
        pairs = check_pairs(find_pairs(name))
        for kind in ('labels', 'boxes'):
            if getattr(DATASETS[name], kind): assert set(find_labels(name, kind)) == {p.name for p in pairs}

@real
def test_validation_is_held_out_of_training():
    train, held = split_validation(find_pairs('RoadScene/train'), 20)
    assert len(held) == 20 and shared_content(train, held) == []
