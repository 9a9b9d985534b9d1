"A path, a Pillow image, an array or a tensor, one or a batch: taken in one form and answered in kind (data.kinds)."
import numpy as np
import pytest
import torch
from PIL import Image
from smfnet.data.images import write_image
from smfnet.data.kinds import as_images

RGB = np.random.default_rng(0).integers(0, 256, (20,24,3), dtype=np.uint8)
T = torch.from_numpy(RGB).permute(2,0,1)
KINDS = {
    'h w':RGB[...,0], 'h w 1':RGB[...,:1], 'h w 3':RGB, 'b h w':RGB[None,...,0].repeat(4, 0), 'b h w 1':RGB[None,...,:1].repeat(2, 0), 'b h w 3':RGB[None].repeat(2, 0),
    'numpy b 3 h w':RGB.transpose(2,0,1)[None].repeat(2, 0), 'numpy b 1 h w':RGB[None,None,...,0], 'one row of a batch':RGB[None,...,0],
    'float':RGB/255, 'float32':(RGB/255).astype('f4'), '>f8':(RGB[...,0]/255).astype('>f8'), 'uint16':RGB.astype('u2')*257, '>u2':RGB.astype('>u2')*257,
    'torch h w':T[0], 'torch 1 h w':T[:1], 'torch 3 h w':T, 'torch b 1 h w':T[None,:1].repeat(2,1,1,1), 'torch b 3 h w':T[None].repeat(2,1,1,1), 'torch b h w':T[:1].repeat(5,1,1),
    'torch float':T/255, 'torch double':T.double()/255, 'torch half':(T/255).half(), 'torch bfloat16':(T/255).bfloat16(), 'torch uint16':(T.int()*257).to(torch.uint16),
    'L':Image.fromarray(RGB[...,0]), 'RGB':Image.fromarray(RGB), 'I;16':Image.fromarray(RGB[...,0].astype('u2')*257), 'F':Image.fromarray((RGB[...,0]/255).astype('f4'))}

def values(x): return np.asarray(x.float() if isinstance(x, torch.Tensor) else x, float)

@pytest.mark.parametrize('kind', KINDS)
def test_each_kind_comes_back_as_it_was(kind):
    x = KINDS[kind]
    got = as_images(x)
    assert got.x.ndim == 4 and got.x.dtype == np.float32 and got.size == (20,24) and got.x.max() <= 1
    back = got.answer(torch.from_numpy(got.x).permute(0,3,1,2))
    assert type(back) is type(x) and np.shape(values(back)) == np.shape(values(x))
    assert np.abs(values(back) - values(x)).max() < 1e-6
    assert got.batched == (values(x).ndim == 4 or kind in ('b h w', 'torch b h w', 'one row of a batch'))
    dtype = getattr(x, 'dtype', None)
    if dtype is not None: assert back.dtype == (dtype if 'int' in str(dtype) or 'u2' in str(dtype) else {np.ndarray:np.float32, torch.Tensor:torch.float32}[type(x)])
    else: assert back.mode == x.mode

def test_a_file_comes_as_an_array(tmp_path):
    got = as_images(write_image(tmp_path/'a.png', RGB/255))
    back = got.answer(torch.from_numpy(got.x).permute(0,3,1,2))
    assert back.dtype == np.float32 and (np.rint(back*255) == RGB).all()

def test_grey_and_chroma_of_a_mixed_batch():
    two = np.stack([RGB, RGB[...,:1].repeat(3, -1)])
    got, one = as_images(two), as_images(RGB)
    assert got.grey().shape == (2,1,20,24) and (got.grey()[0] == one.grey()[0]).all() and (got.chroma()[0] == one.chroma()[0]).all()
    assert (got.chroma()[1] == 0).all() and as_images(two[1]).chroma() is None

def test_each_image_of_a_batch_is_stretched_for_itself():
    k = np.stack([300 + np.arange(480.).reshape(20,24), 9*np.arange(480.).reshape(20,24)])
    got = as_images(k, stretch=(0,100)).x
    assert np.abs(got[0] - got[1]).max() < 1e-6 and got.max() == 1

def test_missing_pixels_of_an_array():
    k = 300 + np.arange(480.).reshape(20,24)
    for value,more in ((np.nan, {}), (-9999., dict(nodata=-9999))):
        x = k.copy(); x[3:5,4:9] = value
        assert np.abs(as_images(x, stretch=(0,100), **more).x[0,...,0] - (k-300)/479).max() < .2
    with pytest.raises(ValueError, match='ir has no pixel with a value'): as_images(k*np.nan, 'ir')

@pytest.mark.parametrize('x, error, words', [
    (np.ones((20,20,2)), ValueError, r'ir must be \(h w\), \(h w 1\), \(h w 3\), or a batch.*\(20, 20, 2\)'), (np.ones(20), ValueError, r'\(20,\)'), (np.ones((0,20)), ValueError, r'\(0, 20\)'),
    (torch.rand(1,2,20,20), ValueError, r'\(1, 2, 20, 20\)'), (np.ones((20,20), int), TypeError, 'int64'), (torch.ones(20,20).int(), TypeError, 'int32'), (np.ones((20,20), bool), TypeError, 'bool'),
    (np.full((20,20), 200.), ValueError, 'ir has values from 200 to 200'), (np.full((20,20), np.inf), ValueError, 'infinite'), (3, TypeError, 'not int'), (None, TypeError, 'not NoneType')])
def test_what_is_no_image(x, error, words):
    with pytest.raises(error, match=words): as_images(x, 'ir')
