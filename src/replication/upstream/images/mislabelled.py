"""RandAugment of images with planted wrong labels."""

from replication.upstream.images.randaugment import RandAugment
from replication.upstream.planted import Planted


class Mislabelled(Planted):
    upstream = RandAugment
