"""The compiled kernels; all else stands in pyproject.toml. Without a C++ compiler Fourfold installs all the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

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


class InParallel(build_ext):
    """One compiler a file, all at once: a file for each set of instructions takes 7 to 20 seconds."""

    def build_extensions(self) -> None:
        compile_them = self.compiler.compile

        def compile_each(sources: list[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor() as pool:
                parts = pool.map(lambda source: compile_them([source], **options), sources)
                return [made for part in parts for made in part]

        self.compiler.compile = compile_each
        super().build_extensions()


setup(
    cmdclass={"build_ext": InParallel},
    ext_modules=[
        Extension(
            "fourfold.kernels._native",
            sources=sorted(str(path) for path in NATIVE.glob("*.cpp")),
            depends=sorted(str(path) for path in NATIVE.glob("*.hpp")),
            extra_compile_args=UNIX,
            extra_link_args=["-pthread"],
            language="c++",
            optional=True,
        )
    ],
)
