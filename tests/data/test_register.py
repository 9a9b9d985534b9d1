"Registration: a known transform is found, and what cannot be known is refused (data.register)."
import math
import numpy as np
import pytest
import torch
from smfnet.data.colour import luma
from smfnet.data.images import write_image
from smfnet.data.register import RegistrationError, _about_centres, _agreement, _scaling, edge_field, register, register_pair, warp
from smfnet.data.scenes.render import render_scene

SIZE, HALF = (180,240), (90,120)

@pytest.fixture(scope='module')
def scene(): return render_scene(3, size=SIZE)

def moved(ir, zoom, turn, right, down, tilt=0.):
    "The infrared of half the resolution under a known transform, and the matrix from visible to infrared pixels."
    m = _about_centres(SIZE, SIZE, zoom, math.radians(turn)) @ [[1,0,right], [0,1,down], [0,0,1]]
    c = np.array([[1,0,119.5], [0,1,89.5], [0,0,1]])
    truth = _scaling(SIZE, HALF) @ m @ c @ [[1,0,0], [0,1,0], [tilt,tilt/2,1]] @ np.linalg.inv(c)
    return warp(ir, np.linalg.inv(truth), HALF)[0], truth

def distance(a, b, margin=40):
    "Mean distance in visible px between two matrices, in the middle of the picture."
    p = np.stack([*np.meshgrid(np.linspace(margin, SIZE[1]-margin, 9), np.linspace(margin, SIZE[0]-margin, 9)), np.ones((9,9))]).reshape(3,-1)
    q = np.linalg.inv(b) @ a @ p
    return np.hypot(*(q[:2]/q[2] - p[:2])).mean()

def test_edges_do_not_know_the_sign_of_a_step():
    ramp = torch.linspace(0, 1, 32).expand(1,1,32,32)
    z, negative, turned = (edge_field(o)[...,6:-6,6:-6] for o in (ramp, 1-ramp, ramp.mT))
    assert _agreement(z, negative) == pytest.approx(1, abs=1e-4)
    assert _agreement(z, turned) == pytest.approx(-1, abs=1e-4)
    assert _agreement(z, torch.zeros_like(z)) == 0

def test_warp_puts_a_point_where_the_matrix_says_and_marks_what_is_missing():
    x = np.zeros((20,30), np.float32)
    x[7,11] = 1
    y,mask = warp(x, np.array([[1,0,3], [0,1,-2], [0,0,1.]]), (24,32)) # result (c, r) is seen at (c+3, r-2)
    assert np.argwhere(y > .5).tolist() == [[9,8]]
    assert mask[2:22,:27].all() and not mask[:2].any() and not mask[22:].any() and not mask[:,27:].any()

def test_warp_of_colour_and_back_again(scene):
    m = _about_centres(SIZE, SIZE, 1.1, .05)
    back,_ = warp(warp(scene.vi, m, SIZE)[0], np.linalg.inv(m), SIZE)
    assert back.shape == scene.vi.shape and np.abs(back - scene.vi)[40:-40,40:-40].mean() < .02

def test_a_larger_image_is_shrunk_without_aliasing():
    x = np.indices((64,64)).sum(0)%2*1. # a checkerboard of single pixels
    y,_ = warp(x, _scaling((16,16), (64,64)), (16,16))
    assert y.shape == (16,16) and y.min() > .4 and y.max() < .6

@pytest.mark.parametrize('model, how, least', [
    ('shift', (1,0,9,-6), 1.), ('similarity', (1.12,4,7,-5), 1.5), ('similarity', (.88,-5,-6,8), 1.5), ('homography', (1.05,2,5,4,4e-4), 2.)])
def test_a_known_transform_at_half_the_resolution(scene, model, how, least):
    ir, truth = moved(scene.ir, *how)
    found = register(ir, scene.vi, model)
    assert distance(_scaling(SIZE, HALF), truth) > 6 and distance(found.matrix, truth) < least
    assert found.sure and found.ir.shape == found.mask.shape == SIZE and found.confidence >= .4 and found.spread < 4
    assert not found.mask.all() and found.mask.mean() > .6

def test_a_negative_is_registered_alike(scene):
    ir, truth = moved(scene.ir, 1.1, 3, 6, 5)
    assert distance(register(1-ir, scene.vi).matrix, truth) < 1.5

def test_an_infrared_of_more_pixels_and_another_shape(scene):
    "A sensor of 5:4 and thrice the pixels that sees a part of the visible image."
    truth = np.array([[3,0,-150], [0,3,-60], [0,0,1.]])
    ir,_ = warp(scene.ir, np.linalg.inv(truth), (432,540))
    found = register(ir, scene.vi, zoom=(.8,1.6))
    assert distance(found.matrix, truth, 65) < 1.5 and found.mask.sum() < .9*180*240

def test_what_was_done_is_said(scene):
    ir,_ = moved(scene.ir, 1, 0, 9, -6)
    said = register(ir, scene.vi, 'shift').said()
    assert 'blocks agree' in said and float(said.split('moved ')[1].split()[0]) == pytest.approx(-9, abs=1) and 'zoomed 1.000 times, turned +0.0 degrees' in said

@pytest.mark.parametrize('ir', [render_scene(8, size=HALF).ir, np.zeros(HALF), np.random.default_rng(0).random(HALF)], ids=['another scene','flat','noise'])
def test_what_cannot_be_known_is_refused(scene, ir):
    with pytest.raises(RegistrationError, match='blocks of the picture agree') as e: register(ir, scene.vi)
    assert not e.value.found.sure and isinstance(e.value, ValueError)

def test_what_is_unsure_can_be_had_all_the_same(scene):
    assert not register(np.zeros(HALF), scene.vi, 'shift', believe=True).sure

def test_files(scene, tmp_path):
    ir,_ = moved(scene.ir, 1, 0, 9, -6)
    a,b = write_image(tmp_path/'ir.png', ir), write_image(tmp_path/'vi.jpg', scene.vi)
    assert register(a, str(b), 'shift').ir.shape == SIZE

def test_before_fusing_the_missing_part_is_the_visible_luma(scene):
    ir,_ = moved(scene.ir, 1.1, 3, 6, 5)
    got, said = register_pair(ir[...,None], scene.vi, 'similarity')
    mask = register(ir, scene.vi).mask
    assert got.shape == SIZE and (got == luma(scene.vi))[~mask].all() and not (got == luma(scene.vi))[mask].all() and 'turned' in said

@pytest.mark.parametrize('args, how, words', [
    (('x',), {}, 'model must be one of shift, similarity, homography'), (('shift',), {}, 'no shift brings together'),
    ((), dict(zoom=(2,1)), r'zoom must be \(smallest, largest\)')])
def test_wrong_arguments(scene, args, how, words):
    with pytest.raises(ValueError, match=words): register(np.zeros((60,120)), scene.vi, *args, **how)

def test_wrong_images(scene):
    with pytest.raises(ValueError, match=r'ir is 40×20 px; registration needs 32×32 px'): register(np.zeros((20,40)), scene.vi)
    with pytest.raises(ValueError, match='ir must lie in'): register(scene.ir*300, scene.vi)
    with pytest.raises(TypeError, match='ir must be a path or a numpy array'): register(torch.zeros(1,1,64,64), scene.vi)

def test_nothing_is_left_in_the_callers_torch(scene):
    "No gradients are switched on or off, no seed is set."
    state = torch.get_rng_state()
    with torch.no_grad():
        register(moved(scene.ir, 1, 0, 9, -6)[0], scene.vi, 'shift')
        assert not torch.is_grad_enabled()
    assert (state == torch.get_rng_state()).all()
