"Slow tests are marked; they run by default, `pytest -m 'not slow'` leaves them out."
import os
def pytest_configure(config):
    config.addinivalue_line('markers', 'slow: takes more than ten seconds')
    os.environ.setdefault('MPLBACKEND', 'agg')
