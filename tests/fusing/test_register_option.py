"register=: a pair that is not aligned is placed before it is fused, from Python, for folders and by the command."
import numpy as np
import pytest
import torch
from smfnet.data.colour import luma
from smfnet.data.images import read_image, write_image
from smfnet.data.register import RegistrationError, register, warp
from smfnet.data.scenes.render import render_scene
from smfnet.fusing.api import FuseOptions, fuse
from smfnet.fusing.cli import main
from smfnet.fusing.folders import fuse_folder

SIZE = (96,128)

@pytest.fixture(scope='module')
def moved():
    "Infrared of half the resolution, 8 px to the right and 5 px up; visible in colour."
    s = render_scene(3, size=SIZE)
    half = np.array([[.5,0,-.25], [0,.5,-.25], [0,0,1]])
    return warp(s.ir, np.linalg.inv(half @ [[1,0,8], [0,1,-5], [0,0,1]]), (48,64))[0], s.vi

def test_what_is_fused_is_the_registered_infrared(moved, net):
    ir,vi = moved
    found = register(ir, vi, 'shift')
    placed = np.where(found.mask, found.ir, luma(vi)).astype(np.float32)
    assert not found.mask.all()
    np.testing.assert_array_equal(fuse(ir, vi, weights=net, register='shift'), fuse(placed, vi, weights=net))

def test_tensors_and_batches(moved, net):
    ir,vi = torch.from_numpy(moved[0])[None,None], torch.from_numpy(luma(moved[1]))[None,None]
    one = fuse(ir, vi, weights=net, register='shift')
    two = fuse(ir.repeat(2,1,1,1), vi.repeat(2,1,1,1), weights=net, register='shift')
    assert one.shape == vi.shape and torch.allclose(two[1:], one, atol=1e-5)

def test_strangers_are_refused(moved, net):
    with pytest.raises(RegistrationError, match='no registration to be trusted'): fuse(np.zeros((48,64)), moved[1], weights=net, register='shift')

def test_a_folder_says_what_was_done_and_goes_on_after_a_refusal(moved, net, tmp_path):
    for k,ir in ((1, moved[0]), (2, np.full((48,64), .5))):
        write_image(tmp_path/f'ir/{k}.png', ir); write_image(tmp_path/f'vi/{k}.png', moved[1])
    good, bad = fuse_folder(tmp_path/'ir', tmp_path/'vi', tmp_path/'out', weights=net, register='shift', progress=False)
    assert good.status == 'fused' and 'blocks agree' in good.registered and read_image(good.out).shape == (*SIZE,3)
    assert bad.status == 'failed' and '2.png: no registration to be trusted' in bad.error and not bad.out.exists()
    assert good.row()['register'] == 'shift' and good.row()['registered'] == good.registered

def test_the_command(moved, weights, tmp_path, capsys):
    a,b = write_image(tmp_path/'ir.png', moved[0]), write_image(tmp_path/'vi.png', moved[1])
    args = [str(a), str(b), str(tmp_path/'f.png'), '--weights', str(weights), '--device', 'cpu']
    assert main(args) == 1 and '--register' in capsys.readouterr().err
    assert main([*args, '--register', 'shift']) == 0
    assert 'infrared moved' in capsys.readouterr().out and read_image(tmp_path/'f.png').shape == (*SIZE,3)

def test_wrong_options():
    with pytest.raises(ValueError, match='register must be one of shift, similarity, homography'): FuseOptions(register='affine')
    with pytest.raises(ValueError, match='leave resize out'): FuseOptions(register='shift', resize='ir')
