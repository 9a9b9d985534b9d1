"Settings of every test: no window is opened."
import os

os.environ.setdefault('MPLBACKEND', 'agg')
