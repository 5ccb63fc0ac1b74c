"""Fashion U Want: dress a person's photo in a garment's photo.

    import fuw
    with fuw.Fitter.open() as fitter:
        fit = fitter.fit(fitter.person("person.jpg"), fitter.garment("cloth.jpg"))
    fit.save("out.jpg")
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuw.engine.fitter import Fitter
    from fuw.engine.records import Fit, Garment, Given, Person

__version__ = "0.1.0"
__all__ = ["Fit", "Fitter", "Garment", "Given", "Person", "__version__"]


def __getattr__(name: str) -> Any:
    # Late, so that `import fuw` and `fuw-run --help` load neither NumPy nor OpenCV.
    if name == "Fitter":
        from fuw.engine.fitter import Fitter

        return Fitter
    if name in ("Fit", "Garment", "Given", "Person"):
        from fuw.engine import records

        return getattr(records, name)
    raise AttributeError(f"module 'fuw' has no attribute {name!r}")
