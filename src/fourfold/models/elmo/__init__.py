"""ELMo: words in their context, from language models of both directions."""

from fourfold.models.elmo.config import Characters, ElmoConfig
from fourfold.models.elmo.features import ElmoFeatures, FeatureClassifier, Features, ScalarMix
from fourfold.models.elmo.files import ELMO, load_elmo, save_elmo
from fourfold.models.elmo.model import Directions, ElmoLM
from fourfold.models.elmo.spelling import spell

__all__ = [
    "ELMO",
    "Characters",
    "Directions",
    "ElmoConfig",
    "ElmoFeatures",
    "ElmoLM",
    "FeatureClassifier",
    "Features",
    "ScalarMix",
    "load_elmo",
    "save_elmo",
    "spell",
]
