"Ground, sky, buildings, and who is in the street."
import dataclasses
import numpy as np
import pytest
from numpy.testing import assert_allclose
from smfnet.data.scenes.drawing import DISP, EMIT, TEMP, Camera, Canvas, corners
from smfnet.data.scenes.street import (
    Street, _building_look, _bump, _facade, _guardrail, _markings, _on_wall, _soft, _vehicle, _windows, buildings, covers, furniture, ground,
    kerbs, layout, people, riders, sky, skyline, traffic)

CAM = Camera(240, 320, 280., 160., 100., 1.6)
def rng(seed=3): return np.random.default_rng(seed)
DAY, NIGHT = (layout(rng(), t) for t in ('day','night'))

@pytest.fixture
def canvas(): return Canvas(CAM, rng())

def test_a_soft_edge_does_not_change_the_width():
    assert_allclose(_soft(np.linspace(-1,1,2001),.3,.1).mean()*2, .6, atol=1e-3)

def test_a_layout_is_decided_by_its_seed():
    assert DAY.time == 'day' and DAY == layout(rng(), 'day') and (DAY.on, NIGHT.on) == (0,1)
    assert {layout(rng(k)).time for k in range(40)} == {'day','dusk','night'}

def test_markings():
    lay = dataclasses.replace(DAY, crossing=0)
    at = lambda x,z: _markings(lay, np.array([x]), np.array([z]), .01, .01).round()[0]
    assert [at(0.,4.5), at(0.,9.), at(1.5,4.5), at(lay.hw-.35,4.5)] == [1,0,0,1]   # a dash, a gap, bare road, its edge
    lay = dataclasses.replace(DAY, crossing=12.)
    assert [at(.5,13.), at(1.,13.)] == [1,0]                                       # a bar, and between two

def test_the_ground_lies_where_the_camera_sees_it(canvas):
    ground(canvas, DAY)
    assert_allclose(1/canvas.layers[200,100,DISP], CAM.f*CAM.height/(200.5-CAM.cy), atol=1e-3)
    assert canvas.layers[:90,:,DISP].max() == 0                                    # nothing above the horizon

def test_the_sky_is_cold_above(canvas):
    sky(canvas, DAY); ground(canvas, DAY); skyline(canvas, DAY)
    T = canvas.layers[...,TEMP]
    assert T[0].mean() < T[70].mean() < DAY.air < T[-1].mean()
    assert (canvas.layers[88:99,:,EMIT].max(-1)==0).any()                          # roofs stand before it

def test_a_ray_meets_a_wall_in_one_point():
    s,y,z,_,_ = _on_wall(Canvas(CAM, rng()), (200,60,240,120), np.array([2.,0,8]), np.array([0.,1.]))
    assert_allclose(z, 8+s, atol=1e-3)                                             # along z, s is depth
    assert (y[:30] > 1.6).all() and (y[-10:] < 1.6).all()                          # eye level is the horizon

def test_windows_have_frames():
    win,rim,*_ = _windows(np.linspace(0,20,400)[None], np.full((1,400),5.), .05, .05, 20., 12., _building_look(rng(0), NIGHT))
    assert (win<=rim).all() and win.max()==1 and win.min()==0

def test_some_windows_are_lit_at_night(canvas):
    _facade(canvas, np.array([2.,0,8]), np.array([0.,1.]), 20., 12., _building_look(rng(0), NIGHT), NIGHT)
    seen = canvas.layers[...,DISP] > .04
    assert_allclose(1/canvas.layers[...,DISP].max(), 8., atol=.5)                  # its near corner
    assert .01 < (canvas.layers[...,EMIT].max(-1)[seen]>.1).mean() < .4

def test_and_none_by_day(canvas):
    buildings(canvas, dataclasses.replace(DAY, style=0))
    assert canvas.layers[...,EMIT].max() == 0 and (canvas.layers[...,DISP]>0).mean() > .2

def test_a_park_has_no_buildings(canvas):
    buildings(canvas, dataclasses.replace(DAY, style=2))
    assert canvas.layers[...,DISP].max() == 0

@pytest.mark.parametrize('make, label, n', [(lambda: kerbs(rng(0),DAY),4,48), (lambda: _guardrail(rng(0),DAY,1),6,30), (lambda: _bump(rng(0),DAY,9.),8,1)])
def test_pieces_of_the_road(make, label, n):
    got = make()
    assert {o.label for o in got} == {label} and len(got) == n

def test_pieces_that_are_one_thing():
    assert {o.share for o in kerbs(rng(0),DAY)} == {'kerb-1','kerb1'}              # two things, not 48
    assert_allclose(corners(_bump(rng(0),DAY,9.)[0].faces)[:,1].max(), .09)        # a bump of 9 cm

def test_covers_are_warm_and_unnamed():
    got = [o for k in range(5) for o in covers(rng(k),DAY)]
    assert len(got) >= 5 and all(o.faces[0].temp > DAY.air and not o.label for o in got)

def test_nothing_stands_in_anything_else():
    st = Street()
    assert [st.free(0,10,1,2), st.free(.5,11,1,2), st.free(5,10,1,2)] == [True,False,True]

def test_headlights_come_before_the_vehicle():
    shade,it = _vehicle(rng(0), NIGHT, 0., 12., np.pi, 1., 1., 'bus')
    assert (it.kind,it.label,it.cls,shade.label) == ('bus',1,2,0)
    assert it.lights[0][2] < corners(it.faces)[:,2].min()                          # it comes towards us and lights the road
    assert _vehicle(rng(0), DAY, 0., 12., 0., 0., 1.)[1].lights == ()

def many(draw, lay, n): return [o for k in range(n) for o in draw(rng(k), lay, Street())]

def test_traffic():
    got = [o for o in many(traffic, DAY, 9) if o.label == 1]
    assert len(got) > 15 and {o.kind for o in got} == {'car','bus','truck'}

def test_people():
    crowd = many(people, DAY, 9)
    assert len(crowd) >= 27 and {(o.label,o.cls) for o in crowd} == {(2,0)}

def test_riders():
    assert {(o.kind,o.label,o.cls) for o in many(riders, DAY, 20)} == {('bicycle',3,None),('motorcycle',3,4),('rider',2,0)}

def test_furniture():
    stuff = many(furniture, NIGHT, 12)
    assert {'lamp','tree','sign','cone','bollard','guardrail','bump'} <= {o.kind for o in stuff}
    assert {o.hidden for o in stuff if o.kind=='sign'} == {'ir'}
    assert {(o.label,o.cls) for o in stuff if o.kind in ('lamp','cone','bollard')} == {(0,3),(7,None),(5,None)}
