"Patch archives where processes, crashes and real folders meet."
import multiprocessing, os, pickle, signal, time
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from smfnet.core.files import file_hash
from smfnet.data.archive import _sources_key, compress_patches, load_patches, pack_patches
from smfnet.data.datasets import find_pairs
from smfnet.data.images import read_image, to_bytes, write_image
from smfnet.data.pairs import PairFiles
from smfnet.data.patches import cut_patches

@pytest.fixture
def packed(pairs, tmp_path): return pack_patches(pairs, tmp_path/'cache'/'p.npy', size=128, stride=64)

def test_what_an_archive_holds(pairs, packed):
    ds = load_patches(packed)
    assert (len(ds), ds.info['count'], ds.info['dropped'], ds.info['skipped']) == (4+1+6, 11, 0, ['small'])
    assert (ds.info['size'], ds.info['stride'], ds.info['fraction_threshold']) == (128, 64, .1)
    assert np.load(packed).shape == (11,2,128,128)           # any numpy reads it
    assert np.array_equal(ds.data, np.concatenate([cut_patches(p.read(), 128, 64)[0] for p in pairs]))
    assert [o.name for o in packed.parent.iterdir()] == ['p.npy']

def test_the_key_is_made_of_content_and_parameters(pairs):
    key,sources = _sources_key(pairs, size=64)
    assert [s[0] for s in sources] == ['a','b','c','small'] and sources[0][1] == file_hash(pairs[0].ir)
    assert _sources_key(pairs, size=64)[0] == key
    assert key not in (_sources_key(pairs, size=65)[0], _sources_key(pairs[::-1], size=64)[0], _sources_key(pairs[:3], size=64)[0])

def test_packed_again_only_after_a_change(pairs, packed):
    made = packed.stat().st_mtime_ns
    pack_patches(pairs, packed, size=128, stride=64)
    assert packed.stat().st_mtime_ns == made
    write_image(pairs[1].vi, read_image(pairs[1].vi)[::-1])
    pack_patches(pairs, packed, size=128, stride=64)
    assert packed.stat().st_mtime_ns > made
    assert np.array_equal(load_patches(packed).data[4,1], to_bytes(read_image(pairs[1].vi)))
    pack_patches(pairs, packed, size=128, stride=100)
    assert len(load_patches(packed)) < 11

def test_what_cannot_be_packed(pairs, packed):
    q = packed.with_name('q.npy')
    with pytest.raises(ValueError, match='none of 1 pairs gives a 128x128 patch: 1 are smaller'): pack_patches(pairs[3:], q)
    with pytest.raises(ValueError, match='1 of 5 pairs cannot be used: odd'): pack_patches(pairs + [PairFiles('odd', pairs[0].ir, pairs[1].vi)], q)
    with pytest.raises(ValueError, match='suffix .npy'): pack_patches(pairs, q.with_suffix('.zip'))
    assert [o.name for o in packed.parent.iterdir()] == ['p.npy']

def test_workers_get_the_path_and_not_the_pixels(packed):
    ds = load_patches(packed)
    sent = pickle.dumps(ds)
    assert len(sent) < 10_000 and torch.equal(pickle.loads(sent)[7][1], ds[7][1])

def test_compressed_without_loss(packed):
    ds, z = load_patches(packed), compress_patches(packed)
    assert (z.name, load_patches(z).info) == ('p.npy.xz', ds.info)
    assert np.array_equal(load_patches(z).data, ds.data)
    assert pickle.loads(pickle.dumps(load_patches(z))).data.shape == ds.data.shape   # it has no file to map
    with pytest.raises(ValueError, match='suffix .npy'): compress_patches(z)
    z.write_bytes(z.read_bytes()[:-9])
    with pytest.raises(ValueError, match='p.npy.xz is not a whole patch archive'): load_patches(z)

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

def test_killed_pack_leaves_the_old_archive(tmp_path, make_set):
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
    monkeypatch.setattr('smfnet.data.archive.cut_patches', full)
    with pytest.raises(OSError, match='No space'): pack_patches(find_pairs(folder), f, size=32, stride=8)
    assert f.read_bytes() == old and [o.name for o in tmp_path.iterdir()] == ['p.npy']

def test_workers_see_the_same_patches(folder, tmp_path):
    "Batches do not depend on the number of worker processes."
    ds = load_patches(pack_patches(find_pairs(folder), tmp_path/'p.npy', size=32, stride=16))
    get = lambda workers: torch.stack([torch.stack(b) for b in DataLoader(ds, batch_size=6, num_workers=workers)])
    assert torch.equal(get(0), get(2))
