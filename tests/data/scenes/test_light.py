"What a visible and a thermal camera see."
import numpy as np
import pytest
from smfnet.data.scenes.drawing import SUN, TEMP, Camera, Canvas, paint, place, rect
from smfnet.data.scenes.light import _glare, _lighting, infrared, shadows, smoke, visible
from smfnet.data.scenes.street import Item, ground, layout, sky
from smfnet.data.scenes.things import person

CAM = Camera(240, 320, 280., 160., 100., 1.6)
def rng(seed=0): return np.random.default_rng(seed)
DAY, NIGHT = (layout(rng(3), t) for t in ('day','night'))

def empty(lay):
    c = Canvas(CAM, rng())
    sky(c, lay); ground(c, lay)
    return c

@pytest.mark.parametrize('lay, dark', [(DAY,True),(NIGHT,False)])
def test_a_shadow_needs_the_sun(lay, dark):
    c = empty(lay)
    before = c.layers[...,TEMP].copy()
    shadows(c, lay, [Item(8., [rect(-.2,.2,0,2,8)])])
    assert (c.layers[101:,:,SUN] < .5).any() == dark
    assert (c.layers[...,TEMP] < before-1).any() == dark                     # shaded ground is cooler
    assert (c.layers[:95,:,TEMP] == before[:95]).all()                       # only the ground takes it

def test_a_lamp_lights_what_is_near_it():
    c = empty(NIGHT)
    e = _lighting(c, NIGHT, [(0,6,12,9.,(1,1,1))], False).mean(-1)
    assert e[int(CAM.cy+CAM.f*1.6/12)].max() > 3*e[-1].max()
    assert _lighting(c, NIGHT, [], False).max() < .01

def test_our_headlights_light_the_road_and_not_the_sky():
    e = _lighting(empty(NIGHT), NIGHT, [], True)
    assert e[-20,150].mean() > 10*e[80,150].mean()

def test_only_what_is_brighter_than_white_scatters():
    dot = np.zeros((60,60,3), np.float32); dot[30,30] = 9
    assert _glare(dot, 60)[30,36].min() > 1e-3 and _glare(np.minimum(dot,1), 60).max() == 0

@pytest.fixture(scope='module')
def walker():
    "Canvas by day with a person, id 1, and smoke in front of him."
    c = empty(DAY)
    him = Item(12., place(person(rng(3),10.),0,12))
    paint(c, him.faces, 1)
    return c, smoke(c, him)

def test_smoke_is_dense_on_its_thing_and_clear_elsewhere(walker):
    c,a = walker
    assert 0 <= a.min() and .9 < a[c.ids==1].mean() <= .985 and a[:,:30].max() < .1

def test_smoke_hides_from_the_eye(walker):
    c,a = walker
    (_,clear),(_,fog) = (visible(c, DAY, [], False, o, rng()) for o in (None,a))
    dense = a > .95
    gap = lambda x: np.abs(x[dense&(c.ids==1)].mean(0)-x[dense&(c.ids==0)].mean(0)).max()
    assert gap(fog) < .3*gap(clear)

def test_the_visible_camera_has_little_noise_without_bias(walker):
    img,clean = visible(walker[0], DAY, [], False, None, rng())
    assert abs((img-clean).mean()) < 2e-3 and .003 < (img-clean).std() < .02 and img.dtype == np.float32

def test_white_is_hot(walker):
    c,_ = walker
    k = infrared(c, DAY, rng())
    assert (k.shape,k.dtype) == ((240,320),np.float32) and 0 <= k.min() and k.max() <= 1
    assert k[c.ids==1].mean() > k[200:].mean()+.1 > k[:60].mean()+.3         # people, ground, sky

def test_the_thermal_camera_has_noise_and_half_the_resolution(walker):
    c,_ = walker
    k = infrared(c, DAY, rng())
    assert 0 < np.abs(k-infrared(c, DAY, rng(1))).mean() < .03
    fine = lambda x: np.abs(np.diff(x,2,1)).mean()/x.std()
    assert fine(k) < .6*fine(visible(c, DAY, [], False, None, rng())[0].mean(-1))
