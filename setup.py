"""Builds the one native part of the project, `fastrouter._core`; all else is in pyproject.toml.

Environment variables:

FASTROUTER_OPT       optimisation level of the C compiler, `3` if not given (`1` compiles in half the time, for 2 to 3 %
                     more CPU per request; `0` in a third of it)
FASTROUTER_PROFILE   `1`: debug symbols and frame pointers, so that `py-spy --native` and `perf` can name lines
FASTROUTER_COMPILED  `1`: the extension is there already (`build_ext --inplace`), beside which this is installed
FASTROUTER_ANNOTATE  `1`: writes build/cython/src/fastrouter/_core.html, which shows where Python is called from C
"""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup


def is_set(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


profile = is_set("FASTROUTER_PROFILE")
compile_args = [f"-O{os.environ.get('FASTROUTER_OPT', '3')}", "-fno-strict-aliasing"]
# Python's own flags carry -g, which doubles the compile time: -g0 takes it back.
compile_args += ["-g", "-fno-omit-frame-pointer"] if profile else ["-g0"]

core = Extension(
    "fastrouter._core",
    sources=["src/fastrouter/_core.pyx"],
    depends=["src/fastrouter/_core.pxd", *sorted(glob("src/fastrouter/core/*/*"))],
    extra_compile_args=compile_args,
)

setup(
    ext_modules=cythonize(
        [] if is_set("FASTROUTER_COMPILED") else [core],
        # Not in src/; two directories, because Cython does not notice that emit_linenums has changed.
        build_dir="build/cython-profile" if profile else "build/cython",
        emit_linenums=profile,
        annotate=is_set("FASTROUTER_ANNOTATE"),
        language_level=3,
    ),
)
