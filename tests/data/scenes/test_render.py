"""The embedded data set, seen from outside: what its users rely on, over a dozen seeds."""
import numpy as np
import pytest
from smfnet.data.scenes.scene import M3FD_CLASSES, MFNET_CLASSES, TIMES
from smfnet.data.scenes.render import contact_sheet, render_scene, save_scenes, scene_pairs

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


def test_labels_boxes_and_ids_agree(scenes):
    for s in scenes:
        assert s.labels.max() < len(MFNET_CLASSES) and s.time in TIMES
        for t in s.things:
            y, x = np.nonzero(s.mask(t))
            assert (t.box.x0, t.box.y0, t.box.x1, t.box.y1) == (x.min(), y.min(), x.max()+1, y.max()+1)
            assert (s.labels[y, x] == t.label).all()
        assert all(0 <= b.cls < len(M3FD_CLASSES) for b in s.boxes)
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
    for seed in range(200, 212):
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
    from smfnet.data.pairs import match_pairs, read_pair
    save_scenes(tmp_path, 2, seed=7, size=(64, 96))
    files = match_pairs(tmp_path/'ir', tmp_path/'vi')
    assert [f.name for f in files] == ['00007', '00008']
    for f, p in zip(files, scene_pairs(2, seed=7, size=(64, 96))):
        back = read_pair(f.ir, f.vi)
        assert (back.ir-p.ir).abs().max() < .003 and (back.vi-p.vi).abs().max() < .004


def test_contact_sheet_has_three_rows():
    fig = contact_sheet([1, 2], size=(64, 96))
    assert len(fig.axes) == 6
