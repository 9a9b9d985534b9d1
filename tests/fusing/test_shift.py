"A hint when the images of a pair are shifted against each other (fusing.shift)."
import numpy as np
import pytest
from smfnet.data.colour import luma
from smfnet.data.scenes.render import render_scene
from smfnet.fusing.shift import estimate_shift, shift_hint

@pytest.fixture(scope='module')
def big():
    s = render_scene(3, size=(200,260))
    return s.ir, luma(s.vi)

def test_a_registered_pair_has_no_shift(big):
    assert estimate_shift(*big)[:2] == (0,0) and shift_hint(*big) is None

def test_a_known_shift_is_found(big):
    ir,vi = big
    moved = ir[10:-10,10:-10], vi[3:-17,15:-5]
    dy,dx,sure = estimate_shift(*moved)
    assert max(abs(dy-7), abs(dx+5)) <= 1 and sure > 1.5
    assert shift_hint(*moved) == (dy,dx)

def test_noise_gives_no_hint():
    r = np.random.default_rng(0)
    a,b = r.random((2,200,260))
    assert estimate_shift(a, b)[2] < 1.5 and shift_hint(a, b) is None

def test_a_flat_image_gives_no_hint(): assert shift_hint(np.zeros((40,40)), np.zeros((40,40))) is None

def test_large_images_are_looked_at_in_reduced_size(big):
    ir,vi = (np.kron(o[:190,:240], np.ones((6,6))) for o in (big[0][4:], big[1][:-4])) # 1140×1440 px; moved by 4 rows of 6 px
    dy,dx = shift_hint(ir, vi)
    assert abs(dy-24) <= 6 and abs(dx) <= 6
