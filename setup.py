"""The compiled kernels; everything else is said in pyproject.toml. Without a C++ compiler Fourfold installs all the same."""

from pathlib import Path

from setuptools import Extension, setup

NATIVE = Path("src/fourfold/kernels/native")
UNIX = [
    "-std=c++17",
    "-O3",
    "-fno-math-errno",
    "-ffp-contract=off",
    "-fvisibility=hidden",
    "-Wno-psabi",
    "-Wno-maybe-uninitialized",
    "-pthread",
]

setup(
    ext_modules=[
        Extension(
            "fourfold.kernels._native",
            sources=[str(NATIVE / "native.cpp"), str(NATIVE / "pool.cpp")],
            depends=sorted(str(path) for path in NATIVE.glob("*.hpp")),
            extra_compile_args=UNIX,
            extra_link_args=["-pthread"],
            language="c++",
            optional=True,
        )
    ]
)
