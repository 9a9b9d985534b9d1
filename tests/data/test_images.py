"Files as users have them: every format read, written, damaged and resampled."
import builtins, struct, zlib
from pathlib import Path
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageFile
from numpy.testing import assert_allclose
from smfnet.data.images import (
    WRITE_SUFFIXES, ImageError, fill_missing, image_note, image_size, open_image, read_image, read_tags, resample, stretch_percentiles, to_bytes, to_unit, write_image)

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

@pytest.mark.filterwarnings("ignore")   # Pillow complains before it fails
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

GREY = np.arange(240, dtype=np.uint8).reshape(12,20)

def refused(path, says, error=ImageError):
    with pytest.raises(error, match=says):
        with open_image(path) as im: im.load()

def test_what_cannot_be_opened(tmp_path):
    (tmp_path/'flight.mp4').write_bytes(b'\0\0\0\x18ftypmp42')
    refused(tmp_path/'flight.mp4', 'flight.mp4 looks like a video; save its frames')
    refused(tmp_path, 'not an image file but a folder')
    refused(tmp_path/'nowhere.png', 'nowhere.png', FileNotFoundError)

def test_another_program_is_never_started(tmp_path):
    "PostScript is a format that Pillow hands to Ghostscript; here it is no image."
    Image.new('L', (4,4)).save(tmp_path/'x.eps')
    refused(tmp_path/'x.eps', 'not an image of a known format')

@pytest.mark.parametrize('h, w', [(100_000, 100_000), (8192, 8193)])
def test_a_bomb_of_a_hundred_bytes(tmp_path, h, w):
    "Only the header claims the pixels: bytes 16 to 24 of a PNG, with the checksum that follows."
    f = write_image(tmp_path/'b.png', np.zeros((12,20)))
    b = bytearray(f.read_bytes())
    b[16:24] = struct.pack('>II', w, h)
    b[29:33] = struct.pack('>I', zlib.crc32(bytes(b[12:29])))
    f.write_bytes(b)
    refused(f, 'b.png has more than MAX_PIXELS')

def test_size_of_a_cut_file_is_known_from_its_header(tmp_path):
    Image.effect_noise((64,48), 50).save(tmp_path/'a.png')
    (tmp_path/'a.png').write_bytes((tmp_path/'a.png').read_bytes()[:-500])
    assert image_size(tmp_path/'a.png') == (48,64)
    refused(tmp_path/'a.png', 'a.png is damaged')

def test_full_scale():
    rgb = np.stack([GREY, 255-GREY, GREY//2], -1)
    grey16 = GREY.astype(np.uint16)*257 + 3
    for x in (GREY, rgb): assert (to_unit(Image.fromarray(x)) == x.astype(np.float32)/255).all()
    assert (to_unit(Image.fromarray(GREY > 100)) == (GREY > 100)).all()
    assert (np.rint(to_unit(Image.fromarray(grey16))*65535) == grey16).all()
    wide = np.array([[0, 70000]], np.int32)                  # leaves 16 bits: it keeps its own units
    assert (to_unit(Image.fromarray(wide)) == wide).all()

def test_what_is_transparent_is_black():
    a = np.full((1,2,4), 255, np.uint8)
    a[0,0], a[0,1] = (255,0,0,51), (90,80,70,0)              # 51/255 = one fifth
    assert_allclose(to_unit(Image.fromarray(a))[0], [[.2,0,0],[0,0,0]], atol=1e-6)
    la = Image.merge('LA', [Image.new('L', (1,1), 255), Image.new('L', (1,1), 51)])
    assert_allclose(to_unit(la), [[.2]], atol=1e-6)          # grey stays grey
    keyed = Image.new('L', (1,1), 7); keyed.info['transparency'] = 7
    assert to_unit(keyed).item() == 0

def test_palette_and_ink():
    pal = Image.new('P', (2,1))
    pal.putpalette([10,20,30, 200,100,0])
    pal.putpixel((1,0), 1)
    assert_allclose(to_unit(pal)*255, [[[10,20,30],[200,100,0]]], atol=1e-4)
    cmyk = Image.new('CMYK', (2,1), (0,0,0,0))
    cmyk.putpixel((1,0), (0,0,0,255))
    assert (to_unit(cmyk) == [[[1,1,1],[0,0,0]]]).all()

def test_stretch():
    x = np.array([[300., 310., 320.]])                       # kelvin
    assert_allclose(stretch_percentiles(x, (0,100)), [[0,.5,1]])
    assert_allclose(stretch_percentiles(x, (50,100)), [[0,0,1]])
    assert stretch_percentiles(x, (0,100)).dtype == np.float32
    assert (stretch_percentiles(np.full((2,2), 7.), (1,99)) == 0).all()

@pytest.mark.parametrize('stretch', [(99,1), (50,50), (-1,50), (1,101)])
def test_wrong_percentiles(stretch):
    with pytest.raises(ValueError, match='stretch must be two percentiles'): stretch_percentiles(np.eye(3), stretch)

def test_files_in_units_of_their_own(tmp_path):
    kelvin = np.linspace(280, 310, 12, dtype=np.float32).reshape(3,4)
    Image.fromarray(kelvin).save(tmp_path/'k.tif')
    with pytest.raises(ImageError, match=r'k.tif has values from 280 to 310, not from 0 to 1, and no known full scale; .* stretch=\(1, 99\) \(--stretch 1,99\)'): read_image(tmp_path/'k.tif')
    assert_allclose(read_image(tmp_path/'k.tif', stretch=(0,100)), (kelvin-280)/30, atol=1e-6)
    Image.fromarray(kelvin*np.nan).save(tmp_path/'nan.tif')
    for stretch in (None, (0,100)):
        with pytest.raises(ImageError, match='nan.tif has no pixel with a value'): read_image(tmp_path/'nan.tif', stretch=stretch)
    Image.fromarray(np.where(kelvin > 300, np.inf, kelvin)).save(tmp_path/'inf.tif')
    for stretch in (None, (0,100)):
        with pytest.raises(ImageError, match='inf.tif contains infinite'): read_image(tmp_path/'inf.tif', stretch=stretch)

def test_bytes_are_rounded_and_clipped():
    assert to_bytes(np.array([[-.1, 0, .5/255-1e-4, .5/255+1e-4, 1, 1.2]])).tolist() == [[0,0,0,1,255,255]]
    assert to_bytes(torch.ones(1,2,3)).shape == (2,3) and to_bytes(torch.rand(3,2,5)).shape == (2,5,3)
    x = np.random.default_rng(0).random((4,5,3))
    assert (to_bytes(torch.from_numpy(x).permute(2,0,1)) == to_bytes(x)).all()

@pytest.mark.parametrize('x, error, says', [
    (GREY.astype(np.float32), ValueError, r'spans \[0, 239\]'),
    (GREY, TypeError, 'uint8'),
    (torch.ones(1,2,3).byte(), TypeError, 'torch.uint8'),
    (np.full((2,2), np.nan), ValueError, 'NaN'),
    (np.zeros((2,3,4)), ValueError, r'\(2, 3, 4\)'),
    (np.zeros((0,3)), ValueError, r'\(0, 3\)')])
def test_what_is_no_image_to_write(x, error, says):
    with pytest.raises(error, match=says): to_bytes(x)

@pytest.mark.parametrize('suffix', WRITE_SUFFIXES)
def test_a_note_changes_no_pixel(tmp_path, suffix):
    x = np.stack([GREY, 255-GREY, GREY//2], -1).astype(np.float32)/255
    back = read_image(write_image(tmp_path/f'a{suffix}', x))
    assert np.abs(back - x).max() <= (.06 if suffix.startswith('.jp') else 0)
    f = write_image(tmp_path/f'b{suffix}', x, note='made by hand')
    assert image_note(f) == (None if suffix == '.bmp' else 'made by hand') and image_note(tmp_path/f'a{suffix}') is None
    assert (read_image(f) == back).all()

@pytest.fixture(scope='module')
def picture():
    "A smooth picture, (h w 3) in [0, 1]."
    y,x = np.mgrid[:96,:128]/16
    return np.stack([.5+.4*np.sin(x+y), .5+.4*np.cos(x-y/2), .5+.4*np.sin(y)], -1).astype(np.float32)

def test_resample_to_its_own_size_is_the_same_object(picture):
    t = torch.from_numpy(picture).permute(2,0,1)
    assert resample(picture, (96,128)) is picture and resample(t, (96,128)) is t

def test_resample_keeps_what_it_should(picture):
    assert resample(picture, (100,131)).shape == (100,131,3) and resample(picture[...,0], [100,131]).shape == (100,131)
    assert resample(picture, (50,60)).dtype == np.float32
    assert_allclose(resample(np.full((40,50), .25, np.float32), (17,90)), .25, atol=1e-6)
    step = np.repeat(np.float32([0,1]), 20)[None].repeat(8, 0)
    for size in ((8,80), (8,17)): assert resample(step, size).min() == 0 and resample(step, size).max() == 1   # overshoot is clipped

def test_there_and_back(picture):
    up = resample(picture, (130,166))
    assert np.abs(resample(up, (96,128)) - picture).mean() < .005
    assert np.abs(resample(picture[::-1], (130,166)) - up[::-1]).max() < 1e-5     # no half pixel to one side

def test_shrinking_is_antialiased():
    board = (np.indices((64,64)).sum(0) % 2).astype(np.float32)
    assert_allclose(resample(board, (16,16))[2:-2,2:-2], .5, atol=.01)

def test_arrays_and_tensors_agree(picture):
    t = resample(torch.from_numpy(picture).permute(2,0,1), (50,77))
    assert t.shape == (3,50,77)
    assert_allclose(t.permute(1,2,0), resample(picture, (50,77)), atol=1e-6)

def test_pillow_agrees(picture):
    for size in ((40,50), (150,160)):
        want = np.asarray(Image.fromarray(picture[...,0]).resize(size[::-1], Image.BICUBIC))
        assert np.abs(resample(picture[...,0], size) - want).max() < .02

@pytest.mark.parametrize('size', [(0,5), (5,), (3,4,5)])
def test_a_size_that_is_none(picture, size):
    with pytest.raises(ValueError, match='size must be'): resample(picture, size)

# size and pixels are turned alike

def late(png):
    "The bytes of a PNG with its EXIF moved behind the pixels, where the standard allows it as well."
    b, at = png.read_bytes(), 8
    chunks = []
    while at < len(b):
        n = struct.unpack('>I', b[at:at+4])[0]
        chunks.append(b[at:at+12+n]); at += 12+n
    exif = [c for c in chunks if c[4:8] == b'eXIf']
    assert exif
    rest = [c for c in chunks if c[4:8] != b'eXIf']
    return b[:8] + b''.join(rest[:-1] + exif + rest[-1:])

@pytest.mark.parametrize('kind', ['png', 'late.png', 'tif', 'jpg', 'webp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_size_and_pixels_are_turned_alike(tmp_path, kind, orientation):
    x = np.arange(32*48, dtype=np.uint32).reshape(32,48)
    x = (x*160//x.max()).astype(np.uint8)
    exif = Image.Exif(); exif[0x0112] = orientation
    f = tmp_path/f'a.{kind}'
    Image.fromarray(x).save(f, exif=exif)
    if kind == 'late.png': f.write_bytes(late(f))
    want = (48,32) if orientation > 4 else (32,48)
    got = read_image(f)
    assert image_size(f) == got.shape[:2] == want
    shown = {1:x, 2:x[:,::-1], 3:x[::-1,::-1], 4:x[::-1], 5:x.T, 6:np.rot90(x,-1), 7:x[::-1,::-1].T, 8:np.rot90(x)}[orientation]
    assert np.abs((got if got.ndim == 2 else got[...,0])*255 - shown).max() < (12 if kind in ('jpg','webp') else .01)
    with f.open('rb') as o, Image.open(o) as im: assert_allclose(to_unit(im), got)    # an opened Pillow image is turned like its file

# thermal and map files

@pytest.mark.parametrize('dtype', ['f2', 'f8', '>f4', '<f4'])
def test_tiffs_of_any_float(tmp_path, dtype):
    tifffile = pytest.importorskip('tifffile')
    x = np.linspace(.1, .9, 240).reshape(12,20).astype(dtype)
    tifffile.imwrite(tmp_path/'a.tif', x, byteorder='>' if '>' in dtype else '<')
    assert_allclose(read_image(tmp_path/'a.tif'), x.astype('f4'), atol=1e-6)
    assert image_size(tmp_path/'a.tif') == (12,20)
    tifffile.imwrite(tmp_path/'k.tif', (280 + 30*x).astype(dtype))
    assert_allclose(read_image(tmp_path/'k.tif', stretch=(0,100)), (x - .1)/.8, atol=2e-2)

def test_a_rare_tiff_without_the_library_says_what_to_install(tmp_path, monkeypatch):
    tifffile = pytest.importorskip('tifffile')
    tifffile.imwrite(tmp_path/'a.tif', np.zeros((4,5), 'f8'))
    plain = builtins.__import__
    def without(name, *a, **kw):
        if name == 'tifffile': raise ImportError(name)
        return plain(name, *a, **kw)
    monkeypatch.setattr(builtins, '__import__', without)
    with pytest.raises(ImageError, match=r"a.tif is a TIFF of a rare kind.*pip install 'smfnet\[tiff\]'"): read_image(tmp_path/'a.tif')

def test_a_rounding_error_in_a_file_is_clipped(tmp_path):
    Image.fromarray(np.float32([[-1e-7, .5, 1.0000001]])).save(tmp_path/'a.tif')
    assert read_image(tmp_path/'a.tif').tolist() == [[0, .5, 1]]

def test_white_may_be_zero(tmp_path):
    "A photographic negative in the tag, not in the picture: 16 bits were read upside down."
    tifffile = pytest.importorskip('tifffile')
    for dtype,full in (('u1',255), ('u2',65535)):
        x = np.linspace(0, full, 240).round().astype(dtype).reshape(12,20)
        tifffile.imwrite(tmp_path/'a.tif', full - x, photometric='miniswhite')
        assert_allclose(read_image(tmp_path/'a.tif'), x/full, atol=1e-6)
        with Image.open(tmp_path/'a.tif') as im: assert_allclose(to_unit(im), x/full, atol=1e-6)
        assert_allclose(read_image(tmp_path/'a.tif', stretch=(0,100)), x/full, atol=1e-6)

def test_the_first_page_of_a_tiff_with_overviews(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    x = np.arange(64*64, dtype=np.uint16).reshape(64,64)
    def write(name, second):
        with tifffile.TiffWriter(tmp_path/name) as w:
            w.write(x)
            w.write(x[::2,::2], subfiletype=second); w.write(x[::4,::4], subfiletype=1)
    write('overviews.tif', 1); write('pages.tif', 0)
    f = tmp_path/'overviews.tif'
    assert (np.rint(read_image(f)*65535) == x).all() and image_size(f) == (64,64)
    with pytest.raises(ImageError, match='pages.tif holds 3 frames'): read_image(tmp_path/'pages.tif')

# missing pixels

KELVIN = (280 + 30*np.linspace(0, 1, 20*30).reshape(20,30)).astype(np.float32)
HOLE = np.zeros((20,30), bool); HOLE[5:9,10:17] = True

@pytest.mark.parametrize('value', [np.nan, -9999, -3.4028234663852886e38, 0])
@pytest.mark.parametrize('dtype', ['f4', 'f8'])
def test_missing_pixels_count_for_nothing(tmp_path, value, dtype):
    tifffile = pytest.importorskip('tifffile')
    tifffile.imwrite(tmp_path/'k.tif', np.where(HOLE, value, KELVIN).astype(dtype))
    nodata = {} if np.isnan(value) else dict(nodata=value)
    got, whole = read_image(tmp_path/'k.tif', (0,100), **nodata), (KELVIN-280)/30
    assert_allclose(got[~HOLE], whole[~HOLE], atol=1e-4)
    assert whole[4:10].min() - .05 < got[HOLE].min() and got[HOLE].max() < whole[4:10].max() + .05      # as its surroundings are

def test_a_map_may_say_itself_what_is_missing(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    tifffile.imwrite(tmp_path/'k.tif', np.where(HOLE, -9999, KELVIN).astype('f4'), extratags=[(42113, 's', 0, '-9999', True)])
    assert_allclose(read_image(tmp_path/'k.tif', (0,100))[~HOLE], ((KELVIN-280)/30)[~HOLE], atol=1e-4)

def test_missing_values_of_whole_numbers(tmp_path):
    x = np.where(HOLE, 0, 20000 + np.arange(600).reshape(20,30)).astype(np.uint16)
    Image.fromarray(x).save(tmp_path/'a.png')
    assert read_image(tmp_path/'a.png').min() == 0 and read_image(tmp_path/'a.png', nodata=0).min() > .3
    assert (read_image(tmp_path/'a.png', nodata=-9999) == read_image(tmp_path/'a.png')).all()

def test_filling():
    x = np.random.default_rng(0).random((13,18,3)).astype(np.float32)
    hole = np.zeros((13,18), bool); hole[:6] = True; hole[9,4] = True
    y = fill_missing(np.where(hole[...,None], np.nan, x), hole)
    assert (y[~hole] == x[~hole]).all() and np.isfinite(y).all() and x.min() <= y.min() and y.max() <= x.max()
    one = np.ones((9,9), bool); one[8,0] = False
    assert_allclose(fill_missing(np.full((9,9), .25, np.float32), one), .25, atol=1e-6)

# 16 bits and tags

@pytest.mark.parametrize('suffix', ['.png', '.tif'])
def test_sixteen_bits_are_written(tmp_path, suffix):
    tifffile, x = pytest.importorskip('tifffile'), np.random.default_rng(0).random((20,30,3)).astype(np.float32)
    grey = write_image(tmp_path/f'g{suffix}', x[...,0], bits=16)
    assert_allclose(read_image(grey), x[...,0], atol=.51/65535)
    f = write_image(tmp_path/f'c{suffix}', x, note='how', bits=16)
    assert np.abs(read_image(f) - x).max() < 1/255 and image_note(f) == 'how' and image_size(f) == (20,30)
    b = f.read_bytes()
    if suffix == '.png':
        at = b.index(b'IDAT')
        rows = zlib.decompress(b[at+4:at+4+struct.unpack('>I', b[at-4:at])[0]])
        got = np.frombuffer(rows, np.uint8).reshape(20, 1+30*6)[:,1:].copy().view('>u2').reshape(20,30,3)
    else: got = tifffile.imread(f)
    assert (got == np.rint(x.astype(np.float32)*65535)).all()

def test_sixteen_bits_need_a_format_that_holds_them(tmp_path):
    for suffix in ('.jpg', '.webp', '.bmp'):
        with pytest.raises(ValueError, match='16 bits are written as .png .tif .tiff, not as'): write_image(tmp_path/f'a{suffix}', np.zeros((2,2)), bits=16)
    with pytest.raises(ValueError, match='bits must be 8 or 16, not 12'): write_image(tmp_path/'a.png', np.zeros((2,2)), bits=12)
    assert not list(tmp_path.iterdir())

@pytest.mark.parametrize('colour', [True, False])
@pytest.mark.parametrize('suffix, bits', [('.png',8), ('.png',16), ('.jpg',8), ('.webp',8), ('.tif',8), ('.tif',16)])
def test_camera_and_place_are_carried_over(tmp_path, suffix, bits, colour):
    exif = Image.Exif()
    exif[0x0112], exif[271] = 6, 'Maker'
    exif[0x8825], exif[0x8769] = {1:'N', 2:(48.0,8.0,30.5)}, {0x829A:.01, 0xA002:999}
    Image.new('RGB', (20,30)).save(tmp_path/'vi.jpg', exif=exif)
    x = np.zeros((20,30,3) if colour else (20,30), np.float32)
    f = write_image(tmp_path/f'f{suffix}', x, 'how', bits=bits, tags=read_tags(tmp_path/'vi.jpg'))
    got = read_tags(f)
    assert got[271] == 'Maker' and got.get_ifd(0x8825)[2] == (48.0,8.0,30.5) and got.get_ifd(0x8769)[0x829A] == .01
    assert image_note(f) == 'how' and image_size(f) == (20,30) and 0xA002 not in got.get_ifd(0x8769)   # its pixels are turned already

def test_the_place_on_the_map_is_carried_over_unless_pixels_moved(tmp_path):
    tifffile = pytest.importorskip('tifffile')
    geo = [(33550,'d',3,(2.,2.,0.),True), (33922,'d',6,(0.,0,0,5,6,0),True), (34735,'H',4,(1,1,0,0),True)]
    tifffile.imwrite(tmp_path/'vi.tif', np.zeros((20,30,3), 'u1'), photometric='rgb', extratags=geo)
    for bits in (8,16):
        f = write_image(tmp_path/'f.tif', np.zeros((20,30,3)), bits=bits, tags=read_tags(tmp_path/'vi.tif'))
        assert {k: tuple(read_tags(f)[k]) for k in (33550,33922)} == {33550:(2,2,0), 33922:(0,0,0,5,6,0)} and image_size(f) == (20,30)
        assert tuple(read_tags(f)[34735]) == (1,1,0,0)
    assert not {33550,33922,34735} & set(read_tags(tmp_path/'vi.tif', moved=True))

def test_tags_that_cannot_be_understood_are_left_out(tmp_path):
    f = write_image(tmp_path/'a.png', np.zeros((4,5)))
    assert len(read_tags(f)) == 0 and len(read_tags(tmp_path/'nowhere.png')) == 0
