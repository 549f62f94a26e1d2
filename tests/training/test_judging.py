"""What made images show: ALIA's filter beside its definition, and the order of a contact sheet."""

import numpy as np
import torch

from replication.data.dataset import Split
from replication.training.judging import Judges, confident, on_topic, thresholds
from replication.training.sheet import order

P = np.array([[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])


def test_thresholds_are_means_of_a_class_s_own_probability():
    limits = thresholds(P, np.array([0, 0, 1, 1]))
    assert np.allclose(limits, [(0.9 + 0.5) / 2, (0.7 + 0.3) / 2, 1.0])


def test_what_is_surer_than_its_threshold_is_left_out():
    limits = np.array([0.7, 0.5, 0.3])
    expected = [max(p) > limits[list(p).index(max(p))] for p in P.tolist()]
    assert confident(P, limits).tolist() == expected == [True, False, True, True]


class Bright(torch.nn.Module):
    """Two classes by the mean of an image."""

    def __init__(self, sign):
        super().__init__()
        self.sign = torch.nn.Parameter(torch.tensor(float(sign)))

    def forward(self, x):
        z = self.sign * x.flatten(1).mean(1)
        return torch.stack([-z, z], 1)


def test_judges_see_what_their_classifiers_see():
    images = np.array([10, 200, 120, 135], np.uint8)[:, None, None, None] * np.ones(
        (1, 1, 4, 4), np.uint8
    )
    split = Split(images, np.array([0, 1, 0, 1]))
    judges = Judges(Bright(1), Bright(-1), split, lambda x: x.float() / 127.5 - 1)
    assert judges.shown(images).tolist() == [0, 1, 0, 1]
    z = images[:, 0, 0, 0] / 127.5 - 1
    ones = 1 / (1 + np.exp(2 * z))
    p = np.stack([1 - ones, ones], 1)
    assert np.allclose(judges.limits, thresholds(p, split.labels), atol=1e-6)
    assert judges.kept(images).tolist() == (~confident(p, judges.limits)).tolist()


class Prompted:
    """A network whose images and prompts are vectors by their mean and first letter."""

    class Towers(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.one = torch.nn.Parameter(torch.ones(()))

        def encode_text(self, tokens):
            return torch.nn.functional.one_hot(tokens, 3).float()

        def encode_image(self, x):
            return torch.nn.functional.one_hot((x[:, 0, 0, 0] * 3).long().clamp(0, 2), 3).float()

    model = Towers()

    def tokens(self, prompts):
        return torch.tensor(["abc".index(prompt[0]) for prompt in prompts])

    def prepare(self, images):
        return images.float() / 255


def test_an_image_is_on_topic_that_is_closest_to_what_is_wanted():
    images = torch.tensor([0, 100, 250]).byte()[:, None, None, None].expand(-1, 1, 2, 2)
    assert on_topic(Prompted(), images, ["a bird"], ["b", "c"]).tolist() == [True, False, False]
    assert on_topic(Prompted(), images, ["c", "b"], ["a"]).tolist() == [False, True, True]


def test_a_contact_sheet_has_the_dropped_then_the_relabelled_first():
    weights = torch.tensor([1.2, 0.0, 0.9, 1.0, 0.3, 1.1])
    relabelled = torch.tensor([True, False, True, False, True, False])
    assert order(weights, relabelled).tolist() == [1, 4, 2, 0, 3, 5]
