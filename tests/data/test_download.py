"Archives that are checked before they are unpacked."
import functools, http.server, io, sys, tarfile, threading, zipfile
import pytest
from smfnet.core.files import file_hash
from smfnet.data.download import fetch, unpack

def zipped(path, *entries):
    with zipfile.ZipFile(path, 'w') as z:
        for n in entries: z.writestr(n, b'x'*100)
    return path

def tarred(path, kind=tarfile.REGTYPE, link='', mode='w:gz', name='ir/1.png'):
    with tarfile.open(path, mode) as t:
        m = tarfile.TarInfo(name)
        m.type,m.linkname,m.size = kind,link,3 if kind == tarfile.REGTYPE else 0
        t.addfile(m, io.BytesIO(b'abc'))
    return path

def names(folder): return sorted(p.name for p in folder.iterdir())

def test_zip(tmp_path):
    u = unpack(zipped(tmp_path/'good.zip', 'ir/1.png', 'vi/1.png', 'empty/'), tmp_path/'new'/'u')
    assert sorted(p.relative_to(u).as_posix() for p in u.rglob('*') if p.is_file()) == ['ir/1.png', 'vi/1.png']
    assert (u/'vi/1.png').read_bytes() == b'x'*100 and names(tmp_path/'new') == ['u']

@pytest.mark.parametrize('mode', ['w', 'w:gz', 'w:xz', 'w:bz2'])
def test_tar(tmp_path, mode):
    "Recognised by content: the suffix says nothing."
    assert (unpack(tarred(tmp_path/'a.bin', mode=mode), tmp_path/'u')/'ir/1.png').read_bytes() == b'abc'

@pytest.mark.parametrize('bad', ['../evil', '/etc/evil', 'a/../../evil', 'a\\..\\..\\evil', 'C:/evil'])
def test_names_that_leave_the_folder(tmp_path, bad):
    for f in (zipped(tmp_path/'bad.zip', 'fine', bad), tarred(tmp_path/'bad.tar', name=bad)):
        with pytest.raises(ValueError, match='leaves the folder; nothing was unpacked'): unpack(f, tmp_path/'v')
    assert names(tmp_path) == ['bad.tar', 'bad.zip']

@pytest.mark.parametrize('kind', [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices(tmp_path, kind):
    with pytest.raises(ValueError, match='is a link'): unpack(tarred(tmp_path/'bad.tgz', kind, '/etc/passwd'), tmp_path/'v')

def test_a_link_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path/'bad.zip', 'w') as z:
        m = zipfile.ZipInfo('link')
        m.external_attr = 0o120777 << 16
        z.writestr(m, '/etc/passwd')
    with pytest.raises(ValueError, match="'link' is a link"): unpack(tmp_path/'bad.zip', tmp_path/'v')

def test_whole_or_not_at_all(tmp_path):
    f = zipped(tmp_path/'good.zip', 'a', 'b')
    with pytest.raises(ValueError, match='more than 150 bytes'): unpack(f, tmp_path/'v', max_bytes=150)
    (tmp_path/'abc').write_bytes(b'abc')
    (tmp_path/'cut.tgz').write_bytes(tarred(tmp_path/'good.tgz').read_bytes()[:-20])
    for n in ('abc', 'cut.tgz'):
        with pytest.raises(ValueError, match='not a whole zip or tar'): unpack(tmp_path/n, tmp_path/'v')
    assert names(tmp_path) == ['abc', 'cut.tgz', 'good.tgz', 'good.zip']
    unpack(f, tmp_path/'v')
    with pytest.raises(FileExistsError, match='new folder'): unpack(f, tmp_path/'v')

def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'pooch', None)
    with pytest.raises(ImportError, match=r"needs smfnet\[data\]: pip install 'smfnet\[data\]'"): fetch('http://127.0.0.1/a', '0'*64, tmp_path/'a')

@pytest.fixture
def server(tmp_path, monkeypatch):
    "Address of a server on this machine that serves tmp_path/'www', and what it was asked for."
    pytest.importorskip('pooch', reason='pooch is not installed')
    for k in ('NO_PROXY', 'no_proxy'): monkeypatch.setenv(k, '127.0.0.1')
    asked = []
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args): asked.append(self.path)
    (tmp_path/'www').mkdir()
    s = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=tmp_path/'www'))
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{s.server_port}/', asked
    s.shutdown()
    s.server_close()

def test_fetched_once(server, tmp_path):
    url,asked = server
    sha, to = file_hash(zipped(tmp_path/'www'/'good.zip', 'ir/1.png')), tmp_path/'got'/'zip'
    for _ in range(2): assert (fetch(url+'good.zip', sha, to)/'ir/1.png').read_bytes() == b'x'*100
    assert asked == ['/good.zip']

def test_a_file_that_is_no_archive(server, tmp_path):
    url,asked = server
    f = tmp_path/'www'/'abc'
    f.write_bytes(b'abc')
    for _ in range(2): assert fetch(url+'abc', file_hash(f), tmp_path/'got'/'abc').read_bytes() == b'abc'
    assert asked == ['/abc']
    with pytest.raises(FileExistsError, match='did not come from this download'): fetch(url+'abc', '0'*64, tmp_path/'got'/'abc')

def test_nothing_is_left_of_a_failure(server, tmp_path):
    url,_ = server
    zipped(tmp_path/'www'/'good.zip', 'ir/1.png')
    (tmp_path/'got').mkdir()
    with pytest.raises(ValueError, match='does not match'): fetch(url+'good.zip', '0'*64, tmp_path/'got'/'wrong')
    with pytest.raises(ConnectionError, match='nowhere.zip cannot be downloaded: 404'): fetch(url+'nowhere.zip', '0'*64, tmp_path/'got'/'wrong')
    with pytest.raises(ValueError, match='64 hexadecimal'): fetch(url+'good.zip', 'md5', tmp_path/'got'/'wrong')
    assert names(tmp_path/'got') == []
