"Hints about pairs that can be fused and perhaps should not be as they are (fusing.hints)."
import warnings
import numpy as np
import pytest
import torch
from PIL import Image
from smfnet.data.images import write_image
from smfnet.data.kinds import as_images
from smfnet.data.pairs import PairFiles
from smfnet.data.scenes.render import render_scene
from smfnet.fusing.api import FuseOptions, fuse, load_pair, take_pair
from smfnet.fusing.folders import fuse_folder
from smfnet.fusing.hints import pair_hints

SCENE = render_scene(3, size=(64,80))
IRON = np.stack([SCENE.ir, SCENE.ir**2, .6 - .5*SCENE.ir], -1)

def hints(files, **options):
    said = []
    load_pair(files, FuseOptions(**options), said.append)
    return said

@pytest.fixture
def pair(tmp_path):
    def make(ir=SCENE.ir, vi=SCENE.vi, names=('7_ir.png','7_vis.png')):
        for n,x in zip(names, (ir, vi)): Image.fromarray(x).save(tmp_path/n) if x.dtype.kind == 'u' else write_image(tmp_path/n, x)
        return PairFiles('7', *(tmp_path/n for n in names))
    return make

def test_a_good_pair_has_none(pair):
    assert hints(pair()) == [] and hints(pair(ir=SCENE.ir[...,None].repeat(3, -1))) == []   # grey stored as colour
    assert hints(pair(names=('7_ir.jpg','7_vis.jpg'))) == []

def test_fourteen_bits(pair):
    x = (500 + 15000*SCENE.ir).astype(np.uint16)
    said = hints(pair(ir=x))
    assert len(said) == 1 and said[0].endswith(f'holds 14-bit values in a 16-bit file (the largest is {x.max()}); stretch=(1, 99) (--stretch 1,99) would spread it')
    assert hints(pair(ir=x), stretch=(1,99)) == [] and hints(pair(ir=(x*4).astype(np.uint16))) == []

def test_a_faint_infrared(pair):
    said = hints(pair(ir=(.5 + .05*SCENE.ir).astype(np.float32)))
    assert len(said) == 1 and '% of its scale; stretch=(1, 99) (--stretch 1,99) would spread it' in said[0]

def test_colours_in_the_infrared(pair):
    said = hints(pair(ir=IRON))
    assert len(said) == 1 and '7_ir.png is in colour: a palette' in said[0]

def test_swapped(pair):
    grey = SCENE.vi.mean(-1)
    assert 'look swapped: the infrared has colour and the visible has none' in hints(pair(ir=SCENE.vi, vi=SCENE.ir))[0]
    assert 'look swapped: by their names' in hints(pair(ir=grey, vi=SCENE.ir, names=('7_vis.png','7_ir.png')))[0]
    assert hints(pair(vi=grey)) == []

def test_a_changed_shape(pair):
    files = pair(ir=SCENE.ir[:,:60])
    assert 'resize changes the shape of an image' in hints(files, resize='ir')[0]
    assert hints(pair(ir=SCENE.ir[::2,::2]), resize='ir') == []

def test_shifted(pair):
    moved = np.roll(render_scene(3, size=(160,200)).ir, (6,-9), (0,1))
    said = hints(pair(ir=moved, vi=render_scene(3, size=(160,200)).vi))
    assert said and '7_vis.png seems to be moved by +9 px to the right and -6 px down against ' in said[-1] and '7_ir.png; edges' in said[-1]

def test_arrays_pictures_and_tensors_are_called_by_their_arguments():
    x, grey = (500 + 15000*SCENE.ir).astype(np.uint16), SCENE.vi.mean(-1)
    for k in (x, Image.fromarray(x), torch.from_numpy(x)):
        assert pair_hints(as_images(k, 'ir'), as_images(SCENE.vi, 'vi'))[0].startswith('ir holds 14-bit values')
    assert pair_hints(as_images(SCENE.vi, 'ir'), as_images(grey, 'vi')) == ['ir and vi look swapped: the infrared has colour and the visible has none']
    two = lambda a, b: as_images(np.stack([a, b]), 'ir')
    assert pair_hints(two(SCENE.ir, .5 + .05*SCENE.ir), two(grey, grey))[0].startswith('ir[1] spans')
    many = lambda x, last: as_images(np.stack([x]*8 + [last]), 'ir')
    assert pair_hints(many(SCENE.ir, .5 + .05*SCENE.ir), many(grey, grey)) == [] # the first eight are looked at

def test_python_says_what_the_folder_says(pair, net, tmp_path):
    "The same sentences, as warnings of the line that calls `fuse`."
    files = pair(ir=np.clip(.5 + .05*IRON, 0, 1))
    for options in ({}, dict(stretch=(1,99))):
        job, = fuse_folder(files.ir, files.vi, tmp_path/'f.png', weights=net, **options)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter('always')
            fuse(files.ir, files.vi, weights=net, **options)
        assert [str(w.message) for w in seen] == job.hints != [] and {w.filename for w in seen} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        fuse(SCENE.ir, SCENE.vi, weights=net)

def test_nobody_who_asks_for_no_hints_is_told(pair):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        take_pair(IRON, SCENE.vi)
