"Temperatures behind a JPEG (data.radiometric); the library that reads them is replaced by a stand-in."
import sys, types
import numpy as np
import pytest
from smfnet.data.images import ImageError, image_size, read_image, write_image
from smfnet.data.kinds import as_images
from smfnet.data.radiometric import radiometric_maker, read_celsius, read_thermal, save_celsius

def segment(mark, data): return bytes([0xFF, mark]) + (len(data)+2).to_bytes(2, 'big') + data

@pytest.fixture
def files(tmp_path):
    "Plain, FLIR and DJI: pictures with the makers' marks in front."
    plain = write_image(tmp_path/'plain.jpg', np.full((8,10), .5)).read_bytes()
    def make(name, *parts):
        (tmp_path/name).write_bytes(plain[:2] + b''.join(parts) + plain[2:])
        return tmp_path/name
    return dict(plain=tmp_path/'plain.jpg', flir=make('flir.jpg', segment(0xE1, b'FLIR\0\1\0\0numbers')),
                dji=make('dji.jpg', segment(0xE1, b'Exif\0\0 DJI M3T'), segment(0xE3, b'numbers')), drone=make('drone.jpg', segment(0xE1, b'Exif\0\0 DJI')))

@pytest.fixture
def flyr(monkeypatch):
    "A stand-in that reads 3×4 temperatures."
    celsius = np.arange(12.).reshape(3,4) - 5
    seen = []
    monkeypatch.setitem(sys.modules, 'flyr', types.SimpleNamespace(unpack=lambda p: seen.append(p) or types.SimpleNamespace(celsius=celsius)))
    return celsius, seen

def test_the_maker_is_read_from_the_header(files, tmp_path):
    assert {k: radiometric_maker(p) for k,p in files.items()} == dict(plain=None, flir='FLIR', dji='DJI', drone=None)
    assert radiometric_maker(write_image(tmp_path/'x.png', np.zeros((8,8)))) is None
    (tmp_path/'cut.jpg').write_bytes(files['flir'].read_bytes()[:5])
    assert radiometric_maker(tmp_path/'cut.jpg') is None

def test_the_marked_files_are_still_pictures(files): assert all(image_size(p) == (8,10) for p in files.values())

def test_flir_is_read_by_flyr(files, flyr):
    x = read_celsius(files['flir'])
    assert x.dtype == np.float32 and (x == flyr[0]).all() and flyr[1] == [str(files['flir'])]

def test_temperatures_go_into_a_tiff_that_fusing_reads(files, flyr, tmp_path):
    out = save_celsius(files['flir'], tmp_path/'new/t.tif')
    x = read_image(out, stretch=(0,100))
    np.testing.assert_allclose(x, np.arange(12.).reshape(3,4)/11, atol=1e-6)
    with pytest.raises(ValueError, match='written as .tif'): save_celsius(files['flir'], tmp_path/'t.png')

def test_other_files_are_told_what_to_do(files, flyr):
    with pytest.raises(ImageError, match="dji.jpg is a radiometric JPEG of DJI.*Thermal SDK.*TIFF of 32-bit floats"): read_celsius(files['dji'])
    with pytest.raises(ImageError, match='plain.jpg holds no temperatures'): read_celsius(files['plain'])
    assert flyr[1] == []

def test_without_the_library_one_sentence_names_the_extra(files, monkeypatch):
    monkeypatch.setitem(sys.modules, 'flyr', None)
    with pytest.raises(ImportError, match=r"pip install 'smfnet\[radiometric\]'"): read_celsius(files['flir'])

def test_what_flyr_cannot_read_is_named(files, monkeypatch):
    def fail(p): raise ValueError('no raw image')
    monkeypatch.setitem(sys.modules, 'flyr', types.SimpleNamespace(unpack=fail))
    with pytest.raises(ImageError, match='flir.jpg: flyr cannot read its temperatures .ValueError: no raw image'): read_celsius(files['flir'])

# on to fusing

def test_the_temperatures_are_taken_instead_of_the_picture(files, flyr):
    "As large as the picture, coldest black, hottest white; with percentiles if asked for."
    x, said = read_thermal(files['flir'])
    assert x.shape == (8,10) == image_size(files['flir']) and x[0,0] < .05 and x[-1,-1] > .95 and (np.diff(x, axis=1) >= -1e-6).all()
    assert 'flir.jpg: temperatures from -5.0 to 6.0 °C are taken instead of the picture; coldest is black' in said
    wide, said = read_thermal(files['flir'], (25, 75))
    assert (wide == 0).mean() > .1 and (wide == 1).mean() > .1 and (x == 1).mean() < .1 and said.endswith('instead of the picture')
    got = as_images(files['flir'], 'ir', thermal=True)
    assert (got.x[0,...,0] == x).all() and got.hint and got.size == (8,10)

def test_they_are_turned_as_the_picture_is(files, flyr, tmp_path):
    from PIL import Image
    exif = Image.Exif()
    exif[274] = 6 # the camera was held upright: turn to the right
    Image.fromarray(np.full((8,10), 128, np.uint8)).save(tmp_path/'up.jpg', exif=exif)
    data = (tmp_path/'up.jpg').read_bytes()
    (tmp_path/'up.jpg').write_bytes(data[:2] + segment(0xE1, b'FLIR\0\1\0\0numbers') + data[2:])
    x, _ = read_thermal(tmp_path/'up.jpg')
    assert x.shape == image_size(tmp_path/'up.jpg') == (10,8) and x[0,-1] < .05 and x[-1,0] > .95

def test_other_infrared_files_are_read_as_ever(files, flyr):
    x, said = read_thermal(files['plain'])
    assert said == '' and (x == read_image(files['plain'])).all() and as_images(files['plain'], 'ir', thermal=True).hint == ''

def test_without_a_way_to_the_temperatures_the_picture_is_taken_and_said_so(files, monkeypatch):
    picture = read_image(files['plain'])
    x, said = read_thermal(files['dji'])
    assert (x == picture).all() and "DJI's Thermal SDK" in said and 'its picture is taken' in said
    monkeypatch.setitem(sys.modules, 'flyr', None)
    x, said = read_thermal(files['flir'])
    assert (x == picture).all() and "pip install 'smfnet[radiometric]'; its picture is taken" in said and said.startswith(str(files['flir']))
