"Two films or cameras on a page of the browser (fusing.live)."
import io, threading, time
from importlib.util import find_spec
from urllib.error import HTTPError
from urllib.request import urlopen
import numpy as np
import pytest
import torch
from PIL import Image
from smfnet.data.images import ImageError, to_bytes
from smfnet.fusing import cli, films
from smfnet.fusing.cli import main
from smfnet.fusing.films import FilmWriter, open_film
from smfnet.fusing.live import LivePage, show_live
from smfnet.fusing.video import fuse_frames, fuse_video
from smfnet.network.student import StudentConfig, StudentNet

extra = pytest.mark.skipif(find_spec('av') is None, reason='the extra [video] is not installed')

@pytest.fixture(scope='module')
def student():
    torch.manual_seed(0)
    net = StudentNet(StudentConfig(dim=8, blocks=2)).eval()
    torch.nn.init.normal_(net.head.weight, std=.3)
    return net

@pytest.fixture()
def pages(tmp_path):
    "Two films of six frames, 48×64 px; the visible one has colour."
    rng = np.random.default_rng(0)
    smooth = lambda *s: np.kron(rng.random(s), np.ones((16,16)+(1,)*(len(s)-2)))
    for name,shape in (('ir',(3,4)), ('vi',(3,4,1))):
        writer = FilmWriter(tmp_path/f'{name}.tif', None)
        tint = np.float64([.7,1,.8]) if name == 'vi' else 1
        writer.part(0, [np.rint(255*smooth(*shape)*tint).astype(np.uint8) for _ in range(6)]); writer.join()
    return tmp_path

def pictures(url, n):
    "The next n pictures of a stream."
    out = []
    with urlopen(url, timeout=30) as stream:
        while len(out) < n:
            line = stream.readline()
            assert line, 'the stream ended'
            if not line.startswith(b'Content-Length'): continue
            size = int(line.split()[1]); stream.readline()
            out.append(np.asarray(Image.open(io.BytesIO(stream.read(size)))))
    return out

def in_background(f):
    box = []
    t = threading.Thread(target=lambda: box.append(f())); t.start()
    return t, box

def test_what_is_shown_is_what_is_fused(student, pages):
    told, heard = [], threading.Event()
    t,box = in_background(lambda: show_live(pages/'ir.tif', pages/'vi.tif', weights=student, port=0, fps=4, progress=False, say=lambda s: (told.append(s), heard.set())))
    assert heard.wait(30) and not box
    time.sleep(.3)
    assert t.is_alive() # nobody looks yet, so nothing is played
    url = told[0].split()[1]
    assert b'src="stream"' in urlopen(url).read()
    with pytest.raises(HTTPError, match='404'): urlopen(url+'/etc/passwd')
    seen = pictures(url+'/stream', 2)
    t.join(30)
    (n,seconds), = box
    assert n == 6 and seconds >= 6/4 - .3 # at its own speed
    frames = list(zip(open_film(pages/'ir.tif').read(), open_film(pages/'vi.tif').read()))
    want = [to_bytes(o) for o in fuse_frames(frames, student)]
    for x in seen:
        assert x.shape == (48+24, 64+32, 3)
        assert min(np.abs(x[:48,:64].astype(int)-o).mean() for o in want) < 6 # a JPEG
    assert np.abs(seen[0].astype(int)-seen[1]).mean() > 6 # two frames, not one twice
    far = [np.abs(seen[0][:48,:64].astype(int)-o).mean() for o in want]
    a,b = (to_bytes(o) for o in frames[int(np.argmin(far))]) # its sources, at half the size
    assert np.abs(seen[0][:24,64:].astype(int) - a[::2,::2,None]).mean() < 12 and np.abs(seen[0][24:48,64:].astype(int) - b[::2,::2]).mean() < 25

def test_a_slow_browser_gets_the_newest_picture_and_the_last_one():
    page = LivePage(0)
    try:
        with urlopen(f'http://localhost:{page.port}/stream', timeout=10) as stream:
            assert page.watched.wait(5)
            for v in (0, 80, 160, 240): page.show(np.full((16,16), v, np.uint8))
            page.close()
            parts = stream.read().split(b'Content-Type: image/jpeg')[1:]
        last = parts[-1][parts[-1].index(b'\xff\xd8'):]
        assert abs(int(np.asarray(Image.open(io.BytesIO(last))).mean()) - 240) < 3
    finally: page.server.server_close()

def test_the_page_answers_on_this_computer_alone_and_a_taken_port_is_said():
    page = LivePage(0)
    assert page.server.server_address[0] == '127.0.0.1'
    with pytest.raises(ValueError, match=rf'port {page.port} is taken.* \(--live {page.port+1}\)'): LivePage(page.port)
    page.close()

def test_a_camera_is_read_at_its_newest_frame():
    gate, made = threading.Event(), []
    def camera():
        for k in range(5): made.append(k); yield k; time.sleep(.02)
        gate.wait(5)
        yield 99
        raise ImageError('the cable is out')
    frames = films._newest(camera())
    assert next(frames) in range(5)
    while len(made) < 5: time.sleep(.01)
    time.sleep(.05)
    assert next(frames) == 4 # what came between was not asked for in time
    gate.set()
    with pytest.raises(ImageError, match='cable'):
        for x in frames: assert x == 99
    with pytest.raises(StopIteration): next(films._newest(iter(())))

def test_what_a_camera_is():
    assert all(films._is_camera(o) for o in ('0', '12', '/dev/video1', 'rtsp://10.0.0.1/a', 'http://x:80/stream'))
    assert not any(films._is_camera(o) for o in ('ir', 'ir.mp4', './0', '/data/video0', 'a/0'))

@extra
def test_a_camera_that_is_not_there():
    with pytest.raises(ImageError, match='http://127.0.0.1:9/x gives no pictures'): open_film('http://127.0.0.1:9/x')

@extra
def test_the_stream_of_a_page_is_a_camera(student, tmp_path):
    page = LivePage(0)
    stop = threading.Event()
    def feed():
        k = 0
        while not stop.is_set():
            page.show(np.full((48,64), 40 + k%2*120, np.uint8)); k += 1; time.sleep(.02)
    t,_ = in_background(feed)
    url = f'http://127.0.0.1:{page.port}/stream'
    try:
        film = open_film(url)
        assert (film.kind, film.size, film.path) == ('camera', (48,64), url)
        frames = film.read()
        seen = [next(frames).mean() for _ in range(12)]
        frames.close()
        assert all(min(abs(v-40/255), abs(v-160/255)) < .03 for v in seen)
        with pytest.raises(ValueError, match='is a camera: look at it with show_live'):
            fuse_video(url, url, tmp_path/'o.mp4', weights=student)
    finally: stop.set(); t.join(); page.close()

def test_the_command(pages, monkeypatch, capsys):
    monkeypatch.chdir(pages)
    called = []
    monkeypatch.setattr(cli, 'show_live', lambda *a, **k: called.append((a, k)) or (6, 2.))
    assert main('ir.tif vi.tif --live 8123 --fps 10 --quiet'.split()) == 0
    (args,how), = called
    assert args == ('ir.tif','vi.tif') and (how['port'], how['fps'], how['weights'], how['progress']) == (8123, 10, 'fast', False)
    assert main('ir.tif vi.tif --live'.split()) == 0 and called[1][1]['port'] == 8000
    assert '6 frames shown in 2.0 s, 3.0 a second' in capsys.readouterr().out
    assert main('ir.tif vi.tif o.tif --live'.split()) == 1 and 'leave o.tif out' in capsys.readouterr().err
    for line,words in (('--live ir.tif vi.tif', 'the films stand before --live'), ('ir.tif vi.tif --live 70000', 'up to 65535'), ('ir.tif vi.tif', 'where to?')):
        with pytest.raises(SystemExit) as e: main(line.split())
        assert e.value.code == 2 and words in capsys.readouterr().err
