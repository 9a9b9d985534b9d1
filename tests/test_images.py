"Files as users have them: every format read, written and damaged."
from pathlib import Path
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFile
from smfnet.data.images import IMAGE_SUFFIXES, WRITE_SUFFIXES, ImageError, image_size, read_image, to_bytes, write_image
from smfnet.data.pairs import list_images, match_pairs, read_pair
from smfnet.data.colour import split_colour, join_colour

LOSSLESS = [s for s in WRITE_SUFFIXES if not s.startswith('.jp')]
shapes = st.tuples(st.integers(1,9), st.integers(1,9)).flatmap(lambda s: st.sampled_from([s, (*s,3)]))
bytes_images = shapes.flatmap(lambda s: arrays(np.uint8, s))
quick = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

@pytest.mark.parametrize('suffix', LOSSLESS)
@quick
@given(x=bytes_images)
def test_round_trip(tmp_path, suffix, x):
    "A level that was read is the level that is written."
    f = write_image(tmp_path/f'a{suffix}', x.astype(np.float32)/255)
    back = read_image(f)
    assert back.dtype == np.float32 and back.shape[:2] == x.shape[:2] == image_size(f)
    assert (to_bytes(back) == (x if back.ndim == x.ndim else x[...,None].repeat(3, -1))).all()   # WebP has no grey

@quick
@given(x=shapes.flatmap(lambda s: arrays(np.float32, s, elements=st.floats(0, 1, width=32))))
def test_colour_is_put_back(x):
    y,chroma = split_colour(x)
    back = join_colour(y, chroma)
    assert np.abs((back if chroma is not None or x.ndim == 2 else back[...,None]) - x).max() <= 1e-6

@pytest.mark.parametrize('suffix', ['.png', '.tif', '.pgm'])
def test_sixteen_bits_are_exact(tmp_path, suffix):
    x = np.arange(65536, dtype=np.uint16).reshape(256,256)
    Image.fromarray(x).save(tmp_path/f'a{suffix}')
    assert (np.rint(read_image(tmp_path/f'a{suffix}')*65535) == x).all()

def pil_images():
    grey = Image.radial_gradient('L').resize((40,30))
    rgb = Image.merge('RGB', [grey, grey.transpose(0), grey.transpose(1)])
    alpha = rgb.copy(); alpha.putalpha(grey)
    la = grey.copy(); la.putalpha(grey)
    keyed = rgb.quantize(16); keyed.info['transparency'] = 3
    return {'1.png':grey.convert('1'), 'L.png':grey, 'RGB.png':rgb, 'RGBA.png':alpha, 'LA.png':la, 'P.png':rgb.quantize(16), 'Pt.png':keyed, 'P.gif':rgb.quantize(16),
        'I16.png':Image.fromarray(np.asarray(grey).astype(np.uint16)*257), '1.tif':grey.convert('1'), 'L.tif':grey, 'RGB.tif':rgb, 'RGBA.tif':alpha, 'CMYK.tif':rgb.convert('CMYK'),
        'F.tif':Image.fromarray(np.asarray(grey).astype(np.float32)/255), 'I16.tif':Image.fromarray(np.asarray(grey).astype(np.uint16)*257),
        'YCC.tif':rgb.convert('YCbCr'), 'L.jpg':grey, 'RGB.jpg':rgb, 'CMYK.jpg':rgb.convert('CMYK'), 'L.bmp':grey, 'RGB.bmp':rgb, '1.bmp':grey.convert('1'), 'P.bmp':rgb.quantize(16),
        'RGB.webp':rgb, 'RGBA.webp':alpha, 'L.pgm':grey, 'RGB.ppm':rgb}
CASES = pil_images()

@pytest.fixture(scope='module')
def files(tmp_path_factory):
    d = tmp_path_factory.mktemp('files')
    for n,im in CASES.items(): im.save(d/n)
    return d

@pytest.mark.parametrize('name', CASES)
def test_every_mode(files, name):
    x = read_image(files/name)
    want = CASES[name]
    grey = name[:-4].rstrip('16') in ('', 'L', 'LA', 'I', 'F') or name.startswith(('1', 'I16'))
    assert x.shape == ((30,40) if grey else (30,40,3)) and x.dtype == np.float32
    assert 0 <= x.min() < .2 and .5 < x.max() <= 1
    if 'A' not in name.split('.')[0] and 't' not in name.split('.')[0] and name[0] not in 'IF':
        ref = np.asarray(want.convert('L' if grey else 'RGB')).astype(np.float32)/255
        assert np.abs(x - ref).mean() < (.03 if name.endswith(('.jpg', '.webp')) else 3e-3)

@pytest.mark.parametrize('orientation', range(1, 9))
def test_exif_rotation(tmp_path, orientation):
    "The eight orientations of EXIF, against pictures turned by numpy."
    x = np.arange(12, dtype=np.uint8).reshape(3,4)*20
    exif = Image.Exif(); exif[0x0112] = orientation
    Image.fromarray(x).save(tmp_path/'a.png', exif=exif)
    shown = {1:x, 2:x[:,::-1], 3:x[::-1,::-1], 4:x[::-1], 5:x.T, 6:np.rot90(x,-1), 7:x[::-1,::-1].T, 8:np.rot90(x)}[orientation]
    assert (to_bytes(read_image(tmp_path/'a.png')) == shown).all() and image_size(tmp_path/'a.png') == shown.shape

def test_damaged_files(files, tmp_path):
    "Cut off or with bytes changed, a file gives a picture or an error that names it: never another exception, never a crash."
    rng = np.random.default_rng(0)
    refused = n = 0
    for name in CASES:
        good = (files/name).read_bytes()
        bad = [good[:int(len(good)*q)] for q in (0, .02, .3, .7, .95)]
        for _ in range(6):
            b = bytearray(good)
            for i in rng.integers(0, min(len(b), rng.choice([60, len(b)])), 4): b[i] = rng.integers(256)
            bad.append(bytes(b))
        for b in bad:
            f = tmp_path/name
            f.write_bytes(b)
            n += 1
            for read in (read_image, image_size):
                try: out = read(f)
                except ImageError as e:
                    assert str(f) in str(e)
                    refused += read is read_image
                else:
                    if read is read_image: assert out.ndim in (2,3) and 0 <= out.min() and out.max() <= 1
    assert n >= 200 and refused > n/3

@pytest.mark.parametrize('name', [n for n in CASES if not n.endswith('.tif')])
def test_cut_off_is_never_half_a_picture(files, tmp_path, name):
    b = (files/name).read_bytes()
    (tmp_path/name).write_bytes(b[:len(b)//2])
    with pytest.raises(ImageError, match='damaged|not an image'): read_image(tmp_path/name)

@pytest.mark.parametrize('content', [b'', b'\x89PNG\r\n\x1a\n', b'\xff\xd8\xff', b'II*\0', b'BM', b'RIFF\0\0\0\0WEBP', b'GIF89a', b'P5\n', b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n', b'hello'])
def test_not_an_image(tmp_path, content):
    (tmp_path/'x.png').write_bytes(content)
    with pytest.raises(ImageError, match='x.png'): read_image(tmp_path/'x.png')

@pytest.mark.parametrize('kind', ['gif', 'tiff', 'webp', 'png'])
def test_several_frames(tmp_path, kind):
    a,b = Image.new('RGB', (8,8)), Image.new('RGB', (8,8), 'white')
    a.save(tmp_path/f'x.{kind}', save_all=True, append_images=[b])
    with pytest.raises(ImageError, match='2 frames'): read_image(tmp_path/f'x.{kind}')

def test_phone_photograph(tmp_path):
    "MPO: a photograph with its preview in one JPEG."
    Image.new('RGB', (8,8), 'white').save(tmp_path/'x.jpg', format='MPO', save_all=True, append_images=[Image.new('RGB', (4,4))])
    assert (read_image(tmp_path/'x.jpg') == 1).all()

def test_bomb_is_refused_before_a_pixel_is_decoded(tmp_path, monkeypatch):
    "A real bomb: 8 KB that unpack to 67 million pixels."
    Image.new('1', (8192, 8193)).save(tmp_path/'b.png')
    assert (tmp_path/'b.png').stat().st_size < 20_000
    monkeypatch.setattr(ImageFile.ImageFile, 'load', lambda self: pytest.fail('the pixels were asked for'))
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match='b.png has more than MAX_PIXELS'): read(tmp_path/'b.png')

def test_write_refuses_before_it_writes(tmp_path):
    for x,e in ((np.full((2,2), np.inf), ValueError), (np.zeros((2,2,4)), ValueError), (np.zeros((2,2), np.uint8), TypeError), (torch.full((1,2,2), 200.), ValueError)):
        with pytest.raises(e): write_image(tmp_path/'new'/'a.png', x)
    for n in ('a', 'a.gif', 'a.png.exe'):
        with pytest.raises(ValueError, match='images are written as'): write_image(tmp_path/'new'/n, np.zeros((2,2)))
    assert not list(tmp_path.iterdir())

def test_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    f = write_image(tmp_path/'a.png', np.zeros((4,4)))
    old = f.read_bytes()
    def full(self, fp, **kw):
        Path(fp).write_bytes(b'half')
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(Image.Image, 'save', full)
    with pytest.raises(OSError, match='No space'): write_image(f, np.ones((4,4)))
    assert f.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ['a.png']

def test_folders(tmp_path):
    ir,vi = tmp_path/'ir',tmp_path/'vi'
    for d,word in ((ir,'ir'), (vi,'vis')):
        d.mkdir()
        for n in ('1', '2', f'3_{word}', f'{word.upper()}4'): write_image(d/f'{n}.png', np.full((4,5), .5))
    (ir/'Thumbs.db').touch()
    pairs = match_pairs(ir, vi)
    assert [p.name for p in pairs] == ['1','2','3','4'] and all(p.read().size == (4,5) for p in pairs)
    write_image(vi/'extra.png', np.zeros((4,5)))
    with pytest.raises(ValueError, match='infrared none; visible extra.png'): match_pairs(ir, vi)
    write_image(vi/'1.jpg', np.zeros((4,5)))
    with pytest.raises(ValueError, match='1.jpg and 1.png'): match_pairs(ir, vi)

def test_sizes_must_agree(tmp_path):
    a,b = write_image(tmp_path/'a.png', np.zeros((4,5))), write_image(tmp_path/'b.png', np.zeros((4,6)))
    with pytest.raises(ValueError, match=r'a.png is 5x4 pixels and .*b.png is 6x4'): read_pair(a, b)
