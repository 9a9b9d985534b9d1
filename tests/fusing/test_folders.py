"Two folders in, a folder out: what is refused, what is reported, what is kept (fusing.folders)."
import os, pathlib
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
import torch
from PIL import Image
from smfnet.data.images import image_note, image_size, read_image, read_tags, to_bytes, write_image
from smfnet.data.scenes.render import render_scene
from smfnet.fusing import folders as room
from smfnet.fusing.api import FuseOptions, fuse, fuse_pair
from smfnet.fusing.folders import fuse_folder, plan_jobs, reason, recipe, run_jobs
from smfnet.network.model import MODEL_PRESETS, SMFNet

I,V,i1,v1 = 'ir', 'vi', 'ir/IR_1.png', 'vi/vis_1.jpg'

def statuses(jobs): return [j.status for j in jobs]

# planning

def test_pairs_are_matched_by_scene(folders):
    jobs = plan_jobs(I, V, 'out')
    assert [(j.files.ir.name, j.files.vi.name, j.out, j.size, j.status) for j in jobs] == \
        [(f'IR_{k}.png', f'vis_{k}.jpg', Path(f'out/{k}.png'), (64+k,66), 'planned') for k in range(3)]
    assert not Path('out').exists()

def test_targets_of_two_files(folders):
    target = lambda out: plan_jobs(i1, v1, out)[0].out
    assert target('f.tif') == Path('f.tif') and target('.') == Path('1.png') and target('new/') == Path('new/1.png')

@pytest.mark.parametrize('args,words', [
    ((i1, v1, 'f.xyz'), 'must be a folder/ or end in one of .png'), ((i1, v1, v1), 'would be overwritten'), ((I, V, V), 'a folder of sources'), ((I, V, 'vi/../ir'), 'a folder of sources'),
    ((I, V, 'a.png'), 'two folders make a folder'), ((I, v1, 'out'), 'two files or two folders'), ((i1, 'vi/vis_2.jpg', 'f.png'), '66×65 px and vi/vis_2.jpg is 66×66 px'),
    ((I, V, v1), 'two folders make a folder')])
def test_what_must_not_happen(folders, args, words):
    with pytest.raises(ValueError, match=words): plan_jobs(*args)

def test_a_folder_in_the_place_of_an_image(folders):
    Path('out/1.png').mkdir(parents=True)
    with pytest.raises(ValueError, match='is a folder; the fused image needs that name'): plan_jobs(I, V, 'out')

def test_no_source_is_overwritten_through_a_link(folders):
    Path('out').mkdir()
    Path('out/1.png').symlink_to(Path(v1).resolve())
    with pytest.raises(ValueError, match='would be overwritten'): plan_jobs(I, V, 'out')

def test_unequal_sizes_cost_their_pair_and_stop_the_folder_only_where_all_are_so(folders):
    for k in (0,2): write_image(f'vi/vis_{k}.jpg', np.full((30,40), .5))
    jobs = plan_jobs(I, V, 'out')
    assert statuses(jobs) == ['failed','planned','failed'] and "vis_0.jpg is 40×30 px; fusing needs registered images of one size: resize='ir' (--resize ir)" in jobs[0].error
    write_image('vi/vis_1.jpg', np.full((30,40), .5))
    with pytest.raises(ValueError, match=r"IR_0.png is 66×64 px and .*vis_0.jpg is 40×30 px; .*resize='ir' \(--resize ir\).*all 3 pairs"): plan_jobs(I, V, 'out')
    write_image('vi/vis_1.jpg', np.full((65,66), .5))
    jobs = plan_jobs(I, V, 'out', FuseOptions(resize='ir'))
    assert [j.size for j in jobs] == [(30,40), (65,66), (30,40)] and jobs[0].read().size == (30,40)
    assert [j.size for j in plan_jobs(I, V, 'out', FuseOptions(resize='vi'))] == [(64,66), (65,66), (66,66)]

def test_an_unreadable_header_is_a_mistake_of_one_pair(folders):
    Path(v1).write_bytes(b'not an image')
    jobs = plan_jobs(I, V, 'out')
    assert statuses(jobs) == ['planned','failed','planned'] and 'vis_1.jpg is not an image' in jobs[1].error

def test_reasons_are_one_line():
    assert reason(FileNotFoundError(2, 'No such file', 'a.png')) == 'a.png: No such file'
    assert reason(OSError(28, 'No space left on device')) == 'No space left on device'
    assert reason(ValueError('two\n lines')) == 'two lines' and reason(ValueError()) == 'ValueError'

# fusing

def test_a_folder_is_fused(folders, net):
    jobs = fuse_folder(I, V, 'out', weights=net, progress=False)
    assert statuses(jobs) == ['fused']*3
    assert {p.name: image_size(p) for p in Path('out').iterdir()} == {f'{k}.png': (64+k,66) for k in range(3)}
    for j in jobs: assert (to_bytes(fuse_pair(j.read(), net)) == to_bytes(read_image(j.out))).all()
    row = jobs[0].row()
    assert (row['name'], row['out'], row['status'], row['size'], row['resize'], row['hints']) == ('0', 'out/0.png', 'fused', (64,66), None, []) and row['seconds'] > 0

def test_two_files_make_one(folders, weights):
    assert statuses(fuse_folder(i1, v1, 'new/f.webp', weights=weights, device='cpu')) == ['fused'] and image_size('new/f.webp') == (65,66)

def test_options_are_named(folders, net):
    with pytest.raises(TypeError): fuse_folder(I, V, 'out', net)
    for bad in (dict(workers=0), dict(precision='fp8'), dict(stretch=(9,1)), dict(max_memory='x'), dict(resize='both')):
        with pytest.raises(ValueError, match=next(iter(bad)) if 'max_memory' not in bad else '800M'): fuse_folder(I, V, 'out', weights=net, **bad)
    assert not Path('out').exists()

def test_workers_give_the_same_images(folders, net):
    threads = torch.get_num_threads()
    a,b = (fuse_folder(I, V, f'out{n}', weights=net, progress=False, workers=n) for n in (1,3))
    for i,j in zip(a, b): assert (read_image(i.out) == read_image(j.out)).all()
    assert torch.get_num_threads() == threads

def test_workers_share_the_budget(folders, net, monkeypatch):
    seen = []
    monkeypatch.setattr(room, 'fuse_pair', lambda pair, net, **how: seen.append(how['max_memory']) or torch.zeros(1, *pair.size))
    fuse_folder(I, V, 'out', weights=net, progress=False, workers=2, max_memory='300M')
    assert seen == [150*2**20]*3

def test_memory_is_given_back_after_each_pair(folders, net, monkeypatch):
    calls = []
    monkeypatch.setattr(room, 'release_memory', lambda: calls.append(1))
    Path(v1).write_bytes(Path(v1).read_bytes()[:800])
    fuse_folder(I, V, 'out', weights=net, progress=False)
    assert len(calls) == 3

def test_kelvin_is_reported_and_spread(folders, net):
    kelvin = (29000 + 2000*render_scene(1, size=(65,66)).ir).astype(np.uint16)
    Image.fromarray(kelvin).save('kelvin.png')
    plain,wide = (fuse_folder('kelvin.png', v1, f'{s}.png', weights=net, stretch=s)[0] for s in (None,(1,99)))
    assert f'{100*float(np.ptp(kelvin))/65535:.1f} % of its scale' in plain.hints[0] and wide.hints == []
    assert wide.read().ir.std() > 10*plain.read().ir.std() and (read_image(plain.out) != read_image(wide.out)).any()

# resuming

def test_a_finished_image_says_how_it_was_made(folders, net):
    fuse_folder(I, V, 'out', weights=net, progress=False)
    note = recipe(net)
    assert image_note('out/1.png').startswith(note + '; ir ') and note.startswith('smfnet ') and 'weights ' in note
    other = SMFNet(replace(MODEL_PRESETS['smoke'], graph=False))
    notes = {note, recipe(other), *(recipe(net, FuseOptions(**o)) for o in (dict(minmax=True), dict(precision='bf16'), dict(resize='ir'), dict(stretch=(1,99)), dict(bits=16), dict(nodata=0)))}
    assert len(notes) == 8
    assert recipe(net, FuseOptions(stretch=[1,99.])) in notes and recipe(net, FuseOptions(max_memory='1G')) == note

def test_resume_keeps_what_is_finished(folders, net):
    again = lambda **kw: statuses(fuse_folder(I, V, 'out', weights=net, resume=True, progress=False, **kw))
    assert again() == ['fused']*3 and again(workers=2) == ['kept']*3
    os.utime('out/1.png', (1,1))                                     # older than its source: copying does that
    assert again() == ['kept']*3
    write_image(v1, 1 - read_image(v1)); os.utime(v1, (1,1))         # another picture, older than the result
    assert again() == ['kept','fused','kept']
    whole = Path('out/0.png').read_bytes(); Path('out/0.png').write_bytes(whole[:-200])   # its header is whole
    assert again() == ['fused','kept','kept']
    Path('out/2.png').write_bytes(b'half')
    assert again(workers=2) == ['kept','kept','fused']

def test_resume_notices_weights_and_options(folders, net):
    torch.manual_seed(9)
    other = SMFNet(MODEL_PRESETS['smoke']).eval()
    again = lambda net, **kw: {j.status for j in fuse_folder(i1, v1, 'f.png', weights=net, progress=False, resume=True, **kw)}
    assert again(net) == {'fused'} and again(net, minmax=True) == {'fused'}
    assert again(net, resize='ir') == {'fused'} and again(other, resize='ir') == {'fused'} and again(other, resize='ir') == {'kept'}

# what goes wrong on the way

def test_a_truncated_file_costs_its_own_pair(folders, net):
    whole = Path(v1).read_bytes()
    Path(v1).write_bytes(whole[:len(whole)//2])
    jobs = fuse_folder(I, V, 'out', weights=net, progress=False)
    assert statuses(jobs) == ['fused','failed','fused'] and 'vis_1.jpg' in jobs[1].error and '\n' not in jobs[1].error
    assert sorted(p.name for p in Path('out').iterdir()) == ['0.png','2.png']

def test_too_little_memory_is_said_of_the_pair(folders, net, monkeypatch):
    def full(*args, **kw): raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
    monkeypatch.setattr(room, 'fuse_pair', full)
    job, = fuse_folder(i1, v1, 'f.png', weights=net)
    assert job.status == 'failed' and '66×65 px do not fit into memory; set max_memory' in job.error

def test_a_mistake_of_ours_is_not_swallowed(folders, net, monkeypatch):
    def broken(*args, **kw): raise RuntimeError('size mismatch')
    monkeypatch.setattr(room, 'fuse_pair', broken)
    for n in (1,2):
        with pytest.raises(RuntimeError, match='size mismatch'): fuse_folder(I, V, 'out', weights=net, progress=False, workers=n)

def test_interrupt_leaves_whole_files(folders, net, monkeypatch):
    calls = []
    def forward(*args, **kw):
        calls.append(1)
        if len(calls) == 2: raise KeyboardInterrupt
        return SMFNet.forward(net, *args, **kw)
    monkeypatch.setattr(net, 'forward', forward)
    with pytest.raises(KeyboardInterrupt): fuse_folder(I, V, 'out', weights=net, progress=False)
    assert [p.name for p in Path('out').iterdir()] == ['0.png']

def test_a_full_disk_leaves_no_partial_file(folders, net, monkeypatch):
    def save(self, path, **kw):
        Path(path).write_bytes(b'half'); raise OSError(28, 'No space left on device')
    monkeypatch.setattr(Image.Image, 'save', save)
    jobs = fuse_folder(I, V, 'out', weights=net, progress=False)
    assert statuses(jobs) == ['failed','planned','planned'] and jobs[0].error == 'out/0.png: No space left on device' and not list(Path('out').iterdir())

def test_a_folder_that_takes_no_files_is_one_error_before_the_work(folders, net, monkeypatch):
    plain = pathlib.Path.open
    def refuse(self, mode='r', *args, **kw):
        if 'x' in mode: raise PermissionError(13, 'Permission denied', str(self))
        return plain(self, mode, *args, **kw)
    monkeypatch.setattr(pathlib.Path, 'open', refuse)
    with pytest.raises(PermissionError, match="cannot write into 'out': Permission denied; give another output folder"):
        fuse_folder(I, V, 'out', weights=net, progress=False)

@pytest.mark.parametrize('out,words', [('taken/f.png', "'taken': it is a file"), ('taken/deep/f.png', "cannot write into 'taken/deep'")])
def test_a_file_where_the_folder_should_be(folders, net, out, words):
    Path('taken').write_text('hello')
    with pytest.raises(OSError, match=words + '.*give another output folder'): fuse_folder(i1, v1, out, weights=net)

def test_a_plan_may_be_looked_at_before_it_is_run(folders, net):
    jobs = plan_jobs(I, V, 'out', FuseOptions(minmax=True))
    assert run_jobs(jobs[:2], net, progress=False) == jobs[:2] and statuses(jobs) == ['fused','fused','planned']

@pytest.mark.skipif('SMFNET_DATA' not in os.environ, reason='needs the TNO pairs in SMFNET_DATA')
def test_real_pairs(net, tmp_path):
    "The first two TNO pairs, cut to a quarter so that the test stays short."
    tno = Path(os.environ['SMFNET_DATA'])/'TNO/test'
    for f in sorted((tno/'ir').iterdir())[:2]:
        for m in ('ir','vi'):
            x = read_image(next((tno/m).glob(f.stem+'.*')))
            write_image(tmp_path/m/f'{f.stem}.png', x[:x.shape[0]//2-1, :x.shape[1]//2])
    jobs = fuse_folder(tmp_path/'ir', tmp_path/'vi', tmp_path/'out', weights=net, progress=False)
    assert statuses(jobs) == ['fused']*2
    for j in jobs: assert image_size(j.out) == image_size(j.files.ir)

# what users of many machines meet

def test_a_file_system_that_refuses_rights(folders, net, monkeypatch):
    def refuse(*a, **kw): raise PermissionError(1, 'Operation not permitted')
    for name in ('chmod', 'fchmod'): monkeypatch.setattr(os, name, refuse)
    assert statuses(fuse_folder(I, V, 'out', weights=net, progress=False)) == ['fused']*3

def test_abandoned_files_are_swept(folders, net):
    Path('out').mkdir()
    for n in ('.0-12345678.png', '.0.png', '.x-12345678.png'): Path('out', n).touch(); os.utime(Path('out', n), (0,0))
    fuse_folder(I, V, 'out', weights=net, progress=False)
    assert sorted(p.name for p in Path('out').iterdir()) == ['.0.png', '.x-12345678.png', '0.png', '1.png', '2.png']

def test_files_without_a_partner(folders, net):
    write_image('ir/IR_7.png', np.full((64,66), .5))
    with pytest.raises(ValueError, match='infrared IR_7.png; visible none; skip_unmatched'): plan_jobs(I, V, 'out')
    with pytest.warns(UserWarning, match='infrared IR_7.png; visible none'): jobs = fuse_folder(I, V, 'out', weights=net, progress=False, skip_unmatched=True)
    assert statuses(jobs) == ['fused']*3

def test_one_folder_of_both(folders, net):
    Path('both').mkdir()
    for k in range(2): Path(f'ir/IR_{k}.png').rename(f'both/DJI_{k}_T.PNG'); Path(f'vi/vis_{k}.jpg').rename(f'both/DJI_{k}_V.JPG')
    assert [(j.out.name, j.status) for j in fuse_folder('both', 'both', 'out', weights=net, progress=False)] == [('DJI_0.png','fused'), ('DJI_1.png','fused')]

def test_deep_images_with_their_tags(folders, net):
    exif = Image.Exif(); exif[271] = 'Maker'; exif.get_ifd(0x8825)[1] = 'N'
    for k in range(3): Image.open(f'vi/vis_{k}.jpg').save(f'vi/vis_{k}.jpg', exif=exif)
    jobs = fuse_folder(I, V, 'out', weights=net, progress=False, bits=16, format='tif')
    assert statuses(jobs) == ['fused']*3 and [j.out.name for j in jobs] == ['0.tif','1.tif','2.tif']
    for j in jobs:
        want = fuse_pair(j.read(), net).permute(1,2,0).numpy()
        tags = read_tags(j.out)
        assert np.abs(read_image(j.out) - want).max() < 1/255 and tags[271] == 'Maker' and tags.get_ifd(0x8825)[1] == 'N'
    assert {j.status for j in fuse_folder(I, V, 'out', weights=net, progress=False, bits=16, format='tif', resume=True)} == {'kept'}
    with pytest.raises(ValueError, match='16 bits are written as'): fuse_folder(i1, v1, 'f.jpg', weights=net, bits=16)

def test_missing_pixels(folders, net):
    kelvin = (280 + 30*render_scene(1, size=(65,66)).ir).astype('f4')
    kelvin[9:14,20:30] = -9999
    Image.fromarray(kelvin).save('k.tif')
    how = dict(weights=net, stretch=(1,99), nodata=-9999)
    a = fuse_folder('k.tif', v1, 'a.png', **how)[0]
    assert a.hints == [] and np.abs(read_image(a.out) - fuse('k.tif', v1, **how)).max() < .51/255
