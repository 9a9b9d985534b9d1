"A registered pair, and which file of two folders belongs to which."
from pathlib import Path
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from smfnet.data.colour import join_colour, split_colour
from smfnet.data.images import resample, to_bytes, write_image
from smfnet.data.pairs import (
    Pair, PairFiles, _by_scene, _match_files, list_images, make_pair, match_fused, match_pairs, modality, read_pair, resize_pair, scene_key)

RGB = np.random.default_rng(1).random((6,9,3)).astype(np.float32)
Y = split_colour(RGB)[0]

def test_a_pair_has_one_size():
    p = Pair(torch.zeros(1,4,6), torch.ones(1,4,6), 'a')
    assert p.size == (4,6) and p.chroma is None
    with pytest.raises(ValueError, match=r"ir of pair 'b' must be \(1 h w\)"): Pair(torch.zeros(4,6), torch.ones(1,4,6), 'b')
    with pytest.raises(ValueError, match="vi of pair 'b' must"): Pair(torch.zeros(1,4,6), torch.ones(3,4,6), 'b')
    with pytest.raises(ValueError, match=r"ir \(1, 4, 6\) and vi \(1, 4, 7\) of pair 'b' differ"): Pair(torch.zeros(1,4,6), torch.ones(1,4,7), 'b')

def test_a_pair_of_arrays():
    p = make_pair(np.stack([Y]*3, -1), RGB, 'scene')
    assert_allclose(p.ir[0], Y, atol=1e-6)
    assert_allclose(join_colour(p.vi, p.chroma).permute(1,2,0), RGB, atol=1e-6)
    assert (p.name, p.ir.dtype, p.vi.dtype, p.chroma.dtype) == ('scene', *[torch.float32]*3)
    assert make_pair(Y, Y).chroma is None

def test_a_pair_does_not_share_memory_with_its_arrays():
    y = Y.copy()
    p = make_pair(y, y)
    y[:] = 0
    assert p.ir.max() > 0 and p.vi.max() > 0

@pytest.fixture(scope='module')
def colourful():
    y,x = np.mgrid[:48,:64]/8
    vi = np.stack([.5+.3*np.sin(x), .5+.3*np.cos(y), .5+.3*np.sin(x-y)], -1).astype(np.float32)
    return make_pair(1 - vi[...,0], vi, 'c'), vi

def test_resize_pair_of_that_size_is_the_same_object(colourful):
    p,_ = colourful
    assert resize_pair(p, (48,64)) is p and resize_pair(p, [48,64]) is p

@pytest.mark.parametrize('size', [(24,32), (60,80), (17,90)])
def test_resize_pair_takes_the_colour_along(colourful, size):
    p,vi = colourful
    q = resize_pair(p, size)
    assert (q.size, q.chroma.shape, q.name, q.chroma.dtype) == (size, (2,*size), 'c', torch.float32)
    assert_allclose(q.ir[0], resample(p.ir[0].numpy(), size), atol=1e-6)
    colour = join_colour(q.vi, q.chroma).permute(1,2,0)
    assert_allclose(colour, resample(vi, size), atol=1e-5)     # the split is linear: it may be done before or after
    assert -.5 <= q.chroma.min() < -.1 and .1 < q.chroma.max() <= .5

def test_resize_pair_of_a_grey_pair(colourful):
    p,_ = colourful
    q = resize_pair(Pair(p.ir, p.vi, 'g'), (24,30))
    assert q.chroma is None and q.size == (24,30)

def test_read_pair(tmp_path):
    ir,vi = write_image(tmp_path/'p_ir.png', np.stack([Y]*3, -1)), write_image(tmp_path/'p_vi.png', RGB)
    p = read_pair(ir, vi)
    assert (p.name, p.ir.shape, p.chroma.shape, p.ir.dtype) == ('p_vi', (1,6,9), (2,6,9), torch.float32)
    assert (to_bytes(join_colour(p.vi, p.chroma)) == to_bytes(RGB)).all()
    assert_allclose(p.ir[0], Y, atol=.51/255)
    assert read_pair(ir, vi, 'n').name == 'n' and PairFiles('m', ir, vi).read().name == 'm'

def test_stretch_is_for_the_infrared_alone(tmp_path):
    Image.fromarray((Y*1000).astype(np.uint16)).save(tmp_path/'ir.png')
    vi = write_image(tmp_path/'vi.png', Y*.5)
    p = PairFiles('p', tmp_path/'ir.png', vi).read(stretch=(0,100))
    assert p.ir.max() == 1 and p.vi.max() < .51
    assert read_pair(tmp_path/'ir.png', vi).ir.max() < .02

def test_sizes_must_agree(tmp_path):
    a,b = write_image(tmp_path/'a.png', np.zeros((4,5))), write_image(tmp_path/'b.png', np.zeros((4,6)))
    with pytest.raises(ValueError, match=r'a.png is 5x4 pixels and .*b.png is 6x4'): read_pair(a, b)

def touch(folder, *names):
    folder.mkdir(exist_ok=True)
    for n in names: (folder/n).touch()
    return folder

def test_what_a_folder_lists(tmp_path):
    f = touch(tmp_path/'l', 'b.PNG', 'a.jpg', '.c.png', 'readme.txt')
    (f/'d.png').mkdir()
    assert list(list_images(f)) == ['a','b']
    touch(f, 'a.png')
    with pytest.raises(ValueError, match='a.jpg and a.png in .* same stem'): list_images(f)
    with pytest.raises(ValueError, match='no image file'): list_images(touch(tmp_path/'empty'))
    with pytest.raises(FileNotFoundError, match='not a folder'): list_images(f/'b.PNG')

NAMES = {'07': '07_ir IR-07 ir07 07 07.infrared 07IR 07_lwir 07_vis VIS07 Visible_07 07-rgb 07_fused 07_ir_fused fused_07 f07 07_f 07_T 07_V 07_W'.split() + ['thermal 07'],
         'DJI_20240101_0007': ['DJI_20240101_0007_T', 'DJI_20240101_0007_V', 'DJI_20240101_0007_W'], 'FLIR_00006': ['FLIR_00006', 'FLIR_00006_fused'],
         'Irma': ['Irma'], 'village': ['village'], 'Tour': ['Tour'], '': ['ir', 'vis', 'fused']}

@pytest.mark.parametrize('stem, key', [(s,k) for k,o in NAMES.items() for s in o])
def test_words_for_modality_and_method_are_no_part_of_the_name(stem, key): assert scene_key(stem) == key

def test_a_name_may_say_the_modality():
    said = {'7_T':'ir', 'IR7':'ir', '7.thermal':'ir', '7_W':'vi', '7_V':'vi', 'rgb_7':'vi', '7':None, 'vis_to_ir':None, 'Irma':None}
    assert {s: modality(s) for s in said} == said

def P(*names): return {Path(n).stem: Path(n) for n in names}

def test_two_files_of_one_scene():
    assert _by_scene(P('1_ir.png', 'IR2.png')) == {'1':'1_ir', '2':'IR2'}
    with pytest.raises(ValueError, match="1_ir.png and ir1.png in .* are both scene '1'"): _by_scene(P('1_ir.png', 'ir1.png'))

def test_matching():
    found = _match_files(P('b.png','a_IR.tif','C1_ir.png'), P('b.jpg','A_vis.png','VI-c1.png'))
    assert [(p.name, p.ir.name, p.vi.name) for p in found] == [('A','a_IR.tif','A_vis.png'), ('b','b.png','b.jpg'), ('c1','C1_ir.png','VI-c1.png')]

@pytest.mark.parametrize('ir, vi, says', [
    ([f'{i}.png' for i in range(1,10)], ['1.png','2.png'], 'infrared 3.png, 4.png, 5.png, 6.png, 7.png and 2 more; visible none'),
    (['1.png'], ['1.png','z.png'], 'infrared none; visible z.png'),
    (['1.png','1_ir.png'], ['1.png','1_vi.png'], "several pairs would be called '1'")])
def test_files_that_cannot_be_matched(ir, vi, says):
    with pytest.raises(ValueError, match=says): _match_files(P(*ir), P(*vi))

def test_folders(tmp_path):
    ir,vi = tmp_path/'ir',tmp_path/'vi'
    for d,word in ((ir,'ir'), (vi,'vis')):
        for n in ('1', '2', f'3_{word}', f'{word.upper()}4'): write_image(d/f'{n}.png', np.full((4,5), .5))
    (ir/'Thumbs.db').touch()
    pairs = match_pairs(ir, vi)
    assert [p.name for p in pairs] == ['1','2','3','4'] and all(p.read().size == (4,5) for p in pairs)
    write_image(vi/'extra.png', np.zeros((4,5)))
    with pytest.raises(ValueError, match='infrared none; visible extra.png'): match_pairs(ir, vi)
    write_image(vi/'1.jpg', np.zeros((4,5)))
    with pytest.raises(ValueError, match='1.jpg and 1.png'): match_pairs(ir, vi)

def test_two_files(tmp_path):
    a,b,c = (touch(tmp_path, n)/n for n in ('p_ir.png', 'p_vi.png', 'q.png'))
    assert match_pairs(a, b) == [PairFiles('p', a, b)]
    assert match_pairs(c, b)[0].name == 'p_vi'                # two names: the visible one's is kept
    assert match_pairs(str(a), str(b)) == match_pairs(a, b)

def test_what_cannot_be_a_pair(tmp_path):
    a,f = touch(tmp_path/'a', '1.png'), touch(tmp_path, 'f.png')/'f.png'
    with pytest.raises(ValueError, match='not one of each: .*a is a folder, .*f.png is a file'): match_pairs(a, f)
    with pytest.raises(ValueError, match='a is given for both, so names must say which image is infrared.*1.png does not'): match_pairs(a, tmp_path/'a'/'..'/'a')
    with pytest.raises(ValueError, match='same file'): match_pairs(f, f)
    with pytest.raises(FileNotFoundError, match='vi: there is no file or folder'): match_pairs(a, tmp_path/'nope')

def test_one_rule_for_case_and_accents_and_suffixes(tmp_path):
    ir = touch(tmp_path/'ir', 'FLIR_00006.JPG', 'cafe\u0301_ir.png', 'Tower.jfif')
    vi = touch(tmp_path/'vi', 'flir_00006.png', 'caf\u00e9_VIS.png', 'tower.png')
    fused = touch(tmp_path/'out', 'FLIR_00006_Fused.png', 'CAFE\u0301.png', 'tower_smfnet.png')
    pairs = match_pairs(ir, vi)
    assert {p.ir.name: p.vi.name for p in pairs} == {'cafe\u0301_ir.png':'caf\u00e9_VIS.png', 'FLIR_00006.JPG':'flir_00006.png', 'Tower.jfif':'tower.png'}
    found,missing,extra = match_fused(pairs, fused)
    assert {f.name for f in found.values()} == {'FLIR_00006_Fused.png', 'CAFE\u0301.png', 'tower_smfnet.png'} and not missing and not extra

def test_both_modalities_in_one_folder(tmp_path):
    f = touch(tmp_path/'dji', 'DJI_0001_T.JPG', 'DJI_0001_W.JPG', 'DJI_0002_T.JPG', 'DJI_0002_V.JPG', '3_ir.png', '3_rgb.png')
    assert [(p.name, p.ir.name, p.vi.name) for p in match_pairs(f, f)] == [('3','3_ir.png','3_rgb.png'), ('DJI_0001','DJI_0001_T.JPG','DJI_0001_W.JPG'), ('DJI_0002','DJI_0002_T.JPG','DJI_0002_V.JPG')]
    touch(f, 'DJI_0001_Z.JPG', '4_ir.png')
    with pytest.raises(ValueError, match='DJI_0001_Z.JPG does not'): match_pairs(f, f)
    said = []
    assert len(match_pairs(f, f, skip_unmatched=True, log=said.append)) == 3
    assert 'DJI_0001_Z.JPG' in said[0] and 'infrared 4_ir.png; visible none' in said[1]

def test_files_without_a_partner_are_passed_over_when_asked(tmp_path):
    ir,vi,said = touch(tmp_path/'ir', '1.png', '2.png'), touch(tmp_path/'vi', '1.png', '3.png'), []
    with pytest.raises(ValueError, match='infrared 2.png; visible 3.png; skip_unmatched .--skip-unmatched. passes them over'): match_pairs(ir, vi)
    assert [p.name for p in match_pairs(ir, vi, skip_unmatched=True, log=said.append)] == ['1'] and said == ['files without a partner: infrared 2.png; visible 3.png']
    (vi/'1.png').unlink()
    with pytest.raises(ValueError, match='no file has a partner'): match_pairs(ir, vi, skip_unmatched=True, log=said.append)

def test_two_fused_images_of_one_scene_are_an_error(tmp_path):
    pairs = [PairFiles('1', Path('1_ir.png'), Path('1_vi.png'))]
    with pytest.raises(ValueError, match="1_fused.png and fused_1.png in .* are both scene '1'"): match_fused(pairs, touch(tmp_path/'a', '1_fused.png', 'fused_1.png'))
    assert match_fused(pairs, touch(tmp_path/'b', '1.png', '1_fused.png'))[0]['1'].name == '1.png'      # the whole name comes first
    assert match_fused(pairs, touch(tmp_path/'ours', '1_OURS.png'))[0]['1'].name == '1_OURS.png'        # named after its folder
