"Hints about pairs that can be fused and perhaps should not be as they are (fusing.hints)."
import numpy as np
import pytest
from PIL import Image
from smfnet.data.images import write_image
from smfnet.data.pairs import PairFiles
from smfnet.data.scenes.render import render_scene
from smfnet.fusing.api import FuseOptions, load_pair
from smfnet.fusing.hints import pair_hints

SCENE = render_scene(3, size=(64,80))
IRON = np.stack([SCENE.ir, SCENE.ir**2, .6 - .5*SCENE.ir], -1)

def hints(files, **options):
    o = FuseOptions(**options)
    return pair_hints(files, o, load_pair(files, o))

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

def test_names_and_headers_without_the_pixels(pair):
    assert pair_hints(pair(ir=IRON))[0].endswith('save it in white-hot grey')
