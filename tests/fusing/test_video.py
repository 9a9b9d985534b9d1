"Two films into one (fusing.video)."
from fractions import Fraction
from importlib.util import find_spec
from itertools import islice
import json
import numpy as np
import pytest
import torch
from smfnet.fusing import video
from smfnet.fusing.api import FuseOptions, fuse_batch
from smfnet.fusing.cli import main
from smfnet.fusing.films import Film, FilmWriter, open_film
from smfnet.fusing.video import Calm, common_rate, flicker, fuse_frames, fuse_video
from smfnet.network.student import StudentConfig, StudentNet

extra = pytest.mark.skipif(find_spec('av') is None, reason='the extra [video] is not installed')

@pytest.fixture(scope='module')
def student():
    torch.manual_seed(0)
    net = StudentNet(StudentConfig(dim=8, blocks=2)).eval()
    for p in (net.gates[2].weight, net.head.weight): torch.nn.init.normal_(p, std=.3)
    return net

def scene(n=6, size=(48,96)):
    "A still scene into whose left end a bright field comes."
    rng = np.random.default_rng(0)
    ir,vi = (np.repeat(rng.random((1,*size), np.float32)*.5, n, 0) for _ in range(2))
    for k in range(n): ir[k, :, :4*k] = vi[k, :, :4*k] = 1
    return ir, vi

@pytest.fixture()
def films(tmp_path):
    for name,x in zip(('ir','vi'), scene()):
        writer = FilmWriter(tmp_path/f'{name}.tif', None)
        writer.part(0, iter(np.rint(255*x).astype(np.uint8))); writer.join()
    return tmp_path

def fused(net, calm, frames):
    return torch.stack(list(fuse_frames(zip(*frames), net, calm=calm)))

def test_without_calm_each_frame_is_fused_for_itself(student):
    frames = scene()
    alone = [fuse_batch(*(torch.from_numpy(x[k])[None,None] for x in frames), student)[0] for k in range(6)]
    assert torch.allclose(fused(student, Calm(0), frames), torch.stack(alone), atol=1e-6)

def test_calm_quiets_what_stands_still(student):
    frames = scene()
    far = slice(24 + student.reach[1], None) # what the bright field cannot reach
    ir,vi = (torch.from_numpy(x)[:,None] for x in frames)
    restless, calm = (flicker(fused(student, Calm(s), frames)[..., far], ir[..., far], vi[..., far]) for s in (0, .5))
    assert restless > 0 and calm < .4*restless

def test_at_a_cut_nothing_of_the_old_scene_stays(student):
    dark, bright = np.full((1,48,64), .1, np.float32), np.full((1,48,64), .7, np.float32)
    frames = [np.concatenate([dark, dark, bright])]*2
    first = fused(student, Calm(.5), [bright]*2)
    assert torch.equal(fused(student, Calm(.5), frames)[2], first[0])
    slow = [np.concatenate([dark, dark + np.float32(.05)])]*2 # no cut: the old mean counts
    assert not torch.equal(fused(student, Calm(.5), slow)[1], fused(student, Calm(.5), [slow[0][1:]]*2)[0])

def test_the_running_mean_and_its_state():
    c = Calm(seconds=1, rate=10)
    assert c.smooth('a', torch.tensor([0.])) == 0
    for _ in range(10): v = c.smooth('a', torch.tensor([1.]))
    assert abs(v.item() - (1 - np.exp(-1))) < 1e-5
    c.see(torch.zeros(1,8,8), torch.zeros(1,8,8))
    d = Calm(seconds=1, rate=10); d.load(json.loads(json.dumps(c.state())))
    assert d.smooth('a', torch.tensor([0.])) == c.smooth('a', torch.tensor([0.])) and torch.equal(d.last, c.last)
    assert d.see(torch.ones(1,8,8), torch.zeros(1,8,8)) and not d.values
    with pytest.raises(ValueError, match='calm must be'): Calm(-1)

def test_percentiles_of_the_infrared_change_slowly(student):
    kelvin = 29000 + 100*np.random.default_rng(0).random((2,32,32)).astype(np.float32)
    kelvin[1] += 30
    calm, vi = Calm(.5), np.zeros((2,32,32), np.float32)
    with pytest.raises(ValueError, match='no known full scale'): list(fuse_frames(zip(kelvin, vi), student))
    list(fuse_frames(zip(kelvin, vi), student, calm=calm, options=FuseOptions(stretch=(0,100))))
    low = calm.values['stretch'][0].item()
    assert kelvin[0].min() < low < kelvin[0].min() + .2*30

def test_minmax_is_refused(student):
    with pytest.raises(ValueError, match='minmax'): list(fuse_frames([], student, options=FuseOptions(minmax=True)))

def test_an_interrupted_run_goes_on_to_the_same_film(student, films, monkeypatch):
    monkeypatch.setattr(video, '_PART', 2)
    how = dict(weights=student, progress=False)
    whole = fuse_video(films/'ir.tif', films/'vi.tif', films/'whole.tif', **how)
    assert (whole.frames, whole.kept, whole.left_out) == (6, 0, 0) and not list(films.glob('.*'))
    real, seen = video.fuse_frames, []
    def breaks(frames, *args, **kwargs):
        yield from islice(real(frames, *args, **kwargs), 3)
        raise KeyboardInterrupt
    monkeypatch.setattr(video, 'fuse_frames', breaks)
    with pytest.raises(KeyboardInterrupt): fuse_video(films/'ir.tif', films/'vi.tif', films/'out.tif', **how)
    assert not (films/'out.tif').exists()
    def counts(frames, *args, **kwargs):
        for x in real(frames, *args, **kwargs): seen.append(1); yield x
    monkeypatch.setattr(video, 'fuse_frames', counts)
    report = fuse_video(films/'ir.tif', films/'vi.tif', films/'out.tif', resume=True, **how)
    assert (report.frames, report.kept, len(seen)) == (6, 2, 4) and not list(films.glob('.*'))
    a,b = (np.stack(list(open_film(films/n).read())) for n in ('whole.tif','out.tif'))
    assert np.array_equal(a, b)
    again = fuse_video(films/'ir.tif', films/'vi.tif', films/'out.tif', resume=True, **how)
    assert again.kept == 6 and len(seen) == 4

def test_frames_into_a_folder_and_the_longer_film_loses_its_end(student, films):
    writer = FilmWriter(films/'short.tif', None)
    writer.part(0, iter(np.zeros((4,48,96), np.uint8))); writer.join()
    report = fuse_video(films/'ir.tif', films/'short.tif', f'{films}/frames/', weights=student, progress=False)
    assert report.left_out == 2 and [p.name for p in sorted((films/'frames').iterdir())] == [f'{k:06d}.png' for k in range(4)]

def test_films_that_do_not_fit(student, films):
    a = open_film(films/'ir.tif')
    other = lambda **k: Film(**(vars(a) | k))
    with pytest.raises(ValueError, match=r'has 25 frames a second and .* 30; bring both to one rate first: ffmpeg -i fast.mp4 -r 25'):
        common_rate(other(rate=Fraction(25)), other(rate=Fraction(30), path=films/'fast.mp4'))
    assert common_rate(other(rate=Fraction(25)), a) == 25 and common_rate(a, a) is None
    assert common_rate(other(rate=Fraction(25)), other(rate=Fraction(30)), 10) == 10
    with pytest.raises(ValueError, match='same film'): fuse_video(films/'ir.tif', films/'ir.tif', films/'o.tif', weights=student)
    with pytest.raises(ValueError, match='one of the sources'): fuse_video(films/'ir.tif', films/'vi.tif', films/'vi.tif', weights=student)
    writer = FilmWriter(films/'small.tif', None)
    writer.part(0, iter(np.zeros((6,32,32), np.uint8))); writer.join()
    with pytest.raises(ValueError, match='small.tif is 32×32 px'): fuse_video(films/'ir.tif', films/'small.tif', films/'o.tif', weights=student)
    assert fuse_video(films/'small.tif', films/'vi.tif', films/'o.tif', weights=student, resize='ir', progress=False).frames == 6

def test_flicker_counts_only_what_stands_still():
    ir = torch.zeros(2,1,4,4); vi = ir.clone(); vi[1,...,:2] = .5
    moved = vi.clone()
    assert flicker(moved, ir, vi) == 0
    moved[1,...,2:] = 2/255
    assert abs(flicker(moved, ir, vi) - 2) < 1e-5

@extra
def test_a_video_file(student, tmp_path):
    for name,x in zip(('ir','vi'), scene()):
        writer = FilmWriter(tmp_path/f'{name}.mp4', Fraction(10))
        writer.part(0, iter(np.repeat(np.rint(255*x).astype(np.uint8)[...,None], 3, -1))); writer.join()
    report = fuse_video(tmp_path/'ir.mp4', tmp_path/'vi.mp4', tmp_path/'out.mp4', weights=student, progress=False)
    film = open_film(report.out)
    assert (film.rate, film.frames, film.size) == (10, 6, (48,96)) and sorted(p.name for p in tmp_path.iterdir()) == ['ir.mp4','out.mp4','vi.mp4']

def test_the_command_takes_films_and_fast_is_their_default(films, monkeypatch, capsys):
    monkeypatch.chdir(films)
    assert main('ir.tif vi.tif out.tif --device cpu'.split()) == 0
    assert '6 frames fused in ' in capsys.readouterr().out and open_film('out.tif').frames == 6
    monkeypatch.setattr(video, '_PART', 2)
    assert main('ir.tif vi.tif out.tif --device cpu --resume'.split()) == 0 and '6 kept' in capsys.readouterr().out
    assert main('ir.tif vi.tif other.tif --minmax'.split()) == 1
    assert '--minmax is not for films' in capsys.readouterr().err
