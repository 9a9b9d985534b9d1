"Texture, camera, canvas and shapes."
import numpy as np
import pytest
from numpy.testing import assert_allclose
from smfnet.data.scenes.drawing import (
    DISP, EMIT, REFL, TEMP, Camera, Canvas, Face, _draw_numbers, _noise_table, _palette, corners, cover, disc, far_first, limb, paint, patch,
    place, prism, project_all, rect, sample, smooth, split)

CAM = Camera(240, 320, 280., 160., 100., 1.6)
UNIT = np.array([[0,0,0],[1,0,0],[1,1,0],[0,1,0.]])
FAR = Face(UNIT+[0,0,10], (.8,.8,.8), 30.)

def rng(seed=0): return np.random.default_rng(seed)

def test_noise_tiles():
    t = _noise_table(rng())
    assert_allclose([t.mean(), t.std()], [0,1], atol=1e-4)
    step = lambda k: np.abs(t[:,0]-t[:,k]).mean()
    assert step(-1) < 1.3*step(1) < step(128)                # across the edge as inside
    assert np.array_equal(t, _noise_table(rng()))

def test_octaves_make_it_finer():
    fine = lambda k: np.abs(np.diff(_noise_table(rng(), 128, k), axis=1)).mean()
    assert fine(1) > fine(5)                                 # one octave is the finest grid alone

def test_sample():
    "It hits the grid at whole numbers, a period later too, and is linear between."
    t = _noise_table(rng())
    x,y = np.array([7.,7+256,7.5,7.]), np.array([9.,9-256,9.,9.25])
    assert_allclose(sample(t, x, y), [t[9,7], t[9,7], (t[9,7]+t[9,8])/2, .75*t[9,7]+.25*t[10,7]], atol=1e-5)

@pytest.mark.parametrize('sigma', [1.5, 6.])
def test_blur(sigma):
    "A point of light becomes a bell of variance sigma²; a wide one is computed on a smaller picture."
    dot = np.zeros((97,97), np.float32); dot[48,48] = 1
    y = smooth(dot, sigma)
    assert_allclose(y.sum(), 1., atol=.06)
    for axis in (0,1): assert_allclose((y.sum(axis)*(np.arange(97)-48)**2.).sum()/y.sum()/sigma**2, 1., atol=.12)
    assert_allclose(smooth(np.full((20,30), .3, np.float32), sigma), .3, atol=1e-5)

def test_camera():
    assert_allclose(CAM.project([[0,1.6,9]])[0], [160,100])            # eye level is the horizon at any distance
    assert_allclose(CAM.project([[1,0,10],[2,0,20]])[:,0], [188,188])  # a line through the eye stays one column
    assert_allclose(CAM.project([[0,0,10]])[0], [160,100+28*1.6])      # the ground is below it

def test_what_is_behind_the_camera_is_cut_off():
    assert CAM.project([[0,0,-5],[1,0,-5],[1,0,-2]]) is None
    q = CAM.project([[0,0,-5],[1,0,10],[-1,0,10]])                     # a triangle that begins behind us
    assert len(q) == 4 and np.isfinite(q).all()
    assert_allclose(q[:,1].max(), CAM.cy + CAM.f*CAM.height/.8)

def test_corners_and_split():
    f = [Face(UNIT[:3]), Face(UNIT+1.)]
    back = split(corners(f), f)
    assert [len(o) for o in back] == [3,4] and (back[1] == f[1].p).all()

def test_place():
    f = [Face(np.array([[0,0,1.],[1,0,1],[1,1,1]]))]
    assert_allclose(place(f,5,20)[0].p, f[0].p+[5,0,20])
    assert_allclose(place(f,0,0,np.pi/2)[0].p[0], [1,0,0], atol=1e-9)      # forwards becomes right
    assert_allclose(place(f,0,0,np.pi,2.)[0].p[1], [-2,0,-2], atol=1e-9)   # turned round and twice as large
    (g,) = place([Face(UNIT, (1,0,0), 7., (1,2,3), .5, 'A')], 1, 2)
    assert (g.rgb, g.temp, g.emit, g.sun, g.text) == ((1,0,0), 7., (1,2,3), .5, 'A')

def test_palette():
    pal = _palette([Face(UNIT[:3]+[0,0,10], (1,.5,0), 20.), Face(UNIT[:3]+[0,0,4], temp=-3., emit=(2,0,0))])
    assert_allclose(pal[1,REFL], [1,.5**2.2,0], atol=1e-6)             # linear light
    assert_allclose(pal[:,TEMP], [0,20,-3])
    assert_allclose(pal[1:,DISP], [.1,.25])
    assert pal[2,EMIT].tolist() == [2,0,0] and pal[:,9].tolist() == [0,1,1]

def test_the_later_polygon_covers_the_earlier():
    square = np.array([[2,2],[6,2],[6,6],[2,6.]])
    num = _draw_numbers([(square,''),(square+2,'')], (0,0,10,10), 4)
    assert num.shape == (40,40) and [num[12,12],num[20,20],num[30,30],num[0,0]] == [1,2,2,0]
    letters = (_draw_numbers([(square*4,'A')], (0,0,30,30), 2) == 1).sum()
    assert 0 < letters < 16*16*4                                        # letters do not fill their extent

def test_project_all():
    assert len(project_all(CAM, [FAR, Face(UNIT-[0,0,2])])) == 1        # what is behind us is not drawn
    assert_allclose(project_all(CAM, [FAR])[0][0], CAM.project(FAR.p))

def test_colour_and_heat_are_mixed_in_the_same_proportion():
    "The registration of the two images is not a matter of accuracy."
    _,sums = cover(Canvas(CAM, rng()), [FAR])
    assert_allclose(sums[...,9].sum(), 28**2, atol=45)                  # a square metre at 10 m: (f/10)² pixels
    assert_allclose(sums[...,TEMP], 30*sums[...,9], atol=1e-4)
    assert_allclose(sums[...,0], .8**2.2*sums[...,9], atol=1e-5)
    assert ((sums[...,9] > 0) & (sums[...,9] < 1)).any()                # its edge is soft
    assert cover(Canvas(CAM, rng()), [Face(UNIT+[500,0,10])]) is None   # out of sight

def test_more_faces_than_a_byte_has_numbers():
    c = Canvas(CAM, rng())
    faces = [Face(UNIT*[.1,.1,1]+[.1*(k%20)-1,.1*(k//20),10], temp=float(k)) for k in range(300)]
    _,sums = cover(c, faces)
    assert sums[...,TEMP].max() > 270 and (sums[...,9] <= 1+1e-5).all()

def test_paint():
    c = Canvas(CAM, rng())
    i,j = c.name('box',1), c.name('rail',6,share='left')
    paint(c, [FAR], i, grain=0.)
    assert 26**2 < (c.ids==i).sum() < 30**2
    assert_allclose(c.layers[c.ids==i][:,0].max(), .8**2.2, atol=1e-5)
    paint(c, [Face(UNIT*[.5,1,0]+[0,0,5])], j)
    assert (c.ids==j).any() and (c.ids==i).sum() < 26**2                # hidden behind the nearer one

def test_pieces_of_one_thing_share_an_id():
    c = Canvas(CAM, rng())
    a,b = c.name('rail',6,share='left'), c.name('rail',6,share='right')
    assert a != b and c.name('rail',6,share='left') == a and c.named[a] == ('rail',6,None,'')

def area(p): return abs((p[:,0]*np.roll(p[:,1],-1)-p[:,1]*np.roll(p[:,0],-1)).sum())/2

def test_shapes():
    assert_allclose(area(disc(3,2,1.,n=16).p), np.pi, atol=.1)
    assert_allclose(area(rect(0,2,0,3).p), 6)
    assert_allclose(np.ptp(limb((0,0),(0,2),.1,.1).p[:,1]), 2.2)        # ends are round
    q = rect(0,2,0,4,5)
    assert_allclose(patch(q,0,1,0,1).p, q.p)
    assert_allclose(patch(q,.5,1,0,.5).p.mean(0), [1.5,1,5])

def test_prism():
    box = prism([(0,0),(0,1),(2,1),(2,0)], 1., .5)
    assert len(box) == 6                                                # 2 sides and 4 strips
    assert_allclose(np.ptp(box[0].p[:,0]), .5)                          # narrower at the top

def test_painters_order():
    near,far,decal = rect(0,1,0,1,2), rect(0,1,0,1,9), rect(0,1,0,1,8)
    assert far_first([[near],[far,decal]]) == [far,decal,near]
