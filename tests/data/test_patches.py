"What a network is trained on."
import numpy as np
import pytest
import torch
from smfnet.data.images import to_bytes
from smfnet.data.pairs import Pair
from smfnet.data.patches import Patches, cut_patches, low_contrast, pair_patches, patch_grid, scene_patches
from smfnet.data.scenes.render import scene_pairs

def test_grid():
    assert patch_grid(480, 640) == [(y,x) for y in (0,200) for x in (0,200,400)]
    assert patch_grid(128, 128) == [(0,0)] and patch_grid(127, 500) == []
    assert len(patch_grid(480, 640, 128, 64)) == 6*9
    for bad in ((128, 0), (0, 64)):
        with pytest.raises(ValueError, match='at least 1'): patch_grid(480, 640, *bad)

def test_low_contrast():
    p = np.zeros((4,10,10))
    p[1] = .5                                            # flat
    p[2] = np.linspace(.50, .57, 100).reshape(10,10)     # span/top = .056/.563
    p[3] = np.linspace(.02, .04, 100).reshape(10,10)     # dark, but with relative contrast
    assert low_contrast(p).tolist() == [True, True, True, False]
    assert not low_contrast(p[2], fraction_threshold=.09)
    assert not low_contrast(p, fraction_threshold=0).any()

def test_scikit_image_agrees_where_full_scale_is_reached():
    is_low_contrast = pytest.importorskip('skimage.exposure', reason='scikit-image is not installed').is_low_contrast
    for lo in range(200, 256):
        x = np.linspace(lo, 255, 10000).round().astype(np.uint8).reshape(100,100)
        x[:12] = x[:12].min()
        x[-12:] = 255                                    # the 90th percentile is full scale
        assert bool(low_contrast(x)) == is_low_contrast(x, .1, 10, 90)

def test_cut(pairs):
    x,low = cut_patches(pairs[2].read(), 64, 50)
    assert (x.shape, x.dtype, low) == ((15,2,64,64), np.uint8, 0)
    p = pairs[2].read()
    assert (x[4] == np.stack([to_bytes(p.ir), to_bytes(p.vi)])[:,50:114,50:114]).all()

def test_a_patch_is_dropped_if_either_modality_is_flat():
    flat, full = torch.full((1,128,300), .5), torch.rand(1,128,300)
    for p in (Pair(flat, full), Pair(full, flat)): assert cut_patches(p, 128, 100)[1] == 2
    assert len(cut_patches(Pair(flat, full), 128, 100, fraction_threshold=0)[0]) == 2
    assert cut_patches(Pair(full, full), 200)[0].shape == (0,2,200,200)

def test_items_and_batches():
    x = np.random.default_rng(0).integers(0, 256, (15,2,8,8), dtype=np.uint8)
    ds = Patches(x)
    ir,vi = ds[3]
    assert (len(ds), ir.shape, vi.shape, ir.dtype) == (15, (1,8,8), (1,8,8), torch.float32)
    assert torch.equal(torch.stack([ir[0], vi[0]]), torch.from_numpy(x[3]).float()/255)
    b = ds.batch([3,5])
    assert b[0].shape == (2,1,8,8) and torch.equal(b[1][0], vi)

def test_what_are_no_patches():
    x = np.zeros((3,2,8,8), np.uint8)
    for bad,says in ((x[:0], 'no patch'), (x/255, 'not float64'), (x[:,:1], r'\(3, 1, 8, 8\)')):
        with pytest.raises(ValueError, match=says): Patches(bad)

def test_patches_of_pairs_in_memory(pairs):
    read = [p.read() for p in pairs]
    ds = pair_patches(read, 128, 64)
    assert np.array_equal(ds.data, np.concatenate([cut_patches(p, 128, 64)[0] for p in read]))
    assert (ds.info['skipped'], ds.info['sources']) == (['small'], ['a','b','c','small'])
    with pytest.raises(ValueError, match='no patch'): pair_patches([])

def test_patches_of_scenes():
    ds = scene_patches(2, 64, 48, seed=5, scene=(96,128))
    assert (ds.data[0,0] == to_bytes(scene_pairs(1, 5, (96,128))[0].ir)[:64,:64]).all()
    assert ds.info['skipped'] == [] and len(ds) + ds.info['dropped'] == 2*2
    assert np.array_equal(scene_patches(2, 64, 48, seed=5, scene=(96,128)).data, ds.data)
    assert not np.array_equal(scene_patches(1, 64, 48, seed=6, scene=(96,128)).data[0], ds.data[0])
    with pytest.raises(ValueError, match='does not fit into a scene of 96x128'): scene_patches(1, 128, scene=(96,128))
    with pytest.raises(ValueError, match='at least one scene'): scene_patches(0)
