"Where data lie, and files that are whole or absent."
import hashlib, io, os, stat, sys
import pytest
from smfnet.core.files import atomic_path, data_root, file_hash, print_anything, project_root, sweep_stale

def names(folder): return sorted(p.name for p in folder.iterdir())

def test_the_clone_is_found_from_anywhere(monkeypatch, tmp_path):
    root = project_root()
    assert (root/'settings.ini').exists() and (root/'nbs').is_dir()
    monkeypatch.chdir(tmp_path)
    assert project_root() == root

def test_an_installed_package_finds_the_clone_around_the_current_folder(monkeypatch, tmp_path):
    import smfnet.core.files as files
    monkeypatch.setattr(files, '__file__', str(tmp_path/'site'/'smfnet'/'core'/'files.py'))
    (tmp_path/'clone'/'nbs').mkdir(parents=True)
    (tmp_path/'clone'/'settings.ini').touch()
    monkeypatch.chdir(tmp_path/'clone'/'nbs')
    assert project_root() == tmp_path/'clone'
    (tmp_path/'other').mkdir()
    monkeypatch.chdir(tmp_path/'other')
    assert project_root() == tmp_path/'other'

def test_data_root(monkeypatch, tmp_path):
    monkeypatch.delenv('SMFNET_DATA', raising=False)
    assert data_root() is None and data_root('') is None and data_root(tmp_path) == tmp_path
    monkeypatch.setenv('SMFNET_DATA', str(tmp_path))
    assert data_root() == tmp_path
    with pytest.raises(FileNotFoundError, match="no/such/folder' does not exist; set SMFNET_DATA"): data_root('no/such/folder')

def test_a_file_appears_whole(tmp_path):
    f = tmp_path/'new'/'a.txt'
    with atomic_path(f) as part:
        part.write_text('first')
        assert not f.exists() and part.suffix == '.txt' and part.parent == f.parent
    assert f.read_text() == 'first' and names(f.parent) == ['a.txt']

def test_a_failure_keeps_the_old_file(tmp_path):
    f = tmp_path/'a.txt'
    f.write_text('first')
    with pytest.raises(RuntimeError, match='power cut'):
        with atomic_path(f) as part:
            part.write_text('second, half')
            raise RuntimeError('power cut')
    assert f.read_text() == 'first' and names(tmp_path) == ['a.txt']

def test_others_may_read_it(tmp_path):
    "Temporary files are private; the finished one has the rights that any new file has."
    with atomic_path(tmp_path/'a') as part: part.touch()
    (tmp_path/'b').touch()
    assert stat.S_IMODE((tmp_path/'a').stat().st_mode) == stat.S_IMODE((tmp_path/'b').stat().st_mode)

def test_a_long_name(tmp_path):
    f = tmp_path/('x'*240 + '.txt')
    with atomic_path(f) as part: part.touch()
    assert f.exists()

def test_abandoned_files_are_swept(tmp_path):
    f = tmp_path/'p.npy'
    f.touch()
    (tmp_path/'.pq-12345678.npy').touch()                  # of another target
    with pytest.raises(RuntimeError, match='held'):
        with atomic_path(f) as part:
            assert sweep_stale(f) == [] and part.exists()  # young: someone may be writing it
            os.utime(part, (0, 0))
            assert sweep_stale(f) == [part] and not part.exists()
            raise RuntimeError('held')
    assert names(tmp_path) == ['.pq-12345678.npy', 'p.npy']
    assert sweep_stale(tmp_path/'nowhere'/'p.npy') == []

def test_hash(tmp_path):
    data = os.urandom(2**20 + 17)                          # more than one block
    (tmp_path/'a').write_bytes(data)
    assert file_hash(tmp_path/'a') == file_hash(str(tmp_path/'a')) == hashlib.sha256(data).hexdigest()

def test_a_file_system_that_refuses_rights(tmp_path, monkeypatch):
    "CIFS, exFAT and the like take files but no chmod."
    def refuse(*args, **kw): raise PermissionError(1, 'Operation not permitted')
    for where,name in ((os,'chmod'), (os,'fchmod')): monkeypatch.setattr(where, name, refuse)
    with atomic_path(tmp_path/'a.txt') as part: part.write_text('whole')
    assert (tmp_path/'a.txt').read_text() == 'whole' and names(tmp_path) == ['a.txt']

@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), OSError('encoder error -2 when writing image file')])
def test_a_failure_to_write_names_the_target(tmp_path, error):
    with pytest.raises(OSError, match='No space|encoder error') as e:
        with atomic_path(tmp_path/'a.png'): raise error
    assert e.value.filename == str(tmp_path/'a.png') and e.value.strerror and names(tmp_path) == []

def test_many_targets_are_swept_at_once(tmp_path):
    for n in ('.a-12345678.png', '.b-12345678.png', '.c-12345678.png', '.a-12345678.jpg', '.a.png'):
        (tmp_path/n).touch(); os.utime(tmp_path/n, (0, 0))
    assert {p.name for p in sweep_stale(tmp_path/'a.png', tmp_path/'b.png')} == {'.a-12345678.png', '.b-12345678.png'}
    assert names(tmp_path) == ['.a-12345678.jpg', '.a.png', '.c-12345678.png']

@pytest.mark.parametrize('encoding', ['ascii', 'cp1252', 'utf-8'])
def test_what_cannot_be_printed_is_escaped(monkeypatch, encoding):
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, 'stdout', out)
    print_anything()
    print('a\udce9×\u65e5', flush=True)
    assert b'\\udce9' in out.buffer.getvalue()
