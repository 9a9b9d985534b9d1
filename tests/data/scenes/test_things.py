"People, vehicles, street furniture and trees."
import numpy as np
from numpy.testing import assert_allclose
from smfnet.data.scenes.drawing import TEMP, Camera, Canvas, _draw_numbers, corners, paint, place
from smfnet.data.scenes.things import (
    _GLASS, _branches, _ring, bike, bollard, boxy, car, cone, lamp, person, pick, sign, solid, tree)

def rng(seed=0): return np.random.default_rng(seed)
def flat(parts): return [f for p in parts for g in p for f in g]
def size(faces, axis): return np.ptp(corners(faces)[:,axis])

def painted(things, z=6.):
    c = Canvas(Camera(110, 230, 170., 115, 40, 1.6), rng(1))
    c.layers[...,TEMP] = 10
    for k,(x,t) in enumerate(things): paint(c, t if t[0].p[:,2].min() > 1 else place(t,x,z), k+1)
    return c

def test_people_are_warmer_than_the_air_and_no_warmer_than_skin():
    c = painted([(x, person(rng(k), 10., k==4)) for k,x in enumerate((-2,-1,0,1,2))], z=4.2)
    temp = c.layers[...,TEMP][c.ids > 0]
    assert temp.min() > 11 and 28 < temp.max() < 34
    assert len(np.unique(c.ids)) == 6

def test_people():
    p = person(rng(), 10.)
    assert_allclose(size(p,1), 1.77, atol=.06)                               # metres tall
    assert max(f.temp for f in person(rng(), 25.)) > max(f.temp for f in p)
    assert corners(person(rng(), seated=True))[:,0].max() > .55              # hands on the handlebar

def test_pick_takes_every_option():
    r = rng()
    assert {pick(r, 'abc') for _ in range(50)} == set('abc')

def test_a_driven_car_is_warm():
    warm,cold = (flat(car(rng(2), 10., 0, w)) for w in (1.,0.))
    assert_allclose(max(f.temp for f in warm)-max(f.temp for f in cold), 31, atol=6)   # the exhaust
    assert np.mean([f.temp for f in warm if f.rgb==_GLASS]) < 10             # panes mirror the sky
    assert max(max(f.emit) for f in flat(car(rng(2), on=1.))) > 10*max(max(f.emit) for f in warm)

def test_vehicles_have_their_length():
    assert_allclose(size(flat(car(rng(2))),2), 4.26, atol=.05)
    assert size(flat(boxy(rng(2))),2) > 9.9
    assert 6.5 < size(flat(boxy(rng(2), kind='truck')),2) < 7.5

def test_solids_are_painted():
    r = rng(4)
    c = painted([(0,solid(car(r),-4.2,12,2.6)), (0,solid(car(r,10.,0,0.,-2.),-.8,11,.5)),
                 (0,solid(boxy(r,kind='truck'),3.,16,.3,True)), (0,solid(boxy(r),8.,17,2.6))])
    assert len(np.unique(c.ids)) == 5

def test_bikes():
    hot,cool = (max(f.temp for f in bike(rng(k), 10., motor=m)) for k,m in ((2,True),(1,False)))
    assert hot > 50 > 20 > cool

def test_a_wheel_is_hollow_with_a_rim():
    row = _draw_numbers([(_ring(20,20,18,.8).p[:,:2],'')], (0,0,40,40), 2)
    assert [row[40,40],row[40,5]] == [0,1]

def test_letters_are_as_warm_as_their_board():
    _,board = sign(rng(5), 10.)
    assert len({f.temp for f in board}) == 1 and len({f.rgb for f in board}) == 2 and board[-1].text

def test_a_lamp_shines_when_it_is_on():
    assert sum(max(f.emit) > 1 for f in lamp(rng(), 10., 1.)) == 1 and max(max(f.emit) for f in lamp(rng(), 10., 0.)) == 0

def test_street_furniture_has_its_height():
    assert_allclose([size(o,1) for o in (cone(rng()),bollard(rng()),lamp(rng()))], [.75,.94,6.28], atol=.06)

def test_trees():
    full,bare = (tree(rng(), 10., 5., b) for b in (False,True))
    assert len(full)-len(bare) == 330                                        # leaves
    top,low = (np.mean([sum(f.rgb) for f in o]) for o in (full[-80:],full[len(bare):len(bare)+80]))
    assert top > 1.5*low                                                     # bright above, dark below
    assert len(_branches(rng(), np.zeros(2), 0., 1., 0)) == 1
    assert size(tree(rng(), height=8.),1) > 1.4*size(full,1)
