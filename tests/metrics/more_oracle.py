"""The other metrics again, one window at a time, straight from their definitions.

Written to be read beside a formula: numpy, scipy and scikit-image, nothing from the package. Images are (h w) arrays of
grey levels 0...255 in float64.
"""
import math
import warnings

import numpy as np
from scipy import ndimage, signal, stats
from skimage.measure import block_reduce
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio


def both(f, ir, vi, one): return (one(f, ir) + one(f, vi)) / 2


def CE(f, ir, vi):
    hist = lambda x: np.bincount(x.astype(int).ravel(), minlength=256) / x.size
    def one(f, s):
        p, q = hist(s), hist(f)
        keep = (p > 0) & (q > 0)
        return stats.entropy(p[keep] / p[keep].sum(), q[keep] / q[keep].sum(), base=2) * p[keep].sum() \
            + p[keep].sum() * math.log2(p[keep].sum() / q[keep].sum()) if keep.any() else 0.
    return both(f, ir, vi, one)


def sobel(x, mode='nearest'):
    return ndimage.sobel(x, 1, mode=mode), ndimage.sobel(x, 0, mode=mode)


def EI(f): return float(np.hypot(*sobel(f)).mean())


def RMSE(f, ir, vi): return both(f, ir, vi, lambda f, s: math.sqrt(mean_squared_error(f, s)))


def PSNR(f, ir, vi):
    "Over both sources side by side."
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return float(peak_signal_noise_ratio(np.hstack([ir, vi]), np.hstack([f, f]), data_range=255))


def CC(f, ir, vi):
    def one(x, y): return np.corrcoef(x.ravel(), y.ravel())[0, 1] if np.ptp(x) and np.ptp(y) else 0.
    return both(f, ir, vi, one)


def MS_SSIM(f, ir, vi):
    if min(f.shape) < 176: return math.nan
    i = np.arange(11) - 5
    w = np.exp(-(i[:, None] ** 2 + i ** 2) / 4.5)
    blur = lambda x: signal.fftconvolve(x, w / w.sum(), mode='valid')
    def one(x, y):
        out, c1, c2 = 1., 6.5025, 58.5225
        for scale, weight in enumerate((.0448, .2856, .3001, .2363, .1333)):
            if scale:
                h, w_ = x.shape
                x, y = (block_reduce(o[:h // 2 * 2, :w_ // 2 * 2], (2, 2), np.mean) for o in (x, y))
            mx, my = blur(x), blur(y)
            vx, vy, cov = blur(x * x) - mx ** 2, blur(y * y) - my ** 2, blur(x * y) - mx * my
            value = np.mean((2 * cov + c2) / (vx + vy + c2))
            if scale == 4: value *= np.mean((2 * mx * my + c1) / (mx ** 2 + my ** 2 + c1))
            out *= max(value, 0) ** weight
        return out
    return both(f, ir, vi, one)


def Nabf(f, ir, vi):
    def field(x):
        gx, gy = (o / 8 for o in sobel(x))
        angle = np.array([[math.atan2(b, a) % math.pi if a or b else 0. for a, b in zip(*rows)] for rows in zip(gx, gy)])
        return np.hypot(gx, gy), angle
    def quality(g, a, gf, af):
        if g == 0 or gf == 0: strength = 0.
        else: strength = min(g, gf) / max(g, gf)
        d = abs(a - af) % math.pi
        turn = abs(1 - d / (math.pi / 2))
        return math.sqrt(.9999 / (1 + math.exp(-19 * (strength - .5))) * .9995 / (1 + math.exp(-22 * (turn - .5))))
    (gf, af), sources = field(f), [field(s) for s in (ir, vi)]
    lost = total = 0.
    for y in range(f.shape[0]):
        for x in range(f.shape[1]):
            new = all(gf[y, x] > g[y, x] for g, _ in sources)
            for g, a in sources:
                w = g[y, x] ** 1.5 if g[y, x] >= 2 else .001
                total += w
                if new: lost += w * (1 - quality(g[y, x], a[y, x], gf[y, x], af[y, x]))
    return lost / total


def shared_information(a, f):
    "FMI of one window: every cell of the joint distribution."
    if np.array_equal(a, f): return 1.
    def pdf(x):
        x = x.ravel(order='F').astype(float)
        x = x - x.min()
        return x / x.sum() if x.max() else np.full(9, 1 / 9)
    p, q = pdf(a), pdf(f)
    if np.ptp(p) < 1e-12 or np.ptp(q) < 1e-12: c = 0.
    else: c = np.corrcoef(p, q)[0, 1]
    i = np.arange(1, 10)
    sd = lambda r: math.sqrt(max((i * i * r).sum() - (i * r).sum() ** 2, 0))
    P, Q = np.cumsum(p), np.cumsum(q)
    bound = np.minimum.outer(P, Q) if c >= 0 else np.maximum(np.add.outer(P, Q) - 1, 0)
    cov = (bound - np.outer(P, Q)).sum()
    part = c * sd(p) * sd(q) / cov if abs(cov) > 1e-6 * max(sd(p) * sd(q), 1e-9) else 0.
    part = min(max(part, 0.), 1.)
    joint = np.diff(np.diff(np.pad(bound, ((1, 0), (1, 0))), axis=0), axis=1)
    joint = part * joint + (1 - part) * np.outer(p, q)
    H = lambda r: -sum(v * math.log(v) for v in r.ravel() if v > 1e-15)
    return 2 * (H(p) + H(q) - H(joint)) / (H(p) + H(q)) if H(p) + H(q) > 1e-9 else 0.


def fmi(f, ir, vi):
    def one(f, s):
        h, w = f.shape
        return np.mean([shared_information(s[y:y + 3, x:x + 3], f[y:y + 3, x:x + 3])
                        for y in range(h - 2) for x in range(w - 2)])
    return both(f, ir, vi, one)


def FMI_pixel(f, ir, vi): return fmi(f, ir, vi)


def FMI_gradient(f, ir, vi): return fmi(*(np.gradient(o, axis=1) for o in (f, ir, vi)))


def windows(size, *images):
    h, w = images[0].shape
    for y in range(h - size + 1):
        for x in range(w - size + 1): yield [o[y:y + size, x:x + size] for o in images]


def q0(x, y):
    mx, my, vx, vy = x.mean(), y.mean(), x.var(), y.var()
    cov = ((x - mx) * (y - my)).mean()
    q = 2 * cov / (vx + vy) if vx + vy > 1e-9 else 1.
    return q * (2 * mx * my / (mx ** 2 + my ** 2) if mx or my else 1.)


def share(a, b): return a / (a + b) if a + b > 1e-9 else .5


def Qw(f, ir, vi):
    qs, cs = [], []
    for wf, a, b in windows(8, f, ir, vi):
        s = share(a.var(), b.var())
        qs.append(s * q0(a, wf) + (1 - s) * q0(b, wf))
        cs.append(max(a.var(), b.var()))
    return float(np.dot(qs, cs) / sum(cs)) if sum(cs) > 1e-9 else float(np.mean(qs))


def Qe(f, ir, vi): return Qw(f, ir, vi) * Qw(*(np.hypot(*sobel(o)) for o in (f, ir, vi)))


def Qc(f, ir, vi):
    cov = lambda x, y: ((x - x.mean()) * (y - y.mean())).mean()
    out = []
    for wf, a, b in windows(8, f, ir, vi):
        ca, cb = cov(a, wf), cov(b, wf)
        s = min(max(ca / (ca + cb), 0), 1) if abs(ca + cb) > 1e-9 else .5
        out.append(s * q0(a, wf) + (1 - s) * q0(b, wf))
    return float(np.mean(out))


def ssim_window(x, y):
    mx, my, c1, c2 = x.mean(), y.mean(), 6.5025, 58.5225
    cov = ((x - mx) * (y - my)).mean()
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx ** 2 + my ** 2 + c1) * (x.var() + y.var() + c2))


def Qy(f, ir, vi):
    out = []
    for wf, a, b in windows(7, f, ir, vi):
        sa, sb, s = ssim_window(a, wf), ssim_window(b, wf), share(a.var(), b.var())
        out.append(s * sa + (1 - s) * sb if ssim_window(a, b) >= .75 else max(sa, sb))
    return float(np.mean(out))


def stretched(x):
    return np.round((x - x.min()) * 255 / np.ptp(x)) if np.ptp(x) else x


def periods(shape):
    ky, kx = (np.round(np.fft.fftfreq(n) * n) for n in shape)
    return np.hypot(ky[:, None], kx[None])


def Qcv(f, ir, vi):
    f, *sources = (stretched(o) for o in (f, ir, vi))
    r = .144 * periods(f.shape) / 4
    seen = 2.6 * (.0192 + r) * np.exp(-r ** 1.1)
    lost = total = 0.
    for s in sources:
        d = np.fft.ifft2(np.fft.fft2(s - f) * seen).real ** 2
        g = np.hypot(*sobel(s, mode='constant')) ** 5
        w = block_reduce(g, (16, 16), np.sum)
        lost += (w * block_reduce(d, (16, 16), np.sum) / 256).sum()
        total += w.sum()
    return lost / total if total else 0.


def Qcb(f, ir, vi):
    r = periods(f.shape) / 15
    seen = np.exp(-(r / 15.387) ** 2) - .7622 * np.exp(-(r / 1.3456) ** 2)
    i = np.arange(-15, 16)
    def contrast(x):
        x = np.fft.ifft2(np.fft.fft2(stretched(x)) * seen).real
        g = [signal.fftconvolve(x, np.exp(-(i[:, None] ** 2 + i ** 2) / (2 * s * s)) / (2 * math.pi * s * s), mode='same')
             for s in (2, 4)]
        c = np.abs(np.divide(g[0], g[1], out=np.ones_like(x), where=np.abs(g[1]) > 1e-9) - 1)
        return c ** 3 / (c ** 2 + 1e-4)
    cf, ca, cb = (contrast(o) for o in (f, ir, vi))
    total = 0.
    for q, p, o in zip(cf.ravel(), ca.ravel(), cb.ravel()):
        kept = lambda s: min(s, q) / max(s, q) if max(s, q) > 0 else 1.
        s = p * p / (p * p + o * o) if p * p + o * o > 0 else .5
        total += s * kept(p) + (1 - s) * kept(o)
    return total / cf.size
