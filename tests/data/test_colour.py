"Brightness and colour apart, and together again."
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from PIL import Image
from smfnet.data.colour import join_colour, luma, split_colour
from smfnet.data.images import to_bytes

GREY = np.random.default_rng(0).random((5,7)).astype(np.float32)
RGB = np.random.default_rng(1).random((6,9,3)).astype(np.float32)
shapes = st.tuples(st.integers(1,9), st.integers(1,9)).flatmap(lambda s: st.sampled_from([s, (*s,3)]))

@settings(max_examples=25, deadline=None)
@given(x=shapes.flatmap(lambda s: arrays(np.float32, s, elements=st.floats(0, 1, width=32))))
def test_colour_is_put_back(x):
    y,chroma = split_colour(x)
    back = join_colour(y, chroma)
    assert np.abs((back if chroma is not None or x.ndim == 2 else back[...,None]) - x).max() <= 1e-6

def test_weights():
    assert_allclose(luma(np.array([[[1.,0,0],[0,1,0],[0,0,1],[1,1,1]]])), [[.299,.587,.114,1]])
    assert luma(GREY) is GREY
    assert_allclose(luma(np.stack([GREY]*3, -1)), GREY, atol=1e-6)
    assert luma(RGB).dtype == np.float32 and luma(RGB.astype(np.float64)).dtype == np.float64

def test_what_is_no_image():
    with pytest.raises(ValueError, match=r'\(5, 7, 2\)'): luma(np.zeros((5,7,2)))
    with pytest.raises(TypeError, match='not uint8'): luma(to_bytes(RGB))

def test_chroma():
    y,chroma = split_colour(RGB)
    assert np.abs(chroma).max() <= .5 and chroma.dtype == np.float32
    assert_allclose(split_colour(np.array([[[0.,0,1],[1,0,0]]]))[1], [[[.5,-.114/1.402],[-.299/1.772,.5]]])

def test_grey_has_no_chroma():
    assert split_colour(GREY)[1] is None
    y,chroma = split_colour(np.stack([GREY]*3, -1))
    assert (y == GREY).all() and chroma is None
    assert join_colour(GREY*3, None).max() == 1

def test_tensors_and_batches():
    y,chroma = split_colour(RGB)
    y,chroma,x = torch.from_numpy(y)[None], torch.from_numpy(chroma).permute(2,0,1), torch.from_numpy(RGB).permute(2,0,1)
    assert_allclose(join_colour(y, chroma), x, atol=1e-6)
    two = join_colour(torch.stack([y,y]), torch.stack([chroma,chroma]))
    assert two.shape == (2,3,6,9)
    assert_allclose(two[1], x, atol=1e-6)

def test_another_luma_under_the_old_colour():
    y,chroma = split_colour(RGB)
    other = join_colour(1-y, chroma)
    assert other.min() >= 0 and other.max() <= 1
    inside = ((other > 0) & (other < 1)).all(-1)            # where nothing was clipped
    assert 0 < inside.sum() < inside.size
    assert_allclose(luma(other)[inside], (1-y)[inside], atol=1e-6)
    with pytest.raises(ValueError, match='differ in size'): join_colour(y[:3], chroma)

def test_pillow_agrees():
    "To one level of its rounding."
    p = np.asarray(Image.fromarray(to_bytes(RGB)).convert('YCbCr')).astype(np.float32)
    y,chroma = split_colour(to_bytes(RGB).astype(np.float32)/255)
    assert np.abs(y*255 - p[...,0]).max() <= 1
    assert np.abs(chroma*255 + 128 - p[...,1:]).max() <= 1

def test_scikit_image_agrees():
    color = pytest.importorskip('skimage.color', reason='scikit-image is not installed')
    assert_allclose(color.rgb2yuv(RGB)[...,0], luma(RGB), atol=1e-4)

def test_kornia_agrees():
    "Its factors have three digits."
    color = pytest.importorskip('kornia.color', reason='kornia is not installed')
    y,chroma = split_colour(RGB)
    want = color.rgb_to_ycbcr(torch.from_numpy(RGB).permute(2,0,1)).permute(1,2,0).numpy()
    assert_allclose(want[...,0], y, atol=1e-5)
    assert_allclose(want[...,1:] - .5, chroma, atol=1e-3)
