"Films as files (fusing.films); what needs the extra is skipped without it."
import sys
from fractions import Fraction
from importlib.util import find_spec
import numpy as np
import pytest
from PIL import Image
from smfnet.data.images import ImageError, write_image
from smfnet.fusing.films import FilmWriter, means_film, need_av, open_film

extra = pytest.mark.skipif(find_spec('av') is None, reason='the extra [video] is not installed')
shots = np.random.default_rng(0).integers(0, 256, (5,20,31), np.uint8)

def in_bytes(film, start=0): return np.rint(np.stack(list(film.read(start)))*255).astype(np.uint8)

def test_pages_of_a_tiff(tmp_path):
    writer = FilmWriter(tmp_path/'a.tif', None, 'made by a test')
    assert not writer.is_finished()
    writer.part(0, iter(shots[:3])); writer.part(3, iter(shots[3:]))
    assert not (tmp_path/'a.tif').exists() # before it is whole
    film = open_film(writer.join())
    assert (film.kind, film.size, film.rate, film.frames) == ('pages', (20,31), None, 5)
    assert np.array_equal(in_bytes(film), shots) and np.array_equal(in_bytes(film, 3), shots[3:])
    assert writer.is_finished() and not FilmWriter(tmp_path/'a.tif', None, 'made in another way').is_finished()

def test_deep_pages_are_divided_by_their_full_scale(tmp_path):
    deep = [Image.fromarray(np.full((16,16), v, np.uint16)) for v in (0, 65535, 13107)]
    deep[0].save(tmp_path/'t.tif', save_all=True, append_images=deep[1:])
    assert [round(float(x.mean()), 5) for x in open_film(tmp_path/'t.tif').read()] == [0, 1, .2]

def test_a_folder_in_the_order_of_its_numbers(tmp_path):
    for k in (10, 2, 1): write_image(tmp_path/f'frame{k}.png', np.full((16,18), k/255, np.float32))
    film = open_film(tmp_path)
    assert (film.kind, film.size, film.frames) == ('folder', (16,18), 3)
    assert [round(255*float(x[0,0])) for x in film.read()] == [1, 2, 10] and in_bytes(film, 2).max() == 10

def test_what_is_no_film(tmp_path):
    (tmp_path/'a.txt').write_text('no'); (tmp_path/'bad.tif').write_bytes(b'no')
    with pytest.raises(FileNotFoundError, match='no film'): open_film(tmp_path/'none.mp4')
    with pytest.raises(ImageError, match='a.txt is no film'): open_film(tmp_path/'a.txt')
    with pytest.raises(ImageError, match='bad.tif is damaged or no TIFF'): open_film(tmp_path/'bad.tif')
    with pytest.raises(ValueError, match='a film is written as .mp4'): FilmWriter(tmp_path/'a.txt', 25)
    if find_spec('av'):
        with pytest.raises(ValueError, match='--fps 25'): FilmWriter(tmp_path/'a.mp4', None)
        (tmp_path/'bad.mp4').write_bytes(b'no')
        with pytest.raises(ImageError, match='bad.mp4 is damaged or no video'): open_film(tmp_path/'bad.mp4')

def test_when_a_film_is_meant(tmp_path):
    a,b = [Image.fromarray(o) for o in shots[:2]]
    a.save(tmp_path/'one.tif'); a.save(tmp_path/'two.tif', save_all=True, append_images=[b]); (tmp_path/'v.mp4').touch()
    (tmp_path/'bad.tif').write_bytes(b'no')
    means = lambda *names: means_film(*(tmp_path/n for n in names))
    assert means('two.tif', 'one.tif', 'o.tif') and means('v.mp4', 'one.tif', 'o') and means('ir', 'vi', 'out.mp4')
    assert not means('one.tif', 'one.tif', 'o.tif') and not means('ir', 'vi', 'out') and not means('bad.tif', 'one.tif', 'o.tif')

def test_a_missing_extra_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'av', None)
    with pytest.raises(ImportError, match=r"video files need smfnet\[video\]: pip install 'smfnet\[video\]'"): need_av()
    with pytest.raises(ImportError, match=r'smfnet\[video\]'): FilmWriter(tmp_path/'a.mp4', 25)

@extra
@pytest.mark.parametrize('size,colour', [((48,64), True), ((33,47), True), ((48,64), False)])
def test_a_video_comes_back_in_order(tmp_path, size, colour):
    values = [20, 90, 160, 230, 40, 110, 180]
    frames = [np.full((*size, 3) if colour else size, v, np.uint8) for v in values]
    writer = FilmWriter(tmp_path/'a.mp4', Fraction(25), 'a note')
    for k in (0, 3, 6): writer.part(k, iter(frames[k:k+3]))
    film = open_film(writer.join())
    assert (film.kind, film.size, film.rate, film.frames) == ('video', size, 25, 7)
    assert np.abs([255*x.mean() for x in film.read()] - np.array(values)).max() < 3
    assert np.abs([255*x.mean() for x in film.read(5)] - np.array(values[5:])).max() < 3
    assert writer.is_finished()
