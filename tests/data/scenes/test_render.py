"The embedded data set, seen from outside: what its users rely on, over a dozen seeds."
import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from smfnet.data.pairs import match_pairs, read_pair
from smfnet.data.scenes.drawing import Camera, Canvas
from smfnet.data.scenes.render import COLOURS, _find_things, _unseen, contact_sheet, render_scene, save_scenes, scene_pairs
from smfnet.data.scenes.scene import M3FD_CLASSES, MFNET_CLASSES, TIMES

SEEDS = range(100, 112)


@pytest.fixture(scope='module')
def scenes(): return [render_scene(s, (168, 224)) for s in SEEDS]


def ring(s, t, x, r=3):
    m, b = s.mask(t), t.box
    at = np.s_[max(0, b.y0-r):b.y1+r, max(0, b.x0-r):b.x1+r]
    return x[at][m[at]], x[at][~m[at] & (s.labels[at] == 0)]


def test_images_are_finite_unit_float32(scenes):
    for s in scenes:
        assert s.ir.shape == (168, 224) and s.vi.shape == (168, 224, 3)
        for x in (s.ir, s.vi):
            assert x.dtype == np.float32 and np.isfinite(x).all() and x.min() >= 0 and x.max() <= 1
            assert x.std() > .02
        assert s.labels.dtype == np.uint8


def test_labels_boxes_and_ids_agree(scenes):
    for s in scenes:
        assert s.labels.max() < len(MFNET_CLASSES) and s.time in TIMES
        for t in s.things:
            y, x = np.nonzero(s.mask(t))
            assert (t.box.x0, t.box.y0, t.box.x1, t.box.y1) == (x.min(), y.min(), x.max()+1, y.max()+1)
            assert (s.labels[y, x] == t.label).all()
        assert all(0 <= b.cls < len(M3FD_CLASSES) for b in s.boxes)
        assert s.boxes == [t.box for t in s.things if t.cls is not None]
        named = np.isin(s.ids, [t.id for t in s.things])
        assert (s.labels[~named] == 0).all()


def test_every_second_render_is_identical_and_seeds_differ(scenes):
    for s, o in zip(scenes[:3], scenes[1:]):
        again = render_scene(s.seed, (168, 224))
        assert all(np.array_equal(getattr(s, k), getattr(again, k)) for k in ('ir', 'vi', 'labels', 'ids'))
        assert again.boxes == s.boxes and again.things == s.things
        assert not np.allclose(s.ir, o.ir, atol=.05)


def test_global_random_state_is_neither_used_nor_changed():
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    a = render_scene(5, (64, 64))
    assert np.array_equal(before, np.random.get_state()[1])
    np.random.seed(2)
    assert np.array_equal(a.ir, render_scene(5, (64, 64)).ir)


def test_people_are_warm(scenes):
    gaps = [a.mean()-b.mean() for s in scenes for t in s.things if t.cls == 0 and s.mask(t).sum() > 40
            for a, b in [ring(s, t, s.ir)] if len(b) > 15]
    assert len(gaps) > 15 and np.mean(np.array(gaps) > .05) > .9


def test_smoke_hides_from_the_eye_only():
    got = []
    for seed in (200, 201, 204):
        s = render_scene(seed, (120, 160), 'day')
        got += [(s, t) for t in s.things if t.cls == 0 and t.hidden == 'vi' and s.mask(t).sum() > 20]
    assert len(got) >= 2
    vi, ir = ([abs(a.mean()-b.mean()) for s, t in got for a, b in [ring(s, t, x(s))] if len(b)] for x in (lambda s: s.vi.mean(-1), lambda s: s.ir))
    assert np.median(ir) > 3*np.median(vi)


@pytest.mark.parametrize('size', [(64, 64), (65, 101), (130, 67)])
def test_any_size_from_64(size):
    s = render_scene(3, size)
    assert s.ir.shape == s.labels.shape == size and s.vi.shape == (*size, 3)


@pytest.mark.parametrize('args', [dict(size=(32, 64)), dict(time='noon'), dict(seed=-1)])
def test_wrong_arguments_are_named(args):
    with pytest.raises(ValueError, match='|'.join(args)): render_scene(**{'seed': 0, **args})


def test_pairs_and_files(tmp_path):
    save_scenes(tmp_path, 2, seed=7, size=(64, 96))
    files = match_pairs(tmp_path/'ir', tmp_path/'vi')
    assert [f.name for f in files] == ['00007', '00008']
    for f, p in zip(files, scene_pairs(2, seed=7, size=(64, 96))):
        back = read_pair(f.ir, f.vi)
        assert (back.ir-p.ir).abs().max() < .003 and (back.vi-p.vi).abs().max() < .004


def test_most_classes_occur(scenes):
    assert len(set().union(*(np.unique(s.labels).tolist() for s in scenes))) >= 8


def test_a_scene_as_a_pair(scenes):
    p = scenes[0].pair()
    assert (p.name, p.size, tuple(p.chroma.shape)) == ('scene00100', (168, 224), (2, 168, 224))
    assert (p.ir[0].numpy() == scenes[0].ir).all()
    two = scene_pairs(2, seed=100, size=(168, 224))
    assert [o.name for o in two] == ['scene00100', 'scene00101'] and (two[1].ir[0].numpy() == scenes[1].ir).all()
    assert scene_pairs(0) == []


def edge_agreement(s, dy, dx):
    "Mean infrared gradient on the outlines of cars and people, moved by (dy, dx) px."
    m = np.isin(s.labels, (1, 2))
    e = (m ^ np.roll(m, 1, 0)) | (m ^ np.roll(m, 1, 1))
    gy, gx = np.gradient(s.ir)
    return np.hypot(gy, gx)[8:-8, 8:-8][np.roll(e, (dy, dx), (0, 1))[8:-8, 8:-8]].mean()


def test_registration(scenes):
    "Across an outline the infrared steps where the label steps; shifted, it agrees less in every direction."
    shifts = (-6, -3, 0, 3, 6)
    table = np.mean([[[edge_agreement(s, dy, dx) for dx in shifts] for dy in shifts] for s in scenes], 0)
    assert table[2, 2] > 1.15*np.delete(table.ravel(), 12).max()


def contrast(s, t, x):
    a, b = ring(s, t, x)
    return abs(a.mean()-b.mean())


def test_the_night_is_dark_and_hides_people_whom_the_heat_shows():
    day, night = (render_scene(13, (168, 224), t) for t in ('day', 'night'))
    assert night.vi.mean() < .5*day.vi.mean()
    dark = [render_scene(k, (240, 320), 'night') for k in (2, 5)]
    lost = [(s, t) for s in dark for t in s.things if t.kind == 'person' and t.hidden == 'vi' and s.mask(t).sum() > 60]
    vi, ir = ([contrast(s, t, x(s)) for s, t in lost] for x in (lambda s: s.vi.mean(-1), lambda s: s.ir))
    assert len(lost) >= 3 and np.median(ir) > 3*np.median(vi)


def test_letters_are_for_the_eye_only():
    inner = lambda t: np.s_[t.box.y0+4:t.box.y1-4, t.box.x0+4:t.box.x1-4]
    signs = [(s, t) for s in (render_scene(k) for k in (3, 5)) for t in s.things
             if t.kind == 'sign' and t.hidden == 'ir' and s.mask(t).sum() > 150 and (s.ids[inner(t)] == t.id).all()]
    vi, ir = ([x(s)[inner(t)].std() for s, t in signs] for x in (lambda s: s.vi.mean(-1), lambda s: s.ir))
    assert len(signs) >= 2 and max(ir) < .04 and np.median(vi) > 5*np.median(ir)


def test_the_infrared_is_less_fine(scenes):
    fine = lambda x: np.abs(np.diff(x, 2, 1)).mean()/x.std()
    assert all(fine(s.ir) < fine(s.vi.mean(-1)) for s in scenes if s.time == 'day')


def test_what_counts_as_seen():
    c = Canvas(Camera(240, 320, 280., 160., 100., 1.6), np.random.default_rng(0))
    c.ids[10:14, 20:30], c.ids[12, 25] = 1, 2
    assert _find_things(c, 2) == ((1, (20, 10, 30, 14)),)          # a single pixel is not a thing
    box, flat = (20, 10, 30, 14), np.full((240, 320, 3), .02)
    lit = np.where((c.ids == 1)[..., None], .5, flat)
    assert [_unseen(o, c.ids, 1, box, None) for o in (flat, lit)] == [True, False]
    assert _unseen(lit, c.ids, 1, box, np.ones((240, 320)))        # smoke hides even the bright
    assert _unseen(flat, np.ones_like(c.ids), 1, box, None) is False   # nothing around it to compare with


def test_contact_sheet():
    fig = contact_sheet([1, 2], size=(64, 96))
    assert len(fig.axes) == 6
    assert [o.get_text() for o in fig.legends[0].get_texts()] == list(MFNET_CLASSES[1:])
    assert COLOURS.shape == (len(MFNET_CLASSES), 3) and len(np.unique(COLOURS, axis=0)) == len(MFNET_CLASSES)


def test_files(tmp_path):
    root, s = save_scenes(tmp_path/'set', 2, size=(96, 128)), render_scene(1, (96, 128))
    want = [f'{k}/{i:05d}.{e}' for i in range(2) for k, e in (('boxes', 'txt'), ('ir', 'png'), ('labels', 'png'), ('vi', 'png'))]
    assert sorted(o.relative_to(root).as_posix() for o in root.rglob('*.*')) == sorted(want)
    assert (np.asarray(Image.open(root/'labels'/'00001.png')) == s.labels).all()
    assert_allclose(np.asarray(Image.open(root/'vi'/'00001.png'))/255, s.vi, atol=.5/255+1e-6)
    assert (root/'boxes'/'00001.txt').read_text().splitlines() == [b.yolo(96, 128) for b in s.boxes]
